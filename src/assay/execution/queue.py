"""The open jobs of a run."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator

from assay.studies.plan import Job, Trial, jobs


class Queue:
    """The jobs that are open, by trajectory, in the order in which they are given out.

    `elsewhere`: trajectories that other processes train; they are passed over.
    """

    def __init__(self, trials: Iterable[Trial]) -> None:
        self._jobs = {job.trajectory: job for job in jobs(trials)}
        self.elsewhere: set[str] = set()

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def __len__(self) -> int:
        return len(self._jobs)

    def longest_first(self, seconds: Callable[[str], float]) -> None:
        """Orders the jobs by what is foreseen for them, so that no worker waits for a long one at the end."""
        self._jobs = dict(sorted(self._jobs.items(), key=lambda item: -seconds(item[0])))

    def free(self, in_work: Container[str]) -> Iterator[Job]:
        """The jobs that nobody is known to train; read while none is closed."""
        for trajectory, job in self._jobs.items():
            if trajectory not in in_work and trajectory not in self.elsewhere:
                yield job

    def close(self, trajectory: str, ended: Container[str]) -> None:
        """Leaves of a job what has not ended yet; a job without an open trial goes."""
        job = self._jobs.get(trajectory)
        if job is None:
            return
        left = tuple(trial for trial in job.trials if trial.key not in ended)
        if left:
            self._jobs[trajectory] = Job(trajectory, left)
        else:
            del self._jobs[trajectory]
