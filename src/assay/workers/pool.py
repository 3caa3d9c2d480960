"""Worker processes on this machine: starts them, pins them to cores, receives their messages, replaces them."""

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
    """A worker process, as its driver sees it."""

    process: subprocess.Popen[bytes]
    connection: Connection
    machine: dict[str, Any] = field(default_factory=dict[str, Any])

    def send(self, kind: str, *, content: bytes = b"", **values: Any) -> None:
        """Sends a message; does nothing if the worker is gone."""
        with suppress(OSError):
            send(self.connection, kind, content=content, **values)

    def kill(self) -> None:
        """Kills the process."""
        self.process.kill()
        self.process.wait()
        self.connection.close()

    def exit_reason(self) -> str:
        """A sentence: how the process ended."""
        code = self.process.wait()
        if code < 0:
            return f"the worker was killed by {signal.Signals(-code).name}"
        return f"the worker ended with code {code}"


class Workers:
    """A fixed number of workers; one that is gone is replaced when it is needed again."""

    def __init__(
        self,
        count: int,
        *,
        cores: Sequence[Sequence[int]] = (),
        memory_limit: int | None = None,
        module: str = "assay.workers.worker",
    ) -> None:
        """
        Args:
            count: The number of workers.
            cores: The cores that each worker is pinned to; empty to pin none.
            memory_limit: Maximum number of bytes of each worker; None for no limit.
            module: The module that they run.
        """
        self._cores, self._memory_limit, self._module = cores, memory_limit, module
        self.processes: list[Process | None] = [None] * count

    def start(self, number: int) -> Process:
        """The worker of a number, started if needed."""
        worker = self.processes[number]
        if worker is None:
            cores = list(self._cores[number]) if self._cores else []
            worker = self.processes[number] = _start(cores, self._memory_limit, self._module)
        return worker

    def drop(self, number: int) -> str:
        """Removes a worker that is gone. Returns how it ended, in a sentence."""
        worker = self.processes[number]
        assert worker is not None  # it had a job
        self.processes[number] = None
        worker.process.kill()  # the connection may have ended before the process
        worker.connection.close()
        return worker.exit_reason()

    def kill(self, number: int) -> None:
        """Kills a worker, if it runs."""
        worker = self.processes[number]
        if worker is not None:
            worker.kill()
            self.processes[number] = None

    def messages(self, timeout: float) -> list[tuple[int, dict[str, Any] | None, bytes]]:
        """The messages of workers, each with the worker's number; None in place of a header if the worker is gone."""
        alive = {p.connection: number for number, p in enumerate(self.processes) if p is not None}
        if not alive:
            return []
        messages: list[tuple[int, dict[str, Any] | None, bytes]] = []
        for connection in wait(list(alive), timeout):
            number = alive[connection]  # pyright: ignore[reportArgumentType]
            try:
                head, content = receive(connection)  # pyright: ignore[reportArgumentType]
            except (EOFError, OSError):
                messages.append((number, None, b""))
                continue
            process = self.processes[number]
            if head["kind"] == "ready" and process is not None:
                process.machine = head["machine"]
            messages.append((number, head, content))
        return messages

    def train(self, number: int, content: bytes, **job: Any) -> None:
        """Gives a worker a job."""
        # if the worker is gone, reading its messages will show it
        self.start(number).send("train", content=content, **job)

    def broadcast(self, kind: str) -> None:
        """Sends a message to every worker."""
        for process in self.processes:
            if process is not None:
                process.send(kind)

    def kill_all(self) -> None:
        """Kills every worker."""
        for number in range(len(self.processes)):
            self.kill(number)


def import_path() -> list[str]:
    """The folders where this process finds modules, for workers to find the same ones."""
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
