// One iteration: examples forward, their gradient backward, the weights one step on.
#pragma once

#include <atomic>

#include "functions.hpp"
#include "layers.hpp"
#include "losses.hpp"
#include "rules.hpp"

namespace assay::ASSAY_LEVEL {

// --- which examples ---

template <class T>
struct Example {
  const uint16_t* columns;  // or pairs of them
  const T* values;
  int count;
};

template <class T>
ASSAY_INLINE Example<T> example(const Inputs<T>& inputs, int64_t row) {
  int64_t from = inputs.offsets[row];
  return {inputs.columns + from, inputs.values + from, static_cast<int>(inputs.offsets[row + 1] - from)};
}

template <class T>
ASSAY_INLINE Example<T> paired_example(const Inputs<T>& inputs, int64_t row) {
  int64_t from = inputs.pair_offsets[row];
  return {inputs.pair_places + from, inputs.pair_values + 2 * from,
          static_cast<int>(inputs.pair_offsets[row + 1] - from)};
}

// Fetches an example into the cache.
template <class T>
ASSAY_INLINE void prefetch(const Inputs<T>& inputs, int64_t row, bool paired) {
  auto [columns, values, count] = paired ? paired_example(inputs, row) : example(inputs, row);
  for (int b = 0; b < count; b += 64 / int{sizeof(uint16_t)}) __builtin_prefetch(columns + b);
  if (paired) count *= 2;
  for (int b = 0; b < count; b += 64 / int{sizeof(T)}) __builtin_prefetch(values + b);
}

// Fetches the example at the same place of the next batch: batches lie anywhere in a memory larger than the caches. Of
// one that is taken by pairs only where these lie, for `sort_pairs` fetches them when their turn is near.
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

// --- dropout ---

ASSAY_INLINE uint64_t mixed(uint64_t x) {  // the finaliser of SplitMix64 (Steele, Lea, Flood 2014)
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// 0 with probability `rate`, else 1 / (1 - rate), for examples first ... of the batch: a number is a function of the
// trial's key, the iteration, the layer, the example's place in the batch and the unit, whatever thread asks.
template <class T>
void make_mask(const Layer& layer, uint64_t key, uint64_t t, int first, int rows, T* mask) {
  const uint64_t stream = mixed(key + t * 0x9E3779B97F4A7C15u);
  const uint64_t threshold = static_cast<uint64_t>(layer.dropout * 0x1p53);
  const T kept = T(1.0 / (1.0 - layer.dropout));
  for (int r = 0; r < rows; ++r)
    for (int u = 0; u < layer.stride; ++u) {
      uint64_t place = static_cast<uint64_t>(first + r) * layer.stride + u;
      mask[r * int64_t{layer.stride} + u] = mixed(stream + place * 0x9E3779B97F4A7C15u) >> 11 >= threshold ? kept : T(0);
    }
}

// --- the first layer's sparse inputs ---

// A block of a batch: examples first ... first + rows - 1 of it.
struct Block {
  int first, rows;
};

// Whether the block's inputs are sorted by their place, for two rows of weights and their gradients then stay in
// registers while all examples pass. Where that is not done already, it costs more than it saves with few units or
// examples.
template <class T>
ASSAY_INLINE bool sorted(const Step<T>& step, Block block) {
  const bool pays = step.plan->layer[0].stride >= PAIRED_FROM<T> && block.rows >= SORTED_FROM;
  return step.blocks || (pays && step.inputs->pair_offsets);
}

// Each place has room for one pair of each example.
template <class T>
__attribute__((noinline)) void sort_pairs(const Inputs<T>& inputs, const Batch& batch, Block block,
                                          Workspace<T>& space) {  // by itself it keeps its values in registers
  int32_t* __restrict counts = space.pair_counts;
  Entry<T>* __restrict entries = space.entries;
  __builtin_memset(counts, 0, inputs.pairs() * sizeof *counts);
  for (int i = 0; i < AHEAD && i < block.rows; ++i) prefetch(inputs, batch.row(block.first + i), true);
  for (int i = 0; i < block.rows; ++i) {
    if (i + AHEAD < block.rows) prefetch(inputs, batch.row(block.first + i + AHEAD), true);
    auto [places, values, count] = paired_example(inputs, batch.row(block.first + i));
    for (int e = 0; e < count; ++e) {
      const int place = places[e];
      entries[place * block.rows + counts[place]++] = {values[2 * e], values[2 * e + 1], i};
    }
  }
  space.sorted = {entries, counts, block.rows};
}

// Calls `body` with a pair's place, its two inputs, its entries and their number. Where the number of inputs is odd,
// the last one stands for the second too, whose values are 0.
template <class T, class Body>
ASSAY_INLINE void over_pairs(const Inputs<T>& inputs, const SortedBlock<T>& sorted, Body body) {
  const Entry<T>* entries = sorted.entries;
  for (int k = 0; k < inputs.pairs(); ++k) {
    const int count = sorted.counts[k];
    body(k, 2 * k, 2 * k + 1 < inputs.features ? 2 * k + 1 : 2 * k, entries, count);
    entries += sorted.room ? sorted.room : count;
  }
}

// Calls `body` with the number of vectors, the place and the packed rows of each panel of the first layer's units.
template <class T, class Body>
ASSAY_INLINE void packed_panels(int stride, int rows, Workspace<T>& space, Body body) {
  panels<T, 4>(stride, [&](auto wide, int place) { body(wide, place, space.packed + int64_t{place} * rows); });
}

// --- forward ---

template <class T>
void first_layer(const Step<T>& step, const Batch& batch, Block block, Workspace<T>& space) {
  const Layer& layer = step.plan->layer[0];
  const Inputs<T>& inputs = *step.inputs;
  const T *w = step.trial->w + layer.weight, *bias = step.trial->w + layer.bias;
  if (inputs.dense) {
    const T* x = inputs.dense + batch.row(block.first) * inputs.features;
    if (batch.rows) {
      for (int i = 0; i < block.rows; ++i)
        __builtin_memcpy(space.gathered + i * int64_t{inputs.features},
                         inputs.dense + batch.row(block.first + i) * inputs.features, inputs.features * sizeof(T));
      x = space.gathered;
    }
    product(block.rows, layer.stride, layer.inputs, x, inputs.features, 1, w, layer.stride, space.z[0], layer.stride,
            bias, 0);
    return;
  }
  const bool sorts = sorted(step, block);
  // W x = W (x - b) + b (sum of W's rows), b the example's background: z begins with the bias and the second term
  auto begin = [&](int i, int place, int width, T* z) {
    const T background = inputs.has_background ? inputs.background[batch.row(block.first + i)] : T(0);
    for (int u = 0; u < width; u += LANES<T>)
      at(z + u) = inputs.has_background ? at(bias + place + u) + background * at(space.column_sums + place + u)
                                        : at(bias + place + u);
  };
  if (!step.blocks)
    for (int i = 0; i < block.rows; ++i) prefetch(inputs, batch, block.first + i, sorts);
  if (sorts) {
    if (!step.blocks) sort_pairs(inputs, batch, block, space);
    packed_panels<T>(layer.stride, block.rows, space, [&](auto wide, int place, T* packed) {
      constexpr int width = wide * LANES<T>;
      for (int i = 0; i < block.rows; ++i) begin(i, place, width, packed + i * width);
      over_pairs(inputs, space.sorted, [&](int, int c0, int c1, const Entry<T>* entries, int count) {
        if (count)
          pair_forward<T, wide>(entries, count, w + c0 * int64_t{layer.stride} + place,
                                w + c1 * int64_t{layer.stride} + place, packed);
      });
      for (int i = 0; i < block.rows; ++i)
        __builtin_memcpy(space.z[0] + i * int64_t{layer.stride} + place, packed + i * width, width * sizeof(T));
    });
    return;
  }
  for (int i = 0; i < block.rows; ++i) begin(i, 0, layer.stride, space.z[0] + i * int64_t{layer.stride});
  // panel by panel: the weights of one stay in the cache for all examples of the block
  panels<T, 8>(layer.stride, [&](auto wide, int place) {
    for (int i = 0; i < block.rows; ++i) {
      auto [columns, values, count] = example(inputs, batch.row(block.first + i));
      sparse_forward<T, wide>(columns, values, count, w + place, layer.stride,
                              space.z[0] + i * int64_t{layer.stride} + place);
    }
  });
}

// What every block of an iteration needs and the weights decide.
template <class T>
void before_blocks(const Step<T>& step, Workspace<T>& space) {
  const Layer& layer = step.plan->layer[0];
  if (step.inputs->dense || !step.inputs->has_background) return;
  for (int u = 0; u < layer.stride; ++u) space.column_sums[u] = 0;
  add_rows<T>(step.trial->w + layer.weight, layer.inputs, layer.stride, nullptr, space.column_sums);
}

// Fills z, a and, where it is in training, the masks and what comes after them, up to the last layer's z.
template <class T>
void forward(const Step<T>& step, const Batch& batch, Block block, Workspace<T>& space, bool training) {
  const Plan& plan = *step.plan;
  first_layer(step, batch, block, space);
  for (int l = 0; l < plan.layers; ++l) {
    const Layer& layer = plan.layer[l];
    const int64_t count = block.rows * int64_t{layer.stride};
    if (l > 0) {
      const Layer& below = plan.layer[l - 1];
      const T* x = training ? space.out[l - 1] : space.a[l - 1];
      product(block.rows, layer.stride, layer.inputs, x, below.stride, 1, step.trial->w + layer.weight, layer.stride,
              space.z[l], layer.stride, step.trial->w + layer.bias, 0);
    }
    if (l == plan.layers - 1) return;
    with(layer.activation, [&](auto f) { forward_of<decltype(f)>(space.z[l], space.a[l], count); });
    if (training && layer.dropout > 0) {
      make_mask(layer, step.trial->dropout_key[l], step.t, block.first, block.rows, space.mask[l]);
      for (int64_t i = 0; i < count; ++i) space.out[l][i] = space.a[l][i] * space.mask[l][i];
    }
  }
}

// Calls `body` with groups of the block's examples, the first one's place and their outputs made: a line of examples at
// a time, or one where there are few.
template <class T, class Body>
ASSAY_INLINE void over_groups(const Step<T>& step, const Batch& batch, Block block, Workspace<T>& space, Body body) {
  const Plan& plan = *step.plan;
  const int stride = plan.last().stride, top = plan.layers - 1;
  auto run = [&](auto group, int first) ASSAY_INLINED {
    for (int j = 0; j < group.count; ++j) group.y[j] = step.inputs->labels[batch.row(block.first + first + j)];
    group.output(plan.output);
    body(group, first);
  };
  if (block.rows < FEW)
    for (int i = 0; i < block.rows; ++i) {
      const int64_t place = i * int64_t{stride};
      run(Group<T, 1>{space.z[top] + place, space.a[top] + place, space.d + place, plan.classes, 1, {}}, i);
    }
  else
    for (int i = 0; i < block.rows; i += LINE<T>) {
      const int count = block.rows - i < LINE<T> ? block.rows - i : LINE<T>;
      T *z = space.d_before, *d = z + stride * LINE<T>;  // there is room for BLOCK rows
      Group<T, LINE<T>> group{z, space.a[top], d, plan.classes, count, {}};
      group.take(space.z[top] + i * int64_t{stride}, stride, z);
      run(group, i);
    }
}

// The block's summed loss, and d = dL/dz of the last layer, divided by the batch's size; the dead units get 0.
template <class T>
double losses(const Step<T>& step, const Batch& batch, Block block, Workspace<T>& space) {
  const Plan& plan = *step.plan;
  const int stride = plan.last().stride;
  const T scale = T(1.0 / batch.size);
  double total = 0;
  over_groups(step, batch, block, space, [&]<int W>(Group<T, W>& group, int first) ASSAY_INLINED {
    double each[W];
    group.loss(plan.loss, T(plan.epsilon), each);
    for (int j = 0; j < group.count; ++j) total += each[j];
    group.backward(plan.output, scale, stride);
    if constexpr (W > 1) group.give(group.d, space.d + first * int64_t{stride}, stride);
  });
  return total;
}

// --- update ---

template <class T>
ASSAY_INLINE Penalty<T> weight_penalty(const Numbers& h, double scale) {
  return {T(h.l1), T(h.l2), T(scale), T(1 - h.learning_rate * h.weight_decay)};
}

template <class T>
ASSAY_INLINE Penalty<T> bias_penalty(const Plan& plan, const Numbers& h, double scale) {
  const bool too = plan.penalise_biases;
  return {too ? T(h.l1) : T(0), too ? T(h.l2) : T(0), T(scale), T(1)};
}

// The elements from `place` on one step further, by their gradients g.
template <class Rule, class T>
ASSAY_INLINE void update_run(const Rule& rule, const Penalty<T>& penalty, const Trial<T>& trial, int64_t place,
                             const T* g, int64_t count) {
  T *s = trial.slots[0] ? trial.slots[0] + place : nullptr, *u = trial.slots[1] ? trial.slots[1] + place : nullptr;
  if (penalty.none())
    move<Rule, true>(rule, penalty, trial.w + place, g, s, u, count);
  else
    move<Rule, false>(rule, penalty, trial.w + place, g, s, u, count);
}

// Weights of inputs that a batch has none of keep still under a rule that `rests`, and their state is a power of
// `shrink` times what it was: it is multiplied as often as it would have been, when it is needed or somebody looks.
template <class Rule, class T>
ASSAY_INLINE void make_up(const Rule& rule, const Layer& layer, int features, const Trial<T>& trial, int pair) {
  const int times = trial.idle[pair];
  if (times == 0) return;
  trial.idle[pair] = 0;
  if constexpr (Rule::rests && Rule::slots > 0) {
    const T shrink = rule.shrink();
    if (shrink == 1) return;
    const int rows = 2 * pair + 1 < features ? 2 : 1;
    const int64_t from = layer.weight + int64_t{2} * pair * layer.stride, count = rows * int64_t{layer.stride};
    for (int slot = 0; slot < Rule::slots; ++slot)
      for (int64_t i = from; i < from + count; i += LINE<T>) {
        Vector<T> state[LINE<T> / LANES<T>];
        T total = 0;
        for (int v = 0; v < LINE<T> / LANES<T>; ++v) {
          state[v] = at(trial.slots[slot] + i + v * LANES<T>);
          total += sum<T>(state[v]);
        }
        if (total == 0) continue;  // they are squares' means: none is below 0
        for (int n = 0; n < times; ++n)
          for (int v = 0; v < LINE<T> / LANES<T>; ++v) state[v] *= shrink;
        for (int v = 0; v < LINE<T> / LANES<T>; ++v) at(trial.slots[slot] + i + v * LANES<T>) = state[v];
      }
  }
}

template <class T>
void settle(const Plan& plan, const Trial<T>& trial, const Numbers& numbers, int pairs) {
  with_rule<T>(plan.rule, numbers, [&](const auto& rule) {
    for (int k = 0; k < pairs; ++k) make_up(rule, plan.layer[0], plan.layer[0].inputs, trial, k);
  });
}

template <class T>
void update_range(const Plan& plan, const Trial<T>& trial, const T* g, const Numbers& h, double scale, int64_t from,
                  int64_t to) {
  with_rule<T>(plan.rule, h, [&](const auto& rule) {
    auto run = [&](int64_t first, int64_t end, const Penalty<T>& penalty) {
      if (first < end) update_run(rule, penalty, trial, first, g + first, end - first);
    };
    run(from, to < plan.weights ? to : plan.weights, weight_penalty<T>(h, scale));
    run(from > plan.weights ? from : plan.weights, to, bias_penalty<T>(plan, h, scale));
  });
}

// --- backward ---

// Where a gradient goes: into `g` for later, or at once into the weights.
template <class T>
struct Later {
  static constexpr bool at_once = false;
  T* g;
};
template <class T>
struct AtOnce {
  static constexpr bool at_once = true;
  T* g;  // room on the way
  const Numbers& numbers;
};

template <class T, class Sink>
void sorted_gradient(const Step<T>& step, Block block, Workspace<T>& space, const T* d, const T* shared, Sink sink) {
  const Plan& plan = *step.plan;
  const Layer& layer = plan.layer[0];
  const Inputs<T>& inputs = *step.inputs;
  const int64_t stride = layer.stride;
  packed_panels<T>(layer.stride, block.rows, space, [&](auto wide, int place, T* packed) {
    constexpr int width = wide * LANES<T>;
    for (int i = 0; i < block.rows; ++i)
      __builtin_memcpy(packed + i * width, d + i * stride + place, width * sizeof(T));
  });
  if constexpr (!Sink::at_once) {
    T* g = sink.g + layer.weight;
    if (shared)
      for (int c = 0; c < layer.inputs; ++c) add_rows<T>(shared, 1, layer.stride, nullptr, g + c * stride);
    packed_panels<T>(layer.stride, block.rows, space, [&](auto wide, int place, const T* packed) {
      over_pairs(inputs, space.sorted, [&](int, int c0, int c1, const Entry<T>* entries, int count) {
        if (!count) return;
        alignas(ALIGNMENT) T none[wide * LANES<T>];
        T *g0 = g + c0 * stride + place, *g1 = c1 > c0 ? g + c1 * stride + place : none;
        pair_gradient<T, wide>(entries, count, packed, g0, c1 > c0 ? g1 : nullptr, g0, g1);
      });
    });
  } else {
    const Penalty<T> penalty = weight_penalty<T>(sink.numbers, 1.0);
    with_rule<T>(plan.rule, sink.numbers, [&](const auto& rule) {
      const bool lazy = std::decay_t<decltype(rule)>::rests && penalty.none() && !shared;
      if (lazy)
        over_pairs(inputs, space.sorted, [&](int k, int, int, const Entry<T>*, int count) {
          if (count)
            make_up(rule, layer, inputs.features, *step.trial, k);
          else
            ++step.trial->idle[k];
        });
      over_pairs(inputs, space.sorted, [&](int, int c0, int c1, const Entry<T>* entries, int count) {
        if (lazy && !count) return;
        if (shared && !count) {  // it is their whole gradient
          for (int c = c0; c <= c1; ++c)
            update_run(rule, penalty, *step.trial, layer.weight + c * stride, shared, stride);
          return;
        }
        packed_panels<T>(layer.stride, block.rows, space, [&](auto wide, int place, const T* packed) {
          const T* start = shared ? shared + place : nullptr;
          T* g = space.pair_gradient + place;
          pair_gradient<T, wide>(entries, count, packed, start, start, g, g + stride);
        });
        update_run(rule, penalty, *step.trial, layer.weight + c0 * stride, space.pair_gradient, (1 + c1 - c0) * stride);
      });
    });
  }
}

template <class T, class Sink>
void first_gradient(const Step<T>& step, const Batch& batch, Block block, Workspace<T>& space, const T* d, Sink sink) {
  const Plan& plan = *step.plan;
  const Layer& layer = plan.layer[0];
  const Inputs<T>& inputs = *step.inputs;
  const int stride = layer.stride;
  T *g = sink.g + layer.weight, *w = step.trial->w + layer.weight;
  auto finish = [&](int from, int to) {
    if constexpr (Sink::at_once)
      update_range(plan, *step.trial, sink.g, sink.numbers, 1.0, layer.weight + int64_t{from} * stride,
                   layer.weight + int64_t{to} * stride);
  };

  if (inputs.dense) {
    const T* x = batch.rows ? space.gathered : inputs.dense + batch.row(block.first) * inputs.features;
    int group = Sink::at_once ? 48 : layer.inputs;
    for (int from = 0; from < layer.inputs; from += group) {
      int to = from + group < layer.inputs ? from + group : layer.inputs;
      T* rows = g + from * int64_t{stride};
      product(to - from, stride, block.rows, x + from, 1, inputs.features, d, stride, rows, stride,
              Sink::at_once ? static_cast<T*>(nullptr) : rows, stride);
      finish(from, to);
    }
    return;
  }

  const T* shared = nullptr;  // sum over the examples of background d: every input's gradient has it
  if (inputs.has_background) {
    T backgrounds[BLOCK];
    for (int i = 0; i < block.rows; ++i) backgrounds[i] = inputs.background[batch.row(block.first + i)];
    for (int u = 0; u < stride; ++u) space.shared[u] = 0;
    add_rows<T>(d, block.rows, stride, backgrounds, space.shared);
    shared = space.shared;
  }

  if (sorted(step, block)) {
    sorted_gradient(step, block, space, d, shared, sink);
    return;
  }

  T* target = g;
  T scale = 1;
  if constexpr (Sink::at_once) {
    const Numbers& h = sink.numbers;
    if (plan.rule == RuleName::descent && h.l1 == 0 && h.l2 == 0) {  // w -= rate x d, and only where x is not 0
      target = w;
      scale = -T(h.learning_rate);
    } else {
      __builtin_memset(g, 0, layer.inputs * int64_t{stride} * sizeof(T));
    }
  }
  if (shared)
    for (int c = 0; c < layer.inputs; ++c)
      for (int u = 0; u < stride; u += LANES<T>) at(target + c * int64_t{stride} + u) += scale * at(shared + u);
  for (int i = 0; i < block.rows; ++i) {
    auto [columns, values, count] = example(inputs, batch.row(block.first + i));
    scatter(columns, values, count, d + i * int64_t{stride}, scale, stride, target);
  }
  if (target == g) finish(0, layer.inputs);
}

// From d of the last layer to every layer's gradient.
template <class T, class Sink>
void backward(const Step<T>& step, const Batch& batch, Block block, Workspace<T>& space, Sink sink) {
  const Plan& plan = *step.plan;
  T *d = space.d, *d_before = space.d_before;
  for (int l = plan.layers - 1; l >= 0; --l) {
    const Layer& layer = plan.layer[l];
    T *w = step.trial->w + layer.weight, *g = sink.g + layer.weight, *bias = sink.g + layer.bias;
    if (Sink::at_once) __builtin_memset(bias, 0, layer.stride * sizeof(T));
    add_rows<T>(d, block.rows, layer.stride, nullptr, bias);
    if (l > 0) {
      const Layer& below = plan.layer[l - 1];
      const int64_t count = block.rows * int64_t{below.stride};
      if (block.rows == 1) {
        for (int k = 0; k < layer.inputs; ++k) d_before[k] = dot(d, w + k * int64_t{layer.stride}, layer.stride);
        for (int k = layer.inputs; k < below.stride; ++k) d_before[k] = 0;
      } else {
        transpose(w, layer.inputs, layer.units, layer.stride, space.transposed, below.stride);
        product(block.rows, below.stride, layer.units, d, layer.stride, 1, space.transposed, below.stride, d_before,
                below.stride, static_cast<T*>(nullptr), 0);
      }
      product(layer.inputs, layer.stride, block.rows, space.out[l - 1], 1, below.stride, d, layer.stride, g,
              layer.stride, Sink::at_once ? static_cast<T*>(nullptr) : g, layer.stride);
      if (below.dropout > 0)
        for (int64_t i = 0; i < count; ++i) d_before[i] *= space.mask[l - 1][i];
      with(below.activation,
           [&](auto f) { backward_of<decltype(f)>(space.z[l - 1], space.a[l - 1], d_before, count); });
    } else {
      first_gradient(step, batch, block, space, d, sink);
    }
    if constexpr (Sink::at_once) {
      if (l > 0)
        update_range(plan, *step.trial, sink.g, sink.numbers, 1.0, layer.weight,
                     layer.weight + layer.inputs * int64_t{layer.stride});
      update_range(plan, *step.trial, sink.g, sink.numbers, 1.0, layer.bias, layer.bias + layer.stride);
    }
    T* other = d;
    d = d_before;
    d_before = other;
  }
}

// --- what the kernel offers ---

template <class T>
double step(const Step<T>& step, const Numbers& numbers, Workspace<T>& space) {
  Block block{0, step.batch.size};
  if (step.trial->idle && !sorted(step, block))
    settle(*step.plan, *step.trial, numbers, step.inputs->pairs());
  if (step.blocks) space.sorted = step.blocks->at(step.block);
  before_blocks(step, space);
  forward(step, step.batch, block, space, true);
  double loss = losses(step, step.batch, block, space) / step.batch.size;
  if (loss - loss == 0) backward(step, step.batch, block, space, AtOnce<T>{space.g, numbers});  // else not finite
  return loss;
}

template <class T>
double part(const Step<T>& step, int part, int parts, Workspace<T>& space, T* g) {
  const int size = step.batch.size;
  const int first = static_cast<int>(part_start(size, part, parts));
  const int end = static_cast<int>(part_start(size, part + 1, parts));
  double loss = 0;
  before_blocks(step, space);
  for (int at = first; at < end && !step.cancelled->load(std::memory_order_relaxed); at += BLOCK) {
    Block block{at, end - at < BLOCK ? end - at : BLOCK};
    if (step.blocks) space.sorted = step.blocks->at(step.block + (at - first) / BLOCK);
    forward(step, step.batch, block, space, true);
    loss += losses(step, step.batch, block, space);
    backward(step, step.batch, block, space, Later<T>{g});
  }
  return loss;
}

template <class T>
void sum_parts(const Plan& plan, T* g, int parts, int64_t from, int64_t to) {
  for (int p = 1; p < parts; ++p)
    for (int64_t i = from; i < to; i += LANES<T>) at(g + i) += at(g + p * plan.size + i);
}

template <class T>
double squares(const Plan& plan, const Trial<T>& trial, const T* g, const Numbers& h) {
  double total = 0;
  auto add = [&](int64_t from, int64_t to, Penalty<T> penalty) {
    for (int64_t i = from; i < to; i += LINE<T>) {
      T line = 0;
      for (int j = 0; j < LINE<T>; ++j) {
        T x = penalty.of(g[i + j], trial.w[i + j]);
        line += x * x;
      }
      total += line;
    }
  };
  add(0, plan.weights, weight_penalty<T>(h, 1.0));
  add(plan.weights, plan.size, bias_penalty<T>(plan, h, 1.0));
  return total;
}

// Calls `body` with groups of `count` examples from `first` on, without dropout, and the row of each one's first.
template <class T, class Body>
ASSAY_INLINE void over_outputs(const Step<T>& step, int64_t first, int64_t count, Workspace<T>& space, Body body) {
  before_blocks(step, space);
  for (int64_t from = first, end = first + count; from < end; from += BLOCK) {
    Batch batch{nullptr, from, static_cast<int>(end - from < BLOCK ? end - from : BLOCK), nullptr, -1};
    Block block{0, batch.size};
    if (step.blocks) space.sorted = step.blocks->at(step.block + (from - first) / BLOCK);
    forward(step, batch, block, space, false);
    over_groups(step, batch, block, space, [&](auto& group, int i) ASSAY_INLINED { body(group, from + i); });
  }
}

template <class T>
void evaluate(const Step<T>& step, int64_t first, int64_t count, Workspace<T>& space, double* loss, int64_t* right) {
  const Plan& plan = *step.plan;
  over_outputs(step, first, count, space, [&]<int W>(Group<T, W>& group, int64_t) ASSAY_INLINED {
    double each[W];
    int best[W];
    group.loss(plan.loss, T(plan.epsilon), each);
    group.best(best);
    for (int j = 0; j < group.count; ++j) *loss += each[j], *right += best[j] == group.y[j];
  });
}

template <class T>
void outputs(const Step<T>& step, int64_t first, int64_t count, Workspace<T>& space, T* result) {
  const int classes = step.plan->classes, stride = step.plan->last().stride;
  over_outputs(step, first, count, space, [&]<int W>(Group<T, W>& group, int64_t row) {
    const T* rows = group.a;
    if constexpr (W > 1) group.give(group.a, space.d, stride), rows = space.d;
    for (int j = 0; j < group.count; ++j)
      __builtin_memcpy(result + (row - first + j) * classes, rows + j * int64_t{stride}, classes * sizeof(T));
  });
}

}  // namespace assay::ASSAY_LEVEL
