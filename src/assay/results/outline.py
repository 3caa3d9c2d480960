"""The trials and curves of a large study, read without what only its report needs, so that it is seen in seconds.

Every figure is the one that `Results` has: a chart of an outline is that of the results to the byte.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from altair.utils.schemapi import debug_mode
from numpy.typing import NDArray

from assay.analysis.axis_columns import axis_columns
from assay.analysis.summaries import summarised
from assay.errors import AssayError
from assay.report.charts import CHARTS
from assay.report.charts.curves import CurveOptions, kept_and_grey
from assay.report.charts.points import Gathered, Lines, Points, gathered, lines_of, ranked
from assay.results.frames import outline_frame
from assay.store import imported
from assay.store.curve_columns import CurveColumn, imported_column
from assay.store.curves import has_column
from assay.store.queries import outline_rows
from assay.store.store import Store
from assay.store.study_rows import StudyRows
from assay.studies.study import LIST_AXIS
from assay.system.memory import give_back

if TYPE_CHECKING:
    import pandas

Frame = Any
Mask = NDArray[np.bool_]
Places = NDArray[np.int64]


class Outline:
    """What `Results` has of a study that is no search, as far as its curves and its table of configurations need it.

    Args:
        store: An open store.
        study: The name of a stored study.

    Attributes:
        name: The name of the study.
        about: Its definition.

    Raises:
        AssayError: The store has no study of that name, or the study cannot be read this way.
    """

    def __init__(self, store: Store, study: str) -> None:
        self.name = study
        self.about, rows, curves = outline_rows(store.database, study)
        if self.about.get("design") == "search":
            raise AssayError(f"study {study!r} is a search")
        if any(budget is None for budget in rows.columns["budget"]):
            raise AssayError(f"study {study!r} has budgets in seconds")
        if any(value is not None for value in rows.columns["r2"]):
            raise AssayError(f"study {study!r} is of regressions")
        self._rows = rows.with_others(imported.rows_of_study(store.database, study))
        self._curves = _StudyCurves(self._rows, curves)
        self._series: dict[tuple[str, str, str], _Series] = {}
        give_back()  # what making it took, before the trials take their room

    @cached_property
    def _axis_columns(self) -> dict[str, str]:
        values = dict.fromkeys(self._rows.cells("axis_values"))
        names = dict.fromkeys(axis for text in values for axis in json.loads(text))
        is_list = self.about.get("design") == "list"
        return axis_columns(name for name in names if not (is_list and name == LIST_AXIS))

    @property
    def axes(self) -> list[str]:
        """The columns of the study's axes."""
        return list(self._axis_columns.values())

    @cached_property
    def trials(self) -> pandas.DataFrame:
        """One row per trial, with the columns of `Results.frame` that a curve or a table needs."""
        return outline_frame(self._rows, study=self.name, axes=self._axis_columns)

    def frame(self) -> pandas.DataFrame:
        """The same: whoever gets it must not change it."""
        return self.trials

    @cached_property
    def _summary(self) -> pandas.DataFrame:
        return summarised(self.trials)

    def summary(self) -> pandas.DataFrame:
        """One row per configuration, as `Results.summary` has it; whoever gets it must not change it."""
        return self._summary

    def curves_chart(self, configurations: Collection[str] | None = None, **options: Any) -> Any:
        """The specification of the chart `curves` with some options, as `Results.picture` draws it.

        Args:
            configurations: Labels of those that are drawn; None: all.
            **options: Of the chart.

        Raises:
            NotOutlinedError: It needs more than an outline has.
            AssayError: An option has a wrong value.
        """
        chart, trials = CHARTS["curves"], self.trials
        options = {"split": self._curves.split} | options
        chart.check(options)
        chosen = CurveOptions(**options)
        if chosen.x == "epochs" or chosen.facet or chosen.by not in ("configuration", "trial") or chosen.order:
            raise NotOutlinedError("an outline has no epochs, panels or other series")
        is_chosen = np.ones(len(trials), dtype=np.bool_)
        if configurations is not None:
            is_chosen = trials["configuration"].isin(list(set(configurations))).to_numpy(dtype=np.bool_)
            trials = trials[is_chosen]
        with debug_mode(False):  # Altair would check each of its objects: a third of the time
            return chart(trials, _Gathering(self, is_chosen), **options).to_dict(validate=False)

    def gathered(self, trials: Frame, is_chosen: Mask, options: CurveOptions) -> Gathered:
        """What a chart needs of the chosen rows of the trials, which are `trials`."""
        if options.smooth > 1 or options.start is not None or options.stop is not None or options.log:
            return self._all_points(trials, options)
        series = self._series_of(options)
        lines = np.flatnonzero(is_chosen[series.lines.row] & series.is_drawable)
        top = series.top(lines, bounded=options.is_bounded)
        if top is None:
            return self._all_points(trials, options)
        names = series.ranked_of(lines)
        kept, grey = kept_and_grey(names, options.most)
        drawn = lines[series.are_of(lines, [*kept, *grey])]
        of_lines = series.lines.trial
        points = self._curves.points(series.lines.chosen(drawn), options)
        return Gathered(points, len(lines) > 0, names, {""}, top, lambda: {of_lines[line] for line in lines.tolist()})

    def _all_points(self, trials: Frame, options: CurveOptions) -> Gathered:
        return gathered(trials, self._curves.frame(set(trials["trial"].tolist()), options), options)

    def _series_of(self, options: CurveOptions) -> _Series:
        """The series of all trials, by rank."""
        key = (options.by, options.x, options.quantity.name)
        if key not in self._series:
            lines = lines_of(self.trials, options.by, None)
            self._series[key] = _Series(lines, self._curves.highest(lines, options))
        return self._series[key]


@dataclass(frozen=True)
class _Gathering:
    """What gives the chart the points of the chosen trials of an outline."""

    outline: Outline
    is_chosen: Mask

    def gathered(self, trials: Frame, options: CurveOptions) -> Gathered:
        """What the chart needs of the trials."""
        return self.outline.gathered(trials, self.is_chosen, options)


class _Series:
    """The lines of all trials of a study, and their series by rank.

    The final scores of a configuration are those of all of its trials whatever is selected, and so is its rank among
    others.

    Args:
        lines: Of all trials.
        highest: The highest value of each line, (lines,); -inf for a line that cannot be drawn.
    """

    def __init__(self, lines: Lines, highest: NDArray[np.float64]) -> None:
        self.lines, self._highest = lines, highest
        self.is_drawable = np.isfinite(highest)
        self._is_finished = np.array([not how for how in lines.unfinished], dtype=np.bool_)
        drawable = np.flatnonzero(self.is_drawable)
        self._names = ranked([lines.series[line] for line in drawable.tolist()], lines.final[drawable])
        self._rank_of = {name: rank for rank, name in enumerate(self._names)}
        self._ranks = np.array([self._rank_of.get(name, -1) for name in lines.series], dtype=np.int64)

    def ranked_of(self, lines: Places) -> list[str]:
        """The series of some drawable lines, best first."""
        is_there = np.zeros(len(self._names), dtype=np.bool_)
        is_there[self._ranks[lines]] = True
        return [self._names[rank] for rank in np.flatnonzero(is_there).tolist()]

    def are_of(self, lines: Places, names: Sequence[str]) -> Mask:
        """Which lines are of the named series."""
        is_wanted = np.zeros(len(self._names), dtype=np.bool_)
        is_wanted[[self._rank_of[name] for name in names]] = True
        return is_wanted[self._ranks[lines]]

    def top(self, lines: Places, *, bounded: bool) -> float | None:
        """The top of the y axis of some lines; None where it depends on all of their points."""
        finished = lines[self._is_finished[lines]]
        if finished.size:
            return float(self._highest[finished].max())
        if not lines.size:
            return np.nan
        return float(self._highest[lines].max()) if bounded else None


class _StudyCurves:
    """The points of all trials, each trial once.

    Args:
        rows: Of the trials, with those of imported curves.
        column: The curves of the study's own trials.
    """

    def __init__(self, rows: StudyRows, column: CurveColumn) -> None:
        foreign = imported_column(row["curve"] for row in rows.others)
        readable = [header for number, header in enumerate(column) if header and number not in column.errors]
        self.split = _split_of(list(dict.fromkeys([*readable, *foreign])))
        self._counts, self._columns = column.joined(foreign)
        self._starts = np.cumsum(self._counts) - self._counts
        self._rates = _rates(rows)
        self._has_steps = _are_iterations(rows)
        keys = rows.cells("trial")
        filled = np.flatnonzero(self._counts).tolist()
        self._row_of = {keys[number]: number for number in reversed(filled)}

    def _values(self, name: str, places: Places | slice, of_row: Places) -> NDArray[np.float64]:
        """A column of some points; NaN where it was not measured. `of_row`: the row of each of them."""
        if name == "flops":
            return self._rates[of_row] * self._values("examples", places, of_row)
        if name not in self._columns:
            return np.full(len(of_row), np.nan)
        values = self._columns[name][places].astype(np.float64)
        if name == "iteration" and not self._has_steps.all():
            values[~self._has_steps[of_row]] = np.nan
        values[~np.isfinite(values)] = np.nan
        return values

    def _drawn(self, options: CurveOptions, places: Places | slice, of_row: Places) -> tuple[Any, Any, Any, Mask]:
        """x, y and step of points, and which of these can be drawn."""
        x, y = (self._values(name, places, of_row) for name in (options.x, options.quantity.name))
        step = x
        if options.x == "seconds":
            iteration = self._values("iteration", places, of_row)
            step = np.where(np.isfinite(iteration), iteration, x)
        return x, y, step, np.isfinite(x) & np.isfinite(y) & np.isfinite(step)

    def highest(self, lines: Lines, options: CurveOptions) -> NDArray[np.float64]:
        """The highest value of each line, (lines,); -inf for one without a point."""
        filled = np.flatnonzero(self._counts)
        of_rows = np.full(len(self._counts) + 1, -np.inf)  # the last for trials without a curve
        portion = 4096  # curves, so that their points take little room
        for start in range(0, len(filled), portion):
            some = filled[start : start + portion]
            first, last = self._starts[some[0]], self._starts[some[-1]] + self._counts[some[-1]]
            of_row = np.repeat(some, self._counts[some])
            _, y, _, is_drawn = self._drawn(options, slice(first, last), of_row)
            of_rows[some] = np.maximum.reduceat(np.where(is_drawn, y, -np.inf), self._starts[some] - first)
        return of_rows[np.array([self._row_of.get(key, -1) for key in lines.trial], dtype=np.int64)]

    def points(self, lines: Lines, options: CurveOptions) -> Points:
        """The points of lines of which each has some."""
        rows = np.array([self._row_of[key] for key in lines.trial], dtype=np.int64)
        places, line = self._places(rows)
        x, y, step, is_drawn = self._drawn(options, places, rows[line])
        points = Points(lines, line[is_drawn], x[is_drawn], y[is_drawn], step[is_drawn])
        return points.by_x()

    def _places(self, rows: Places) -> tuple[Places, Places]:
        """The places of the points of rows, and the number of the row in `rows` of each."""
        counts = self._counts[rows]
        line = np.repeat(np.arange(len(rows)), counts)
        within = np.arange(len(line)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self._starts[rows][line] + within, line

    def frame(self, trials: set[str], options: CurveOptions) -> pandas.DataFrame:
        """One row per log point of some trials, with what a chart reads of `Results.curves`."""
        import pandas

        keys = sorted(key for key in trials if key in self._row_of)
        rows = np.array([self._row_of[key] for key in keys], dtype=np.int64)
        places, line = self._places(rows)
        columns: dict[str, Any] = {"trial": pandas.Series(np.array(keys, dtype=object)[line], dtype=object)}
        for name in dict.fromkeys(("iteration", options.x, options.quantity.name)):
            columns[name] = self._values(name, places, rows[line])
        return pandas.DataFrame(columns, copy=False)


class NotOutlinedError(AssayError):
    """A chart needs more than an outline has."""


def _rates(rows: StudyRows) -> NDArray[np.float64]:
    """The operations for each example of every row, (rows,); NaN for an imported curve, whose log does not tell."""
    flops, examples = (np.array(rows.cells(name)[: rows.own], dtype=np.float64) for name in ("flops", "examples"))
    rates = np.zeros(len(rows))
    known = np.flatnonzero(np.nan_to_num(examples))
    rates[known] = np.nan_to_num(flops[known]) / examples[known]
    rates[rows.own :] = np.nan
    return rates


def _are_iterations(rows: StudyRows) -> Mask:
    """Whether the steps of each row are iterations, (rows,); all of them where every one counts the same."""
    steps = [*["iterations"] * rows.own, *(row.get("steps", "iterations") for row in rows.others)]
    has_one_kind = len(set(steps)) == 1
    return np.array([has_one_kind or step != "epochs" for step in steps], dtype=np.bool_)


def _split_of(headers: list[Any]) -> str:
    """The set on which the curves are shown: test, or validation where nothing else was measured."""
    tested = any(has_column(header, "test_accuracy") for header in headers)
    validated = any(has_column(header, "validation_accuracy") for header in headers)
    return "validation" if validated and not tested else "test"


__all__ = ["NotOutlinedError", "Outline"]
