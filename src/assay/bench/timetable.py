"""The steps of a bench: how many are left, and how long they will take."""

from __future__ import annotations

from dataclasses import dataclass

from assay.workers.eta import Repeated


@dataclass(frozen=True)
class BenchStatus:
    """Where a running bench stands: what it does now, its steps, and the seconds left where they are known."""

    doing: str
    done: int
    steps: int
    eta_seconds: float | None


class Timetable:
    """For each row a certificate, a start in each repeat, and the epochs of all repeats."""

    def __init__(self, rows: int, *, repeats: int, epochs: int) -> None:
        counts = {"certify": 1, "begin": repeats, "epoch": repeats * epochs}
        self._left = {(kind, row): count for kind, count in counts.items() for row in range(rows)}
        self._steps = sum(self._left.values())
        self._times = Repeated()

    def done(self, kind: str, row: int, seconds: float) -> None:
        """Counts a step that has ended."""
        self._left[kind, row] -= 1
        self._times.done((kind, row), seconds)

    def drop(self, row: int) -> None:
        """Takes a row that has ended out of what is left."""
        for step, count in self._left.items():
            if step[1] == row:
                self._steps -= count
                self._left[step] = 0

    def status(self, doing: str) -> BenchStatus:
        """Where the bench stands."""
        done = self._steps - sum(self._left.values())
        return BenchStatus(doing, done, self._steps, self._times.remaining(self._left))
