"""Data sets by name or path."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.data.dataset import Dataset, from_arrays
from assay.data.digits import digits, digits_28
from assay.data.folders import from_folder, from_prefix, has_idx_files
from assay.data.foreign import HEADER_BYTES, advice_for, advice_for_name
from assay.data.npz import read_npz_set
from assay.data.openml import from_openml
from assay.data.roles import ROLES
from assay.errors import DataError, unknown


@dataclass(frozen=True)
class DataSource:
    """A data set by name: how it is loaded, and a line about it."""

    load: Callable[[], Dataset]
    about: str


def data_folder() -> Path:
    """The folder of downloaded data sets: $ASSAY_DATA, else in the user's cache folder."""
    if folder := os.environ.get("ASSAY_DATA"):
        return Path(folder).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "assay" / "data"


def _downloaded(name: str, classes: Sequence[str] | None = None) -> Dataset:
    folder = data_folder() / name
    if not has_idx_files(folder):
        raise DataError(
            f"data set {name!r} is missing or incomplete in {folder}: run `assay data fetch {name}`, or give the "
            "folder of its four IDX files in place of the name"
        )
    return from_folder(folder, name=name, classes=classes)


_CLOTHES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")

DATASETS: dict[str, DataSource] = {
    "digits": DataSource(digits, "1,797 digits of 8 x 8 pixels, embedded in scikit-learn"),
    "digits-28": DataSource(digits_28, "the same digits in MNIST's frame of 28 x 28 pixels"),
    "mnist": DataSource(lambda: _downloaded("mnist"), "70,000 digits of 28 x 28 pixels (LeCun, Cortes, Burges 1998)"),
    "fashion-mnist": DataSource(
        lambda: _downloaded("fashion-mnist", _CLOTHES),
        "70,000 pieces of clothing, 28 x 28 (Xiao, Rasul, Vollgraf 2017)",
    ),
}


def load(name: str | Path) -> Dataset:
    """Loads a data set by name or from a path.

    Args:
        name: "digits", "digits-28", "mnist" or "fashion-mnist"; the path of a folder with the four IDX files of MNIST,
            or above it; a folder and the beginning of its files' names, such as "emnist/emnist-letters"; the path of an
            .npz file with `x_train`, `y_train`, `x_test` and `y_test`; or "openml:ID". "~" is the home folder. A known
            name comes before a folder of that name; a Path is always a path.

    Returns:
        The data set, with unscaled examples. Its `notes` say what was assumed.

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
        return _from_path(Path(name).expanduser(), name)
    except (OSError, RuntimeError) as error:  # a name too long, "~nobody", a folder without permission
        raise DataError(f"{name}: cannot be read: {error}") from None


def _from_path(path: Path, name: str | Path) -> Dataset:
    if str(name) and path.is_dir():
        return from_folder(path)
    if path.suffix.lower() == ".npz":
        arrays, notes = read_npz_set(path)
        return from_arrays(*(arrays[role] for role in ROLES), name=path.stem).noting(notes)
    if path.is_file():
        raise DataError(f"{path}: {_file_kind(path)}")
    if (dataset := from_prefix(path)) is not None:
        return dataset
    if kind := advice_for_name(path):
        raise DataError(f"{path}: no such file; a file of this name would be {kind}")
    if len(path.parts) > 1:
        raise DataError(
            f"unknown data set {str(path)!r}: no such folder or file; expected a folder of IDX files or an .npz file"
        )
    raise DataError(f"{unknown('data set', name, DATASETS)}, a folder of IDX files, an .npz file, openml:ID")


def _file_kind(path: Path) -> str:
    """What a file is that is no data set by itself, and what to do."""
    if kind := advice_for_name(path):
        return kind
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if header[:2] == b"\0\0" or header[:2] == b"\x1f\x8b":
        return f"a single file; a data set of IDX files is four in a folder: give {path.parent}"
    return advice_for(header) or "not a data set; expected a folder of IDX files or an .npz file"
