"""Fuzzer of store files: bytes, pages, schema entries and cells of a database that were changed."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from . import fuzz_exports, fuzzing

_FILES: list[Path] = []


def case(draw: random.Random, place: Path) -> str:
    """One damaged store: checked, listed, shown, reported, vacuumed or repaired."""
    store = place / "s.db"
    shutil.copyfile(draw.choice(_FILES), store)
    if draw.random() < 0.4:
        _change_row(draw, store)
    else:
        _change_bytes(draw, store)
    at = ("--store", str(store))
    commands = [
        ("list",),
        ("list", "--trials"),
        ("store", "check"),
        fuzz_exports.answer(draw, _a_study(draw, store), place),
    ]
    commands += [("show", key) for key in _some_keys(draw, store)]
    commands += [("store", draw.choice(("vacuum", "repair", "check"))), ("list", "--trials", "--json")]
    ends = {fuzzing.command(*words, *at) for words in draw.sample(commands, 2)}
    return "refused" if "refused" in ends else "taken"


def _a_study(draw: random.Random, store: Path) -> str:
    try:
        with closing(sqlite3.connect(store)) as database:
            names = [row[0] for row in database.execute("select name from study")]
    except (sqlite3.Error, ValueError):
        return "made"
    texts = [name for name in names if isinstance(name, str) and name.isalnum()]
    return draw.choice(texts or ["made"])


def _some_keys(draw: random.Random, store: Path) -> list[str]:
    try:
        with closing(sqlite3.connect(store)) as database:
            keys = [row[0] for row in database.execute("select key from trial union select key from imported")]
    except (sqlite3.Error, ValueError):
        return ["0123abcd"]
    texts = [key for key in keys if isinstance(key, str) and key.isalnum()]
    return draw.sample(texts, min(2, len(texts)))


def _change_bytes(draw: random.Random, store: Path) -> None:
    content = bytearray(store.read_bytes())
    size = 4096
    how = draw.random()
    if how < 0.3:  # the header and the schema
        for _ in range(draw.randint(1, 8)):
            content[draw.randrange(size)] = draw.randrange(256)
    elif how < 0.6:  # one page
        at = draw.randrange(len(content) // size) * size
        content[at : at + size] = draw.choice((bytes(size), draw.randbytes(size), content[:size]))
    elif how < 0.8:  # some bytes anywhere
        for _ in range(draw.randint(1, 300)):
            content[draw.randrange(len(content))] = draw.randrange(256)
    elif how < 0.9:
        del content[draw.randrange(len(content)) :]
    else:
        content = bytearray(fuzzing.changed(draw, bytes(content)))
    store.write_bytes(bytes(content))


def _change_row(draw: random.Random, store: Path) -> None:
    """Changes one cell, or the schema."""
    with closing(sqlite3.connect(store)) as database:
        tables = [row[0] for row in database.execute("select name from sqlite_master where type = 'table'")]
        table = draw.choice([name for name in tables if not name.startswith("sqlite_")])
        columns = [row[1] for row in database.execute(f"pragma table_info({table})")]
        column = draw.choice(columns)
        if draw.random() < 0.1:
            statement = draw.choice((f"drop table {table}", f"alter table {table} rename to x", f"delete from {table}"))
            database.execute(statement)
        else:
            value = fuzzing.value(draw)
            old = database.execute(f'select "{column}" from {table} limit 1').fetchone()
            if old and isinstance(old[0], str) and old[0][:1] in "[{" and old[0] and draw.random() < 0.8:
                plain = json.loads(old[0])
                if plain:
                    fuzz_exports._change(draw, plain)
                value = plain
            if old and isinstance(old[0], bytes) and old[0] and draw.random() < 0.8:
                value = fuzzing.changed(draw, old[0])
            if isinstance(value, list | dict):
                value = json.dumps(value)
            if isinstance(value, int) and abs(value) >= 2**63:
                value = str(value)[:5000]
            if isinstance(value, str):
                value = value.encode("utf-8", "replace").decode()
            try:
                database.execute(f'update {table} set "{column}" = ?', (draw.choice((value, value, b"\xff\0", None)),))
            except sqlite3.Error:
                return
        database.commit()


def warm() -> None:
    """Makes the stores that are changed."""
    fuzz_exports.warm()
    root = fuzz_exports._EXPORTS[0].parent
    for name in ("0.db", "1.db"):
        with closing(sqlite3.connect(root / name)) as database:
            database.execute("pragma wal_checkpoint(truncate)")
        _FILES.append(root / name)
    old = Path(__file__).parents[1] / "store"
    _FILES.extend(sorted((old / "schemas").glob("*.db")))


def run(seed: int, cases: int) -> dict[str, int]:
    """Makes so many cases."""
    return fuzzing.run("stores", case, seed, cases, warm=warm)
