"""The initial weights of a network: the distributions by name, each as its framework draws them."""

from __future__ import annotations

import math
from collections.abc import Callable
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from assay.parts.layers import BatchNorm, Conv2d, Dense, Network, Weights
from assay.rng import Stream, stream

Initial = Callable[[Stream, Dense | Conv2d], tuple[NDArray[np.float64], NDArray[np.float64]]]


def glorot_uniform(source: Stream, layer: Dense | Conv2d) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """U(-r, r) with r = sqrt(6 / (fan in + fan out)), zero biases: Flux's and Keras' default (Glorot, Bengio 2010)."""
    (weights, biases), bound = _sizes(layer), sqrt(6.0 / sum(layer.fans))
    return _uniform(source, weights, bound), np.zeros(biases)


def kaiming_uniform(source: Stream, layer: Dense | Conv2d) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """U(-r, r) with r = 1 / sqrt(fan in), weights and biases: PyTorch's default (He et al. 2015, a = sqrt 5)."""
    (weights, biases), bound = _sizes(layer), 1.0 / sqrt(layer.fans[0])
    numbers = _uniform(source, weights + biases, bound)
    return numbers[:weights], numbers[weights:]


def standard_normal(source: Stream, layer: Dense | Conv2d) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """N(0, 1), weights and biases: the network from scratch."""
    weights, biases = _sizes(layer)
    numbers = source.normal(weights + biases)
    return numbers[:weights], numbers[weights:]


def scaled_normal(source: Stream, layer: Dense | Conv2d) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """N(0, 1 / fan in), biases N(0, 1): a standard normal network whose sums keep the variance of its inputs."""
    weights, biases = standard_normal(source, layer)
    return weights / sqrt(layer.fans[0]), biases


def lecun(source: Stream, layer: Dense | Conv2d) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Truncated normal of variance 1 / fan in, zero biases: JAX's and Keras' lecun_normal (LeCun et al. 1998)."""
    weights, biases = _sizes(layer)
    return _truncated_normal(source, weights, sqrt(1.0 / layer.fans[0])), np.zeros(biases)


def he_normal(source: Stream, layer: Dense | Conv2d) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Truncated normal of variance 2 / fan in, zero biases: JAX's and Keras' he_normal (He et al. 2015).

    PyTorch's kaiming_normal_ has the same variance without the truncation.
    """
    weights, biases = _sizes(layer)
    return _truncated_normal(source, weights, sqrt(2.0 / layer.fans[0])), np.zeros(biases)


def glorot_normal(source: Stream, layer: Dense | Conv2d) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Truncated normal of variance 2 / (fan in + fan out), zero biases: JAX's and Keras' (Glorot, Bengio 2010).

    PyTorch's xavier_normal_ has the same variance without the truncation.
    """
    weights, biases = _sizes(layer)
    return _truncated_normal(source, weights, sqrt(2.0 / sum(layer.fans))), np.zeros(biases)


_BELOW = 0.022750131948179207  # the probability of a standard normal number below -2
_TRUNCATED_DEVIATION = 0.87962566103423978  # of a standard normal between -2 and 2; the constant of JAX and Keras


def _truncated_normal(source: Stream, count: int, deviation: float) -> NDArray[np.float64]:
    """Normal numbers of that standard deviation, none beyond two standard deviations of the normal that is cut."""
    from scipy.special import ndtri  # a tenth of a second to import, which most commands do not need

    quantiles = _BELOW + (1.0 - 2.0 * _BELOW) * source.uniform(count)
    return (deviation / _TRUNCATED_DEVIATION) * ndtri(quantiles)


def _sizes(layer: Dense | Conv2d) -> tuple[int, int]:
    return math.prod(layer.shapes["weight"]), math.prod(layer.shapes["bias"])


def _uniform(source: Stream, count: int, bound: float) -> NDArray[np.float64]:
    return bound * (2.0 * source.uniform(count) - 1.0)


INITIALS: dict[str, Initial] = {
    "glorot_uniform": glorot_uniform,
    "kaiming_uniform": kaiming_uniform,
    "standard_normal": standard_normal,
    "scaled_normal": scaled_normal,
    "lecun": lecun,
    "he_normal": he_normal,
    "glorot_normal": glorot_normal,
}


def initial_weights(network: Network, initial: str, seed: int) -> Weights:
    """The weights before the first iteration, float64; layer i depends only on (seed, i, its shape).

    A batch normalisation starts as the identity of a standardised input, whatever `initial` is.
    """
    weights: Weights = {}
    for i, layer in enumerate(network.weighted):
        if isinstance(layer, BatchNorm):
            ones, zeros = np.ones(layer.channels), np.zeros(layer.channels)
            arrays = {"scale": ones, "bias": zeros, "mean": zeros.copy(), "variance": ones.copy()}
        else:
            weight, bias = INITIALS[initial](stream(seed, "weights", i), layer)
            arrays = {"weight": weight.reshape(layer.shapes["weight"]), "bias": bias}
        weights |= {f"{i}.{name}": array for name, array in arrays.items()}
    return weights
