"""A data set as one .npz file: what `assay data convert` writes, with its classes, its scale and its notes.

The file of a regression has `assay_target`, the name of its target, in place of the classes.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import Dataset
from assay.errors import DataError
from assay.system.files import write_atomically

CLASSES, SCALE, NOTES, TARGET = "assay_classes", "assay_scale", "assay_notes", "assay_target"
"""The arrays of a converted file next to the four of a data set."""


def write_npz_set(dataset: Dataset, path: Path) -> None:
    """Writes the file; loading it gives a data set of the same checksum, classes and notes. Raises: DataError."""
    if path.suffix.lower() != ".npz":
        raise DataError(f"{path}: expected a path that ends in .npz")
    shape = dataset.shape
    arrays: dict[str, NDArray[Any]] = {
        "x_train": dataset.x_train.reshape(-1, *shape),
        "y_train": dataset.y_train,
        "x_test": dataset.x_test.reshape(-1, *shape),
        "y_test": dataset.y_test,
        TARGET if dataset.task else CLASSES: np.array(dataset.classes),
        SCALE: np.array([dataset.scale]),
        NOTES: np.array(dataset.assumptions or ("",)),
    }
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    write_atomically(path, content.getbuffer())


def stated(path: Path, arrays: dict[str, NDArray[Any]]) -> tuple[list[str] | None, float | None, list[str]]:
    """The classes, the scale and the notes of a converted file, as far as it has them. Raises: DataError."""
    classes = _texts(path, TARGET if TARGET in arrays else CLASSES, arrays)
    notes = [note for note in _texts(path, NOTES, arrays) or [] if note]
    scale: float | None = None
    if SCALE in arrays:
        values = arrays[SCALE]
        if values.shape != (1,) or values.dtype.kind != "f" or not 0 < float(values[0]) < np.inf:
            raise DataError(f"{path}: {SCALE} is no positive number; convert the data again")
        scale = float(values[0])
    return classes, scale, notes


def _texts(path: Path, name: str, arrays: dict[str, NDArray[Any]]) -> list[str] | None:
    if name not in arrays:
        return None
    values = arrays[name]
    if values.ndim != 1 or values.dtype.kind != "U":
        raise DataError(f"{path}: {name} is no list of texts; convert the data again")
    try:
        return [str(value)[:1000] for value in values.tolist()[:10_000]]
    except (ValueError, SystemError):
        raise DataError(f"{path}: {name} holds what is no text; convert the data again") from None
