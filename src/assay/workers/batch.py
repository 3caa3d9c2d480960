"""Trains several trials at once: those of one trajectory in one training, trajectories of one form as a cohort.

Trials of one trajectory differ only in budget, log points and stopping rules; they are read off one curve.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from time import perf_counter
from typing import Any

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
    """A trial has ended; `number` is its index in the recipes of its member."""

    number: int
    history: History
    confusion: NDArray[np.int64] | None
    member: int = 0


@dataclass(frozen=True, eq=False)
class SavedEvent:
    """A checkpoint of the training of a member, to resume from."""

    history: History
    member: int = 0


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
        time_limit: Seconds after which open trials time out; None for no limit. In a cohort, a member's part counts.
        cancelled: Called between chunks. If it returns True, the training ends, after a checkpoint if it can resume.
    """

    data_seconds: float = 0.0
    data_processor: float = 0.0
    waited: float = 0.0
    time_limit: float | None = None
    cancelled: Callable[[], bool] = lambda: False


@dataclass(frozen=True, eq=False)
class Member:
    """A trajectory of a cohort.

    Attributes:
        recipes: The recipes of its trials, the shortest budget first.
        start: A history of the trajectory from which they `can_resume`.
        save_best: The indices of the recipes whose weights at the best validation point are kept as well.
    """

    recipes: Sequence[Recipe]
    start: History | None = None
    save_best: Collection[int] = ()


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
    yield from train_cohort([Member(recipes, start, save_best)], engine, data, limits=limits)


def train_cohort(
    members: Sequence[Member], engine: Engine | Program, data: Prepared, *, limits: Limits | None = None
) -> Iterator[Event]:
    """Trains several trajectories as one cohort, and yields the end of each trial as soon as it is reached.

    Args:
        members: The trajectories. Of several, each has as many trials as the first, of the same static form and the
            same log points, and none or each of them has a start at the same iteration.
        engine: What trains them.
        data: The prepared data.
        limits: The limits of the training.
    """
    yield from _Batch(members, engine, data, limits=limits or Limits()).events()


@dataclass(eq=False)
class _Trajectory:
    """A member in training, with the readers of its open trials."""

    number: int
    readers: list[_Reader]
    last_read: int = -1  # iteration of the last point that they read
    ended_at_start: list[_End] = field(default_factory=list["_End"])


@dataclass(frozen=True, eq=False)
class _End:
    """The end of a trial."""

    trajectory: _Trajectory
    reader: _Reader
    outcome: Outcome
    reason: str


class _Batch:
    """One training, and the trials that are read off its curves."""

    def __init__(self, members: Sequence[Member], engine: Engine | Program, data: Prepared, *, limits: Limits) -> None:
        self._limits, n = limits, len(data.y_train)
        self._share, self._looked = 0.0, perf_counter()  # a member's part of the seconds, and until when
        self._trajectories = [
            _Trajectory(
                number, [_Reader(i, r, n, saves_best=i in member.save_best) for i, r in enumerate(member.recipes)]
            )
            for number, member in enumerate(members)
        ]
        self._open = list(self._trajectories)
        readers = self._trajectories[0].readers
        longest = [trajectory.readers[-1].recipe for trajectory in self._trajectories]
        self._log_points: list[int] | None = None
        if shareable(longest[0]):
            longest = [recipe.model_copy(update={"stop": Stop()}) for recipe in longest]
            self._log_points = sorted({t for reader in readers for t in log_points(reader.recipe, reader.n)})
        starts = [
            replace(member.start, recipe=member.start.recipe.model_copy(update={"data": longest[0].data}))
            for member in members
            if member.start is not None
        ]
        self._training: Training | ExternalTraining = _training(
            longest, engine, data, start=starts, data_seconds=limits.data_seconds, log_points=self._log_points
        )
        for entry, seconds, processor in (
            ("data", 0.0, limits.data_processor),  # its seconds are booked
            ("wait", limits.waited, 0.0),
            ("wall", limits.waited, limits.data_processor),
        ):
            self._training.ledger.add(entry, seconds, processor)
        for trajectory, start in zip(self._trajectories, starts, strict=False):
            self._replay(trajectory, start)

    def _replay(self, trajectory: _Trajectory, start: History) -> None:
        """Passes the points of a start to the readers, and notes those that end at its last iteration."""
        for reader in trajectory.readers:
            for point in start.points:
                end = reader.read(point)
                if end and self._log_points is not None and point.iteration == start.iterations:
                    trajectory.ended_at_start.append(_End(trajectory, reader, *end))
            if reader.saves_best and reader.rules.best is not None:
                reader.best_weights = weights_at(start, reader.rules.best.iteration)
        trajectory.last_read = start.points[-1].iteration

    def events(self) -> Iterator[Event]:
        """Trains until the last trial has ended, or the training is cancelled or times out."""
        training, limit, saved = self._training, self._limits.time_limit, perf_counter()
        timed_out = (Outcome.TIMED_OUT, f"timed out after {limit or 0:g} s")
        yield from self._ended([end for trajectory in self._open for end in trajectory.ended_at_start])
        for status in training:
            yield ProgressEvent(status)
            yield from self._ended(self._read(status))
            if not self._open:
                return
            if self._limits.cancelled():
                if training.can_resume:
                    yield from self._saved()
                return
            if limit is not None and self._seconds() > limit:
                yield from self._ended(self._all(lambda _: timed_out))
                return
            if training.can_resume and perf_counter() - saved > CHECKPOINT_SECONDS:
                yield from self._saved()
                saved = perf_counter()
        # ended by the training itself: diverged, or by a stopping rule on seconds
        final = training.histories_of([trajectory.number for trajectory in self._open])
        if self._log_points is None:
            for reader in self._open[0].readers:
                reader.points = list(final[0].points)
        yield from self._ended(self._all(lambda number: (final[number].outcome, final[number].reason)))

    def _seconds(self) -> float:
        """The seconds that each open member has taken: the time so far, divided among those that were open."""
        now = perf_counter()
        self._share += (now - self._looked) / len(self._open)
        self._looked = now
        return self._share

    def _all(self, how: Callable[[int], tuple[Outcome, str]]) -> list[_End]:
        """The end of every open trial; `how` maps the number of its member to its outcome and the reason."""
        return [_End(open_, reader, *how(open_.number)) for open_ in self._open for reader in open_.readers]

    def _read(self, status: TrainingStatus) -> list[_End]:
        """Passes a new point to the open trials; returns those that end there, and those that have diverged.

        A training that depends on wall time ends by itself, and may add a last point after its chunk.
        """
        training, shared = self._training, self._log_points is not None
        ends: list[_End] = []
        best: list[tuple[int, _Reader]] = []  # trials that have their lowest loss here and keep the weights
        for trajectory in self._open:
            point = status.point
            if len(self._trajectories) > 1:
                assert isinstance(training, Training)  # an external program trains alone
                trial = training.trials[trajectory.number]
                if trial.outcome is Outcome.DIVERGED:
                    ends += [_End(trajectory, reader, trial.outcome, trial.reason) for reader in trajectory.readers]
                    continue
                point = trial.points[-1]
            if point.iteration <= trajectory.last_read or (shared and not status.new_point):
                continue
            trajectory.last_read = point.iteration
            for reader in trajectory.readers:
                end = reader.read(point)
                if reader.saves_best and reader.owns(point) and reader.rules.is_best:
                    best.append((trajectory.number, reader))
                if end and shared:
                    ends.append(_End(trajectory, reader, *end))
        self._keep(best)
        return ends

    def _keep(self, best: Sequence[tuple[int, _Reader]]) -> None:
        """Keeps the weights as they are now for trials that have their lowest loss here."""
        if not best:
            return
        assert isinstance(self._training, Training)  # external programs keep no best weights
        with self._training.book("checkpoint"):
            weights = self._training.weights_of({number for number, _ in best})
        for number, reader in best:
            reader.best_weights = weights[number]

    def _ended(self, ends: Sequence[_End]) -> Iterator[EndedEvent]:
        """The events of trials that end now; members without an open trial leave the training."""
        if not ends:
            return
        training, data = self._training, self._training.data
        numbers = list(dict.fromkeys(end.trajectory.number for end in ends))
        done = [end.trajectory.number for end in ends if end.outcome in WITH_CONFUSION]
        with training.book("evaluate"):
            confusions = confusions_of(training, list(dict.fromkeys(done)))
        histories = training.histories_of(numbers)
        for number, group in groupby(ends, lambda end: end.trajectory.number):
            for end in group:
                yield self._event(end, histories[number], confusions.get(number), data)
        for end in ends:
            end.trajectory.readers.remove(end.reader)
        left = [trajectory.number for trajectory in self._open if not trajectory.readers]
        self._seconds()
        self._open = [trajectory for trajectory in self._open if trajectory.readers]
        if left and self._open:
            assert isinstance(training, Training)  # an external program trains alone
            training.leave(left)

    def _event(self, end: _End, history: History, confusion: NDArray[np.int64] | None, data: Prepared) -> EndedEvent:
        reader = end.reader
        history = replace(
            history,
            recipe=reader.recipe,
            points=tuple(reader.points),
            outcome=end.outcome,
            reason=end.reason,
            snapshots=reader.snapshots,
        )
        confusion = confusion if end.outcome in WITH_CONFUSION else None
        with self._training.book("evaluate"):
            notes = result_notes(history, data, lambda: confusion)
        history = replace(history, warnings=(*history.warnings, *notes))
        return EndedEvent(reader.number, history, confusion, end.trajectory.number)

    def _saved(self) -> Iterator[SavedEvent]:
        """A checkpoint of each member, with the weights at the best point so far of its open trials that keep them."""
        histories = self._training.histories_of([trajectory.number for trajectory in self._open])
        for trajectory in self._open:
            snapshots = {t: weights for reader in trajectory.readers for t, weights in reader.snapshots.items()}
            yield SavedEvent(replace(histories[trajectory.number], snapshots=snapshots), trajectory.number)


def _training(recipes: Sequence[Recipe], engine: Engine | Program, data: Prepared, **options: Any) -> Any:
    """The training of one recipe by an engine or an external program, or of a cohort by an engine."""
    if len(recipes) > 1:
        assert not isinstance(engine, Program)  # it trains alone
        return Training(recipes, engine, data, **options)
    return make_training(recipes[0], engine, data, **options)


def confusion_of(training: Training | ExternalTraining) -> NDArray[np.int64] | None:
    """The confusion matrix (C, C) of the first trial on the test examples, true class by predicted class.

    None if an external program has saved no weights.
    """
    return confusions_of(training, [0]).get(0)


def confusions_of(training: Training | ExternalTraining, numbers: Collection[int]) -> dict[int, NDArray[np.int64]]:
    """The confusion matrices (C, C) of some trials, by their numbers; none of a program that has saved no weights."""
    if not numbers:
        return {}
    data, classes = training.data, training.data.classes
    if data.targets is not None:  # a regression has no classes
        return {}
    confusions: dict[int, NDArray[np.int64]] = {}
    for number, outputs in training.outputs_of(numbers, data.x_test).items():
        pairs = data.y_test * classes + outputs.argmax(-1)
        confusions[number] = np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
    return confusions


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
