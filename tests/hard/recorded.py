"""The programs whose system calls are recorded: `python -m tests.hard.recorded KIND SEED`, in an empty folder.

- run: `assay run` of a short study with kept weights.
- store: results, replaced checkpoints and openings of a store, without trainings; now and then two processes at once.

Each writes to the file `notes` the key of every trial whose `finish` or `finish_all` has returned.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from assay.store.artifacts import SMALL_BYTES
from assay.store.endings import Ending
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
    Store.finish_all = _noting(Store.finish_all, notes)
    sys.argv = ["assay", "run", "study.toml", "--store", "store.db", "--yes"]
    assay.cli.main()


def _noting(finish_all: Callable[..., list[bool]], notes: int) -> Callable[..., list[bool]]:
    """Results are stored a batch of trials at a time; a batch that finds no room calls it again with its halves."""

    def finish_and_note(store: Store, endings: Sequence[Ending], **options: Any) -> list[bool]:
        accepted = finish_all(store, endings, **options)
        stored = [ending.trial.key for ending, taken in zip(endings, accepted, strict=True) if taken]
        os.write(notes, "".join(f"{key}\n" for key in stored).encode())
        return accepted

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
            store.checkpoint(lease, step + 1, chance.randbytes(chance.choice([100, 6000, SMALL_BYTES + 1])))
        held = [(lease, job)]
        while len(held) < chance.choice([1, 1, 4]) and (more := store.leases.claim(plan.jobs)):
            held.append((more[0], more[1]))
        endings = [Ending(lease, job.trials[0], _end(job.trials[0], chance)) for lease, job in held]
        accepted = store.finish_all(endings)
        keys = [ending.trial.key for ending, taken in zip(endings, accepted, strict=True) if taken]
        os.write(notes, "".join(f"{key}\n" for key in keys).encode())
        store.leases.release(*(lease for lease, _ in held))
    store.close()


def _end(trial: Any, chance: random.Random) -> Any:
    """The end of a trial, with weights that are missing, shared by trials, a row, or (rarely) a file of their own."""
    large = SMALL_BYTES + 1 if chance.random() < 0.3 else 5000
    content = chance.choice([None, b"equal in several trials", chance.randbytes(large)])
    return made_end(trial, content=content, points=chance.choice([3, 40, 400]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
