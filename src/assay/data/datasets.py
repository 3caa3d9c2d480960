"""Data sets by name or path, their splits, and the scalings of their inputs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.data.idx import read_idx
from assay.data.npz import read_npz
from assay.errors import DataError, unknown
from assay.rng import stream

if TYPE_CHECKING:
    from PIL.Image import Image

Labels = NDArray[np.int64]

_BLOCK = 4096  # examples scaled at once, so that float64 is never held for all of them
_MOST_CLASSES = 10_000  # more is a column of numbers that was taken for labels


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples as they are stored: x (N, D) in its own element type, y (N,), and what one example looks like.

    `shape`: of one example, (28, 28). `classes`: their names. `scale`: what the input scaling "unit" divides by.
    """

    name: str
    x_train: NDArray[Any]
    y_train: Labels
    x_test: NDArray[Any]
    y_test: Labels
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    scale: float

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over element types, shapes and contents, in hex; it does not depend on the name or the machine."""
        digest = hashlib.sha256()
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            digest.update(f"{little.dtype.str}{little.shape}".encode())
            digest.update(little.data)
        return digest.hexdigest()


def from_arrays(
    x_train: NDArray[Any],
    y_train: NDArray[Any],
    x_test: NDArray[Any],
    y_test: NDArray[Any],
    *,
    name: str = "arrays",
    classes: Sequence[str] | None = None,
    scale: float | None = None,
) -> Dataset:
    """A data set of arrays: examples (N, D) or (N, H, W) or (N, H, W, C), labels whole numbers or names (N,).

    Raises: DataError where counts, shapes, labels or values are wrong.

    >>> x = np.arange(12.0).reshape(4, 3)
    >>> from_arrays(x, np.array([0, 1, 0, 1]), x, np.array([0, 1, 0, 1])).classes
    ('0', '1')
    """
    x_train, x_test = np.asarray(x_train), np.asarray(x_test)
    shape = x_train.shape[1:]
    for part, x, y in (("training", x_train, y_train), ("test", x_test, y_test)):
        _check_examples(name, part, x, np.asarray(y), shape)
    labels, found = _labels(name, np.asarray(y_train), np.asarray(y_test), classes)
    if x_train.dtype != np.uint8:
        x_train, x_test = x_train.astype(np.float32), x_test.astype(np.float32)
    whole = 255.0 if x_train.dtype == np.uint8 else float(max(np.abs(x_train).max(), np.abs(x_test).max())) or 1.0
    flat = [np.ascontiguousarray(x.reshape(len(x), -1)) for x in (x_train, x_test)]
    return Dataset(name, flat[0], labels[0], flat[1], labels[1], shape, found, scale if scale is not None else whole)


def _check_examples(name: str, part: str, x: NDArray[Any], y: NDArray[Any], shape: tuple[int, ...]) -> None:
    if x.ndim not in (2, 3, 4):
        raise DataError(
            f"{name}: the {part} examples have {x.ndim} dimensions; expected (N, D), (N, H, W) or (N, H, W, C)"
        )
    if x.shape[1:] != shape:
        raise DataError(f"{name}: training examples have shape {shape}, test examples {x.shape[1:]}; expected the same")
    if len(x) != len(y) or y.ndim != 1:
        raise DataError(f"{name}: {len(x):,} {part} examples but labels of shape {y.shape}; expected ({len(x)},)")
    if x.size == 0:
        raise DataError(f"{name}: the {part} set is empty; expected at least one example of at least one value")
    if x.dtype.kind not in "buif":
        raise DataError(f"{name}: the {part} examples have element type {x.dtype}; expected numbers")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))[0])
        raise DataError(f"{name}: {part} example {row} holds NaN or infinity; expected finite numbers")


def _labels(
    name: str, y_train: NDArray[Any], y_test: NDArray[Any], classes: Sequence[str] | None
) -> tuple[tuple[Labels, Labels], tuple[str, ...]]:
    """Labels as class numbers, and the names of the classes; labels that are names are numbered in sorted order."""
    if y_train.dtype.kind in "US":
        names = sorted(set(y_train.tolist()))
        if strange := sorted(set(y_test.tolist()) - set(names)):
            raise DataError(f"{name}: test label {strange[0]!r} is no class of the training set")
        numbers = {label: i for i, label in enumerate(names)}
        both = [np.array([numbers[label] for label in y.tolist()], np.int64) for y in (y_train, y_test)]
        return (both[0], both[1]), tuple(map(str, names))
    for y in (y_train, y_test):
        if y.dtype.kind not in "buif" or (y.dtype.kind == "f" and not np.equal(np.mod(y, 1), 0).all()):
            raise DataError(f"{name}: labels have element type {y.dtype}; expected whole numbers or names")
    whole = y_train.astype(np.int64), y_test.astype(np.int64)
    count = len(classes) if classes is not None else int(whole[0].max()) + 1
    lowest, highest = min(int(y.min()) for y in whole), max(int(y.max()) for y in whole)
    if lowest < 0 or highest >= count or count > _MOST_CLASSES:
        raise DataError(f"{name}: labels run from {lowest} to {highest}; expected 0 to {min(count, _MOST_CLASSES) - 1}")
    return whole, tuple(classes) if classes is not None else tuple(map(str, range(count)))


# --- where data sets come from ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
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


def _fetched(name: str, classes: Sequence[str] | None = None) -> Dataset:
    folder = data_folder() / name
    if not folder.is_dir():
        raise DataError(
            f"data set {name!r} is not on this machine: run `assay data fetch {name}`, or give the folder of its four "
            f"IDX files in place of the name"
        )
    return from_folder(folder, name=name, classes=classes)


_CLOTHES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")

DATASETS: dict[str, Source] = {
    "digits": Source(digits, "1,797 digits of 8 x 8 pixels, embedded in scikit-learn"),
    "mnist": Source(lambda: _fetched("mnist"), "70,000 digits of 28 x 28 pixels (LeCun, Cortes, Burges 1998)"),
    "fashion-mnist": Source(
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
    arrays = {part: read_idx(_idx_file(folder, stem)) for part, stem in IDX_FILES.items()}
    return from_arrays(**arrays, name=name or folder.name, classes=classes)


def _idx_file(folder: Path, stem: str) -> Path:
    dotted = stem.replace("-idx", ".idx")
    candidates = [folder / f"{spelling}{ending}" for spelling in (stem, dotted) for ending in ("", ".gz")]
    for path in candidates:
        if path.is_file():
            return path
    raise DataError(f"{folder}: has no {stem} (also looked for .gz and {dotted}); expected the four IDX files of MNIST")


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
    x, y = np.asarray(bunch.data), np.asarray(bunch.target)
    if x.dtype.kind not in "buif":
        raise DataError(f"openml:{identity}: examples have element type {x.dtype}; expected numbers")
    if y.dtype.kind == "O":
        y = y.astype(str)
    order = np.arange(len(x)) if len(x) == 70_000 else stream(0, "openml-split").permutation(len(x))
    train, test = np.split(order, [len(x) - len(x) // 7])
    x = x.astype(np.uint8) if (np.mod(x, 1) == 0).all() and x.min() >= 0 and x.max() <= 255 else x
    side = int(round(x.shape[1] ** 0.5))
    x = x.reshape(len(x), side, side) if side * side == x.shape[1] and x.dtype == np.uint8 else x
    return from_arrays(x[train], y[train], x[test], y[test], name=f"openml-{identity}")


def load(name: str) -> Dataset:
    """The data set of a name, a folder of IDX files, an .npz file, or "openml:ID". Raises: DataError."""
    if name in DATASETS:
        return DATASETS[name].load()
    if name.startswith("openml:"):
        return from_openml(name.removeprefix("openml:"))
    path = Path(name).expanduser()
    if path.is_dir():
        return from_folder(path)
    if path.suffix == ".npz":
        return from_arrays(**read_npz(path, list(IDX_FILES)), name=path.stem)
    raise DataError(f"{unknown('data set', name, DATASETS)}, a folder of IDX files, an .npz file, openml:ID")


# --- what an engine trains on ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Prepared:
    """Examples split and scaled: x (N, D) of one element type, C-contiguous; y (N,).

    `scaling` holds the mean that was subtracted and the deviation that was divided by, after "unit".
    """

    x_train: NDArray[Any]
    y_train: Labels
    x_validation: NDArray[Any] | None
    y_validation: Labels | None
    x_test: NDArray[Any]
    y_test: Labels
    shape: tuple[int, ...]
    class_names: tuple[str, ...]
    scaling: tuple[float, float]
    checksum: str

    @property
    def inputs(self) -> int:
        """D, the number of values of one example."""
        return self.x_train.shape[1]

    @property
    def classes(self) -> int:
        """C, the number of classes."""
        return len(self.class_names)


def split(dataset: Dataset, *, train: int | None, validation: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows to train on and those to validate on, each in their stored order.

    `train` takes the first n rows; `validation` are drawn from the rest where that is enough, else from those. The
    draw is fixed, so that every seed of a study sees the same sets. Raises: DataError.
    """
    n = len(dataset.y_train)
    if train is not None and train > n:
        raise DataError(f"data.train: got {train:,}; {dataset.name} has {n:,} training examples")
    chosen, rest = np.arange(n)[:train], np.arange(n)[n if train is None else train :]
    pool = rest if validation <= len(rest) else chosen
    if validation >= len(pool) and pool is chosen:
        raise DataError(
            f"data.validation: got {validation:,}; expected fewer than the {len(chosen):,} training examples"
        )
    drawn = np.sort(pool[stream(0, "validation").permutation(len(pool))[:validation]])
    return (chosen if pool is rest else np.setdiff1d(chosen, drawn)), drawn


def unit(dataset: Dataset, x_train: NDArray[Any]) -> tuple[float, float]:
    """x / scale: pixels in [0, 1]"""
    return 0.0, 1.0


def standardise(dataset: Dataset, x_train: NDArray[Any]) -> tuple[float, float]:
    """(x / scale - mean) / deviation, both of all values of the training examples together"""
    if x_train.dtype == np.uint8:
        counts = np.bincount(x_train.ravel(), minlength=256).astype(np.float64)
        values = np.arange(256) / dataset.scale
        mean = float((counts * values).sum() / counts.sum())
        deviation = float(np.sqrt((counts * (values - mean) ** 2).sum() / counts.sum()))
    else:
        mean = float(x_train.mean(dtype=np.float64)) / dataset.scale
        deviation = float(x_train.std(dtype=np.float64)) / dataset.scale
    if deviation == 0:
        raise DataError(
            f"{dataset.name}: all training values are equal, so they cannot be standardised; use input 'unit'"
        )
    return mean, deviation


INPUTS: dict[str, Callable[[Dataset, NDArray[Any]], tuple[float, float]]] = {
    "unit": unit,
    "standardise": standardise,
    "standardise-each": unit,  # then each image by its own mean and deviation
}


def prepare(dataset: Dataset, *, scaling: str, dtype: str, train: int | None = None, validation: int = 0) -> Prepared:
    """A data set split, scaled and in one element type. Raises: DataError."""
    rows, drawn = split(dataset, train=train, validation=validation)
    whole = len(rows) == len(dataset.y_train)
    x_train = dataset.x_train if whole else dataset.x_train[rows]
    y_train = dataset.y_train if whole else dataset.y_train[rows]
    mean, deviation = INPUTS[scaling](dataset, x_train)

    def scaled(x: NDArray[Any], part: str) -> NDArray[Any]:
        if x.dtype == np.uint8 and scaling != "standardise-each":  # 256 values, each computed once in float64
            return ((np.arange(256) / dataset.scale - mean) / deviation).astype(dtype)[x]
        result = np.empty(x.shape, dtype)
        for start in range(0, len(x), _BLOCK):
            block = x[start : start + _BLOCK].astype(np.float64) / dataset.scale
            if scaling == "standardise-each":
                block = _each(block, f"{dataset.name}: {part} example", start)
            result[start : start + len(block)] = (block - mean) / deviation
        return result

    return Prepared(
        x_train=scaled(x_train, "training"),
        y_train=y_train,
        x_validation=scaled(dataset.x_train[drawn], "validation") if validation else None,
        y_validation=dataset.y_train[drawn] if validation else None,
        x_test=scaled(dataset.x_test, "test"),
        y_test=dataset.y_test,
        shape=dataset.shape,
        class_names=dataset.classes,
        scaling=(mean, deviation),
        checksum=dataset.checksum,
    )


def _each(block: NDArray[np.float64], what: str, start: int) -> NDArray[np.float64]:
    """Every example of a block by its own mean and deviation; the first one is number `start`."""
    deviation = block.std(axis=1, keepdims=True)
    if (deviation == 0).any():
        row = start + int(np.flatnonzero(deviation == 0)[0])
        raise DataError(
            f"{what} {row} is constant, so it cannot be standardised by itself; use input 'standardise' or 'unit'"
        )
    return (block - block.mean(axis=1, keepdims=True)) / deviation


# --- looking at a data set -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Info:
    """What a data set holds."""

    name: str
    training_examples: int
    test_examples: int
    shape: tuple[int, ...]
    element_type: str
    lowest: float
    highest: float
    share_of_zeros: float
    unused_inputs: int
    classes: dict[str, int]  # training examples of each
    checksum: str

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self) | {"shape": list(self.shape)}


def info(dataset: Dataset) -> Info:
    """Counts, shape, values and classes; zeros and unused inputs (0 in every example) of the training set."""
    x = dataset.x_train
    return Info(
        name=dataset.name,
        training_examples=len(x),
        test_examples=len(dataset.x_test),
        shape=dataset.shape,
        element_type=str(x.dtype),
        lowest=float(x.min()),
        highest=float(x.max()),
        share_of_zeros=float(1 - np.count_nonzero(x) / x.size),
        unused_inputs=int((~x.any(axis=0)).sum()),
        classes=dict(
            zip(dataset.classes, map(int, np.bincount(dataset.y_train, minlength=len(dataset.classes))), strict=True)
        ),
        checksum=dataset.checksum,
    )


def contact_sheet(dataset: Dataset, *, columns: int = 20, rows_a_class: int = 1, most_classes: int = 20) -> Image:
    """A picture of the first training examples of each class, a class a line, its name before it."""
    from PIL import Image, ImageDraw, ImageFont

    if len(dataset.shape) != 2:
        raise DataError(f"{dataset.name}: examples have shape {dataset.shape}; only (height, width) can be drawn")
    height, width = dataset.shape
    zoom = max(1, round(36 / max(height, width)))
    cell = (width * zoom + 4, height * zoom + 4)
    names = dataset.classes[:most_classes]
    font = ImageFont.load_default(size=16)
    margin = int(max(font.getlength(name) for name in names)) + 20
    sheet = Image.new("L", (margin + columns * cell[0], 6 + len(names) * rows_a_class * cell[1]), 255)
    draw = ImageDraw.Draw(sheet)
    low, high = float(dataset.x_train.min()), float(dataset.x_train.max())
    for label, name in enumerate(names):
        top = 3 + label * rows_a_class * cell[1]
        draw.text((10, top + cell[1] * rows_a_class / 2), name, fill=0, font=font, anchor="lm")
        for place, row in enumerate(np.flatnonzero(dataset.y_train == label)[: columns * rows_a_class]):
            grey = (dataset.x_train[row].reshape(height, width).astype(float) - low) / ((high - low) or 1.0)
            tile = Image.fromarray((255 - 255 * grey).astype(np.uint8))
            tile = tile.resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
            sheet.paste(tile, (margin + place % columns * cell[0], top + place // columns * cell[1] + 2))
    return sheet
