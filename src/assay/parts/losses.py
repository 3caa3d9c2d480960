"""The loss functions, each with its value per example and its gradient.

a is the model's output (B, C), y the one-hot labels (B, C), `epsilon` the precision's epsilon. A batch's loss is the
mean of `value` over its examples; `gradient` is d value / da of each example, before that mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from assay.parts.activations import Array, log_softmax, sigmoid, softmax, softplus


@dataclass(frozen=True)
class Loss:
    """A loss, its gradient, the outputs it is meant for, and the arithmetic operations of both per class.

    `output`: the output function of a model that names none; "" leaves the model's default.
    """

    value: Callable[[Any, Array, Array, float], Array]
    gradient: Callable[[Any, Array, Array, float], Array]
    outputs: tuple[str, ...]
    flops: tuple[int, int]
    formula: str
    output: str = ""


def mse(xp: Any, a: Array, y: Array, epsilon: float) -> Array:
    """mean over classes of (a - y)**2: Flux's mse"""
    e = a - y
    return (e * e).sum(-1) / a.shape[-1]


def mse_gradient(xp: Any, a: Array, y: Array, epsilon: float) -> Array:
    """2 (a - y) / C"""
    return (2.0 / a.shape[-1]) * (a - y)


def quadratic(xp: Any, a: Array, y: Array, epsilon: float) -> Array:
    """half the sum over classes of (a - y)**2: C / 2 times mse"""
    e = a - y
    return 0.5 * (e * e).sum(-1)


def quadratic_gradient(xp: Any, a: Array, y: Array, epsilon: float) -> Array:
    """a - y"""
    return a - y


def cross_entropy(xp: Any, a: Array, y: Array, epsilon: float) -> Array:
    """-log(p) of the label, p clamped from below at epsilon (Flux adds its epsilon instead)"""
    return -(y * xp.log(xp.clip(a, epsilon, None))).sum(-1)


def cross_entropy_gradient(xp: Any, a: Array, y: Array, epsilon: float) -> Array:
    """-y / p, and 0 where p was clamped"""
    return -(y / xp.clip(a, epsilon, None)) * xp.heaviside(a - epsilon, 1.0)


def logit_cross_entropy(xp: Any, a: Array, y: Array, epsilon: float) -> Array:
    """-log_softmax(a) of the label, a being logits"""
    return -(y * log_softmax(xp, a)).sum(-1)


def logit_cross_entropy_gradient(xp: Any, a: Array, y: Array, epsilon: float) -> Array:
    """softmax(a) - y"""
    return softmax(xp, a) - y


def nll(xp: Any, a: Array, y: Array, epsilon: float) -> Array:
    """-a of the label, a being log-probabilities"""
    return -(y * a).sum(-1)


def nll_gradient(xp: Any, a: Array, y: Array, epsilon: float) -> Array:
    """-y"""
    return -y


def binary_cross_entropy(xp: Any, a: Array, y: Array, epsilon: float) -> Array:
    """sum over classes of -y log(p) - (1 - y) log(1 - p), p clamped to epsilon ... 1 - epsilon"""
    p = xp.clip(a, epsilon, 1.0 - epsilon)
    return -(y * xp.log(p) + (1.0 - y) * xp.log1p(-p)).sum(-1)


def binary_cross_entropy_gradient(xp: Any, a: Array, y: Array, epsilon: float) -> Array:
    """(1 - y) / (1 - p) - y / p, and 0 where p was clamped"""
    p = xp.clip(a, epsilon, 1.0 - epsilon)
    inside = xp.heaviside(a - epsilon, 1.0) * xp.heaviside((1.0 - epsilon) - a, 1.0)
    return ((1.0 - y) / (1.0 - p) - y / p) * inside


def binary_cross_entropy_with_logits(xp: Any, a: Array, y: Array, epsilon: float) -> Array:
    """sum over classes of log(1 + exp(a)) - y a, a being logits: binary_cross_entropy of sigmoid(a)"""
    return (softplus(xp, a) - y * a).sum(-1)


def binary_cross_entropy_with_logits_gradient(xp: Any, a: Array, y: Array, epsilon: float) -> Array:
    """sigmoid(a) - y"""
    return sigmoid(xp, a) - y


LOSSES: dict[str, Loss] = {
    "mse": Loss(mse, mse_gradient, ("sigmoid", "softmax", "identity"), (3, 2), "mean over classes of (a - y)^2"),
    "quadratic": Loss(quadratic, quadratic_gradient, ("sigmoid", "softmax", "identity"), (3, 1), "sum (a - y)^2 / 2"),
    "cross_entropy": Loss(
        cross_entropy, cross_entropy_gradient, ("softmax",), (4, 5), "-log p of the label, p = a", "softmax"
    ),
    "logit_cross_entropy": Loss(
        logit_cross_entropy,
        logit_cross_entropy_gradient,
        ("identity",),
        (8, 6),
        "-log softmax(a) of the label",
        "identity",
    ),
    "nll": Loss(nll, nll_gradient, ("log_softmax",), (2, 1), "-a of the label, a = log p", "log_softmax"),
    "binary_cross_entropy": Loss(
        binary_cross_entropy,
        binary_cross_entropy_gradient,
        ("sigmoid",),
        (10, 13),
        "sum -y log p - (1 - y) log(1 - p), p = a",
        "sigmoid",
    ),
    "binary_cross_entropy_with_logits": Loss(
        binary_cross_entropy_with_logits,
        binary_cross_entropy_with_logits_gradient,
        ("identity",),
        (9, 5),
        "sum log(1 + exp(a)) - y a",
        "identity",
    ),
}

REGRESSION_LOSSES: dict[str, float] = {"mse": 1.0, "quadratic": 2.0}
"""The losses of a regression on one target, and the factor that makes the mean squared error of each."""

_COMPUTED = {
    ("softmax", "cross_entropy"): ("log_softmax", "nll"),
    ("sigmoid", "binary_cross_entropy"): ("identity", "binary_cross_entropy_with_logits"),
}
"""Pairs of an output and a loss, and the pair of the same function whose gradient is exact at every size."""


def head(output: str, loss: str) -> tuple[str, str]:
    """The output and the loss that are computed: softmax with cross-entropy becomes log-softmax with nll.

    It is the same function, but its gradient p - y is correct even where p has underflowed to 0. Likewise sigmoid with
    binary cross-entropy becomes identity with binary cross-entropy on logits.

    >>> head("softmax", "cross_entropy")
    ('log_softmax', 'nll')
    """
    return _COMPUTED.get((output, loss), (output, loss))
