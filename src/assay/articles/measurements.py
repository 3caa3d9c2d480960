"""The trials of a reproduction's studies, looked up by configuration and seed.

Those that diverged or timed out count by the rule of `assay.analysis.seeds`; what is no result is left out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from statistics import median
from typing import Any

import pandas as pd

from assay.analysis.curves import settled
from assay.analysis.frames import FINISHED
from assay.analysis.quantities import MEASURED, QUANTITIES, TEST_SCORE
from assay.analysis.seed_values import SeedValues
from assay.analysis.seeds import ENDED, Endings
from assay.claims.agreement import Run
from assay.errors import AssayError
from assay.results.results import Results

TrialRow = Mapping[str, Any]


class MeasuredCurve:
    """One trial's learning curve."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.iterations: list[int] = [int(t) for t in frame["iteration"].tolist()]
        self._columns: dict[str, list[float]] = {}
        for name in MEASURED:
            values = frame[name].tolist() if name in frame.columns else [None] * len(frame)  # of another task
            self._columns[name] = [math.nan if value is None else float(value) for value in values]
        self.is_settled = settled(frame)

    @property
    def end(self) -> int:
        """The last iteration that was measured."""
        return self.iterations[-1] if self.iterations else 0

    def values(self, column: str) -> list[float]:
        """A column of the curve."""
        return self._columns[column]

    def at(self, column: str, iteration: float) -> float:
        """A column at the last log point up to an iteration; NaN beyond the end of the curve."""
        if iteration > self.end:
            return math.nan
        return self._columns[column][sum(t <= iteration for t in self.iterations) - 1]

    def last(self, column: str) -> float:
        """The last finite value of a column; NaN without any."""
        return next((value for value in reversed(self._columns[column]) if math.isfinite(value)), math.nan)

    def first_with(self, accuracy: float, score: str = TEST_SCORE.name) -> float:
        """The first iteration with at least this accuracy; infinite if there is none."""
        pairs = zip(self.iterations, self._columns[score], strict=True)
        return next((float(t) for t, value in pairs if value >= accuracy), math.inf)

    def rises(self, column: str) -> bool:
        """Whether a column increases between any two neighbouring log points."""
        values = self._columns[column]
        return any(b > a for a, b in itertools.pairwise(values))


class Measurements:
    """The trials of several studies and their curves.

    Attributes:
        trials: those that finished.
        diverged: how many diverged.
        timed_out: how many timed out.
        planned: how many there are.
    """

    def __init__(self, results: Sequence[Results]) -> None:
        rows = [row for result in results for row in trial_rows(result)]
        self._rows = rows
        self.trials = [row for row in rows if row["outcome"] in FINISHED]
        self.diverged = sum(row["outcome"] == "diverged" for row in rows)
        self.timed_out = sum(row["outcome"] == "timed out" for row in rows)
        self.planned = len(rows)
        self._results = results

    @cached_property
    def curves(self) -> dict[str, MeasuredCurve]:
        """The curves, by the key of the trial."""
        curves: dict[str, MeasuredCurve] = {}
        for result in self._results:
            curves |= {str(key): MeasuredCurve(frame) for key, frame in result.curves().groupby("trial", sort=False)}
        return curves

    def summary(self) -> str:
        """How many trials are measured, and how many ended early, in a sentence."""
        ended = f"{self.diverged:,} diverged" + (f"; {self.timed_out:,} timed out" if self.timed_out else "")
        counted = ". These count as they ended." if self.diverged + self.timed_out else "."
        return f"{len(self.trials):,} of {self.planned:,} trials are measured; {ended}{counted}"

    def engines(self) -> str:
        """The engines that trained what is measured; a dash before anything is."""
        return ", ".join(sorted({str(row["engine"]) for row in self.trials})) or "-"

    def of(self, label: str) -> list[TrialRow]:
        """The finished trials of a configuration, one per seed."""
        rows = {int(row["seed"]): row for row in self.trials if row["configuration"] == label}
        return [rows[seed] for seed in sorted(rows)]

    def column(self, label: str, name: str) -> dict[int, float]:
        """A column of a configuration's trials, by seed."""
        return {int(row["seed"]): float(row[name]) for row in self.of(label) if row[name] == row[name]}

    def counted(self, name: str) -> SeedValues:
        """What every configuration counts as at each seed, also where its training diverged or timed out."""
        return SeedValues.of(pd.DataFrame(self._rows), name)

    def runs(self, label: str, *, score: str = TEST_SCORE.name) -> list[Run]:
        """The runs of a configuration, as the rule of agreement reads them; what diverged or timed out as it ended.

        `score` is the column of the curve whose value is compared.
        """
        column = QUANTITIES[score].column
        runs: list[Run] = []
        for row in self._rows:
            if row["configuration"] != label or row["outcome"] not in (*FINISHED, *ENDED):
                continue
            curve = self.curves.get(str(row["trial"]))
            settled = curve is not None and curve.is_settled
            if row["outcome"] in ENDED:
                loss = self._last(row, "train_loss")
                runs.append(Run(self._last(row, score), settled, None if math.isinf(loss) else loss, math.inf))
            else:
                loss = float(row["train_loss"])
                runs.append(Run(float(row[column]), settled, None if loss != loss else loss, float(row["seconds"])))
        return runs

    def longest(self, cell: str) -> dict[int, MeasuredCurve]:
        """The curve per seed of the longest budget, of the configurations whose labels are the cell and iterations."""
        curves = {seed: self.curves.get(str(row["trial"])) for seed, row in self._longest_rows(cell).items()}
        return {seed: curve for seed, curve in curves.items() if curve is not None}

    def values_at(self, cell: str, column: str, iteration: float) -> dict[int, float]:
        """A column at the last log point up to an iteration, by seed; curves of shorter budgets are left out.

        A training that diverged or timed out before counts with its last finite value: without any, a score is
        chance and a loss infinite.
        """
        values: dict[int, float] = {}
        for seed, row in self._longest_rows(cell).items():
            curve = self.curves.get(str(row["trial"]))
            value = curve.at(column, iteration) if curve else math.nan
            values[seed] = self._last(row, column) if not math.isfinite(value) and row["outcome"] in ENDED else value
        return {seed: value for seed, value in values.items() if value == value}

    def best_accuracies(self, cell: str, iterations: int) -> dict[int, float]:
        """The best test accuracy on each seed's curve (selected on test); curves of shorter budgets are left out.

        Of a training that diverged or timed out, that of its curve up to there; chance without a curve.
        """
        best: dict[int, float] = {}
        for seed, row in self._longest_rows(cell).items():
            curve = self.curves.get(str(row["trial"]))
            values = [value for value in curve.values("test_accuracy") if value == value] if curve else []
            if row["outcome"] in ENDED:
                best[seed] = max(values, default=self._chance)
            elif curve and curve.end >= iterations:
                best[seed] = max(values)
        return best

    def first_reached(self, cell: str, accuracy: float, *, score: str = TEST_SCORE.name) -> float | None:
        """The median iteration at which the longest curves first reach an accuracy; None if half of them never do.

        A training that diverged or timed out before missed it.
        """
        rows, curves = self._longest_rows(cell), self.longest(cell)
        end = max((curve.end for curve in curves.values()), default=0)
        reached = [
            curves[seed].first_with(accuracy, score) if seed in curves else math.inf
            for seed, row in rows.items()
            if row["outcome"] in ENDED or (seed in curves and curves[seed].end == end)
        ]
        middle = median(reached) if reached else math.inf
        return None if math.isinf(middle) else middle

    def ended_text(self, label: str) -> str:
        """How many trainings of a configuration diverged or timed out, in words; empty if none did."""
        outcomes = [str(row["outcome"]) for row in self._rows if row["configuration"] == label]
        return Endings.of(outcomes).ended_text(label)

    def _longest_rows(self, cell: str) -> dict[int, TrialRow]:
        """The trial per seed of the longest budget that has a result, also one that diverged or timed out."""
        longest: dict[int, tuple[int, TrialRow]] = {}
        for row in self._rows:
            name, _, iterations = str(row["configuration"]).rpartition(" ")
            if name != cell or row["outcome"] not in (*FINISHED, *ENDED):
                continue
            if row["outcome"] in FINISHED and str(row["trial"]) not in self.curves:
                continue
            seed, budget = int(row["seed"]), int(iterations)
            if seed not in longest or budget > longest[seed][0]:
                longest[seed] = budget, row
        return {seed: row for seed, (_, row) in longest.items()}

    def _last(self, row: TrialRow, column: str) -> float:
        """What a training that diverged or timed out counts as in a column of its curve."""
        curve = self.curves.get(str(row["trial"]))
        value = curve.last(column) if curve else math.nan
        if value == value:
            return value
        return math.inf if QUANTITIES[column].kind == "loss" else self._chance

    @cached_property
    def _chance(self) -> float:
        """1 / classes of the data set. Raises AssayError where no trial tells them."""
        classes = {
            float(row["classes"]) for row in self._rows if row.get("classes") and row["classes"] == row["classes"]
        }
        if len(classes) != 1:
            raise AssayError("a training diverged without an accuracy, and the number of classes is unknown")
        return 1 / classes.pop()


def trial_rows(results: Results) -> list[TrialRow]:
    """The trials of a study, one record each."""
    rows: list[TrialRow] = results.frame().to_dict("records")  # pyright: ignore[reportAssignmentType]
    return rows


def percent_cell(value: float) -> str:
    """A fraction in percent, without the unit, which the header of the column has; a dash where there is none.

    >>> percent_cell(0.975)
    '97.50'
    """
    return "-" if value != value else f"{100 * value:.2f}"


def epochs_of(measured: Measurements) -> int:
    """The epochs of the longest curve, of trainings that log once an epoch."""
    return max((len(curve.iterations) - 1 for curve in measured.curves.values()), default=0)


def accuracies_by_epoch(measured: Measurements, label: str) -> list[list[float]]:
    """The test accuracies of a configuration after each epoch, per seed."""
    curves = [measured.curves[str(row["trial"])] for row in measured.of(label)]
    return [curve.values("test_accuracy")[1:] for curve in curves]


def range_cell(accuracies: Sequence[float]) -> str:
    """The least and the greatest accuracy in percent; a dash without any.

    >>> range_cell([0.975, 0.97])
    '97.00 .. 97.50'
    """
    return f"{percent_cell(min(accuracies))} .. {percent_cell(max(accuracies))}" if accuracies else "-"


__all__ = [
    "MeasuredCurve",
    "Measurements",
    "TrialRow",
    "accuracies_by_epoch",
    "epochs_of",
    "percent_cell",
    "range_cell",
    "trial_rows",
]
