"""Whose turn it is on this machine: an isolated trial is alone, packed ones share it with one another."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from assay.errors import FileError

_POLL_SECONDS = 0.02
_LONG_SECONDS = 1.0  # of waiting, before it is told


def _file() -> Path:
    """One file for the machine; $ASSAY_TURN names another one, for machines in a machine and for tests."""
    return Path(os.environ.get("ASSAY_TURN") or Path(tempfile.gettempdir()) / "assay-isolated.lock")


def _opened() -> int:
    """The file, opened. Raises: FileError."""
    path, flags = _file(), os.O_RDONLY | os.O_NOFOLLOW
    try:
        try:
            return os.open(path, flags)  # without O_CREAT: of another user's file in /tmp the system refuses that
        except FileNotFoundError:
            return os.open(path, flags | os.O_CREAT, 0o666)
    except OSError as error:
        raise FileError(f"{path}: cannot be opened to take turns on this machine: {error.strerror or error}") from None


@contextmanager
def machine_lock(
    timing: str, *, cancelled: Callable[[], bool] = lambda: False, on_wait: Callable[[], None] = lambda: None
) -> Generator[float]:
    """Waits until nothing runs that would disturb the clock, and yields the seconds waited.

    The lock is of the system: it goes with the process, however that ends. `cancelled` ends the waiting without it;
    `on_wait` is called once where it takes longer than a second. Raises: FileError.
    """
    begin, told = time.perf_counter(), False
    kind = fcntl.LOCK_EX if timing == "isolated" else fcntl.LOCK_SH
    handle = _opened()
    try:
        while not cancelled():
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_POLL_SECONDS)
            if not told and time.perf_counter() - begin > _LONG_SECONDS:
                told = True
                on_wait()
        yield time.perf_counter() - begin
    finally:
        os.close(handle)
