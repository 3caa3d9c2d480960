"""What an engine trains on: a data set split and scaled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import Dataset, Labels
from assay.errors import DataError, unknown
from assay.rng import stream

_BLOCK = 4096  # examples scaled at once, so that float64 is never held for all of them


@dataclass(frozen=True, eq=False)
class Prepared:
    """Examples split and scaled: x (N, D) of one element type, C-contiguous; y (N,).

    `scaling` holds the mean that was subtracted and the deviation that was divided by, after "unit".
    """

    x_train: NDArray[Any]
    y_train: Labels
    x_validation: NDArray[Any] | None
    y_validation: Labels | None
    x_test: NDArray[Any]
    y_test: Labels
    shape: tuple[int, ...]
    class_names: tuple[str, ...]
    scaling: tuple[float, float]
    checksum: str

    @property
    def inputs(self) -> int:
        """D, the number of values of one example."""
        return self.x_train.shape[1]

    @property
    def classes(self) -> int:
        """C, the number of classes."""
        return len(self.class_names)


def split(dataset: Dataset, *, train: int | None, validation: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows to train on and those to validate on, each in their stored order.

    `train` takes the first n rows; `validation` are drawn from the rest where that is enough, else from those. The
    draw is fixed, so that every seed of a study sees the same sets. Raises: DataError.
    """
    n = len(dataset.y_train)
    if train is not None and not 1 <= train <= n:
        raise DataError(f"data.train: got {train:,}; expected 1 to {n:,}: {dataset.name} has {n:,} training examples")
    if validation < 0:
        raise DataError(f"data.validation: got {validation:,}; expected 0 or more")
    chosen, rest = np.arange(n)[:train], np.arange(n)[n if train is None else train :]
    pool = rest if validation <= len(rest) else chosen
    if validation >= len(pool) and pool is chosen:
        raise DataError(
            f"data.validation: got {validation:,}; expected fewer than the {len(chosen):,} training examples"
        )
    drawn = np.sort(pool[stream(0, "validation").permutation(len(pool))[:validation]])
    return (chosen if pool is rest else np.setdiff1d(chosen, drawn)), drawn


def unit(dataset: Dataset, x_train: NDArray[Any]) -> tuple[float, float]:
    """x / scale: pixels in [0, 1]"""
    return 0.0, 1.0


def standardise(dataset: Dataset, x_train: NDArray[Any]) -> tuple[float, float]:
    """(x / scale - mean) / deviation, both of all values of the training examples together"""
    if x_train.dtype == np.uint8:
        counts = np.bincount(x_train.ravel(), minlength=256).astype(np.float64)
        values = np.arange(256) / dataset.scale
        mean = float((counts * values).sum() / counts.sum())
        deviation = float(np.sqrt((counts * (values - mean) ** 2).sum() / counts.sum()))
    else:
        mean = float(x_train.mean(dtype=np.float64)) / dataset.scale
        deviation = float(x_train.std(dtype=np.float64)) / dataset.scale
    if x_train.max() == x_train.min():  # rounding may leave the deviation a little above 0
        raise DataError(
            f"{dataset.name}: all training values are equal, so they cannot be standardised; use input 'unit'"
        )
    return mean, deviation


INPUTS: dict[str, Callable[[Dataset, NDArray[Any]], tuple[float, float]]] = {
    "unit": unit,
    "standardise": standardise,
    "standardise-each": unit,  # then each image by its own mean and deviation
}


def prepare(dataset: Dataset, *, scaling: str, dtype: str, train: int | None = None, validation: int = 0) -> Prepared:
    """A data set split, scaled and in one element type. Raises: DataError."""
    if scaling not in INPUTS:
        raise DataError(unknown("input scaling", scaling, INPUTS))
    rows, drawn = split(dataset, train=train, validation=validation)
    whole = len(rows) == len(dataset.y_train)
    x_train = dataset.x_train if whole else dataset.x_train[rows]
    mean, deviation = INPUTS[scaling](dataset, x_train)

    def scaled(x: NDArray[Any], part: str, numbers: NDArray[np.int64]) -> NDArray[Any]:
        if x.dtype == np.uint8 and scaling != "standardise-each":  # 256 values, each computed once in float64
            return ((np.arange(256) / dataset.scale - mean) / deviation).astype(dtype)[x]
        result = np.empty(x.shape, dtype)
        for start in range(0, len(x), _BLOCK):
            block = x[start : start + _BLOCK].astype(np.float64) / dataset.scale
            if scaling == "standardise-each":
                block = _each(block, f"{dataset.name}: {part} example", numbers[start:])
            result[start : start + len(block)] = (block - mean) / deviation
        return result

    return Prepared(
        x_train=scaled(x_train, "training", rows),
        y_train=dataset.y_train[rows],
        x_validation=scaled(dataset.x_train[drawn], "training", drawn) if validation else None,
        y_validation=dataset.y_train[drawn] if validation else None,
        x_test=scaled(dataset.x_test, "test", np.arange(len(dataset.x_test))),
        y_test=dataset.y_test.copy(),  # the data set's own is read-only, which torch warns about
        shape=dataset.shape,
        class_names=dataset.classes,
        scaling=(mean, deviation),
        checksum=dataset.checksum,
    )


def _each(block: NDArray[np.float64], what: str, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Every example of a block by its own mean and deviation; `numbers`: theirs in the published set."""
    constant = block.max(axis=1) == block.min(axis=1)  # rounding may leave its deviation a little above 0
    if constant.any():
        row = int(numbers[np.flatnonzero(constant)[0]])
        raise DataError(
            f"{what} {row} is constant, so it cannot be standardised by itself; use input 'standardise' or 'unit'"
        )
    return (block - block.mean(axis=1, keepdims=True)) / block.std(axis=1, keepdims=True)
