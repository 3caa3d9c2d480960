// The sparse inputs of the first layer: reading, sorting by pairs of columns, and products with weights and gradients.
#pragma once

#include "matmul.hpp"

namespace assay::ASSAY_LEVEL {

// --- reading ---

template <class T>
struct SparseRow {
  const uint16_t* columns;  // or pair indices
  const T* values;
  int count;
};

template <class T>
ASSAY_INLINE SparseRow<T> sparse_row(const Inputs<T>& inputs, int64_t row) {
  int64_t from = inputs.offsets[row];
  return {inputs.columns + from, inputs.values + from, static_cast<int>(inputs.offsets[row + 1] - from)};
}

template <class T>
ASSAY_INLINE SparseRow<T> paired_row(const Inputs<T>& inputs, int64_t row) {
  int64_t from = inputs.pair_offsets[row];
  return {inputs.pair_indices + from, inputs.pair_values + 2 * from,
          static_cast<int>(inputs.pair_offsets[row + 1] - from)};
}

// Prefetches an example.
template <class T>
ASSAY_INLINE void prefetch(const Inputs<T>& inputs, int64_t row, bool paired) {
  auto [columns, values, count] = paired ? paired_row(inputs, row) : sparse_row(inputs, row);
  for (int b = 0; b < count; b += 64 / int{sizeof(uint16_t)}) __builtin_prefetch(columns + b);
  if (paired) count *= 2;
  for (int b = 0; b < count; b += 64 / int{sizeof(T)}) __builtin_prefetch(values + b);
}

// Prefetches example i of the next batch: it may lie anywhere in memory, which is larger than the caches. Of paired
// inputs only the offset is prefetched, because `sort_pairs` prefetches the rest shortly before it reads it.
template <class T>
ASSAY_INLINE void prefetch(const Inputs<T>& inputs, const Batch& batch, int i, bool paired) {
  int64_t row;
  if (batch.next_rows)
    row = batch.next_rows[i];
  else if (batch.next_start >= 0)
    row = batch.next_start + i;
  else
    return;
  if (paired)
    __builtin_prefetch(inputs.pair_offsets + row);
  else
    prefetch(inputs, row, false);
}

// --- sorting ---

// Whether the block's inputs are read sorted by pair: two rows of weights and their gradients then stay in registers
// while all examples pass. Unless they are sorted already, this pays only with enough units and examples.
template <class T>
ASSAY_INLINE bool uses_sorted_pairs(const Pass<T>& pass, Block block) {
  const bool pays = pass.plan->layer[0].stride >= MIN_SORTED_STRIDE<T> && block.rows >= MIN_SORTED_ROWS;
  return pass.blocks || (pays && pass.inputs->pair_offsets);
}

// Sorts a block into the workspace. Each pair has room for an entry of every example.
//
// Not inlined: by itself it keeps its values in registers.
template <class T>
__attribute__((noinline)) void sort_pairs(const Inputs<T>& inputs, const Batch& batch, Block block,
                                          Workspace<T>& space) {
  int32_t* __restrict counts = space.pair_counts;
  PairEntry<T>* __restrict entries = space.entries;
  __builtin_memset(counts, 0, inputs.pairs() * sizeof *counts);
  for (int i = 0; i < PREFETCH_DISTANCE && i < block.rows; ++i) prefetch(inputs, batch.row(block.first + i), true);
  for (int i = 0; i < block.rows; ++i) {
    if (i + PREFETCH_DISTANCE < block.rows) prefetch(inputs, batch.row(block.first + i + PREFETCH_DISTANCE), true);
    auto [pairs, values, count] = paired_row(inputs, batch.row(block.first + i));
    for (int e = 0; e < count; ++e) {
      const int pair = pairs[e];
      entries[pair * block.rows + counts[pair]++] = {values[2 * e], values[2 * e + 1], i};
    }
  }
  space.sorted = {entries, counts, block.rows};
}

// Calls body(pair, first column, second column, entries, their number). If the number of columns is odd, the last pair
// has its first column twice, and its second values are 0.
template <class T, class Body>
ASSAY_INLINE void for_each_pair(const Inputs<T>& inputs, const SortedBlock<T>& sorted, Body body) {
  const PairEntry<T>* entries = sorted.entries;
  for (int k = 0; k < inputs.pairs(); ++k) {
    const int count = sorted.counts[k];
    body(k, 2 * k, 2 * k + 1 < inputs.features ? 2 * k + 1 : 2 * k, entries, count);
    entries += sorted.capacity ? sorted.capacity : count;
  }
}

// Calls body(number of vectors, first unit, packed rows) for each panel of the first layer's units.
template <class T, class Body>
ASSAY_INLINE void for_each_packed_panel(int stride, int rows, Workspace<T>& space, Body body) {
  for_each_panel<T, 4>(stride,
                       [&](auto vectors, int unit) { body(vectors, unit, space.packed + int64_t{unit} * rows); });
}

// --- products ---

// z (units,) += sum of values[i] w[columns[i]]: one example through the first layer.
template <class T, int C, int chains>
ASSAY_INLINE void sparse_tile(const uint16_t* columns, const T* values, int count, const T* w, int64_t stride, T* z) {
  Vector<T> acc[chains][C] = {};
#pragma GCC unroll 16
  for (int v = 0; v < C; ++v) acc[0][v] = as_vector(z + v * LANES<T>);
  int i = 0;
  for (; i + chains <= count; i += chains) {
#pragma GCC unroll 16
    for (int u = 0; u < chains; ++u) {
      Vector<T> x = splat(values[i + u]);
      const T* row = w + columns[i + u] * stride;
#pragma GCC unroll 16
      for (int v = 0; v < C; ++v) acc[u][v] += x * as_vector(row + v * LANES<T>);
    }
  }
  for (; i < count; ++i) {
    Vector<T> x = splat(values[i]);
    const T* row = w + columns[i] * stride;
#pragma GCC unroll 16
    for (int v = 0; v < C; ++v) acc[0][v] += x * as_vector(row + v * LANES<T>);
  }
#pragma GCC unroll 16
  for (int v = 0; v < C; ++v) {
    Vector<T> total = acc[0][v];
#pragma GCC unroll 16
    for (int u = 1; u < chains; ++u) total += acc[u][v];
    as_vector(z + v * LANES<T>) = total;
  }
}

template <class T, int vectors>
ASSAY_INLINE void sparse_forward(const uint16_t* columns, const T* values, int count, const T* w, int stride, T* z) {
  constexpr int chains = vectors >= 8 ? 1 : vectors >= 4 ? 2 : 4;  // eight additions at once, whatever the width
  sparse_tile<T, vectors, chains>(columns, values, count, w, stride, z);
}

// g[columns[i]] += scale values[i] d: one example's part of the first layer's gradient.
template <class T>
ASSAY_INLINE void scatter_gradient(const uint16_t* columns, const T* values, int count, const T* d, T scale, int stride,
                                   T* g) {
  for_each_panel<T, 8>(stride, [&](auto vectors, int unit) {
    Vector<T> slope[vectors];
    for (int v = 0; v < vectors; ++v) slope[v] = scale * as_vector(d + unit + v * LANES<T>);
    for (int i = 0; i < count; ++i) {
      Vector<T> x = splat(values[i]);
      T* row = g + columns[i] * int64_t{stride} + unit;
      for (int v = 0; v < vectors; ++v) as_vector(row + v * LANES<T>) += x * slope[v];
    }
  });
}

// z[row] += first w0 + second w1 over a pair's entries: its part of the first layer's z. w0 and w1 stay in registers.
template <class T, int vectors>
ASSAY_INLINE void pair_forward(const PairEntry<T>* entries, int count, const T* w0, const T* w1, T* z) {
  Vector<T> weights0[vectors], weights1[vectors];
#pragma GCC unroll 16
  for (int v = 0; v < vectors; ++v)
    weights0[v] = as_vector(w0 + v * LANES<T>), weights1[v] = as_vector(w1 + v * LANES<T>);
  for (int e = 0; e < count; ++e) {
    Vector<T> x = splat(entries[e].first), y = splat(entries[e].second);
    T* row = z + entries[e].row * int64_t{vectors * LANES<T>};
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v)
      as_vector(row + v * LANES<T>) = as_vector(row + v * LANES<T>) + x * weights0[v] + y * weights1[v];
  }
}

// g0 = start0 + sum of first d[row] over a pair's entries, g1 = start1 + sum of second d[row]: their weights'
// gradients.
template <class T, int vectors>
ASSAY_INLINE void pair_gradient(const PairEntry<T>* entries, int count, const T* d, const T* start0, const T* start1,
                                T* g0, T* g1) {
  Vector<T> sums0[vectors], sums1[vectors];
#pragma GCC unroll 16
  for (int v = 0; v < vectors; ++v) {
    sums0[v] = start0 ? as_vector(start0 + v * LANES<T>) : Vector<T>{};
    sums1[v] = start1 ? as_vector(start1 + v * LANES<T>) : Vector<T>{};
  }
  for (int e = 0; e < count; ++e) {
    Vector<T> x = splat(entries[e].first), y = splat(entries[e].second);
    const T* row = d + entries[e].row * int64_t{vectors * LANES<T>};
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) {
      Vector<T> slope = as_vector(row + v * LANES<T>);
      sums0[v] += x * slope;
      sums1[v] += y * slope;
    }
  }
#pragma GCC unroll 16
  for (int v = 0; v < vectors; ++v) as_vector(g0 + v * LANES<T>) = sums0[v], as_vector(g1 + v * LANES<T>) = sums1[v];
}

}  // namespace assay::ASSAY_LEVEL
