"""Foreign load, halts, throttling and stolen time are measured as what they are; quotas are obeyed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.data.datasets import load as load_data
from assay.execution import fit as fit_module
from assay.recipe.model import Recipe
from assay.system import load, machine
from assay.system.load import Load, LoadMeter
from assay.training.loop import prepared, train

LINUX = pytest.mark.skipif(not load.FOREIGN_LOAD_IS_KNOWN, reason="this kernel counts no run delay")


def reading(at: float, **values: Any) -> load._Reading:
    """Counters at a moment; what is not named is 0."""
    plain: dict[str, Any] = {"processor": 0.0, "threads": {}, "throttled": 0.0, "halted": 0.0, "stolen": 0.0}
    return load._Reading(at=at, **(plain | {"busy": 0.0} | values))


def metered(
    monkeypatch: pytest.MonkeyPatch, blocks: Sequence[float], readings: Sequence[load._Reading], processor: float = 0.0
) -> float | None:
    """What a meter finds in blocks of so many seconds between the readings, on two cores."""
    left = list(readings)
    monkeypatch.setattr(load, "FOREIGN_LOAD_IS_KNOWN", True)
    monkeypatch.setattr(load, "core_count", lambda: 2)
    monkeypatch.setattr(load, "_read", lambda: left.pop(0))
    monkeypatch.setattr(load, "perf_counter", lambda: left[0].at if left else readings[-1].at)
    meter = LoadMeter()
    for seconds in blocks:
        meter.begin()
        meter.end(seconds)
    meter.close()
    assert not left
    meter.processor = processor
    return meter.foreign


def test_threads_that_wait_for_a_core_are_kept_waiting_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    before = reading(0.0, threads={"1": (0.0, 0), "2": (5.0, 100)})
    after = reading(2.0, processor=2.5, threads={"1": (0.5, 100), "2": (5.25, 200), "3": (0.1, 0)})
    # 0.5 + 0.25 + 0.1, less 0.00002 for each of 200 time slices
    assert metered(monkeypatch, [2.0], [before, after]) == pytest.approx(0.846)


def test_threads_that_wait_for_each_other_are_no_foreign_load(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = reading(0.0), reading(2.0, processor=3.9, threads={str(n): (1.0, 0) for n in range(4)})
    assert metered(monkeypatch, [2.0], [before, after]) == pytest.approx(0.1)  # of 4 core seconds, 3.9 were its own


@pytest.mark.parametrize(
    ("values", "foreign"),
    [
        ({"throttled": 1.5}, 1.5),
        ({"throttled": 0.5, "threads": {"1": (0.75, 0)}}, 0.75),  # run delay includes the throttled time
        ({"halted": 1.25}, 1.25),
        ({"stolen": 0.5, "busy": 2.0}, 0.25),  # half of the machine's busy time was this process's
        ({}, 0.0),
    ],
)
def test_each_kind_of_foreign_load_counts(values: dict[str, Any], foreign: float, monkeypatch: Any) -> None:
    found = metered(monkeypatch, [2.0], [reading(0.0), reading(2.0, **values)], processor=1.0)
    assert found == pytest.approx(foreign)


def test_short_blocks_count_in_proportion_to_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = [reading(0.0), reading(0.04, halted=0.02)]
    assert metered(monkeypatch, [0.001, 0.003, 0.004], readings) == pytest.approx(0.02 * 0.008 / 0.04)


def test_what_happens_between_long_blocks_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = [reading(0.0), reading(1.0), reading(9.0, halted=8.0), reading(10.0, halted=8.5)]
    assert metered(monkeypatch, [1.0, 1.0], readings) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("foreign", "seconds", "busy"),
    [(0.011, 0.2, True), (0.01, 0.2, False), (0.19, 0.199, None), (None, 10.0, None), (0.0, 3.0, False)],
)
def test_more_than_five_per_cent_is_busy_from_a_fifth_of_a_second_on(foreign: Any, seconds: float, busy: Any) -> None:
    assert Load.judged(processor=1.0, foreign=foreign, seconds=seconds) == Load(1.0, foreign, busy)


# --- in real processes -----------------------------------------------------------------------------------------------

METER = """
import json, os, signal, subprocess, sys, time
from assay.system.load import LoadMeter
core = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, {core})
mode, seconds = sys.argv[1], float(sys.argv[2])
others = []
if mode == "loops":
    loop = "import os; os.sched_setaffinity(0, {%d}); print(flush=True)\\nwhile True: pass" % core
    others = [subprocess.Popen([sys.executable, "-c", loop], stdout=subprocess.PIPE) for _ in range(2)]
    for other in others:
        other.stdout.readline()
if mode == "stop":
    stop = f"import os, time; time.sleep(0.2); os.kill({os.getpid()}, 19); time.sleep(0.6); os.kill({os.getpid()}, 18)"
    others = [subprocess.Popen([sys.executable, "-S", "-c", stop])]
meter = LoadMeter()
meter.begin()
begin = time.perf_counter()
if mode == "wait":
    time.sleep(seconds)  # as for a device
while time.process_time() - meter._processor_begin < seconds and mode != "wait":
    pass
elapsed = time.perf_counter() - begin
meter.end(elapsed)
meter.close()
for other in others:
    other.kill() if mode == "loops" else other.wait()
    other.stdout.close() if other.stdout else None
    other.wait()
print(json.dumps({"seconds": elapsed, "processor": meter.processor, "foreign": meter.foreign}))
"""


def measured(mode: str, seconds: float) -> dict[str, float]:
    words = [sys.executable, "-c", METER, mode, str(seconds)]
    return json.loads(subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout)


@LINUX
def test_busy_loops_on_the_same_core_are_seen_and_leave_processor_seconds_alone() -> None:
    found = measured("loops", 0.3)
    assert found["processor"] == pytest.approx(0.3, rel=0.1)
    assert found["seconds"] > 0.6
    assert found["processor"] + found["foreign"] == pytest.approx(found["seconds"], rel=0.1)


@LINUX
def test_a_stopped_process_is_halted_for_as_long_as_it_was_stopped() -> None:
    found = measured("stop", 0.6)
    assert found["processor"] == pytest.approx(0.6, rel=0.1)
    assert found["seconds"] > 1.1
    assert found["processor"] + found["foreign"] == pytest.approx(found["seconds"], abs=0.15)


@LINUX
def test_a_wait_of_its_own_is_no_foreign_load() -> None:
    found = measured("wait", 0.5)
    assert found["processor"] < 0.1
    assert found["foreign"] < 0.2 * found["seconds"]  # others may compete for the core when it wakes


def test_watching_the_load_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = {"budget": {"iterations": 20}, "model": {"hidden": [8]}}
    watched = assay.fit(recipe, engine="numpy")
    monkeypatch.setattr(load, "FOREIGN_LOAD_IS_KNOWN", False)
    unwatched = assay.fit(recipe, engine="numpy")
    for name, w in watched.checkpoint.weights.items():
        assert w.tobytes() == unwatched.checkpoint.weights[name].tobytes()
    assert unwatched.load.foreign is None
    assert unwatched.load.busy is None
    assert unwatched.load.processor is not None


def test_every_entry_of_a_ledger_has_its_processor_seconds() -> None:
    history = assay.fit({"budget": {"iterations": 20}}, engine="numpy")
    seconds, processor = history.ledger.plain(), history.ledger.plain_processor()
    assert processor is not None
    assert list(processor) == list(seconds)
    assert processor["wall"] == pytest.approx(sum(processor.values()) - processor["wall"])
    assert 0 < processor["train"] == history.load.processor
    longer = assay.fit(history.recipe.with_budget(iterations=40), engine="numpy", start=history)
    both = longer.ledger.plain_processor()
    assert both is not None
    assert both["train"] > processor["train"]
    assert both["wall"] > processor["wall"]
    assert longer.load.processor == both["train"]


def test_no_ledger_has_less_in_all_than_in_its_entries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def slowly(*arguments: Any) -> Any:
        time.sleep(0.05)
        return confusion(*arguments)

    confusion = fit_module.confusion_of
    monkeypatch.setattr(fit_module, "confusion_of", slowly)  # after the loop has ended
    ledger = assay.fit({"budget": {"iterations": 20}}, engine="numpy").ledger
    assert ledger.evaluate > 0.05
    for entries in (ledger.plain(), ledger.plain_processor() or {}):
        assert sum(entries.values()) == pytest.approx(2 * entries["wall"])
    assert ledger.other > 0


# --- quotas ----------------------------------------------------------------------------------------------------------


def control_groups(root: Path, lines: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(lines)
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        (path.parent / "cgroup.procs").touch()
    return root


@pytest.mark.parametrize(
    ("lines", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"cgroup.procs": "", "a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, 0.5),
        ("0::/host/path\n", {"cpu.max": "200000 100000\n"}, 2.0),  # a path that is not mounted in the container
        ("0::/../..\n", {"cpu.max": "200000 100000\n"}, 2.0),
        ("4:cpu,cpuacct:/\n", {"cpu,cpuacct/cpu.cfs_quota_us": "25000", "cpu,cpuacct/cpu.cfs_period_us": "10000"}, 2.5),
        ("1:cpu:/x\n0::/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_quota_us": "-1"}, None),
        (
            "1:cpu:/x\n0::/\n",
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_quota_us": "100000", "cpu/x/cpu.cfs_period_us": "50000"},
            2.0,
        ),
        ("3:memory:/\n", {"memory/limit": "1"}, None),
        ("0::/\n", {"cpu.max": "damaged"}, None),
    ],
)
def test_the_quota_of_a_container_is_read(lines: str, files: dict[str, str], quota: Any, tmp_path: Path) -> None:
    assert load.quota(control_groups(tmp_path, lines, files)) == quota


def test_without_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert load.quota(tmp_path) is None


@pytest.mark.parametrize(("quota", "cores"), [(None, 4), (8.0, 4), (2.5, 2), (1.0, 1), (0.5, 1)])
def test_no_more_cores_are_used_than_the_quota_grants(quota: Any, cores: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {7, 5, 3, 1}, raising=False)
    monkeypatch.setattr(machine, "quota", lambda: quota)
    assert machine.usable_cores() == [1, 3, 5, 7][:cores]
    assert machine.cores() == cores


@pytest.mark.parametrize(
    ("content", "seconds"),
    [
        ("usage_usec 9\nnr_throttled 3\nthrottled_usec 1500000\n", 1.5),
        ("nr_periods 21\nnr_throttled 20\nthrottled_time 890984592\n", 0.890984592),
        ("nr_periods 0\n", 0.0),
    ],
)
def test_throttled_time_is_read(content: str, seconds: float, tmp_path: Path) -> None:
    path = tmp_path / "cpu.stat"
    path.write_text(content)
    assert load._throttled(str(path)) == pytest.approx(seconds)


def test_stolen_and_busy_time_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    times, content = b"cpu  100 20 30 4000 500 6 7 80 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n", load._content
    # the thread that measures halts may still read its own file
    monkeypatch.setattr(load, "_content", lambda path: times if path == "/proc/stat" else content(path))
    monkeypatch.setattr(load.os, "sysconf", lambda _: 100)
    assert load._machine_times() == pytest.approx((0.8, 1.63))


@pytest.mark.parametrize("level", ["baseline", None])
def test_a_history_has_the_instruction_level_of_its_engine(level: str | None) -> None:
    native = pytest.importorskip("assay.engines.native_engine")
    recipe = Recipe.parse({"budget": {"iterations": 1}})
    engine = native.NativeEngine(threads=1, level=level)
    (history,) = train([recipe], engine, prepared(recipe, load_data("digits")))
    assert history.level == level or native.levels()[0]
    assert assay.fit(recipe, engine="numpy").level == machine.blas_kernel()


def test_a_resumed_training_names_both_instruction_levels_and_an_unknown_one_stays_unknown() -> None:
    native = pytest.importorskip("assay.engines.native_engine")
    if len(native.levels()) < 2:
        pytest.skip("this machine has one instruction level")
    recipe = Recipe.parse({"budget": {"iterations": 2}})
    data, best = prepared(recipe, load_data("digits")), native.levels()[0]
    (first,) = train([recipe], native.NativeEngine(level="baseline"), data)
    longer = recipe.with_budget(iterations=4)
    for start, level in ((first, f"baseline, then {best}"), (replace(first, level=None), None)):
        (history,) = train([longer], native.NativeEngine(level=best), data, start=[start])
        assert history.level == level
    (same,) = train([longer], native.NativeEngine(level="baseline"), data, start=[first])
    assert same.level == "baseline"


def test_preparation_is_that_of_a_new_engine_where_its_form_of_the_data_is_used_again() -> None:
    native = pytest.importorskip("assay.engines.native_engine")
    recipe = Recipe.parse({"budget": {"epochs": 1}, "model": {"hidden": [16]}})
    engine, data = native.NativeEngine(threads=1), prepared(recipe, load_data("digits"))
    x = data.x_train.copy()
    x[:, 8:] = 0.0  # 8 of 64 inputs are left, so that the engine keeps the others out
    sparse = replace(data, x_train=x)
    first, second = (train([recipe], engine, sparse)[0] for _ in range(2))
    assert second.preparation_seconds == first.preparation_seconds
    assert first.preparation_seconds is not None
    assert 0 < first.preparation_seconds < 1
    layer = 1437 * (2 * 64 * 16) * 2  # forward, and the gradient of the weights
    assert first.skipped == pytest.approx(float((x == 0).mean()) * layer / first.flops, rel=0.05)
    assert train([recipe], engine, data)[0].skipped == 0.0  # too few zeros to gain anything
    assert assay.fit(recipe, engine="numpy").skipped == 0.0
