// A split's examples in the form that the first layer reads: sparse where most inputs share a value, else dense.
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <vector>

#include "memory.hpp"
#include "plan.hpp"
#include "sorting.hpp"
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
  // Sparse storage costs about as much as dense where this share of the inputs differs from the background.
  static constexpr double SPARSE_BELOW = 0.4;

  Examples(const T* x, const int32_t* labels, int64_t examples, int features, Pool& pool)
      : labels_(labels, labels + examples) {
    view.examples = examples, view.features = features, view.labels = labels_.data(), view.dense = x;
    std::vector<int32_t> counts(examples);
    background_.resize(examples);
    in_slices(examples, SLICE, pool, [&](int64_t from, int64_t to) {
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
    share = static_cast<double>(offsets_[examples]) / (static_cast<double>(examples) * features);
    if (share >= SPARSE_BELOW || features > 65536) return;

    columns_.resize(offsets_[examples]);
    values_.resize(offsets_[examples]);
    in_slices(examples, SLICE, pool, [&](int64_t from, int64_t to) {
      for (int64_t row = from; row < to; ++row) {
        const T *values = x + row * features, background = background_[row];
        int64_t place = offsets_[row];
        for (int c = 0; c < features; ++c)
          if (values[c] != background) {
            columns_[place] = static_cast<uint16_t>(c);
            values_[place++] = values[c] - background;
          }
      }
    });
    view.dense = nullptr;
    view.offsets = offsets_.data();
    view.columns = columns_.data();
    view.values = values_.data();
    view.background = background_.data();
  }

  // Stores sparse inputs by pairs too, where that has not been done.
  void pair_up(Pool& pool) {
    std::lock_guard<std::mutex> lock(pairing_);
    if (view.dense || view.pair_offsets) return;
    pair_offsets_.resize(view.examples + 1);
    in_slices(view.examples, SLICE, pool, [&](int64_t from, int64_t to) {
      for (int64_t row = from; row < to; ++row) each_pair(row, [&](int, T, T) { ++pair_offsets_[row + 1]; });
    });
    for (int64_t row = 0; row < view.examples; ++row) pair_offsets_[row + 1] += pair_offsets_[row];
    pair_places_.resize(pair_offsets_.back());
    pair_values_.resize(2 * pair_offsets_.back());
    in_slices(view.examples, SLICE, pool, [&](int64_t from, int64_t to) {
      for (int64_t row = from; row < to; ++row) {
        int64_t i = pair_offsets_[row];
        each_pair(row, [&](int place, T first, T second) {
          pair_places_[i] = static_cast<uint16_t>(place);
          pair_values_[2 * i] = first;
          pair_values_[2 * i++ + 1] = second;
        });
      }
    });
    view.pair_offsets = pair_offsets_.data();
    view.pair_places = pair_places_.data();
    view.pair_values = pair_values_.data();
  }

  // Sorts sparse inputs by blocks from the first example on, where that has not been done, and says where they lie.
  const SortedBlocks<T>* sorted_blocks(Pool& pool) {
    std::lock_guard<std::mutex> lock(pairing_);
    if (!blocks_.view.starts)
      blocks_.sort(*this, (view.examples + BLOCK - 1) / BLOCK, pool, [&](int64_t b) {
        const int64_t left = view.examples - b * BLOCK;
        return Batch{nullptr, b * BLOCK, static_cast<int>(std::min(left, int64_t{BLOCK})), nullptr, -1};
      });
    return &blocks_.view;
  }

  // Calls `body` with the place, and the first and second value of each of a row's pairs.
  template <class Body>
  void each_pair(int64_t row, Body body) const {
    if (view.pair_offsets) {
      for (int64_t i = pair_offsets_[row]; i < pair_offsets_[row + 1]; ++i)
        body(pair_places_[i], pair_values_[2 * i], pair_values_[2 * i + 1]);
      return;
    }
    for (int64_t i = offsets_[row], end = offsets_[row + 1]; i < end;) {
      const int place = columns_[i] / 2;
      T pair[2] = {};
      for (; i < end && columns_[i] / 2 == place; ++i) pair[columns_[i] % 2] = values_[i];
      body(place, pair[0], pair[1]);
    }
  }

  int64_t bytes() const {
    return (columns_.size() + pair_places_.size()) * sizeof(uint16_t) +
           (values_.size() + background_.size() + pair_values_.size()) * sizeof(T) +
           (offsets_.size() + pair_offsets_.size()) * sizeof(int64_t) + labels_.size() * sizeof(int32_t) +
           blocks_.bytes();
  }

  Inputs<T> view{};
  double share = 1;      // of the inputs that differ from their background

 private:
  static constexpr int64_t SLICE = 512;  // examples that a thread takes at once

  std::mutex pairing_;
  std::vector<int32_t> labels_;
  Values<int64_t> offsets_, pair_offsets_;
  Values<uint16_t> columns_, pair_places_;
  Values<T> values_, background_, pair_values_;
  Sorting<T> blocks_;
};

}  // namespace assay
