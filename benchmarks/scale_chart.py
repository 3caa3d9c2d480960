"""The picture of `benchmarks.scale`: trials per second of each way, and the seconds of each command by trials."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import altair as alt

from assay.report.charts import write
from assay.report.charts.style import COLOURS, GREY
from benchmarks.scale_rows import AnswerRow, ScaleReport, TrialRow

_POWERS = [10.0**power for power in range(-2, 6)]  # that axes name
_DRAWN = ("list", "show", "compare", "plot curves", "report")  # of the commands; the table has all
_FAMILIES = {"assay": COLOURS[0], "Optuna": COLOURS[1], "loop": GREY}


def chart(report: ScaleReport, path: Path) -> None:
    """Writes the panels that have rows, one below the other."""
    panels: list[Any] = []
    if measured := [row for row in report.trials if row.rate is not None]:
        panels.append(_rates(measured))
    if answered := [row for row in report.answers if row.seconds is not None and row.command in _DRAWN]:
        panels.append(_answers(answered))
    if not panels:
        return
    title = f"{report.machine['cpu']}, {report.machine['cores']} cores; median, whiskers min to max"
    write(alt.vconcat(*panels, spacing=30).resolve_scale(color="independent").properties(title=title), path)


def _rates(rows: list[TrialRow]) -> alt.FacetChart:
    """Bars of trials per second, a panel for each length of trials and number of workers."""
    measured = [row.rate.min for row in rows if row.rate is not None]
    floor = 10.0 ** math.floor(math.log10(min(measured)))  # the start of the bars: a logarithmic scale has no zero
    values = [
        {
            "panel": f"trials of {row.length}, {row.workers} worker{'s' * (row.workers > 1)}",
            "way": row.way,
            "family": row.way.split()[0].rstrip(","),
            "rate": row.rate.median,
            "low": row.rate.min,
            "high": row.rate.max,
            "label": f"{row.rate.median:,.0f}",
            "floor": floor,
        }
        for row in rows
        if row.rate is not None
    ]
    scale, axis = alt.Scale(type="log"), alt.Axis(values=_POWERS, format="~s")
    colour = alt.Scale(domain=list(_FAMILIES), range=list(_FAMILIES.values()))
    base = alt.Chart().encode(
        y=alt.Y("way:N", title=None, sort=alt.SortField("rate", order="descending")),
        color=alt.Color("family:N", legend=None, scale=colour),
    )
    bars = base.mark_bar(height=11).encode(
        x=alt.X("floor:Q", scale=scale, axis=axis, title="trials per second, with the start"), x2="rate:Q"
    )
    whiskers = base.mark_rule(color="black").encode(
        x=alt.X("low:Q", scale=scale), x2="high:Q", color=alt.value("black")
    )
    labels = base.mark_text(align="left", dx=5).encode(x=alt.X("high:Q", scale=scale), text="label:N")
    return (
        alt.layer(bars, whiskers, labels)
        .properties(width=270, height=alt.Step(17))
        .facet(
            facet=alt.Facet("panel:N", title=None, sort=list(dict.fromkeys(value["panel"] for value in values))),
            columns=2,
            data=alt.Data(values=values),
        )
        .resolve_scale(y="independent")
    )


def _answers(rows: list[AnswerRow]) -> alt.LayerChart:
    """A line for each command: its seconds over the number of trials."""
    values = [
        {
            "trials": row.trials,
            "command": row.command,
            "seconds": row.seconds.median,
            "low": row.seconds.min,
            "high": row.seconds.max,
        }
        for row in rows
        if row.seconds is not None
    ]
    sizes = sorted({row.trials for row in rows})
    x = alt.X(
        "trials:Q", scale=alt.Scale(type="log"), axis=alt.Axis(values=sizes, format=","), title="trials in the store"
    )
    colour = alt.Color(
        "command:N", title=None, scale=alt.Scale(range=list(COLOURS)), sort=[row.command for row in rows]
    )
    base = alt.Chart(alt.Data(values=values)).encode(x=x, color=colour)
    y = alt.Y(
        "seconds:Q",
        scale=alt.Scale(type="log"),
        axis=alt.Axis(values=_POWERS, format="~g"),
        title="seconds from the command to its end",
    )
    return alt.layer(
        base.mark_line(point=True).encode(y=y), base.mark_rule().encode(y=alt.Y("low:Q"), y2="high:Q")
    ).properties(width=520, height=220)
