"""Programs run and measured from outside: wall and processor seconds, peak memory, and what other processes used."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep

import psutil

_PERIOD_SECONDS = 0.05  # between two readings of the memory


@dataclass(frozen=True)
class Usage:
    """What a program took.

    Attributes:
        code: The exit status; None if it was killed at the time limit.
        output: Standard output.
        error: Standard error.
        seconds: From its start to its end.
        processor: Processor seconds of it and of the processes it waited for.
        peak_bytes: The maximum over time of the sum over its processes of their peak resident memory, read every 50 ms.
            Memory that processes share counts in each; None without /proc.
        foreign: The fraction of the machine's processor time that other processes used.
    """

    code: int | None
    output: str
    error: str
    seconds: float
    processor: float
    peak_bytes: int | None
    foreign: float

    @property
    def last_error(self) -> str:
        """The last line of standard error, or why there is none."""
        lines = self.error.strip().splitlines()
        return lines[-1] if lines else f"exit status {self.code}"


def run(words: Sequence[str], *, limit_seconds: float) -> Usage:
    """Runs a program to its end or its time limit, when it is killed with its process group."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as error:
        busy, begin = _busy_seconds(), perf_counter()
        process = subprocess.Popen(words, stdout=output, stderr=error, process_group=0)
        peak, killed = 0, False
        try:
            while True:
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    process.returncode = os.waitstatus_to_exitcode(status)
                    break
                peak = max(peak, sum(map(_peak_bytes, _tree(process.pid))))
                if not killed and perf_counter() - begin > limit_seconds:
                    killed = True
                    _kill(process)
                sleep(_PERIOD_SECONDS)
        finally:
            if process.returncode is None:  # Ctrl-C
                _kill(process)
        seconds = perf_counter() - begin
        processor = usage.ru_utime + usage.ru_stime
        foreign = max(0.0, _busy_seconds() - busy - processor) / (seconds * (os.cpu_count() or 1))
        texts: list[str] = []
        for file in (output, error):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return Usage(None if killed else process.returncode, *texts, seconds, processor, peak or None, min(1.0, foreign))


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _tree(pid: int) -> list[int]:
    """The numbers of a process and of all that it has started, as far as Linux tells."""
    numbers = [pid]
    for number in numbers:
        with suppress(OSError):
            for task in Path(f"/proc/{number}/task").iterdir():
                numbers += [int(child) for child in (task / "children").read_text().split()]
    return numbers


def _peak_bytes(pid: int) -> int:
    """The peak resident memory of a process; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _busy_seconds() -> float:
    """Processor seconds of all processes of the machine since it started."""
    idle = ("idle", "iowait", "guest", "guest_nice")  # time of guests is in user and nice too
    return sum(seconds for name, seconds in psutil.cpu_times()._asdict().items() if name not in idle)
