"""Queries: studies, trials by filters, the rows of a study."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import sqlalchemy as sa

from assay.analysis.quantities import MACRO_SCORES, MEASURES, is_of_confusion
from assay.errors import AssayError, NotStoredError, StoreError, unknown
from assay.parts.fractions import fraction
from assay.store import scores
from assay.store.columns import readable_rows, wrong_cells, wrong_rows
from assay.store.comparisons import EQUALITIES, OPERATORS, TRUTH, is_number, number_of, passes
from assay.store.curve_columns import CurveColumn
from assay.store.curves import Curves, load
from assay.store.database import Database
from assay.store.rows import readable, unreadable
from assay.store.schema import imported, machine, member, result, search, search_job, study, trajectory, trial
from assay.store.study_rows import StudyRows
from assay.studies.search.jobs import FRESH
from assay.training.outcome import RANKED, Outcome

Row = dict[str, Any]

FILTERS: dict[str, sa.Column[Any]] = {
    **{c.name: c for c in trial.columns if c.name not in ("recipe", "trajectory", "created")},
    **{
        c.name: c for c in result.columns if c.name not in ("trial", "ledger", "curve", "confusion", "classes", "error")
    },
}
"""The columns by which trials can be filtered and sorted."""

_FILTER = re.compile(r"\s*(axis\.[^=<>!]+?|[A-Za-z_][A-Za-z_0-9]*(?::[^<>=!]+?)?)\s*(>=|<=|!=|=|>|<)\s*(.*?)\s*")
NAMES = (*FILTERS, *MACRO_SCORES)
"""The names by which trials can be filtered and sorted. A score of one class is one too, such as `recall:7`."""


def condition_on(text: str, columns: Mapping[str, sa.Column[Any]]) -> sa.ColumnElement[bool] | None:
    """Parses a filter such as `optimizer=adam` or `accuracy>0.95` for the columns of a table.

    Returns None if the table lacks the column, and for the scores of the confusion matrix. Raises: StoreError.
    """
    name, operation, text_value = _parts(text)
    if name.startswith(AXIS):
        return None  # `axis_condition` reads those
    if name not in FILTERS and not is_of_confusion(name):
        raise StoreError(unknown("filter", name, [*NAMES, f"{AXIS}NAME"]))
    if name not in columns:
        return None
    column = columns[name]
    value: Any = text_value
    if not isinstance(column.type, sa.Integer | sa.Float) and operation not in EQUALITIES:
        raise StoreError(f"filter {text!r}: {name} has no order; expected {name}= or {name}!=")
    if isinstance(column.type, sa.Boolean):
        if text_value.lower() not in TRUTH:
            raise StoreError(f"filter {text!r}: got {text_value!r}; expected true or false")
        value = TRUTH[text_value.lower()]
    elif not isinstance(column.type, sa.Text | sa.String):
        value = _number(text, name, text_value)
    elif name == "key":
        if not re.fullmatch(r"[0-9a-f]{1,64}", text_value.lower()):
            raise StoreError(f"filter {text!r}: got {text_value!r}; expected a key or its beginning, such as key=1f3a")
        begins = column.startswith(text_value.lower())
        return begins if operation == "=" else sa.not_(begins)
    elif name == "outcome" and text_value not in list(Outcome):
        raise StoreError(f"filter {text!r}: {unknown('outcome', text_value, [str(one) for one in Outcome])}")
    return OPERATORS[operation](column, value)


AXIS = "axis."
"""What the name of an axis follows in a filter, as in a column of a study's frame."""


def axis_condition(database: Database, text: str, study_name: str = "") -> sa.ColumnElement[bool]:
    """Parses a filter of the value of an axis, such as `axis.optimizer=adam`: trials that have it in a study.

    Numbers are compared as numbers with values that are numbers, and any other text as text.

    Raises:
        StoreError: It is no filter, or no study, or not that one, has such an axis.
    """
    match = _FILTER.fullmatch(text)
    if not match or not match[3]:
        raise StoreError(f"filter {text!r}: expected {AXIS}NAME=VALUE, or with != > < >= <=, such as axis.rate<0.1")
    name, operation, wanted = match[1].removeprefix(AXIS).strip(), match[2], match[3]
    query = sa.select(member.c.study, member.c.axis_values).distinct()
    if study_name:
        query = query.where(member.c.study == study_definition(database, study_name)["id"])
    with database.read() as connection:
        rows = connection.execute(query).all()
    values = [(row.study, row.axis_values, json.loads(row.axis_values)) for row in rows]
    known = list(dict.fromkeys(axis for *_, table in values for axis in table))
    if name not in known:
        raise StoreError(unknown("axis", name, known) if known else f"filter {text!r}: no study has an axis")
    if operation not in EQUALITIES:
        numbers = [value for *_, table in values if is_number(value := table.get(name))]
        if number_of(wanted) is None:
            raise StoreError(f"filter {text!r}: got {wanted!r}; expected a number, or = or !=")
        if not numbers:
            raise StoreError(f"filter {text!r}: no value of this axis is a number; expected = or !=")
    chosen = [
        (number, cell) for number, cell, table in values if name in table and passes(table[name], operation, wanted)
    ]
    by_study: dict[int, list[str]] = {}
    for number, cell in chosen:
        by_study.setdefault(number, []).append(cell)
    parts = [
        sa.and_(member.c.study == number, member.c.axis_values.in_(cells[start : start + 400]))
        for number, cells in by_study.items()
        for start in range(0, len(cells), 400)
    ]
    return trial.c.key.in_(sa.select(member.c.trial).where(sa.or_(sa.false(), *parts)))


def _parts(text: str) -> tuple[str, str, str]:
    """The name, the operator and the value of a filter. Raises: StoreError."""
    match = _FILTER.fullmatch(text)
    if not match or not match[3]:
        raise StoreError(f"filter {text!r}: expected COLUMN=VALUE, or with != > < >= <=, such as accuracy>0.95")
    name, operation, value = match.groups()
    return name, operation, value


def _score_test(text: str) -> scores.Test:
    """A filter on a score of the confusion matrix. Raises: StoreError."""
    name, operation, value = _parts(text)
    return name, OPERATORS[operation], _number(text, name, value)


def _number(text: str, name: str, value: str) -> float:
    """The number that a filter compares a column with; an accuracy is a fraction. Raises: StoreError."""
    if name in MEASURES and MEASURES[name].is_fraction:
        try:
            return fraction(value)
        except AssayError as error:
            raise StoreError(f"filter {text!r}: {error}") from None
    number = number_of(value)
    if number is None:
        raise StoreError(f"filter {text!r}: got {value!r}; expected a number")
    return number


def studies(database: Database) -> list[Row]:
    """All studies, each with its counts of trials, finished trials and imported curves, and its best score.

    The score is `best`, an accuracy, or of regressions `best_r2`.
    `finished` trials have ended in any way. `unfinished` ones of them neither completed nor were stopped by a rule; the
    best score is of the others. Of a search with a race, it is the mean of the winner's fresh seeds; of other
    searches, `selected` is true: the best score selected its configuration.

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
            sa.func.max(sa.case((result.c.outcome.in_(RANKED), result.c.r2))).label("best_r2"),
        )
        .select_from(study.outerjoin(once, once.c.study == study.c.id))
        .join(result, sa.and_(result.c.trial == once.c.trial, ~result.c.stale), isouter=True)
        .group_by(study.c.id, study.c.name, study.c.updated)
        .order_by(study.c.updated.desc())
    )
    with database.read() as connection:
        rows = readable_rows("study", "name", [dict(row) for row in connection.execute(query).mappings()])
    searched = _searched(database)
    for row in rows:
        row["selected"] = row["name"] in searched and searched[row["name"]] is None
        fresh = searched.get(row["name"])
        if fresh is not None:
            row["best"], row["best_r2"] = fresh
        for name in ("best", "best_r2", "seconds"):
            if not isinstance(row[name], float | None):
                reason = f"its trials have {row[name]!r:.60} as {name}"
                _log.warning("%s", unreadable("study", row["name"], reason))
                row[name] = None
    return rows


def _searched(database: Database) -> dict[str, tuple[float | None, float | None] | None]:
    """The searches of a store: the mean accuracy and R2 of the last winner on its fresh seeds, None without a winner.

    A score that one of these seeds does not have is None.
    """
    if database.version < "0007":  # the first schema with searches
        return {}
    names = sa.select(study.c.name).join(search, search.c.study == study.c.id)
    jobs = (
        sa.select(study.c.name, search_job.c.parent, result.c.accuracy, result.c.r2)
        .select_from(search_job.join(study, study.c.id == search_job.c.study))
        .join(result, sa.and_(result.c.trial == search_job.c.trial, ~result.c.stale))
        .where(search_job.c.kind == FRESH)
        .order_by(search_job.c.n)
    )
    with database.read() as connection:
        found: dict[str, tuple[float | None, float | None] | None]
        found = dict.fromkeys(connection.execute(names).scalars())
        scores: dict[str, dict[int, list[tuple[object, object]]]] = {}
        for name, parent, accuracy, r2 in connection.execute(jobs):
            scores.setdefault(name, {}).setdefault(parent, []).append((accuracy, r2))
    for name, of_winner in scores.items():
        accuracies, r2s = zip(*list(of_winner.values())[-1], strict=True)
        found[name] = _mean_of_all(accuracies), _mean_of_all(r2s)
    return found


def _mean_of_all(values: Sequence[object]) -> float | None:
    """The mean; None where one of them is no number."""
    numbers = [value for value in values if isinstance(value, float)]
    return math.fsum(numbers) / len(numbers) if len(numbers) == len(values) else None


def study_definition(database: Database, name: str) -> Row:
    """The row of a study. Raises: StoreError, with the nearest name."""
    with database.read() as connection:
        row = connection.execute(sa.select(study).where(study.c.name == name)).mappings().first()
        names = connection.execute(sa.select(study.c.name)).scalars().all()
    if row is None:
        raise NotStoredError(unknown_study(name, names))
    return dict(row)


def member_count(database: Database, name: str) -> int:
    """How many members a study has; 0 where there is none of the name. Raises: StoreError."""
    query = sa.select(sa.func.count()).select_from(member.join(study, study.c.id == member.c.study))
    with database.read() as connection:
        return int(connection.execute(query.where(study.c.name == name)).scalar_one())


def unknown_study(name: str, names: Sequence[str]) -> str:
    """The message for a study that the store does not have; of a damaged store, a name may be no text."""
    names = [name for name in names if isinstance(name, str)]  # pyright: ignore[reportUnnecessaryIsInstance]
    return unknown("study", name, names) if names else f"unknown study {name!r}; the store has no studies yet"


def study_rows(database: Database, name: str) -> tuple[Row, StudyRows]:
    """The definition of a study, and its trials in order, with None in place of missing results."""
    row = study_definition(database, name)
    columns = [
        *_OF_MEMBER,
        *(c for c in trial.columns if c.name not in ("key", "created", "trajectory")),
        *(c for c in result.columns if c.name not in ("trial", "error", "artifact", "stale")),
    ]
    readable("study", row, name)
    rows = _members(database, row, columns)
    _check_all(rows)
    return json.loads(row["definition"]), _last_rungs(database, int(row["id"]), rows)


def outline_rows(database: Database, name: str) -> tuple[Row, StudyRows, CurveColumn]:
    """The same without recipes, time breakdowns, confusion matrices and notes, which take most of the time and memory.

    The curves are decoded while they are read; their cells are the headers, which say what was measured.

    A search is not read this way: its rungs are not put together.
    """
    row = study_definition(database, name)
    unread = ("data_checksum", "recipe", "batches", "batch_size", "numerics")
    columns = [
        *_OF_MEMBER,
        *(c for c in trial.columns if c.name not in ("key", "created", "trajectory", *unread)),
        *(c for c in result.columns if c.name not in ("trial", "error", "artifact", "stale", *_UNREAD_RESULTS)),
    ]
    readable("study", row, name)
    curves = CurveColumn()
    rows = _members(database, row, columns, {"curve": curves})
    keys: Sequence[str] = rows.columns["trial"]
    damaged = {keys[number]: reason for number, reason in curves.errors.items()}  # a trial may have several members
    for key, reason in damaged.items():
        _log.warning("%s", unreadable("result", key, f"result.curve: {reason}"))
    read = {column.name for column in columns}
    finished = [number for number, outcome in enumerate(rows.columns["outcome"]) if outcome is not None]
    for table in (member, trial, result):
        chosen = finished if table is result else range(rows.own)
        skip = [column.name for column in table.columns if column.name not in read]
        for number, reason in wrong_cells(table.name, rows.columns, chosen, skip=(*skip, *_WIDE)).items():
            raise StoreError(unreadable(table.name, keys[number], reason))
    return json.loads(row["definition"]), rows, curves


_OF_MEMBER = [member.c.trial, member.c.label, member.c.axis_values, member.c.repeat, member.c.position]
_UNREAD_RESULTS = ("reason", "ledger", "confusion", "warnings", "engine_choice", "source_commit", "finished")


def _members(database: Database, row: Row, columns: list[Any], own: Mapping[str, Any] | None = None) -> StudyRows:
    """The columns of the trials of a study, in order; `own`: empty ones that take the cells."""
    query: Any = (
        sa.select(*columns)
        .select_from(member.join(trial, trial.c.key == member.c.trial))
        .join(result, result.c.trial == member.c.trial, isouter=True)
        .where(member.c.study == row["id"])
        .order_by(member.c.position)
    )
    with database.read() as connection:
        answer = connection.execution_options(yield_per=_PORTION).execute(query)
        return StudyRows.of(answer, {column.name: column for column in columns}, own)


def _last_rungs(database: Database, number: int, rows: StudyRows) -> StudyRows:
    """The rows of a search with one for each point that was trained in rungs: that of its last rung with a result.

    Its label says at which rung it was stopped. The curve of a later rung begins with those of the earlier ones.
    """
    if database.version < "0007":
        return rows
    query = sa.select(search_job.c.n, search_job.c.rung, search_job.c.parent, search_job.c.kind)
    with database.read() as connection:
        jobs = connection.execute(query.where(search_job.c.study == number).order_by(search_job.c.n)).all()
    if all(job.rung is None for job in jobs):
        return rows
    places = {position: number for number, position in enumerate(rows.columns["position"])}
    outcomes = rows.columns["outcome"]
    ended = {job.n for job in jobs if job.n in places and outcomes[places[job.n]] is not None}
    hidden: set[int] = set()
    for job in jobs:
        if job.kind == "promotion" and job.parent is not None:
            hidden.add(job.parent if job.n in ended else job.n)
    rung_of = {job.n: job.rung for job in jobs if job.rung is not None and job.n in ended}
    labels = {places[n]: f"{rows.columns['label'][places[n]]} (stopped at rung {rung})" for n, rung in rung_of.items()}
    return rows.chosen([number for place, number in places.items() if place not in hidden], labels)


_PORTION = 2000  # rows that are read at once


def _check_all(rows: StudyRows) -> None:
    """Checks the rows of a study, but for their wide cells. Raises: StoreError, which names the first one."""
    keys: Sequence[str] = rows.columns["trial"]
    for number, recipe in enumerate(rows.columns["recipe"]):
        if not str(recipe).startswith("{"):  # what is in it is checked where it is read
            raise StoreError(unreadable("trial", keys[number], "trial.recipe: is no table"))
    finished = [number for number, outcome in enumerate(rows.columns["outcome"]) if outcome is not None]
    for table in ("member", "trial", "result"):
        chosen = finished if table == "result" else range(rows.own)
        skip = ("recipe", *_WIDE) if table != "member" else ()
        for number, reason in wrong_cells(table, rows.columns, chosen, skip=skip).items():
            raise StoreError(unreadable(table, keys[number], reason))


def _check(row: Row, key: str) -> None:
    """Checks a row of a trial joined with those of its member and its result, if it has them. Raises: StoreError."""
    if "axis_values" in row:
        readable("member", row, key)
    readable("trial", {name: value for name, value in row.items() if name != "trial"}, key)
    if row["outcome"] is not None:
        readable("result", row, key)
    if row.get("description") is not None:
        readable("machine", {"description": row["description"]}, key)


def with_curves(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], Curves]:
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


def with_readable(rows: Iterable[Mapping[str, Any]], cell: str) -> list[Mapping[str, Any]]:
    """The rows of trials in which a wide cell of the result, such as the curve, can be read.

    One damaged cell hides no other trial; which are left out is said.
    """
    rows = list(rows)
    stored = [row for row in rows if row.get("origin") != "imported"]  # the others are checked when they are read
    wrong = wrong_rows("result", [{cell: row[cell]} for row in stored])
    for number, reason in wrong.items():
        _log.warning("%s", unreadable("result", stored[number]["trial"], reason))
    left_out = {id(stored[number]) for number in wrong}
    return [row for row in rows if id(row) not in left_out]


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
        sort: A column, or a score of the confusion matrix, to sort by; "-" in front sorts in descending order. A score
            is in the rows too.
        limit: Maximum number of rows to return.
    """
    name = sort.removeprefix("-")
    if name not in FILTERS and not is_of_confusion(name):
        raise StoreError(unknown("column to sort by", name, NAMES))
    axes = [text for text in filters if text.strip().startswith(AXIS)]
    filters = [text for text in filters if text not in axes]
    tests = [_score_test(text) for text in filters if condition_on(text, FILTERS) is None]
    where = [clause for text in filters if (clause := condition_on(text, FILTERS)) is not None]
    where += [axis_condition(database, text, study_name) for text in axes]
    source = trial.join(result, result.c.trial == trial.c.key, isouter=True)
    if study_name:
        study_id = study_definition(database, study_name)["id"]
        where.append(trial.c.key.in_(sa.select(member.c.trial).where(member.c.study == study_id)))
    column = FILTERS.get(name, trial.c.key)
    order = (column.desc() if sort.startswith("-") else column.asc()).nulls_last()
    if tests or is_of_confusion(name):
        keys, of_sort = scores.matching(database, source, where, tests=tests, sort=sort, order=order)
        places = {key: place for place, key in enumerate(keys[:limit])}
        rows: list[Row] = []
        for start in range(0, len(places), _CHUNK):
            some = trial.c.key.in_(list(places)[start : start + _CHUNK])
            rows += _rows_of_trials(database, sa.select(*_listed()).select_from(source).where(some))
        rows.sort(key=lambda row: places[row["key"]])
        if is_of_confusion(name):
            rows = [row | {name: of_sort.get(row["key"])} for row in rows]
        return rows, len(keys)
    query = sa.select(*_listed()).select_from(source).where(*where).order_by(order).limit(limit)
    count = sa.select(sa.func.count()).select_from(source).where(*where)
    with database.read() as connection:
        number = int(connection.execute(count).scalar_one())
    return _rows_of_trials(database, query), number


_CHUNK = 400  # keys in one query


def _listed() -> list[Any]:
    """The columns of a trial in a list."""
    wide = ("trial", "ledger", "curve", "confusion", "classes", "error", "warnings")
    of_trial = [c for c in trial.columns if c.name != "recipe"]
    timed = sa.case((trial.c.budget.is_(None), trial.c.recipe)).label(_TIMED)
    return [*of_trial, *(c for c in result.columns if c.name not in wide), timed]


_TIMED = "recipe_of_seconds"  # the recipe where the budget is in seconds, else nothing


def _rows_of_trials(database: Database, query: Any) -> list[Row]:
    with database.read() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
    for row in rows:
        recipe = row.pop(_TIMED)
        _check(row, row["key"])
        row["budget_seconds"] = _seconds_of(recipe)
    return rows


def _seconds_of(recipe: str | None) -> float | None:
    """The budget of a stored recipe in seconds of training; None without one."""
    try:
        return float(json.loads(recipe or "{}")["budget"]["seconds"])
    except (ValueError, TypeError, KeyError):
        return None


def latest_trial(database: Database) -> str:
    """The key of the trial whose result was stored last. Raises: StoreError where there is none."""
    query = sa.select(result.c.trial).order_by(result.c.finished.desc()).limit(1)
    with database.read() as connection:
        key = connection.execute(query).scalar()
    if key is None:
        raise StoreError(f"{database.name}: no trial has a result yet")
    return str(key)


def one_trial(database: Database, prefix: str) -> Row:
    """Everything stored about the trial whose key begins with a prefix. Raises: StoreError if not exactly one does."""
    clean = prefix.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{4,64}", clean):
        raise NotStoredError(
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
            raise NotStoredError(f"{what} a key that begins with {clean!r}")
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
            for row in connection.execute(query):
                readable("machine", {"description": row.description}, str(row.hash))
                descriptions[row.hash] = json.loads(row.description)
    return list(descriptions.values())
