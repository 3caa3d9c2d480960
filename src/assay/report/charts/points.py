"""The points of learning curves as arrays, each with the line that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.analysis.curves import moving_average
from assay.analysis.frames import ascending
from assay.analysis.quantities import ranked_by
from assay.report.charts.frames import Frame, floats, numbers, unfinished, words

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Lines:
    """What is drawn of each trial: a line in each panel and series that it belongs to.

    Attributes:
        trial: The key of the trial of each line.
        series: The name of its series.
        panel: The name of its panel.
        unfinished: How it ended; empty where it completed or stopped.
        final: Its last score, by which series are ranked.
        row: The row of its trial.
    """

    trial: Sequence[str]
    series: Sequence[str]
    panel: Sequence[str]
    unfinished: Sequence[str]
    final: Floats
    row: Places

    def __len__(self) -> int:
        return len(self.trial)

    def chosen(self, numbers: Places) -> Lines:
        """Some of the lines, by their numbers."""
        places: list[int] = numbers.tolist()

        def of(texts: Sequence[str]) -> list[str]:
            return [texts[place] for place in places]

        every = of(self.trial), of(self.series), of(self.panel), of(self.unfinished)
        return Lines(*every, final=self.final[numbers], row=self.row[numbers])


@dataclass(frozen=True, eq=False)
class Points:
    """Finite points, those of one line after those of another, each line by ascending x.

    Attributes:
        lines: The lines, of which some may have no point.
        line: The number of the line of each point, ascending.
        x: Where a point is.
        y: Its value.
        step: The step at which it was logged, by which the trials of a series are compared; x where none is known.
    """

    lines: Lines
    line: Places
    x: Floats
    y: Floats
    step: Floats

    def __len__(self) -> int:
        return len(self.line)

    def of(self, kept: NDArray[np.bool_]) -> Points:
        """Those that are kept."""
        return replace(self, line=self.line[kept], x=self.x[kept], y=self.y[kept], step=self.step[kept])

    @property
    def drawn(self) -> Places:
        """The lines that have points, ascending."""
        return self.line[np.flatnonzero(np.diff(self.line, prepend=-1))]

    def by_x(self) -> Points:
        """The points of each line by ascending x; of equal ones as they are."""
        if ascending(self.line, self.x):
            return self
        order = np.lexsort((self.x, self.line))
        return replace(self, line=self.line[order], x=self.x[order], y=self.y[order], step=self.step[order])

    def spans(self) -> Iterator[tuple[int, slice]]:
        """Each line that has points, and where they are."""
        starts = np.flatnonzero(np.diff(self.line, prepend=-1)).tolist()
        for start, stop in zip(starts, [*starts[1:], len(self)][: len(starts)], strict=True):
            yield int(self.line[start]), slice(start, stop)

    def groups(self) -> dict[tuple[str, str], list[tuple[int, slice]]]:
        """The lines with points of each panel and series, in order of their first points."""
        made: dict[tuple[str, str], list[tuple[int, slice]]] = {}
        for line, places in self.spans():
            made.setdefault((self.lines.panel[line], self.lines.series[line]), []).append((line, places))
        return made

    def smoothed(self, window: int) -> Points:
        """The points with the trailing means of each line."""
        y = np.empty(len(self))
        for _, places in self.spans():
            y[places] = moving_average(self.y[places], window, partial=True)
        return replace(self, y=y)

    def within(self, *, start: float | None, stop: float | None, log: str) -> Points:
        """The points from start to stop, above zero on logarithmic axes."""
        kept = np.ones(len(self), dtype=np.bool_)
        if start is not None:
            kept &= self.x >= start
        if stop is not None:
            kept &= self.x <= stop
        for name in log:
            kept &= (self.x if name == "x" else self.y) > 0
        return self if kept.all() else self.of(kept)


@dataclass(frozen=True, eq=False)
class Gathered:
    """What a chart of learning curves knows of all trials, with the points that it draws.

    Attributes:
        points: Of the lines that may be drawn.
        has_any: Whether there was a point before a part of x was chosen.
        ranked: Every series that has points, best first.
        panels: The panels that have points.
        top: The top of the y axis.
        trials: The keys of all trials that have points.
    """

    points: Points
    has_any: bool
    ranked: Sequence[str]
    panels: set[str]
    top: float
    trials: Callable[[], set[str]]


def gathered(trials: Frame, curves: Frame, options: Any) -> Gathered:
    """What a chart needs, from frames of trials and of all their points.

    Args:
        trials: One row per trial.
        curves: One row per log point.
        options: `CurveOptions` of the chart.
    """
    points = points_of(trials, curves, options)
    if options.smooth > 1:
        points = points.smoothed(options.smooth)
    has_any = len(points) > 0
    points = points.within(start=options.start, stop=options.stop, log=options.log)
    lines = points.lines
    drawn: list[int] = points.drawn.tolist()
    return Gathered(
        points,
        has_any,
        ranked([lines.series[line] for line in drawn], lines.final[drawn]) if drawn else [],
        {lines.panel[line] for line in drawn},
        top_of(points, bounded=options.is_bounded) if drawn else np.nan,
        lambda: {str(lines.trial[line]) for line in drawn},
    )


def points_of(trials: Frame, curves: Frame, options: Any) -> Points:
    """The finite points of the trials, sorted by the key of their trial and by x.

    A trial that configurations share has a line for each panel and series. Of series that an order leaves out there are
    none.
    """
    if options.order is not None:
        kept = set(options.order)
        trials = trials[np.array([series in kept for series in words(trials, options.by)], dtype=bool)]
    lines = lines_of(trials, options.by, options.facet)
    y, x, steps = (floats(curves, name) for name in (options.quantity.name, options.x, "iteration"))
    step = np.where(np.isfinite(steps), steps, x) if options.x == "seconds" else x
    at, line = _matched(curves["trial"], lines.trial, np.isfinite(x) & np.isfinite(y) & np.isfinite(step))
    return Points(lines, line, x[at], y[at], step[at]).by_x()


def lines_of(trials: Frame, by: str, facet: str | None) -> Lines:
    """The lines of the trials, by the key of the trial, and of one trial by panel and series."""
    table = pd.DataFrame(
        {
            "trial": trials["trial"].to_numpy(dtype=object),
            "series": words(trials, by),
            "panel": words(trials, facet) if facet else "",
            "unfinished": unfinished(trials),
            "final": pd.Series(numbers(trials, ranked_by(trials).column), dtype="float64").to_numpy(),
        }
    ).drop_duplicates(["trial", "series", "panel"])
    names = [table[name].astype(str) for name in ("trial", "panel", "series")]
    order = names[0] if not table["trial"].duplicated().any() else names[0] + "\n" + names[1] + "\n" + names[2]
    table = table.iloc[np.argsort(order.to_numpy(dtype=object), kind="stable")]
    texts = (table[name].tolist() for name in ("trial", "series", "panel", "unfinished"))
    return Lines(*texts, final=table["final"].to_numpy(), row=table.index.to_numpy(dtype=np.int64))


def _matched(of_points: Any, of_lines: Sequence[str], kept: NDArray[np.bool_]) -> tuple[Places, Places]:
    """The places of the points that are kept and belong to lines, and the line of each; in several where it has them.

    Args:
        of_points: The trial of each point.
        of_lines: The trial of each line.
        kept: Which points are kept.
    """
    codes, names = pd.factorize(of_points)
    of_trial = pd.Index(names).get_indexer_for(np.array(of_lines, dtype=object))
    lines = np.argsort(of_trial, kind="stable")
    counts = np.bincount(of_trial[of_trial >= 0], minlength=len(names))
    starts = int((of_trial < 0).sum()) + np.cumsum(counts) - counts
    at = np.flatnonzero(kept)
    repeated = counts[codes[at]]
    place = np.repeat(starts[codes[at]], repeated)
    place += np.arange(place.size) - np.repeat(np.cumsum(repeated) - repeated, repeated)
    return np.repeat(at, repeated), lines[place]


def ranked(series: Sequence[str], final: Floats) -> list[str]:
    """The series of lines by the mean of their final scores, best first; of equal ones the first."""
    means: Any = pd.DataFrame({"series": series, "final": final}).groupby("series", sort=False)["final"].mean()
    return [str(name) for name in means.sort_values(ascending=False, kind="stable", na_position="last").index]


def top_of(points: Points, *, bounded: bool) -> float:
    """The top of the y axis: where trials diverged, what the others reach, so that one does not flatten all."""
    is_finished = np.array([not how for how in points.lines.unfinished], dtype=np.bool_)
    finished = points.y[is_finished[points.line]]
    if len(finished) or bounded:
        return float((finished if len(finished) else points.y).max())
    return float(np.percentile(points.y, 90))


def last_medians(points: Points, names: Mapping[str, str]) -> dict[str, float]:
    """The median of the last values of the lines of each of the named series that has points."""
    values: dict[str, list[float]] = {}
    for line, places in points.spans():
        if (name := points.lines.series[line]) in names:
            values.setdefault(name, []).append(float(points.y[places.stop - 1]))
    return {name: float(np.median(values[name])) for name in names if name in values}


__all__ = ["Gathered", "Lines", "Points", "gathered", "last_medians", "lines_of", "points_of", "ranked", "top_of"]
