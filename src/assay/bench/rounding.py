"""How far rounding may move the gradients of a batch: a bound from the precision and the length of the sums.

The reference computes the gradients in float64, and again with every operation disturbed at random by what an engine
may round there. With u the unit roundoff, a sum of n products is disturbed by sqrt(n) u times the sum of the absolute
products, its factors by the u to which they are rounded, its result by the u of its type. The bound of an array is
`LAMBDA` times the root mean square of these deviations.

The error sqrt(n) u: Higham and Mary, "A new approach to probabilistic rounding error analysis", SIAM J. Sci. Comput. 41
(2019), theorem 2.4; a bound of lambda sqrt(n) u fails with a probability below 2 exp(-lambda**2 / 2). Disturbing the
operations instead of propagating their bounds: Parker, "Monte Carlo arithmetic" (1997). Matrix units cut off digits
instead of rounding, which adds up: Fasi, Higham, Mikaitis, Pranesh, "Numerical behavior of NVIDIA tensor cores", PeerJ
Computer Science 7 (2021).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.engines.arena import Arena, xp
from assay.engines.base import wanted_outputs
from assay.engines.numpy_layers import LayerPass, Values, as_images
from assay.parts.activations import OUTPUTS
from assay.parts.layers import Activate, BatchNorm, Conv2d, Dense, Dropout, Layer, Network, Pool, Weighted
from assay.parts.losses import LOSSES, head
from assay.recipe.model import Recipe
from assay.rng import stream

LAMBDA = 4.0
"""A single sum exceeds it with a probability below 7e-4, the norm of an array of many sums practically never: the
operations are disturbed by the largest error that they can have, not by a typical one."""
_FUNCTION_ROUNDINGS = 4  # of an activation, an output function, or a loss: the error of its value in units of u
_TERMS_AT_ONCE = 8  # a matrix unit adds the products of at least so many terms before it cuts off digits

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Arithmetic:
    """The unit roundoffs of a precision.

    Attributes:
        factors: To which the factors of a product are rounded; 0 if they are not.
        sums: Of the type in which products are added.
        results: Of the type of values and gradients between the layers.
        cut: By how much factors may all be too small, where a matrix unit cuts off their digits.
    """

    factors: float
    sums: float
    results: float
    cut: float = 0.0

    @property
    def has_matrix_units(self) -> bool:
        """Whether sums may be computed by units that cut off digits."""
        return self.factors > 0.0


ARITHMETIC = {
    "float64": Arithmetic(0.0, 2.0**-53, 2.0**-53),
    "float32": Arithmetic(0.0, 2.0**-24, 2.0**-24),
    "tensorfloat32": Arithmetic(2.0**-11, 2.0**-24, 2.0**-24, cut=2.0**-11),
    "bfloat16": Arithmetic(2.0**-8, 2.0**-24, 2.0**-8),
}
"""u = 2**-p, where p is the number of significant bits: 53, 24, 11 and 8."""


@dataclass(frozen=True)
class Bounds:
    """The reference's gradients of a batch, and how far rounding may move them.

    Attributes:
        loss: The mean loss of the batch.
        loss_bound: The largest difference of the loss.
        gradients: By array.
        norms: By array, the largest norm of the difference.
        entries: By array, the largest difference of an entry.
    """

    loss: float
    loss_bound: float
    gradients: dict[str, NDArray[np.float64]]
    norms: dict[str, float]
    entries: dict[str, float]

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """The bounds as arrays, which can be sent to another process.

        >>> bounds = Bounds(1.0, 0.1, {"0.bias": np.zeros(2)}, {"0.bias": 0.5}, {"0.bias": 0.25})
        >>> Bounds.of(bounds.arrays()).norms
        {'0.bias': 0.5}
        """
        each = {f"g/{name}": g for name, g in self.gradients.items()}
        each |= {f"b/{name}": np.array([self.norms[name], self.entries[name]]) for name in self.gradients}
        return {**each, "loss": np.array([self.loss, self.loss_bound])}

    @classmethod
    def of(cls, arrays: Arrays) -> Bounds:
        """The bounds from such arrays."""
        names = [name[2:] for name in arrays if name.startswith("g/")]
        limits = {name: arrays[f"b/{name}"] for name in names}
        return cls(
            float(arrays["loss"][0]),
            float(arrays["loss"][1]),
            {name: arrays[f"g/{name}"] for name in names},
            {name: float(limit[0]) for name, limit in limits.items()},
            {name: float(limit[1]) for name, limit in limits.items()},
        )


def bounds(
    recipe: Recipe,
    network: Network,
    weights: Arrays,
    batch: tuple[NDArray[Any], NDArray[Any]],
    *,
    arithmetic: Arithmetic,
    samples: int = 4,
) -> Bounds:
    """The gradients of a batch in float64, and their bounds under an arithmetic.

    Args:
        recipe: Whose loss it is.
        network: Without dropout.
        weights: By array, without the trials' axis.
        batch: Inputs (B, D) and labels or targets (B,).
        arithmetic: Of the engine that is certified.
        samples: How often the operations are disturbed.
    """
    exact_loss, exact = _gradients(recipe, network, weights, batch, None)
    u = arithmetic.results
    deviations: dict[str, list[NDArray[np.float64]]] = {name: [] for name in exact}
    losses: list[float] = []
    for sample in range(samples):
        noise = Noise(arithmetic, np.random.Generator(np.random.Philox(key=sample)))
        loss, disturbed = _gradients(recipe, network, weights, batch, noise)
        losses.append(abs(loss - exact_loss))
        for name, g in disturbed.items():
            deviations[name].append(g - exact[name])
    norms, entries = {}, {}
    for name, g in exact.items():
        each = deviations[name]
        norms[name] = LAMBDA * (_rms([float(np.linalg.norm(d)) for d in each]) + u * float(np.linalg.norm(g)))
        largest = max(float(np.abs(d).max(initial=0.0)) for d in each)
        entries[name] = LAMBDA * (largest + u * float(np.abs(g).max(initial=0.0)))
    loss_bound = LAMBDA * (max(losses) + _FUNCTION_ROUNDINGS * u * (abs(exact_loss) + 1e-3))
    return Bounds(exact_loss, loss_bound, exact, norms, entries)


def _rms(values: list[float]) -> float:
    return math.sqrt(sum(value * value for value in values) / len(values))


class Noise:
    """Disturbs values as rounding may; the numbers are drawn from a generator."""

    def __init__(self, arithmetic: Arithmetic, random: np.random.Generator) -> None:
        self.arithmetic, self._random = arithmetic, random

    def relative(self, a: NDArray[Any], u: float) -> None:
        """Disturbs every value of `a` by up to u of its size, in place."""
        if u:
            a *= 1.0 + u * self.signs(a.shape)

    def sums(self, z: NDArray[Any], absolute: NDArray[Any], terms: int) -> None:
        """Disturbs sums `z` of products, in place, by their rounding and by that of their result.

        `absolute`: the sums of the absolute products. `terms`: the number of products of a sum.
        """
        arithmetic = self.arithmetic
        z += (math.sqrt(terms) * arithmetic.sums) * absolute * self.signs(z.shape)
        if arithmetic.has_matrix_units:  # digits that are cut off change all sums in the same direction
            cut = 2.0 * arithmetic.cut + terms / _TERMS_AT_ONCE * arithmetic.sums
            z *= 1.0 + cut * float(self.signs((1,))[0])
        self.relative(z, arithmetic.results)

    def signs(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """As many random signs, 1 or -1, as a shape holds."""
        size = math.prod(shape)
        bits = np.unpackbits(np.frombuffer(self._random.bytes(-(-size // 8)), np.uint8), count=size)
        return (2.0 * bits.astype(np.float64) - 1.0).reshape(shape)


class _DisturbedPass:
    """A layer of the reference in one iteration, disturbed if there is noise."""

    def __init__(self, layer: Layer, number: int, arena: Arena, noise: Noise | None) -> None:
        self.layer, self.noise = layer, noise
        self.inner = LayerPass(layer, number, arena)
        self.absolute = LayerPass(layer, number, arena)
        self.first = number == 0
        self._w_absolute: dict[str, NDArray[np.float64]] = {}

    def forward(self, w: dict[str, NDArray[np.float64]], a: Values) -> Values:
        """The output of the layer."""
        noise = self.noise
        if noise is None or not isinstance(self.layer, Weighted | Activate | Pool):
            return self.inner.forward(w, a, {})
        arithmetic = noise.arithmetic
        if isinstance(self.layer, Dense | Conv2d):
            a = a * 1.0  # a copy, because other layers read the values as they are
            noise.relative(_plain(a), arithmetic.factors)
            z = self.inner.forward(w, a, {})
            self._w_absolute = {name: np.abs(each) for name, each in w.items()}
            absolute = self.absolute.forward(self._w_absolute, abs(a), {})
            noise.sums(_plain(z), _plain(absolute), _terms(self.layer)[0])
            return z
        z = self.inner.forward(w, a, {})
        if isinstance(self.layer, Pool) and self.layer.kind == "max":
            return z  # rounds nothing
        noise.relative(_plain(z), _FUNCTION_ROUNDINGS * arithmetic.results)
        if isinstance(self.layer, BatchNorm):  # its mean and variance are sums over the batch
            rows = len(a) * self.layer.places
            flat = _plain(z).reshape(-1, self.layer.channels)
            size = math.sqrt(rows) * arithmetic.sums * (np.abs(flat).mean(0) + 1.0)
            flat += size * noise.signs((self.layer.channels,))
        return z

    def backward(
        self, w: dict[str, NDArray[np.float64]], g: dict[str, NDArray[np.float64]], d: Values, *, rows: int
    ) -> Values:
        """Writes the layer's gradient into `g`; returns that of its input. `rows`: the examples of the batch."""
        noise = self.noise
        if noise is None:
            return self.inner.backward(w, g, d)
        arithmetic = noise.arithmetic
        if not isinstance(self.layer, Dense | Conv2d):
            back = self.inner.backward(w, g, d) * 1.0
            noise.relative(_plain(back), _FUNCTION_ROUNDINGS * arithmetic.results)
            return back
        d = d * 1.0
        noise.relative(_plain(d), arithmetic.factors)
        back = self.inner.backward(w, g, d)
        number = f"{self.inner.number}."
        absolute = {name: np.empty_like(each) for name, each in g.items() if name.startswith(number)}
        back_absolute = self.absolute.backward(self._w_absolute, absolute, abs(d))
        _, of_weights, of_inputs = _terms(self.layer)
        for name, values in absolute.items():
            noise.sums(g[name], values, rows * of_weights)
        if not self.first:
            back = back * 1.0
            noise.sums(_plain(back), _plain(back_absolute), of_inputs)
        return back


def _plain(a: Values) -> NDArray[np.float64]:
    return a.view(np.ndarray)


def _terms(layer: Dense | Conv2d) -> tuple[int, int, int]:
    """The lengths of a layer's sums: of its outputs, of its weights' gradient per example, of its inputs' gradient."""
    if isinstance(layer, Dense):
        return layer.inputs + 1, 1, layer.units
    height, width, channels = layer.out
    return layer.fans[0] + 1, height * width, layer.kernel**2 * channels


def _gradients(
    recipe: Recipe,
    network: Network,
    weights: Arrays,
    batch: tuple[NDArray[Any], NDArray[Any]],
    noise: Noise | None,
) -> tuple[float, dict[str, NDArray[np.float64]]]:
    """The mean loss of a batch and its gradient, by the formulas of the reference, disturbed if there is noise."""
    arena = Arena()
    w = {name: np.array(weights[name], np.float64) for name in network.shapes}
    g = {name: np.zeros_like(each) for name, each in w.items()}
    if noise is not None:
        for each in w.values():
            noise.relative(each, noise.arithmetic.factors)
    x, y = arena.wrap(np.array(batch[0], np.float64)), arena.wrap(wanted_outputs(batch[1], network.classes, np.float64))
    output, loss_name = head(network.output, recipe.loss)
    loss, epsilon = LOSSES[loss_name], _epsilon(recipe)
    layers = [(number, layer) for number, layer in network.numbered() if not isinstance(layer, Dropout)]
    passes = [_DisturbedPass(layer, number, arena, noise) for number, layer in layers]
    with np.errstate(all="ignore"):
        a = as_images(x, network)
        for each in passes:
            a = each.forward(w, a)
        a = OUTPUTS[output].forward(xp, a)
        if noise is not None:
            a = a * 1.0
            noise.relative(_plain(a), _FUNCTION_ROUNDINGS * noise.arithmetic.sums)
        value = float(loss.value(xp, a, y, epsilon).sum()) / len(y)
        d = OUTPUTS[output].backward(xp, a, loss.gradient(xp, a, y, epsilon)) * (1.0 / len(y))
        if noise is not None:  # the label is subtracted from the output, and the difference may be much smaller
            size = _FUNCTION_ROUNDINGS * noise.arithmetic.sums / len(y)
            d = d + size * (_plain(y) + np.abs(_plain(d)) * len(y)) * noise.signs(d.shape)
        first = next(i for i, each in enumerate(passes) if isinstance(each.layer, Weighted))
        for each in reversed(passes[first:]):
            d = each.backward(w, g, d, rows=len(y))
    return value, g


def _epsilon(recipe: Recipe) -> float:
    return float(np.finfo(np.float64 if recipe.precision == "float64" else np.float32).eps)


def nudged(network: Network, weights: Arrays) -> dict[str, NDArray[np.float64]]:
    """Weights whose biases and scales are not those of a start, so that a layer that ignores them is seen.

    They are numbers of float32, so that every engine begins with the same.
    """
    moved: dict[str, NDArray[np.float64]] = {}
    for name, w in weights.items():
        nudge = 0.0
        if name in network.shapes and not name.endswith("weight"):
            nudge = 0.1 * stream(0, f"nudge/{name}").normal(w.size).reshape(w.shape)
        moved[name] = np.asarray(w + nudge, np.float32).astype(np.float64)
    return moved
