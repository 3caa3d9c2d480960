"""The finished trials of a reproduction's studies, looked up by configuration and seed."""

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
from assay.analysis.quantities import MEASURED
from assay.analysis.seed_values import SeedValues
from assay.articles.agreement import Run
from assay.results.results import Results

TrialRow = Mapping[str, Any]


class MeasuredCurve:
    """One trial's learning curve."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.iterations: list[int] = [int(t) for t in frame["iteration"].tolist()]
        self._columns: dict[str, list[float]] = {}
        for name in MEASURED:
            self._columns[name] = [math.nan if value is None else float(value) for value in frame[name].tolist()]
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

    def first_with(self, accuracy: float) -> float:
        """The first iteration with at least this test accuracy; infinite if there is none."""
        pairs = zip(self.iterations, self._columns["test_accuracy"], strict=True)
        return next((float(t) for t, value in pairs if value >= accuracy), math.inf)

    def rises(self, column: str) -> bool:
        """Whether a column increases between any two neighbouring log points."""
        values = self._columns[column]
        return any(b > a for a, b in itertools.pairwise(values))


class Measurements:
    """The finished trials of several studies and their curves."""

    def __init__(self, results: Sequence[Results]) -> None:
        rows = [row for result in results for row in trial_rows(result)]
        self._rows = rows
        self.trials = [row for row in rows if row["outcome"] in FINISHED]
        self.diverged = sum(row["outcome"] == "diverged" for row in rows)
        self.planned = len(rows)
        self._results = results

    @cached_property
    def curves(self) -> dict[str, MeasuredCurve]:
        """The curves, by the key of the trial."""
        curves: dict[str, MeasuredCurve] = {}
        for result in self._results:
            curves |= {str(key): MeasuredCurve(frame) for key, frame in result.curves().groupby("trial", sort=False)}
        return curves

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

    def runs(self, label: str) -> list[Run]:
        """The runs of a configuration, as the rule of agreement reads them."""
        runs: list[Run] = []
        for row in self.of(label):
            curve, loss = self.curves.get(str(row["trial"])), float(row["train_loss"])
            settled = curve is not None and curve.is_settled
            runs.append(Run(float(row["accuracy"]), settled, None if loss != loss else loss, float(row["seconds"])))
        return runs

    def longest(self, cell: str) -> dict[int, MeasuredCurve]:
        """The longest curve per seed, of the configurations whose labels are the cell and a number of iterations."""
        longest: dict[int, MeasuredCurve] = {}
        for row in self.trials:
            curve = self.curves.get(str(row["trial"]))
            if curve is None or str(row["configuration"]).rpartition(" ")[0] != cell:
                continue
            seed = int(row["seed"])
            if seed not in longest or curve.end > longest[seed].end:
                longest[seed] = curve
        return longest

    def values_at(self, cell: str, column: str, iteration: float) -> dict[int, float]:
        """A column at the last log point up to an iteration, by seed; curves that end before it are left out."""
        values = {seed: curve.at(column, iteration) for seed, curve in self.longest(cell).items()}
        return {seed: value for seed, value in values.items() if value == value}

    def best_accuracies(self, cell: str, iterations: int) -> dict[int, float]:
        """The best test accuracy on each seed's curve (selected on test); curves that end before are left out."""
        curves = self.longest(cell).items()
        return {seed: max(curve.values("test_accuracy")) for seed, curve in curves if curve.end >= iterations}

    def first_reached(self, cell: str, accuracy: float) -> float | None:
        """The median iteration at which the longest curves first reach an accuracy; None if half of them never do."""
        curves = list(self.longest(cell).values())
        end = max((curve.end for curve in curves), default=0)
        reached = [curve.first_with(accuracy) for curve in curves if curve.end == end]
        middle = median(reached) if reached else math.inf
        return None if math.isinf(middle) else middle


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


__all__ = ["MeasuredCurve", "Measurements", "TrialRow", "percent_cell", "trial_rows"]
