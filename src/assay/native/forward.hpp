// The forward pass: from inputs to outputs, and the loss.
#pragma once

#include "activations.hpp"
#include "dropout.hpp"
#include "losses.hpp"
#include "matmul.hpp"
#include "sparse.hpp"
#include "targets.hpp"

namespace assay::ASSAY_LEVEL {

// The sum of the first layer's rows of weights, which every block of an iteration needs if there are backgrounds.
template <class T>
void compute_column_sums(const Pass<T>& pass, Workspace<T>& space) {
  const Layer& layer = pass.plan->layer[0];
  if (pass.inputs->dense || !pass.inputs->has_background) return;
  for (int u = 0; u < layer.stride; ++u) space.column_sums[u] = 0;
  add_rows<T>(pass.trial->w + layer.weight, layer.inputs, layer.stride, nullptr, space.column_sums);
}

template <class T>
ASSAY_INLINE void forward_dense(const Pass<T>& pass, const Batch& batch, Block block, Workspace<T>& space) {
  const Layer& layer = pass.plan->layer[0];
  const Inputs<T>& inputs = *pass.inputs;
  const T* x = inputs.dense + batch.row(block.first) * inputs.features;
  if (batch.rows) {
    for (int i = 0; i < block.rows; ++i)
      __builtin_memcpy(space.gathered + i * int64_t{inputs.features},
                       inputs.dense + batch.row(block.first + i) * inputs.features, inputs.features * sizeof(T));
    x = space.gathered;
  }
  matmul(block.rows, layer.stride, layer.inputs, x, inputs.features, 1, pass.trial->w + layer.weight, layer.stride,
         space.z[0], layer.stride, pass.trial->w + layer.bias, 0);
}

// W x = W (x - b) + b (sum of W's rows), where b is the example's background: z starts as the bias and the second term.
template <class T>
ASSAY_INLINE void start_sparse(const Pass<T>& pass, int64_t row, int unit, int units, Workspace<T>& space, T* z) {
  const Inputs<T>& inputs = *pass.inputs;
  const T* bias = pass.trial->w + pass.plan->layer[0].bias;
  const T background = inputs.has_background ? inputs.background[row] : T(0);
  for (int u = 0; u < units; u += LANES<T>)
    as_vector(z + u) = inputs.has_background
                           ? as_vector(bias + unit + u) + background * as_vector(space.column_sums + unit + u)
                           : as_vector(bias + unit + u);
}

template <class T>
ASSAY_INLINE void forward_sorted(const Pass<T>& pass, const Batch& batch, Block block, Workspace<T>& space) {
  const Layer& layer = pass.plan->layer[0];
  const T* w = pass.trial->w + layer.weight;
  if (!pass.blocks) sort_pairs(*pass.inputs, batch, block, space);
  for_each_packed_panel<T>(layer.stride, block.rows, space, [&](auto vectors, int unit, T* packed) {
    constexpr int units = vectors * LANES<T>;
    for (int i = 0; i < block.rows; ++i)
      start_sparse(pass, batch.row(block.first + i), unit, units, space, packed + i * units);
    for_each_pair(*pass.inputs, space.sorted, [&](int, int c0, int c1, const PairEntry<T>* entries, int count) {
      if (count)
        pair_forward<T, vectors>(entries, count, w + c0 * int64_t{layer.stride} + unit,
                                 w + c1 * int64_t{layer.stride} + unit, packed);
    });
    for (int i = 0; i < block.rows; ++i)
      __builtin_memcpy(space.z[0] + i * int64_t{layer.stride} + unit, packed + i * units, units * sizeof(T));
  });
}

template <class T>
ASSAY_INLINE void forward_unsorted(const Pass<T>& pass, const Batch& batch, Block block, Workspace<T>& space) {
  const Layer& layer = pass.plan->layer[0];
  const T* w = pass.trial->w + layer.weight;
  for (int i = 0; i < block.rows; ++i)
    start_sparse(pass, batch.row(block.first + i), 0, layer.stride, space, space.z[0] + i * int64_t{layer.stride});
  // panel by panel: the weights of one stay in the cache for all examples of the block
  for_each_panel<T, 8>(layer.stride, [&](auto vectors, int unit) {
    for (int i = 0; i < block.rows; ++i) {
      auto [columns, values, count] = sparse_row(*pass.inputs, batch.row(block.first + i));
      sparse_forward<T, vectors>(columns, values, count, w + unit, layer.stride,
                                 space.z[0] + i * int64_t{layer.stride} + unit);
    }
  });
}

template <class T>
void forward_first_layer(const Pass<T>& pass, const Batch& batch, Block block, Workspace<T>& space) {
  if (pass.inputs->dense) return forward_dense(pass, batch, block, space);
  const bool sorted = uses_sorted_pairs(pass, block);
  if (!pass.blocks)
    for (int i = 0; i < block.rows; ++i) prefetch(*pass.inputs, batch, block.first + i, sorted);
  if (sorted) return forward_sorted(pass, batch, block, space);
  forward_unsorted(pass, batch, block, space);
}

// Computes z and a of every layer, but only z of the last; in training, also the dropout masks and masked activations.
template <class T>
void forward(const Pass<T>& pass, const Batch& batch, Block block, Workspace<T>& space, bool training) {
  const Plan& plan = *pass.plan;
  forward_first_layer(pass, batch, block, space);
  for (int l = 0; l < plan.layers; ++l) {
    const Layer& layer = plan.layer[l];
    const int64_t count = block.rows * int64_t{layer.stride};
    if (l > 0) {
      const Layer& below = plan.layer[l - 1];
      const T* x = training ? space.out[l - 1] : space.a[l - 1];
      matmul(block.rows, layer.stride, layer.inputs, x, below.stride, 1, pass.trial->w + layer.weight, layer.stride,
             space.z[l], layer.stride, pass.trial->w + layer.bias, 0);
    }
    if (l == plan.layers - 1) return;
    with_activation(layer.activation, [&](auto f) { activate<decltype(f)>(space.z[l], space.a[l], count); });
    if (training && layer.dropout > 0) {
      fill_dropout_mask(layer, pass.trial->dropout_key[l], pass.t, block.first, block.rows, space.mask[l]);
      for (int64_t i = 0; i < count; ++i) space.out[l][i] = space.a[l][i] * space.mask[l][i];
    }
  }
}

// Computes the outputs of the block's examples in groups: as many as a cache line has values, or one at a time if there
// are few. Calls body(group, its first example) for each.
template <class T, class Body>
ASSAY_INLINE void for_each_group(const Pass<T>& pass, const Batch& batch, Block block, Workspace<T>& space, Body body) {
  const Plan& plan = *pass.plan;
  const int stride = plan.last().stride, last = plan.layers - 1;
  auto run = [&](auto group, int first) ASSAY_INLINED {
    for (int j = 0; j < group.count; ++j) group.y[j] = pass.inputs->labels[batch.row(block.first + first + j)];
    group.output(plan.output);
    body(group, first);
  };
  if (block.rows < MIN_GROUPED_ROWS)
    for (int i = 0; i < block.rows; ++i) {
      const int64_t start = i * int64_t{stride};
      run(Group<T, 1>{space.z[last] + start, space.a[last] + start, space.d + start, plan.classes, 1, {}}, i);
    }
  else
    for (int i = 0; i < block.rows; i += LINE<T>) {
      const int count = block.rows - i < LINE<T> ? block.rows - i : LINE<T>;
      T *z = space.d_below, *d = z + stride * LINE<T>;  // there is room for BLOCK rows
      Group<T, LINE<T>> group{z, space.a[last], d, plan.classes, count, {}};
      group.from_rows(space.z[last] + i * int64_t{stride}, stride, z);
      run(group, i);
    }
}

// Returns the block's summed loss; d = dL/dz of the last layer, divided by the batch's size, 0 for dead units.
template <class T>
double block_loss(const Pass<T>& pass, const Batch& batch, Block block, Workspace<T>& space) {
  if (pass.inputs->targets) return target_loss(pass, batch, block, space, true);
  const Plan& plan = *pass.plan;
  const int stride = plan.last().stride;
  const T scale = T(1.0 / batch.size);
  double total = 0;
  for_each_group(pass, batch, block, space, [&]<int W>(Group<T, W>& group, int first) ASSAY_INLINED {
    double losses[W] = {};
    group.loss(plan.loss, T(plan.epsilon), losses);
    for (int j = 0; j < group.count; ++j) total += losses[j];
    group.backward(plan.output, scale, stride);
    if constexpr (W > 1) group.to_rows(group.d, space.d + first * int64_t{stride}, stride);
  });
  return total;
}

}  // namespace assay::ASSAY_LEVEL
