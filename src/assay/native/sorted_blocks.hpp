// Blocks of examples whose inputs are sorted by pair once, for all iterations or trials that read them.
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
class BlockSorter {
 public:
  // Sorts `blocks` blocks; block_rows(b) returns the examples of block b.
  template <class BlockRows>
  void sort(const Examples<T>& examples, int64_t blocks, Pool& pool, BlockRows block_rows) {
    const int pairs = examples.view.pairs();
    counts_.assign(blocks * pairs, 0);
    starts_.assign(blocks, 0);
    cursors_.resize(int64_t{pool.size()} * pairs);
    parallel_for(blocks, 1, pool, [&](int, int64_t b, int64_t) {
      int32_t* counts = counts_.data() + b * pairs;
      const Batch rows = block_rows(b);
      for (int i = 0; i < rows.size; ++i) examples.for_each_pair(rows.row(i), [&](int pair, T, T) { ++counts[pair]; });
    });
    int64_t total = 0;
    for (int64_t b = 0; b < blocks; ++b) {
      starts_[b] = total;
      for (int k = 0; k < pairs; ++k) total += counts_[b * pairs + k];
    }
    if (total > capacity_) entries_ = uninitialised_buffer<PairEntry<T>>(capacity_ = total);
    parallel_for(blocks, 1, pool, [&](int worker, int64_t b, int64_t) {
      const int32_t* counts = counts_.data() + b * pairs;
      int64_t* next = cursors_.data() + int64_t{worker} * pairs;
      next[0] = starts_[b];
      for (int k = 1; k < pairs; ++k) next[k] = next[k - 1] + counts[k - 1];
      const Batch rows = block_rows(b);
      for (int i = 0; i < rows.size; ++i)
        examples.for_each_pair(rows.row(i), [&](int pair, T first, T second) {
          entries_[next[pair]++] = {first, second, i};
        });
    });
    view = {entries_.get(), starts_.data(), counts_.data(), pairs};
  }

  int64_t bytes() const {
    return capacity_ * sizeof(PairEntry<T>) + (starts_.size() + cursors_.size()) * sizeof(int64_t) +
           counts_.size() * sizeof(int32_t);
  }

  SortedBlocks<T> view{};

 private:
  Buffer<PairEntry<T>> entries_;
  int64_t capacity_ = 0;
  std::vector<int64_t> starts_;
  std::vector<int32_t> counts_;
  std::vector<int64_t> cursors_;  // (threads, pairs): where a thread writes each pair's next entry
};

}  // namespace assay
