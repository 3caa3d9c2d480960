"""Data sets by name or path."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from assay.data.bundled import bundled, diabetes
from assay.data.conversion import CLASSES, NOTES, SCALE, TARGET, stated
from assay.data.dataset import Dataset, from_arrays
from assay.data.digits import digits, digits_28
from assay.data.folders import from_array_files, from_folder, from_prefix, has_idx_files
from assay.data.foreign import HEADER_BYTES, advice_for, advice_for_name
from assay.data.npz import npz_names, read_npz, read_npz_set
from assay.data.objects import from_object
from assay.data.openml import from_openml
from assay.data.picture_folders import from_picture_folder
from assay.data.roles import ROLES
from assay.data.table_files import Reading, from_table, from_tables
from assay.data.table_reading import is_table
from assay.data.targets import REGRESSION
from assay.errors import DataError, unknown


@dataclass(frozen=True)
class DataSource:
    """A data set by name: how it is loaded, and a line about it.

    Those that scikit-learn carries are made once in a process: their arrays are read-only, and what they are asked for,
    such as the style of their pictures, takes longer than a short training.
    """

    load: Callable[[], Dataset]
    about: str


_SETTINGS = tuple(field.name for field in fields(Reading) if field.name != "task")


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
    "iris": DataSource(lambda: bundled("iris"), "150 flowers of 3 species, 4 measures (Fisher 1936), in scikit-learn"),
    "wine": DataSource(lambda: bundled("wine"), "178 wines of 3 growers, 13 measures (UCI 1991), in scikit-learn"),
    "breast-cancer": DataSource(
        lambda: bundled("breast_cancer"), "569 tumours, malignant or benign, 30 measures (UCI 1995), in scikit-learn"
    ),
    "diabetes": DataSource(
        diabetes, "regression: 442 patients, 10 measures, disease progression (Efron et al. 2004), in scikit-learn"
    ),
    "mnist": DataSource(lambda: _downloaded("mnist"), "70,000 digits of 28 x 28 pixels (LeCun, Cortes, Burges 1998)"),
    "fashion-mnist": DataSource(
        lambda: _downloaded("fashion-mnist", _CLOTHES),
        "70,000 pieces of clothing, 28 x 28 (Xiao, Rasul, Vollgraf 2017)",
    ),
}


def load(
    name: Any,
    *,
    label: str | None = None,
    test: Any = None,
    size: tuple[int, int] | None = None,
    task: str | None = None,
) -> Dataset:
    """Loads a data set by name, from a path, or from a table or data set of another library.

    Args:
        name: A name, such as "digits", "iris" or "mnist"; the path of a folder with the four IDX files of MNIST, or
            above it; a folder and the beginning of its files' names, such as "emnist/emnist-letters"; the path of an
            .npz file with `x_train`, `y_train`, `x_test` and `y_test`; a table (CSV, Parquet), or a folder of a
            training and a test table; a folder of pictures, with one folder for each class; or "openml:ID". "~" is the
            home folder. A known name comes before a folder of that name; a Path is always a path. Or a frame of pandas,
            or a data set of torch, whose items are an example and its label.
        label: The column of the labels of a table. None for the only one that is called label, class, target or y.
        test: How much of data without a test set is drawn to test on: a fraction below 1, or a number of examples. None
            for a fifth. For a frame or a data set of torch, also the other one to test on.
        size: The height and width that pictures in a folder are resized to.
        task: "regression" for labels that are the targets of a regression, one number per example. None for classes;
            data sets that say themselves that they are of a regression, such as "diabetes", need none.

    Returns:
        The data set, with unscaled examples. Its `notes` say what was assumed.

    Raises:
        DataError: It is unknown, missing or damaged, or has not been fetched yet.

    Examples:
        >>> load("digits").x_test.shape
        (360, 64)
        >>> import pandas
        >>> frame = pandas.DataFrame({"length": [1.0, 2.5, 1.5, 3.0], "species": ["a", "b", "a", "b"]})
        >>> load(frame, label="species", test=2).classes
        ('a', 'b')
    """
    if task not in (None, REGRESSION):
        raise DataError(f"task: got {task!r}; expected 'regression', or nothing for classification")
    if not isinstance(name, str | Path):
        return from_object(
            name, Reading(None if label is None else str(label), test, size, task)
        )  # a frame's may be numbers
    if test is not None and not isinstance(test, int | float):
        raise DataError(f"{name}: test: got {type(test).__name__}; expected a fraction or a number of examples")
    how = Reading(label, test, size, task)
    known = name.replace("_", "-") if isinstance(name, str) else ""
    if known in DATASETS or (isinstance(name, str) and name.startswith("openml:")):
        how.refuse(name, *_SETTINGS)
        return (
            DATASETS[known].load() if known in DATASETS else from_openml(str(name).removeprefix("openml:"), task=task)
        )
    try:
        return _from_path(Path(name).expanduser(), name, how)
    except (OSError, RuntimeError) as error:  # a name too long, "~nobody", a folder without permission
        raise DataError(f"{name}: cannot be read: {error}") from None


def _from_path(path: Path, name: str | Path, how: Reading) -> Dataset:
    if str(name) and path.is_dir():
        if (dataset := from_array_files(path, task=how.task)) is not None:
            how.refuse(name, *_SETTINGS)
            return dataset
        if (dataset := from_picture_folder(path, size=how.size, test=how.test)) is not None:
            how.refuse(name, "label")  # the folders are the labels
            return dataset
        dataset = from_tables(path, how)
        return from_folder(path) if dataset is None else dataset
    if is_table(path) and path.is_file():
        return from_table(path, how)
    how.refuse(name, *_SETTINGS)
    if path.suffix.lower() == ".npz":
        return _from_npz(path, how.task)
    if path.is_file():
        raise DataError(f"{path}: {_file_kind(path)}")
    if (dataset := from_prefix(path)) is not None:
        return dataset
    if is_table(path):
        raise DataError(f"{path}: no such file; expected a table (CSV, Parquet)")
    if kind := advice_for_name(path):
        raise DataError(f"{path}: no such file; a file of this name would be {kind}")
    if re.fullmatch(r".+@[0-9a-f]{12}", str(name)):
        raise DataError(
            f"{name}: a data set of another machine, by its last part and the beginning of its checksum; "
            "give its folder on this machine with --data"
        )
    if len(path.parts) > 1:
        raise DataError(
            f"unknown data set {str(path)!r}: no such folder or file; expected a folder of IDX files or of pictures, a "
            "table (CSV, Parquet) or an .npz file"
        )
    others = "a folder of IDX files or of pictures, a table (.csv, .parquet), an .npz file, openml:ID"
    raise DataError(f"{unknown('data set', name, DATASETS)}, {others}")


def _from_npz(path: Path, task: str | None) -> Dataset:
    arrays, notes = read_npz_set(path)
    names = [name for name in (CLASSES, SCALE, NOTES, TARGET) if name in npz_names(path)]
    if TARGET in names:
        task = REGRESSION
        names = [name for name in names if name != CLASSES]
    classes, scale, more = stated(path, read_npz(path, names) if names else {})
    dataset = from_arrays(*(arrays[role] for role in ROLES), name=path.stem, classes=classes, scale=scale, task=task)
    return replace(dataset, assumptions=tuple(dict.fromkeys([*more, *notes, *dataset.assumptions])))


def _file_kind(path: Path) -> str:
    """What a file is that is no data set by itself, and what to do."""
    if kind := advice_for_name(path):
        return kind
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if header[:2] == b"\0\0" or header[:2] == b"\x1f\x8b":
        return f"a single file; a data set of IDX files is four in a folder: give {path.parent}"
    return (
        advice_for(header)
        or "not a data set; expected a folder of IDX files or of pictures, a table (CSV, Parquet) or an .npz file"
    )
