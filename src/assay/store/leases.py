"""Leases: which process trains a trajectory. A commit under a lease that was taken over is refused."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import Any

import sqlalchemy as sa

from assay.store.database import Database, chunks
from assay.store.holder import Holder, me
from assay.store.schema import result, trajectory
from assay.studies.plan import Job
from assay.training.outcome import Outcome

SECONDS = 60.0
"""How long a lease lasts without being renewed. Its holder renews it four times as often."""
RETRIES = 3
"""How often a trial whose worker was lost is retried automatically."""
_FIRST_BATCH = 16  # jobs; usually one of them is free
_NEXT_BATCH = 400


@dataclass(frozen=True)
class Lease:
    """The right to train a trajectory; a commit under it is refused once another process has it."""

    trajectory: str
    token: str = field(default_factory=lambda: secrets.token_hex(16))


class Leases:
    """The leases of a store. At any time, a trajectory is leased to one process at most.

    Their commits are not flushed to disk: a power cut that undoes one has ended its holder as well.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._me = me()
        self._unrenewed: dict[str, tuple[tuple[str, float], float]] = {}  # a lease as it was seen first, and when

    def claim(self, jobs: Iterable[Job]) -> tuple[Lease, Job] | None:
        """Leases the first job that no other process has. Returns it with only those trials that have no result yet."""
        return self.claim_or_done(jobs)[0]

    def claim_or_done(self, jobs: Iterable[Job]) -> tuple[tuple[Lease, Job] | None, dict[str, Outcome]]:
        """As `claim`; also returns the outcomes of trials that turned out to be finished.

        `jobs` is consumed only as far as needed.
        """
        done: dict[str, Outcome] = {}
        remaining = iter(jobs)
        batch = list(itertools.islice(remaining, _FIRST_BATCH))
        if not batch:
            return None, done
        with self.database.write(durable=False) as connection:
            now = self.database.now(connection)
            while batch:
                claimed = self._claim_one(connection, batch, now, done)
                if claimed is not None:
                    return claimed, done
                batch = list(itertools.islice(remaining, _NEXT_BATCH))
        return None, done

    def _claim_one(
        self, connection: sa.Connection, jobs: Sequence[Job], now: float, done: dict[str, Outcome]
    ) -> tuple[Lease, Job] | None:
        by_key = {job.trajectory: job for job in jobs}
        columns = (trajectory.c[name] for name in ("key", "token", "host", "boot", "pid", "started", "expires"))
        rows = {row.key: row for row in connection.execute(sa.select(*columns).where(trajectory.c.key.in_(by_key)))}
        for keys in chunks([planned.key for job in jobs for planned in job.trials]):
            query = sa.select(result.c.trial, result.c.outcome).where(result.c.trial.in_(keys), ~result.c.stale)
            done |= {key: Outcome(outcome) for key, outcome in connection.execute(query)}
        for key, job in by_key.items():
            open_trials = tuple(planned for planned in job.trials if planned.key not in done)
            if not open_trials or key not in rows or not self._is_free(rows[key], now):
                continue
            lease = Lease(key)
            values = asdict(self._me) | {"token": lease.token, "expires": now + SECONDS}
            connection.execute(sa.update(trajectory).where(trajectory.c.key == key).values(**values))
            return lease, Job(key, open_trials)
        return None

    def held_by_others(self, keys: Iterable[str]) -> set[str]:
        """The trajectories that another running process trains."""
        held: set[str] = set()
        with self.database.read() as connection:
            now = self.database.now(connection)
            for chunk in chunks(list(keys)):
                for row in connection.execute(sa.select(trajectory).where(trajectory.c.key.in_(chunk))):
                    if not self._is_free(row, now):
                        held.add(row.key)
        return held

    def _is_free(self, row: Any, now: float) -> bool:
        """Whether a trajectory is free: without a lease, or its holder has ended or has not renewed it for too long.

        A server has one clock for everybody. Where the database is a file, the clocks of two machines may differ, so
        this process waits by its own clock until it has seen the lease unrenewed for the whole time.
        """
        if row.token is None or row.expires is None:
            self._unrenewed.pop(row.key, None)
            return True
        if Holder(row.host, row.boot, row.pid, row.started).gone():
            return True
        if self.database.path is None:
            return row.expires < now
        state = (row.token, row.expires)
        first_seen, since = self._unrenewed.get(row.key, (None, 0.0))
        if first_seen != state:
            self._unrenewed[row.key] = (state, monotonic())
            return False
        return monotonic() - since >= SECONDS

    def renew(self, held: Iterable[Lease]) -> None:
        """Renews leases."""
        with self.database.write(durable=False) as connection:
            expires = self.database.now(connection) + SECONDS
            for lease in held:
                connection.execute(fenced(lease).values(expires=expires))

    def release(self, lease: Lease) -> None:
        """Ends a lease."""
        with self.database.write(durable=False) as connection:
            connection.execute(fenced(lease).values(token=None, expires=None))


def holds(connection: sa.Connection, lease: Lease) -> int | None:
    """The iteration of the trajectory's checkpoint if the lease still holds, else None."""
    query = sa.select(trajectory.c.iteration)
    held = query.where(trajectory.c.key == lease.trajectory, trajectory.c.token == lease.token)
    return connection.execute(held).scalar()


def note_checkpoint(connection: sa.Connection, lease: Lease, iteration: int, artifact: str) -> bool:
    """Stores the checkpoint that the trajectory can resume from. Returns False if the lease no longer holds."""
    values = {"iteration": iteration, "checkpoint": artifact, "losses": 0}
    return bool(connection.execute(fenced(lease).values(**values)).rowcount)


def give_up(connection: sa.Connection, lease: Lease) -> bool:
    """Ends the lease of a worker that was lost. Returns True if its trials have no retry left and are lost."""
    query = sa.select(trajectory.c.losses).where(trajectory.c.key == lease.trajectory)
    losses = connection.execute(query).scalar_one()
    retry = losses < RETRIES
    values = {"token": None, "expires": None, "losses": losses + 1 if retry else 0}
    return bool(connection.execute(fenced(lease).values(**values)).rowcount) and not retry


def fenced(lease: Lease) -> sa.Update:
    """An update of the lease's trajectory that does nothing once another process has it."""
    return sa.update(trajectory).where(trajectory.c.key == lease.trajectory, trajectory.c.token == lease.token)
