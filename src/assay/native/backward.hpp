// The backward pass: from d = dL/dz of the last layer to the gradient of every weight.
#pragma once

#include "activations.hpp"
#include "matmul.hpp"
#include "sparse.hpp"
#include "update.hpp"

namespace assay::ASSAY_LEVEL {

// Where gradients go: they are added to `g`, or applied to the weights at once.
template <class T>
struct Accumulate {
  static constexpr bool applies = false;
  T* g;
};
template <class T>
struct Apply {
  static constexpr bool applies = true;
  T* g;  // where they are kept until then
  const Hyperparameters& h;
};

// Packs d of the block's examples panel after panel.
template <class T>
ASSAY_INLINE void pack(const T* d, int stride, int rows, Workspace<T>& space) {
  for_each_packed_panel<T>(stride, rows, space, [&](auto vectors, int unit, T* packed) {
    constexpr int units = vectors * LANES<T>;
    for (int i = 0; i < rows; ++i)
      __builtin_memcpy(packed + i * units, d + i * int64_t{stride} + unit, units * sizeof(T));
  });
}

// Of a sorted block, with `shared` the term of every input's gradient, or null.
template <class T>
void sorted_gradient(const Pass<T>& pass, Block block, Workspace<T>& space, const T* d, const T* shared,
                     Accumulate<T> sink) {
  const Layer& layer = pass.plan->layer[0];
  const int64_t stride = layer.stride;
  pack(d, layer.stride, block.rows, space);
  T* g = sink.g + layer.weight;
  if (shared)
    for (int c = 0; c < layer.inputs; ++c) add_rows<T>(shared, 1, layer.stride, nullptr, g + c * stride);
  for_each_packed_panel<T>(layer.stride, block.rows, space, [&](auto vectors, int unit, const T* packed) {
    for_each_pair(*pass.inputs, space.sorted, [&](int, int c0, int c1, const PairEntry<T>* entries, int count) {
      if (!count) return;
      alignas(ALIGNMENT) T unused[vectors * LANES<T>];
      T *g0 = g + c0 * stride + unit, *g1 = c1 > c0 ? g + c1 * stride + unit : unused;
      pair_gradient<T, vectors>(entries, count, packed, g0, c1 > c0 ? g1 : nullptr, g0, g1);
    });
  });
}

template <class T>
void sorted_gradient(const Pass<T>& pass, Block block, Workspace<T>& space, const T* d, const T* shared,
                     Apply<T> sink) {
  const Layer& layer = pass.plan->layer[0];
  const Inputs<T>& inputs = *pass.inputs;
  const int64_t stride = layer.stride;
  pack(d, layer.stride, block.rows, space);
  const Penalty<T> penalty = weight_penalty<T>(sink.h, 1.0);
  with_optimizer<T>(pass.plan->optimizer, sink.h, [&](const auto& rule) {
    const bool lazy = std::decay_t<decltype(rule)>::lazy && penalty.is_none() && !shared;
    if (lazy)
      for_each_pair(inputs, space.sorted, [&](int k, int, int, const PairEntry<T>*, int count) {
        if (count)
          catch_up(rule, layer, inputs.features, *pass.trial, k);
        else
          ++pass.trial->pending_updates[k];
      });
    for_each_pair(inputs, space.sorted, [&](int, int c0, int c1, const PairEntry<T>* entries, int count) {
      if (lazy && !count) return;
      if (shared && !count) {  // the whole gradient of these weights
        for (int c = c0; c <= c1; ++c)
          update_elements(rule, penalty, *pass.trial, layer.weight + c * stride, shared, stride);
        return;
      }
      for_each_packed_panel<T>(layer.stride, block.rows, space, [&](auto vectors, int unit, const T* packed) {
        const T* start = shared ? shared + unit : nullptr;
        T* g = space.pair_gradient + unit;
        pair_gradient<T, vectors>(entries, count, packed, start, start, g, g + stride);
      });
      update_elements(rule, penalty, *pass.trial, layer.weight + c0 * stride, space.pair_gradient,
                      (1 + c1 - c0) * stride);
    });
  });
}

// Applies the gradient of the first layer's rows of weights from ... to, if the sink does.
template <class T, class Sink>
ASSAY_INLINE void finish_rows(const Pass<T>& pass, Sink sink, int from, int to) {
  const Layer& layer = pass.plan->layer[0];
  if constexpr (Sink::applies)
    update_range(*pass.plan, *pass.trial, sink.g, sink.h, 1.0, layer.weight + int64_t{from} * layer.stride,
                 layer.weight + int64_t{to} * layer.stride);
}

template <class T, class Sink>
ASSAY_INLINE void dense_gradient(const Pass<T>& pass, const Batch& batch, Block block, Workspace<T>& space, const T* d,
                                 Sink sink) {
  const Layer& layer = pass.plan->layer[0];
  const Inputs<T>& inputs = *pass.inputs;
  const int stride = layer.stride;
  T* g = sink.g + layer.weight;
  const T* x = batch.rows ? space.gathered : inputs.dense + batch.row(block.first) * inputs.features;
  const int rows_at_once = Sink::applies ? 48 : layer.inputs;  // applied while they are in the cache
  for (int from = 0; from < layer.inputs; from += rows_at_once) {
    int to = from + rows_at_once < layer.inputs ? from + rows_at_once : layer.inputs;
    T* rows = g + from * int64_t{stride};
    matmul(to - from, stride, block.rows, x + from, 1, inputs.features, d, stride, rows, stride,
           Sink::applies ? static_cast<T*>(nullptr) : rows, stride);
    finish_rows(pass, sink, from, to);
  }
}

template <class T, class Sink>
ASSAY_INLINE void unsorted_gradient(const Pass<T>& pass, const Batch& batch, Block block, const T* d, const T* shared,
                                    Sink sink) {
  const Layer& layer = pass.plan->layer[0];
  const Inputs<T>& inputs = *pass.inputs;
  const int stride = layer.stride;
  T* g = sink.g + layer.weight;
  T* target = g;
  T scale = 1;
  if constexpr (Sink::applies) {
    const bool plain = pass.plan->optimizer == Optimizer::descent && sink.h.l1 == 0 && sink.h.l2 == 0;
    if (plain) {  // w -= rate x d, and only where x is not 0
      target = pass.trial->w + layer.weight;
      scale = -T(sink.h.learning_rate);
    } else {
      __builtin_memset(g, 0, layer.inputs * int64_t{stride} * sizeof(T));
    }
  }
  if (shared)
    for (int c = 0; c < layer.inputs; ++c)
      for (int u = 0; u < stride; u += LANES<T>)
        as_vector(target + c * int64_t{stride} + u) += scale * as_vector(shared + u);
  for (int i = 0; i < block.rows; ++i) {
    auto [columns, values, count] = sparse_row(inputs, batch.row(block.first + i));
    scatter_gradient(columns, values, count, d + i * int64_t{stride}, scale, stride, target);
  }
  if (target == g) finish_rows(pass, sink, 0, layer.inputs);
}

template <class T, class Sink>
void first_layer_gradient(const Pass<T>& pass, const Batch& batch, Block block, Workspace<T>& space, const T* d,
                          Sink sink) {
  const Inputs<T>& inputs = *pass.inputs;
  if (inputs.dense) return dense_gradient(pass, batch, block, space, d, sink);
  const T* shared = nullptr;  // sum over the examples of background d: a term of every input's gradient
  if (inputs.has_background) {
    const int stride = pass.plan->layer[0].stride;
    T backgrounds[BLOCK];
    for (int i = 0; i < block.rows; ++i) backgrounds[i] = inputs.background[batch.row(block.first + i)];
    for (int u = 0; u < stride; ++u) space.background_gradient[u] = 0;
    add_rows<T>(d, block.rows, stride, backgrounds, space.background_gradient);
    shared = space.background_gradient;
  }
  if (uses_sorted_pairs(pass, block)) return sorted_gradient(pass, block, space, d, shared, sink);
  unsorted_gradient(pass, batch, block, d, shared, sink);
}

// From `space.d`, d of the last layer, to the gradients of all layers.
template <class T, class Sink>
void backward(const Pass<T>& pass, const Batch& batch, Block block, Workspace<T>& space, Sink sink) {
  const Plan& plan = *pass.plan;
  T *d = space.d, *d_below = space.d_below;
  for (int l = plan.layers - 1; l >= 0; --l) {
    const Layer& layer = plan.layer[l];
    T *w = pass.trial->w + layer.weight, *g = sink.g + layer.weight, *bias = sink.g + layer.bias;
    if (Sink::applies) __builtin_memset(bias, 0, layer.stride * sizeof(T));
    add_rows<T>(d, block.rows, layer.stride, nullptr, bias);
    if (l > 0) {
      const Layer& below = plan.layer[l - 1];
      const int64_t count = block.rows * int64_t{below.stride};
      if (block.rows == 1) {
        for (int k = 0; k < layer.inputs; ++k) d_below[k] = dot(d, w + k * int64_t{layer.stride}, layer.stride);
        for (int k = layer.inputs; k < below.stride; ++k) d_below[k] = 0;
      } else {
        transpose(w, layer.inputs, layer.units, layer.stride, space.transposed, below.stride);
        matmul(block.rows, below.stride, layer.units, d, layer.stride, 1, space.transposed, below.stride, d_below,
               below.stride, static_cast<T*>(nullptr), 0);
      }
      matmul(layer.inputs, layer.stride, block.rows, space.out[l - 1], 1, below.stride, d, layer.stride, g,
             layer.stride, Sink::applies ? static_cast<T*>(nullptr) : g, layer.stride);
      if (below.dropout > 0)
        for (int64_t i = 0; i < count; ++i) d_below[i] *= space.mask[l - 1][i];
      with_activation(below.activation, [&](auto f) {
        multiply_by_derivative<decltype(f)>(space.z[l - 1], space.a[l - 1], d_below, count);
      });
    } else {
      first_layer_gradient(pass, batch, block, space, d, sink);
    }
    if constexpr (Sink::applies) {
      if (l > 0)
        update_range(plan, *pass.trial, sink.g, sink.h, 1.0, layer.weight,
                     layer.weight + layer.inputs * int64_t{layer.stride});
      update_range(plan, *pass.trial, sink.g, sink.h, 1.0, layer.bias, layer.bias + layer.stride);
    }
    T* swapped = d;
    d = d_below;
    d_below = swapped;
  }
}

}  // namespace assay::ASSAY_LEVEL
