"""A job in the hands of a worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic

from assay.store.leases import Lease
from assay.studies.plan import Job, Trial
from assay.workers.eta import Foreseen, Pace


@dataclass
class ActiveJob:
    """A job that a worker has."""

    lease: Lease
    job: Job
    open: dict[str, Trial]
    since: float = field(default_factory=monotonic)
    began: int | None = None  # the iteration of its first status
    iteration: int = 0
    accuracy: float | None = None
    loss: float | None = None
    waiting: bool = False

    def pace(self, foreseen: Foreseen) -> Pace:
        """Where the job stands."""
        end = max(self.job.iterations, 1)
        elapsed, begin = monotonic() - self.since, (self.began or 0) / end
        return foreseen.pace(self.job.trajectory, elapsed, begin, self.iteration / end)
