"""What is measured of a training: the scores and losses of each split, and what it costs.

The one table that stopping rules, targets, verdicts, stored rows, tables and charts read. A further score is one entry
of METRICS; what stores it (the points of a curve and the columns of the store) has a field of that name.
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


QUANTITIES: dict[str, Quantity] = {
    quantity.name: quantity
    for quantity in (
        *(_measured(split, metric) for split in SPLITS for metric in METRICS.values()),
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

MEASURES: dict[str, Quantity] = {quantity.column: quantity for quantity in QUANTITIES.values()}
"""The quantities by their column in a frame of trials."""

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
    "LOSS",
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
    "end_columns",
    "name_of",
]
