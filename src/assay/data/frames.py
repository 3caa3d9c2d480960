"""Tables as data sets: a column of labels, and features that are numbers or a few texts; frames of pandas."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import Dataset, from_arrays
from assay.data.splits import drawn_for_test
from assay.errors import DataError, has_no, listed
from assay.system.limits import TABLE_CATEGORIES

if TYPE_CHECKING:
    import pandas

_LABELS = ("label", "labels", "class", "target", "y")
"""The names, in any case, of a column that is taken for the labels where one alone has such a name."""
_PIXEL = re.compile(r"(?:pixel|px)[ _-]?(\d+)|(\d+)x(\d+)", re.IGNORECASE)
_NUMBER = re.compile(r"|(?:.*[ _.-])?id|index|row|unnamed: \d+", re.IGNORECASE)
_COMMA = re.compile(r"[-+]?\d+,\d+")
_FEW = 20  # rows, below which whole numbers may count up by chance
_STEPS = 2**10  # of float32 over the range of a column, below which its values run together


@dataclass(frozen=True)
class _Columns:
    """How features are made of the columns of a table: numbers as they are, texts by their categories."""

    numbers: tuple[str, ...]
    categories: dict[str, list[str]]
    order: tuple[str, ...]


def from_frames(
    train: pandas.DataFrame,
    test: pandas.DataFrame | None,
    *,
    name: str,
    label: str | None = None,
    fraction: float | int | None = None,
    classes: Sequence[str] | None = None,
    task: str | None = None,
) -> Dataset:
    """A data set from one table, of which a part is drawn as test set, or from two.

    Args:
        train: The training examples, or all examples.
        test: The test examples, with the same columns; None to draw them.
        name: The name of the data set.
        label: The column of the labels; None for the only one that is called label, class, target or y.
        fraction: The fraction or the number of examples that are drawn as test set; None for a fifth.
        classes: The names of classes that are numbered from 0.
        task: "regression" for a column of targets, whose name is then that of the target.

    Raises:
        DataError: A value is missing, a column is of no use, or the two tables differ.
    """
    train = train.rename(columns=str)
    test = None if test is None else test.rename(columns=str)
    label, notes = label_column(train, label, name, task=task)
    if not len(train):
        raise DataError(f"{name}: the table has no rows below its header; expected examples")
    if test is not None:
        if fraction is not None:
            raise DataError(f"{name}: test: got {fraction}, but the data have a test set of their own; leave it out")
        test = _same_columns(train, test, label, name)
    for part, frame in (("training", train), ("test", test)):
        if frame is not None:
            _check_complete(frame, f"{name}: the {part} table")
    x, dropped = _without_counters(train.drop(columns=label), test)
    notes += dropped
    stated = len(classes or ())
    y = _labels(train[label], name, stated=stated, task=task)
    if test is None:
        kept, rows, note = drawn_for_test(name, y, fraction, task=task)
        y_train, y_test = y[kept], y[rows]
        x_train, x_test = x.iloc[kept], x.iloc[rows]
        notes.append(note)
    else:
        y_train, y_test = y, _labels(test[label], name, stated=stated, task=task)
        x_train, x_test = x, test.drop(columns=[column for column in test.columns if column not in x.columns])
    values, more = _features(x_train, x_test, name)
    if task is not None:
        dataset = from_arrays(values[0], y_train, values[1], y_test, name=name, classes=(label,), task=task)
        return dataset.noting([*notes, *more])
    if y_train.dtype.kind == "i" and y_test.dtype.kind == "U" and all(map(_is_whole, y_test.tolist())):
        y_test = y_test.astype(np.int64)  # a test table that lacks some classes
    if y_train.dtype.kind != y_test.dtype.kind:
        y_train, y_test = y_train.astype(str), y_test.astype(str)
    dataset = from_arrays(values[0], y_train, values[1], y_test, name=name, classes=_names(classes, y_train))
    return dataset.noting([*notes, *more])


def _names(classes: Sequence[str] | None, y: NDArray[Any]) -> Sequence[str] | None:
    return classes if classes is not None and y.dtype.kind in "biu" else None


def label_column(
    frame: pandas.DataFrame, label: str | None, name: str, *, task: str | None = None
) -> tuple[str, list[str]]:
    """The column of the labels: the given one, or the only one with such a name, and a note. Raises: DataError."""
    columns = [str(column) for column in frame.columns]
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise DataError(f"{name}: two columns are named {twice[0]!r}; expected a name of its own for each")
    shown = listed(columns, 12)
    if label is not None:
        if label not in columns:
            raise DataError(f"{name}: {has_no('the table', 'column', label, columns[:50])}")
        return label, []
    likely = [column for column in columns if column.casefold() in _LABELS]
    if len(likely) == 1:
        what = "labels" if task is None else "targets"
        return likely[0], [f"column {likely[0]!r} is read as the {what}"]
    which = f"{' and '.join(map(repr, likely))} may both be it" if likely else f"the columns are {shown}"
    what, option = ("labels", "") if task is None else ("targets", " --regression")
    raise DataError(
        f"{name}: which column holds the {what}? {which}; say it, and use the .npz file that is written: "
        f"`assay data convert TABLE DATA.npz --label COLUMN{option}`, or assay.load_data(..., label=COLUMN)"
    )


def _same_columns(train: pandas.DataFrame, test: pandas.DataFrame, label: str, name: str) -> pandas.DataFrame:
    if label not in test.columns:
        raise DataError(
            f"{name}: the test table has no column {label!r}, so nothing can be measured on it; use the training "
            "table alone, of which a part is then drawn as test set"
        )
    missing = [str(column) for column in train.columns if column not in test.columns]
    extra = [str(column) for column in test.columns if column not in train.columns]
    if missing or extra:
        parts = [f"lacks {listed(missing)}"] * bool(missing) + [f"has {listed(extra)}"] * bool(extra)
        raise DataError(
            f"{name}: the test table {' and '.join(parts)}, other than the training table; expected the same columns"
        )
    if not len(test):
        raise DataError(f"{name}: the test table has no rows; expected examples")
    same: Any = test[list(train.columns)]
    return same


def _check_complete(frame: pandas.DataFrame, where: str) -> None:
    """Refuses missing and infinite values, with the first row and column. Raises: DataError."""
    missing = frame.isna().to_numpy()
    if not missing.any():
        for column in frame.columns:
            values = frame[column].to_numpy()
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                row = int(np.isinf(values).argmax())
                raise DataError(
                    f"{where}: row {row + 1:,} is infinite in column {str(column)!r}; expected finite numbers"
                )
        return
    rows, columns = missing.any(axis=1), missing.any(axis=0)
    row = int(rows.argmax())
    first = str(frame.columns[int(missing[row].argmax())])
    counts = f"{int(rows.sum()):,} rows, {int(columns.sum()):,} columns"
    raise DataError(
        f"{where}: row {row + 1:,} has no value in column {first!r} ({counts} have missing values); the first row "
        "below the header is 1. Fill them in, or leave these rows or columns out"
    )


def _without_counters(frame: pandas.DataFrame, test: pandas.DataFrame | None) -> tuple[pandas.DataFrame, list[str]]:
    """The features without columns that number the rows, which would give sorted labels away, and a note."""
    counters = [
        str(c)
        for c in frame.columns
        if _counts_rows(frame[c]) and (test is None or len(test) < _FEW or _counts_rows(test[c]))
    ]
    if not counters or len(counters) == len(frame.columns):
        return frame, []
    plural = "columns" if len(counters) > 1 else "column"
    verb = "number the rows and are" if len(counters) > 1 else "numbers the rows and is"
    return frame.drop(columns=counters), [f"{plural} {listed(list(map(repr, counters)))} {verb} left out"]


def _counts_rows(column: Any) -> bool:
    """Whether whole numbers count up by 1, or are those of a shuffled or sampled table under a name for that."""
    values = column.to_numpy()
    if len(values) < _FEW or values.dtype.kind not in "iu":
        return False
    values = values.astype(np.int64)
    if (np.diff(values) == 1).all():
        return True
    return _NUMBER.fullmatch(str(column.name)) is not None and len(np.unique(values)) == len(values)


def _labels(column: Any, name: str, *, stated: int = 0, task: str | None = None) -> NDArray[Any]:
    """Labels as names, or as numbers from 0 to C - 1, or the targets of a regression. Raises: DataError.

    `stated`: how many classes have names of their own, so that each number below is one, whether it occurs or not.
    """
    from pandas.api import types

    label = str(column.name)
    if task is not None:
        if types.is_bool_dtype(column) or not types.is_numeric_dtype(column):
            example = str(column.iloc[0])[:40]
            raise DataError(f"{name}: column {label!r} holds {example!r}; a regression needs numbers as targets")
        return column.to_numpy(np.float64)
    if types.is_bool_dtype(column) or not types.is_numeric_dtype(column):
        if types.is_datetime64_any_dtype(column):
            raise DataError(f"{name}: column {label!r} holds dates; expected classes")
        return np.array(_texts(column, f"{name}: column {label!r}"))
    values = column.to_numpy()
    if values.dtype.kind not in "iuf":
        values = values.astype(np.float64)
    if values.dtype.kind == "f":
        broken = np.flatnonzero(np.floor(values) != values)
        if len(broken):
            row = int(broken[0])
            raise DataError(
                f"{name}: column {label!r} holds real numbers, such as {values[row]:g} in row {row + 1:,}, which are "
                "no classes; for a regression on them, say data.task = 'regression' (--set data.task=regression), "
                "task='regression' in load_data, or --regression in `assay data convert`"
            )
        if np.abs(values).max() >= 2**53:
            raise DataError(f"{name}: column {label!r} holds {values.max():g}; expected classes")
    if values.dtype.kind == "u" and values.max(initial=0) >= 2**63:
        raise DataError(f"{name}: column {label!r} holds {values.max()}; expected classes")
    values = values.astype(np.int64)
    distinct = np.unique(values)
    if distinct[0] >= 0 and distinct[-1] < stated:
        return values
    if distinct[0] == 0 and distinct[-1] < 2 * len(distinct):
        return values
    return values.astype(str)  # only the numbers that occur are classes


def _features(
    train: pandas.DataFrame, test: pandas.DataFrame, name: str
) -> tuple[tuple[NDArray[Any], NDArray[Any]], list[str]]:
    """The features of both tables (N, D), or pixels (N, side, side), and notes. Raises: DataError."""
    if not len(train.columns):
        raise DataError(f"{name}: the table has no column next to the labels; expected features")
    if (side := _side(train, test)) is not None:
        first, last = train.columns[0], train.columns[-1]
        pixels = [frame.to_numpy(np.uint8).reshape(-1, side, side) for frame in (train, test)]
        note = f"the columns {first!r} to {last!r} are read as {side} x {side} pixels"
        return (pixels[0], pixels[1]), [note]
    columns, notes = _columns(train, test, name)
    if columns.numbers:
        notes += _range_notes(columns.numbers, train[list(columns.numbers)].to_numpy(np.float64))
    return (_values(train, columns), _values(test, columns)), notes


def _side(train: pandas.DataFrame, test: pandas.DataFrame) -> int | None:
    """The side of square pictures whose pixels are the columns, in their order; None for any other table."""
    side = math.isqrt(len(train.columns))
    if side < 2 or side * side != len(train.columns):
        return None
    places: list[tuple[int, ...]] = []
    for column in train.columns:
        match = _PIXEL.fullmatch(str(column))
        if match is None:
            return None
        places.append(tuple(int(part) for part in match.groups() if part is not None))
    first, *column_of_first = places[0]
    if column_of_first:
        expected = [(first + i // side, column_of_first[0] + i % side) for i in range(side * side)]
    else:
        expected = [(first + i,) for i in range(side * side)]
    if places != expected:  # some pixels of a larger picture, or in another order
        return None
    for frame in (train, test):
        if any(kind.kind not in "iu" for kind in frame.dtypes if hasattr(kind, "kind")):
            return None
        if frame.min(axis=None) < 0 or frame.max(axis=None) > 255:
            return None
    return side


def _columns(train: pandas.DataFrame, test: pandas.DataFrame, name: str) -> tuple[_Columns, list[str]]:
    from pandas.api import types

    numbers: list[str] = []
    categories: dict[str, list[str]] = {}
    notes: list[str] = []
    for column in map(str, train.columns):
        both = [frame[column] for frame in (train, test)]
        if all(types.is_numeric_dtype(one) and not types.is_complex_dtype(one) for one in both):
            numbers.append(column)
            continue
        where = f"{name}: column {column!r}"
        if any(types.is_datetime64_any_dtype(one) or types.is_timedelta64_dtype(one) for one in both):
            raise DataError(
                f"{where} holds dates or times; expected numbers or categories: leave it out, or convert it"
            )
        texts = [_texts(one, where) for one in both]
        _refuse_mixed(texts[0] + texts[1], where)
        known = sorted(set(texts[0]))
        if len(known) > TABLE_CATEGORIES.most:
            raise DataError(
                f"{where} has {len(known):,} different texts, such as {known[0][:40]!r}; expected numbers, or at most "
                f"{TABLE_CATEGORIES}: leave it out"
            )
        categories[column] = known
        if unseen := sorted(set(texts[1]) - set(known)):
            rows = sum(text not in known for text in texts[1])
            notes.append(
                f"column {column!r}: {rows:,} test examples have categories without a training example "
                f"({listed(unseen, 3)}), which become 0 in every feature of it"
            )
    if categories:
        features = sum(map(len, categories.values()))
        named = listed([repr(column) for column in categories], 6)
        plural = "columns" if len(categories) > 1 else "column"
        notes.insert(0, f"{plural} {named} of texts became {features:,} features of 0 and 1, one for each category")
    return _Columns(tuple(numbers), categories, tuple(map(str, train.columns))), notes


def _texts(column: Any, where: str) -> list[str]:
    values: list[Any] = column.tolist()
    strange = next((value for value in values if not isinstance(value, str | bool | int | float)), None)
    if strange is not None:
        raise DataError(f"{where} holds objects of type {type(strange).__name__}; expected numbers or texts")
    return [str(value).strip() for value in values]


def _refuse_mixed(texts: list[str], where: str) -> None:
    """Refuses a column of numbers that some texts among them turned into categories. Raises: DataError."""
    commas = sum(_COMMA.fullmatch(text) is not None for text in texts)
    if commas * 2 >= len(texts):
        example = next(text for text in texts if _COMMA.fullmatch(text))
        raise DataError(f"{where} has numbers with commas, such as {example!r}; write decimal points")
    numeric = [is_number(text) for text in texts]
    if sum(numeric) * 2 < len(texts):
        return
    if all(numeric):
        raise DataError(f"{where} has numbers as texts, such as {texts[0]!r}; convert it with pandas.to_numeric")
    row = numeric.index(False)
    raise DataError(
        f"{where} has numbers and texts, such as {texts[row][:40]!r}; expected one or the other: correct these "
        "cells, or leave their rows out"
    )


def is_number(text: str) -> bool:
    """Whether a cell's text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_whole(text: str) -> bool:
    return text.isascii() and text.removeprefix("-").isdecimal() and len(text) < 19


def _values(frame: pandas.DataFrame, columns: _Columns) -> NDArray[np.float64]:
    """The features (N, D) in the order of the columns; each category is a feature of 0 and 1."""
    parts: list[NDArray[np.float64]] = []
    for column in columns.order:
        if column not in columns.categories:
            parts.append(frame[column].to_numpy(np.float64)[:, None])
            continue
        texts = np.array([str(value).strip() for value in frame[column].tolist()])
        parts.append((texts[:, None] == np.array(columns.categories[column])).astype(np.float64))
    return np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]


def _range_notes(names: Sequence[str], x: NDArray[np.float64]) -> list[str]:
    """Sentences on columns (N, D) that are constant in the training set, or whose values run together in float32."""
    notes: list[str] = []
    lowest, highest = x.min(axis=0), x.max(axis=0)
    if constant := [repr(name) for name, same in zip(names, lowest == highest, strict=True) if same]:
        plural, verb = ("columns", "are") if len(constant) > 1 else ("column", "is")
        notes.append(f"{plural} {listed(constant)} {verb} constant in the training set, so nothing is learned from it")
    largest = np.maximum(np.abs(lowest), np.abs(highest))
    close = (highest > lowest) & (highest - lowest < largest * _STEPS * float(np.finfo(np.float32).eps))
    for name in [name for name, one in zip(names, close, strict=True) if one][:3]:
        notes.append(
            f"column {name!r} varies little next to its size, and float32 rounds it: subtract a constant first"
        )
    return notes
