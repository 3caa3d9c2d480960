"""Stores the ends of trials: many in one transaction, each as if it were stored alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError

from assay.errors import StoreError
from assay.store import leases
from assay.store.artifacts import Artifacts
from assay.store.database import Database, chunks, insert_missing
from assay.store.leases import Lease
from assay.store.records import Finished, machine_row, result_row
from assay.store.removals import stored_trials
from assay.store.rows import check_row
from assay.store.schema import machine, result
from assay.studies.plan import Trial
from assay.system.machine import cores, describe
from assay.training.outcome import Outcome, value_of

_OF_THE_ROW = (DataError, IntegrityError, InterfaceError, UnicodeError, OverflowError, ValueError)
"""Errors that are of a row alone, and not of the database."""


class Ending(NamedTuple):
    """The end of a trial, and the lease under which it was trained."""

    lease: Lease
    trial: Trial
    finished: Finished


@dataclass
class Committed:
    """Which ends were accepted, and the errors of those that the database cannot hold."""

    accepted: list[bool]
    errors: list[StoreError] = field(default_factory=list[StoreError])


Put = tuple[str, Finished, str | None]
"""The key of a trial, its end, and the name of its artifact."""


def ends_stored(
    database: Database,
    artifacts: Artifacts,
    endings: Sequence[Ending],
    release: Sequence[Lease],
    *,
    again: bool = False,
) -> Committed:
    """Stores the artifacts of trials, then in one transaction the results of those whose lease still holds.

    A result that the database refuses does not undo the others: each has a savepoint. `again`: an earlier attempt may
    have been committed. Its results are accepted, although the leases may have ended since.
    """
    contents = [ending.finished.content for ending in endings]
    names = [None if content is None else artifacts.prepare(content) for content in contents]
    with database.write(shared=True) as connection:
        held = leases.held(connection, [ending.lease for ending in endings])
        there = stored_trials(connection, [ending.trial.key for ending in endings])  # others were removed
        accepted = [ending.lease.trajectory in held and ending.trial.key in there for ending in endings]
        before = _stored_before(connection, endings) if again else set[str]()
        stored = Committed([taken or e.trial.key in before for e, taken in zip(endings, accepted, strict=True)])
        kept = [(e, name) for e, name, taken in zip(endings, names, accepted, strict=True) if taken]
        for ending, _ in kept:
            if ending.finished.content is not None:
                artifacts.add(connection, ending.finished.content)
        put_each(database, connection, [(e.trial.key, e.finished, name) for e, name in kept], stored.errors)
        checkpoints = [
            (e.lease, e.finished.history.iterations, name)
            for e, name in kept
            if name and e.finished.history is not None and e.finished.outcome is not Outcome.DIVERGED
        ]
        # of several trials of one trajectory, the longest
        checkpoints.sort(key=lambda checkpoint: checkpoint[1])
        leases.note_checkpoints(connection, [c for c in checkpoints if c[1] >= held[c[0].trajectory]])
        leases.end(connection, release)
    return stored


def _stored_before(connection: sa.Connection, endings: Sequence[Ending]) -> set[str]:
    """The trials whose stored result is the one of their ending, which a commit before has stored."""
    rows = {e.trial.key: result_row(e.trial.key, e.finished, artifact=None, cores=0, now=0.0) for e in endings}
    names = ("outcome", "reason", "seconds", "ledger", "curve")
    before: set[str] = set()
    for keys in chunks(list(rows)):
        query = sa.select(result.c.trial, *(result.c[name] for name in names)).where(result.c.trial.in_(keys))
        for row in connection.execute(query).mappings():
            if all(row[name] == rows[row["trial"]].get(name) for name in names):
                before.add(row["trial"])
    return before


def put_each(database: Database, connection: sa.Connection, ends: Sequence[Put], errors: list[StoreError]) -> None:
    """Writes results, all at once or, where one of them is refused, each behind its own savepoint.

    A result that is refused is stored as failed. Adds to `errors` where the database does not take that either.
    """
    refused = _refused(database, connection, ends)
    if refused is None:
        return
    for key, finished, name in ends:
        error = refused if len(ends) == 1 else _refused(database, connection, [(key, finished, name)])
        if error is None:
            continue
        failed = Finished(Outcome.FAILED, f"its result does not fit the store: {_cause(error)}")
        if _refused(database, connection, [(key, failed, None)]) is not None:
            errors.append(StoreError(f"{database.name}: trial {key[:8]} cannot be stored: {_cause(error)}"))


def _refused(database: Database, connection: sa.Connection, ends: Sequence[Put]) -> Exception | None:
    """Writes results behind a savepoint. Returns the error if the database does not take one of them."""
    try:
        with connection.begin_nested():
            put(database, connection, ends)
    except _OF_THE_ROW as error:
        return error
    return None


def _cause(error: Exception) -> str:
    """The error of the database itself, in one line."""
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def put(database: Database, connection: sa.Connection, ends: Sequence[Put]) -> None:
    """Writes results in place of those that their trials have.

    A result that is worth more (`value_of`) stays, and is no longer marked as stale: no repeat that failed or was cut
    short may destroy it.
    """
    if not ends:
        return
    now, count = database.now(connection), cores()
    places: dict[int, str] = {}  # hashes of machines, by the identity of their description
    rows: list[dict[str, Any]] = []
    for key, finished, artifact in ends:
        about = finished.history.machine if finished.history and finished.history.machine else describe()
        if id(about) not in places:
            places[id(about)] = _place(connection, about)
        rows.append(
            _checked_row(key, finished, artifact=artifact, count=count, now=now) | {"machine": places[id(about)]}
        )
    worth_more = _worth_more(connection, rows)
    rows = [row for row in rows if row["trial"] not in worth_more]
    for keys in chunks(sorted(worth_more)):
        connection.execute(sa.update(result).where(result.c.trial.in_(keys)).values(stale=False))
    if not rows:
        return
    for keys in chunks([row["trial"] for row in rows]):
        connection.execute(sa.delete(result).where(result.c.trial.in_(keys)))
    columns = dict.fromkeys(name for row in rows for name in row)
    connection.execute(sa.insert(result), [{name: row.get(name) for name in columns} for row in rows])


def _worth_more(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> set[str]:
    """The trials of new results whose stored result is worth more."""
    values = {row["trial"]: _value(row["outcome"], row.get("iterations")) for row in rows}
    replaceable = [key for key, value in values.items() if value < value_of(Outcome.COMPLETED, measured=True)]
    kept: set[str] = set()
    for keys in chunks(replaceable):
        query = sa.select(result.c.trial, result.c.outcome, result.c.iterations).where(result.c.trial.in_(keys))
        stored = connection.execute(query)
        kept |= {row.trial for row in stored if _value(row.outcome, row.iterations) > values[row.trial]}
    return kept


def _value(outcome: str, iterations: int | None) -> int:
    """What a row of a result is worth; one that is damaged nothing."""
    if outcome not in set(Outcome):
        return 0
    return value_of(Outcome(outcome), measured=iterations is not None)


def _place(connection: sa.Connection, about: dict[str, Any]) -> str:
    """The hash of a machine, which is stored."""
    place = machine_row(about)
    if connection.execute(sa.select(machine.c.hash).where(machine.c.hash == place["hash"])).first() is None:
        insert_missing(connection, machine, place)
    return place["hash"]


def _checked_row(key: str, finished: Finished, *, artifact: str | None, count: int, now: float) -> dict[str, Any]:
    """The row of a result. One that does not fit the schema is stored as failed: a wrong number must not stand."""
    try:
        row = result_row(key, finished, artifact=artifact, cores=count, now=now)
        check_row("result", row)
    except ValueError as error:
        failed = Finished(Outcome.FAILED, f"its result does not fit the store: {error}")
        row = result_row(key, failed, artifact=None, cores=count, now=now)
    return row
