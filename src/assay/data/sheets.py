"""Areas in pictures that are no strokes: a sheet of paper on a table, a shadow, the table itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from assay.data.marks import Mask

Values = NDArray[np.float64]

_RECTANGLE = 0.88  # of its smallest enclosing rectangle; an ellipse fills 0.785 of it
_SMALLEST = 64
_EDGE = 0.4  # of the picture's edge, which strokes do not cover
_THICK = 0.3  # of the picture's shorter side


def sheet_of(colours: Values, shape: Mask) -> Values | None:
    """The inside of a solid rectangle with holes, also a slightly turned one: a sheet of paper on a table, and not ink.

    What lies around a turned sheet is replaced by the paper next to it.
    """
    filled: Any = ndimage.binary_fill_holes(shape)
    box = ndimage.find_objects(filled.astype(int))[0]
    sides = [s.stop - s.start for s in box]
    if min(sides) < max(32, 0.25 * min(shape.shape)):
        return None
    inside: Mask = filled[box]
    holes = float((filled & ~shape)[box].mean())
    if not 0.002 < holes < 0.5:
        return None
    ends = [(slice(0, n // 8), slice(n - n // 8, n)) for n in sides]
    corners = min(float(inside[rows, columns].mean()) for rows in ends[0] for columns in ends[1])
    if inside.mean() >= 0.9 and corners >= 0.7:  # a bold 0 is round
        rows, columns = (slice(s.start + n // 25, s.stop - n // 25) for s, n in zip(box, sides, strict=True))
        return colours[rows, columns]
    if inside.sum() < _RECTANGLE * _smallest_rectangle(inside):
        return None
    depth: Any = ndimage.distance_transform_edt(np.pad(inside, 1))
    deep = depth[1:-1, 1:-1] > max(3, min(sides) // 20)
    if not deep.any():
        return None
    nearest: Any = ndimage.distance_transform_edt(~deep, return_distances=False, return_indices=True)
    return colours[box][nearest[0], nearest[1]]


def _smallest_rectangle(mask: Mask) -> float:
    """The area of the smallest rectangle around the mask, of those turned by whole degrees."""
    eroded: Any = ndimage.binary_erosion(mask)
    edge = mask & ~eroded
    y, x = (axis.astype(float) for axis in np.nonzero(edge))
    angles = np.deg2rad(np.arange(90))[:, None]
    along, across = x * np.cos(angles) + y * np.sin(angles), y * np.cos(angles) - x * np.sin(angles)
    return float(((np.ptp(along, axis=1) + 1) * (np.ptp(across, axis=1) + 1)).min())


def is_area(shape: Mask) -> bool:
    """Whether a shape is a thick area along the picture's edge: a shadow or a table, and no stroke."""
    ring = np.concatenate([shape[0], shape[-1], shape[1:-1, 0], shape[1:-1, -1]])
    if min(shape.shape) < _SMALLEST or ring.mean() < _EDGE:  # a small picture may be one of the training set
        return False
    depth: Any = ndimage.distance_transform_edt(np.pad(shape, 1))
    thickness = 2 * float(depth.max()) - 1
    return thickness >= _THICK * min(shape.shape)
