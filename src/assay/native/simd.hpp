// Vectors as the compiler's own type: one source for SSE2, AVX2, AVX-512 and NEON.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#ifndef ASSAY_VECTOR_BYTES
#define ASSAY_VECTOR_BYTES 16
#endif
#ifndef ASSAY_REGISTERS
#define ASSAY_REGISTERS 16
#endif
#define ASSAY_INLINED __attribute__((always_inline))
#define ASSAY_INLINE inline ASSAY_INLINED

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

// Values of x and y in turn, from the lower (0) or the upper (1) half of both.
template <class T, int half>
ASSAY_INLINE Vector<T> in_turn(Vector<T> x, Vector<T> y) {
  constexpr int lanes = LANES<T>;
  return [&]<int... i>(std::integer_sequence<int, i...>) {
#ifdef __clang__
    return __builtin_shufflevector(x, y, (half * lanes / 2 + i / 2 + i % 2 * lanes)...);
#else
    using Place = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
    return __builtin_shuffle(x, y, Vector<Place>{(half * lanes / 2 + i / 2 + i % 2 * lanes)...});
#endif
  }(std::make_integer_sequence<int, lanes>{});
}

// `to` (LANES, LANES) = `from` turned round; both have rows of the stride that stands beside them.
template <class T>
ASSAY_INLINE void turn_tile(const T* from, int64_t stride, T* to, int64_t to_stride) {
  constexpr int lanes = LANES<T>;
  Vector<T> rows[lanes], next[lanes];
#pragma GCC unroll 16
  for (int k = 0; k < lanes; ++k) rows[k] = at(from + k * stride);
#pragma GCC unroll 16
  for (int round = 1; round < lanes; round *= 2) {
#pragma GCC unroll 16
    for (int k = 0; k < lanes / 2; ++k) {
      next[2 * k] = in_turn<T, 0>(rows[k], rows[k + lanes / 2]);
      next[2 * k + 1] = in_turn<T, 1>(rows[k], rows[k + lanes / 2]);
    }
#pragma GCC unroll 16
    for (int k = 0; k < lanes; ++k) rows[k] = next[k];
  }
#pragma GCC unroll 16
  for (int k = 0; k < lanes; ++k) at(to + k * to_stride) = rows[k];
}

}  // namespace assay::ASSAY_LEVEL
