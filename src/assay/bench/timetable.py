"""The steps of a bench: how many are left, and the estimated time left."""

from __future__ import annotations

from dataclasses import dataclass

from assay.workers.eta import RepeatedSteps


@dataclass(frozen=True)
class BenchStatus:
    """The progress of a running bench: its current step, the number of steps, and the estimated seconds left."""

    step: str
    done: int
    steps: int
    eta_seconds: float | None


class Timetable:
    """The steps of each row: one certificate, one start in each repeat, and the epochs of all repeats."""

    def __init__(self, rows: int, *, repeats: int, epochs: int) -> None:
        counts = {"certify": 1, "begin": repeats, "epoch": repeats * epochs}
        self._left = {(kind, row): count for kind, count in counts.items() for row in range(rows)}
        self._steps = sum(self._left.values())
        self._times = RepeatedSteps()

    def done(self, kind: str, row: int, seconds: float) -> None:
        """Counts a finished step."""
        self._left[kind, row] -= 1
        self._times.done((kind, row), seconds)

    def drop(self, row: int) -> None:
        """Drops the remaining steps of a row that has ended."""
        for step, count in self._left.items():
            if step[1] == row:
                self._steps -= count
                self._left[step] = 0

    def status(self, step: str) -> BenchStatus:
        """The progress of the bench."""
        done = self._steps - sum(self._left.values())
        return BenchStatus(step, done, self._steps, self._times.remaining(self._left))
