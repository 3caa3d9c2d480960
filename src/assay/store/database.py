"""The database of a store: opening, creating and migrating it, and transactions that take the lock before they read."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from assay.errors import StoreError, to_install
from assay.store.schema import ADDED, APPLICATION, READABLE, VERSION

T = TypeVar("T")

DEFAULT = "sqlite:///assay.db"
_KEYS = 400  # in one query
_BUSY_SECONDS = 60.0
_LOCK = 0x61737361  # PostgreSQL's advisory lock: it serialises the writers, as SQLite does


class Database:
    """An SQLite or PostgreSQL database. With `read_only` nothing is created, migrated or locked."""

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self.url = _parsed(url)
        self.read_only = read_only
        self.name = self.url.render_as_string(hide_password=True)
        self.path: Path | None = None
        with self._explaining():
            if self.url.get_backend_name() == "sqlite":
                self.path = Path(self.url.database or "")
                self.name = str(self.path)
                self.engine = self._open_sqlite(self.path)
            else:
                self.engine = sa.create_engine(self.url, pool_pre_ping=True)
                if not read_only:
                    self._migrate_postgres()
            version = self._check_version()
            if version != VERSION:  # opened to be read only
                event.listen(self.engine, "connect", _fill_in)
                self.engine.dispose()  # its connections are from before

    # --- transactions ---

    @contextmanager
    def write(self) -> Generator[sa.Connection]:
        """A transaction that holds the write lock from its beginning. Raises: StoreError."""
        connecting = self.engine.execution_options(assay_write=True)
        with self._explaining(), connecting.connect() as connection, connection.begin():
            if self.path is None:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            yield connection

    @contextmanager
    def read(self) -> Generator[sa.Connection]:
        """A transaction that reads one consistent state of the store. Raises: StoreError."""
        with self._explaining(), self.engine.connect() as connection, connection.begin():
            yield connection

    def now(self, connection: sa.Connection) -> float:
        """Seconds since 1970 by the database's clock."""
        if self.path is not None:
            return float(connection.exec_driver_sql("SELECT (julianday('now') - 2440587.5) * 86400.0").scalar_one())
        return float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one())

    def close(self) -> None:
        """Closes every connection."""
        self.engine.dispose()

    @contextmanager
    def _explaining(self) -> Generator[None]:
        """Turns an error of the database into a StoreError with a sentence for the user."""
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise StoreError(_sentence(self.name, error)) from error

    # --- SQLite ---

    def _open_sqlite(self, path: Path) -> sa.Engine:
        is_new = not path.exists() or path.stat().st_size == 0
        if self.read_only and is_new:
            raise StoreError(f"{path}: no such store; `assay run` or `assay train` creates one")
        if not is_new:
            _check_header(path)
        engine = sa.create_engine("sqlite://", creator=lambda: self._connect(path), poolclass=sa.pool.QueuePool)

        @event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:  # pyright: ignore[reportUnusedFunction]
            # a deferred transaction that reads first cannot wait for the lock when it writes: it fails immediately
            writes = connection.get_execution_options().get("assay_write", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        if not self.read_only:
            self._migrate_sqlite(engine, path)
        return engine

    def _connect(self, path: Path) -> sqlite3.Connection:
        target = quote(str(path.absolute()))
        mode = "ro" if self.read_only else "rwc"
        connection = _raw(f"file:{target}?mode={mode}")
        if self.read_only:
            try:
                connection.execute("SELECT 1 FROM sqlite_master").fetchone()
            except sqlite3.OperationalError:  # the folder is read-only, so the index of the log cannot be created
                connection.close()
                connection = _raw(f"file:{target}?mode=ro&immutable=1")
            return connection
        connection.execute("PRAGMA synchronous = NORMAL")  # in WAL mode a power cut may lose only the last commits
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def _migrate_sqlite(self, engine: sa.Engine, path: Path) -> None:
        raw = self._connect(path)
        try:
            if _sqlite_version(raw) == VERSION:
                return
            _patiently(lambda: raw.execute("PRAGMA journal_mode = WAL"))
        finally:
            raw.close()
        with engine.execution_options(assay_write=True).connect() as connection, connection.begin():
            version = _version(connection)
            if version is None:
                tables = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
                if tables:
                    raise StoreError(f"{path}: a database of another program; expected a store of Assay")
                connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION}")
            if version is None or version < VERSION:
                _upgrade(connection)

    # --- PostgreSQL ---

    def _migrate_postgres(self) -> None:
        with self.engine.connect() as connection, connection.begin():
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            version = _version(connection)
            if version is None or version < VERSION:
                _upgrade(connection)

    def _check_version(self) -> str:
        """The version of the schema. Raises: StoreError if it cannot be read."""
        with self.engine.connect() as connection:
            version = _version(connection)
        if version is None:
            raise StoreError(f"{self.name}: not a store of Assay")
        if version > VERSION:
            raise StoreError(
                f"{self.name}: has schema version {version}, this Assay reads up to {VERSION}; update Assay to open it"
            )
        if version not in READABLE:  # only a read-only store is not migrated
            raise StoreError(f"{self.name}: has schema version {version}; `assay store check` migrates it to {VERSION}")
        return version


def _fill_in(connection: Any, record: object) -> None:
    """Lays a temporary view over `result` that has the columns which older versions lack, all null."""
    is_sqlite = isinstance(connection, sqlite3.Connection)
    source = "main.result" if is_sqlite else "result"  # PostgreSQL binds the name before the view exists
    types = {"busy": "BOOLEAN", "level": "TEXT"}
    columns = ", ".join(f"CAST(NULL AS {types.get(name, 'DOUBLE PRECISION')}) AS {name}" for name in ADDED)
    cursor = connection.cursor()
    if is_sqlite:
        cursor.execute("PRAGMA temp_store = MEMORY")
    cursor.execute(f"CREATE TEMPORARY VIEW result AS SELECT *, {columns} FROM {source}")  # noqa: S608
    cursor.close()
    if not is_sqlite:
        connection.commit()


def _raw(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _parsed(url: str) -> sa.URL:
    if "://" not in url:
        url = f"sqlite:///{url}"
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
        if backend == "postgresql":
            parsed.get_dialect().import_dbapi()
    except ModuleNotFoundError:
        raise StoreError(f"a store in PostgreSQL needs psycopg: {to_install('postgres')}") from None
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise StoreError(f"store {url!r}: {error}; expected sqlite:///FILE or postgresql+psycopg://...") from None
    if backend not in ("sqlite", "postgresql"):
        raise StoreError(f"store {url!r}: {backend!r} is not supported; expected sqlite or postgresql+psycopg")
    if backend == "sqlite" and not parsed.database:
        raise StoreError(f"store {url!r}: names no file; expected sqlite:///FILE")
    return parsed


def sqlite_path(url: str) -> Path | None:
    """The file that a URL names; None if it is not an SQLite URL."""
    parsed = _parsed(url)
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def _check_header(path: Path) -> None:
    """Checks that the file is an SQLite database of Assay, as long as its header says. Raises: StoreError."""
    if path.is_dir():
        raise StoreError(f"{path}: a folder; expected the file of a store")
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not header.startswith(b"SQLite format 3\0"[: max(1, len(header))]):
        raise StoreError(f"{path}: not a store of Assay; expected an SQLite database")
    if len(header) < 100:
        raise StoreError(_damaged(path, "it ends inside its header"))
    if int.from_bytes(header[68:72], "big") != APPLICATION and int.from_bytes(header[28:32], "big") > 1:
        raise StoreError(f"{path}: a database of another program; expected a store of Assay")
    page = int.from_bytes(header[16:18], "big")
    expected, size = int.from_bytes(header[28:32], "big") * (65536 if page == 1 else page), path.stat().st_size
    if size < expected:
        raise StoreError(_damaged(path, f"it has {size:,} bytes of {expected:,}"))


def _damaged(where: object, how: str) -> str:
    return f"{where}: damaged: {how}; `assay store repair` saves what can be read into a new file"


def _sqlite_version(connection: sqlite3.Connection) -> str | None:
    try:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
    except (sqlite3.OperationalError, TypeError):
        return None


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if version is None else str(version)


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "assay.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _patiently(action: Any) -> None:
    """Retries while another process holds the file: SQLite does not wait when the journal mode is changed."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            action()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _sentence(where: str, error: Exception) -> str:
    """A sentence for an error of the database."""
    cause = str(error.orig if isinstance(error, DBAPIError) and error.orig is not None else error).strip()
    folded = cause.casefold()
    if "disk is full" in folded or "no space" in folded or "disk i/o error" in folded:
        return f"{where}: no space left on the disk ({cause}); stored results are safe, and the same command resumes"
    if "malformed" in folded or "not a database" in folded or "corrupt" in folded:
        return _damaged(where, cause)
    if "readonly" in folded or "unable to open" in folded or "read-only" in folded:
        return f"{where}: cannot be opened for writing ({cause}); expected a file in a folder that may be written to"
    if "locked" in folded:
        return f"{where}: locked by another program for more than {_BUSY_SECONDS:.0f} s"
    return f"{where}: {cause.splitlines()[0] if cause else type(error).__name__}"


def chunks(keys: Sequence[T]) -> Iterator[Sequence[T]]:
    """Keys in portions for one query each; SQLite and PostgreSQL limit the variables of a statement."""
    for start in range(0, len(keys), _KEYS):
        yield keys[start : start + _KEYS]
