"""What is removed while a process trains it: `rm` refuses it, and a driver whose rows are gone can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from assay.errors import StoreError
from assay.store.database import Database, chunks
from assay.store.holder import Holder
from assay.store.schema import result, study, trajectory, trial
from assay.studies.plan import Plan


class RemovedError(StoreError):
    """Studies or trials were removed from the store while they ran."""


@dataclass(frozen=True)
class Removed:
    """What a store no longer has of the plans of a run.

    Attributes:
        studies: The names of removed studies.
        trials: The keys of removed trials.
        sentence: What was removed, in words; "" if nothing was.
    """

    studies: tuple[str, ...]
    trials: frozenset[str]
    sentence: str


def removed(database: Database, plans: Sequence[Plan]) -> Removed:
    """What was removed of plans that were registered, by key and in words. A search has a plan for each trial."""
    trials: dict[str, set[str]] = {}
    for plan in plans:
        trials.setdefault(plan.study.name, set()).update(plan.trials)
    registered = {plan.study.name for plan in plans if plan.registers}
    sentences: list[str] = []

    def attempt(_: bool) -> tuple[set[str], tuple[str, ...]]:
        with database.read() as connection:
            every = set[str]().union(*trials.values())
            gone = every - stored_trials(connection, list(every))
            return gone, tuple(name for name in trials if name in registered and not _has_study(connection, name))

    gone, studies = database.whole(attempt)
    for name, keys in trials.items():
        if name in studies or keys & gone:
            subject = _sentence(name, database.name, total=len(keys), gone=len(keys & gone), is_gone=name in studies)
            sentences.append(subject)
    return Removed(studies, frozenset(gone), "; ".join(sentences))


def has_studies(database: Database, plans: Sequence[Plan]) -> bool:
    """Whether all studies of plans that were registered are still stored."""

    def attempt(_: bool) -> bool:
        with database.read() as connection:
            return all(_has_study(connection, plan.study.name) for plan in plans if plan.registers)

    return database.whole(attempt)


def _has_study(connection: sa.Connection, name: str) -> bool:
    return connection.execute(sa.select(study.c.id).where(study.c.name == name)).first() is not None


def stored_trials(connection: sa.Connection, keys: Sequence[str]) -> set[str]:
    """Those of the keys that are keys of stored trials."""
    stored: set[str] = set()
    for chunk in chunks(keys):
        stored |= set(connection.execute(sa.select(trial.c.key).where(trial.c.key.in_(chunk))).scalars())
    return stored


def _sentence(name: str, store: str, *, total: int, gone: int, is_gone: bool) -> str:
    if is_gone:
        rest = f", with {gone:,} of its {total:,} trials" if gone else "; its trials stay in other studies"
        return f"study {name!r} was removed from {store} during its run{rest}"
    subject = f"{gone:,} of the {total:,} trials of {name!r}" if total > 1 else f"the trial of {name!r}"
    were = "were" if gone > 1 else "was"
    return f"{subject} {were} removed from {store} during the run, with what had been stored of it"


def refuse_running(connection: sa.Connection, keys: Sequence[str], *, now: float) -> None:
    """Checks that no living process trains one of some trials.

    Args:
        connection: Of the transaction that removes them.
        keys: The trials.
        now: By the database's clock.

    Raises: StoreError, with the process.
    """
    place = (trajectory.c.host, trajectory.c.boot, trajectory.c.pid, trajectory.c.started)
    columns = (trial.c.key, *place)
    running: dict[Holder, list[str]] = {}
    for chunk in chunks(keys):
        query = (
            sa.select(*columns)
            .join(trajectory, trajectory.c.key == trial.c.trajectory)
            .join(result, result.c.trial == trial.c.key, isouter=True)
            .where(trial.c.key.in_(chunk), trajectory.c.token.is_not(None), trajectory.c.expires >= now)
            .where(sa.or_(result.c.trial.is_(None), result.c.stale))  # else it has ended, and another one is trained
        )
        for row in connection.execute(query):
            running.setdefault(Holder(row.host, row.boot, row.pid, row.started), []).append(row.key)
    for holder, held in running.items():
        if not holder.gone():
            others = f" and {len(held) - 1:,} more" if len(held) > 1 else ""
            raise StoreError(
                f"process {holder.pid} on {holder.host} is training trial {held[0][:8]}{others}; nothing was removed. "
                "End that run with Ctrl-C, then give this command again"
            )
