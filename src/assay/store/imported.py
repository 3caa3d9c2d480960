"""Imported curves in a store: one entry per log file, which belongs to a study but is not one of its trials."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from assay.analysis.quantities import CLASSIFIED, QUANTITIES
from assay.errors import NotStoredError, StoreError
from assay.store.curves import packed_points, points_of, text_of
from assay.store.database import Database
from assay.store.queries import Row, condition_on, study_definition
from assay.store.records import dumped
from assay.store.rows import readable
from assay.store.schema import imported, member, result, study, trial
from assay.training.history import History
from assay.training.outcome import Outcome
from assay.training.source import IMPORTED, Source

STUDY = "imported"
"""The study of the curves that are imported without naming a study."""
_ABOUT = {"name": STUDY, "about": "Training logs of other frameworks."}
_WIDE = ("curve", "warnings", "source")


@dataclass(frozen=True)
class Stored:
    """Where an imported curve is stored.

    Attributes:
        key: of the entry.
        study: the name of its study.
        label: the name that tables and legends show.
        before: the label and the study of an earlier import of the same file; "" if there was none.
    """

    key: str
    study: str
    label: str
    before: str


def add(database: Database, history: History, *, study_name: str = "", named: bool = True) -> Stored:
    """Stores an imported curve. It replaces the entry of an earlier import of the same file.

    Args:
        database: of the store.
        history: of the log.
        study_name: the study to add it to; "" keeps that of an earlier import, else it is the study `imported`, which
            is created when it is first needed.
        named: whether the user chose the name; if not, the name of an earlier import is kept, and a name that another
            curve of the study has is replaced by the name of the file with its suffix, or gets a number.

    Raises: StoreError for an unknown study, and for a name that another curve or a configuration of the study has.
    """
    source = history.source
    if source is None:
        raise StoreError("only a curve that was read from a log can be imported")
    if study_name and study_name != STUDY:
        study_definition(database, study_name)  # its error suggests the nearest name
    with database.write() as connection:
        names = sa.select(imported.c.name, study.c.name.label("study")).join(study, study.c.id == imported.c.study)
        old = connection.execute(names.where(imported.c.key == source.key)).first()
        target = study_name or (old.study if old else STUDY)
        name = old.name if old and not named else source.name
        number = _study_id(connection, target, database.now(connection))
        if not old and not named:
            name = free_name(connection, number, source)
        refuse_taken(connection, number, target, name=name, key=source.key)
        row = _row(history, name) | {"study": number, "finished": database.now(connection)}
        connection.execute(sa.delete(imported).where(imported.c.key == source.key))
        connection.execute(sa.insert(imported).values(**row))
    before = f"{old.name}{IMPORTED} of study {old.study}" if old else ""
    return Stored(source.key, target, name + IMPORTED, before)


def _study_id(connection: sa.Connection, name: str, now: float) -> int:
    """The id of a study; the study `imported` is created where it does not exist."""
    number = connection.execute(sa.select(study.c.id).where(study.c.name == name)).scalar()
    if number is not None:
        return int(number)
    values = {"name": STUDY, "definition": dumped(_ABOUT), "created": now, "updated": now}
    return int(connection.execute(sa.insert(study).values(**values)).inserted_primary_key[0])  # pyright: ignore


def free_name(connection: sa.Connection, number: int, source: Source) -> str:
    """The first name for a curve that no other curve and no configuration of the study has."""
    curves = connection.execute(sa.select(imported.c.name).where(imported.c.study == number)).scalars()
    labels = connection.execute(sa.select(member.c.label).where(member.c.study == number)).scalars()
    taken = {*curves, *(label.removesuffix(IMPORTED) for label in labels if label.endswith(IMPORTED))}
    further = f" (training {source.training})" if source.training > 1 else ""
    numbered = (f"{source.name} ({i})" for i in itertools.count(2))
    names = itertools.chain([source.name, source.file + further], numbered)
    return next(name for name in names if name not in taken)


def refuse_taken(connection: sa.Connection, number: int, study_name: str, *, name: str, key: str) -> None:
    """Checks that no other curve and no configuration of the study has the name. Raises: StoreError."""
    same_name = sa.and_(imported.c.study == number, imported.c.name == name, imported.c.key != key)
    other = connection.execute(sa.select(imported.c.source).where(same_name)).scalar()
    if other is not None:
        file = json.loads(other)["file"]
        raise StoreError(
            f"study {study_name!r} has an imported curve {name!r} already, from {file}; give another --name"
        )
    same_label = sa.and_(member.c.study == number, member.c.label == name + IMPORTED)
    if connection.execute(sa.select(member.c.label).where(same_label)).first() is not None:
        raise StoreError(f"study {study_name!r} has a configuration {name + IMPORTED!r}; give another --name")


def remove(database: Database, keys: Iterable[str]) -> int:
    """Removes imported curves; returns their number."""
    with database.write() as connection:
        return sum(connection.execute(sa.delete(imported).where(imported.c.key == key)).rowcount for key in keys)


def rows_of_study(database: Database, name: str) -> list[Row]:
    """The imported curves of a study as rows in the form of its trials, sorted by name."""
    query = sa.select(imported).join(study, study.c.id == imported.c.study).where(study.c.name == name)
    with database.read() as connection:
        return [_as_trial(_read(dict(row))) for row in connection.execute(query.order_by(imported.c.name)).mappings()]


def listed(database: Database, filters: Sequence[str] = (), *, study_name: str = "") -> list[Row]:
    """The imported curves that pass the filters, the latest first, each as JSON text.

    A quantity that a log lacks passes no filter.
    """
    where = [condition_on(text, {c.name: c for c in imported.columns if c.name not in _WIDE}) for text in filters]
    if any(clause is None for clause in where):
        return []
    if study_name:
        where.append(imported.c.study == study_definition(database, study_name)["id"])
    query = sa.select(imported).where(*(clause for clause in where if clause is not None))
    with database.read() as connection:
        rows = [dict(row) for row in connection.execute(query.order_by(imported.c.finished.desc())).mappings()]
    return [_as_trial(_read(row)) | {"curve": text_of(row["curve"])} for row in rows]


def _read(row: Mapping[str, Any]) -> Row:
    """A row that was read. Raises: StoreError where it is damaged."""
    readable("imported", row, str(row["key"]))
    return dict(row)


def find(database: Database, prefix: str) -> Row | None:
    """The imported curve whose key has the prefix, with the name of its study. Raises: StoreError if ambiguous."""
    prefix = prefix.strip().lower()
    if len(prefix) < 4 or not set(prefix) <= set("0123456789abcdef"):
        return None
    query = (
        sa.select(imported, study.c.name.label("study_name"))
        .join(study, study.c.id == imported.c.study)
        .where(imported.c.key.startswith(prefix))
        .limit(2)
    )
    with database.read() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
        trials = connection.execute(sa.select(trial.c.key).where(trial.c.key.startswith(prefix)).limit(1)).first()
    if len(rows) > 1 or (rows and trials is not None):
        raise NotStoredError(f"more than one trial or imported curve has a key that begins with {prefix!r}")
    return _read(rows[0]) if rows else None


def history_of(row: Row) -> History:
    """The history of a stored curve. Raises: ValueError, TypeError, KeyError, AttributeError where it is damaged."""
    source = Source.stored(json.loads(row["source"]))
    points = tuple(points_of(row["curve"]))
    if not points or source.steps not in ("iterations", "epochs"):
        raise ValueError("an imported curve has points, and its steps are iterations or epochs")
    warnings = [str(warning) for warning in json.loads(row["warnings"])]
    return History.imported(source, points, Outcome(row["outcome"]), row["reason"], warnings)


def _row(history: History, name: str) -> dict[str, Any]:
    source = history.source
    assert source is not None
    last = history.points[-1]
    measured = {QUANTITIES[name].column: history.last(name) for name in CLASSIFIED}
    return measured | {
        "key": source.key,
        "name": name,
        "framework": source.framework or source.format,
        "source": dumped(source.plain() | {"name": name}),
        "outcome": str(history.outcome),
        "reason": history.reason,
        "seconds": last.seconds,
        "effort": history.effort,
        "iterations": last.iteration if source.steps == "iterations" else None,
        "examples": last.examples,
        "timing": f"imported: {source.clock}",
        "machine": source.machine or f"of the log {source.key[:8]}",  # unknown, so it equals no other machine
        "curve": packed_points(history.points),
        "warnings": dumped(list(history.warnings)),
    }


_COLUMNS = dict.fromkeys([*(c.name for c in trial.columns), *(c.name for c in result.columns)])


def _as_trial(row: Row) -> Row:
    """An imported curve in the form of a trial's row; what a log lacks (recipe, seed, operations) is None."""
    source = json.loads(row["source"])
    common = {name: value for name, value in row.items() if name not in ("source", "study", "name", "framework")}
    return {
        **_COLUMNS,
        **common,
        "trial": row["key"],
        "label": row["name"] + IMPORTED,
        "axis_values": "{}",
        "repeat": None,
        "engine": row["framework"],
        "ledger": dumped(source["told"]),
        "origin": "imported",
        "steps": source["steps"],
        "file": source["file"],
        "sha256": source["sha256"],
        "format": source["format"],
    }
