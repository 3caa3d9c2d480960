"""The process of an external program: the lines of its output, the tail of its errors, how it ended."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

LONGEST_LINE = 2**16  # bytes
TAIL = 2**13  # bytes of standard error that are kept
_AT_ONCE = 2**16  # bytes read from a stream before the next one is read
_GRACE_SECONDS = 2.0  # for the streams to close after the program has ended, and for the guard to end


@dataclass(frozen=True)
class End:
    """How a program ended: its exit code, negative for a signal, and its peak memory."""

    code: int
    peak_memory_bytes: int

    @property
    def text(self) -> str:
        """How the program ended, as the end of a sentence."""
        if self.code >= 0:
            return f"ended with code {self.code}"
        try:
            return f"was killed by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"was killed by signal {-self.code}"


class ProgramProcess:
    """A running program. Its output is read only when `lines` is called, so a program that prints too much waits."""

    def __init__(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        """Starts the program under a guard (see `guard`), which kills it and removes the folder when this process
        closes it or dies."""
        ours, theirs = socket.socketpair()
        guard = str(Path(__file__).with_name("guard.py"))
        with theirs:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", guard, str(theirs.fileno()), str(folder), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=dict(environment),
                bufsize=0,
            )
        self._lifeline = ours
        self.end: End | None = None
        self.failure = ""  # why it could not be started, or was lost
        self._partial, self._partial_report, self._errors = b"", b"", b""
        self._group: int | None = None
        self._ended_at: float | None = None
        assert self._guard.stdout is not None  # asked for above
        assert self._guard.stderr is not None
        self._selector = selectors.DefaultSelector()
        for name, stream in (("lines", self._guard.stdout), ("errors", self._guard.stderr), ("reports", ours)):
            self._selector.register(stream, selectors.EVENT_READ, name)

    @property
    def done(self) -> bool:
        """Whether the program has ended and all of its output was read."""
        if self.end is None and not self.failure:
            return False
        late = self._ended_at is not None and monotonic() - self._ended_at > _GRACE_SECONDS
        return late or all(key.data == "reports" for key in self._selector.get_map().values())

    @property
    def group(self) -> int | None:
        """The number of the program's process, also of its group; None before it runs."""
        return self._group

    @property
    def last_errors(self) -> str:
        """The end of what the program wrote on standard error."""
        text = self._errors.decode(errors="replace").strip()
        return text if len(self._errors) < TAIL else "... " + text[-TAIL // 2 :]

    def lines(self, timeout: float) -> list[bytes]:
        """The new lines of the output, without line breaks. It waits for output until the timeout.

        A line that is longer than LONGEST_LINE is cut where it was read.
        """
        lines: list[bytes] = []
        for key, _ in self._selector.select(timeout):
            try:
                content = os.read(key.fd, _AT_ONCE)
            except OSError:
                content = b""
            if not content:
                self._selector.unregister(key.fileobj)
            if key.data == "errors":
                self._errors = (self._errors + content)[-TAIL:]
            elif key.data == "reports":
                self._read_reports(content)
            else:
                lines += self._split(content)
        return lines

    def _split(self, content: bytes) -> list[bytes]:
        *complete, self._partial = (self._partial + content).split(b"\n")
        if self._partial and (not content or len(self._partial) > LONGEST_LINE):
            complete, self._partial = [*complete, self._partial], b""
        return complete

    def _read_reports(self, content: bytes) -> None:
        """Reads the guard's reports: the program's process group, then how it ended."""
        *complete, self._partial_report = (self._partial_report + content).split(b"\n")
        for line in complete:
            report: dict[str, Any] = json.loads(line)
            self._group = report.get("group", self._group)
            if "error" in report:
                self.failure = f"cannot be started: {report['error']}"
            if "code" in report:
                self.end = End(report["code"], report["peak"])
        if not content and self.end is None and not self.failure:
            self.failure = "was lost: its guard process was killed"
        if (self.end or self.failure) and self._ended_at is None:
            self._ended_at = monotonic()

    def kill(self) -> None:
        """Kills the program with all its descendants, and closes it."""
        self._lifeline.close()  # the guard ends when it sees that
        with suppress(subprocess.TimeoutExpired):
            self._guard.wait(_GRACE_SECONDS * 4)
        if self._guard.returncode != 0 and self._group is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, signal.SIGKILL)
        self._guard.kill()
        self._guard.wait()
        self._selector.close()
        for stream in (self._guard.stdout, self._guard.stderr):
            if stream is not None:
                stream.close()
