// The batches of several iterations.
#pragma once

#include "plan.hpp"

namespace assay {

// The batches of k iterations, as assay/parts/batches.py makes them; S sets, one for all trials or one for each.
struct Batches {
  int64_t first, count;
  const int32_t* sizes;   // (k,)
  const int32_t* rows;    // (S, k, width) or null
  const int32_t* starts;  // (S, k) or null
  int64_t sets, width;

  Batch at(int64_t trial, int64_t i) const {
    int64_t set = sets ? trial % sets : 0, next = i + 1 < count ? i + 1 : -1;
    Batch batch{nullptr, 0, sizes[i], nullptr, -1};
    if (rows) {
      batch.rows = rows + (set * count + i) * width;
      if (next >= 0) batch.next_rows = rows + (set * count + next) * width;
    } else if (starts) {
      batch.start = starts[set * count + i];
      if (next >= 0) batch.next_start = starts[set * count + next];
    }
    return batch;
  }
};

}  // namespace assay
