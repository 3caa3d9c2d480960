"""Engines side by side: the training seconds of every epoch, with the machine's limit."""

from __future__ import annotations

from statistics import median
from typing import Any

import altair as alt

from assay.report.charts.chart import Chart
from assay.report.charts.forms import IntervalStyle, Rungs, intervals
from assay.report.charts.frames import Frame, checked, omitted
from assay.report.charts.style import (
    BLUE,
    COLOURS,
    INK,
    ORANGE,
    PlotAxis,
    Rows,
    dressed,
    labels,
    message,
    number,
    plot_width,
    span,
    table,
    tooltip,
)

_COLUMNS = ("row", "repeat", "epoch", "train", "limit")
_KINDS = {"later epochs": BLUE, "first epochs": ORANGE, "roofline": COLOURS[3]}


def epoch_times(epochs: Frame, *, title: str | None = None) -> Any:
    """The training seconds of every epoch by row, the fastest first: the median of the later epochs with their range,
    the epochs themselves, the first ones in another colour, and the machine's limit.

    `epochs` has the columns row, repeat, epoch, train, limit. Raises: AssayError.
    """
    checked(epochs, _COLUMNS, what="epochs")
    heading = title if title is not None else "training seconds of an epoch"
    points = _points(epochs)
    if not points:
        return message("There is no epoch to show.", heading)
    rows = _medians(points)
    limits = span([p["x"] for p in points] + [row["limit"] for row in rows if row["limit"]], log=True)
    axis = PlotAxis("training seconds of an epoch", limits, log=True)
    color = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=list(_KINDS), range=list(_KINDS.values())),
        legend=alt.Legend(title=None, orient="top", symbolType="circle", symbolOpacity=1),
    )
    tips = tooltip(name="row", kind="which", x=("seconds", ".4~g"), epoch=("epoch", "d"), repeat=("repeat", "d"))
    rungs = Rungs.of(rows)
    dots = alt.Chart(table(rungs.placed(points))).mark_circle(size=44, opacity=0.55)
    tips_of_row = tooltip(
        name="row", x=("median", ".4~g"), low=("shortest", ".4~g"), high=("longest", ".4~g"), limit=("roofline", ".4~g")
    )
    ranges = intervals(rows, axis=axis, tips=tips_of_row, style=IntervalStyle(INK, step=26, width=plot_width() - 60))
    known: Rows = [row | {"kind": "roofline"} for row in rows if row["limit"]]
    least = alt.Chart(table(rungs.placed(known))).mark_tick(thickness=3, size=18)
    chart = alt.layer(
        dots.encode(x=axis.x(), y=rungs.y(), color=color, tooltip=tips),
        ranges,
        least.encode(x=axis.x("limit"), y=rungs.y(), color=color, tooltip=tips_of_row),
    )
    notes = [
        "median and range of the later epochs; rounds interleaved",
        omitted(len(epochs) - len(points), "epochs without a time"),
    ]
    return dressed(chart.properties(width=plot_width() - 60, height=alt.Step(26)), heading, notes)


def _points(epochs: Frame) -> Rows:
    """One row per epoch that has a time."""
    named = labels(dict.fromkeys(str(name) for name in epochs["row"].tolist()))
    points: Rows = []
    for name, repeat, epoch, train, limit in zip(*(epochs[c].tolist() for c in _COLUMNS), strict=True):
        seconds, which, least = number(train), number(epoch), number(limit)
        if seconds is None or seconds <= 0 or which is None:
            continue
        kind = "first epochs" if which == 1 else "later epochs"
        row = {"name": str(name), "label": named[str(name)], "x": seconds, "kind": kind, "epoch": which}
        points.append(row | {"repeat": number(repeat), "limit": least if least and least > 0 else None})
    return points


def _medians(points: Rows) -> Rows:
    """One row per combination, the fastest first: the median of its later epochs, else of its first ones."""
    groups: dict[str, Rows] = {}
    for point in points:
        groups.setdefault(point["label"], []).append(point)
    rows: Rows = []
    for label, group in groups.items():
        times = [p["x"] for p in group if p["kind"] == "later epochs"] or [p["x"] for p in group]
        middle, limit = median(times), group[-1]["limit"]
        row = {"name": group[0]["name"], "label": label, "x": middle, "low": min(times), "high": max(times)}
        rows.append(row | {"limit": limit, "text": f"{middle / limit:.1f} x roofline" if limit else ""})
    return sorted(rows, key=lambda row: row["x"])


CHART = Chart(
    "bench",
    "epochs",
    epoch_times,
    "Seconds of every epoch",
    "the seconds of every epoch of a bench, with the machine's limit",
)

__all__ = ["CHART", "epoch_times"]
