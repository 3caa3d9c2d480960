"""Data sets in folders: four IDX files as those of MNIST, EMNIST or QMNIST, or four .npz files as those of KMNIST."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import Dataset, from_arrays
from assay.data.foreign import advice_for_name
from assay.data.idx import read_idx
from assay.data.npz import npz_names, read_npz
from assay.data.orientation import taller
from assay.data.roles import ROLES, role_of
from assay.errors import DataError
from assay.system.files import check_reachable
from assay.system.limits import FOLDER_ENTRIES

IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
"""The names of MNIST's files, without `.gz`."""

_MAX_ENTRIES = FOLDER_ENTRIES.most  # of the given folder that are looked at
_MAX_ENTRIES_BELOW = 1_000  # of each folder below it
_MAX_FOLDERS = 200  # below it that are looked into
_DIGITS, _LOWER = "0123456789", "abcdefghijklmnopqrstuvwxyz"
_MERGED = _DIGITS + _LOWER.upper() + "abdefghnqrt"  # letters whose two cases look alike are one class
_EMNIST_CLASSES = {
    "letters": _LOWER,
    "balanced": _MERGED,
    "bymerge": _MERGED,
    "byclass": _DIGITS + _LOWER.upper() + _LOWER,
}
"""The classes of EMNIST's sets in the order of their numbers (Cohen, Afshar, Tapson, van Schaik 2017)."""


@dataclass(frozen=True)
class FileSet:
    """The files of one data set by their roles, and what their names begin with, such as "emnist-letters"."""

    folder: Path
    prefix: str
    files: dict[str, Path]

    @property
    def complete(self) -> bool:
        """Whether all four files are there."""
        return self.files.keys() >= set(ROLES)


def has_idx_files(folder: Path) -> bool:
    """Whether a folder holds the four IDX files of a data set under MNIST's names. Raises: FileError."""
    check_reachable(folder)
    return any(files.complete and not files.prefix for files in _sets_in(folder))


def from_folder(folder: Path, *, name: str | None = None, classes: Sequence[str] | None = None) -> Dataset:
    """The data set in a folder, or in the one folder below it that has one, such as MNIST/raw. Raises: DataError."""
    if (dataset := from_array_files(folder, name=name, classes=classes)) is None:
        raise DataError(f"{folder}: {_contents(folder)}")
    return dataset


def from_array_files(
    folder: Path, *, name: str | None = None, classes: Sequence[str] | None = None, task: str | None = None
) -> Dataset | None:
    """The same; None where there is no complete set of IDX or .npz files. Raises: DataError."""
    own = [files for files in _sets_in(folder) if files.complete]
    found = [files for files in own if not files.prefix] or own or _below(folder)
    if len(found) == 1:
        return _read(found[0], folder, name=name, classes=classes, task=task)
    if not found:
        return None
    names = [_name_of(files, found) for files in found]
    raise DataError(f"{folder}: holds {len(found)} data sets; give the name of one: {', '.join(names[:12])}")


def from_prefix(path: Path) -> Dataset | None:
    """The data set whose files begin with the last part of a path, such as FOLDER/emnist-letters; None without one."""
    if not path.name or not path.parent.is_dir():
        return None
    every = [files for files in _sets_in(path.parent) if files.complete] + _below(path.parent)
    found = [files for files in every if files.prefix.casefold() == path.name.casefold()]
    if not found:
        return None
    if len(found) > 1:
        names = ", ".join(str(files.folder / files.prefix) for files in found)
        raise DataError(f"{path}: {len(found)} data sets have this name; give one of {names}")
    return _read(found[0], path.parent, name=path.name, classes=None)


def _name_of(files: FileSet, found: Iterable[FileSet]) -> str:
    alone = sum(other.folder == files.folder for other in found) == 1
    return str(files.folder if alone or not files.prefix else files.folder / files.prefix)


def _entries(folder: Path, most: int = _MAX_ENTRIES) -> list[Path]:
    return sorted(islice(folder.iterdir(), most))


def _below(folder: Path) -> list[FileSet]:
    """The complete sets in the folders below a folder, and in a `raw` or `gzip` of theirs."""
    folders = [path for path in _entries(folder) if path.is_dir()][:_MAX_FOLDERS]
    folders += [path / inner for path in folders for inner in ("raw", "gzip") if (path / inner).is_dir()]
    return [files for path in folders for files in _sets_in(path, _MAX_ENTRIES_BELOW) if files.complete]


def _sets_in(folder: Path, most: int = _MAX_ENTRIES) -> list[FileSet]:
    """The files of data sets in a folder, complete or not, by the beginnings of their names."""
    if not folder.is_dir():
        return []
    sets: dict[tuple[str, str], dict[str, list[Path]]] = {}
    for path in _entries(folder, most):
        stem = path.name.removesuffix(".gz")
        kind = ".npz" if stem.lower().endswith(".npz") else "idx"
        meaning = role_of(stem[: -len(".npz")] if kind == ".npz" else stem)
        if not meaning or not (kind == ".npz" or "idx" in stem.lower() or "." not in stem):
            continue
        if path.is_dir():  # some archives unpack each file into a folder of its name
            path /= path.name
        if path.is_file():
            sets.setdefault((meaning[0], kind), {}).setdefault(meaning[1], []).append(path)
    return [
        FileSet(folder, prefix, {role: _one(paths) for role, paths in roles.items()})
        for (prefix, _), roles in sets.items()
    ]


def _one(paths: list[Path]) -> Path:
    """The file of a role: spellings of one name, with .gz or a dot before idx, are taken for copies of it."""
    names = {path.name.removesuffix(".gz").replace(".idx", "-idx") for path in paths}
    if ours := names & set(IDX_FILES.values()):
        names = ours
        paths = [path for path in paths if path.name.removesuffix(".gz").replace(".idx", "-idx") in ours]
    if len(names) > 1:
        raise DataError(f"{paths[0].parent}: {' and '.join(sorted(names))} are both there; expected one of them")
    return min(paths, key=lambda path: (".idx" in path.name, path.suffix == ".gz"))


def _contents(folder: Path) -> str:
    """What a folder holds that is no data set, and what to do."""
    partial = max(_sets_in(folder), key=lambda files: len(files.files), default=None)
    stem = next(name for role, name in IDX_FILES.items() if partial is None or role not in partial.files)
    lacks = f"has no {stem} (also looked for .gz and {stem.replace('-idx', '.idx')})"
    entries = _entries(folder)
    archives = [path.name for path in entries if path.suffix == ".npz"]
    if archives:
        return f"{lacks}; to use {archives[0]}, give its path: {folder / archives[0]}"
    if any(path.name.startswith("data_batch_") for path in entries):
        return (
            f"{lacks}; it holds CIFAR's batches, which are pickles and never read, or rows of bytes: make arrays of "
            "them and call assay.from_arrays, or save them as an .npz file"
        )
    held = ", ".join(path.name + "/" * path.is_dir() for path in entries[:8]) or "nothing"
    kind = next((kind for path in entries if path.is_file() and (kind := advice_for_name(path))), None)
    if pictures := [path for path in entries if path.is_dir() and _holds_pictures(path)]:
        kind = f"pictures in {pictures[0].name}, but no folder for each class"
    more = f"; it holds {held}" + (f": {kind}" if kind else "")
    return f"{lacks}; expected the four IDX files of MNIST{more}"


def _holds_pictures(folder: Path) -> bool:
    return any((advice_for_name(path) or "").startswith("a picture") for path in islice(folder.iterdir(), 5))


def _read(
    files: FileSet, given: Path, *, name: str | None, classes: Sequence[str] | None, task: str | None = None
) -> Dataset:
    arrays = {role: _array(files.files[role]) for role in ROLES}
    notes = [] if files.folder == given else [f"read from {files.folder.relative_to(given)} below the given folder"]
    family, _, variant = files.prefix.lower().partition("-")
    if family == "qmnist":
        notes += _class_columns(arrays)
    if family == "emnist":
        notes += _turn_upright(arrays)
        classes = classes or _emnist_classes(variant, arrays)
    dataset_name = name or files.prefix or given.resolve().name
    return from_arrays(*arrays.values(), name=dataset_name, classes=classes, task=task).noting(notes)


def _array(path: Path) -> NDArray[Any]:
    if path.suffix.lower() != ".npz":
        return read_idx(path)
    names = npz_names(path)
    if len(names) != 1:
        raise DataError(f"{path}: holds {', '.join(names[:8]) or 'nothing'}; expected one array")
    return read_npz(path, names)[names[0]]


def _class_columns(arrays: dict[str, NDArray[Any]]) -> list[str]:
    """Replaces QMNIST's tables of labels by their first column."""
    tables = [role for role in ("y_train", "y_test") if arrays[role].ndim == 2 and arrays[role].shape[1] == 8]
    for role in tables:
        arrays[role] = arrays[role][:, 0]
    return ["labels of shape (N, 8) are QMNIST's: column 0 is the class"] if tables else []


def _turn_upright(arrays: dict[str, NDArray[Any]]) -> list[str]:
    """Exchanges rows and columns of EMNIST's pictures, unless somebody has done so already."""
    if arrays["x_train"].ndim != 3 or taller(arrays["x_train"]) >= 0:
        return []
    for role in ("x_train", "x_test"):
        arrays[role] = arrays[role].swapaxes(1, 2)
    return ["EMNIST's pictures are stored on their side; they were turned upright"]


def _emnist_classes(variant: str, arrays: dict[str, NDArray[Any]]) -> Sequence[str] | None:
    """The names of EMNIST's classes, if the labels are those of its set."""
    names = _EMNIST_CLASSES.get(variant)
    if names is None or arrays["y_train"].size == 0:
        return None
    first = 1 if variant == "letters" else 0
    complete = (int(np.min(arrays["y_train"])), int(np.max(arrays["y_train"]))) == (first, first + len(names) - 1)
    return tuple(names) if complete else None
