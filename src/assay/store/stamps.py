"""Small values that change when a store changes: they tell a reader whether what it has made is still current."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from assay.store.database import Database, distrusting
from assay.store.schema import bench, imported, member, result, search_job, study

Stamp = tuple[Any, ...]


def stamp(database: Database) -> Stamp:
    """Changes when a result, study, bench or imported curve is added, replaced or removed; progress is not in it.

    Raises: StoreError.
    """
    with database.read() as connection:
        columns = [
            *_extent(result.c.trial, result.c.finished),
            *_extent(member.c.trial, member.c.study),
            *_extent(imported.c.key, imported.c.finished),
            *_extent(bench.c.key, bench.c.updated),
            *(_extent(search_job.c.n, search_job.c.told) if database.version >= "0007" else ()),
        ]
        studies = sa.select(study.c.id, study.c.name, study.c.updated, study.c.definition).order_by(study.c.id)
        definitions = hashlib.blake2b(digest_size=16)  # an annotation, such as the verdicts of looks, has no time
        for row in connection.execute(studies):
            definitions.update(json.dumps(list(row), default=str).encode())
        return (*connection.execute(sa.select(*columns)).one(), definitions.hexdigest())


def study_stamp(database: Database, name: str) -> Stamp:
    """Changes when a study changes: its definition, members, results, imported curves or decisions.

    Raises: StoreError.
    """
    with database.read() as connection:
        query = sa.select(study.c.id, study.c.updated, study.c.definition).where(study.c.name == name)
        found = connection.execute(query).first()
        if found is None:
            return ()
        ended = (
            sa.select(sa.func.count(), sa.func.max(result.c.finished))
            .select_from(member.join(result, sa.and_(result.c.trial == member.c.trial, ~result.c.stale)))
            .where(member.c.study == found.id)
        )
        members = sa.select(sa.func.count()).where(member.c.study == found.id)
        curves = sa.select(sa.func.count(), sa.func.max(imported.c.finished)).where(imported.c.study == found.id)
        made: list[Any] = [*found]
        for query in (ended, members, curves):
            made += connection.execute(query).one()
        if database.version >= "0007":
            decisions = sa.select(sa.func.count(), sa.func.max(search_job.c.told)).where(search_job.c.study == found.id)
            made += connection.execute(decisions).one()
        return tuple(made)


def _extent(counted: sa.Column[Any], latest: sa.Column[Any]) -> tuple[Any, Any]:
    table = counted.table
    return (
        sa.select(sa.func.count()).select_from(table).scalar_subquery(),
        sa.select(sa.func.max(latest)).select_from(table).scalar_subquery(),
    )


class CommitCounter:
    """Says whether anything was committed to a store since it was last asked, without reading any table.

    Of an SQLite file it is `PRAGMA data_version` of one connection, which takes microseconds. Of PostgreSQL it is the
    server's snapshot of transactions, which other databases of the server change too.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None
        if database.path is not None:
            path = database.path
            target = f"file:{quote(str(path.absolute()))}?mode=ro"
            self._connection = distrusting(sqlite3.connect(target, uri=True, timeout=0, check_same_thread=False))

    def value(self) -> object:
        """A value that is another one after a commit by any process. Raises: StoreError of a server."""
        if self._connection is None:
            with self._database.read() as connection:
                return connection.exec_driver_sql("SELECT txid_current_snapshot()::text").scalar_one()
        return self._connection.execute("PRAGMA data_version").fetchone()[0]

    def close(self) -> None:
        """Closes its connection."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()


__all__ = ["CommitCounter", "Stamp", "stamp", "study_stamp"]
