"""A data set as stored: checked arrays of examples and labels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.picture_style import PictureStyle, picture_style
from assay.errors import DataError

Labels = NDArray[np.int64]

_MAX_CLASSES = 10_000  # more is a column of numbers that was mistaken for labels


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set for classification: training and test examples with their labels. Make one with `from_arrays`.

    Attributes:
        name: Its name in tables and labels.
        x_train: Training examples, (N, D), unscaled, in their own element type; read-only.
        y_train: Their labels, int64 (N,), from 0 to C - 1.
        x_test: Test examples, (N, D).
        y_test: Their labels.
        shape: The shape of one example, such as (28, 28); its product is D.
        classes: The names of the C classes.
        scale: What the input scaling "unit" divides by, such as 255.

    Examples:
        >>> import assay
        >>> data = assay.load_data("digits")
        >>> data.x_train.shape, data.shape, len(data.classes)
        ((1437, 64), (8, 8), 10)
    """

    name: str
    x_train: NDArray[Any]
    y_train: Labels
    x_test: NDArray[Any]
    y_test: Labels
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    scale: float

    @cached_property
    def checksum(self) -> str:
        """The SHA-256 of everything that training depends on, in hexadecimal digits.

        It covers contents, element types, example shape, scale and number of classes. It does not depend on names or
        on the machine.
        """
        digest = hashlib.sha256(f"{self.shape}{float(self.scale).hex()}{len(self.classes)}".encode())
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            digest.update(f"{little_endian.dtype.str}{little_endian.shape}".encode())
            digest.update(little_endian.data)
        return digest.hexdigest()

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
) -> Dataset:
    """Makes a data set from NumPy arrays. The arrays are copied.

    Args:
        x_train: Training examples: (N, D), or images (N, H, W) or (N, H, W, channels). Numbers, all finite. uint8 is
            kept; anything else becomes float32.
        y_train: Their labels, (N,): whole numbers from 0, or names.
        x_test: Test examples, of the same example shape.
        y_test: Their labels.
        name: The name of the data set in tables and labels.
        classes: The names of the classes, in the order of their numbers. None takes the label names in sorted order, or
            the numbers.
        scale: What the input scaling "unit" divides by. None takes 255 for uint8, else the largest absolute value.

    Returns:
        The data set, with flat examples (N, D).

    Raises:
        DataError: Counts, shapes, labels or values are wrong.

    Examples:
        >>> x, y = np.arange(12.0).reshape(4, 3), np.array(["cat", "dog", "cat", "dog"])
        >>> from_arrays(x, y, x, y).classes
        ('cat', 'dog')
    """
    x_train, x_test = np.array(x_train), np.array(x_test)  # copies: the checksum is computed once
    shape = x_train.shape[1:]
    for part, x, y in (("training", x_train, y_train), ("test", x_test, y_test)):
        _check_examples(name, part, x, np.asarray(y), shape)
    labels, class_names = _labels(name, np.asarray(y_train), np.asarray(y_test), classes)
    if x_train.dtype != np.uint8 or x_test.dtype != np.uint8:
        x_train, x_test = _as_float32(x_train, f"{name}: training"), _as_float32(x_test, f"{name}: test")
    if scale is None:
        scale = 255.0 if x_train.dtype == np.uint8 else float(max(np.abs(x_train).max(), np.abs(x_test).max())) or 1.0
    flat = [np.ascontiguousarray(x.reshape(len(x), -1)) for x in (x_train, x_test)]
    for array in (*flat, *labels):
        array.flags.writeable = False
    return Dataset(name, flat[0], labels[0], flat[1], labels[1], shape, class_names, scale)


def _check_examples(name: str, part: str, x: NDArray[Any], y: NDArray[Any], shape: tuple[int, ...]) -> None:
    if x.ndim not in (2, 3, 4):
        raise DataError(
            f"{name}: the {part} examples have {x.ndim} dimensions; expected (N, D), (N, H, W) or (N, H, W, C)"
        )
    if x.shape[1:] != shape:
        raise DataError(f"{name}: training examples have shape {shape}, test examples {x.shape[1:]}; expected the same")
    if len(x) != len(y) or y.ndim != 1:
        raise DataError(f"{name}: {len(x):,} {part} examples but labels of shape {y.shape}; expected ({len(x)},)")
    if x.size == 0:
        raise DataError(f"{name}: the {part} set is empty; expected at least one example of at least one value")
    if x.dtype.kind not in "buif":
        raise DataError(f"{name}: the {part} examples have element type {x.dtype}; expected numbers")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))[0])
        raise DataError(f"{name}: {part} example {row} holds NaN or infinity; expected finite numbers")


def _as_float32(x: NDArray[Any], where: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        result = x.astype(np.float32)
    overflowed = ~np.isfinite(result).reshape(len(x), -1).all(axis=1)
    if overflowed.any():
        row = int(np.flatnonzero(overflowed)[0])
        raise DataError(f"{where} example {row} holds numbers beyond the range of float32 (3.4e38)")
    return result


def _labels(
    name: str, y_train: NDArray[Any], y_test: NDArray[Any], classes: Sequence[str] | None
) -> tuple[tuple[Labels, Labels], tuple[str, ...]]:
    """Labels as class numbers, and the names of the classes; named labels are numbered in sorted order."""
    y_train, y_test = (np.char.decode(y, "utf-8", "replace") if y.dtype.kind == "S" else y for y in (y_train, y_test))
    if y_train.dtype.kind == "U":
        distinct: set[str] = set(y_train.tolist())
        numeric = all(label.isascii() and label.isdecimal() for label in distinct)
        names = sorted(distinct, key=lambda label: (int(label) if numeric else 0, label))  # "10" after "9"
        if unseen := sorted(set(y_test.tolist()) - distinct):
            raise DataError(f"{name}: test label {unseen[0]!r} does not occur in the training set")
        numbers = {label: i for i, label in enumerate(names)}
        both = [np.array([numbers[label] for label in y.tolist()], np.int64) for y in (y_train, y_test)]
        return (both[0], both[1]), tuple(map(str, names))
    for y in (y_train, y_test):
        if y.dtype.kind not in "buif" or (y.dtype.kind == "f" and not (np.floor(y) == y).all()):
            raise DataError(f"{name}: labels have element type {y.dtype}; expected whole numbers or names")
    count = len(classes) if classes is not None else int(min(y_train.max(), _MAX_CLASSES)) + 1
    lowest, highest = min(y.min() for y in (y_train, y_test)), max(y.max() for y in (y_train, y_test))
    if lowest < 0 or highest >= min(count, _MAX_CLASSES):
        raise DataError(f"{name}: labels run from {lowest} to {highest}; expected 0 to {min(count, _MAX_CLASSES) - 1}")
    labels = y_train.astype(np.int64), y_test.astype(np.int64)
    return labels, tuple(classes) if classes is not None else tuple(map(str, range(count)))
