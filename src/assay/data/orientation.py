"""Whether pictures of characters lie on their side, as those in EMNIST's files do: rows and columns exchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SAMPLE = 2_000  # pictures that are looked at
_SMALLEST = 16  # smaller frames are filled by any character
_WIDER = -0.05  # of the frame: characters are taller than wide, by 0.2 of it in MNIST
_EMNIST_CLASSES = (10, 26, 27, 47, 62)  # its digits, letters (with an empty class 0), balanced or merged, all


def taller(pictures: NDArray[Any]) -> float:
    """By how much the ink of pictures (N, H, W) on a background of zeros is taller than wide, in sides of the frame.

    >>> upright = np.zeros((1, 4, 4)); upright[0, :, 1] = 1
    >>> taller(upright), taller(upright.transpose(0, 2, 1))
    (0.75, -0.75)

    Pictures without a pixel are neither.
    """
    if 0 in pictures.shape:
        return 0.0
    sample = pictures[:: max(1, len(pictures) // _SAMPLE)]
    ink = sample > 0.2 * sample.max(axis=(1, 2), keepdims=True)
    height, width = (_extent(ink.any(axis=axis)) for axis in (2, 1))
    return float((height / sample.shape[1] - width / sample.shape[2]).mean())


def _extent(lines: NDArray[np.bool_]) -> NDArray[np.int64]:
    """From the first to the last line with ink, (N, lines) to (N,)."""
    return np.where(lines.any(axis=1), lines.shape[1] - lines.argmax(axis=1) - lines[:, ::-1].argmax(axis=1), 0)


def lies_on_its_side(x: NDArray[Any], y: NDArray[np.int64], *, shape: tuple[int, ...], classes: int) -> bool:
    """Whether examples (N, D) of that shape are pictures of characters, wider than tall as EMNIST stores them.

    Of ten classes, which may be anything, the second must be the widest: it is the digit 1 on its side.
    """
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] < _SMALLEST or classes not in _EMNIST_CLASSES:
        return False
    step = max(1, len(x) // _SAMPLE)
    pictures, labels = x[::step].reshape(-1, *shape), y[::step]
    if _varies_at_border(pictures) or taller(pictures) > _WIDER:
        return False
    if classes != 10:
        return True
    if len(np.unique(labels)) < 10:
        return False
    by_class = [taller(pictures[labels == label]) for label in range(10)]
    return int(np.argmin(by_class)) == 1


def _varies_at_border(pictures: NDArray[Any]) -> bool:
    """Whether the outermost pixels vary: the pictures are not of characters on a background of zeros."""
    border = (pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1])
    return bool((np.concatenate(border, axis=1) != 0).mean() > 0.02)
