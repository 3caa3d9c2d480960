"""Studies on a real card: isolated, packed and killed in the middle. `pytest -m gpu` on a machine that has one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from assay.engines import installed
from assay.engines.devices import answered, seen_by
from assay.engines.promises import promised
from assay.execution.runner import Execution
from assay.results.results import Results
from assay.store import queries
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study
from assay.system import gpu

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(gpu.driver_version() is None, reason="no driver of an NVIDIA GPU"),
]
IMAGES: dict[str, Any] = {"model": "lenet5", "data": "digits-28", "log": 50, "budget": {"iterations": 100}}
DENSE: dict[str, Any] = {"model": {"hidden": [30]}, "log": 50, "budget": {"iterations": 100}}


@pytest.fixture(params=["jax", "torch"])
def engine(request: pytest.FixtureRequest) -> str:
    if not installed(request.param) or not seen_by(request.param).of("cuda"):
        pytest.skip(f"{request.param} sees no CUDA device")
    return request.param


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store.db"))


def study(engine: str, **raw: Any) -> Study:
    settings = {"engine": engine, "device": "cuda", "design": "one-at-a-time", "baseline": IMAGES}
    return Study.parse(settings | raw)


def executed(made: Study, store: Store) -> list[dict[str, Any]]:
    execution = Execution(plan(made), store)
    assert execution.seconds > 0
    for _ in execution:
        pass
    return [queries.one_trial(store.database, key) for key in execution.trials]


def test_the_process_that_lists_devices_names_the_card(engine: str) -> None:
    card = answered(engine).of("cuda")[0]
    assert card.name == "cuda:0"
    assert card.model
    assert card.memory_bytes is not None
    assert card.memory_bytes > 2**30


def test_isolated_trials_train_and_the_record_has_the_card(engine: str, store: Store) -> None:
    for row in executed(study(engine, repeats=2), store):
        assert row["outcome"] == "completed", row["error"]
        facts = json.loads(row["description"])["gpu"]
        assert facts["model"] == answered(engine).of("cuda")[0].model
        assert facts["driver"] == gpu.driver_version()
        assert facts["cuda"] == gpu.cuda_version()
        assert row["peak_device_memory_bytes"] > 0
        assert row["accuracy"] > 0.3


@pytest.mark.parametrize("baseline", [DENSE, IMAGES], ids=["dense", "images"])
def test_packed_trials_travel_as_a_cohort_and_equal_isolated_ones_to_the_tolerance(
    engine: str, baseline: dict[str, Any], store: Store
) -> None:
    baseline = baseline | {"budget": {"iterations": 20}, "log": 10}
    packed = executed(study(engine, timing="packed", repeats=6, baseline=baseline, name="packed"), store)
    assert {row["outcome"] for row in packed} == {"completed"}, packed[0]["error"]
    cards = len(seen_by(engine).of("cuda"))
    assert {row["cohort"] for row in packed} <= {-(-6 // cards), 6 - (cards - 1) * -(-6 // cards)}
    alone = executed(study(engine, repeats=6, baseline=baseline, name="alone"), store)
    limit = promised(engine, 3, device="cuda")
    assert limit is not None
    for one, other in zip(packed, alone, strict=True):
        assert one["test_loss"] == pytest.approx(other["test_loss"], rel=limit.by_precision["float32"])


def test_a_study_whose_driver_is_killed_resumes(engine: str, store: Store, tmp_path: Path) -> None:
    longer = DENSE | {"budget": {"iterations": 3000}}
    made = {"engine": engine, "device": "cuda", "design": "one-at-a-time", "repeats": 4, "baseline": longer}
    (tmp_path / "killed.json").write_text(json.dumps(made))
    code = (
        "import json, sys, assay\n"
        "assay.run(json.loads(open(sys.argv[1]).read()) | {'name': 'killed'}, store=sys.argv[2])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "killed.json"), store.name]
    driver = subprocess.Popen(command, start_new_session=True)
    try:
        until = time.monotonic() + 90
        while time.monotonic() < until and driver.poll() is None and not _ended(store):
            time.sleep(0.05)
        assert _ended(store) >= 1
        driver.send_signal(signal.SIGKILL)
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    rows = executed(study(engine, repeats=4, baseline=longer, name="killed"), store)
    assert {row["outcome"] for row in rows} == {"completed"}
    assert len(Results(store, "killed").frame()) == 4


def _ended(store: Store) -> int:
    return sum(row["outcome"] == "completed" for row in queries.trials(store.database)[0])


def test_the_driver_starts_no_backend_of_jax(store: Store) -> None:
    if not installed("jax") or not seen_by("jax").of("cuda"):
        pytest.skip("jax sees no CUDA device")
    code = (
        "import sys, assay\n"
        "from assay.execution.runner import Execution\n"
        "from assay.store.store import Store\n"
        "from assay.studies.plan import plan\n"
        "from assay.studies.study import Study\n"
        "raw = {'engine': 'jax', 'device': 'cuda', 'design': 'one-at-a-time'}\n"
        "raw['baseline'] = {'model': {'hidden': [4]}, 'budget': {'iterations': 20}}\n"
        "execution = Execution(plan(Study.parse(raw)), Store(sys.argv[1]))\n"
        "assert execution.seconds > 0\n"
        "assert all(True for _ in execution)\n"
        "from jax._src import xla_bridge\n"
        "assert not xla_bridge._backends, xla_bridge._backends\n"
    )
    done = subprocess.run([sys.executable, "-c", code, store.name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
