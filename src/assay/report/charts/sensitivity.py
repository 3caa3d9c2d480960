"""A score, or another quantity, against the learning rate of each optimizer."""

from __future__ import annotations

from typing import Any

import pandas as pd

from assay.analysis.quantities import TEST_SCORE
from assay.report.charts.chart import Chart
from assay.report.charts.forms import Series, lines
from assay.report.charts.frames import (
    Frame,
    best_of,
    captions,
    checked,
    ended,
    headed,
    nothing,
    numbers,
    pooled,
    unfinished,
    words,
)
from assay.report.charts.style import (
    SERIES,
    Measure,
    Plane,
    PlotAxis,
    Rows,
    axis_format,
    dressed,
    measure_of,
    message,
    plot_width,
    short,
    span,
    tooltip,
)

_MANY = 20  # trials at one value, above which a band of all of them hides the medians
_TAIL = 0.1  # of the trials on either side of the band then


def sensitivity(
    trials: Frame,
    *,
    x: str = "learning_rate",
    by: str = "optimizer",
    measure: str = TEST_SCORE.column,
    most: int = SERIES,
    title: str | None = None,
) -> Any:
    """A measure against the learning rate, or another number, for each optimizer: median, and the range as a band.

    Where a value has more than 20 trials, the band is of the middle 80 % of them. Trials without a number are marked ×
    at the lower edge. Raises: AssayError.
    """
    quantity = measure_of(measure)
    checked(trials, [x, by, measure])
    along = short(x).replace("_", " ")
    heading = headed(trials, f"{quantity.title} against {along}", title)
    plain: Frame = pd.DataFrame({"series": words(trials, by), "x": numbers(trials, x), "y": numbers(trials, measure)})
    plain = plain.assign(unfinished=unfinished(trials)).astype({"x": "float64", "y": "float64"})
    plain = plain[plain["x"].notna()]
    finite = plain[plain["y"].notna()]
    if not len(finite):
        return message(nothing(trials, f"a number for {quantity.title}"), heading)
    ranked = _ranked(finite, quantity)
    named = captions(trials, by, ranked[:most])
    rows = _medians(finite, named)
    is_many = max(row["n"] for row in rows) > _MANY
    ends = ("10th percentile", "90th percentile") if is_many else ("lowest", "highest")
    tips = dict(zip(("y", "low", "high"), ((end, ".4~f") for end in ("median", *ends)), strict=True))
    limits = quantity.span([row[end] for row in rows for end in ("low", "high")], pad=0.06)
    best = max(rows, key=lambda row: row["y"] if quantity.quantity.higher_is_better else -row["y"])
    rows += _unmeasured(plain, named, bottom=limits[0] + (limits[1] - limits[0]) / 40)
    log = bool((plain["x"] > 0).all() and plain["x"].max() / plain["x"].min() > 5)
    chart = lines(
        rows,
        plane=_plane(rows, quantity, along, limits=limits, log=log),
        series=Series.of(list(named.values()), f"{short(by)}, best first"),
        tips=tooltip(name=by, x=(short(x), ",~r"), **tips, n=("trials", "d")),
        cross_tips=tooltip(name=by, x=(short(x), ",~r"), n=("unfinished trials", "d")),
    )
    notes = [
        f"best median: {quantity.text(best['y'])} by {best['series']} at {best['x']:g}",
        f"median and {'the middle 80 %' if is_many else 'range'} of the trials at each value",
        pooled(trials, x, by),
        best_of(len(named), len(ranked), f"by {short(by)}"),
        f"{ended(trials)} (× at the lower edge)" if ended(trials) else "",
    ]
    return dressed(chart, heading, notes)


def _plane(rows: Rows, quantity: Measure, along: str, *, limits: tuple[float, float], log: bool) -> Plane:
    form = axis_format(*limits, percent=quantity.quantity.is_fraction)
    return Plane(
        PlotAxis(along, span([row["x"] for row in rows], log=log, pad=0.03), log=log, count=7),
        PlotAxis(quantity.title, limits, format=form),
        (plot_width() - 40, 340),
    )


def _ranked(finite: Frame, quantity: Measure) -> list[str]:
    """The series by their best median, best first."""
    higher = quantity.quantity.higher_is_better
    medians = finite.groupby(["series", "x"])["y"].median()
    peaks = medians.groupby("series").agg("max" if higher else "min")
    return [str(name) for name in peaks.sort_values(ascending=not higher, kind="stable").index]


def _medians(finite: Frame, named: dict[str, str]) -> Rows:
    groups = finite[finite["series"].isin(named)].groupby(["series", "x"])["y"]
    counts = groups.count()
    tail = _TAIL if int(counts.max()) > _MANY else 0.0
    low, high = groups.quantile(tail), groups.quantile(1 - tail)
    table = pd.DataFrame({"y": groups.median(), "low": low, "high": high, "n": counts})
    return [
        {"name": row["series"], "series": named[row["series"]], "kind": "dots", "x": float(row["x"])}
        | {"y": float(row["y"]), "low": float(row["low"]), "high": float(row["high"]), "n": int(row["n"])}
        for row in table.reset_index().to_dict("records")
    ]


def _unmeasured(plain: Frame, named: dict[str, str], *, bottom: float) -> Rows:
    """A cross for each place at which trials have no number or did not finish."""
    lost = plain[plain["series"].isin(named) & (plain["y"].isna() | (plain["unfinished"] != ""))]
    counts = lost.groupby(["series", "x"]).size()
    return [
        {"name": name, "series": named[name], "kind": "cross", "x": float(at), "y": bottom, "n": int(n)}
        for (name, at), n in counts.items()
    ]


CHART = Chart(
    "sensitivity",
    "own trials",
    sensitivity,
    "Learning-rate sensitivity",
    "accuracy against the learning rate, for each optimizer",
    suits=lambda shape: shape.learning_rates >= 3,
)

__all__ = ["CHART", "sensitivity"]
