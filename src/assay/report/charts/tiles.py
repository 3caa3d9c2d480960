"""Pictures in a grid: pixels as images, and the places on which they stand."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO
from math import ceil
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from assay.report.charts.style import INK, Rows, table

_ENLARGED = 4


def picture(pixels: NDArray[np.uint8]) -> str:
    """Pixels (height, width) or (height, width, 3) as the address of a PNG that holds them."""
    buffer = BytesIO()
    enlarged = pixels.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)  # viewers would smooth small ones
    Image.fromarray(enlarged).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


@dataclass(frozen=True)
class Tiles:
    """A grid of `count` pictures, `across` in a row; the sizes are pixels, `below` the room for a text."""

    count: int
    across: int
    tile: int
    gap: int
    below: int = 0

    @property
    def _size(self) -> tuple[int, int]:
        down = ceil(self.count / self.across)
        return self.across * (self.tile + self.gap), down * (self.tile + self.gap + self.below)

    def places(self, rows: Rows) -> alt.Chart:
        """The chart whose x and y are the middles of the tiles, one row per tile."""
        width, height = self._size
        middles = [
            row
            | {"x": i % self.across * (self.tile + self.gap) + self.tile / 2}
            | {"y": i // self.across * (self.tile + self.gap + self.below) + self.tile / 2}
            for i, row in enumerate(rows)
        ]
        return alt.Chart(table(middles)).encode(
            x=alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, width], nice=False)),
            y=alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[height, 0], nice=False)),
        )

    def images(self, rows: Rows) -> alt.Chart:
        """The pictures of the rows, whose addresses are their `url`."""
        return self.places(rows).mark_image(width=self.tile, height=self.tile).encode(url="url:N")

    def texts(self, rows: Rows) -> alt.Chart:
        """The `text` of each row below its picture."""
        mark = self.places(rows).mark_text(
            dy=self.tile / 2 + 12, fontSize=12, color=INK, limit=self.tile + self.gap - 4
        )
        return mark.encode(text="text:N")

    def sized(self, chart: Any) -> Any:
        """The chart in the size of the grid."""
        width, height = self._size
        return chart.properties(width=width, height=height)


__all__ = ["Tiles", "picture"]
