"""Kills of the commands that change a whole store: import, export, rm, backup, vacuum and repair.

What such a command has not finished must be as before or as after it, and giving it again must finish it.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from assay.store import exchange, integrity
from assay.store.backup import backup
from assay.store.salvage import salvage_in_place
from assay.store.store import Store
from tests.store.makers import made_end, made_plan

from .drivers import Forked
from .promises import Row, broken, report, stored_results

_STORE = 20  # cases of each made store
Action = Callable[[Path], object]


def run(seed: int, cases: int) -> dict[str, int]:
    """Kills so many commands."""
    chance = random.Random(seed)
    counts = {"cases": 0, "failures": 0, "killed while running": 0}
    while counts["cases"] < cases:
        with tempfile.TemporaryDirectory(prefix="assay-hard-") as name:
            made = Path(name) / "made"
            _make(made, chance)
            for _ in range(min(_STORE, cases - counts["cases"])):
                counts["cases"] += 1
                folder = Path(name) / "case"
                shutil.copytree(made, folder)
                kind = chance.choice(list(_COMMANDS))
                running, sentences = _one_kill(folder, kind, chance)
                counts["killed while running"] += running
                counts["failures"] += report("commands", f"{seed}, {kind}, case {counts['cases']}", sentences)
                shutil.rmtree(folder)
    return counts


def _make(folder: Path, chance: random.Random) -> None:
    """A store of two studies that share no trial, with its log as a kill leaves it, and an export of it."""
    path = folder / "store.db"
    folder.mkdir()
    store = Store(str(path))
    with store.database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute(f"PRAGMA wal_autocheckpoint = {chance.choice([0, 30])}")
    for name in ("first", "second"):
        plan = made_plan(chance.randint(3, 12), name=name, seed=chance.randrange(10**8))
        store.register(plan)
        while claimed := store.leases.claim(plan.jobs):
            content = chance.choice([None, chance.randbytes(3000)])
            store.finish(claimed[0], claimed[1].trials[0], made_end(claimed[1].trials[0], content=content))
            store.leases.release(claimed[0])
    exchange.export(store, folder / "export", artifacts=True)
    (folder / "store.db.artifacts").mkdir(exist_ok=True)
    old = 2 * 3600.0  # seconds; vacuum keeps younger ones
    orphan = store.artifacts.put(b"nothing refers to this")
    for artifact in (folder / "store.db.artifacts").glob("??/*"):
        os.utime(artifact, (time.time() - old, time.time() - old))
    assert orphan
    logs = [(Path(f"{path}{suffix}"), Path(f"{path}{suffix}").read_bytes()) for suffix in ("", "-wal")]
    store.close()
    for file, content in logs:
        file.write_bytes(content)


def _import(folder: Path) -> object:
    with _opened(folder / "other.db") as store:
        return exchange.read_back(store, folder / "export")


def _export(folder: Path) -> object:
    with _opened(folder / "store.db") as store:
        return exchange.export(store, folder / "export-2", artifacts=True)


def _remove(folder: Path) -> object:
    with _opened(folder / "store.db") as store:
        return store.remove(studies=["second"])


def _backup(folder: Path) -> object:
    with _opened(folder / "store.db") as store:
        return backup(store, folder / "other.db")


def _vacuum(folder: Path) -> object:
    with _opened(folder / "store.db") as store:
        return integrity.vacuum(store)


def _repair(folder: Path) -> object:
    return salvage_in_place(folder / "store.db")


class _opened:
    """A store that is closed at the end."""

    def __init__(self, path: Path) -> None:
        self.store = Store(str(path))

    def __enter__(self) -> Store:
        return self.store

    def __exit__(self, *_: object) -> None:
        self.store.close()


_COMMANDS: dict[str, Action] = {
    "import": _import,
    "export": _export,
    "rm": _remove,
    "backup": _backup,
    "vacuum": _vacuum,
    "repair": _repair,
}


def _one_kill(folder: Path, kind: str, chance: random.Random) -> tuple[bool, list[str]]:
    """Kills one command and gives it again; returns whether it was running, and the broken promises."""
    before = stored_results(folder / "store.db")
    command = Forked(partial(_COMMANDS[kind], folder))
    time.sleep(chance.choice([chance.uniform(0.0, 0.03), chance.uniform(0.0, 0.4)]))
    running = command.poll() is None
    command.kill()
    command.wait()
    sentences = [] if running or command.returncode == 0 else [f"the command ended with {command.returncode}"]
    kept = before
    if kind == "rm":
        kept, sentences = _all_or_nothing(folder / "store.db", before, sentences)
    sentences += broken(folder / "store.db", kept)
    if (folder / "other.db").exists():
        sentences += broken(folder / "other.db", before if kind == "backup" else {})
    if running:
        sentences += _again(folder, kind, before)
    return running, sentences


def _all_or_nothing(path: Path, before: dict[str, Row], sentences: list[str]) -> tuple[dict[str, Row], list[str]]:
    now = stored_results(path)
    with _opened(path) as store:
        names = {row[0] for row in _names(store)}
    if (len(now) == len(before)) != (names == {"first", "second"}):
        sentences = [*sentences, f"studies {sorted(names)} with {len(now)} of {len(before)} results"]
    return {key: before[key] for key in now}, sentences


def _names(store: Store) -> list[tuple[str]]:
    with store.database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql("SELECT name FROM study")]


def _again(folder: Path, kind: str, before: dict[str, Row]) -> list[str]:
    """Gives a killed command again; returns the broken promises."""
    if kind == "rm" and len(stored_results(folder / "store.db")) < len(before):
        return []  # it had been done
    if kind == "backup" and (folder / "other.db").exists():
        return []
    again = Forked(partial(_COMMANDS[kind], folder))
    if again.wait(60) != 0:
        return [f"given again, the command ended with {again.returncode}"]
    if kind in ("import", "backup"):
        count = len(stored_results(folder / "other.db"))
        sentences = broken(folder / "other.db", before if kind == "backup" else {})
        return sentences if count == len(before) else [*sentences, f"{count} of {len(before)} results arrived"]
    return broken(folder / "store.db", {} if kind == "rm" else before)
