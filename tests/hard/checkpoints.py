"""Kills inside SQLite's checkpoint, made by hand: the first K pages of the write-ahead log are in the file already.

A checkpoint writes the newest version of each page into the file in the order of their numbers; a kill can stop it
after any page, or within one at the boundary of a sector.
"""

from __future__ import annotations

import random
import shutil
import struct
import tempfile
from pathlib import Path

from assay.store.store import Store
from tests.store.makers import made_end, made_plan

from .promises import Row, broken, report, stored_results

_SECTOR = 512
_STATES = 25  # of each store


def run(seed: int, cases: int) -> dict[str, int]:
    """Opens and checks so many states, of a fresh store for every 25."""
    chance = random.Random(seed)
    counts = {"cases": 0, "failures": 0, "file shorter than its header says": 0}
    while counts["cases"] < cases:
        with tempfile.TemporaryDirectory(prefix="assay-hard-") as name:
            store, kept = _killed_store(Path(name), chance)
            pages = newest_pages(Path(f"{store}-wal").read_bytes())
            for _ in range(min(_STATES, cases - counts["cases"])):
                _one_state(store, kept, pages, chance, counts)
    return counts


def _one_state(
    store: Path, kept: dict[str, Row], pages: list[tuple[int, bytes]], chance: random.Random, counts: dict[str, int]
) -> None:
    with tempfile.TemporaryDirectory(prefix="assay-hard-") as name:
        path = Path(name) / "store.db"
        for suffix in ("", "-wal"):
            shutil.copy(f"{store}{suffix}", f"{path}{suffix}")
        shutil.copytree(f"{store}.artifacts", f"{path}.artifacts", copy_function=shutil.copy)
        count = chance.randint(0, len(pages))
        torn = pages[count : count + 1] if chance.random() < 0.5 else []
        _write(path, pages[:count], torn, chance)
        header = path.read_bytes()[:100]
        counts["file shorter than its header says"] += (
            path.stat().st_size < struct.unpack(">I", header[28:32])[0] * 4096
        )
        counts["cases"] += 1
        sentences = broken(path, kept, read_only_first=chance.random() < 0.5)
        counts["failures"] += report("checkpoints", f"case {counts['cases']}, {count} pages", sentences)


def newest_pages(log: bytes) -> list[tuple[int, bytes]]:
    """The pages of a write-ahead log with their numbers, in the order in which a checkpoint writes them."""
    size = struct.unpack(">I", log[8:12])[0]
    newest: dict[int, bytes] = {}
    for start in range(32, len(log) - size - 23, size + 24):
        newest[struct.unpack(">I", log[start : start + 4])[0]] = log[start + 24 : start + 24 + size]
    return sorted(newest.items())


def _write(path: Path, pages: list[tuple[int, bytes]], torn: list[tuple[int, bytes]], chance: random.Random) -> None:
    with path.open("r+b") as file:
        for number, content in pages:
            file.seek((number - 1) * len(content))
            file.write(content)
        for number, content in torn:
            file.seek((number - 1) * len(content))
            file.write(content[: chance.randrange(1, len(content) // _SECTOR) * _SECTOR])


def _killed_store(folder: Path, chance: random.Random) -> tuple[Path, dict[str, Row]]:
    """A store as a kill leaves it, with everything since some moment in its log; and its results."""
    path = folder / "store.db"
    store, plan = Store(str(path)), made_plan(chance.randint(3, 40), seed=chance.randrange(10**6))
    begin = chance.randint(0, len(plan.jobs) - 1)  # the results before are in the file already
    store.register(plan)
    count = 0
    if begin == 0:
        _no_checkpoint(store)
    while claimed := store.leases.claim(plan.jobs):
        lease, job = claimed
        content = chance.randbytes(3000) if chance.random() < 0.3 else None
        store.finish(lease, job.trials[0], made_end(job.trials[0], content=content, points=chance.randint(2, 300)))
        store.leases.release(lease)
        count += 1
        if count == begin:
            store.close()
            store = Store(str(path))
            _no_checkpoint(store)
    (folder / "store.db.artifacts").mkdir(exist_ok=True)
    kept, killed = stored_results(path), folder / "killed" / "store.db"
    killed.parent.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{killed}{suffix}")
    shutil.copytree(f"{path}.artifacts", f"{killed}.artifacts")
    store.close()
    return killed, kept


def _no_checkpoint(store: Store) -> None:
    with store.database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute("PRAGMA wal_autocheckpoint = 0")
