"""Leases: which process trains a trajectory. A commit under a lease that was taken over is refused."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import Any, NamedTuple

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
_MOST_AT_ONCE = 400  # each further portion is twice as large up to this, as many drivers hold the first jobs


@dataclass(frozen=True)
class Lease:
    """The right to train a trajectory; a commit under it is refused once another process has it."""

    trajectory: str
    token: str = field(default_factory=lambda: secrets.token_hex(16))


class Claimed(NamedTuple):
    """A leased job with its open trials, and whether its trajectory has a checkpoint."""

    lease: Lease
    job: Job
    has_checkpoint: bool


class _Free(NamedTuple):
    """A job that may be leased, with its open trials, and the iteration of its checkpoint if it has one."""

    job: Job
    start: int | None


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
        claimed, done = self.claim_batch(jobs, lambda _: (1, None))
        return (claimed[0].lease, claimed[0].job) if claimed else None, done

    def claim_batch(
        self, jobs: Iterable[Job], batch_of: Callable[[Job], tuple[int, Hashable]]
    ) -> tuple[list[Claimed], dict[str, Outcome]]:
        """Leases jobs that are trained together: the first that no other process has, and others of its form.

        Args:
            jobs: Those that may be leased, in order; consumed only as far as needed.
            batch_of: The number of jobs in a batch that begins with a job, and its form. Jobs of one batch have the
                same form, and checkpoints at the same iteration.

        Returns:
            The leased jobs, with only those trials that have no result yet, and the outcomes of trials that turned out
            to be finished.
        """
        done: dict[str, Outcome] = {}
        remaining = iter(jobs)
        first = next(remaining, None)
        if first is None:
            return [], done
        portion = [first, *itertools.islice(remaining, max(_FIRST_BATCH, batch_of(first)[0]) - 1)]
        while portion:
            claimed = self._claim(portion, done, batch_of)
            if claimed:
                return claimed, done
            portion = list(itertools.islice(remaining, min(_MOST_AT_ONCE, 2 * len(portion))))
        return [], done

    def _claim(
        self, jobs: Sequence[Job], done: dict[str, Outcome], batch_of: Callable[[Job], tuple[int, Hashable]]
    ) -> list[Claimed]:
        """Leases the jobs of a batch, in a transaction of its own."""
        own = {job.trajectory: Lease(job.trajectory) for job in jobs}  # the same in an attempt after a lost commit

        def attempt(_: bool) -> list[Claimed]:
            with self.database.write(durable=False, shared=True) as connection:
                now = self.database.now(connection)
                free = self._free(connection, jobs, own, now, done)
                while free:
                    most, form = batch_of(free[0].job)
                    start = free[0].start
                    alike = (one for one in free if one.start == start and batch_of(one.job)[1] == form)
                    if self.database.path is not None:  # its lock is the whole file's
                        taken = list(itertools.islice(alike, most))
                    else:
                        candidates = list(alike)
                        taken = self._locked(connection, candidates, most, own, now, done)
                        free = [one for one in free if one not in candidates]
                    if taken:
                        self._take(connection, [own[one.job.trajectory] for one in taken], now)
                        return [Claimed(own[job.trajectory], job, start is not None) for job, start in taken]
            return []

        return self.database.whole(attempt)

    def _free(
        self,
        connection: sa.Connection,
        jobs: Sequence[Job],
        own: Mapping[str, Lease],
        now: float,
        done: dict[str, Outcome],
        *,
        locked: int | None = None,
    ) -> list[_Free]:
        """Those of the jobs that have open trials and no other holder, in their order. Adds to `done`.

        Args:
            connection: In a transaction.
            jobs: Which.
            own: The leases that this process takes: one that a lost attempt has taken is free to it.
            now: Seconds since 1970 by the database's clock.
            done: The outcomes of trials that have ended.
            locked: Lock the rows of so many jobs, of those that no other transaction has locked; the others are left
                out.
        """
        by_key = {job.trajectory: job for job in jobs}
        names = ("key", "token", "host", "boot", "pid", "started", "expires", "iteration", "checkpoint")
        query = sa.select(*(trajectory.c[name] for name in names))
        if locked is not None:
            order = sa.case({key: number for number, key in enumerate(by_key)}, value=trajectory.c.key)
            query = query.order_by(order).limit(locked).with_for_update(skip_locked=True)
        rows: dict[str, Any] = {}
        for keys in chunks(list(by_key)):
            rows |= {row.key: row for row in connection.execute(query.where(trajectory.c.key.in_(keys)))}
        for keys in chunks([planned.key for key in rows for planned in by_key[key].trials]):
            finished = sa.select(result.c.trial, result.c.outcome).where(result.c.trial.in_(keys), ~result.c.stale)
            done |= {key: Outcome(outcome) for key, outcome in connection.execute(finished)}
        free: list[_Free] = []
        for key, job in by_key.items():
            open_trials = tuple(planned for planned in job.trials if planned.key not in done)
            if not open_trials or key not in rows:
                continue
            if rows[key].token == own[key].token or self._is_free(rows[key], now):
                start = rows[key].iteration if rows[key].checkpoint is not None else None
                free.append(_Free(Job(key, open_trials), start))
        return free

    def _locked(
        self,
        connection: sa.Connection,
        candidates: Sequence[_Free],
        most: int,
        own: Mapping[str, Lease],
        now: float,
        done: dict[str, Outcome],
    ) -> list[_Free]:
        """At most so many of the candidates, with their rows locked, as they are once no other driver can take them."""
        starts = {one.start for one in candidates}
        locked = self._free(connection, [one.job for one in candidates], own, now, done, locked=most)
        return [one for one in locked if one.start in starts][:most]  # a large portion is locked in several queries

    def _take(self, connection: sa.Connection, leases: Sequence[Lease], now: float) -> None:
        """Writes leases of this process."""
        me = asdict(self._me) | {"expires": now + SECONDS}
        taken = [{"k": lease.trajectory, "token": lease.token} for lease in leases]
        update = sa.update(trajectory).where(trajectory.c.key == sa.bindparam("k"))
        connection.execute(update.values(**me, token=sa.bindparam("token")), taken)

    def held_by_others(self, keys: Iterable[str]) -> set[str]:
        """The trajectories that another running process trains."""
        wanted = list(keys)

        def attempt(_: bool) -> set[str]:
            with self.database.read() as connection:
                now = self.database.now(connection)
                return {
                    row.key
                    for chunk in chunks(wanted)
                    for row in connection.execute(sa.select(trajectory).where(trajectory.c.key.in_(chunk)))
                    if not self._is_free(row, now)
                }

        return self.database.whole(attempt)

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
        leases = list(held)

        def attempt(_: bool) -> None:
            with self.database.write(durable=False, shared=True) as connection:
                _update(connection, leases, expires=self.database.now(connection) + SECONDS)

        self.database.whole(attempt)

    def release(self, *leases: Lease) -> None:
        """Ends leases."""

        def attempt(_: bool) -> None:
            with self.database.write(durable=False, shared=True) as connection:
                end(connection, leases)

        self.database.whole(attempt)


def end(connection: sa.Connection, leases: Iterable[Lease]) -> None:
    """Ends leases, except those that another process has by now."""
    _update(connection, leases, token=None, expires=None)


def _update(connection: sa.Connection, leases: Iterable[Lease], **values: Any) -> None:
    """Updates the trajectories of leases, except of those that another process has by now."""
    rows = [{"k": lease.trajectory, "t": lease.token} for lease in sorted(leases, key=_trajectory)]
    if rows:
        held = (trajectory.c.key == sa.bindparam("k")) & (trajectory.c.token == sa.bindparam("t"))
        connection.execute(sa.update(trajectory).where(held).values(**values), rows)


def _trajectory(lease: Lease) -> str:
    """By which leases are sorted: transactions that lock rows in one order never wait for each other in a circle."""
    return lease.trajectory


def held(connection: sa.Connection, leases: Iterable[Lease]) -> dict[str, int]:
    """The trajectories whose lease still holds, with the iterations of their checkpoints. Their rows are locked."""
    tokens = {lease.trajectory: lease.token for lease in sorted(leases, key=_trajectory)}
    columns = (trajectory.c.key, trajectory.c.token, trajectory.c.iteration)
    query = sa.select(*columns).order_by(trajectory.c.key).with_for_update()  # SQLite has locked the whole file
    return {
        row.key: row.iteration
        for keys in chunks(list(tokens))
        for row in connection.execute(query.where(trajectory.c.key.in_(keys)))
        if row.token == tokens[row.key]
    }


def note_checkpoints(connection: sa.Connection, checkpoints: Iterable[tuple[Lease, int, str]]) -> None:
    """Stores checkpoints that trajectories can resume from: iteration and artifact of each lease that still holds."""
    rows = [
        {"k": lease.trajectory, "t": lease.token, "i": iteration, "a": artifact}
        for lease, iteration, artifact in checkpoints
    ]
    rows.sort(key=lambda row: (row["k"], row["i"]))
    if rows:
        own = (trajectory.c.key == sa.bindparam("k")) & (trajectory.c.token == sa.bindparam("t"))
        values: dict[str, Any] = {"iteration": sa.bindparam("i"), "checkpoint": sa.bindparam("a"), "losses": 0}
        connection.execute(sa.update(trajectory).where(own).values(**values), rows)


def give_up(connection: sa.Connection, lease: Lease) -> bool:
    """Ends the lease of a worker that was lost. Returns True if its trials have no retry left and are lost."""
    query = sa.select(trajectory.c.losses).where(trajectory.c.key == lease.trajectory)
    losses = connection.execute(query).scalar_one_or_none()
    if losses is None:  # another process has removed it
        return False
    retry = losses < RETRIES
    values = {"token": None, "expires": None, "losses": losses + 1 if retry else 0}
    return bool(connection.execute(fenced(lease).values(**values)).rowcount) and not retry


def fenced(lease: Lease) -> sa.Update:
    """An update of the lease's trajectory that does nothing once another process has it."""
    return sa.update(trajectory).where(trajectory.c.key == lease.trajectory, trajectory.c.token == lease.token)
