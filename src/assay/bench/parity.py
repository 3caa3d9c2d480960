"""The certificate: the first losses and weights of a row against those of the numpy engine, under stated tolerances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.bench.rows import Certificate
from assay.parts.layers import Activate, Dense, Dropout, Network
from assay.recipe.model import Recipe

REFERENCE = "numpy"
SMOOTH, KINKED, IMAGES = "smooth", "kinked", "images"
TOLERANCES: dict[str, tuple[float, dict[str, int]]] = {  # precision -> tolerance, iterations by kind of network
    "float64": (1e-10, {SMOOTH: 60, KINKED: 20, IMAGES: 20}),
    "float32": (1e-4, {SMOOTH: 200, KINKED: 20, IMAGES: 3}),
    "tensorfloat32": (1e-2, {SMOOTH: 20, KINKED: 20, IMAGES: 3}),
    "bfloat16": (5e-2, {SMOOTH: 20, KINKED: 20, IMAGES: 3}),
}
"""Those of the contract for float64 and float32. The other precisions keep 11 and 8 bits of each factor, and Adam's
first steps amplify their rounding to full steps. At the kinks and ties of a million pooled pixels per batch, correct
engines diverge soon: with lenet5-wide and Adam, plain convolutions of torch and jax in float32 differ by 5e-6 after 3
iterations and by up to 7e-3 after 20, while in float64 torch differs by 8e-15 after 20. An engine whose method rounds
more states for which fraction of the weights (`Engine.allowed_outliers`)."""
_WITH_KINKS = ("relu", "leaky_relu", "elu")  # rounding may move a unit to the other side of the kink
_MOST_EXAMPLES = 60_000  # for the reference, which is the slowest engine

Arrays = Mapping[str, NDArray[Any]]


def kind(network: Network) -> str:
    """How soon rounding makes correct engines diverge: smooth dense layers, dense layers with kinks, image networks."""
    if not all(isinstance(layer, Dense | Activate | Dropout) for layer in network.layers):
        return IMAGES
    functions = [layer.function for layer in network.layers if isinstance(layer, Activate)]
    return KINKED if any(name in _WITH_KINKS for name in functions) else SMOOTH


def compared(recipe: Recipe, network: Network, examples: int, *, quick: bool = False) -> tuple[float, int]:
    """The tolerance of a recipe, and the number of iterations that are compared, for N training examples."""
    tolerance, iterations_of = TOLERANCES[recipe.precision]
    iterations = iterations_of[kind(network)]
    affordable = _MOST_EXAMPLES // recipe.batches.width(examples)
    return tolerance, max(3, min(iterations, affordable, 10 if quick else iterations))


def without_dropout(recipe: Recipe) -> Recipe:
    """The recipe as it is certified: without dropout, because every engine draws its own masks."""
    return recipe.patched({"model": {"dropout": 0.0}}) if getattr(recipe.model, "dropout", 0.0) else recipe


def judged(
    recipe: Recipe,
    arrays: Arrays,
    reference: Arrays,
    *,
    iterations: int,
    tolerance: float,
    allowed_outliers: float = 0.0,
) -> Certificate:
    """The certificate of the arrays of a row against those of the reference.

    Args:
        recipe: that was trained.
        arrays: "losses" (k,) and the weights by name.
        reference: the same of the reference.
        iterations: k.
        tolerance: of the differences.
        allowed_outliers: the fraction of the weights that the engine's method may bring above the tolerance.
    """
    notes = ["taken without dropout"] if recipe.model != without_dropout(recipe).model else []
    activation = getattr(recipe.model, "activation", "")
    if activation in _WITH_KINKS and recipe.precision != "float64":
        notes.append(
            f"{activation} has a kink: in {recipe.precision}, correct engines part there on some seeds, so longer "
            "trainings may differ by more"
        )
    weights = _deviations(arrays, reference, [name for name in reference if name != "losses"])
    losses = _deviations(arrays, reference, ["losses"])
    return Certificate(
        reference=f"{REFERENCE}, float64",
        iterations=iterations,
        tolerance=tolerance,
        losses=None if losses is None else float(losses.max()),
        weights=None if weights is None else float(weights.max(initial=0.0)),
        outlier_fraction=0.0 if weights is None or not len(weights) else float((weights >= tolerance).mean()),
        allowed_outliers=allowed_outliers,
        notes=tuple(notes),
    )


def _deviations(arrays: Arrays, reference: Arrays, names: list[str]) -> NDArray[np.float64] | None:
    """All differences, relative where the reference is above 1; None where one is missing or not finite."""
    if any(name not in arrays or arrays[name].shape != reference[name].shape for name in names):
        return None
    with np.errstate(all="ignore"):  # a training that diverges has values that are not finite
        each = [np.abs(arrays[name] - reference[name]) / np.maximum(1.0, np.abs(reference[name])) for name in names]
    values = np.concatenate([array.ravel() for array in each]) if each else np.empty(0)
    return values if np.isfinite(values).all() else None
