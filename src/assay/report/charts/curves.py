"""The learning curves of a study: a line for each configuration, a band over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import altair as alt
import numpy as np

from assay.analysis.axis_columns import axis_of
from assay.analysis.frames import is_imported
from assay.analysis.quantities import (
    AXES,
    CLASSIFICATION,
    METRICS,
    QUANTITIES,
    REGRESSION,
    SCORE,
    SPLITS,
    Quantity,
    name_of,
    score_of,
)
from assay.errors import AssayError, listed, unknown
from assay.report.charts.bands import band_rows
from assay.report.charts.chart import Chart
from assay.report.charts.forms import Series, lines
from assay.report.charts.frames import (
    Frame,
    captions,
    checked,
    ended,
    headed,
    mixed,
    nothing,
    ordered,
    pooled,
    words,
)
from assay.report.charts.points import Gathered, Points, gathered, last_medians
from assay.report.charts.style import (
    SERIES,
    Measure,
    Plane,
    PlotAxis,
    Rows,
    axis_format,
    dressed,
    message,
    names_by_position,
    placed_in,
    plot_width,
    short,
    span,
    tooltip,
)
from assay.report.thinning import evenly

_REST = 60  # grey lines of the series that are not distinguished
_PANELS = 12
CURVE_AXES = AXES | {"epochs": "epochs"}
"""What curves are drawn against, with the title of the axis."""


@dataclass(frozen=True)
class CurveOptions:
    """What of a study's learning curves is drawn. Raises: AssayError.

    `x`: "iteration", "epochs", "examples", "seconds" or "flops"; `measure`: "accuracy" or "loss" on the `split` "test",
    "validation" or "train". A series is a value of the column `by` of the trials ("trial": each trial is a line); with
    `facet`, another column, each of its values has a panel. `start` and `stop` zoom in on a part of x; `smooth` is the
    number of points of a trailing mean; `log` names the logarithmic axes: "x", "y" or "xy". The `most` series with the
    best final test accuracy are coloured, others grey; with `order` those that it names, in that order, and no others.
    """

    x: str = "iteration"
    measure: str = SCORE.name
    split: str = "test"
    by: str = "configuration"
    facet: str | None = None
    start: float | None = None
    stop: float | None = None
    smooth: int = 1
    log: str = ""
    most: int = SERIES
    order: Sequence[str] | None = None
    title: str | None = None

    def __post_init__(self) -> None:
        known = (("axis", self.x, CURVE_AXES), ("measure", self.measure, METRICS), ("split", self.split, SPLITS))
        for kind, name, names in known:
            if name not in names:
                raise AssayError(unknown(kind, name, names))
        if self.log not in ("", "x", "y", "xy"):
            raise AssayError("log: " + unknown("choice", self.log, ["", "x", "y", "xy"]))
        if self.smooth < 1:
            raise AssayError(f"smooth: got {self.smooth}; expected a number of points >= 1")
        if self.start is not None and self.stop is not None and self.start >= self.stop:
            raise AssayError(f"start: got {self.start:g}; expected a value before stop, {self.stop:g}")

    @property
    def quantity(self) -> Quantity:
        """The quantity on the y axis."""
        return QUANTITIES[name_of(self.split, self.measure)]

    @property
    def is_bounded(self) -> bool:
        """Whether that quantity has an upper end."""
        return self.quantity.high is not None


def learning_curves(trials: Frame, curves: Frame | Source, options: CurveOptions | None = None) -> Any:
    """The median over the trials of each series as a line, from the lowest to the highest as a band.

    Args:
        trials: One row per trial.
        curves: One row per log point, or what gathers those that the chart needs.
        options: What is drawn.

    Raises: AssayError.
    """
    options = options or CurveOptions()
    checked(trials, ["trial", options.by, *([options.facet] if options.facet else [])])
    label = options.quantity.label
    heading = headed(
        trials, label + (f" by {short(axis_of(options.by))}" if options.by != "configuration" else ""), options.title
    )
    if isinstance(curves, Source):
        have = curves.gathered(trials, options)
    else:
        have = gathered(trials, checked(curves, ["trial"], what="curves"), options)
    if not len(have.points):
        what = f"a point of {label}"
        why = f"No point of {label} lies between start and stop." if have.has_any else nothing(trials, what)
        return message(why, heading)
    choice = _choice(have, options, trials)
    chart, notes = _drawn(have, options, choice, along=_along(trials, options.x))
    notes += [f"{ended(trials)} (× at the last point)" if ended(trials) else "", _not_drawn(trials, have)]
    notes += [mixed(trials) if options.x == "seconds" else "", pooled(trials, options.by, options.facet)]
    notes += [f"moving average over {options.smooth} points" if options.smooth > 1 else ""]
    return dressed(chart, heading, notes, seen=_seen(have.points, choice, options))


@runtime_checkable
class Source(Protocol):
    """Gathers the points that a chart needs from elsewhere than a frame of all points."""

    def gathered(self, trials: Frame, options: CurveOptions) -> Gathered:
        """What a chart needs of the trials."""
        ...


def _seen(points: Points, choice: _Choice, options: CurveOptions) -> str:
    """Where the first and the last coloured line end, in words."""
    ends = [(choice.kept[name], value) for name, value in last_medians(points, choice.kept).items()]
    write = Measure(options.quantity).text
    lines_of = [f"{label} ends at {write(value)}" for label, value in (ends if len(ends) < 2 else [ends[0], ends[-1]])]
    return f"{'One line' if len(ends) == 1 else f'{len(ends)} lines'}: {', '.join(lines_of)}"


@dataclass(frozen=True)
class _Choice:
    """The series and panels that are drawn, by name with their labels, out of `series` and `panels` in all."""

    kept: dict[str, str]
    grey: list[str]
    shown: dict[str, str]
    captions: dict[str, str]
    series: int
    panels: int


def kept_and_grey(names: Sequence[str], most: int) -> tuple[Sequence[str], Sequence[str]]:
    """Of series by rank those that are coloured, and of the others those that are grey lines."""
    most = min(most, 3 * SERIES // 2)
    rest = names[most:]
    return names[:most], [rest[i] for i in evenly(len(rest), _REST)]


def _choice(have: Gathered, options: CurveOptions, trials: Frame) -> _Choice:
    names = have.ranked
    if options.order is not None:
        with_points = set(names)
        names = [name for name in options.order if name in with_points]
    kept, grey = kept_and_grey(names, options.most)
    all_panels = ordered(trials[options.facet].tolist()) if options.facet else [""]
    panels = [name for name in all_panels if name in have.panels]
    if options.facet == options.by:  # a panel for each series: those of the best, and none in grey
        panels, grey = [name for name in panels if name in kept[:_PANELS]], []
        kept = kept[:_PANELS]
    named = captions(trials, options.by, kept if options.order is None else options.order)
    shown_panels = captions(trials, options.facet or "", panels[:_PANELS])
    return _Choice({name: named[name] for name in kept}, list(grey), shown_panels, named, len(names), len(panels))


def _drawn(have: Gathered, options: CurveOptions, choice: _Choice, *, along: str) -> tuple[Any, list[str]]:
    """The chart, and the notes of its subtitle on omitted series and thinned points."""
    top, points = have.top, _shown(have.points, choice)
    rows, longest = band_rows(points, named=choice.kept, panels=choice.shown, top=top, log="x" in options.log)
    highest = max((row["high"] for row in rows if "high" in row), default=top)
    notes = [
        _composition(choice, points, options),
        f"{choice.panels - len(choice.shown):,} of {choice.panels:,} panels are omitted"
        if len(choice.shown) < choice.panels
        else "",
        f"the axis ends at {top:.3g}, the highest value of the trials that finished" if top < highest else "",
        f"lines of up to {longest:,} points are thinned, their extremes kept" if longest else "",
    ]
    if any(row["kind"] == "ended" for row in rows):
        notes.append("dashed where seeds have ended: the median of the n that go on")
    return _chart(rows, options, choice, along=along, top=top), notes


def _shown(points: Points, choice: _Choice) -> Points:
    """The points of the lines that are drawn."""
    series, lines = {*choice.kept, *choice.grey}, points.lines
    of_lines = zip(lines.panel, lines.series, strict=True)
    is_shown = np.array([panel in choice.shown and name in series for panel, name in of_lines], dtype=np.bool_)
    return points if is_shown.all() else points.of(is_shown[points.line])


def _score(options: CurveOptions) -> Quantity:
    """What the series are ranked by: R2 where the curves are of a score of regressions, else accuracy."""
    is_regression = options.measure in {metric.name for metric in REGRESSION.metrics}
    return score_of(REGRESSION if is_regression else CLASSIFICATION)


def _composition(choice: _Choice, points: Points, options: CurveOptions) -> str:
    if choice.series > len(choice.kept):
        others = f", {len(choice.grey):,} others in grey" if choice.grey else ""
        return f"the best {len(choice.kept)} of {choice.series:,} by final {_score(options).label}{others}"
    counts = [len(lines_of) for lines_of in points.groups().values()]
    low, high = min(counts), max(counts)
    if high == 1:
        return "one trial each" if len(counts) > 1 else ""
    return f"median and range of {low} trials" if low == high else f"median and range of {low} to {high} trials"


def _along(trials: Frame, x: str) -> str:
    """The title of x; its steps are epochs where every curve was imported from a log that names no iterations."""
    steps = set(words(trials, "steps")) if "steps" in trials.columns else set[str]()
    return "epochs" if x == "iteration" and steps == {"epochs"} else CURVE_AXES[x]


def _not_drawn(trials: Frame, have: Gathered) -> str:
    """The note on imported curves without a point: their log lacks the quantity, or has epochs only."""
    foreign = trials[is_imported(trials)]
    names = foreign["configuration"][~foreign["trial"].isin(list(have.trials()))].tolist() if len(foreign) else []
    return f"{listed(names)} not drawn: its log lacks these values" if names else ""


def _chart(rows: Rows, options: CurveOptions, choice: _Choice, *, along: str, top: float) -> Any:
    width, height, columns = _size(len(choice.shown))
    label = options.quantity.label
    tips = tooltip(
        name=axis_of(options.by),
        x=(along, ",~r"),
        y=(f"median {label}", ".4~f"),
        low=("lowest", ".4~f"),
        high=("highest", ".4~f"),
        n=("trials", "d"),
    )
    chart = lines(
        placed_in(rows, list(choice.shown.values()), "panel", "facet"),
        plane=Plane(_x(rows, options, along, width=width), _y(rows, options, top), (width, height)),
        series=_series(options, choice),
        tips=tips,
        cross_tips=tooltip(name=axis_of(options.by), how="outcome", x=(along, ",~r")),
    )
    if options.facet is None:
        return chart
    header = alt.Header(title=short(axis_of(options.facet)), labelFontWeight="bold")
    header.labelExpr = names_by_position(list(choice.shown.values()))
    return chart.facet(facet=alt.Facet("facet:O", header=header), columns=columns)


def _series(options: CurveOptions, choice: _Choice) -> Series:
    """The colours of the series; where an order is given, also of those that are missing here."""
    names = list(choice.kept.values())
    labelled = names if options.order is None else list(choice.captions.values())
    title = short(axis_of(options.by))
    shown = names if options.facet != options.by else []
    if len(choice.shown) > 1:
        return Series.of(labelled, title, shown=shown, orient="bottom", columns=3)
    return Series.of(labelled, title + (", best first" if options.order is None else ""), shown=shown)


def _x(rows: Rows, options: CurveOptions, along: str, *, width: int) -> PlotAxis:
    places = [float(row["x"]) for row in rows]
    log, limits = "x" in options.log, (min(places), max(places))
    format, count = "~g" if options.x in ("seconds", "epochs") else "~s", max(3, width // 90)
    if limits[0] < limits[1]:
        return PlotAxis(along, limits, log=log, format=format, count=count)
    around = span(places, log=True) if log else (limits[0] - 1, limits[1] + 1)
    return PlotAxis(along, around, log=log, format=format, values=limits[:1])


def _y(rows: Rows, options: CurveOptions, top: float) -> PlotAxis:
    log = "y" in options.log
    values = [min(row[end], top) for row in rows if "high" in row for end in ("low", "high")]
    limits = Measure(options.quantity).span(values, log=log)
    percent = options.quantity.is_fraction and not log
    return PlotAxis(options.quantity.label, limits, log=log, format=axis_format(*limits, percent=percent))


def _size(panels: int) -> tuple[int, int, int]:
    """Width and height of a panel, and panels in a row."""
    wide = plot_width()
    if panels <= 1:
        return wide - 60, 340, 1
    if panels == 3:
        return (wide + 90) // 3, 190, 3
    return ((wide + 60) // 2, 220, 2) if panels <= 4 else ((wide + 30) // 3, 160, 3)


CHART = Chart(
    "curves",
    "trials and curves",
    learning_curves,
    "Learning curves",
    "the curves of a study, bands over the seeds",
    options=CurveOptions,
    suits=lambda _: True,
)

__all__ = ["CHART", "CurveOptions", "learning_curves"]
