"""Worker processes on this machine: starts them, pins them to cores, receives their messages, replaces them."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from assay.report.text import clean_lines
from assay.system.import_path import own_environment, own_process
from assay.workers.messages import receive, send
from assay.workers.tail import Tail

_log = logging.getLogger("assay.workers")


@dataclass
class Process:
    """A worker process, as its driver sees it."""

    process: subprocess.Popen[bytes]
    connection: Connection
    errors: Tail
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
        self.errors.close()

    def exit_reason(self) -> str:
        """A sentence: how the process ended."""
        return exit_sentence(self.process.wait())


class Workers:
    """A fixed number of workers; one that is gone is replaced when it is needed again."""

    def __init__(
        self,
        count: int,
        *,
        cores: Sequence[Sequence[int]] = (),
        memory_limit: int | None = None,
        module: str = "assay.workers.worker",
        environments: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """
        Args:
            count: The number of workers.
            cores: The cores that each worker is pinned to; empty to pin none.
            memory_limit: Maximum number of bytes of each worker; None for no limit.
            module: The module that they run.
            environments: Environment variables of each worker, in addition to those of this process; empty for none.
        """
        self._cores, self._memory_limit, self._module = cores, memory_limit, module
        self._environments = environments
        self._errors: dict[int, str] = {}  # what workers that are gone wrote last
        self.processes: list[Process | None] = [None] * count

    @property
    def count(self) -> int:
        """The number of workers."""
        return len(self.processes)

    def available(self) -> list[int]:
        """The numbers of the workers that can be given a job, whether or not they have one."""
        return list(range(self.count))

    def machine(self, number: int) -> dict[str, Any]:
        """The description of a worker's machine, which it sends when it has started; empty before."""
        process = self.processes[number]
        return process.machine if process else {}

    def notes(self, number: int) -> tuple[str, ...]:
        """What is stored with the results of a worker about where it runs: nothing for a process of the driver."""
        return ()

    def start(self, number: int) -> Process:
        """The worker of a number, started if needed."""
        worker = self.processes[number]
        if worker is None:
            cores = list(self._cores[number]) if self._cores else []
            added = self._environments[number] if self._environments else {}
            worker = self.processes[number] = _start(cores, self._memory_limit, self._module, added)
        return worker

    def drop(self, number: int) -> str:
        """Removes a worker that is gone. Returns how it ended, in a sentence."""
        worker = self.processes[number]
        assert worker is not None  # it had a job
        self.processes[number] = None
        worker.process.kill()  # the connection may have ended before the process
        worker.connection.close()
        reason = worker.exit_reason()
        self._read_errors(number, worker)
        self._errors[number] = worker.errors.text()
        worker.errors.close()
        return reason

    def errors(self, number: int) -> str:
        """The last 64 KB that a worker has written to standard error since its job began, also if it is gone now."""
        worker = self.processes[number]
        return self._errors.get(number, "") if worker is None else worker.errors.text()

    def _read_errors(self, number: int, worker: Process) -> None:
        """Reads what a worker has written to standard error; `--verbose` shows it at once."""
        text = worker.errors.read().decode(errors="replace").strip()
        if text:
            _log.info("worker %d, standard error: %s", number, clean_lines(text))

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
        writing = [p.errors.fileno() for p in self.processes if p is not None and p.errors.is_open]
        ready = wait([*alive, *writing], timeout)
        for number, process in enumerate(self.processes):
            if process is not None:
                self._read_errors(number, process)
        messages: list[tuple[int, dict[str, Any] | None, bytes]] = []
        for connection in ready:
            if isinstance(connection, int):  # standard error, which has been read
                continue
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
        self.request(number, "train", content, **job)

    def request(self, number: int, kind: str, content: bytes = b"", **values: Any) -> None:
        """Sends a worker a message of a kind; what it has written to standard error until now is forgotten."""
        # if the worker is gone, reading its messages will show it
        worker = self.start(number)
        worker.errors.begin()
        worker.send(kind, content=content, **values)

    def broadcast(self, kind: str) -> None:
        """Sends a message to every worker."""
        for process in self.processes:
            if process is not None:
                process.send(kind)

    def kill_all(self) -> None:
        """Kills every worker."""
        for number in range(len(self.processes)):
            self.kill(number)


def exit_sentence(code: int) -> str:
    """How a worker ended, by the exit code of its process.

    >>> exit_sentence(-9), exit_sentence(1)
    ('the worker was killed by SIGKILL', 'the worker ended with code 1')
    """
    if code < 0:
        return f"the worker was killed by {signal.Signals(-code).name}"
    return f"the worker ended with code {code}"


def import_path() -> list[str]:
    """The folders where this process finds modules, for workers to find the same ones."""
    return [folder or str(Path.cwd()) for folder in sys.path]


def _start(cores: list[int], memory_limit: int | None, module: str, added: Mapping[str, str]) -> Process:
    ours, theirs = socket.socketpair()
    environment = own_environment() | dict(added)
    if cores:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = str(len(cores))
    command = own_process(module, str(theirs.fileno()), str(memory_limit or 0))
    read_end, write_end = os.pipe()
    errors = Tail(read_end)
    try:
        with theirs:
            process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=write_end,
            )
    finally:
        os.close(write_end)
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, cores)
    return Process(process, Connection(ours.detach()), errors)
