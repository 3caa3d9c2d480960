"""Fuzzer of .npz files: arrays of any type and shape, headers and zip directories that were changed."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from . import fuzzing

_TYPES = ("u1", "i8", "f4", "f8", "f2", ">i4", "?", "U3", "S2", "c8", "M8[s]", "V4", "U0")
_SHAPES = ((), (0,), (1,), (8,), (8, 1), (8, 4), (8, 2, 2), (8, 2, 2, 3), (2, 2, 8), (0, 4), (4, 0), (8, 10), (1, 8))


def case(draw: random.Random, place: Path) -> str:
    """One file, loaded as a data set."""
    from assay.data.datasets import load

    path = place / "data.npz"
    path.write_bytes(_content(draw))
    data = load(path)
    _ = data.checksum, data.classes
    return "taken"


def _content(draw: random.Random) -> bytes:
    names = draw.choice(
        (("x_train", "y_train", "x_test", "y_test"), ("arr_0", "arr_1", "arr_2", "arr_3"), ("X", "y"),
         ("train_images", "train_labels", "test_images", "test_labels"), ("x_train", "y_train", "x_test", "\x1b[31m"))
    )  # fmt: skip
    content = io.BytesIO()
    deflated = zipfile.ZIP_DEFLATED if draw.random() < 0.5 else zipfile.ZIP_STORED
    with zipfile.ZipFile(content, "w", deflated) as archive:
        for number, name in enumerate(names):
            member = io.BytesIO()
            np.save(member, _array(draw, labels=number % 2 == 1), allow_pickle=True)
            packed = member.getvalue()
            if draw.random() < 0.15:
                packed = fuzzing.changed(draw, packed, most=3)
            archive.writestr(name + ".npy", packed)
    result = content.getvalue()
    return fuzzing.changed(draw, result, most=4) if draw.random() < 0.4 else result


def _array(draw: random.Random, *, labels: bool) -> Any:
    if draw.random() < 0.85:
        if labels:
            return np.arange(8) % draw.choice((1, 2, 3))
        return np.frombuffer(draw.randbytes(8 * 4), np.uint8).reshape(8, 2, 2)
    if draw.random() < 0.02:
        return np.zeros(draw.choice((2**22, 2**26)), np.uint8)  # much from little
    shape = draw.choice(_SHAPES)
    count = int(np.prod(shape, dtype=int))
    if draw.random() < 0.1:
        return np.array([draw.choice((None, {}, "x", 1)) for _ in range(count)], object).reshape(shape)
    kind = np.dtype(draw.choice(_TYPES))
    return np.frombuffer(draw.randbytes(count * kind.itemsize) if kind.kind != "U" else b"a\0\0\0" * 3 * count,
                         kind, count).reshape(shape) if kind.itemsize else np.zeros(shape, kind)  # fmt: skip


def warm() -> None:
    """Imports what the cases need."""
    import assay.data.datasets  # noqa: F401


def run(seed: int, cases: int) -> dict[str, int]:
    """Makes so many cases."""
    return fuzzing.run("npz", case, seed, cases, warm=warm)
