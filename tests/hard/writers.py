"""Kills of processes that do nothing but write to a store: results, weights, replaced checkpoints, leases.

No training comes between, so that most kills are within a transaction, a checkpoint of SQLite or the writing of an
artifact. One or two processes write to the same store, which several kills meet before it is made anew.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path

from assay.store import integrity
from assay.store.store import Store

from .drivers import Forked
from .promises import Row, broken, report, stored_results
from .recorded import write_results

_KILLS = 12  # of each store


def run(seed: int, cases: int) -> dict[str, int]:
    """Kills writers so many times."""
    chance = random.Random(seed)
    counts = {"cases": 0, "failures": 0, "results promised": 0, "log left behind": 0}
    while counts["cases"] < cases:
        with tempfile.TemporaryDirectory(prefix="assay-hard-") as name:
            path, kept = Path(name) / "store.db", dict[str, Row]()
            for _ in range(min(_KILLS, cases - counts["cases"])):
                counts["cases"] += 1
                label = f"{seed}, case {counts['cases']}"
                counts["failures"] += report("writers", label, _one_kill(path, kept, chance))
                counts["log left behind"] += Path(f"{path}-wal").exists()
            counts["results promised"] += len(kept)
    return counts


def _one_kill(path: Path, kept: dict[str, Row], chance: random.Random) -> list[str]:
    """Kills one or two writers; adds what they stored to `kept` and returns the broken promises."""
    notes_path = path.with_name("notes")
    notes = os.open(notes_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    writers: list[Forked] = []
    for _ in range(chance.choice([1, 1, 2])):
        seed = chance.randrange(10**8)
        writers.append(Forked(lambda seed=seed: _write_on(path, seed, notes)))
    if chance.random() < 0.9:  # else while they open or create the store
        _wait_for_growth(notes_path)
    time.sleep(chance.choice([chance.uniform(0.0, 0.1), chance.uniform(0.0, 0.8)]))
    running = [writer for writer in writers if writer.poll() is None]
    for writer in writers:
        writer.kill()
        writer.wait()
    os.close(notes)
    sentences = [] if len(running) == len(writers) else ["a writer ended by itself"]
    promised = notes_path.read_text().split()
    sentences += broken(path, kept, read_only_first=chance.random() < 0.5 and path.exists() and bool(kept))
    now = stored_results(path)
    sentences += [f"the result of trial {key[:8]} is lost" for key in promised if key not in now]
    kept |= now
    if chance.random() < 0.1:
        store = Store(str(path))
        integrity.vacuum(store)
        store.close()
        sentences += broken(path, kept)
    return sentences


def _wait_for_growth(notes: Path) -> None:
    """Waits until a result has been stored, for 20 s at most."""
    size, begin = notes.stat().st_size, time.monotonic()
    while notes.stat().st_size == size and time.monotonic() - begin < 20:
        time.sleep(0.002)


def _write_on(path: Path, seed: int, notes: int) -> None:
    chance = random.Random(seed)
    while True:
        write_results(path, chance, notes)
