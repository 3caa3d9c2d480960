"""A job that a worker trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic

from assay.store.leases import Lease
from assay.studies.plan import Job, Trial
from assay.workers.eta import Estimates, Pace


@dataclass
class ActiveJob:
    """A job that a worker trains, and its progress as the worker last reported it."""

    lease: Lease
    job: Job
    open: dict[str, Trial]
    started: float = field(default_factory=monotonic)
    first_iteration: int | None = None  # of the first status: not 0 if the job resumes
    iteration: int = 0
    accuracy: float | None = None
    loss: float | None = None
    waiting: bool = False

    def update(self, iteration: int, *, accuracy: float | None, loss: float | None) -> None:
        """Takes the progress that the worker reports; it trains, so it no longer waits."""
        if self.waiting:  # the time limit does not include the wait
            self.waiting, self.started = False, monotonic()
        if self.first_iteration is None:
            self.first_iteration, self.started = iteration, monotonic()
        self.iteration, self.accuracy, self.loss = iteration, accuracy, loss

    def pace(self, estimates: Estimates) -> Pace:
        """The time that the job has taken, against its estimate."""
        end = max(self.job.iterations, 1)
        elapsed, begin = monotonic() - self.started, (self.first_iteration or 0) / end
        return estimates.pace(self.job.trajectory, elapsed, begin, self.iteration / end)
