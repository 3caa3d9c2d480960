"""Hyperparameter importance: how much of the variance each axis explains."""

from __future__ import annotations

from typing import Any

from assay.report.charts.chart import Chart
from assay.report.charts.forms import ranked_bars
from assay.report.charts.frames import Frame, best_of, checked, omitted
from assay.report.charts.style import PlotAxis, Rows, dressed, message, number, short, tooltip, unique, word

_BARS = 25


def importance(frame: Frame, *, most: int = _BARS, title: str | None = None) -> Any:
    """How much of the variance each axis explains, largest first. `frame` has the columns axis and share.

    Raises: AssayError.
    """
    checked(frame, ["axis", "share"], what="importance")
    heading = title if title is not None else "hyperparameter importance"
    shares = [(word(a), number(s)) for a, s in zip(frame["axis"].tolist(), frame["share"].tolist(), strict=True)]
    measured = sorted(((a, s) for a, s in shares if s is not None), key=lambda pair: -pair[1])
    if not measured:
        return message("There is no importance to show.", heading)
    kept = measured[:most]
    names = unique(short(name) for name, _ in kept)
    rows: Rows = [
        {"name": name, "label": label, "x": share, "text": f"{share:.1%}"}
        for (name, share), label in zip(kept, names, strict=True)
    ]
    limits = [min(0.0, kept[-1][1]), max(kept[0][1], 0.01)]
    axis = PlotAxis("fraction of the variance that the axis explains", limits, format="%")
    chart = ranked_bars(rows, axis=axis, tips=tooltip(name="axis", x=("fraction", ".2%")))
    notes = [
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
