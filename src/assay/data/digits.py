"""The digits that scikit-learn carries, at their own size and in MNIST's frame."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import Dataset, from_arrays
from assay.rng import stream

_TEST_EXAMPLES = 360  # a fifth of the 1,797


@cache
def digits() -> Dataset:
    """The 1,797 digits of 8 x 8 pixels that scikit-learn carries, values 0 to 16: 1,437 to train on, 360 to test on.

    The split is stratified and fixed: the same fraction of each class, drawn by a named stream.
    """
    rows = _rows()  # 64 pixels and the label
    x, y = rows[:, :-1].reshape(-1, 8, 8).astype(np.uint8), rows[:, -1].astype(np.int64)
    order = stream(0, "digits-split").permutation(len(y))
    by_class = [order[y[order] == label] for label in range(10)]
    quotas = [len(rows) * _TEST_EXAMPLES / len(y) for rows in by_class]
    counts = [int(quota) for quota in quotas]
    for label in sorted(range(10), key=lambda k: counts[k] - quotas[k])[: _TEST_EXAMPLES - sum(counts)]:
        counts[label] += 1  # the largest remainders, so that the counts add up to 360
    test = np.sort(np.concatenate([rows[:count] for rows, count in zip(by_class, counts, strict=True)]))
    train = np.setdiff1d(np.arange(len(y)), test)
    return from_arrays(x[train], y[train], x[test], y[test], name="digits", scale=16.0)


def _rows() -> NDArray[np.float64]:
    """The table that scikit-learn carries, (1797, 65), without importing scikit-learn, which takes a second."""
    spec = find_spec("sklearn")
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz" if spec and spec.origin else Path()
    if path.is_file():
        return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    return np.column_stack([bunch.data, bunch.target])


@cache
def digits_28() -> Dataset:
    """The same digits and the same split in MNIST's frame: enlarged to 20 x 20 pixels in the middle of 28 x 28.

    Between the centres of the old pixels, values are interpolated linearly in both directions.
    """
    small = digits()
    positions = (np.arange(20) + 0.5) * 8 / 20 - 0.5  # of the new pixels, in old ones
    interpolation = np.clip(1.0 - np.abs(positions[:, None] - np.arange(8)), 0.0, 1.0)
    interpolation /= interpolation.sum(axis=1, keepdims=True)  # the outermost new pixels lie beyond the last centre

    def enlarged(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
        frames = np.zeros((len(x), 28, 28), np.uint8)
        images = x.reshape(-1, 8, 8) * (255.0 / 16.0)
        frames[:, 4:24, 4:24] = np.rint(interpolation @ images @ interpolation.T)
        return frames

    frames = enlarged(small.x_train), enlarged(small.x_test)
    return from_arrays(frames[0], small.y_train, frames[1], small.y_test, name="digits-28", classes=small.classes)
