"""Engines side by side: what a training has reached by when, from the start of its process."""

from __future__ import annotations

from typing import Any

from assay.analysis.quantities import CLASSIFICATION, REGRESSION, score_of
from assay.errors import AssayError, unknown
from assay.report.charts.chart import Chart
from assay.report.charts.forms import Series, lines
from assay.report.charts.frames import Frame, best_of, checked
from assay.report.charts.style import (
    Plane,
    PlotAxis,
    Rows,
    axis_format,
    dressed,
    labels,
    message,
    number,
    plot_width,
    span,
    tooltip,
)

_SERIES = 18  # lines that colours and dashes distinguish
_SCORES = {score.column: score for score in (score_of(CLASSIFICATION), score_of(REGRESSION))}
_MEASURES = {column: score.label for column, score in _SCORES.items()} | {"epoch": "epochs done"}


def time_and_score(epochs: Frame, *, measure: str | None = None, title: str | None = None) -> Any:
    """The test accuracy or R2 by the seconds since the start of the process, or with `measure` "epoch" the epochs done.

    One line per repeat; where it begins is start-up, compilation and the first epoch. `epochs` has the columns row,
    repeat, epoch, elapsed, and accuracy or r2. Raises: AssayError.
    """
    measure = measure or next((name for name in _SCORES if name in epochs.columns), next(iter(_SCORES)))
    if measure not in _MEASURES:
        raise AssayError(unknown("measure", measure, _MEASURES))
    checked(epochs, ["row", "repeat", "elapsed", measure], what="epochs")
    label = _MEASURES[measure]
    heading = title if title is not None else f"{label} by time from the start of the process"
    names = list(dict.fromkeys(str(name) for name in epochs["row"].tolist()))
    named = labels(names[:_SERIES])
    rows = _rows(epochs, named, measure)
    if not rows:
        return message("There is no epoch to show.", heading)
    ends = span([row["y"] for row in rows])
    chart = lines(
        rows,
        plane=Plane(
            PlotAxis("seconds from the start of the process", span([row["x"] for row in rows], log=True), log=True),
            PlotAxis(
                label, ends, format=axis_format(*ends, percent=measure in _SCORES and _SCORES[measure].is_fraction)
            ),
            (plot_width() - 60, 320),
        ),
        series=Series.of(list(named.values()), None, detail="repeat"),
        tips=tooltip(name="row", repeat=("repeat", "d"), x=("seconds", ".4~g"), y=(label, ".4~g")),
    )
    notes = [
        "one line per repeat; its first point is start-up, data, compilation and the first epoch",
        best_of(len(named), len(names), "rows"),
    ]
    return dressed(chart, heading, notes)


def _rows(epochs: Frame, named: dict[str, str], measure: str) -> Rows:
    rows: Rows = []
    columns = ("row", "repeat", "elapsed", measure)
    for name, repeat, elapsed, value in zip(*(epochs[c].tolist() for c in columns), strict=True):
        x, y = number(elapsed), number(value)
        if str(name) in named and x is not None and x > 0 and y is not None:
            row = {"name": str(name), "series": named[str(name)], "repeat": number(repeat)}
            rows.append(row | {"x": x, "y": y, "kind": "dots"})
    return rows


CHART = Chart(
    "bench-totals", "epochs", time_and_score, "Score by time", "accuracy or R2 by time from the start, of a bench"
)

__all__ = ["CHART", "time_and_score"]
