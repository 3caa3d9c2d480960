"""Histories, trials and machines as rows of the store, and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.analysis.quantities import end_columns
from assay.engines.base import Checkpoint
from assay.recipe.model import Recipe
from assay.studies.plan import Trial
from assay.system.machine import cores, describe
from assay.training.history import History, Ledger, Outcome, Point

POINT = tuple(field.name for field in fields(Point))


@dataclass(frozen=True, eq=False)
class Finished:
    """A trial's end, as it is stored: its history, or why there is none."""

    outcome: Outcome
    reason: str
    history: History | None = None
    error: str | None = None
    confusion: NDArray[np.int64] | None = None  # (C, C): true class by predicted class, on the test set
    content: bytes | None = None  # of the artifact


def dumped(value: object) -> str:
    """Plain data as compact JSON."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def curve_text(points: Sequence[Point]) -> str:
    """A curve as JSON, a list for each quantity that was measured anywhere, and for the steps always."""
    rows = [asdict(point) for point in points]
    columns = {name: [row[name] for row in rows] for name in POINT}
    kept = [name for name, values in columns.items() if name in POINT[:3] or any(v is not None for v in values)]
    return dumped({name: columns[name] for name in kept})


def points_of(text: str) -> list[Point]:
    """The points that `curve_text` wrote."""
    columns: dict[str, list[Any]] = json.loads(text)
    count = len(columns.get("iteration", []))
    return [Point(**{name: values[i] for name, values in columns.items()}) for i in range(count)]


def history_of(row: Mapping[str, Any]) -> History:
    """A stored trial's history without its weights, from its row joined with its result's."""
    recipe = Recipe.stored(json.loads(row["recipe"]))
    ledger = {key: value for key, value in json.loads(row["ledger"]).items() if key != "other"}
    return History(
        recipe=recipe,
        engine=row["engine"],
        engine_choice=row["engine_choice"] or "",
        device=row["device"],
        points=tuple(points_of(row["curve"])),
        ledger=Ledger(**ledger),
        outcome=Outcome(row["outcome"]),
        reason=row["reason"],
        flops=int(row["flops"] or 0),
        peak_memory_bytes=row["peak_memory_bytes"] or 0,
        peak_device_memory_bytes=row["peak_device_memory_bytes"],
        checkpoint=Checkpoint(row["iterations"] or 0, {}, {}),
        inputs=0,
        classes=tuple(json.loads(row["classes"] or "[]")),
        shape=(),
        scaling=(0.0, 1.0),
        data_checksum=row["data_checksum"] or "",
        machine=json.loads(row.get("description") or "{}"),
        warnings=tuple(json.loads(row["warnings"])),
        cohort=row["cohort"] or 1,
    )


def machine_row(description: Mapping[str, Any]) -> dict[str, str]:
    """A machine's description and a hash of what two timings must have in common to be compared."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), default=str)
    # which BLAS is loaded hangs on what was imported, and Assay's commit says nothing of the machine
    lasting = {key: value for key, value in description.items() if key not in ("commit", "blas")}
    digest = hashlib.sha256(json.dumps(lasting, sort_keys=True, default=str).encode()).hexdigest()[:32]
    return {"hash": digest, "description": text}


def places() -> set[str]:
    """The hashes under which trials of this machine are stored: a packed one sees a part of the cores."""
    return {machine_row({**describe(), "cores": count})["hash"] for count in range(1, cores() + 1)}


def trial_row(trial: Trial, now: float) -> dict[str, Any]:
    """A planned trial as a row."""
    recipe = trial.recipe
    return {
        "key": trial.key,
        "trajectory": trial.trajectory,
        "recipe": dumped(recipe.plain()),
        "data": recipe.data.name,
        "data_checksum": trial.data_checksum,
        "model": recipe.model.title,
        "optimizer": recipe.optimizer.entry,
        "learning_rate": recipe.optimizer.learning_rate,
        "batches": recipe.batches.kind,
        "batch_size": recipe.batches.settings().get("size"),
        "seed": recipe.seed,
        "engine": trial.engine,
        "numerics": trial.numerics,
        "device": trial.device,
        "timing": trial.timing,
        "threads": trial.threads,
        "budget": trial.iterations,
        "created": now,
    }


def result_row(trial: str, finished: Finished, *, artifact: str | None, cores: int, now: float) -> dict[str, Any]:
    """A trial's end as a row; `machine` is added by the store."""
    history = finished.history
    row: dict[str, Any] = {
        "trial": trial,
        "outcome": str(finished.outcome),
        "reason": finished.reason,
        "error": finished.error,
        "stale": False,
        "cores": cores,
        "artifact": artifact,
        "finished": now,
        "ledger": "{}",
        "curve": "{}",
        "warnings": "[]",
    }
    if history is None:
        return row
    last = history.points[-1] if history.points else None
    if last is not None:
        row |= end_columns(last)
        row |= {"seconds": last.seconds, "examples": last.examples, "effort": history.effort}
    return row | {
        "iterations": history.iterations,
        "flops": float(history.flops),
        "parameters": history.parameters,
        "peak_memory_bytes": history.peak_memory_bytes,
        "peak_device_memory_bytes": history.peak_device_memory_bytes,
        "cohort": history.cohort,
        "engine_choice": history.engine_choice,
        "source_commit": history.machine.get("commit"),
        "ledger": dumped(history.ledger.plain()),
        "curve": curve_text(history.points),
        "confusion": dumped(finished.confusion.tolist()) if finished.confusion is not None else None,
        "classes": dumped(list(history.classes)),
        "warnings": dumped(list(history.warnings)),
    }
