"""The learning curve of one training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import altair as alt

from assay.analysis.quantities import LOSS, SPLITS, Metric, name_of, task_of
from assay.errors import AssayError, unknown
from assay.report.charts.chart import Chart
from assay.report.charts.forms import Series, lines
from assay.report.charts.frames import Frame, numbers
from assay.report.charts.style import PALETTE, Plane, PlotAxis, Rows, axis_format, dressed, span, strokes, tooltip

_AXES = {"iteration": "iteration", "examples": "examples seen", "seconds": "training time [s]"}
_DOTS = 120  # points of a panel up to which each has a dot


@dataclass(frozen=True)
class CurveText:
    """What is said of a training beside its points.

    `loss` is the kind of its loss where it is known, `steps` what its iterations count, `geometric` whether its points
    were logged at geometric distances, and `own` the measures of the user's, each of which has a panel.
    """

    title: str
    subtitle: str
    loss: str
    steps: str = "iterations"
    geometric: bool = False
    own: tuple[str, ...] = ()


def learning_curve(points: Frame, text: CurveText, *, x: str = "iteration") -> Any:
    """Loss and score of one training against "iteration", "examples" or "seconds".

    `points` has one row per log point, with the columns iteration, examples, seconds and the quantities that were
    measured. The axis is logarithmic where the points were logged at geometric distances, without the untrained point.
    Raises: AssayError.
    """
    if x not in _AXES:
        raise AssayError(unknown("axis", x, _AXES))
    places = [(row, value) for row, value in enumerate(numbers(points, x)) if value is not None]
    if not places:
        raise AssayError(f"the curve of {text.title} has no {x}: its log does not contain it")
    log = text.geometric and len(points) > 2
    places = [(row, value) for row, value in places if value > 0 or not log]
    ends = [value for _, value in places] or [1.0]
    title = text.steps.removesuffix("s") if x == "iteration" else _AXES[x]
    limits = (min(ends), max(ends)) if min(ends) < max(ends) else span(ends, log=log)
    axis = PlotAxis(title, limits, log=log, format="~s" if x == "examples" else "~g")
    metrics = [LOSS, task_of(points).score, *(Metric(name, "score") for name in text.own)]
    panels = [_panel(_rows(points, places, metric), text, metric, axis=axis) for metric in metrics]
    row = alt.concat(*panels, columns=2, spacing=30) if text.own else alt.hconcat(*panels, spacing=30)
    return dressed(row, text.title, [text.subtitle])


def _rows(points: Frame, places: list[tuple[int, float]], metric: Metric) -> Rows:
    """One row for each point and split with the metric, split by split."""
    rows: Rows = []
    for split, label in SPLITS.items():
        values = numbers(points, name_of(split, metric.name))
        measured = [(at, value) for row, at in places if (value := values[row]) is not None]
        rows += [{"series": label, "x": at, "y": value} for at, value in measured]
    kind = "dots" if len(rows) <= _DOTS else "line"
    return [row | {"kind": kind} for row in rows]


def _panel(rows: Rows, text: CurveText, metric: Metric, *, axis: PlotAxis) -> Any:
    values = [row["y"] for row in rows] or [0.0, 1.0]
    percent = metric.unit == "points"
    log = metric is LOSS and min(values) > 0
    title = metric.label or metric.name if metric is not LOSS else f"{text.loss} {metric.name}".strip()
    limits = span(values, log=log)
    wide = log and limits[1] > 1e6 * limits[0]
    y_format = ".0e" if wide else axis_format(*limits, percent=percent)
    present = [label for label in PALETTE if any(row["series"] == label for row in rows)]
    of_splits = [PALETTE[label] for label in present]
    return lines(
        rows,
        plane=Plane(axis, PlotAxis(title, limits, log=log, format=y_format), (380, 260)),
        series=Series(present, of_splits, None, strokes(None, orient="top", direction="horizontal")),
        tips=tooltip(series="split", x=(axis.title or "x", ",~r"), y=(metric.name, ".4f")),
        hover=False,
    )


CHART = Chart("curve", "history", learning_curve, "Learning curve", "loss and accuracy of one training")

__all__ = ["CHART", "CurveText", "learning_curve"]
