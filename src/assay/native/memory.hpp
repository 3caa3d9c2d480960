// Memory for the kernel: whole cache lines, and where there is much of it large pages, so that rows which lie anywhere
// in it are found without a walk through the page table.
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

inline void* allocated(int64_t bytes) {
  const bool large = bytes >= LARGE_PAGE / 2;
  const int64_t unit = large ? LARGE_PAGE : ALIGNMENT;
  const int64_t whole = bytes > 0 ? (bytes + unit - 1) / unit * unit : unit;
  void* place = std::aligned_alloc(unit, whole);
  if (!place) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (large) madvise(place, whole, MADV_HUGEPAGE);  // advice: where it is not taken, all works as before
#endif
  return place;
}

struct Free {
  void operator()(void* p) const { std::free(p); }
};
template <class T>
using Memory = std::unique_ptr<T[], Free>;

template <class T>
Memory<T> uninitialised(int64_t count) {
  return Memory<T>(static_cast<T*>(allocated(count * static_cast<int64_t>(sizeof(T)))));
}
template <class T>
Memory<T> zeros(int64_t count) {
  Memory<T> memory = uninitialised<T>(count);
  std::memset(static_cast<void*>(memory.get()), 0, count * sizeof(T));
  return memory;
}

template <class T>
struct Allocator {
  using value_type = T;
  Allocator() = default;
  template <class U>
  Allocator(const Allocator<U>&) {}
  T* allocate(size_t count) { return static_cast<T*>(allocated(count * sizeof(T))); }
  void deallocate(T* place, size_t) { std::free(place); }
  bool operator==(const Allocator&) const { return true; }
};
template <class T>
using Values = std::vector<T, Allocator<T>>;

}  // namespace assay
