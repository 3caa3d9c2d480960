"""The loss functions, each with its value per example and its gradient.

a is the model's output (B, C), y the one-hot labels (B, C), `epsilon` the precision's epsilon. A batch's loss is the
mean of `value` over its examples; `gradient` is d value / da of each example, before that mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from assay.parts.activations import Array, log_softmax, softmax


@dataclass(frozen=True)
class Loss:
    """A loss, its gradient, the outputs it is meant for, and the arithmetic operations of both per class."""

    value: Callable[[Any, Array, Array, float], Array]
    gradient: Callable[[Any, Array, Array, float], Array]
    outputs: tuple[str, ...]
    flops: tuple[int, int]
    formula: str


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


LOSSES: dict[str, Loss] = {
    "mse": Loss(mse, mse_gradient, ("sigmoid", "softmax", "identity"), (3, 2), "mean over classes of (a - y)^2"),
    "quadratic": Loss(quadratic, quadratic_gradient, ("sigmoid", "softmax", "identity"), (3, 1), "sum (a - y)^2 / 2"),
    "cross_entropy": Loss(
        cross_entropy, cross_entropy_gradient, ("softmax", "sigmoid"), (4, 5), "-log p of the label, p = a"
    ),
    "logit_cross_entropy": Loss(
        logit_cross_entropy, logit_cross_entropy_gradient, ("identity",), (8, 6), "-log softmax(a) of the label"
    ),
    "nll": Loss(nll, nll_gradient, ("log_softmax",), (2, 1), "-a of the label, a = log p"),
}


def head(output: str, loss: str) -> tuple[str, str]:
    """The output and the loss that are computed: softmax with cross-entropy becomes log-softmax with nll.

    It is the same function, but its gradient p - y is correct even where p has underflowed to 0.

    >>> head("softmax", "cross_entropy")
    ('log_softmax', 'nll')
    """
    return ("log_softmax", "nll") if (output, loss) == ("softmax", "cross_entropy") else (output, loss)
