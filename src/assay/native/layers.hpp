// Products of matrices, dense and sparse. All matrices are rows of whole cache lines, but for dense inputs, which are
// read one value at a time.
#pragma once

#include "simd.hpp"

namespace assay::ASSAY_LEVEL {

// c (R, C vectors) = start + sum over k < depth of a[r, k] b[k], held in registers.
template <class T, int R, int C>
ASSAY_INLINE void tile(int depth, const T* a, int64_t a_row, int64_t a_step, const T* b, int64_t b_row, T* c,
                       int64_t c_row, const T* start, int64_t start_row) {
  Vector<T> acc[R][C];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < C; ++v) acc[r][v] = start ? at(start + r * start_row + v * LANES<T>) : Vector<T>{};
  for (int k = 0; k < depth; ++k) {
    Vector<T> row[C];
#pragma GCC unroll 16
    for (int v = 0; v < C; ++v) row[v] = at(b + k * b_row + v * LANES<T>);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      Vector<T> x = splat(a[r * a_row + k * a_step]);
#pragma GCC unroll 16
      for (int v = 0; v < C; ++v) acc[r][v] += x * row[v];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < C; ++v) at(c + r * c_row + v * LANES<T>) = acc[r][v];
}

// Calls `body` with the number of vectors, a constant, and the place, for panels that cover `columns` (whole lines).
template <class T, int widest, class Body>
ASSAY_INLINE void panels(int columns, Body body) {
  int v = 0, vectors = columns / LANES<T>;
  if constexpr (widest >= 8)
    for (; v + 8 <= vectors; v += 8) body(std::integral_constant<int, 8>{}, v * LANES<T>);
  if constexpr (widest >= 4)
    for (; v + 4 <= vectors; v += 4) body(std::integral_constant<int, 4>{}, v * LANES<T>);
  for (; v + 2 <= vectors; v += 2) body(std::integral_constant<int, 2>{}, v * LANES<T>);
  for (; v < vectors; ++v) body(std::integral_constant<int, 1>{}, v * LANES<T>);
}

// c (rows, columns) = start + a b, with a (rows, depth) read at a[r * a_row + k * a_step], b (depth, columns) and c by
// rows; `start` by rows too, or one row for all with start_row = 0, or null for zeros.
template <class T>
void product(int rows, int columns, int depth, const T* a, int64_t a_row, int64_t a_step, const T* b, int64_t b_row,
             T* c, int64_t c_row, const T* start, int64_t start_row) {
  if (rows == 1) {  // many vectors at once, for there is one chain of additions for each
    panels<T, 8>(columns, [&](auto wide, int at) {
      tile<T, 1, wide>(depth, a, a_row, a_step, b + at, b_row, c + at, c_row, start ? start + at : start, start_row);
    });
    return;
  }
  constexpr int most = ASSAY_REGISTERS == 32 ? 12 : 6;
  panels<T, 2>(columns, [&](auto wide, int at) {
    int r = 0;
    auto run = [&](auto high) {
      tile<T, high, wide>(depth, a + r * a_row, a_row, a_step, b + at, b_row, c + r * c_row + at, c_row,
                          start ? start + r * start_row + at : start, start_row);
      r += high;
    };
    while (r + most <= rows) run(std::integral_constant<int, most>{});
    if constexpr (most > 6)
      while (r + 6 <= rows) run(std::integral_constant<int, 6>{});
    while (r + 3 <= rows) run(std::integral_constant<int, 3>{});
    while (r < rows) run(std::integral_constant<int, 1>{});
  });
}

// z (columns,) += sum of values[i] w[columns[i]]: one example's sparse inputs through the first layer.
template <class T, int C, int chains>
ASSAY_INLINE void sparse_tile(const uint16_t* columns, const T* values, int count, const T* w, int64_t stride, T* z) {
  Vector<T> acc[chains][C] = {};
#pragma GCC unroll 16
  for (int v = 0; v < C; ++v) acc[0][v] = at(z + v * LANES<T>);
  int i = 0;
  for (; i + chains <= count; i += chains) {
#pragma GCC unroll 16
    for (int u = 0; u < chains; ++u) {
      Vector<T> x = splat(values[i + u]);
      const T* row = w + columns[i + u] * stride;
#pragma GCC unroll 16
      for (int v = 0; v < C; ++v) acc[u][v] += x * at(row + v * LANES<T>);
    }
  }
  for (; i < count; ++i) {
    Vector<T> x = splat(values[i]);
    const T* row = w + columns[i] * stride;
#pragma GCC unroll 16
    for (int v = 0; v < C; ++v) acc[0][v] += x * at(row + v * LANES<T>);
  }
#pragma GCC unroll 16
  for (int v = 0; v < C; ++v) {
    Vector<T> total = acc[0][v];
#pragma GCC unroll 16
    for (int u = 1; u < chains; ++u) total += acc[u][v];
    at(z + v * LANES<T>) = total;
  }
}

template <class T, int wide>
ASSAY_INLINE void sparse_forward(const uint16_t* columns, const T* values, int count, const T* w, int stride, T* z) {
  constexpr int chains = wide >= 8 ? 1 : wide >= 4 ? 2 : 4;  // eight additions at once, whatever the width
  sparse_tile<T, wide, chains>(columns, values, count, w, stride, z);
}

// g[columns[i]] += scale values[i] d: one example's part of the first layer's gradient.
template <class T>
ASSAY_INLINE void scatter(const uint16_t* columns, const T* values, int count, const T* d, T scale, int stride, T* g) {
  panels<T, 8>(stride, [&](auto wide, int place) {
    Vector<T> slope[wide];
#pragma GCC unroll 16
    for (int v = 0; v < wide; ++v) slope[v] = scale * at(d + place + v * LANES<T>);
    for (int i = 0; i < count; ++i) {
      Vector<T> x = splat(values[i]);
      T* row = g + columns[i] * int64_t{stride} + place;
#pragma GCC unroll 16
      for (int v = 0; v < wide; ++v) at(row + v * LANES<T>) += x * slope[v];
    }
  });
}

// z[row] += first w0 + second w1 over a pair's entries: its part of the first layer's outputs, its weights in registers.
template <class T, int wide>
ASSAY_INLINE void pair_forward(const Entry<T>* entries, int count, const T* w0, const T* w1, T* z) {
  Vector<T> one[wide], two[wide];
#pragma GCC unroll 16
  for (int v = 0; v < wide; ++v) one[v] = at(w0 + v * LANES<T>), two[v] = at(w1 + v * LANES<T>);
  for (int e = 0; e < count; ++e) {
    Vector<T> x = splat(entries[e].first), y = splat(entries[e].second);
    T* row = z + entries[e].row * int64_t{wide * LANES<T>};
#pragma GCC unroll 16
    for (int v = 0; v < wide; ++v) at(row + v * LANES<T>) = at(row + v * LANES<T>) + x * one[v] + y * two[v];
  }
}

// g0 = start + sum of first d[row], g1 with second, over a pair's entries: its part of the first layer's gradient.
template <class T, int wide>
ASSAY_INLINE void pair_gradient(const Entry<T>* entries, int count, const T* d, const T* start0, const T* start1, T* g0,
                                T* g1) {
  Vector<T> one[wide], two[wide];
#pragma GCC unroll 16
  for (int v = 0; v < wide; ++v) {
    one[v] = start0 ? at(start0 + v * LANES<T>) : Vector<T>{};
    two[v] = start1 ? at(start1 + v * LANES<T>) : Vector<T>{};
  }
  for (int e = 0; e < count; ++e) {
    Vector<T> x = splat(entries[e].first), y = splat(entries[e].second);
    const T* row = d + entries[e].row * int64_t{wide * LANES<T>};
#pragma GCC unroll 16
    for (int v = 0; v < wide; ++v) {
      Vector<T> slope = at(row + v * LANES<T>);
      one[v] += x * slope;
      two[v] += y * slope;
    }
  }
#pragma GCC unroll 16
  for (int v = 0; v < wide; ++v) at(g0 + v * LANES<T>) = one[v], at(g1 + v * LANES<T>) = two[v];
}

// sums (columns,) += every row of a (rows, columns), times scale where given.
template <class T>
ASSAY_INLINE void add_rows(const T* a, int rows, int columns, const T* scale, T* sums) {
  panels<T, 8>(columns, [&](auto wide, int place) {
    Vector<T> acc[wide];
#pragma GCC unroll 16
    for (int v = 0; v < wide; ++v) acc[v] = at(sums + place + v * LANES<T>);
    for (int r = 0; r < rows; ++r) {
      Vector<T> x = splat(scale ? scale[r] : T(1));
#pragma GCC unroll 16
      for (int v = 0; v < wide; ++v) acc[v] += x * at(a + r * int64_t{columns} + place + v * LANES<T>);
    }
#pragma GCC unroll 16
    for (int v = 0; v < wide; ++v) at(sums + place + v * LANES<T>) = acc[v];
  });
}

// The sum over whole lines of d w.
template <class T>
ASSAY_INLINE T dot(const T* d, const T* w, int count) {
  Vector<T> acc{};
  for (int i = 0; i < count; i += LANES<T>) acc += at(d + i) * at(w + i);
  return sum<T>(acc);
}

// to (columns of `from`, padded) = from (rows, stride) turned round; what is beyond `rows` becomes 0.
template <class T>
void transpose(const T* from, int rows, int columns, int stride, T* to, int to_stride) {
  for (int c = 0; c < columns; ++c) {
    T* line = to + c * int64_t{to_stride};
    for (int r = 0; r < rows; ++r) line[r] = from[r * int64_t{stride} + c];
    for (int r = rows; r < to_stride; ++r) line[r] = 0;
  }
}

}  // namespace assay::ASSAY_LEVEL
