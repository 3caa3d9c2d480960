"""The best point of a learning curve: that with the lowest loss on the validation set, or else on the test set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from assay.analysis.quantities import CLASSIFICATION, LOSS, REGRESSION, name_of, task_of

Frame = Any  # a pandas frame
_TASKS = (CLASSIFICATION, REGRESSION)
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
        r2: R2 there, of a regression; None if it was not measured.
    """

    iteration: int
    set: str
    loss: float
    accuracy: float | None
    r2: float | None = None

    def plain(self, *, steps: str = "iterations") -> dict[str, Any]:
        """Its plain data; `steps`: what the curve counts, "iterations" or "epochs"."""
        values = asdict(self)
        del values["r2" if self.r2 is None else "accuracy"]
        return {steps.removesuffix("s"): values.pop("iteration")} | values


def best_point(points: Sequence[Measured]) -> BestPoint | None:
    """The best point of a curve; None if it has neither a validation nor a test loss.

    The validation set decides if any point has its loss, because the test set should not select.
    """
    for split in ("validation", "test"):
        column, names = name_of(split, LOSS.name), [name_of(split, task.score.name) for task in _TASKS]
        measured = [point for point in points if _finite(getattr(point, column))]
        if measured:
            best = min(measured, key=lambda point: getattr(point, column))
            return BestPoint(
                best.iteration, split, getattr(best, column), *(getattr(best, name, None) for name in names)
            )
    return None


def best_points(curves: Frame) -> Frame:
    """The best point of each trial, from a frame with one row per log point: the trial and `COLUMNS`."""
    import numpy as np
    import pandas as pd

    losses, scores = (
        {split: curves[name_of(split, metric.name)].to_numpy(dtype=np.float64) for split in ("validation", "test")}
        for metric in (LOSS, task_of(curves).score)
    )
    codes, names = pd.factorize(curves["trial"])
    validated = np.bincount(codes, np.isfinite(losses["validation"]), minlength=len(names)) > 0
    by_validation = validated[codes]
    loss = np.where(by_validation, losses["validation"], losses["test"])
    kept = np.flatnonzero(np.isfinite(loss))
    places, _ = pd.factorize(codes[kept])
    order = np.lexsort((loss[kept], places))  # of equal losses the first
    lowest = kept[order[np.flatnonzero(np.diff(places[order], prepend=-1))]]
    accuracy = np.where(by_validation[lowest], scores["validation"][lowest], scores["test"][lowest])
    table = curves[["trial", "iteration"]].iloc[lowest].rename(columns={"iteration": "best_iteration"})
    of_set = np.where(by_validation[lowest], "validation", "test").astype(object)
    accuracy = np.where(np.isfinite(accuracy), accuracy, np.nan)
    score = f"best_{task_of(curves).score.name}"
    return table.assign(**{"best_set": of_set, "best_loss": loss[lowest], score: accuracy}).reset_index(drop=True)


def judged(point: Measured, metric: str) -> float:
    """The "loss" or the "accuracy" that stopping rules read: on the validation set if any, else on the test set."""
    validation: float | None = getattr(point, name_of("validation", metric))
    value: float | None = getattr(point, name_of("test", metric)) if validation is None else validation
    assert value is not None  # the test set is evaluated at every point
    return value


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
