"""Charts in Altair: one function each, returning a chart that a notebook shows and that is saved as PNG or SVG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import altair as alt

from assay.errors import FileError, unknown

if TYPE_CHECKING:
    from assay.history import History, Point

# Okabe and Ito, "Color universal design" (2008): told apart with every common kind of colour blindness
PALETTE = {"training": "#0072B2", "validation": "#009E73", "test": "#D55E00"}
_SPLITS = {"training": "train", "validation": "validation", "test": "test"}
_AXES = {"iteration": "iteration", "examples": "examples seen", "seconds": "training time [s]"}


def learning_curve(history: History, *, x: str = "iteration") -> alt.HConcatChart:
    """Loss and accuracy of one training against "iteration", "examples" or "seconds".

    The axis is logarithmic where the points were logged at geometric distances; the untrained point then is left out.
    """
    if x not in _AXES:
        raise ValueError(unknown("axis", x, _AXES))
    logarithmic = history.recipe.log.interval()[1] == "geometric" and len(history.points) > 2
    points = [p for p in history.points if not logarithmic or getattr(p, x) > 0]
    rows = [row for point in points for row in _rows(point, x)]
    present = [split for split in PALETTE if any(row["split"] == split for row in rows)]
    color = alt.Color(
        "split:N",
        title=None,
        scale=alt.Scale(domain=present, range=[PALETTE[split] for split in present]),
        legend=alt.Legend(orient="top", direction="horizontal", symbolStrokeWidth=3, symbolSize=120),
    )
    title = _AXES[x] + (" (log scale, from the first update)" if logarithmic else "")
    axis = alt.X("x:Q", title=title, scale=alt.Scale(type="log" if logarithmic else "linear", nice=False))
    if logarithmic:
        axis = axis.axis(format="~s", values=_decades(points, x))
    loss = _panel(rows, "loss", f"loss ({history.recipe.loss}, log scale)", axis, color, log=True)
    accuracy = _panel(rows, "accuracy", "accuracy", axis, color, log=False)
    return (
        alt.hconcat(loss, accuracy, spacing=30)
        .properties(title=alt.TitleParams(_title(history), subtitle=_subtitle(history), anchor="start", offset=12))
        .configure_title(fontSize=17, subtitleFontSize=13, subtitleColor="#555", subtitlePadding=6)
        .configure_axis(labelFontSize=12, titleFontSize=13, titleFontWeight="normal", gridColor="#e6e6e6")
        .configure_legend(labelFontSize=13)
        .configure_view(stroke=None)
    )


def _title(history: History) -> str:
    return history.recipe.label()


def _subtitle(history: History) -> str:
    accuracy = f"test accuracy {history.accuracy:.2%}" if history.accuracy is not None else "no point"
    said = f"{accuracy} after {history.iterations:,} iterations, {history.final.seconds:.2f} s of training"
    ending = "" if history.outcome == "completed" else f" - {history.outcome}: {history.reason}"
    return f"{said}, engine {history.engine}, seed {history.recipe.seed}{ending}"


def _rows(point: Point, x: str) -> list[dict[str, Any]]:
    """A point in tidy form: a row for each split and measure that it has."""
    found: list[dict[str, Any]] = []
    for split, prefix in _SPLITS.items():
        for measure in ("loss", "accuracy"):
            value = getattr(point, f"{prefix}_{measure}")
            if value is not None:
                found.append({"x": getattr(point, x), "split": split, "measure": measure, "value": value})
    return found


def _decades(points: list[Point], x: str) -> list[float]:
    values = [float(getattr(p, x)) for p in points]
    return [10.0**e for e in range(-9, 13) if min(values) <= 10.0**e <= max(values) * 1.0001]


def _panel(rows: list[dict[str, Any]], measure: str, title: str, x: Any, color: Any, *, log: bool) -> alt.Chart:
    mine = [row for row in rows if row["measure"] == measure]
    log = log and all(row["value"] > 0 for row in mine)
    y = alt.Y(
        "value:Q", title=title, scale=alt.Scale(type="log" if log else "linear", zero=False, nice=False, padding=6)
    )
    y = y.axis(format="~g", tickCount=6) if log else y.axis(format="%" if _spread(mine) > 0.05 else ".1%")
    tooltip = [alt.Tooltip("split:N"), alt.Tooltip("x:Q", format=",~r"), alt.Tooltip("value:Q", format=".4f")]
    chart = alt.Chart(alt.Data(values=mine)).mark_line(strokeWidth=2.5, point=len(mine) <= 120)
    return chart.encode(x=x, y=y, color=color, tooltip=tooltip).properties(width=380, height=260)


def _spread(rows: list[dict[str, Any]]) -> float:
    values = [row["value"] for row in rows]
    return max(values) - min(values) if values else 0.0


def write(chart: alt.TopLevelMixin, path: Path) -> Path:
    """Writes a chart as PNG, SVG, HTML or JSON, by the ending of the path. Raises: FileError."""
    ending = path.suffix.lstrip(".").lower()
    if ending not in ("png", "svg", "html", "json"):
        raise FileError(f"{path}: " + unknown("picture format", ending, ["png", "svg", "html", "json"]))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        chart.save(str(path), format=ending, scale_factor=2 if ending == "png" else 1)
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from None
    return path
