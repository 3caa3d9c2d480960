"""The benchmark's harness: equivalence before time, medians, ratios, rooflines, and that the peers are equivalent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.bench import calibration as bench

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = np.array([2.0, 1.0])


class Made:
    """A candidate with a given name and given losses."""

    def __init__(self, name: str, losses: Any, threads: int = 1) -> None:
        self.name, self.losses, self.threads, self.unit_per_call = name, losses, threads, 10
        self.calls = 0

    def check(self) -> Any:
        return self.losses

    def run(self) -> None:
        self.calls += 1


def report() -> bench.Report:
    return bench.Report(
        {"cpu": "x", "cores": 2, "memory_bytes": 2**30, "versions": {}}, bench.Calibration({1: 100.0}, 10.0)
    )


def test_rows_are_medians_with_ratios_to_the_best_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 40.0, 20.0, 20.0, 40.0, 10.0, 60.0, 80.0, 20.0])
    monkeypatch.setattr(bench, "_timed", lambda call: (call(), next(times))[1])
    candidates = [Made("fast", REFERENCE), Made("torch eager", REFERENCE), Made("torch eager", None, threads=2)]
    found = report()
    workload = bench.Workload("w", REFERENCE, bench.Work(2e9, 0.0), unit="ms", scale=1e3, repetitions=3)
    bench.measure(found, workload, candidates, show=lambda line: None)
    assert [c.calls for c in candidates] == [3, 3, 3]
    assert [(r.median, r.min, r.max) for r in found.rows] == [(2e3, 1e3, 6e3), (4e3, 4e3, 8e3), (2e3, 1e3, 2e3)]
    assert [r.ratio for r in found.rows] == [1.0, 0.5, 1.0]
    assert found.rows[0].limit == pytest.approx(20.0)  # 2 GFLOP at 100 GFLOP/s
    assert [r.deviation for r in found.rows] == [0.0, 0.0, None]
    assert "| w | fast | 1 | 2000 |" in found.markdown()


def test_what_disagrees_is_not_timed() -> None:
    wrong = Made("wrong", REFERENCE + 0.1)
    workload = bench.Workload("w", REFERENCE, bench.Work(1, 1), unit="s", scale=1)
    with pytest.raises(bench.DisagreementError, match="losses of wrong differ from the reference by 1.0e-01"):
        bench.measure(report(), workload, [wrong])
    assert wrong.calls == 0
    with pytest.raises(bench.DisagreementError):
        bench.measure(report(), workload, [Made("nan", REFERENCE * np.nan)])


def test_a_machine_that_changed_gets_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    for later, noted in ((110.0, False), (80.0, True)):
        monkeypatch.setattr(bench, "calibrate", lambda rate=later: bench.Calibration({1: rate}, 10.0))
        found = report()
        found.finish()
        assert bool(found.notes) is noted


def test_the_roofline_is_arithmetic_or_memory() -> None:
    calibration = bench.Calibration({1: 100.0, 2: 200.0}, 10.0)
    assert bench.Work(1e9, 0).roofline(calibration, 1) == pytest.approx(0.01)
    assert bench.Work(1e9, 0).roofline(calibration, 2) == pytest.approx(0.005)
    assert bench.Work(1e9, 1e9).roofline(calibration, 2) == pytest.approx(0.1)


def test_calibration_gives_plausible_rates() -> None:
    found = bench.calibrate(size=256, repetitions=3)
    assert all(1.0 < rate < 1e5 for rate in found.sgemm.values())
    assert 0.5 < found.memory < 1e4


@pytest.mark.endurance
def test_the_command_measures_writes_and_draws(tmp_path: Path) -> None:
    """The peers agree with the reference, or the command would fail."""
    words = ["--quick", "--only", "mini-batch 2LR", "--json", tmp_path / "r.json", "--plot", tmp_path / "r.png"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "r.json").read_text())
    assert {"machine", "calibration", "rows"} <= set(result)
    rows = result["rows"]
    assert {"workload", "candidate", "threads", "median", "min", "max", "unit", "ratio", "limit"} <= set(rows[0])
    assert {"assay numpy", "assay jax", "torch eager"} <= {row["candidate"] for row in rows}
    assert all(row["min"] <= row["median"] <= row["max"] for row in rows)
    assert (tmp_path / "r.png").stat().st_size > 5_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "stochastik"], "no workload begins with 'stochastik'"),
        pytest.param(
            ["--quick", "--data", "/nowhere"], "error: unknown data set '/nowhere'", marks=pytest.mark.endurance
        ),
    ],
)
def test_a_wrong_word_is_told(words: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
