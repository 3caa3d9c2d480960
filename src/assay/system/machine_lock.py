"""The lock of this machine: exclusive for isolated trials, shared by packed ones."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

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


@dataclass(frozen=True)
class LockHolder:
    """A process that holds the machine's lock: its id, its study or what else it does, since when, and its timing."""

    pid: int
    work: str
    since: float
    timing: str

    def sentence(self) -> str:
        """Who it is, in words."""
        begun = time.strftime("%H:%M:%S", time.localtime(self.since))
        return f"{self.work} (process {self.pid}, {self.timing}, since {begun})"


def holders() -> list[LockHolder]:
    """The processes that hold the machine's lock, the longest first; what cannot be read is left out.

    Each process that takes the lock writes a file next to it. A file of a process that has ended, or whose id another
    process has now, tells nothing.
    """
    present: list[LockHolder] = []
    for path in _path().parent.glob(f"{_path().name}.*"):
        with suppress(OSError, ValueError, KeyError, TypeError, psutil.Error):
            if path.is_symlink() or path.stat().st_size > _NOTE_BYTES:
                continue
            raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            holder = LockHolder(int(raw["pid"]), str(raw["work"])[:200], float(raw["since"]), str(raw["timing"])[:20])
            if path.name.endswith(f".{holder.pid}") and psutil.Process(holder.pid).create_time() <= holder.since + 1:
                present.append(holder)
    return sorted(present, key=lambda holder: holder.since)


def waiting_sentence(*, of_study: bool = False) -> str:
    """Why an isolated trial waits: who holds the machine's lock, and for a study that packed timing would not wait."""
    names = [holder.sentence() for holder in holders() if holder.pid != os.getpid()]
    who = f"; held by {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return (
        "waiting for another trial on this machine to finish, so that timings are not disturbed"
        f"{who if names else ''}{_NO_WAIT if of_study else ''}"
    )


_NO_WAIT = "; with --timing packed a study does not wait for other packed ones"
_NOTE_BYTES = 4096


def _write_note(work: str, timing: str) -> Path | None:
    """Says next to the lock that this process holds it; None where no file can be written, which harms nothing."""
    path = Path(f"{_path()}.{os.getpid()}")
    content = {"pid": os.getpid(), "work": work, "since": time.time(), "timing": timing}
    with suppress(OSError):
        path.unlink(missing_ok=True)  # of an earlier process with this id
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "w") as file:
            json.dump(content, file)
        return path
    return None


@contextmanager
def machine_lock(
    timing: str,
    *,
    work: str = "a training",
    cancelled: Callable[[], bool] = lambda: False,
    on_wait: Callable[[], None] = lambda: None,
) -> Generator[float]:
    """Holds the machine's lock inside; yields the seconds waited for it.

    The operating system releases the lock when the process ends, however it ends.

    Args:
        timing: "isolated" for the lock alone, "packed" to share it.
        work: what is done with it, which others that wait are told: a study by its name.
        cancelled: asked while waiting; once true, the body runs without the lock.
        on_wait: called once if waiting takes longer than a second.

    Raises: FileError.
    """
    begin, reported = time.perf_counter(), False
    kind = fcntl.LOCK_EX if timing == "isolated" else fcntl.LOCK_SH
    handle, note = _open(), None
    try:
        while not cancelled():
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
                note = _write_note(work, timing)
                break
            except BlockingIOError:
                time.sleep(_POLL_SECONDS)
            if not reported and time.perf_counter() - begin > _REPORT_SECONDS:
                reported = True
                on_wait()
        yield time.perf_counter() - begin
    finally:
        if note is not None:
            with suppress(OSError):
                note.unlink()
        os.close(handle)
