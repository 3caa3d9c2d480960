// Outputs and losses, as assay/parts defines them, for a group of examples side by side.
#pragma once

#include "functions.hpp"

namespace assay::ASSAY_LEVEL {

ASSAY_INLINE float log(float x) { return __builtin_logf(x); }
ASSAY_INLINE double log(double x) { return __builtin_log(x); }

// W examples, value c of example j at [c * W + j]. W is the length of a line, so that one instruction takes many
// examples; or 1, a row with its dead units, for examples that come alone.
template <class T, int W>
struct Group {
  static_assert(W == 1 || W == LINE<T>);
  const T* __restrict z;
  T *__restrict a, *__restrict d;  // apart from z and from each other
  int classes, count;           // of the W examples, those that there are
  int y[W];                     // their labels

  // From rows of `stride` values to `to`, and from `of` back to rows: W rows with their dead units, whatever `count` is.
  ASSAY_INLINE void take(const T* rows, int stride, T* to) const {
    for (int j = 0; j < W; j += LANES<T>)
      for (int c = 0; c < stride; c += LANES<T>) turn_tile(rows + j * int64_t{stride} + c, stride, to + c * W + j, W);
  }
  ASSAY_INLINE void give(const T* of, T* rows, int stride) const {
    for (int j = 0; j < W; j += LANES<T>)
      for (int c = 0; c < stride; c += LANES<T>) turn_tile(of + c * W + j, W, rows + j * int64_t{stride} + c, stride);
  }

  // a from z.
  ASSAY_INLINE void output(Output output) {
    switch (output) {
      case Output::identity:
        return each([&](int i, int, int) { a[i] = z[i]; });
      case Output::sigmoid:
        return each([&](int i, int, int) { a[i] = Sigmoid::forward(z[i]); });
      case Output::softmax: {
        T most[W], total[W];
        largest(z, most);
        exponentials(z, a, most, total);
        return each([&](int i, int, int j) { a[i] /= total[j]; });
      }
      case Output::log_softmax: {
        T most[W], shift[W];
        largest(z, most);
        exponentials(z, a, most, shift);
        for (int j = 0; j < W; ++j) shift[j] = most[j] + log(shift[j]);
        return each([&](int i, int, int j) { a[i] = z[i] - shift[j]; });
      }
    }
  }

  // Each example's loss, and d = dL/da.
  ASSAY_INLINE void loss(Loss loss, T epsilon, double* losses) {
    switch (loss) {
      case Loss::mse:
      case Loss::quadratic: {
        const bool mean = loss == Loss::mse;
        const T slope = mean ? T(2) / T(classes) : T(1);
        T squares[W] = {};
        by_class([&](int i, int c, int j) {
          T e = a[i] - (c == y[j] ? T(1) : T(0));
          squares[j] += e * e;
        });
        for (int j = 0; j < W; ++j) losses[j] = double(squares[j]) * (mean ? 1.0 / classes : 0.5);
        return each([&](int i, int c, int j) { d[i] = slope * (a[i] - (c == y[j] ? T(1) : T(0))); });
      }
      case Loss::cross_entropy: {
        T slope[W];
        for (int j = 0; j < W; ++j) {
          const T own = a[y[j] * W + j], p = own < epsilon ? epsilon : own;
          slope[j] = own < epsilon ? T(0) : T(-1) / p;
          losses[j] = p;
        }
        for (int j = 0; j < count; ++j) losses[j] = -double(log(T(losses[j])));
        return each([&](int i, int c, int j) { d[i] = c == y[j] ? slope[j] : T(0); });
      }
      case Loss::logit_cross_entropy: {
        T most[W], total[W];
        largest(a, most);
        exponentials(a, d, most, total);
        for (int j = 0; j < count; ++j) losses[j] = double(most[j] - a[y[j] * W + j]) + double(log(total[j]));
        return each([&](int i, int c, int j) { d[i] = d[i] / total[j] - (c == y[j] ? T(1) : T(0)); });
      }
      case Loss::nll:
        for (int j = 0; j < W; ++j) losses[j] = -double(a[y[j] * W + j]);
        return each([&](int i, int c, int j) { d[i] = c == y[j] ? T(-1) : T(0); });
    }
  }

  // d = dL/da becomes dL/dz, times `scale`; the dead units get 0.
  ASSAY_INLINE void backward(Output output, T scale, int stride) {
    auto become = [&](auto slope) {
      each([&](int i, int c, int j) {
        const T value = scale * slope(i, j);
        d[i] = c < classes ? value : T(0);
      });
      for (int i = W == 1 ? stride : classes * W; i < stride * W; ++i) d[i] = 0;
    };
    switch (output) {
      case Output::identity:
        return become([&](int i, int) { return d[i]; });
      case Output::sigmoid:
        return become([&](int i, int) { return d[i] * Sigmoid::derivative(T(0), a[i]); });
      case Output::softmax: {
        T mean[W] = {};
        by_class([&](int i, int, int j) { mean[j] += a[i] * d[i]; });
        return become([&](int i, int j) { return a[i] * (d[i] - mean[j]); });
      }
      case Output::log_softmax: {
        T total[W] = {};
        by_class([&](int i, int, int j) { total[j] += d[i]; });
        return become([&](int i, int j) { return d[i] - exp(a[i]) * total[j]; });
      }
    }
  }

  // The class with the largest output of each example, the first of them where there are several.
  ASSAY_INLINE void best(int* classes_found) const {
    T most[W];
    for (int j = 0; j < W; ++j) most[j] = a[j], classes_found[j] = 0;
    by_class([&](int i, int c, int j) {
      classes_found[j] = a[i] > most[j] ? c : classes_found[j];
      most[j] = a[i] > most[j] ? a[i] : most[j];
    });
  }

 private:
  // Calls `body` with the place, the class and the example of every value, in whole lines.
  template <class Body>
  ASSAY_INLINE void each(Body body) const {
    const int values = W == 1 ? (classes + LINE<T> - 1) / LINE<T> * LINE<T> : classes * W;
    for (int i = 0; i < values; i += LINE<T>)
      for (int j = 0; j < LINE<T>; ++j) body(i + j, W == 1 ? i + j : i / W, W == 1 ? 0 : j);
  }

  // The same class after class, for sums; dead units have no part in it.
  template <class Body>
  ASSAY_INLINE void by_class(Body body) const {
    for (int c = 0; c < classes; ++c)
      for (int j = 0; j < W; ++j) body(c * W + j, c, j);
  }

  ASSAY_INLINE void largest(const T* of, T* most) const {
    for (int j = 0; j < W; ++j) most[j] = of[j];
    by_class([&](int i, int, int j) { most[j] = of[i] < most[j] ? most[j] : of[i]; });
  }

  // e = exp(of - most), and the sums over the classes.
  ASSAY_INLINE void exponentials(const T* of, T* e, const T* most, T* total) const {
    each([&](int i, int, int j) { e[i] = exp(of[i] - most[j]); });
    for (int j = 0; j < W; ++j) total[j] = 0;
    by_class([&](int i, int, int j) { total[j] += e[i]; });
  }
};

}  // namespace assay::ASSAY_LEVEL
