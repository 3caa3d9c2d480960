// Outputs and losses for one example: `a` (C,) from z, the loss, and d = dL/dz, as assay/parts defines them.
#pragma once

#include "functions.hpp"

namespace assay::ASSAY_LEVEL {

ASSAY_INLINE float log(float x) { return __builtin_logf(x); }
ASSAY_INLINE double log(double x) { return __builtin_log(x); }

template <class T>
ASSAY_INLINE T largest(const T* z, int classes) {
  T most = z[0];
  for (int c = 1; c < classes; ++c) most = z[c] < most ? most : z[c];  // a NaN is kept
  return most;
}

// e = exp(z - largest), and its sum; `stride` values are read and written, C of them count.
template <class T>
ASSAY_INLINE T exponentials(const T* z, T* e, int classes, int stride, T most) {
  for (int i = 0; i < stride; i += LINE<T>)
    for (int j = 0; j < LINE<T>; ++j) e[i + j] = exp(z[i + j] - most);
  T total = 0;
  for (int c = 0; c < classes; ++c) total += e[c];
  return total;
}

template <class T>
ASSAY_INLINE void output_of(Output output, const T* z, T* a, int classes, int stride) {
  switch (output) {
    case Output::identity:
      return forward_of<Identity>(z, a, stride);
    case Output::sigmoid:
      return forward_of<Sigmoid>(z, a, stride);
    case Output::softmax: {
      T total = exponentials(z, a, classes, stride, largest(z, classes));
      for (int c = 0; c < classes; ++c) a[c] /= total;
      return;
    }
    case Output::log_softmax: {
      T most = largest(z, classes);
      T shift = most + log(exponentials(z, a, classes, stride, most));
      for (int c = 0; c < classes; ++c) a[c] = z[c] - shift;
      return;
    }
  }
}

// The loss of one example with label y, and dL/da in d (stride,).
template <class T>
ASSAY_INLINE double loss_of(Loss loss, const T* a, int y, T* d, int classes, int stride, T epsilon) {
  switch (loss) {
    case Loss::mse:
    case Loss::quadratic: {
      T squares = 0, slope = loss == Loss::mse ? T(2) / T(classes) : T(1);
      for (int c = 0; c < classes; ++c) {
        T e = a[c] - (c == y ? T(1) : T(0));
        squares += e * e;
        d[c] = slope * e;
      }
      return double(squares) * (loss == Loss::mse ? 1.0 / classes : 0.5);
    }
    case Loss::cross_entropy: {
      T p = a[y] < epsilon ? epsilon : a[y];
      for (int c = 0; c < classes; ++c) d[c] = 0;
      d[y] = a[y] < epsilon ? T(0) : T(-1) / p;
      return -double(log(p));
    }
    case Loss::logit_cross_entropy: {
      T most = largest(a, classes), total = exponentials(a, d, classes, stride, most);
      for (int c = 0; c < classes; ++c) d[c] /= total;
      d[y] -= T(1);
      return double(most - a[y]) + double(log(total));
    }
    case Loss::nll: {
      for (int c = 0; c < classes; ++c) d[c] = 0;
      d[y] = T(-1);
      return -double(a[y]);
    }
  }
  return 0;
}

// d = dL/da becomes dL/dz, times `scale`; the dead units get 0.
template <class T>
ASSAY_INLINE void output_backward(Output output, const T* a, T* d, int classes, int stride, T scale) {
  switch (output) {
    case Output::identity:
      for (int c = 0; c < classes; ++c) d[c] *= scale;
      break;
    case Output::sigmoid:
      for (int c = 0; c < classes; ++c) d[c] = scale * (d[c] * Sigmoid::derivative(T(0), a[c]));
      break;
    case Output::softmax: {
      T mean = 0;
      for (int c = 0; c < classes; ++c) mean += a[c] * d[c];
      for (int c = 0; c < classes; ++c) d[c] = scale * (a[c] * (d[c] - mean));
      break;
    }
    case Output::log_softmax: {
      T total = 0;
      for (int c = 0; c < classes; ++c) total += d[c];
      for (int i = 0; i < stride; i += LINE<T>)
        for (int j = 0; j < LINE<T>; ++j) d[i + j] = scale * (d[i + j] - exp(a[i + j]) * total);
      break;
    }
  }
  for (int c = classes; c < stride; ++c) d[c] = 0;
}

}  // namespace assay::ASSAY_LEVEL
