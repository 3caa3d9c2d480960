"""The certificate of a row, which tells a wrong result from a rounded one.

The algorithm: the row in float64, with its own optimizer, agrees with the numpy engine. The arithmetic: at the
precision that is timed, the gradients of a batch and a step of descent agree with float64 within the rounding bound,
and the steps of the row's optimizer with those recomputed from its own gradients. Whole trainings below float64 prove
neither: Adam turns the rounding of a gradient that is nearly 0 into a whole step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.bench.probes import GRADIENT_RATE, STEPS, telling
from assay.bench.rounding import ARITHMETIC, Arithmetic, Bounds
from assay.bench.rows import Certificate, Check, Contender
from assay.bench.steps import recomputed
from assay.engines.promises import kind_of
from assay.parts.layers import Activate, Dense, Dropout, Network
from assay.parts.models import Sequential
from assay.recipe.model import Recipe

REFERENCE = "numpy"
SMOOTH, KINKED, IMAGES = "smooth", "kinked", "images"
TOLERANCE = 1e-10
"""Of the differences in float64: that of the contract."""
ITERATIONS = {SMOOTH: 60, KINKED: 20, IMAGES: 20}
_OF_IMAGES_ELSEWHERE = 3  # where the row is timed in another precision; the reference takes seconds for each
DEVICES_WITHOUT_FLOAT64 = ("mps",)
PYTORCH_DEFAULTS = ("torch-eager", "torch-graph")
"""Rows that leave PyTorch's settings as they are."""
_WITH_KINKS = ("relu", "leaky_relu", "elu")  # rounding may move a unit to the other side of the kink
_PROBE = "probe/"
_MOST_EXAMPLES = 60_000  # for the reference, which is the slowest engine

Arrays = Mapping[str, NDArray[Any]]


def kind(network: Network) -> str:
    """How soon rounding makes correct engines diverge: smooth dense layers, dense layers with kinks, image networks."""
    if not all(isinstance(layer, Dense | Activate | Dropout) for layer in network.layers):
        return IMAGES
    functions = [layer.function for layer in network.layers if isinstance(layer, Activate)]
    return KINKED if any(name in _WITH_KINKS for name in functions) else SMOOTH


def compared(recipe: Recipe, network: Network, examples: int, *, quick: bool = False) -> int:
    """The number of iterations that are compared in float64, for a recipe and N training examples."""
    iterations = ITERATIONS[kind(network)]
    if kind(network) == IMAGES and recipe.precision != "float64":
        iterations = _OF_IMAGES_ELSEWHERE
    affordable = _MOST_EXAMPLES // recipe.batches.width(examples)
    return max(3, min(iterations, affordable, 10 if quick else iterations))


def without_dropout(recipe: Recipe) -> Recipe:
    """The recipe as it is certified: without dropout, because every engine draws its own masks."""
    if isinstance(recipe.model, Sequential):
        layers = tuple(layer for layer in recipe.model.layers if layer.entry != "dropout")
        if layers == recipe.model.layers:
            return recipe
        return recipe.model_copy(update={"model": recipe.model.model_copy(update={"layers": layers})})
    return recipe.patched({"model": {"dropout": 0.0}}) if getattr(recipe.model, "dropout", 0.0) else recipe


def arithmetic(contender: Contender) -> tuple[str, Arithmetic]:
    """The precision under whose bound a row is certified: on a GPU, PyTorch's defaults round the factors of
    convolutions to TensorFloat-32."""
    name = contender.precision
    if contender.engine in PYTORCH_DEFAULTS and name == "float32" and kind_of(contender.device) == "cuda":
        name = "tensorfloat32"
    return name, ARITHMETIC[name]


def split_probes(arrays: Arrays) -> tuple[Arrays, Arrays]:
    """What a row's process sent: the arrays of its training in float64, and those of its probes.

    >>> split_probes({"losses": np.zeros(1), "probe/g0/0.bias": np.zeros(1)})
    ({'losses': array([0.])}, {'g0/0.bias': array([0.])})
    """
    own = {name: a for name, a in arrays.items() if not name.startswith(_PROBE)}
    return own, {name.removeprefix(_PROBE): a for name, a in arrays.items() if name.startswith(_PROBE)}


def judged(recipe: Recipe, arrays: Arrays | None, reference: Arrays | None, *, iterations: int) -> Certificate:
    """The certificate of a row's algorithm: its arrays in float64 against those of the reference.

    Args:
        recipe: That was trained.
        arrays: "losses" (k,) and the weights by name; None where the device has no float64.
        reference: The same of the reference.
        iterations: k.
    """
    notes = ["taken without dropout"] if recipe.model != without_dropout(recipe).model else []
    empty = Certificate(f"{REFERENCE}, float64", iterations, TOLERANCE, 0.0, 0.0, notes=tuple(notes))
    if arrays is None or reference is None:
        note = "the device has no float64: the steps of the optimizer stand for its algorithm"
        return replace(empty, iterations=0, notes=(*notes, note))
    weights = _deviations(arrays, reference, [name for name in reference if name != "losses"])
    losses = _deviations(arrays, reference, ["losses"])
    return replace(
        empty,
        losses=None if losses is None else float(losses.max()),
        weights=None if weights is None else float(weights.max(initial=0.0)),
        outlier_fraction=0.0 if weights is None or not len(weights) else float((weights >= TOLERANCE).mean()),
    )


def checks(
    recipe: Recipe, network: Network, arrays: Arrays, numbers: Mapping[str, float], bounds: Bounds
) -> tuple[Check, ...]:
    """The checks of a row's arithmetic.

    Args:
        recipe: Of the training, resolved for its data.
        network: Of the recipe.
        arrays: Of `Prober.arrays`.
        numbers: Of `Prober.arrays`.
        bounds: Of the gradient of the first batch.
    """
    u = ARITHMETIC["float64" if recipe.precision == "float64" else "float32"].results
    parts = _parts(arrays)
    w, g = parts["w0"], parts["g0"]
    rate = numbers["rate"]
    loss = _fraction(abs(numbers["loss"] - bounds.loss), bounds.loss_bound)
    gradient, descent = {}, {}
    for name, expected in bounds.gradients.items():
        read = 2.0 * u * (np.abs(w[name]).max(initial=0.0) / GRADIENT_RATE)  # what reading it off the weights rounds
        gradient[name] = _apart(g[name] - expected, bounds.norms[name], bounds.entries[name], read)
        after = w[name] - rate * expected
        size = 2.0 * u * float(np.maximum(np.abs(w[name]), np.abs(after)).max(initial=0.0))
        difference = parts["d"][name] - after
        descent[name] = _apart(difference, rate * bounds.norms[name], rate * bounds.entries[name], size)
    own = telling(recipe, dict(g), dict(w))
    steps = recomputed(own, network, {key: parts[key] for key in parts if key != "d"}, bounds, u=u)
    return (
        Check("loss of a batch", loss, ""),
        _largest("gradient of a batch", gradient),
        _largest("step of descent", descent),
        _largest(f"{STEPS} steps of {recipe.optimizer.entry}", steps),
    )


def _parts(arrays: Arrays) -> dict[str, dict[str, NDArray[np.float64]]]:
    """The arrays by what precedes the "/" of their names."""
    parts: dict[str, dict[str, NDArray[np.float64]]] = {}
    for key in sorted(arrays):
        kind, _, name = key.partition("/")
        parts.setdefault(kind, {})[name] = arrays[key]
    return parts


def _apart(difference: NDArray[np.float64], norm: float, entry: float, read: float) -> float | None:
    """A difference as a fraction of its bounds; the larger of its norm and of its largest entry."""
    size = read * float(np.sqrt(difference.size))
    norms = _fraction(float(np.linalg.norm(difference)), norm + size)
    entries = _fraction(float(np.abs(difference).max(initial=0.0)), entry + read)
    return None if norms is None or entries is None else max(norms, entries)


def _fraction(value: float, bound: float) -> float | None:
    """A deviation as a fraction of its bound; None if it is not finite."""
    if not np.isfinite(value):
        return None
    if bound > 0.0:
        return float(value / bound)
    return 0.0 if value == 0.0 else float("inf")


def _largest(what: str, each: Mapping[str, float | None]) -> Check:
    """The check of the array with the largest deviation."""
    sizes = {name: float("inf") if value is None else value for name, value in each.items()}
    worst = max(sizes, key=lambda name: sizes[name])
    return Check(what, sizes[worst] if np.isfinite(sizes[worst]) else None, worst)


def _deviations(arrays: Arrays, reference: Arrays, names: list[str]) -> NDArray[np.float64] | None:
    """All differences, relative where the reference is above 1; None where one is missing or not finite."""
    if any(name not in arrays or arrays[name].shape != reference[name].shape for name in names):
        return None
    with np.errstate(all="ignore"):  # a training that diverges has values that are not finite
        each = [np.abs(arrays[name] - reference[name]) / np.maximum(1.0, np.abs(reference[name])) for name in names]
    values = np.concatenate([array.ravel() for array in each]) if each else np.empty(0)
    return values if np.isfinite(values).all() else None
