// Dropout masks.
#pragma once

#include "simd.hpp"

namespace assay::ASSAY_LEVEL {

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
ASSAY_INLINE uint64_t splitmix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// mask (rows, stride) = 0 with probability `layer.dropout`, else 1 / (1 - dropout), for the examples of the batch from
// `first` on. Each value is a function of the trial's key for the layer, the iteration, the example's index in the
// batch and the unit; it does not depend on the thread.
template <class T>
void fill_dropout_mask(const Layer& layer, uint64_t key, uint64_t t, int first, int rows, T* mask) {
  const uint64_t stream = splitmix64(key + t * 0x9E3779B97F4A7C15u);
  const uint64_t threshold = static_cast<uint64_t>(layer.dropout * 0x1p53);
  const T kept = T(1.0 / (1.0 - layer.dropout));
  for (int r = 0; r < rows; ++r)
    for (int u = 0; u < layer.stride; ++u) {
      uint64_t index = static_cast<uint64_t>(first + r) * layer.stride + u;
      mask[r * int64_t{layer.stride} + u] =
          splitmix64(stream + index * 0x9E3779B97F4A7C15u) >> 11 >= threshold ? kept : T(0);
    }
}

}  // namespace assay::ASSAY_LEVEL
