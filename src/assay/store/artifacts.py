"""Artifacts: files named by the hash of their content, in a folder next to the database or in a table of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from assay.errors import StoreError
from assay.store.database import Database
from assay.store.schema import artifact
from assay.system.files import sync_folder, write_atomically

_YOUNG_SECONDS = 3600.0


class ForbiddenError(StoreError):
    """This user may not read the artifacts. They are neither missing nor damaged, so that nothing is to be repaired."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: cannot be read: permission denied; let this user read it, and enter its folders")


class Artifacts(Protocol):
    """Content-addressed storage.

    Call `put` before writing a row that refers to the artifact: an unreferenced artifact is harmless, a missing one is
    not.
    """

    def put(self, content: bytes) -> str: ...
    def get(self, name: str) -> bytes: ...
    def names(self) -> Iterator[str]: ...
    def remove(self, name: str) -> None: ...
    def is_young(self, name: str) -> bool: ...


def name_of(content: bytes) -> str:
    """The name of an artifact: the SHA-256 of its content in hex."""
    return hashlib.sha256(content).hexdigest()


class Folder:
    """Artifacts in a folder next to an SQLite file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._flushed: set[Path] = set()

    def put(self, content: bytes) -> str:
        name = name_of(content)
        path = self._path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._flush_names(path.parent)
            if path.exists() and name_of(path.read_bytes()) == name:  # a damaged file is overwritten
                path.touch()  # so that `is_young` holds until the row that refers to it is written
                sync_folder(path.parent)  # whoever wrote it may have been killed before
                return name
        except OSError as error:
            raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from None
        write_atomically(path, content)
        return name

    def get(self, name: str) -> bytes:
        path = self._path(name)
        try:
            content = path.read_bytes()
        except PermissionError:
            raise ForbiddenError(path) from None
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from None
        if name_of(content) != name:
            raise StoreError(f"{path}: damaged: its content does not have the hash that is its name")
        return content

    def names(self) -> Iterator[str]:
        for folder in _entries(self.root):
            if len(folder.name) == 2 and folder.is_dir():
                yield from (path.name for path in _entries(folder) if len(path.name) == 64)

    def remove(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def is_young(self, name: str) -> bool:
        """Whether a row that refers to the artifact may still be about to be written."""
        try:
            return time.time() - self._path(name).stat().st_mtime < _YOUNG_SECONDS
        except OSError:
            return True

    def _flush_names(self, folder: Path) -> None:
        """Flushes the names of a folder and of those above, once: who made them may have been killed before."""
        if folder not in self._flushed:
            for place in (self.root.parent, self.root):
                sync_folder(place)
            self._flushed.add(folder)

    def _path(self, name: str) -> Path:
        if len(name) != 64 or not set(name) <= set("0123456789abcdef"):  # a path from an untrusted store
            raise StoreError(f"artifact {name[:80]!r}: not a hash")
        return self.root / name[:2] / name


def _entries(folder: Path) -> list[Path]:
    """The entries of a folder; none where there is no folder. Raises: ForbiddenError."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except PermissionError:
        raise ForbiddenError(folder) from None


class InTable:
    """Artifacts in a table of the database, which several machines may share."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def put(self, content: bytes) -> str:
        name = name_of(content)
        with self.database.write() as connection:
            stored = connection.execute(sa.select(artifact.c.hash).where(artifact.c.hash == name)).first()
            if stored is None:
                now = self.database.now(connection)
                connection.execute(sa.insert(artifact).values(hash=name, content=content, written=now))
        return name

    def get(self, name: str) -> bytes:
        with self.database.read() as connection:
            content = connection.execute(sa.select(artifact.c.content).where(artifact.c.hash == name)).scalar()
        if content is None or name_of(bytes(content)) != name:
            raise StoreError(f"artifact {name[:16]} is {'missing' if content is None else 'damaged'}")
        return bytes(content)

    def names(self) -> Iterator[str]:
        with self.database.read() as connection:
            yield from connection.execute(sa.select(artifact.c.hash)).scalars().all()

    def remove(self, name: str) -> None:
        with self.database.write() as connection:
            connection.execute(sa.delete(artifact).where(artifact.c.hash == name))

    def is_young(self, name: str) -> bool:
        with self.database.read() as connection:
            written = connection.execute(sa.select(artifact.c.written).where(artifact.c.hash == name)).scalar()
            return written is None or self.database.now(connection) - written < _YOUNG_SECONDS


def artifacts_of(database: Database) -> Artifacts:
    """The artifacts of a database: a folder for SQLite, a table for PostgreSQL."""
    if database.path is None:
        return InTable(database)
    return Folder(database.path.with_name(database.path.name + ".artifacts"))
