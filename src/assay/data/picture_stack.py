"""Files of pictures as one array of a data set: all of one size, grey or with three channels, 8 bits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.data.picture_files import read_picture
from assay.errors import DataError, FileError
from assay.system.limits import ARRAY_BYTES, PICTURE_FILES, PICTURE_SIDE

Size = tuple[int, int]

_ROUNDED = 1e-6  # of a value of 8 bits


class PictureStack:
    """Pictures that are added one after the other, then read as one array.

    Args:
        where: The data set, for errors.
        size: The height and width that pictures are resized to; None refuses pictures of different sizes.
    """

    def __init__(self, where: str, *, size: Size | None = None) -> None:
        self._where, self._size = where, size
        self._pictures: list[NDArray[np.uint8]] = []
        self._first: tuple[str, Size] | None = None
        self._counts = Counter[str]()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._pictures)

    def add(self, name: str, source: Path | bytes) -> None:
        """Decodes a picture. Raises: DataError if it is none, is transparent, or has another size than the first."""
        if len(self._pictures) >= PICTURE_FILES.most:
            raise DataError(f"{self._where}: has more than {PICTURE_FILES}; give a part of them")
        try:
            picture = read_picture(source, largest=PICTURE_SIDE.most, name=name)
        except FileError as error:
            raise DataError(str(error)) from None
        if picture.opacity is not None:
            raise DataError(
                f"{name}: has transparent pixels, whose colour depends on what is behind them; save it on a background"
            )
        values = picture.colours * 255.0
        pixels = np.rint(values).astype(np.uint8)
        self._counts["deep"] += bool(np.abs(values - pixels).max() > _ROUNDED)
        for note in picture.notes:
            self._counts[f"note {note}"] += 1
        self._pictures.append(self._sized(name, pixels))
        self._bytes += self._pictures[-1].size * 3 // pixels.shape[2]
        if self._bytes > ARRAY_BYTES.most:
            raise DataError(
                f"{self._where}: its pictures have more than {ARRAY_BYTES} of pixels; resize them, or give a part"
            )

    def _sized(self, name: str, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = pixels.shape[:2]
        if self._size is None:
            if self._first is None:
                self._first = name, (height, width)
            first, shape = self._first
            if (height, width) != shape:
                raise DataError(
                    f"{self._where}: pictures of different sizes: {first} has {shape[0]} x {shape[1]} pixels (height x "
                    f"width), {name} {height} x {width}; resize them with `assay data convert FOLDER DATA.npz "
                    f"--size {shape[0]}x{shape[1]}`"
                )
            return pixels
        if (height, width) == self._size:
            return pixels
        from PIL import Image

        self._counts["resized"] += 1
        channels = [
            np.asarray(
                Image.fromarray(pixels[..., k]).resize((self._size[1], self._size[0]), Image.Resampling.BILINEAR)
            )
            for k in range(pixels.shape[2])
        ]
        return np.stack(channels, axis=-1)

    def array(self) -> tuple[NDArray[np.uint8], list[str]]:
        """The pictures (N, H, W), or (N, H, W, 3) where one of them has colours, and how they were read."""
        colours = any(picture.shape[2] == 3 for picture in self._pictures)
        notes: list[str] = []
        if colours:
            if grey := sum(picture.shape[2] == 1 for picture in self._pictures):
                notes.append(f"{grey:,} grey pictures among those with colours have three equal channels")
            pixels = np.stack([np.broadcast_to(picture, (*picture.shape[:2], 3)) for picture in self._pictures])
        else:
            pixels = np.stack([picture[..., 0] for picture in self._pictures])
        total = len(self._pictures)
        if count := self._counts["resized"]:
            height, width = self._size or (0, 0)
            notes.append(
                f"{count:,} of {total:,} pictures were resized to {height} x {width} pixels, whatever their proportions"
            )
        if count := self._counts["deep"]:
            notes.append(f"{count:,} of {total:,} pictures have more than 8 bits, and were rounded to 8")
        others = [(key[5:], count) for key, count in self._counts.items() if key.startswith("note ")]
        return pixels, notes + [f"{count:,} of {total:,} pictures: {note}" for note, count in others[:3]]
