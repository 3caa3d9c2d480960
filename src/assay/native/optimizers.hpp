// The update rules of the optimizers for one weight: the step to subtract, and the new state in its slots. The settings
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

template <class T>
struct NAdam {
  static constexpr int slots = 2;
  static constexpr bool lazy = false, later = true;
  T rate, beta1, one_minus_beta1, beta2, one_minus_beta2, epsilon, inverse_correction2, own, next;
  explicit NAdam(const Hyperparameters& h)
      : rate(h.learning_rate),
        beta1(h.settings[0]),
        one_minus_beta1(1 - h.settings[0]),
        beta2(h.settings[1]),
        one_minus_beta2(1 - h.settings[1]),
        epsilon(h.settings[2]),
        inverse_correction2(1 / h.factors[0]),
        own(h.factors[1]),
        next(h.factors[2]) {}
  ASSAY_INLINE T step(T g, T& m, T& v) const {
    m = beta1 * m + one_minus_beta1 * g;
    v = beta2 * v + one_minus_beta2 * (g * g);
    return rate * (own * g + next * m) / (sqrt(v * inverse_correction2) + epsilon);
  }
};

template <class T>
struct RAdam {
  static constexpr int slots = 2;
  static constexpr bool lazy = false, later = true;
  T rate, beta1, one_minus_beta1, beta2, one_minus_beta2, epsilon, rectified, plain;
  explicit RAdam(const Hyperparameters& h)
      : rate(h.learning_rate / h.factors[0]),
        beta1(h.settings[0]),
        one_minus_beta1(1 - h.settings[0]),
        beta2(h.settings[1]),
        one_minus_beta2(1 - h.settings[1]),
        epsilon(h.settings[2]),
        rectified(h.factors[1]),
        plain(h.factors[2]) {}
  ASSAY_INLINE T step(T g, T& m, T& v) const {
    m = beta1 * m + one_minus_beta1 * g;
    v = beta2 * v + one_minus_beta2 * (g * g);
    return rate * m * (rectified / (sqrt(v) + epsilon) + plain);
  }
};

template <class T>
struct Lion {
  static constexpr int slots = 1;
  static constexpr bool lazy = false, later = true;
  T rate, beta1, one_minus_beta1, beta2, one_minus_beta2;
  explicit Lion(const Hyperparameters& h)
      : rate(h.learning_rate),
        beta1(h.settings[0]),
        one_minus_beta1(1 - h.settings[0]),
        beta2(h.settings[1]),
        one_minus_beta2(1 - h.settings[1]) {}
  ASSAY_INLINE T step(T g, T& m) const {
    T direction = beta1 * m + one_minus_beta1 * g;
    m = beta2 * m + one_minus_beta2 * g;
    return (direction > 0 ? rate : T(0)) - (direction < 0 ? rate : T(0));
  }
};

template <class T>
struct Adan {
  static constexpr int slots = 4;
  static constexpr bool lazy = false, later = true;
  T rate, beta1, one_minus_beta1, beta2, one_minus_beta2, beta3, one_minus_beta3, epsilon;
  T inverse_correction1, ahead_by_correction2, inverse_correction3, has_before;
  explicit Adan(const Hyperparameters& h)
      : rate(h.learning_rate),
        beta1(h.settings[0]),
        one_minus_beta1(1 - h.settings[0]),
        beta2(h.settings[1]),
        one_minus_beta2(1 - h.settings[1]),
        beta3(h.settings[2]),
        one_minus_beta3(1 - h.settings[2]),
        epsilon(h.settings[3]),
        inverse_correction1(1 / h.factors[0]),
        ahead_by_correction2((1 - h.settings[1]) / h.factors[1]),
        inverse_correction3(1 / h.factors[2]),
        has_before(h.factors[3]) {}
  ASSAY_INLINE T step(T g, T& m, T& v, T& n, T& before) const {
    T d = has_before * (g - before), ahead = g + one_minus_beta2 * d;
    m = beta1 * m + one_minus_beta1 * g;
    v = beta2 * v + one_minus_beta2 * d;
    n = beta3 * n + one_minus_beta3 * (ahead * ahead);
    before = g;
    return rate * (inverse_correction1 * m + ahead_by_correction2 * v) / (sqrt(n * inverse_correction3) + epsilon);
  }
};

// Calls `body` with the rule of an optimizer for one iteration's hyperparameters. The later optimizers are compiled
// apart (ASSAY_LATER): in one function with the first, they would change which products the compiler fuses in the rules
// of those, and with it the bits of trainings that are stored.
template <class T, class Body>
ASSAY_INLINE void with_optimizer(Optimizer name, const Hyperparameters& h, Body body) {
  switch (name) {
#ifdef ASSAY_LATER
    case Optimizer::nadam: return body(NAdam<T>(h));
    case Optimizer::radam: return body(RAdam<T>(h));
    case Optimizer::lion: return body(Lion<T>(h));  // its weight decay is in the penalty, as that of adan
    case Optimizer::adan: return body(Adan<T>(h));
#else
    case Optimizer::descent: return body(Descent<T>(h));
    case Optimizer::momentum: return body(Momentum<T>(h));
    case Optimizer::nesterov: return body(Nesterov<T>(h));
    case Optimizer::adagrad: return body(Adagrad<T>(h));
    case Optimizer::rmsprop: return body(RMSprop<T>(h));
    case Optimizer::adadelta: return body(Adadelta<T>(h));
    case Optimizer::adam:
    case Optimizer::adamw: return body(Adam<T>(h));  // its weight decay is in the penalty
#endif
    default: return;
  }
}

}  // namespace assay::ASSAY_LEVEL
