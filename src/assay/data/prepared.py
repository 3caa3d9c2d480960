"""What an engine trains on: a data set split into training, validation and test, scaled, in one element type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from assay.data.dataset import Dataset
from assay.errors import DataError, unknown


@dataclass(frozen=True, eq=False)
class Prepared:
    """Inputs (N, D), C-contiguous, in one element type, and labels (N,) for each part; `checksum` is the data set's."""

    x_train: NDArray[Any]
    y_train: NDArray[np.int64]
    x_validation: NDArray[Any] | None
    y_validation: NDArray[np.int64] | None
    x_test: NDArray[Any]
    y_test: NDArray[np.int64]
    inputs: int  # D
    classes: int  # C
    class_names: tuple[str, ...]
    shape: tuple[int, ...]  # of one example
    scaling: tuple[float, float]  # mean and deviation that values / scale were standardised by; (0, 1) where by none
    checksum: str


# --- scalings --------------------------------------------------------------------------------------------------------


def unit(x: NDArray[np.float64], mean: float, deviation: float) -> NDArray[np.float64]:
    """Values (n, D) that were divided by the data set's scale, as they are: pixels in [0, 1]."""
    return x


def standardise(x: NDArray[np.float64], mean: float, deviation: float) -> NDArray[np.float64]:
    """(x - mean) / deviation, with the scalar mean and population deviation of the training part."""
    return (x - mean) / deviation


def standardise_each(x: NDArray[np.float64], mean: float, deviation: float) -> NDArray[np.float64]:
    """(x - mean) / deviation, with the mean and population deviation of each example (a row of x) by itself."""
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(axis=1, keepdims=True))


@dataclass(frozen=True)
class Scaling:
    """How inputs are scaled: a pure function of values / scale and of the training part's mean and deviation."""

    apply: Callable[[NDArray[np.float64], float, float], NDArray[np.float64]]
    measured: bool  # reads the mean and the deviation of the training part
    by_value: bool  # what becomes of a value depends on nothing else in its example


INPUTS = {
    "unit": Scaling(unit, measured=False, by_value=True),
    "standardise": Scaling(standardise, measured=True, by_value=True),
    "standardise-each": Scaling(standardise_each, measured=False, by_value=False),
}


# --- preparing -------------------------------------------------------------------------------------------------------


def prepare(dataset: Dataset, *, scaling: str, dtype: DTypeLike, train: int | None, validation: int) -> Prepared:
    """A data set as an engine trains on it.

    `train`: the first so many training examples, None for all. `validation`: so many drawn by a fixed stream from the
    examples that `train` left over, or, where these are too few, taken out of the training set. The published test
    set stays whole, and examples keep their order. Mean and deviation are computed in float64.

    Raises: DataError for an unknown scaling, for more examples than there are, and for constant images or sets that
    cannot be standardised.

    >>> data = from_arrays(np.eye(8), [0, 1] * 4, np.eye(8), [0, 1] * 4)
    >>> prepare(data, scaling="unit", dtype="float32", train=6, validation=2).x_validation.argmax(axis=1).tolist()
    [6, 7]
    """
    if scaling not in INPUTS:
        raise DataError(unknown("input scaling", scaling, INPUTS))
    chosen, wanted = INPUTS[scaling], np.dtype(dtype)
    if wanted.kind != "f":
        raise DataError(f"element type of the inputs: got {wanted}; expected a floating-point type")
    kept, drawn = split(len(dataset.x_train), train=train, validation=validation, name=dataset.name)
    mean, deviation = _moments(dataset, kept) if chosen.measured else (0.0, 1.0)

    def scaled(x: NDArray[Any], chosen_rows: NDArray[np.int64] | None, part: str) -> NDArray[Any]:
        return _scaled(dataset, x, chosen_rows, chosen, mean, deviation, wanted, part)

    return Prepared(
        x_train=scaled(dataset.x_train, kept, "training"),
        y_train=dataset.y_train[kept],
        x_validation=scaled(dataset.x_train, drawn, "training") if len(drawn) else None,
        y_validation=dataset.y_train[drawn] if len(drawn) else None,
        x_test=scaled(dataset.x_test, None, "test"),
        y_test=dataset.y_test.copy(),  # the data set's own is read-only, which some engines warn about
        inputs=dataset.x_train.shape[1],
        classes=len(dataset.classes),
        class_names=dataset.classes,
        shape=dataset.shape,
        scaling=(mean, deviation),
        checksum=dataset.checksum,
    )
