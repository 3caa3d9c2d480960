"""The targets of a regression: real numbers, checked, and standardised for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assay.errors import DataError

REGRESSION = "regression"
"""The task of a recipe and of a data set whose labels are real numbers; any other one is classification."""
TARGET = "target"
"""The name of the target of a regression where its data give none."""

Values = NDArray[np.float64]


class Targets(Protocol):
    """A data set by name, with targets (N,) of training and test examples."""

    @property
    def name(self) -> str: ...
    @property
    def y_train(self) -> NDArray[Any]: ...
    @property
    def y_test(self) -> NDArray[Any]: ...


def is_regression(y: NDArray[Any]) -> bool:
    """Whether the labels of a checked data set are targets of a regression: these alone are stored as float64."""
    return y.dtype.kind == "f"


def read_targets(name: str, y_train: NDArray[Any], y_test: NDArray[Any]) -> tuple[Values, Values, tuple[str, ...]]:
    """The targets of a training and a test set as float64 (N,), and what was assumed when they were read.

    Args:
        name: The name of the data set, for errors.
        y_train: One number per training example: (N,) or (N, 1).
        y_test: Likewise of the test set.

    Raises:
        DataError: A target is missing, infinite or no number, there are several per example, or all are equal.

    Examples:
        >>> read_targets("prices", np.array([1, 2, 4]), np.array([2.5, 3.0]))[0].tolist()
        [1.0, 2.0, 4.0]
    """
    notes: list[str] = []
    made: list[Values] = []
    for part, y in (("training", y_train), ("test", y_test)):
        where = f"{name}: the {part} targets"
        if y.ndim == 2 and y.shape[1] == 1:
            y, notes = y[:, 0], ["targets of shape (N, 1) are read as one column"]
        if y.ndim != 1:
            raise DataError(f"{where} have shape {y.shape}; expected one number per example: (N,)")
        made.append(_numbers(where, y))
        if len(y) < 2 or made[-1].min() == made[-1].max():
            what = f"are all {made[-1][0]:g}" if len(y) else "are none"
            raise DataError(f"{where} {what}; expected two different values or more: R2 compares with their mean")
    return made[0], made[1], tuple(notes)


def _numbers(where: str, y: NDArray[Any]) -> Values:
    """One column as finite float64. Raises: DataError."""
    values = y
    if y.dtype.kind == "O":
        missing = [i for i, value in enumerate(y.tolist()) if value is None or value != value]
        if missing:
            raise DataError(f"{where} lack one: that of example {missing[0]} is {y[missing[0]]}; expected a number")
    if y.dtype.kind not in "iuf":
        try:
            values = np.array([_number(value) for value in y.tolist()], np.float64)
        except (TypeError, ValueError):
            first = next(value for value in y.tolist() if not _is_number(value))
            raise DataError(
                f"{where} hold {str(first)[:40]!r}, which is no number; expected numbers for a regression"
            ) from None
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        kind = "NaN" if np.isnan(values[row]) else "infinite"
        raise DataError(f"{where}: that of example {row} is {kind}; expected finite numbers: leave its row out")
    return values


def _number(value: Any) -> float:
    if isinstance(value, bool | np.bool_ | str | bytes):
        raise TypeError
    return float(value)


def _is_number(value: Any) -> bool:
    try:
        _number(value)
    except (TypeError, ValueError):
        return False
    return True


@dataclass(frozen=True)
class TargetScaling:
    """The mean and the deviation of the training targets, in the target's units.

    z = (y - mean) / deviation is what a network is trained on; its output a means the target mean + deviation a.

    >>> scaling = TargetScaling.of(np.array([1.0, 3.0]))
    >>> scaling.apply(np.array([1.0, 5.0])).tolist(), scaling.invert(np.array([-1.0, 3.0])).tolist()
    ([-1.0, 3.0], [1.0, 5.0])
    """

    mean: float
    deviation: float

    @classmethod
    def of(cls, y: NDArray[Any], *, where: str = "the training targets") -> TargetScaling:
        """The scaling of the targets (N,) that are trained on, with N in the denominator. Raises: DataError."""
        values = y.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = float(values.mean()), float(values.std())
        if not np.isfinite(mean) or not np.isfinite(deviation):
            raise DataError(f"{where} are too large to be standardised: {values.min():g} to {values.max():g}")
        if values.min() == values.max() or deviation == 0.0:
            raise DataError(f"{where} are all {values[0]:g}; expected two different values or more")
        return cls(mean, deviation)

    def apply(self, y: NDArray[Any]) -> Values:
        """Targets (N,) as a network is trained on them."""
        return (y.astype(np.float64) - self.mean) / self.deviation

    def invert(self, a: NDArray[Any]) -> Values:
        """Outputs (N,) in the target's units."""
        return a.astype(np.float64) * self.deviation + self.mean

    def note(self) -> str:
        """What a reader of losses and scores should know."""
        return (
            f"the targets were standardised for training (mean {self.mean:.6g}, standard deviation "
            f"{self.deviation:.6g}): losses are of standardised targets, R2 and RMSE of the target in its own units"
        )


def check_task(dataset: Targets, task: str | None) -> None:
    """Refuses a classification of real targets, and a regression on classes. Raises: DataError, with what to write."""
    if is_regression(dataset.y_train) == (task == REGRESSION):
        return
    if task == REGRESSION:
        raise DataError(
            f"{dataset.name}: the recipe has data.task = 'regression', but the labels of this data set are classes; "
            "leave data.task out, or give data with numbers as targets"
        )
    raise DataError(
        f"{dataset.name}: its labels are real numbers, the targets of a regression, but the recipe is of a "
        "classification; say data.task = 'regression': --set data.task=regression, or in a file "
        'data = { name = ..., task = "regression" }'
    )


def drawn_targets(total: int, count: int, order: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows to train on and `count` rows to test on, each ascending: the first ones of a permutation."""
    rows = np.sort(order[:count])
    return np.setdiff1d(np.arange(total), rows), rows


def target_notes(dataset: Targets) -> list[str]:
    """Sentences on the targets of a whole data set."""
    train, test = dataset.y_train, dataset.y_test
    notes: list[str] = []
    if len(test) > len(train):
        notes.append(
            f"there are more test examples ({len(test):,}) than training examples ({len(train):,}): check that the "
            "sets are not exchanged"
        )
    if len(train) > 2 and _ascends(train):
        notes.append("the training examples are sorted by target: unshuffled batches see similar targets at a time")
    outside = int(((test < train.min()) | (test > train.max())).sum())
    if outside * 20 > len(test):
        notes.append(f"{outside:,} of {len(test):,} test targets are outside the range of the training targets")
    return notes


def _ascends(y: Sequence[float] | NDArray[Any]) -> bool:
    steps = np.diff(np.asarray(y))
    return bool((steps >= 0).all() or (steps <= 0).all())
