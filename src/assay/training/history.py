"""What a training leaves behind: the points of its curve, where the seconds went, how it ended."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from assay.engines.base import Checkpoint
from assay.errors import AssayError
from assay.recipe.model import Recipe

if TYPE_CHECKING:
    import altair
    import pandas

    from assay.report.charts.curve import CurveText


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

    `seconds` is training time alone. Losses are means over the examples, accuracies are fractions. Of a trained
    recipe iteration, examples and seconds are always there; of an imported curve its `Source` says what they are.
    """

    iteration: int
    examples: int | None
    seconds: float | None
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


IMPORTED = " (imported)"
"""What the label of an imported curve ends with, in every table and legend."""


@dataclass(frozen=True)
class Source:
    """Where an imported curve comes from, and what its numbers are.

    `steps` is what `Point.iteration` counts: "iterations", or "epochs" where the log names no iterations. `clock` says
    whose seconds they are and what they hold; those of two clocks are never ranked together. `units` has a sentence
    for each quantity that the log gives. `told` are the seconds of its ledger, by the ledger's names, as far as the log
    tells them. `lines` counts what was read: records, headings, malformed, apart.
    """

    name: str
    format: str
    framework: str
    file: str  # its name alone
    sha256: str
    steps: str
    clock: str
    machine: str = ""  # as the user states it
    units: Mapping[str, str] = field(default_factory=dict[str, str])
    told: Mapping[str, float] = field(default_factory=dict[str, float])
    lines: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def key(self) -> str:
        """The key of the entry in a store: of the content alone, so that a file imported twice is one."""
        return self.sha256[:32]

    @property
    def label(self) -> str:
        """The name, marked as imported: what tables and legends show."""
        return self.name + IMPORTED


class _NoRecipe:
    """Stands where the recipe of an imported curve would be, and says so to whatever asks for it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AssayError(
            "this curve was imported from a log, which holds no recipe and no weights: "
            "it can be shown and compared, not trained on, saved or used to predict"
        )


NO_RECIPE = cast(Recipe, _NoRecipe())
"""The recipe of every imported curve; none is invented."""


@dataclass(frozen=True, eq=False)
class History:
    """A trained recipe: its learning curve, ledger, costs, and the checkpoint from which it can go on.

    Of an imported curve `source` says where it comes from; its recipe is NO_RECIPE, and what a log does not tell
    (operations, memory, seeds) is None in `plain`.

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
    source: Source | None = None

    @classmethod
    def imported(
        cls, source: Source, points: Sequence[Point], outcome: Outcome, reason: str, warnings: Sequence[str] = ()
    ) -> History:
        """The curve of another framework's log, without what a log does not tell. Takes one point or more."""
        return cls(
            recipe=NO_RECIPE,
            engine=source.framework or source.format,
            engine_choice="imported",
            device="unknown",
            points=tuple(points),
            ledger=Ledger(**source.told),
            outcome=outcome,
            reason=reason,
            flops=0,
            peak_memory_bytes=0,
            peak_device_memory_bytes=None,
            checkpoint=Checkpoint(points[-1].iteration if source.steps == "iterations" else 0, {}, {}),
            inputs=0,
            classes=(),
            shape=(),
            scaling=(0.0, 1.0),
            data_checksum="",
            warnings=tuple(warnings),
            source=source,
        )

    @property
    def final(self) -> Point:
        """The last point of the curve."""
        return self.points[-1]

    @property
    def accuracy(self) -> float | None:
        """Test accuracy at the end of the curve."""
        return self.last("test_accuracy")

    def last(self, quantity: str) -> float | None:
        """A quantity at the end of the curve; of an imported one its last value, for a log may give it only at times.

        What was measured after an imported training had diverged does not count: it has no last value then.
        """
        if self.source is None or self.outcome is Outcome.DIVERGED:
            return getattr(self.final, quantity)
        values = (getattr(point, quantity) for point in reversed(self.points))
        return next((value for value in values if value is not None), None)

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
        if not self.points or self.final.seconds is None:
            return None
        return self.final.seconds / self.accuracy if self.accuracy else None

    def frame(self) -> pandas.DataFrame:
        """The curve as a pandas frame, a row for each point."""
        import pandas

        return pandas.DataFrame([asdict(point) for point in self.points])

    def plot(self, *, x: str = "iteration") -> altair.TopLevelMixin:
        """The learning curve as an Altair chart, against "iteration", "examples" or "seconds"."""
        from assay.report.charts.curve import learning_curve

        return learning_curve(*drawn_from(self), x=x)

    def plain(self) -> dict[str, Any]:
        """The result as plain data: what `--json` prints."""
        if self.source is not None:
            return self._imported_plain(self.source)
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

    def _imported_plain(self, source: Source) -> dict[str, Any]:
        measured = [f.name for f in fields(Point)][3:]
        return {
            "imported": True,
            "accuracy": self.accuracy,
            **{name: value for name in measured if (value := self.last(name)) is not None},
            "outcome": str(self.outcome),
            "reason": self.reason,
            source.steps: self.final.iteration,
            "seconds": dict(source.told),
            "effort": self.effort,
            "source": asdict(source),
            "warnings": list(self.warnings),
            "curve": [asdict(point) for point in self.points],
        }

    def _repr_html_(self) -> str:
        return self.frame().to_html(index=False)  # pyright: ignore[reportUnknownMemberType]


def drawn_from(history: History) -> tuple[pandas.DataFrame, CurveText]:
    """What the chart of a learning curve is drawn from."""
    from assay.report.charts.curve import CurveText

    source = history.source
    if source is not None:
        text = CurveText(source.label, _imported_subtitle(history, source), loss="", steps=source.steps)
        return history.frame(), text
    recipe = history.recipe
    geometric = recipe.log.interval()[1] == "geometric"
    return history.frame(), CurveText(recipe.label(), _subtitle(history), recipe.loss, geometric=geometric)


def _imported_subtitle(history: History, source: Source) -> str:
    scores = [("test", history.accuracy), ("validation", history.last("validation_accuracy"))]
    accuracy = next((f"{split} accuracy {value:.2%}, " for split, value in scores if value is not None), "")
    seconds = "" if history.final.seconds is None else f", {history.final.seconds:.2f} s ({source.clock})"
    return f"{accuracy}{history.final.iteration:,} {source.steps}{seconds}, from {source.file}"


def _subtitle(history: History) -> str:
    accuracy = f"test accuracy {history.accuracy:.2%}" if history.accuracy is not None else "no log point"
    cost = f"after {history.iterations:,} iterations, {history.final.seconds:.2f} s of training"
    ending = "" if history.outcome == "completed" else f" - {history.outcome}: {history.reason}"
    return f"{accuracy} {cost}, engine {history.engine}, seed {history.recipe.seed}{ending}"


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
