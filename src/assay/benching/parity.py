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
TOLERANCES: dict[str, tuple[float, int, int]] = {  # precision -> tolerance, iterations, iterations with kinks
    "float64": (1e-10, 60, 20),
    "float32": (1e-4, 200, 20),
    "bfloat16": (5e-2, 20, 20),
}
"""Of the contract for float64 and float32; bfloat16 keeps 8 bits of each factor, and Adam's first steps turn their
rounding into steps of its own size."""
KINKED = ("relu", "leaky_relu", "elu")
"""Activations at whose kink rounding may put a unit on the other side, so that two right engines part."""
_MOST_EXAMPLES = 60_000  # that the reference sees: it is the slowest of all

Arrays = Mapping[str, NDArray[Any]]


def smooth(network: Network) -> bool:
    """Whether the loss has no kink in the weights: dense layers and smooth activations alone."""
    known = all(isinstance(layer, Dense | Activate | Dropout) for layer in network.layers)
    functions = [layer.function for layer in network.layers if isinstance(layer, Activate)]
    return known and not any(name in KINKED for name in functions)


def compared(recipe: Recipe, network: Network, examples: int, *, quick: bool = False) -> tuple[float, int]:
    """The tolerance of a recipe, and over how many iterations it is compared, for N training examples."""
    tolerance, most, with_kinks = TOLERANCES[recipe.precision]
    iterations = most if smooth(network) else with_kinks
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
