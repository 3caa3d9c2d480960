"""Two axes of a study as a heat map of means."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from assay.analysis.axis_columns import axis_of
from assay.analysis.quantities import TEST_SCORE
from assay.errors import AssayError
from assay.report.charts.chart import Chart
from assay.report.charts.forms import Side, matrix
from assay.report.charts.frames import (
    Frame,
    axes_of,
    best_of,
    checked,
    ended,
    headed,
    nothing,
    numbers,
    ordered,
    pooled,
    unfinished,
    words,
)
from assay.report.charts.style import Measure, Rows, dressed, labels, measure_of, message, number, short, tooltip
from assay.report.thinning import evenly

_CELLS = 40  # rows and columns
_DARK = 0.55  # of the way from the lowest to the highest colour of viridis: below it white text reads better


def heat_map(
    trials: Frame,
    *,
    rows: str | None = None,
    columns: str | None = None,
    measure: str = TEST_SCORE.column,
    title: str | None = None,
) -> Any:
    """The mean of a measure for each pair of values of two axes, written in the cells.

    Without `rows` and `columns`: the first two axes of the study. A cell with × has trials, but none with a number.
    Raises: AssayError.
    """
    quantity = measure_of(measure)
    fraction = quantity.quantity.is_fraction
    heading = headed(trials, f"mean {quantity.title}" + (" [%]" if fraction else ""), title)
    if not len(trials):
        return message(nothing(trials, "a number"), heading)
    rows, columns = _two_axes(trials, rows, columns)
    checked(trials, [rows, columns, measure])
    levels = {name: ordered(trials[name].tolist()) for name in (rows, columns)}
    kept = {name: [values[i] for i in evenly(len(values), _CELLS)] for name, values in levels.items()}
    named = {rows: labels(kept[rows], most=24), columns: labels(kept[columns], most=_letters(len(kept[columns])))}
    cells = _cells(trials, named, rows=rows, columns=columns, quantity=quantity)
    means = [cell["mean"] for cell in cells if cell["mean"] is not None]
    if not means:
        return message(nothing(trials, f"a number for {quantity.title}"), heading)
    x = Side(list(named[columns].values()), _title(columns), max(18, min(110, 560 // len(kept[columns]))))
    y = Side(list(named[rows].values()), _title(rows), max(16, min(40, 480 // len(kept[rows]))))
    tips = [
        *tooltip(row=_title(rows), column=_title(columns), mean=(f"mean {quantity.title}", quantity.exact)),
        *tooltip(n=("trials", "d"), unfinished=("of them unfinished", "d")),
    ]
    color = _color(min(means), max(means), quantity, height=y.step * len(kept[rows]))
    chart = matrix(cells, x=x, y=y, shades=[("isValid(datum.mean)", color)], tips=tips)
    notes = [
        _best(cells, quantity, rows=rows, columns=columns),
        *(best_of(len(kept[name]), len(levels[name]), f"values of {short(name)}") for name in (rows, columns)),
        pooled(trials, rows, columns),
        f"{ended(trials)} (× where no trial has a number)" if ended(trials) else "",
    ]
    return dressed(chart, heading, notes)


def _two_axes(trials: Frame, rows: str | None, columns: str | None) -> tuple[str, str]:
    """The axes that are asked for, or the first that vary. Raises: AssayError where there are too few."""
    varying = axes_of(trials)
    free = [name for name in varying if name not in (rows, columns)]
    if (rows is None) + (columns is None) > len(free):
        axes = ", ".join(repr(name) for name in varying) or "none"
        raise AssayError(
            f"grid: two axes are needed; axes that vary in these trials: {axes}. "
            "Name two with `rows` and `columns` (--rows, --columns)."
        )
    rows = rows if rows is not None else free.pop(0)
    return rows, columns if columns is not None else free.pop(0)


def _letters(columns: int) -> int:
    """Of a label below a column: short ones stand upright, long ones at an angle."""
    return 16 if columns <= 14 else 36


def _cells(trials: Frame, named: dict[str, dict[str, str]], *, rows: str, columns: str, quantity: Measure) -> Rows:
    plain = pd.DataFrame({"row": words(trials, rows), "column": words(trials, columns)})
    plain["value"] = pd.Series(numbers(trials, quantity.quantity.column), dtype="float64")
    plain["unfinished"] = [bool(how) for how in unfinished(trials)]
    groups = plain.groupby(["row", "column"], sort=False)
    table = pd.DataFrame({"mean": groups["value"].mean(), "n": groups.size(), "unfinished": groups["unfinished"].sum()})
    known: dict[Any, Any] = dict(zip(table.index.tolist(), table.to_dict("records"), strict=True))
    low, high = table["mean"].min(), table["mean"].max()
    cells: Rows = []
    for row, y in named[rows].items():
        for column, x in named[columns].items():
            record: dict[Any, Any] = known.get((row, column), {"mean": None, "n": 0, "unfinished": 0})
            mean, n = number(record["mean"]), int(record["n"])
            text = "" if not n else "×" if mean is None else _text(mean, quantity)
            light = mean is not None and (high == low or (mean - low) / (high - low) <= _DARK)
            cell = {"row": row, "column": column, "x": x, "y": y, "mean": mean, "n": n}
            cells.append(cell | {"unfinished": int(record["unfinished"]), "text": text, "light": bool(light)})
    return cells


def _text(value: float, quantity: Measure) -> str:
    return f"{100 * value:.1f}" if quantity.quantity.is_fraction else f"{value:.3g}"


def _color(low: float, high: float, quantity: Measure, *, height: int) -> alt.Color:
    domain = [low, high] if high > low else [low - 1e-3, high + 1e-3]
    legend = alt.Legend(title=None, format=quantity.format, gradientLength=min(200, max(60, height)))
    return alt.Color("mean:Q", scale=alt.Scale(scheme="viridis", domain=domain), legend=legend)


def _title(column: str) -> str:
    return short(axis_of(column))


def _best(cells: Rows, quantity: Measure, *, rows: str, columns: str) -> str:
    sign = 1.0 if quantity.quantity.higher_is_better else -1.0
    best = max((cell for cell in cells if cell["mean"] is not None), key=lambda cell: sign * cell["mean"])
    return f"best: {quantity.text(best['mean'])} at {_title(rows)} {best['y']}, {_title(columns)} {best['x']}"


CHART = Chart(
    "grid",
    "own trials",
    heat_map,
    "Two axes",
    "the mean accuracy for each pair of values of two axes",
    suits=lambda shape: shape.design == "grid" and shape.axes == 2,
)

__all__ = ["CHART", "heat_map"]
