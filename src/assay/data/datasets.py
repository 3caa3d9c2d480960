"""Data sets by name or path."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import Dataset, from_arrays
from assay.data.idx import read_idx
from assay.data.npz import read_npz
from assay.errors import DataError, unknown
from assay.rng import stream


@dataclass(frozen=True)
class DataSource:
    """A data set by name: how it is loaded, and a line about it."""

    load: Callable[[], Dataset]
    about: str


def data_folder() -> Path:
    """Where fetched data sets are: $ASSAY_DATA, else the cache folder of this user."""
    if folder := os.environ.get("ASSAY_DATA"):
        return Path(folder).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "assay" / "data"


def digits() -> Dataset:
    """The 1,797 digits of 8 x 8 pixels that scikit-learn carries, values 0 to 16: 1,437 to train on, 360 to test on.

    The split is stratified and fixed: of each class the same share, drawn by a named stream.
    """
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    x, y = bunch.images.astype(np.uint8), bunch.target.astype(np.int64)
    order = stream(0, "digits-split").permutation(len(y))
    by_class = [order[y[order] == label] for label in range(10)]
    shares = [len(rows) * 360 / len(y) for rows in by_class]
    counts = [int(share) for share in shares]
    for label in sorted(range(10), key=lambda k: counts[k] - shares[k])[: 360 - sum(counts)]:
        counts[label] += 1  # the largest remainders, so that the counts add up to 360
    test = np.sort(np.concatenate([rows[:count] for rows, count in zip(by_class, counts, strict=True)]))
    train = np.setdiff1d(np.arange(len(y)), test)
    return from_arrays(x[train], y[train], x[test], y[test], name="digits", scale=16.0)


def digits_28() -> Dataset:
    """The same digits in MNIST's frame, split alike: each enlarged to 20 x 20 pixels in the middle of 28 x 28.

    Between the centres of the old pixels, values are interpolated linearly in both directions.
    """
    small = digits()
    place = (np.arange(20) + 0.5) * 8 / 20 - 0.5
    reach = np.clip(1.0 - np.abs(place[:, None] - np.arange(8)), 0.0, 1.0)
    reach /= reach.sum(axis=1, keepdims=True)  # the outermost new pixels lie beyond the last centre

    def enlarged(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
        frames = np.zeros((len(x), 28, 28), np.uint8)
        frames[:, 4:24, 4:24] = np.rint(reach @ (x.reshape(-1, 8, 8) * (255.0 / 16.0)) @ reach.T)
        return frames

    frames = enlarged(small.x_train), enlarged(small.x_test)
    return from_arrays(frames[0], small.y_train, frames[1], small.y_test, name="digits-28", classes=small.classes)


def _fetched(name: str, classes: Sequence[str] | None = None) -> Dataset:
    folder = data_folder() / name
    if not all(_found(folder, stem) for stem in IDX_FILES.values()):
        raise DataError(
            f"data set {name!r} is not in {folder}, or not all of it: run `assay data fetch {name}`, or give the "
            "folder of its four IDX files in place of the name"
        )
    return from_folder(folder, name=name, classes=classes)


_CLOTHES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")

DATASETS: dict[str, DataSource] = {
    "digits": DataSource(digits, "1,797 digits of 8 x 8 pixels, embedded in scikit-learn"),
    "digits-28": DataSource(digits_28, "the same digits in MNIST's frame of 28 x 28 pixels"),
    "mnist": DataSource(lambda: _fetched("mnist"), "70,000 digits of 28 x 28 pixels (LeCun, Cortes, Burges 1998)"),
    "fashion-mnist": DataSource(
        lambda: _fetched("fashion-mnist", _CLOTHES), "70,000 pieces of clothing, 28 x 28 (Xiao, Rasul, Vollgraf 2017)"
    ),
}

IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def from_folder(folder: Path, *, name: str | None = None, classes: Sequence[str] | None = None) -> Dataset:
    """The data set in a folder of four IDX files, plain or .gz, spelt with `-idx` or `.idx`. Raises: DataError."""
    parts = [read_idx(_idx_file(folder, stem)) for stem in IDX_FILES.values()]
    return from_arrays(*parts, name=name or folder.resolve().name, classes=classes)


def _idx_file(folder: Path, stem: str) -> Path:
    if path := _found(folder, stem):
        return path
    dotted = stem.replace("-idx", ".idx")
    raise DataError(f"{folder}: has no {stem} (also looked for .gz and {dotted}); expected the four IDX files of MNIST")


def _found(folder: Path, stem: str) -> Path | None:
    spellings = (stem, stem.replace("-idx", ".idx"))
    candidates = [folder / f"{spelling}{ending}" for spelling in spellings for ending in ("", ".gz")]
    return next((path for path in candidates if path.is_file()), None)


def from_openml(identity: str) -> Dataset:
    """A data set of OpenML by number or name, through scikit-learn; the last seventh of it is the test set.

    MNIST-like sets of 70,000 keep their published order: 60,000 to train on. Others are put in a fixed random order.
    """
    from sklearn.datasets import fetch_openml

    asked: dict[str, Any] = {"data_id": int(identity)} if identity.isdecimal() else {"name": identity, "version": 1}
    try:
        bunch: Any = fetch_openml(**asked, as_frame=False, parser="liac-arff")
    except Exception as error:  # scikit-learn raises whatever its reader and the network raise
        raise DataError(f"openml:{identity}: cannot be fetched: {error}") from None
    if bunch.target is None:
        raise DataError(f"openml:{identity}: has no target column; expected one column of class labels")
    x = bunch.data.toarray() if hasattr(bunch.data, "toarray") else np.asarray(bunch.data)  # sparse, or not
    y = np.asarray(bunch.target)
    if x.dtype.kind not in "buif":
        raise DataError(f"openml:{identity}: examples have element type {x.dtype}; expected numbers")
    if y.dtype.kind == "O":
        y = y.astype(str)
    order = np.arange(len(x)) if len(x) == 70_000 else stream(0, "openml-split").permutation(len(x))
    train, test = np.split(order, [len(x) - len(x) // 7])
    pixels = x.shape == (70_000, 784) and ((x >= 0) & (x <= 255) & (np.floor(x) == x)).all()
    if pixels:  # whole numbers alone may be a table of anything
        x = x.astype(np.uint8).reshape(-1, 28, 28)
    return from_arrays(x[train], y[train], x[test], y[test], name=f"openml-{identity}")


def load(name: str | Path) -> Dataset:
    """Loads a data set by name or from a path.

    Args:
        name: "digits", "digits-28", "mnist" or "fashion-mnist"; the path of a folder with the four IDX files of MNIST,
            or of an .npz file with `x_train`, `y_train`, `x_test` and `y_test`; or "openml:ID". A known name comes
            before a folder of that name; a Path is always a path.

    Returns:
        The data set, with unscaled examples.

    Raises:
        DataError: It is unknown, missing or damaged, or has not been fetched yet.

    Examples:
        >>> load("digits").x_test.shape
        (360, 64)
    """
    if isinstance(name, str) and name in DATASETS:
        return DATASETS[name].load()
    if isinstance(name, str) and name.startswith("openml:"):
        return from_openml(name.removeprefix("openml:"))
    try:
        path = Path(name).expanduser()
        if str(name) and path.is_dir():
            return from_folder(path)
    except (OSError, RuntimeError) as error:  # a name too long, "~nobody", a folder that may not be looked into
        raise DataError(f"{name}: cannot be read: {error}") from None
    if path.suffix == ".npz":
        return from_arrays(*read_npz(path, list(IDX_FILES)).values(), name=path.stem)
    raise DataError(f"{unknown('data set', name, DATASETS)}, a folder of IDX files, an .npz file, openml:ID")
