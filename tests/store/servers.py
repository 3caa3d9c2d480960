"""A real PostgreSQL for the tests: made, started on loopback and removed by them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def program(name: str) -> str | None:
    """PostgreSQL's program of that name, on the path or where Debian puts it."""
    found = shutil.which(name)
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found or (str(places[-1]) if places else None)


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL.

    Attributes:
        root: the folder of its data and its log.
        port: where it listens, on loopback.
        options: of its program.
    """

    root: Path
    port: int
    options: str

    @property
    def url(self) -> str:
        """The URL of its empty database."""
        return f"postgresql+psycopg://assay@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        _as_postgres("pg_ctl", "-D", self.root / "data", "-o", self.options, "-l", self.root / "log", "-w", "start")

    def stop(self) -> None:
        """Stops it at once, as a crash does: open transactions are undone, no connection is told."""
        _as_postgres("pg_ctl", "-D", self.root / "data", "-m", "immediate", "-w", "stop")


def _account() -> dict[str, Any]:
    """Whom PostgreSQL's programs run as: they refuse to run as root."""
    return {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}


def _as_postgres(name: str, *words: object) -> None:
    path = program(name)
    assert path
    subprocess.run([path, *map(str, words)], check=True, stdout=subprocess.DEVNULL, cwd="/", **_account())


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _owned_folder(prefix: str) -> Path:
    root = Path(tempfile.mkdtemp(prefix=prefix))
    if account := _account():
        shutil.chown(root, account["user"], account["group"])
    return root


@contextmanager
def server(*, fsync: bool = False, password: str | None = None) -> Generator[Server]:
    """A server with an empty database, for as long as the block lasts; tests do not wait for the disk.

    `password`: of the user assay, who needs none without it.
    """
    root, port = _owned_folder("assay-postgres-"), _free_port()
    access = ["-A", "trust"]
    if password is not None:
        (root / "password").write_text(password)
        access = ["-A", "scram-sha-256", "--pwfile", str(root / "password")]
        (root / "password").chmod(0o644)
    _as_postgres("initdb", "-D", root / "data", "-U", "assay", *access, "-N")
    made = Server(root, port, f"-h 127.0.0.1 -p {port} -k {root} -c fsync={'on' if fsync else 'off'}")
    made.start()
    try:
        yield made
    finally:
        with suppress(subprocess.CalledProcessError):  # a test may have stopped it
            made.stop()
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def postgres(*, fsync: bool = False) -> Generator[str]:
    """The URL of a server with an empty database, for as long as the block lasts."""
    with server(fsync=fsync) as made:
        yield made.url


@contextmanager
def pgbouncer(behind: Server) -> Generator[str]:
    """The URL of the same database through pgbouncer, which gives each transaction another connection."""
    path = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    root, port = _owned_folder("assay-pgbouncer-"), _free_port()
    (root / "users").write_text('"assay" ""\n')
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "trust",
        "auth_file": root / "users",
        "pool_mode": "transaction",
        "default_pool_size": 3,
    }
    lines = ["[databases]", f"* = host=127.0.0.1 port={behind.port}", "[pgbouncer]"]
    (root / "ini").write_text("\n".join([*lines, *(f"{key} = {value}" for key, value in settings.items())]) + "\n")
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/", **_account()}
    process = subprocess.Popen([path, str(root / "ini")], **quiet)
    try:
        for _ in range(100):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"postgresql+psycopg://assay@127.0.0.1:{port}/postgres"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(root, ignore_errors=True)
