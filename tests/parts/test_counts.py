"""Operation counts against counters that do not know them: every operation on an array, and torch's own counter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from assay.parts.activations import ACTIVATIONS, OUTPUTS
from assay.parts.layers import Conv2d, Dense, Network
from assay.parts.losses import LOSSES
from assay.recipe.model import Recipe

VALUES = 1000
CLIP = 2  # comparisons of a clip with two bounds


class Counted(np.ndarray[Any, Any]):
    """An array that counts the operations of every function of it, one for each value of its result."""

    operations = 0

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        plain = [x.view(np.ndarray) if isinstance(x, Counted) else x for x in inputs]
        result = getattr(ufunc, method)(*plain, **options)
        each = CLIP if ufunc.__name__ == "clip" else 1
        Counted.operations += each * int(np.size(plain[0]) if method == "reduce" else np.size(result))
        return np.asarray(result).view(Counted)


def operations(formula: Callable[..., Any], *arguments: Any) -> float:
    """The operations per value."""
    Counted.operations = 0
    formula(*arguments)
    return Counted.operations / VALUES


def counted(values: np.ndarray) -> Any:
    return values.reshape(1, VALUES).view(Counted)


Z, D = counted(np.linspace(0.01, 0.99, VALUES)), counted(np.linspace(-1, 1, VALUES))
Y = counted(np.eye(VALUES)[3])
FORMULAS: dict[str, tuple[tuple[int, int], float, float]] = {
    **{
        f"activation {name}": (e.flops, operations(e.forward, np, Z), operations(e.derivative, np, Z, Z))
        for name, e in ACTIVATIONS.items()
    },
    **{
        f"output {name}": (e.flops, operations(e.forward, np, Z), operations(e.backward, np, Z, D))
        for name, e in OUTPUTS.items()
    },
    **{
        f"loss {name}": (e.flops, operations(e.value, np, Z, Y, 1e-7), operations(e.gradient, np, Z, Y, 1e-7))
        for name, e in LOSSES.items()
    },
}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_count_of_a_formula_is_what_it_computes_to_one_operation_per_value(name: str) -> None:
    (forward, backward), *counts = FORMULAS[name]
    assert counts == pytest.approx([forward, backward], abs=1.01)


MODELS: dict[str, dict[str, Any]] = {
    "dense": {"hidden": [30, 20]},
    "convolutions": {
        "layers": [
            {"kind": "conv2d", "channels": 4, "kernel": 3},
            {"kind": "conv2d", "channels": 5, "kernel": 3, "stride": 2, "padding": 1},
            "flatten",
            {"kind": "dense", "units": 12},
        ]
    },
}


@pytest.mark.parametrize("name", MODELS)
def test_the_products_of_a_network_are_those_that_torch_counts(name: str) -> None:
    """torch counts products, forward and backward, 2 for a multiplication with its addition; biases it leaves out."""
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    examples, shape = 6, (12, 12, 2)
    network = Recipe.parse({"model": MODELS[name]}).model.network(shape, 10)
    x = torch.randn(examples, *((2, 12, 12) if network.image else (12 * 12 * 2,)))
    module = torch.nn.Sequential(*(_module(torch, layer) for layer in network.layers))
    with FlopCounterMode(display=False) as counter:
        module(x).sum().backward()
    assert counter.get_total_flops() == examples * _products(network)


def _module(torch: Any, layer: Any) -> Any:
    if isinstance(layer, Dense):
        return torch.nn.Linear(layer.inputs, layer.units)
    if isinstance(layer, Conv2d):
        return torch.nn.Conv2d(layer.image[2], layer.channels, layer.kernel, layer.stride, layer.padding)
    return torch.nn.Flatten() if type(layer).__name__ == "Flatten" else torch.nn.Identity()


def _products(network: Network) -> int:
    """The operations of an example without those of the gradients of biases, one for each value."""
    total = 0
    for i, layer in enumerate(network.layers):
        if isinstance(layer, Dense | Conv2d):
            total += sum(layer.flops(first=i == 0)) - layer.values
    return total
