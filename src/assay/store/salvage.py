"""Salvaging a damaged SQLite file: every row that can still be read, in a new store."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from assay.errors import FileError, StoreError
from assay.store.curves import packed_text
from assay.store.database import distrusting, interrupted_repair, is_virtual, refuse_interrupted_repair
from assay.store.integrity import repair
from assay.store.records import stored_machine
from assay.store.schema import machine, metadata, result
from assay.store.store import Store
from assay.system.files import read_limited, sync_folder, write_atomically
from assay.system.limits import REPAIR_BYTES

_LOCK_BYTES = {"": (2**30, 512), "-shm": (120, 9)}  # where SQLite locks the file, and the index of its log
_COMPANIONS = ("-wal", "-shm")


def salvage(path: Path) -> tuple[Path, int]:
    """Copies every readable row of a damaged SQLite file, its write-ahead log included, into a new store next to it.

    The damaged files are not changed.

    Returns:
        The new file and the number of results in it.

    Raises:
        StoreError: A program has the file open, the new file exists already, or nothing can be read.
    """
    refuse_interrupted_repair(path)
    _check_unused(path)
    target = path.with_name(f"{path.name}.repaired")
    if target.exists():
        raise StoreError(f"{target}: already exists; move it away first")
    unfinished, results = _salvaged(path)
    unfinished.rename(target)
    link = _artifacts(unfinished)
    if link.is_symlink():
        link.rename(_artifacts(target))
    return target, results


def salvage_in_place(path: Path) -> tuple[Path, int]:
    """As `salvage`, then puts the new store in the place of the damaged one, whose files are kept under another name.

    A repair that was interrupted while it moved files is finished.

    Returns:
        The new name of the damaged file, and the number of results in the new store.
    """
    journal = interrupted_repair(path)
    if not os.path.lexists(journal):
        _check_unused(path)
        _salvaged(path)
        kept = next(name for i in range(1, 10**6) if not (name := path.with_name(f"{path.name}.damaged-{i}")).exists())
        write_atomically(journal, kept.name.encode())
    kept, unfinished = _kept_name(path, journal), _unfinished(path)
    if unfinished.exists():
        for suffix in (*_COMPANIONS, ""):  # the log first: next to the new file it would be taken for its own
            old, new = Path(f"{path}{suffix}"), Path(f"{kept}{suffix}")
            if old.exists() and os.path.lexists(new):
                raise StoreError(f"{new}: already exists, and {old} would be moved there; move one of them away first")
            with suppress(FileNotFoundError):
                old.rename(new)
        unfinished.rename(path)
    with suppress(OSError):
        _artifacts(unfinished).unlink()  # a link to the folder that the store has again
    sync_folder(path.parent)
    journal.unlink()
    store = Store(str(path))
    try:
        return kept, _count(store)
    finally:
        store.close()


def _kept_name(path: Path, journal: Path) -> Path:
    """The name for the damaged file that an interrupted repair has noted. Raises: StoreError if no repair noted it."""
    try:
        name = read_limited(journal, REPAIR_BYTES).decode("utf-8", "replace")
    except FileError as error:
        name = str(error)
    number = name.removeprefix(f"{path.name}.damaged-")
    if name == number or not (number.isascii() and number.isdigit()):
        raise StoreError(f"{journal}: not written by `assay store repair`; move it away, then run the command again")
    return path.with_name(name)


def _salvaged(path: Path) -> tuple[Path, int]:
    """Copies what can be read into an unfinished new store next to a damaged one; returns it and its results."""
    unfinished, copy = _unfinished(path), path.with_name(f"{path.name}.whole")
    _remove(unfinished)  # of a repair that was interrupted
    with suppress(OSError):
        _artifacts(unfinished).unlink()
    if _artifacts(path).is_dir():  # before the rows, or their weights would be missing
        _artifacts(unfinished).symlink_to(_artifacts(path).name, target_is_directory=True)
    try:
        _copy_whole(path, copy)
        return unfinished, _copy_rows(copy, unfinished)
    except BaseException:
        _remove(unfinished)
        with suppress(OSError):
            _artifacts(unfinished).unlink()
        raise
    finally:
        _remove(copy)


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.repairing")


def _artifacts(path: Path) -> Path:
    return path.with_name(path.name + ".artifacts")


def _remove(path: Path) -> None:
    """Removes a database with its companions."""
    for suffix in ("", *_COMPANIONS):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _check_unused(path: Path) -> None:
    """Refuses a file that another process has open, as SQLite's own locks tell. Raises: StoreError."""
    for suffix, (start, length) in _LOCK_BYTES.items():
        try:
            file = os.open(f"{path}{suffix}", os.O_RDWR)
        except OSError:  # without the file nobody holds it; without permission, the copy fails with its own sentence
            continue
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
        except OSError:
            raise StoreError(f"{path}: another program has it open; end that program, then repair the store") from None
        finally:
            os.close(file)


def _copy_whole(path: Path, copy: Path) -> None:
    """Copies a database with its write-ahead log, and writes the log's complete transactions into the copy.

    The copy is padded to the size in its header, because SQLite reads nothing of a shorter file. Raises: StoreError.
    """
    log, log_copy = Path(f"{path}-wal"), Path(f"{copy}-wal")
    try:
        shutil.copyfile(path, copy)
        if log.exists():
            shutil.copyfile(log, log_copy)
        _pad(path, copy, has_log=log.exists())
    except OSError as error:
        raise StoreError(f"{copy}: cannot be written: {error.strerror or error}") from None
    connection = sqlite3.connect(copy, isolation_level=None)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    except (sqlite3.Error, UnicodeDecodeError):  # the log does not help; what is in the file is still read
        pass
    finally:
        connection.close()
    log_copy.unlink(missing_ok=True)
    with suppress(OSError):
        _pad(path, copy, has_log=False)


def _pad(path: Path, copy: Path, *, has_log: bool) -> None:
    """Extends a copy to the size in its header. Raises: StoreError if the header is lost and no log can replace it."""
    with copy.open("r+b") as file:
        header = file.read(100)
        if not header.startswith(b"SQLite format 3\0") or len(header) < 100:
            if has_log:
                return
            raise StoreError(f"{path}: the header of the store is lost")
        page, size = int.from_bytes(header[16:18], "big"), copy.stat().st_size
        whole = int.from_bytes(header[28:32], "big") * (65536 if page == 1 else page)
        file.truncate(max(size, min(whole, 2 * size + 2**30)))


def _copy_rows(copy: Path, target: Path) -> int:
    """Copies the readable rows of a database into a new store; returns the number of results."""
    source = distrusting(sqlite3.connect(f"file:{quote(str(copy.absolute()))}?mode=ro&immutable=1", uri=True))
    store = Store(str(target))
    try:
        with store.database.write() as connection:
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
            hashes: dict[Any, Any] = {}
            for table in metadata.sorted_tables:
                names = _stored_columns(source, table)
                insert = sa.insert(table).prefix_with("OR IGNORE")
                rows = [dict(zip(names, row, strict=True)) for row in _readable_rows(source, table.name, names)]
                if table is machine:  # the damaged store may have an older schema, whose hashes were others
                    hashes = {row["hash"]: _current_hash(row) for row in rows}
                rows = [row | {"curve": _current_curve(row["curve"])} if "curve" in row else row for row in rows]
                for name in (c.name for c in table.columns if c is machine.c.hash or c.references(machine.c.hash)):
                    rows = [row | {name: hashes.get(row[name], row[name])} for row in rows]
                if rows:
                    connection.execute(insert, rows)
            _drop_dangling_references(connection)
        repair(store)  # a row may have been read whose end was lost
        return _count(store)
    finally:
        source.close()
        store.close()


def _count(store: Store) -> int:
    with store.database.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(result)).scalar_one())


def _drop_dangling_references(connection: sa.Connection) -> None:
    """Sets references to missing rows to null, or removes the rows that cannot be without them."""
    for table in metadata.sorted_tables:  # referenced tables come before those that refer to them
        for column in table.columns:
            for reference in column.foreign_keys:
                dangling = sa.and_(column.is_not(None), column.not_in(sa.select(reference.column)))
                if column.nullable and not column.primary_key:
                    connection.execute(sa.update(table).where(dangling).values({column: None}))
                else:
                    connection.execute(sa.delete(table).where(dangling))


def _current_hash(row: dict[str, Any]) -> Any:
    """A machine's hash by its description; as it was read where the description is damaged."""
    try:
        return stored_machine(row)["hash"]
    except (ValueError, TypeError):
        return row["hash"]


def _current_curve(cell: Any) -> Any:
    """A curve as bytes; a store of schema 0005 and before has text, which is left as it is where it is damaged."""
    try:
        return packed_text(cell) if isinstance(cell, str) else cell
    except ValueError:
        return cell


def _stored_columns(source: sqlite3.Connection, table: sa.Table) -> list[str]:
    """The columns of a table that the damaged store has; one with an older schema may lack some.

    A view or a virtual table in place of the table has none: reading it would run SQL of whoever made the file.
    """
    names = [column.name for column in table.columns]
    try:
        kind = source.execute("SELECT type, sql FROM sqlite_master WHERE name = ?", (table.name,)).fetchone()
        if kind is not None and (kind[0] != "table" or is_virtual(kind[1])):
            return []
        stored = {row[1] for row in source.execute(f'PRAGMA table_info("{table.name}")')}
    except sqlite3.DatabaseError:
        return names
    return [name for name in names if name in stored]


def _readable_rows(source: sqlite3.Connection, table: str, names: list[str]) -> list[tuple[Any, ...]]:
    """The rows of a table that can be read: from both ends up to where it is damaged, then those between one by one."""
    if not names:
        return []
    columns = ", ".join(f'"{name}"' for name in names)
    by_id = {row[0]: row[1:] for row in _from_both_ends(source, f'rowid, {columns} FROM "{table}"')}
    for (key,) in _from_both_ends(source, f'rowid FROM "{table}"'):
        if key not in by_id:  # sqlite3 reads a row ahead, so that the one before a damaged row is missing too
            with suppress(sqlite3.DatabaseError):
                row = source.execute(f'SELECT {columns} FROM "{table}" WHERE rowid = ?', (key,)).fetchone()  # noqa: S608
                if row is not None:  # where the order of the numbers is damaged, it may not be found
                    by_id[key] = row
    return [by_id[key] for key in sorted(by_id)]


def _from_both_ends(source: sqlite3.Connection, what: str) -> list[tuple[Any, ...]]:
    """The rows of a query in order of their numbers, and from the other end where one of them cannot be read."""
    read: dict[Any, tuple[Any, ...]] = {}
    for order in ("ASC", "DESC"):
        try:
            rows = source.execute(f"SELECT {what} ORDER BY rowid {order}")
            while (row := rows.fetchone()) is not None:
                read[row[0]] = row
            break
        except sqlite3.DatabaseError:
            continue
    return list(read.values())
