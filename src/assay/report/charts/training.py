"""The learning curve of one training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from assay.errors import AssayError, unknown
from assay.report.charts.theme import PALETTE, axis_format, number, styled, table, ticks

if TYPE_CHECKING:
    from assay.training.history import History, Point, Source

_SPLITS = {"training": "train", "validation": "validation", "test": "test"}
_AXES = {"iteration": "iteration", "examples": "examples seen", "seconds": "training time [s]"}


def learning_curve(history: History, *, x: str = "iteration") -> alt.HConcatChart:
    """Loss and accuracy of one training against "iteration", "examples" or "seconds".

    The axis is logarithmic where the points were logged at geometric distances; the untrained point then is left out.
    """
    if x not in _AXES:
        raise AssayError(unknown("axis", x, _AXES))
    source = history.source
    geometric = source is None and history.recipe.log.interval()[1] == "geometric"
    logarithmic = geometric and len(history.points) > 2
    known = [p for p in history.points if getattr(p, x) is not None]
    if not known:
        raise AssayError(f"the curve of {_title(history)} has no {x}: its log does not tell it")
    points = [p for p in known if not logarithmic or getattr(p, x) > 0]
    rows = [row for point in points for row in _rows(point, x)]
    present = [split for split in PALETTE if any(row["split"] == split for row in rows)]
    color = alt.Color(
        "split:N",
        title=None,
        scale=alt.Scale(domain=present, range=[PALETTE[split] for split in present]),
        legend=alt.Legend(orient="top", direction="horizontal", symbolStrokeWidth=3, symbolSize=120),
    )
    along = source.steps.removesuffix("s") if source and x == "iteration" else _AXES[x]
    title = along + (" (log scale, from the first update)" if logarithmic else "")
    axis = alt.X("x:Q", title=title, scale=alt.Scale(type="log" if logarithmic else "linear", nice=False))
    if logarithmic:
        values = [float(getattr(p, x)) for p in points] or [1.0]
        axis = axis.axis(format="~s", values=ticks(min(values), max(values)))
    kind = "as the log has it" if source else history.recipe.loss
    loss = _panel(rows, "loss", f"loss ({kind}, log scale)", axis, color, log=True)
    accuracy = _panel(rows, "accuracy", "accuracy", axis, color, log=False)
    head = alt.TitleParams(_title(history), subtitle=_subtitle(history), anchor="start", offset=12)
    return styled(alt.hconcat(loss, accuracy, spacing=30).properties(title=head))


def _title(history: History) -> str:
    return history.source.label if history.source else history.recipe.label()


def _imported_subtitle(history: History, source: Source) -> str:
    shown = [("test", history.accuracy), ("validation", history.last("validation_accuracy"))]
    accuracy = next((f"{split} accuracy {value:.2%}, " for split, value in shown if value is not None), "")
    seconds = "" if history.final.seconds is None else f", {history.final.seconds:.2f} s ({source.clock})"
    return f"{accuracy}{history.final.iteration:,} {source.steps}{seconds}, from {source.file}"


def _subtitle(history: History) -> str:
    if history.source is not None:
        return _imported_subtitle(history, history.source)
    accuracy = f"test accuracy {history.accuracy:.2%}" if history.accuracy is not None else "no point"
    said = f"{accuracy} after {history.iterations:,} iterations, {history.final.seconds:.2f} s of training"
    ending = "" if history.outcome == "completed" else f" - {history.outcome}: {history.reason}"
    return f"{said}, engine {history.engine}, seed {history.recipe.seed}{ending}"


def _rows(point: Point, x: str) -> list[dict[str, Any]]:
    """A point in tidy form: a row for each split and measure that it has."""
    found: list[dict[str, Any]] = []
    for split, prefix in _SPLITS.items():
        for measure in ("loss", "accuracy"):
            value = number(getattr(point, f"{prefix}_{measure}"))
            if value is not None:
                found.append({"x": getattr(point, x), "split": split, "measure": measure, "value": value})
    return found


def _panel(rows: list[dict[str, Any]], measure: str, title: str, x: Any, color: Any, *, log: bool) -> alt.Chart:
    mine = [row for row in rows if row["measure"] == measure]
    log = log and all(row["value"] > 0 for row in mine)
    y = alt.Y(
        "value:Q", title=title, scale=alt.Scale(type="log" if log else "linear", zero=False, nice=False, padding=6)
    )
    y = y.axis(format="~g", tickCount=6) if log else y.axis(format=_format(mine, measure))
    tooltip = [alt.Tooltip("split:N"), alt.Tooltip("x:Q", format=",~r"), alt.Tooltip("value:Q", format=".4f")]
    chart = alt.Chart(table(mine)).mark_line(strokeWidth=2.5, point=len(mine) <= 120)
    return chart.encode(x=x, y=y, color=color, tooltip=tooltip).properties(width=380, height=260)


def _format(rows: list[dict[str, Any]], measure: str) -> str:
    values = [row["value"] for row in rows] or [0.0]
    return axis_format(min(values), max(values), percent=measure == "accuracy")
