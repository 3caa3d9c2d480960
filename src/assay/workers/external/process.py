"""A program in its own session, as Assay sees it: lines of its output, the tail of its errors, how it ended."""

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
_AT_ONCE = 2**16  # bytes read from a stream before the others get their turn
_GRACE_SECONDS = 2.0  # for the streams to close after the program has ended, and for the guard to end


@dataclass(frozen=True)
class End:
    """How a program ended: the code that it gave, negative for a signal, and the most memory that it held."""

    code: int
    peak_memory_bytes: int

    @property
    def text(self) -> str:
        """The same in words."""
        if self.code >= 0:
            return f"ended with code {self.code}"
        try:
            return f"was killed by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"was killed by signal {-self.code}"


class ProgramProcess:
    """A running program. It reads no faster than its lines are asked for, so a talkative one waits."""

    def __init__(self, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        """Starts the program under a guard (see `guard`), which ends it, and removes the folder, when this process
        lets go of it or dies."""
        ours, theirs = socket.socketpair()
        guard = str(Path(__file__).with_name("guard.py"))
        with theirs:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", guard, str(theirs.fileno()), str(folder), *words],
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
        self.trouble = ""  # why it could not be started, or was lost
        self._partial, self._told, self._errors = b"", b"", b""
        self._group: int | None = None
        self._ended_at: float | None = None
        assert self._guard.stdout is not None  # asked for above
        assert self._guard.stderr is not None
        self._selector = selectors.DefaultSelector()
        for place, stream in (("lines", self._guard.stdout), ("errors", self._guard.stderr), ("told", ours)):
            self._selector.register(stream, selectors.EVENT_READ, place)

    @property
    def done(self) -> bool:
        """Whether the program has ended and everything it said was read."""
        if self.end is None and not self.trouble:
            return False
        late = self._ended_at is not None and monotonic() - self._ended_at > _GRACE_SECONDS
        return late or all(key.data == "told" for key in self._selector.get_map().values())

    @property
    def last_words(self) -> str:
        """The end of what the program wrote on standard error."""
        text = self._errors.decode(errors="replace").strip()
        return text if len(self._errors) < TAIL else "... " + text[-TAIL // 2 :]

    def lines(self, timeout: float) -> list[bytes]:
        """The lines that have come meanwhile, without their ends; waits for something to happen. A line that is longer
        than LONGEST_LINE comes as far as it was read."""
        found: list[bytes] = []
        for key, _ in self._selector.select(timeout):
            try:
                content = os.read(key.fd, _AT_ONCE)
            except OSError:
                content = b""
            if not content:
                self._selector.unregister(key.fileobj)
            if key.data == "errors":
                self._errors = (self._errors + content)[-TAIL:]
            elif key.data == "told":
                self._hear(content)
            else:
                found += self._cut(content)
        return found

    def _cut(self, content: bytes) -> list[bytes]:
        *whole, self._partial = (self._partial + content).split(b"\n")
        if self._partial and (not content or len(self._partial) > LONGEST_LINE):
            whole, self._partial = [*whole, self._partial], b""
        return whole

    def _hear(self, content: bytes) -> None:
        """What the guard tells: the program's process group, then how it ended."""
        self._told += content
        *whole, self._told = self._told.split(b"\n")
        for line in whole:
            said: dict[str, Any] = json.loads(line)
            self._group = said.get("group", self._group)
            if "error" in said:
                self.trouble = f"cannot be started: {said['error']}"
            if "code" in said:
                self.end = End(said["code"], said["peak"])
        if not content and self.end is None and not self.trouble:
            self.trouble = "was lost: the process that kept it was killed"
        if (self.end or self.trouble) and self._ended_at is None:
            self._ended_at = monotonic()

    def kill(self) -> None:
        """Ends the program and all that it has started, and lets go of it."""
        self._lifeline.close()  # the guard takes that as the sign
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
