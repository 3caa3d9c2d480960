// SIMD vectors as a type of the compiler: one source for SSE2, AVX2, AVX-512 and NEON.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "plan.hpp"

#ifndef ASSAY_VECTOR_BYTES
#define ASSAY_VECTOR_BYTES 16
#endif
#ifndef ASSAY_REGISTERS
#define ASSAY_REGISTERS 16
#endif

namespace assay::ASSAY_LEVEL {

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(ASSAY_VECTOR_BYTES), may_alias));
};
template <class T>
using Vector = typename VectorOf<T>::type;

// Integers as types, for constants that a generic lambda takes as an argument. Not std::integral_constant: its
// conversion is an inline function that all instruction levels would share (see kernel.cpp).
template <int n>
struct Constant {
  ASSAY_INLINED constexpr operator int() const { return n; }
};

template <class T>
constexpr int LANES = ASSAY_VECTOR_BYTES / sizeof(T);
template <class T>
constexpr int LINE = 64 / sizeof(T);  // rows are whole cache lines: LINE is a multiple of LANES

template <class T>
ASSAY_INLINE Vector<T> splat(T x) {
  return x - Vector<T>{};
}
template <class T>
ASSAY_INLINE Vector<T>& as_vector(T* values) {
  return *reinterpret_cast<Vector<T>*>(values);
}
template <class T>
ASSAY_INLINE const Vector<T>& as_vector(const T* values) {
  return *reinterpret_cast<const Vector<T>*>(values);
}
template <class T>
ASSAY_INLINE T sum(Vector<T> v) {
  T total = 0;
  for (int i = 0; i < LANES<T>; ++i) total += v[i];
  return total;
}

// The values of x and y interleaved, from the lower (0) or the upper (1) half of both.
template <class T, int half>
ASSAY_INLINE Vector<T> interleave(Vector<T> x, Vector<T> y) {
  constexpr int lanes = LANES<T>;
  return [&]<int... i>(std::integer_sequence<int, i...>) {
#ifdef __clang__
    return __builtin_shufflevector(x, y, (half * lanes / 2 + i / 2 + i % 2 * lanes)...);
#else
    using Index = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
    return __builtin_shuffle(x, y, Vector<Index>{(half * lanes / 2 + i / 2 + i % 2 * lanes)...});
#endif
  }
  (std::make_integer_sequence<int, lanes>{});
}

// to (LANES, LANES) = the transpose of from; their rows are `to_stride` and `from_stride` values apart.
template <class T>
ASSAY_INLINE void transpose_tile(const T* from, int64_t from_stride, T* to, int64_t to_stride) {
  constexpr int lanes = LANES<T>;
  Vector<T> rows[lanes], next[lanes];
#pragma GCC unroll 16
  for (int k = 0; k < lanes; ++k) rows[k] = as_vector(from + k * from_stride);
#pragma GCC unroll 16
  for (int round = 1; round < lanes; round *= 2) {
#pragma GCC unroll 16
    for (int k = 0; k < lanes / 2; ++k) {
      next[2 * k] = interleave<T, 0>(rows[k], rows[k + lanes / 2]);
      next[2 * k + 1] = interleave<T, 1>(rows[k], rows[k + lanes / 2]);
    }
#pragma GCC unroll 16
    for (int k = 0; k < lanes; ++k) rows[k] = next[k];
  }
#pragma GCC unroll 16
  for (int k = 0; k < lanes; ++k) as_vector(to + k * to_stride) = rows[k];
}

}  // namespace assay::ASSAY_LEVEL
