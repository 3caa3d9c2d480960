"""Effort: what each configuration paid for its accuracy."""

from __future__ import annotations

from typing import Any

from assay.analysis.frames import own
from assay.analysis.quantities import TEST_SCORE, no_accuracy
from assay.errors import AssayError
from assay.report.charts.chart import Chart
from assay.report.charts.forms import intervals, ranked_bars
from assay.report.charts.frames import (
    Frame,
    best_of,
    captions,
    checked,
    ended,
    headed,
    mixed,
    nothing,
    omitted,
    pooled,
    statistics,
)
from assay.report.charts.style import PlotAxis, Rows, dressed, measure_of, message, number, span, tooltip
from assay.report.text import percent

_BARS = 25
_SCORE = TEST_SCORE.column


def effort_ranking(
    trials: Frame, *, by: str = "configuration", most: int = _BARS, log: bool = False, title: str | None = None
) -> Any:
    """Median effort (training seconds / accuracy) as bars, lowest first, with whiskers from the lowest to the highest.

    The text of each is its mean accuracy. With `log` the medians are points on a logarithmic axis, as bars would have
    no zero to begin at. Raises: AssayError.
    """
    if reason := no_accuracy(trials, "effort is training seconds / accuracy"):
        raise AssayError(reason)
    checked(trials, [by, "effort", _SCORE])
    trials, left_out = own(trials)
    heading = headed(trials, "effort, lower is better", title)
    table = statistics(trials, by, ["effort", _SCORE]).sort_values("effort_median", kind="stable")
    measured = table[table["effort_median"].notna() & ((table["effort_min"] > 0) | (not log))]
    if not len(measured):
        return message(nothing(trials, "an effort"), heading, mixed(trials))
    rows = _rows(measured.head(most), captions(trials, by, measured["name"].head(most).tolist()))
    ends = [row[end] for row in rows for end in ("low", "high")]
    axis = PlotAxis(measure_of("effort").title, span(ends, log=True) if log else [0, max(ends) * 1.02], log=log)
    tips = tooltip(
        name=by,
        x=("median effort", ".4~g"),
        low=("lowest", ".4~g"),
        high=("highest", ".4~g"),
        score=(f"mean {TEST_SCORE.label}", ".2%"),
        n=("trials", "d"),
        unfinished=("of them unfinished", "d"),
    )
    chart = intervals(rows, axis=axis, tips=tips) if log else ranked_bars(rows, axis=axis, tips=tips, whiskers=True)
    notes = [
        f"median with its range; mean {TEST_SCORE.label} on the right",
        best_of(len(rows), len(measured), "configurations, those of the least effort"),
        omitted(len(table) - len(measured), "without an effort"),
        f"{ended(trials)} (×)" if ended(trials) else "",
        pooled(trials, by),
        left_out,
        mixed(trials),
    ]
    ends_of = [f"{row['name']} with {row['x']:.3g}" for row in (rows[0], rows[-1])]
    return dressed(chart, heading, notes, seen=f"{len(rows):,} median efforts from {' to '.join(ends_of)}")


def _rows(kept: Frame, named: dict[str, str]) -> Rows:
    return [
        {"name": row["name"], "label": named[row["name"]], "n": int(row["n"]), "unfinished": int(row["unfinished"])}
        | {"x": number(row["effort_median"]), "low": number(row["effort_min"]), "high": number(row["effort_max"])}
        | {"score": number(row[f"{_SCORE}_mean"]), "text": _text(row)}
        for row in kept.to_dict("records")
    ]


def _text(row: dict[str, Any]) -> str:
    score = number(row[f"{_SCORE}_mean"])
    text = f"no {TEST_SCORE.label}" if score is None else percent(score)
    return f"{text}  × {int(row['unfinished'])} of {int(row['n'])}" if row["unfinished"] else text


CHART = Chart(
    "effort", "trials", effort_ranking, "Effort", "training seconds / accuracy, lowest first", suits=lambda _: True
)

__all__ = ["CHART", "effort_ranking"]
