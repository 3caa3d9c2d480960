"""What the training pictures of a network look like, and new ink fitted to it: its size, its place, its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

_SAMPLE = 500  # training examples looked at
_CONSTANT = 0.95  # of the values of a constant side are equal
_UNTOUCHED = 0.75  # of the pictures have no other value there
_INK = 0.2  # of the strongest ink: what is above it counts for the bounding box
_STEADY = 0.06  # of the longer side, the deviation up to which ink has a fixed place
_SPREAD = 0.25  # of its median, the range up to which ink has a fixed size


@dataclass(frozen=True)
class PictureStyle:
    """What the training pictures look like, after the input scaling "unit".

    Attributes:
        border: The value of their constant border; None where they have none, or where they are coloured.
        full: The value of the strongest ink, on one side of the border's.
        side: The longer side of the ink's bounding box in pixels; 0 where it varies.
        centre: Where the ink is centred: (row, column); where it varies, the middle of the picture.
        by_mass: Whether the centre of mass lies there, as in MNIST, or the middle of the bounding box; for each axis.
        peak: The strength of full strokes, as a fraction of the way from the border to `full`.
        several: The fraction of the pictures with several shapes next to one another.
        low: The lowest value of each channel.
        high: The highest value of each channel.
    """

    border: float | None
    full: float = 1.0
    side: float = 0.0
    centre: tuple[float, float] = (0.0, 0.0)
    by_mass: tuple[bool, bool] = (False, False)
    peak: float = 1.0
    several: float = 0.0
    low: tuple[float, ...] = (0.0,)
    high: tuple[float, ...] = (1.0,)

    def plain(self) -> dict[str, Any]:
        """The style as plain data."""
        return asdict(self)

    @classmethod
    def stored(cls, plain: dict[str, Any]) -> PictureStyle:
        """The style that `plain` gave, also after JSON. Raises: TypeError, ValueError or KeyError for other data."""
        values = dict(plain)
        for name in ("centre", "low", "high"):
            values[name] = tuple(map(float, values[name]))
        values["by_mass"] = tuple(map(bool, values["by_mass"]))
        style = cls(**values)
        numbers = [style.full, style.side, style.peak, *style.centre, *style.low, *style.high, style.border or 0.0]
        if len(style.centre) != 2 or len(style.by_mass) != 2 or not np.isfinite(numbers).all():
            raise ValueError(f"the picture style {plain} is not one")
        return style


def picture_style(x: NDArray[Any], shape: tuple[int, ...], scale: float) -> PictureStyle | None:
    """The style of training pictures (N, D) of a shape (H, W) or (H, W, channels); None for examples of other shapes.

    >>> x = np.zeros((3, 36)).reshape(3, 6, 6)
    >>> x[:, 2:4, 1:5] = 255
    >>> style = picture_style(x.reshape(3, 36), (6, 6), 255.0)
    >>> style.border, style.full, style.side
    (0.0, 1.0, 4.0)
    """
    if len(shape) not in (2, 3):
        return None
    rows = np.unique(np.linspace(0, len(x) - 1, min(_SAMPLE, len(x))).astype(int))
    pictures = x[rows].astype(np.float64).reshape(len(rows), shape[0], shape[1], -1) / scale
    low, high = (tuple(map(float, f(pictures, axis=(0, 1, 2)))) for f in (np.min, np.max))
    plain = PictureStyle(None, low=low, high=high)
    grey = pictures[..., 0]
    if (pictures != grey[..., None]).any() or min(shape[:2]) < 4:
        return plain
    border = _constant_border(grey)
    if border is None:
        return plain
    below, above = (grey < border).sum(), (grey > border).sum()
    if min(below, above) > 0.01 * max(below, above) or not (below or above):
        return plain
    full = high[0] if above > below else low[0]
    ink = (grey - border) / (full - border)
    ink = ink[ink.max(axis=(1, 2)) > _INK]
    return _placed(ink, PictureStyle(border, full, low=low, high=high)) if len(ink) else plain


def _constant_border(grey: Values) -> float | None:
    """The value of the border of pictures (N, H, W), if all four sides, or two opposite ones, are constant.

    Two are enough: digits of 8 x 8 pixels fill their frame from top to bottom. A side is constant if almost all of its
    values are equal and most of the pictures have nothing else there; clothes that touch it do so in more of them.
    """
    across, along = [grey[:, 0], grey[:, -1]], [grey[:, :, 0], grey[:, :, -1]]
    for sides in (across + along, across, along):
        border = float(np.median(np.concatenate(sides, axis=None)))
        equal = [side == border for side in sides]
        if min(e.mean() for e in equal) >= _CONSTANT and min(e.all(axis=1).mean() for e in equal) >= _UNTOUCHED:
            return border
    return None


def _placed(ink: Values, style: PictureStyle) -> PictureStyle:
    """The style with the size and place of the ink, if the pictures have one of each."""
    shape = ink.shape[1:]
    boxes = np.array([_box(picture) for picture in ink], np.float64)
    sides = np.maximum(boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2])
    centres = {False: (boxes[:, [0, 2]] + boxes[:, [1, 3]] - 1) / 2, True: np.array([_mass(p) for p in ink])}
    by_mass = centres[True].std(0) < centres[False].std(0)
    places = np.where(by_mass, centres[True], centres[False])
    low, middle, high = np.quantile(sides, [0.05, 0.5, 0.95])
    steady = places.std(0).max() <= _STEADY * max(shape) and high - low <= _SPREAD * middle
    count = np.mean([several(picture > _INK * picture.max()) > 1 for picture in ink])
    centre = places.mean(0) if steady else (np.array(shape) - 1) / 2
    return replace(
        style,
        side=float(middle) if steady else 0.0,
        centre=(float(centre[0]), float(centre[1])),
        by_mass=(bool(by_mass[0]), bool(by_mass[1])),
        peak=float(np.median([_peak(picture) for picture in ink])),
        several=float(count),
    )


def _box(ink: Values) -> tuple[int, int, int, int]:
    """The first row, the row after the last, and the columns likewise, of what counts as ink."""
    rows, columns = np.nonzero(ink > _INK * ink.max())
    return int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1


def _mass(ink: Values) -> tuple[float, float]:
    """The centre of mass."""
    total = ink.sum()
    return float(ink.sum(1) @ np.arange(ink.shape[0]) / total), float(ink.sum(0) @ np.arange(ink.shape[1]) / total)


def fitted_ink(ink: Values, shape: tuple[int, int], style: PictureStyle) -> Values:
    """Ink (height, width) in a frame of `shape`, in the size and place that the training pictures have.

    Ink that has both already, to a pixel, stays as it is. Where the training pictures have no fixed size or place, the
    whole picture is scaled to the frame. Zeros where no ink is left in the frame, as with a style of larger pictures.
    """
    placed = _in_place(ink, shape, style) if ink.max() > 0 else np.zeros(shape)
    return _strengthened(placed, style.peak) if placed.max() > 0 else placed


def _strengthened(ink: Values, peak: float) -> Values:
    """Ink whose full strokes are as strong as the training pictures'; left as it is where they nearly are."""
    strength = _peak(ink)
    return ink if abs(strength - peak) <= 0.1 * peak else np.clip(ink * (peak / strength), 0.0, 1.0)


def _peak(ink: Values) -> float:
    return float(np.quantile(ink[ink > 0.5 * ink.max()], 0.9))


def _in_place(ink: Values, shape: tuple[int, int], style: PictureStyle) -> Values:
    """Ink in a frame of `shape` at the size and place of the style, its bounding box on the frame's pixels."""
    if not style.side:
        factor = max(np.divide(ink.shape, shape))
        corner = [(side - size * factor) / 2 for side, size in zip(ink.shape, shape, strict=True)]
        return ink if ink.shape == shape else _sampled(ink, shape, corner, float(factor))
    top, bottom, left, right = _box(ink)
    longer = max(bottom - top, right - left)
    if ink.shape == shape and abs(longer - style.side) <= max(1.0, 0.08 * style.side):
        offset = np.subtract(_centre(ink, style), style.centre)
        if np.abs(offset).max() <= max(1.0, 1.5 * _STEADY * max(shape)):
            return ink
    factor = longer / style.side
    corner: list[float] = []
    for centre, target, start, stop, side in zip(
        _centre(ink, style), style.centre, (top, left), (bottom, right), shape, strict=True
    ):
        first = round(target - ((centre + 0.5 - start) / factor - 0.5))
        first = int(np.clip(first, 0, max(0, side - round((stop - start) / factor))))
        corner.append(start - first * factor)
    return _sampled(ink, shape, corner, factor)


def _centre(ink: Values, style: PictureStyle) -> tuple[float, float]:
    top, bottom, left, right = _box(ink)
    mass = _mass(ink)
    row = mass[0] if style.by_mass[0] else (top + bottom - 1) / 2
    return row, mass[1] if style.by_mass[1] else (left + right - 1) / 2


def _sampled(ink: Values, shape: tuple[int, int], corner: Sequence[float], factor: float) -> Values:
    """The part of a picture that begins at `corner`, in pixels of `factor` old ones; beyond the picture is no ink.

    Where it shrinks, values are averaged over the new pixels' areas, as MNIST's were; where it grows, interpolated.
    """
    from PIL import Image

    pad = int(np.ceil(factor * max(shape))) + 1
    picture = Image.fromarray(np.pad(ink, pad).astype(np.float32))
    top, left = (start + pad for start in corner)
    box = (left, top, left + factor * shape[1], top + factor * shape[0])
    how = Image.Resampling.BOX if factor >= 1 else Image.Resampling.BICUBIC
    return np.clip(np.asarray(picture.resize((shape[1], shape[0]), how, box=box), np.float64), 0.0, 1.0)


def several(mask: NDArray[np.bool_]) -> int:
    """The number of large shapes that stand apart, side by side or one above another; 1 if there is no such gap.

    >>> several(np.array([[1, 0, 1], [1, 0, 1], [1, 0, 1]], bool))
    2
    """
    return max(_apart(mask, least=0.6), _apart(mask.T, least=0.0), 1)


def _apart(mask: NDArray[np.bool_], *, least: float) -> int:
    """The pieces between empty columns with a quarter of the largest one's marks, that are tall enough.

    `least`: the height that counts, as a fraction of the whole; pieces above one another must be 0.3 of it tall, which
    is their width here.
    """
    filled = np.flatnonzero(np.diff(np.concatenate([[False], mask.any(axis=0), [False]]).astype(np.int8)))
    pieces = [mask[:, start:stop] for start, stop in filled.reshape(-1, 2)]
    if len(pieces) < 2:
        return len(pieces)
    rows = np.flatnonzero(mask.any(axis=1))
    height, width = rows[-1] - rows[0] + 1, filled[-1] - filled[0]
    largest = max(piece.sum() for piece in pieces)
    tall = [np.ptp(np.flatnonzero(piece.any(axis=1))) + 1 >= least * height for piece in pieces]
    wide = [least > 0 or piece.shape[1] >= 0.3 * width for piece in pieces]
    large = [piece.sum() >= 0.25 * largest for piece in pieces]
    return sum(all(conditions) for conditions in zip(tall, wide, large, strict=True))
