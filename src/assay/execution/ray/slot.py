"""What runs inside Ray: an actor with one worker process, and a task that asks a node about itself.

Ray sends this module's code to its nodes by value, so that it also runs on a node with another Assay, or without one.
It therefore imports nothing but the standard library. Messages of workers are passed on as the bytes that they are.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

MESSAGE, ERRORS, END = b"m", b"e", b"x"
"""The first byte of what `receive` returns: a message of the worker, what it wrote to standard error, and its end."""
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where Ray keeps its objects; nothing is written there
_ERRORS_BYTES = 64 * 1024
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Slot:
    """Runs one worker process, which is that of the local executor, and passes on its messages.

    Args:
        module: The module that the worker runs.
        memory_limit: The worker's limit in bytes; 0 for none.
        cores: How many cores the worker is pinned to; 0 to pin none.
        environment: Variables that are set for the worker.
        status_seconds: The least time between two messages that only say how far a training is.
    """

    def __init__(
        self, module: str, memory_limit: int, cores: int, *, environment: dict[str, str], status_seconds: float
    ) -> None:
        self._module, self._memory_limit, self._width = module, memory_limit, cores
        self._environment, self._status_seconds = environment, status_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._changed = threading.Condition()
        self._frames: deque[bytes] = deque()
        self._status: bytes | None = None  # the latest, which replaces earlier ones
        self._told = 0.0  # when the last one was passed on
        self._locks: list[int] = []  # of the cores, held until this process ends
        self._data: dict[str, int] = {}  # files of data sets, held in the same way
        self._cores = _free_cores(cores, self._locks) if cores else []

    def start(self) -> bytes:
        """Starts the worker. Returns JSON: its process, its cores, and the threads that it was told to use."""
        ours, theirs = socket.socketpair()
        environment = {name: value for name, value in os.environ.items() if name not in _THREADS}
        if self._width:
            environment |= dict.fromkeys(_THREADS, str(self._width))
        environment |= self._environment
        command = [sys.executable, "-P", "-m", self._module, str(theirs.fileno()), str(self._memory_limit)]
        with theirs:
            process = self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        if self._cores:
            os.sched_setaffinity(process.pid, self._cores)
        connection = self._connection = Connection(ours.detach())
        with self._changed:
            self._frames.clear()
            self._status = None
        threading.Thread(target=self._read, args=(process, connection), daemon=True).start()
        about = {"pid": process.pid, "cores": self._cores, "threads": environment.get(_THREADS[0])}
        return json.dumps(about).encode()

    def _read(self, process: subprocess.Popen[bytes], connection: Connection) -> None:
        """Collects the messages of a worker until it ends."""
        assert process.stderr is not None
        os.set_blocking(process.stderr.fileno(), False)
        with suppress(EOFError, OSError):
            while True:
                frame = connection.recv_bytes()
                header = json.loads(frame[8 : 8 + int.from_bytes(frame[:8], "little")])
                errors = _written(process.stderr.fileno())
                with self._changed:
                    self._frames.extend(errors)
                    if header["kind"] == "status":
                        self._status = MESSAGE + frame
                    else:
                        self._frames.append(MESSAGE + frame)
                    self._changed.notify_all()
        process.kill()  # its connection may have ended before it
        code = process.wait()
        with self._changed:
            self._frames.extend(_written(process.stderr.fileno()))
            self._frames.append(END + json.dumps({"code": code}).encode())
            self._changed.notify_all()
        process.stderr.close()

    def receive(self, seconds: float) -> list[bytes]:
        """What the worker has sent since the last call; waits for it so many seconds at most."""
        until = time.monotonic() + seconds
        with self._changed:
            while not self._frames and (left := until - time.monotonic()) > 0:
                pause = self._told + self._status_seconds - time.monotonic()
                if self._status is not None and pause <= 0:
                    break
                self._changed.wait(left if self._status is None else min(left, pause))
            frames = list(self._frames)
            self._frames.clear()
            if self._status is not None and (frames or time.monotonic() - self._told >= self._status_seconds):
                # a status that was sent before a result says nothing new, and would be taken for one of the next job
                if not any(frame[:1] == MESSAGE for frame in frames):
                    frames.append(self._status)
                self._status, self._told = None, time.monotonic()
            return frames

    def send(self, frames: list[bytes]) -> None:
        """Passes messages to the worker; does nothing if it is gone, which `receive` says."""
        with suppress(OSError):
            for frame in frames:
                if self._connection is not None:
                    self._connection.send_bytes(frame)

    def file_of(self, digest: str, content: bytes | None) -> str:
        """The file of a data set on this node, which all slots of the node share; "" if it must be sent first.

        Args:
            digest: The SHA-256 of its content.
            content: The content; None to ask for the file alone.

        Raises: OSError where it cannot be written, ValueError where the content is another one.
        """
        path = _private_folder() / f"{digest}.npz"
        if digest in self._data:
            return str(path)
        if _held(path, self._data, digest):
            return str(path)
        if content is None:
            return ""
        if hashlib.sha256(content).hexdigest() != digest:
            raise ValueError("its content changed on the way")
        draft = path.with_name(f"{digest}.{os.getpid()}")
        try:
            draft.write_bytes(content)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        return str(path) if _held(path, self._data, digest) else self.file_of(digest, content)

    def end(self) -> None:
        """Kills the worker, and removes the files of data sets that no other slot uses."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        for digest, handle in self._data.items():
            os.close(handle)
            path = _private_folder() / f"{digest}.npz"
            with suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        self._data.clear()


def ask_node(module: str, question: str, seconds: float, environment: dict[str, str]) -> bytes:
    """What a node is, as JSON: its Python and Ray, its machine, and what a module of Assay's there answers.

    Args:
        module: The module, which is given the question as its argument and prints its answer.
        question: JSON.
        seconds: How long to wait for it.
        environment: Variables that are set for it.
    """
    import ray

    about: dict[str, Any] = {
        "python": platform.python_version(),
        "ray": ray.__version__,
        "host": socket.gethostname(),
        "machine": _text("/proc/sys/kernel/random/boot_id") or socket.gethostname(),
        "shared_memory": shutil.disk_usage(SHARED_MEMORY).total if Path(SHARED_MEMORY).is_dir() else None,
    }
    command = [sys.executable, "-P", "-m", module, question]
    environment = {**os.environ, **environment}
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=seconds, env=environment, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        about |= {"code": None, "answer": "", "errors": ""}
    else:
        errors = done.stderr.decode(errors="replace")[-_ERRORS_BYTES:]
        about |= {"code": done.returncode, "answer": done.stdout.decode(errors="replace"), "errors": errors}
    return json.dumps(about).encode()


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _written(descriptor: int) -> list[bytes]:
    """What was written into a pipe since the last call, as one frame; none if that is nothing."""
    new = bytearray()
    with suppress(BlockingIOError, OSError):
        while content := os.read(descriptor, _ERRORS_BYTES):
            new += content
            del new[:-_ERRORS_BYTES]
    return [ERRORS + bytes(new)] if new else []


def _private_folder() -> Path:
    """The folder of this user's data sets on this node. Raises: PermissionError if it is another user's."""
    folder = Path(tempfile.gettempdir()) / f"assay-data-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    return folder


def _held(path: Path, handles: dict[str, int], digest: str) -> bool:
    """Whether a file is there, which is then held open with a shared lock, so that no other slot removes it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    fcntl.flock(handle, fcntl.LOCK_SH)
    try:
        present = path.stat().st_ino == os.fstat(handle).st_ino  # it may have been removed before the lock
    except FileNotFoundError:
        present = False
    if present:
        with os.fdopen(os.dup(handle), "rb") as file:
            present = hashlib.file_digest(file, "sha256").hexdigest() == digest
        if not present:
            path.unlink(missing_ok=True)
    if not present:
        os.close(handle)
        return False
    handles[digest] = handle
    return True


def _free_cores(count: int, locks: list[int]) -> list[int]:
    """So many cores that no other slot of this machine has taken; none if there are too few. Adds to `locks`."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    taken: list[int] = []
    handles: list[int] = []
    for core in sorted(os.sched_getaffinity(0)):
        if len(taken) == count:
            break
        with suppress(OSError):
            handle = _opened(Path(tempfile.gettempdir()) / f"assay-core-{core}.lock")
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(handle)
                continue
            taken.append(core)
            handles.append(handle)
    if len(taken) < count:
        for handle in handles:
            os.close(handle)
        return []
    locks.extend(handles)
    return taken


def _opened(path: Path) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW
    try:
        return os.open(path, flags)  # without O_CREAT, which the system refuses for another user's file in /tmp
    except FileNotFoundError:
        return os.open(path, flags | os.O_CREAT, 0o666)
