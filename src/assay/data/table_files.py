"""Data sets in tables: one file, or a folder under the names of Kaggle and Hugging Face."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.data.dataset import Dataset, from_arrays
from assay.data.frames import from_frames, label_column
from assay.data.picture_stack import PictureStack, Size
from assay.data.splits import drawn_for_test
from assay.data.table_reading import LoadedTable, check_size, is_table, read_table, row_batches
from assay.errors import DataError, listed
from assay.system.limits import FOLDER_ENTRIES

if TYPE_CHECKING:
    import pandas

_PICTURES = 64
_PART = re.compile(
    r"(?:.*[-_. ])?(?:(train|training)|(test|testing)|(validation|valid|val|dev))"
    r"(?:[-_. ](\d+)-of-(\d+))?(?:-[0-9a-f]{16})?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Reading:
    """How tables and pictures are read where they do not say it themselves.

    Attributes:
        label: The column of the labels.
        test: The fraction or the number of examples that are drawn as test set, where there is none.
        size: The height and width that pictures are resized to.
        task: "regression" where the labels are the targets of a regression.
    """

    label: str | None = None
    test: float | int | None = None
    size: Size | None = None
    task: str | None = None

    def refuse(self, name: str | Path, *settings: str) -> None:
        """Refuses settings that the data have no use for. Raises: DataError."""
        given = [key for key in settings if getattr(self, key) is not None]
        if given:
            raise DataError(f"{name}: {', '.join(given)} given for data that need no such setting; leave it out")


def from_table(path: Path, how: Reading) -> Dataset:
    """The data set in one table, of which a part is drawn as test set. Raises: DataError."""
    return replace(_dataset(([path], read_table(path)), None, how, name=str(path)), name=_stem(path))


def from_tables(folder: Path, how: Reading) -> Dataset | None:
    """The data set in the tables of a folder, named train... and test..., or of its `data`; None where there are none.

    Raises: DataError.
    """
    parts = next((parts for one in (folder, folder / "data") if (parts := _parts(one))), None)
    if parts is None:
        return None
    if not parts.get("train"):
        names = listed([path.name for paths in parts.values() for path in paths])
        raise DataError(f"{folder}: holds the tables {names}, none named train...; give the path of one of them")
    train, test = _joined(parts["train"]), _joined(parts["test"]) if "test" in parts else None
    notes: list[str] = []
    label, _ = label_column(train.frame.rename(columns=str), _label_named(train, how.label), str(folder), task=how.task)
    if test is not None and _lacks_labels(test.frame, label, is_class=label in train.classes):
        notes.append(f"{parts['test'][0].name} has no labels and is not used")
        test = None
    if unused := parts.get("validation"):
        notes.append(f"{listed([path.name for path in unused])} not used")
    held_out = None if test is None else (parts["test"], test)
    dataset = _dataset((parts["train"], train), held_out, how, name=str(folder)).noting(notes)
    return replace(dataset, name=folder.resolve().name)


def _lacks_labels(test: pandas.DataFrame, label: str, *, is_class: bool) -> bool:
    """Whether a test table is that of a competition, without labels, or with -1 in place of each class."""
    if label not in map(str, test.columns):
        return True
    return is_class and bool((test[label] == -1).all())


def _label_named(table: LoadedTable, label: str | None) -> str | None:
    """The given label, else the only column of which the table states the classes."""
    return next(iter(table.classes)) if label is None and len(table.classes) == 1 else label


Read = tuple[Sequence[Path], LoadedTable]


def _dataset(train: Read, test: Read | None, how: Reading, *, name: str) -> Dataset:
    table, label = train[1], _label_named(train[1], how.label)
    if table.pictures:
        return _picture_dataset(train, test, replace(how, label=label), name=name)
    how.refuse(name, "size")  # of pictures
    other = None if test is None else test[1].frame
    classes = table.classes.get(label or "")
    dataset = from_frames(table.frame, other, name=name, label=label, fraction=how.test, classes=classes, task=how.task)
    return dataset.noting([*table.notes, *(test[1].notes if test else ())])


def _picture_dataset(train: Read, test: Read | None, how: Reading, *, name: str) -> Dataset:
    """The data set of a table with a column of pictures. Raises: DataError."""
    if test is not None and not test[1].pictures:
        raise DataError(f"{name}: the training table has pictures, the test table has none; expected the same")
    label, notes = label_column(train[1].frame, how.label, name, task=how.task)
    if unused := [str(column) for column in train[1].frame.columns if column != label]:
        notes.append(f"next to the pictures, the columns {listed(list(map(repr, unused)))} are not used")
    stack = PictureStack(name, size=how.size)
    labels: list[Any] = []
    for paths, table in (train, *([test] if test else [])):
        if label not in table.frame.columns:
            raise DataError(f"{name}: {paths[0].name} has no column {label!r}")
        column = table.frame[label]
        missing: Any = column.isna().to_numpy()
        if missing.any():
            raise DataError(f"{name}: {paths[0].name}: row {int(missing.argmax()) + 1:,} has no label")
        labels += column.tolist()
        for path in paths:
            _add_pictures(path, table.pictures, stack)
    y, classes = np.array(labels), train[1].classes.get(label) if how.task is None else [label]
    if len(y) != len(stack):
        raise DataError(f"{name}: {len(y):,} labels of {len(stack):,} pictures; expected one for each")
    x, more = stack.array()
    if test is None:
        kept, rows, note = drawn_for_test(name, y, how.test, task=how.task)
        notes.append(note)
    elif how.test is not None:
        raise DataError(f"{name}: test: got {how.test}, but the data have a test set of their own; leave it out")
    else:
        kept, rows = np.split(np.arange(len(y)), [len(train[1].frame)])
    return from_arrays(x[kept], y[kept], x[rows], y[rows], name=name, classes=classes, task=how.task).noting(
        [*notes, *more]
    )


def _add_pictures(path: Path, column: str, stack: PictureStack) -> None:
    """Adds the pictures of a table to the stack. Raises: DataError."""
    row = 0
    for batch in row_batches(path, _PICTURES, columns=[column], dictionaries=[f"{column}.bytes"]):
        cells = batch.column(0)
        contents = cells.field("bytes")
        indices = contents.indices if hasattr(contents, "indices") else None
        for i in range(len(cells)):
            row += 1
            value = contents[i].as_py() if cells[i].is_valid and (indices is None or indices[i].is_valid) else None
            if not isinstance(value, bytes) or not value:
                raise DataError(f"{path}: row {row:,} has no picture in column {column!r}")
            stack.add(f"{path}: row {row:,}", value)


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[0] or path.name


def _parts(folder: Path) -> dict[str, list[Path]]:
    """The tables of a folder by the part of a data set that they are named for, in order. Raises: DataError."""
    if not folder.is_dir():
        return {}
    parts: dict[str, list[Path]] = {}
    promised: dict[str, int] = {}
    for path in sorted(islice(folder.iterdir(), FOLDER_ENTRIES.most)):
        match = _PART.fullmatch(_stem(path)) if is_table(path) and path.is_file() else None
        if match is None:
            continue
        part = "train" if match[1] else "test" if match[2] else "validation"
        parts.setdefault(part, []).append(path)
        promised[part] = max(promised.get(part, 1), int(match[5] or 1))
    for part, paths in parts.items():
        if len(paths) != promised[part]:
            problem = "are not all there" if len(paths) < promised[part] else "are more than one table"
            raise DataError(
                f"{folder}: {listed([path.name for path in paths])} {problem}; expected {promised[part]:,}: download "
                "them again, or give the path of one"
            )
    return parts


def _joined(paths: Sequence[Path]) -> LoadedTable:
    """The shards of one table, one below the other. Raises: DataError."""
    import pandas

    tables = [read_table(path) for path in paths]
    first = tables[0]
    for path, table in zip(paths, tables, strict=True):
        if list(table.frame.columns) != list(first.frame.columns):
            raise DataError(f"{path}: has other columns than {paths[0].name}; expected shards of one table")
    if len(tables) == 1:
        return first
    check_size(paths[0].parent, rows=sum(len(table.frame) for table in tables), columns=len(first.frame.columns))
    frame = pandas.concat([table.frame for table in tables], ignore_index=True)
    notes = tuple(dict.fromkeys(note for table in tables for note in table.notes))
    return LoadedTable(frame, first.classes, first.pictures, notes)
