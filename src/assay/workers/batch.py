"""Trains several trials at once that differ only in budget, log points and stopping rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from assay.data.prepare import Prepared
from assay.engines.base import Checkpoint, Engine
from assay.engines.program import Program
from assay.parts.models import flops_training
from assay.recipe.model import Recipe
from assay.recipe.settings import Stop
from assay.system.load import Load
from assay.training.history import History, Ledger, Outcome, Point
from assay.training.log_points import log_points, next_log_point, shareable
from assay.training.loop import Training, TrainingStatus
from assay.training.stopping import stopped
from assay.workers.external.training import ExternalTraining, make_training

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


@dataclass
class _Reader:
    """Reads one trial off the curve of the whole training."""

    number: int
    recipe: Recipe
    n: int
    points: list[Point] = field(default_factory=list[Point])

    @property
    def budget(self) -> int:
        return self.recipe.iterations(self.n)

    def owns(self, t: int) -> bool:
        """Whether the trial's own curve has a point at iteration t."""
        if t in (0, self.budget):
            return True
        return t < self.budget and t == next_log_point(self.recipe, self.n, t - 1)

    def read(self, point: Point) -> tuple[Outcome, str] | None:
        """Takes a point of the curve. Returns the outcome and its reason if the trial ends there."""
        if not self.owns(point.iteration):
            return None
        self.points.append(point)
        reason = stopped(self.recipe.stop, self.points)
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
) -> Iterator[Event]:
    """Trains several trials in one training, and yields the end of each as soon as it is reached.

    Args:
        recipes: The recipes of the trials, the shortest budget first.
        engine: What trains them.
        data: The prepared data.
        start: A history of the trajectory that `covers` the recipes, to resume from.
        limits: The limits of the training.
    """
    limits = limits or Limits()
    yield from _Batch(recipes, engine, data, start=start, limits=limits).events()


class _Batch:
    """One training, and the trials that are read off its curve."""

    def __init__(
        self,
        recipes: Sequence[Recipe],
        engine: Engine | Program,
        data: Prepared,
        *,
        start: History | None,
        limits: Limits,
    ) -> None:
        self._begin, self._limits = perf_counter(), limits
        n, longest = len(data.y_train), recipes[-1]
        self._readers = [_Reader(number, recipe, n) for number, recipe in enumerate(recipes)]
        self._log_points: list[int] | None = None
        if shareable(longest):
            longest = longest.model_copy(update={"stop": Stop()})
            self._log_points = sorted({t for recipe in recipes for t in log_points(recipe, n)})
        if start is not None:
            start = replace(start, recipe=start.recipe.model_copy(update={"data": longest.data}))
            for reader in self._readers:
                reader.points = [point for point in start.points if reader.owns(point.iteration)]
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
        self._last_read = start.points[-1].iteration if start is not None else -1

    def events(self) -> Iterator[Event]:
        """Trains until the last trial has ended, or the training is cancelled or times out."""
        training, limit, saved = self._training, self._limits.time_limit, perf_counter()
        for status in training:
            yield ProgressEvent(status)
            yield from self._read(status)
            if not self._readers:
                return
            if self._limits.cancelled():
                if training.can_resume:
                    yield SavedEvent(training.histories()[0])
                return
            if limit is not None and perf_counter() - self._begin > limit:
                for reader in self._readers:
                    yield self._ended(reader, Outcome.TIMED_OUT, f"timed out after {limit:g} s")
                return
            if training.can_resume and perf_counter() - saved > CHECKPOINT_SECONDS:
                yield SavedEvent(training.histories()[0])
                saved = perf_counter()
        final = training.histories()[0]
        for reader in self._readers:  # ended by the training itself: diverged, or by a stopping rule on seconds
            if self._log_points is None:
                reader.points = list(final.points)
            yield self._ended(reader, final.outcome, final.reason)

    def _read(self, status: TrainingStatus) -> Iterator[Event]:
        """Passes a new point to the open trials; yields those that end there."""
        if self._log_points is None or not status.new_point or status.point.iteration <= self._last_read:
            return
        self._last_read = status.point.iteration
        for reader in list(self._readers):
            end = reader.read(status.point)
            if end:
                self._readers.remove(reader)
                yield self._ended(reader, *end)

    def _ended(self, reader: _Reader, outcome: Outcome, reason: str) -> EndedEvent:
        training, confusion = self._training, None
        if outcome in (Outcome.COMPLETED, Outcome.STOPPED):
            with training.ledger.book("evaluate"):
                confusion = confusion_of(training)
        history = training.histories()[0]
        end = replace(history, recipe=reader.recipe, points=tuple(reader.points), outcome=outcome, reason=reason)
        return EndedEvent(reader.number, end, confusion)


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
    return all(t in measured for recipe in recipes for t in log_points(recipe, n) if t <= start.iterations)


def read_off(start: History, recipe: Recipe, n: int, classes: int) -> History | None:
    """Reads a trial's history, without weights, off a longer curve. None if the trial does not end within the curve."""
    reader = _Reader(0, recipe, n)
    for point in start.points:
        end = reader.read(point)
        if end is None:
            continue
        outcome, reason = end
        assert point.examples is not None  # a trained recipe has both
        assert point.seconds is not None
        t, network = point.iteration, recipe.model.network(start.shape or start.inputs, classes)
        flops = flops_training(network, recipe.loss, recipe.optimizer, iterations=t, examples=point.examples)
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
        )
    return None
