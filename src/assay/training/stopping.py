"""The stopping rules that depend on the points of the curve.

They read the loss and the accuracy on the validation set, or on the test set if there is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from assay.analysis.best import judged
from assay.parts.batches import iterations_per_epoch
from assay.parts.durations import plain_number
from assay.recipe.model import Recipe
from assay.training.history import Point
from assay.training.log_points import has_point


class StoppingRules:
    """The rules of one trial, which reads the points of its own curve one after the other.

    Attributes:
        best: The point with the lowest loss so far; None before the first point.
        is_best: Whether the last point that was read is that point.
    """

    def __init__(self, recipe: Recipe, n: int) -> None:
        """For N training examples."""
        self.stop = recipe.stop
        self._patience = recipe.stop.waits()
        self._per_epoch = iterations_per_epoch(recipe.batches, n)
        self._counts_from = 0.0 if recipe.stop.patience_from_start else self._per_epoch
        self._lowest, self._waited = math.inf, 0  # log points since the lowest loss
        self.best: Point | None = None
        self.is_best = False

    def read(self, point: Point) -> str:
        """Reads the next point of the trial's own curve. Returns the reason if the trial stops there, else ""."""
        loss = judged(point, "loss")
        self.is_best = self.best is None or loss < self._lowest
        if self.is_best:
            self.best, self._lowest, self._waited = point, loss, 0
        elif point.iteration >= self._counts_from:
            self._waited += 1
        goal = self.stop.accuracy
        if goal is not None and judged(point, "accuracy") >= goal:
            return f"accuracy {goal:g} reached at iteration {point.iteration:,}"
        return self._out_of_patience(point.iteration)

    def _out_of_patience(self, t: int) -> str:
        if self._patience is None or self.is_best or self.best is None:
            return ""
        number, unit = self._patience
        waited = float(self._waited)
        if unit != "points":
            waited = t - max(self.best.iteration, self._counts_from)
            waited = waited / self._per_epoch if unit == "epochs" else waited
        if waited < number - 1e-9:  # epochs are quotients
            return ""
        lowest = f"lowest at iteration {self.best.iteration:,}"
        return f"no lower loss for {_in_words(number, unit, self._per_epoch)} ({lowest})"


def first_stop(recipe: Recipe, points: Iterable[Point], n: int) -> tuple[int, str] | None:
    """Where a curve's first point is at which the recipe's rules end the trial, and the reason; None if they do not.

    Points that only another trial of the trajectory has are skipped. Points at seconds of training are all its own.
    """
    rules = StoppingRules(recipe, n)
    for point in own_points(recipe, points, n):
        if reason := rules.read(point):
            return point.iteration, reason
    return None


def own_points(recipe: Recipe, points: Iterable[Point], n: int) -> list[Point]:
    """The points of a curve that the recipe's own curve has, for N training examples."""
    if recipe.log.interval()[1] == "seconds":
        return list(points)
    return [point for point in points if has_point(recipe, n, point.iteration)]


def _in_words(number: float, unit: str, per_epoch: float) -> str:
    """A patience in words; in epochs where it is a whole number of them, because keys have epochs in iterations."""
    if unit == "points":
        return f"{number:,.0f} log point{'s' if number != 1 else ''}"
    epochs = number if unit == "epochs" else number / per_epoch
    if unit == "iterations" and epochs >= 0.5 and abs(epochs - round(epochs)) * per_epoch <= 0.5:
        epochs, unit = round(epochs), "epochs"
    if unit == "epochs":
        return f"{plain_number(epochs)} epoch{'s' if epochs != 1 else ''}"
    return f"{number:,.0f} iteration{'s' if number != 1 else ''}"
