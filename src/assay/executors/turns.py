"""Whose turn it is on this machine: an isolated trial is alone, packed ones share it with one another."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.02


def _file() -> Path:
    """One file for the machine; $ASSAY_TURN names another one, for machines in a machine and for tests."""
    return Path(os.environ.get("ASSAY_TURN") or Path(tempfile.gettempdir()) / "assay-isolated.lock")


@contextmanager
def turn(timing: str, given_up: Callable[[], bool] = lambda: False) -> Generator[float]:
    """Waits until nothing runs that would disturb the clock, and yields the seconds waited.

    The lock is of the system: it goes with the process, however that ends. `given_up` ends the waiting without it.
    """
    begin = time.perf_counter()
    kind = fcntl.LOCK_EX if timing == "isolated" else fcntl.LOCK_SH
    handle = os.open(_file(), os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        while not given_up():
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_POLL_SECONDS)
        yield time.perf_counter() - begin
    finally:
        os.close(handle)
