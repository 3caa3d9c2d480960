"""A copy of a store in use: SQLite's own backup of one consistent state, then the artifacts that it refers to."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from assay.errors import StoreError
from assay.store.artifacts import ForbiddenError
from assay.store.integrity import check, owners, repair
from assay.store.schema import result
from assay.store.store import Store
from assay.system.files import sync_folder


def backup(store: Store, path: Path) -> tuple[int, int]:
    """Copies an SQLite store with its artifacts to another file, while other programs may write to it.

    Args:
        store: The store, which may be read-only.
        path: The file of the copy; it must not exist yet.

    Returns:
        The number of results and of artifacts in the copy.

    Raises:
        StoreError: The store is not in SQLite, or the copy exists or cannot be written.
    """
    if store.database.path is None:
        raise StoreError(f"{store.name}: a store in PostgreSQL; back it up with pg_dump, or with `assay store export`")
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with _alone(path, unfinished):
            try:
                counts = _copy(store, unfinished)
                artifacts = unfinished.with_name(unfinished.name + ".artifacts")
                if artifacts.exists():
                    artifacts.rename(path.with_name(path.name + ".artifacts"))
                unfinished.rename(path)  # last: whoever sees the file sees a whole store
                sync_folder(path.parent)
            finally:
                with suppress(OSError):  # what could not be written cannot be removed either
                    _remove(unfinished)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from None
    return counts


@contextmanager
def _alone(path: Path, unfinished: Path) -> Generator[None]:
    """Makes the unfinished file, empty, and holds it: two backups to one name would take each other's files away.

    Raises: StoreError if the copy exists, or another backup is writing it.
    """
    _check_new(path)
    handle = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{path}: another backup is writing it; expected the name of a new file") from None
        _check_new(path)  # the other one may just have ended
        os.ftruncate(handle, 0)  # what an interrupted backup left
        for suffix in ("-wal", "-shm"):
            Path(f"{unfinished}{suffix}").unlink(missing_ok=True)
        shutil.rmtree(f"{unfinished}.artifacts", ignore_errors=True)
        yield
    finally:
        os.close(handle)


def _check_new(path: Path) -> None:
    """Refuses a copy that exists. Raises: StoreError."""
    for existing in (path, path.with_name(path.name + ".artifacts")):
        if os.path.lexists(existing):
            raise StoreError(f"{existing}: already exists; expected the name of a new file")


def _copy(store: Store, unfinished: Path) -> tuple[int, int]:
    _copy_database(store, unfinished)
    copy = Store(str(unfinished))
    try:
        artifacts = _copy_artifacts(store, copy)
        if any(defect.kind == "missing" for defect in check(copy)):
            repair(copy)  # a checkpoint that a later one has replaced since
        with copy.database.read() as connection:
            results = connection.execute(sa.select(sa.func.count()).select_from(result)).scalar_one()
        with copy.database.engine.connect() as connection:  # into the one file that is renamed
            raw: Any = connection.connection.driver_connection
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return int(results), artifacts
    finally:
        copy.close()


def _remove(unfinished: Path) -> None:
    """Removes what an interrupted backup left."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{unfinished}{suffix}").unlink(missing_ok=True)
    shutil.rmtree(f"{unfinished}.artifacts", ignore_errors=True)


def _copy_database(store: Store, target: Path) -> None:
    with store.database.engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        destination = sqlite3.connect(target)
        try:
            raw.backup(destination)
        finally:
            destination.close()


def _copy_artifacts(store: Store, copy: Store) -> int:
    """Copies the artifacts that the copy refers to; returns how many."""
    count, rows = 0, set(copy.artifacts.names())  # small ones came with the database
    for name in owners(copy):
        if name in rows:
            count += 1
            continue
        try:
            content = store.artifacts.get(name)
        except ForbiddenError:
            raise
        except StoreError:
            continue  # said by `check`, or a checkpoint that was replaced while the copy was made
        copy.artifacts.put(content)
        count += 1
    return count
