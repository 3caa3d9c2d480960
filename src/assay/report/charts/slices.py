"""The score of each trial of a search against the value of each axis."""

from __future__ import annotations

from typing import Any

import altair as alt

from assay.analysis.axis_columns import axis_of
from assay.report.charts.chart import Chart
from assay.report.charts.frames import best_of, ordered
from assay.report.charts.history import score_limits
from assay.report.charts.style import (
    PlotAxis,
    Rows,
    axis_format,
    dressed,
    message,
    names_by_position,
    number,
    plot_width,
    short,
    span,
    table,
    tooltip,
    word,
)
from assay.report.thinning import evenly
from assay.rng import stream

_MOST = 800  # dots of a panel
_PANELS = 9
_COLUMNS = 3
_FEW = 8  # different numbers, up to which an axis has a place for each; unless hardly any occurs twice


def numeric(values: list[Any]) -> list[float] | None:
    """The values as numbers; None where one is none."""
    plain = [None if isinstance(value, (bool, str)) else number(value) for value in values]
    finite = [value for value in plain if value is not None]
    return finite if finite and len(finite) == len(plain) else None


def is_range(search: Any, name: str, values: list[float]) -> bool:
    """Whether an axis is drawn to scale: a range by its definition; without one, numbers of many sizes."""
    defined = search.definitions.get(axis_of(name))
    return "low" in defined if defined else len(set(values)) > min(_FEW, len(values) / 2)


def is_log(search: Any, name: str, values: list[float]) -> bool:
    """Whether an axis is logarithmic: by its definition; without one, where positive values span much."""
    defined = search.definitions.get(axis_of(name))
    if defined:
        return defined.get("scale") == "log"
    return min(values) > 0 and max(values) / min(values) > 50


def slices(search: Any, *, most: int = _MOST, title: str | None = None) -> Any:
    """One panel per axis: the score of each trial against its value; darker trials are later ones.

    Raises: AssayError for a search for two objectives.
    """
    heading = title if title is not None else "slices"
    course = search.incumbents
    scored = search.jobs[search.jobs["n"].isin(course[course["score"].notna()]["n"])]
    names = [name for name in search.axes.values() if scored[name].map(word).nunique() > 1]
    if scored.empty or not names:
        return message("No trial of the search has a score." if scored.empty else "No axis varies.", heading)
    kept = scored.iloc[evenly(len(scored), most)]
    limits = score_limits(
        scored["score"].tolist(),
        course["best"].dropna().tolist(),
        is_fraction=search.is_fraction,
        maximize=search.maximize,
    )
    kept = kept[(kept["score"] >= limits[0]) & (kept["score"] <= limits[1])]
    y = PlotAxis(search.label, limits, format=axis_format(*limits, percent=search.is_fraction), count=5)
    colour = alt.Color(
        "n:Q",
        title="trial",
        scale=alt.Scale(scheme="blues", domain=[-0.35 * len(scored), float(scored["n"].max())]),
        legend=alt.Legend(gradientLength=120, values=[0, int(scored["n"].max())]),
    )
    panels = [
        _panel(kept, name, y=y, colour=colour, search=search, first=place % _COLUMNS == 0)
        for place, name in enumerate(names[:_PANELS])
    ]
    rows = [alt.hconcat(*panels[place : place + _COLUMNS], spacing=24) for place in range(0, len(panels), _COLUMNS)]
    notes = [
        f"{len(kept):,} of {len(scored):,} trials drawn, those outside the axis left out"
        if len(kept) < len(scored)
        else "",
        f"selected on {search.goal.split}",
        best_of(len(panels), len(names), "axes"),
    ]
    return dressed(alt.vconcat(*rows, spacing=18), heading, notes)


def _panel(kept: Any, name: str, *, y: PlotAxis, colour: alt.Color, search: Any, first: bool) -> Any:
    own = kept[kept[name].notna()]
    plain = numeric(own[name].tolist())
    exact = ".2%" if search.is_fraction else ".4~g"
    width = (plot_width() + 120) // _COLUMNS - 24
    texts = [word(value) for value in own[name].tolist()]
    records = list(zip(texts, own["score"].tolist(), own["n"].tolist(), own["configuration"].tolist(), strict=True))
    if plain is not None and is_range(search, name, plain):
        log = is_log(search, name, plain)
        channel = PlotAxis(short(axis_of(name), 24), span(plain, log=log, pad=0.03), log=log, count=4).x()
        places = plain
    else:
        levels = ordered(own[name].tolist())
        jitter = stream(1, "jitter of a slice").uniform(len(texts)) - 0.5
        places = [levels.index(text) + 0.5 * float(noise) for text, noise in zip(texts, jitter, strict=True)]
        labels = names_by_position([short(level, 12) for level in levels])
        axis = alt.Axis(values=list(range(len(levels))), labelExpr=labels, labelAngle=-30, grid=False, ticks=False)
        scale = alt.Scale(domain=[-0.6, len(levels) - 0.4], nice=False, zero=False)
        channel = alt.X("x:Q", title=short(axis_of(name), 24), scale=scale, axis=axis)
    rows: Rows = [
        {"x": at, "y": score, "n": n, "name": label, "value": text}
        for at, (text, score, n, label) in zip(places, records, strict=True)
    ]
    tips = tooltip(name="configuration", value=short(axis_of(name)), y=(search.label, exact), n=("trial", "d"))
    side = y if first else PlotAxis(None, y.limits, format=y.format, count=y.count, labels=False)
    dots = alt.Chart(table(rows)).mark_circle(size=26, opacity=0.75)
    return dots.encode(x=channel, y=side.y(), color=colour, tooltip=tips).properties(width=width, height=190)


CHART = Chart(
    "slices",
    "search",
    slices,
    "Slices",
    "the score of each trial of a search against the value of each axis",
    suits=lambda shape: shape.design == "search" and shape.objectives == 1,
)

__all__ = ["CHART", "is_log", "is_range", "numeric", "slices"]
