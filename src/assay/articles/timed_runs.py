"""One timed run of each setup of a study, the start of its engine in a new process, and the total of many epochs."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from statistics import median

from assay.articles.context import Context
from assay.articles.kinds import PagePart
from assay.articles.measurements import trial_rows
from assay.articles.setups import Setup
from assay.bench.startup import ColdStart, starts
from assay.recipe.model import Recipe
from assay.results.results import Results


@dataclass(frozen=True)
class TimedRun:
    """The seconds of one run.

    Attributes:
        epochs: Training of each epoch.
        validation: One evaluation of the test set.
        data: Loading and scaling the data.
        compile: Compiling and warming up.
        wall: Everything.
        accuracy: The test accuracy at the end.
    """

    epochs: list[float]
    validation: float
    data: float
    compile: float
    wall: float
    accuracy: float

    @property
    def later(self) -> float:
        """The median of the epochs after the first; NaN if there is only one."""
        return median(self.epochs[1:]) if len(self.epochs) > 1 else math.nan

    def total(self, epochs: int, start: ColdStart) -> float:
        """Seconds of `epochs` epochs with start-up and compilation: measured if it ran that many, else extrapolated."""
        if len(self.epochs) >= epochs:
            return start.process + self.wall
        once = start.process + self.data + self.compile + self.epochs[0]
        return once + (epochs - 1) * self.later + epochs * self.validation


def timed_run(results: Results) -> TimedRun | None:
    """The timed run of a study; None if there is none."""
    completed = [row for row in trial_rows(results) if row["outcome"] == "completed"]
    if not completed:
        return None
    row, curves = completed[0], results.curves()
    seconds: list[float] = curves[curves["trial"] == row["trial"]]["seconds"].tolist()
    evaluations = len(seconds) + 1  # one per log point, and one for the confusion matrix
    return TimedRun(
        epochs=[b - a for a, b in itertools.pairwise(seconds)],
        validation=float(row["ledger_evaluate"]) / evaluations,
        data=float(row["ledger_data"]),
        compile=float(row["ledger_compile"]),
        wall=float(row["ledger_wall"]),
        accuracy=float(row["accuracy"]),
    )


class OfTimedRuns(PagePart):
    """A table of the timed runs of a study's setups.

    Attributes:
        study: The study, which has setups.
        epochs: The epochs of the article, whose total is measured or extrapolated.
    """

    study: str
    epochs: int

    def timed(self, context: Context) -> dict[Setup, TimedRun]:
        """The runs that are measured."""
        return timed_runs(context, self.study)

    def start(self, context: Context, setup: Setup) -> ColdStart:
        """The start of the setup's engine."""
        return cold_start(context, setup)


def timed_runs(context: Context, study: str) -> dict[Setup, TimedRun]:
    """The timed runs of a study's setups that are measured."""
    results = context.results
    return {s: run for s in context.setups[study] if s.study in results and (run := timed_run(results[s.study]))}


def cold_start(context: Context, setup: Setup) -> ColdStart:
    """The start of an engine on a batch of the setup's recipe, measured once for a page."""
    recipe = next(iter(context.plans[setup.study].trials.values())).recipe
    return context.once(f"start of {setup.engine}", lambda: starts(small_recipe(recipe), setup.engine))


def small_recipe(recipe: Recipe, *, images: int = 0, precision: str = "float32") -> Recipe:
    """The training of a recipe on `images` of the embedded digits, all in one batch; 0 for as many as its batches."""
    size = images or int(recipe.batches.settings()["size"])
    changes = {"data": {"name": "digits-28", "train": size}, "batches": "full", "precision": precision}
    return Recipe.parse({**recipe.plain(), **changes})


def seconds_cell(value: float | None) -> str:
    """Seconds with three digits; a dash where there are none."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


__all__ = ["OfTimedRuns", "TimedRun", "cold_start", "seconds_cell", "small_recipe", "timed_run", "timed_runs"]
