"""A calibration of a setting that an article does not state: which value is nearest to its published points."""

from __future__ import annotations

import math
from statistics import median

from pydantic import Field

from assay.articles.context import Context
from assay.articles.entries import PublishedPoint
from assay.articles.kinds import PagePart
from assay.articles.measurements import percent_cell, trial_rows
from assay.articles.page import Figure, Table
from assay.errors import AssayError, unknown


class CalibrationTable(PagePart):
    """One row per value of an axis, one column per point, and the mean distance from the points.

    Attributes:
        study: The study.
        axis: The axis whose value is not published.
        by: The axis whose values have a published point each.
        points: The name of the point of each value of `by`.
    """

    study: str
    axis: str
    by: str
    points: dict[str, str] = Field(min_length=1)

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table."""
        trials = trial_rows(context.result(self.study))
        for column in (self.axis, self.by):
            if trials and column not in trials[0]:
                raise AssayError(unknown("column", column, trials[0]))
        completed = [row for row in trials if row["outcome"] == "completed"]
        published = {value: _point(context, name) for value, name in self.points.items()}
        rows: list[list[str]] = []
        distances: dict[float, float] = {}  # by value, the mean over the points, in percentage points
        for value in sorted({float(row[self.axis]) for row in trials}):
            cells, misses = [f"{value:g}"], list[float]()
            for name, point in published.items():
                here = [row for row in completed if row[self.by] == name and row[self.axis] == value]
                accuracies = [float(row["accuracy"]) for row in here]
                cells.append(median_and_range(accuracies))
                misses += [_miss(point, median(accuracies))] if accuracies else []
            if len(misses) == len(published):
                distances[value] = 100 * sum(misses) / len(misses)
            rows.append([*cells, f"{distances[value]:.2f}" if value in distances else "-"])
        rows.append(["published", *(_published_cell(point) for point in published.values()), ""])
        best = min(distances, key=lambda value: distances[value], default=math.nan)
        iterations = ", ".join(
            f"{n}" for n in sorted({context.spec.iterations(p.iterations) for p in published.values()})
        )
        note = f"Nearest to the published points: {best:g}." if distances else "Not measured yet."
        note += f" Median (min .. max) of the test accuracy [%] over seeds at {iterations} iterations."
        return [Table((self.axis, *published, "mean distance [points]"), rows, self.title, note)]


def _point(context: Context, name: str) -> PublishedPoint:
    points = {point.name: point for point in context.points if point.accuracy is not None}
    if name not in points:
        raise AssayError(unknown("published point", name, points))
    return points[name]


def _published_cell(point: PublishedPoint) -> str:
    return f"{point.word} {percent_cell(point.accuracy or 0)}".strip()


def median_and_range(values: list[float]) -> str:
    """Median (least .. greatest) of accuracies, in percent; a dash without any."""
    if not values:
        return "-"
    return f"{percent_cell(median(values))} ({percent_cell(min(values))} .. {percent_cell(max(values))})"


def _miss(point: PublishedPoint, accuracy: float) -> float:
    assert point.accuracy is not None  # `_point` gives no others
    return max(0.0, point.accuracy - accuracy) if point.word == "above" else abs(point.accuracy - accuracy)


__all__ = ["CalibrationTable", "median_and_range"]
