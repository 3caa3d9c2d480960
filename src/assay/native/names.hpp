// The names that Python and the kernel share. An entry here is a function, a loss or a rule that the kernel has; its
// place is the number by which Python asks for it. Python reads the lists and refuses what is not in them.
#pragma once

#define ASSAY_ACTIVATIONS(X) \
  X(identity) X(relu) X(leaky_relu) X(sigmoid) X(tanh) X(elu) X(softplus) X(silu) X(gelu)
#define ASSAY_OUTPUTS(X) X(identity) X(sigmoid) X(softmax) X(log_softmax)
#define ASSAY_LOSSES(X) X(mse) X(quadratic) X(cross_entropy) X(logit_cross_entropy) X(nll)
#define ASSAY_RULES(X) X(descent) X(momentum) X(nesterov) X(adagrad) X(rmsprop) X(adadelta) X(adam) X(adamw)

namespace assay {
#define ASSAY_ENTRY(name) name,
enum class Activation : int { ASSAY_ACTIVATIONS(ASSAY_ENTRY) };
enum class Output : int { ASSAY_OUTPUTS(ASSAY_ENTRY) };
enum class Loss : int { ASSAY_LOSSES(ASSAY_ENTRY) };
enum class RuleName : int { ASSAY_RULES(ASSAY_ENTRY) };
#undef ASSAY_ENTRY
}  // namespace assay
