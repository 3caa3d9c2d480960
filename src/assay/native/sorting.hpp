// Blocks of examples whose inputs are sorted by their place once, for all iterations or trials that take them.
#pragma once

#include <cstdint>
#include <vector>

#include "memory.hpp"
#include "plan.hpp"
#include "threads.hpp"

namespace assay {

template <class T>
class Examples;

template <class T>
class Sorting {
 public:
  // Sorts `blocks` blocks; `block(b)` says which examples are in the one of number b.
  template <class BlockOf>
  void sort(const Examples<T>& examples, int64_t blocks, Pool& pool, BlockOf block) {
    const int pairs = examples.view.pairs();
    counts_.assign(blocks * pairs, 0);
    starts_.assign(blocks, 0);
    in_slices(blocks, 1, pool, [&](int64_t b, int64_t) {
      int32_t* counts = counts_.data() + b * pairs;
      const Batch rows = block(b);
      for (int i = 0; i < rows.size; ++i) examples.each_pair(rows.row(i), [&](int place, T, T) { ++counts[place]; });
    });
    int64_t total = 0;
    for (int64_t b = 0; b < blocks; ++b) {
      starts_[b] = total;
      for (int k = 0; k < pairs; ++k) total += counts_[b * pairs + k];
    }
    if (total > room_) entries_ = uninitialised<Entry<T>>(room_ = total);
    in_slices(blocks, 1, pool, [&](int64_t b, int64_t) {
      const int32_t* counts = counts_.data() + b * pairs;
      std::vector<int64_t> next(pairs, starts_[b]);
      for (int k = 1; k < pairs; ++k) next[k] = next[k - 1] + counts[k - 1];
      const Batch rows = block(b);
      for (int i = 0; i < rows.size; ++i)
        examples.each_pair(rows.row(i), [&](int place, T first, T second) {
          entries_[next[place]++] = {first, second, i};
        });
    });
    view = {entries_.get(), starts_.data(), counts_.data(), pairs};
  }

  int64_t bytes() const {
    return room_ * sizeof(Entry<T>) + starts_.size() * sizeof(int64_t) + counts_.size() * sizeof(int32_t);
  }

  SortedBlocks<T> view{};

 private:
  Memory<Entry<T>> entries_;
  int64_t room_ = 0;
  std::vector<int64_t> starts_;
  std::vector<int32_t> counts_;
};

}  // namespace assay
