"""Is a store sound? What is wrong with it, what can be mended, and what takes room for nothing."""

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
from assay.store.imported import history_of
from assay.store.leases import Holder
from assay.store.records import points_of, stored_machine
from assay.store.schema import bench, imported, machine, metadata, result, trajectory, trial
from assay.store.store import Store
from assay.system.files import write_atomically
from assay.training.history import Outcome


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong or superfluous: its kind, what it concerns, and a sentence."""

    kind: str  # damaged | unreadable | curve | missing | orphan | lease
    subject: str
    sentence: str


def check(store: Store) -> list[Defect]:
    """Everything that is not as it should be, worst first; nothing is changed."""
    return [*_database(store), *_rows(store), *_artifacts(store), *_leases(store)]


def _database(store: Store) -> Iterator[Defect]:
    if store.database.path is None:
        return
    with store.database.read() as connection:
        for (line,) in connection.exec_driver_sql("PRAGMA integrity_check"):
            if line != "ok":
                yield Defect("damaged", store.name, f"SQLite says: {line}")
        for row in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            yield Defect("damaged", store.name, f"a row of {row[0]} names one of {row[2]} that is not there")


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
                said = str(error).splitlines()[0][:200]
                yield Defect("unreadable", row.trial, f"the result of trial {row.trial[:8]} cannot be read: {said}")
        for row in connection.execute(sa.select(bench.c.key, bench.c.content)):
            try:
                benches.read(row.key, row.content)
            except StoreError as error:
                yield Defect("unreadable", row.key, str(error))
        for row in connection.execute(sa.select(imported)).mappings():
            try:
                history_of(dict(row))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                said = str(error).splitlines()[0][:200]
                yield Defect("unreadable", row["key"], f"the imported curve {row['key'][:8]} cannot be read: {said}")


def _named(store: Store) -> dict[str, str]:
    """Every artifact that a row names, and the row."""
    with store.database.read() as connection:
        checkpoints = sa.select(trajectory.c.checkpoint, trajectory.c.key).where(trajectory.c.checkpoint.is_not(None))
        results = sa.select(result.c.artifact, result.c.trial).where(result.c.artifact.is_not(None))
        found = {name: f"trajectory {key[:8]}" for name, key in connection.execute(checkpoints)}
        return found | {name: f"trial {key[:8]}" for name, key in connection.execute(results)}


def _artifacts(store: Store) -> Iterator[Defect]:
    named = _named(store)
    there = set(store.artifacts.names())
    for name, owner in named.items():
        if name not in there:
            yield Defect("missing", name, f"artifact {name[:16]} of {owner} is not there")
            continue
        try:
            store.artifacts.get(name)
        except StoreError as error:
            yield Defect("missing", name, f"artifact of {owner}: {error}")
    for name in sorted(there - set(named)):
        yield Defect("orphan", name, f"artifact {name[:16]} belongs to nothing; `assay store vacuum` removes it")


def _leases(store: Store) -> Iterator[Defect]:
    with store.database.read() as connection:
        now = store.database.now(connection)
        for row in connection.execute(sa.select(trajectory).where(trajectory.c.token.is_not(None))):
            gone = Holder(row.host, row.boot, row.pid, row.started).gone()
            if gone or row.expires < now:
                how = f"process {row.pid} on {row.host}, " + ("which has ended" if gone else "which let it expire")
                yield Defect("lease", row.key, f"trajectory {row.key[:8]} is leased to {how}; it will be taken over")


def repair(store: Store) -> list[str]:
    """Mends what `check` finds: unreadable results are set aside and will be trained again, references to missing
    artifacts are dropped, leases of ended processes freed. Returns a sentence for each."""
    done: list[str] = []
    findings = check(store)
    aside: list[dict[str, Any]] = []
    with store.database.write() as connection:
        for finding in findings:
            if finding.kind == "unreadable":
                for table, key, said in (
                    (result, result.c.trial, "the result of trial {} aside; it will be trained again"),
                    (bench, bench.c.key, "bench {} aside"),
                    (imported, imported.c.key, "the imported curve {} aside; import its log again"),
                ):
                    row = connection.execute(sa.select(table).where(key == finding.subject)).mappings().first()
                    if row is not None:
                        aside.append(dict(row))
                        connection.execute(sa.delete(table).where(key == finding.subject))
                        done.append(f"set {said.format(finding.subject[:8])}")
            elif finding.kind == "missing":
                gone = {"checkpoint": None, "iteration": 0}
                mine = trajectory.c.checkpoint == finding.subject
                connection.execute(sa.update(trajectory).where(mine).values(**gone))
                lost = result.c.artifact == finding.subject
                connection.execute(sa.update(result).where(lost).values(artifact=None))
                done.append(f"dropped the reference to artifact {finding.subject[:16]}")
            elif finding.kind == "lease":
                freed = {"token": None, "expires": None}
                connection.execute(sa.update(trajectory).where(trajectory.c.key == finding.subject).values(**freed))
                done.append(f"freed the lease of trajectory {finding.subject[:8]}")
        if aside and store.database.path is not None:
            path = store.database.path.with_name(store.database.path.name + ".quarantine.jsonl")
            old = path.read_bytes() if path.exists() else b""
            new = "".join(json.dumps(row, default=str) + "\n" for row in aside).encode()
            write_atomically(path, old + new)
            done.append(f"what was set aside is in {path}")
    return done


def vacuum(store: Store) -> tuple[int, int]:
    """Removes artifacts that nothing names and gives unused room back; returns how many, and their bytes.

    A process that is storing a trial at this moment may have written its artifact and not yet its row: artifacts of
    the last hour are left alone where they are files.
    """
    named = _named(store)
    count = size = 0
    for name in list(store.artifacts.names()):
        if name in named or store.artifacts.is_young(name):
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
    """Copies every row that can be read from a damaged SQLite file into a new store beside it.

    Returns the new file and the number of results in it. Raises: StoreError. The damaged file is not touched.
    """
    target = path.with_name(f"{path.name}.repaired")
    if target.exists():
        raise StoreError(f"{target}: is there already; move it away first")
    whole = path.with_name(f"{path.name}.whole")
    _padded(path, whole)
    source = sqlite3.connect(f"file:{quote(str(whole.absolute()))}?mode=ro&immutable=1", uri=True)
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
            for table in metadata.sorted_tables:  # those that others name come first
                for column in table.columns:
                    for reference in column.foreign_keys:
                        there = sa.select(reference.column)
                        lost = sa.and_(column.is_not(None), column.not_in(there))
                        if column.nullable and not column.primary_key:
                            connection.execute(sa.update(table).where(lost).values({column: None}))
                        else:
                            connection.execute(sa.delete(table).where(lost))
        repair(store)  # a row may have been read whose end was lost
        with store.database.read() as connection:
            kept = int(connection.execute(sa.select(sa.func.count()).select_from(result)).scalar_one())
    finally:
        source.close()
        whole.unlink()
        store.close()
    old, new = path.with_name(path.name + ".artifacts"), target.with_name(target.name + ".artifacts")
    if old.is_dir() and not new.exists():
        new.symlink_to(old.name, target_is_directory=True)
    return target, kept


def _current_hash(row: dict[str, Any]) -> Any:
    """A machine's hash by its description; as it was read where the description is damaged."""
    try:
        return stored_machine(row)["hash"]
    except (ValueError, TypeError):
        return row["hash"]


def _padded(path: Path, copy: Path) -> None:
    """A copy as long as the header says: SQLite reads nothing at all of a file that is shorter. Raises: StoreError."""
    try:
        shutil.copyfile(path, copy)
        with copy.open("r+b") as file:
            header = file.read(100)
            if not header.startswith(b"SQLite format 3\0") or len(header) < 100:
                raise StoreError(f"{path}: not even the header of a store is left")
            page = int.from_bytes(header[16:18], "big")
            size = int.from_bytes(header[28:32], "big") * (65536 if page == 1 else page)
            file.truncate(max(copy.stat().st_size, min(size, 2 * copy.stat().st_size + 2**30)))
    except (OSError, StoreError) as error:
        copy.unlink(missing_ok=True)
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{copy}: cannot be written: {error.strerror or error}") from None


def _readable_rows(source: sqlite3.Connection, table: str, names: list[str]) -> list[tuple[Any, ...]]:
    """A table's rows from both ends up to where it cannot be read."""
    found: dict[int, tuple[Any, ...]] = {}
    for order in ("ASC", "DESC"):
        try:
            columns = ", ".join(f'"{name}"' for name in names)
            rows = source.execute(f'SELECT rowid, {columns} FROM "{table}" ORDER BY rowid {order}')  # noqa: S608
            while (row := rows.fetchone()) is not None:
                found[row[0]] = row[1:]
            break
        except sqlite3.DatabaseError:
            continue
    return [found[key] for key in sorted(found)]
