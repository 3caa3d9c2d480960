"""Conversion of histories, trials and machines to rows of the store and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.analysis.confusion import stored as stored_confusion
from assay.analysis.quantities import end_columns
from assay.engines.base import Checkpoint
from assay.recipe.model import Recipe
from assay.store.curves import EMPTY, packed_points, points_of
from assay.studies.plan import Trial
from assay.system.load import Load
from assay.system.machine import GPU, cores, describe
from assay.training.history import History
from assay.training.ledger import Ledger
from assay.training.outcome import Outcome

PROCESSOR = "processor"
"""The key of the processor seconds in a stored ledger, next to its entries; older ledgers have none."""


@dataclass(frozen=True, eq=False)
class Finished:
    """The end of a trial as it is stored.

    Attributes:
        outcome: how it ended.
        reason: a sentence on why it ended.
        history: None if the trial failed.
        error: the traceback of a failed trial.
        confusion: the confusion matrix (C, C) on the test set, true class by predicted class.
        content: of the artifact with the weights; None if they are not kept.
    """

    outcome: Outcome
    reason: str
    history: History | None = None
    error: str | None = None
    confusion: NDArray[np.int64] | None = None
    content: bytes | None = None


def dumped(value: object) -> str:
    """Plain data as compact JSON."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def history_of(row: Mapping[str, Any]) -> History:
    """The history of a stored trial without its weights, from its row joined with the row of its result."""
    recipe, classes = Recipe.stored(json.loads(row["recipe"])), tuple(json.loads(row["classes"] or "[]"))
    seconds: dict[str, Any] = json.loads(row["ledger"])
    processor = seconds.pop(PROCESSOR, None)
    return History(
        recipe=recipe,
        engine=row["engine"],
        engine_choice=row["engine_choice"] or "",
        device=row["device"],
        points=tuple(points_of(row["curve"])),
        ledger=Ledger.stored(seconds, processor),
        outcome=Outcome(row["outcome"]),
        reason=row["reason"],
        flops=int(row["flops"] or 0),
        peak_memory_bytes=row["peak_memory_bytes"] or 0,
        peak_device_memory_bytes=row["peak_device_memory_bytes"],
        checkpoint=Checkpoint(row["iterations"] or 0, {}, {}),
        inputs=0,
        classes=classes,
        shape=(),
        scaling=(0.0, 1.0),
        data_checksum=row["data_checksum"] or "",
        machine=json.loads(row.get("description") or "{}"),
        warnings=tuple(json.loads(row["warnings"])),
        cohort=row["cohort"] or 1,
        load=Load(row["processor_seconds"], row["foreign_seconds"], row["busy"]),
        level=row["level"],
        preparation_seconds=row["preparation_seconds"],
        skipped=row["skipped"],
        sizes=None if row["test_examples"] is None else (row["train_examples"] or 0, row["test_examples"]),
        confusion=stored_confusion(row["confusion"], classes),
    )


def machine_row(description: Mapping[str, Any]) -> dict[str, str]:
    """The description of a machine, and a hash that is equal where timings are comparable."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), default=str)
    # Assay's version and commit do not describe the machine, and which BLAS is loaded depends on what was imported
    permanent = {key: value for key, value in description.items() if key not in ("commit", "blas")}
    if isinstance(permanent.get("versions"), Mapping):
        permanent["versions"] = {name: version for name, version in permanent["versions"].items() if name != "assay"}
    digest = hashlib.sha256(json.dumps(permanent, sort_keys=True, default=str).encode()).hexdigest()[:32]
    return {"hash": digest, "description": text}


def stored_machine(row: Mapping[str, Any]) -> dict[str, str]:
    """A stored machine under the hash that its description has now; older versions of Assay hashed more of it.

    Raises: ValueError where the description is not a JSON object.
    """
    description = json.loads(row["description"])
    if not isinstance(description, dict):
        raise ValueError(f"machine {row['hash']!r}: its description is not an object")
    return machine_row(description)


def places(gpus: Sequence[Mapping[str, str]] = ()) -> set[str]:
    """The hashes under which trials of this machine are stored: a packed trial sees a part of its cores.

    `gpus`: the facts of GPUs whose trials count as well.
    """
    here = [describe(), *({**describe(), GPU: dict(gpu)} for gpu in gpus)]
    return {machine_row({**about, "cores": count})["hash"] for about in here for count in range(1, cores() + 1)}


def trial_row(trial: Trial, now: float) -> dict[str, Any]:
    """A planned trial as a row of the store."""
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
        "budget": trial.iterations if trial.seconds is None else None,
        "created": now,
    }


def result_row(trial: str, finished: Finished, *, artifact: str | None, cores: int, now: float) -> dict[str, Any]:
    """The end of a trial as a row of the store, which adds `machine`."""
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
        "curve": EMPTY,
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
        "flops": None if history.operations is None else float(history.operations),
        "parameters": history.parameters,
        "peak_memory_bytes": history.peak_memory_bytes,
        "peak_device_memory_bytes": history.peak_device_memory_bytes,
        "cohort": history.cohort,
        "engine_choice": history.engine_choice,
        "source_commit": history.machine.get("commit"),
        "ledger": dumped(_ledger(history.ledger)),
        "curve": packed_points(history.points),
        "confusion": dumped(finished.confusion.tolist()) if finished.confusion is not None else None,
        "classes": dumped(list(history.classes)),
        "warnings": dumped(list(history.warnings)),
        "processor_seconds": history.load.processor,
        "foreign_seconds": history.load.foreign,
        "busy": history.load.busy,
        "level": history.level,
        "preparation_seconds": history.preparation_seconds,
        "skipped": history.skipped,
        "train_examples": None if history.sizes is None else history.sizes[0],
        "test_examples": None if history.sizes is None else history.sizes[1],
    }


def _ledger(ledger: Ledger) -> dict[str, Any]:
    processor = ledger.plain_processor()
    return ledger.plain() | ({} if processor is None else {PROCESSOR: processor})
