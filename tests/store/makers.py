"""Plans and results to store, without training."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.engines.base import Checkpoint
from assay.history import History, Ledger, Outcome, Point
from assay.store.records import Finished
from assay.studies.planning import Plan, Trial, plan
from assay.studies.study import Study


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
