"""The end of a trial, and the history that is made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.data.prepare import Prepared
from assay.engines.base import Checkpoint, Cohort, Engine
from assay.engines.program import Program
from assay.parts.batches import examples_seen
from assay.parts.models import flops_training
from assay.recipe.model import Recipe
from assay.system.load import Load
from assay.system.machine import GPU, describe
from assay.training.history import History, Point
from assay.training.ledger import Ledger
from assay.training.outcome import Outcome


@dataclass(frozen=True)
class TrialEnd:
    """The result of one trial, from which `make_history` makes its history."""

    points: Sequence[Point]
    ledger: Ledger
    outcome: Outcome
    reason: str
    checkpoint: Checkpoint
    peak_memory_bytes: int
    load: Load = field(default_factory=Load)
    preparation_seconds: float | None = None
    skipped: float | None = None
    warnings: tuple[str, ...] = ()


def make_history(recipe: Recipe, cohort: Cohort, data: Prepared, engine: Engine | Program, end: TrialEnd) -> History:
    """The history of one trial of a cohort, with the description of its data, its engine and this machine."""
    t = end.checkpoint.t
    seen = examples_seen(recipe.batches, t, len(data.y_train))
    return History(
        recipe=recipe,
        engine=engine.name,
        engine_choice=engine.choice,
        device=engine.device,
        points=tuple(end.points),
        ledger=end.ledger,
        outcome=end.outcome,
        reason=end.reason,
        flops=flops_training(cohort.network, recipe.loss, recipe.optimizer, iterations=t, examples=seen),
        peak_memory_bytes=end.peak_memory_bytes,
        peak_device_memory_bytes=engine.peak_device_memory(),
        checkpoint=end.checkpoint,
        inputs=data.inputs,
        classes=data.class_names,
        shape=data.shape,
        scaling=data.scaling,
        data_checksum=data.checksum,
        machine=_machine(engine),
        warnings=(*data.notes, *end.warnings),
        cohort=len(cohort.recipes),
        load=end.load,
        level=engine.instruction_level(),
        preparation_seconds=end.preparation_seconds,
        skipped=end.skipped,
        scale=data.scale,
        pictures=data.pictures,
        features=data.features,
        targets=data.targets,
        sizes=(len(data.y_train), len(data.y_test)),
    )


def _machine(engine: Engine | Program) -> dict[str, Any]:
    """This machine, with the GPU that an engine trains on."""
    facts = engine.device_facts()
    return {**describe(), GPU: facts} if facts else describe()
