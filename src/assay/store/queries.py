"""What is asked of a store: studies, trials by filters, the rows of a study."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from assay.errors import StoreError, unknown
from assay.store.database import Database
from assay.store.schema import imported, machine, member, result, study, trajectory, trial

Row = dict[str, Any]

FILTERS: dict[str, sa.Column[Any]] = {
    **{c.name: c for c in trial.columns if c.name not in ("recipe", "trajectory", "created")},
    **{
        c.name: c for c in result.columns if c.name not in ("trial", "ledger", "curve", "confusion", "classes", "error")
    },
}
"""What trials can be filtered and sorted by: a column each."""

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_FILTER = re.compile(r"\s*([A-Za-z_]+)\s*(>=|<=|!=|=|>|<)\s*(.*?)\s*")


def condition(text: str) -> sa.ColumnElement[bool]:
    """What a filter such as `optimizer=adam` or `accuracy>0.95` asks for. Raises: StoreError."""
    found = condition_on(text, FILTERS)
    assert found is not None
    return found


def condition_on(text: str, columns: Mapping[str, sa.Column[Any]]) -> sa.ColumnElement[bool] | None:
    """A filter on the columns of another table than that of trials; None where it has no such column."""
    match = _FILTER.fullmatch(text)
    if not match or not match[3]:
        raise StoreError(f"filter {text!r}: expected COLUMN=VALUE, or with != > < >= <=, such as accuracy>0.95")
    name, sign, word = match.groups()
    if name not in FILTERS:
        raise StoreError(unknown("filter", name, FILTERS))
    if name not in columns:
        return None
    column = columns[name]
    value: Any = word
    if not isinstance(column.type, sa.Text | sa.String):
        try:
            value = float(word)
        except ValueError:
            raise StoreError(f"filter {text!r}: {name} is a number; got {word!r}") from None
    elif name == "key":
        return column.like(re.sub(r"[^0-9a-f]", "", word) + "%")
    return _OPERATORS[sign](column, value)


def studies(database: Database) -> list[Row]:
    """Every study with how many trials it has, how many are finished, its best accuracy, and its imported curves."""
    finished = sa.func.count(result.c.trial).label("finished")
    curves = sa.select(sa.func.count()).where(imported.c.study == study.c.id).scalar_subquery()
    query = (
        sa.select(
            study.c.name,
            sa.func.count(member.c.trial).label("trials"),
            finished,
            sa.func.max(result.c.accuracy).label("best"),
            sa.func.sum(result.c.seconds).label("seconds"),
            study.c.updated,
            curves.label("imported"),
        )
        .select_from(study.outerjoin(member, member.c.study == study.c.id))
        .join(result, sa.and_(result.c.trial == member.c.trial, ~result.c.stale), isouter=True)
        .group_by(study.c.id, study.c.name, study.c.updated)
        .order_by(study.c.updated.desc())
    )
    with database.read() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def study_definition(database: Database, name: str) -> Row:
    """A study's row. Raises: StoreError, with the nearest name."""
    with database.read() as connection:
        found = connection.execute(sa.select(study).where(study.c.name == name)).mappings().first()
        names = connection.execute(sa.select(study.c.name)).scalars().all()
    if found is None:
        hint = unknown("study", name, names) if names else f"unknown study {name!r}; the store has none yet"
        raise StoreError(hint)
    return dict(found)


def study_rows(database: Database, name: str) -> tuple[Row, list[Row]]:
    """A study's definition, and its trials with their results (None where there is none yet), in its order."""
    found = study_definition(database, name)
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
        .where(member.c.study == found["id"])
        .order_by(member.c.position)
    )
    with database.read() as connection:
        return json.loads(found["definition"]), [dict(row) for row in connection.execute(query).mappings()]


def trials(
    database: Database, filters: Sequence[str] = (), *, study_name: str = "", sort: str = "-finished", limit: int = 50
) -> tuple[list[Row], int]:
    """Trials that pass the filters, at most `limit` of them, and how many pass; `sort` by a column, "-" descending."""
    name = sort.removeprefix("-")
    if name not in FILTERS:
        raise StoreError(unknown("column to sort by", name, FILTERS))
    where = [condition(text) for text in filters]
    source = trial.join(result, result.c.trial == trial.c.key, isouter=True)
    if study_name:
        number = study_definition(database, study_name)["id"]
        where.append(trial.c.key.in_(sa.select(member.c.trial).where(member.c.study == number)))
    wide = ("trial", "ledger", "curve", "confusion", "classes", "error", "warnings")
    columns = [c for c in trial.columns if c.name != "recipe"] + [c for c in result.columns if c.name not in wide]
    column = FILTERS[name]
    order = column.desc() if sort.startswith("-") else column.asc()
    query = sa.select(*columns).select_from(source).where(*where).order_by(order.nulls_last()).limit(limit)
    count = sa.select(sa.func.count()).select_from(source).where(*where)
    with database.read() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
        return rows, int(connection.execute(count).scalar_one())


def one_trial(database: Database, prefix: str) -> Row:
    """Everything stored of the one trial whose key begins so. Raises: StoreError where there is none, or several."""
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
        found = [dict(row) for row in connection.execute(query).mappings()]
        if len(found) != 1:
            what = "no trial has" if not found else "more than one trial has"
            raise StoreError(f"{what} a key that begins with {clean!r}")
        names = (
            sa.select(study.c.name, member.c.label)
            .join(member, member.c.study == study.c.id)
            .where(member.c.trial == found[0]["key"])
        )
        found[0]["studies"] = [tuple(row) for row in connection.execute(names)]
        state = sa.select(trajectory).where(trajectory.c.key == found[0]["trajectory"])
        lease = connection.execute(state).mappings().first()
        found[0]["running"] = bool(lease and lease["token"])
    return found[0]


def machines_of(database: Database, keys: Sequence[str]) -> list[Row]:
    """The descriptions of the machines on which trials were made."""
    found: dict[str, Row] = {}
    with database.read() as connection:
        for start in range(0, len(keys), 400):
            place = sa.select(result.c.machine).where(result.c.trial.in_(keys[start : start + 400]))
            query = sa.select(machine).where(machine.c.hash.in_(place))
            found |= {row.hash: json.loads(row.description) for row in connection.execute(query)}
    return list(found.values())
