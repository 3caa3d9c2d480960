"""Benches in a store: written while they run, listed, read back, removed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from assay.errors import StoreError, unknown
from assay.store.database import Database
from assay.store.records import dumped, machine_row
from assay.store.schema import bench, machine

FORMAT = 1
"""Of the plain data; raised when a reader of the old form would misunderstand the new one."""
Plain = dict[str, Any]
_KEYS = ("name", "outcome", "recipe", "data", "epochs", "repeats", "calibration", "notes", "timeline")
_HEADS = [c for c in bench.columns if c.name != "content"]


def save(database: Database, plain: Mapping[str, Any]) -> None:
    """Stores a bench as it stands, in the place of what was stored of it before."""
    place = machine_row(plain["machine"])
    rows: Sequence[Mapping[str, Any]] = plain["rows"]
    values = {
        "name": plain["name"],
        "data": plain["data"]["name"],
        "data_checksum": plain["data"]["checksum"],
        "outcome": plain["outcome"],
        "measured": sum(row["state"] == "measured" for row in rows),
        "rows": len(rows),
        "baseline": plain["baseline"]["row"],
        "machine": place["hash"],
        "source_commit": plain["machine"].get("commit"),
        "content": dumped(plain),
    }
    mine = bench.c.key == plain["bench"]
    with database.write() as connection:
        now = database.now(connection)
        if connection.execute(sa.select(machine.c.hash).where(machine.c.hash == place["hash"])).first() is None:
            connection.execute(sa.insert(machine).values(**place))
        if not connection.execute(sa.update(bench).where(mine).values(**values, updated=now)).rowcount:
            insert = sa.insert(bench).values(**values, key=plain["bench"], created=now, updated=now)
            connection.execute(insert)


def listed(database: Database) -> list[Plain]:
    """Every bench without its content, the newest first."""
    with database.read() as connection:
        query = sa.select(*_HEADS).order_by(bench.c.updated.desc())
        return [dict(row) for row in connection.execute(query).mappings()]


def found(database: Database, word: str) -> Plain | None:
    """The bench whose key begins with a word of four characters or more, or the newest of that name; None where there
    is none. Raises: StoreError where several keys begin so, or the content cannot be read."""
    clean = word.strip().lower()
    begins = bench.c.key.startswith(clean) if re.fullmatch(r"[0-9a-f]{4,64}", clean) else sa.false()
    query = sa.select(bench.c.key, bench.c.name, bench.c.content).order_by(bench.c.updated.desc())
    with database.read() as connection:
        rows = connection.execute(query.where(sa.or_(begins, bench.c.name == word))).all()
    named = [row for row in rows if row.name == word]
    if len(rows) > 1 and not named:
        raise StoreError(f"more than one bench has a key that begins with {clean!r}")
    chosen = named[0] if named else rows[0] if rows else None
    return None if chosen is None else read(chosen.key, chosen.content)


def one(database: Database, word: str) -> Plain:
    """As `found`. Raises: StoreError where there is none."""
    plain = found(database, word)
    if plain is None:
        names = list(dict.fromkeys(row["name"] for row in listed(database)))
        raise StoreError(unknown("bench", word, names) if names else f"unknown bench {word!r}; the store has none yet")
    return plain


def read(key: str, content: str) -> Plain:
    """A stored bench's plain data. Raises: StoreError where that is not what it should be."""
    try:
        plain = json.loads(content)
        if plain["format"] != FORMAT or plain["bench"] != key:
            raise ValueError(f"format {plain['format']!r}, bench {plain['bench']!r}")
        needed = [(plain, _KEYS), (plain["machine"], ("cpu", "cores")), (plain["baseline"], ("row", "why"))]
        needed += [(row, ("label", "state", "reason", "certificate", "starts", "epochs")) for row in plain["rows"]]
        needed += [(row["summary"], ("total", "train", "limit", "ratio")) for row in plain["rows"]]
        for table, names in needed:
            for name in names:
                table[name]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"bench {key[:8]} cannot be read: {type(error).__name__}: {error}") from None
    return plain


def remove(database: Database, keys: Sequence[str]) -> int:
    """Removes benches by key. Returns how many."""
    if not keys:
        return 0
    with database.write() as connection:
        return connection.execute(sa.delete(bench).where(bench.c.key.in_(list(keys)))).rowcount
