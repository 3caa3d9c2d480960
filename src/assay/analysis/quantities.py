"""What is measured of a training: the scores and losses of each split, and what it costs.

The one table that stopping rules, targets, verdicts, stored rows, tables and charts read. A further score of a log
point is one entry of METRICS; what stores it (the points of a curve and the columns of the store) has a field of that
name.
The scores of MACRO_SCORES and CLASS_SCORES are not stored: `assay.analysis.confusion` computes them from the confusion
matrix at the end of a trial.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

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
    label: str = ""
    chance_by_classes: bool = True


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
        Metric("r2", "score", high=1.0, higher_is_better=True, label="R2", chance_by_classes=False),
        Metric("rmse", "loss", low=0.0, label="RMSE"),
    )
}


@dataclass(frozen=True)
class Task:
    """What a network is trained for, and what is measured of it next to its loss; the first metric is its score.

    `name`: "classification" or "regression".
    """

    name: str
    metrics: tuple[Metric, ...]

    @property
    def score(self) -> Metric:
        """What ranks configurations."""
        return self.metrics[0]


CLASSIFICATION = Task("classification", (METRICS["accuracy"],))
REGRESSION = Task("regression", (METRICS["r2"], METRICS["rmse"]))
"""The tasks. R2 = 1 - sum (y - a)^2 / sum (y - mean y)^2 on a set of examples; RMSE is in the target's units."""

SCORE, LOSS = METRICS["accuracy"], METRICS["loss"]
"""What ranks classifiers and ends their training at a target, and what a training lowers."""


def name_of(split: str, metric: str) -> str:
    """The name of a metric of a split, as in a point of a curve."""
    return f"{split}_{metric}"


def _measured(split: str, metric: Metric) -> Quantity:
    name = name_of(split, metric.name)
    return Quantity(
        name,
        label=f"{SPLITS[split]} {metric.label or metric.name}",
        kind=metric.kind,
        column=metric.name if split == "test" and metric is not LOSS else name,
        unit=metric.unit,
        low=metric.low,
        high=metric.high,
        higher_is_better=metric.higher_is_better,
        split=split,
        chance_by_classes=metric.chance_by_classes,
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
"""What classifiers are ranked by: on the test set, or on the validation set where they were chosen by it."""

MEASURED: tuple[str, ...] = tuple(name for name, quantity in QUANTITIES.items() if quantity.split)
"""The quantities of a point of a learning curve, in its order."""

OF_REGRESSION: tuple[str, ...] = tuple(name_of(split, m.name) for split in SPLITS for m in REGRESSION.metrics)
"""Those that a regression alone has; what was written before there were any lacks them."""

CLASSIFIED: tuple[str, ...] = tuple(name for name in MEASURED if name not in OF_REGRESSION)
"""Those that a classification has."""


def measured_of(task: Task) -> tuple[str, ...]:
    """The quantities of a point that a task has, in their order.

    >>> measured_of(REGRESSION)[:3]
    ('train_loss', 'train_r2', 'train_rmse')
    """
    return tuple(name_of(split, metric.name) for split in SPLITS for metric in (LOSS, *task.metrics))


def score_of(task: Task, split: str = "test") -> Quantity:
    """What configurations of a task are ranked by on a part of the data set.

    >>> score_of(REGRESSION).column, score_of(CLASSIFICATION, "validation").column
    ('r2', 'validation_accuracy')
    """
    return QUANTITIES[name_of(split, task.score.name)]


def task_of(frame: Any) -> Task:
    """The task of a frame of trials or of points: a regression where it has R2 and no accuracy.

    >>> import pandas as pd
    >>> task_of(pd.DataFrame({"r2": [0.5]})).name, task_of(pd.DataFrame({"accuracy": [0.5]})).name
    ('regression', 'classification')
    """

    def has(names: Iterable[str]) -> bool:
        return any(name in frame.columns and bool(frame[name].notna().any()) for name in names)

    if has((SCORE.name, *(name_of(split, SCORE.name) for split in SPLITS))):
        return CLASSIFICATION
    return REGRESSION if has((*OF_REGRESSION, *_R2)) else CLASSIFICATION


def on_test(quantity: Quantity) -> Quantity:
    """The same on the test set.

    >>> on_test(QUANTITIES["validation_r2"]).column
    'r2'
    """
    return QUANTITIES[quantity.name.replace("validation_", "test_", 1)]


def ranked_by(frame: Any, split: str = "test") -> Quantity:
    """What the configurations of a frame of trials are ranked by: accuracy, or R2 of a regression."""
    return score_of(task_of(frame), split)


def no_accuracy(frame: Any, what: str) -> str:
    """Why something that is made of an accuracy is not defined for a frame of trials; "" for a classification.

    Args:
        frame: The trials.
        what: A clause, such as "effort is training seconds / accuracy".
    """
    return f"{what}, and a regression has no accuracy" if task_of(frame) is REGRESSION else ""


def of_other_task(name: str, task: Task | None) -> str:
    """Why trials of a task have no measure that the other one has; "" for what both have, and where no task is known.

    Args:
        name: A measure: a column of a frame of trials, a quantity of a point, or a metric such as "r2".
        task: The task of the trials.

    >>> of_other_task("r2", CLASSIFICATION)
    "measure: got 'r2', which is of a regression, but these trials are of a classification; use accuracy or test_loss"
    >>> of_other_task("test_loss", REGRESSION)
    ''
    """
    owner = CLASSIFICATION if is_of_confusion(name) or name == "effort" else None
    for one in (CLASSIFICATION, REGRESSION):
        if any(name in (metric.name, *(name_of(split, metric.name) for split in SPLITS)) for metric in one.metrics):
            owner = one
    if owner is None or task is None or owner is task:
        return ""
    others = [*(metric.name for metric in task.metrics), name_of("test", LOSS.name)]
    use = f"{', '.join(others[:-1])} or {others[-1]}"
    return f"measure: got {name!r}, which is of a {owner.name}, but these trials are of a {task.name}; use {use}"


def known_task(frame: Any) -> Task | None:
    """The task of a frame of trials by its scores; None where no trial has one, or where there are those of both."""
    scores = {
        task.name: any(name in frame.columns and bool(frame[name].notna().any()) for name in names)
        for task, names in ((CLASSIFICATION, _of(CLASSIFICATION)), (REGRESSION, _of(REGRESSION)))
    }
    if scores[CLASSIFICATION.name] == scores[REGRESSION.name]:
        return None
    return CLASSIFICATION if scores[CLASSIFICATION.name] else REGRESSION


def _of(task: Task) -> list[str]:
    """The columns of the scores of a task, in a frame of trials or of points."""
    score = task.score.name
    return [score, *(name_of(split, score) for split in SPLITS)]


_R2 = ("r2", "rmse")
"""Their columns on the test set, in a frame of trials."""


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
    "CLASSIFICATION",
    "CLASSIFIED",
    "CLASS_SCORES",
    "LOSS",
    "MACRO_SCORES",
    "MEASURED",
    "MEASURES",
    "METRICS",
    "OF_REGRESSION",
    "QUANTITIES",
    "REGRESSION",
    "SCORE",
    "SCORES",
    "SPLITS",
    "TEST_SCORE",
    "VALIDATION_SCORE",
    "Metric",
    "Quantity",
    "Task",
    "class_measure",
    "end_columns",
    "is_class_measure",
    "is_of_confusion",
    "known_task",
    "measured_of",
    "name_of",
    "no_accuracy",
    "of_other_task",
    "on_test",
    "ranked_by",
    "score_of",
    "task_of",
]
