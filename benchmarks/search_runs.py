"""Searches on tables: each is run by the decision code of Assay's own searches, and the table answers for a training.

A suggestion is moved to the point of the table in whose part of the space it lies, as a step of a range would move it,
and the sampler is told the moved point. A search sees the validation accuracy of one of the selecting seeds, the same
one in all trials of a repetition. The first trials of a repetition are random, and the same for every method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import process_time
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.recipe.model import Recipe
from assay.studies.candidates import Space
from assay.studies.designs import Configuration
from assay.studies.search.decisions import Course, Planned, scheduler_of
from assay.studies.search.jobs import Decision, Told
from assay.studies.search.objectives import Goal
from assay.studies.search.prior import PriorSampler
from assay.studies.search.samplers import RandomSampler, Sampler, make_sampler
from assay.studies.search.settings import Halving
from assay.studies.search.space import key_of
from benchmarks.search_tables import TABLES, Table

START = 10
"""Random trials that every method begins with."""


@dataclass(frozen=True)
class Run:
    """One search on a table.

    Attributes:
        regret: (T,) after each job, the judged score that the best point of the table has more than the incumbent.
        seconds: (T,) of the trainings so far.
        work: (T,) of the trainings so far, in trainings with the full budget.
        asking: Processor seconds of each suggestion after the start.
    """

    regret: NDArray[np.float64]
    seconds: NDArray[np.float64]
    work: NDArray[np.float64]
    asking: NDArray[np.float64]


class TablePoints:
    """What a course asks of its points, answered by a table."""

    measures_seconds = False

    def __init__(self, table: Table, **settings: Any) -> None:
        self.table, self.space = table, table.space
        self.rungs, self.engine_of = table.rungs, dict[str, str]()
        given = {"parallel": 1, "trials": None, "seconds": None, "flops": None, "halving": None, "seeds": None}
        search = SimpleNamespace(**{**given, "prior": False, **settings})
        self.study: Any = SimpleNamespace(settings=SimpleNamespace(search=search))
        self._candidates = Space(table.study.settings, table.study.baseline, table.study.axes)

    def row(self, values: Configuration) -> int:
        """The row of a point of the table."""
        return self.table.places[key_of(values)]

    def at(self, values: Configuration) -> Planned:
        """The trial of the table in whose part of the space a point lies."""
        snapped = self.table.space.snapped(values)
        number = int(self.table.trials[self.row(snapped)])
        candidate: Any = SimpleNamespace(values=snapped, label=str(number))
        trial: Any = SimpleNamespace(key=f"{number}")
        return Planned(candidate, trial, 0)

    def planned(self, values: Configuration, engine: str | None = None) -> Planned:
        """The trial of a point."""
        return self.at(values)

    def recipe(self, values: Configuration) -> Recipe:
        """The recipe of a point, or of a part of one."""
        return self._candidates.candidate(values).recipe

    def trained(self, planned: Planned, step: Any) -> Planned:
        """The trial of a point as a step trains it: up to its rung."""
        rung = "" if step.rung is None else f"/{step.rung}"
        epochs = self.rungs[-1 if step.rung is None else step.rung]
        trial: Any = SimpleNamespace(key=planned.trial.key + rung, iterations=epochs)
        return Planned(planned.candidate, trial, 0)

    def feasible(self, _seconds: float | None) -> bool:
        """A table has no constraints."""
        return True


class PairedStart:
    """A sampler whose first suggestions are random draws that it shares with the other methods."""

    def __init__(self, method: str, table: Table, seed: int) -> None:
        self._random = RandomSampler(table.space, seed)
        self._own: Sampler = make_sampler(method, table.space, seed=seed, maximize=[True])
        self._values: list[Configuration] = []
        self.differs = ""
        self.asking: list[float] = []

    def ask(self, n: int, attempt: int) -> Configuration:
        """The suggestion for job n."""
        if n < START:
            return self._random.ask(n, attempt)
        begin = process_time()
        values = self._own.ask(n, attempt)
        while len(self.asking) <= n - START:
            self.asking.append(0.0)
        self.asking[n - START] += process_time() - begin
        return values

    def decided(
        self, n: int, values: Configuration, *, attempts: int, suggested: bool = True, restored: bool = False
    ) -> None:
        """Takes the decision for job n."""
        self._values.append(values)
        if n >= START:
            self._own.decided(n, values, attempts=attempts, suggested=suggested, restored=restored)

    def tell(self, n: int, scores: Sequence[float], *, rung: int | None = None) -> None:
        """Takes the score of job n; the first ones as a search is shown the trials of a store."""
        if n < START:
            self._own.show(self._values[n], scores)
        else:
            self._own.tell(n, scores, rung=rung)

    def promoted(self, values: Configuration, scores: Sequence[float], *, rung: int | None) -> None:
        """Takes the score of a point at a later rung."""
        self._own.promoted(values, scores, rung=rung)

    def show(self, values: Configuration, scores: Sequence[float]) -> None:
        """Takes a trial from before the search."""
        self._own.show(values, scores)


@dataclass(frozen=True)
class Method:
    """A way to search.

    Attributes:
        sampler: What suggests points.
        tables: The tables that it searches.
        trials: The budget, in trainings with the full budget.
        most: Another budget for some tables.
        brackets: Of halving with the factor 3, from the first rung of the table on; None without halving.
        prior: Whether half of the suggestions are from near the baseline. Its first trials are its own.
    """

    sampler: str
    tables: tuple[str, ...] = TABLES
    trials: int = 100
    most: Mapping[str, int] = field(default_factory=dict[str, int])
    brackets: int | str | None = None
    prior: bool = False


_DIGITS = ("continuous", "conditional", "rungs")
METHODS: dict[str, Method] = {
    "random": Method("random"),
    "tpe": Method("tpe"),
    "cmaes": Method("cmaes", ("continuous",)),
    "gp": Method("gp", trials=30),  # 0.1 to 0.3 s a suggestion: fewer trials
    "tpe, prior": Method("tpe", _DIGITS, prior=True),
    "halving": Method("random", ("rungs",), brackets=1),
    "hyperband": Method("random", ("rungs",), brackets="all"),
    "hyperband, prior": Method("random", ("rungs",), brackets="all", prior=True),
}
"""The methods by name."""


@dataclass(frozen=True)
class Runs:
    """The runs of a method on a table: regret, seconds and work (R, T), and seconds of a suggestion (R, A)."""

    table: str
    method: str
    regret: NDArray[np.float64]
    seconds: NDArray[np.float64]
    work: NDArray[np.float64]
    asking: NDArray[np.float64]

    @classmethod
    def of(cls, table: str, method: str, each: Sequence[Sequence[NDArray[np.float64]]]) -> Runs:
        """The runs of the parts of each; runs that ended earlier keep their last values."""
        return cls(table, method, *(_stacked([parts[place] for parts in each]) for place in range(4)))


def _stacked(rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    longest = max(row.size for row in rows)
    return np.stack([np.append(row, np.full(longest - row.size, row[-1] if row.size else np.nan)) for row in rows])


def run(table: Table, method: str, *, repetition: int) -> Run:
    """One search."""
    course, sampler = _course(table, METHODS[method], repetition + 1)
    seed = repetition % table.selecting.shape[2]
    incumbent = _Incumbent(table)
    regret, seconds, work = list[float](), list[float](), list[float]()
    while isinstance(decision := course.next(), Decision):
        course.take(decision)
        row, rung = table.places[key_of(decision.values)], len(table.rungs) - 1
        rung = rung if decision.rung is None else decision.rung
        begun = -1 if decision.parent is None else _rung_of(course.decisions[decision.parent], table)
        cost = table.seconds[row, rung] - (table.seconds[row, begun] if begun >= 0 else 0.0)
        epochs = table.rungs[rung] - (table.rungs[begun] if begun >= 0 else 0)
        score = float(table.selecting[row, rung, seed])
        course.told.append(Told(decision.n, (score,), (score,), "completed", seconds=float(cost)))
        regret.append(incumbent.after(row, rung, score))
        seconds.append(float(cost) + (seconds[-1] if seconds else 0.0))
        work.append(epochs / table.rungs[-1] + (work[-1] if work else 0.0))
    asking = sampler.asking if isinstance(sampler, PairedStart) else []
    return Run(*(np.array(values) for values in (regret, seconds, work, asking)))


def _rung_of(decision: Decision, table: Table) -> int:
    return len(table.rungs) - 1 if decision.rung is None else decision.rung


def _course(table: Table, about: Method, seed: int) -> tuple[Course, Sampler]:
    """The search of a method, with its sampler."""
    trials = about.most.get(table.name, about.trials)
    settings: dict[str, Any] = {"seed": seed, "trials": trials, "prior": about.prior}
    if about.brackets is not None:  # by training time, because its trainings differ in length
        halving = Halving(first=f"{table.rungs[0]} epochs", factor=3, brackets=about.brackets)
        settings |= {"halving": halving, "trials": None, "seconds": trials * float(table.seconds[:, -1].mean())}
    points: Any = TablePoints(table, **settings)
    goal = Goal(("accuracy",), "validation")
    is_random = about.sampler == "random"
    sampler: Sampler = RandomSampler(table.space, seed) if is_random else PairedStart(about.sampler, table, seed)
    if about.prior:
        own = make_sampler(about.sampler, table.space, seed=seed, maximize=[True])
        prior: Any = PriorSampler(own, points, seed)
        sampler = prior
    return Course(points, sampler, goal, (0.0,), scheduler=scheduler_of(points, goal)), sampler


class _Incumbent:
    """The best training so far: of the highest rung that any has reached."""

    def __init__(self, table: Table) -> None:
        self._table, self._best, self._rung = table, -1.0, -1
        self._regret, self._top = 1.0, float(table.judging[:, -1].max())

    def after(self, row: int, rung: int, score: float) -> float:
        """The regret after a training."""
        if rung > self._rung or (rung == self._rung and score > self._best):
            self._best, self._rung = score, rung
            self._regret = self._top - float(self._table.judging[row, rung])
        return self._regret
