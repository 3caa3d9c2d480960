"""Engines side by side: the seconds of every epoch, and what a training has reached after which time."""

from __future__ import annotations

from statistics import median
from typing import Any

import altair as alt

from assay.errors import AssayError, unknown
from assay.report.charts.frames import Frame, checked
from assay.report.charts.theme import (
    BLUE,
    INK,
    ORANGE,
    WIDTH,
    Rows,
    axis,
    axis_format,
    colours,
    dressed,
    labels,
    message,
    number,
    span,
    strokes,
    table,
    tooltip,
)

_SERIES = 18  # lines that colours and dashes tell apart
_LIMIT = "#CC79A7"


def epoch_times(epochs: Frame, *, title: str | None = None) -> Any:
    """The training seconds of every epoch, a line of points for each row, the fastest first: the median as a bar with
    a line from the shortest to the longest later epoch, the first epochs apart, the machine's limit beside them.

    `epochs` has the columns row, repeat, epoch, train, limit. Raises: AssayError.
    """
    checked(epochs, ["row", "repeat", "epoch", "train", "limit"], what="epochs")
    heading = title if title is not None else "seconds of training an epoch"
    points, groups, left_out = _points(epochs)
    if not points:
        return message("There is no epoch to show.", heading)
    order = sorted(groups, key=lambda name: groups[name]["x"])
    ends = [r["x"] for r in points] + [g["limit"] for g in groups.values() if g["limit"]]
    limits = span(ends, log=True)
    x = alt.X("x:Q", title="training seconds of an epoch (log scale)", axis=axis(limits, log=True))
    x = x.scale(type="log", domain=list(limits), nice=False)
    y = alt.Y("label:N", sort=order, axis=alt.Axis(title=None, ticks=False, domain=False, labelPadding=8))
    low, limit = x.copy(), x.copy()
    low.shorthand, limit.shorthand = "low:Q", "limit:Q"
    kinds = ["later epochs", "first epochs", "limit of the machine"]
    color = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=kinds, range=[BLUE, ORANGE, _LIMIT]),
        legend=alt.Legend(title=None, orient="top", symbolType="circle"),
    )
    said = tooltip(name="row", kind="which", x=("seconds", ".4~g"), epoch=("epoch", "d"), repeat=("repeat", "d"))
    dots = alt.Chart(table(points)).mark_circle(size=44, opacity=0.55).encode(x=x, y=y, color=color, tooltip=said)
    bars: Rows = list(groups.values())
    about = tooltip(
        name="row", x=("median", ".4~g"), low=("shortest", ".4~g"), high=("longest", ".4~g"), limit=("limit", ".4~g")
    )
    base = alt.Chart(table(bars)).encode(y=y, tooltip=about)
    rules = base.mark_rule(color=INK, strokeWidth=1.5).encode(x=low, x2="high:Q")
    ticks = base.mark_tick(color=INK, thickness=3, size=16).encode(x=x)
    known: Rows = [{**bar, "kind": kinds[2]} for bar in bars if bar["limit"]]
    least = alt.Chart(table(known)).mark_tick(thickness=3, size=18).encode(x=limit, y=y, color=color, tooltip=about)
    text = alt.Chart(table(bars)).mark_text(align="left", dx=8, fontSize=12, color=INK)
    text = text.encode(x=alt.value(WIDTH - 60), y=y, text="text:N")
    chart = alt.layer(dots, rules, ticks, least, text).properties(width=WIDTH - 60, height=alt.Step(26))
    notes = [
        "median of the later epochs, line from the shortest to the longest; every round all rows in turn",
        f"{left_out:,} epochs without a time left out" if left_out else "",
    ]
    return dressed(chart, heading, notes)


def _points(epochs: Frame) -> tuple[Rows, dict[str, dict[str, Any]], int]:
    """A row for each epoch, one for each combination by its label, and how many epochs have no time."""
    named = labels(dict.fromkeys(str(name) for name in epochs["row"].tolist()))
    columns = [epochs[c].tolist() for c in ("row", "repeat", "epoch", "train", "limit")]
    points: Rows = []
    limits: dict[str, float | None] = {}
    left_out = 0
    for name, repeat, epoch, train, limit in zip(*columns, strict=True):
        taken, which = number(train), number(epoch)
        if taken is None or taken <= 0 or which is None:
            left_out += 1
            continue
        least = number(limit)
        limits[str(name)] = least if least and least > 0 else None
        kind = "first epochs" if which == 1 else "later epochs"
        row = {"name": str(name), "label": named[str(name)], "x": taken, "kind": kind}
        points.append(row | {"epoch": which, "repeat": number(repeat)})
    groups: dict[str, dict[str, Any]] = {}
    for name, limit in limits.items():
        mine = [p for p in points if p["name"] == name]
        times = [p["x"] for p in mine if p["kind"] == "later epochs"] or [p["x"] for p in mine]
        middle = median(times)
        times_limit = f"{middle / limit:.1f} x limit" if limit else ""
        bar = {"name": name, "label": named[name], "x": middle, "low": min(times), "high": max(times)}
        groups[named[name]] = bar | {"limit": limit, "text": times_limit}
    return points, groups, left_out


_MEASURES = {"accuracy": "test accuracy", "epoch": "epochs done"}


def time_and_accuracy(epochs: Frame, *, measure: str = "accuracy", title: str | None = None) -> Any:
    """What each row has reached by when, counted from the start of its process: test accuracy, or with `measure`
    "epoch" the epochs done. A line for each repeat; where it begins is start-up, compilation and the first epoch.

    `epochs` has the columns row, repeat, epoch, elapsed, accuracy. Raises: AssayError.
    """
    if measure not in _MEASURES:
        raise AssayError(unknown("measure", measure, _MEASURES))
    checked(epochs, ["row", "repeat", "elapsed", measure], what="epochs")
    heading = title if title is not None else f"{_MEASURES[measure]} by time from the start of the process"
    names = list(dict.fromkeys(str(name) for name in epochs["row"].tolist()))
    named = labels(names[:_SERIES])
    rows: Rows = []
    for name, repeat, x, y in zip(*(epochs[c].tolist() for c in ("row", "repeat", "elapsed", measure)), strict=True):
        at, reached = number(x), number(y)
        if str(name) in named and at is not None and at > 0 and reached is not None:
            label = named[str(name)]
            rows.append({"name": str(name), "label": label, "repeat": number(repeat), "x": at, "y": reached})
    if not rows:
        return message("There is no epoch to show.", heading)
    color, dash = colours(list(named.values()))
    x_limits, y_limits = span([r["x"] for r in rows], log=True), span([r["y"] for r in rows])
    percent = measure == "accuracy"
    x = alt.X("x:Q", title="seconds from the start of the process (log scale)", axis=axis(x_limits, log=True))
    x = x.scale(type="log", domain=list(x_limits), nice=False)
    form = axis_format(*y_limits, percent=percent)
    y = alt.Y("y:Q", title=_MEASURES[measure], axis=alt.Axis(format=form, tickCount=6))
    y = y.scale(domain=list(y_limits), nice=False, zero=False)
    said = tooltip(name="row", repeat=("repeat", "d"), x=("seconds", ".4~g"), y=(_MEASURES[measure], ".4~g"))
    base = alt.Chart(table(rows)).encode(
        x=x,
        y=y,
        detail="repeat:N",
        color=alt.Color("label:N", scale=color, legend=strokes(None)),
        strokeDash=alt.StrokeDash("label:N", scale=dash, legend=None),
        tooltip=said,
    )
    chart = alt.layer(base.mark_line(strokeWidth=2), base.mark_circle(size=40, opacity=1))
    notes = [
        "a line for each repeat; its first point is start-up, data, compilation and the first epoch",
        f"the first {_SERIES} of {len(names)} rows" if len(names) > _SERIES else "",
    ]
    return dressed(chart.properties(width=WIDTH - 60, height=320), heading, notes)
