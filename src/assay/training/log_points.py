"""The log points of a curve, and whether a shorter curve can be read off a longer one."""

from __future__ import annotations

import math
import sys

from assay.errors import RecipeError
from assay.parts.batches import iterations_per_epoch
from assay.recipe.model import Recipe
from assay.system.limits import LOG_POINTS


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
    """Every iteration at which a recipe's curve has a point: 0, the multiples of `log.every`, the end of the budget.

    Raises: RecipeError where there are more than a curve may have.
    """
    _refuse_too_many(recipe, n)
    end = recipe.iterations(n)
    number, unit = recipe.log.interval()
    if unit == "iterations":
        return [*range(0, end, int(number)), end]
    points = [0]
    while (t := next_log_point(recipe, n, points[-1])) < end:
        points.append(t)
    return [*points, end] if end else points


def log_points_up_to(recipe: Recipe, n: int, t: int) -> list[int]:
    """The log points of a recipe's curve up to iteration t; points at seconds of training are not among them.

    Raises: RecipeError where the curve has more points than it may have.
    """
    _refuse_too_many(recipe, n)
    end = recipe.iterations(n)
    points = [0]
    while (point := next_log_point(recipe, n, points[-1])) <= min(t, end):
        points.append(point)
    return [*points, end] if points[-1] < end <= t else points


def has_point(recipe: Recipe, n: int, t: int) -> bool:
    """Whether a recipe's curve has a point at iteration t; False for points at seconds, except the first and the last.

    A stored curve can have more points, because trials of one trajectory share a training.
    """
    end = recipe.iterations(n)
    return t in (0, end) or (t < end and t == next_log_point(recipe, n, t - 1))


def number_of_log_points(recipe: Recipe, n: int, *, iterations: int | None = None) -> int:
    """The approximate number of points of a recipe's curve, for N training examples.

    It is unknown, and counted as 2, for points at seconds, and where the budget is in seconds and the number of
    `iterations` that it makes is not given.
    """
    number, unit = recipe.log.interval()
    if unit == "seconds":
        return 2
    if iterations is None and recipe.budget.seconds is not None:
        return 2
    end = recipe.iterations(n) if iterations is None else iterations
    if unit == "geometric":
        return 2 + round(number * math.log10(max(end, 1)))
    length = number if unit == "iterations" else number * iterations_per_epoch(recipe.batches, n)
    return 2 + int(end / length)


def too_many_log_points(recipe: Recipe, n: int) -> str:
    """Why a curve has too many points for N training examples, a sentence; "" if it has not."""
    count = number_of_log_points(recipe, n)
    if count <= LOG_POINTS.most:
        return ""
    return f"log.every: makes about {count:,} {LOG_POINTS.unit}; expected at most {LOG_POINTS.most:,}: log less often"


def _refuse_too_many(recipe: Recipe, n: int) -> None:
    if problem := too_many_log_points(recipe, n):
        raise RecipeError([problem])


def shareable(recipe: Recipe) -> bool:
    """Whether a trial can be read off a longer trial's curve: not if its budget, a rule or a point is in seconds."""
    timed = (recipe.budget.seconds, recipe.stop.seconds)
    return timed == (None, None) and recipe.log.interval()[1] != "seconds"
