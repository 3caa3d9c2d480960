"""The best point of a learning curve: that with the lowest loss on the validation set, or else on the test set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from assay.analysis.quantities import LOSS, SCORE, name_of

Frame = Any  # a pandas frame
COLUMNS = ("best_iteration", "best_set", "best_loss", "best_accuracy")


class Measured(Protocol):
    """A point of a curve; its quantities are read by name."""

    @property
    def iteration(self) -> int: ...


@dataclass(frozen=True)
class BestPoint:
    """The point of a curve with the lowest loss, the first one of several.

    Attributes:
        iteration: Its iteration; its epoch in an imported log that counts epochs.
        set: On which examples loss and accuracy were measured: "validation" or "test".
        loss: The loss there.
        accuracy: The accuracy there, a fraction; None if it was not measured.
    """

    iteration: int
    set: str
    loss: float
    accuracy: float | None

    def plain(self, *, steps: str = "iterations") -> dict[str, Any]:
        """Its plain data; `steps`: what the curve counts, "iterations" or "epochs"."""
        values = asdict(self)
        return {steps.removesuffix("s"): values.pop("iteration")} | values


def best_point(points: Sequence[Measured]) -> BestPoint | None:
    """The best point of a curve; None if it has neither a validation nor a test loss.

    The validation set decides if any point has its loss, because the test set should not select.
    """
    for split in ("validation", "test"):
        column, score = name_of(split, LOSS.name), name_of(split, SCORE.name)
        measured = [point for point in points if _finite(getattr(point, column))]
        if measured:
            best = min(measured, key=lambda point: getattr(point, column))
            return BestPoint(best.iteration, split, getattr(best, column), getattr(best, score))
    return None


def best_points(curves: Frame) -> Frame:
    """The best point of each trial, from a frame with one row per log point: the trial and `COLUMNS`."""
    import numpy

    names = {split: (name_of(split, LOSS.name), name_of(split, SCORE.name)) for split in ("validation", "test")}
    finite = curves.replace([numpy.inf, -numpy.inf], numpy.nan)
    validated = finite.groupby("trial")[names["validation"][0]].transform("count") > 0
    columns = [finite[names["validation"][i]].where(validated, finite[names["test"][i]]) for i in (0, 1)]
    table = finite[["trial", "iteration"]].assign(
        best_set=validated.map({True: "validation", False: "test"}), best_loss=columns[0], best_accuracy=columns[1]
    )
    table = table.rename(columns={"iteration": "best_iteration"}).dropna(subset=["best_loss"])
    lowest = table.groupby("trial", sort=False)["best_loss"].idxmin()
    return table.loc[lowest, ["trial", *COLUMNS]].reset_index(drop=True)


def judged(point: Measured, metric: str) -> float:
    """The "loss" or the "accuracy" that stopping rules read: on the validation set if any, else on the test set."""
    validation: float | None = getattr(point, name_of("validation", metric))
    value: float | None = getattr(point, name_of("test", metric)) if validation is None else validation
    assert value is not None  # the test set is evaluated at every point
    return value


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
