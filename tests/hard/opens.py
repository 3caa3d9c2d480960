"""Opens next to writers: a healthy store that others write to must never be refused, nor be called damaged.

Two processes write results, close the store and open it again, which starts and ends SQLite's write-ahead log; this
process opens the store and reads it, read-only and not.
"""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from assay.errors import AssayError
from assay.store.database import Database
from assay.store.store import Store
from tests.store.makers import made_end, made_plan

from .drivers import Forked
from .promises import broken, report, stored_results

_RESTART = 20_000  # opens, after which the store is made anew: it must not grow without end


def run(seed: int, cases: int) -> dict[str, int]:
    """Opens a store so many times next to two writers."""
    chance = random.Random(seed)
    counts = {"cases": 0, "failures": 0, "read-only": 0, "results written meanwhile": 0}
    while counts["cases"] < cases:
        with tempfile.TemporaryDirectory(prefix="assay-hard-") as name:
            _one_store(Path(name) / "store.db", chance, counts, min(_RESTART, cases - counts["cases"]))
    return counts


def _one_store(path: Path, chance: random.Random, counts: dict[str, int], opens: int) -> None:
    Store(str(path)).close()
    writers = [_writer(path, chance.randrange(10**6)) for _ in range(2)]
    least = 0
    try:
        for _ in range(opens):
            counts["cases"] += 1
            read_only = chance.random() < 0.7
            counts["read-only"] += read_only
            try:
                database = Database(str(path), read_only=read_only)
                with database.read() as connection:
                    results = connection.exec_driver_sql("SELECT count(*) FROM result").scalar_one()
                database.close()
                sentences = [f"{least} results were there, now {results}"] if results < least else []
                least = results
            except AssayError as error:
                sentences = [f"a healthy store is refused: {error}"]
            counts["failures"] += report("opens", f"open {counts['cases']}", sentences)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    stored = stored_results(path)
    counts["results written meanwhile"] += len(stored)
    counts["failures"] += report("opens", "the end", broken(path, stored))


def _writer(path: Path, seed: int) -> Forked:
    def write() -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        chance = random.Random(seed)
        while True:
            store, plan = Store(str(path)), made_plan(12, name=f"made-{seed}", seed=chance.randrange(10**8))
            store.register(plan)
            while claimed := store.leases.claim(plan.jobs):
                lease, job = claimed
                store.finish(lease, job.trials[0], made_end(job.trials[0], points=chance.choice([10, 10, 400])))
                store.leases.release(lease)
                time.sleep(chance.choice([0.0, 0.0, 0.02]))  # so that the opens have a processor, too
            store.close()

    return Forked(write)
