"""Power cuts: the system calls of a run on its store are recorded, then states of the disk are rebuilt.

In each state, what was not flushed at some moment of the run is missing or torn. Every result whose commit had returned
by then must be there, and the store sound.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from .disk import Disk
from .promises import Row, broken, report, stored_results
from .recording import Operation, can_record, record

_STATES = 50  # of each recording
_ROOT = Path(__file__).parents[2]


def run(seed: int, cases: int) -> dict[str, int]:
    """Checks so many states; 50 of each recorded run."""
    if not can_record():
        raise SystemExit("power-cuts needs strace, and the right to trace")
    chance = random.Random(seed)
    counts = {"cases": 0, "failures": 0, "recordings": 0, "results promised": 0}
    while counts["cases"] < cases:
        kind = "run" if chance.random() < 0.2 else "store"
        with tempfile.TemporaryDirectory(prefix="assay-hard-") as name:
            folder, number = Path(name).resolve() / "recorded", chance.randrange(10**8)
            folder.mkdir()
            recorded = _record(folder, kind, number)
            counts["recordings"] += 1
            check_promises(recorded, stored_results(folder / "store.db"))
            label = f"{seed}, {kind} {number}"
            _cut(recorded, stored_results(folder / "store.db"), chance, counts, cases=cases, label=label)
    return counts


def _record(folder: Path, kind: str, seed: int) -> list[Operation]:
    command = [sys.executable, "-m", "tests.hard.recorded", kind, str(seed)]
    paths = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))  # assay itself is installed
    environment = {**os.environ, "PYTHONPATH": paths}
    trace = folder.with_name("trace")
    return record(
        command, folder, trace, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def check_promises(recorded: list[Operation], results: dict[str, Row]) -> None:
    """Checks that every stored result was promised: else the states of a recording show nothing. Raises: SystemExit."""
    promised = [operation[2] for operation in recorded if operation[0] == "note"]
    if not promised or sorted(promised) != sorted(results):
        raise SystemExit(f"power-cuts: {len(promised)} results were promised, and {len(results)} are stored")


def _cut(
    recorded: list[Operation],
    results: dict[str, Row],
    chance: random.Random,
    counts: dict[str, int],
    *,
    cases: int,
    label: str,
) -> None:
    """Rebuilds and checks states of one recording; adds to `counts`."""
    chosen = sorted(chance.randint(0, len(recorded)) for _ in range(min(_STATES, cases - counts["cases"])))
    disk, acknowledged, moment = Disk(), dict[str, Row](), 0
    for cut in chosen:
        for operation in recorded[moment:cut]:
            if operation[0] == "note":
                acknowledged[operation[2]] = results[operation[2]]
            else:
                disk.apply(operation)
        moment = cut
        counts["cases"] += 1
        counts["results promised"] += len(acknowledged)
        with tempfile.TemporaryDirectory(prefix="assay-hard-") as name:
            target = Path(name) / "disk"
            disk.after_cut(target, chance)
            if chance.random() < 0.3 and (target / "store.db").exists():  # it is no part of the promise of a disk
                (target / "store.db-shm").write_bytes(chance.randbytes(32768))
            sentences = broken(target / "store.db", acknowledged)
        counts["failures"] += report("power-cuts", f"{label}, cut before operation {cut}", sentences)
