"""The lock of this machine: exclusive for isolated trials, shared by packed ones."""

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
_REPORT_SECONDS = 1.0  # of waiting, after which `on_wait` is called


def _path() -> Path:
    """One file for the machine; $ASSAY_TURN names another one, for containers and for tests."""
    return Path(os.environ.get("ASSAY_TURN") or Path(tempfile.gettempdir()) / "assay-isolated.lock")


def _open() -> int:
    """The lock file, opened. Raises: FileError."""
    path, flags = _path(), os.O_RDONLY | os.O_NOFOLLOW
    try:
        try:
            return os.open(path, flags)  # without O_CREAT, which the system refuses for another user's file in /tmp
        except FileNotFoundError:
            return os.open(path, flags | os.O_CREAT, 0o666)
    except OSError as error:
        raise FileError(f"{path}: the machine's lock cannot be opened: {error.strerror or error}") from None


@contextmanager
def machine_lock(
    timing: str, *, cancelled: Callable[[], bool] = lambda: False, on_wait: Callable[[], None] = lambda: None
) -> Generator[float]:
    """Holds the machine's lock inside; yields the seconds waited for it.

    The operating system releases the lock when the process ends, however it ends.

    Args:
        timing: "isolated" for the lock alone, "packed" to share it.
        cancelled: asked while waiting; once true, the body runs without the lock.
        on_wait: called once if waiting takes longer than a second.

    Raises: FileError.
    """
    begin, reported = time.perf_counter(), False
    kind = fcntl.LOCK_EX if timing == "isolated" else fcntl.LOCK_SH
    handle = _open()
    try:
        while not cancelled():
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_POLL_SECONDS)
            if not reported and time.perf_counter() - begin > _REPORT_SECONDS:
                reported = True
                on_wait()
        yield time.perf_counter() - begin
    finally:
        os.close(handle)
