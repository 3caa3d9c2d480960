"""The log points of a curve, and whether a shorter curve can be read off a longer one."""

from __future__ import annotations

import math
import sys

from assay.parts.batches import iterations_per_epoch
from assay.recipe.model import Recipe


def next_log_point(recipe: Recipe, n: int, t: int) -> int:
    """The first log point after iteration t, for n training examples; `sys.maxsize` if log points depend on time."""
    number, unit = recipe.log.interval()
    if unit == "iterations":
        return int((t // number + 1) * number)
    if unit == "epochs":
        length = number * iterations_per_epoch(recipe.batches, n)
        k = math.floor(t / length + 1e-9) + 1
        return max(t + 1, round(k * length))
    if unit == "geometric":
        j = math.floor(math.log10(t) * number) if t else 0
        return next(p for p in (round(10 ** (i / number)) for i in range(j, j + 30)) if p > t)
    return sys.maxsize


def log_points(recipe: Recipe, n: int) -> list[int]:
    """Every iteration at which a recipe's curve has a point: 0, the multiples of `log.every`, the end of the budget."""
    end = recipe.iterations(n)
    number, unit = recipe.log.interval()
    if unit == "iterations":
        return [*range(0, end, int(number)), end]
    points = [0]
    while (t := next_log_point(recipe, n, points[-1])) < end:
        points.append(t)
    return [*points, end] if end else points


def number_of_log_points(recipe: Recipe, n: int) -> int:
    """The approximate number of points of a recipe's curve."""
    number, unit = recipe.log.interval()
    end = recipe.iterations(n)
    if unit == "geometric":
        return 2 + round(number * math.log10(max(end, 1)))
    if unit == "seconds":
        return 2
    length = number if unit == "iterations" else number * iterations_per_epoch(recipe.batches, n)
    return 2 + int(end / length)


def shareable(recipe: Recipe) -> bool:
    """Whether a trial can be read off a longer trial's curve: not if a rule or a log point depends on wall time."""
    return recipe.stop.seconds is None and recipe.log.interval()[1] != "seconds"
