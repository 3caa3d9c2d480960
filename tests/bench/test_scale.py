"""The benchmark of many short trials: its ways train the same networks, its rows are right, and it runs."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay.bench.calibration import Calibration
from benchmarks import scale
from benchmarks.answers import answer_rows
from benchmarks.many_trials import WAYS, Run, Way, Work, measured
from benchmarks.processes import run
from benchmarks.scale_rows import AnswerRow, Cell, Measurement, ScaleReport, Spread, TrialRow, trial_rows

ROOT = Path(__file__).parents[2]
BARE = "loop over the engine"


def way(name: str) -> Way:
    return next(one for one in WAYS if one.name == name)


def test_every_way_trains_the_same_networks(tmp_path: Path) -> None:
    names = (BARE, "loop over assay.fit", "assay run, SQLite")
    runs = [measured(way(name), Work(3, 20, 1, str(tmp_path / f"{i}.db"))) for i, name in enumerate(names)]
    accuracies = runs[0].accuracies
    assert len(set(accuracies)) == 3  # the learning rates are used
    assert all(0.2 < accuracy < 1.0 for accuracy in accuracies)
    assert [one.accuracies for one in runs] == [accuracies] * 3
    assert all(0 < one.processor < 30 and one.seconds > 0 for one in runs)


def accuracies_in_own_process(name: str, storage: Path, *, workers: int) -> list[float]:
    """A pool is forked, which this process, with threads of its own, must not be."""
    words = ["--trials=5", "--iterations=5", f"--workers={workers}", f"--storage={storage}"]
    usage = run([sys.executable, "-m", "benchmarks.many_trials", name, *words], limit_seconds=100)
    assert usage.code == 0, usage.error
    return json.loads(usage.output)["accuracies"]


@pytest.mark.parametrize("name", ["Optuna, journal", pytest.param("Optuna, SQLite", marks=pytest.mark.endurance)])
def test_optuna_trains_all_trials_in_two_processes(name: str, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    accuracies = accuracies_in_own_process(name, tmp_path / "storage", workers=2)
    assert len(accuracies) == 5
    assert len(set(accuracies)) > 1


def test_a_pool_of_processes_trains_what_a_loop_trains() -> None:
    pooled = accuracies_in_own_process(BARE, Path(), workers=2)
    assert pooled == measured(way(BARE), Work(5, 5, 1, "")).accuracies


# --- rows ------------------------------------------------------------------------------------------------------------


def measurement(seconds: float, *, few: float = 0.0, processor: float = 0.0, peak: int | None = None) -> Measurement:
    return Measurement(Run(seconds, processor, []), Run(few, few / 2, []), peak)


CELL = Cell("1 ms", workers=2, trials=100, few=4)


def test_a_row_has_rates_overheads_and_ratios() -> None:
    measurements = {
        BARE: [measurement(1.0, few=0.04), measurement(2.0, few=0.04)],
        "assay run, SQLite": [measurement(2.0, few=1.0, processor=2.5, peak=10), measurement(4.0, few=1.0, peak=30)],
        "Optuna, SQLite": [measurement(5.0, few=0.2), measurement(10.0, few=0.2)],
    }
    bare, assay, optuna = trial_rows(CELL, measurements, {}, BARE)
    assert bare.overhead_ms == Spread(0, 0, 0, 2)
    assert assay.rate == Spread(37.5, 25, 50, 2)
    assert assay.overhead_ms == Spread(30, 20, 40, 2)  # 1 and 2 s more than the loop, on 2 cores, for 100 trials
    assert assay.running_ms is not None
    assert math.isclose(assay.running_ms.min, 2 * 1e3 * (1.0 - 0.96) / 96)
    assert assay.processor_ms == Spread(12.5, 0, 25, 2)
    assert assay.running_processor_ms is not None
    assert math.isclose(assay.running_processor_ms.max, 1e3 * (2.5 - 0.5) / 96)
    assert assay.start_seconds == Spread(1, 1, 1, 2)
    assert assay.peak_bytes == 20
    assert optuna.ratio == 1.0
    assert assay.ratio == 2.5  # 37.5 over 15 trials a second


def test_a_way_that_cannot_run_has_its_reason_in_the_table() -> None:
    measurements = {BARE: [measurement(1.0, few=0.1)], "Optuna, SQLite": [], "assay run, PostgreSQL": []}
    rows = trial_rows(CELL, measurements, {"assay run, PostgreSQL": "PostgreSQL is not installed"}, BARE)
    assert [row.ratio for row in rows] == [None, None, None]  # without the baseline
    text = report(trials=rows, answers=[AnswerRow(1000, "report", problem="not done after 5 s")]).markdown()
    assert "| 1 ms | 2 | assay run, PostgreSQL | 100 | PostgreSQL is not installed |" in text
    assert "| 1 ms | 2 | Optuna, SQLite | 100 | not measured |" in text
    assert "| 1,000 | report | not done after 5 s |" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables[:-3]} == {13}
    assert {line.count("|") for line in tables[-3:]} == {7}


def report(**rows: Any) -> ScaleReport:
    machine = {"cpu": "a processor", "cores": 2, "memory_bytes": 2**30, "versions": {"assay": "1"}}
    return ScaleReport(machine, Calibration({1: 100.0}, 10.0), 0.5, foreign=[0.01, 0.03, 0.5], **rows)


def test_the_load_of_the_machine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.scale_rows.calibrate", lambda: Calibration({1: 80.0}, 10.0))
    busy = report()
    busy.finish(1.5)
    text = busy.markdown()
    assert "Load average before: 0.5; after: 1.5." in text
    assert "Other processes used 3 % of the machine during a run (median; 1 to 50 %)." in text
    assert "sgemm [GFLOP/s] before: 100; after: 80." in text
    assert "the machine changed during the run: sgemm moved by 20 %" in text


@pytest.mark.parametrize(
    ("spread", "text"),
    [
        (Spread(1.23456, 1.0, 1.5, 3), "1.23 (1 to 1.5)"),
        (Spread(1234.5, 999.0, 20000.0, 3), "1,234 (999 to 20,000)"),
        (Spread(0.01234, 0.01234, 0.01234, 1), "0.0123"),
        (Spread(-21.72, -30.0, 0.0, 2), "-21.7 (-30 to 0)"),
    ],
)
def test_a_spread_is_written_with_its_range(spread: Spread, text: str) -> None:
    assert spread.text() == text


def test_different_networks_are_refused() -> None:
    ways = [way(BARE), way("loop over assay.fit")]
    ones = {name: [Measurement(Run(1, 1, values), Run(1, 1, []), None)] for name, values in _accuracies(ways).items()}
    with pytest.raises(scale.DisagreementError, match=r"trial 2 of 'loop over assay.fit' has the accuracy 0.75"):
        scale.check_equal(ways, ones)


def _accuracies(ways: list[Way]) -> dict[str, list[float]]:
    return dict(zip((one.name for one in ways), ([0.5, 0.5], [0.5, 0.75]), strict=True))


# --- running ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_program_is_measured_with_its_children() -> None:
    child = "import time; block = bytearray(80_000_000); time.sleep(0.2)"
    parent = f"import subprocess, sys; block = bytearray(60_000_000); subprocess.run([sys.executable, '-c', {child!r}])"
    usage = run([sys.executable, "-c", f"{parent}; print('done')"], limit_seconds=60)
    assert (usage.code, usage.output) == (0, "done\n")
    assert usage.peak_bytes is not None
    assert 140e6 < usage.peak_bytes < 200e6
    assert 0 < usage.processor < 10
    assert 0 <= usage.foreign <= 1


def test_a_program_is_killed_at_its_limit() -> None:
    usage = run([sys.executable, "-c", "import time; time.sleep(60)"], limit_seconds=0.2)
    assert usage.code is None
    assert usage.seconds < 20


def test_the_commands_are_not_run_where_the_store_cannot_be_made(tmp_path: Path) -> None:
    shown: list[AnswerRow] = []
    rows, foreign = answer_rows([8], tmp_path, repetitions=1, limit_seconds=0.001, show=shown.append)
    assert rows == shown == [AnswerRow(8, "making the store", problem="not done after 0.01 s")]
    assert not foreign


def test_the_command_measures_writes_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.scale.calibrate", lambda: Calibration({1: 80.0}, 10.0))
    monkeypatch.setattr("benchmarks.scale_rows.calibrate", lambda: Calibration({1: 80.0}, 10.0))
    monkeypatch.chdir(ROOT)
    scale.main(["--quick", "--trials", "3", "--only", BARE, "--sizes", "--out", str(tmp_path / "scale")])
    content = json.loads((tmp_path / "scale.json").read_text())
    (row,) = content["trials"]
    assert (row["way"], row["trials"], row["workers"], row["problem"]) == (BARE, 3, 1, None)
    assert row["rate"]["median"] > 0
    assert (tmp_path / "scale.md").read_text().startswith("Machine: ")
    assert (tmp_path / "scale.png").stat().st_size > 5_000


def test_without_postgresql_or_cores_the_table_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bench = scale.Bench(tmp_path, None, 10.0)
    assert bench.missing(way("assay run, PostgreSQL"), 1) == (
        "PostgreSQL is not installed (Debian: apt install postgresql)"
    )
    monkeypatch.setattr(scale, "cores", lambda: 1)
    assert bench.missing(way(BARE), 2) == "the machine has 1 core"
    assert bench.missing(way(BARE), 1) is None
    monkeypatch.setattr(scale, "_version", lambda _: None)
    assert bench.missing(way("Optuna, SQLite"), 1) == "Optuna is not installed: pip install 'assay[test]'"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--only", "Optuma"], "no way begins with 'Optuma'; expected one of loop over the engine"),
        (["--trials", "0"], "--trials: got 0; expected a number >= 1"),
        (["--repetitions", "-1"], "--repetitions: got -1; expected a number >= 1"),
        (["--workers", "1", "-2"], "--workers: got -2; expected a number >= 1"),
        (["--sizes", "0"], "--sizes: got 0; expected a number >= 1"),
        (["--sizes", "10"], "--sizes: got 10; expected multiples of 4, the seeds of a configuration"),
    ],
)
def test_a_wrong_option_is_refused(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        scale.main(words)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.endurance
def test_every_way_and_every_command_is_measured(tmp_path: Path) -> None:
    words = ["--quick", "--trials", "4", "--workers", "2", "--sizes", "40", "--out", str(tmp_path / "scale")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale", *words], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "scale.json").read_text())
    assert [row["way"] for row in content["trials"]] == [one.name for one in WAYS]
    problems = {row["problem"] for row in (*content["trials"], *content["answers"])}
    assert problems <= {
        None,
        "PostgreSQL is not installed (Debian: apt install postgresql)",
        "the machine has 1 core",
    }
    commands = [row["command"] for row in content["answers"]]
    assert commands[:4] == ["list", "show", "compare", "plot curves"] and {"report", "store import"} <= set(commands)
    assert sum(command.startswith("plot ") for command in commands) == 11


def test_the_driver_is_measured_against_the_loop_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cells: list[tuple[str, int, int, list[str]]] = []

    def noted(_: Any, cell: Cell, ways: Any, repetitions: int) -> tuple[list[TrialRow], list[float]]:
        cells.append((cell.length, cell.workers, cell.trials, [one.name for one in ways]))
        return [], []

    monkeypatch.setattr(scale, "measure", noted)
    monkeypatch.setattr("benchmarks.scale.calibrate", lambda: Calibration({1: 80.0}, 10.0))
    monkeypatch.setattr("benchmarks.scale_rows.calibrate", lambda: Calibration({1: 80.0}, 10.0))
    monkeypatch.setattr(scale, "program", lambda _: None)
    scale.main(["--sizes"])
    assert cells[-2:] == [(scale.DRIVER, workers, 3000, [BARE, "assay run, SQLite"]) for workers in (1, 2)]
    assert [cell[:2] for cell in cells[:4]] == [("1 ms", 1), ("1 ms", 2), ("10 ms", 1), ("10 ms", 2)]


def test_rows_are_plain_data_for_json() -> None:
    row = TrialRow("1 ms", 1, BARE, 10, rate=Spread(1, 1, 1, 1))
    content = json.loads(json.dumps(report(trials=[row]).plain()))
    assert content["trials"][0]["rate"] == {"median": 1, "min": 1, "max": 1, "n": 1}
    assert content["load_average"] == {"before": 0.5, "after": None}
