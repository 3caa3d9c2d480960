"""Artifacts, named by the hash of their content: large ones are files next to the database, others rows of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from assay.errors import FileError, StoreError
from assay.store.database import Database, chunks, insert_missing, rows_at_once, whole
from assay.store.schema import artifact
from assay.system.files import read_limited, sync_folder, write_atomically
from assay.system.limits import ARTIFACT_BYTES

_YOUNG_SECONDS = 3600.0
SMALL_BYTES = 2**18
"""Artifacts up to this size are rows next to an SQLite file's results: no folder of a hundred thousand files."""


Inspect = Callable[[str, bytes], None]
"""Is given the name and the content of each artifact that is there and whole."""


def ignored(name: str, content: bytes) -> None:
    """Inspects nothing."""


class ForbiddenError(StoreError):
    """This user may not read the artifacts. They are neither missing nor damaged, so that nothing is to be repaired."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: cannot be read: permission denied; let this user read it, and enter its folders")


class Artifacts(Protocol):
    """Content-addressed storage.

    Call `put` before writing a row that refers to the artifact, or `prepare` before the transaction of that row and
    `add` within it: an unreferenced artifact is harmless, a missing one is not.
    """

    def put(self, content: bytes) -> str: ...
    def prepare(self, content: bytes) -> str: ...
    def add(self, connection: sa.Connection, content: bytes) -> None: ...
    def get(self, name: str) -> bytes: ...
    def wrong(self, names: Collection[str], inspect: Inspect = ...) -> Iterator[tuple[str, StoreError]]: ...
    def unused(self, used: Collection[str]) -> list[tuple[str, int]]: ...
    def discard(self, names: Sequence[str]) -> None: ...
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
            if path.is_file() and name_of(path.read_bytes()) == name:  # a damaged file is overwritten
                path.touch()  # so that `is_young` holds until the row that refers to it is written
                sync_folder(path.parent)  # whoever wrote it may have been killed before
                return name
        except OSError as error:
            raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from None
        write_atomically(path, content)
        return name

    prepare = put

    def add(self, connection: sa.Connection, content: bytes) -> None:
        """The file is there already."""

    def wrong(self, names: Collection[str], inspect: Inspect = ignored) -> Iterator[tuple[str, StoreError]]:
        """Those of the artifacts that are missing or damaged; the others are inspected. Raises: ForbiddenError."""
        for name in names:
            try:
                content = self.get(name)
            except ForbiddenError:
                raise
            except StoreError as error:
                yield name, error
            else:
                inspect(name, content)

    def unused(self, used: Collection[str]) -> list[tuple[str, int]]:
        """The artifacts that are not used and not young, with their bytes."""
        unused: list[tuple[str, int]] = []
        for name in self.names():
            if name not in used and not self.is_young(name):
                with suppress(OSError):
                    unused.append((name, self._path(name).stat().st_size))
        return unused

    def discard(self, names: Sequence[str]) -> None:
        """Removes those that are not young: a put in the meantime makes one young. Raises: StoreError."""
        for name in names:
            try:
                if not self.is_young(name):
                    self.remove(name)
            except OSError as error:
                raise StoreError(f"artifact {name[:16]} cannot be removed: {error.strerror or error}") from None

    def get(self, name: str) -> bytes:
        path = self._path(name)
        try:
            content = read_limited(path, ARTIFACT_BYTES)
        except FileError as error:
            if isinstance(error.__context__, PermissionError):
                raise ForbiddenError(path) from None
            raise StoreError(str(error)) from None
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
        with self.database.write() as connection:
            self.add(connection, content)
        return name_of(content)

    def prepare(self, content: bytes) -> str:
        """The name; `add` stores the content."""
        return name_of(content)

    def add(self, connection: sa.Connection, content: bytes) -> None:
        """Adds an artifact within the transaction that refers to it; a damaged one of that name is overwritten."""
        name, now = name_of(content), self.database.now(connection)
        stored = connection.execute(sa.select(artifact.c.content).where(artifact.c.hash == name)).scalar()
        if stored is None and insert_missing(connection, artifact, {"hash": name, "content": content, "written": now}):
            return
        values = {"written": now} if stored == content else {"written": now, "content": content}
        connection.execute(sa.update(artifact).where(artifact.c.hash == name).values(**values))

    def wrong(self, names: Collection[str], inspect: Inspect = ignored) -> Iterator[tuple[str, StoreError]]:
        """Those of the artifacts that are missing or damaged; the others are inspected."""
        missing = set(names)
        with self.database.read() as connection:
            streamed = connection.execution_options(yield_per=rows_at_once(self.database, connection, artifact, 100))
            for name, content in streamed.execute(sa.select(artifact.c.hash, artifact.c.content)):
                if name in missing:
                    missing.discard(name)
                    if not isinstance(content, bytes) or name_of(content) != name:
                        yield name, StoreError(f"artifact {name[:16]} is damaged")
                    else:
                        inspect(name, content)
        for name in missing:
            yield name, StoreError(f"artifact {name[:16]} is missing")

    def unused(self, used: Collection[str]) -> list[tuple[str, int]]:
        """The artifacts that are not used and not young, with their bytes."""
        with self.database.read() as connection:
            old = artifact.c.written <= self.database.now(connection) - _YOUNG_SECONDS
            rows = connection.execute(sa.select(artifact.c.hash, sa.func.length(artifact.c.content)).where(old))
            return [(name, int(size)) for name, size in rows if name not in used]

    def discard(self, names: Sequence[str]) -> None:
        """Removes those that are not young: a put in the meantime makes one young."""
        with self.database.write() as connection:
            old = artifact.c.written <= self.database.now(connection) - _YOUNG_SECONDS
            for chunk in chunks(names):
                connection.execute(sa.delete(artifact).where(artifact.c.hash.in_(chunk), old))

    def get(self, name: str) -> bytes:
        with self.database.read() as connection:
            content = connection.execute(sa.select(artifact.c.content).where(artifact.c.hash == name)).scalar()
        if not isinstance(content, bytes) or name_of(content) != name:
            raise StoreError(f"artifact {name[:16]} is {'missing' if content is None else 'damaged'}")
        return content

    def has(self, name: str) -> bool:
        """Whether the table has an artifact, damaged or not."""
        with self.database.read() as connection:
            return connection.execute(sa.select(artifact.c.hash).where(artifact.c.hash == name)).first() is not None

    def names(self) -> Iterator[str]:
        with self.database.read() as connection:
            names = connection.execute(sa.select(artifact.c.hash)).scalars().all()
        yield from (name for name in names if isinstance(name, str))

    @whole
    def remove(self, name: str) -> None:
        with self.database.write(durable=False, shared=True) as connection:
            connection.execute(sa.delete(artifact).where(artifact.c.hash == name))

    def is_young(self, name: str) -> bool:
        with self.database.read() as connection:
            written = connection.execute(sa.select(artifact.c.written).where(artifact.c.hash == name)).scalar()
            return written is None or self.database.now(connection) - written < _YOUNG_SECONDS


class BySize:
    """Small artifacts in a table, so that one transaction has them and what refers to them; large ones in a folder.

    Older versions of Assay wrote files of any size, which are read as well.
    """

    def __init__(self, table: InTable, folder: Folder) -> None:
        self.table, self.folder = table, folder

    def _place(self, content: bytes) -> InTable | Folder:
        return self.table if len(content) <= SMALL_BYTES else self.folder

    def put(self, content: bytes) -> str:
        return self._place(content).put(content)

    def prepare(self, content: bytes) -> str:
        """The name of an artifact, after writing it if it is large; `add` stores a small one."""
        return self._place(content).prepare(content)

    def add(self, connection: sa.Connection, content: bytes) -> None:
        """Adds a small artifact within the transaction that refers to it."""
        self._place(content).add(connection, content)

    def get(self, name: str) -> bytes:
        return self.table.get(name) if self.table.has(name) else self.folder.get(name)

    def wrong(self, names: Collection[str], inspect: Inspect = ignored) -> Iterator[tuple[str, StoreError]]:
        """Those of the artifacts that are missing or damaged; the others are inspected. Raises: ForbiddenError."""
        rows = set(self.table.names())
        yield from self.table.wrong([name for name in names if name in rows], inspect)
        yield from self.folder.wrong([name for name in names if name not in rows], inspect)

    def unused(self, used: Collection[str]) -> list[tuple[str, int]]:
        """The artifacts that are not used and not young, with their bytes."""
        return self.table.unused(used) + self.folder.unused(used)

    def names(self) -> Iterator[str]:
        yield from dict.fromkeys((*self.table.names(), *self.folder.names()))

    def remove(self, name: str) -> None:
        if self.table.has(name):
            self.table.remove(name)
        self.folder.remove(name)

    def discard(self, names: Sequence[str]) -> None:
        """Removes those that are not young: a put in the meantime makes one young. Raises: StoreError."""
        rows = set(self.table.names())
        self.table.discard([name for name in names if name in rows])
        self.folder.discard([name for name in names if name not in rows])

    def is_young(self, name: str) -> bool:
        return self.table.is_young(name) if self.table.has(name) else self.folder.is_young(name)


def artifacts_of(database: Database) -> Artifacts:
    """The artifacts of a database: a table, and for SQLite a folder of those that are large."""
    if database.path is None:
        return InTable(database)
    root, linked = (Path(f"{path}.artifacts") for path in (database.path, database.url.database))
    if linked.is_dir() and not root.exists():  # an earlier version kept them next to a link to the file
        root = linked
    return BySize(InTable(database), Folder(root))
