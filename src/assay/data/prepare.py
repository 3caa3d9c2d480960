"""A data set split and scaled for training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import Dataset
from assay.data.features import FeatureScaling, feature_scaling, units_note
from assay.data.labels import Labels
from assay.data.notes import first_with_all_classes, split_notes
from assay.data.picture_style import PictureStyle
from assay.data.resampling import Draw
from assay.data.targets import TargetScaling, check_task, is_regression
from assay.errors import DataError, unknown
from assay.rng import stream

_PARTS = {"train": "training", "validation": "validation"}
_BLOCK = 4096  # examples scaled at once, so that float64 is never held for all of them


@dataclass(frozen=True, eq=False)
class Prepared:
    """Examples split and scaled: x (N, D) of one element type, C-contiguous; y (N,).

    The y of a regression are standardised targets, float64; `targets` has their mean and deviation.

    `scaling`: the mean that was subtracted and the standard deviation that was divided by, after the division by
    `scale`. `notes`: sentences on the data, for everyone who reads a result of theirs. `pictures`: what the training
    pictures look like.
    """

    x_train: NDArray[Any]
    y_train: NDArray[Any]
    x_validation: NDArray[Any] | None
    y_validation: NDArray[Any] | None
    x_test: NDArray[Any]
    y_test: NDArray[Any]
    shape: tuple[int, ...]
    class_names: tuple[str, ...]
    scaling: tuple[float, float]
    checksum: str
    scale: float = 1.0
    notes: tuple[str, ...] = ()
    pictures: PictureStyle | None = None
    features: FeatureScaling | None = None
    targets: TargetScaling | None = None

    @property
    def inputs(self) -> int:
        """D, the number of values of one example."""
        return self.x_train.shape[1]

    @property
    def classes(self) -> int:
        """C, the number of classes; 1 for the target of a regression."""
        return len(self.class_names)


@dataclass(frozen=True)
class Preparation:
    """How a data set is prepared.

    `scaling`: an entry of INPUTS. `dtype`: "float32" or "float64". `train`: the first n examples, None for all.
    `validation`: the number of validation examples. `task`: "regression", or None for classification. `draw`: the test
    set that is drawn anew, before the others are taken; None for that of the data set.
    """

    scaling: str
    dtype: str
    train: int | None = None
    validation: int = 0
    task: str | None = None
    draw: Draw | None = None


def split(dataset: Dataset, *, train: int | None, validation: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows to train on and the rows to validate on, each in stored order.

    The training set is the first `train` rows, or all. The validation set is drawn from the rest if there are enough,
    else from the training set. The draw is fixed, so that every seed of a study sees the same sets. Raises: DataError.
    """
    n = len(dataset.y_train)
    if train is not None and not 1 <= train <= n:
        raise DataError(f"data.train: got {train:,}; expected 1 to {n:,}: {dataset.name} has {n:,} training examples")
    if validation < 0:
        raise DataError(f"data.validation: got {validation:,}; expected 0 or more")
    first, rest = np.arange(n)[:train], np.arange(n)[n if train is None else train :]
    pool = rest if validation <= len(rest) else first
    if validation >= len(pool) and pool is first:
        raise DataError(
            f"data.validation: got {validation:,}; expected fewer than the {len(first):,} training examples"
        )
    drawn = np.sort(pool[stream(0, "validation").permutation(len(pool))[:validation]])
    training = first if pool is rest else np.setdiff1d(first, drawn)
    if is_regression(dataset.y_train):
        _check_targets(dataset, training, drawn)
    else:
        _check_classes(dataset, dataset.y_train[training])
    return training, drawn


def trained_on(examples: int, *, train: int | None, validation: int) -> int:
    """How many of the training examples `split` trains on.

    >>> trained_on(120, train=None, validation=20), trained_on(120, train=100, validation=20)
    (100, 100)
    """
    first = examples if train is None else train
    return first if validation <= examples - first else first - validation


def notes_of(dataset: Dataset, training: NDArray[np.int64], validation: NDArray[np.int64]) -> tuple[str, ...]:
    """Sentences on a data set and on its split into the rows that `split` gave."""
    drawn = dataset.y_train[validation] if len(validation) else None
    return (*dataset.notes, *split_notes(dataset, dataset.y_train[training], drawn))


def _check_classes(dataset: Dataset, y: Labels) -> None:
    """Refuses training examples of one class alone, which any network classifies. Raises: DataError."""
    if y.min() != y.max():
        return
    label = dataset.classes[int(y[0])]
    if dataset.y_train.min() == dataset.y_train.max():
        raise DataError(f"{dataset.name}: all training examples are of class {label!r}; expected two classes or more")
    raise DataError(
        f"data.train: the first {len(y):,} training examples of {dataset.name} are all of class {label!r}; expected "
        f"two classes or more: the first {first_with_all_classes(dataset.y_train):,} hold every class. Shuffle the "
        "examples before saving them, or use more"
    )


def _check_targets(dataset: Dataset, training: NDArray[np.int64], validation: NDArray[np.int64]) -> None:
    """Refuses parts without two different targets, of which no R2 can be computed. Raises: DataError."""
    for key, rows in (("train", training), ("validation", validation)):
        y = dataset.y_train[rows]
        if len(y) and (len(y) < 2 or y.min() == y.max()):
            raise DataError(
                f"data.{key}: the {len(y):,} {_PARTS[key]} examples of {dataset.name} all have the target {y[0]:g}; "
                "expected two different ones or more, because R2 compares with their mean: use more examples"
            )


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
    if x_train.max() == x_train.min():  # not by the deviation, which rounding may leave a little above 0
        raise DataError(
            f"{dataset.name}: all training values are equal, so they cannot be standardised; use input 'unit'"
        )
    return mean, deviation


INPUTS: dict[str, Callable[[Dataset, NDArray[Any]], tuple[float, float]]] = {
    "unit": unit,
    "standardise": standardise,
    "standardise-each": unit,  # then each image by its own mean and deviation
    "standardise-features": unit,  # then each feature by its own mean and deviation on the training set
}


@dataclass(frozen=True, eq=False)
class InputScaling:
    """How raw examples become the inputs of a network, the same in training and in prediction.

    `name`: an entry of INPUTS. `scale`: what is divided by first. `mean` and `deviation`: of all values together, 0 and
    1 where they are not used. `features`: of each feature, only with "standardise-features". `dtype`: "float32" or
    "float64".
    """

    name: str
    dtype: str
    scale: float
    mean: float = 0.0
    deviation: float = 1.0
    features: FeatureScaling | None = None

    def apply(self, x: NDArray[Any], *, where: str, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """The inputs of raw examples (N, D). Raises: DataError, naming `where` and one of the `rows`."""
        by_value = self.name != "standardise-each" and self.features is None
        if x.dtype == np.uint8 and by_value:  # 256 values, each computed once in float64
            return ((np.arange(256) / self.scale - self.mean) / self.deviation).astype(self.dtype)[x]
        rows = np.arange(len(x)) if rows is None else rows
        result = np.empty(x.shape, self.dtype)
        for start in range(0, len(x), _BLOCK):
            block = x[start : start + _BLOCK].astype(np.float64) / self.scale
            if self.name == "standardise-each":
                block = _standardised_each(block, where, rows[start:])
            elif self.features is not None:
                block = _within_range(self.features.apply(block), self.dtype, where, rows[start:])
            result[start : start + len(block)] = (block - self.mean) / self.deviation
        return result


def training_examples(dataset: Dataset, draw: Draw | None, *, train: int | None, validation: int) -> int:
    """How many examples are trained on, without those that are set aside. Raises: DataError."""
    return len(split(dataset.drawn(draw), train=train, validation=validation)[0])


def prepare(dataset: Dataset, how: Preparation) -> Prepared:
    """Splits and scales a data set. Raises: DataError."""
    if how.scaling not in INPUTS:
        raise DataError(unknown("input scaling", how.scaling, INPUTS))
    check_task(dataset, how.task)
    dataset = dataset.drawn(how.draw)
    training, validation = split(dataset, train=how.train, validation=how.validation)
    whole = len(training) == len(dataset.y_train)
    x_train = dataset.x_train if whole else dataset.x_train[training]
    mean, deviation = INPUTS[how.scaling](dataset, x_train)
    features, notes = None, notes_of(dataset, training, validation)
    if how.scaling == "standardise-features":
        features = feature_scaling(dataset.name, x_train, dataset.scale)
        notes += features.note(x_train, [dataset.x_train[validation], dataset.x_test])
    else:
        notes += units_note(x_train, dataset.shape)
    scaling = InputScaling(how.scaling, how.dtype, dataset.scale, mean, deviation, features)

    y, targets = dataset.y_train, None
    y_test = dataset.y_test.copy()  # the data set's own is read-only, which torch warns about
    if is_regression(y):
        targets = TargetScaling.of(y[training], where=f"{dataset.name}: the training targets")
        y, y_test, notes = targets.apply(y), targets.apply(y_test), (*notes, targets.note())

    def scaled(x: NDArray[Any], part: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        return scaling.apply(x, where=f"{dataset.name}: {part} example", rows=rows)

    return Prepared(
        x_train=scaled(x_train, "training", training),
        y_train=y[training],
        x_validation=scaled(dataset.x_train[validation], "training", validation) if how.validation else None,
        y_validation=y[validation] if how.validation else None,
        x_test=scaled(dataset.x_test, "test", np.arange(len(dataset.x_test))),
        y_test=y_test,
        shape=dataset.shape,
        class_names=dataset.classes,
        scaling=(mean, deviation),
        checksum=dataset.checksum,
        scale=dataset.scale,
        notes=notes,
        pictures=dataset.pictures,
        features=features,
        targets=targets,
    )


def _within_range(block: NDArray[np.float64], dtype: str, where: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The block, where every value is in the range of the element type. Raises: DataError."""
    places = np.argwhere(np.abs(block) > float(np.finfo(dtype).max))
    if len(places):
        row, feature = places[0].tolist()
        raise DataError(
            f"{where} {int(rows[row])}: feature {feature} is {block[row, feature]:.3g} deviations from the mean "
            f"of the training set, beyond the range of {dtype}"
        )
    return block


def _standardised_each(block: NDArray[np.float64], where: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Every example of a block by its own mean and deviation; `rows`: their numbers in the data set."""
    constant = block.max(axis=1) == block.min(axis=1)  # not by the deviation: rounding may leave it a little above 0
    if constant.any():
        row = int(rows[np.flatnonzero(constant)[0]])
        raise DataError(
            f"{where} {row} is constant, so it cannot be standardised by itself; use input 'standardise' or 'unit'"
        )
    return (block - block.mean(axis=1, keepdims=True)) / block.std(axis=1, keepdims=True)
