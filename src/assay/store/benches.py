"""Benches in a store: saved while they run, listed, found, removed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from assay.errors import NotStoredError, StoreError, unknown
from assay.store.bench_rows import BenchContent
from assay.store.columns import readable_rows
from assay.store.database import Database
from assay.store.records import dumped, machine_row
from assay.store.rows import plain_json
from assay.store.schema import bench, machine

FORMAT = 1
"""Of the plain data; incremented when older readers would misunderstand newer data."""
Plain = dict[str, Any]
WITHOUT_CONTENT = [c for c in bench.columns if c.name != "content"]


def save(database: Database, plain: Mapping[str, Any]) -> None:
    """Stores the current state of a bench, replacing the state stored before."""
    measured_on = machine_row(plain["machine"])
    rows: Sequence[Mapping[str, Any]] = plain["rows"]
    values = {
        "name": plain["name"],
        "data": plain["data"]["name"],
        "data_checksum": plain["data"]["checksum"],
        "outcome": plain["outcome"],
        "measured": sum(row["state"] == "measured" for row in rows),
        "rows": len(rows),
        "baseline": plain["baseline"]["row"],
        "machine": measured_on["hash"],
        "source_commit": plain["machine"].get("commit"),
        "content": dumped(plain),
    }
    update = sa.update(bench).where(bench.c.key == plain["bench"])
    with database.write() as connection:
        now = database.now(connection)
        known = sa.select(machine.c.hash).where(machine.c.hash == measured_on["hash"])
        if connection.execute(known).first() is None:
            connection.execute(sa.insert(machine).values(**measured_on))
        if not connection.execute(update.values(**values, updated=now)).rowcount:
            insert = sa.insert(bench).values(**values, key=plain["bench"], created=now, updated=now)
            connection.execute(insert)


def listed(database: Database) -> list[Plain]:
    """Every bench that can be read, without its content, the newest first; which are left out is said."""
    with database.read() as connection:
        query = sa.select(*WITHOUT_CONTENT).order_by(bench.c.updated.desc())
        rows = [dict(row) for row in connection.execute(query).mappings()]
    return readable_rows("bench", "key", rows)


def find(database: Database, word: str) -> Plain | None:
    """The newest bench of a name, or the bench whose key has a prefix of four characters or more; None without one.

    Raises: StoreError if the prefix is ambiguous, or the content cannot be read.
    """
    prefix = word.strip().lower()
    by_key = bench.c.key.startswith(prefix) if re.fullmatch(r"[0-9a-f]{4,64}", prefix) else sa.false()
    query = sa.select(bench.c.key, bench.c.name, bench.c.content).order_by(bench.c.updated.desc())
    with database.read() as connection:
        rows = connection.execute(query.where(sa.or_(by_key, bench.c.name == word))).all()
    named = [row for row in rows if row.name == word]
    if len(rows) > 1 and not named:
        raise NotStoredError(f"more than one bench has a key that begins with {prefix!r}")
    row = named[0] if named else rows[0] if rows else None
    return None if row is None else read(row.key, row.content)


def one(database: Database, word: str) -> Plain:
    """As `find`. Raises: StoreError also where there is none."""
    plain = find(database, word)
    if plain is None:
        names = list(dict.fromkeys(row["name"] for row in listed(database)))
        raise NotStoredError(
            unknown("bench", word, names) if names else f"unknown bench {word!r}; the store has none yet"
        )
    return plain


def read(key: str, content: str) -> Plain:
    """The plain data of a stored bench. Raises: StoreError where it is damaged."""
    try:
        plain = plain_json(content, dict)
        if plain["format"] != FORMAT or plain["bench"] != key:
            raise ValueError(f"format {plain['format']!r}, bench {plain['bench']!r}")
        BenchContent.model_validate(plain)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(f"bench {key[:8]} cannot be read: {where}: {first['msg']}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"bench {key[:8]} cannot be read: {type(error).__name__}: {error}") from None
    return plain


def remove(database: Database, keys: Sequence[str]) -> int:
    """Removes benches by key; returns their number."""
    if not keys:
        return 0
    with database.write() as connection:
        return connection.execute(sa.delete(bench).where(bench.c.key.in_(list(keys)))).rowcount
