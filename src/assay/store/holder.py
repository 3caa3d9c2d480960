"""The process that holds a lease, identified so that no later process with the same id is mistaken for it."""

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
    """The identity of a process: its host, the boot of the host with the namespace of its id, its id and its start."""

    host: str
    boot: str
    pid: int
    started: str

    def gone(self) -> bool:
        """Whether this process can see that the other has ended.

        It cannot for processes of another machine, boot or container: equal host names prove nothing, and a process id
        means something only in its own namespace.
        """
        return self.boot == boot() and _sees_processes() and _started(self.pid) != self.started


def me() -> Holder:
    """This process."""
    return Holder(socket.gethostname(), boot(), os.getpid(), _started(os.getpid()) or "")


@cache
def boot() -> str:
    """An id of the current boot of this machine, and of the namespace in which process ids count."""
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{platform.node()} {int(psutil.boot_time()) // 10}"
    try:
        return f"{boot_id} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return boot_id


def _sees_processes() -> bool:
    """Whether /proc, where there is one, shows the processes of this process's own namespace."""
    try:
        return str(Path("/proc/self").readlink()) == str(os.getpid())
    except OSError:
        return not Path("/proc").is_dir() or platform.system() != "Linux"


def _started(pid: int) -> str | None:
    """When a process was started, in a form of the operating system; None if there is no such process."""
    try:  # setting the clock changes psutil's seconds, but not these ticks
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
