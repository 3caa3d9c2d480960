"""Hyperparameter importance: how much of the variance each axis explains."""

from __future__ import annotations

from typing import Any

import altair as alt

from assay.analysis.axis_columns import axis_of
from assay.report.charts.chart import Chart
from assay.report.charts.forms import Rungs, ranked_bars
from assay.report.charts.frames import Frame, best_of, checked, omitted
from assay.report.charts.style import (
    ORANGE,
    PlotAxis,
    Rows,
    dressed,
    message,
    number,
    plot_width,
    short,
    table,
    tooltip,
    unique,
    word,
)

_BARS = 25


def importance(frame: Frame, *, most: int = _BARS, title: str | None = None) -> Any:
    """How much of the variance each axis explains, largest first. `frame` has the columns axis and share.

    `frame.attrs` may hold explained, the fraction of the variance that the forest explains, noise, what it explains of
    permuted numbers, and ped_anova, another importance of some axes, which marks show. Raises: AssayError.
    """
    checked(frame, ["axis", "share"], what="importance")
    heading = title if title is not None else "hyperparameter importance"
    axes, fractions = map(word, frame["axis"].tolist()), map(number, frame["share"].tolist())
    shares = [(axis_of(axis), fraction) for axis, fraction in zip(axes, fractions, strict=True)]
    measured = sorted(((a, s) for a, s in shares if s is not None), key=lambda pair: -pair[1])
    explained, noise = frame.attrs.get("explained"), frame.attrs.get("noise")
    if not measured:
        why = "There is no importance to show."
        if explained is not None:
            why = (
                f"The axes explain no more than noise does: R² {explained:.2f}, of permuted numbers up to {noise:.2f}."
            )
        return message(why, heading)
    kept = measured[:most]
    names = unique(short(name) for name, _ in kept)
    rows: Rows = [
        {"name": name, "label": label, "x": share, "text": f"{100 * share:.1f} %"}
        for (name, share), label in zip(kept, names, strict=True)
    ]
    other = {axis_of(axis): float(fraction) for axis, fraction in frame.attrs.get("ped_anova", {}).items()}
    marked = [row | {"x": other[row["name"]]} for row in rows if row["name"] in other]
    limits = [min(0.0, kept[-1][1]), max(kept[0][1], 0.01, *(row["x"] for row in marked))]
    axis = PlotAxis("fraction of the explained variance", limits, format="%")
    chart = ranked_bars(rows, axis=axis, tips=tooltip(name="axis", x=("fraction", ".2%")))
    if marked:
        rungs = Rungs.of(rows)
        marks = alt.Chart(table(rungs.placed(marked))).mark_point(shape="diamond", size=90, filled=True, color=ORANGE)
        tips = tooltip(name="axis", x=("PED-ANOVA", ".2%"))
        chart = alt.layer(*chart.layer, marks.encode(x=axis.x(), y=rungs.y(), tooltip=tips))
        chart = chart.properties(width=plot_width() - 90, height=alt.Step(24))
    notes = [
        f"of what the forest explains: R² {explained:.2f} out of bag" if explained is not None else "",
        "fitted to {:,} of {:,} trials, drawn at random".format(*frame.attrs["sample"])
        if "sample" in frame.attrs
        else "",
        "orange: PED-ANOVA by Optuna, how much an axis decides whether a trial is among the best tenth"
        if marked
        else "",
        best_of(len(kept), len(measured), "axes"),
        omitted(len(shares) - len(measured), "without a number"),
    ]
    return dressed(chart, heading, notes)


CHART = Chart(
    "importance",
    "importance",
    importance,
    "Hyperparameter importance",
    "how much of the variance each axis explains",
    suits=lambda shape: shape.design != "one-at-a-time" and shape.axes > 1,
)

__all__ = ["CHART", "importance"]
