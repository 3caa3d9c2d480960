"""The open jobs of a run, and the plans that can share one."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator

from assay.studies.plan import Job, Plan, Trial, jobs


def pools(plans: Iterable[Plan]) -> list[list[Plan]]:
    """Groups plans whose trials can share workers: those of equal timing, device, threads and limits."""
    groups: dict[tuple[object, ...], list[Plan]] = {}
    for plan in plans:
        settings = plan.study.settings
        key = (settings.timing, settings.device, settings.threads, settings.memory_limit, settings.time_limit)
        groups.setdefault(key, []).append(plan)
    return list(groups.values())


class Queue:
    """The open jobs, by trajectory, in the order in which workers get them.

    `elsewhere`: trajectories that other processes train; they are skipped.
    """

    def __init__(self, trials: Iterable[Trial]) -> None:
        self._jobs = {job.trajectory: job for job in jobs(trials)}
        self.elsewhere: set[str] = set()

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def __len__(self) -> int:
        return len(self._jobs)

    def longest_first(self, seconds: Callable[[str], float]) -> None:
        """Sorts the jobs by their estimated seconds, so that no long job is left to one worker at the end."""
        self._jobs = dict(sorted(self._jobs.items(), key=lambda item: -seconds(item[0])))

    def free(self, running: Container[str]) -> Iterator[Job]:
        """The jobs that no process is known to train. Do not close a job while iterating."""
        for trajectory, job in self._jobs.items():
            if trajectory not in running and trajectory not in self.elsewhere:
                yield job

    def close(self, trajectory: str, ended: Container[str]) -> None:
        """Removes the ended trials of a job, and the job if none is left."""
        job = self._jobs.get(trajectory)
        if job is None:
            return
        left = tuple(trial for trial in job.trials if trial.key not in ended)
        if left:
            self._jobs[trajectory] = Job(trajectory, left)
        else:
            del self._jobs[trajectory]
