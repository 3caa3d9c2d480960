"""A study as it was at one moment: its results, its table of configurations, and its charts as text."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from typing import Any

from assay.analysis.axis_columns import RECIPE
from assay.errors import AssayError
from assay.report.charts.writing import embedded
from assay.report.figures import steered
from assay.report.page import chart_spec, configuration_table
from assay.results.outline import NotOutlinedError, Outline
from assay.results.results import Results
from assay.serve.filters import selected
from assay.serve.views import View
from assay.store import queries
from assay.store.store import Store
from assay.system.memory import give_back

Frame = Any
MOST_SINGLE = 100  # trials that are drawn as single lines
_KEPT_CHARTS = 64
_KEPT_SECONDS = 20.0  # for which all of a large study is kept after it was last needed
LARGE = 5000
_OF_TRIAL = ("engine", "timing", "device", "batch_size", "seed")


class StudySnapshot:
    """The results of a study, and what was made of them.

    Every number is made from all trials of the study or of a configuration, never from those that a view selects.

    A large study is read as an outline first, which is enough for its curves and its table. What needs all of it reads
    it when it is asked for, and forgets it again: of a hundred thousand trials it is half a gigabyte.

    Args:
        store: An open store.
        name: The name of a study.
        large: The trials from which a study is large.
    """

    def __init__(self, store: Store, name: str, *, large: int = LARGE) -> None:
        self.name, self._store = name, store
        self.lock = threading.RLock()
        self.outline = _outline(store, name, large)
        self._results: Results | None = None
        self._forgetting: threading.Timer | None = None
        self._parts: dict[str, str] = {}
        self._specs: OrderedDict[tuple[Any, ...], str | AssayError] = OrderedDict()

    def __len__(self) -> int:
        return len(self.trials)

    @property
    def results(self) -> Results:
        """The results of the study."""
        with self.lock:
            if self._results is None:
                self._results = Results(self._store, self.name)
            if self.outline is not None:
                if self._forgetting is not None:
                    self._forgetting.cancel()
                self._forgetting = threading.Timer(_KEPT_SECONDS, self._forget)
                self._forgetting.daemon = True
                self._forgetting.start()
            return self._results

    def _forget(self) -> None:
        with self.lock:
            self._results = None
        give_back()

    @property
    def _base(self) -> Any:
        """What the table and the curves are made from."""
        return self.outline or self.results

    @property
    def about(self) -> dict[str, Any]:
        """The definition of the study."""
        return self._base.about

    @property
    def axes(self) -> list[str]:
        """The columns of the study's axes."""
        return self._base.axes

    @cached_property
    def trials(self) -> Frame:
        """One row per trial."""
        return self._base.frame()

    def part(self, name: str, make: Callable[[], str]) -> str:
        """A part of the page that depends on the study alone, made once."""
        with self.lock:
            if name not in self._parts:
                self._parts[name] = make()
            return self._parts[name]

    @cached_property
    def answers(self) -> list[str]:
        """The answers of the study, as its report has them."""
        with self.lock:
            return self.results.answers() if self.has_results else []

    @property
    def has_results(self) -> bool:
        """Whether any trial has ended."""
        return bool((self.trials["outcome"] != "planned").any())

    @cached_property
    def table(self) -> Frame:
        """One row per configuration: the report's table, and the columns by which a query selects, which follow."""
        with self.lock:
            base = self._base
            shown = configuration_table(base).reset_index(drop=True)
            first = self.trials.drop_duplicates("configuration").set_index("configuration")
            names = shown["configuration"]
            report = len(shown.columns)
            for column in (*base.axes, *RECIPE, *_OF_TRIAL[:4]):
                if column in first.columns and column not in shown.columns:
                    shown[column] = names.map(first[column])
            summary = base.summary().rename(columns={"finished": "ended"}).set_index("configuration")
            for column in summary.columns:
                if column not in shown.columns:
                    shown[column] = names.map(summary[column])
            axes = sum(column in base.axes for column in shown.columns[report:])
            shown.attrs["shown"] = report + axes  # the report's columns, and the axes, which follow them
            return shown

    @cached_property
    def columns(self) -> list[str]:
        """The columns of the table that are shown: the report's, and the axes."""
        with self.lock:
            table = self.table
            return [str(column) for column in table.columns[: table.attrs["shown"]]]

    def selected(self, query: str) -> Frame:
        """The rows of the table that a query selects. Raises: AssayError."""
        return self.table[selected(query, self.table)] if query.strip() else self.table

    def selected_names(self, query: str) -> list[str]:
        """The configurations that a query selects."""
        return [str(name) for name in self.selected(query)["configuration"].tolist()]

    def selected_trials(self, query: str) -> Frame:
        """The trials of the configurations that a query selects. Raises: AssayError."""
        if not query.strip():
            return self.trials
        return self.trials[self.trials["configuration"].isin(set(self.selected_names(query)))]

    def curve_options(self, view: View) -> dict[str, Any]:
        """The options of the chart of the curves in a view. Raises: AssayError where it selects nothing to draw."""
        options = view.curves
        if view.seeds:
            trials = self.selected_trials(view.q)
            if len(trials) > MOST_SINGLE:
                raise AssayError(
                    f"{len(trials):,} trials are selected, and lines of single trials are drawn for up to "
                    f"{MOST_SINGLE}: select fewer configurations with a query, such as accuracy>0.97"
                )
        if view.q.strip():
            options |= {"configurations": self.selected_names(view.q)}
            if not options["configurations"]:
                raise AssayError(f"no configuration passes the query {view.q!r}")
        return options

    def spec(self, name: str, **options: Any) -> str:
        """A chart as JSON, exactly as the report of the study holds it. Raises: AssayError if it cannot be drawn."""
        key = (name, *((option, repr(options[option])) for option in sorted(options)))
        with self.lock:
            if key not in self._specs:
                try:
                    self._specs[key] = embedded(self._spec(name, options))
                except AssayError as error:
                    self._specs[key] = error
                while len(self._specs) > _KEPT_CHARTS:
                    self._specs.popitem(last=False)
            self._specs.move_to_end(key)
            made = self._specs[key]
        if isinstance(made, AssayError):
            raise AssayError(str(made))
        return made

    def _spec(self, name: str, options: dict[str, Any]) -> dict[str, Any]:
        if name == "curves" and self.outline is not None:
            try:
                return steered(self.outline.curves_chart(**options))
            except NotOutlinedError:
                pass
        return chart_spec(self.results, name, **options)


def _outline(store: Store, name: str, large: int) -> Outline | None:
    """The outline of a large study; None for a small one, and for one that is read as a whole only."""
    if queries.member_count(store.database, name) < large:
        return None
    try:
        return Outline(store, name)
    except AssayError:  # a search, or budgets in seconds; what is damaged is said by the results
        return None


__all__ = ["LARGE", "MOST_SINGLE", "StudySnapshot"]
