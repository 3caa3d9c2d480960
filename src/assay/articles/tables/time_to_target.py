"""How long each configuration takes to a target accuracy, from fresh weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median

from assay.articles.context import Context
from assay.articles.kinds import PagePart
from assay.articles.measurements import TrialRow, percent_cell, trial_rows
from assay.articles.page import Figure, Table
from assay.articles.selection import fastest, grouped
from assay.errors import AssayError


class TimeToTarget(PagePart):
    """One row per configuration, the fastest first: how many trials reached the target, and what that took.

    Attributes:
        study: The study, whose trainings stop at the target.
    """

    study: str

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table; nothing before the study is planned. `{target}` in its title and note is the target."""
        if self.study not in context.results:
            return []
        target = f"{100 * target_of(context, self.study):g} %"
        trials = trial_rows(context.result(self.study))
        groups, order = grouped(trials, "configuration"), fastest(trials)
        rows: list[list[str]] = []
        for name in [*order, *(name for name in groups if name not in order)]:
            reached = [row for row in groups[name] if row["outcome"] == "stopped"]
            finished = sum(row["outcome"] != "planned" for row in groups[name])
            cells = [spread(_known(reached, column), form) for column, form in _COLUMNS.items()]
            rows.append([name, f"{len(reached)} of {finished}", *cells])
        head = ("configuration", "reached", "seconds", "preparation [s]", "processor [s]", "iterations", "examples")
        head += ("operations [1e9]", "accuracy [%]")
        return [Table(head, rows, self.title.replace("{target}", target), self.note.replace("{target}", target))]


def target_of(context: Context, study: str) -> float:
    """The accuracy at which the trainings of a study stop. Raises: AssayError."""
    targets = {trial.recipe.stop.accuracy for trial in context.plans[study].trials.values() if trial.recipe.stop}
    if len(targets) != 1 or None in targets:
        raise AssayError(f"the trainings of {study} do not stop at one accuracy")
    return float(targets.pop() or 0.0)


def _known(trials: Sequence[TrialRow], column: str) -> list[float]:
    """The values of a column, without those that older trials lack."""
    return [value for row in trials if not math.isnan(value := float(row[column]))]


FORMATS: dict[str, Callable[[float], str]] = {
    "seconds": lambda x: f"{x:.3f}",
    "iterations": lambda x: f"{x:,.0f}",
    "examples": lambda x: f"{x:,.0f}",
    "flops": lambda x: f"{x / 1e9:.1f}",
    "accuracy": percent_cell,
}
"""How a cell writes a column."""
_COLUMNS = {
    "seconds": FORMATS["seconds"],
    "preparation_seconds": FORMATS["seconds"],
    "processor_seconds": FORMATS["seconds"],
    **FORMATS,
}


def spread(values: Sequence[float], form: Callable[[float], str]) -> str:
    """Median (least .. greatest); a dash without values."""
    return f"{form(median(values))} ({form(min(values))} .. {form(max(values))})" if values else "-"


__all__ = ["FORMATS", "TimeToTarget", "spread", "target_of"]
