"""The result of a training: the points of its curve, and the history that holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.analysis import confusion as confusions
from assay.analysis.best import BestPoint, best_point
from assay.analysis.quantities import (
    CLASSIFICATION,
    MACRO_SCORES,
    MEASURED,
    METRICS,
    OF_REGRESSION,
    QUANTITIES,
    REGRESSION,
    Task,
    measured_of,
    name_of,
    score_of,
)
from assay.data.features import FeatureScaling
from assay.data.picture_style import PictureStyle
from assay.data.targets import TargetScaling
from assay.engines.base import Checkpoint
from assay.errors import AssayError, unknown
from assay.parts.layers import Weights
from assay.parts.modules import ForeignModel, is_module
from assay.recipe.model import Recipe
from assay.recipe.notes import all_notes
from assay.report.text import number, percent
from assay.system.load import Load
from assay.training.ledger import Ledger
from assay.training.outcome import Outcome
from assay.training.own_measures import OwnMeasures
from assay.training.source import NO_RECIPE, Source

if TYPE_CHECKING:
    import altair
    import pandas

    from assay.report.charts.curve import CurveText


@dataclass(frozen=True)
class Point:
    """One point of a learning curve; None where a quantity was not measured.

    Losses are means over the examples, accuracies are fractions from 0 to 1. A trained recipe always has the iteration,
    the examples and the seconds. For an imported curve, its `Source` describes them.

    Attributes:
        iteration: the number of updates so far.
        examples: the number of training examples seen so far.
        seconds: the training time so far, in seconds, without evaluation.
        train_loss: on the training set, or on the subset or batch that `log.train_loss` of the recipe names.
        train_accuracy: on the same examples.
        validation_loss: on the validation set, if the recipe has one.
        validation_accuracy: on the validation set, if the recipe has one.
        test_loss: on the test set.
        test_accuracy: on the test set.
        train_r2: of a regression in place of an accuracy, on the same examples as the training loss.
        train_rmse: the root mean squared error there, in the target's units.
        validation_r2: on the validation set, if the recipe has one.
        validation_rmse: on the validation set, if the recipe has one.
        test_r2: on the test set.
        test_rmse: on the test set.

    >>> Point(iteration=100, examples=3200, seconds=0.5, test_accuracy=0.97).test_loss is None
    True
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
    train_r2: float | None = None
    train_rmse: float | None = None
    validation_r2: float | None = None
    validation_rmse: float | None = None
    test_r2: float | None = None
    test_rmse: float | None = None

    def plain(self) -> dict[str, float | int | None]:
        """The point as plain data, without the quantities of another task.

        >>> sorted(Point(0, 0, 0.0, train_loss=1.0, test_r2=0.5).plain())[-3:]
        ['validation_loss', 'validation_r2', 'validation_rmse']
        """
        left = set(OF_REGRESSION)
        if any(getattr(self, name) is not None for name in OF_REGRESSION):
            left = set(MEASURED) - set(measured_of(REGRESSION))
        return {name: value for name, value in vars(self).items() if name not in left}


@dataclass(frozen=True, eq=False)
class History:
    """A trained recipe: its learning curve, time breakdown, costs, and the checkpoint from which training resumes.

    effort = training seconds / test accuracy

    An imported curve has a `source`. Its recipe is a placeholder that raises AssayError, and what the log does not
    give (operations, memory, weights) is absent from `plain`.

    Attributes:
        recipe: what was trained.
        engine: the engine that trained it.
        engine_choice: why this engine was chosen.
        device: the device of the engine: "cpu", "cuda" or "cuda:N".
        points: the learning curve, in ascending order of iterations.
        ledger: the time breakdown, in seconds.
        outcome: how the training ended.
        reason: a sentence on why it ended.
        flops: floating-point operations of the training, counted from the model; 0 where they are unknown.
        peak_memory_bytes: the peak memory of the process, in bytes.
        peak_device_memory_bytes: the peak memory on the device, in bytes; None if not measured.
        checkpoint: weights (1, *shape) and optimizer slots (slots, 1, *shape) by name, and the iteration t.
        inputs: D, the number of input features.
        classes: the names of the C classes.
        shape: of one input: (D,) or (height, width) or (height, width, channels).
        scaling: the mean and the deviation of the input scaling "standardise", else 0 and 1; both after the division by
            `scale`.
        data_checksum: of the prepared data.
        machine: a description of the machine.
        warnings: sentences on the result, on its data or on the log, which are stored; `notes` has those on the recipe
            too.
        cohort: T, the number of trials that were trained together.
        source: the origin of an imported curve; None for a trained recipe.
        load: processor seconds and foreign load of the training.
        level: the instruction level of the engine on the processor, such as "avx2"; None if unknown.
        preparation_seconds: what a new engine takes to place or convert the data, booked under data; None if unknown.
        skipped: the fraction of `flops` that the engine skips, because inputs are zero; None if unknown.
        scale: what the raw values were divided by before anything else, such as 255; None where it is not stored.
        pictures: what the training pictures look like; None if it is not stored, or if the examples are no pictures.
        snapshots: weights (1, *shape) by name at best points, by iteration; empty without `save_best`.
        features: the mean and the deviation of each feature, of the input scaling "standardise-features", else None.
        targets: the mean and the deviation of the training targets of a regression, in their units; else None.
        confusion: the confusion matrix (C, C) on the test set at the end, true class by predicted class; None where it
            was not computed.
        own: the values of a user's measures at the points; None without any. `measures` has those at the end.
        sizes: the number of examples that were trained on, and of the test set; None where they are not stored.

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
    scaling: tuple[float, float]
    data_checksum: str
    machine: dict[str, Any] = field(default_factory=dict[str, Any])
    warnings: tuple[str, ...] = ()
    cohort: int = 1
    source: Source | None = None
    load: Load = field(default_factory=Load)
    level: str | None = None
    preparation_seconds: float | None = None
    skipped: float | None = None
    scale: float | None = None
    pictures: PictureStyle | None = None
    snapshots: Mapping[int, Weights] = field(default_factory=dict[int, Weights])
    features: FeatureScaling | None = None
    confusion: NDArray[np.int64] | None = None
    targets: TargetScaling | None = None
    own: OwnMeasures | None = None
    sizes: tuple[int, int] | None = None

    @classmethod
    def imported(
        cls, source: Source, points: Sequence[Point], outcome: Outcome, reason: str, warnings: Sequence[str] = ()
    ) -> History:
        """The curve of another framework's log. Takes at least one point."""
        return cls(
            recipe=NO_RECIPE,
            engine=source.framework or source.format,
            engine_choice="imported",
            device="unknown",
            points=tuple(points),
            ledger=Ledger.stored(source.seconds, None),
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
        """The test accuracy at the end of the curve, a fraction; None if it was not measured, as of a regression."""
        return self.last("test_accuracy")

    @property
    def task(self) -> Task:
        """What was trained: a classification, or a regression."""
        if self.source is None and self.recipe.is_regression:
            return REGRESSION
        return CLASSIFICATION

    @property
    def score(self) -> float | None:
        """The score of the task on the test set at the end of the curve: the accuracy, a fraction, or R2."""
        return self.last(score_of(self.task).name)

    @property
    def r2(self) -> float | None:
        """R2 of a regression on the test set at the end of the curve; None if it was not measured."""
        return self.last("test_r2")

    @property
    def rmse(self) -> float | None:
        """The root mean squared error of a regression on the test set at the end, in the target's units."""
        return self.last("test_rmse")

    def last(self, quantity: str) -> float | None:
        """A quantity at the end of the curve, such as "test_loss"; None if it was not measured.

        For an imported curve it is the last measured value, because a log may give a quantity only at some points. A
        diverged imported curve has the value of its last point alone.
        """
        if self.source is None or self.outcome is Outcome.DIVERGED:
            return getattr(self.final, quantity)
        values = (getattr(point, quantity) for point in reversed(self.points))
        return next((value for value in values if value is not None), None)

    @property
    def measures(self) -> dict[str, float]:
        """The user's measures on the test set at the end of the curve, by name; without those that it lacks there."""
        if self.own is None:
            return {}
        at = self.own.values.get(self.final.iteration, {})
        return {name: at[name_of("test", name)] for name in self.own.higher if name_of("test", name) in at}

    def best_by(self, measure: str) -> Point:
        """The point of the curve that is best by a measure, the first one of several.

        It is chosen on the validation set if there is one, because the test set should not select.

        Args:
            measure: The name of a measure of the user's, or "loss", "accuracy", "r2" or "rmse".

        Raises:
            AssayError: No point has such a measure.

        Examples:
            >>> import assay
            >>> history = assay.fit({"budget": {"iterations": 100}})
            >>> history.best_by("loss").iteration == history.best.iteration
            True
        """
        own = self.own.higher if self.own is not None else {}
        if measure not in own and measure not in METRICS:
            raise AssayError(unknown("measure", measure, [*own, *METRICS]))
        higher = own[measure] if measure in own else METRICS[measure].higher_is_better
        for split in ("validation", "test"):
            name = name_of(split, measure)
            measured = [(p, v) for p, v in zip(self.points, self._values(name), strict=True) if v is not None]
            if measured:
                return (max if higher else min)(measured, key=lambda pair: pair[1])[0]
        raise AssayError(f"measure {measure!r} was measured at no point of this training")

    def _values(self, name: str) -> list[float | None]:
        """A quantity of each point, or a user's measure, such as "test_f1"."""
        if name in MEASURED:
            return [getattr(point, name) for point in self.points]
        at = self.own.values if self.own is not None else {}
        return [at.get(point.iteration, {}).get(name) for point in self.points]

    def _own_names(self) -> list[str]:
        """The columns of the user's measures, such as "test_f1"."""
        if self.own is None:
            return []
        present = {name for values in self.own.values.values() for name in values}
        columns = [name_of(split, name) for name in self.own.higher for split in ("validation", "test")]
        return [column for column in columns if column in present]

    def plain_points(self) -> list[dict[str, float | int | None]]:
        """The points as plain data, with the user's measures."""
        own = {name: self._values(name) for name in self._own_names()}
        return [p.plain() | {name: values[i] for name, values in own.items()} for i, p in enumerate(self.points)]

    @property
    def best(self) -> BestPoint | None:
        """The point of the curve with the lowest loss on the validation set, or on the test set if there is none."""
        return best_point(self.points)

    @property
    def ending(self) -> str:
        """How the training ended and why, in words."""
        outcome = str(self.outcome)
        return self.reason if self.reason.startswith(outcome) else f"{outcome}: {self.reason}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is unusual in the recipe, then what is stored of the result and its data; each sentence once."""
        if self.source is not None:
            return self.warnings
        return tuple(all_notes(self.recipe, self.warnings))

    @property
    def iterations(self) -> int:
        """The number of iterations done."""
        return self.checkpoint.t

    @property
    def parameters(self) -> int | None:
        """The number of weights; None where the number of inputs is not stored, or the code of a user's module is not
        loaded."""
        if not self.inputs:
            return None
        model = self.recipe.model
        if isinstance(model, ForeignModel) and not model.is_usable():
            return None
        return self.recipe.model.network(self.shape or self.inputs, len(self.classes)).parameters

    @property
    def operations(self) -> int | None:
        """The floating-point operations of the training; None where they are unknown, as those of a user's module."""
        return None if self.source is None and is_module(self.recipe.model) else self.flops

    @property
    def effort(self) -> float | None:
        """Training seconds / test accuracy, lower is better; None without one of the two, as of a regression."""
        if not self.points or self.final.seconds is None:
            return None
        return self.final.seconds / self.accuracy if self.accuracy else None

    @property
    def scores(self) -> dict[str, Any] | None:
        """Scores of the confusion matrix on the test set, as fractions; None without the matrix.

        Those of scikit-learn with `zero_division=0`: "balanced_accuracy", "macro_precision", "macro_recall",
        "macro_f1", and "per_class": one entry for each class with its "precision", "recall", "f1" and "support".

        >>> import assay
        >>> scores = assay.fit({"budget": {"iterations": 100}}).scores
        >>> len(scores["per_class"])
        10
        """
        return None if self.confusion is None else confusions.plain(self.confusion, self.classes)

    def save(self, path: str | Path) -> Path:
        """Writes everything in this history to one file, which `assay.load_history` reads back.

        The file has the format of `assay train --save` (safetensors, no pickle), so `assay predict` and `assay train
        --start` read it too.

        Args:
            path: The file; its usual ending is .safetensors. An older file is replaced.

        Returns:
            The path.

        Raises:
            FileError: It cannot be written; an older file then stays intact.
            AssayError: The curve was imported from a log, which holds no recipe and no weights.

        Examples:
            >>> import assay, tempfile
            >>> history = assay.fit({"budget": {"iterations": 10}})
            >>> path = history.save(tempfile.mkdtemp() + "/digits.safetensors")
            >>> assay.load_history(path).accuracy == history.accuracy
            True
        """
        from assay.training.checkpoints import save

        return save(self, path, complete=True)

    def predict(self, x: ArrayLike, *, probabilities: bool = False, scale: float | None = None) -> NDArray[Any]:
        """The classes of examples, or the values of a regression, by the weights at the end of the training.

        The examples are prepared as in training: divided by `scale`, then scaled as the recipe's `input` says.

        Args:
            x: Raw examples in the units of the data set, such as pixels from 0 to 255: (N, D), or (N, *shape) with the
                `shape` of one example. Images may have their channels first where the data set may.
            probabilities: Return the probabilities of the classes instead of the classes.
            scale: What the values are divided by. None takes that of the training, and refuses values that are plainly
                in other units.

        Returns:
            The names of the classes (N,), which are texts also where they are numbers: the true ones are
            `numpy.array(data.classes)[data.y_test]`. Or probabilities (N, C), in the order of `classes`, that sum to 1.
            Of a regression, float64 (N,) in the target's units.

        Raises:
            DataError: The examples have another shape, are no finite numbers, or are in other units.
            AssayError: The weights were not kept, or diverged.
            CodeError: The code of a user's module may not be imported, or it has other arrays by now. Where its
                source has changed and they are the same, `ChangedCodeWarning` warns that it predicts as it is now.

        Examples:
            >>> import assay
            >>> data = assay.load_data("digits")
            >>> history = assay.fit({"budget": {"epochs": 5}})
            >>> right = history.predict(data.x_test) == np.array(data.classes)[data.y_test]
            >>> bool(right.mean() == history.accuracy)
            True
            >>> history.predict(data.x_test[:2], probabilities=True).shape
            (2, 10)
        """
        from assay.training.prediction import of_examples

        return of_examples(self, x, probabilities=probabilities, scale=scale)

    def frame(self) -> pandas.DataFrame:
        """The curve as a pandas frame: one row per point, one column per field of `Point` and per measure of the user's
        on a part of the data, such as "test_f1"."""
        import pandas

        return pandas.DataFrame(self.plain_points())

    def plot(self, *, x: str = "iteration") -> altair.TopLevelMixin:
        """The learning curve as an Altair chart, against "iteration", "examples" or "seconds"."""
        from assay.report.charts.curve import CHART

        return CHART(*drawn_from(self), x=x)

    def plain(self) -> dict[str, Any]:
        """The result as plain data: what `--json` prints."""
        if self.source is not None:
            return self._imported_plain(self.source)
        last = self.final
        metrics = [metric.name for metric in self.task.metrics]
        return {
            **{name: getattr(last, name_of("test", name)) for name in metrics},
            "test_loss": last.test_loss,
            "train_loss": last.train_loss,
            **{name_of("validation", name): getattr(last, name_of("validation", name)) for name in metrics},
            **self._plain_scores(),
            **({"measures": self.measures} if self.own is not None else {}),
            "best": self.best.plain() if self.best else None,
            "outcome": str(self.outcome),
            "reason": self.reason,
            "iterations": self.iterations,
            "seconds": self.ledger.plain(),
            "processor_seconds": self.ledger.plain_processor(),
            "foreign_seconds": self.load.foreign,
            "busy": self.load.busy,
            "level": self.level,
            "preparation_seconds": self.preparation_seconds,
            "effort": self.effort,
            "flops": self.operations,
            "skipped": self.skipped,
            "peak_memory_bytes": self.peak_memory_bytes,
            "peak_device_memory_bytes": self.peak_device_memory_bytes,
            "engine": self.engine,
            "engine_choice": self.engine_choice,
            "device": self.device,
            "parameters": self.parameters,
            "recipe": self.recipe.plain(),
            "key": self.recipe.key(data_checksum=self.data_checksum),
            "data_checksum": self.data_checksum,
            "warnings": list(self.notes),
            "machine": self.machine,
            "curve": self.plain_points(),
        }

    def _plain_scores(self) -> dict[str, Any]:
        """What `plain` has of the confusion matrix, which a regression has none of."""
        if self.task is REGRESSION:
            return {}
        return self.scores or dict.fromkeys((*MACRO_SCORES, "per_class"))

    def _imported_plain(self, source: Source) -> dict[str, Any]:
        measured = [f.name for f in fields(Point)][3:]
        return {
            "imported": True,
            "accuracy": self.accuracy,
            **{name: value for name in measured if (value := self.last(name)) is not None},
            "best": self.best.plain(steps=source.steps) if self.best else None,
            "outcome": str(self.outcome),
            "reason": self.reason,
            source.steps: self.final.iteration,
            "seconds": dict(source.seconds),
            "effort": self.effort,
            "source": source.plain(),
            "warnings": list(self.warnings),
            "curve": [point.plain() for point in self.points],
        }

    def __repr__(self) -> str:
        """The training in one line."""
        name = self.source.label if self.source is not None else self.recipe.label()
        quantity, score = score_of(self.task), self.score
        accuracy = f"no {quantity.label}" if score is None else f"{quantity.label} {_written(quantity.name, score)}"
        accuracy += "".join(f", test {name} {number(value)}" for name, value in self.measures.items())
        steps = f"{self.final.iteration:,} {self.source.steps}" if self.source else f"{self.iterations:,} iterations"
        return f"<History of {name}: {accuracy} after {steps}, {self.outcome}, engine {self.engine}>"

    def _repr_html_(self) -> str:
        """The summary as a table of a notebook; `frame` has the curve, `plot` draws it."""
        from assay.report.notebook import values_table

        last = self.final
        values = [(name, getattr(last, name)) for name in MEASURED]
        pairs = [(name.replace("_", " "), _written(name, value)) for name, value in values if value is not None]
        pairs += [(f"test {name}", number(value)) for name, value in self.measures.items()]
        pairs += [("seconds of training", f"{last.seconds:.4g}")] if last.seconds is not None else []
        pairs += [("log points", f"{len(self.points):,}"), ("ended", self.ending)]
        return values_table(pairs, repr(self))


def _written(name: str, value: float) -> str:
    return percent(value) if QUANTITIES[name].is_fraction else number(value)


def drawn_from(history: History) -> tuple[pandas.DataFrame, CurveText]:
    """What the chart of a learning curve is drawn from."""
    from assay.report.charts.curve import CurveText

    source = history.source
    if source is not None:
        text = CurveText(source.label, _imported_subtitle(history, source), loss="", steps=source.steps)
        return history.frame(), text
    recipe = history.recipe
    geometric = recipe.log.interval()[1] == "geometric"
    own = tuple(history.own.higher) if history.own is not None else ()
    return history.frame(), CurveText(recipe.label(), _subtitle(history), recipe.loss, geometric=geometric, own=own)


def _imported_subtitle(history: History, source: Source) -> str:
    scores = [("test", history.accuracy), ("validation", history.last("validation_accuracy"))]
    accuracy = next((f"{split} accuracy {percent(value)}, " for split, value in scores if value is not None), "")
    seconds = "" if history.final.seconds is None else f", {history.final.seconds:.2f} s ({source.clock})"
    return f"{accuracy}{history.final.iteration:,} {source.steps}{seconds}, from {source.file}"


def _subtitle(history: History) -> str:
    quantity, score = score_of(history.task), history.score
    accuracy = f"{quantity.label} {_written(quantity.name, score)}" if score is not None else "no log point"
    cost = f"after {history.iterations:,} iterations, {history.final.seconds:.3g} s of training"
    ending = "" if history.outcome == "completed" else f" - {history.ending}"
    return f"{accuracy} {cost}, engine {history.engine}, seed {history.recipe.seed}{ending}"


def member_checkpoint(checkpoint: Checkpoint, number: int, t: int) -> Checkpoint:
    """The checkpoint of one trial of a cohort, as a cohort of one, after t iterations."""
    weights = {name: w[number : number + 1].copy() for name, w in checkpoint.weights.items()}
    slots = {name: s[:, number : number + 1].copy() for name, s in checkpoint.slots.items()}
    return replace(checkpoint, t=t, weights=weights, slots=slots)


def cohort_checkpoint(checkpoints: list[Checkpoint]) -> Checkpoint:
    """The checkpoint of a cohort from those of its members, which have the same number of iterations."""
    first = checkpoints[0]
    weights = {name: np.concatenate([c.weights[name] for c in checkpoints]) for name in first.weights}
    slots = {name: np.concatenate([c.slots[name] for c in checkpoints], axis=1) for name in first.slots}
    return Checkpoint(first.t, weights, slots)
