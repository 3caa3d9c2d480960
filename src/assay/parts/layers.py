"""Layers as plain records: their shapes and arithmetic operations; engines implement them.

Images are (height, width, channels), channels last, in the order of the values in the data.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from assay.parts.activations import ACTIVATIONS

Weights = dict[str, NDArray[np.float64]]
Image = tuple[int, int, int]
"""Height, width, channels."""


@dataclass(frozen=True)
class Dense:
    """z = x w + b with w (inputs, units) and b (units,)."""

    inputs: int
    units: int

    @property
    def values(self) -> int:
        """The number of values of an example after the layer."""
        return self.units

    @property
    def fans(self) -> tuple[int, int]:
        """Fan in and fan out: how many values a unit sees, and how many units see a value."""
        return self.inputs, self.units

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays that are trained."""
        return {"weight": (self.inputs, self.units), "bias": (self.units,)}

    def flops(self, *, first: bool) -> tuple[int, int]:
        """Operations per example, forward and backward; the first layer needs no gradient of its input."""
        product = 2 * self.inputs * self.units
        return product, product + self.units + (0 if first else product)


@dataclass(frozen=True)
class Conv2d:
    """z[i, j] = sum over (m, n) of x[i stride + m, j stride + n] w[m, n] + b, with w (kernel, kernel, channels in,
    channels out), b (channels out,) and x padded by `padding` zeros: a cross-correlation, as in every framework."""

    image: Image
    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0

    @property
    def out(self) -> Image:
        """The image after the layer."""
        height, width = (windows(side + 2 * self.padding, self.kernel, self.stride) for side in self.image[:2])
        return height, width, self.channels

    @property
    def whole(self) -> bool:
        """Whether one window covers the whole image, which makes it a dense layer."""
        return self.image[:2] == (self.kernel, self.kernel) and not self.padding

    @property
    def values(self) -> int:
        return math.prod(self.out)

    @property
    def fans(self) -> tuple[int, int]:
        return self.kernel**2 * self.image[2], self.kernel**2 * self.channels

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.kernel, self.kernel, self.image[2], self.channels), "bias": (self.channels,)}

    def places(self) -> Iterator[tuple[int, int, tuple[slice, slice, slice]]]:
        """The positions of the kernel, in padded images."""
        return places(self.kernel, self.stride, self.out)

    def flops(self, *, first: bool) -> tuple[int, int]:
        """As a dense layer at each position; the padding is counted like the image."""
        product = 2 * self.fans[0] * self.values
        return product, product + self.values + (0 if first else product)


@dataclass(frozen=True)
class BatchNorm:
    """y = scale (x - mean) / sqrt(variance + epsilon) + bias for each channel, or for each unit of a flat input.

    Training uses the mean and variance of the batch, evaluation running ones: running <- 0.9 running + 0.1 batch, the
    variance with Bessel's correction (Ioffe and Szegedy 2015; the numbers are PyTorch's).
    """

    channels: int
    places: int  # values of an example in one channel: 1 for a flat input

    epsilon = 1e-5
    momentum = 0.1

    @property
    def values(self) -> int:
        return self.channels * self.places

    @property
    def fans(self) -> tuple[int, int]:
        return 1, 1

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"scale": (self.channels,), "bias": (self.channels,)}

    @property
    def buffers(self) -> dict[str, tuple[int, ...]]:
        """The arrays that are not trained: running statistics."""
        return {"mean": (self.channels,), "variance": (self.channels,)}

    def flops(self, *, first: bool) -> tuple[int, int]:
        return 8 * self.values, 12 * self.values


@dataclass(frozen=True)
class Pool:
    """The maximum (`max`) or the mean (`average`) of each window of size x size values, channel by channel.

    The gradient of a maximum goes to the first position of the window that has it.
    """

    image: Image
    size: int
    stride: int
    kind: str

    @property
    def out(self) -> Image:
        """The image after the layer; values at the right and the bottom that do not fill a window are dropped."""
        height, width = (windows(side, self.size, self.stride) for side in self.image[:2])
        return height, width, self.image[2]

    @property
    def values(self) -> int:
        return math.prod(self.out)

    def places(self) -> Iterator[tuple[int, int, tuple[slice, slice, slice]]]:
        """The positions within the windows."""
        return places(self.size, self.stride, self.out)

    def flops(self, *, first: bool) -> tuple[int, int]:
        return self.size**2 * self.values, self.size**2 * self.values


@dataclass(frozen=True)
class Flatten:
    """An image as one vector of values, in the order (height, width, channels)."""

    values: int

    def flops(self, *, first: bool) -> tuple[int, int]:
        return 0, 0


@dataclass(frozen=True)
class Activate:
    """An activation on each of `units` values."""

    function: str
    units: int

    @property
    def values(self) -> int:
        return self.units

    def flops(self, *, first: bool) -> tuple[int, int]:
        forward, backward = ACTIVATIONS[self.function].flops
        return self.units * forward, self.units * backward


@dataclass(frozen=True)
class Dropout:
    """In training, each of `units` values is 0 with probability `rate`, else divided by 1 - rate (Srivastava 2014)."""

    rate: float
    units: int

    @property
    def values(self) -> int:
        return self.units

    def flops(self, *, first: bool) -> tuple[int, int]:
        return self.units, self.units


Weighted = Dense | Conv2d | BatchNorm
Layer = Weighted | Pool | Flatten | Activate | Dropout


def places(size: int, stride: int, out: Image) -> Iterator[tuple[int, int, tuple[slice, slice, slice]]]:
    """For every position (i, j) within a window, row by row: the slice of images (B, height, width, channels) that has
    the values at this position of all windows."""
    for i in range(size):
        for j in range(size):
            rows, columns = (slice(k, k + stride * (count - 1) + 1, stride) for k, count in ((i, out[0]), (j, out[1])))
            yield i, j, (slice(None), rows, columns)


def windows(side: int, size: int, stride: int) -> int:
    """The number of windows of a size and stride along a side."""
    return (side - size) // stride + 1


@dataclass(frozen=True)
class Network:
    """The layers of a model for examples of a given shape and C classes, and the function after the last one."""

    layers: tuple[Layer, ...]
    output: str
    inputs: int
    classes: int

    @cached_property
    def weighted(self) -> tuple[Weighted, ...]:
        """The layers that have weights; layer i has the arrays "i.weight" and "i.bias", or what its shapes name."""
        return tuple(layer for layer in self.layers if isinstance(layer, Weighted))

    @property
    def dense(self) -> tuple[Dense, ...]:
        """The dense layers only."""
        return tuple(layer for layer in self.layers if isinstance(layer, Dense))

    @property
    def image(self) -> Image | None:
        """The shape of an example if the first layer takes images, else None."""
        return next((layer.image for layer in self.layers[:1] if isinstance(layer, Conv2d | Pool)), None)

    def numbered(self) -> Iterator[tuple[int, Layer]]:
        """Every layer with the number under which its weights are named, or the next layer's if it has none."""
        number = 0
        for layer in self.layers:
            yield number, layer
            number += isinstance(layer, Weighted)

    @property
    def parameters(self) -> int:
        """The number of weights and biases together."""
        return sum(map(math.prod, self.shapes.values()))

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every array that is trained, in the order of the layers."""
        named = enumerate(self.weighted)
        return {f"{i}.{name}": shape for i, layer in named for name, shape in layer.shapes.items()}

    @cached_property
    def buffers(self) -> dict[str, tuple[int, ...]]:
        """The shape of every array that is not trained: running means and variances."""
        named = [(i, layer) for i, layer in enumerate(self.weighted) if isinstance(layer, BatchNorm)]
        return {f"{i}.{name}": shape for i, layer in named for name, shape in layer.buffers.items()}

    @property
    def arrays(self) -> dict[str, tuple[int, ...]]:
        """The shape of every array of a checkpoint's weights."""
        return self.shapes | self.buffers

    @property
    def order(self) -> list[str]:
        """The names of the trained arrays; first those under penalties and weight decay, which are called weight."""
        return sorted(self.shapes, key=lambda name: not name.endswith("weight"))

    @property
    def penalised(self) -> int:
        """The number of values in all arrays called weight."""
        return sum(math.prod(shape) for name, shape in self.shapes.items() if name.endswith("weight"))

    @property
    def widest(self) -> int:
        """The largest number of values of an example between two layers."""
        return max(self.inputs, *(layer.values for layer in self.layers))

    @property
    def normalises(self) -> bool:
        """Whether an example's outputs in training depend on the other examples of its batch."""
        return any(isinstance(layer, BatchNorm) for layer in self.layers)

    def pooled_first(self) -> Network:
        """The same function with fewer operations: max-pooling moves before a monotone activation.

        A non-decreasing function of the maximum is the maximum of the function's values. The gradients are equal too:
        if several values of a window share the maximum only after the activation, its derivative there is 0.
        """
        layers = list(self.layers)
        for i, (a, b) in enumerate(itertools.pairwise(layers)):
            if isinstance(a, Activate) and isinstance(b, Pool) and b.kind == "max" and ACTIVATIONS[a.function].monotone:
                layers[i], layers[i + 1] = b, Activate(a.function, b.values)
        return Network(tuple(layers), self.output, self.inputs, self.classes)
