"""Small data sets of colour pictures, and files of them under MNIST's and EMNIST's names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import Dataset, from_arrays
from assay.data.idx import write_idx
from assay.rng import stream

N, M = 20, 10
Y, Y_TEST = np.arange(N) % 4, np.arange(M) % 4


def colours(rows: int, name: str) -> NDArray[np.uint8]:
    """Pictures of 6 x 5 pixels with 3 channels."""
    drawn = np.rint(stream(4, name).uniform(rows * 90) * 255).astype(np.uint8).reshape(rows, 6, 5, 3)
    drawn[0, 0, 0, 0] = 255
    return drawn


X, X_TEST = colours(N, "train"), colours(M, "test")
PLAIN = from_arrays(X, Y, X_TEST, Y_TEST)
ARRAYS = {"x_train": X, "y_train": Y, "x_test": X_TEST, "y_test": Y_TEST}


def same(data: Dataset, note: str = "") -> None:
    assert (data.shape, data.checksum) == (PLAIN.shape, PLAIN.checksum)
    assert not note or any(note in other for other in data.notes), data.notes


def write_set(folder: Path, names: tuple[str, ...], arrays: dict[str, Any] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(names, (arrays or ARRAYS).values(), strict=True):
        write_idx(folder / name, array if array.ndim > 2 or array.shape[1:] else array.astype(np.uint8))
    return folder


MNIST = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")


def emnist(variant: str) -> tuple[str, ...]:
    return tuple(
        f"emnist-{variant}-{part}-{kind}-ubyte.gz"
        for part, kind in [
            ("train", "images-idx3"),
            ("train", "labels-idx1"),
            ("test", "images-idx3"),
            ("test", "labels-idx1"),
        ]
    )
