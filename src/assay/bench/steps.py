"""The steps of a row's optimizer, recomputed in float64 from the row's own gradients.

So a wrong epsilon, decay or bias correction is seen at any precision and on devices without float64. The gradients may
differ from those that the optimizer saw by their rounding; how far that moves a step is found by recomputing it with
gradients that are larger or smaller by it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.bench.rounding import LAMBDA, Bounds
from assay.engines.base import Cohort, hyperparameters
from assay.parts.layers import Network
from assay.parts.pieces import pieces
from assay.parts.user_optimizers import checked_step
from assay.recipe.model import Recipe

_ROUNDINGS = 32  # of the gradient, the moments and the rule, in units of u
_OF_THE_RESULT = 8  # of the weights and of the step

Arrays = Mapping[str, NDArray[np.float64]]


def recomputed(
    recipe: Recipe, network: Network, arrays: Mapping[str, Arrays], bounds: Bounds, *, u: float
) -> dict[str, float]:
    """For each array, the largest deviation of a weight after a step, as a fraction of what rounding allows.

    Args:
        recipe: Of the steps, with the hyperparameters that the row used.
        network: Of the recipe.
        arrays: "w0", "g0", "w1", ...: the row's weights and gradients by array.
        bounds: Of the first gradient, for the rounding of the gradients.
        u: The unit roundoff of the weights.
    """
    steps = len(arrays) // 2
    order = network.order
    gradients = [_flat(arrays[f"g{i}"], order) for i in range(steps)]
    weights = [_flat(arrays[f"w{i}"], order) for i in range(steps + 1)]
    # one precision's rounding of the gradients; the bound itself is several of them
    slack = _flat({n: np.full_like(arrays["g0"][n], bounds.entries[n] / LAMBDA) for n in order}, order)
    moved = [_ROUNDINGS * u * np.abs(g) + slack for g in gradients]
    expected = _path(recipe, network, weights, gradients)
    widest = [np.zeros_like(weights[0]) for _ in range(steps)]
    for signs in itertools.product((1.0, -1.0), repeat=steps):
        other = [g + sign * m for g, sign, m in zip(gradients, signs, moved, strict=True)]
        for i, after in enumerate(_path(recipe, network, weights, other)):
            widest[i] = np.maximum(widest[i], np.abs(after - expected[i]))
    worst = np.zeros_like(weights[0])
    for i, after in enumerate(expected):
        size = np.abs(weights[i]) + 2.0 * np.abs(after - weights[i])
        allowed = widest[i] + _OF_THE_RESULT * u * size + np.finfo(np.float64).tiny
        with np.errstate(invalid="ignore"):
            deviation = np.abs(weights[i + 1] - after) / allowed
        worst = np.maximum(worst, np.where(np.isfinite(deviation), deviation, np.inf))
    return {name: float(each.max(initial=0.0)) for name, each in _views(worst, network).items()}


def _path(
    recipe: Recipe, network: Network, weights: list[NDArray[np.float64]], gradients: list[NDArray[np.float64]]
) -> list[NDArray[np.float64]]:
    """The weights after each step, each from the row's own weights before it and from the slots of the steps before."""
    cohort = Cohort((recipe,), network)
    constants, values = cohort.constants()[0], cohort.step_values(1, len(gradients))[0]
    rule = type(recipe.optimizer)
    slots: tuple[Any, ...] = tuple(np.zeros_like(weights[0]) for _ in range(rule.slots))
    after: list[NDArray[np.float64]] = []
    with np.errstate(all="ignore"):
        for i, g in enumerate(gradients):
            h, w = hyperparameters(constants, values, i), weights[i].copy()
            g = _penalised(recipe, network, w, g.copy(), h, objective=cohort.clips_objective)
            if h.weight_decay and not rule.decays_weights:
                w[: network.penalised] *= 1.0 - h.learning_rate * h.weight_decay
            new = tuple(slot.copy() for slot in slots)
            for piece in pieces(rule, network.order, network.shapes):
                own = tuple(piece.of(slot) for slot in slots)
                is_matrix = piece.matrix is not None
                step, states = checked_step(
                    rule, np, piece.of(w), piece.of(g), own, piece.settings(h), is_matrix=is_matrix
                )
                piece.of(w)[...] -= step
                for slot, state in zip(new, states, strict=True):
                    piece.of(slot)[...] = state
            slots = new
            after.append(w)
    return after


def _penalised(
    recipe: Recipe, network: Network, w: NDArray[np.float64], g: NDArray[np.float64], h: Any, *, objective: bool
) -> NDArray[np.float64]:
    """The gradient clipped and with its penalties, in the recipe's order."""
    count = len(w) if recipe.regularisation.biases else network.penalised
    if not objective:
        g = _clipped(g, h.clip_norm)
    g[:count] += h.l1 * np.sign(w[:count]) + h.l2 * w[:count]
    return _clipped(g, h.clip_norm) if objective else g


def _clipped(g: NDArray[np.float64], norm: float) -> NDArray[np.float64]:
    return g * min(1.0, norm / (float(np.linalg.norm(g)) + 1e-6))


def _flat(arrays: Arrays, order: list[str]) -> NDArray[np.float64]:
    return np.concatenate([arrays[name].ravel() for name in order])


def _views(vector: NDArray[np.float64], network: Network) -> dict[str, NDArray[np.float64]]:
    sizes = [int(np.prod(network.shapes[name])) for name in network.order]
    parts = np.split(vector, np.cumsum(sizes)[:-1])
    return dict(zip(network.order, parts, strict=True))
