"""Studies on a Ray cluster: the bits of the local executor, and nothing lost or done twice where parts of it die."""

from __future__ import annotations

import importlib.util
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from assay.errors import AssayError
from assay.execution.places import executor_on
from assay.execution.runner import Execution
from assay.results.results import Results
from assay.store import integrity
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study
from assay.training.outcome import Outcome
from tests.execution.ray_cluster import RunningCluster, cluster

pytestmark = [
    pytest.mark.endurance,
    pytest.mark.ray,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.filterwarnings("ignore"),  # of Ray, which leaves sockets and processes to the collector
]

TRIALS = 12


def raw(**changes: Any) -> dict[str, Any]:
    return {
        "name": "study",
        "design": "grid",
        "repeats": 3,
        "timing": "packed",
        "threads": 1,
        "baseline": {"data": "digits", "model": {"hidden": [48]}, "budget": {"epochs": 60}},
        "axes": {
            "engine": {"native": {"engine": "native"}, "numpy": {"engine": "numpy"}},
            "rate": {"key": "optimizer.learning_rate", "values": [0.001, 0.01]},
        },
    } | changes


TOML = """
name = "study"
design = "grid"
repeats = 6
timing = "packed"
threads = 1
[baseline]
data = "digits"
model.hidden = [96]
budget.epochs = 200
[axes.rate]
key = "optimizer.learning_rate"
values = [0.001, 0.01]
"""


@pytest.fixture(scope="module")
def nodes() -> Iterator[RunningCluster]:
    with cluster(1, 1) as running:
        yield running


@pytest.fixture
def joined(nodes: RunningCluster, monkeypatch: pytest.MonkeyPatch) -> RunningCluster:
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    return nodes


def bits(store: Store) -> dict[str, Any]:
    """Every trial's curve without its seconds."""
    frame = Results(store, "study").curves().drop(columns=["seconds"]).fillna(-1.0)
    return {str(key): group.to_numpy().tolist() for key, group in frame.groupby("trial")}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The bits of the local executor."""
    store = Store(str(tmp_path_factory.mktemp("local") / "store.db"))
    for _ in Execution(plan(Study.parse(raw())), store):
        pass
    return bits(store)


def run(store: Store, made: dict[str, Any], during: Callable[[Execution], None] = lambda execution: None) -> Execution:
    """Runs a study on the cluster; `during` is called with each of its states."""
    with executor_on("ray") as executor:
        execution = Execution(plan(Study.parse(made)), store, executor=executor)
        execution.check()
        for _ in execution:
            during(execution)
        return execution


def test_a_study_on_ray_has_the_bits_of_the_local_executor(
    joined: RunningCluster, local: dict[str, Any], tmp_path: Path
) -> None:
    store = Store(str(tmp_path / "store.db"))
    execution = run(store, raw())
    assert len(local) == TRIALS
    assert bits(store) == local
    frame = Results(store, "study").frame()
    assert set(frame["threads"]) == {1}
    assert f"Ray: {TRIALS} trials in" in execution.executor.sentence()
    assert "on 2 slots of 2 nodes" in execution.executor.sentence()
    notes = [row[0] for row in sqlite3.connect(tmp_path / "store.db").execute("select warnings from result")]
    assert all("trained on Ray" in note and "pinned to 1 core, OMP_NUM_THREADS = 1" in note for note in notes)


def test_a_killed_worker_and_a_node_that_is_lost_change_no_bit_and_lose_nothing(
    joined: RunningCluster, local: dict[str, Any], tmp_path: Path
) -> None:
    store, done = Store(str(tmp_path / "store.db")), list[str]()

    def disturb(execution: Execution) -> None:
        slots: Any = getattr(execution.workers, "_slots", [])
        pids = [slot.about["pid"] for slot in slots if slot.is_ready]
        if not done and len(pids) == 2 and execution._active:  # pyright: ignore[reportPrivateUsage]
            done.append("worker")
            os.kill(pids[0], signal.SIGKILL)
        elif done == ["worker"] and len(execution.outcomes) >= 3:
            done.append("node")
            joined.tell("remove 1")

    execution = run(store, raw(baseline=raw()["baseline"]), disturb)
    assert done == ["worker", "node"]
    assert set(execution.outcomes.values()) == {Outcome.COMPLETED}
    assert bits(store) == local
    assert integrity.check(store) == []
    assert joined.tell("add 1") == "done"


def test_nodes_with_several_levels_train_at_the_common_one(joined: RunningCluster, tmp_path: Path, caplog: Any) -> None:
    from assay.engines.native_engine import levels

    if "avx2" not in levels()[1:]:
        pytest.skip("needs a machine with more than AVX2")
    joined.tell("add 1 ASSAY_NATIVE_LEVEL=avx2")
    store = Store(str(tmp_path / "store.db"))
    run(store, raw(axes={}, design="one-at-a-time", engine="native"))
    (level,) = {row[0] for row in sqlite3.connect(tmp_path / "store.db").execute("select level from result")}
    assert level == "avx2"
    assert "the native engine runs at avx2, the best level of all nodes" in caplog.text


def test_what_does_not_fit_is_refused_in_a_sentence_before_anything_is_stored(
    joined: RunningCluster, tmp_path: Path
) -> None:
    store = Store(str(tmp_path / "store.db"))
    with pytest.raises(AssayError, match="no node has 64 CPUs for threads = 64"):
        run(store, raw(threads=64))
    with pytest.raises(AssayError, match="no node has a GPU"), executor_on("ray") as executor:
        executor.count(_needs(device="cuda"))
    assert store.outcomes(plan(Study.parse(raw())).trials) == {}


def _needs(**changes: Any) -> Any:
    from assay.execution.executors import Needs

    settings: dict[str, Any] = {"timing": "packed", "device": "cpu", "threads": 1, "memory_limit": None, "trials": []}
    return Needs(**(settings | changes))


def command(folder: Path, address: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "assay.cli", "run", "study.toml", "--store", "store.db", "--yes", "--on", "ray"]
    environment = {**os.environ, "RAY_ADDRESS": address, "RAY_AUTH_MODE": "disabled"}
    return subprocess.Popen(
        words, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def results(folder: Path) -> dict[str, str]:
    """When each result was stored, by its trial."""
    if not (folder / "store.db").exists():
        return {}
    with sqlite3.connect(folder / "store.db", timeout=30) as connection:
        try:
            return dict(connection.execute("select trial, finished from result"))
        except sqlite3.OperationalError:
            return {}


def wait_for(folder: Path, count: int, driver: subprocess.Popen[str]) -> dict[str, str]:
    until = time.monotonic() + 60
    while len(stored := results(folder)) < count:
        assert driver.poll() is None, driver.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.02)
    return stored


def test_a_driver_that_is_killed_leaves_no_worker_and_its_run_is_resumed(
    joined: RunningCluster, tmp_path: Path
) -> None:
    (tmp_path / "study.toml").write_text(TOML)
    driver = command(tmp_path, joined.address)
    wait_for(tmp_path, 1, driver)
    driver.kill()
    driver.communicate()
    before = results(tmp_path)
    assert 1 <= len(before) < TRIALS
    again = command(tmp_path, joined.address)
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    after = results(tmp_path)
    assert len(after) == TRIALS
    assert {trial: after[trial] for trial in before} == before
    assert not [
        p
        for p in psutil.process_iter(["cmdline"])
        if "assay.workers.worker" in (p.info["cmdline"] or []) and p.ppid() == 1
    ]


def test_a_lost_head_ends_the_run_with_a_sentence_and_the_next_run_resumes(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(TOML)
    with cluster(1) as lost:
        driver = command(tmp_path, lost.address)
        wait_for(tmp_path, 1, driver)
        lost.tell("lose gcs_server raylet")
        _, errors = driver.communicate(timeout=40)
    assert driver.returncode == 2, errors
    assert "the head of the cluster no longer answers" in errors or "every slot is lost" in errors
    assert "Traceback" not in errors
    before = results(tmp_path)
    store = Store(str(tmp_path / "store.db"))
    for _ in Execution(plan(Study.parse(_study(tmp_path))), store):
        pass
    after = results(tmp_path)
    assert len(after) == TRIALS
    assert {trial: after[trial] for trial in before} == before


def _study(folder: Path) -> dict[str, Any]:
    from assay.recipe.toml import read_toml

    return read_toml(folder / "study.toml")


def test_a_worker_that_cannot_be_sent_its_data_is_lost_and_does_not_take_what_its_node_has(
    joined: RunningCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.execution.ray.pool import SlotWorkers

    with executor_on("ray") as executor:
        workers: Any = executor.start(_needs(), 1).workers
        assert isinstance(workers, SlotWorkers)
        monkeypatch.setattr(workers, "_files", {"digits": ("0" * 64, b"another content")})
        workers.train(0, b"", jobs=[[{"key": "k", "recipe": {"data": {"name": "digits"}}}]])
        assert workers.messages(1.0) == [(0, None, b"")]
        assert "the data set 'digits' could not be sent" in workers.drop(0)
        monkeypatch.undo()
        until = time.monotonic() + 30
        while workers.available() != [0]:  # it is started again
            assert time.monotonic() < until
            time.sleep(0.05)
        workers.kill_all()
