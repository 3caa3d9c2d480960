"""Plans and results to store, without training."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.bench.calibration import Calibration, Work
from assay.bench.rows import Bench, BenchRow, Certificate, Contender, Epoch, StartUp, State
from assay.engines.base import Checkpoint
from assay.store.records import Finished
from assay.studies.plan import Plan, Trial, plan
from assay.studies.study import Study
from assay.training.history import History, Point
from assay.training.ledger import Ledger
from assay.training.outcome import Outcome


def made_plan(seeds: int = 4, name: str = "made", **baseline: Any) -> Plan:
    """A plan of so many trials that differ in their seed."""
    raw = {"name": name, "engine": "numpy", "repeats": seeds, "design": "one-at-a-time"}
    return plan(Study.parse(raw | {"baseline": {"budget": {"iterations": 10}, **baseline}}))


def made_history(trial: Trial, points: int = 10, accuracy: float = 0.9) -> History:
    """A history as a training would leave it."""
    curve = tuple(
        Point(i, 32 * i, 0.01 * i, train_loss=1 / (i + 1), test_loss=1 / (i + 1), test_accuracy=accuracy * i / points)
        for i in range(points + 1)
    )
    shapes = trial.recipe.model.network(64, 10).shapes
    return History(
        recipe=trial.recipe,
        engine=trial.engine,
        engine_choice="asked for",
        device="cpu",
        points=curve,
        ledger=Ledger(train=0.1, wall=0.2),
        outcome=Outcome.COMPLETED,
        reason="10 iterations done",
        flops=10**9,
        peak_memory_bytes=10**8,
        peak_device_memory_bytes=None,
        checkpoint=Checkpoint(
            points,
            {name: np.zeros((1, *shape)) for name, shape in shapes.items()},
            {name: np.zeros((type(trial.recipe.optimizer).slots, 1, *shape)) for name, shape in shapes.items()},
        ),
        inputs=64,
        classes=tuple("0123456789"),
        shape=(8, 8),
        scaling=(0.0, 1.0),
        data_checksum=trial.data_checksum,
    )


def made_end(trial: Trial, content: bytes | None = None, **options: Any) -> Finished:
    """A completed trial."""
    history = made_history(trial, **options)
    return Finished(history.outcome, history.reason, history, confusion=np.eye(10, dtype=np.int64), content=content)


def made_bench(*, failing: bool = False) -> Bench:
    """Two rows with made-up seconds: one repeat of three epochs, the second row twice as fast."""
    rows = []
    for engine, pace in (("torch-eager", 2.0), ("native", 1.0)):
        certificate = Certificate("numpy, float64", 20, 1e-4, 1e-8, 1e-3 if failing and engine == "native" else 1e-7)
        row = BenchRow(Contender(engine, "cpu", 2, "float32"), State.MEASURED, certificate=certificate)
        row.starts = [StartUp(1, 1.0, 0.5, 0.25)]
        row.epochs = [
            Epoch(1, n, 10.0 * n, 0.0, pace * took, 0.1, 1000, 0.5, 0.9) for n, took in ((1, 3.0), (2, 1.0), (3, 1.5))
        ]
        rows.append(row)
    about = {"name": "digits", "examples": 1000, "checksum": "0" * 32, "iterations_per_epoch": 10}
    machine = {"cpu": "x", "cores": 2, "versions": {"assay": "0"}}
    made = Bench("0" * 32, "made", {"data": "digits"}, about, 3, 1, "torch-eager", Work(1e9, 0.0), machine, rows)
    made.before = Calibration({1: 50.0, 2: 100.0}, 10.0)
    return made
