"""The integrity of a store: checking, repairing and vacuuming it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from assay.errors import AssayError, StoreError
from assay.recipe.model import Recipe
from assay.store import benches
from assay.store.columns import wrong_rows
from assay.store.database import rows_at_once
from assay.store.holder import Holder
from assay.store.imported import history_of
from assay.store.rows import check_row
from assay.store.schema import (
    bench,
    imported,
    machine,
    member,
    progress,
    result,
    search,
    search_job,
    study,
    trajectory,
    trial,
)
from assay.store.store import Store
from assay.studies.keys import is_same_training
from assay.system.files import write_atomically
from assay.training.checkpoints import described_in

_ROWS = 2000  # read at once
Show = Callable[[str, int, int], None]
"""Is given what is being done, how much of it is done, and of how much."""


def silent(what: str, done: int, total: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class Defect:
    """A defect of a store.

    Attributes:
        kind: "damaged", "unreadable", "missing", "foreign", "orphan" or "lease".
        subject: the key of the row, the name of the artifact or the name of the store.
        sentence: a description.
    """

    kind: str
    subject: str
    sentence: str


def check(store: Store, show: Show = silent) -> list[Defect]:
    """All defects of a store, the most serious first. Changes nothing. `show` is given what is done."""
    show("the database", 0, 1)
    return [*_database(store), *_rows(store, show), *_artifacts(store, show), *_leases(store)]


def _database(store: Store) -> Iterator[Defect]:
    if store.database.path is None:
        return
    with store.database.read() as connection:
        for (line,) in connection.exec_driver_sql("PRAGMA integrity_check"):
            if line != "ok":
                yield Defect("damaged", store.name, f"SQLite reports: {line}")
        for row in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            yield Defect("damaged", store.name, f"a row of {row[0]} refers to a missing row of {row[2]}")


def _rows(store: Store, show: Show) -> Iterator[Defect]:
    with store.database.read() as connection:
        for table, key, noun in _CHECKED:
            total, done = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one(), 0
            size = rows_at_once(store.database, connection, table, _ROWS)
            found = connection.execution_options(yield_per=size).execute(sa.select(table))
            for rows in found.mappings().partitions():
                done += len(rows)
                show(f"rows of {table.name}", done, int(total))
                for number, reason in sorted(wrong_rows(table.name, [dict(row) for row in rows]).items()):
                    subject = str(rows[number][key])
                    yield Defect("unreadable", subject, f"the {noun} {subject[:8]} cannot be read: {reason}")
        for row in connection.execute(sa.select(bench)).mappings():
            try:
                check_row("bench", dict(row))
                benches.read(row["key"], row["content"])
            except (StoreError, ValueError) as error:
                reason = (
                    str(error) if isinstance(error, StoreError) else f"bench {row['key']!s:.8} cannot be read: {error}"
                )
                yield Defect("unreadable", str(row["key"]), reason)
        for row in connection.execute(sa.select(imported)).mappings():
            try:
                check_row("imported", dict(row))
                history_of(dict(row))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                reason = str(error).splitlines()[0][:200]
                yield Defect("unreadable", row["key"], f"the imported curve {row['key'][:8]} cannot be read: {reason}")


def owners(store: Store) -> dict[str, str]:
    """The name of every artifact that is referenced, and a description of the row that refers to it."""
    with store.database.read() as connection:
        checkpoints = sa.select(trajectory.c.checkpoint, trajectory.c.key).where(trajectory.c.checkpoint.is_not(None))
        results = sa.select(result.c.artifact, result.c.trial).where(result.c.artifact.is_not(None))
        described = {name: f"trajectory {key[:8]}" for name, key in connection.execute(checkpoints)}
        return described | {name: f"trial {key[:8]}" for name, key in connection.execute(results)}


def _artifacts(store: Store, show: Show) -> Iterator[Defect]:
    owner_of = owners(store)
    show("weights", 0, len(owner_of))
    existing = set(store.artifacts.names())
    for name, owner in owner_of.items():
        if name not in existing:
            yield Defect("missing", name, f"artifact {name[:16]} of {owner} is missing")
    foreign = _Foreign(store)
    for name, error in store.artifacts.wrong([name for name in owner_of if name in existing], foreign):
        yield Defect("missing", name, f"artifact of {owner_of[name]}: {error}")
    yield from foreign.defects
    for name in sorted(existing - set(owner_of)):
        yield Defect("orphan", name, f"artifact {name[:16]} is not referenced; `assay store vacuum` removes it")


class _Foreign:
    """Notes weights that are of another training than that of the row that refers to them."""

    def __init__(self, store: Store) -> None:
        ends = sa.select(result.c.artifact, result.c.trial, trial.c.recipe, result.c.iterations)
        starts = sa.select(trajectory.c.checkpoint, trajectory.c.key, trial.c.recipe, trajectory.c.iteration)
        ends = ends.join(trial, trial.c.key == result.c.trial).where(result.c.artifact.is_not(None))
        starts = starts.join(trial, trial.c.trajectory == trajectory.c.key).where(trajectory.c.checkpoint.is_not(None))
        self._owners: dict[str, dict[str, tuple[str, Any]]] = {}
        with store.database.read() as connection:
            for query in (ends, starts):
                for name, key, recipe, iterations in connection.execute(query):
                    self._owners.setdefault(name, {})[key] = recipe, iterations
        self.defects: list[Defect] = []

    def __call__(self, name: str, content: bytes) -> None:
        for key, (recipe, iterations) in self._owners.get(name, {}).items():
            if sentence := _foreign(content, recipe, iterations):
                self.defects.append(Defect("foreign", key, f"artifact {name[:16]} of {key[:8]}: {sentence}"))


def _foreign(content: bytes, text: str, iterations: Any) -> str:
    """Why weights are not those of a training of the recipe that ended at the iteration; empty if they are.

    What is no checkpoint, or has a recipe that cannot be read, is said where it is used.
    """
    try:
        about, planned = described_in(content, source="its file"), json.loads(text)
        if about["recipe"] != planned:  # those of one trajectory may differ in their budgets
            recipes = [Recipe.stored(raw, code=about["code"]) for raw in (about["recipe"], planned)]
            if not is_same_training(*recipes):
                return "its weights are of a training of another recipe"
        t = about["t"]
    except (AssayError, KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return ""
    return "" if iterations in (None, t) else f"its weights are of iteration {t!r:.30}; expected {iterations!r:.30}"


def _leases(store: Store) -> Iterator[Defect]:
    with store.database.read() as connection:
        now = store.database.now(connection)
        shared_clock = store.database.path is None  # an expiry by the clock of another machine proves nothing
        for row in connection.execute(sa.select(trajectory).where(trajectory.c.token.is_not(None))):
            ended = Holder(row.host, row.boot, row.pid, row.started).gone()
            if ended or (shared_clock and row.expires < now):
                state = "which has ended" if ended else "whose lease has expired"
                holder = f"process {row.pid} on {row.host}, {state}"
                yield Defect("lease", row.key, f"trajectory {row.key[:8]} is leased to {holder}; it can be taken over")


_CHECKED = (
    (trial, "key", "trial"),
    (result, "trial", "result of trial"),
    (machine, "hash", "machine"),
    (study, "name", "study"),
    (member, "trial", "member of a study with trial"),
    (progress, "trajectory", "progress of trajectory"),
    (search, "digest", "search"),
    (search_job, "trial", "decision of a search for trial"),
)

_QUARANTINES = (
    (member, member.c.trial, "quarantined the members of studies with trial {}; run the study again"),
    (result, result.c.trial, "quarantined the result of trial {}; it will be trained again"),
    (trial, trial.c.key, "quarantined trial {}; run its study again"),
    (search, search.c.digest, "quarantined what search {} resolved; running it again resolves it anew"),
    (search_job, search_job.c.trial, "quarantined the decision for trial {}; running its search again decides it"),
    (bench, bench.c.key, "quarantined bench {}"),
    (progress, progress.c.trajectory, "removed the progress of trajectory {}"),
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
                    rows = connection.execute(sa.select(table).where(key == defect.subject)).mappings().all()
                    if rows:
                        quarantined += map(dict, rows)
                        connection.execute(sa.delete(table).where(key == defect.subject))
                        repairs.append(sentence.format(defect.subject[:8]))
                repairs += _emptied(connection, defect.subject, quarantined)
            elif defect.kind == "missing":
                checkpoints = sa.update(trajectory).where(trajectory.c.checkpoint == defect.subject)
                connection.execute(checkpoints.values(checkpoint=None, iteration=0))
                artifacts = sa.update(result).where(result.c.artifact == defect.subject)
                connection.execute(artifacts.values(artifact=None))
                repairs.append(f"dropped the reference to artifact {defect.subject[:16]}")
            elif defect.kind == "foreign":
                checkpoints = sa.update(trajectory).where(trajectory.c.key == defect.subject)
                connection.execute(checkpoints.values(checkpoint=None, iteration=0))
                artifacts = sa.update(result).where(result.c.trial == defect.subject)
                connection.execute(artifacts.values(artifact=None))
                repairs.append(f"dropped the weights of {defect.subject[:8]}, which are of another training")
            elif defect.kind == "lease":
                leased = sa.update(trajectory).where(trajectory.c.key == defect.subject)
                connection.execute(leased.values(token=None, expires=None))
                repairs.append(f"released the lease of trajectory {defect.subject[:8]}")
        if quarantined and store.database.path is not None:
            path = store.database.path.with_name(store.database.path.name + ".quarantine.jsonl")
            old = path.read_bytes() if path.exists() else b""
            new = "".join(json.dumps(row, default=_as_text) + "\n" for row in quarantined).encode()
            write_atomically(path, old + new)
            repairs.append(f"the quarantined rows are in {path}")
    return repairs


def _as_text(value: object) -> str:
    """A cell that JSON cannot hold; the bytes of a curve in hex, so that nothing of them is lost."""
    return value.hex() if isinstance(value, bytes) else str(value)


_EMPTIED = (
    (machine, machine.c.hash, {"description": "{}"}, "emptied the description of machine {}"),
    (study, study.c.name, {"definition": "{}", "digest": None}, "emptied the definition of study {}; run it again"),
)


def _emptied(connection: sa.Connection, subject: str, quarantined: list[dict[str, Any]]) -> list[str]:
    """Empties what is damaged of a machine or a study, to which other rows refer; adds the old row to `quarantined`."""
    repairs: list[str] = []
    for table, key, values, sentence in _EMPTIED:
        row = connection.execute(sa.select(table).where(key == subject)).mappings().first()
        if row is not None:
            quarantined.append(dict(row))
            connection.execute(sa.update(table).where(key == subject).values(**values))
            repairs.append(sentence.format(subject[:80]))
    return repairs


def vacuum(store: Store, show: Show = silent) -> tuple[int, int]:
    """Removes unreferenced artifacts and releases unused space; returns the number of artifacts and their bytes.

    A process that is storing a trial may have written its artifact but not yet its row. Artifacts of the last hour
    are therefore kept.
    """
    unused = store.artifacts.unused(owners(store))
    show("weights", 0, len(unused))
    store.artifacts.discard([name for name, _ in unused])
    show("the database", 0, 1)
    if store.database.path is not None:
        with store.database.explaining(), store.database.engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            raw.execute("VACUUM")
    return len(unused), sum(size for _, size in unused)
