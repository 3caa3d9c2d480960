"""The remaining time of tasks: estimates, corrected by the measured times of finished tasks."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

_TRUST_SECONDS = 5.0  # of work, after which the measured pace outweighs the estimate


def remaining(seconds: Collection[float], workers: int = 1) -> float:
    """Seconds until workers have done tasks that take `seconds` each; at least the longest of these."""
    return max(sum(seconds) / max(workers, 1), max(seconds, default=0.0))


@dataclass(frozen=True)
class Pace:
    """A running task: seconds since it began, the seconds estimated for that part, and those estimated for the rest."""

    elapsed: float
    estimated: float
    left: float


class Estimates:
    """Estimated seconds of tasks, corrected by the pace of all finished tasks, or of the task itself."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self._seconds = seconds
        self._elapsed = self._estimated = 0.0  # of finished tasks

    def of(self, task: str) -> float:
        """The estimated seconds of a task; 0 if there is no estimate."""
        return self._seconds.get(task, 0.0)

    def pace(self, tasks: Collection[str], elapsed: float, begin: float, now: float) -> Pace:
        """The pace of tasks done together, started at the fraction `begin` and now at the fraction `now`."""
        estimate = sum(map(self.of, tasks))
        return Pace(elapsed, estimate * (now - begin), estimate * (1 - now))

    def done(self, pace: Pace) -> None:
        """Counts a finished task."""
        self._elapsed += pace.elapsed
        self._estimated += pace.estimated

    def remaining(self, waiting: float, longest: float, running: Collection[Pace], workers: int) -> float:
        """Seconds until all tasks are done.

        Args:
            waiting: The estimated seconds of all tasks that do not run yet.
            longest: The estimated seconds of the longest of them.
            running: The pace of those that run.
            workers: The number of workers.
        """
        elapsed = self._elapsed + sum(pace.elapsed for pace in running) + _TRUST_SECONDS
        estimated = self._estimated + sum(pace.estimated for pace in running) + _TRUST_SECONDS
        general = elapsed / estimated
        seconds: list[float] = []
        for pace in running:
            trusted = pace.elapsed > _TRUST_SECONDS and pace.estimated > 0
            seconds.append(pace.left * (pace.elapsed / pace.estimated if trusted else general))
        return max((sum(seconds) + general * waiting) / workers, *seconds, general * longest, 0.0)


class RepeatedSteps:
    """The remaining time of steps that repeat, without prior estimates: each is expected to take its mean time so far.

    A step is a kind and a number. A step that has not been timed yet is expected to take the mean of its kind.
    """

    def __init__(self) -> None:
        self._times: dict[tuple[str, int], list[float]] = defaultdict(list)
        self._times_by_kind: dict[str, list[float]] = defaultdict(list)

    def done(self, step: tuple[str, int], seconds: float) -> None:
        """Counts a finished step."""
        self._times[step].append(seconds)
        self._times_by_kind[step[0]].append(seconds)

    def remaining(self, counts: Mapping[tuple[str, int], int]) -> float | None:
        """Seconds until each step was done `counts` times, one after the other; None if a step cannot be estimated."""
        seconds: list[float] = []
        for step, count in counts.items():
            times = self._times.get(step) or self._times_by_kind.get(step[0])
            if count and not times:
                return None
            seconds.append(count * statistics.mean(times) if count and times else 0.0)
        return sum(seconds)
