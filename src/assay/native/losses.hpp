// Outputs and losses, as assay/parts defines them, for a group of examples at once.
#pragma once

#include "activations.hpp"

namespace assay::ASSAY_LEVEL {

ASSAY_INLINE float log(float x) { return __builtin_logf(x); }
ASSAY_INLINE double log(double x) { return __builtin_log(x); }
ASSAY_INLINE float log1p(float x) { return __builtin_log1pf(x); }
ASSAY_INLINE double log1p(double x) { return __builtin_log1p(x); }

template <int W>
struct Losses {
  double of[W];
};

template <class T, int W>
struct Group;
template <class T, int W>
__attribute__((noinline)) Losses<W> binary_loss(Group<T, W> group, Loss loss, T epsilon);

// W examples, with value c of example j at [c * W + j]. W is the number of values in a cache line, so that a vector
// holds many examples; or 1, a row with its dead units.
template <class T, int W>
struct Group {
  static_assert(W == 1 || W == LINE<T>);
  const T* __restrict z;
  T* __restrict a;
  T* __restrict d;
  int classes;
  int count;  // how many of the W examples exist
  int y[W];   // their labels

  // Transposes W rows of `stride` values into group form, and back, with their dead units and whatever `count` is.
  ASSAY_INLINE void from_rows(const T* rows, int stride, T* to) const {
    for (int j = 0; j < W; j += LANES<T>)
      for (int c = 0; c < stride; c += LANES<T>)
        transpose_tile(rows + j * int64_t{stride} + c, stride, to + c * W + j, W);
  }
  ASSAY_INLINE void to_rows(const T* values, T* rows, int stride) const {
    for (int j = 0; j < W; j += LANES<T>)
      for (int c = 0; c < stride; c += LANES<T>)
        transpose_tile(values + c * W + j, W, rows + j * int64_t{stride} + c, stride);
  }

  // Computes a from z.
  ASSAY_INLINE void output(Output output) {
    switch (output) {
      case Output::identity: return for_each_value([&](int i, int, int) { a[i] = z[i]; });
      case Output::sigmoid: return for_each_value([&](int i, int, int) { a[i] = Sigmoid::forward(z[i]); });
      case Output::softmax: {
        T maximum[W], total[W];
        maxima(z, maximum);
        exponentials(z, a, maximum, total);
        return for_each_value([&](int i, int, int j) { a[i] /= total[j]; });
      }
      case Output::log_softmax: {
        T maximum[W], shift[W];
        maxima(z, maximum);
        exponentials(z, a, maximum, shift);
        for (int j = 0; j < W; ++j) shift[j] = maximum[j] + log(shift[j]);
        return for_each_value([&](int i, int, int j) { a[i] = z[i] - shift[j]; });
      }
    }
  }

  // Computes each example's loss, and d = dL/da.
  ASSAY_INLINE void loss(Loss loss, T epsilon, double* losses) {
    switch (loss) {
      case Loss::mse:
      case Loss::quadratic: {
        const bool mean = loss == Loss::mse;
        const T slope = mean ? T(2) / T(classes) : T(1);
        T squares[W] = {};
        for_each_class([&](int i, int c, int j) {
          T e = a[i] - (c == y[j] ? T(1) : T(0));
          squares[j] += e * e;
        });
        for (int j = 0; j < W; ++j) losses[j] = double(squares[j]) * (mean ? 1.0 / classes : 0.5);
        return for_each_value([&](int i, int c, int j) { d[i] = slope * (a[i] - (c == y[j] ? T(1) : T(0))); });
      }
      case Loss::cross_entropy: {
        T slope[W];
        for (int j = 0; j < W; ++j) {
          const T p = a[y[j] * W + j], clamped = p < epsilon ? epsilon : p;
          slope[j] = p < epsilon ? T(0) : T(-1) / clamped;
          losses[j] = clamped;
        }
        for (int j = 0; j < count; ++j) losses[j] = -double(log(T(losses[j])));
        return for_each_value([&](int i, int c, int j) { d[i] = c == y[j] ? slope[j] : T(0); });
      }
      case Loss::logit_cross_entropy: {
        T maximum[W], total[W];
        maxima(a, maximum);
        exponentials(a, d, maximum, total);
        for (int j = 0; j < count; ++j) losses[j] = double(maximum[j] - a[y[j] * W + j]) + double(log(total[j]));
        return for_each_value([&](int i, int c, int j) { d[i] = d[i] / total[j] - (c == y[j] ? T(1) : T(0)); });
      }
      case Loss::nll:
        for (int j = 0; j < W; ++j) losses[j] = -double(a[y[j] * W + j]);
        return for_each_value([&](int i, int c, int j) { d[i] = c == y[j] ? T(-1) : T(0); });
      case Loss::binary_cross_entropy:
      case Loss::binary_cross_entropy_with_logits: {
        const Losses<W> values = binary_loss(*this, loss, epsilon);
        for (int j = 0; j < W; ++j) losses[j] = values.of[j];
        return;
      }
    }
  }

  // Turns d = dL/da into dL/dz times `scale`, 0 for dead units.
  ASSAY_INLINE void backward(Output output, T scale, int stride) {
    auto set_d = [&](auto slope) {
      for_each_value([&](int i, int c, int j) {
        const T value = scale * slope(i, j);
        d[i] = c < classes ? value : T(0);
      });
      for (int i = W == 1 ? stride : classes * W; i < stride * W; ++i) d[i] = 0;
    };
    switch (output) {
      case Output::identity: return set_d([&](int i, int) { return d[i]; });
      case Output::sigmoid: return set_d([&](int i, int) { return d[i] * Sigmoid::derivative(T(0), a[i]); });
      case Output::softmax: {
        T mean[W] = {};
        for_each_class([&](int i, int, int j) { mean[j] += a[i] * d[i]; });
        return set_d([&](int i, int j) { return a[i] * (d[i] - mean[j]); });
      }
      case Output::log_softmax: {
        T total[W] = {};
        for_each_class([&](int i, int, int j) { total[j] += d[i]; });
        return set_d([&](int i, int j) { return d[i] - exp(a[i]) * total[j]; });
      }
    }
  }

  // The class with the largest output of each example, the first one on a tie.
  ASSAY_INLINE void argmax(int* predicted) const {
    T maximum[W];
    for (int j = 0; j < W; ++j) maximum[j] = a[j], predicted[j] = 0;
    for_each_class([&](int i, int c, int j) {
      predicted[j] = a[i] > maximum[j] ? c : predicted[j];
      maximum[j] = a[i] > maximum[j] ? a[i] : maximum[j];
    });
  }

  // Calls body(index, class, example) for every value, in whole cache lines.
  template <class Body>
  ASSAY_INLINE void for_each_value(Body body) const {
    const int size = W == 1 ? (classes + LINE<T> - 1) / LINE<T> * LINE<T> : classes * W;
    for (int i = 0; i < size; i += LINE<T>)
      for (int j = 0; j < LINE<T>; ++j) body(i + j, W == 1 ? i + j : i / W, W == 1 ? 0 : j);
  }

  // The same class after class and without dead units, for sums.
  template <class Body>
  ASSAY_INLINE void for_each_class(Body body) const {
    for (int c = 0; c < classes; ++c)
      for (int j = 0; j < W; ++j) body(c * W + j, c, j);
  }

 private:
  ASSAY_INLINE void maxima(const T* values, T* maximum) const {
    for (int j = 0; j < W; ++j) maximum[j] = values[j];
    for_each_class([&](int i, int, int j) { maximum[j] = values[i] < maximum[j] ? maximum[j] : values[i]; });
  }

  // e = exp(values - maximum), and the sums over the classes.
  ASSAY_INLINE void exponentials(const T* values, T* e, const T* maximum, T* total) const {
    for_each_value([&](int i, int, int j) { e[i] = exp(values[i] - maximum[j]); });
    for (int j = 0; j < W; ++j) total[j] = 0;
    for_each_class([&](int i, int, int j) { total[j] += e[i]; });
  }
};

// Each example's binary cross-entropy, and d = dL/da. A function of its own, of a copy: the compiler rounds the sums of
// the other losses differently if this code is among them.
template <class T, int W>
__attribute__((noinline)) Losses<W> binary_loss(Group<T, W> group, Loss loss, T epsilon) {
  const T* a = group.a;
  T* d = group.d;
  Losses<W> losses{};
  if (loss == Loss::binary_cross_entropy_with_logits) {
    T total[W] = {};
    group.for_each_class(
        [&](int i, int c, int j) { total[j] += Softplus::forward(a[i]) - (c == group.y[j] ? a[i] : T(0)); });
    for (int j = 0; j < W; ++j) losses.of[j] = double(total[j]);
    group.for_each_value([&](int i, int c, int j) { d[i] = Sigmoid::forward(a[i]) - (c == group.y[j] ? T(1) : T(0)); });
    return losses;
  }
  // Not for sigmoid outputs, which are computed from their logits: hence one logarithm at a time.
  const T high = T(1) - epsilon;
  for (int c = 0; c < group.classes; ++c)
    for (int j = 0; j < group.count; ++j) {
      const T value = a[c * W + j], raised = value < epsilon ? epsilon : value;
      const T p = raised > high ? high : raised;
      losses.of[j] -= double(c == group.y[j] ? log(p) : log1p(-p));
    }
  group.for_each_value([&](int i, int c, int j) {
    const T slope = c == group.y[j] ? T(-1) / a[i] : T(1) / (T(1) - a[i]);
    d[i] = a[i] < epsilon || a[i] > high ? T(0) : slope;
  });
  return losses;
}

}  // namespace assay::ASSAY_LEVEL
