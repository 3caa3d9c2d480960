"""Data sets as files that a driver sends to other machines: bytes, which hold no code and no pickle."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assay.data.dataset import Dataset
from assay.data.datasets import load
from assay.data.npz import read_npz
from assay.data.roles import ROLES
from assay.errors import DataError

_ABOUT = "about"


@dataclass(frozen=True)
class SentFile:
    """A data set as the content of a file, and the SHA-256 of that content."""

    content: bytes
    digest: str


def to_file(dataset: Dataset) -> SentFile:
    """A data set with everything that a training depends on, as an uncompressed .npz file.

    >>> from assay.data.datasets import load
    >>> len(to_file(load("digits")).content) > 1797 * 64
    True
    """
    about = {
        "name": dataset.name,
        "shape": list(dataset.shape),
        "classes": list(dataset.classes),
        "scale": float(dataset.scale).hex(),
        "assumptions": list(dataset.assumptions),
        "checksum": dataset.checksum,
    }
    written = io.BytesIO()
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez(written, allow_pickle=False, **{_ABOUT: text}, **{role: getattr(dataset, role) for role in ROLES})
    content = written.getvalue()
    return SentFile(content, hashlib.sha256(content).hexdigest())


def from_file(path: str | Path) -> Dataset:
    """The data set in such a file. Raises: DataError where it is damaged, or not the one that was sent."""
    arrays = read_npz(path, [_ABOUT, *ROLES])
    try:
        about = json.loads(arrays.pop(_ABOUT).tobytes())
        for array in arrays.values():
            array.flags.writeable = False
        dataset = Dataset(
            about["name"],
            *(arrays[role] for role in ("x_train", "y_train", "x_test", "y_test")),
            shape=tuple(about["shape"]),
            classes=tuple(about["classes"]),
            scale=float.fromhex(about["scale"]),
            assumptions=tuple(about["assumptions"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a data set that was sent: {error}") from None
    if dataset.checksum != about["checksum"]:
        raise DataError(f"{path}: the data set {dataset.name!r} is not the one that was sent: its checksum differs")
    return dataset


def load_sent(name: str, *, files: Mapping[str, str], task: str | None = None) -> Dataset:
    """A data set by its name: from the file that was sent, if there is one. Raises: DataError."""
    return from_file(files[name]) if name in files else load(name, task=task)
