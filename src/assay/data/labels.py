"""Labels as people store them, read as class numbers: columns, one-hot rows, names, numbers from 1, QMNIST's tables."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import DataError
from assay.system.limits import CLASSES

Labels = NDArray[np.int64]

_MAX_CLASSES = CLASSES.most  # more is a column of numbers that was mistaken for labels
_QMNIST_COLUMNS = 8
_NIST_DIGITS = 30  # NIST's code of the digit 0, in column 4 of QMNIST's labels


@dataclass(frozen=True)
class Classes:
    """Labels as class numbers, the names of the classes, and what was assumed when they were read.

    Of a regression, its targets as float64, and the name of the target alone.
    """

    train: NDArray[Any]
    test: NDArray[Any]
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Column:
    """Labels as one column: names, or numbers; `width`: the number of classes that one-hot rows state."""

    values: NDArray[Any]
    width: int | None = None
    note: str = ""


def read_labels(name: str, y_train: NDArray[Any], y_test: NDArray[Any], classes: Sequence[str] | None) -> Classes:
    """Labels of a training and a test set as class numbers from 0.

    Args:
        name: The name of the data set, for errors.
        y_train: One row per training example: (N,), (N, 1), one-hot (N, C), or QMNIST's (N, 8).
        y_test: Likewise of the test set.
        classes: The names of the classes in the order of their numbers, or None.

    Raises:
        DataError: A label is missing, is no class, or does not fit the others.

    Examples:
        >>> read_labels("letters", np.array([1, 2, 1]), np.array([2]), None).names
        ('1', '2')
    """
    if classes is not None and len(set(classes)) < len(classes):
        twice = next(one for i, one in enumerate(classes) if one in classes[:i])
        raise DataError(f"{name}: two classes are named {twice!r}; expected a name of its own for each")
    columns = [_column(f"{name}: the {part} labels", y) for part, y in (("training", y_train), ("test", y_test))]
    train, test = columns
    notes = list(dict.fromkeys(column.note for column in columns if column.note))
    if (train.values.dtype.kind == "U") != (test.values.dtype.kind == "U"):
        raise DataError(
            f"{name}: training labels are {_sort_of(train.values)}, test labels {_sort_of(test.values)}; "
            "expected the same"
        )
    if train.values.dtype.kind == "U":
        return _named(name, train.values, test.values, classes, notes)
    if train.width != test.width:
        shapes = " and ".join(str(y.shape) for y in (y_train, y_test))
        raise DataError(f"{name}: training and test labels have the shapes {shapes}; expected the same form")
    return _numbered(name, train, test.values, classes, notes)


def _sort_of(values: NDArray[Any]) -> str:
    return f"names, such as {values[0]!s:.40}" if values.dtype.kind == "U" else f"numbers, such as {values[0]}"


def _column(where: str, y: NDArray[Any]) -> _Column:
    if y.dtype.kind == "O":
        y = _unboxed(where, y)
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8", "replace")
    if y.dtype.kind == "U" and _code_points(y).max(initial=0) > sys.maxunicode:
        raise DataError(f"{where} are damaged: they hold what is no character")
    _check_present(where, y)
    if y.ndim == 2 and y.shape[1] == 1:
        return _Column(y[:, 0], note=f"labels of shape {_n_by(1)} are read as one column")
    if y.ndim == 2 and y.dtype.kind in "buif":
        return _table(where, y)
    if y.ndim != 1:
        raise DataError(f"{where} have shape {y.shape}; expected one label per example")
    return _Column(y)


def _code_points(y: NDArray[Any]) -> NDArray[np.uint32]:
    """The characters of an array of strings as numbers."""
    return np.frombuffer(np.ascontiguousarray(y).tobytes(), np.dtype(np.uint32).newbyteorder(y.dtype.byteorder))


def _n_by(columns: int) -> str:
    return f"(N, {columns})"


def _unboxed(where: str, y: NDArray[Any]) -> NDArray[Any]:
    """An array of Python objects as one of strings or numbers."""
    values: list[Any] = y.ravel().tolist()
    missing = [i for i, value in enumerate(values) if value is None or value != value]
    if missing:
        raise DataError(f"{where} lack one: that of example {missing[0]} is {values[missing[0]]}; expected a class")
    for kinds in ((str,), (bytes,), (bool, int), (bool, int, float)):
        if all(isinstance(value, kinds) for value in values):
            try:
                return np.array(values).reshape(y.shape)
            except OverflowError:
                break
    sorts = ", ".join(sorted({type(value).__name__ for value in values})[:4])
    raise DataError(f"{where} are objects of the types {sorts}; expected names or whole numbers: pass y.astype(str)")


def _check_present(where: str, y: NDArray[Any]) -> None:
    if y.dtype.kind == "f":
        missing = np.isnan(y)
    elif y.dtype.kind == "U":
        stripped = np.char.lower(np.char.strip(y))
        missing = (stripped == "") | (stripped == "nan") | (stripped == "<na>")
    else:
        return
    if missing.any():
        place = tuple(int(i) for i in np.argwhere(missing)[0])
        value = repr(str(y[place])) if y.dtype.kind == "U" else "NaN"
        raise DataError(f"{where} lack one: that of example {place[0]} is {value}; expected whole numbers or names")


def _table(where: str, y: NDArray[Any]) -> _Column:
    """Numbers of several columns: QMNIST's description of each digit, or one-hot rows."""
    columns = y.shape[1]
    if columns == _QMNIST_COLUMNS and ((y[:, 4] == y[:, 0] + _NIST_DIGITS) & (y[:, 0] >= 0) & (y[:, 0] <= 9)).all():
        return _Column(y[:, 0], note="labels of shape (N, 8) are QMNIST's: column 0 is the class")
    wrong = ~(((y == 0) | (y == 1)).all(axis=1) & (y.sum(axis=1) == 1))
    if not wrong.any():
        return _Column(y.argmax(axis=1), columns, f"labels of shape {_n_by(columns)} are read as one-hot rows")
    row = int(np.flatnonzero(wrong)[0])
    first = ", ".join(f"{value:g}" for value in y[row, :8].astype(np.float64))
    raise DataError(
        f"{where} have shape {y.shape} and row {row} ({first}{', ...' if columns > 8 else ''}) is not one-hot; "
        "expected one label per example: pass y[:, 0] if the class is in the first column, y.argmax(axis=1) for scores"
    )


def _named(
    name: str, y_train: NDArray[Any], y_test: NDArray[Any], classes: Sequence[str] | None, notes: list[str]
) -> Classes:
    """Names as class numbers: in the order of `classes`, else sorted."""
    distinct: set[str] = set(y_train.tolist())
    numeric = all(label.isascii() and label.isdecimal() for label in distinct)
    names = sorted(distinct, key=lambda label: (int(label) if numeric else 0, label))  # "10" after "9"
    if classes is not None:
        if strangers := sorted(distinct - set(classes)):
            raise DataError(f"{name}: training label {strangers[0]!r} is not among the classes {', '.join(classes)}")
        names = list(classes)
    if len(names) > _MAX_CLASSES:
        raise DataError(f"{name}: {len(names):,} different labels; expected at most {_MAX_CLASSES:,} classes")
    if unseen := sorted(set(y_test.tolist()) - set(names)):
        raise DataError(f"{name}: test label {unseen[0]!r} does not occur in the training set")
    numbers = {label: i for i, label in enumerate(names)}
    both = [np.array([numbers[label] for label in y.tolist()], np.int64) for y in (y_train, y_test)]
    return Classes(both[0], both[1], tuple(map(str, names)), tuple(notes))


def _numbered(
    name: str, train: _Column, y_test: NDArray[Any], classes: Sequence[str] | None, notes: list[str]
) -> Classes:
    """Numbers as class numbers: from 0 as they are, or from 1 where 0 does not occur."""
    both = [train.values, y_test]
    for part, y in zip(("training", "test"), both, strict=True):
        if y.dtype.kind not in "buif":
            raise DataError(f"{name}: labels have element type {y.dtype}; expected whole numbers or names")
        if y.dtype.kind == "f" and (broken := np.flatnonzero(np.floor(y) != y)).size:
            row = int(broken[0])
            raise DataError(
                f"{name}: {part} label {row} is {y[row]:g}; expected whole numbers or names of classes; for the "
                "targets of a regression, say task='regression', or data.task = 'regression' in a recipe"
            )
    lowest, highest = float(min(y.min() for y in both)), float(max(y.max() for y in both))
    first, last = 0, len(classes) - 1 if classes is not None else int(min(train.values.max(), _MAX_CLASSES))
    if train.width is not None:
        last = max(last, train.width - 1) if classes is None else last
    elif lowest == 1 and (classes is None or len(classes) == highest):
        first, last = 1, int(min(train.values.max(), _MAX_CLASSES)) if classes is None else len(classes)
        notes.append(f"labels run from 1 to {last}: class 1 is the first output, and there is no class 0")
    if lowest < first or highest > last or last - first >= _MAX_CLASSES or not math.isfinite(highest):
        raise DataError(
            f"{name}: labels run from {lowest:g} to {highest:g}; expected {first} to "
            f"{min(last, first + _MAX_CLASSES - 1)}; labels of other numbers are read as names: pass y.astype(str)"
        )
    names = tuple(classes) if classes is not None else tuple(map(str, range(first, last + 1)))
    labels = [y.astype(np.int64) - first for y in both]
    return Classes(labels[0], labels[1], names, tuple(notes))
