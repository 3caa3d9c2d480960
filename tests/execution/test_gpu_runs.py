"""Whole studies on a GPU from the command line, with a card that a test double plays on the CPU."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from assay.engines import ENGINES, devices
from assay.engines.promises import numerics
from assay.engines.seen import Device, Seen
from assay.execution.runner import Execution
from assay.parts.user_optimizers import allowing_code
from assay.results.results import Results
from assay.store import queries
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study
from assay.workers.gpu_watch import UNKNOWN
from assay.workers.pool import Workers
from tests.conftest import Command
from tests.execution import fake_gpu

STUDY = """
engine = "jax"
design = "one-at-a-time"
repeats = {repeats}
timing = "{timing}"
device = "{device}"
[baseline]
model = {{ hidden = [4] }}
budget = {{ iterations = 20 }}
"""
CARDS = (Device("cuda:0", "Fake card 0", 10**10), Device("cuda:1", "Fake card 1", 10**10))


@pytest.fixture(autouse=True)
def _fake_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Two cards in the answer of the process that lists devices, and workers that train on the CPU in their place."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=":")
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(ENGINES, "jax", fake_gpu.ENTRY)
    monkeypatch.setitem(devices.LIBRARIES, "jax", "jax")
    monkeypatch.setattr(devices, "answered", lambda engine: Seen(CARDS))
    faked = partial(Workers, module="tests.execution.fake_gpu")
    monkeypatch.setattr("assay.execution.executors.Workers", faked)
    monkeypatch.setattr("assay.execution.calibration.Workers", faked)
    for name in (
        "JAX_PLATFORMS",
        "CUDA_VISIBLE_DEVICES",
        "XLA_FLAGS",
        "XLA_PYTHON_CLIENT_PREALLOCATE",
        "CUBLAS_WORKSPACE_CONFIG",
    ):
        monkeypatch.delenv(name, raising=False)
    devices.seen_by.cache_clear()
    yield
    devices.seen_by.cache_clear()


def written(folder: Path, *, timing: str = "isolated", repeats: int = 2, device: str = "cuda") -> str:
    (folder / "on-gpu.toml").write_text(STUDY.format(timing=timing, repeats=repeats, device=device))
    return "on-gpu.toml"


def rows(store: str = "assay.db") -> list[dict[str, Any]]:
    opened = Store(store, read_only=True)
    keys = [row["key"] for row in queries.trials(opened.database)[0]]
    return [queries.one_trial(opened.database, key) for key in keys]


def test_an_isolated_study_trains_on_the_card_that_its_driver_never_takes(invoke: Command, tmp_path: Path) -> None:
    code, _, err = invoke("run", written(tmp_path))
    assert code == 0, err
    trials = rows()
    assert {row["outcome"] for row in trials} == {"completed"}
    assert {(row["engine"], row["device"], row["numerics"]) for row in trials} == {
        ("jax", "cuda", numerics("jax", "cuda"))
    }
    machine = json.loads(trials[0]["description"])
    flag = "--xla_gpu_exclude_nondeterministic_ops=true"
    assert machine["gpu"] == {"model": "Fake card 0", "driver": f"false :4096:8 {flag}", "cuda": "12.8"}
    assert "torch" not in sys.modules or not sys.modules["torch"].cuda.is_initialized()
    code, out, _ = invoke("show", trials[0]["key"])
    assert (code, "Fake card 0" in out) == (0, True)


def test_a_gpu_is_another_machine_and_the_cpu_is_the_same_one(invoke: Command, tmp_path: Path) -> None:
    assert invoke("run", written(tmp_path, repeats=1))[0] == 0
    assert invoke("run", written(tmp_path, repeats=1), "--device", "cpu", "--engine", "numpy")[0] == 0
    by_device = {row["device"]: json.loads(row["description"]) for row in rows()}
    assert "gpu" not in by_device["cpu"]
    assert {key: by_device["cuda"][key] for key in ("cpu", "cores")} == {
        key: by_device["cpu"][key] for key in ("cpu", "cores")
    }
    hashes = {row["device"]: row["machine"] for row in rows()}
    assert hashes["cpu"] != hashes["cuda"]


def test_packed_trials_travel_as_cohorts_one_worker_for_each_card(
    invoke: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    assert invoke("run", written(tmp_path, timing="packed", repeats=10))[0] == 0
    trials = rows()
    assert {row["cohort"] for row in trials} == {5}
    assert set(Results(Store("assay.db", read_only=True), "on-gpu").frame()["device"]) == {"cuda"}
    assert {json.loads(row["description"])["gpu"]["model"] for row in trials} == {"Fake card 3", "Fake card 1"}


def test_a_cohort_that_runs_out_of_memory_is_tried_again_in_halves(
    invoke: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_MOST", "3")
    assert invoke("run", written(tmp_path, timing="packed", repeats=8, device="cuda:1"))[0] == 0
    trials = rows()
    assert {row["outcome"] for row in trials} == {"completed"}
    assert max(row["cohort"] for row in trials) <= 3


def test_a_single_trial_that_runs_out_of_memory_says_so(
    invoke: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_MOST", "0")
    code, _, err = invoke("run", written(tmp_path, timing="packed", repeats=2, device="cuda:1"))
    assert code == 1, err
    assert {row["outcome"] for row in rows()} == {"out of memory"}
    assert "2 of 2 trials were cut short: 2 out of memory" in err


@pytest.mark.parametrize(
    ("fails", "outcome", "reason"),
    [
        ("card", "failed", "RuntimeError: CUDA_ERROR_UNKNOWN"),
        ("killed", "lost", "the worker was killed by SIGABRT; tried 4 times"),
    ],
)
def test_standard_error_is_kept_with_a_trial_that_failed_or_was_lost(
    fails: str, outcome: str, reason: str, invoke: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAILS", fails)
    code, _, err = invoke("run", written(tmp_path, repeats=1))
    assert (code, "a line of XLA" in err) == (1, False)
    (row,) = rows()
    assert (row["outcome"], row["reason"]) == (outcome, reason)
    assert "standard error of the worker:\na line of XLA" in row["error"]
    assert "a line of XLA" in invoke("show", row["key"])[1]


def test_verbose_shows_standard_error_as_it_comes(
    invoke: Command, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert invoke("-v", "run", written(tmp_path, repeats=1))[0] == 0
    assert "worker 0, standard error: a line of XLA" in caplog.messages


def test_one_recipe_trains_on_the_card_too(invoke: Command) -> None:
    code, _, err = invoke("train", "--set", "budget.iterations=20", "--engine", "jax", "--device", "cuda")
    assert code == 0, err
    assert "device 'cpu' is probably faster than 'cuda'" in err
    (row,) = rows()
    assert (row["device"], json.loads(row["description"])["gpu"]["model"]) == ("cuda", "Fake card 0")


def test_standard_error_of_a_trial_that_ends_well_is_dropped(invoke: Command, tmp_path: Path) -> None:
    code, out, err = invoke("run", written(tmp_path, repeats=1))
    assert (code, "a line of XLA" in out + err) == (0, False)
    assert rows()[0]["error"] is None


def test_a_device_that_is_not_there_is_a_sentence_and_claims_nothing(
    invoke: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "answered", lambda engine: Seen(reason="no CUDA-capable device is detected"))
    code, out, err = invoke("run", written(tmp_path))
    assert (code, out) == (2, "")
    assert "device 'cuda' is not one that jax sees on this machine (no CUDA-capable device is detected)" in err
    assert not Path("assay.db").exists() or rows() == []


@pytest.mark.parametrize(("others", "busy"), [(None, None), ("", False), ("1 2", True)])
def test_other_processes_on_the_card_flag_an_isolated_trial(
    others: str | None, busy: bool | None, invoke: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if others is not None:
        monkeypatch.setenv("FAKE_OTHERS", others)
    assert invoke("run", written(tmp_path, repeats=1))[0] == 0
    (row,) = rows()
    warnings = json.loads(row["warnings"])
    assert (UNKNOWN in warnings) == (others is None)
    assert any("other processes were on the GPU" in text and text.endswith(": 2") for text in warnings) == bool(others)
    if busy or others is None:  # trainings of milliseconds are not judged by their load
        assert row["busy"] == busy


def test_a_study_killed_in_the_middle_resumes_and_says_that_its_bits_are_not_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SECONDS", "0.006")  # the driver looks several times a second, on a busy machine less often
    raw: dict[str, Any] = {"engine": "jax", "device": "cuda", "design": "one-at-a-time"} | {
        "baseline": {"model": {"hidden": [4]}, "budget": {"iterations": 400}}
    }
    store = Store(str(tmp_path / "store.db"))
    execution = Execution(plan(Study.parse(raw)), store)
    for status in execution:
        if status.running and status.running[0].iteration > 20:
            execution.stop()
    assert execution.outcomes == {}
    for _ in Execution(plan(Study.parse(raw)), store):
        pass
    (trial,) = Results(store, "study").frame()["trial"]
    history = store.result(trial)
    assert history is not None
    assert history.iterations == 400
    resumed = [text for text in history.warnings if text.startswith("resumed at iteration")]
    assert len(resumed) == 1
    assert resumed[0].endswith("engine 'jax' does not promise the bits of an uninterrupted training")


def test_device_auto_takes_the_cpu_for_a_small_network_and_says_why(invoke: Command, tmp_path: Path) -> None:
    code, _, err = invoke("run", written(tmp_path, device="auto"), "--engine", "auto", "--plan")
    assert code == 0, err
    assert "device auto: 'cpu', which is faster by what was measured" in err
    code, _, err = invoke("run", written(tmp_path, device="cuda"), "--plan")
    assert "device 'cpu' is probably faster than 'cuda'" in err


def test_an_estimate_is_calibrated_by_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw: dict[str, Any] = {"engine": "jax", "device": "cuda", "design": "one-at-a-time"} | {
        "timing": "packed",
        "repeats": 10,
        "name": "together",
    }
    raw["baseline"] = {"model": {"hidden": [4]}, "budget": {"iterations": 20}}
    monkeypatch.setenv("FAKE_SECONDS", "0.03")  # an advance by one to three iterations, however many trials it moves
    seconds = Execution(plan(Study.parse(raw)), Store(str(tmp_path / "store.db"))).seconds
    assert 10 * 20 * 0.003 / 3 <= seconds * 2 < 10 * 20 * 0.03  # two cards; each trial has a tenth of an iteration


def test_an_external_program_has_the_environment_of_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(
        "assay.execution.executors.Workers", lambda *_, environments=None, **__: started.append(environments)
    )
    raw: dict[str, Any] = {"engine": "numpy", "design": "one-at-a-time", "baseline": {"budget": {"iterations": 1}}}
    store = Store(str(tmp_path / "store.db"))
    Execution(plan(Study.parse(raw)), store)._workers()
    with allowing_code():
        Execution(plan(Study.parse(raw | {"engine": {"command": ["true"]}})), store)._workers()
    assert [given for given in started if given is not None] == [[{"JAX_PLATFORMS": "cpu"}], []]
