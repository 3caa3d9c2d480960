"""The forward pass of the jax engine: layers and functions, jax's own where it has them. Images have channels last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
from jax import lax

from assay.engines.jax_modules import Tree, module_values, xp
from assay.parts.activations import ACTIVATIONS, OUTPUTS
from assay.parts.jax_modules import FunctionalNetwork
from assay.parts.layers import Activate, BatchNorm, Conv2d, Dense, Dropout, Flatten, Network, Pool

nn: Any = jax.nn

FUNCTIONS: dict[str, Callable[[Tree], Tree]] = {
    "relu": nn.relu,
    "leaky_relu": lambda z: xp.where(z > 0, z, 0.01 * z),  # jax's own has slope 1 at 0, torch's 0.01
    "sigmoid": nn.sigmoid,
    "tanh": xp.tanh,
    "elu": nn.elu,
    "softplus": nn.softplus,
    "silu": nn.silu,
    "gelu": lambda z: nn.gelu(z, approximate=True),
    "softmax": nn.softmax,
    "log_softmax": nn.log_softmax,
}
"""jax's own functions where it has them, a second check of the formulas; all others use the formulas."""


def _function(name: str) -> Callable[[Tree], Tree]:
    table: Any = ACTIVATIONS if name in ACTIVATIONS else OUTPUTS
    return FUNCTIONS.get(name) or (lambda z: table[name].forward(xp, z))


@dataclass(frozen=True)
class BatchContext:
    """What the layers need to know of a batch in training: the key of its dropout masks and, if it is padded, which
    rows hold examples. Without a key: evaluation."""

    key: Tree = None
    valid: Tree = None  # (B,) of 1 and 0, or None: all rows


EVALUATION = BatchContext()


def forward(
    network: Network, output: str, w: Tree, x: Tree, batch: BatchContext = EVALUATION, *, products: str
) -> tuple[Tree, Tree]:
    """The outputs (B, C) after the function `output`, and the running means and variances after the batch.

    `products`: the precision of products.
    """
    if isinstance(network, FunctionalNetwork):
        values, after = module_values(network, w, x, batch.key, products=products)
        return _function(output)(values), after if batch.key is not None else {}
    a, running = x, {}
    if network.image is not None:
        a = a.reshape(len(a), *network.image)
    for depth, (number, layer) in enumerate(network.numbered()):
        match layer:
            case Dense():
                a = _product(products, xp.matmul, a, w[f"{number}.weight"]) + w[f"{number}.bias"]
            case Conv2d():
                a = _product(products, partial(_convolution, layer), a, w[f"{number}.weight"])
                a = a + w[f"{number}.bias"]
            case Activate():
                a = _function(layer.function)(a)
            case Pool():
                a = _pooled(layer, a)
            case Flatten():
                a = a.reshape(len(a), layer.values)
            case BatchNorm():
                a, updated = _normalised(layer, number, w, a, batch)
                running |= updated
            case Dropout():
                a = a if batch.key is None else _dropped(layer, jax.random.fold_in(batch.key, depth), a)
    return _function(output)(a), running


def _product(products: str, operation: Callable[..., Tree], a: Tree, weight: Tree) -> Tree:
    """A product in the precision of products; its result has the precision of everything else."""
    if products == "bfloat16":
        return operation(a.astype(xp.bfloat16), weight.astype(xp.bfloat16)).astype(a.dtype)
    precision = "tensorfloat32" if products == "tensorfloat32" else "highest"
    return operation(a, weight, precision=precision)


def _convolution(layer: Conv2d, a: Tree, weight: Tree, precision: Any = None) -> Tree:
    if layer.whole:
        z = xp.matmul(a.reshape(len(a), -1), weight.reshape(-1, layer.channels), precision=precision)
        return z.reshape(len(a), 1, 1, layer.channels)
    padding = [(layer.padding, layer.padding)] * 2
    numbers: Any = ("NHWC", "HWIO", "NHWC")
    strides = (layer.stride, layer.stride)
    return lax.conv_general_dilated(a, weight, strides, padding, dimension_numbers=numbers, precision=precision)


def _pooled(layer: Pool, a: Tree) -> Tree:
    """Pools position by position of the window: the gradient of reduce_window is slow on a CPU, and xp.maximum halves
    the gradient of a tie."""
    values = [a[place] for _, _, place in layer.places()]
    if layer.kind == "average":
        return sum(values) / layer.size**2
    z = values[0]
    for value in values[1:]:
        z = xp.where((value > z) | xp.isnan(value), value, z)
    return z


def _dropped(layer: Dropout, key: Tree, a: Tree) -> Tree:
    # float32 in every precision, so that float32 and float64 have the same masks
    uniform = jax.random.uniform(key, a.shape, xp.float32)
    return xp.where(uniform >= layer.rate, a / (1.0 - layer.rate), 0.0)


def _normalised(layer: BatchNorm, number: int, w: Tree, a: Tree, batch: BatchContext) -> tuple[Tree, Tree]:
    """The layer's outputs, and in training the running mean and variance after this batch."""
    mean, variance = w[f"{number}.mean"], w[f"{number}.variance"]
    updated: Tree = {}
    if batch.key is not None:
        axes = tuple(range(a.ndim - 1))
        valid = xp.ones(len(a), a.dtype) if batch.valid is None else batch.valid.astype(a.dtype)
        valid = valid.reshape(-1, *[1] * (a.ndim - 1))
        count = valid.sum() * layer.places
        running = mean, variance
        mean = (a * valid).sum(axes) / count
        variance = ((a - mean) ** 2 * valid).sum(axes) / count
        bessel = count / xp.maximum(count - 1, 1)
        for name, old, value in (("mean", running[0], mean), ("variance", running[1], bessel * variance)):
            updated[f"{number}.{name}"] = old + layer.momentum * (value - old)
    y = (a - mean) / xp.sqrt(variance + layer.epsilon)
    return y * w[f"{number}.scale"] + w[f"{number}.bias"], updated
