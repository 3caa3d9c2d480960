"""Engines as candidates: those of Assay, and the plain loop of PyTorch, which has the same methods."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.engines import load
from assay.engines.base import Engine, fresh
from benchmarks.problem import CHECKED, Problem


class Trainer:
    """An engine under a name; batches are generated beforehand, as they are for the peers."""

    def __init__(self, name: str, engine: Engine, problem: Problem, threads: int) -> None:
        self.name, self.threads, self.problem = name, threads, problem
        trials = len(problem.recipes)
        self.unit_per_call = problem.iterations * trials if not problem.evaluates else trials
        self.engine = engine
        self.state = self._fresh()
        self.alive = np.ones(trials, np.bool_)
        self.batches = problem.batches(1, problem.iterations)
        self.engine.warm_up(self.state, self.batches)

    def _fresh(self) -> Any:
        return self.engine.start(self.problem.cohort, fresh(self.problem.cohort), self.problem.splits)

    def check(self) -> NDArray[np.float64]:
        """The first losses."""
        _, progress = self.engine.advance(self._fresh(), self.problem.batches(1, CHECKED), self.alive)
        return progress.losses[0]

    def run(self) -> None:
        """Continues training."""
        self.state, _ = self.engine.advance(self.state, self.batches, self.alive)
        if self.problem.evaluates:
            self.engine.evaluate(self.state, "test")


def assay_engine(engine: str, problem: Problem, threads: int) -> Trainer:
    """One of Assay's engines as a candidate."""
    return Trainer(f"assay {engine}", load(engine, threads=threads), problem, threads)
