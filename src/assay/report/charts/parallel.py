"""Parallel coordinates: every axis of a study and the score, a line for each configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from math import log as log_
from typing import Any

import altair as alt

from assay.analysis.axis_columns import axis_of
from assay.analysis.quantities import Quantity, ranked_by
from assay.report.charts.chart import Chart
from assay.report.charts.frames import (
    Frame,
    axes_of,
    checked,
    ended,
    headed,
    nothing,
    omitted,
    ordered,
    statistics,
    words,
)
from assay.report.charts.style import (
    INK,
    Rows,
    dressed,
    measure_of,
    message,
    number,
    plot_width,
    short,
    table,
    tooltip,
    word,
)
from assay.report.text import percent
from assay.report.thinning import evenly
from assay.rng import stream

_BAND, _FULL = 0.6, 100  # of the distance of two values: how wide so many lines through them are spread
_EVEN = 8  # different values up to which they stand at equal distances


def parallel_coordinates(
    trials: Frame,
    *,
    axes: list[str] | None = None,
    by: str = "configuration",
    most: int = 300,
    title: str | None = None,
) -> Any:
    """A line for each configuration through its values on every axis to its mean score, which colours it.

    Without `axes`: those of the study. More than `most` configurations are thinned evenly by score.
    Raises: AssayError.
    """
    names = axes_of(trials) if axes is None else list(axes)
    score = ranked_by(trials)
    checked(trials, [by, score.column, *names])
    heading = headed(trials, "parallel coordinates", title)
    means = statistics(trials, by, [score.column]).set_index("name")[f"{score.column}_mean"]
    measured = means[means.notna()].sort_values(kind="stable")
    if not len(measured) or not names:
        return message(
            "No axis varies in these trials." if len(measured) else nothing(trials, f"a {score.label}"), heading
        )
    kept = measured.iloc[evenly(len(measured), most)]
    kept = kept.iloc[stream(1, "order of the lines").permutation(len(kept))]  # by score, the best would hide the rest
    limits = measure_of(score.column).span(measured.tolist(), pad=0.02)
    firsts = trials.assign(_by=words(trials, by)).drop_duplicates("_by").set_index("_by").loc[kept.index.tolist()]
    ranks = (kept.rank(method="first") - 0.5) / len(kept)
    uprights = [_upright(axis_of(n), firsts[n].tolist(), trials[n].tolist(), ranks=ranks.tolist()) for n in names]
    uprights.append(_score_upright(kept.tolist(), limits, score))
    chart = _layers(uprights, [str(name) for name in kept.index], kept.tolist(), limits=limits, by=by, score=score)
    drawn, total = len(kept), len(measured)
    notes = [
        f"showing {drawn:,} of {total:,} configurations, evenly by {score.label}" if drawn < total else "",
        f"one line for each of {drawn:,} configurations" if drawn == total else "",
        omitted(len(means) - total, f"without a {score.label}"),
        ended(trials),
    ]
    return dressed(chart, heading, notes)


_HEADING = 20  # letters


@dataclass(frozen=True)
class _Upright:
    """One of the parallel axes: the heights of the lines from 0 to 1, their values in words, and its labels."""

    name: str
    heights: Sequence[float]
    values: Sequence[str]
    labels: Sequence[tuple[float, str]]


def _upright(name: str, values: list[Any], everything: list[Any], *, ranks: list[float]) -> _Upright:
    """Few different values, and all that are not numbers, stand at equal distances; more numbers stand to scale.

    Lines that share such a value pass it in the order of their scores, `ranks` from 0 to 1: at one point, the last one
    drawn would hide the others.
    """
    levels = ordered(everything)
    if len(levels) > _EVEN and _ABSENT in levels and _numbers_but_absent(everything):
        return _conditional(name, values, everything)
    plain = [number(value) for value in everything if not isinstance(value, (bool, str))]
    finite = [value for value in plain if value is not None]
    texts = [word(value) for value in values]
    if len(levels) <= _EVEN or len(finite) < len(everything):
        place = {level: (i + 0.5) / len(levels) for i, level in enumerate(levels)}
        shown = [levels[i] for i in evenly(len(levels), 16)]
        width = _BAND / len(levels) * min(1.0, len(texts) / _FULL)  # a few lines pass close to their value
        heights = [place[text] + width * (rank - 0.5) for text, rank in zip(texts, ranks, strict=True)]
        return _Upright(name, heights, texts, [(place[level], level) for level in shown])
    low, high = min(finite), max(finite)
    log = low > 0 and high / low > 50

    def height(value: float) -> float:
        return log_(value / low) / log_(high / low) if log else (value - low) / (high - low)

    marks = [low * (high / low) ** (i / 4) if log else low + (high - low) * i / 4 for i in range(5)]
    return _Upright(name, [height(float(v)) for v in values], texts, [(height(v), f"{v:.3g}") for v in marks])


_ABSENT, _ROOM = "baseline", 0.12
"""How the frame writes a conditional axis that a configuration does not have; the height of the numbers above it."""


def _numbers_but_absent(values: list[Any]) -> bool:
    return all(number(value) is not None for value in values if value != _ABSENT and not isinstance(value, bool))


def _conditional(name: str, values: list[Any], everything: list[Any]) -> _Upright:
    """Numbers to scale, and at the foot of the axis the configurations that do not have it."""
    own = [value for value in values if value != _ABSENT]
    rest = [value for value in everything if value != _ABSENT]
    scaled = _upright(name, own, rest, ranks=[0.5] * len(own))
    heights = iter(scaled.heights)
    at = [0.0 if value == _ABSENT else _ROOM + (1 - _ROOM) * next(heights) for value in values]
    labels = [(_ROOM + (1 - _ROOM) * height, text) for height, text in scaled.labels]
    return _Upright(name, at, [word(value) for value in values], [(0.0, "not set"), *labels])


def _score_upright(scores: list[float], limits: tuple[float, float], score: Quantity) -> _Upright:
    low, high = limits
    heights = [(value - low) / (high - low) for value in scores]
    marks = [
        ((tick - low) / (high - low), f"{100 * tick:g} %" if score.is_fraction else f"{tick:g}")
        for tick in round_ticks(low, high)
    ]
    written = [percent(value) if score.is_fraction else score.text(value) for value in scores]
    return _Upright(score.label, heights, written, marks)


def round_ticks(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`, at equal distances.

    >>> round_ticks(0.689, 0.992)
    [0.7, 0.8, 0.9]
    """
    if not low < high:
        return [low]
    power = floor(log10((high - low) / 3))
    step = next(factor * 10**power for factor in (5, 2.5, 2, 1) if (high - low) / (factor * 10**power) >= 3)
    return [round(i * step, 12) for i in range(ceil(low / step), floor(high / step) + 1)]


def _layers(
    uprights: list[_Upright],
    names: list[str],
    scores: list[float],
    *,
    limits: tuple[float, float],
    by: str,
    score: Quantity,
) -> Any:
    last = len(uprights) - 1
    x = alt.X("place:Q", axis=None, scale=alt.Scale(domain=[0, last], nice=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False))
    marks: Rows = [
        {"place": place, "y": at, "text": short(text, 18)}
        for place, upright in enumerate(uprights)
        for at, text in upright.labels
    ]
    headings: Rows = [{"place": place, "text": _heading(upright.name)} for place, upright in enumerate(uprights)]
    posts: Rows = [{"place": place, "y": 0, "top": 1} for place in range(last + 1)]
    texts = alt.Chart(table(marks)).encode(x=x, y=y, text="text:N")
    return alt.layer(
        alt.Chart(table(posts)).mark_rule(color="#555").encode(x=x, y=y, y2="top:Q"),
        _lines(uprights, names, scores, limits=limits, by=by, score=score).encode(x=x, y=y),
        texts.mark_text(fontSize=11, align="left", dx=6, stroke="white", strokeWidth=4, opacity=0.9),
        texts.mark_text(fontSize=11, align="left", dx=6, color=INK),
        alt.Chart(table(headings))
        .mark_text(fontSize=13, fontWeight="bold", dy=-16, color=INK)
        .encode(x=x, y=alt.value(0), text="text:N"),
    ).properties(width=max(plot_width(), 110 * last), height=360)


def _heading(name: str) -> str:
    """The name of an axis, without the part of the recipe that its key is in where that would not fit."""
    return short(name if len(name) <= _HEADING else name.rpartition(".")[2], _HEADING)


def _lines(
    uprights: list[_Upright],
    names: list[str],
    scores: list[float],
    *,
    limits: tuple[float, float],
    by: str,
    score: Quantity,
) -> alt.Chart:
    rows: Rows = [
        {"name": name, "line": line, "place": place, "y": y, "score": value_of, "axis": upright.name, "value": value}
        for place, upright in enumerate(uprights)
        for line, (name, y, value_of, value) in enumerate(
            zip(names, upright.heights, scores, upright.values, strict=True)
        )
    ]
    hover = alt.selection_point(name="trial", fields=["line"], on="pointerover", clear="pointerout")
    opacity = 0.9 if len(names) <= 30 else 0.6 if len(names) <= 120 else 0.35
    scale = alt.Scale(scheme="viridis", reverse=False, domain=list(limits))
    lines = alt.Chart(table(rows)).mark_line(strokeWidth=1.8, interpolate="monotone")
    return lines.encode(
        detail="line:N",
        color=alt.Color("score:Q", scale=scale, legend=None),
        strokeOpacity=alt.condition(hover, alt.value(opacity), alt.value(0.04)),
        tooltip=tooltip(
            name=by, axis="axis", value="value", score=(f"mean {score.label}", measure_of(score.column).exact)
        ),
    ).add_params(hover)


CHART = Chart(
    "parallel",
    "own trials",
    parallel_coordinates,
    "Parallel coordinates",
    "every axis and the accuracy, one line per configuration",
    suits=lambda shape: shape.axes > 2,
    keeps_colours=True,  # inverted, viridis would show the best lines in the darkest colour
)

__all__ = ["CHART", "parallel_coordinates"]
