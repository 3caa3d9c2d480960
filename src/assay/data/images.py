"""Images from files, prepared as the training images of a network were: what a network is given."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.data.idx import TYPES, read_idx
from assay.data.ink import InkPicture, ink_of
from assay.data.picture_files import Picture, foreign, read_picture
from assay.data.picture_style import PictureStyle, fitted_ink
from assay.errors import DataError, FileError
from assay.system.files import check_reachable

Values = NDArray[np.float64]

_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow turns colours into grey
_SEVERAL = 0.01  # from this fraction of the training pictures on, several shapes are one example
_SAME_RATIO = 1.05  # of the sides: up to it, a picture is squeezed into the frame and not cut


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """What a network is given of one image.

    Attributes:
        name: Of the file, with a number if the file holds several images.
        values: In the network's shape and in the values of its training data, before the input scaling beyond "unit";
            None if there is a problem.
        problem: Why there is nothing to predict, a sentence; "" if there is.
        notes: What was removed and what was assumed.
    """

    name: str
    values: Values | None
    problem: str = ""
    notes: tuple[str, ...] = ()


def read_images(
    path: Path, shape: tuple[int, ...], style: PictureStyle, *, scale: float | None = None
) -> list[PreparedImage]:
    """Every image in a file, prepared for a network of that shape and of training pictures of that style.

    `scale`: what the raw values of the training pictures were divided by, if it is known; IDX files have no range.

    Raises: FileError if the file is missing or not an image, DataError if its images or the network's shape do not fit.
    """
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise DataError(
            f"the network was trained on examples of shape {shape}; expected (height, width), or (height, width, "
            "channels) with 1, 3 or 4 channels, to predict pictures"
        )
    check_reachable(path)
    if path.is_dir():
        raise FileError(f"{path}: is a folder; expected pictures, such as {path}/*.png")
    if not path.is_file():
        raise FileError(f"{path}: no such file")
    return [prepared_image(name, picture, shape, style) for name, picture in _pictures(path, shape, scale)]


def _pictures(path: Path, shape: tuple[int, ...], scale: float | None) -> Iterator[tuple[str, Picture]]:
    try:
        with path.open("rb") as file:
            head = file.read(512)
        unpacked = gzip.open(path).read(512) if head[:2] == b"\x1f\x8b" else head  # noqa: SIM115
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileError(f"{path}: damaged gzip: {error}") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    if looks_like_idx(unpacked):
        yield from _idx_pictures(path, scale)
        return
    if kind := foreign(head):
        raise FileError(f"{path}: {kind}")
    if head[:2] == b"\x1f\x8b":
        raise FileError(f"{path}: a gzip file that holds no IDX file; unpack it and give what is inside")
    yield str(path), read_picture(path, largest=int(np.clip(14 * max(shape[:2]), 256, 1024)))


def looks_like_idx(head: bytes) -> bool:
    """Whether a file begins as IDX does: two zero bytes, a known element type, 1 to 4 dimensions.

    Icons, TGA, JPEG 2000, AVIF and HEIC files begin with two zero bytes too.

    >>> looks_like_idx(bytes([0, 0, 8, 3])), looks_like_idx(bytes([0, 0, 1, 0]))
    (True, False)
    """
    return head[:2] == b"\0\0" and len(head) >= 4 and head[2] in TYPES and 1 <= head[3] <= 4


def _idx_pictures(path: Path, trained: float | None) -> Iterator[tuple[str, Picture]]:
    array = read_idx(path)
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3, 4)):
        got = f"{array.ndim} dimensions" if array.ndim < 4 else f"the shape {array.shape}"
        raise DataError(
            f"{path}: has {got}; expected images (count, height, width) or (count, height, width, channels)"
        )
    if not array.size:
        raise DataError(f"{path}: holds no pixels: its shape is {array.shape}; expected at least one image")
    if not np.isfinite(array).all():
        raise DataError(f"{path}: holds NaN or infinity; expected finite values")
    low, high = float(array.min()), float(array.max())
    scale, is_assumed = _scale(array.dtype == np.uint8, low, high, trained)
    notes = (f"values from {low:g} to {high:g} were divided by {scale:g}",) if is_assumed else ()
    for number, image in enumerate(array):
        pixels = image.reshape(*image.shape[:2], -1) / scale
        opacity = pixels[..., 3] if pixels.shape[2] == 4 else None
        yield f"{path}[{number}]", Picture(pixels[..., :3], opacity, notes)


def _scale(is_bytes: bool, low: float, high: float, trained: float | None) -> tuple[float, bool]:
    """What values from `low` to `high` are divided by, and whether that is only assumed.

    They are in the units of the training pictures, `trained`, if they reach into its range without leaving it.

    >>> _scale(True, 0, 240, 255.0), _scale(True, 0, 16, 16.0), _scale(True, 0, 240, 16.0), _scale(True, 0, 1, 255.0)
    ((255.0, False), (16.0, False), (255.0, True), (1.0, True))
    """
    if trained is not None and low >= -trained and trained / 8 < max(high, -low) <= trained:
        return trained, False
    if low >= 0 and high <= 1:
        return 1.0, is_bytes
    if is_bytes and high > 32:
        return 255.0, trained is not None
    return max(high, -low), True


def prepared_image(name: str, picture: Picture, shape: tuple[int, ...], style: PictureStyle) -> PreparedImage:
    """One picture as a network is given it: its ink alone where the training pictures have a constant border."""
    notes = list(picture.notes)
    if style.border is None:
        values = _coloured(picture, shape, notes)
        return PreparedImage(name, _in_range(values, style, notes).reshape(shape), notes=tuple(notes))
    result: InkPicture = ink_of(picture, may_have_several=style.several >= _SEVERAL)
    notes += result.notes
    if result.problem is not None:
        return PreparedImage(name, None, result.problem, tuple(notes))
    ink = fitted_ink(result.ink, (shape[0], shape[1]), style)
    if not ink.any():
        problem = "no ink is left at the size and place of the training pictures; is the picture one of theirs?"
        return PreparedImage(name, None, problem, tuple(notes))
    values = style.border + ink * (style.full - style.border)
    if len(shape) == 3:
        values = values[..., None].repeat(shape[2], axis=2)
    return PreparedImage(name, values, notes=tuple(notes))


def _coloured(picture: Picture, shape: tuple[int, ...], notes: list[str]) -> Values:
    """The colours of a picture at the network's size and number of channels; adds to `notes`."""
    channels = shape[2] if len(shape) == 3 else 1
    colours = picture.colours
    if picture.opacity is not None and channels < 4:
        notes.append("transparent pixels count as white")
        opacity = picture.opacity[..., None]
        colours = opacity * colours + (1 - opacity)
    if channels == 1 and colours.shape[2] == 3:
        colours = (colours @ _GREY)[..., None]
    if channels >= 3 and colours.shape[2] == 1:
        notes.append("a grey picture for a network of colours")
        colours = colours.repeat(3, axis=2)
    if channels == 4:
        opacity = np.ones(colours.shape[:2]) if picture.opacity is None else picture.opacity
        colours = np.concatenate([colours, opacity[..., None]], axis=2)
    return _resized(colours, (shape[0], shape[1]), notes)


def _resized(colours: Values, size: tuple[int, int], notes: list[str]) -> Values:
    """Colours at a size: the middle of a picture of other proportions, pixels averaged; adds to `notes`."""
    from PIL import Image

    height, width = colours.shape[:2]
    if (height, width) == size:
        return colours
    ratio = (height / width) / (size[0] / size[1])
    if max(ratio, 1 / ratio) > _SAME_RATIO:
        side = (round(height / ratio), width) if ratio > 1 else (height, round(width * ratio))
        kept = (max(1, side[0]), max(1, side[1]))
        top, left = (height - kept[0]) // 2, (width - kept[1]) // 2
        colours = colours[top : top + kept[0], left : left + kept[1]]
        notes.append(f"cut to its middle, {kept[1]} of {width} columns and {kept[0]} of {height} rows")
    how = Image.Resampling.BOX if colours.shape[0] >= size[0] else Image.Resampling.BICUBIC
    planes = [
        Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize((size[1], size[0]), how)
        for plane in np.moveaxis(colours, 2, 0)
    ]
    return np.clip(np.stack([np.asarray(plane, np.float64) for plane in planes], axis=2), 0.0, 1.0)


def _in_range(values: Values, style: PictureStyle, notes: list[str]) -> Values:
    """Values from 0 to 1 in the training pictures' range, where that reaches below 0; adds to `notes`."""
    low, high = np.array(style.low), np.array(style.high)
    if low.min() >= 0:
        return values
    notes.append(f"black is {low.min():g} and white {high.max():g}, the range of the training pictures")
    return low + values * (high - low)


__all__ = ["PreparedImage", "looks_like_idx", "prepared_image", "read_images"]
