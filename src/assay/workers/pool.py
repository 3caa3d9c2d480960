"""Worker processes on this machine: started, pinned to cores, listened to, replaced."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from assay.system.import_path import own_environment, own_process
from assay.workers.messages import receive, send


@dataclass
class Process:
    """One worker process, as its driver sees it."""

    process: subprocess.Popen[bytes]
    connection: Connection
    machine: dict[str, Any] = field(default_factory=dict[str, Any])

    def send(self, kind: str, *, content: bytes = b"", **values: Any) -> None:
        """Sends a message; nothing happens where the worker is gone."""
        with suppress(OSError):
            send(self.connection, kind, content=content, **values)

    def kill(self) -> None:
        """Ends the process at once."""
        self.process.kill()
        self.process.wait()
        self.connection.close()

    def ended(self) -> str:
        """How the process ended, in words."""
        code = self.process.wait()
        if code < 0:
            return f"its worker was killed by {signal.Signals(-code).name}"
        return f"its worker ended with code {code}"


class Workers:
    """A fixed number of workers; one that vanished is replaced when it is asked for."""

    def __init__(
        self,
        count: int,
        *,
        cores: Sequence[Sequence[int]] = (),
        memory_limit: int | None = None,
        module: str = "assay.workers.worker",
    ) -> None:
        """`cores`: for each worker those it is pinned to, or nothing; `memory_limit`: bytes of each; `module`: the
        program that they run."""
        self._cores, self._memory_limit, self._module = cores, memory_limit, module
        self.processes: list[Process | None] = [None] * count

    def start(self, number: int) -> Process:
        """The worker of a number, started if need be."""
        found = self.processes[number]
        if found is None:
            mine = list(self._cores[number]) if self._cores else []
            found = self.processes[number] = _start(mine, self._memory_limit, self._module)
        return found

    def drop(self, number: int) -> str:
        """Forgets a worker, ending it if it has not ended, and says how it ended."""
        found = self.processes[number]
        assert found is not None  # it had a job
        self.processes[number] = None
        found.process.kill()  # the connection may have ended before the process
        found.connection.close()
        return found.ended()

    def forget(self, number: int) -> None:
        """Ends a worker at once, if there is one."""
        found = self.processes[number]
        if found is not None:
            found.kill()
            self.processes[number] = None

    def messages(self, timeout: float) -> list[tuple[int, dict[str, Any] | None, bytes]]:
        """What workers have said, by number; None in place of a message where one is gone."""
        alive = {p.connection: number for number, p in enumerate(self.processes) if p is not None}
        if not alive:
            return []
        found: list[tuple[int, dict[str, Any] | None, bytes]] = []
        for connection in wait(list(alive), timeout):
            number = alive[connection]  # pyright: ignore[reportArgumentType]
            try:
                head, content = receive(connection)  # pyright: ignore[reportArgumentType]
            except (EOFError, OSError):
                found.append((number, None, b""))
                continue
            process = self.processes[number]
            if head["kind"] == "ready" and process is not None:
                process.machine = head["machine"]
            found.append((number, head, content))
        return found

    def train(self, number: int, content: bytes, **job: Any) -> None:
        """Gives a worker a job."""
        # a worker that is gone is noticed when its messages are read
        self.start(number).send("train", content=content, **job)

    def tell(self, kind: str) -> None:
        """Sends a message to every worker."""
        for process in self.processes:
            if process is not None:
                process.send(kind)

    def kill_all(self) -> None:
        """Ends every worker at once."""
        for number in range(len(self.processes)):
            self.forget(number)


def import_path() -> list[str]:
    """Where this process finds modules, for a worker that is to find the same."""
    return [folder or str(Path.cwd()) for folder in sys.path]


def _start(cores: list[int], memory_limit: int | None, module: str) -> Process:
    ours, theirs = socket.socketpair()
    environment = own_environment()
    if cores:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = str(len(cores))
    command = own_process(module, str(theirs.fileno()), str(memory_limit or 0))
    with theirs:
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, cores)
    return Process(process, Connection(ours.detach()))
