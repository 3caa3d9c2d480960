"""The learning curves of a study: a line for each configuration, a band over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.analysis.axis_columns import axis_of
from assay.analysis.curves import moving_average
from assay.analysis.frames import ascending, is_imported
from assay.analysis.quantities import AXES, METRICS, QUANTITIES, SCORE, SPLITS, Quantity, name_of, ranked_by
from assay.errors import AssayError, listed, unknown
from assay.report.charts.bands import band_rows, ranked, top_of, within
from assay.report.charts.chart import Chart
from assay.report.charts.forms import Series, lines
from assay.report.charts.frames import (
    Frame,
    captions,
    checked,
    ended,
    floats,
    headed,
    mixed,
    nothing,
    numbers,
    ordered,
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


def learning_curves(trials: Frame, curves: Frame, options: CurveOptions | None = None) -> Any:
    """The median over the trials of each series as a line, from the lowest to the highest as a band.

    Raises: AssayError.
    """
    options = options or CurveOptions()
    checked(trials, ["trial", options.by, *([options.facet] if options.facet else [])])
    checked(curves, ["trial"], what="curves")
    label = options.quantity.label
    heading = headed(
        trials, label + (f" by {short(axis_of(options.by))}" if options.by != "configuration" else ""), options.title
    )
    points, drawable = _points(trials, curves, options)
    if options.smooth > 1:
        by_trial = points.groupby("trial", sort=False)["y"]
        points["y"] = by_trial.transform(moving_average, options.smooth, partial=True)
    zoomed = points["trial"].nunique() > 0
    points = within(points, start=options.start, stop=options.stop, log=options.log)
    if not len(points):
        what = f"a point of {label}"
        why = f"No point of {label} lies between start and stop." if zoomed else nothing(trials, what)
        return message(why, heading)
    choice = _choice(points, options, trials)
    chart, notes = _drawn(points, options, choice, along=_along(trials, options.x))
    notes += [f"{ended(trials)} (× at the last point)" if ended(trials) else "", _not_drawn(trials, points, drawable)]
    notes += [mixed(trials) if options.x == "seconds" else "", pooled(trials, options.by, options.facet)]
    notes += [f"moving average over {options.smooth} points" if options.smooth > 1 else ""]
    return dressed(chart, heading, notes, seen=_seen(points, choice, options))


def _seen(points: Frame, choice: _Choice, options: CurveOptions) -> str:
    """Where the first and the last coloured line end, in words."""
    last = points.drop_duplicates(["trial", "panel", "series"], keep="last").groupby("series", sort=False)["y"].median()
    ends = [(label, float(last[name])) for name, label in choice.kept.items() if name in last.index]
    write = Measure(options.quantity).text
    lines_of = [f"{label} ends at {write(value)}" for label, value in (ends if len(ends) < 2 else [ends[0], ends[-1]])]
    return f"{'One line' if len(ends) == 1 else f'{len(ends)} lines'}: {', '.join(lines_of)}"


def _points(trials: Frame, curves: Frame, options: CurveOptions) -> tuple[Frame, list[str]]:
    """The finite points, each with its series and panel, sorted by trial and x; and the keys of the trials.

    The column `trial` has the place of its key: a line for each panel and series of a trial that configurations share.
    The texts of a line are one object each, not one for each of its points. Of series that an order leaves out there
    are none.
    """
    if options.order is not None:
        kept = set(options.order)
        trials = trials[np.array([series in kept for series in words(trials, options.by)], dtype=bool)]
    lines_of = pd.DataFrame(
        {
            "trial": trials["trial"].to_numpy(dtype=object),
            "series": words(trials, options.by),
            "panel": words(trials, options.facet) if options.facet else "",
            "unfinished": unfinished(trials),
            "final": pd.Series(numbers(trials, ranked_by(trials).column), dtype="float64").to_numpy(),
        }
    ).drop_duplicates(["trial", "series", "panel"])
    names = [lines_of[name].astype(str) for name in ("trial", "panel", "series")]
    order = names[0] if not lines_of["trial"].duplicated().any() else names[0] + "\n" + names[1] + "\n" + names[2]
    lines_of = lines_of.iloc[np.argsort(order.to_numpy(dtype=object), kind="stable")]
    y, x, steps = (floats(curves, name) for name in (options.quantity.name, options.x, "iteration"))
    step = np.where(np.isfinite(steps), steps, x) if options.x == "seconds" else x
    at, line = _matched(curves["trial"], lines_of["trial"], np.isfinite(x) & np.isfinite(y) & np.isfinite(step))
    if not ascending(line, x[at]):
        sorting = np.lexsort((x[at], line))
        at, line = at[sorting], line[sorting]
    points = pd.DataFrame({"trial": line, "x": x[at], "y": y[at], "step": step[at]}, copy=False)
    del x, y, steps, step, at  # of millions of points there is room for one copy
    for name in ("series", "panel", "unfinished"):
        points[name] = pd.Series(lines_of[name].to_numpy(dtype=object)[line], dtype=object)
    points["final"] = lines_of["final"].to_numpy()[line]
    return points, lines_of["trial"].tolist()


def _matched(of_points: Any, of_lines: Any, kept: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places of the points that are kept and belong to lines, and the line of each; in several where it has them.

    Args:
        of_points: The trial of each point.
        of_lines: The trial of each line.
        kept: Which points are kept.
    """
    codes, names = pd.factorize(of_points)
    of_trial = pd.Index(names).get_indexer_for(of_lines.to_numpy(dtype=object))
    lines_of = np.argsort(of_trial, kind="stable")
    counts = np.bincount(of_trial[of_trial >= 0], minlength=len(names))
    starts = int((of_trial < 0).sum()) + np.cumsum(counts) - counts
    at = np.flatnonzero(kept)
    repeated = counts[codes[at]]
    place = np.repeat(starts[codes[at]], repeated)
    place += np.arange(place.size) - np.repeat(np.cumsum(repeated) - repeated, repeated)
    return np.repeat(at, repeated), lines_of[place]


@dataclass(frozen=True)
class _Choice:
    """The series and panels that are drawn, by name with their labels, out of `series` and `panels` in all."""

    kept: dict[str, str]
    grey: list[str]
    shown: dict[str, str]
    captions: dict[str, str]
    series: int
    panels: int


def _choice(points: Frame, options: CurveOptions, trials: Frame) -> _Choice:
    most = min(options.most, 3 * SERIES // 2)
    names = ranked(points, options.order)
    kept, rest = names[:most], names[most:]
    all_panels = ordered(trials[options.facet].tolist()) if options.facet else [""]
    panels = [name for name in all_panels if name in set(points["panel"])]
    if options.facet == options.by:  # a panel for each series: those of the best, and none in grey
        panels, rest = [name for name in panels if name in kept[:_PANELS]], []
        kept = kept[:_PANELS]
    named = captions(trials, options.by, kept if options.order is None else options.order)
    grey = [rest[i] for i in evenly(len(rest), _REST)]
    shown_panels = captions(trials, options.facet or "", panels[:_PANELS])
    return _Choice({name: named[name] for name in kept}, grey, shown_panels, named, len(names), len(panels))


def _drawn(points: Frame, options: CurveOptions, choice: _Choice, *, along: str) -> tuple[Any, list[str]]:
    """The chart, and the notes of its subtitle on omitted series and thinned points."""
    top = top_of(points, bounded=options.quantity.high is not None)
    points = points[points["panel"].isin(list(choice.shown)) & points["series"].isin([*choice.kept, *choice.grey])]
    rows, longest = band_rows(points, named=choice.kept, panels=choice.shown, top=top, log="x" in options.log)
    highest = max((row["high"] for row in rows if "high" in row), default=top)
    notes = [
        _composition(choice, points),
        f"{choice.panels - len(choice.shown):,} of {choice.panels:,} panels are omitted"
        if len(choice.shown) < choice.panels
        else "",
        f"the axis ends at {top:.3g}, the highest value of the trials that finished" if top < highest else "",
        f"lines of up to {longest:,} points are thinned, their extremes kept" if longest else "",
    ]
    if any(row["kind"] == "ended" for row in rows):
        notes.append("dashed where seeds have ended: the median of the n that go on")
    return _chart(rows, options, choice, along=along, top=top), notes


def _composition(choice: _Choice, points: Frame) -> str:
    if choice.series > len(choice.kept):
        others = f", {len(choice.grey):,} others in grey" if choice.grey else ""
        return f"the best {len(choice.kept)} of {choice.series:,} by final {ranked_by(points).label}{others}"
    counts = points.groupby(["panel", "series"])["trial"].nunique()
    low, high = int(counts.min()), int(counts.max())
    if high == 1:
        return "one trial each" if len(counts) > 1 else ""
    return f"median and range of {low} trials" if low == high else f"median and range of {low} to {high} trials"


def _along(trials: Frame, x: str) -> str:
    """The title of x; its steps are epochs where every curve was imported from a log that names no iterations."""
    steps = set(words(trials, "steps")) if "steps" in trials.columns else set[str]()
    return "epochs" if x == "iteration" and steps == {"epochs"} else CURVE_AXES[x]


def _not_drawn(trials: Frame, points: Frame, drawable: Sequence[str]) -> str:
    """The note on imported curves without a point: their log lacks the quantity, or has epochs only."""
    foreign = trials[is_imported(trials)]
    drawn = {str(drawable[place]) for place in points["trial"].unique()} if len(foreign) else set[str]()
    names = foreign["configuration"][~foreign["trial"].isin(drawn)].tolist() if len(foreign) else []
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
