"""The open jobs of a run, and the plans that can share one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Container, Hashable, Iterable, Iterator

from assay.execution.batches import form_of
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
    """The open jobs of a run: those that wait, grouped by form in the order in which workers get them, and those begun.

    Taking a job, closing it and putting it back cost the same however many jobs there are.

    `elsewhere`: trajectories that other processes train; they are skipped.
    """

    def __init__(self, trials: Iterable[Trial]) -> None:
        self._waiting: OrderedDict[Hashable, OrderedDict[str, Job]] = OrderedDict()
        self._begun: dict[str, Job] = {}
        self._forms: dict[str, Hashable] = {}
        self._seconds: Callable[[str], float] = _unknown
        self.elsewhere: set[str] = set()
        self.seconds = 0.0  # estimated, of the jobs that wait
        self.add(trials)

    def add(self, trials: Iterable[Trial]) -> None:
        """Adds trials; those of a trajectory that is in training wait until it is closed."""
        for job in jobs(trials):
            begun = self._begun.get(job.trajectory)
            if begun is not None:
                self._begun[job.trajectory] = _joined(begun, job)
            elif job.trajectory in self._forms:
                self.begin(job.trajectory)
                del self._forms[job.trajectory]
                self._add(_joined(self._begun.pop(job.trajectory), job))
            else:
                self._add(job)

    def __iter__(self) -> Iterator[Job]:
        yield from list(self._begun.values())
        for group in list(self._waiting.values()):
            yield from list(group.values())

    def __len__(self) -> int:
        return len(self._forms)

    def __contains__(self, trajectory: object) -> bool:
        return trajectory in self._forms

    def has_begun(self, trajectory: str) -> bool:
        """Whether the job of a trajectory was taken out of those that wait."""
        return trajectory in self._begun

    @property
    def longest(self) -> float:
        """The estimated seconds of the first job that waits; once sorted, it is the longest."""
        first = next(iter(self._waiting.values()), None)
        return self._seconds(next(iter(first))) if first else 0.0

    def estimated_by(self, seconds: Callable[[str], float], *, sort: bool) -> None:
        """Takes the estimated seconds of jobs. With `sort`, the longest come first, so that none is left to the end."""
        self._seconds = seconds
        if sort:
            ordered = sorted(
                (job for group in self._waiting.values() for job in group.values()), key=_negative(seconds)
            )
            self._waiting.clear()
            for job in ordered:
                self._add(job)
        self.seconds = sum(seconds(trajectory) for group in self._waiting.values() for trajectory in group)

    def free(self) -> Iterator[Job]:
        """The jobs that no process is known to train, those of a form one after the other. Change none meanwhile."""
        for group in self._waiting.values():
            for trajectory, job in group.items():
                if trajectory not in self.elsewhere:
                    yield job

    def waiting(self, form: Hashable) -> int:
        """The number of jobs of a form that wait."""
        return len(self._waiting.get(form, ()))

    def begin(self, trajectory: str) -> None:
        """Takes a job out of those that wait."""
        form = self._forms[trajectory]
        group = self._waiting[form]
        self._begun[trajectory] = group.pop(trajectory)
        self.seconds -= self._seconds(trajectory)
        if not group:
            del self._waiting[form]

    def close(self, trajectory: str, ended: Container[str]) -> None:
        """Removes the ended trials of a job. The job waits again, first of all, if trials are left."""
        job = self._begun.pop(trajectory, None)
        if job is None:
            if trajectory not in self._forms:
                return
            self.begin(trajectory)
            job = self._begun.pop(trajectory)
        del self._forms[trajectory]
        left = tuple(trial for trial in job.trials if trial.key not in ended)
        if left:
            form = self._add(Job(trajectory, left))
            self._waiting[form].move_to_end(trajectory, last=False)
            self._waiting.move_to_end(form, last=False)

    def _add(self, job: Job) -> Hashable:
        form = form_of(job) or job.trajectory
        self._forms[job.trajectory] = form
        self._waiting.setdefault(form, OrderedDict())[job.trajectory] = job
        self.seconds += self._seconds(job.trajectory)
        return form


def _joined(first: Job, second: Job) -> Job:
    (job,) = jobs((*first.trials, *second.trials))
    return job


def _unknown(trajectory: str) -> float:
    """The estimate of a job before there is one."""
    return 0.0


def _negative(seconds: Callable[[str], float]) -> Callable[[Job], float]:
    return lambda job: -seconds(job.trajectory)
