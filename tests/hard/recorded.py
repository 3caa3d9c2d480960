"""The programs whose system calls are recorded: `python -m tests.hard.recorded KIND SEED`, in an empty folder.

- run: `assay run` of a short study with kept weights.
- store: results, replaced checkpoints and openings of a store, without trainings; now and then two processes at once.

Each writes to the file `notes` the key of every trial whose `finish` has returned.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.store.store import Store
from tests.store.makers import made_end, made_plan

from .drivers import Forked
from .kills import STUDY


def main(kind: str, seed: int) -> None:
    """Runs a program."""
    notes = os.open("notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    chance = random.Random(seed)
    if kind == "run":
        _run(chance, notes)
        return
    Store("store.db").close()
    writers = chance.choice([1, 1, 2])
    if writers == 1:
        _write(chance, notes)
        return
    for process in [Forked(lambda n=n: _write(random.Random(seed + n), notes)) for n in range(writers)]:
        assert process.wait() == 0


def _run(chance: random.Random, notes: int) -> None:
    import assay.cli

    values = {"repeats": chance.randint(10, 30), "iterations": chance.choice([20, 200])}
    Path("study.toml").write_text(STUDY.format(engine="native", **values))
    Store.finish = _noting(Store.finish, notes)
    sys.argv = ["assay", "run", "study.toml", "--store", "store.db", "--yes"]
    assay.cli.main()


def _noting(finish: Callable[..., bool], notes: int) -> Callable[..., bool]:
    def finish_and_note(store: Store, lease: Any, planned: Any, finished: Any) -> bool:
        stored = finish(store, lease, planned, finished)
        if stored:
            os.write(notes, f"{planned.key}\n".encode())
        return stored

    return finish_and_note


def _write(chance: random.Random, notes: int) -> None:
    for _ in range(chance.randint(1, 3)):
        write_results(Path("store.db"), chance, notes)


def write_results(path: Path, chance: random.Random, notes: int) -> None:
    """Opens a store, writes the results of a few trials with artifacts and checkpoints, and closes it.

    Args:
        path: The store.
        chance: Chooses how many trials and how large; SQLite's log is often started anew.
        notes: A file to which the key of each trial is written when its `finish` has returned.
    """
    store = Store(str(path))
    with store.database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute(f"PRAGMA wal_autocheckpoint = {chance.choice([20, 60, 1000])}")
    plan = made_plan(chance.randint(3, 15), name=f"made-{chance.random()}", seed=chance.randrange(10**8))
    store.register(plan)
    while claimed := store.leases.claim(plan.jobs):
        lease, job = claimed
        for step in range(chance.choice([0, 0, 1, 3])):
            store.checkpoint(lease, step + 1, chance.randbytes(chance.choice([100, 6000])))
        content = chance.choice([None, b"equal in several trials", chance.randbytes(5000)])
        end = made_end(job.trials[0], content=content, points=chance.choice([3, 40, 400]))
        if store.finish(lease, job.trials[0], end):
            os.write(notes, f"{job.trials[0].key}\n".encode())
        store.leases.release(lease)
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
