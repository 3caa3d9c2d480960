"""One-at-a-time effects: what each value of each axis changes against the baseline."""

from __future__ import annotations

from typing import Any

import altair as alt

from assay.analysis.axis_columns import axis_of
from assay.analysis.quantities import TEST_SCORE
from assay.report.charts.chart import Chart
from assay.report.charts.forms import IntervalStyle, cut_at_possible, intervals
from assay.report.charts.frames import Frame, checked, omitted
from assay.report.charts.style import (
    BLUE,
    GREY,
    Measure,
    PlotAxis,
    Rows,
    dressed,
    labels,
    measure_of,
    message,
    number,
    plot_width,
    short,
    span,
    tooltip,
    unique,
    word,
)

_COLUMNS = ("axis", "value", "effect", "low", "high")


def effects(
    frame: Frame,
    *,
    measure: str = TEST_SCORE.column,
    most: int = 60,
    origin: str = "the baseline",
    title: str | None = None,
) -> Any:
    """What each value of each axis changes against the `origin`, with its interval, grouped by axis.

    `frame` has the columns axis, value, effect, low and high, in the unit of the measure, and may have decided: whether
    the effect is significant, which else is whether the interval excludes 0. `frame.attrs` may hold comparisons, the
    number that the intervals are simultaneous for. Raises: AssayError.
    """
    checked(frame, _COLUMNS, what="effects")
    quantity = measure_of(measure)
    heading = title if title is not None else "one-at-a-time effects"
    rows = _rows(frame, quantity)
    unmeasured, total = len(frame) - len(rows), len(rows)
    corrected = int(frame.attrs.get("comparisons", 1))
    if not rows:
        count = f": {unmeasured} without a number" if unmeasured else ""
        return message(f"There is no effect to show{count}.", heading)
    largest = sorted(range(total), key=lambda i: -abs(rows[i]["x"]))[:most]
    rows = [rows[i] for i in sorted(largest)]
    groups: dict[str, Rows] = {}
    for row in rows:
        groups.setdefault(row["axis"], []).append(row)
    cut = cut_at_possible(rows, quantity)
    limits = span([0.0, *(row[end] for row in rows for end in ("low", "high"))], pad=0.06)
    names = labels({name: axis_of(name) for name in groups}.values(), most=28)
    panels = [
        _panel(
            group, names[axis_of(name)], PlotAxis(quantity.difference if last else None, limits, count=7, labels=last)
        )
        for name, group in groups.items()
        for last in [name == list(groups)[-1]]
    ]
    chart = alt.vconcat(*panels, spacing=28, bounds="flush")
    exact = all(row["low"] == row["high"] for row in rows)
    intervals_of = "effects with their simultaneous intervals" if corrected > 1 else "effects with their intervals"
    notes = [
        f"{'effects' if exact else intervals_of}; 0 is {origin}",
        f"blue: significant after Holm's correction for {corrected:,} comparisons" if corrected > 1 else "",
        f"showing the {len(rows)} largest of {total:,} effects" if len(rows) < total else "",
        cut,
        omitted(unmeasured, "without a number"),
    ]
    return dressed(chart, heading, notes)


def _rows(frame: Frame, quantity: Measure) -> Rows:
    rows: Rows = []
    decided: list[Any] = frame["decided"].tolist() if "decided" in frame.columns else [None] * len(frame)
    columns = [frame[c].tolist() for c in _COLUMNS]
    for name, value, effect, low, high, significant in zip(*columns, decided, strict=True):
        middle = number(effect)
        if middle is not None:
            ends = {"x": middle, "low": number(low), "high": number(high)}
            scaled = {end: quantity.factor * (middle if at is None else at) for end, at in ends.items()}
            clear = bool(significant) if significant is not None else scaled["low"] > 0 or scaled["high"] < 0
            rows.append({"axis": word(name), "value": word(value), "clear": clear} | scaled)
    return rows


def _panel(rows: Rows, heading: str, axis: PlotAxis) -> Any:
    """The panel of one axis of the study."""
    names = unique(short(row["value"], 24) for row in rows)
    rows = [row | {"label": label} for row, label in zip(rows, names, strict=True)]
    rows.sort(key=lambda row: -row["x"])
    side = alt.Axis(title=None, ticks=False, domain=False, labelPadding=8, minExtent=170, maxExtent=170, labelLimit=165)
    tips = tooltip(axis="axis", value="value", x=("effect", "+.4~g"), low=("low", "+.4~g"), high=("high", "+.4~g"))
    clear = alt.condition("datum.clear", alt.value(BLUE), alt.value(GREY))
    chart = intervals(
        rows, axis=axis, tips=tips, style=IntervalStyle(clear, zero=True, side=side, step=22, width=plot_width() - 60)
    )
    return chart.properties(title=alt.TitleParams(heading, anchor="start", fontSize=13, dx=-4, offset=4))


CHART = Chart(
    "factors",
    "effects",
    effects,
    "One-at-a-time effects",
    "what one change at a time does, with intervals",
    suits=lambda shape: shape.design == "one-at-a-time",
)

__all__ = ["CHART", "effects"]
