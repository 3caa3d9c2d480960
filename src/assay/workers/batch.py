"""Trains several trials at once that differ only in budget, log points and stopping rules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from assay.data.prepare import Prepared
from assay.engines.base import Checkpoint, Engine
from assay.engines.program import Program
from assay.parts.layers import Weights
from assay.parts.models import flops_training
from assay.recipe.model import Recipe
from assay.recipe.settings import Stop
from assay.system.load import Load
from assay.training.history import History, Point
from assay.training.ledger import Ledger
from assay.training.log_points import has_point, log_points, log_points_up_to, shareable
from assay.training.loop import Training, TrainingStatus
from assay.training.notes import curve_notes, result_notes
from assay.training.outcome import Outcome
from assay.training.snapshots import weights_at
from assay.training.stopping import StoppingRules, own_points
from assay.workers.external.training import ExternalTraining, make_training

WITH_CONFUSION = (Outcome.COMPLETED, Outcome.STOPPED, Outcome.TIMED_OUT)
"""The outcomes of trainings whose weights at the end are evaluated to a confusion matrix."""

CHECKPOINT_SECONDS = 30.0
"""How often a training saves a checkpoint to resume from."""


@dataclass(frozen=True, eq=False)
class ProgressEvent:
    """The progress of the training."""

    status: TrainingStatus


@dataclass(frozen=True, eq=False)
class EndedEvent:
    """A trial has ended; `number` is its index in the recipes."""

    number: int
    history: History
    confusion: NDArray[np.int64] | None


@dataclass(frozen=True, eq=False)
class SavedEvent:
    """A checkpoint of the training, to resume from."""

    history: History


Event = ProgressEvent | EndedEvent | SavedEvent


class _Reader:
    """Reads one trial off the curve of the whole training, and no points that only another trial has."""

    def __init__(self, number: int, recipe: Recipe, n: int, *, saves_best: bool = False) -> None:
        self.number, self.recipe, self.n = number, recipe.resolved(n), n
        self.budget = recipe.iterations(n)
        self.points: list[Point] = []
        self.rules = StoppingRules(self.recipe, n)
        self.saves_best = saves_best
        self.best_weights: Weights | None = None

    def owns(self, point: Point) -> bool:
        """Whether the trial's own curve has this point. A training with points at seconds is of one trial alone."""
        return not shareable(self.recipe) or has_point(self.recipe, self.n, point.iteration)

    @property
    def snapshots(self) -> dict[int, Weights]:
        """The weights at the best point so far, by its iteration; empty if they are not kept."""
        if self.best_weights is None or self.rules.best is None:
            return {}
        return {self.rules.best.iteration: self.best_weights}

    def read(self, point: Point) -> tuple[Outcome, str] | None:
        """Takes a point of the curve. Returns the outcome and its reason if the trial ends there."""
        if not self.owns(point):
            return None
        self.points.append(point)
        reason = self.rules.read(point)
        if reason:
            return Outcome.STOPPED, reason
        if point.iteration == self.budget:
            return Outcome.COMPLETED, f"{self.budget:,} iterations done"
        return None


@dataclass(frozen=True, eq=False)
class Limits:
    """The limits of a training, and the seconds spent before it began.

    Attributes:
        data_seconds: Seconds spent on loading and preparing the data.
        data_processor: Processor seconds of the same.
        waited: Seconds until the machine was free.
        time_limit: Seconds after which open trials time out; None for no limit.
        cancelled: Called between chunks. If it returns True, the training ends, after a checkpoint if it can resume.
    """

    data_seconds: float = 0.0
    data_processor: float = 0.0
    waited: float = 0.0
    time_limit: float | None = None
    cancelled: Callable[[], bool] = lambda: False


def train_together(
    recipes: Sequence[Recipe],
    engine: Engine | Program,
    data: Prepared,
    *,
    start: History | None = None,
    limits: Limits | None = None,
    save_best: Collection[int] = (),
) -> Iterator[Event]:
    """Trains several trials in one training, and yields the end of each as soon as it is reached.

    Args:
        recipes: The recipes of the trials, the shortest budget first.
        engine: What trains them.
        data: The prepared data.
        start: A history of the trajectory from which the recipes `can_resume`.
        limits: The limits of the training.
        save_best: The indices of the recipes whose weights at the best validation point are kept as well.
    """
    limits, n = limits or Limits(), len(data.y_train)
    readers = [_Reader(number, recipe, n, saves_best=number in save_best) for number, recipe in enumerate(recipes)]
    yield from _Batch(readers, engine, data, start=start, limits=limits).events()


class _Batch:
    """One training, and the trials that are read off its curve."""

    def __init__(
        self,
        readers: Sequence[_Reader],
        engine: Engine | Program,
        data: Prepared,
        *,
        start: History | None,
        limits: Limits,
    ) -> None:
        self._begin, self._limits = perf_counter(), limits
        self._readers, longest = list(readers), readers[-1].recipe
        self._log_points: list[int] | None = None
        if shareable(longest):
            longest = longest.model_copy(update={"stop": Stop()})
            self._log_points = sorted({t for reader in readers for t in log_points(reader.recipe, reader.n)})
        if start is not None:
            start = replace(start, recipe=start.recipe.model_copy(update={"data": longest.data}))
        history = [start] if start is not None else []
        self._training = make_training(
            longest, engine, data, start=history, data_seconds=limits.data_seconds, log_points=self._log_points
        )
        for entry, seconds, processor in (
            ("data", 0.0, limits.data_processor),  # its seconds are booked
            ("wait", limits.waited, 0.0),
            ("wall", limits.waited, limits.data_processor),
        ):
            self._training.ledger.add(entry, seconds, processor)
        self._ended_at_start = self._replay(start) if start is not None else []
        self._last_read = start.points[-1].iteration if start is not None else -1

    def _replay(self, start: History) -> list[tuple[_Reader, tuple[Outcome, str]]]:
        """Passes the points of a start to the readers. Returns those that end at its last iteration, and how."""
        ended: list[tuple[_Reader, tuple[Outcome, str]]] = []
        for reader in self._readers:
            for point in start.points:
                end = reader.read(point)
                if end and self._log_points is not None and point.iteration == start.iterations:
                    ended.append((reader, end))
            if reader.saves_best and reader.rules.best is not None:
                reader.best_weights = weights_at(start, reader.rules.best.iteration)
        return ended

    def events(self) -> Iterator[Event]:
        """Trains until the last trial has ended, or the training is cancelled or times out."""
        training, limit, saved = self._training, self._limits.time_limit, perf_counter()
        for reader, end in self._ended_at_start:
            self._readers.remove(reader)
            yield self._ended(reader, *end)
        for status in training:
            yield ProgressEvent(status)
            yield from self._read(status)
            if not self._readers:
                return
            if self._limits.cancelled():
                if training.can_resume:
                    yield self._saved()
                return
            if limit is not None and perf_counter() - self._begin > limit:
                for reader in self._readers:
                    yield self._ended(reader, Outcome.TIMED_OUT, f"timed out after {limit:g} s")
                return
            if training.can_resume and perf_counter() - saved > CHECKPOINT_SECONDS:
                yield self._saved()
                saved = perf_counter()
        final = training.histories()[0]
        for reader in self._readers:  # ended by the training itself: diverged, or by a stopping rule on seconds
            if self._log_points is None:
                reader.points = list(final.points)
            yield self._ended(reader, final.outcome, final.reason)

    def _read(self, status: TrainingStatus) -> Iterator[Event]:
        """Passes a new point to the open trials; yields those that end there.

        A training that depends on wall time ends by itself, and may add a last point after its chunk.
        """
        point, shared = status.point, self._log_points is not None
        if point.iteration <= self._last_read or (shared and not status.new_point):
            return
        self._last_read = point.iteration
        snapshot: Weights | None = None  # of this point, for all trials that have their lowest loss here
        for reader in list(self._readers):
            end = reader.read(point)
            if reader.saves_best and reader.owns(point) and reader.rules.is_best:
                snapshot = reader.best_weights = self._weights() if snapshot is None else snapshot
            if end and shared:
                self._readers.remove(reader)
                yield self._ended(reader, *end)

    def _ended(self, reader: _Reader, outcome: Outcome, reason: str) -> EndedEvent:
        training, confusion = self._training, None
        if outcome in WITH_CONFUSION:
            with training.ledger.book("evaluate"):
                confusion = confusion_of(training)
        history = training.histories()[0]
        end = replace(
            history,
            recipe=reader.recipe,
            points=tuple(reader.points),
            outcome=outcome,
            reason=reason,
            snapshots=reader.snapshots,
        )
        with training.ledger.book("evaluate"):
            notes = result_notes(end, training.data, lambda: confusion)
        return EndedEvent(reader.number, replace(end, warnings=(*history.warnings, *notes)), confusion)

    def _saved(self) -> SavedEvent:
        """A checkpoint, with the weights at the best point so far of every open trial that keeps them."""
        snapshots = {t: weights for reader in self._readers for t, weights in reader.snapshots.items()}
        return SavedEvent(replace(self._training.histories()[0], snapshots=snapshots))

    def _weights(self) -> Weights:
        """The weights of the training now."""
        assert isinstance(self._training, Training)  # external programs keep no best weights
        with self._training.ledger.book("checkpoint"):
            return self._training.weights()


def confusion_of(training: Training | ExternalTraining) -> NDArray[np.int64] | None:
    """The confusion matrix (C, C) of the first trial on the test examples, true class by predicted class.

    None if an external program has saved no weights.
    """
    data = training.data
    outputs = training.outputs(data.x_test)
    if outputs is None:
        return None
    predicted, classes = outputs.argmax(-1), data.classes
    return np.bincount(data.y_test * classes + predicted, minlength=classes * classes).reshape(classes, classes)


# --- from a stored curve ---------------------------------------------------------------------------------------------


def covers(start: History, recipes: Sequence[Recipe], n: int) -> bool:
    """Whether a stored history has every log point of the recipes up to its own last iteration."""
    if not all(shareable(recipe) for recipe in recipes):
        return False
    measured = {point.iteration for point in start.points}
    return all(measured.issuperset(log_points_up_to(recipe, n, start.iterations)) for recipe in recipes)


def can_resume(start: History, recipes: Sequence[Recipe], n: int, *, save_best: Collection[int] = ()) -> bool:
    """Whether trials can resume from a stored history, with the result of a training from the beginning.

    It must cover the log points, no trial may end before its last iteration, and where the weights at the best point
    are kept it must have those of the best point so far.
    """
    if any(recipe.budget.seconds is not None for recipe in recipes):
        return _can_spend(start, recipes, save_best=save_best)
    if not covers(start, recipes, n):
        return False
    for number, recipe in enumerate(recipes):
        rules = StoppingRules(recipe, n)
        for point in own_points(recipe, start.points, n):
            ends = bool(rules.read(point)) or point.iteration == recipe.iterations(n)
            if ends and point.iteration < start.iterations:
                return False
        if number in save_best and (rules.best is None or weights_at(start, rules.best.iteration) is None):
            return False
    return True


def _can_spend(start: History, recipes: Sequence[Recipe], *, save_best: Collection[int]) -> bool:
    """Whether a trial with a budget in seconds can spend the rest of it, from a checkpoint of its own trajectory.

    Its seconds so far count. Without log points at seconds or a rule, its curve is that of one training.
    """
    (recipe,) = recipes  # nothing shares its trajectory
    limit = recipe.budget.seconds
    return limit is not None and start.recipe.budget.seconds == limit and start.ledger.train < limit and not save_best


def read_off(start: History, recipe: Recipe, n: int, test_counts: Sequence[int]) -> History | None:
    """Reads a trial's history, without weights, off a longer curve. None if the trial does not end within the curve.

    Args:
        start: A history of the trajectory that `covers` the recipe.
        recipe: The recipe of the trial.
        n: The number of training examples.
        test_counts: The number of test examples of each class.
    """
    reader = _Reader(0, recipe, n)
    for point in start.points:
        end = reader.read(point)
        if end is None:
            continue
        outcome, reason = end
        assert point.examples is not None  # a trained recipe has both
        assert point.seconds is not None
        t, network = point.iteration, recipe.model.network(start.shape or start.inputs, len(start.classes))
        flops = flops_training(network, recipe.loss, recipe.optimizer, iterations=t, examples=point.examples)
        notes = curve_notes(reader.recipe, n, point, test_counts=test_counts, names=start.classes)
        return replace(
            start,
            recipe=recipe,
            points=tuple(reader.points),
            outcome=outcome,
            reason=reason + "; read off the curve of a longer trial",
            ledger=Ledger(train=point.seconds, wall=point.seconds),
            load=Load(busy=True if start.load.busy else None),  # what was measured is of the longer training
            flops=flops,
            checkpoint=Checkpoint(t, {}, {}),
            warnings=tuple(notes),
            snapshots={},
        )
    return None
