"""A batch that a worker trains: trajectories of one form, each with its lease and its open trials."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from time import monotonic
from typing import Any

from assay.store.leases import Lease
from assay.studies.plan import Job, Trial
from assay.training.history import History, Point
from assay.workers.eta import Estimates, Pace

_POINTS = 50  # of a curve that are kept while it is trained


@dataclass(frozen=True, eq=False)
class Held:
    """A leased job, and the history from which it starts (None: from the beginning)."""

    lease: Lease
    job: Job
    start: History | None = None


@dataclass
class ActiveBatch:
    """A batch that a worker trains, and its progress as the worker last reported it."""

    members: Sequence[Held]
    open: dict[str, tuple[Held, Trial]] = field(default_factory=dict[str, tuple[Held, Trial]])
    started: float = field(default_factory=monotonic)
    heard: float = field(default_factory=monotonic)  # when the worker sent its last message
    first_iteration: int | None = None  # of the first status: not 0 if the batch resumes
    iteration: int = 0
    expected: int = 0  # iterations in all, where the budget is in seconds
    accuracy: float | None = None
    loss: float | None = None
    waiting: bool = False
    points: deque[Point] = field(default_factory=lambda: deque[Point](maxlen=_POINTS))  # the latest

    def __post_init__(self) -> None:
        self.open = {trial.key: (held, trial) for held in self.members for trial in held.job.trials}

    @property
    def iterations(self) -> int:
        """The iterations of the longest trial; where its budget is in seconds, what its pace so far makes of them."""
        job = self.members[0].job
        return job.iterations if job.seconds is None else self.expected

    def update(
        self,
        iteration: int,
        *,
        expected: int,
        accuracy: float | None,
        loss: float | None,
        point: Sequence[Any] | None = None,
    ) -> None:
        """Takes the progress that the worker reports; it trains, so it no longer waits.

        `point`: the iteration, the examples and the seconds at which accuracy and loss were measured.
        """
        if point is not None and (not self.points or point[0] > self.points[-1].iteration):
            known = loss if loss is not None and isfinite(loss) else None  # a diverging one is about to end
            self.points.append(Point(*point, train_loss=known, test_accuracy=accuracy))
        if self.waiting:  # the time limit does not include the wait
            self.waiting, self.started = False, monotonic()
        if self.first_iteration is None:
            self.first_iteration, self.started = iteration, monotonic()
        self.iteration, self.accuracy, self.loss = iteration, accuracy, loss
        self.expected = expected

    def pace(self, estimates: Estimates) -> Pace:
        """The time that the batch has taken, against its estimate."""
        end = max(self.iterations, 1)
        elapsed, begin = monotonic() - self.started, (self.first_iteration or 0) / end
        tasks = [held.job.trajectory for held in self.members]
        return estimates.pace(tasks, elapsed, begin, self.iteration / end)

    def left(self) -> list[Held]:
        """The members with open trials, with these alone."""
        trials: dict[str, tuple[Held, list[Trial]]] = {}
        for held, trial in self.open.values():
            trials.setdefault(held.lease.trajectory, (held, []))[1].append(trial)
        return [Held(held.lease, Job(key, tuple(left)), held.start) for key, (held, left) in trials.items()]


def halves(members: Sequence[Held]) -> list[list[Held]]:
    """Members in two batches, to be tried again after the batch with all of them has failed.

    >>> halves([])
    []
    """
    middle = len(members) // 2
    return [list(half) for half in (members[:middle], members[middle:]) if half]
