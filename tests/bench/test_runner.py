"""`assay bench`: certificates before times, rounds over all rows, rows that end with a reason, what is shown."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import assay
from assay.bench import parity
from assay.bench import runner as running
from assay.bench.calibration import Calibration
from assay.bench.device_rates import DeviceRates
from assay.bench.rows import Certificate, Contender, State
from assay.bench.runner import BenchRunner
from assay.bench.spec import BenchSpec, combinations, recipe_of
from assay.engines import ENGINES, installed
from assay.engines.promises import promised
from assay.errors import AssayError, RecipeError
from assay.recipe.model import PRECISIONS, Recipe
from assay.report import benches as report
from assay.report.page import bench_page
from assay.store import benches
from assay.store.store import Store
from assay.system.load import FOREIGN_LOAD_IS_KNOWN
from tests.bench import fakes
from tests.store.makers import made_bench

ROOT = Path(__file__).resolve().parents[2]
FAKES = "tests.bench.fakes"
CHECKS = ["loss of a batch", "gradient of a batch", "step of descent", "3 steps of adam"]
OTHERS = [name for name in ("native", "jax", "torch", "torch-eager") if name == "torch-eager" or installed(name)]


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Sixty made-up images, so that no process loads a library for its data."""
    rng = np.random.default_rng(1)
    y = np.arange(60) % 3
    x = (rng.random((60, 16)) * (np.arange(16) % 3 == y[:, None])).astype(np.float32)
    path = tmp_path / "made.npz"
    np.savez(path, x_train=x[:48], y_train=y[:48], x_test=x[48:], y_test=y[48:])
    return str(path)


@pytest.fixture(autouse=True)
def _quick_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "calibrate", lambda threads: Calibration(dict.fromkeys(threads, 50.0), 10.0))
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]  # the fakes of the tests, and Assay from where it is tested
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))


def recipe(data: str, **changes: Any) -> Recipe:
    raw = {"data": data, "model": {"hidden": [5], "activation": "sigmoid"}, "batches": {"kind": "shuffled", "size": 16}}
    return Recipe.parse(raw | changes)


def bench_runner(data: str, engines: list[str], baseline: str = "numpy", **asked: Any) -> BenchRunner:
    made = combinations(engines, ["cpu"], [1], ["float32"], baseline)
    more = {"epochs": 3, "repeats": 1, "baseline": baseline} | asked
    return BenchRunner(BenchSpec("made", recipe(data), made, **more))


def run(runner: BenchRunner) -> dict[str, Any]:
    for _ in runner:
        pass
    return runner.bench.plain()


# --- rows that are measured ------------------------------------------------------------------------------------------


@pytest.mark.endurance
def test_engines_and_the_baseline_are_certified_and_measured(data: str) -> None:
    plain = run(bench_runner(data, OTHERS))
    assert [row["state"] for row in plain["rows"]] == ["measured"] * (len(OTHERS) + 1)
    for row in plain["rows"]:
        certificate, summary = row["certificate"], row["summary"]
        assert certificate["holds"] and certificate["iterations"] == 60 and certificate["tolerance"] == 1e-10
        assert [check["what"] for check in certificate["checks"]] == CHECKS
        assert all(check["deviation"] <= 0.5 for check in certificate["checks"])
        assert (summary["first_epoch"]["n"], summary["train"]["n"], summary["total"]["n"]) == (1, 2, 1)
        assert [epoch["examples"] for epoch in row["epochs"]] == [48, 48, 48]
        start = row["starts"][0]
        parts = start["start_up"] + start["data"] + start["compile"]
        parts += sum(epoch["batches"] + epoch["train"] + epoch["validate"] for epoch in row["epochs"])
        assert summary["total"]["median"] == pytest.approx(parts)
        assert summary["gflops"] == pytest.approx(plain["work"]["flops"] / summary["train"]["median"] / 1e9)
        assert row["peak_memory_bytes"] > 2**20
    accuracies = {row["epochs"][-1]["accuracy"] for row in plain["rows"]}
    assert len(accuracies) == 1  # the same weights and batches


def test_a_regression_is_certified_and_its_rows_have_r2_and_rmse(tmp_path: Path) -> None:
    pytest.importorskip("assay._native")
    x = np.random.default_rng(2).normal(size=(60, 6))
    y = 50.0 + 10.0 * x[:, 0] - 5.0 * x[:, 1] * x[:, 2]
    path = tmp_path / "houses.npz"
    np.savez(path, x_train=x[:48], y_train=y[:48], x_test=x[48:], y_test=y[48:])
    patch = {"data": {"task": "regression"}, "input": "standardise-features", "loss": None, "model": {"output": None}}
    mine = recipe(str(path)).patched(patch)
    spec = BenchSpec(
        "houses", mine, combinations(["numpy", "native"], ["cpu"], [1], ["float32"], "numpy"), 3, 1, "numpy"
    )
    plain = run(BenchRunner(spec))
    assert [row["state"] for row in plain["rows"]] == ["measured"] * 2
    history = assay.fit(mine.patched({"budget": {"epochs": 3.0}}), engine="numpy")
    assert history.r2 is not None
    for row in plain["rows"]:
        assert row["certificate"]["holds"] and all(check["deviation"] <= 0.5 for check in row["certificate"]["checks"])
        assert row["summary"]["accuracy"] is None
        assert row["summary"]["r2"]["median"] == pytest.approx(history.r2, abs=1e-6)
        assert row["summary"]["rmse"]["median"] == pytest.approx(history.rmse, rel=1e-6)
        assert len({epoch["r2"] for epoch in row["epochs"]}) == 3
    (_, header, rows), *_ = report.tables(plain)
    assert header[-2:] == ["R2", "RMSE"] and "accuracy" not in header
    assert rows[0][-2:] == [f"{history.r2:.4g}", f"{history.rmse:.4g}"]
    assert {"r2", "rmse"} < set(report.epochs_frame(plain)) and "accuracy" not in report.epochs_frame(plain)
    assert {"final_r2", "final_rmse"} < set(report.summary_frame(plain))
    assert "test R2" in bench_page(plain)
    store = Store(str(tmp_path / "s.db"))
    benches.save(store.database, plain)
    assert [one["name"] for one in benches.listed(store.database)] == ["houses"]


def test_a_bench_of_classes_keeps_its_tables() -> None:
    plain = made_bench().plain()
    (_, header, _), *_ = report.tables(plain)
    assert header[-1] == "accuracy" and "R2" not in header
    assert "accuracy" in report.epochs_frame(plain) and "r2" not in report.epochs_frame(plain)
    assert "final_accuracy" in report.summary_frame(plain)


@pytest.mark.endurance
def test_every_round_has_an_epoch_of_each_row_and_one_alone_computes(data: str) -> None:
    plain = run(bench_runner(data, ["numpy", "native"], repeats=2))
    events = plain["timeline"]
    labels = [row["label"] for row in plain["rows"]]
    done = [(e["repeat"], e["epoch"], e["row"]) for e in events if e["what"] == "epoch"]
    assert done == [(repeat, epoch, label) for repeat in (1, 2) for epoch in (1, 2, 3) for label in labels]
    assert [e["what"] for e in events[:4]] == ["certify", "certify", "begin", "begin"]
    assert all(a["end"] <= b["begin"] for a, b in itertools.pairwise(events))


@pytest.mark.endurance
def test_two_repeats_train_the_same(data: str) -> None:
    (row,) = run(bench_runner(data, ["numpy"], repeats=2))["rows"]
    losses = [epoch["loss"] for epoch in row["epochs"]]
    assert losses[:3] == losses[3:]
    assert row["summary"]["start_up"]["n"] == 2
    assert row["summary"]["train"]["n"] == 4


# --- rows that end ---------------------------------------------------------------------------------------------------


@pytest.fixture
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in fakes.KINDS:
        monkeypatch.setitem(ENGINES, kind, (FAKES, kind.capitalize(), ""))
    monkeypatch.setattr(running, "WORKER", FAKES)


ENDS = {
    "wrong": ("fails parity", 0, "expected below 1e-10"),
    "killed": ("failed", 1, "killed by SIGKILL"),
    "greedy": ("out of memory", 1, "MemoryError: no room for that"),
    "broken": ("failed", 1, "ZeroDivisionError: a mistake in the program"),
}


@pytest.mark.endurance
@pytest.mark.usefixtures("_fakes")
def test_a_row_that_is_wrong_or_dies_has_its_reason_and_the_others_go_on(data: str) -> None:
    plain = run(bench_runner(data, list(ENDS)))
    *dead, alive = plain["rows"]
    for row, (engine, (state, epochs, said)) in zip(dead, ENDS.items(), strict=True):
        assert (row["engine"], row["state"], len(row["epochs"])) == (engine, state, epochs)
        assert said in row["reason"]
        assert row["summary"]["ratio"] is None
    assert not dead[0]["certificate"]["holds"]
    assert (alive["state"], len(alive["epochs"])) == ("measured", 3)
    assert (plain["outcome"], plain["baseline"]["row"]) == ("completed", alive["label"])
    said = report.lines(plain)
    assert any("wrong, cpu, 1 thread, float32: fails parity: losses" in line for line in said)
    assert "killed by SIGKILL" in bench_page(plain)


@pytest.mark.endurance
def test_a_process_that_dies_while_it_waits_is_noticed(data: str) -> None:
    made = bench_runner(data, ["numpy", "native"])
    for status in made:
        if "epoch 2 of 3: numpy" in status.step:
            other = made._workers.processes[1]
            if other is not None:
                other.process.kill()
    states = [row.state for row in made.bench.rows]
    assert states == [State.MEASURED, State.FAILED]
    assert "SIGKILL" in made.bench.rows[1].reason
    assert [len(row.epochs) for row in made.bench.rows] == [3, 1]


def test_what_cannot_run_has_its_reason(data: str) -> None:
    cores = len(running.usable_cores())
    made = combinations(["numpy", "native"], ["cpu"], [1, cores + 1], ["float32", "bfloat16"], "numpy")
    plain = run(BenchRunner(BenchSpec("made", recipe(data), made, 2, 1, "numpy")))
    reasons = {row["label"]: row["reason"] for row in plain["rows"] if row["state"] == "impossible"}
    assert len(reasons) == 6
    assert "has no bfloat16" in reasons["native, cpu, 1 thread, bfloat16"]
    assert f"this process may use {cores}" in reasons[f"numpy, cpu, {cores + 1} threads, float32"]


def test_a_training_that_diverges_is_a_row_that_says_so(data: str) -> None:
    hot = recipe(data, model={"hidden": [5], "activation": "relu", "output": "identity"}, loss="mse")
    hot = hot.patched({"optimizer": {"name": "descent", "learning_rate": 1e30}, "batches": {"kind": "full"}})
    made = combinations(["numpy"], ["cpu"], [1], ["float64"], "numpy")
    plain = run(BenchRunner(BenchSpec("hot", hot, made, 9, 1, "numpy")))
    assert plain["rows"][0]["state"] in ("diverged", "fails parity")
    assert "not finite" in plain["rows"][0]["reason"]


# --- Ctrl-C, kill -9 -------------------------------------------------------------------------------------------------


def test_an_interrupted_bench_keeps_what_was_measured(data: str) -> None:
    saved: list[dict[str, Any]] = []
    made = bench_runner(data, ["numpy", "native"])
    made._save_plain = saved.append
    for status in made:
        if "epoch 2 of 3: native" in status.step:
            made.stop()
    plain = made.bench.plain()
    assert plain["outcome"] == "interrupted"
    assert [len(row["epochs"]) for row in plain["rows"]] in ([2, 1], [2, 2])
    assert any("interrupted after" in note for note in plain["notes"])
    assert saved[-1] == plain
    assert all(process is None for process in made._workers.processes)


def started(folder: Path, data: str, *more: str) -> subprocess.Popen[str]:
    """The command, with an engine that hangs in its second epoch."""
    program = "from tests.bench import fakes as f; f.register(); from assay.bench import runner as r; "
    program += f"r.WORKER = '{FAKES}'; from assay.cli import main; main()"
    (folder / "made.toml").write_text('model.hidden = [5]\nbatches = { kind = "shuffled", size = 16 }\n')
    words = ["bench", "made.toml", "--data", data, "--engines", "numpy,slow", "--baseline", "numpy", "--threads", "1"]
    return subprocess.Popen(
        [sys.executable, "-c", program, *words, "--store", "store.db", *more],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def wait_for_epochs(path: Path, count: int) -> None:
    """Until the store holds a bench with so many epochs."""
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        if path.exists():
            try:
                with sqlite3.connect(path, timeout=10) as connection:
                    rows = connection.execute("SELECT content FROM bench").fetchall()
                connection.close()
                if rows and sum(len(row["epochs"]) for row in json.loads(rows[0][0])["rows"]) >= count:
                    return
            except sqlite3.OperationalError:
                pass
        time.sleep(0.05)
    raise AssertionError("nothing was stored")


@pytest.mark.endurance
def test_ctrl_c_shows_and_stores_what_there_is(data: str, tmp_path: Path) -> None:
    process = started(tmp_path, data)
    wait_for_epochs(tmp_path / "store.db", 1)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted; rows measured so far are stored" in err
    assert "Traceback" not in err
    assert "numpy, cpu, 1 thread, float32: measured" in out
    (row,) = benches.listed(Store(str(tmp_path / "store.db"), read_only=True).database)
    assert row["outcome"] == "interrupted"


@pytest.mark.endurance
def test_a_killed_bench_leaves_what_it_stored_and_no_process(data: str, tmp_path: Path) -> None:
    process = started(tmp_path, data)
    wait_for_epochs(tmp_path / "store.db", 1)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate(timeout=60)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    database = Store(str(tmp_path / "store.db")).database
    plain = benches.one(database, "made")
    assert plain["outcome"] == "running"
    assert sum(len(row["epochs"]) for row in plain["rows"]) >= 1


# --- what is computed from the epochs --------------------------------------------------------------------------------


def test_a_summary_holds_total_and_steady_figures_of_one_run() -> None:
    plain = made_bench().plain()
    eager, native = (row["summary"] for row in plain["rows"])
    assert plain["baseline"]["row"] == "torch-eager, cpu, 2 threads, float32"
    assert eager["total"]["median"] == pytest.approx(1.75 + 11.0 + 0.3)
    assert native["train"] == {"median": 1.25, "min": 1.0, "max": 1.5, "n": 2}
    assert native["first_epoch"]["median"] == pytest.approx(3.1)
    assert native["ratio"] == {"median": 2.0, "min": 2.0, "max": 2.0, "n": 2}
    assert native["examples_per_second"] == 800.0
    assert native["gflops"] == pytest.approx(0.8)
    assert (native["limit"], native["times_limit"]) == (pytest.approx(0.01), pytest.approx(125.0))


def test_rows_that_foreign_load_has_slowed_down_are_named_in_a_note() -> None:
    made = made_bench()
    assert made.plain()["notes"] == made.notes
    made.rows[0].loads = {1: (0.01, 1.0), 2: (0.01, 1.0)}  # 1 % is no busy machine
    assert made.plain()["notes"] == made.notes
    made.rows[1].loads = {1: (0.1, 0.5), 2: (0.3, 0.5)}
    (note,) = made.plain()["notes"][len(made.notes) :]
    label = made.rows[1].label
    assert note == (
        f"busy machine: other processes took processor time from the trainings ({label}: 0.4 s in 1 s of training), so "
        "seconds and ratios are not those of an idle machine; run the bench again when nothing else runs"
    )
    made.rows[0].loads, made.rows[1].loads = {1: (0.1, 0.15)}, {1: (0.1, 0.15)}  # each is too short to be judged alone
    assert "(the 2 rows under 0.2 s together: 0.2 s in 0.3 s of training)" in made.plain()["notes"][-1]


@pytest.mark.endurance
def test_a_row_reports_its_foreign_load_where_the_system_knows_it(data: str) -> None:
    runner = bench_runner(data, ["numpy"])
    run(runner)
    (row,) = runner.bench.rows
    assert bool(row.loads) == FOREIGN_LOAD_IS_KNOWN
    for foreign, train in row.loads.values():
        assert foreign >= 0
        assert train == pytest.approx(sum(epoch.train for epoch in row.epochs))


def test_what_is_not_certified_has_no_ratio_and_is_no_baseline() -> None:
    made = made_bench(failing=True)
    assert made.plain()["rows"][1]["summary"]["ratio"] is None
    made.wanted_baseline = "native"
    assert made.plain()["baseline"]["row"] == "torch-eager, cpu, 2 threads, float32"
    assert "the slowest row, because 'native' was not measured" in made.plain()["baseline"]["why"]


def test_the_plain_form_is_json_and_everything_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    plain = json.loads(json.dumps(made_bench().plain(), allow_nan=False))
    evil = "</script><script>alert(1)</script>\x1b[31m"
    plain["rows"][0]["label"] = plain["name"] = evil
    page = bench_page(plain)
    assert "<script>alert" not in page
    assert "Fastest in later epochs: native" in page
    assert len(report.tables(plain)) == 2
    assert report.epochs_frame(plain)["elapsed"].tolist()[:3] == pytest.approx([7.85, 9.95, 13.05])
    assert report.summary_frame(plain)["train_seconds"].tolist() == [2.5, 1.25]


def test_the_certificate_is_relative_above_one_and_fails_on_what_is_missing() -> None:
    reference = {"losses": np.array([2.0, 1.0]), "0.weight": np.array([[10.0, 0.5]])}
    near = {"losses": np.array([2.0 + 1e-10, 1.0]), "0.weight": np.array([[10.0, 0.5 + 1e-11]])}

    def judge(found: dict[str, Any]) -> Certificate:
        return parity.judged(Recipe(), found, reference, iterations=2)

    assert judge(near).losses == pytest.approx(5e-11, rel=1e-4)
    assert judge(near).weights == pytest.approx(1e-11, rel=1e-4)
    assert judge(near).holds
    assert not judge(near | {"0.weight": np.array([[10.0 + 1e-8, 0.5]])}).holds
    assert not judge(near | {"losses": np.array([np.nan, 1.0])}).holds
    assert not judge({"losses": reference["losses"]}).holds
    assert not judge(near | {"0.weight": np.array([10.0, 0.5])}).holds


def test_no_fraction_of_the_weights_may_deviate_and_the_certificate_says_how_many_do() -> None:
    reference = {"losses": np.ones(2), "0.weight": np.zeros((10, 10)), "0.bias": np.zeros(100)}

    def judge(weights: int, loss: float = 1.0) -> Certificate:
        found = reference | {"losses": np.array([1.0, loss]), "0.weight": np.zeros((10, 10))}
        found["0.weight"].ravel()[:weights] = 1e-3
        return parity.judged(Recipe(), found, reference, iterations=2)

    assert (judge(2).outlier_fraction, judge(2).weights) == (0.01, 1e-3)
    assert judge(0).holds
    assert not judge(1).holds
    assert not judge(0, loss=1.001).holds
    assert "(1.50 % of them above the tolerance)" in judge(3).sentence()
    assert judge(3).sentence().endswith("expected below 1e-10")


@pytest.mark.parametrize(
    ("model", "shape", "iterations"),
    [
        ("3LS", (64,), {"float64": 60, "float32": 60, "tensorfloat32": 60, "bfloat16": 60}),
        ("2LR", (64,), {"float64": 20, "float32": 20, "tensorfloat32": 20, "bfloat16": 20}),
        ("lenet5", (28, 28), {"float64": 20, "float32": 3, "tensorfloat32": 3, "bfloat16": 3}),
    ],
)
def test_the_iterations_in_float64_are_those_of_the_contract(
    model: str, shape: tuple[int, ...], iterations: dict[str, int]
) -> None:
    assert set(iterations) == set(PRECISIONS)
    limit = promised("torch", 1)
    assert limit is not None
    assert (parity.TOLERANCE, parity.ITERATIONS[parity.SMOOTH]) == (limit.by_precision["float64"], 60)
    for precision in PRECISIONS:
        asked = Recipe.parse({"model": model, "precision": precision})
        assert parity.compared(asked, asked.model.network(shape, 10), 1437) == iterations[precision]


def test_a_certificate_is_taken_without_dropout() -> None:
    assert parity.without_dropout(Recipe.parse({"model": {"dropout": 0.5}})).model.dropout == 0.0


# --- what is asked ---------------------------------------------------------------------------------------------------


def test_a_model_by_name_has_the_defaults_of_a_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_DATA", str(tmp_path))
    name, made = recipe_of("3LS", [{"seed": 7}])
    assert (name, made.data.name, made.batches.size, made.optimizer.name, made.seed) == (
        "3LS",
        "digits",
        600,
        "adam",
        7,
    )
    (tmp_path / "my.toml").write_text('data = "mnist"\nmodel = "2LR"\n')
    assert recipe_of(str(tmp_path / "my.toml"))[1].data.name == "mnist"
    assert recipe_of(str(tmp_path / "my.toml"), quick=True)[1].data.name == "digits"
    with pytest.raises(AssayError, match="unknown model '3LR'; did you mean"):
        recipe_of("3LR")


def test_wrong_words_are_told_all_at_once() -> None:
    with pytest.raises(RecipeError) as told:
        combinations(["numpi"], ["gpu"], [0], ["float16"], "torch")
    assert len(told.value.problems) == 4
    assert "did you mean 'numpy'" in str(told.value)


def test_a_device_without_threads_has_one_row_and_the_baseline_is_added() -> None:
    made = combinations(["jax"], ["cpu", "cuda"], [1, 2], ["float32"], "torch-eager")
    labels = [one.label for one in made]
    assert labels[:3] == ["jax, cpu, 1 thread, float32", "jax, cpu, 2 threads, float32", "jax, cuda, float32"]
    assert labels[6:] == ["torch-eager-float32, cuda, float32"]  # PyTorch's default there is TensorFloat-32
    assert len(combinations(["jax"], ["cuda"], [1], ["bfloat16"], "torch-eager")) == 2
    assert len(combinations(["jax"], ["cuda"], [1], ["float32"], "jax")) == 1


def test_a_row_on_a_gpu_is_compared_with_the_plain_loop_there_and_limited_by_the_rates_of_the_device() -> None:
    made = made_bench()
    for engine, precision, pace in (
        ("torch-eager", "float32", 4.0),
        ("torch-eager-float32", "float32", 6.0),
        ("torch-eager", "tensorfloat32", 3.0),
        ("jax", "float32", 2.0),
        ("jax", "tensorfloat32", 1.0),
        ("jax", "bfloat16", 0.5),
    ):
        row = replace(made.rows[0], contender=Contender(engine, "cuda", None, precision))
        row.epochs = [replace(epoch, train=pace) for epoch in made.rows[0].epochs]
        made.rows.append(row)
    made.device_rates = {("cuda", "float32"): DeviceRates("a card", 1e4, 1e3)}
    plain = made.plain()
    summaries = {(row["engine"], row["precision"]): row["summary"] for row in plain["rows"] if row["device"] == "cuda"}
    assert summaries["jax", "float32"]["ratio_to"] == "torch-eager-float32, cuda, float32"
    assert summaries["jax", "float32"]["ratio"]["median"] == 3.0
    assert summaries["torch-eager", "float32"]["ratio"]["median"] == 1.5
    assert summaries["jax", "tensorfloat32"]["ratio_to"] == "torch-eager, cuda, tensorfloat32"
    assert summaries["jax", "tensorfloat32"]["ratio"]["median"] == 3.0
    assert summaries["jax", "bfloat16"]["ratio_to"] == plain["baseline"]["row"]  # has none of its own
    assert plain["rows"][1]["summary"]["ratio_to"] == "torch-eager, cpu, 2 threads, float32"
    assert summaries["jax", "float32"]["limit"] == pytest.approx(1e9 / 1e13)
    assert summaries["jax", "float32"]["times_limit"] == pytest.approx(2e4)
    assert summaries["jax", "bfloat16"]["limit"] is None
    assert plain["calibration"]["devices"] == {"cuda, float32": {"name": "a card", "product": 1e4, "memory": 1e3}}
    assert "a card (cuda, float32): products 10,000 GFLOP/s, memory 1,000 GB/s." in " ".join(report.sentences(plain))


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["2LT"], "unknown model '2LT'; did you mean '2LR'"),
        ([""], "give a recipe as a TOML file"),
        (["mlp", "--quick", "--engines", "nupmy"], "did you mean 'numpy'"),
        (["mlp", "--quick", "--threads", "one"], "expected whole numbers"),
        (["mlp", "--quick", "--engines", ","], "expected words separated by commas"),
        (["mlp", "--quick", "--epochs", "1"], "--epochs: got 1; expected a number >= 2"),
        (["mlp", "--quick", "--set", "batches.size=2000"], "batches.size: got 2,000; expected at most 1,437"),
        (["none.toml"], "no such file"),
        (["--stored"], "no such store"),
    ],
)
def test_a_wrong_word_is_a_sentence(words: list[str], said: str, invoke: Any) -> None:
    code, _, err = invoke("bench", *words)
    assert code == 2
    assert said in " ".join(err.split())
    assert "Traceback" not in err


def test_where_nothing_can_run_the_reasons_are_told(invoke: Any, data: str) -> None:
    words = ["--data", data, "--engines", "native,numpy", "--baseline", "numpy", "--devices", "cuda"]
    code, out, err = invoke("bench", "mlp", *words, "--set", "batches.size=16")
    assert code == 2
    assert "this machine cannot run any of the rows:" in err
    assert "native, cuda, float32: engine 'native' runs only on device 'cpu'" in err
    assert out == ""
    assert "no benches" in invoke("bench", "--stored")[1]


def test_a_bench_is_printed_stored_listed_shown_exported_and_removed(invoke: Any, data: str, tmp_path: Path) -> None:
    words = ["bench", "mlp", "--data", data, "--engines", "numpy,native", "--baseline", "numpy", "--threads", "1"]
    words += ["--epochs", "2", "--repeats", "1", "--set", "model.hidden=[4]", "--set", "batches.size=16"]
    code, out, err = invoke(*words, "--json")
    assert code == 0, err
    plain = json.loads(out)
    top = {"format", "bench", "name", "outcome", "recipe", "data", "epochs", "repeats", "work", "machine"}
    assert top | {"calibration", "baseline", "notes", "rows", "timeline", "store", "files"} == set(plain)
    row = {"label", "engine", "device", "threads", "precision", "state", "reason", "certificate", "summary", "starts"}
    assert row | {"epochs", "peak_memory_bytes", "peak_device_memory_bytes"} == set(plain["rows"][0])
    assert {"numpy", "assay"} <= set(plain["machine"]["versions"])
    for file in plain["files"]:
        assert Path(file).stat().st_size > 5_000
    listed = json.loads(invoke("list", "--json")[1])["benches"]
    assert [(one["key"], one["name"], one["measured"], one["rows"]) for one in listed] == [
        (plain["bench"], "mlp", 2, 2)
    ]
    assert plain["bench"][:8] in invoke("list")[1]
    key = plain["bench"][:8]
    shown = json.loads(invoke("show", key, "--json")[1])
    assert shown == {name: value for name, value in plain.items() if name not in ("store", "files")}
    assert "numpy, cpu, 1 thread, float32: measured; parity equivalent" in invoke("show", key)[1]
    assert "hidden" in invoke("show", key, "--recipe")[1]
    code, out, _ = invoke("bench", "mlp", "--stored", "--out", "again")
    assert (code, "Baseline: numpy" in out) == (0, True)
    assert sorted(path.name for path in Path("again").iterdir()) == [
        "mlp-bench-totals.png",
        "mlp-bench.html",
        "mlp-bench.png",
    ]
    assert invoke("store", "check")[1] == "assay.db: sound\n"
    assert invoke("store", "export", "folder")[0] == 0
    assert invoke("store", "import", "folder", "--store", "other.db")[0] == 0
    imported = json.loads(invoke("show", key, "--json", "--store", "other.db")[1])
    assert {name for name in shown if imported[name] != shown[name]} == {"data", "recipe"}
    portable = imported["data"]["name"]  # an export names no folder of the machine
    assert re.fullmatch(rf"{re.escape(Path(data).name)}@[0-9a-f]{{12}}", portable)
    assert imported["data"] == {**shown["data"], "name": portable}
    assert imported["recipe"] == {**shown["recipe"], "data": {**shown["recipe"]["data"], "name": portable}}
    assert "removed 1 bench;" in invoke("rm", key, "--yes")[2]
    assert json.loads(invoke("list", "--json")[1])["benches"] == []
