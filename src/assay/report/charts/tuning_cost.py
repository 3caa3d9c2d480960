"""What tuning costs: the expected best of random draws against trials and seconds, for each value of an axis."""

from __future__ import annotations

from typing import Any

import altair as alt

from assay.report.charts.chart import Chart
from assay.report.charts.forms import Series, lines
from assay.report.charts.style import (
    Plane,
    PlotAxis,
    Rows,
    axis_format,
    dressed,
    labels,
    measure_of,
    plot_width,
    span,
    table,
    tooltip,
)

_UNITS = {"trials": "trials", "seconds": "seconds of training"}


def tuning_cost(cost: Any, *, title: str | None = None) -> Any:
    """The expected best score of random draws by budget, with 95 % bands; dashed: the defaults, untuned.

    `cost` is what `Results.tuning_cost` gives.
    """
    heading = title if title is not None else "tuning cost"
    names = labels(list(dict.fromkeys(cost.table["value"].tolist())))
    rows: Rows = [
        {"series": names[row["value"]], "kind": "line", "unit": row["unit"], "x": row["budget"], "y": row["expected"]}
        | {"low": row["low"], "high": row["high"], "n": 2}
        for row in cost.table.to_dict("records")
    ]
    measure = measure_of(cost.measure)
    defaults = [one for one in cost.defaults if one.score is not None and one.value in names]
    limits = measure.span([row[end] for row in rows for end in ("low", "high")] + [one.score for one in defaults])
    y = PlotAxis(
        f"expected best {measure.title}", limits, format=axis_format(*limits, percent=measure.quantity.is_fraction)
    )
    units = [unit for unit in _UNITS if any(row["unit"] == unit for row in rows)]
    series = Series.of(list(names.values()), cost.by or None)
    panels = [
        _panel(
            [row for row in rows if row["unit"] == unit], unit, y, series=series, size=len(units), exact=measure.exact
        )
        for unit in units
    ]
    if defaults:
        untuned = series.placed([{"series": names[one.value], "y": one.score} for one in defaults])
        rule = alt.Chart(table(untuned)).mark_rule(strokeDash=[5, 4], strokeWidth=1.6)
        rule = rule.encode(y=y.y(), color=series.color())
        panels = [alt.layer(rule, panel).properties(width=panel.width, height=300) for panel in panels]
    notes = [
        "mean over random orders of the draws, with 95 % bootstrap bands",
        "dashed: the defaults alone, one trial" if defaults else "defaults alone: not stored",
        *cost.sentences(),
        *cost.notes,
    ]
    chart = panels[0] if len(panels) == 1 else alt.hconcat(*panels, spacing=26)
    return dressed(chart, heading, notes, seen="; ".join(cost.sentences()))


def _panel(rows: Rows, unit: str, y: PlotAxis, *, series: Series, size: int, exact: str) -> Any:
    at = [row["x"] for row in rows]
    log = max(at) / min(at) > 20
    x = PlotAxis(_UNITS[unit], span(at, log=log, pad=0.02), log=log)
    width = plot_width() if size == 1 else plot_width() // 2 - 10
    tips = tooltip(
        series="value", x=(unit, ",.4~g"), y=("expected best", exact), low=("low", exact), high=("high", exact)
    )
    side = y if unit == "trials" else PlotAxis(None, y.limits, format=y.format)
    return lines(rows, plane=Plane(x, side, (width, 300)), series=series, tips=tips, hover=False)


CHART = Chart(
    "tuning-cost",
    "tuning cost",
    tuning_cost,
    "Tuning cost",
    "the expected best of random draws against trials and seconds, for each optimizer",
    suits=lambda shape: shape.is_random,
)

__all__ = ["CHART", "tuning_cost"]
