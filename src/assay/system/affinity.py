"""Where the threads of this process run."""

from __future__ import annotations

import os
from collections.abc import Collection, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

_THREADS = Path("/proc/self/task")


@contextmanager
def on_cores(cores: Collection[int]) -> Generator[None]:
    """Runs the block with every thread of this process on these cores, also those that it starts.

    Where the system cannot do so, or there are no cores, the threads stay where they are.

    Args:
        cores: The numbers of the cores.
    """
    if not cores or not hasattr(os, "sched_setaffinity") or not _THREADS.is_dir():
        yield
        return
    before = {thread: cores_of for thread in _threads() if (cores_of := _cores_of(thread)) is not None}
    own = os.sched_getaffinity(0)
    _move({thread: set(cores) for thread in before})
    try:
        yield
    finally:
        _move({thread: before.get(thread, own) for thread in _threads()})


def _threads() -> list[int]:
    return [int(path.name) for path in _THREADS.iterdir()]


def _cores_of(thread: int) -> set[int] | None:
    try:
        return os.sched_getaffinity(thread)
    except OSError:  # it has ended
        return None


def _move(places: dict[int, set[int]]) -> None:
    for thread, cores in places.items():
        with suppress(OSError):  # it has ended, or may not run there
            os.sched_setaffinity(thread, cores)
