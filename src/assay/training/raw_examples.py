"""Raw examples that a network is to classify, checked and in the order of its training data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.data.layout import channels_last
from assay.data.scale import OTHER_UNITS, range_of
from assay.errors import AssayError, DataError
from assay.training.history import History


def raw_examples(history: History, x: ArrayLike, *, scale: float | None) -> NDArray[Any]:
    """Examples as rows (N, D), uint8 or rounded to float32 as in training.

    Args:
        history: The training of the network.
        x: The examples, (N, D) or (N, *shape).
        scale: What the values are divided by, as the caller states it; None for that of the training.

    Raises:
        DataError: They have another shape, are no finite numbers, or are plainly in other units.
        AssayError: The weights were not kept, or what the training divided by is unknown.
    """
    if not history.checkpoint.weights:
        raise AssayError("the weights of this training were not kept, so it cannot predict; train it again")
    if scale is not None and not 0 < scale < np.inf:
        raise DataError(f"scale: got {scale}; expected a number > 0")
    if scale is None and history.scale is None:
        raise AssayError(
            "these weights were saved by an older version and do not say what raw values are divided by; "
            "give it, such as predict(x, scale=255)"
        )
    rows = _rows(history, _array(x))
    if not len(rows):
        return rows
    if rows.dtype != np.uint8:
        with np.errstate(over="ignore"):
            rows = rows.astype(np.float32)
        if not np.isfinite(rows).all():
            row = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
            raise DataError(f"example {row} holds NaN, infinity, or a number beyond the range of float32 (3.4e38)")
    if scale is None and history.scale is not None:
        _check_units(rows, history.scale)
    return rows


def _array(x: ArrayLike) -> NDArray[Any]:
    if np.ma.is_masked(x):
        raise DataError("the examples have masked values; expected values for all")
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise DataError(f"the examples are no array: {error}; expected examples of one shape") from None
    if array.dtype.kind not in "buif":
        raise DataError(f"the examples have element type {array.dtype}; expected numbers")
    return array


def _rows(history: History, x: NDArray[Any]) -> NDArray[Any]:
    """The examples as rows (N, D). Raises: DataError."""
    shape = history.shape
    if len(shape) == 3 and x.shape[1:] != shape:
        x, _ = channels_last(x)
    if x.shape[1:] in (shape, (history.inputs,)):
        return np.ascontiguousarray(x.reshape(len(x), history.inputs))
    ways = list(dict.fromkeys(f"(N, {', '.join(map(str, one))})" for one in (shape, (history.inputs,))))
    hint = "; for a single example pass x[None]" if x.shape in (shape, (history.inputs,)) else ""
    raise DataError(f"the examples have shape {x.shape}; expected {' or '.join(ways)}{hint}")


def _check_units(rows: NDArray[Any], scale: float) -> None:
    """Refuses values that are plainly not in the units of the training set. Raises: DataError."""
    magnitudes = np.abs(rows[rows != 0].astype(np.float64))
    if not len(magnitudes):
        return
    if scale >= OTHER_UNITS and magnitudes.max() <= 1:
        why = f"the training values were divided by {scale:g}, so these seem to be divided already"
    elif np.quantile(magnitudes, 0.9) > OTHER_UNITS * scale:
        why = f"the training values were divided by {scale:g}, so these seem to be in another unit"
    else:
        return
    raise DataError(
        f"the values run from {range_of(rows)}; {why}. Pass raw values in the units of the training set, or state "
        "what these are divided by with scale=..."
    )
