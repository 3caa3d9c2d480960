"""The process that holds a lease, named so that it is never taken for a later one with its number."""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Holder:
    """A process, so that it is never taken for a later one with its number."""

    host: str
    boot: str
    pid: int
    started: str

    def gone(self) -> bool:
        """Whether the process is known to have ended; of another machine's it is not known."""
        if self.host != socket.gethostname():
            return False
        return self.boot != boot() or _started(self.pid) != self.started


def me() -> Holder:
    """This process."""
    return Holder(socket.gethostname(), boot(), os.getpid(), _started(os.getpid()) or "")


@cache
def boot() -> str:
    """What tells one start of this machine from the next."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{platform.node()} {int(psutil.boot_time()) // 10}"


def _started(pid: int) -> str | None:
    """When a process began, in the system's own terms, or None where there is none."""
    try:  # the ticks do not move when the clock is set, psutil's seconds do
        text = Path(f"/proc/{pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except OSError:
        pass
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return None
