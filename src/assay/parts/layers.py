"""Layers as plain records: their shapes, initial weights and arithmetic; each engine knows how to run them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from assay.parts.activations import ACTIVATIONS
from assay.rng import Stream, stream

Weights = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Dense:
    """z = x w + b with w (inputs, units) and b (units,)."""

    inputs: int
    units: int

    @property
    def parameters(self) -> int:
        return self.inputs * self.units + self.units

    def flops(self, *, first: bool) -> tuple[int, int]:
        """Operations for one example, forward and backward; the first layer needs no gradient of its input."""
        product = 2 * self.inputs * self.units
        return product, product + self.units + (0 if first else product)


@dataclass(frozen=True)
class Activate:
    """An activation on each of `units` values."""

    function: str
    units: int

    def flops(self, *, first: bool) -> tuple[int, int]:
        forward, backward = ACTIVATIONS[self.function].flops
        return self.units * forward, self.units * backward


@dataclass(frozen=True)
class Dropout:
    """In training, each of `units` values is 0 with probability `rate`, else divided by 1 - rate (Srivastava 2014)."""

    rate: float
    units: int

    def flops(self, *, first: bool) -> tuple[int, int]:
        return self.units, self.units


Layer = Dense | Activate | Dropout


@dataclass(frozen=True)
class Network:
    """The layers of a model for given numbers of inputs D and classes C, and the function after the last one."""

    layers: tuple[Layer, ...]
    output: str
    inputs: int
    classes: int

    @property
    def dense(self) -> tuple[Dense, ...]:
        """The layers that have weights; number i holds "i.weight" and "i.bias"."""
        return tuple(layer for layer in self.layers if isinstance(layer, Dense))

    @property
    def parameters(self) -> int:
        """How many weights and biases there are together."""
        return sum(layer.parameters for layer in self.dense)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every array of weights, in the order of the layers."""
        return {
            name: shape
            for i, layer in enumerate(self.dense)
            for name, shape in ((f"{i}.weight", (layer.inputs, layer.units)), (f"{i}.bias", (layer.units,)))
        }


Initial = Callable[[Stream, Dense], tuple[NDArray[np.float64], NDArray[np.float64]]]


def glorot_uniform(source: Stream, layer: Dense) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """U(-r, r) with r = sqrt(6 / (inputs + units)), zero biases: Flux's and Keras' default (Glorot, Bengio 2010)."""
    bound = sqrt(6.0 / (layer.inputs + layer.units))
    return _uniform(source, layer.inputs * layer.units, bound), np.zeros(layer.units)


def kaiming_uniform(source: Stream, layer: Dense) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """U(-r, r) with r = 1 / sqrt(inputs), weights and biases: PyTorch's Linear (He et al. 2015, a = sqrt 5)."""
    numbers = _uniform(source, layer.parameters, 1.0 / sqrt(layer.inputs))
    return numbers[: -layer.units], numbers[-layer.units :]


def standard_normal(source: Stream, layer: Dense) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """N(0, 1), weights and biases: the network from scratch."""
    numbers = source.normal(layer.parameters)
    return numbers[: -layer.units], numbers[-layer.units :]


def _uniform(source: Stream, count: int, bound: float) -> NDArray[np.float64]:
    return bound * (2.0 * source.uniform(count) - 1.0)


INITIALS: dict[str, Initial] = {
    "glorot_uniform": glorot_uniform,
    "kaiming_uniform": kaiming_uniform,
    "standard_normal": standard_normal,
}


def initial_weights(network: Network, initial: str, seed: int) -> Weights:
    """The weights before the first iteration, float64; layer i depends on (seed, i, its shape) alone."""
    weights: Weights = {}
    for i, layer in enumerate(network.dense):
        weight, bias = INITIALS[initial](stream(seed, "weights", i), layer)
        weights[f"{i}.weight"] = weight.reshape(layer.inputs, layer.units)
        weights[f"{i}.bias"] = bias
    return weights
