"""The crash contract: drivers and workers killed at random instants; nothing is lost and nothing is done twice."""

from __future__ import annotations

import random
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest

from assay.results.results import Results
from assay.store import integrity, queries
from assay.store.leases import RETRIES
from assay.store.store import Store

Undisturbed = Callable[[str], Path]
STUDY = """
name = "crash"
design = "grid"
repeats = 4
timing = "packed"
threads = 1
[baseline]
data = "digits"
model.hidden = [48]
log = "2 epochs"
[axes.engine]
native = { optimizer = { name = "adam" } }
other = { optimizer = { name = "momentum" } }
[axes.budget]
key = "budget.epochs"
values = [30, 80]
"""

TRIALS_OF_A_JOB = 2  # both budgets are read off one trajectory


def start(folder: Path, engine: str, *more: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "assay.cli", "run", "crash.toml", "--store", "store.db", "--engine", engine, "--yes"]
    return subprocess.Popen([*words, *more], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def run_to_the_end(folder: Path, engine: str, *more: str) -> None:
    driver = start(folder, engine, *more)
    _, errors = driver.communicate(timeout=300)
    assert driver.returncode == 0, errors.decode()


def finished(path: Path) -> dict[str, tuple[Any, ...]]:
    """Every result as it is stored, read without the program."""
    if not path.exists():
        return {}
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30) as connection:
            rows = connection.execute("SELECT trial, outcome, curve, finished, ledger FROM result").fetchall()
        connection.close()
    except sqlite3.OperationalError as error:
        assert "no such table" in str(error) or "unable to open" in str(error)
        return {}
    return {row[0]: tuple(row[1:]) for row in rows}


def killed_again_and_again(folder: Path, engine: str, kills: int, seed: int) -> int:
    """Runs the study, kills its driver or a worker at random instants, and returns how many kills met a running one."""
    (folder / "crash.toml").write_text(STUDY)
    chance = random.Random(seed)
    store, met, kept, workers_killed = folder / "store.db", 0, {}, 0
    for _ in range(kills):
        driver = start(folder, engine)
        process = psutil.Process(driver.pid)
        time.sleep(chance.choice([chance.uniform(0.0, 1.0), chance.uniform(1.0, 2.6)]))
        workers = process.children(recursive=True) if driver.poll() is None else []
        victims = workers if workers and chance.random() < 0.4 else []
        if victims:
            chance.choice(victims).kill()
            workers_killed += 1
            time.sleep(chance.uniform(0.0, 0.5))
        met += driver.poll() is None
        workers = process.children(recursive=True) if driver.poll() is None else []
        driver.kill()
        driver.communicate()
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert not alive, "a worker outlived its driver"
        now = finished(store)
        for key, row in kept.items():
            assert now.get(key) == row, "a finished trial was lost, or trained again"
        lost = {key for key, row in now.items() if row[0] == "lost"}  # its worker was killed at each of its attempts
        assert len(lost) <= workers_killed // (RETRIES + 1) * TRIALS_OF_A_JOB
        kept = {key: row for key, row in now.items() if key not in lost}
    run_to_the_end(folder, engine, "--retry")
    end = finished(store)
    assert all(end[key] == row for key, row in kept.items())
    return met


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a run that nothing has disturbed, once for each engine."""

    @cache
    def folder(engine: str) -> Path:
        folder = tmp_path_factory.mktemp("undisturbed")
        (folder / "crash.toml").write_text(STUDY)
        run_to_the_end(folder, engine)
        return folder

    return folder


def compare(folder: Path, undisturbed: Path) -> None:
    stores = [Store(str(place / "store.db")) for place in (folder, undisturbed)]
    frames = [Results(store, "crash").curves().drop(columns=["seconds"]) for store in stores]
    assert frames[0].equals(frames[1])
    assert set(Results(stores[0], "crash").frame()["outcome"]) == {"completed"}
    assert queries.trials(stores[0].database)[1] == 16
    assert not [defect for defect in integrity.check(stores[0]) if defect.kind in ("damaged", "unreadable", "missing")]


@pytest.mark.parametrize(("engine", "kills"), [("native", 5), pytest.param("numpy", 3, marks=pytest.mark.endurance)])
def test_eight_kills_lose_nothing_and_repeat_nothing(
    engine: str, kills: int, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    assert killed_again_and_again(tmp_path, engine, kills, seed=kills) >= kills // 2
    compare(tmp_path, undisturbed(engine))


@pytest.mark.endurance
@pytest.mark.parametrize(("engine", "kills", "seed"), [("native", 25, 11), ("numpy", 25, 12)])
def test_fifty_kills_lose_nothing_and_repeat_nothing(
    engine: str, kills: int, seed: int, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    assert killed_again_and_again(tmp_path, engine, kills, seed) >= 5
    compare(tmp_path, undisturbed(engine))


@pytest.mark.endurance
def test_ctrl_c_ends_with_130_and_says_how_to_go_on(tmp_path: Path, undisturbed: Undisturbed) -> None:
    (tmp_path / "crash.toml").write_text(STUDY)
    driver = start(tmp_path, "numpy")
    process = psutil.Process(driver.pid)
    while not process.children() and driver.poll() is None:
        time.sleep(0.05)
    time.sleep(1.5)
    workers = process.children(recursive=True)
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == 130
    printed = shlex.split(errors.decode().split("run the same command to resume: ")[1])
    assert printed == ["assay", "run", "crash.toml", "--engine", "numpy", "--yes", "--store", "store.db"]
    assert not psutil.wait_procs(workers, timeout=5)[1]
    subprocess.run([sys.executable, "-m", "assay.cli", *printed[1:]], cwd=tmp_path, check=True, capture_output=True)
    compare(tmp_path, undisturbed("numpy"))


@pytest.mark.endurance
def test_a_second_ctrl_c_ends_at_once_and_loses_nothing_finished(tmp_path: Path) -> None:
    (tmp_path / "crash.toml").write_text(STUDY.replace("[30, 80]", "[30, 40000]"))
    driver = start(tmp_path, "numpy")
    process = psutil.Process(driver.pid)
    while not process.children() and driver.poll() is None:
        time.sleep(0.05)
    time.sleep(2.0)
    before = finished(tmp_path / "store.db")
    driver.send_signal(signal.SIGINT)
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=20)
    assert driver.returncode == 130, errors.decode()
    after = finished(tmp_path / "store.db")
    assert all(after[key] == row for key, row in before.items())
