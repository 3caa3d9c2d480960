"""Time breakdown: what the seconds of a trial were spent on, with first loads and waiting apart."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from assay.report.charts.chart import Chart
from assay.report.charts.forms import ranked_bars
from assay.report.charts.frames import (
    Frame,
    best_of,
    captions,
    checked,
    ended,
    headed,
    mixed,
    nothing,
    numbers,
    pooled,
    statistics,
    words,
)
from assay.report.charts.style import COLOURS, GREEN, PlotAxis, Rows, dressed, message, plot_width, tooltip

_BARS = 25
_USES = {
    "data": COLOURS[4],
    "compile": COLOURS[3],
    "train": COLOURS[0],
    "evaluate": GREEN,
    "checkpoint": COLOURS[5],
    "other": "#6b6b6b",
}  # the entries of a ledger with their colours, in order
_APART = {"first load": COLOURS[1], "wait": "#bdbdbd"}  # seconds that say nothing of a configuration
_FIRST = 5  # times the median: seconds of data beyond that are those of a process that read the data set


def ledger(
    trials: Frame,
    *,
    by: str = "configuration",
    most: int = _BARS,
    fraction: bool = False,
    title: str | None = None,
) -> Any:
    """The mean seconds of a trial by use as stacked bars, longest first; with `fraction` as parts of the whole.

    On the right, apart, with an axis of their own: the seconds of the first load, which the first trial of a process
    takes to read the data set, and those of waiting for the machine's lock. A first load is what the seconds of data
    exceed the median of the trials on the same data by, where they are more than five times that median; with fewer
    than three trials it cannot be told from the rest. Raises: AssayError.
    """
    checked(trials, [by])
    heading = headed(trials, "time breakdown", title)
    if "ledger_train" not in trials.columns:  # as where no trial of a study has a result
        return message(nothing(trials, "recorded seconds"), heading)
    table = _means(_split(trials), by)
    measured = table[table["total"] > 0].sort_values(["work", "total"], ascending=False, kind="stable")
    if not len(measured):
        return message(nothing(trials, "recorded seconds"), heading)
    kept = measured.head(most)
    chart = _chart(kept, captions(trials, by, kept["name"].tolist()), by=by, fraction=fraction)
    longest = kept.iloc[0]
    notes = [
        "means over trials; total on the right",
        _apart_note(kept),
        best_of(len(kept), len(measured), "configurations, the slowest"),
        pooled(trials, by),
        ended(trials),
        mixed(trials),
    ]
    seen = f"The longest is {longest['name']}: {longest['train']:.3g} of {longest['work']:.3g} s are training"
    return dressed(chart, heading, notes, seen=seen)


def _split(trials: Frame) -> Frame:
    """The trials with the seconds of a first load apart from the rest of those of data."""
    if "ledger_data" not in trials.columns:
        return trials
    seconds = pd.Series(numbers(trials, "ledger_data"), dtype="float64")
    groups: Any = seconds.groupby(words(trials, "data") if "data" in trials.columns else [""] * len(trials))
    median = groups.transform("median").where(groups.transform("count") >= 3)
    first = np.where(seconds > _FIRST * median, seconds - median, 0.0)
    return trials.assign(**{"ledger_data": (seconds - first).to_numpy(), "ledger_first load": first})


def _means(trials: Frame, by: str) -> Frame:
    """The mean seconds of each use, the sum of the work, and their total, one row per value of `by`."""
    present = [use for use in (*_USES, *_APART) if f"ledger_{use}" in trials.columns]
    table = statistics(trials, by, [f"ledger_{use}" for use in present])
    for use in present:
        table[use] = table[f"ledger_{use}_mean"].fillna(0.0).clip(lower=0.0)
    work = [use for use in present if use in _USES]
    return table.assign(work=table[work].sum(axis=1), total=table[present].sum(axis=1))


def _apart_note(kept: Frame) -> str:
    used = [use for use in _APART if use in kept.columns and (kept[use] > 0).any()]
    return (
        f"apart, as they say nothing of a configuration: {' and '.join(map(_NAMES.__getitem__, used))}" if used else ""
    )


_NAMES = {"first load": "reading the data set once per process (first load)", "wait": "waiting for the machine's lock"}


def _chart(kept: Frame, named: dict[str, str], *, by: str, fraction: bool) -> Any:
    """The bars of the work, and on the right those of first loads and waiting where there are any."""
    uses = [use for use in _USES if use in kept.columns and (kept[use] > 0).any()]
    apart = [use for use in _APART if use in kept.columns and (kept[use] > 0).any()]
    color = _color({use: colour for use, colour in (_USES | _APART).items() if use in [*uses, *apart]})
    tips = tooltip(
        name=by,
        use="use",
        seconds=("mean seconds", ".4~g"),
        fraction=("fraction", ".1%"),
        total=("total", ".4~g"),
        n=("trials", "d"),
    )
    unit = "fraction of the trial's time" if fraction else "mean seconds of a trial"
    longest = float((kept["work"] / kept["total"] if fraction else kept["work"]).max())
    axis = PlotAxis(unit, [0, longest or 1.0], format="%" if fraction else "~g", count=5)
    right: Rows = [{"label": named[row["name"]], "text": f"{row['total']:.3g} s"} for row in kept.to_dict("records")]
    parts = _parts(kept, named, uses, fraction=fraction)
    if not apart:
        return ranked_bars(right, axis=axis, tips=tips, parts=(parts, color))
    width = plot_width() - 90
    work = [row | {"text": ""} for row in right]
    main = ranked_bars(work, axis=axis, tips=tips, parts=(parts, color), width=width * 2 // 3)
    others = _parts(kept, named, apart, fraction=fraction)
    most = max(sum(row["x"] for row in others if row["label"] == label) for label in named.values())
    aside = PlotAxis("apart" if fraction else "apart [s]", [0, most or 1.0], format=axis.format, count=3)
    no_labels = alt.Axis(title=None, ticks=False, domain=False, labels=False)
    more = ranked_bars(right, axis=aside, tips=tips, parts=(others, color), width=width // 3, side=no_labels)
    return alt.hconcat(main, more, spacing=16).resolve_scale(color="shared")


def _parts(kept: Frame, named: dict[str, str], uses: list[str], *, fraction: bool) -> Rows:
    return [
        {"name": row["name"], "label": named[row["name"]], "use": use, "rank": rank, "n": int(row["n"])}
        | {"seconds": float(row[use]), "fraction": float(row[use] / row["total"]), "total": float(row["total"])}
        | {"x": float(row[use] / row["total"] if fraction else row[use])}
        for row in kept.to_dict("records")
        for rank, use in enumerate(uses)
    ]


def _color(used: dict[str, str]) -> alt.Color:
    scale = alt.Scale(domain=list(used), range=list(used.values()))
    return alt.Color("use:N", scale=scale, legend=alt.Legend(title=None, orient="top", symbolType="square"))


CHART = Chart(
    "ledger",
    "own trials",
    ledger,
    "Time breakdown",
    "what the seconds of a trial were spent on",
    suits=lambda _: True,
)

__all__ = ["CHART", "ledger"]
