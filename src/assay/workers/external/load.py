"""The foreign load of a program, from samples of its process tree: run delay, and time in which it was stopped.

Its processor seconds are not told apart: between its log points a program trains and evaluates.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import perf_counter

from assay.system.load import FOREIGN_LOAD_IS_KNOWN, WAKE_SECONDS, Load, core_count, schedstat

_STOPPED = "Tt"  # by a signal, or by a debugger


class ProgramLoad:
    """Counts from the first sample on; each later sample adds what has passed since the one before."""

    def __init__(self) -> None:
        self.seconds = self.foreign = 0.0
        self._at: float | None = None
        self._threads: dict[str, tuple[float, float, int]] = {}

    def sample(self, process: int | None) -> None:
        """Reads the counters of a process and its descendants; None before the program runs."""
        if process is None or not FOREIGN_LOAD_IS_KNOWN:
            return
        before, threads, stopped = self._threads, dict[str, tuple[float, float, int]](), False
        for number in _tree(process):
            stopped = stopped or _is_stopped(number)
            for thread in _names(f"/proc/{number}/task"):
                with suppress(OSError, ValueError):
                    threads[thread] = schedstat(f"/proc/{number}/task/{thread}/schedstat")
        now = perf_counter()
        if self._at is not None and threads:
            elapsed, processor, delay = now - self._at, 0.0, 0.0
            for thread, (ran, waited, slices) in threads.items():
                ran_before, waited_before, slices_before = before.get(thread, (0.0, 0.0, 0))
                processor += ran - ran_before
                delay += max(0.0, waited - waited_before - WAKE_SECONDS * (slices - slices_before))
            delay = max(0.0, min(delay, core_count() * elapsed - processor))
            self.seconds += elapsed
            self.foreign += elapsed if stopped else delay
        if threads:
            self._at, self._threads = now, threads

    def load(self, train: float) -> Load:
        """The load of a training of so many seconds by the program's clock, its part of the time that was sampled."""
        if not self.seconds:
            return Load()
        return Load.judged(processor=None, foreign=self.foreign * min(1.0, train / self.seconds), seconds=train)


def _tree(process: int) -> Iterator[int]:
    """A process and its descendants."""
    yield process
    for thread in _names(f"/proc/{process}/task"):
        with suppress(OSError):
            for child in Path(f"/proc/{process}/task/{thread}/children").read_text().split():
                yield from _tree(int(child))


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - many times faster than pathlib
    except OSError:
        return []


def _is_stopped(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in _STOPPED
    except (OSError, IndexError):
        return False
