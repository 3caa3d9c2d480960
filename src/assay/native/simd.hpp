// Vectors as the compiler's own type: one source for SSE2, AVX2, AVX-512 and NEON.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#ifndef ASSAY_VECTOR_BYTES
#define ASSAY_VECTOR_BYTES 16
#endif
#ifndef ASSAY_REGISTERS
#define ASSAY_REGISTERS 16
#endif
#define ASSAY_INLINE inline __attribute__((always_inline))

namespace assay::ASSAY_LEVEL {

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(ASSAY_VECTOR_BYTES), may_alias));
  typedef T loose __attribute__((vector_size(ASSAY_VECTOR_BYTES), aligned(sizeof(T)), may_alias));
};
template <class T>
using Vector = typename VectorOf<T>::type;

template <class T>
constexpr int LANES = ASSAY_VECTOR_BYTES / sizeof(T);
template <class T>
constexpr int LINE = 64 / sizeof(T);  // rows are whole cache lines: LINE is a multiple of LANES

template <class T>
ASSAY_INLINE Vector<T> splat(T x) {
  return x - Vector<T>{};
}
template <class T>
ASSAY_INLINE Vector<T>& at(T* place) {
  return *reinterpret_cast<Vector<T>*>(place);
}
template <class T>
ASSAY_INLINE const Vector<T>& at(const T* place) {
  return *reinterpret_cast<const Vector<T>*>(place);
}
template <class T>
ASSAY_INLINE T sum(Vector<T> v) {
  T total = 0;
  for (int i = 0; i < LANES<T>; ++i) total += v[i];
  return total;
}

}  // namespace assay::ASSAY_LEVEL
