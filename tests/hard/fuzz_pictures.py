"""Fuzzer of pictures: every format that Pillow writes, with headers and contents that were changed."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np

from . import fuzzing

_FORMATS = (
    ("PNG", "1"), ("PNG", "L"), ("PNG", "LA"), ("PNG", "P"), ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "I;16"),
    ("JPEG", "L"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("GIF", "P"), ("BMP", "RGB"), ("BMP", "1"), ("DIB", "RGB"),
    ("TIFF", "L"), ("TIFF", "I;16"), ("TIFF", "F"), ("TIFF", "RGB"), ("TIFF", "1"), ("WEBP", "RGB"), ("ICO", "RGBA"),
    ("PCX", "L"), ("PPM", "RGB"), ("PPM", "1"), ("SGI", "RGB"), ("TGA", "RGBA"), ("XBM", "1"), ("MSP", "1"),
    ("JPEG2000", "RGB"), ("DDS", "RGBA"), ("ICNS", "RGBA"), ("AVIF", "RGB"), ("QOI", "RGB"), ("SPIDER", "F"),
    ("IM", "L"), ("EPS", "RGB"), ("PDF", "RGB"), ("PALM", "P"), ("BLP", "P"), ("GBR", "RGB"), ("PSD", "RGB"),
)  # fmt: skip
_SAMPLES: list[bytes] = []


def case(draw: random.Random, place: Path) -> str:
    """One file under a picture's name, prepared for a network of 28 x 28 pixels."""
    from assay.data.images import read_images
    from assay.data.picture_style import PictureStyle

    path = place / "x.png"
    path.write_bytes(_content(draw))
    style = draw.choice((PictureStyle(0.0, side=20.0, centre=(14.0, 14.0)), PictureStyle(None)))
    images = read_images(path, draw.choice(((28, 28), (8, 8), (28, 28, 3), (28, 28, 1))), style)
    for image in images:
        assert image.values is None or np.isfinite(image.values).all()
    return "taken"


def _content(draw: random.Random) -> bytes:
    how = draw.random()
    if how < 0.05:
        return draw.choice(
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\0\0", b"RIFF", b"BM")
        ) + draw.randbytes(99)
    if how < 0.1:
        return _png_bomb(draw)
    sample = draw.choice(_SAMPLES)
    if how < 0.4:  # the header, where sizes are
        start = bytearray(sample)
        for _ in range(draw.randint(1, 4)):
            start[draw.randrange(min(len(start), 64))] = draw.choice((0, 1, 2, 0x7F, 0xFF, draw.randrange(256)))
        return bytes(start)
    return fuzzing.changed(draw, sample)


def _png_bomb(draw: random.Random) -> bytes:
    """A PNG whose header claims more than its few bytes hold, or nearly as much."""
    size = draw.choice((2**31 - 1, 100_000, 20_000, 9_000, 5_000))
    header = struct.pack(
        ">IIBBBBB", size, draw.choice((size, 1, 100)), draw.choice((8, 16)), draw.choice((0, 2, 6)), 0, 0, 0
    )
    packed = zlib.compress(bytes(draw.choice((1, 2**12, 2**23))), 9)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    text = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + text


def warm() -> None:
    """Writes a picture in every format that this Pillow writes."""
    from PIL import Image

    import assay.data.images  # noqa: F401

    Image.init()
    pixels = np.full((40, 33), 250, np.uint8)
    pixels[8:30, 12:20] = 20
    for name, mode in _FORMATS:
        grey = Image.fromarray(pixels)
        if mode == "I;16":
            picture = Image.fromarray(pixels.astype(np.uint16) * 257)
        elif mode == "F":
            picture = Image.fromarray(pixels.astype(np.float32) / 255)
        else:
            picture = grey.convert(mode)
        file = io.BytesIO()
        try:
            picture.save(file, name)
        except Exception:  # this build of Pillow does not write the format
            continue
        _SAMPLES.append(file.getvalue())


def run(seed: int, cases: int) -> dict[str, int]:
    """Makes so many cases."""
    return fuzzing.run("pictures", case, seed, cases, warm=warm)
