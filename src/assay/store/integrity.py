"""The integrity of a store: checking, repairing, vacuuming, and salvaging a damaged database."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from assay.errors import AssayError, StoreError
from assay.recipe.model import Recipe
from assay.store import benches
from assay.store.holder import Holder
from assay.store.imported import history_of
from assay.store.records import points_of, stored_machine
from assay.store.schema import bench, imported, machine, metadata, result, trajectory, trial
from assay.store.store import Store
from assay.system.files import write_atomically
from assay.training.history import Outcome


@dataclass(frozen=True)
class Defect:
    """A defect of a store.

    Attributes:
        kind: "damaged", "unreadable", "missing", "orphan" or "lease".
        subject: the key of the row, the name of the artifact or the name of the store.
        sentence: a description.
    """

    kind: str
    subject: str
    sentence: str


def check(store: Store) -> list[Defect]:
    """All defects of a store, the most serious first. Changes nothing."""
    return [*_database(store), *_rows(store), *_artifacts(store), *_leases(store)]


def _database(store: Store) -> Iterator[Defect]:
    if store.database.path is None:
        return
    with store.database.read() as connection:
        for (line,) in connection.exec_driver_sql("PRAGMA integrity_check"):
            if line != "ok":
                yield Defect("damaged", store.name, f"SQLite reports: {line}")
        for row in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            yield Defect("damaged", store.name, f"a row of {row[0]} refers to a missing row of {row[2]}")


def _rows(store: Store) -> Iterator[Defect]:
    columns = (result.c.trial, result.c.outcome, result.c.curve, result.c.ledger, result.c.warnings, trial.c.recipe)
    with store.database.read() as connection:
        query = sa.select(*columns).join(trial, trial.c.key == result.c.trial)
        for row in connection.execute(query):
            try:
                Outcome(row.outcome)
                points_of(row.curve)
                json.loads(row.ledger)
                json.loads(row.warnings)
                Recipe.stored(json.loads(row.recipe))
            except (ValueError, TypeError, KeyError, AssayError, IndexError) as error:
                reason = str(error).splitlines()[0][:200]
                yield Defect("unreadable", row.trial, f"the result of trial {row.trial[:8]} cannot be read: {reason}")
        for row in connection.execute(sa.select(bench.c.key, bench.c.content)):
            try:
                benches.read(row.key, row.content)
            except StoreError as error:
                yield Defect("unreadable", row.key, str(error))
        for row in connection.execute(sa.select(imported)).mappings():
            try:
                history_of(dict(row))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                reason = str(error).splitlines()[0][:200]
                yield Defect("unreadable", row["key"], f"the imported curve {row['key'][:8]} cannot be read: {reason}")


def _owners(store: Store) -> dict[str, str]:
    """The name of every artifact that is referenced, and a description of the row that refers to it."""
    with store.database.read() as connection:
        checkpoints = sa.select(trajectory.c.checkpoint, trajectory.c.key).where(trajectory.c.checkpoint.is_not(None))
        results = sa.select(result.c.artifact, result.c.trial).where(result.c.artifact.is_not(None))
        owners = {name: f"trajectory {key[:8]}" for name, key in connection.execute(checkpoints)}
        return owners | {name: f"trial {key[:8]}" for name, key in connection.execute(results)}


def _artifacts(store: Store) -> Iterator[Defect]:
    owners = _owners(store)
    existing = set(store.artifacts.names())
    for name, owner in owners.items():
        if name not in existing:
            yield Defect("missing", name, f"artifact {name[:16]} of {owner} is missing")
            continue
        try:
            store.artifacts.get(name)
        except StoreError as error:
            yield Defect("missing", name, f"artifact of {owner}: {error}")
    for name in sorted(existing - set(owners)):
        yield Defect("orphan", name, f"artifact {name[:16]} is not referenced; `assay store vacuum` removes it")


def _leases(store: Store) -> Iterator[Defect]:
    with store.database.read() as connection:
        now = store.database.now(connection)
        for row in connection.execute(sa.select(trajectory).where(trajectory.c.token.is_not(None))):
            ended = Holder(row.host, row.boot, row.pid, row.started).gone()
            if ended or row.expires < now:
                state = "which has ended" if ended else "whose lease has expired"
                holder = f"process {row.pid} on {row.host}, {state}"
                yield Defect("lease", row.key, f"trajectory {row.key[:8]} is leased to {holder}; it can be taken over")


_QUARANTINES = (
    (result, result.c.trial, "quarantined the result of trial {}; it will be trained again"),
    (bench, bench.c.key, "quarantined bench {}"),
    (imported, imported.c.key, "quarantined the imported curve {}; import its log again"),
)


def repair(store: Store) -> list[str]:
    """Repairs the defects that `check` finds; returns a sentence for each repair.

    Unreadable results are moved to quarantine and will be trained again. References to missing artifacts are dropped,
    and the leases of ended processes are released.
    """
    repairs: list[str] = []
    defects = check(store)
    quarantined: list[dict[str, Any]] = []
    with store.database.write() as connection:
        for defect in defects:
            if defect.kind == "unreadable":
                for table, key, sentence in _QUARANTINES:
                    row = connection.execute(sa.select(table).where(key == defect.subject)).mappings().first()
                    if row is not None:
                        quarantined.append(dict(row))
                        connection.execute(sa.delete(table).where(key == defect.subject))
                        repairs.append(sentence.format(defect.subject[:8]))
            elif defect.kind == "missing":
                checkpoints = sa.update(trajectory).where(trajectory.c.checkpoint == defect.subject)
                connection.execute(checkpoints.values(checkpoint=None, iteration=0))
                artifacts = sa.update(result).where(result.c.artifact == defect.subject)
                connection.execute(artifacts.values(artifact=None))
                repairs.append(f"dropped the reference to artifact {defect.subject[:16]}")
            elif defect.kind == "lease":
                leased = sa.update(trajectory).where(trajectory.c.key == defect.subject)
                connection.execute(leased.values(token=None, expires=None))
                repairs.append(f"released the lease of trajectory {defect.subject[:8]}")
        if quarantined and store.database.path is not None:
            path = store.database.path.with_name(store.database.path.name + ".quarantine.jsonl")
            old = path.read_bytes() if path.exists() else b""
            new = "".join(json.dumps(row, default=str) + "\n" for row in quarantined).encode()
            write_atomically(path, old + new)
            repairs.append(f"the quarantined rows are in {path}")
    return repairs


def vacuum(store: Store) -> tuple[int, int]:
    """Removes unreferenced artifacts and releases unused space; returns the number of artifacts and their bytes.

    A process that is storing a trial may have written its artifact but not yet its row. Artifacts of the last hour
    are therefore kept.
    """
    owners = _owners(store)
    count = size = 0
    for name in list(store.artifacts.names()):
        if name in owners or store.artifacts.is_young(name):
            continue
        size += len(store.artifacts.get(name))
        store.artifacts.remove(name)
        count += 1
    if store.database.path is not None:
        with store.database.engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            raw.execute("VACUUM")
    return count, size


# --- a database that cannot be opened --------------------------------------------------------------------------------


def salvage(path: Path) -> tuple[Path, int]:
    """Copies every readable row of a damaged SQLite file into a new store in the same folder.

    The damaged file is not changed. Returns the new file and the number of results in it. Raises: StoreError.
    """
    target = path.with_name(f"{path.name}.repaired")
    if target.exists():
        raise StoreError(f"{target}: already exists; move it away first")
    padded = path.with_name(f"{path.name}.whole")
    _copy_padded(path, padded)
    source = sqlite3.connect(f"file:{quote(str(padded.absolute()))}?mode=ro&immutable=1", uri=True)
    store = Store(f"sqlite:///{target}")
    try:
        with store.database.write() as connection:
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
            hashes: dict[Any, Any] = {}
            for table in metadata.sorted_tables:
                names = [c.name for c in table.columns]
                insert = sa.insert(table).prefix_with("OR IGNORE")
                rows = [dict(zip(names, row, strict=True)) for row in _readable_rows(source, table.name, names)]
                if table is machine:  # the damaged store may have an older schema, whose hashes were others
                    hashes = {row["hash"]: _current_hash(row) for row in rows}
                for name in (c.name for c in table.columns if c is machine.c.hash or c.references(machine.c.hash)):
                    rows = [row | {name: hashes.get(row[name], row[name])} for row in rows]
                if rows:
                    connection.execute(insert, rows)
            _drop_dangling_references(connection)
        repair(store)  # a row may have been read whose end was lost
        with store.database.read() as connection:
            results = int(connection.execute(sa.select(sa.func.count()).select_from(result)).scalar_one())
    finally:
        source.close()
        padded.unlink()
        store.close()
    old, new = path.with_name(path.name + ".artifacts"), target.with_name(target.name + ".artifacts")
    if old.is_dir() and not new.exists():
        new.symlink_to(old.name, target_is_directory=True)
    return target, results


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


def _copy_padded(path: Path, copy: Path) -> None:
    """Copies a file, padded to the size in its header; SQLite reads nothing of a shorter file. Raises: StoreError."""
    try:
        shutil.copyfile(path, copy)
        with copy.open("r+b") as file:
            header = file.read(100)
            if not header.startswith(b"SQLite format 3\0") or len(header) < 100:
                raise StoreError(f"{path}: the header of the store is lost")
            page = int.from_bytes(header[16:18], "big")
            size = int.from_bytes(header[28:32], "big") * (65536 if page == 1 else page)
            file.truncate(max(copy.stat().st_size, min(size, 2 * copy.stat().st_size + 2**30)))
    except (OSError, StoreError) as error:
        copy.unlink(missing_ok=True)
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{copy}: cannot be written: {error.strerror or error}") from None


def _readable_rows(source: sqlite3.Connection, table: str, names: list[str]) -> list[tuple[Any, ...]]:
    """The rows of a table, read from both ends up to where it is damaged."""
    by_id: dict[int, tuple[Any, ...]] = {}
    for order in ("ASC", "DESC"):
        try:
            stored = {row[1] for row in source.execute(f'PRAGMA table_info("{table}")')}
            # a column that an older schema lacks is null; by its quoted name, SQLite would read it as a string
            columns = ", ".join(f'"{name}"' if name in stored else "NULL" for name in names)
            rows = source.execute(f'SELECT rowid, {columns} FROM "{table}" ORDER BY rowid {order}')  # noqa: S608
            while (row := rows.fetchone()) is not None:
                by_id[row[0]] = row[1:]
            break
        except sqlite3.DatabaseError:
            continue
    return [by_id[key] for key in sorted(by_id)]
