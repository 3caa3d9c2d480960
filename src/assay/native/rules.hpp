// The optimizers' rules for one weight: the step to subtract, and the new state in s (and u). The settings and factors
// come in the order of assay/parts/optimizers.py, whose names stand in `rule_names` (module.cpp). A rule `rests` where
// a gradient of 0 leaves the weight as it is and multiplies its state by `shrink`.
#pragma once

#include "simd.hpp"

namespace assay::ASSAY_LEVEL {

ASSAY_INLINE float sqrt(float x) { return __builtin_sqrtf(x); }
ASSAY_INLINE double sqrt(double x) { return __builtin_sqrt(x); }

template <class T>
struct Descent {
  static constexpr int slots = 0;
  static constexpr bool rests = true;
  T shrink() const { return 1; }
  T rate;
  explicit Descent(const Numbers& h) : rate(h.learning_rate) {}
  ASSAY_INLINE T step(T g, T&, T&) const { return rate * g; }
};

template <class T>
struct Momentum {
  static constexpr int slots = 1;
  static constexpr bool rests = false;
  T rate, momentum;
  explicit Momentum(const Numbers& h) : rate(h.learning_rate), momentum(h.settings[0]) {}
  ASSAY_INLINE T step(T g, T& v, T&) const {
    v = momentum * v + g;
    return rate * v;
  }
};

template <class T>
struct Nesterov {
  static constexpr int slots = 1;
  static constexpr bool rests = false;
  T rate, momentum;
  explicit Nesterov(const Numbers& h) : rate(h.learning_rate), momentum(h.settings[0]) {}
  ASSAY_INLINE T step(T g, T& v, T&) const {
    v = momentum * v + g;
    return rate * (g + momentum * v);
  }
};

template <class T>
struct Adagrad {
  static constexpr int slots = 1;
  static constexpr bool rests = true;
  T shrink() const { return 1; }
  T rate, epsilon;
  explicit Adagrad(const Numbers& h) : rate(h.learning_rate), epsilon(h.settings[0]) {}
  ASSAY_INLINE T step(T g, T& s, T&) const {
    s = s + g * g;
    return rate * g / (sqrt(s) + epsilon);
  }
};

template <class T>
struct RMSprop {
  static constexpr int slots = 1;
  static constexpr bool rests = true;
  T shrink() const { return decay; }
  T rate, decay, rest, epsilon;
  explicit RMSprop(const Numbers& h)
      : rate(h.learning_rate), decay(h.settings[0]), rest(1 - h.settings[0]), epsilon(h.settings[1]) {}
  ASSAY_INLINE T step(T g, T& s, T&) const {
    s = decay * s + rest * (g * g);
    return rate * g / (sqrt(s) + epsilon);
  }
};

template <class T>
struct Adadelta {
  static constexpr int slots = 2;
  static constexpr bool rests = true;
  T shrink() const { return decay; }
  T rate, decay, rest, epsilon;
  explicit Adadelta(const Numbers& h)
      : rate(h.learning_rate), decay(h.settings[0]), rest(1 - h.settings[0]), epsilon(h.settings[1]) {}
  ASSAY_INLINE T step(T g, T& s, T& u) const {
    s = decay * s + rest * (g * g);
    T d = sqrt((u + epsilon) / (s + epsilon)) * g;
    u = decay * u + rest * (d * d);
    return rate * d;
  }
};

template <class T>
struct Adam {
  static constexpr int slots = 2;
  static constexpr bool rests = false;
  T rate, beta1, rest1, beta2, rest2, epsilon, root;
  explicit Adam(const Numbers& h)
      : rate(h.learning_rate / h.factors[0]),
        beta1(h.settings[0]),
        rest1(1 - h.settings[0]),
        beta2(h.settings[1]),
        rest2(1 - h.settings[1]),
        epsilon(h.settings[2]),
        root(1 / h.factors[1]) {}
  ASSAY_INLINE T step(T g, T& m, T& v) const {
    m = beta1 * m + rest1 * g;
    v = beta2 * v + rest2 * (g * g);
    return rate * m / (sqrt(v * root) + epsilon);
  }
};

// What happens to a gradient and a weight before the rule: g + l1 sign(w) + l2 w, scaled; w times decay.
template <class T>
struct Penalty {
  T l1, l2, scale, decay;
  ASSAY_INLINE T of(T g, T w) const {
    T sign = (w > 0 ? T(1) : T(0)) - (w < 0 ? T(1) : T(0));
    return g + l1 * sign + l2 * w;
  }
  bool none() const { return l1 == 0 && l2 == 0 && scale == 1 && decay == 1; }
};

template <class Rule, bool plain, class T>
ASSAY_INLINE void move(const Rule& rule, const Penalty<T>& penalty, T* __restrict w, const T* __restrict g,
                       T* __restrict s, T* __restrict u, int64_t count) {
  T none = 0;
  for (int64_t i = 0; i < count; i += LINE<T>)
    for (int j = 0; j < LINE<T>; ++j) {
      int64_t k = i + j;
      T gradient = plain ? g[k] : penalty.scale * penalty.of(g[k], w[k]);
      T before = plain ? w[k] : penalty.decay * w[k];
      if constexpr (Rule::slots == 0) w[k] = before - rule.step(gradient, none, none);
      if constexpr (Rule::slots == 1) w[k] = before - rule.step(gradient, s[k], none);
      if constexpr (Rule::slots == 2) w[k] = before - rule.step(gradient, s[k], u[k]);
    }
}

// Calls `body` with the rule of a name, made from the iteration's numbers.
template <class T, class Body>
ASSAY_INLINE void with_rule(RuleName name, const Numbers& h, Body body) {
  switch (name) {
    case RuleName::descent: return body(Descent<T>(h));
    case RuleName::momentum: return body(Momentum<T>(h));
    case RuleName::nesterov: return body(Nesterov<T>(h));
    case RuleName::adagrad: return body(Adagrad<T>(h));
    case RuleName::rmsprop: return body(RMSprop<T>(h));
    case RuleName::adadelta: return body(Adadelta<T>(h));
    case RuleName::adam:
    case RuleName::adamw: return body(Adam<T>(h));  // the decay of the weights is in the penalty
  }
}

}  // namespace assay::ASSAY_LEVEL
