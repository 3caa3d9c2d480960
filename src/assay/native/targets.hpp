// The loss of a regression: the network's one output, as it is, compared with a real number.
#pragma once

#include "activations.hpp"

namespace assay::ASSAY_LEVEL {

// Returns the block's summed loss from z of the last layer. In training also d = dL/dz, divided by the batch's size, 0
// for dead units. A function of its own, so that the compiler rounds the sums of other losses as it would without it.
template <class T>
__attribute__((noinline)) double target_loss(const Pass<T>& pass, const Batch& batch, Block block, Workspace<T>& space,
                                             bool training) {
  const Plan& plan = *pass.plan;
  const bool mean = plan.loss == Loss::mse;  // of the one output; else half its square
  const int64_t stride = plan.last().stride;
  const T slope = T((mean ? 2.0 : 1.0) / batch.size);
  const T *z = space.z[plan.layers - 1], *targets = pass.inputs->targets;
  double total = 0;
  for (int i = 0; i < block.rows; ++i) {
    const T e = z[i * stride] - targets[batch.row(block.first + i)];
    total += double(e * e);
    if (!training) continue;
    T* d = space.d + i * stride;
    for (int u = 0; u < stride; u += LANES<T>) as_vector(d + u) = Vector<T>{};
    d[0] = slope * e;
  }
  return mean ? total : 0.5 * total;
}

}  // namespace assay::ASSAY_LEVEL
