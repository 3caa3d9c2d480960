"""The five forms of most charts: ranked bars, intervals, lines with bands, a matrix of cells, scattered points.

A form takes rows of plain values with fixed names and draws them; a chart makes the rows of a frame and says in words
what is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import altair as alt

from assay.report.charts.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    Measure,
    Plane,
    PlotAxis,
    Rows,
    colours,
    names_by_position,
    placed_in,
    plot_width,
    strokes,
    table,
)

Tips = Sequence[alt.Tooltip]


# --- names down the side ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rungs:
    """The labels down the side of a plot, in the order of the rows; every row of a layer stands at one of them."""

    labels: Sequence[str]

    @classmethod
    def of(cls, rows: Rows) -> Rungs:
        """The labels of the rows, each once."""
        return cls(list(dict.fromkeys(row["label"] for row in rows)))

    def placed(self, rows: Rows) -> Rows:
        """The rows with the place of their label."""
        return placed_in(rows, self.labels, "label", "rung")

    def y(self, axis: alt.Axis | None = None) -> alt.Y:
        """The labels as the channel y of placed rows."""
        axis = (axis or alt.Axis(title=None, ticks=False, domain=False, labelPadding=8)).copy()
        axis.labelExpr = names_by_position(self.labels)
        return alt.Y("rung:O", scale=alt.Scale(domain=list(range(len(self.labels)))), axis=axis)


def _texts(rungs: Rungs, rows: Rows, side: alt.Axis | None = None) -> alt.Chart:
    """The texts of the placed rows at the right of the plot."""
    mark = alt.Chart(table(rows)).mark_text(align="left", dx=8, fontSize=12, color=INK)
    return mark.encode(x=alt.value("width"), y=rungs.y(side), text="text:N")


def ranked_bars(
    rows: Rows,
    *,
    axis: PlotAxis,
    tips: Tips,
    parts: tuple[Rows, alt.Color] | None = None,
    whiskers: bool = False,
    width: int | None = None,
    side: alt.Axis | None = None,
) -> Any:
    """Bars from zero in the order of the rows, their text at the right.

    A row has label, x, text, and with `whiskers` low and high. `parts`: the rows of the parts of each bar (label, x,
    rank) and their colour, where a bar is stacked. `side` is the axis of the labels.
    """
    rungs = Rungs.of(rows)
    rows = rungs.placed(rows)
    stacked, color = parts or (rows, alt.value(BLUE))
    bars = alt.Chart(table(rungs.placed(stacked))).mark_bar(opacity=1 if parts else 0.75, height={"band": 0.65})
    bars = bars.encode(x=axis.x(), y=rungs.y(side), color=color, tooltip=tips)
    layers: list[Any] = [bars.encode(order="rank:Q") if parts else bars]
    if whiskers:
        lines = alt.Chart(table(rows)).mark_rule(color=INK, strokeWidth=1.5)
        layers.append(lines.encode(x=axis.x("low"), x2="high:Q", y=rungs.y(side), tooltip=tips))
    layers.append(_texts(rungs, rows, side))
    return alt.layer(*layers).properties(width=width or plot_width() - 90, height=alt.Step(24))


@dataclass(frozen=True)
class IntervalStyle:
    """How intervals look: `color` and `shape` are channels, or the colour of all; `zero` marks no difference by a line.

    `side` is the axis of the labels, `step` the pixels of a row.
    """

    color: Any = BLUE
    shape: Any = None
    zero: bool = False
    side: alt.Axis | None = None
    step: int = 24
    width: int = field(default_factory=lambda: plot_width() - 90)


def cut_at_possible(rows: Rows, quantity: Measure) -> str:
    """Cuts the intervals at the largest possible difference, and says so: beyond it they show nothing."""
    low, high = quantity.quantity.low, quantity.quantity.high
    if low is None or high is None:
        return ""
    most, count = (high - low) * quantity.factor, 0
    for row in rows:
        count += row["low"] < -most or row["high"] > most
        row["low"], row["high"] = max(row["low"], -most), min(row["high"], most)
    return f"{count:,} interval{'s' * (count > 1)} cut at ±{most:g}, the largest possible difference" if count else ""


def intervals(rows: Rows, *, axis: PlotAxis, tips: Tips, style: IntervalStyle | None = None) -> Any:
    """A dot with its interval for each row, and the text of rows that have one at the right.

    A row has label, x, low and high.
    """
    style = style or IntervalStyle()
    filled = alt.value(style.color) if isinstance(style.color, str) else style.color
    rungs = Rungs.of(rows)
    rows = rungs.placed(rows)
    base = alt.Chart(table(rows)).encode(y=rungs.y(style.side), color=filled, tooltip=tips)
    lines = base.mark_rule(strokeWidth=2.2).encode(x=axis.x("low"), x2="high:Q")
    dots = base.mark_point(filled=True, size=80, opacity=1).encode(x=axis.x())
    layers: list[Any] = [lines, dots if style.shape is None else dots.encode(shape=style.shape)]
    if style.zero:
        origin = alt.Chart(table([{"x": 0}])).mark_rule(color=INK, strokeDash=[3, 3])
        layers.insert(0, origin.encode(x=axis.x()))
    if any(row.get("text") for row in rows):
        layers.append(_texts(rungs, rows, style.side))
    return alt.layer(*layers).properties(width=style.width, height=alt.Step(style.step))


# --- lines -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Series:
    """The names of the lines, their colours and dashes, and the legend.

    `detail` is the field of the lines within a series.
    """

    names: Sequence[str]
    colours: Sequence[str]
    dashes: Sequence[Sequence[int]] | None
    legend: alt.Legend | None
    detail: str | None = None

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        title: str | None,
        *,
        shown: Sequence[str] | None = None,
        detail: str | None = None,
        **legend: Any,
    ) -> Series:
        """A colour and a dash for each name, with a legend of those that are `shown`, or of all; none of one name."""
        of_lines, dashes = colours(len(names))
        listed = list(names) if shown is None else list(shown)
        places = [place for place, name in enumerate(names) if name in listed]
        drawn = strokes(title, values=places, **legend) if len(listed) > 1 else None
        return cls(names, of_lines, dashes, drawn, detail)

    def placed(self, rows: Rows) -> Rows:
        """The rows with the place of their series; those of other series have none."""
        return placed_in(rows, self.names, "series", "line")

    @property
    def _legend(self) -> alt.Legend | None:
        if self.legend is None:
            return None
        legend = self.legend.copy()
        legend.labelExpr = names_by_position(self.names)
        return legend

    def color(self) -> alt.Color:
        """The colours as a channel of placed rows."""
        scale = alt.Scale(domain=list(range(len(self.names))), range=list(self.colours))
        return alt.Color("line:N", scale=scale, legend=self._legend)

    def dash(self) -> alt.StrokeDash:
        """The dashes as a channel of placed rows."""
        dashes = [list(dash) for dash in self.dashes or []]
        scale = alt.Scale(domain=list(range(len(self.names))), range=dashes)
        return alt.StrokeDash("line:N", scale=scale, legend=self._legend)


Kind = Literal["line", "dots", "rest", "cross"]
"""What a row is a part of: a line, a line with a dot at each point, a faint grey line, or a cross alone."""


def lines(
    rows: Rows,
    *,
    plane: Plane,
    series: Series,
    tips: Tips,
    cross_tips: Tips = (),
    hover: bool = True,
) -> Any:
    """A line for each series, a band where the rows have low and high, and what else their `kind` says.

    A row has series, x, y and kind, and for a band low, high and n, the number of curves in it. A line of the kind
    "ended" is dashed, a "count" is a text at its end, and one of the kind "rest" has the number of its line as `rest`.
    With `hover` the line under the pointer stands out.
    """
    kinds = {row["kind"] for row in rows}
    rows = series.placed(rows)
    clip = _leaves(rows, plane.y.limits)  # a clipped line is a layer of the whole picture to what draws PNG: seconds
    x, y, (width, height) = plane.x, plane.y, plane.size
    base = alt.Chart().encode(x=x.x(), y=y.y())
    coloured = base.encode(color=series.color(), tooltip=tips)
    coloured = coloured.encode(detail=f"{series.detail}:N") if series.detail else coloured
    pointed = alt.selection_point(name="trial", fields=["line"], on="pointerover", clear="pointerout")
    drawn = coloured.transform_filter("datum.kind == 'line' || datum.kind == 'dots'")
    layers: list[Any] = []
    if "rest" in kinds:
        rest = base.transform_filter("datum.kind == 'rest'").encode(detail="rest:N", tooltip=tips)
        layers.append(rest.mark_line(color=GREY, strokeWidth=1, strokeOpacity=0.3, clip=clip))
    if any(row.get("n", 1) > 1 for row in rows if row["kind"] in ("line", "dots")):
        band = drawn.transform_filter("datum.n > 1").mark_area(clip=clip).encode(y=y.y("low"), y2="high:Q")
        layers.append(band.encode(fillOpacity=_when(pointed, 0.16, 0.03) if hover else alt.value(0.16)))
    line = drawn.mark_line(strokeWidth=2.2, clip=clip)
    if series.dashes is not None:
        line = line.encode(strokeDash=series.dash())
    layers.append(line.add_params(pointed).encode(strokeOpacity=_when(pointed, 1, 0.2)) if hover else line)
    if "ended" in kinds:
        dashed = coloured.transform_filter("datum.kind == 'ended'")
        layers.append(dashed.mark_line(strokeWidth=1.8, strokeDash=[5, 4], clip=clip))
        counts = coloured.transform_filter("datum.kind == 'count'").encode(text="text:N")
        layers.append(counts.mark_text(align="right", dx=-2, dy=-8, fontSize=11))
    if "dots" in kinds:
        dots = coloured.transform_filter("datum.kind == 'dots'")
        layers.append(dots.mark_point(filled=True, size=36, opacity=1, clip=clip))
    if "cross" in kinds:
        crosses = coloured.transform_filter("datum.kind == 'cross'").encode(tooltip=cross_tips)
        layers.append(crosses.mark_text(text="×", fontSize=20, fontWeight="bold"))
    return alt.layer(*layers, data=table(rows)).properties(width=width, height=height)


def _leaves(rows: Rows, limits: Sequence[float]) -> bool:
    """Whether a line or a band leaves the limits of the y axis."""
    low, high = limits
    values = [row[end] for row in rows for end in ("y", "low", "high") if row.get(end) is not None]
    return bool(values) and (min(values) < low or max(values) > high)


def _when(selection: alt.Parameter, value: float, otherwise: float) -> Any:
    return alt.condition(selection, alt.value(value), alt.value(otherwise))


# --- cells -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """The labels along one side of a matrix, in order, its title, and the pixels of a cell."""

    labels: Sequence[str]
    title: str
    step: int

    def axis(self, *, angle: float = 0) -> alt.Axis:
        """The axis of the labels; Vega leaves some out where the cells are too small for all."""
        overlap = self.step < 14
        names = names_by_position(self.labels)
        return alt.Axis(
            ticks=False, domain=False, labelLimit=200, labelAngle=angle, labelOverlap=overlap, labelExpr=names
        )

    @property
    def scale(self) -> alt.Scale:
        """The places of the labels."""
        return alt.Scale(domain=list(range(len(self.labels))))


def matrix(
    rows: Rows, *, x: Side, y: Side, shades: Sequence[tuple[str, alt.Color]], tips: Tips, texts: bool = True
) -> Any:
    """Cells with their texts: each of the `shades` colours those for which its condition holds, others are grey.

    A row has x, y and text, and `light` where the text stands on a dark colour.
    """
    angle = 0 if max(map(len, x.labels)) * 7 < x.step else -40
    rows = placed_in(placed_in(rows, x.labels, "x", "column_at"), y.labels, "y", "row_at")
    base = alt.Chart(table(rows)).encode(
        x=alt.X("column_at:O", scale=x.scale, title=x.title, axis=x.axis(angle=angle)),
        y=alt.Y("row_at:O", scale=y.scale, title=y.title, axis=y.axis()),
        tooltip=tips,
    )
    layers: list[Any] = [base.mark_rect(color="#eeeeee", stroke="white")]
    layers += [base.transform_filter(when).mark_rect(stroke="white").encode(color=color) for when, color in shades]
    if texts and x.step >= 26:
        mark = base.mark_text(fontSize=12 if x.step >= 44 else 10)
        ink = alt.condition("datum.light", alt.value("#ffffff"), alt.value(INK))
        layers.append(mark.encode(text="text:N", color=ink))
    chart = alt.layer(*layers).resolve_scale(color="independent")
    return chart.properties(width=alt.Step(x.step), height=alt.Step(y.step))


# --- points ----------------------------------------------------------------------------------------------------------


def scatter(
    points: Rows,
    *,
    plane: Plane,
    tips: Tips,
    faint: tuple[Rows, Tips],
    steps: Rows,
    named: Rows,
) -> Any:
    """Points, `faint` ones behind them, a line of `steps`, crosses on those that are `unfinished`, and names.

    A point has x, y, `front` (drawn in orange), `tie` (hollow if it is not empty) and `unfinished`. A row of `named`
    has a label, its place x2 and y2, the point x and y that it names, and the side of the point on which it stands.
    """
    x, y, (width, height) = plane.x, plane.y, plane.size
    base = alt.Chart().encode(x=x.x(), y=y.y())
    behind, behind_tips = faint
    few = len(points) <= 100
    dots = base.properties(data=table(points)).encode(tooltip=tips)
    dots = dots.transform_filter("!datum.tie")
    dots = dots.mark_circle(size=70, opacity=0.9) if few else dots.mark_circle(size=30, opacity=0.6)
    hollow = base.properties(data=table([point for point in points if point["tie"]])).encode(tooltip=tips)
    layers: list[Any] = [
        base.properties(data=table(behind)).mark_circle(size=22, opacity=0.25, color=GREY).encode(tooltip=behind_tips),
        base.properties(data=table(steps)).mark_line(color=ORANGE, strokeWidth=1.5, strokeDash=[5, 3]),
        dots.encode(color=alt.condition("datum.front", alt.value(ORANGE), alt.value(BLUE))),
        hollow.mark_point(size=60, filled=False, strokeWidth=2, color=ORANGE, fill="white"),
    ]
    if crossed := [point for point in points if point["unfinished"]]:
        crosses = base.properties(data=table(crossed)).encode(tooltip=tips)
        layers.append(crosses.mark_text(text="×", fontSize=20, fontWeight="bold", color=INK))
    if named:
        layers += _names_of_points(base.properties(data=table(named)), x=x, y=y)
    return alt.layer(*layers).properties(width=width, height=height)


def _names_of_points(base: alt.Chart, *, x: PlotAxis, y: PlotAxis) -> list[alt.Chart]:
    """Lines from points to their names, and the names, with a halo so that lines behind do not cross them out."""
    layers = [base.mark_rule(color=GREY, strokeWidth=0.8).encode(x2="x2:Q", y2="y2:Q")]
    sides: list[tuple[str, Literal["left", "right"]]] = [("left", "right"), ("right", "left")]
    for side, align in sides:
        texts = base.transform_filter(f"datum.side == '{side}'").encode(x=x.x("x2"), y=y.y("y2"), text="label:N")
        layers.append(texts.mark_text(align=align, baseline="middle", fontSize=12, stroke="white", strokeWidth=4))
        layers.append(texts.mark_text(align=align, baseline="middle", fontSize=12, color=INK))
    return layers


__all__ = ["IntervalStyle", "Kind", "Rungs", "Series", "Side"]
__all__ += ["cut_at_possible", "intervals", "lines", "matrix", "ranked_bars", "scatter"]
