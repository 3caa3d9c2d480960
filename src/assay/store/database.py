"""The database of a store: opening, creating and migrating it, and transactions that take the lock before they read."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from assay.errors import StoreError
from assay.store.schema import ADDED_IN, APPLICATION, READABLE, VERSION
from assay.store.urls import file_of, parsed, without_password
from assay.system.command_line import command_line
from assay.system.file_kinds import kind_of_file, kind_of_name
from assay.system.files import check_reachable
from assay.system.limits import STORE_CELL_BYTES
from assay.system.mounts import network_file_system

T = TypeVar("T")
P = ParamSpec("P")
S = TypeVar("S", bound="_HasDatabase")

_KEYS = 400  # in one query
_BYTES_AT_ONCE = 2**28
_BUSY_SECONDS = 60.0
_SILENT_SECONDS = 2.0  # of waiting, after which it is said
_log = logging.getLogger("assay.store")
_LOST_SECONDS = 600.0  # for which a server that was lost is tried again
_SILENT_ATTEMPTS = 3
_LOST_STATES = ("08", "40001", "40P01", "57P01", "57P02", "57P03")
"""SQL states: connections, a serialisation that failed, a deadlock, a server that is shut down, crashes or starts."""
_LOCK = 0x61737361  # PostgreSQL's advisory lock: it serialises the writers, as SQLite does


class OldSchemaError(StoreError):
    """A store must be migrated before it can be read."""


class LostServerError(StoreError):
    """The connection to the server was lost, or the server undid the transaction for another one's sake."""


class Database:
    """An SQLite or PostgreSQL database. With `read_only` nothing is created, migrated or locked.

    `patience`: the seconds after which a wait for a lock or a lost server is an error; None: 60 for a lock, 600 for a
    server.
    """

    def __init__(self, url: str, *, read_only: bool = False, patience: float | None = None) -> None:
        self.url = parsed(url)
        self.read_only = read_only
        self._busy_seconds = _BUSY_SECONDS if patience is None else patience
        self._lost_seconds = _LOST_SECONDS if patience is None else patience
        self.name = without_password(self.url.render_as_string(hide_password=True))
        self.path: Path | None = None
        self._identity: tuple[int, int] | None = None
        with self.explaining():
            if self.url.get_backend_name() == "sqlite":
                self.path = file_of(self.url)
                self.name = str(Path(self.url.database or ""))
                self.engine = self._open_sqlite(self.path)
            else:
                # a pooler such as pgbouncer gives each transaction another connection, which has no prepared statements
                arguments = {"prepare_threshold": None}
                self.engine = sa.create_engine(self.url, pool_pre_ping=True, connect_args=arguments)
                if not read_only:
                    self._migrate_postgres()
            self.version = self._check_version()
            if self.path is not None:
                self._identity = _identity_of(self.path)
            if self.version < max(ADDED_IN):  # opened to be read only
                event.listen(self.engine, "connect", partial(_fill_in, _lacking(self.version)))
                self.engine.dispose()  # its connections are from before

    # --- transactions ---

    @contextmanager
    def write(self, *, durable: bool = True, shared: bool = False) -> Generator[sa.Connection]:
        """A transaction that holds the write lock from its beginning. Raises: StoreError.

        Args:
            durable: Whether the commit of an SQLite file is on the disk when it returns. If not, a power cut may undo
                it with every later one that is not durable either; a commit that is durable takes all earlier ones with
                it. A server's always is: a driver lives on when the server's machine does not.
            shared: Whether a server lets other shared transactions run at the same time: this one locks the rows of the
                trajectories that it changes, and no other rows can be in question.
        """
        connecting = self.engine.execution_options(assay_write=True, assay_durable=durable)
        with self.explaining(), connecting.connect() as connection, connection.begin():
            if self.path is None:
                lock = sa.func.pg_advisory_xact_lock_shared if shared else sa.func.pg_advisory_xact_lock
                connection.execute(sa.select(lock(_LOCK)))
            elif self._identity not in (None, _identity_of(self.path)):
                raise StoreError(
                    f"{self.name}: was moved, replaced or deleted while it was in use: what is written now would be in "
                    "no file; put it back with its -wal and -shm, then run the same command again"
                )
            yield connection

    @contextmanager
    def read(self) -> Generator[sa.Connection]:
        """A transaction that reads one consistent state of the store. Raises: StoreError."""
        with self.explaining(), self._connected() as connection, connection.begin():
            yield connection

    def _connected(self) -> sa.Connection:
        """A connection; a server that does not answer is waited for."""

        def attempt(_: bool) -> sa.Connection:
            with self.explaining():
                return self.engine.connect()

        return self.whole(attempt) if self.path is None else self.engine.connect()

    def whole(self, action: Callable[[bool], T]) -> T:
        """Runs a transaction, and runs it again as a whole where the server was lost within it.

        A connection that is lost in a commit leaves open whether the server committed, so that an action that is run
        again looks for what an earlier attempt may have left.

        Args:
            action: Is given whether an earlier attempt was lost.

        Raises:
            StoreError: As the action does; of a lost server after 10 minutes.
        """
        begin, attempt = time.monotonic(), 0
        while True:
            try:
                value = action(attempt > 0)
            except LostServerError as error:
                waited = time.monotonic() - begin
                if waited > self._lost_seconds:
                    raise
                if attempt == _SILENT_ATTEMPTS:
                    _log.warning("%s; trying again for up to %.0f min", error, self._lost_seconds / 60)
                time.sleep(min(5.0, 0.02 * 2**attempt) * random.uniform(0.5, 1.0))  # noqa: S311
                attempt += 1
                continue
            if attempt > _SILENT_ATTEMPTS:
                _log.warning("%s: is back after %.0f s", self.name, time.monotonic() - begin)
            return value

    def now(self, connection: sa.Connection) -> float:
        """Seconds since 1970 by the database's clock."""
        if self.path is not None:
            return float(connection.exec_driver_sql("SELECT (julianday('now') - 2440587.5) * 86400.0").scalar_one())
        return float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one())

    def schema_version(self) -> str | None:
        """The version of the schema now, which another process may have migrated since the store was opened."""
        with self.read() as connection:
            return _version(connection)

    def close(self) -> None:
        """Closes every connection."""
        self.engine.dispose()

    @contextmanager
    def explaining(self) -> Generator[None]:
        """Turns an error of the database into a StoreError with a sentence for the user."""
        try:
            yield
        except (UnicodeDecodeError, OverflowError) as error:  # of a text or a number that SQLite cannot hold or give
            raise StoreError(_damaged(self.name, str(error))) from error
        except (SQLAlchemyError, sqlite3.Error) as error:
            if self.path is not None and "not a database" in str(error):
                raise StoreError(_not_a_database(self.path)) from error
            sentence = _sentence(self.name, error, self._busy_seconds)
            kind = LostServerError if self.path is None and _is_lost(error) else StoreError
            raise kind(sentence) from error

    # --- SQLite ---

    def _open_sqlite(self, path: Path) -> sa.Engine:
        check_reachable(path)
        if path.is_dir():
            raise StoreError(f"{path}: a folder; expected the file of a store")
        if path.exists() and not path.is_file():
            raise StoreError(f"{path}: a pipe or a device; expected the file of a store")
        refuse_interrupted_repair(path)
        is_new = not path.exists() or path.stat().st_size == 0
        if is_new:
            _check_new(path, read_only=self.read_only)
        elif not os.access(path, os.R_OK):
            raise StoreError(f"{path}: cannot be read: permission denied")
        if not self.read_only:
            _warn_of_network(path)
        engine = sa.create_engine("sqlite://", creator=lambda: self._connect(path), poolclass=sa.pool.QueuePool)

        @event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:  # pyright: ignore[reportUnusedFunction]
            # a deferred transaction that reads first cannot wait for the lock when it writes: it fails immediately
            options = connection.get_execution_options()
            writes = options.get("assay_write", False)
            if writes:  # it cannot be changed within a transaction
                level = "FULL" if options.get("assay_durable", True) else "NORMAL"
                connection.exec_driver_sql(f"PRAGMA synchronous = {level}")
            statements = ["BEGIN IMMEDIATE"] if writes else ["BEGIN", "SELECT 1 FROM sqlite_master LIMIT 1"]
            for statement in statements:  # the second takes the state that is read, and with it the lock
                self._locking(connection, statement)

        version = None if is_new else self._check_application(path)
        if not self.read_only and version != VERSION:
            self._migrate_sqlite(engine, path)
        return engine

    def _check_application(self, path: Path) -> str | None:
        """Checks that the database is one of Assay, without changing it; returns the version of its schema.

        The file is never opened here but by SQLite: closing it would drop the locks of this process's connections, and
        other programs would then write over what these still read.
        """
        connection = self._connect(path)
        try:
            identifier = "PRAGMA application_id"
            application = self._patiently(lambda: connection.execute(identifier).fetchone()[0])
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if application != APPLICATION and tables:
                raise StoreError(f"{path}: a database of another program; expected a store of Assay")
            if (foreign := self._patiently(lambda: foreign_schema(connection))) is not None:
                raise StoreError(
                    _damaged(path, f"its schema has {foreign}, whose SQL would be run; a store of Assay has none")
                )
            return _sqlite_version(connection)
        finally:
            connection.close()

    def _locking(self, connection: sa.Connection, statement: str) -> None:
        """Executes a statement that may have to wait for a lock, and says so when the wait becomes long."""
        try:
            connection.exec_driver_sql(statement)
        except DBAPIError as error:
            if "locked" not in str(error.orig):
                raise
            rest = self._busy_seconds - _SILENT_SECONDS
            if rest <= 0:
                raise
            self._say_waiting()
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {rest * 1000:.0f}")
            try:
                connection.exec_driver_sql(statement)
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {_SILENT_SECONDS * 1000:.0f}")

    def _patiently(self, action: Callable[[], T]) -> T:
        """Retries while another process holds the file, and says so when the wait becomes long.

        SQLite itself does not always wait, for instance when the journal mode is changed.
        """
        begin, silent = time.monotonic(), True
        while True:
            try:
                return action()
            except sqlite3.OperationalError as error:
                waited = time.monotonic() - begin
                if "locked" not in str(error) or waited > self._busy_seconds:
                    raise
                if silent and waited >= _SILENT_SECONDS:
                    silent = self._say_waiting()
                time.sleep(0.01)

    def _say_waiting(self) -> bool:
        """Says that another program is waited for; returns False: from now on, the wait is not silent."""
        _log.warning("%s: in use by another program; waiting for up to %.0f s", self.name, self._busy_seconds)
        return False

    def _connect(self, path: Path) -> sqlite3.Connection:
        target = quote(str(path.absolute()))
        mode = "ro" if self.read_only else "rwc"
        connection = _raw(f"file:{target}?mode={mode}", min(_SILENT_SECONDS, self._busy_seconds))
        if self.read_only:
            try:
                connection.execute("SELECT 1 FROM sqlite_master").fetchone()
            except sqlite3.OperationalError as error:
                if "locked" in str(error):
                    return connection  # the transaction waits
                connection.close()
                connection = self._connect_immutable(path, target)
            return connection
        connection.execute("PRAGMA synchronous = FULL")  # a power cut loses nothing whose commit has returned
        connection.execute("PRAGMA fullfsync = ON")  # macOS, where a plain fsync leaves data in the drive's cache
        connection.execute("PRAGMA checkpoint_fullfsync = ON")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def _connect_immutable(self, path: Path, target: str) -> sqlite3.Connection:
        """A connection to a store in a folder that is read-only, where no index of the write-ahead log can be made.

        SQLite ignores the log there, so a store with one is refused: the newest results would be missing.
        """
        wal = path.with_name(path.name + "-wal")
        if wal.exists() and wal.stat().st_size:
            raise StoreError(
                f"{path}: its newest results are in {wal.name}, which cannot be read from a read-only folder; copy "
                f"{path.name} and {wal.name} together into a folder that may be written to"
            )
        return _raw(f"file:{target}?mode=ro&immutable=1")

    def _migrate_sqlite(self, engine: sa.Engine, path: Path) -> None:
        raw = self._connect(path)
        try:
            self._patiently(lambda: raw.execute("PRAGMA journal_mode = WAL"))
        finally:
            raw.close()
        with engine.execution_options(assay_write=True).connect() as connection, connection.begin():
            version = _version(connection)
            if version is None:
                tables = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
                if tables:
                    raise StoreError(_damaged(path, "the version of its schema is missing"))
                connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION}")
            if version is None or version < VERSION:
                self._upgrade(connection)

    def _upgrade(self, connection: sa.Connection) -> None:
        """Migrates to the newest version. Raises: StoreError where the stored version is none of Assay's."""
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", "assay.store:migrations")
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except (CommandError, AssertionError) as error:  # the latter for an empty text
            raise StoreError(_damaged(self.name, f"unknown version of its schema: {error}")) from error
        except (ValueError, TypeError, LookupError) as error:  # a table or a cell that its version must have
            raise StoreError(_damaged(self.name, f"it cannot be migrated to version {VERSION}: {error}")) from error

    # --- PostgreSQL ---

    def _migrate_postgres(self) -> None:
        with self.engine.connect() as connection, connection.begin():
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            version = _version(connection)
            if version is None or version < VERSION:
                self._upgrade(connection)

    def _check_version(self) -> str:
        """The version of the schema. Raises: StoreError if it cannot be read."""
        with self.engine.connect() as connection:
            version = _version(connection)
        if version is None:
            if self.path is not None:
                raise StoreError(_damaged(self.name, "the version of its schema is missing"))
            raise StoreError(f"{self.name}: not a store of Assay")
        if version > VERSION:
            raise StoreError(
                f"{self.name}: has schema version {version}, this Assay reads up to {VERSION}; update Assay to open it"
            )
        if version not in READABLE:  # only a read-only store is not migrated
            line = command_line("assay store check", store=self.name)
            raise OldSchemaError(f"{self.name}: has schema version {version}; `{line}` migrates it to {VERSION}")
        return version


def _lacking(version: str) -> list[str]:
    """The columns of `result` that came after a version."""
    return [name for since, names in ADDED_IN.items() if version < since for name in names]


def _fill_in(lacking: Sequence[str], connection: Any, record: object) -> None:
    """Lays a temporary view over `result` that has the columns which older versions lack, all null."""
    is_sqlite = isinstance(connection, sqlite3.Connection)
    source = "main.result" if is_sqlite else "result"  # PostgreSQL binds the name before the view exists
    types = {"busy": "BOOLEAN", "level": "TEXT"}
    columns = ", ".join(f"CAST(NULL AS {types.get(name, 'DOUBLE PRECISION')}) AS {name}" for name in lacking)
    cursor = connection.cursor()
    if is_sqlite:
        cursor.execute("PRAGMA temp_store = MEMORY")
    cursor.execute(f"CREATE TEMPORARY VIEW result AS SELECT *, {columns} FROM {source}")  # noqa: S608
    cursor.close()
    if not is_sqlite:
        connection.commit()


@cache
def _warn_of_network(path: Path) -> None:
    """Says once that a file may be shared by machines, which SQLite cannot protect from each other."""
    if kind := network_file_system(path):
        _log.warning(
            "%s: on a network file system (%s); use it from one machine at a time, and PostgreSQL for several",
            path,
            kind,
        )


def _identity_of(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one of its name; None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _raw(uri: str, timeout: float = _SILENT_SECONDS) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)
    return distrusting(connection)


def distrusting(connection: sqlite3.Connection) -> sqlite3.Connection:
    """A connection to a file that anybody may have made: its schema calls no function, and its cells are bounded."""
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, STORE_CELL_BYTES.most)
    return connection


def foreign_schema(connection: sqlite3.Connection) -> str | None:
    """The first part of a schema that is SQL to be run when rows are read or written; None if there is none."""
    for name, kind, text in connection.execute("SELECT name, type, sql FROM sqlite_master"):
        if kind in ("trigger", "view"):
            return f"the {kind} {name!r:.80}"
        if kind == "table" and is_virtual(text):
            return f"the virtual table {name!r:.80}"
        generated = "SELECT count(*) FROM pragma_table_xinfo(?) WHERE hidden > 1"
        if kind == "table" and connection.execute(generated, (name,)).fetchone()[0]:
            return f"a generated column in the table {name!r:.80}"
    return None


def _not_a_database(path: Path) -> str:
    """A sentence for a file that SQLite does not recognise: it is something else, or its first page is lost."""
    with path.open("rb") as file:
        if file.read(16) == b"SQLite format 3\0":
            return _damaged(path, "its header is not that of a database")
    kind = kind_of_file(path)
    named = f"is {kind}, not a store of Assay" if kind else "not a store of Assay"
    return f"{path}: {named}; expected an SQLite database"


def _check_new(path: Path, *, read_only: bool) -> None:
    """Checks that a store may be created under a name. Raises: StoreError."""
    folder = path.parent
    if not folder.is_dir():
        if folder.exists():
            raise StoreError(f"{path}: cannot be opened: {folder} is a file; expected a folder")
        line = command_line("mkdir -p", folder)
        raise StoreError(f"{path}: cannot be opened: the folder {folder} does not exist; create it: {line}")
    if read_only:
        raise StoreError(f"{path}: no such store; `assay run` or `assay train` creates one")
    if not path.exists() and (kind := kind_of_name(path)):
        raise StoreError(f"{path}: by its name {kind}; expected the file of a store, such as assay.db")


def interrupted_repair(path: Path) -> Path:
    """The file that is there while a repair in place moves the files of a store."""
    return path.with_name(path.name + ".repair")


def refuse_interrupted_repair(path: Path) -> None:
    """Refuses a store whose files a repair was moving when it was interrupted. Raises: StoreError."""
    if os.path.lexists(interrupted_repair(path)):
        line = command_line("assay store repair --in-place", store=str(path))
        raise StoreError(f"{path}: damaged: its repair was interrupted; `{line}` finishes it")


def _damaged(where: object, how: str) -> str:
    line = command_line("assay store repair", store=str(where))
    return f"{where}: damaged: {how}; `{line}` saves what can be read into a new file"


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


def _sentence(where: str, error: Exception, busy_seconds: float) -> str:
    """A sentence for an error of the database."""
    cause = str(error.orig if isinstance(error, DBAPIError) and error.orig is not None else error).strip()
    folded = cause.casefold()
    if "disk is full" in folded or "no space" in folded or "disk i/o error" in folded:
        return f"{where}: no space left on the disk ({cause}); stored results are safe, and the same command resumes"
    if "malformed" in folded or "not a database" in folded or "corrupt" in folded:
        return _damaged(where, cause)
    if "too big" in folded:
        return _damaged(where, f"a cell has more than {STORE_CELL_BYTES}")
    if "readonly" in folded or "unable to open" in folded or "read-only" in folded:
        return f"{where}: cannot be opened for writing ({cause}); expected a file in a folder that may be written to"
    if "locked" in folded:
        return f"{where}: locked by another program for more than {busy_seconds:.0f} s"
    return f"{where}: {cause.splitlines()[0] if cause else type(error).__name__}"


class _HasDatabase(Protocol):
    database: Database


def whole(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """A method whose only transaction is run again as a whole where the server was lost within it (`Database.whole`).

    Running it twice must do what running it once does.
    """

    @wraps(method)
    def call(self: S, *values: P.args, **named: P.kwargs) -> T:
        return self.database.whole(lambda _: method(self, *values, **named))

    return call


def _is_lost(error: Exception) -> bool:
    """Whether a server's error says nothing against the transaction, which may be run again."""
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # libpq's own: there is no connection, or no longer
        return error.connection_invalidated or isinstance(error, OperationalError)
    return str(state).startswith(_LOST_STATES)


def insert_missing(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> bool:
    """Inserts a row if the table lacks its key, also while other transactions insert it; returns whether it did."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return connection.execute(dialect.insert(table).values(**row).on_conflict_do_nothing()).rowcount == 1


def is_virtual(text: object) -> bool:
    """Whether the SQL of a table in a schema is that of a virtual table."""
    return str(text).lstrip().upper().startswith("CREATE VIRTUAL")


def rows_at_once(database: Database, connection: sa.Connection, table: sa.Table, most: int) -> int:
    """How many rows of a table may be read at once, so that their cells stay below 256 MiB however large they are."""
    if database.path is None or database.path.stat().st_size <= _BYTES_AT_ONCE:
        return most
    sizes = [sa.func.coalesce(sa.func.length(column), 0) for column in table.columns]
    largest = connection.execute(sa.select(sa.func.max(sum(sizes[1:], sizes[0])))).scalar() or 0
    return max(1, min(most, _BYTES_AT_ONCE // max(1, int(largest))))


def chunks(keys: Sequence[T]) -> Iterator[Sequence[T]]:
    """Keys in portions for one query each; SQLite and PostgreSQL limit the variables of a statement."""
    for start in range(0, len(keys), _KEYS):
        yield keys[start : start + _KEYS]
