"""The regret of a search against its trials and its seconds."""

from __future__ import annotations

from typing import Any

import altair as alt

from assay.report.charts.chart import Chart
from assay.report.charts.style import BLUE, PlotAxis, Rows, dressed, message, plot_width, span, table, tooltip
from assay.report.thinning import evenly

_MOST = 2000
_WIDE = 20  # the ratio of regrets from which on the axis is logarithmic


def regret(search: Any, *, title: str | None = None) -> Any:
    """How much better the best score of a search is than the best so far, against trials and seconds of training.

    The reference is the best score of the same search, so that the regret ends at 0; it says how soon the search got
    there, not how good the result is. Raises: AssayError for a search for two objectives.
    """
    heading = title if title is not None else "regret"
    course = search.incumbents
    known = course[course["best"].notna()]
    if known.empty:
        return message("No trial of the search has a score.", heading)
    final = float(known["best"].iloc[-1])
    factor = 100.0 if search.is_fraction else 1.0
    values = ((known["best"] - final).abs() * factor).tolist()
    positive = [value for value in values if value > 0]
    if not positive:
        return message(f"The first trial with a score was the best one: {search.text(final)}.", heading)
    log = max(positive) / min(positive) > _WIDE
    limits = span(positive if log else [0.0, *positive], log=log)
    unit = " [percentage points]" if search.is_fraction else ""
    ends = (limits[0] if log else 0.0, limits[1])
    sides = (PlotAxis(f"regret{unit}", ends, log=log), PlotAxis(None, ends, log=log))
    reached = known.iloc[values.index(0.0)]
    panels = [
        _panel(known[column].tolist(), values, PlotAxis(words, _ends(known[column].tolist())), y=y, log=log)
        for (column, words), y in zip((("trials", "trials"), ("seconds", "seconds of training")), sides, strict=True)
    ]
    notes = [
        f"{search.label}; reference: the best of this search, {search.text(final)}, "
        f"reached after {int(reached['trials']):,} trials and {reached['seconds']:.3g} s of training",
        "regret 0 is not on the logarithmic axis" if log else "",
    ]
    chart = alt.hconcat(*panels, spacing=30)
    return dressed(chart, heading, notes, seen=f"regret 0 after {int(reached['trials']):,} trials")


def _ends(values: list[float]) -> tuple[float, float]:
    return (0.0, max(values) * 1.02 or 1.0)


def _panel(at: list[float], values: list[float], x: PlotAxis, *, y: PlotAxis, log: bool) -> Any:
    corners = [place for place, value in enumerate(values) if place == 0 or value != values[place - 1]]
    kept = [corners[place] for place in evenly(len(corners), _MOST)]
    rows: Rows = [{"x": at[place], "y": values[place]} for place in kept if values[place] > 0 or not log]
    if log:  # the line ends where the regret becomes 0
        rows.append({"x": at[corners[-1]], "y": rows[-1]["y"]})
    else:
        rows.append({"x": at[-1], "y": values[-1]})
    line = alt.Chart(table(rows)).mark_line(interpolate="step-after", color=BLUE, strokeWidth=2.2)
    tips = tooltip(x=(str(x.title), ",.4~g"), y=("regret", ".3~g"))
    return line.encode(x=x.x(), y=y.y(), tooltip=tips).properties(width=plot_width() // 2 - 20, height=300)


CHART = Chart(
    "regret",
    "search",
    regret,
    "Regret against trials and seconds",
    "how far the best so far is from the best of the search, against trials and seconds",
    suits=lambda shape: shape.design == "search" and shape.objectives == 1,
)

__all__ = ["CHART", "regret"]
