"""The history of a search: the score of each trial, and the best one so far."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np

from assay.report.charts.chart import Chart
from assay.report.charts.frames import omitted
from assay.report.charts.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PlotAxis,
    Rows,
    axis_format,
    dressed,
    message,
    plot_width,
    span,
    table,
    tooltip,
)
from assay.report.thinning import evenly

_MOST = 2000  # trials: more dots only hide each other
_TAIL = 0.05  # of the scores, which may leave the plot: failures would press all others to one edge


def score_limits(scores: list[float], best: list[float], *, is_fraction: bool, maximize: bool) -> tuple[float, float]:
    """The limits of an axis of scores: all of the best ones, and all but the worst twentieth of the others."""
    cut = float(np.quantile(scores, _TAIL if maximize else 1 - _TAIL))
    low, high = span([*best, cut, max(scores) if maximize else min(scores)], pad=0.05)
    return (max(0.0, low), min(1.0, high)) if is_fraction else (low, high)


def history(search: Any, *, most: int = _MOST, title: str | None = None) -> Any:
    """The score of each trial of a search in its order, with the best so far as a line.

    For random draws, the band is that of the expected best of so many draws (95 %, bootstrap). `search` is what
    `Results.searched` gives. Raises: AssayError for a search for two objectives.
    """
    heading = title if title is not None else "search history"
    course = search.incumbents
    scored = course[course["score"].notna()]
    if scored.empty:
        return message("No trial of the search has a score.", heading)
    labels = dict(zip(search.jobs["n"], search.jobs["configuration"], strict=True))
    kept = scored.iloc[evenly(len(scored), most)]
    kept = kept if len(kept) == len(scored) else scored[scored["improved"] | scored["n"].isin(kept["n"])]
    best = course[course["best"].notna()]
    limits = score_limits(
        scored["score"].tolist(), scored["best"].tolist(), is_fraction=search.is_fraction, maximize=search.maximize
    )
    y = PlotAxis(search.label, limits, format=axis_format(*limits, percent=search.is_fraction))
    x = PlotAxis("trials", (0, float(course["trials"].max()) + 1))
    exact = ".2%" if search.is_fraction else ".4~g"
    dots: Rows = [
        {"x": row["trials"], "y": row["score"], "name": labels[row["n"]], "improved": bool(row["improved"])}
        for row in kept.to_dict("records")
        if limits[0] <= row["score"] <= limits[1]
    ]
    steps: Rows = [{"x": row["trials"], "y": row["best"]} for row in best[best["improved"]].to_dict("records")]
    steps.append({"x": float(course["trials"].max()), "y": float(best["best"].iloc[-1])})
    outside = int(((scored["score"] < limits[0]) | (scored["score"] > limits[1])).sum())
    tips = tooltip(name="configuration", x=("trial", ",d"), y=(search.label, exact))
    colour = alt.condition("datum.improved", alt.value(ORANGE), alt.value(BLUE))
    layers = [
        *_band(search, x, y, limits=limits),
        alt.Chart(table(dots)).mark_circle(size=34, opacity=0.55).encode(x=x.x(), y=y.y(), tooltip=tips, color=colour),
        alt.Chart(table(steps)).mark_line(interpolate="step-after", color=INK, strokeWidth=2).encode(x=x.x(), y=y.y()),
    ]
    final = float(best["best"].iloc[-1])
    notes = [
        f"best {search.text(final)} of {len(course):,} trials (line: best so far; orange: improvements)",
        "grey band: expected best of so many random draws, 95 %" if len(layers) > 2 else "one run: no band",
        f"selected on {search.goal.split}",
        f"{len(kept):,} of the trials drawn" if len(kept) < len(scored) else "",
        omitted(len(course) - len(scored), "trials that do not count (no score, lower rungs, other seeds)"),
        omitted(outside, "trials outside the axis"),
    ]
    chart = alt.layer(*layers).properties(width=plot_width(), height=320)
    return dressed(chart, heading, notes, seen=f"best {search.text(final)} after {len(course):,} trials")


def _band(search: Any, x: PlotAxis, y: PlotAxis, *, limits: tuple[float, float]) -> list[Any]:
    """The band of the expected best of random draws; none for other methods."""
    curve = search.expected_best if search.is_random else None
    if curve is None or curve.empty:
        return []
    low, high = limits
    rows: Rows = [
        {"x": row["budget"], "low": min(max(row["low"], low), high), "high": min(max(row["high"], low), high)}
        for row in curve[curve["unit"] == "trials"].to_dict("records")
    ]
    band = alt.Chart(table(rows)).mark_area(color=GREY, opacity=0.25)
    return [band.encode(x=x.x(), y=y.y("low"), y2="high:Q")]


CHART = Chart(
    "history",
    "search",
    history,
    "Search history",
    "the score of each trial of a search, and the best so far",
    suits=lambda shape: shape.design == "search" and shape.objectives == 1,
)

__all__ = ["CHART", "history", "score_limits"]
