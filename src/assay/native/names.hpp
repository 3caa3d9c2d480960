// The activations, outputs, losses and optimizers that the kernel implements. The module exports these lists, and the
// Python engine refuses every recipe that needs a name which is not in them.
#pragma once

#define ASSAY_ACTIVATIONS(X) X(identity) X(relu) X(leaky_relu) X(sigmoid) X(tanh) X(elu) X(softplus) X(silu) X(gelu)
#define ASSAY_OUTPUTS(X) X(identity) X(sigmoid) X(softmax) X(log_softmax)
#define ASSAY_LOSSES(X) \
  X(mse)                \
  X(quadratic)          \
  X(cross_entropy) X(logit_cross_entropy) X(nll) X(binary_cross_entropy) X(binary_cross_entropy_with_logits)
#define ASSAY_OPTIMIZERS(X) \
  X(descent)                \
  X(momentum)               \
  X(nesterov) X(adagrad) X(rmsprop) X(adadelta) X(adam) X(adamw) X(nadam) X(radam) X(lion) X(adan)

namespace assay {
#define ASSAY_ENTRY(name) name,
enum class Activation : int { ASSAY_ACTIVATIONS(ASSAY_ENTRY) };
enum class Output : int { ASSAY_OUTPUTS(ASSAY_ENTRY) };
enum class Loss : int { ASSAY_LOSSES(ASSAY_ENTRY) };
enum class Optimizer : int { ASSAY_OPTIMIZERS(ASSAY_ENTRY) };
#undef ASSAY_ENTRY

// Whether an optimizer is one of the later ones, which are compiled apart (see `with_optimizer`).
constexpr bool is_later(Optimizer optimizer) { return optimizer > Optimizer::adamw; }
}  // namespace assay
