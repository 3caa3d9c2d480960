"""A real PostgreSQL for the tests: made, started on loopback and removed by them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def program(name: str) -> str | None:
    """PostgreSQL's program of that name, on the path or where Debian puts it."""
    found = shutil.which(name)
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found or (str(places[-1]) if places else None)


@contextmanager
def postgres(*, fsync: bool = False) -> Generator[str]:
    """The URL of a server with an empty database, for as long as the block lasts; tests do not wait for the disk."""
    initdb, pg_ctl = program("initdb"), program("pg_ctl")
    assert initdb
    assert pg_ctl
    root = Path(tempfile.mkdtemp(prefix="assay-postgres-"))
    account: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        account = {"user": "postgres", "group": "postgres"}
        shutil.chown(root, "postgres", "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/", **account}
    subprocess.run([initdb, "-D", str(root / "data"), "-U", "assay", "-A", "trust", "-N"], **quiet)
    options = f"-h 127.0.0.1 -p {port} -k {root} -c fsync={'on' if fsync else 'off'}"
    start = [pg_ctl, "-D", str(root / "data"), "-o", options, "-l", str(root / "log"), "-w", "start"]
    subprocess.run(start, **quiet)
    try:
        yield f"postgresql+psycopg://assay@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([pg_ctl, "-D", str(root / "data"), "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(root, ignore_errors=True)
