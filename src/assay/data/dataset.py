"""A data set as stored: checked arrays of examples and labels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.labels import Classes, read_labels
from assay.data.layout import check_order, in_order
from assay.data.notes import dataset_notes
from assay.data.picture_style import PictureStyle, picture_style
from assay.data.resampling import Draw, notes_of_draw, rows_of
from assay.data.scale import scale_of, unit_notes
from assay.data.targets import REGRESSION, TARGET, is_regression, read_targets
from assay.errors import DataError


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: training and test examples with their labels, or the targets of a regression. Make one with
    `from_arrays`.

    Attributes:
        name: Its name in tables and labels.
        x_train: Training examples, (N, D), unscaled, in their own element type; read-only.
        y_train: Their labels, int64 (N,), from 0 to C - 1; float64 targets of a regression, in their own units.
        x_test: Test examples, (N, D).
        y_test: Their labels.
        shape: The shape of one example, such as (28, 28); its product is D.
        classes: The names of the C classes; of a regression, the name of its target alone.
        scale: What every input scaling divides by first, such as 255. It comes from the training set alone.
        assumptions: What was assumed when the arrays were read, one sentence each.
        origin: The checksum of the data set whose examples these are, where another test set was drawn from them.

    Examples:
        >>> import assay
        >>> data = assay.load_data("digits")
        >>> data.x_train.shape, data.shape, len(data.classes)
        ((1437, 64), (8, 8), 10)
    """

    name: str
    x_train: NDArray[Any]
    y_train: NDArray[Any]
    x_test: NDArray[Any]
    y_test: NDArray[Any]
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    scale: float
    assumptions: tuple[str, ...] = ()
    origin: str = ""

    @property
    def task(self) -> str | None:
        """ "regression" where the labels are real targets, else None."""
        return REGRESSION if is_regression(self.y_train) else None

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was assumed, on gaps in the classes, and on test examples that are training examples too.

        They are computed once, and stand with every result that was trained on the data.
        """
        return (*self.assumptions, *dataset_notes(self))

    def noting(self, assumptions: Sequence[str]) -> Dataset:
        """The same data set with more sentences on how it was read, before the others."""
        return replace(self, assumptions=(*assumptions, *self.assumptions)) if assumptions else self

    @cached_property
    def checksum(self) -> str:
        """The SHA-256 of everything that training depends on, in hexadecimal digits.

        It covers contents, element types, example shape, scale and number of classes. It does not depend on names or
        on the machine. It is that of the original where another test set was drawn.
        """
        if self.origin:
            return self.origin
        digest = hashlib.sha256(f"{self.shape}{float(self.scale).hex()}{len(self.classes)}".encode())
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            digest.update(f"{little_endian.dtype.str}{little_endian.shape}".encode())
            digest.update(little_endian.data)
        return digest.hexdigest()

    def resampled(self, *, split: int = 0, folds: int | None = None, fold: int | None = None) -> Dataset:
        """This data set with another test set, drawn from all of its examples, as a recipe's `data` table does.

        Args:
            split: The seed of the draw.
            folds: The number of parts of a cross-validation; None for a test set of the same size as this one's.
            fold: The part that is the test set, from 1.

        Raises:
            DataError: There are too few examples for so many parts, or a class would have no training example.

        Examples:
            >>> import assay
            >>> len(assay.load_data("iris").resampled(folds=10, fold=3).y_test)
            15
        """
        if self.origin:
            raise DataError(f"{self.name}: its test set was drawn anew already; draw from the original data set")
        if (folds is None) != (fold is None) or (folds is not None and fold is not None and not 1 <= fold <= folds):
            raise DataError(f"{self.name}: got folds {folds} and fold {fold}; expected both, fold from 1 to folds")
        return self.drawn(Draw(split, folds, fold))

    def drawn(self, draw: Draw | None) -> Dataset:
        """The data set with the test set of a draw; without one, itself.

        The checksum stays that of the data set that is drawn from, and so does its scale. The training examples are in
        random order, so that the first n of them are a random sample. Raises: DataError.
        """
        if draw is None:
            return self
        y: NDArray[Any] = np.concatenate([self.y_train, self.y_test])
        training, test = rows_of(self.name, y, draw, tested=len(self.y_test), classes=self.classes)
        x: NDArray[Any] = np.concatenate([self.x_train, self.x_test])
        arrays = {"x_train": x[training], "y_train": y[training], "x_test": x[test], "y_test": y[test]}
        for array in arrays.values():
            array.flags.writeable = False
        notes = notes_of_draw(draw, y, len(test), self.classes, self.assumptions)
        return replace(self, **arrays, assumptions=tuple(notes), origin=self.checksum)

    @cached_property
    def pictures(self) -> PictureStyle | None:
        """What the training pictures look like, for which new ones are prepared; None for examples that are none."""
        return picture_style(self.x_train, self.shape, self.scale)


def from_arrays(
    x_train: NDArray[Any],
    y_train: NDArray[Any],
    x_test: NDArray[Any],
    y_test: NDArray[Any],
    *,
    name: str = "arrays",
    classes: Sequence[str] | None = None,
    scale: float | None = None,
    task: str | None = None,
) -> Dataset:
    """Makes a data set from NumPy arrays. The arrays are copied.

    Other layouts are read where the counts leave no doubt, and the data set's `notes` say so: examples on the last
    axis, channels first, labels (N, 1), one-hot or numbered from 1.

    Args:
        x_train: Training examples: (N, D), or images (N, H, W) or (N, H, W, channels). Numbers, all finite. uint8 is
            kept; anything else becomes float32.
        y_train: Their labels, (N,): whole numbers from 0, or names.
        x_test: Test examples, of the same example shape and in the same units.
        y_test: Their labels.
        name: The name of the data set in tables and labels.
        classes: The names of the classes, in the order of their numbers. None takes the label names in sorted order, or
            the numbers.
        scale: What every input scaling divides by first. None takes 255 for uint8 values that reach 128, else the
            largest magnitude of the training set.
        task: "regression" for labels that are the targets of a regression, one number per example; None for classes.

    Returns:
        The data set, with flat examples (N, D).

    Raises:
        DataError: Counts, shapes, labels or values are wrong, or the two sets are not in the same units.

    Examples:
        >>> x, y = np.arange(12.0).reshape(4, 3), np.array(["cat", "dog", "cat", "dog"])
        >>> from_arrays(x, y, x, y).classes
        ('cat', 'dog')
    """
    if scale is not None and not 0 < scale < np.inf:
        raise DataError(f"{name}: scale: got {scale}; expected a number > 0")
    check_order(name, x_train, y_train, x_test, y_test)
    sets = [
        _ordered(x, y, name=name, part=part)
        for part, x, y in (("training", x_train, y_train), ("test", x_test, y_test))
    ]
    (x_train, y_train, notes), (x_test, y_test, test_notes) = sets
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError(
            f"{name}: training examples have shape {x_train.shape[1:]}, test examples {x_test.shape[1:]}; "
            "expected the same"
        )
    labels = _read(name, y_train, y_test, classes, task)
    shape, element = x_train.shape[1:], x_train.dtype
    if element != np.uint8 or x_test.dtype != np.uint8:
        x_train, x_test = _as_float32(x_train, f"{name}: training"), _as_float32(x_test, f"{name}: test")
    flat = [np.ascontiguousarray(x.reshape(len(x), -1)) for x in (x_train, x_test)]
    notes = [*notes, *test_notes, *labels.notes, *unit_notes(name, *flat, given=scale)]
    if scale is None:
        scale, note = scale_of(flat[0], element)
        notes += [note] if note else []
    for array in (*flat, labels.train, labels.test):
        array.flags.writeable = False
    assumptions = tuple(dict.fromkeys(notes))  # what holds for both sets is said once
    return Dataset(name, flat[0], labels.train, flat[1], labels.test, shape, labels.names, scale, assumptions)


def _read(
    name: str, y_train: NDArray[Any], y_test: NDArray[Any], classes: Sequence[str] | None, task: str | None
) -> Classes:
    """The labels of a classification, or the targets of a regression. Raises: DataError."""
    if task not in (None, REGRESSION):
        raise DataError(f"{name}: task: got {task!r}; expected 'regression', or nothing for classification")
    if task is None:
        return read_labels(name, y_train, y_test, classes)
    if classes is not None and len(classes) > 1:
        raise DataError(f"{name}: a regression has no classes, but {len(classes):,} are named")
    train, test, notes = read_targets(name, y_train, y_test)
    return Classes(train, test, tuple(classes or (TARGET,)), notes)


def _ordered(x: Any, y: Any, *, name: str, part: str) -> tuple[NDArray[Any], NDArray[Any], list[str]]:
    """Copies of checked examples, examples first and channels last, their labels, and what was assumed."""
    x, y = _array(f"{name}: the {part} examples", x), _array(f"{name}: the {part} labels", y)
    x, y, notes = in_order(x, y, name=name, part=part)
    if x.size == 0:
        raise DataError(f"{name}: the {part} set is empty; expected at least one example of at least one value")
    if x.dtype.kind not in "buif":
        hint = ": pass np.stack(list(x)) for a list of pictures, or x.astype(float)" if x.dtype.kind == "O" else ""
        raise DataError(f"{name}: the {part} examples have element type {x.dtype}; expected numbers{hint}")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))[0])
        raise DataError(f"{name}: {part} example {row} holds NaN or infinity; expected finite numbers")
    return x, y, notes


def _array(where: str, values: Any) -> NDArray[Any]:
    """A copy of anything that NumPy takes for an array."""
    if np.ma.is_masked(values):
        raise DataError(f"{where} have masked values; expected values for all: fill them, or leave their rows out")
    try:
        return np.array(values)
    except ValueError as error:  # a list of pictures of different sizes
        raise DataError(f"{where} are no array: {error}; expected examples of one shape") from None


def _as_float32(x: NDArray[Any], where: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        result = x.astype(np.float32)
    overflowed = ~np.isfinite(result).reshape(len(x), -1).all(axis=1)
    if overflowed.any():
        row = int(np.flatnonzero(overflowed)[0])
        raise DataError(f"{where} example {row} holds numbers beyond the range of float32 (3.4e38)")
    return result
