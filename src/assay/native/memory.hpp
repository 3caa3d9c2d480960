// Memory for the kernel: whole cache lines, and large pages for large blocks, so that rows anywhere in a block are
// found without a walk through the page table.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "plan.hpp"

namespace assay {

constexpr int64_t LARGE_PAGE = int64_t{1} << 21;
constexpr int64_t MAX_ALLOCATION = int64_t{1} << 62;

inline void* allocate_aligned(int64_t bytes) {
  if (bytes < 0 || bytes > MAX_ALLOCATION) throw std::bad_alloc();
  const bool large = bytes >= LARGE_PAGE / 2;
  const int64_t unit = large ? LARGE_PAGE : ALIGNMENT;
  const int64_t rounded = bytes > 0 ? (bytes + unit - 1) / unit * unit : unit;
  void* block = std::aligned_alloc(unit, rounded);
  if (!block) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (large) madvise(block, rounded, MADV_HUGEPAGE);  // a hint: without large pages everything works, only slower
#endif
  return block;
}

struct Free {
  void operator()(void* block) const { std::free(block); }
};
template <class T>
using Buffer = std::unique_ptr<T[], Free>;

template <class T>
Buffer<T> uninitialised_buffer(int64_t count) {
  return Buffer<T>(static_cast<T*>(allocate_aligned(count * static_cast<int64_t>(sizeof(T)))));
}
template <class T>
Buffer<T> zeroed_buffer(int64_t count) {
  Buffer<T> buffer = uninitialised_buffer<T>(count);
  std::memset(static_cast<void*>(buffer.get()), 0, count * sizeof(T));
  return buffer;
}

template <class T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <class U>
  AlignedAllocator(const AlignedAllocator<U>&) {}
  T* allocate(size_t count) { return static_cast<T*>(allocate_aligned(count * sizeof(T))); }
  void deallocate(T* block, size_t) { std::free(block); }
  bool operator==(const AlignedAllocator&) const { return true; }
};
template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

}  // namespace assay
