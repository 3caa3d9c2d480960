"""Data sets in folders of pictures: one folder for each class, in `train` and `test` or without a split."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from assay.data.dataset import Dataset, from_arrays
from assay.data.picture_stack import PictureStack, Size
from assay.data.splits import drawn_for_test
from assay.errors import DataError, listed
from assay.rng import stream
from assay.system.limits import CLASSES, PICTURE_FILES

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm", ".avif")
_PARTS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "validation": ("validation", "valid", "val", "dev"),
}
_IGNORED = ("thumbs.db", "desktop.ini")


def from_picture_folder(folder: Path, *, size: Size | None = None, test: float | int | None = None) -> Dataset | None:
    """The data set in a folder of pictures; None where its folders hold none. Raises: DataError.

    Training examples are in a fixed shuffled order, so that the first of them hold every class.
    """
    root, notes = folder, list[str]()
    parts = _parts(root)
    inner = None if parts or _class_folders(root) else _only_folder(root)
    if inner is not None and (_parts(inner) or _class_folders(inner)):
        root, parts = inner, _parts(inner)
        notes.append(f"read from {inner.name} below the given folder")
    if not parts and not _class_folders(root):
        return None
    stack, name = PictureStack(str(folder), size=size), folder.resolve().name
    if not parts:
        labels = _read(root, stack, notes)
        x, more = stack.array()
        kept, rows, note = drawn_for_test(name, labels, test)
        notes += [note, *more]
    else:
        held_out = "test" if "test" in parts else "validation"
        if test is not None:
            raise DataError(
                f"{folder}: test: got {test}, but there is the folder {parts[held_out].name!r}; leave it out"
            )
        notes += _notes_on(parts, held_out)
        y_train = _read(parts["train"], stack, notes)
        count = len(stack)
        labels = np.concatenate([y_train, _read(parts[held_out], stack, notes)])
        x, more = stack.array()
        kept, rows = np.arange(count), np.arange(count, len(labels))
        notes += more
    kept = kept[stream(0, "picture-order").permutation(len(kept))]
    return from_arrays(x[kept], labels[kept], x[rows], labels[rows], name=name).noting(notes)


def _notes_on(parts: dict[str, Path], held_out: str) -> list[str]:
    if held_out == "validation":
        return [f"there is no folder test, so {parts[held_out].name} is the test set"]
    return [f"{parts['validation'].name} not used"] if "validation" in parts else []


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    inside = [path for path in islice(folder.iterdir(), PICTURE_FILES.most) if not path.name.startswith(".")]
    return sorted(path for path in inside if path.is_dir())


def _only_folder(folder: Path) -> Path | None:
    folders = _folders(folder)
    return folders[0] if len(folders) == 1 else None


def _parts(folder: Path) -> dict[str, Path]:
    """The folders of the training and the test pictures; empty where there are not both."""
    found: dict[str, Path] = {}
    for path in _folders(folder):
        for part, names in _PARTS.items():
            if path.name.casefold() in names:
                if part in found:
                    raise DataError(
                        f"{folder}: {found[part].name} and {path.name} are both there; expected one of them"
                    )
                found[part] = path
    if "train" not in found or len(found) < 2 or not _class_folders(found["train"]):
        return {}
    return found


def _class_folders(folder: Path) -> list[Path]:
    """The folders of the classes, if one of the first holds a picture."""
    folders = _folders(folder)
    if len(folders) > CLASSES.most:
        raise DataError(f"{folder}: has {len(folders):,} folders; expected at most {CLASSES}")
    return folders if any(_holds_a_picture(path) for path in folders[:20]) else []


def _holds_a_picture(folder: Path) -> bool:
    return any(path.suffix.lower() in SUFFIXES for path in islice(folder.iterdir(), 50))


def _read(folder: Path, stack: PictureStack, notes: list[str]) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    """Adds the pictures of every class to the stack and notes to `notes`; the classes (N,). Raises: DataError."""
    labels: list[str] = []
    others: list[str] = []
    for one in _folders(folder):
        pictures = _pictures(one, others)
        if not pictures:
            raise DataError(f"{one}: holds no picture; expected {', '.join(SUFFIXES[:3])} or others, or no such folder")
        for path in pictures:
            stack.add(str(path), path)
            labels.append(one.name)
    if not labels:
        raise DataError(f"{folder}: has no folders of pictures; expected a folder for each class")
    if others:
        plural = "files that are no pictures were" if len(others) > 1 else "file that is no picture was"
        notes.append(f"{len(others):,} {plural} left out of {folder.name}: {listed(others, 3)}")
    return np.array(labels)


def _pictures(folder: Path, others: list[str]) -> Sequence[Path]:
    """The pictures of a class in the order of their names; adds other files to `others`. Raises: DataError."""
    pictures: list[Path] = []
    for path in sorted(islice(folder.iterdir(), PICTURE_FILES.most + 1)):
        if path.name.startswith(".") or path.name.lower() in _IGNORED:
            continue
        if path.is_dir():
            raise DataError(f"{path}: a folder within the class {folder.name!r}; expected pictures only")
        if path.suffix.lower() in SUFFIXES and path.is_file():
            pictures.append(path)
        else:
            others.append(path.name)
    if len(pictures) > PICTURE_FILES.most:
        raise DataError(f"{folder}: holds more than {PICTURE_FILES}; give a part of them")
    return pictures
