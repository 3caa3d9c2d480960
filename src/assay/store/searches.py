"""Searches in the store: what each resolved, its decisions, and what they were told, all of it written once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from assay.errors import RecipeError, StoreError, unknown
from assay.store.columns import wrong_rows
from assay.store.curves import points_of
from assay.store.database import Database, chunks, whole
from assay.store.records import dumped
from assay.store.removals import RemovedError
from assay.store.revisions import set_aside
from assay.store.rows import readable, unreadable
from assay.store.schema import member, result, search, search_job, study, trial
from assay.store.store import add_trials
from assay.studies.plan import Trial
from assay.studies.search.jobs import Decision, Told
from assay.studies.search.objectives import EndedTrial
from assay.studies.search.settings import BUDGETS, METHODS
from assay.studies.study import Study
from assay.system.command_line import command_line
from assay.training.outcome import Outcome

_FIRST = "0007"  # the first schema with the tables
Shown = tuple[dict[str, Any], tuple[float, ...]]
"""A trial of the store that the sampler sees before its first suggestion: its point and its scores."""


@dataclass(frozen=True)
class Resolved:
    """What a search fixes when it is first registered.

    Attributes:
        method: The method; what "auto" stands for.
        choice: Why "auto" stands for it; "" where the method was given.
        worst: What is told of a trial without scores where no earlier one has any.
        shown: The trials of the store that the sampler sees first.
        versions: Of the packages that the sampler needs.
    """

    method: str
    choice: str
    worst: tuple[float, ...]
    shown: tuple[Shown, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class StoredJob:
    """A decision as it is stored, with what it was told."""

    decision: Decision
    told: Told | None
    decided: float  # when, by the database's clock


def digest_of(definition: Study) -> str:
    """A hash of the definition of a search without its budget, its name and its description; defaults do not count."""
    settings = definition.settings.model_dump(mode="json", exclude_defaults=True, exclude={"name", "about"})
    own = {key: value for key, value in dict(settings.get("search", {})).items() if key not in BUDGETS}
    varied = {key: definition.raw.get(key, {}) for key in ("baseline", "axes")}
    text = json.dumps(settings | {"search": own} | varied, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Searches:
    """The searches of a store."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @whole
    def stored(self, definition: Study) -> Resolved | None:
        """What the stored search of a study's name has resolved; None where none or another search has its name."""
        with self.database.read() as connection:
            row, own = _study(connection, definition.name), _row(connection, definition.name)
            return _resolved(own) if own is not None and _is_same(definition, row, own) else None

    @whole
    def change(self, definition: Study) -> str:
        """What registering a search changes in a stored study of its name, in words; "" where that is nothing.

        Raises: RecipeError where the same search is stored with a larger budget.
        """
        with self.database.read() as connection:
            row, own = _study(connection, definition.name), _row(connection, definition.name)
            if row is None:
                return ""
            if own is not None and _is_same(definition, row, own):
                _refuse_lowered(definition, _definition(row))
                return ""
            query = sa.select(sa.func.count(member.c.trial.distinct())).where(member.c.study == row.id)
            count = connection.execute(query).scalar_one()
        line = command_line("assay list", study=definition.name)
        return (
            f"study {definition.name!r} is stored with another definition and {count:,} trials; it stays under the "
            f"next free name {definition.name}@N, and a new search begins ({line})"
        )

    @whole
    def register(self, definition: Study, resolved: Resolved) -> tuple[int, Resolved]:
        """Stores a search unless it is stored; returns its number, and what stands as resolved.

        The budget of a stored search is raised. Another study of the name is kept as `NAME@N`; the members and the
        decisions of the search itself are never touched.
        """
        with self.database.write() as connection:
            now = self.database.now(connection)
            text = {"definition": dumped(dict(definition.raw)), "digest": definition.digest, "updated": now}
            row, own = _study(connection, definition.name), _row(connection, definition.name)
            if row is not None and own is not None and _is_same(definition, row, own):
                _refuse_lowered(definition, _definition(row))
                if row.digest != definition.digest:
                    connection.execute(sa.update(study).where(study.c.id == row.id).values(**text))
                return int(row.id), _resolved(own)
            if row is not None:
                set_aside(connection, row)
            inserted = connection.execute(sa.insert(study).values(name=definition.name, created=now, **text))
            number = int(inserted.inserted_primary_key[0])  # pyright: ignore[reportOptionalSubscript]
            columns = {
                "method": resolved.method,
                "choice": resolved.choice,
                "worst": dumped(list(resolved.worst)),
                "shown": dumped([[values, list(scores)] for values, scores in resolved.shown]),
                "versions": dumped(dict(resolved.versions)),
            }
            own_row = {"study": number, "digest": digest_of(definition), "created": now, **columns}
            connection.execute(sa.insert(search).values(**own_row))
            return number, resolved

    @whole
    def jobs(self, number: int, *, start: int = 0) -> list[StoredJob]:
        """The stored jobs of a search from one on, in order, up to the first that is missing."""
        if self.database.version < _FIRST:
            return []
        query = sa.select(search_job).where(search_job.c.study == number, search_job.c.n >= start)
        with self.database.read() as connection:
            rows = [dict(row) for row in connection.execute(query.order_by(search_job.c.n)).mappings()]
        rows = [row for place, row in enumerate(rows) if row["n"] == start + place]
        for place, reason in wrong_rows("search_job", rows).items():
            raise StoreError(unreadable("search_job", rows[place]["trial"], reason))
        return [_job(row) for row in rows]

    @whole
    def named(self, name: str) -> tuple[int, Resolved] | None:
        """The number of the search of a name, and what it has resolved; None where the study is no search."""
        if self.database.version < _FIRST:
            return None
        with self.database.read() as connection:
            row = _row(connection, name)
        return None if row is None else (int(row["study"]), _resolved(row))

    @whole
    def decide(self, number: int, decision: Decision, planned: Trial) -> StoredJob:
        """Stores a decision with its trial as a member of the study, unless the job has one; returns what stands."""
        with self.database.write() as connection:
            stored = _one(connection, number, decision.n)
            if stored is not None:
                return _job(stored)
            _refuse_removed(connection, number)
            now = self.database.now(connection)
            add_trials(connection, [planned], now)
            values = dumped(dict(decision.values))
            job = {"study": number, "n": decision.n, "trial": decision.trial, **_kind_of(decision)}
            job |= {"label": decision.label, "axis_values": values, "attempts": decision.attempts, "decided": now}
            job |= {"origin": decision.origin, "seconds": decision.seconds}
            connection.execute(sa.insert(search_job).values(**job))
            place = {"study": number, "position": decision.n}
            own = sa.and_(*(member.c[name] == value for name, value in place.items()))
            connection.execute(sa.delete(member).where(own))  # of a decision that a repair has removed
            row = place | {"trial": decision.trial, "label": decision.label, "axis_values": values}
            connection.execute(sa.insert(member).values(**row, repeat=decision.repeat))
            return StoredJob(decision, None, now)

    @whole
    def restore_members(self, number: int, missing: Sequence[tuple[Decision, Trial]]) -> None:
        """Adds the trials of decisions, and their places in the study, that were removed from the store."""
        with self.database.write() as connection:
            add_trials(connection, [planned for _, planned in missing], self.database.now(connection))
            query = sa.select(member.c.position).where(member.c.study == number)
            places = set(connection.execute(query).scalars())
            rows = [
                {"study": number, "position": d.n, "trial": d.trial, "label": d.label, "repeat": d.repeat}
                | {"axis_values": dumped(dict(d.values))}
                for d, _ in missing
                if d.n not in places
            ]
            if rows:
                connection.execute(sa.insert(member), rows)

    @whole
    def tell(self, number: int, told: Told) -> Told:
        """Stores what a job is told, unless it was told before; returns what stands."""
        own = sa.and_(search_job.c.study == number, search_job.c.n == told.n)
        values = {
            "outcome": told.outcome,
            "scores": dumped(list(told.scores)),
            "measured": None if told.measured is None else dumped(list(told.measured)),
            "feasible": told.feasible,
            "cost_seconds": float(told.seconds),
            "cost_flops": float(told.flops),
            "reused": told.reused,
        }
        with self.database.write() as connection:
            values["told"] = self.database.now(connection)
            connection.execute(sa.update(search_job).where(own, search_job.c.told.is_(None)).values(**values))
            stored = _one(connection, number, told.n)
        if stored is None:
            raise RemovedError(f"the search was removed from {self.database.name} while it was running")
        standing = _job(stored).told
        assert standing is not None  # it was written at the latest now
        return standing

    @whole
    def measured(self, keys: Collection[str]) -> dict[str, tuple[EndedTrial, float]]:
        """What the store has of those trials that have ended, each with the time when its result was stored."""
        ended: dict[str, tuple[EndedTrial, float]] = {}
        columns = (result.c.trial, result.c.outcome, result.c.curve, result.c.seconds, result.c.flops)
        with self.database.read() as connection:
            for chunk in chunks(list(keys)):
                query = sa.select(*columns, result.c.finished).where(result.c.trial.in_(chunk), ~result.c.stale)
                for row in connection.execute(query).mappings():
                    readable("result", {**row}, row["trial"])
                    one = EndedTrial(Outcome(row["outcome"]), points_of(row["curve"]), row["seconds"], row["flops"])
                    ended[row["trial"]] = (one, row["finished"])
        return ended

    @whole
    def engines(self, keys: Collection[str]) -> dict[str, str]:
        """The engine of each stored trial."""
        engines: dict[str, str] = {}
        with self.database.read() as connection:
            for chunk in chunks(list(keys)):
                query = sa.select(trial.c.key, trial.c.engine).where(trial.c.key.in_(chunk))
                engines |= {row.key: row.engine for row in connection.execute(query)}
        return engines


def _study(connection: sa.Connection, name: str) -> Any:
    return connection.execute(sa.select(study).where(study.c.name == name)).first()


def _row(connection: sa.Connection, name: str) -> dict[str, Any] | None:
    query = sa.select(search).join(study, study.c.id == search.c.study).where(study.c.name == name)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    readable("search", dict(row), str(row["digest"]))
    if row["method"] not in METHODS:
        raise StoreError(f"study {name!r}: the stored search has an {unknown('method', str(row['method']), METHODS)}")
    return dict(row)


def _is_same(definition: Study, row: Any, own: dict[str, Any]) -> bool:
    """Whether a definition is that of a stored search. Samplers draw in the order of the axes; digests ignore it."""
    stored = _definition(row).get("axes", {})
    return own["digest"] == digest_of(definition) and _order_of(stored) == _order_of(definition.raw.get("axes", {}))


def _definition(row: Any) -> dict[str, Any]:
    """The stored definition of a study. Raises: StoreError."""
    readable("study", {"definition": row.definition}, str(row.name))
    definition: dict[str, Any] = json.loads(row.definition)
    if not isinstance(definition.get("search", {}), dict):
        raise StoreError(f"study {row.name!r}: in the stored definition, search is no table")
    return definition


def _order_of(axes: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """The names of the axes in order, each with those of its patches."""
    return [
        (name, [label for label in table if label != "when"] if isinstance(table, dict) and "key" not in table else [])
        for name, table in axes.items()
    ]


def _one(connection: sa.Connection, number: int, n: int) -> dict[str, Any] | None:
    query = sa.select(search_job).where(search_job.c.study == number, search_job.c.n == n)
    row = connection.execute(query).mappings().first()
    return None if row is None else dict(row)


def _resolved(row: dict[str, Any]) -> Resolved:
    shown = tuple((dict(values), tuple(scores)) for values, scores in json.loads(row["shown"]))
    versions = tuple(sorted(json.loads(row["versions"]).items()))
    return Resolved(row["method"], row["choice"], tuple(json.loads(row["worst"])), shown, versions)


_OF_KIND = ("kind", "rung", "budget", "parent", "repeat")


def _kind_of(decision: Decision) -> dict[str, Any]:
    return {name: getattr(decision, name) for name in _OF_KIND}


def _job(row: dict[str, Any]) -> StoredJob:
    values = json.loads(row["axis_values"])
    names = ("n", "label", "trial", "attempts", "origin", "seconds", *_OF_KIND)
    decision = Decision(values=values, **{name: row[name] for name in names})
    if any(row[name] is None for name in ("told", "outcome", "scores", "feasible", "cost_seconds", "cost_flops")):
        return StoredJob(decision, None, row["decided"])
    told = Told(
        row["n"],
        tuple(json.loads(row["scores"])),
        None if row["measured"] is None else tuple(json.loads(row["measured"])),
        row["outcome"],
        feasible=row["feasible"],
        seconds=row["cost_seconds"],
        flops=row["cost_flops"],
        reused=bool(row["reused"]),
    )
    return StoredJob(decision, told, row["decided"])


def _refuse_lowered(definition: Study, stored: dict[str, Any]) -> None:
    """Raises: RecipeError where the stored search has a larger budget: its decisions would be left over."""
    new, old = dict(definition.raw.get("search", {})), dict(stored.get("search", {}))
    problems = [
        f"search.{name}: got {new[name]:g}, the stored search has {old.get(name, 'no limit')}; a budget may only be "
        "raised: give the study another name"
        for name in BUDGETS
        if name in new and (name not in old or new[name] < old[name])
    ]
    if problems:
        raise RecipeError(problems, source=definition.name)


def _refuse_removed(connection: sa.Connection, number: int) -> None:
    if connection.execute(sa.select(study.c.id).where(study.c.id == number)).first() is None:
        raise RemovedError("the search was removed from the store while it was running")
