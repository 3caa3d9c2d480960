"""Words of other libraries that mean nearly, but not exactly, what a key of a recipe means: what to write in place."""

from __future__ import annotations

from typing import Any

from assay.parts.optimizers import OPTIMIZERS

BATCH_HINT = (
    "'mini-batch' can be 'shuffled' (each epoch a random permutation, as torch's DataLoader(shuffle=True) has it) or "
    "'window' (a contiguous run at a random position, as in the articles); write one of them, with its size"
)


def is_batch_hint(name: str) -> bool:
    """Whether a name of batches is one that several kinds go by."""
    return name.casefold().replace("-", "").replace("_", "").replace(" ", "") == "minibatch"


_OPTION = "how a recipe is trained is not part of it; give the option --{key}, or in Python the argument"

_TOP: dict[str, str] = {
    "weight_decay": "belongs to a part of the recipe: decoupled decay is optimizer = {{ name = 'adamw', weight_decay = "
    "{value} }}; a penalty in the loss is regularisation = {{ l2 = {value}, biases = true }}",
    "alpha": "in scikit-learn, a penalty alpha / (2 n) |w|^2 with n the size of the batch; "
    "here regularisation = {{ l2 = alpha / n }}",
    "l1": "write regularisation = {{ l1 = {value} }}",
    "l2": "write regularisation = {{ l2 = {value} }}",
    "momentum": "write optimizer = {{ name = 'momentum', momentum = {value} }}, or name = 'nesterov'",
    "nesterovs_momentum": "write optimizer = {{ name = 'nesterov', momentum = 0.9 }}",
    "solver": "scikit-learn's 'sgd' has Nesterov momentum: optimizer = {{ name = 'nesterov', learning_rate = 0.001, "
    "momentum = 0.9 }}; its 'adam' is optimizer = 'adam'",
    "max_iter": "in scikit-learn, epochs for 'sgd' and 'adam'; write budget = {{ epochs = {value} }}, or iterations",
    "steps_per_epoch": "follows from the batches and the training examples; leave it out",
    "early_stopping": "write stop = {{ patience = 10 }}, and data = {{ name = ..., validation = 1000 }}",
    "patience": "write stop = {{ patience = {value} }}",
    "n_iter_no_change": "write stop = {{ patience = ... }}, which counts log points",
    "tol": "there is no such rule; write stop = {{ patience = 10 }}, which waits for any lower loss",
    "validation_split": "a fraction of the training examples; write their number, data = {{ name = ..., "
    "validation = 1000 }}",
    "validation_fraction": "a fraction of the training examples; write their number, data = {{ name = ..., "
    "validation = 1000 }}",
    "shuffle": "write batches = 'shuffled' for true; 'full' and 'window' keep the order of the examples",
    "layers": "write model = {{ layers = [...] }}, or model = {{ hidden = [64, 32] }} for dense layers",
    "scheduler": "write schedule = {{ name = 'cosine', horizon = 1000 }}, or 'step', 'exponential', 'linear'",
    "lr_scheduler": "write schedule = {{ name = 'cosine', horizon = 1000 }}, or 'step', 'exponential', 'linear'",
    "max_grad_norm": "write clip_norm = {value}",
    "gradient_clip_val": "write clip_norm = {value}",
    "global_clipnorm": "write clip_norm = {value}",
    "clipnorm": "in Keras, the largest norm of each array; clip_norm is that of all weights together, as Keras' "
    "global_clipnorm",
    **dict.fromkeys(("engine", "device", "threads"), _OPTION),
}

_INNER: dict[str, dict[str, str]] = {
    "optimizer": {
        "amsgrad": "AMSGrad is not one of the optimizers; leave it out",
        "centered": "the centred form of RMSprop is not one of the optimizers; leave it out",
        "dampening": "momentum has no dampening here; leave it out",
        "betas": "got {value}; expected two numbers, such as [0.9, 0.999]; only adam, adamw, nadam, radam, "
        "lion, muon and schedule-free-adamw have them",
        "alpha": "only rmsprop has it, as torch's RMSprop: its averaging constant, also called rho",
        "lr_decay": "write schedule, with its own formulas; there is no lr_decay",
        "clipnorm": _TOP["clipnorm"],
        "global_clipnorm": _TOP["global_clipnorm"],
    },
    "model": {
        "units": "write hidden = [{value}], one number per hidden layer",
        "hidden_size": "write hidden = [{value}], one number per hidden layer",
    },
    "schedule": {
        "gamma": "torch's gamma is the key 'factor', applied once in `every` iterations: write factor = {value}",
        "step_size": "torch counts calls of the scheduler: write every = '{value} epochs' for one call per epoch, "
        "or every = {value} for one per iteration",
        "T_max": "torch counts calls of the scheduler: write horizon = '{value} epochs' for one call per epoch, "
        "or horizon = {value} for one per iteration",
        "eta_min": "an absolute rate; write final = eta_min / learning_rate, such as final = 0.01",
        "warmup": "write warm_up = {value}, in iterations, or warm_up = '1 epoch'",
        "warmup_steps": "write warm_up = {value}; its first iteration has 1 / warm_up of the rate, not 0",
        "num_warmup_steps": "write warm_up = {value}; its first iteration has 1 / warm_up of the rate, not 0",
    },
    "batches": {
        "drop_last": "a smaller last batch is always used, as with drop_last=False; leave it out",
        "shuffle": _TOP["shuffle"],
    },
    "data": {
        "validation_split": "a fraction of the training examples; write validation = 1000, their number",
        "test_size": "the test set is the data set's own; `validation` takes examples from the training set",
    },
}

_DECAY = (
    "{owner} has no such key; decoupled decay is optimizer = {{ name = 'adamw', weight_decay = {value} }}; a penalty "
    "in the loss, as torch's Adam and SGD have it, is regularisation = {{ l2 = {value}, biases = true }}"
)
_RATE_DECAY = (
    "{owner} has no such key; Keras's decay lowers the learning rate: write a schedule, such as schedule = {{ name = "
    "'exponential', every = '1 epoch', factor = 0.9 }}; the averaging constant of rmsprop and adadelta is rho"
)
_MOMENTUM = "{owner} has no momentum; optimizer 'momentum' and 'nesterov' have it"

_DEFAULTS = {("optimizer", "amsgrad"), ("optimizer", "centered"), ("optimizer", "dampening"), ("batches", "drop_last")}


def is_default(section: str, key: str, value: Any, *, component: str = "") -> bool:
    """Whether a key that a recipe does not have is switched off, which is what a recipe without it means.

    >>> is_default("optimizer", "amsgrad", False), is_default("optimizer", "amsgrad", True)
    (True, False)
    """
    off = value is False or (isinstance(value, int | float) and value == 0)
    decay = section == "optimizer" and _is_foreign_decay(key, component) and value is not False
    return off and ((section, key) in _DEFAULTS or decay)


def _is_foreign_decay(key: str, component: str) -> bool:
    """Whether a key is another library's decay, of weights or of the learning rate, and the optimizer has none."""
    optimizer = OPTIMIZERS.get(component or "adam")
    return key in ("weight_decay", "decay") and optimizer is not None and key not in optimizer.model_fields


def hint(section: str, key: str, value: Any, *, component: str = "") -> str:
    """What to write in place of another library's key; "" for any other key.

    Args:
        section: The table that holds the key; "" for the top of a recipe.
        key: The key.
        value: Its value, which the sentence repeats.
        component: The name of the component that the table describes.
    """
    if not section and key == "loss":
        return _loss_hint(value)
    if section == "optimizer" and _is_foreign_decay(key, component):
        template = _DECAY if key == "weight_decay" else _RATE_DECAY
    elif section == "optimizer" and key == "momentum" and component in OPTIMIZERS:
        template = "" if "momentum" in OPTIMIZERS[component].model_fields else _MOMENTUM
    else:
        template = _INNER.get(section, {}).get(key, "") if section else _TOP.get(key, "")
    if not template:
        return ""
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    shown = text if len(text) <= 40 else "..."
    return template.format(value=shown, key=key, owner=f"optimizer {component or 'adam'!r}")


def _loss_hint(value: Any) -> str:
    """What to write in place of a loss of torch or Keras that holds the output function as well."""
    name = value.casefold().replace("_", "") if isinstance(value, str) else ""
    if name == "crossentropyloss":
        return (
            "torch's CrossEntropyLoss takes the values before a softmax: leave loss out, because the default output "
            "'log_softmax' with 'nll' is the same function, or write 'logit_cross_entropy' with output 'identity'"
        )
    if name in ("categoricalcrossentropy", "sparsecategoricalcrossentropy"):
        return "write 'cross_entropy' with output 'softmax', or leave loss out for 'log_softmax' with 'nll'"
    return ""
