// Elementary functions and activations, each for one value and without branches, so that the compiler vectorises loops
// over them. All of them propagate NaN: a trial that diverges must be noticed.
#pragma once

#include "simd.hpp"

namespace assay::ASSAY_LEVEL {

template <class T>
struct Bits;
template <>
struct Bits<float> {
  using type = int32_t;
  static constexpr float log2e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  static constexpr float round = 12582912.0f;  // 1.5 * 2**23: adding it leaves the nearest integer in the lowest bits
  static constexpr float low = -87.0f, high = 88.3f;
  static constexpr int mantissa = 23, bias = 127, terms = 7, atanh_terms = 8;
};
template <>
struct Bits<double> {
  using type = int64_t;
  static constexpr double log2e = 1.4426950408889634, ln2_high = 6.93147180369123816490e-01,
                          ln2_low = 1.90821492927058770002e-10;
  static constexpr double round = 6755399441055744.0;  // 1.5 * 2**52
  static constexpr double low = -708.0, high = 709.0;
  static constexpr int mantissa = 52, bias = 1023, terms = 13, atanh_terms = 17;
};

template <class To, class From>
ASSAY_INLINE To bits(From x) {
  To y;
  static_assert(sizeof x == sizeof y);
  __builtin_memcpy(&y, &x, sizeof y);
  return y;
}

template <class T>
struct Exponential {
  T p, scale;  // exp(x) = scale + scale p
};

// x = n ln 2 + r with |r| <= ln 2 / 2, and p = exp(r) - 1 by its series, with an error below half a unit in the last
// place.
template <class T>
ASSAY_INLINE Exponential<T> exponential(T x) {
  using B = Bits<T>;
  using I = typename B::type;
  // clang-format off
  constexpr T inverse_factorial[] = {
      T(1),           T(1.0 / 2),      T(1.0 / 6),       T(1.0 / 24),       T(1.0 / 120),
      T(1.0 / 720),   T(1.0 / 5040),   T(1.0 / 40320),   T(1.0 / 362880),   T(1.0 / 3628800),
      T(1.0 / 39916800),               T(1.0 / 479001600),                  T(1.0 / 6227020800.0)};
  // clang-format on
  x = x < B::low ? B::low : x;
  x = x > B::high ? B::high : x;
  T shifted = x * B::log2e + B::round;
  T n = shifted - B::round;
  T r = x - n * B::ln2_high - n * B::ln2_low;
  T p = inverse_factorial[B::terms - 1];
  for (int i = B::terms - 2; i >= 0; --i) p = p * r + inverse_factorial[i];
  I exponent = bits<I>(shifted) - bits<I>(B::round) + B::bias;
  return {p * r, bits<T>(static_cast<I>(static_cast<std::make_unsigned_t<I>>(exponent) << B::mantissa))};
}

template <class T>
ASSAY_INLINE T exp(T x) {
  auto [p, scale] = exponential(x);
  T e = scale + scale * p;
  return x < Bits<T>::low ? T(0) : e;
}

template <class T>
ASSAY_INLINE T expm1(T x) {
  auto [p, scale] = exponential(x);
  return scale * p + (scale - T(1));
}

// log(1 + y) = 2 atanh(y / (2 + y)), for 0 <= y <= 1.
template <class T>
ASSAY_INLINE T log1p_of_unit(T y) {
  T s = y / (T(2) + y), s2 = s * s;
  T series = T(1.0 / (2 * Bits<T>::atanh_terms - 1));
  for (int i = Bits<T>::atanh_terms - 2; i >= 0; --i) series = series * s2 + T(1.0 / (2 * i + 1));
  return T(2) * s * series;
}

template <class T>
ASSAY_INLINE T absolute(T x) {
  return x < 0 ? -x : x;
}

// The activations: a function of z, and its derivative by z and a. They fit on a line each.
// clang-format off
struct Identity {
  template <class T> static ASSAY_INLINE T forward(T z) { return z; }
  template <class T> static ASSAY_INLINE T derivative(T, T) { return T(1); }
};

struct Relu {
  template <class T> static ASSAY_INLINE T forward(T z) { return z < 0 ? T(0) : z; }
  template <class T> static ASSAY_INLINE T derivative(T, T a) { return a > 0 ? T(1) : T(0); }
};

struct LeakyRelu {
  template <class T> static ASSAY_INLINE T forward(T z) { return z < 0 ? T(0.01) * z : z; }
  template <class T> static ASSAY_INLINE T derivative(T z, T) { return z > 0 ? T(1) : T(0.01); }
};

struct Sigmoid {
  template <class T> static ASSAY_INLINE T forward(T z) { return T(1) / (T(1) + exp(-z)); }
  template <class T> static ASSAY_INLINE T derivative(T, T a) { return a * (T(1) - a); }
};

struct Tanh {
  template <class T> static ASSAY_INLINE T forward(T z) {
    T e = expm1(T(-2) * absolute(z));
    T a = -e / (T(2) + e);
    return z < 0 ? -a : a;
  }
  template <class T> static ASSAY_INLINE T derivative(T, T a) { return T(1) - a * a; }
};

struct Elu {
  template <class T> static ASSAY_INLINE T forward(T z) {
    T below = expm1(z > 0 ? T(0) : z);
    return z > 0 ? z : below;
  }
  template <class T> static ASSAY_INLINE T derivative(T, T a) { return a > 0 ? T(1) : T(1) + a; }
};

struct Softplus {
  template <class T> static ASSAY_INLINE T forward(T z) {
    return (z < 0 ? T(0) : z) + log1p_of_unit(exp(-absolute(z)));
  }
  template <class T> static ASSAY_INLINE T derivative(T z, T) { return Sigmoid::forward(z); }
};

struct Silu {
  template <class T> static ASSAY_INLINE T forward(T z) { return z * Sigmoid::forward(z); }
  template <class T> static ASSAY_INLINE T derivative(T z, T a) {
    T s = Sigmoid::forward(z);
    return s + a * (T(1) - s);
  }
};

struct Gelu {
  template <class T> static ASSAY_INLINE T inner(T z) {
    return T(0.79788456080286535588) * (z + T(0.044715) * z * z * z);  // sqrt(2 / pi)
  }
  template <class T> static ASSAY_INLINE T forward(T z) { return T(0.5) * z * (T(1) + Tanh::forward(inner(z))); }
  template <class T> static ASSAY_INLINE T derivative(T z, T) {
    T h = Tanh::forward(inner(z));
    T slope = T(0.79788456080286535588) * (T(1) + T(3 * 0.044715) * z * z);
    return T(0.5) * (T(1) + h) + T(0.5) * z * (T(1) - h * h) * slope;
  }
};
// clang-format on

// a = f(z), for whole cache lines.
template <class F, class T>
void activate(const T* z, T* a, int64_t count) {
  for (int64_t i = 0; i < count; i += LINE<T>)
    for (int j = 0; j < LINE<T>; ++j) a[i + j] = F::forward(z[i + j]);
}

// d = d f'(z), for whole cache lines.
template <class F, class T>
void multiply_by_derivative(const T* z, const T* a, T* d, int64_t count) {
  for (int64_t i = 0; i < count; i += LINE<T>)
    for (int j = 0; j < LINE<T>; ++j) d[i + j] *= F::derivative(z[i + j], a[i + j]);
}

// Calls `body` with the struct of an activation.
template <class Body>
ASSAY_INLINE void with_activation(Activation name, Body body) {
  switch (name) {
    case Activation::identity: return body(Identity{});
    case Activation::relu: return body(Relu{});
    case Activation::leaky_relu: return body(LeakyRelu{});
    case Activation::sigmoid: return body(Sigmoid{});
    case Activation::tanh: return body(Tanh{});
    case Activation::elu: return body(Elu{});
    case Activation::softplus: return body(Softplus{});
    case Activation::silu: return body(Silu{});
    case Activation::gelu: return body(Gelu{});
  }
}

}  // namespace assay::ASSAY_LEVEL
