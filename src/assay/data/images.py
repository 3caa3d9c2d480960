"""Images from files, fitted to the form of the training images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.data.idx import read_idx
from assay.errors import DataError, FileError


def read_images(path: Path, shape: tuple[int, ...]) -> list[tuple[str, NDArray[np.float64]]]:
    """Every image in a file, named, as values in [0, 1] of the shape that the network was trained on.

    Raises: FileError if the file is missing or not an image, DataError if its images do not fit.
    """
    if not path.is_file():
        raise FileError(f"{path}: no such file")
    if path.read_bytes()[:4][:2] in (b"\x00\x00", b"\x1f\x8b"):  # IDX, or gzip around it
        array = read_idx(path)
        if array.ndim != 3:
            raise DataError(f"{path}: has {array.ndim} dimensions; expected images (count, height, width)")
        scale = 255.0 if array.dtype == np.uint8 else float(np.abs(array).max() or 1)
        return [(f"{path}[{i}]", fitted(image / scale, shape)) for i, image in enumerate(array)]
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            grey = np.asarray(image.convert("RGBA").convert("LA"), np.float64) / 255.0
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise FileError(f"{path}: not an image, or damaged: {error}") from None
    return [(str(path), fitted(ink_of(grey), shape))]


def ink_of(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ink as high values: (height, width, 2) of lightness and opacity to (height, width) with a background near 0.

    Transparent pixels count as background; an image with a light border is dark ink on paper and is inverted.
    """
    lightness, opacity = grey[..., 0], grey[..., 1]
    if _border(opacity).mean() < 0.5:  # a drawing on a transparent background: the opacity is the ink
        return opacity
    return 1.0 - lightness if _border(lightness).mean() > 0.5 else lightness


def _border(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])


def fitted(image: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """An image in the frame of the training images.

    An image of that size is returned unchanged. Otherwise the ink is cropped, scaled to the frame (with MNIST's margin
    of a seventh on frames of 16 pixels or more) and centred by its centre of mass, as MNIST was made (LeCun et al.
    1998).
    """
    if len(shape) != 2:
        raise DataError(f"the network was trained on examples of shape {shape}; images need (height, width)")
    if image.shape == shape:
        return image
    from PIL import Image

    rows, columns = np.nonzero(image > 0.2 * image.max()) if image.max() > 0 else (np.array([0]), np.array([0]))
    ink = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    inner = [side - 2 * round(side / 7) if side >= 16 else side for side in shape]
    scale = min(inner[0] / ink.shape[0], inner[1] / ink.shape[1])
    size = [max(1, round(side * scale)) for side in ink.shape]
    picture = Image.fromarray((ink * 255).astype(np.uint8)).resize((size[1], size[0]), Image.Resampling.BOX)
    small = np.asarray(picture, np.float64) / 255.0
    total = small.sum() or 1.0
    centre = [(small.sum(1 - axis) * np.arange(small.shape[axis])).sum() / total for axis in (0, 1)]
    start = [
        int(np.clip(round((side - 1) / 2 - c), 0, side - s)) for side, c, s in zip(shape, centre, size, strict=True)
    ]
    frame = np.zeros(shape)
    frame[start[0] : start[0] + size[0], start[1] : start[1] + size[1]] = small
    return frame
