"""What is measured of a training: the scores and losses of each split, and what it costs.

The one table that stopping rules, targets, verdicts, stored rows, tables and charts read. A further score of a log
point is one entry of METRICS; what stores it (the points of a curve and the columns of the store) has a field of that
name.
The scores of MACRO_SCORES and CLASS_SCORES are not stored: `assay.analysis.confusion` computes them from the confusion
matrix at the end of a trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["loss", "score", "cost"]


@dataclass(frozen=True)
class Metric:
    """What an evaluation of a model on a data set gives: its name, range, and whether higher values are better.

    `unit` is "points" where a fraction is shown in percent, and its differences in percentage points.
    """

    name: str
    kind: Kind
    unit: str = ""
    low: float | None = None
    high: float | None = None
    higher_is_better: bool = False


@dataclass(frozen=True)
class Quantity:
    """A number that is measured of a training.

    `name` is its name in a point of a learning curve, `column` that in a frame of trials, where it is the value at the
    end of the training; `symbol` is the unit as an axis shows it. `low` and `high` bound what is possible.
    `chance_by_classes`: whether a score of guessing is 1 / classes; where it is not, a trial without a score that did
    not finish counts as 0.
    """

    name: str
    label: str
    kind: Kind
    column: str
    unit: str = ""
    symbol: str = ""
    low: float | None = None
    high: float | None = None
    higher_is_better: bool = False
    split: str = ""
    chance_by_classes: bool = True

    @property
    def is_fraction(self) -> bool:
        """Whether it is a fraction that is shown in percent."""
        return self.unit == "points"

    @property
    def is_timed(self) -> bool:
        """Whether it is made of seconds, which compare only on one machine."""
        return self.unit == "seconds"

    def text(self, value: float) -> str:
        """A value with its unit.

        >>> QUANTITIES["test_accuracy"].text(0.9712), QUANTITIES["effort"].text(1.5)
        ('97.12 %', '1.5 seconds')
        """
        return f"{100 * value:.2f} %" if self.is_fraction else f"{value:.4g} {self.unit}".rstrip()


SPLITS: dict[str, str] = {"train": "training", "validation": "validation", "test": "test"}
"""The parts of a data set, and their names in sentences."""

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("loss", "loss", low=0.0),
        Metric("accuracy", "score", unit="points", low=0.0, high=1.0, higher_is_better=True),
    )
}

SCORE, LOSS = METRICS["accuracy"], METRICS["loss"]
"""What ranks configurations and ends a training at a target, and what a training lowers."""


def name_of(split: str, metric: str) -> str:
    """The name of a metric of a split, as in a point of a curve."""
    return f"{split}_{metric}"


def _measured(split: str, metric: Metric) -> Quantity:
    name = name_of(split, metric.name)
    return Quantity(
        name,
        label=f"{SPLITS[split]} {metric.name}",
        kind=metric.kind,
        column=metric.name if (split, metric) == ("test", SCORE) else name,
        unit=metric.unit,
        low=metric.low,
        high=metric.high,
        higher_is_better=metric.higher_is_better,
        split=split,
    )


def _cost(name: str, label: str = "", unit: str = "", symbol: str = "") -> Quantity:
    return Quantity(name, label or name, "cost", column=name, unit=unit or name, symbol=symbol, low=0.0)


MACRO_SCORES: dict[str, str] = {
    "balanced_accuracy": "balanced accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
}
"""The scores over all classes that the confusion matrix on the test set gives, with their names in sentences."""

CLASS_SCORES: dict[str, str] = {"precision": "precision", "recall": "recall", "f1": "F1"}
"""The scores of one class that it gives; the measure of a class is `precision:CLASS`."""


def class_measure(score: str, label: str) -> str:
    """The name of the score of one class, as a measure and as a column of a frame of trials.

    >>> class_measure("recall", "cat")
    'recall:cat'
    """
    return f"{score}:{label}"


def _of_confusion(name: str, label: str) -> Quantity:
    by_classes = name in ("balanced_accuracy", "macro_recall")  # a constant answer has 1 / classes
    return Quantity(
        name,
        label,
        "score",
        column=name,
        unit=SCORE.unit,
        low=SCORE.low,
        high=SCORE.high,
        higher_is_better=True,
        chance_by_classes=by_classes,
    )


QUANTITIES: dict[str, Quantity] = {
    quantity.name: quantity
    for quantity in (
        *(_measured(split, metric) for split in SPLITS for metric in METRICS.values()),
        *(_of_confusion(name, label) for name, label in MACRO_SCORES.items()),
        _cost("seconds", "training time", symbol="s"),
        _cost("processor_seconds", "processor time of training", unit="seconds", symbol="processor s"),
        _cost("effort", unit="seconds", symbol="training s / accuracy"),
        _cost("iterations"),
        _cost("examples", "examples seen", unit="examples"),
        _cost("flops", "floating-point operations", unit="operations"),
        _cost("parameters"),
    )
}

TEST_SCORE, VALIDATION_SCORE = (QUANTITIES[name_of(split, SCORE.name)] for split in ("test", "validation"))
"""What configurations are ranked by: on the test set, or on the validation set where they were chosen by it."""

MEASURED: tuple[str, ...] = tuple(name for name, quantity in QUANTITIES.items() if quantity.split)
"""The quantities of a point of a learning curve, in its order."""


class _Measures(dict[str, Quantity]):
    """Quantities by column, with the scores of single classes, whose names depend on the data set."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and is_class_measure(name))

    def __missing__(self, name: str) -> Quantity:
        if not is_class_measure(name):
            raise KeyError(name)
        score, _, label = name.partition(":")
        return _of_confusion(name, f"{CLASS_SCORES[score]} of class {label}")


def is_class_measure(name: str) -> bool:
    """Whether a name is that of the score of one class.

    >>> is_class_measure("recall:7"), is_class_measure("accuracy")
    (True, False)
    """
    score, _, label = name.partition(":")
    return score in CLASS_SCORES and bool(label)


def is_of_confusion(name: str) -> bool:
    """Whether a measure is computed from the confusion matrix, so that no column of the store holds it."""
    return name in MACRO_SCORES or is_class_measure(name)


MEASURES: dict[str, Quantity] = _Measures({quantity.column: quantity for quantity in QUANTITIES.values()})
"""The quantities by their column in a frame of trials; `f1:CLASS` and its like are in it for any class."""

SCORES: tuple[str, ...] = tuple(column for column, quantity in MEASURES.items() if quantity.kind == "score")
"""The columns of the scores in a frame of trials."""

AXES: dict[str, str] = {
    "iteration": "iterations",
    "examples": "examples seen",
    "seconds": "training time [s]",
    "flops": "floating-point operations",
}
"""What a learning curve can be read and drawn against, with the title of the axis."""


def end_columns(point: object | None) -> Mapping[str, float | None]:
    """The measured values of a point by their columns in a frame of trials and in the store."""
    if point is None:
        return {}
    return {QUANTITIES[name].column: getattr(point, name) for name in MEASURED}


__all__ = [
    "AXES",
    "CLASS_SCORES",
    "LOSS",
    "MACRO_SCORES",
    "MEASURED",
    "MEASURES",
    "METRICS",
    "QUANTITIES",
    "SCORE",
    "SCORES",
    "SPLITS",
    "TEST_SCORE",
    "VALIDATION_SCORE",
    "Metric",
    "Quantity",
    "class_measure",
    "end_columns",
    "is_class_measure",
    "is_of_confusion",
    "name_of",
]
