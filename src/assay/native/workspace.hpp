// Lays out the memory that one thread works in.
#pragma once

#include "plan.hpp"

namespace assay {

// Hands out memory from one allocation; counts only while `base` is null.
struct BumpAllocator {
  char* base = nullptr;
  int64_t used = 0;

  template <class T>
  T* allocate(int64_t count) {
    T* start = base ? reinterpret_cast<T*>(base + used) : nullptr;
    used += (count * static_cast<int64_t>(sizeof(T)) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return start;
  }
};

template <class T>
Workspace<T> lay_out(const Plan& plan, int features, bool sparse, BumpAllocator& memory) {
  Workspace<T> space{};
  const int first_stride = plan.layer[0].stride;
  int widest = 0;
  int64_t largest = 0;
  for (int l = 0; l < plan.layers; ++l) {
    const Layer& layer = plan.layer[l];
    widest = layer.stride > widest ? layer.stride : widest;
    space.z[l] = memory.allocate<T>(int64_t{BLOCK} * layer.stride);
    space.a[l] = memory.allocate<T>(int64_t{BLOCK} * layer.stride);
    space.mask[l] = layer.dropout > 0 ? memory.allocate<T>(int64_t{BLOCK} * layer.stride) : nullptr;
    space.out[l] = layer.dropout > 0 ? memory.allocate<T>(int64_t{BLOCK} * layer.stride) : space.a[l];
    const int64_t transposed = int64_t{layer.units} * padded<T>(layer.inputs);
    if (l > 0 && transposed > largest) largest = transposed;
  }
  space.d = memory.allocate<T>(int64_t{BLOCK} * widest);
  space.d_below = memory.allocate<T>(int64_t{BLOCK} * widest);
  space.transposed = memory.allocate<T>(largest);
  space.gathered = sparse ? nullptr : memory.allocate<T>(int64_t{BLOCK} * features);
  space.column_sums = memory.allocate<T>(first_stride);
  space.background_gradient = memory.allocate<T>(first_stride);
  space.g = memory.allocate<T>(plan.size);
  const bool paired = uses_pairs<T>(plan, sparse);
  const int pairs = paired ? (features + 1) / 2 : 0;
  space.packed = memory.allocate<T>(sparse ? int64_t{BLOCK} * first_stride : 0);
  space.entries = memory.allocate<PairEntry<T>>(int64_t{BLOCK} * pairs);
  space.pair_counts = memory.allocate<int32_t>(pairs);
  space.pair_gradient = memory.allocate<T>(paired ? 2 * first_stride : 0);
  return space;
}

}  // namespace assay
