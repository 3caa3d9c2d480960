"""Queries: studies, trials by filters, the rows of a study."""

from __future__ import annotations

import json
import logging
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import sqlalchemy as sa

from assay.analysis.quantities import MEASURES
from assay.errors import AssayError, StoreError, unknown
from assay.parts.fractions import fraction
from assay.store.columns import wrong_rows
from assay.store.curves import Curves, load
from assay.store.database import Database
from assay.store.rows import readable, unreadable
from assay.store.schema import imported, machine, member, result, study, trajectory, trial
from assay.training.outcome import RANKED

Row = dict[str, Any]

FILTERS: dict[str, sa.Column[Any]] = {
    **{c.name: c for c in trial.columns if c.name not in ("recipe", "trajectory", "created")},
    **{
        c.name: c for c in result.columns if c.name not in ("trial", "ledger", "curve", "confusion", "classes", "error")
    },
}
"""The columns by which trials can be filtered and sorted."""

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_FILTER = re.compile(r"\s*([A-Za-z_]+)\s*(>=|<=|!=|=|>|<)\s*(.*?)\s*")


def condition(text: str) -> sa.ColumnElement[bool]:
    """Parses a filter such as `optimizer=adam` or `accuracy>0.95`. Raises: StoreError."""
    parsed = condition_on(text, FILTERS)
    assert parsed is not None  # FILTERS has every column
    return parsed


def condition_on(text: str, columns: Mapping[str, sa.Column[Any]]) -> sa.ColumnElement[bool] | None:
    """Parses a filter of trials for the columns of another table. Returns None if it lacks the column."""
    match = _FILTER.fullmatch(text)
    if not match or not match[3]:
        raise StoreError(f"filter {text!r}: expected COLUMN=VALUE, or with != > < >= <=, such as accuracy>0.95")
    name, operation, text_value = match.groups()
    if name not in FILTERS:
        raise StoreError(unknown("filter", name, FILTERS))
    if name not in columns:
        return None
    column = columns[name]
    value: Any = text_value
    if isinstance(column.type, sa.Boolean):
        if text_value.lower() not in _TRUTH:
            raise StoreError(f"filter {text!r}: got {text_value!r}; expected true or false")
        value = _TRUTH[text_value.lower()]
    elif not isinstance(column.type, sa.Text | sa.String):
        value = _number(text, name, text_value)
    elif name == "key":
        return column.like(re.sub(r"[^0-9a-f]", "", text_value) + "%")
    return _OPERATORS[operation](column, value)


def _number(text: str, name: str, value: str) -> float:
    """The number that a filter compares a column with; an accuracy is a fraction. Raises: StoreError."""
    if name in MEASURES and MEASURES[name].is_fraction:
        try:
            return fraction(value)
        except AssayError as error:
            raise StoreError(f"filter {text!r}: {error}") from None
    try:
        return float(value)
    except ValueError:
        raise StoreError(f"filter {text!r}: got {value!r}; expected a number") from None


def studies(database: Database) -> list[Row]:
    """All studies, each with its counts of trials, finished trials and imported curves, and its best accuracy.

    `finished` trials have ended in any way. `unfinished` ones of them neither completed nor were stopped by a rule; the
    best accuracy is of the others.

    A trial that several configurations of a study share counts once.
    """
    once = sa.select(member.c.study, member.c.trial).distinct().subquery()
    finished = sa.func.count(result.c.trial).label("finished")
    curves = sa.select(sa.func.count()).where(imported.c.study == study.c.id).scalar_subquery()
    query = (
        sa.select(
            study.c.name,
            sa.func.count(once.c.trial).label("trials"),
            finished,
            sa.func.max(sa.case((result.c.outcome.in_(RANKED), result.c.accuracy))).label("best"),
            sa.func.sum(result.c.seconds).label("seconds"),
            study.c.updated,
            curves.label("imported"),
            sa.func.count(sa.case((result.c.outcome.not_in(RANKED), result.c.trial))).label("unfinished"),
        )
        .select_from(study.outerjoin(once, once.c.study == study.c.id))
        .join(result, sa.and_(result.c.trial == once.c.trial, ~result.c.stale), isouter=True)
        .group_by(study.c.id, study.c.name, study.c.updated)
        .order_by(study.c.updated.desc())
    )
    with database.read() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def study_definition(database: Database, name: str) -> Row:
    """The row of a study. Raises: StoreError, with the nearest name."""
    with database.read() as connection:
        row = connection.execute(sa.select(study).where(study.c.name == name)).mappings().first()
        names = connection.execute(sa.select(study.c.name)).scalars().all()
    if row is None:
        raise StoreError(unknown_study(name, names))
    return dict(row)


def unknown_study(name: str, names: Sequence[str]) -> str:
    """The message for a study that the store does not have."""
    return unknown("study", name, names) if names else f"unknown study {name!r}; the store has no studies yet"


def study_rows(database: Database, name: str) -> tuple[Row, list[Row]]:
    """The definition of a study, and its trials in order, with None in place of missing results."""
    row = study_definition(database, name)
    query = (
        sa.select(
            member.c.trial,
            member.c.label,
            member.c.axis_values,
            member.c.repeat,
            *(c for c in trial.columns if c.name not in ("key", "created")),
            *(c for c in result.columns if c.name != "trial"),
        )
        .select_from(member.join(trial, trial.c.key == member.c.trial))
        .join(result, result.c.trial == member.c.trial, isouter=True)
        .where(member.c.study == row["id"])
        .order_by(member.c.position)
    )
    readable("study", row, name)
    with database.read() as connection:
        answer = connection.execute(query)
        names = tuple(answer.keys())
        rows = [dict(zip(names, cells, strict=True)) for cells in answer]
    _check_all(rows)
    return json.loads(row["definition"]), rows


def _check_all(rows: Sequence[Row]) -> None:
    """Checks the rows of a study, but for their wide cells. Raises: StoreError, which names the first one."""
    finished = [row for row in rows if row["outcome"] is not None]
    for table, checked in (("member", rows), ("trial", rows), ("result", finished)):
        wrong = wrong_rows(table, checked, skip=("recipe", *_WIDE) if table != "member" else ())
        for number, reason in wrong.items():
            raise StoreError(unreadable(table, checked[number]["trial"], reason))


def _check(row: Row, key: str) -> None:
    """Checks a row of a trial joined with those of its member and its result, if it has them. Raises: StoreError."""
    if "axis_values" in row:
        readable("member", row, key)
    readable("trial", {name: value for name, value in row.items() if name != "trial"}, key)
    if row["outcome"] is not None:
        readable("result", row, key)
    if row.get("description") is not None:
        readable("machine", {"description": row["description"]}, key)


def with_curves(rows: Sequence[Row]) -> tuple[list[Row], Curves]:
    """The rows of trials whose curve can be read, and these curves.

    One damaged curve hides no other trial; which are left out is said.
    """
    imports = {number for number, row in enumerate(rows) if row.get("origin") == "imported"}
    curves = load((row["curve"] for row in rows), check=True, imported=imports)
    for number, reason in curves.errors.items():
        _log.warning("%s", unreadable("result", rows[number]["trial"], f"result.curve: {reason}"))
    kept = [row for number, row in enumerate(rows) if number not in curves.errors]
    counts = np.array([n for number, n in enumerate(curves.counts.tolist()) if number not in curves.errors], np.int64)
    return kept, replace(curves, counts=counts, errors={})


def with_readable(rows: Iterable[Row], cell: str) -> list[Row]:
    """The rows of trials in which a wide cell of the result, such as the curve, can be read.

    One damaged cell hides no other trial; which are left out is said.
    """
    kept: list[Row] = []
    for row in rows:
        try:
            if row.get("origin") != "imported":  # those are checked when they are read
                readable("result", {cell: row[cell]}, row["trial"])
            kept.append(row)
        except StoreError as error:
            _log.warning("%s", error)
    return kept


_WIDE = ("curve", "confusion")
"""The cells of a result that a study's table does not need; they are checked where they are used."""
_log = logging.getLogger("assay.store")


def trials(
    database: Database, filters: Sequence[str] = (), *, study_name: str = "", sort: str = "-finished", limit: int = 50
) -> tuple[list[Row], int]:
    """The trials that pass the filters, and how many they are.

    Args:
        database: The database.
        filters: Filters such as `accuracy>0.95`.
        study_name: Only trials of this study; empty for all.
        sort: A column to sort by; "-" in front sorts in descending order.
        limit: Maximum number of rows to return.
    """
    name = sort.removeprefix("-")
    if name not in FILTERS:
        raise StoreError(unknown("column to sort by", name, FILTERS))
    where = [condition(text) for text in filters]
    source = trial.join(result, result.c.trial == trial.c.key, isouter=True)
    if study_name:
        study_id = study_definition(database, study_name)["id"]
        where.append(trial.c.key.in_(sa.select(member.c.trial).where(member.c.study == study_id)))
    wide = ("trial", "ledger", "curve", "confusion", "classes", "error", "warnings")
    columns = [c for c in trial.columns if c.name != "recipe"] + [c for c in result.columns if c.name not in wide]
    column = FILTERS[name]
    order = column.desc() if sort.startswith("-") else column.asc()
    query = sa.select(*columns).select_from(source).where(*where).order_by(order.nulls_last()).limit(limit)
    count = sa.select(sa.func.count()).select_from(source).where(*where)
    with database.read() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
        number = int(connection.execute(count).scalar_one())
    for row in rows:
        _check(row, row["key"])
    return rows, number


def one_trial(database: Database, prefix: str) -> Row:
    """Everything stored about the trial whose key begins with a prefix. Raises: StoreError if not exactly one does."""
    clean = prefix.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{4,64}", clean):
        raise StoreError(
            f"trial {prefix!r}: expected a key, or at least its first four characters, as `assay list` shows"
        )
    source = trial.join(result, result.c.trial == trial.c.key, isouter=True).join(
        machine, machine.c.hash == result.c.machine, isouter=True
    )
    query = (
        sa.select(trial, *(c for c in result.columns if c.name != "trial"), machine.c.description)
        .select_from(source)
        .where(trial.c.key.startswith(clean))
        .limit(2)
    )
    with database.read() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
        if len(rows) != 1:
            what = "no trial has" if not rows else "more than one trial has"
            raise StoreError(f"{what} a key that begins with {clean!r}")
        names = (
            sa.select(study.c.name, member.c.label)
            .join(member, member.c.study == study.c.id)
            .where(member.c.trial == rows[0]["key"])
        )
        rows[0]["studies"] = [tuple(row) for row in connection.execute(names)]
        state = sa.select(trajectory).where(trajectory.c.key == rows[0]["trajectory"])
        lease = connection.execute(state).mappings().first()
        rows[0]["running"] = bool(lease and lease["token"])
    _check(rows[0], rows[0]["key"])
    return rows[0]


def machines_of(database: Database, keys: Sequence[str]) -> list[Row]:
    """The descriptions of the machines on which trials were trained."""
    descriptions: dict[str, Row] = {}
    with database.read() as connection:
        for start in range(0, len(keys), 400):
            hashes = sa.select(result.c.machine).where(result.c.trial.in_(keys[start : start + 400]))
            query = sa.select(machine).where(machine.c.hash.in_(hashes))
            descriptions |= {row.hash: json.loads(row.description) for row in connection.execute(query)}
    return list(descriptions.values())
