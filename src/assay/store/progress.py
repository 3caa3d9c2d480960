"""What is being trained, as its driver last wrote it: for other programs to look at. Nothing is decided by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from assay.store.columns import wrong_rows
from assay.store.curves import packed_points, points_of
from assay.store.database import Database, chunks
from assay.store.holder import Holder
from assay.store.leases import Lease
from assay.store.schema import progress, trajectory
from assay.training.history import Point

_FIRST = "0006"  # the first schema with the table


@dataclass(frozen=True)
class Running:
    """A trajectory in training.

    Attributes:
        lease: the right to train it.
        study: the name of its study.
        label: of the configuration.
        seconds: how long it has been trained for.
        iteration: how far it is.
        iterations: where it ends.
        points: its latest points, in ascending order of iterations.
    """

    lease: Lease
    study: str
    label: str
    seconds: float
    iteration: int
    iterations: int
    points: Sequence[Point]


def write(database: Database, running: Sequence[Running], holder: str) -> None:
    """Writes what is being trained, in one transaction, and removes what no longer is. Raises: StoreError.

    A trajectory whose lease another process has by now is left out. The commit is not flushed to disk.
    """
    by_key = {one.lease.trajectory: one for one in running}
    with database.write(durable=False, shared=True) as connection:
        held = sa.exists().where(trajectory.c.key == progress.c.trajectory, trajectory.c.token == progress.c.token)
        connection.execute(sa.delete(progress).where(~held))
        now, rows = database.now(connection), list[dict[str, Any]]()
        for chunk in chunks(list(by_key)):
            query = sa.select(trajectory.c.key, trajectory.c.token).where(trajectory.c.key.in_(chunk))
            tokens = {row.key: row.token for row in connection.execute(query)}
            own = [key for key in chunk if tokens.get(key) == by_key[key].lease.token]
            connection.execute(sa.delete(progress).where(progress.c.trajectory.in_(own)))
            rows += [_row(by_key[key], holder, now) for key in own]
        if rows:
            connection.execute(sa.insert(progress), rows)


def _row(running: Running, holder: str, now: float) -> dict[str, Any]:
    return {
        "trajectory": running.lease.trajectory,
        "token": running.lease.token,
        "study": running.study,
        "label": running.label,
        "holder": holder,
        "since": now - running.seconds,
        "updated": now,
        "iteration": running.iteration,
        "iterations": running.iterations,
        "points": packed_points(running.points),
    }


def listed(database: Database) -> list[dict[str, Any]]:
    """What is being trained, the longest first; `points` are its latest points, `seconds` how long it has been trained.

    What a driver that has ended left behind is not listed. Older stores have no such table.
    """
    if database.version < _FIRST:
        return []
    holder = (trajectory.c[name] for name in ("host", "boot", "pid", "started", "expires"))
    held = sa.and_(trajectory.c.key == progress.c.trajectory, trajectory.c.token == progress.c.token)
    query = sa.select(progress, *holder).join(trajectory, held).order_by(progress.c.since)
    with database.read() as connection:
        now = database.now(connection)
        rows = [dict(row) for row in connection.execute(query).mappings()]
    wrong = wrong_rows("progress", rows)
    listed: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        place = Holder(row.pop("host"), row.pop("boot"), row.pop("pid"), row.pop("started"))
        expires = row.pop("expires")
        late = database.path is None and (expires is None or expires < now)  # a file has no clock of its own
        if number in wrong or late or place.gone():
            continue
        row["points"] = points_of(row["points"])
        row["seconds"] = max(0.0, row["updated"] - row["since"])
        del row["token"]
        listed.append(row)
    return listed
