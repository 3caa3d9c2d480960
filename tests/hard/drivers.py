"""Drivers of `assay run` in a process group of their own: started as a user does, or forked from this warmed process.

A forked driver runs the command itself, and its workers are forked as well. Only the imports are saved, which are most
of the time of a short study, so that many more kills meet a driver at work.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

WORDS = ["run", "study.toml", "--store", "store.db", "--yes"]


class Driver(Protocol):
    """A running command."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...


class Forked:
    """A forked process with the methods of `subprocess.Popen` that drivers and their pools use."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                action()
                code = 0
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        end = time.monotonic() + (timeout if timeout is not None else 1e9)
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("forked process", timeout or 0.0)
            time.sleep(0.002)
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def cold(folder: Path) -> Driver:
    """A driver as a user starts it; its errors are written to the file `errors`."""
    with (folder / "errors").open("wb") as errors:
        command = [sys.executable, "-m", "assay", *WORDS]
        return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)


def warm(folder: Path, before: Callable[[], None] | None = None) -> Driver:
    """A driver forked from this process; `before` is called in it first."""
    _import_everything()

    def command() -> None:
        import assay.cli
        from assay.workers import pool

        os.setsid()
        os.chdir(folder)
        _redirect(folder / "errors")
        pool._start = _forked_worker
        sys.argv = ["assay", *WORDS]
        if before is not None:
            before()
        assay.cli.main()

    return Forked(command)


def _import_everything() -> None:
    import assay.cli.run
    import assay.engines.numpy_engine
    import assay.execution.runner
    import assay.workers.worker  # noqa: F401


def _redirect(errors: Path) -> None:
    """Sends standard output nowhere, and standard error to a file."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 2)


def _forked_worker(cores: Sequence[int], memory_limit: int | None, module: str, environment: Mapping[str, str]) -> Any:
    """Replaces `assay.workers.pool._start`: the same worker, forked."""
    import socket

    from assay.workers import worker
    from assay.workers.pool import Process
    from assay.workers.tail import Tail

    ours, theirs = socket.socketpair()
    errors, written = os.pipe()

    def serve() -> None:
        os.environ.update(environment)
        os.dup2(written, 2)
        number = theirs.fileno()
        os.closerange(3, number)
        os.closerange(number + 1, 4096)
        worker.main([str(number), str(memory_limit or 0)])

    process = Forked(serve)
    theirs.close()
    os.close(written)
    if cores:
        os.sched_setaffinity(process.pid, cores)
    return Process(process, Connection(ours.detach()), Tail(errors))  # type: ignore[arg-type]
