"""What a training leaves behind: the points of its curve, where the seconds went, how it ended."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.engines.base import Checkpoint
from assay.recipe import Recipe

if TYPE_CHECKING:
    import altair
    import pandas


class Outcome(StrEnum):
    """How a trial ended: a closed set. A diverged trial is a result, an interrupted one is not finished."""

    COMPLETED = "completed"
    STOPPED = "stopped"  # a stopping rule
    DIVERGED = "diverged"
    FAILED = "failed"  # an error in the program; the traceback is stored
    LOST = "lost"  # its worker vanished, again and again
    TIMED_OUT = "timed out"
    OUT_OF_MEMORY = "out of memory"
    INTERRUPTED = "interrupted"  # Ctrl-C; goes on from its checkpoint, and is never stored as a result


RETRIED = (Outcome.FAILED, Outcome.LOST, Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY)
"""What `--retry` trains again: what the machine or the program did, not what the training gave."""


@dataclass(frozen=True)
class Point:
    """One point of a learning curve; None where a quantity was not measured.

    `seconds` is training time alone. Losses are means over the examples, accuracies are fractions.
    """

    iteration: int
    examples: int
    seconds: float
    train_loss: float | None = None
    train_accuracy: float | None = None
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None


@dataclass
class Ledger:
    """Where the seconds of a trial went; `train` is the time inside the engine's `advance` and nothing else."""

    data: float = 0.0
    compile: float = 0.0
    train: float = 0.0
    evaluate: float = 0.0
    checkpoint: float = 0.0
    wait: float = 0.0
    wall: float = 0.0

    @property
    def other(self) -> float:
        """What no entry accounts for."""
        named = self.data + self.compile + self.train + self.evaluate + self.checkpoint + self.wait
        return max(0.0, self.wall - named)

    @contextmanager
    def book(self, entry: str) -> Generator[None]:
        """Adds the time of the block to an entry."""
        begin = perf_counter()
        try:
            yield
        finally:
            setattr(self, entry, getattr(self, entry) + perf_counter() - begin)

    def plus(self, earlier: Ledger) -> Ledger:
        """The sum of two ledgers: that of a continued training."""
        return Ledger(**{f.name: getattr(self, f.name) + getattr(earlier, f.name) for f in fields(self)})

    def plain(self) -> dict[str, float]:
        """Every entry in seconds, `wall` last."""
        entries = asdict(self)
        wall = entries.pop("wall")
        return entries | {"other": self.other, "wall": wall}


@dataclass(frozen=True, eq=False)
class History:
    """A trained recipe: its learning curve, ledger, costs, and the checkpoint from which it can go on.

    >>> import assay
    >>> history = assay.fit({"budget": {"iterations": 100}})
    >>> longer = assay.fit(history.recipe.with_budget(iterations=200), start=history)
    >>> longer.points[-1].iteration
    200
    """

    recipe: Recipe
    engine: str
    engine_choice: str
    device: str
    points: tuple[Point, ...]
    ledger: Ledger
    outcome: Outcome
    reason: str
    flops: int
    peak_memory_bytes: int
    peak_device_memory_bytes: int | None
    checkpoint: Checkpoint  # T is 1
    inputs: int
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    scaling: tuple[float, float]  # mean and deviation that "standardise" subtracts and divides by, else 0 and 1
    data_checksum: str
    machine: dict[str, Any] = field(default_factory=dict[str, Any])
    warnings: tuple[str, ...] = ()
    cohort: int = 1

    @property
    def final(self) -> Point:
        """The last point of the curve."""
        return self.points[-1]

    @property
    def accuracy(self) -> float | None:
        """Test accuracy at the end of the curve."""
        return self.final.test_accuracy

    @property
    def iterations(self) -> int:
        """Iterations done."""
        return self.checkpoint.t

    @property
    def parameters(self) -> int | None:
        """The number of weights; None where the data's width is not known any more."""
        if not self.inputs:
            return None
        return self.recipe.model.network(self.shape or self.inputs, len(self.classes)).parameters

    @property
    def effort(self) -> float | None:
        """Training seconds / accuracy: lower is better."""
        if not self.points:
            return None
        return self.final.seconds / self.accuracy if self.accuracy else None

    def frame(self) -> pandas.DataFrame:
        """The curve as a pandas frame, a row for each point."""
        import pandas

        return pandas.DataFrame([asdict(point) for point in self.points])

    def plot(self, *, x: str = "iteration") -> altair.TopLevelMixin:
        """The learning curve as an Altair chart, against "iteration", "examples" or "seconds"."""
        from assay.report.charts import learning_curve

        return learning_curve(self, x=x)

    def plain(self) -> dict[str, Any]:
        """The result as plain data: what `--json` prints."""
        last = self.final
        return {
            "accuracy": last.test_accuracy,
            "test_loss": last.test_loss,
            "train_loss": last.train_loss,
            "validation_accuracy": last.validation_accuracy,
            "outcome": str(self.outcome),
            "reason": self.reason,
            "iterations": self.iterations,
            "seconds": self.ledger.plain(),
            "effort": self.effort,
            "flops": self.flops,
            "peak_memory_bytes": self.peak_memory_bytes,
            "peak_device_memory_bytes": self.peak_device_memory_bytes,
            "engine": self.engine,
            "engine_choice": self.engine_choice,
            "device": self.device,
            "parameters": self.parameters,
            "recipe": self.recipe.plain(),
            "key": self.recipe.key(data_checksum=self.data_checksum),
            "data_checksum": self.data_checksum,
            "warnings": list(self.warnings),
            "machine": self.machine,
            "curve": [asdict(point) for point in self.points],
        }

    def _repr_html_(self) -> str:
        return self.frame().to_html(index=False)  # pyright: ignore[reportUnknownMemberType]


def member(checkpoint: Checkpoint, number: int, t: int) -> Checkpoint:
    """One trial's part of a cohort's checkpoint, as a cohort of one, after t iterations."""
    weights = {name: w[number : number + 1].copy() for name, w in checkpoint.weights.items()}
    slots = {name: s[:, number : number + 1].copy() for name, s in checkpoint.slots.items()}
    return replace(checkpoint, t=t, weights=weights, slots=slots)


def joined(checkpoints: list[Checkpoint]) -> Checkpoint:
    """The checkpoint of a cohort from those of its members, all after the same number of iterations."""
    first = checkpoints[0]
    weights = {name: np.concatenate([c.weights[name] for c in checkpoints]) for name in first.weights}
    slots = {name: np.concatenate([c.slots[name] for c in checkpoints], axis=1) for name in first.slots}
    return Checkpoint(first.t, weights, slots)
