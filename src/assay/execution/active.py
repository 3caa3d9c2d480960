"""A job that a worker trains."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from time import monotonic
from typing import Any

from assay.store.leases import Lease
from assay.studies.plan import Job, Trial
from assay.training.history import Point
from assay.workers.eta import Estimates, Pace

_POINTS = 50  # of a curve that are kept while it is trained


@dataclass
class ActiveJob:
    """A job that a worker trains, and its progress as the worker last reported it."""

    lease: Lease
    job: Job
    open: dict[str, Trial]
    started: float = field(default_factory=monotonic)
    first_iteration: int | None = None  # of the first status: not 0 if the job resumes
    iteration: int = 0
    expected: int = 0  # iterations in all, where the budget is in seconds
    accuracy: float | None = None
    loss: float | None = None
    waiting: bool = False
    points: deque[Point] = field(default_factory=lambda: deque[Point](maxlen=_POINTS))  # the latest

    @property
    def iterations(self) -> int:
        """The iterations of the job; where its budget is in seconds, what its pace so far makes of them."""
        return self.job.iterations if self.job.seconds is None else self.expected

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
        """The time that the job has taken, against its estimate."""
        end = max(self.iterations, 1)
        elapsed, begin = monotonic() - self.started, (self.first_iteration or 0) / end
        return estimates.pace(self.job.trajectory, elapsed, begin, self.iteration / end)
