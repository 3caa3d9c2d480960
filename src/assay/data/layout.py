"""The axes of arrays of examples, put into our order: examples first, channels last."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import DataError

_CHANNELS = (1, 3, 4)  # grey, RGB, RGBA


def in_order(x: NDArray[Any], y: NDArray[Any], *, name: str, part: str) -> tuple[NDArray[Any], NDArray[Any], list[str]]:
    """Examples as (N, D), (N, H, W) or (N, H, W, channels), their labels as (N,) or (N, columns), and sentences.

    Axes are moved only where the counts leave no other reading: the number of examples is that of the labels.
    `part`: "training" or "test".

    Raises: DataError if the counts fit in no order.

    >>> x, y, notes = in_order(np.zeros((5, 3, 32, 32)), np.zeros(5), name="a", part="training")
    >>> x.shape, notes
    ((5, 32, 32, 3), ['examples of shape (3, 32, 32) are read as 32 x 32 pixels with 3 channels first'])
    """
    if x.ndim not in (2, 3, 4):
        hint = f"; reshape them with x.reshape({len(y)}, -1)" if x.ndim and y.ndim and len(y) else ""
        hint = hint if x.ndim else "; pass x.toarray() for a sparse matrix"
        raise DataError(
            f"{name}: the {part} examples have {x.ndim} dimensions; expected (N, D), (N, H, W) or (N, H, W, C){hint}"
        )
    notes: list[str] = []
    counts = y.shape[:2]
    if len(x) not in counts and x.shape[-1] in counts:
        notes.append(f"arrays of shape {_symbols(x.ndim)} are read with the examples last")
        x = np.moveaxis(x, -1, 0)
    if len(x) not in counts:
        raise DataError(f"{name}: {len(x):,} {part} examples but labels of shape {y.shape}; expected ({len(x)},)")
    if y.ndim == 2 and y.shape[0] != len(x):
        y = y.T
    x, note = channels_last(x)
    return x, y, [*notes, *note]


def _symbols(dimensions: int) -> str:
    return {2: "(D, N)", 3: "(H, W, N)"}.get(dimensions, "(H, W, C, N)")


def channels_last(x: NDArray[Any]) -> tuple[NDArray[Any], list[str]]:
    """Images with their channels on the last axis, and a sentence where they were moved or may have to be."""
    if x.ndim != 4:
        return x, []
    first, height, width = x.shape[1:]
    if first in _CHANNELS and min(height, width) > max(_CHANNELS):
        plural = "channel" if first == 1 else "channels"
        note = f"examples of shape {x.shape[1:]} are read as {height} x {width} pixels with {first} {plural} first"
        return np.moveaxis(x, 1, -1), [note]
    if first < height == width and width > max(_CHANNELS):
        return x, [
            f"examples of shape {x.shape[1:]} are read as {first} x {height} pixels with {width} channels; "
            "if the channels come first, pass np.moveaxis(x, 1, -1)"
        ]
    return x, []


def check_order(name: str, x_train: Any, y_train: Any, x_test: Any, y_test: Any) -> None:
    """Refuses arguments in the order of scikit-learn's `train_test_split`. Raises: DataError."""
    shapes = [getattr(array, "shape", ()) for array in (x_train, y_train, x_test, y_test)]
    sizes = [shape[0] if shape else 0 for shape in shapes]
    if len(shapes[1]) > 1 == len(shapes[2]) and sizes[0] == sizes[2] != sizes[1] == sizes[3]:
        raise DataError(
            f"{name}: the arrays are in scikit-learn's order x_train, x_test, y_train, y_test; "
            "expected x_train, y_train, x_test, y_test"
        )
