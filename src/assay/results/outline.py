"""The trials and curves of a large study, read without what only its report needs, so that it is seen in seconds.

Every figure is the one that `Results` has: a chart of an outline is that of the results to the byte.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.analysis.axis_columns import axis_columns
from assay.analysis.quantities import METRICS, QUANTITIES, SPLITS, TEST_SCORE, name_of
from assay.analysis.summaries import summarised
from assay.errors import AssayError
from assay.report.charts import CHARTS
from assay.report.charts.bands import ranked
from assay.report.charts.curves import CurveOptions
from assay.report.charts.frames import floats, unfinished, words
from assay.report.charts.style import SERIES
from assay.report.thinning import evenly
from assay.results.frames import curve_frame, outline_frame
from assay.store import imported
from assay.store.curves import has_column
from assay.store.queries import outline_rows, with_curves
from assay.store.store import Store
from assay.studies.study import LIST_AXIS
from assay.system.memory import give_back

if TYPE_CHECKING:
    import pandas

Frame = Any
_MEASURED = [name_of(split, metric) for split in SPLITS for metric in METRICS]
_REST = 60  # grey lines, as the chart draws them


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
        self.about, rows = outline_rows(store.database, study)
        if self.about.get("design") == "search":
            raise AssayError(f"study {study!r} is a search")
        if any(budget is None for budget in rows.columns["budget"]):
            raise AssayError(f"study {study!r} has budgets in seconds")
        if any(has_column(cell, "test_r2") for cell in rows.columns["curve"]):
            raise AssayError(f"study {study!r} is of regressions")
        self._highest: dict[tuple[str, str], Any] = {}
        self._rows = rows.with_others(imported.rows_of_study(store.database, study))
        self._curves = self._points()
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

    def _points(self) -> pandas.DataFrame:
        """One row per log point, as `Results.curves` has them, without the columns that no trial measured."""
        kept = list({row["trial"]: row for row in reversed(self._rows) if row["curve"]}.values())[::-1]
        rows, curves = with_curves(kept)
        self._rows.keep_curve_headers()
        give_back()  # the curves as they were stored, before their points are copied into a frame
        self._split = _split_of([row["curve"] for row in rows])
        self._places = {row["trial"]: number for number, row in enumerate(rows)}
        self._starts = np.concatenate([[0], np.cumsum(curves.counts)])
        frame = curve_frame(rows, curves)
        del curves
        return frame.drop(
            columns=[
                name for name in _MEASURED if name in frame.columns and not bool(np.isfinite(floats(frame, name)).any())
            ]
        )

    def curves_chart(self, configurations: Collection[str] | None = None, **options: Any) -> Any:
        """The chart `curves` with some options, as `Results.picture` draws it.

        Args:
            configurations: Labels of those that are drawn; None: all.
            **options: Of the chart.

        Raises:
            NotOutlinedError: It needs more than an outline has.
            AssayError: An option has a wrong value.
        """
        chart, trials = CHARTS["curves"], self.trials
        curves = self._curves
        options = {"split": self._split} | options
        chart.check(options)
        chosen = CurveOptions(**options)
        if chosen.x == "epochs" or chosen.facet or chosen.by not in ("configuration", "trial") or chosen.order:
            raise NotOutlinedError("an outline has no epochs, panels or other series")
        if configurations is not None:
            trials = trials[trials["configuration"].isin(list(set(configurations)))]
        wanted = self._leading_points(trials, chosen)
        if wanted is None and configurations is not None:
            wanted = self._places_of(set(trials["trial"].tolist()))
        return chart(trials, curves if wanted is None else curves.iloc[wanted], **options)

    def _places_of(self, keys: set[str]) -> Any:
        """The places of the log points of trials."""
        lines = sorted(self._places[key] for key in keys if key in self._places)
        spans = [np.arange(self._starts[line], self._starts[line + 1]) for line in lines]
        return np.concatenate(spans) if spans else np.arange(0)

    def _leading_points(self, trials: Frame, options: CurveOptions) -> Any:
        """The places of the points that a chart needs: those of the drawn series, and of other trials the highest.

        The highest point of every other trial is where the y axis may end, and says that the trial can be drawn. None:
        all points are needed.
        """
        if options.smooth > 1 or options.start is not None or options.stop is not None or options.log:
            return None
        is_bounded = QUANTITIES[name_of(options.split, options.measure)].high is not None
        if not is_bounded and all(unfinished(trials)):
            return None  # the end of its axis depends on all points where no trial finished
        keys, names = trials["trial"].tolist(), words(trials, options.by)
        lines = np.array([self._places.get(key, -1) for key in keys], dtype=np.int64)
        highest = self._highest_points(options)
        is_drawable = (lines >= 0) & (highest[lines] >= 0)
        series = _series(trials, names, is_drawable)
        most = min(options.most, 3 * SERIES // 2)
        rest = series[most:]
        leading = {*series[:most], *(rest[i] for i in evenly(len(rest), _REST))}
        drawn = self._places_of({key for key, name in zip(keys, names, strict=True) if name in leading})
        return np.unique(np.concatenate([drawn, highest[lines[is_drawable]]]))

    def _highest_points(self, options: CurveOptions) -> Any:
        """The place of the highest point of each curve that can be drawn, (curves,); -1 for a curve without one."""
        y = name_of(options.split, options.measure)
        if (options.x, y) not in self._highest:
            values, x = (floats(self._curves, name) for name in (y, options.x))
            is_drawn = np.isfinite(x) & np.isfinite(values)
            self._highest[options.x, y] = _highest(np.where(is_drawn, values, -np.inf), np.diff(self._starts))
        return self._highest[options.x, y]


class NotOutlinedError(AssayError):
    """A chart needs more than an outline has."""


def _series(trials: Frame, names: list[str], is_drawable: Any) -> list[str]:
    """The series of the trials that can be drawn, in the order in which the chart ranks them."""
    import pandas

    final = floats(trials, TEST_SCORE.column)
    every = pandas.DataFrame({"trial": trials["trial"].to_numpy(), "series": names, "final": final})
    every = every.drop_duplicates(["trial", "series"])
    order = every["trial"].astype(str)
    if every["trial"].duplicated().any():  # configurations share trials
        order = order + "\n\n" + every["series"]
    every = every.iloc[np.argsort(order.to_numpy(dtype=object), kind="stable")]
    every = every[is_drawable[every.index.to_numpy()]]
    return ranked(every.assign(trial=np.arange(len(every))), None)


def _highest(y: Any, counts: Any) -> Any:
    """The place of the highest finite value of each curve, (curves,); -1 for a curve without one."""
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    places = np.full(len(counts), -1, dtype=np.int64)
    full = np.flatnonzero(counts > 0)
    if not full.size:
        return places
    top = np.maximum.reduceat(y, starts[full])
    line = np.repeat(np.arange(len(full)), counts[full])
    at = np.flatnonzero(y == top[line])
    first = np.unique(line[at], return_index=True)
    places[full[first[0]]] = at[first[1]]
    places[full[~np.isfinite(top)]] = -1
    return places


def _split_of(headers: list[Any]) -> str:
    """The set on which the curves are shown: test, or validation where nothing else was measured."""
    tested = any(has_column(header, "test_accuracy") for header in headers)
    validated = any(has_column(header, "validation_accuracy") for header in headers)
    return "validation" if validated and not tested else "test"


__all__ = ["NotOutlinedError", "Outline"]
