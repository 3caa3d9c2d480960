// A split's examples in the form that the first layer reads: sparse if most inputs of an example have the same value,
// else dense.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "memory.hpp"
#include "plan.hpp"
#include "sorted_blocks.hpp"
#include "threads.hpp"

namespace assay {

// The value that more than half of the inputs have, if there is one (Boyer and Moore's majority vote), else 0.
template <class T>
T background_of(const T* x, int features) {
  T candidate = 0;
  int votes = 0, count = 0;
  for (int c = 0; c < features; ++c) {
    if (votes == 0) candidate = x[c];
    votes += x[c] == candidate ? 1 : -1;
  }
  for (int c = 0; c < features; ++c) count += x[c] == candidate;
  return 2 * count > features ? candidate : T(0);
}

template <class T>
class Examples {
 public:
  // Sparse storage costs about as much as dense if this fraction of the inputs differs from the background.
  static constexpr double MAX_SPARSE_DENSITY = 0.4;

  // Either `labels` or the `targets` of a regression; the other is null. Copies them, and sparse inputs. Dense inputs
  // stay in x: `inputs_owner` has to keep them alive.
  Examples(const T* x, const int32_t* labels, const T* targets, int64_t examples, int features, Pool& pool)
      : labels_(examples) {
    if (labels) std::copy(labels, labels + examples, labels_.begin());
    if (targets) targets_.assign(targets, targets + examples);
    view.examples = examples, view.features = features, view.labels = labels_.data(), view.dense = x;
    view.targets = targets ? targets_.data() : nullptr;
    std::vector<int32_t> counts(examples);
    background_.resize(examples);
    parallel_for(examples, ROWS_PER_TASK, pool, [&](int, int64_t from, int64_t to) {
      for (int64_t row = from; row < to; ++row) {
        const T* values = x + row * features;
        T background = background_of(values, features);
        int32_t count = 0;
        for (int c = 0; c < features; ++c) count += values[c] != background;
        background_[row] = background;
        counts[row] = count;
      }
    });
    offsets_.resize(examples + 1);
    for (int64_t row = 0; row < examples; ++row) {
      offsets_[row + 1] = offsets_[row] + counts[row];
      view.has_background = view.has_background || background_[row] != 0;
    }
    density = static_cast<double>(offsets_[examples]) / (static_cast<double>(examples) * features);
    if (density >= MAX_SPARSE_DENSITY || features > 65536) return;

    columns_.resize(offsets_[examples]);
    values_.resize(offsets_[examples]);
    parallel_for(examples, ROWS_PER_TASK, pool, [&](int, int64_t from, int64_t to) {
      for (int64_t row = from; row < to; ++row) {
        const T *values = x + row * features, background = background_[row];
        int64_t i = offsets_[row];
        for (int c = 0; c < features; ++c)
          if (values[c] != background) {
            columns_[i] = static_cast<uint16_t>(c);
            values_[i++] = values[c] - background;
          }
      }
    });
    view.dense = nullptr;
    view.offsets = offsets_.data();
    view.columns = columns_.data();
    view.values = values_.data();
    view.background = background_.data();
  }

  // Stores sparse inputs by pairs too, once.
  void build_pairs(Pool& pool) {
    std::lock_guard<std::mutex> lock(build_mutex_);
    if (view.dense || view.pair_offsets) return;
    pair_offsets_.resize(view.examples + 1);
    parallel_for(view.examples, ROWS_PER_TASK, pool, [&](int, int64_t from, int64_t to) {
      for (int64_t row = from; row < to; ++row) for_each_pair(row, [&](int, T, T) { ++pair_offsets_[row + 1]; });
    });
    for (int64_t row = 0; row < view.examples; ++row) pair_offsets_[row + 1] += pair_offsets_[row];
    pair_indices_.resize(pair_offsets_.back());
    pair_values_.resize(2 * pair_offsets_.back());
    parallel_for(view.examples, ROWS_PER_TASK, pool, [&](int, int64_t from, int64_t to) {
      for (int64_t row = from; row < to; ++row) {
        int64_t i = pair_offsets_[row];
        for_each_pair(row, [&](int pair, T first, T second) {
          pair_indices_[i] = static_cast<uint16_t>(pair);
          pair_values_[2 * i] = first;
          pair_values_[2 * i++ + 1] = second;
        });
      }
    });
    view.pair_offsets = pair_offsets_.data();
    view.pair_indices = pair_indices_.data();
    view.pair_values = pair_values_.data();
  }

  // The sparse inputs sorted by blocks from the first example on; they are sorted at the first call.
  const SortedBlocks<T>* sorted_blocks(Pool& pool) {
    std::lock_guard<std::mutex> lock(build_mutex_);
    if (!blocks_.view.starts)
      blocks_.sort(*this, (view.examples + BLOCK - 1) / BLOCK, pool, [&](int64_t b) {
        const int64_t left = view.examples - b * BLOCK;
        return Batch{nullptr, b * BLOCK, static_cast<int>(std::min(left, int64_t{BLOCK})), nullptr, -1};
      });
    return &blocks_.view;
  }

  // Calls body(pair, first value, second value) for each of a row's pairs.
  template <class Body>
  void for_each_pair(int64_t row, Body body) const {
    if (view.pair_offsets) {
      for (int64_t i = pair_offsets_[row]; i < pair_offsets_[row + 1]; ++i)
        body(pair_indices_[i], pair_values_[2 * i], pair_values_[2 * i + 1]);
      return;
    }
    for (int64_t i = offsets_[row], end = offsets_[row + 1]; i < end;) {
      const int pair = columns_[i] / 2;
      T values[2] = {};
      for (; i < end && columns_[i] / 2 == pair; ++i) values[columns_[i] % 2] = values_[i];
      body(pair, values[0], values[1]);
    }
  }

  int64_t bytes() const {
    return (columns_.size() + pair_indices_.size()) * sizeof(uint16_t) +
           (values_.size() + background_.size() + pair_values_.size() + targets_.size()) * sizeof(T) +
           (offsets_.size() + pair_offsets_.size()) * sizeof(int64_t) + labels_.size() * sizeof(int32_t) +
           blocks_.bytes();
  }

  Inputs<T> view{};
  std::shared_ptr<const void> inputs_owner;  // null if nothing is borrowed
  double density = 1;                        // the fraction of inputs that differ from their background

 private:
  static constexpr int64_t ROWS_PER_TASK = 512;  // examples

  std::mutex build_mutex_;
  std::vector<int32_t> labels_;
  std::vector<T> targets_;
  AlignedVector<int64_t> offsets_, pair_offsets_;
  AlignedVector<uint16_t> columns_, pair_indices_;
  AlignedVector<T> values_, background_, pair_values_;
  BlockSorter<T> blocks_;
};

}  // namespace assay
