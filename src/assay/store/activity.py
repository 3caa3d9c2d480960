"""What happens in a store now, as any machine that reaches it can read: studies in work, drivers, failures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from assay.store import progress
from assay.store.database import Database, chunks
from assay.store.holder import Holder
from assay.store.leases import SECONDS
from assay.store.schema import member, result, study, trajectory, trial
from assay.training.outcome import RETRIED, Outcome

WINDOW_SECONDS = 600.0
"""Over how long the throughput of a study is measured; less where its latest run began later."""
_LEAST_WINDOW = 5.0  # seconds; a throughput of less time is none
LATE_SECONDS = SECONDS / 2
"""A lease is renewed four times in its duration; one that was not for this long is about to expire."""


@dataclass(frozen=True)
class Driver:
    """A process that holds leases.

    Attributes:
        host: the name of its machine.
        pid: its process id there.
        trajectories: how many it holds.
        unrenewed: the seconds since it renewed the oldest of its leases, by the database's clock.
        ended: whether this machine can see that the process has ended. What it held is free.
    """

    host: str
    pid: int
    trajectories: int
    unrenewed: float
    ended: bool

    @property
    def late(self) -> bool:
        """Whether its leases are about to expire or have expired, so that another driver takes them over."""
        return not self.ended and self.unrenewed >= LATE_SECONDS


@dataclass(frozen=True)
class Activity:
    """A study in work.

    Attributes:
        name: of the study.
        trials: how many it has; of a search, how many were decided so far.
        outcomes: how many of them ended in which way.
        training: trajectories that a process trains now.
        best: the best accuracy so far.
        best_r2: the best R2 so far, of a study of regressions.
        recent: trials that ended within the window.
        window: the length of the window in seconds, which ends now.
        is_search: whether more trials may be decided.
    """

    name: str
    trials: int
    outcomes: dict[Outcome, int]
    training: int
    best: float | None
    best_r2: float | None
    recent: int
    window: float
    is_search: bool

    @property
    def ended(self) -> int:
        """Trials that have ended."""
        return sum(self.outcomes.values())

    @property
    def per_second(self) -> float | None:
        """Trials a second within the window; None where the window is too short or nothing ended in it."""
        return self.recent / self.window if self.recent and self.window >= _LEAST_WINDOW else None

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until the rest has ended at the throughput of the window; None where there is no such estimate."""
        rate = self.per_second
        return None if rate is None or self.is_search else (self.trials - self.ended) / rate


@dataclass(frozen=True)
class Status:
    """What happens in a store.

    Attributes:
        now: seconds since 1970 by the database's clock.
        studies: those in work, the latest registered first.
        idle: the names of studies with open trials that nobody trains.
        drivers: the processes that hold leases, the longest unrenewed first.
        running: what is trained for 5 s and longer, as `progress.listed` gives it.
        failures: the latest trials that the machine or the program ended, of all studies.
    """

    now: float
    studies: tuple[Activity, ...]
    idle: tuple[str, ...]
    drivers: tuple[Driver, ...]
    running: tuple[dict[str, Any], ...]
    failures: tuple[dict[str, Any], ...]


def status(database: Database, *, failures: int = 5) -> Status:
    """What happens in a store now. Nothing is written. Raises: StoreError.

    A study is in work if a process holds a lease of one of its trajectories with an open trial, or if one of its trials
    ended within the last minute and others are open.

    Args:
        database: of the store.
        failures: how many of the latest failures are named.
    """
    with database.read() as connection:
        now = database.now(connection)
        drivers, living = _living(connection, now, has_clock=database.path is None)
        training = _training(connection, living)
        rows = _counted(connection, now, training)
        latest = _failures(connection, failures)
    open_rows = [row for row in rows if row["trials"] > sum(row["outcomes"].values())]
    in_work = [row for row in open_rows if _is_in_work(row, now)]
    names = {row["name"] for row in in_work}
    return Status(
        now,
        tuple(_activity(row, now) for row in in_work),
        tuple(row["name"] for row in open_rows if row["name"] not in names),
        drivers,
        tuple(progress.listed(database)),
        latest,
    )


@dataclass(frozen=True)
class StudyState:
    """A study, finished or not, and whether it is in work: `status` says which studies are."""

    activity: Activity
    is_in_work: bool

    @property
    def is_over(self) -> bool:
        """Whether every trial has ended and none is trained. Of a search: every one that was decided so far."""
        return self.activity.trials > 0 and self.activity.ended == self.activity.trials and not self.is_in_work


def states(database: Database, only: str | None = None) -> dict[str, StudyState]:
    """Every study by its name, the latest registered first, or one alone. Nothing is written. Raises: StoreError."""
    with database.read() as connection:
        now = database.now(connection)
        living = _living(connection, now, has_clock=database.path is None)[1]
        rows = _counted(connection, now, _training(connection, living), only)
    return {row["name"]: StudyState(_activity(row, now), _is_in_work(row, now)) for row in rows}


def _is_in_work(row: dict[str, Any], now: float) -> bool:
    is_open = row["trials"] > sum(row["outcomes"].values())
    return bool(row["training"]) or (is_open and row["last"] >= now - SECONDS)


def _living(connection: sa.Connection, now: float, *, has_clock: bool) -> tuple[tuple[Driver, ...], list[str]]:
    """The holders of leases, and the trajectories whose holder may live."""
    columns = (trajectory.c[name] for name in ("key", "host", "boot", "pid", "started", "expires"))
    leases = connection.execute(sa.select(*columns).where(trajectory.c.token.is_not(None))).all()
    return _drivers(leases, now, has_clock=has_clock)


def _drivers(leases: Sequence[Any], now: float, *, has_clock: bool) -> tuple[tuple[Driver, ...], list[str]]:
    """The holders of leases, and the trajectories whose holder may live.

    `has_clock`: whether the database is a server with one clock, by which a lease ends without its holder.
    """
    held: dict[Holder, list[tuple[str, float]]] = {}
    for row in leases:
        holder = Holder(str(row.host), str(row.boot), row.pid or 0, str(row.started))
        held.setdefault(holder, []).append((row.key, max(0.0, now - (row.expires or 0.0) + SECONDS)))
    drivers: list[Driver] = []
    living: list[str] = []
    for holder, own in held.items():
        oldest = max(unrenewed for _, unrenewed in own)
        driver = Driver(holder.host, holder.pid, len(own), oldest, holder.gone())
        drivers.append(driver)
        if not driver.ended:
            living += [key for key, unrenewed in own if not has_clock or unrenewed < SECONDS]
    return tuple(sorted(drivers, key=lambda driver: -driver.unrenewed)), living


def _training(connection: sa.Connection, trajectories: Sequence[str]) -> Counter[int]:
    """For each study, how many of the trajectories have a trial of it that has not ended."""
    training: Counter[int] = Counter()
    source = trial.join(member, member.c.trial == trial.c.key)
    source = source.join(result, sa.and_(result.c.trial == trial.c.key, ~result.c.stale), isouter=True)
    for keys in chunks(trajectories):
        query = (
            sa.select(member.c.study, sa.func.count(trial.c.trajectory.distinct()))
            .select_from(source)
            .where(trial.c.trajectory.in_(keys), result.c.trial.is_(None))
            .group_by(member.c.study)
        )
        for number, count in connection.execute(query):
            training[number] += count
    return training


def _counted(
    connection: sa.Connection, now: float, training: Counter[int], only: str | None = None
) -> list[dict[str, Any]]:
    """The studies, the latest registered first, each with its counts; a trial that configurations share counts once.

    `only`: the name of a study that is counted alone.
    """
    since = now - WINDOW_SECONDS
    members = sa.select(member.c.study, member.c.trial).distinct()
    if only is not None:
        members = members.where(member.c.study == sa.select(study.c.id).where(study.c.name == only).scalar_subquery())
    once = members.subquery()
    within = sa.and_(result.c.finished > since, result.c.finished > study.c.updated)
    recent = sa.func.count(sa.case((within, 1)))
    query = (
        sa.select(
            study.c.id,
            study.c.name,
            study.c.definition,
            study.c.updated,
            result.c.outcome,
            sa.func.count(once.c.trial).label("trials"),
            sa.func.max(result.c.accuracy).label("best"),
            sa.func.max(result.c.r2).label("best_r2"),
            sa.func.max(result.c.finished).label("last"),
            recent.label("recent"),
        )
        .select_from(study.join(once, once.c.study == study.c.id))
        .join(result, sa.and_(result.c.trial == once.c.trial, ~result.c.stale), isouter=True)
        .where(sa.true() if only is None else study.c.name == only)
        .group_by(study.c.id, study.c.name, study.c.definition, study.c.updated, result.c.outcome)
        .order_by(study.c.updated.desc(), study.c.id.desc())
    )
    studies: dict[int, dict[str, Any]] = {}
    for row in connection.execute(query).mappings():
        counted = studies.setdefault(row["id"], _empty(row) | {"training": training[row["id"]]})
        counted["trials"] += row["trials"]
        if row["outcome"] is None:
            continue
        counted["outcomes"][row["outcome"]] = row["trials"]
        counted["recent"] += row["recent"]
        counted["last"] = max(counted["last"], row["last"])
        for name in ("best", "best_r2") if row["outcome"] not in _UNRANKED else ():
            known = [value for value in (counted[name], row[name]) if value is not None]
            counted[name] = max(known, default=None)
    return list(studies.values())


_UNRANKED = (Outcome.DIVERGED, *RETRIED)


def _empty(row: Any) -> dict[str, Any]:
    definition: Any = json.loads(row["definition"])
    design = definition.get("design") if isinstance(definition, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    counts = {"trials": 0, "recent": 0, "last": 0.0, "best": None, "best_r2": None, "outcomes": {}}
    return {"name": row["name"], "updated": row["updated"], "is_search": design == "search"} | counts


def _activity(row: dict[str, Any], now: float) -> Activity:
    window = min(WINDOW_SECONDS, max(0.0, now - row["updated"]))
    outcomes = {Outcome(name): count for name, count in row["outcomes"].items()}
    columns = ("name", "trials", "training", "best", "best_r2", "recent", "is_search")
    return Activity(**{name: row[name] for name in columns}, outcomes=outcomes, window=window)


def failures(database: Database, study_name: str, most: int) -> list[dict[str, Any]]:
    """The latest trials of a study that failed, were lost, timed out, ran out of memory or diverged, with their labels.

    Raises: StoreError.
    """
    query = (
        sa.select(result.c.trial, result.c.outcome, result.c.reason, result.c.finished, member.c.label)
        .select_from(study.join(member, member.c.study == study.c.id).join(result, result.c.trial == member.c.trial))
        .where(study.c.name == study_name, result.c.outcome.in_([str(one) for one in _UNRANKED]), ~result.c.stale)
        .order_by(result.c.finished.desc(), member.c.position)
        .limit(most)
    )
    with database.read() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def _failures(connection: sa.Connection, most: int) -> tuple[dict[str, Any], ...]:
    """The latest trials that failed, were lost, timed out or ran out of memory, each with one study that has it."""
    names = sa.select(sa.func.min(study.c.name)).join(member, member.c.study == study.c.id)
    query = (
        sa.select(
            result.c.trial,
            result.c.outcome,
            result.c.reason,
            result.c.finished,
            names.where(member.c.trial == result.c.trial).correlate(result).scalar_subquery().label("study"),
        )
        .where(result.c.outcome.in_([str(one) for one in RETRIED]), ~result.c.stale)
        .order_by(result.c.finished.desc())
        .limit(most)
    )
    return tuple(dict(row) for row in connection.execute(query).mappings())
