"""The tables that scikit-learn carries: iris, wine and breast cancer for classification, diabetes for regression."""

from __future__ import annotations

import csv
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import Dataset, from_arrays
from assay.data.splits import drawn_for_test
from assay.data.targets import REGRESSION
from assay.rng import stream


@cache
def bundled(name: str) -> Dataset:
    """The set that scikit-learn's `load_NAME` returns, with a fifth of each class as test set by a fixed draw."""
    x, y, classes = _rows(name)
    train, test, note = drawn_for_test(name, y, None)
    train = train[stream(0, "bundled-order").permutation(len(train))]  # two of the tables are sorted by class
    dataset = from_arrays(x[train], y[train], x[test], y[test], name=name.replace("_", "-"), classes=classes)
    return dataset.noting([note])


@cache
def diabetes() -> Dataset:
    """The set that scikit-learn's `load_diabetes` returns, with a fifth as test set by a fixed draw.

    Source: Efron, Hastie, Johnstone, Tibshirani, Least angle regression, Annals of Statistics 32 (2004).
    """
    x, y = _diabetes()
    train, test, note = drawn_for_test("diabetes", y, None, task=REGRESSION)
    arrays = (x[train], y[train], x[test], y[test])
    return from_arrays(*arrays, name="diabetes", classes=("progression",), task=REGRESSION).noting([note])


def _diabetes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Examples (442, 10), each feature centred and divided by the square root of its sum of squares, and targets.

    The files hold the raw measures, which `load_diabetes` scales so.
    """
    folder = _folder()
    paths = [folder / f"diabetes_{part}.csv.gz" for part in ("data_raw", "target")]
    if not all(path.is_file() for path in paths):
        from sklearn import datasets

        bunch: Any = datasets.load_diabetes()
        return bunch.data, bunch.target
    x, y = (np.loadtxt(path) for path in paths)
    x -= x.mean(axis=0)
    return x / np.sqrt((x * x).sum(axis=0)), y


def _folder() -> Path:
    """Where scikit-learn keeps its tables, without importing it, which takes a second."""
    spec = find_spec("sklearn")
    return Path(spec.origin).parent / "datasets" / "data" if spec and spec.origin else Path()


def _rows(name: str) -> tuple[NDArray[np.float64], NDArray[np.int64], tuple[str, ...]]:
    """Examples, labels and class names."""
    folder = _folder()
    path = next((path for path in (folder / f"{name}.csv", folder / f"{name}_data.csv") if path.is_file()), None)
    if path is None:
        from sklearn import datasets

        bunch: Any = getattr(datasets, f"load_{name}")()
        return bunch.data, bunch.target.astype(np.int64), tuple(map(str, bunch.target_names))
    with path.open(newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        _, features, *classes = next(lines)  # its first line: examples, features, the names of the classes
        values = np.array(list(lines), np.float64)
    return values[:, : int(features)], values[:, int(features)].astype(np.int64), tuple(classes)
