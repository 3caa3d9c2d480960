"""What the studies of a reproduction measured, looked up by configuration and seed."""

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
from assay.articles.agreement import Run
from assay.results.results import Results

Row = Mapping[str, Any]


class MeasuredCurve:
    """One trial's learning curve: iterations, and what was measured there."""

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
        """A column at the last point up to an iteration; NaN beyond the curve's end."""
        if iteration > self.end:
            return math.nan
        return self._columns[column][sum(t <= iteration for t in self.iterations) - 1]

    def first(self, accuracy: float) -> float:
        """The first iteration with a test accuracy; infinite where there is none."""
        pairs = zip(self.iterations, self._columns["test_accuracy"], strict=True)
        return next((float(t) for t, value in pairs if value >= accuracy), math.inf)

    def rises(self, column: str) -> bool:
        """Whether a column is anywhere above its value at the point before."""
        values = self._columns[column]
        return any(b > a for a, b in itertools.pairwise(values))


class Measured:
    """The finished trials of several studies and their curves."""

    def __init__(self, results: Sequence[Results]) -> None:
        rows = [row for result in results for row in records(result)]
        self.trials = [row for row in rows if row["outcome"] in FINISHED]
        self.diverged = sum(row["outcome"] == "diverged" for row in rows)
        self.asked = len(rows)
        self._results = results

    @cached_property
    def curves(self) -> dict[str, MeasuredCurve]:
        """The curve of each trial by its key."""
        found: dict[str, MeasuredCurve] = {}
        for result in self._results:
            found |= {str(key): MeasuredCurve(frame) for key, frame in result.curves().groupby("trial", sort=False)}
        return found

    def of(self, label: str) -> list[Row]:
        """The finished trials of a configuration, one for each seed."""
        rows = {int(row["seed"]): row for row in self.trials if row["configuration"] == label}
        return [rows[seed] for seed in sorted(rows)]

    def column(self, label: str, name: str) -> dict[int, float]:
        """A number of a configuration's trials, by seed."""
        return {int(row["seed"]): float(row[name]) for row in self.of(label) if row[name] == row[name]}

    def runs(self, label: str) -> list[Run]:
        """The runs of a configuration, as the rule of holding reads them."""
        found: list[Run] = []
        for row in self.of(label):
            curve, loss = self.curves.get(str(row["trial"])), float(row["train_loss"])
            still = curve is not None and curve.is_settled
            found.append(Run(float(row["accuracy"]), still, None if loss != loss else loss, float(row["seconds"])))
        return found

    def longest(self, cell: str) -> dict[int, MeasuredCurve]:
        """The longest curve of each seed among the configurations whose labels are the cell and a number."""
        found: dict[int, MeasuredCurve] = {}
        for row in self.trials:
            curve = self.curves.get(str(row["trial"]))
            if curve is None or str(row["configuration"]).rpartition(" ")[0] != cell:
                continue
            seed = int(row["seed"])
            if seed not in found or curve.end > found[seed].end:
                found[seed] = curve
        return found

    def along(self, cell: str, column: str, iteration: float) -> dict[int, float]:
        """A curve's value at the last log point up to an iteration, by seed, for curves that go as far."""
        values = {seed: curve.at(column, iteration) for seed, curve in self.longest(cell).items()}
        return {seed: value for seed, value in values.items() if value == value}

    def best(self, cell: str, iterations: int) -> dict[int, float]:
        """The best test accuracy on each seed's curve, for curves that went to their end (selected on test)."""
        curves = self.longest(cell).items()
        return {seed: max(curve.values("test_accuracy")) for seed, curve in curves if curve.end >= iterations}

    def first_reached(self, cell: str, accuracy: float) -> float | None:
        """The median iteration at which the longest curves first have an accuracy; None if half of them never do."""
        curves = list(self.longest(cell).values())
        end = max((curve.end for curve in curves), default=0)
        reached = [curve.first(accuracy) for curve in curves if curve.end == end]
        middle = median(reached) if reached else math.inf
        return None if math.isinf(middle) else middle


def records(results: Results) -> list[Row]:
    """The trials of a study, a record each."""
    rows: list[Row] = results.frame().to_dict("records")  # pyright: ignore[reportAssignmentType]
    return rows


def percent(value: float) -> str:
    """An accuracy in percent with two decimals, a dash where there is none."""
    return "-" if value != value else f"{100 * value:.2f}"


__all__ = ["Measured", "MeasuredCurve", "Row", "percent", "records"]
