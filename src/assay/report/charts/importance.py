"""Hyperparameter importance: how much of the variance each axis explains."""

from __future__ import annotations

from typing import Any

from assay.analysis.axis_columns import axis_of
from assay.report.charts.chart import Chart
from assay.report.charts.forms import ranked_bars
from assay.report.charts.frames import Frame, best_of, checked, omitted
from assay.report.charts.style import PlotAxis, Rows, dressed, message, number, short, tooltip, unique, word

_BARS = 25


def importance(frame: Frame, *, most: int = _BARS, title: str | None = None) -> Any:
    """How much of the variance each axis explains, largest first. `frame` has the columns axis and share.

    `frame.attrs` may hold explained, the fraction of the variance that the forest explains, and noise, what it explains
    of permuted numbers. Raises: AssayError.
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
    limits = [min(0.0, kept[-1][1]), max(kept[0][1], 0.01)]
    axis = PlotAxis("fraction of the explained variance", limits, format="%")
    chart = ranked_bars(rows, axis=axis, tips=tooltip(name="axis", x=("fraction", ".2%")))
    notes = [
        f"of what the forest explains: R² {explained:.2f} out of bag" if explained is not None else "",
        "fitted to {:,} of {:,} trials, drawn at random".format(*frame.attrs["sample"])
        if "sample" in frame.attrs
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
