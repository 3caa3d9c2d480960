"""Activation functions and output functions, each with its derivative.

The formulas are written for any array namespace `xp` (NumPy, jax.numpy, torch). z is the value before the function and
a the value after it, both (B, units).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

Array = Any  # of whatever namespace xp is


@dataclass(frozen=True)
class Activation:
    """An elementwise function, its derivative as a function of z and a, and the arithmetic operations of both."""

    forward: Callable[[Any, Array], Array]
    derivative: Callable[[Any, Array, Array], Array]
    flops: tuple[int, int]
    formula: str
    monotone: bool = True  # non-decreasing


def identity(xp: Any, z: Array) -> Array:
    """z"""
    return z


def identity_derivative(xp: Any, z: Array, a: Array) -> Array:
    """1"""
    return xp.ones_like(z)


def relu(xp: Any, z: Array) -> Array:
    """max(z, 0)"""
    return xp.maximum(z, 0.0)


def relu_derivative(xp: Any, z: Array, a: Array) -> Array:
    """1 where z > 0, else 0; 0 at the kink, as in torch."""
    return xp.heaviside(a, 0.0)


def leaky_relu(xp: Any, z: Array) -> Array:
    """z where z > 0, else z / 100"""
    return xp.maximum(z, 0.01 * z)


def leaky_relu_derivative(xp: Any, z: Array, a: Array) -> Array:
    """1 where z > 0, else 1 / 100"""
    return 0.01 + 0.99 * xp.heaviside(z, 0.0)


def sigmoid(xp: Any, z: Array) -> Array:
    """1 / (1 + exp(-z))"""
    return 1.0 / (1.0 + xp.exp(-z))


def sigmoid_derivative(xp: Any, z: Array, a: Array) -> Array:
    """a (1 - a)"""
    return a * (1.0 - a)


def tanh(xp: Any, z: Array) -> Array:
    """tanh(z)"""
    return xp.tanh(z)


def tanh_derivative(xp: Any, z: Array, a: Array) -> Array:
    """1 - a**2"""
    return 1.0 - a * a


def elu(xp: Any, z: Array) -> Array:
    """z where z > 0, else exp(z) - 1"""
    return xp.maximum(z, 0.0) + xp.expm1(xp.minimum(z, 0.0))


def elu_derivative(xp: Any, z: Array, a: Array) -> Array:
    """1 where z > 0, else exp(z), which is a + 1"""
    return 1.0 + xp.minimum(a, 0.0)


def softplus(xp: Any, z: Array) -> Array:
    """log(1 + exp(z)), in the form that never overflows; exact everywhere, while torch is linear above 20."""
    return xp.maximum(z, 0.0) + xp.log1p(xp.exp(-abs(z)))


def softplus_derivative(xp: Any, z: Array, a: Array) -> Array:
    """sigmoid(z)"""
    return sigmoid(xp, z)


def silu(xp: Any, z: Array) -> Array:
    """z sigmoid(z), also called swish"""
    return z * sigmoid(xp, z)


def silu_derivative(xp: Any, z: Array, a: Array) -> Array:
    """s + a (1 - s) with s = sigmoid(z)"""
    s = sigmoid(xp, z)
    return s + a * (1.0 - s)


_GELU_SCALE, _GELU_CUBE = sqrt(2.0 / pi), 0.044715  # Hendrycks and Gimpel, "Gaussian error linear units" (2016)


def gelu(xp: Any, z: Array) -> Array:
    """z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z**3))) / 2: the tanh form"""
    return 0.5 * z * (1.0 + xp.tanh(_GELU_SCALE * (z + _GELU_CUBE * z * z * z)))


def gelu_derivative(xp: Any, z: Array, a: Array) -> Array:
    """(1 + h + z (1 - h**2) sqrt(2 / pi) (1 + 3 * 0.044715 z**2)) / 2 with h the inner tanh"""
    h = xp.tanh(_GELU_SCALE * (z + _GELU_CUBE * z * z * z))
    return 0.5 * (1.0 + h) + 0.5 * z * (1.0 - h * h) * (_GELU_SCALE * (1.0 + 3.0 * _GELU_CUBE * z * z))


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(identity, identity_derivative, (0, 0), "z"),
    "relu": Activation(relu, relu_derivative, (1, 1), "max(z, 0)"),
    "leaky_relu": Activation(leaky_relu, leaky_relu_derivative, (2, 3), "max(z, z / 100)"),
    "sigmoid": Activation(sigmoid, sigmoid_derivative, (4, 2), "1 / (1 + exp(-z))"),
    "tanh": Activation(tanh, tanh_derivative, (1, 2), "tanh(z)"),
    "elu": Activation(elu, elu_derivative, (4, 2), "z if z > 0 else exp(z) - 1"),
    "softplus": Activation(softplus, softplus_derivative, (6, 4), "log(1 + exp(z))"),
    "silu": Activation(silu, silu_derivative, (5, 7), "z sigmoid(z)", monotone=False),
    "gelu": Activation(gelu, gelu_derivative, (9, 19), "z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))) / 2", False),
}


@dataclass(frozen=True)
class Output:
    """The function after the last layer; `backward` turns d = dL/da into dL/dz."""

    forward: Callable[[Any, Array], Array]
    backward: Callable[[Any, Array, Array], Array]
    flops: tuple[int, int]  # per class, forward and backward
    loss: str  # the default loss of a recipe with this output
    formula: str


def log_softmax(xp: Any, z: Array) -> Array:
    """z - log(sum(exp(z))), shifted by the largest z so that nothing overflows"""
    shifted = z - xp.amax(z, axis=-1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(-1, keepdims=True))


def log_softmax_backward(xp: Any, a: Array, d: Array) -> Array:
    """d - softmax(z) sum(d)"""
    return d - xp.exp(a) * d.sum(-1, keepdims=True)


def softmax(xp: Any, z: Array) -> Array:
    """exp(z) / sum(exp(z))"""
    e = xp.exp(z - xp.amax(z, axis=-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_backward(xp: Any, a: Array, d: Array) -> Array:
    """a (d - sum(a d))"""
    return a * (d - (a * d).sum(-1, keepdims=True))


OUTPUTS: dict[str, Output] = {
    "identity": Output(identity, lambda xp, a, d: d, (0, 0), "logit_cross_entropy", "z"),
    "sigmoid": Output(sigmoid, lambda xp, a, d: d * sigmoid_derivative(xp, a, a), (4, 3), "mse", "1 / (1 + exp(-z))"),
    "softmax": Output(softmax, softmax_backward, (5, 4), "cross_entropy", "exp(z) / sum(exp(z))"),
    "log_softmax": Output(log_softmax, log_softmax_backward, (6, 4), "nll", "z - log(sum(exp(z)))"),
}
