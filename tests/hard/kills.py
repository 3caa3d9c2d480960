"""Kills: SIGKILL at random instants to the driver, a worker or the whole group of `assay run`, then the same command.

The study has short trials that keep their weights, so that a driver writes most of the time. No result whose commit
returned may change or vanish, and `assay store check` must find the store sound after every kill.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from pathlib import Path

import psutil

from . import drivers
from .promises import Row, broken, report, stored_results

STUDY = """
name = "hard"
engine = "{engine}"
timing = "packed"
threads = 1
design = "one-at-a-time"
repeats = {repeats}
keep = "checkpoint"
[baseline]
data = "digits"
model.hidden = [8]
budget = {{ iterations = {iterations} }}
log = "20 iterations"
"""
_START_SECONDS = 60.0
_WARM = 0.95  # of the drivers are forked from this process


def run(seed: int, cases: int) -> dict[str, int]:
    """Kills `assay run` so many times; a study that is finished is followed by a fresh one."""
    chance = random.Random(seed)
    counts = {"cases": 0, "failures": 0, "met a running driver": 0, "studies": 0, "results": 0}
    while counts["cases"] < cases:
        with tempfile.TemporaryDirectory(prefix="assay-hard-") as name:
            _one_study(Path(name), chance, counts, cases=cases, seed=seed)
    return counts


def _one_study(folder: Path, chance: random.Random, counts: dict[str, int], *, cases: int, seed: int) -> None:
    """Kills one study until it is finished or the cases are; adds to `counts`."""
    values = {"repeats": chance.randint(15, 60), "iterations": chance.choice([20, 200, 1500])}
    (folder / "study.toml").write_text(STUDY.format(engine=chance.choice(["native", "numpy"]), **values))
    kept: dict[str, Row] = {}
    counts["studies"] += 1
    while counts["cases"] < cases:
        driver = _start(folder, chance)
        ended = _kill(driver, folder, chance, kept)
        counts["met a running driver"] += not ended
        counts["cases"] += not ended
        sentences = _after(folder, kept, driver, ended)
        counts["failures"] += report("kills", f"{seed}, case {counts['cases']}", sentences)
        kept = stored_results(folder / "store.db")
        if ended:
            break
    else:
        kept = _finish(folder, kept, counts, seed=seed)
    counts["results"] += len(kept)


def _after(folder: Path, kept: dict[str, Row], driver: drivers.Driver, ended: bool) -> list[str]:
    sentences = broken(folder / "store.db", kept)
    if ended and driver.returncode != 0:
        sentences.append(f"the command ended with {driver.returncode}: {(folder / 'errors').read_text()[-400:]}")
    return sentences


def _finish(folder: Path, kept: dict[str, Row], counts: dict[str, int], *, seed: int) -> dict[str, Row]:
    """Runs the study to its end; returns its results."""
    driver = drivers.warm(folder)
    driver.wait(timeout=300)
    counts["failures"] += report("kills", f"{seed}, the end", _after(folder, kept, driver, True))
    return stored_results(folder / "store.db")


def _start(folder: Path, chance: random.Random) -> drivers.Driver:
    return drivers.warm(folder) if chance.random() < _WARM else drivers.cold(folder)


def _kill(driver: drivers.Driver, folder: Path, chance: random.Random, kept: dict[str, Row]) -> bool:
    """Kills a driver, perhaps a worker before it; adds what was stored to `kept`; True if the driver had ended."""
    process = psutil.Process(driver.pid)
    if chance.random() < 0.85:  # else while it starts and creates the store
        _wait_for_a_new_result(driver, folder, len(kept))
        time.sleep(chance.choice([0.0, chance.uniform(0.0, 0.05), chance.uniform(0.0, 0.6)]))
    else:
        time.sleep(chance.uniform(0.0, 0.5))
    workers = _children(process)
    kind = chance.choice(["driver", "group", "worker"])
    if kind == "worker" and workers:
        _kill_quietly(chance.choice(workers))
        time.sleep(chance.uniform(0.0, 0.3))
    kept |= {key: row for key, row in stored_results(folder / "store.db").items() if key not in kept}
    if driver.poll() is not None:
        return True
    workers = _children(process)
    if kind == "group":
        os.killpg(driver.pid, signal.SIGKILL)
    else:
        driver.kill()
    driver.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive, "a worker outlived its driver"
    return False


def _wait_for_a_new_result(driver: drivers.Driver, folder: Path, before: int) -> None:
    begin = time.monotonic()
    while driver.poll() is None and time.monotonic() - begin < _START_SECONDS:
        if len(stored_results(folder / "store.db")) > before:
            return
        time.sleep(0.01)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill_quietly(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        pass
