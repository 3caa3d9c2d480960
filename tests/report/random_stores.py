"""Random stores of plausible results, without training: every outcome, seeds, engines, imported logs."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.errors import AssayError
from assay.store import imported
from assay.store.records import Finished
from assay.store.store import Store
from assay.studies.plan import Trial, plan
from assay.studies.study import Study
from assay.system.load import Load
from assay.training.history import History, Ledger, Outcome, Point
from assay.training.source import Source
from tests.store.makers import made_history

MIXES = (  # outcomes that the trials of a study are drawn from
    ("completed",),
    ("diverged",),
    ("out of memory",),
    ("timed out",),
    ("failed", "lost"),
    ("planned",),
    ("stopped", "completed"),
    ("completed", "diverged", "timed out", "planned", "failed", "lost", "out of memory", "stopped"),
    ("diverged", "timed out"),
    ("completed", "completed", "completed", "diverged"),
)
AXES: tuple[dict[str, Any], ...] = (
    {"rate": {"key": "optimizer.learning_rate", "values": [0.1, 0.2, 0.3]}},
    {
        "optimizer": {"a": {"optimizer": "adam"}, "b": {"optimizer": "descent"}},
        "seed": {"x": {"input": "unit"}, "y": {}},
    },
    {"engine": {"key": "engine", "values": ["numpy", "native"]}, "size": {"key": "batches.size", "values": [16, 32]}},
    {"timing": {"one": {"batches": {"size": 8}}}},
    {
        "a": {"key": "optimizer.learning_rate", "values": [0.1, 0.2]},
        "b": {"key": "batches.size", "values": [8, 16]},
        "c": {"key": "model.hidden", "values": [4]},
    },
)


def random_store(path: Path, seed: int) -> Store:
    """A store with one study "s", with results and logs that are drawn from the seed."""
    draw = random.Random(seed)
    store = Store(str(path))
    axes = dict(draw.choice(AXES[:4]))
    raw: dict[str, Any] = {"name": "s", "engine": "numpy", "repeats": draw.choice([1, 1, 2, 3, 5]), "axes": axes}
    raw["design"] = draw.choice(["grid", "one-at-a-time", "grid"])
    if draw.random() < 0.2:
        del raw["axes"]
        raw |= {"design": "list", "trials": {"a": {}, "b, c": {"seed": 50}}}
    if "seed" in axes and raw["design"] != "list":
        raw["design"] = "grid"
    baseline: dict[str, Any] = {"data": "digits", "budget": {"iterations": draw.choice([3, 50])}}
    if draw.random() < 0.3:
        baseline["data"] = {"name": "digits", "validation": 200}
    raw["timing"] = draw.choice(["isolated", "packed"])
    if draw.random() < 0.85:
        fill(store, Study.parse(raw | {"baseline": baseline}), draw)
    for number in range(draw.choice([0, 0, 0, 1, 2]) if store_has_study(store) else draw.choice([1, 2, 3])):
        study = "s" if store_has_study(store) else ""
        imported.add(store.database, random_log(draw, number), study_name=study, named=False)
    return store


def store_has_study(store: Store) -> bool:
    from assay.store.queries import studies

    return any(row["name"] == "s" for row in studies(store.database))


def fill(store: Store, study: Study, draw: random.Random) -> None:
    """Registers the study and stores a result, or none, for each of its trials."""
    made = plan(study)
    store.register(made)
    mix = draw.choice(MIXES)
    style = {
        "level": draw.choice([0.0, 0.1, 0.5, 0.97, 1.0]),
        "noise": draw.choice([0.0, 0.01]),
        "points": draw.choice([1, 2, 12]),
        "test": draw.random() < 0.9,
        "seconds": draw.choice([0.0, 0.01, 3.0]),
        "accuracies": draw.random() < 0.9,
    }
    claims = []
    while claimed := store.leases.claim(made.jobs):
        claims.append(claimed)
        lease, job = claimed
        for trial in job.trials:
            outcome = draw.choice(mix)
            if outcome != "planned":
                store.finish(lease, trial, random_end(trial, outcome, draw, style))
        if outcome == "planned":
            continue
        store.leases.release(lease)
    for lease, _ in claims:
        try:
            store.leases.release(lease)
        except AssayError:
            continue


def random_end(trial: Trial, outcome: str, draw: random.Random, style: dict[str, Any]) -> Finished:
    """How a trial ended, with a curve where its outcome can have one."""
    ending = Outcome(outcome)
    if outcome in ("failed", "lost", "out of memory") or (outcome == "timed out" and draw.random() < 0.5):
        return Finished(ending, f"{outcome}: so it was made", error="Traceback: made" if outcome == "failed" else None)
    history = made_history(trial)
    count = style["points"]
    points = [random_point(i, count, draw, style) for i in range(count)]
    if outcome == "diverged":
        last = points[-1]
        points[-1] = replace(
            last, train_loss=None, test_loss=None, **({} if draw.random() < 0.5 else {"test_accuracy": None})
        )
    seconds = float(points[-1].seconds or 0.0)
    busy = draw.random() < 0.2
    load = Load.judged(processor=seconds, foreign=0.2 * seconds if busy else 0.0, seconds=seconds)
    history = replace(
        history,
        points=tuple(points),
        ledger=Ledger(train=seconds, wall=1.1 * seconds),
        outcome=ending,
        reason=f"made to be {outcome}",
        load=load,
    )
    return Finished(ending, history.reason, history, confusion=np.eye(10, dtype=np.int64))


def random_point(i: int, count: int, draw: random.Random, style: dict[str, Any]) -> Point:
    share = (i + 1) / count
    accuracy = min(1.0, max(0.0, style["level"] * share + draw.gauss(0, style["noise"])))
    loss = 0.1 + 2 * (1 - accuracy)
    values: dict[str, Any] = {"train_loss": loss, "test_loss": loss}
    values |= {"train_accuracy": accuracy, "test_accuracy": accuracy} if style["accuracies"] else {}
    return Point(i, 32 * i, style["seconds"] * share, **values)


def random_log(draw: random.Random, number: int) -> History:
    """A curve of another framework: with or without seconds, accuracies, several points."""
    names = draw.sample(
        ["train_loss", "test_loss", "validation_loss", "train_accuracy", "test_accuracy", "validation_accuracy"],
        draw.randint(1, 4),
    )
    timed = draw.random() < 0.5
    count = draw.choice([1, 2, 9])
    zero = draw.random() < 0.2
    points = [
        Point(
            i + 1,
            None if draw.random() < 0.5 else 32 * (i + 1),
            0.5 * (i + 1) if timed else None,
            **{name: (0.0 if zero else 0.9 * (i + 1) / count) if draw.random() < 0.9 else None for name in names},
        )
        for i in range(count)
    ]
    points[-1] = replace(points[-1], **{names[0]: 0.5})
    source = Source(
        file=f"net{number}.log",
        sha256=f"{draw.getrandbits(256):064x}",
        format=draw.choice(["json", "keras", "text"]),
        framework=draw.choice(["", "keras"]),
        name=f"net{number}",
        steps=draw.choice(["epochs", "iterations"]),
        clock="its own" if timed else "none",
        seconds={"train": 0.5 * count} if timed else {},
        units={},
        lines={"lines": 5, "records": count},
    )
    outcome = draw.choice([Outcome.COMPLETED, Outcome.COMPLETED, Outcome.DIVERGED, Outcome.STOPPED])
    return History.imported(source, points, outcome, "the log ends", [])
