"""The layers of the reference engine, forward and backward, each by its formula, in buffers of an arena.

Images are (B, height, width, channels). A convolution is a sum over the positions of its kernel: each adds one product
of the inputs at that position with that position's weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.engines.arena import Arena, xp
from assay.parts.activations import ACTIVATIONS
from assay.parts.layers import Activate, BatchNorm, Conv2d, Dense, Dropout, Flatten, Layer, Network, Pool

Values = Any  # an ArenaArray; the type checker does not know that its operations return arrays of the same class
Arrays = dict[str, NDArray[np.float64]]


def as_images(x: Values, network: Network) -> Values:
    """Inputs (B, D) in the shape of the first layer's input."""
    return x if network.image is None else x.reshape(len(x), *network.image)


def evaluated(layer: Layer, number: int, arena: Arena, w: Arrays, running: Arrays, a: Values) -> Values:
    """The output of a layer in evaluation."""
    if isinstance(layer, BatchNorm):
        mean, variance = running[f"{number}.mean"], running[f"{number}.variance"]
        factor = w[f"{number}.scale"] / np.sqrt(variance + layer.epsilon)
        return a * factor + (w[f"{number}.bias"] - mean * factor)
    return LayerPass(layer, number, arena).forward(w, a, {})


class LayerPass:
    """One layer in one iteration: the forward pass, then the backward pass with the values cached by the former."""

    def __init__(self, layer: Layer, number: int, arena: Arena) -> None:
        self.layer, self.number, self.arena = layer, number, arena
        self.before: Values = None
        self.after: Values = None
        self.cache: Values = None
        """A dropout's mask, a convolution's padded images, or a normalised batch with its deviation."""

    def forward(self, w: Arrays, a: Values, running: Arrays) -> Values:
        """The output of the layer in training; updates the means and variances in `running`."""
        layer, self.before = self.layer, a
        match layer:
            case Dense():
                self.after = self._product(a, w[f"{self.number}.weight"])
                np.add(self.after, w[f"{self.number}.bias"], out=self.after)
            case Conv2d():
                self.after = self._convolution(layer, w)
            case Activate():
                self.after = ACTIVATIONS[layer.function].forward(xp, a)
            case Pool():
                self.after = self._pooled(layer, a)
            case Flatten():
                self.after = a.reshape(len(a), layer.values)
            case Dropout():
                self.after = a * self.cache
            case BatchNorm():
                self.after = self._normalised(layer, w, running)
        return self.after

    def backward(self, w: Arrays, g: Arrays, d: Values) -> Values:
        """Writes the layer's gradient into `g`; returns dL / d(input), given `d` = dL / d(output)."""
        layer = self.layer
        match layer:
            case Dense():
                np.matmul(self.before.T, d, out=g[f"{self.number}.weight"])
                np.add.reduce(d, axis=0, out=g[f"{self.number}.bias"])
                return d @ w[f"{self.number}.weight"].T if self.number else d
            case Conv2d():
                return self._convolution_back(layer, w, g, d)
            case Activate():
                if layer.function == "identity":
                    return d
                return d * ACTIVATIONS[layer.function].derivative(xp, self.before, self.after)
            case Pool():
                return self._pooled_back(layer, d)
            case Flatten():
                return d.reshape(self.before.shape)
            case Dropout():
                return d * self.cache
            case BatchNorm():
                return self._normalised_back(layer, w, g, d)

    # --- products ---

    def _product(self, a: Values, weight: NDArray[np.float64]) -> Values:
        z = self.arena.take((a.shape[0], weight.shape[1]))
        np.matmul(a, weight, out=z)
        return z

    # --- convolution ---

    def _convolution(self, layer: Conv2d, w: Arrays) -> Values:
        weight, rows = w[f"{self.number}.weight"], (-1, layer.channels)
        self.cache = self._padded(layer, self.before)
        z = self.arena.take((len(self.before), *layer.out))
        z[...] = w[f"{self.number}.bias"]
        flat = z.reshape(rows)
        for i, j, place in layer.places():
            flat += self._product(self._gathered(self.cache[place]), weight[i, j])
        return z

    def _convolution_back(self, layer: Conv2d, w: Arrays, g: Arrays, d: Values) -> Values:
        weight, flat = w[f"{self.number}.weight"], d.reshape(-1, layer.channels)
        np.add.reduce(flat, axis=0, out=g[f"{self.number}.bias"])
        padded = self.arena.take(self.cache.shape)
        padded.fill(0.0)
        for i, j, place in layer.places():
            np.matmul(self._gathered(self.cache[place]).T, flat, out=g[f"{self.number}.weight"][i, j])
            if self.number:
                padded[place] += self._product(flat, weight[i, j].T).reshape(*d.shape[:3], -1)
        p, (height, width) = layer.padding, layer.image[:2]
        return padded[:, p : p + height, p : p + width]

    def _padded(self, layer: Conv2d, a: Values) -> Values:
        """Images padded by zeros."""
        p, (height, width, channels) = layer.padding, layer.image
        if not p:
            return a
        padded = self.arena.take((len(a), height + 2 * p, width + 2 * p, channels))
        padded.fill(0.0)
        padded[:, p : p + height, p : p + width] = a
        return padded

    def _gathered(self, pixels: Values) -> Values:
        """A slice of images as contiguous rows, one per pixel."""
        rows = self.arena.take(pixels.shape)
        rows[...] = pixels
        return rows.reshape(-1, pixels.shape[-1])

    # --- pooling ---

    def _pooled(self, layer: Pool, a: Values) -> Values:
        z = self.arena.take((len(a), *layer.out))
        z.fill(-np.inf if layer.kind == "max" else 0.0)
        for _, _, place in layer.places():
            (np.maximum if layer.kind == "max" else np.add)(z, a[place], out=z)
        return z if layer.kind == "max" else z * (1.0 / layer.size**2)

    def _pooled_back(self, layer: Pool, d: Values) -> Values:
        back = self.arena.take(self.before.shape)
        back.fill(0.0)
        if layer.kind == "average":
            mean = d * (1.0 / layer.size**2)
            for _, _, place in layer.places():
                back[place] += mean
            return back
        remaining = self.arena.take(d.shape)  # the gradient that no position of the window has received yet
        remaining[...] = d
        for _, _, place in layer.places():
            received = remaining * np.equal(self.before[place], self.after)
            back[place] += received
            remaining -= received
        return back

    # --- batch normalisation ---

    def _normalised(self, layer: BatchNorm, w: Arrays, running: Arrays) -> Values:
        rows = self.before.reshape(-1, layer.channels)
        mean = rows.mean(0)
        centred = rows - mean
        variance = (centred * centred).mean(0)
        self.cache = centred / np.sqrt(variance + layer.epsilon), np.sqrt(variance + layer.epsilon)
        if running:
            bessel = len(rows) / max(len(rows) - 1, 1)
            for name, value in (("mean", mean), ("variance", bessel * variance)):
                average = running[f"{self.number}.{name}"]
                average += layer.momentum * (value - average)
        return (self.cache[0] * w[f"{self.number}.scale"] + w[f"{self.number}.bias"]).reshape(self.before.shape)

    def _normalised_back(self, layer: BatchNorm, w: Arrays, g: Arrays, d: Values) -> Values:
        (y, deviation), flat = self.cache, d.reshape(-1, layer.channels)
        np.add.reduce(flat * y, axis=0, out=g[f"{self.number}.scale"])
        np.add.reduce(flat, axis=0, out=g[f"{self.number}.bias"])
        centred = flat - flat.mean(0) - y * (flat * y).mean(0)
        return (centred * (w[f"{self.number}.scale"] / deviation)).reshape(d.shape)
