// The functions of the kernel: iterations of training, whole or in parts, and evaluation. `Kernel` in plan.hpp
// describes them.
#pragma once

#include "backward.hpp"
#include "forward.hpp"
#include "update.hpp"

namespace assay::ASSAY_LEVEL {

template <class T>
double iterate(const Pass<T>& pass, const Hyperparameters& h, Workspace<T>& space) {
  Block block{0, pass.batch.size};
  if (pass.trial->pending_updates && !uses_sorted_pairs(pass, block))
    flush_lazy(*pass.plan, *pass.trial, h, pass.inputs->pairs());
  if (pass.blocks) space.sorted = pass.blocks->at(pass.block);
  compute_column_sums(pass, space);
  forward(pass, pass.batch, block, space, true);
  double loss = block_loss(pass, pass.batch, block, space) / pass.batch.size;
  const bool finite = loss - loss == 0;
  if (finite) backward(pass, pass.batch, block, space, Apply<T>{space.g, h});
  return loss;
}

template <class T>
double part_gradient(const Pass<T>& pass, int part, int parts, Workspace<T>& space, T* g) {
  const int size = pass.batch.size;
  const int first = static_cast<int>(part_start(size, part, parts));
  const int end = static_cast<int>(part_start(size, part + 1, parts));
  double loss = 0;
  compute_column_sums(pass, space);
  for (int start = first; start < end && !pass.cancelled->is_set(); start += BLOCK) {
    Block block{start, end - start < BLOCK ? end - start : BLOCK};
    if (pass.blocks) space.sorted = pass.blocks->at(pass.block + (start - first) / BLOCK);
    forward(pass, pass.batch, block, space, true);
    loss += block_loss(pass, pass.batch, block, space);
    backward(pass, pass.batch, block, space, Accumulate<T>{g});
  }
  return loss;
}

template <class T>
void sum_gradients(const Plan& plan, T* g, int parts, int64_t from, int64_t to) {
  for (int p = 1; p < parts; ++p)
    for (int64_t i = from; i < to; i += LANES<T>) as_vector(g + i) += as_vector(g + p * plan.size + i);
}

template <class T>
double squared_norm(const Plan& plan, const Trial<T>& trial, const T* g, const Hyperparameters& h) {
  Hyperparameters clipped = h;
  if (!plan.clips_objective) clipped.l1 = clipped.l2 = 0;
  double total = 0;
  auto add = [&](int64_t from, int64_t to, Penalty<T> penalty) {
    for (int64_t i = from; i < to; i += LINE<T>) {
      T line = 0;
      for (int j = 0; j < LINE<T>; ++j) {
        T x = penalty.add_to(g[i + j], trial.w[i + j]);
        line += x * x;
      }
      total += line;
    }
  };
  add(0, plan.weights, weight_penalty<T>(clipped, 1.0));
  add(plan.weights, plan.size, bias_penalty<T>(plan, clipped, 1.0));
  return total;
}

// Runs `count` examples from `first` on through the network, without dropout; calls body(batch, block) for each block.
template <class T, class Body>
ASSAY_INLINE void for_each_evaluated_block(const Pass<T>& pass, int64_t first, int64_t count, Workspace<T>& space,
                                           Body body) {
  compute_column_sums(pass, space);
  for (int64_t from = first, end = first + count; from < end; from += BLOCK) {
    Batch batch{nullptr, from, static_cast<int>(end - from < BLOCK ? end - from : BLOCK), nullptr, -1};
    Block block{0, batch.size};
    if (pass.blocks) space.sorted = pass.blocks->at(pass.block + (from - first) / BLOCK);
    forward(pass, batch, block, space, false);
    body(batch, block);
  }
}

// Computes their outputs; calls body(group, its first example).
template <class T, class Body>
ASSAY_INLINE void for_each_output_group(const Pass<T>& pass, int64_t first, int64_t count, Workspace<T>& space,
                                        Body body) {
  for_each_evaluated_block(pass, first, count, space, [&](const Batch& batch, Block block) ASSAY_INLINED {
    for_each_group(pass, batch, block, space, [&](auto& group, int i) ASSAY_INLINED { body(group, batch.start + i); });
  });
}

template <class T>
void evaluate(const Pass<T>& pass, int64_t first, int64_t count, Workspace<T>& space, double* loss, int64_t* correct) {
  const Plan& plan = *pass.plan;
  for_each_output_group(pass, first, count, space, [&]<int W>(Group<T, W>& group, int64_t) ASSAY_INLINED {
    double losses[W] = {};
    int predicted[W];
    group.loss(plan.loss, T(plan.epsilon), losses);
    group.argmax(predicted);
    for (int j = 0; j < group.count; ++j) *loss += losses[j], *correct += predicted[j] == group.y[j];
  });
}

// Of a regression. A function of its own for the same reason as `target_loss`.
template <class T>
void evaluate_targets(const Pass<T>& pass, int64_t first, int64_t count, Workspace<T>& space, double* loss,
                      int64_t* correct) {
  for_each_evaluated_block(pass, first, count, space, [&](const Batch& batch, Block block) ASSAY_INLINED {
    *loss += target_loss(pass, batch, block, space, false);
  });
  *correct += count;  // the largest of one output is the first
}

template <class T>
void outputs(const Pass<T>& pass, int64_t first, int64_t count, Workspace<T>& space, T* result) {
  const int classes = pass.plan->classes, stride = pass.plan->last().stride;
  for_each_output_group(pass, first, count, space, [&]<int W>(Group<T, W>& group, int64_t row) {
    const T* rows = group.a;
    if constexpr (W > 1) group.to_rows(group.a, space.d, stride), rows = space.d;
    for (int j = 0; j < group.count; ++j)
      __builtin_memcpy(result + (row - first + j) * classes, rows + j * int64_t{stride}, classes * sizeof(T));
  });
}

}  // namespace assay::ASSAY_LEVEL
