"""A contact sheet of prepared images: what a network is given, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from assay.data.images import PreparedImage
from assay.report.text import clean

if TYPE_CHECKING:
    from PIL.Image import Image

_ACROSS = 10
_TILE = 112  # pixels, at least
_CAPTION = 34
_MOST = 1000
_GROUND, _TEXT = (245, 245, 245), (40, 40, 40)


def sheet_of(images: Sequence[PreparedImage], captions: Sequence[str]) -> Image:
    """The images enlarged without smoothing, each above its caption and its file's name; at most 1,000 of them."""
    from PIL import Image, ImageDraw, ImageFont

    images = images[:_MOST]
    tiles = [None if image.values is None else _tile(image) for image in images]
    width = max([_TILE, *(tile.width for tile in tiles if tile)])
    height = max([_TILE, *(tile.height for tile in tiles if tile)])
    across = min(_ACROSS, len(images))
    step = (width + 8, height + 8 + _CAPTION)
    sheet = Image.new("RGB", (across * step[0] + 8, -(-len(images) // across) * step[1] + 8), _GROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for number, (image, tile, caption) in enumerate(zip(images, tiles, captions, strict=False)):
        x, y = 8 + number % across * step[0], 8 + number // across * step[1]
        if tile is not None:
            sheet.paste(tile, (x, y))
        name = image.name.replace("\\", "/").rsplit("/", 1)[-1]
        for line, text in enumerate((caption, name)):
            draw.text((x, y + height + 2 + 15 * line), _shortened(clean(text), width, font), fill=_TEXT, font=font)
    return sheet


def _tile(image: PreparedImage) -> Image:
    from PIL import Image

    assert image.values is not None  # the caller has looked
    values = image.values if image.values.ndim == 3 else image.values[..., None]
    low, high = min(0.0, float(values.min())), max(1.0, float(values.max()))
    pixels = np.rint(255 * (values[..., :3] - low) / (high - low)).astype(np.uint8)
    pixels = pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels
    factor = max(1, -(-_TILE // max(pixels.shape[:2])))
    return Image.fromarray(pixels.repeat(factor, axis=0).repeat(factor, axis=1))


def _shortened(text: str, width: int, font: object) -> str:
    """The text, its end replaced by an ellipsis where it is wider than its tile."""
    length = font.getlength  # type: ignore[attr-defined]
    if length(text) <= width:
        return text
    while text and length(text + "…") > width:
        text = text[:-1]
    return text + "…"
