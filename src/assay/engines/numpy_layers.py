"""The layers of the reference engine, forwards and backwards, each as its formula says, all in buffers of an arena.

Images are (B, height, width, channels). A convolution is a sum over the places of its kernel: for each, one product of
the inputs under that place with that place's weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.engines.arena import Arena, xp
from assay.parts.activations import ACTIVATIONS
from assay.parts.layers import Activate, BatchNorm, Conv2d, Dense, Dropout, Flatten, Layer, Network, Pool

Values = Any  # an ArenaArray; the type checker cannot know that its operations give arrays of its own class
Arrays = dict[str, NDArray[np.float64]]


def as_images(x: Values, network: Network) -> Values:
    """Inputs (B, D) in the shape that the first layer takes."""
    return x if network.image is None else x.reshape(len(x), *network.image)


def evaluated(layer: Layer, number: int, arena: Arena, w: Arrays, running: Arrays, a: Values) -> Values:
    """What comes out of a layer in evaluation."""
    if isinstance(layer, BatchNorm):
        mean, variance = running[f"{number}.mean"], running[f"{number}.variance"]
        factor = w[f"{number}.scale"] / np.sqrt(variance + layer.epsilon)
        return a * factor + (w[f"{number}.bias"] - mean * factor)
    return Pass(layer, number, arena).forward(w, a, {})


class Pass:
    """One layer's way through one iteration: forwards, then backwards with what was kept."""

    def __init__(self, layer: Layer, number: int, arena: Arena) -> None:
        self.layer, self.number, self.arena = layer, number, arena
        self.before: Values = None
        self.after: Values = None
        self.kept: Values = None
        """A dropout's mask; a normalised batch."""

    def forward(self, w: Arrays, a: Values, seen: Arrays) -> Values:
        """What comes out of the layer in training; `seen` takes the running means that follow."""
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
                self.after = a * self.kept
            case BatchNorm():
                self.after = self._normalised(layer, w, seen)
        return self.after

    def backward(self, w: Arrays, g: Arrays, d: Values) -> Values:
        """Writes the layer's gradient into `g`; dL / d of what came in, given that of what went out."""
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
                return d * self.kept
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
        self.kept = self._framed(layer, self.before)
        z = self.arena.take((len(self.before), *layer.out))
        z[...] = w[f"{self.number}.bias"]
        flat = z.reshape(rows)
        for i, j, place in layer.places():
            flat += self._product(self._gathered(self.kept[place]), weight[i, j])
        return z

    def _convolution_back(self, layer: Conv2d, w: Arrays, g: Arrays, d: Values) -> Values:
        weight, flat = w[f"{self.number}.weight"], d.reshape(-1, layer.channels)
        np.add.reduce(flat, axis=0, out=g[f"{self.number}.bias"])
        framed = self.arena.take(self.kept.shape)
        framed.fill(0.0)
        for i, j, place in layer.places():
            np.matmul(self._gathered(self.kept[place]).T, flat, out=g[f"{self.number}.weight"][i, j])
            if self.number:
                framed[place] += self._product(flat, weight[i, j].T).reshape(*d.shape[:3], -1)
        p, (height, width) = layer.padding, layer.image[:2]
        return framed[:, p : p + height, p : p + width]

    def _framed(self, layer: Conv2d, a: Values) -> Values:
        """Images in their frame of zeros."""
        p, (height, width, channels) = layer.padding, layer.image
        if not p:
            return a
        framed = self.arena.take((len(a), height + 2 * p, width + 2 * p, channels))
        framed.fill(0.0)
        framed[:, p : p + height, p : p + width] = a
        return framed

    def _gathered(self, part: Values) -> Values:
        """A part of images as rows, one for each place."""
        rows = self.arena.take(part.shape)
        rows[...] = part
        return rows.reshape(-1, part.shape[-1])

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
            share = d * (1.0 / layer.size**2)
            for _, _, place in layer.places():
                back[place] += share
            return back
        left = self.arena.take(d.shape)  # what no place of the window has taken yet
        left[...] = d
        for _, _, place in layer.places():
            taken = left * np.equal(self.before[place], self.after)
            back[place] += taken
            left -= taken
        return back

    # --- batch normalisation ---

    def _normalised(self, layer: BatchNorm, w: Arrays, seen: Arrays) -> Values:
        rows = self.before.reshape(-1, layer.channels)
        mean = rows.mean(0)
        centred = rows - mean
        variance = (centred * centred).mean(0)
        self.kept = centred / np.sqrt(variance + layer.epsilon), np.sqrt(variance + layer.epsilon)
        if seen:
            bessel = len(rows) / max(len(rows) - 1, 1)
            for name, value in (("mean", mean), ("variance", bessel * variance)):
                running = seen[f"{self.number}.{name}"]
                running += layer.momentum * (value - running)
        return (self.kept[0] * w[f"{self.number}.scale"] + w[f"{self.number}.bias"]).reshape(self.before.shape)

    def _normalised_back(self, layer: BatchNorm, w: Arrays, g: Arrays, d: Values) -> Values:
        (y, deviation), flat = self.kept, d.reshape(-1, layer.channels)
        np.add.reduce(flat * y, axis=0, out=g[f"{self.number}.scale"])
        np.add.reduce(flat, axis=0, out=g[f"{self.number}.bias"])
        through = flat - flat.mean(0) - y * (flat * y).mean(0)
        return (through * (w[f"{self.number}.scale"] / deviation)).reshape(d.shape)
