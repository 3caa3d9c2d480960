"""Data of other libraries that are in memory: frames of pandas, data sets of torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.data.dataset import Dataset, from_arrays
from assay.data.frames import from_frames
from assay.data.splits import drawn_for_test
from assay.data.table_files import Reading
from assay.errors import DataError

_EXPECTED = "expected a name, a path, a pandas.DataFrame, or a data set of torch with a length and items (x, y)"


def from_object(data: Any, how: Reading) -> Dataset:
    """A data set from a frame of pandas or a data set of torch; `how.test` may be another one. Raises: DataError."""
    if isinstance(data, Dataset):
        raise DataError("the data are a Dataset already; use it as it is")
    how.refuse("data", "size")
    held_out: Any = None if how.test is None or isinstance(how.test, int | float) else how.test
    fraction = how.test if held_out is None else None
    if _is_frame(data):
        if held_out is not None and not _is_frame(held_out):
            raise DataError(f"test: got {type(held_out).__name__}; expected a frame as well, or a fraction")
        return from_frames(data, held_out, name="frame", label=how.label, fraction=fraction, task=how.task)
    if how.label is not None:
        raise DataError("label: given for data without columns; leave it out")
    train = _items(data, "the data set")
    classes = _classes(data, train[1]) if how.task is None else None
    if held_out is not None:
        test = _items(held_out, "the data set to test on")
        return from_arrays(*train, *test, name=type(data).__name__, classes=classes, task=how.task)
    kept, rows, note = drawn_for_test("the data set", train[1], fraction, task=how.task)
    arrays = (train[0][kept], train[1][kept], train[0][rows], train[1][rows])
    return from_arrays(*arrays, name=type(data).__name__, classes=classes, task=how.task).noting([note])


def _is_frame(data: Any) -> bool:
    return type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "columns")


def _items(data: Any, where: str) -> tuple[Any, Any]:
    """The examples (N, ...) and labels (N,) of a data set that is indexed from 0."""
    if isinstance(data, dict | str | bytes) or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise DataError(f"data: got {type(data).__name__}; {_EXPECTED}")
    examples: list[Any] = []
    labels: list[Any] = []
    for number in range(len(data)):
        item: Any = data[number]
        if not isinstance(item, tuple | list) or len(item) != 2:  # pyright: ignore[reportUnknownArgumentType]
            raise DataError(f"{where}: item {number} is {type(item).__name__}; {_EXPECTED}")
        example, label = np.asarray(item[0]), np.asarray(item[1])
        if examples and example.shape != examples[0].shape:
            raise DataError(
                f"{where}: item {number} has shape {example.shape}, item 0 {examples[0].shape}; expected examples of "
                "one shape: resize them in the transform of the data set"
            )
        if label.ndim:
            raise DataError(f"{where}: item {number} has a label of shape {label.shape}; expected one class")
        examples.append(example)
        labels.append(label.item())
    if not examples:
        raise DataError(f"{where} is empty; expected at least one example")
    return np.stack(examples), np.array(labels)


def _classes(data: Any, y: Any) -> list[str] | None:
    """The names of the classes that torchvision's sets have, where they fit the labels."""
    names: Any = getattr(data, "classes", None)
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):  # pyright: ignore
        return None
    fits = y.dtype.kind in "iu" and len(set(names)) == len(names) > int(y.max())  # pyright: ignore
    return list(names) if fits else None  # pyright: ignore
