"""The certificate: a row's first losses and weights beside those of the numpy engine, under stated tolerances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.benching.rows import Certificate
from assay.parts.layers import Activate, Dense, Dropout, Network
from assay.recipe import Recipe

REFERENCE = "numpy"
SMOOTH, KINKED, IMAGES = "smooth", "kinked", "images"
TOLERANCES: dict[str, tuple[float, dict[str, int]]] = {  # precision -> tolerance, iterations by kind of network
    "float64": (1e-10, {SMOOTH: 60, KINKED: 20, IMAGES: 20}),
    "float32": (1e-4, {SMOOTH: 200, KINKED: 20, IMAGES: 3}),
    "tensorfloat32": (1e-2, {SMOOTH: 20, KINKED: 20, IMAGES: 3}),
    "bfloat16": (5e-2, {SMOOTH: 20, KINKED: 20, IMAGES: 3}),
}
"""Of the contract for float64 and float32; the others keep 11 and 8 bits of each factor, and Adam's first steps turn
their rounding into steps of its own size. At the kinks and ties of a million pooled pixels in a batch right engines
part soon: with lenet5-wide and Adam torch and jax in float32 are 5e-6 off after 3 iterations and up to 7e-3 after 20,
while in float64 torch is 8e-15 off after 20."""
_WITH_KINKS = ("relu", "leaky_relu", "elu")  # where rounding may put a unit on the other side
_MOST_EXAMPLES = 60_000  # that the reference sees: it is the slowest of all

Arrays = Mapping[str, NDArray[Any]]


def kind(network: Network) -> str:
    """How soon rounding parts two right engines: smooth dense layers, dense layers with kinks, networks of images."""
    if not all(isinstance(layer, Dense | Activate | Dropout) for layer in network.layers):
        return IMAGES
    functions = [layer.function for layer in network.layers if isinstance(layer, Activate)]
    return KINKED if any(name in _WITH_KINKS for name in functions) else SMOOTH


def compared(recipe: Recipe, network: Network, examples: int, *, quick: bool = False) -> tuple[float, int]:
    """The tolerance of a recipe, and over how many iterations it is compared, for N training examples."""
    tolerance, iterations_of = TOLERANCES[recipe.precision]
    iterations = iterations_of[kind(network)]
    affordable = _MOST_EXAMPLES // recipe.batches.width(examples)
    return tolerance, max(3, min(iterations, affordable, 10 if quick else iterations))


def without_dropout(recipe: Recipe) -> Recipe:
    """The recipe as it is certified: masks are each engine's own, so they are left out."""
    return recipe.patched({"model": {"dropout": 0.0}}) if getattr(recipe.model, "dropout", 0.0) else recipe


def judged(recipe: Recipe, found: Arrays, reference: Arrays, *, iterations: int, tolerance: float) -> Certificate:
    """The certificate of a row's arrays, "losses" (k,) and the weights by name, beside the reference's."""
    notes = ["taken without dropout"] if recipe.model != without_dropout(recipe).model else []
    weights = [_deviation(found.get(name), values) for name, values in reference.items() if name != "losses"]
    return Certificate(
        reference=f"{REFERENCE}, float64",
        iterations=iterations,
        tolerance=tolerance,
        losses=_deviation(found.get("losses"), reference["losses"]),
        weights=None if None in weights else max((w for w in weights if w is not None), default=0.0),
        notes=tuple(notes),
    )


def _deviation(found: NDArray[Any] | None, reference: NDArray[Any]) -> float | None:
    """The largest difference, relative where the reference is above 1; None where it is not finite or not there."""
    if found is None or found.shape != reference.shape:
        return None
    with np.errstate(all="ignore"):  # a training that diverges has values that are not finite
        value = float((np.abs(found - reference) / np.maximum(1.0, np.abs(reference))).max())
    return value if np.isfinite(value) else None
