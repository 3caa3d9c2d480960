"""The ink of a picture: the paper, its colour and its light removed, and with them lines, frames and specks.

Nothing here knows which side is light: the paper is what most of a picture is, and ink is what differs from it, along
the one direction of colour in which the strongest pixels differ.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from assay.data.marks import Mask, Shapes, dilated, without_grid, without_lines
from assay.data.picture_files import Picture
from assay.data.picture_style import several
from assay.data.sheets import is_area, sheet_of

Values = NDArray[np.float64]

FAINTEST = 0.06  # less contrast than this fraction of the paper's lightness is paper: its grain, its folds
_FAINTEST_EXACT = 0.02  # on a background of exactly one colour
_SURFACE_SAMPLES = 4096
_ROUNDS = 12  # of the robust fit, which has settled after about eight


@dataclass(frozen=True, eq=False)
class InkPicture:
    """The ink (height, width) of a picture, 0 on bare paper and about 1 in full strokes.

    `problem`: the sentence on a picture that has no readable ink, or None. `notes`: what was removed from it.
    """

    ink: Values
    problem: str | None = None
    notes: list[str] = field(default_factory=list[str])


def ink_of(picture: Picture, *, may_have_several: bool = False) -> InkPicture:
    """The ink of a picture: what differs from its background, without lines, frames and specks.

    `may_have_several`: whether one example may consist of several shapes next to one another.
    """
    colours = opaque(picture)
    marks = _marks_on(colours)
    if marks.shape is not None and (sheet := sheet_of(colours, marks.shape)) is not None:
        inner = _marks_on(sheet)
        if inner.shape is not None:
            inner.notes.insert(0, "the sheet in the picture was taken for its paper")
            marks = inner
    if marks.shape is None:
        problem = "no ink found: the picture has one tone, or specks and lines alone"
        return InkPicture(np.zeros(marks.strength.shape), problem)
    if is_area(marks.shape):
        problem = (
            "no digit found: what differs from the paper is an area at the edge, such as a shadow or a table: "
            "crop the picture to evenly lit paper around the digit"
        )
        return InkPicture(np.zeros(marks.strength.shape), problem)
    count = 1 if may_have_several else several(marks.shape)
    problem = f"more than one digit? {count} separate shapes: crop the picture to one" if count > 1 else None
    full = _full_strength(marks)
    near = dilated(marks.shape, np.ones((3, 3), bool)) & (marks.shape | ~marks.mask)
    return InkPicture(np.where(near, np.clip(marks.strength / full, 0, 1), 0.0), problem, marks.notes)


@dataclass(frozen=True, eq=False)
class _Marks:
    """The strength of the ink, the mask of all marks, and that of the shape that was meant; None if there is none."""

    strength: Values
    mask: Mask
    shape: Mask | None
    is_exact: bool  # the paper has one grey, exactly
    notes: list[str]


def _marks_on(colours: Values) -> _Marks:
    constant = _constant_paper(colours)
    if constant is not None:
        strength = _strength(colours, np.broadcast_to(constant, colours.shape))
        mask, faint = strength > _FAINTEST_EXACT, 0.02
    else:
        strength, noise = _levelled(_strength(colours, _surface(colours)))
        mask, faint = strength > max(FAINTEST, 5 * noise), 0.15
    notes: list[str] = []
    if mask.any():
        full = float(np.quantile(strength[mask], 0.9))
        mask &= strength > faint * full
        mask = without_grid(mask, strength < 0.5 * full, notes)
    kept = without_lines(mask, notes)
    shapes = Shapes.of(kept, strength)
    shape = None if shapes is None else shapes.without_specks(notes)
    return _Marks(strength, mask, shape, constant is not None and colours.shape[2] == 1, notes)


def _full_strength(marks: _Marks) -> float:
    """The strength that a full stroke has; strengths of a clean picture in black and white stay as they are."""
    shape, strength = marks.shape, marks.strength
    assert shape is not None  # the caller has looked
    most = float(strength[shape].max())
    if marks.is_exact:
        return 1.0 if most >= 0.85 else most
    return float(np.quantile(strength[shape & (strength > 0.5 * most)], 0.9))


def opaque(picture: Picture) -> Values:
    """The colours (height, width, channels) where transparent pixels have been replaced.

    A drawing in one tone on a transparent background is its opacity; behind other pictures lies their common colour.
    """
    if picture.opacity is None:
        return picture.colours
    opacity, colours = picture.opacity[..., None], picture.colours
    solid = colours[picture.opacity > 0.5]
    if not len(solid) or np.abs(solid - np.median(solid, 0)).mean() < 0.02:
        return 1.0 - opacity
    return opacity * colours + (1 - opacity) * np.median(solid, axis=0)


def _constant_paper(colours: Values) -> Values | None:
    """The colour (channels,) of a background without light, noise or grain; None where there is no such colour."""
    ring = np.concatenate([colours[0], colours[-1], colours[:, 0], colours[:, -1]])
    for candidate in (np.median(ring, axis=0), np.median(colours, axis=(0, 1))):
        if (colours == candidate).all(-1).mean() > 0.3:
            return candidate
    return None


def _surface(colours: Values) -> Values:
    """The background as a quadratic surface for each channel, fitted so that ink does not count.

    Weights are 1 / (1 + (r / s)^2)^2 with residuals r and s their median magnitude (Geman and McClure 1987). It begins
    as the median and becomes linear, then quadratic, so that it does not follow large strokes.
    """
    height, width, channels = colours.shape
    step = max(1, round((height * width / _SURFACE_SAMPLES) ** 0.5))
    sample = colours[::step, ::step].reshape(-1, channels)
    basis = _basis(np.linspace(-1, 1, height)[::step], np.linspace(-1, 1, width)[::step])
    fitted = np.broadcast_to(np.median(sample, axis=0), sample.shape)
    coefficients = np.zeros((6, channels))
    for number in range(_ROUNDS):
        residuals = np.linalg.norm(sample - fitted, axis=1)
        scale = max(1.5 * float(np.median(residuals)), 0.004)
        weights = 1 / (1 + (residuals / scale) ** 2)  # the square root of the weight
        terms = 3 if number < _ROUNDS // 2 else 6
        solved: Values = np.linalg.lstsq(weights[:, None] * basis[:, :terms], weights[:, None] * sample, rcond=None)[0]
        coefficients = np.zeros((6, channels))
        coefficients[:terms] = solved
        fitted = basis @ coefficients
    whole = _basis(np.linspace(-1, 1, height), np.linspace(-1, 1, width)) @ coefficients
    return np.clip(whole, 0.0, 1.0).reshape(colours.shape)


def _basis(y: Values, x: Values) -> Values:
    rows, columns = (grid.ravel() for grid in np.meshgrid(y, x, indexing="ij"))
    return np.stack([np.ones_like(rows), rows, columns, rows * columns, rows**2, columns**2], axis=1)


def _strength(colours: Values, paper: Values) -> Values:
    """How far each pixel lies from the paper in the direction of the ink, in units of the light that falls on it."""
    difference = colours - paper
    size = np.linalg.norm(difference, axis=2)
    direction: Values = (difference * (size**4)[..., None]).sum(axis=(0, 1))
    length = float(np.linalg.norm(direction))
    if length == 0.0:
        return np.zeros(size.shape)
    light = paper.mean(axis=2)
    mean = float(light.mean())
    relative = np.clip(light / mean, 0.3, 3.0) if mean > 0.05 else 1.0  # on black, light falls on the ink alone
    reach = np.sqrt(colours.shape[2])  # from black to white is 1
    # dark ink is a fraction of its paper: black ink on grey paper is full ink
    darkens = bool(direction.sum() < 0)
    room = max(mean if darkens else 1.0 - mean, 0.05)
    return difference @ (direction / length) / reach / relative / room


def _levelled(strength: Values) -> tuple[Values, float]:
    """Strengths without what is wider than strokes (shadows, a table), around 0 on paper, and their noise there."""
    height, width = strength.shape
    large = min(height, width) >= 64
    smooth: Values = ndimage.gaussian_filter(strength, 1.0) if large else strength
    window = max(5, round(0.4 * min(height, width)) | 1)
    wide: Any = ndimage.maximum_filter(ndimage.minimum_filter(smooth, window), window)
    wide = ndimage.uniform_filter(wide, max(3, window // 4))
    level = strength - wide
    paper = level[level < np.median(level) + 0.5 * max(float(level.max() - np.median(level)), 1e-9)]
    middle = float(np.median(paper))
    noise = 1.4826 * float(np.median(np.abs(paper - middle)))
    return level - middle, noise
