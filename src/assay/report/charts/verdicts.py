"""Pairwise differences between configurations, with their intervals."""

from __future__ import annotations

from typing import Any

import altair as alt

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
    span,
    tooltip,
    unique,
    word,
)

_COLUMNS = ("a", "b", "difference", "low", "high", "decided")
_YES, _NO = "significant", "not significant"


def verdicts(frame: Frame, *, measure: str = TEST_SCORE.column, most: int = 40, title: str | None = None) -> Any:
    """Differences between pairs with their intervals, those that are significant in colour.

    `frame` has the columns a, b, difference (a minus b), low, high and decided (whether it is significant).
    Raises: AssayError.
    """
    checked(frame, _COLUMNS, what="verdicts")
    quantity = measure_of(measure)
    heading = title if title is not None else "pairwise differences"
    rows = _rows(frame, quantity)
    total = len(rows)
    if not rows:
        return message("There is no difference between two configurations to show.", heading)
    rows = sorted(sorted(rows, key=lambda row: -abs(row["x"]))[:most], key=lambda row: -row["x"])
    named = labels(dict.fromkeys(name for row in rows for name in (row["a"], row["b"])), most=24)
    for row, label in zip(rows, unique(f"{named[row['a']]} − {named[row['b']]}" for row in rows), strict=True):
        row["label"] = label
    cut = cut_at_possible(rows, quantity)
    limits = span([0.0, *(row[end] for row in rows for end in ("low", "high"))], pad=0.06)
    kinds = alt.Scale(domain=[_YES, _NO], range=[BLUE, GREY])
    color = alt.Color("verdict:N", scale=kinds, legend=alt.Legend(title=None, orient="top"))
    shape = alt.Shape("verdict:N", scale=alt.Scale(domain=[_YES, _NO], range=["circle", "diamond"]))
    tips = tooltip(a="a", b="b", x=("a − b", "+.4~g"), low=("low", "+.4~g"), high=("high", "+.4~g"), verdict="verdict")
    axis = PlotAxis(quantity.difference, limits, count=7)
    chart = intervals(
        rows, axis=axis, tips=tips, style=IntervalStyle(color, shape, zero=True, width=plot_width() - 130)
    )
    significant = sum(row["verdict"] == _YES for row in rows)
    notes = [
        f"{significant} of {len(rows)} significant",
        f"showing the {len(rows)} largest of {total:,} differences" if len(rows) < total else "",
        "pairs of the {:,} best of {:,} configurations".format(*frame.attrs["best"]) if "best" in frame.attrs else "",
        cut,
        omitted(len(frame) - total, "without a difference"),
    ]
    return dressed(chart, heading, notes)


def _rows(frame: Frame, quantity: Measure) -> Rows:
    rows: Rows = []
    for a, b, difference, low, high, decided in zip(*(frame[c].tolist() for c in _COLUMNS), strict=True):
        middle = number(difference)
        if middle is not None:
            ends = {"x": middle, "low": number(low), "high": number(high)}
            scaled = {end: quantity.factor * (middle if at is None else at) for end, at in ends.items()}
            verdict = _YES if decided is True or decided == 1 else _NO
            rows.append({"name": f"{word(a)} − {word(b)}", "a": word(a), "b": word(b), "verdict": verdict} | scaled)
    return rows


CHART = Chart(
    "verdicts",
    "verdicts",
    verdicts,
    "Pairwise differences",
    "differences between configurations, significant or not",
    suits=lambda shape: shape.repeats > 1 and shape.configurations <= 12,
)

__all__ = ["CHART", "verdicts"]
