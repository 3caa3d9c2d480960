"""The score of a search over two axes, as filled contours, or as cells where an axis has few values."""

from __future__ import annotations

from itertools import pairwise
from math import log
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from assay.analysis.axis_columns import axis_of
from assay.errors import AssayError
from assay.errors import unknown as unknown_name
from assay.report.charts.chart import Chart
from assay.report.charts.forms import Side, matrix
from assay.report.charts.frames import Frame, ordered
from assay.report.charts.history import score_limits
from assay.report.charts.slices import is_log, is_range, numeric
from assay.report.charts.style import (
    INK,
    PlotAxis,
    Rows,
    dressed,
    message,
    plot_width,
    short,
    span,
    table,
    tooltip,
    word,
)
from assay.report.thinning import evenly

_CELLS = 44  # of each side
_BANDWIDTH = 0.07  # of a side: the standard deviation of the weights
_MOST = 400  # trials that are drawn as dots


def contour(
    search: Any, *, rows: str | None = None, columns: str | None = None, most: int = _MOST, title: str | None = None
) -> Any:
    """The mean score over two axes: for ranges smoothed by a Gaussian kernel, for few values one cell per pair.

    The mean is over all trials near a point, whatever their other axes are; without a trial near, nothing is drawn.
    `rows` and `columns` name the axes; without, they are two ranges, those that most trials have. Raises: AssayError.
    """
    heading = title if title is not None else "contour"
    course = search.incumbents
    scored = search.jobs[search.jobs["n"].isin(course[course["score"].notna()]["n"])]
    names = [name for name in search.axes.values() if scored[name].map(word).nunique() > 1]
    for name in (rows, columns):
        if name is not None and name not in search.axes.values():
            raise AssayError(f"contour: {unknown_name('axis', name, search.axes)}")
    if len(names) < 2 or scored.empty:
        return message("Fewer than two axes vary in trials with a score.", heading)
    ranges = [name for name in names if _is_range(search, scored, name)]
    ranges.sort(key=lambda name: -int(scored[name].notna().sum()))  # conditional axes last
    x = columns or next(name for name in [*ranges, *names] if name != rows)
    y = rows or next(name for name in [*ranges, *names] if name != x)
    both = scored[scored[x].notna() & scored[y].notna()]
    if both.empty:
        return message(f"No trial has both {axis_of(x)} and {axis_of(y)}.", heading)
    limits = score_limits(
        both["score"].tolist(), [_best(both, search.maximize)], is_fraction=search.is_fraction, maximize=search.maximize
    )
    is_surface = _is_range(search, both, x) and _is_range(search, both, y)
    chart = (_surface if is_surface else _cells)(both, x, y, limits=limits, search=search, most=most)
    notes = [
        "mean score of near trials (Gaussian kernel), whatever their other axes"
        if is_surface
        else "mean score of each cell",
        f"{len(both):,} trials" + (f", {most:,} of them drawn" if is_surface and len(both) > most else ""),
        f"{len(scored) - len(both):,} trials without one of the axes left out" if len(both) < len(scored) else "",
        f"selected on {search.goal.split}",
    ]
    return dressed(chart, f"{heading}: {axis_of(y)} and {axis_of(x)}", notes)


def _best(frame: Frame, maximize: bool) -> float:
    return float(frame["score"].max() if maximize else frame["score"].min())


def _is_range(search: Any, frame: Frame, name: str) -> bool:
    values = numeric(frame[frame[name].notna()][name].tolist())
    return values is not None and len(set(values)) > 1 and is_range(search, name, values)


def _fractions(search: Any, both: Frame, name: str) -> tuple[NDArray[np.float64], PlotAxis]:
    """The values of an axis as fractions of its length, and the axis with its title."""
    values = [float(value) for value in both[name].tolist()]
    logarithmic = is_log(search, name, values)
    limits = span(values, log=logarithmic, pad=0.0 if min(values) < max(values) else 0.04)
    low, high = (log(end) if logarithmic else end for end in limits)
    numbers = np.log(values) if logarithmic else np.asarray(values)
    return (numbers - low) / (high - low), PlotAxis(short(axis_of(name)), limits, log=logarithmic)


def _edges(axis: PlotAxis) -> list[float]:
    low, high = axis.limits
    spaced = np.geomspace(low, high, _CELLS + 1) if axis.log else np.linspace(low, high, _CELLS + 1)
    return spaced.tolist()


def _surface(both: Frame, x: str, y: str, *, limits: tuple[float, float], search: Any, most: int) -> Any:
    (u, px), (v, py) = (_fractions(search, both, name) for name in (x, y))
    centres = (np.arange(_CELLS) + 0.5) / _CELLS
    near_x, near_y = (np.exp(-0.5 * ((centres[:, None] - at) / _BANDWIDTH) ** 2) for at in (u, v))  # (cells, trials)
    clipped = np.clip(both["score"].to_numpy(dtype=np.float64), *limits)  # failures would colour their neighbours
    weight = near_y @ near_x.T
    mean = (near_y * clipped) @ near_x.T / np.maximum(weight, 1e-12)
    left, bottom = _edges(px), _edges(py)
    rows: Rows = [
        {"x": left[i], "x2": left[i + 1], "y": bottom[j], "y2": bottom[j + 1], "score": float(mean[j, i])}
        for j in range(_CELLS)
        for i in range(_CELLS)
        if weight[j, i] > 0.3
    ]
    area = alt.Chart(table(rows)).mark_rect(strokeWidth=0.4)
    area = area.encode(x=px.x(), x2="x2:Q", y=py.y(), y2="y2:Q", **_colours(limits, search))
    kept = both.iloc[evenly(len(both), most)]
    dots: Rows = [
        {"x": float(a), "y": float(b), "score": float(score), "name": label}
        for a, b, score, label in zip(kept[x], kept[y], kept["score"], kept["configuration"], strict=True)
    ]
    exact = ".2%" if search.is_fraction else ".4~g"
    tips = tooltip(
        name="configuration", x=(short(axis_of(x)), ".4~g"), y=(short(axis_of(y)), ".4~g"), score=(search.label, exact)
    )
    marks = alt.Chart(table(dots)).mark_circle(
        size=14 if len(dots) > 200 else 26, color=INK, opacity=0.55, stroke="white"
    )
    best = both[both["score"] == _best(both, search.maximize)].iloc[0]
    star = alt.Chart(table([{"x": float(best[x]), "y": float(best[y])}])).mark_point(
        shape="cross", size=160, filled=True, color="#d55e00", stroke="white", opacity=1
    )
    layers = [area, marks.encode(x=px.x(), y=py.y(), tooltip=tips), star.encode(x=px.x(), y=py.y())]
    return alt.layer(*layers).properties(width=plot_width() - 80, height=380)


def _colours(limits: tuple[float, float], search: Any) -> dict[str, Any]:
    """Ten steps of one colour scale, the better the lighter; edges have it too, or seams would show between cells."""
    form = ".1%" if search.is_fraction else ".3~g"
    scheme = alt.SchemeParams(name="viridis", count=10)
    scale = alt.Scale(type="quantize", scheme=scheme, domain=list(limits), reverse=not search.maximize)
    legend = alt.Legend(format=form, titleLimit=160)
    shared: dict[str, Any] = {"scale": scale, "title": search.label, "legend": legend}
    return {"color": alt.Color("score:Q", **shared), "stroke": alt.Stroke("score:Q", **shared)}


def _cells(both: Frame, x: str, y: str, *, limits: tuple[float, float], search: Any, most: int) -> Any:
    across, along = (_binned(search, both, name) for name in (x, y))
    groups = both.assign(_x=across[0], _y=along[0]).groupby(["_y", "_x"], sort=False)["score"]
    middle = (limits[0] + limits[1]) / 2
    rows: Rows = [
        {
            "x": of_x,
            "y": of_y,
            "score": float(scores.mean()),
            "n": len(scores),
            "text": search.text(float(scores.mean())).removesuffix(" %"),
            "light": (float(scores.mean()) < middle) == search.maximize,
        }
        for (of_y, of_x), scores in groups
    ]
    step = max(26, min(60, (plot_width() - 100) // len(across[1])))
    scale = alt.Scale(scheme="viridis", domain=list(limits), clamp=True, reverse=not search.maximize)
    form = ".1%" if search.is_fraction else ".3~g"
    colour = alt.Color(
        "score:Q", scale=scale, title=f"mean {search.label}", legend=alt.Legend(format=form, titleLimit=180)
    )
    tips = tooltip(x=short(axis_of(x)), y=short(axis_of(y)), score=("mean", form), n=("trials", "d"))
    sides = Side(across[1], short(axis_of(x)), step), Side(along[1], short(axis_of(y)), 30)
    return matrix(rows, x=sides[0], y=sides[1], shades=[("isValid(datum.score)", colour)], tips=tips)


def _binned(search: Any, both: Frame, name: str) -> tuple[list[str], list[str]]:
    """The label of each trial's cell along an axis, and the labels in order: ten bins of a range, or the values."""
    values = both[name].tolist()
    if not _is_range(search, both, name):
        levels = ordered(values)
        return [short(word(value), 24) for value in values], [short(level, 24) for level in levels]
    fractions, axis = _fractions(search, both, name)
    low_end, high_end = axis.limits
    edges = np.geomspace(low_end, high_end, 11) if axis.log else np.linspace(low_end, high_end, 11)
    labels = [f"{low:.2g} to {high:.2g}" for low, high in pairwise(edges)]
    return [labels[min(int(fraction * 10), 9)] for fraction in fractions], labels


CHART = Chart(
    "contour",
    "search",
    contour,
    "Contour of two axes",
    "the mean score of a search over two of its axes",
    suits=lambda shape: shape.design == "search" and shape.objectives == 1 and shape.axes > 1,
    keeps_colours=True,
)

__all__ = ["CHART", "contour"]
