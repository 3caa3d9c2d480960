"""Two drivers with one host name in PID namespaces of their own share a store: every trial is trained once.

They start at random distances, below a hundredth of a second too, where both have equal process ids and start times.
"""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path

from .kills import STUDY
from .promises import broken, report, stored_results

ISOLATED = ["unshare", "--pid", "--fork", "--uts", "--mount-proc", "--kill-child"]
_COMMAND = [sys.executable, "-m", "assay", "run", "study.toml", "--store", "store.db", "--yes"]
_END_SECONDS = 240.0


def can_isolate() -> bool:
    """Whether this user may make namespaces."""
    try:
        return subprocess.run([*ISOLATED, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def run(seed: int, cases: int) -> dict[str, int]:
    """Runs two drivers together so many times."""
    if not can_isolate():
        raise SystemExit("two-drivers needs unshare, and the right to make namespaces")
    chance = random.Random(seed)
    counts = {"cases": 0, "failures": 0, "trials": 0, "runs in which both trained": 0}
    while counts["cases"] < cases:
        with tempfile.TemporaryDirectory(prefix="assay-hard-") as name:
            counts["cases"] += 1
            sentences = _together(Path(name), chance, counts)
            counts["failures"] += report("two-drivers", f"{seed}, case {counts['cases']}", sentences)
    return counts


def _together(folder: Path, chance: random.Random, counts: dict[str, int]) -> list[str]:
    """Runs two drivers to their ends; returns the broken promises, and adds to `counts`."""
    repeats = chance.randint(8, 40)
    values = {"repeats": repeats, "iterations": chance.choice([200, 5000, 20000])}
    (folder / "study.toml").write_text(STUDY.format(engine="native", **values))
    drivers: list[subprocess.Popen[str]] = []
    for number in range(2):
        time.sleep(number * chance.choice([0.0, chance.uniform(0.0, 0.01), chance.uniform(0.0, 1.0)]))
        words = [*ISOLATED, "sh", "-c", 'hostname same && exec "$@"', "sh", *_COMMAND]
        drivers.append(subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    leased = _leases_until_the_end(folder / "store.db", drivers)
    texts = [driver.communicate(timeout=60)[0] for driver in drivers]
    stored = stored_results(folder / "store.db")
    sentences = broken(folder / "store.db", stored)
    counts["trials"] += len(stored)
    counts["runs in which both trained"] += len({boot for leases in leased.values() for _, boot in leases}) == 2
    if len(stored) != repeats or any(row[0] != "completed" for row in stored.values()):
        sentences.append(f"{len(stored)} of {repeats} trials have a result")
    sentences += [f"trajectory {key[:8]} had {len(held)} leases" for key, held in leased.items() if len(held) > 1]
    sentences += [f"a driver ended with {d.returncode}: {text[-300:]}" for d, text in _failed(drivers, texts)]
    return sentences


def _failed(drivers: list[subprocess.Popen[str]], texts: list[str]) -> list[tuple[subprocess.Popen[str], str]]:
    return [(d, text) for d, text in zip(drivers, texts, strict=True) if d.returncode or "was not stored" in text]


def _leases_until_the_end(path: Path, drivers: list[subprocess.Popen[str]]) -> dict[str, set[tuple[str, str]]]:
    """The leases that each trajectory was seen to have, with the namespace of their holder."""
    leased: dict[str, set[tuple[str, str]]] = {}
    begin = time.monotonic()
    query = "SELECT key, token, boot FROM trajectory WHERE token IS NOT NULL"
    while any(driver.poll() is None for driver in drivers):
        if time.monotonic() - begin > _END_SECONDS:
            for driver in drivers:
                driver.kill()
            break
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            for key, token, boot in connection.execute(query):
                leased.setdefault(key, set()).add((token, boot))
        time.sleep(0.02)
    return leased
