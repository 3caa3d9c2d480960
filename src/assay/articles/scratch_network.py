"""A network from scratch, trained one example at a time: as first written, and with preallocated buffers.

Both compute the same numbers: any widths, sigmoid, half the squared error summed over the outputs. The first makes a
new array for every value, as the operators of NumPy do; the second writes into arrays that it made at the start.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Layers = list[tuple[Floats, Floats]]  # w (inputs, units), b (units,)


def sigmoid(z: Floats) -> Floats:
    """1 / (1 + exp(-z))"""
    return 1.0 / (1.0 + np.exp(-z))


def example_gradients(layers: Layers, x: Floats, y: Floats) -> list[tuple[Floats, Floats]]:
    """The gradients of one example's loss, (dw, db) of each layer, in new arrays."""
    values = [x]
    for w, b in layers:
        values.append(sigmoid(values[-1] @ w + b))
    d = (values[-1] - y) * values[-1] * (1.0 - values[-1])
    gradients: list[tuple[Floats, Floats]] = []
    for i in reversed(range(len(layers))):
        gradients.append((np.outer(values[i], d), d))
        if i:
            d = (layers[i][0] @ d) * values[i] * (1.0 - values[i])
    return gradients[::-1]


def step(layers: Layers, xs: Floats, ys: Floats, rate: float) -> Layers:
    """The layers after one batch, as first written: sums of gradients and weights are new arrays."""
    sums = [(np.zeros_like(w), np.zeros_like(b)) for w, b in layers]
    for x, y in zip(xs, ys, strict=True):
        gradients = example_gradients(layers, x, y)
        sums = [(sw + dw, sb + db) for (sw, sb), (dw, db) in zip(sums, gradients, strict=True)]
    factor = rate / len(xs)
    return [(w - factor * dw, b - factor * db) for (w, b), (dw, db) in zip(layers, sums, strict=True)]


class InPlace:
    """The same step with every array allocated at the start, and every operation in place."""

    def __init__(self, layers: Layers) -> None:
        self.layers = [(w.copy(), b.copy()) for w, b in layers]
        self._values = [np.empty(len(b)) for _, b in layers]
        self._d = [np.empty(len(b)) for _, b in layers]
        self._slopes = [np.empty(len(b)) for _, b in layers]
        self._dw = [np.empty_like(w) for w, _ in layers]
        self._sums = [(np.empty_like(w), np.empty_like(b)) for w, b in layers]

    def step(self, xs: Floats, ys: Floats, rate: float) -> None:
        """Changes the layers by one batch."""
        for sw, sb in self._sums:
            sw.fill(0.0)
            sb.fill(0.0)
        for x, y in zip(xs, ys, strict=True):
            self._add(x, y)
        factor = rate / len(xs)
        for (w, b), (sw, sb) in zip(self.layers, self._sums, strict=True):
            np.multiply(sw, factor, out=sw)
            np.multiply(sb, factor, out=sb)
            np.subtract(w, sw, out=w)
            np.subtract(b, sb, out=b)

    def _add(self, x: Floats, y: Floats) -> None:
        """Adds one example's gradients to the sums."""
        previous = x
        for (w, b), value in zip(self.layers, self._values, strict=True):
            np.dot(previous, w, out=value)
            np.add(value, b, out=value)
            np.negative(value, out=value)
            np.exp(value, out=value)
            np.add(value, 1.0, out=value)
            np.reciprocal(value, out=value)
            previous = value
        np.subtract(self._values[-1], y, out=self._d[-1])
        for i in reversed(range(len(self.layers))):
            d, value = self._d[i], self._values[i]
            np.subtract(1.0, value, out=self._slopes[i])
            np.multiply(self._slopes[i], value, out=self._slopes[i])
            np.multiply(d, self._slopes[i], out=d)
            below = self._values[i - 1] if i else x
            np.dot(below[:, None], d[None, :], out=self._dw[i])
            np.add(self._sums[i][0], self._dw[i], out=self._sums[i][0])
            np.add(self._sums[i][1], d, out=self._sums[i][1])
            if i:
                np.dot(self.layers[i][0], d, out=self._d[i - 1])


def products(widths: Sequence[int], batch: int) -> list[tuple[Floats, Floats, Floats]]:
    """The operands and results of one batch's matrix products, forward and backward: the work of the BLAS."""
    matrices: list[tuple[Floats, Floats, Floats]] = []
    for i, (inputs, units) in enumerate(itertools.pairwise(widths)):
        x, w, d = np.ones((batch, inputs)), np.ones((inputs, units)), np.ones((batch, units))
        matrices += [(x, w, d.copy()), (x.T, d, w.copy())]
        matrices += [(d, w.T, x.copy())] if i else []
    return matrices


__all__ = ["InPlace", "Layers", "example_gradients", "products", "step"]
