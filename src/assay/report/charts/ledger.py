"""Time breakdown: what the seconds of a trial were spent on."""

from __future__ import annotations

from typing import Any

import altair as alt

from assay.report.charts.chart import Chart
from assay.report.charts.forms import ranked_bars
from assay.report.charts.frames import Frame, best_of, checked, ended, headed, mixed, nothing, statistics
from assay.report.charts.style import COLOURS, GREEN, PlotAxis, Rows, dressed, labels, message, tooltip

_BARS = 25
_USES = {
    "data": COLOURS[4],
    "compile": COLOURS[3],
    "train": COLOURS[0],
    "evaluate": GREEN,
    "checkpoint": COLOURS[5],
    "wait": "#bdbdbd",
    "other": "#6b6b6b",
}  # the entries of a ledger with their colours, in order


def ledger(
    trials: Frame,
    *,
    by: str = "configuration",
    most: int = _BARS,
    fraction: bool = False,
    title: str | None = None,
) -> Any:
    """The mean seconds of a trial by use as stacked bars, longest first; with `fraction` as parts of the whole.

    Raises: AssayError.
    """
    checked(trials, [by])
    heading = headed(trials, "time breakdown", title)
    if "ledger_train" not in trials.columns:  # as where no trial of a study has a result
        return message(nothing(trials, "recorded seconds"), heading)
    table = _means(trials, by)
    measured = table[table["total"] > 0].sort_values("total", ascending=False, kind="stable")
    if not len(measured):
        return message(nothing(trials, "recorded seconds"), heading)
    kept = measured.head(most)
    named = labels(kept["name"])
    sums: Rows = [{"label": named[row["name"]], "text": f"{row['total']:.3g} s"} for row in kept.to_dict("records")]
    longest = 1.0 if fraction else float(kept["total"].max())
    unit = "fraction of the trial's time" if fraction else "mean seconds of a trial"
    tips = tooltip(
        name=by,
        use="use",
        seconds=("mean seconds", ".4~g"),
        fraction=("fraction", ".1%"),
        total=("total", ".4~g"),
        n=("trials", "d"),
    )
    chart = ranked_bars(
        sums, axis=PlotAxis(unit, [0, longest], format="%" if fraction else "~g"), tips=tips,
        parts=_parts(kept, named, fraction=fraction),
    )  # fmt: skip
    notes = [
        "means over trials; total on the right",
        best_of(len(kept), len(measured), "configurations"),
        ended(trials),
        mixed(trials),
    ]
    return dressed(chart, heading, notes)


def _means(trials: Frame, by: str) -> Frame:
    """The mean seconds of each use, and their total, one row per value of `by`."""
    present = [use for use in _USES if f"ledger_{use}" in trials.columns]
    table = statistics(trials, by, [f"ledger_{use}" for use in present])
    for use in present:
        table[use] = table[f"ledger_{use}_mean"].fillna(0.0).clip(lower=0.0)
    return table.assign(total=table[present].sum(axis=1))


def _parts(kept: Frame, named: dict[str, str], *, fraction: bool) -> tuple[Rows, alt.Color]:
    uses = [use for use in _USES if use in kept.columns]
    rows: Rows = [
        {"name": row["name"], "label": named[row["name"]], "use": use, "rank": rank, "n": int(row["n"])}
        | {"seconds": float(row[use]), "fraction": float(row[use] / row["total"]), "total": float(row["total"])}
        | {"x": float(row[use] / row["total"] if fraction else row[use])}
        for row in kept.to_dict("records")
        for rank, use in enumerate(uses)
    ]
    used = [use for use in uses if (kept[use] > 0).any()]
    scale = alt.Scale(domain=used, range=[_USES[use] for use in used])
    legend = alt.Legend(title=None, orient="top", symbolType="square")
    return rows, alt.Color("use:N", scale=scale, legend=legend)


CHART = Chart(
    "ledger",
    "own trials",
    ledger,
    "Time breakdown",
    "what the seconds of a trial were spent on",
    suits=lambda _: True,
)

__all__ = ["CHART", "ledger"]
