"""The one training loop, for every engine: evaluation, timing, logging, stopping and checkpoints.

The clock encloses `advance` and nothing else. Iterations are done in chunks that end at the next log point, and after
a tenth of a second at the latest, so that a caller can draw progress or break off between two chunks.
"""

from __future__ import annotations

import bisect
import math
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from assay.data.dataset import Dataset
from assay.data.prepare import Prepared, prepare
from assay.engines.base import Checkpoint, Cohort, Engine, Splits, fresh
from assay.engines.program import Program
from assay.errors import AssayError, RecipeError
from assay.parts.batches import examples_seen, make_batches
from assay.parts.models import flops_training
from assay.recipe.cohorts import static_form
from assay.recipe.model import Recipe, warnings
from assay.system.machine import describe
from assay.training.history import History, Ledger, Outcome, Point, joined, member
from assay.training.log_points import next_log_point
from assay.training.stopping import stopped

_CHUNK_SECONDS = 0.1


_CHUNK_ROWS = 2**20  # row numbers made at once


_CHUNK_ITERATIONS = 2**16


@dataclass(frozen=True)
class TrainingStatus:
    """Where a running training stands."""

    iteration: int
    iterations: int  # the budget
    seconds: float  # of training so far
    point: Point  # the last log point of the first trial
    new_point: bool


@dataclass
class _Trial:
    """What the loop remembers of one trial."""

    recipe: Recipe
    points: list[Point]
    outcome: Outcome | None = None
    reason: str = ""
    done: int = 0  # iterations


class Training:
    """A cohort in training: iterate over it until it ends, or break off; `histories` says what there is by then.

    >>> from assay.data.datasets import load
    >>> from assay.engines import load as load_engine
    >>> recipe = Recipe.parse({"budget": {"iterations": 10}})
    >>> for status in (training := Training([recipe], load_engine("numpy"), prepared(recipe, load("digits")))):
    ...     pass
    >>> training.histories()[0].outcome.value
    'completed'
    """

    can_resume = True
    """Whether another training can go on from a history of this one."""

    def __init__(
        self,
        recipes: Sequence[Recipe],
        engine: Engine,
        data: Prepared,
        *,
        start: Sequence[History] = (),
        data_seconds: float = 0.0,
        log_points: Sequence[int] | None = None,
    ) -> None:
        """`start`: histories to go on from, one for each recipe; `data_seconds`: what it took to make `data`;
        `log_points`: the iterations at which the curve has points, ascending, in place of the recipes' own."""
        begin = perf_counter()
        self.log_points = log_points
        self._began: float | None = None  # when the loop began, while it runs
        self.engine, self.data, self.earlier = engine, data, start
        self.recipe = recipes[0]
        self.cohort = Cohort(tuple(recipes), self.recipe.model.network(data.shape, data.classes))
        self._check(recipes, start)
        self.ledger = Ledger(data=data_seconds)
        self.n = len(data.y_train)
        self.budget = self.recipe.iterations(self.n)
        with self.ledger.book("data"):
            checkpoint = joined([h.checkpoint for h in start]) if start else fresh(self.cohort)
            self.state = engine.start(self.cohort, checkpoint, splits_of(self.recipe, data))
        self.t = checkpoint.t
        if self.t > self.budget:
            raise AssayError(f"the training to go on from is at iteration {self.t}; the budget is {self.budget}")
        self.trials = [_Trial(recipe, [], done=self.t) for recipe in recipes]
        for trial, history in zip(self.trials, start, strict=False):
            trial.points = list(history.points)
        self.seconds = start[0].ledger.train if start else 0.0
        self._rate = 0.0  # iterations a second, of the last chunk
        self._next_seconds = self._interval_seconds()
        self.ledger.wall = data_seconds + perf_counter() - begin

    def _check(self, recipes: Sequence[Recipe], start: Sequence[History]) -> None:
        if len({static_form(recipe) for recipe in recipes}) != 1:
            raise AssayError("the recipes of one cohort may differ only in traced numbers; group them with cohorts()")
        problems = misfits(self.cohort, len(self.data.y_train), self.engine)
        if problems:
            raise RecipeError(problems)
        for recipe, history in zip(recipes, start, strict=False):
            changed = other_trajectory(recipe, history.recipe)
            if changed:
                raise RecipeError(
                    [f"{name}: differs from the training to go on from; only budget, log, stop may" for name in changed]
                )
            if history.data_checksum != self.data.checksum:
                raise AssayError("the training to go on from has seen other data")
            there = history.checkpoint
            if not there.weights or (there.t and type(recipe.optimizer).slots and not there.slots):
                what = "optimizer state" if there.weights else "weights"
                raise AssayError(f"the training to go on from, by {history.engine}, kept no {what}; train anew")

    # --- the loop ---

    def __iter__(self) -> Iterator[TrainingStatus]:
        """Trains to the end of the budget; yields after every chunk. To break off leaves everything consistent."""
        self._began = perf_counter()
        try:
            if not self.trials[0].points:
                self._log_point(np.full(len(self.trials), np.nan))
            yield self._status(new_point=True)
            self._warm_up()
            yield from self._chunks()
        finally:
            self.ledger.wall += perf_counter() - self._began
            self._began = None
        for trial in self.trials:
            if trial.outcome is None:
                trial.outcome, trial.reason = Outcome.COMPLETED, f"{self.budget:,} iterations done"

    def _chunks(self) -> Iterator[TrainingStatus]:
        while self.t < self.budget and self._alive().any():
            with self.ledger.book("data"):
                count = self._chunk()
                batches = make_batches(self.recipe.batches, self.cohort.seeds, self.t + 1, count, self.n)
            alive = self._alive()
            begin = perf_counter()
            self.state, progress = self.engine.advance(self.state, batches, alive)
            elapsed = perf_counter() - begin
            if progress.cancelled:  # nothing came of it, so its seconds are no training
                yield self._status(new_point=False)
                continue
            self.ledger.train += elapsed
            self.seconds += elapsed
            self._rate = count / max(elapsed, 1e-9)
            self.t += count
            self._end_broken(progress.broken)
            new_point = self._is_log_point()
            if new_point:
                self._log_point(progress.losses[:, -1])
            self._apply_seconds_rule()
            yield self._status(new_point=new_point)

    def _warm_up(self) -> None:
        if self.t < self.budget:
            with self.ledger.book("compile"):
                count = min(self.budget - self.t, 64)
                batches = make_batches(self.recipe.batches, self.cohort.seeds, self.t + 1, count, self.n)
                self.engine.warm_up(self.state, batches)

    def _alive(self) -> NDArray[np.bool_]:
        return np.array([trial.outcome is None for trial in self.trials])

    def _status(self, *, new_point: bool) -> TrainingStatus:
        return TrainingStatus(self.t, self.budget, self.seconds, self.trials[0].points[-1], new_point)

    def _chunk(self) -> int:
        """How many iterations to do next: up to the next log point, the budget, or a tenth of a second's worth."""
        width = self.recipe.batches.width(self.n) if self.recipe.batches.kind != "full" else 1
        rows = _CHUNK_ROWS // (width * len(self.trials))
        affordable = int(self._rate * self._chunk_seconds()) if self._rate else 1
        reach = min(self._log_point_after(self.t), self.budget) - self.t
        return max(1, min(reach, affordable, rows, _CHUNK_ITERATIONS))

    def _chunk_seconds(self) -> float:
        """Seconds until the next chunk must end."""
        limits = [_CHUNK_SECONDS]
        if self.recipe.stop.seconds is not None:
            limits.append(self.recipe.stop.seconds - self.seconds)
        if self._next_seconds is not None:
            limits.append(self._next_seconds - self.seconds)
        return max(0.0, min(limits))

    # --- log points ---

    def _interval_seconds(self) -> float | None:
        number, unit = self.recipe.log.interval()
        return (math.floor(self.seconds / number) + 1) * number if unit == "seconds" else None

    def _log_point_after(self, t: int) -> int:
        if self.log_points is None:
            return next_log_point(self.recipe, self.n, t)
        place = bisect.bisect_right(self.log_points, t)
        return self.log_points[place] if place < len(self.log_points) else sys.maxsize

    def _is_log_point(self) -> bool:
        if self._next_seconds is not None and self.seconds >= self._next_seconds:
            self._next_seconds = self._interval_seconds()
            return True
        ended = not self._alive().any() or self.t == self.budget
        return ended or self.t == self._log_point_after(self.t - 1)

    def _log_point(self, batch_losses: NDArray[np.float64]) -> None:
        """Evaluates the cohort, adds a point to every trial that is alive, and applies the rules that read points."""
        with self.ledger.book("evaluate"):
            splits = ["test"] + (["validation"] if self.data.x_validation is not None else [])
            kind = self.recipe.log.train_loss
            train = {"full": "train", "batch": ""}.get(str(kind), "subset")
            results = {name: self.engine.evaluate(self.state, name) for name in [*splits, train] if name}
        seen = examples_seen(self.recipe.batches, self.t, self.n)
        for number, trial in enumerate(self.trials):
            if trial.outcome is not None:
                continue
            values: dict[str, float | None] = {}
            for name, result in results.items():
                prefix = "train" if name == train else name
                values[f"{prefix}_loss"] = float(result.loss[number])
                values[f"{prefix}_accuracy"] = float(result.accuracy[number])
            if kind == "batch" and not math.isnan(batch_losses[number]):
                values["train_loss"] = float(batch_losses[number])
            trial.done = self.t
            if not all(math.isfinite(value) for value in values.values() if value is not None):
                self._end(trial, Outcome.DIVERGED, f"loss not finite after iteration {self.t:,}")
                continue
            trial.points.append(Point(self.t, seen, self.seconds, **values))
            self._apply_point_rules(trial)

    # --- ends ---

    def _end(self, trial: _Trial, outcome: Outcome, reason: str) -> None:
        trial.outcome, trial.reason = outcome, reason

    def _end_broken(self, broken: NDArray[np.int64]) -> None:
        for trial, t in zip(self.trials, broken, strict=True):
            if trial.outcome is None:
                trial.done = self.t
                if t:
                    trial.done = int(t) - 1
                    self._end(trial, Outcome.DIVERGED, f"loss not finite at iteration {int(t):,}")

    def _apply_point_rules(self, trial: _Trial) -> None:
        reason = stopped(trial.recipe.stop, trial.points)
        if reason:
            self._end(trial, Outcome.STOPPED, reason)

    def _apply_seconds_rule(self) -> None:
        limit = self.recipe.stop.seconds
        if limit is None or self.seconds < limit or not self._alive().any():
            return
        if self.trials[0].points[-1].iteration != self.t:
            self._log_point(np.full(len(self.trials), np.nan))
        for trial in self.trials:
            if trial.outcome is None:
                self._end(trial, Outcome.STOPPED, f"{limit:g} seconds of training are over")

    # --- results ---

    def histories(self) -> list[History]:
        """What there is by now, a history for each recipe; a trial that is not at its end counts as interrupted."""
        begin = perf_counter()
        with self.ledger.book("checkpoint"):
            checkpoint = self.engine.export(self.state)
        if self._began is None:
            self.ledger.wall += perf_counter() - begin
        return [self._history(number, trial, checkpoint) for number, trial in enumerate(self.trials)]

    def _spent(self) -> Ledger:
        """The ledger until now, also in the middle of the loop."""
        running = perf_counter() - self._began if self._began is not None else 0.0
        return replace(self.ledger, wall=self.ledger.wall + running)

    def _history(self, number: int, trial: _Trial, checkpoint: Checkpoint) -> History:
        earlier = self.earlier[number] if self.earlier else None
        return history_made(
            trial.recipe,
            self.cohort,
            self.data,
            self.engine,
            points=trial.points,
            ledger=self._spent().plus(earlier.ledger) if earlier else self._spent(),
            outcome=trial.outcome or Outcome.INTERRUPTED,
            reason=trial.reason or f"interrupted after iteration {trial.done:,}",
            checkpoint=member(checkpoint, number, trial.done),
            peak_memory_bytes=peak_memory(),
        )

    def outputs(self, x: NDArray[Any]) -> NDArray[Any]:
        """The first trial's outputs (N, C) for inputs (N, D)."""
        return self.engine.outputs(self.state, x)[0]


def history_made(
    recipe: Recipe,
    cohort: Cohort,
    data: Prepared,
    engine: Engine | Program,
    *,
    points: Sequence[Point],
    ledger: Ledger,
    outcome: Outcome,
    reason: str,
    checkpoint: Checkpoint,
    peak_memory_bytes: int,
) -> History:
    """The history of one of a cohort's trials, with what is known of its data, its engine and this machine."""
    seen = examples_seen(recipe.batches, checkpoint.t, len(data.y_train))
    return History(
        recipe=recipe,
        engine=engine.name,
        engine_choice=engine.choice,
        device=engine.device,
        points=tuple(points),
        ledger=ledger,
        outcome=outcome,
        reason=reason,
        flops=flops_training(cohort.network, recipe.loss, recipe.optimizer, iterations=checkpoint.t, examples=seen),
        peak_memory_bytes=peak_memory_bytes,
        peak_device_memory_bytes=engine.peak_device_memory(),
        checkpoint=checkpoint,
        inputs=data.inputs,
        classes=data.class_names,
        shape=data.shape,
        scaling=data.scaling,
        data_checksum=data.checksum,
        machine=describe(),
        warnings=tuple(warnings(recipe)),
        cohort=len(cohort.recipes),
    )


def splits_of(recipe: Recipe, data: Prepared) -> Splits:
    """What a recipe trains on and is evaluated on."""
    parts = {"train": (data.x_train, data.y_train), "test": (data.x_test, data.y_test)}
    if data.x_validation is not None and data.y_validation is not None:
        parts["validation"] = (data.x_validation, data.y_validation)
    if isinstance(recipe.log.train_loss, int):
        subset = slice(0, recipe.log.train_loss)
        parts["subset"] = (data.x_train[subset], data.y_train[subset])
    return Splits(parts)


def train(recipes: Sequence[Recipe], engine: Engine, data: Prepared, *, start: Sequence[History] = ()) -> list[History]:
    """Trains a cohort to its end. Raises: RecipeError, AssayError."""
    training = Training(recipes, engine, data, start=start)
    for _ in training:
        pass
    return training.histories()


def misfits(cohort: Cohort, examples: int, engine: Engine | Program) -> list[str]:
    """What in a cohort's recipes does not fit N training examples, or the machine's memory, a sentence each."""
    recipe, n = cohort.first, examples
    subset = recipe.log.train_loss
    size = recipe.batches.settings().get("size", 1)
    found: list[str] = []
    if size > n:
        found.append(f"batches.size: got {size}; expected at most {n}, the number of training examples")
    if isinstance(subset, int) and subset > n:
        found.append(f"log.train_loss: got {subset}; expected at most {n}, the number of training examples")
    needed, free = engine.memory(cohort, n), psutil.virtual_memory().available
    if needed > free:
        trials = f"{len(cohort.recipes):,} trials of " if len(cohort.recipes) > 1 else ""
        found.append(
            f"model: {trials}{cohort.network.parameters:,} weights need about {needed / 2**30:,.1f} GiB of "
            f"memory to train; expected at most the {free / 2**30:,.1f} GiB that are free"
        )
    return found


def other_trajectory(new: Recipe, old: Recipe) -> list[str]:
    """The fields, besides budget, log and stop, in which two recipes are not the same training."""
    a, b = new.canonical(), old.canonical()
    free = ("budget", "log", "stop")
    return sorted(key for key in a.keys() | b.keys() if key not in free and a.get(key) != b.get(key))


def peak_memory() -> int:
    """The most memory that this process has held, in bytes."""
    with suppress(OSError):  # the system's other figure begins at what the process held that started this one
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def prepared(recipe: Recipe, dataset: Dataset) -> Prepared:
    """A data set scaled and split as a recipe says."""
    return prepare(dataset, recipe.preparation)
