// The update rules of the optimizers for one weight: the step to subtract, and the new state in s (and u). The settings
// and factors are those of assay/parts/optimizers.py, in the order of `optimizer_spec` (module.cpp).
//
// A rule is lazy if a gradient of 0 leaves the weight as it is and only multiplies its state by `idle_decay()`: such
// updates can wait until the state is needed (update.hpp).
#pragma once

#include "simd.hpp"

namespace assay::ASSAY_LEVEL {

ASSAY_INLINE float sqrt(float x) { return __builtin_sqrtf(x); }
ASSAY_INLINE double sqrt(double x) { return __builtin_sqrt(x); }

template <class T>
struct Descent {
  static constexpr int slots = 0;
  static constexpr bool lazy = true;
  T idle_decay() const { return 1; }
  T rate;
  explicit Descent(const Hyperparameters& h) : rate(h.learning_rate) {}
  ASSAY_INLINE T step(T g, T&, T&) const { return rate * g; }
};

template <class T>
struct Momentum {
  static constexpr int slots = 1;
  static constexpr bool lazy = false;
  T rate, momentum;
  explicit Momentum(const Hyperparameters& h) : rate(h.learning_rate), momentum(h.settings[0]) {}
  ASSAY_INLINE T step(T g, T& v, T&) const {
    v = momentum * v + g;
    return rate * v;
  }
};

template <class T>
struct Nesterov {
  static constexpr int slots = 1;
  static constexpr bool lazy = false;
  T rate, momentum;
  explicit Nesterov(const Hyperparameters& h) : rate(h.learning_rate), momentum(h.settings[0]) {}
  ASSAY_INLINE T step(T g, T& v, T&) const {
    v = momentum * v + g;
    return rate * (g + momentum * v);
  }
};

template <class T>
struct Adagrad {
  static constexpr int slots = 1;
  static constexpr bool lazy = true;
  T idle_decay() const { return 1; }
  T rate, epsilon;
  explicit Adagrad(const Hyperparameters& h) : rate(h.learning_rate), epsilon(h.settings[0]) {}
  ASSAY_INLINE T step(T g, T& s, T&) const {
    s = s + g * g;
    return rate * g / (sqrt(s) + epsilon);
  }
};

template <class T>
struct RMSprop {
  static constexpr int slots = 1;
  static constexpr bool lazy = true;
  T idle_decay() const { return decay; }
  T rate, decay, one_minus_decay, epsilon;
  explicit RMSprop(const Hyperparameters& h)
      : rate(h.learning_rate), decay(h.settings[0]), one_minus_decay(1 - h.settings[0]), epsilon(h.settings[1]) {}
  ASSAY_INLINE T step(T g, T& s, T&) const {
    s = decay * s + one_minus_decay * (g * g);
    return rate * g / (sqrt(s) + epsilon);
  }
};

template <class T>
struct Adadelta {
  static constexpr int slots = 2;
  static constexpr bool lazy = true;
  T idle_decay() const { return decay; }
  T rate, decay, one_minus_decay, epsilon;
  explicit Adadelta(const Hyperparameters& h)
      : rate(h.learning_rate), decay(h.settings[0]), one_minus_decay(1 - h.settings[0]), epsilon(h.settings[1]) {}
  ASSAY_INLINE T step(T g, T& s, T& u) const {
    s = decay * s + one_minus_decay * (g * g);
    T d = sqrt((u + epsilon) / (s + epsilon)) * g;
    u = decay * u + one_minus_decay * (d * d);
    return rate * d;
  }
};

template <class T>
struct Adam {
  static constexpr int slots = 2;
  static constexpr bool lazy = false;
  T rate, beta1, one_minus_beta1, beta2, one_minus_beta2, epsilon, inverse_correction2;
  explicit Adam(const Hyperparameters& h)
      : rate(h.learning_rate / h.factors[0]),
        beta1(h.settings[0]),
        one_minus_beta1(1 - h.settings[0]),
        beta2(h.settings[1]),
        one_minus_beta2(1 - h.settings[1]),
        epsilon(h.settings[2]),
        inverse_correction2(1 / h.factors[1]) {}
  ASSAY_INLINE T step(T g, T& m, T& v) const {
    m = beta1 * m + one_minus_beta1 * g;
    v = beta2 * v + one_minus_beta2 * (g * g);
    return rate * m / (sqrt(v * inverse_correction2) + epsilon);
  }
};

// Calls `body` with the rule of an optimizer for one iteration's hyperparameters.
template <class T, class Body>
ASSAY_INLINE void with_optimizer(Optimizer name, const Hyperparameters& h, Body body) {
  switch (name) {
    case Optimizer::descent: return body(Descent<T>(h));
    case Optimizer::momentum: return body(Momentum<T>(h));
    case Optimizer::nesterov: return body(Nesterov<T>(h));
    case Optimizer::adagrad: return body(Adagrad<T>(h));
    case Optimizer::rmsprop: return body(RMSprop<T>(h));
    case Optimizer::adadelta: return body(Adadelta<T>(h));
    case Optimizer::adam:
    case Optimizer::adamw: return body(Adam<T>(h));  // its weight decay is in the penalty
  }
}

}  // namespace assay::ASSAY_LEVEL
