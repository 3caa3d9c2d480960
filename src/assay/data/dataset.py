"""The record of a data set, and the checks that every data set passes, wherever it comes from."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.errors import DataError

MOST_CLASSES = 10_000
ROWS_AT_ONCE = 1024  # examples looked at or scaled at a time: some megabytes in float64


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples and labels, a training and a test set; made by `load` or `from_arrays`, its arrays are read-only."""

    name: str
    x_train: NDArray[Any]  # (N, D), uint8 for pixels, else float32
    y_train: NDArray[np.int64]  # (N,), 0 ... C - 1
    x_test: NDArray[Any]
    y_test: NDArray[np.int64]
    shape: tuple[int, ...]  # of one example; its product is D
    classes: tuple[str, ...]  # C names
    scale: float  # what input = "unit" divides by

    @functools.cached_property
    def checksum(self) -> str:
        """The SHA-256, in hexadecimal, of all that training can see: arrays, shape, scale, number of classes; no names.

        >>> x = np.zeros((2, 4), np.uint8)
        >>> from_arrays(x, [0, 1], x, [0, 1]).checksum[:8]
        'CHECKSUM'
        """
        digest = hashlib.sha256(f"shape {self.shape} scale {float(self.scale).hex()} of {len(self.classes)}\n".encode())
        for field in ("x_train", "y_train", "x_test", "y_test"):
            array: NDArray[Any] = getattr(self, field)
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            digest.update(f"{field} {little.dtype.str} {little.shape}\n".encode())
            digest.update(little.reshape(-1).view(np.uint8).data)
        return digest.hexdigest()


def from_arrays(
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike,
    y_test: ArrayLike,
    *,
    name: str = "arrays",
    shape: Sequence[int] | None = None,
    classes: Sequence[str] | None = None,
    scale: float | None = None,
) -> Dataset:
    """A data set from arrays in memory, copied and checked.

    Examples are (N, D), (N, H, W) or (N, H, W, channels); uint8 stays as it is, other numbers become float32. Labels
    are integers from 0, or strings, which are numbered in sorted order. `shape`: of one example, where x is flat.
    `classes`: names in the order of the labels; none: the labels of the training set. `scale`: what input = "unit"
    divides by; none: 255 for uint8, else the largest magnitude in the training set.

    Raises: DataError where something does not fit, with what was got and what was expected.

    >>> from_arrays([[0.0, 2.0], [4.0, 1.0]], ["b", "a"], [[1.0, 1.0]], ["a"]).y_train.tolist()
    [1, 0]
    """
    train, test = _examples(x_train, name, "training"), _examples(x_test, name, "test")
    if train.shape[1:] != test.shape[1:]:
        raise DataError(f"{name}: training examples have shape {train.shape[1:]}; test examples have {test.shape[1:]}")
    if train.dtype != test.dtype:
        train, test = train.astype(np.float32), test.astype(np.float32)
    inputs = math.prod(train.shape[1:])
    chosen = train.shape[1:] if shape is None else tuple(map(int, shape))
    if not chosen or min(chosen) < 1 or math.prod(chosen) != inputs:
        raise DataError(f"{name}: shape {chosen} does not fit examples of {inputs} values")
    if scale is None:
        scale = 255.0 if train.dtype == np.uint8 else float(np.abs(train).max()) or 1.0
    if not (math.isfinite(scale) and scale > 0):
        raise DataError(f"{name}: scale: got {scale}; expected a finite number above 0")
    raw = {
        "training": _raw_labels(y_train, len(train), name, "training"),
        "test": _raw_labels(y_test, len(test), name, "test"),
    }
    names, labels = _numbered(raw, classes, name)
    arrays = train.reshape(-1, inputs), labels["training"], test.reshape(-1, inputs), labels["test"]
    for array in arrays:
        array.flags.writeable = False
    return Dataset(name, *arrays, shape=chosen, classes=names, scale=float(scale))


# --- examples --------------------------------------------------------------------------------------------------------


def _examples(values: ArrayLike, name: str, part: str) -> NDArray[Any]:
    """A copy of the examples, (N, ...), C-contiguous, uint8 or float32, all finite."""
    x = _array(values, name, f"{part} examples")
    if x.dtype.kind not in "biuf":
        raise DataError(f"{name}: {part} examples have element type {x.dtype}; expected real numbers")
    if not 2 <= x.ndim <= 4 or 0 in x.shape[1:]:
        raise DataError(
            f"{name}: {part} examples have shape {x.shape}; expected (N, D), (N, H, W) or (N, H, W, channels)"
        )
    if not len(x):
        raise DataError(f"{name}: the {part} set is empty; expected at least one example")
    if x.dtype == np.uint8:
        return np.array(x, order="C")
    with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite and is named below
        copy = np.array(x, np.float32, order="C")
    for begin in range(0, len(copy), ROWS_AT_ONCE):
        block = copy[begin : begin + ROWS_AT_ONCE].reshape(len(copy[begin : begin + ROWS_AT_ONCE]), -1)
        if not np.isfinite(block).all():
            row, column = np.argwhere(~np.isfinite(block))[0]
            value = x.reshape(len(x), -1)[begin + row, column]
            raise DataError(
                f"{name}: {part} example {begin + row} holds {value}; expected finite numbers in float32's range"
            )
    return copy


def _array(values: ArrayLike, name: str, what: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:  # ragged lists
        raise DataError(f"{name}: {what} are not an array: {error}") from None


# --- labels ----------------------------------------------------------------------------------------------------------


def _raw_labels(values: ArrayLike, count: int, name: str, part: str) -> NDArray[Any]:
    """Labels (N,) as integers or strings."""
    y = _array(values, name, f"{part} labels")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise DataError(f"{name}: {part} labels have shape {y.shape}; expected (N,), one label for each example")
    if len(y) != count:
        raise DataError(f"{name}: {count:,} {part} examples but {len(y):,} labels; expected as many labels as examples")
    if y.dtype.kind == "O" and all(isinstance(label, str) for label in y.tolist()):
        y = y.astype(str)
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8", "replace")
    if y.dtype.kind == "U":
        return y
    if y.dtype.kind not in "biuf":
        raise DataError(f"{name}: {part} labels have element type {y.dtype}; expected integers or strings")
    outside = np.flatnonzero(~((y >= 0) & (y < MOST_CLASSES)))  # written so that NaN is outside
    if len(outside):
        raise DataError(
            f"{name}: {part} label {outside[0]} is {y[outside[0]]}; expected 0 to {MOST_CLASSES - 1:,} "
            "(at most 10,000 classes)"
        )
    odd = np.flatnonzero(y != np.floor(y)) if y.dtype.kind == "f" else ()
    if len(odd):
        raise DataError(f"{name}: {part} label {odd[0]} is {y[odd[0]]}; expected whole numbers or strings")
    return y.astype(np.int64)


def _numbered(
    raw: dict[str, NDArray[Any]], classes: Sequence[str] | None, name: str
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int64]]]:
    """The names of the classes, and every label as a number below their count."""
    text = raw["training"].dtype.kind == "U"
    if text != (raw["test"].dtype.kind == "U"):
        raise DataError(f"{name}: one set has strings as labels and the other numbers; expected one kind in both")
    if classes is not None:
        names = tuple(str(label) for label in classes)
    elif text:
        names = _sorted({*raw["training"].tolist(), *raw["test"].tolist()})
    else:
        names = tuple(str(label) for label in range(int(raw["training"].max()) + 1))
    if not 2 <= len(names) <= MOST_CLASSES or len(set(names)) != len(names):
        raise DataError(
            f"{name}: got {len(names):,} classes, {len(set(names)):,} of them different; expected 2 to 10,000"
        )
    numbers = {label: number for number, label in enumerate(names)}
    labels: dict[str, NDArray[np.int64]] = {}
    for part, y in raw.items():
        known = np.isin(y, names) if text else y < len(names)
        if not known.all():
            first = int(np.flatnonzero(~known)[0])
            raise DataError(f"{name}: {part} label {first} is {y[first]}; expected {_listed(names, text=text)}")
        labels[part] = np.array([numbers[label] for label in y.tolist()], np.int64) if text else y
    return names, labels


def _sorted(labels: set[str]) -> tuple[str, ...]:
    """By number where all are numbers, so that "10" follows "9"."""
    if all(label.isascii() and label.isdecimal() for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))


def _listed(names: tuple[str, ...], *, text: bool) -> str:
    if not text:
        return f"0 to {len(names) - 1:,}, the {len(names):,} classes of the training set"
    shown = ", ".join(names[:10])
    return f"one of {shown}{', ...' if len(names) > 10 else ''}"


def rows(x: NDArray[Any]) -> list[NDArray[Any]]:
    """The rows of an array (N, D) in blocks of some megabytes, as views."""
    return [cast("NDArray[Any]", x[begin : begin + ROWS_AT_ONCE]) for begin in range(0, len(x), ROWS_AT_ONCE)]
