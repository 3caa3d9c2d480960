"""What a store promises after any accident, checked from outside and by `assay store check`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from assay.errors import AssayError
from assay.store import integrity
from assay.store.store import Store

Row = tuple[Any, ...]
UNSOUND = ("damaged", "unreadable", "missing")


def stored_results(path: Path) -> dict[str, Row]:
    """Every result of a store by the key of its trial, read with SQLite alone; none where there is no table yet."""
    if not path.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
            rows = connection.execute("SELECT trial, outcome, curve, finished, ledger, artifact FROM result").fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error) and "unable to open" not in str(error):
            raise
        return {}
    return {row[0]: tuple(row[1:]) for row in rows}


def broken(path: Path, acknowledged: dict[str, Row], *, read_only_first: bool = False) -> list[str]:
    """The promises that a store has broken, as sentences; empty if none.

    Args:
        path: the store after an accident.
        acknowledged: the results whose commit had returned before it, as they were stored.
        read_only_first: whether a read-only opening comes before the first one that may change files.
    """
    try:
        if read_only_first:
            Store(str(path), read_only=True).close()
        store = Store(str(path))
    except AssayError as error:
        return [f"the store is refused: {error}"]
    try:
        sentences = [f"not sound: {defect.sentence}" for defect in integrity.check(store) if defect.kind in UNSOUND]
    except AssayError as error:
        sentences = [f"the store cannot be checked: {error}"]
    finally:
        store.close()
    now = stored_results(path)
    for key, row in acknowledged.items():
        if key not in now:
            sentences.append(f"the result of trial {key[:8]} is lost")
        elif now[key] != row:
            sentences.append(f"the result of trial {key[:8]} is not the one whose commit returned")
    return sentences


def report(kind: str, seed: object, sentences: list[str]) -> int:
    """Prints broken promises with the seed that shows them again; returns 1 if there are any, else 0."""
    for sentence in sentences[:5]:
        print(f"  {kind}, seed {seed}: {sentence}", flush=True)
    return int(bool(sentences))
