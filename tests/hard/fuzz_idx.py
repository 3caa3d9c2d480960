"""Fuzzer of IDX files, plain and compressed: headers that claim anything, contents that were changed."""

from __future__ import annotations

import gzip
import random
import struct
from pathlib import Path

from . import fuzzing

_SIZES = (0, 1, 2, 3, 10, 28, 255, 2**16, 2**20, 2**31 - 1, 2**31, 2**32 - 1)


def case(draw: random.Random, place: Path) -> str:
    """One file, read as an array and as pictures."""
    from assay.data.idx import read_idx
    from assay.data.images import read_images
    from assay.data.picture_style import PictureStyle
    from assay.errors import AssayError

    path = place / draw.choice(("x-idx3-ubyte", "x.gz", "x.png"))
    path.write_bytes(_content(draw))
    problem = None
    try:
        read_idx(path)
    except AssayError as error:
        problem = error
    read_images(path, (28, 28), PictureStyle(0.0))
    if problem is not None:
        raise problem
    return "taken"


def _content(draw: random.Random) -> bytes:
    code = draw.choice((8, 8, 8, 9, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0, 255))
    if draw.random() < 0.5:
        shape = [draw.choice((1, 2, 3, 5, 28)) for _ in range(draw.randint(1, 4))]
    else:
        shape = [draw.choice(_SIZES) for _ in range(draw.choice((0, 1, 2, 3, 3, 3, 4, 5, 200)))]
    width = {8: 1, 9: 1, 0x0B: 2, 0x0C: 4, 0x0D: 4, 0x0E: 8}.get(code, 1)
    size = width
    for number in shape:
        size *= number
    header = bytes([0, 0, code, min(len(shape), 255)]) + b"".join(struct.pack(">I", number) for number in shape)
    content = header + (draw.randbytes(size) if size < 2**16 else draw.randbytes(64))
    if draw.random() < 0.5:
        content = fuzzing.changed(draw, content)
    if draw.random() < 0.4:
        content = _compressed(draw, content)
    return content


def _compressed(draw: random.Random, content: bytes) -> bytes:
    if draw.random() < 0.03:  # much from little
        content += bytes(draw.choice((2**20, 2**26)))
    packed = gzip.compress(content, 1)
    return fuzzing.changed(draw, packed) if draw.random() < 0.5 else packed


def warm() -> None:
    """Imports what the cases need."""
    import PIL.Image

    import assay.data.images  # noqa: F401

    PIL.Image.init()


def run(seed: int, cases: int) -> dict[str, int]:
    """Makes so many cases."""
    return fuzzing.run("idx", case, seed, cases, warm=warm)
