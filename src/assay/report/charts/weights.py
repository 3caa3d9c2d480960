"""The weights of the first layer as images."""

from __future__ import annotations

from math import ceil, sqrt
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from assay.errors import AssayError
from assay.report.charts.chart import Chart
from assay.report.charts.style import dressed, message, tooltip
from assay.report.charts.tiles import Tiles, picture

_TILES = 64
_BLUE_END, _ORANGE_END = "#005a8f", "#b54a00"


def weights(w: Any, shape: tuple[int, ...], *, most: int = _TILES, title: str | None = None) -> Any:
    """The weights from the image to each unit of the first layer, as images: blue negative, orange positive.

    `w`: (D, H), with D the pixels of `shape`, (height, width) or (height, width, channels), whose mean is drawn.
    The units with the largest weights come first. Raises: AssayError.
    """
    table = np.asarray(w, dtype=float)
    heading = title if title is not None else "weights of the first layer"
    if table.ndim != 2 or len(shape) not in (2, 3) or int(np.prod(shape)) != table.shape[0]:
        raise AssayError(f"weights: {table.shape} does not fit images of shape {tuple(shape)}")
    bad = int((~np.isfinite(table)).any(axis=0).sum())
    table = np.where(np.isfinite(table), table, 0.0)
    units = table.shape[1]
    largest = float(np.abs(table).max()) if table.size else 0.0
    if not largest:
        why = f"{bad:,} of {units:,} units have weights that are not numbers" if bad else "every weight is zero"
        return message(f"There is nothing to see: {why}.", heading)
    order = np.argsort(-np.linalg.norm(table, axis=0), kind="stable")[:most]
    end = float(np.quantile(np.abs(table[:, order]), 0.995)) or largest
    notes = [
        f"showing the {len(order)} of {units:,} units with the largest weights"
        if len(order) < units
        else f"{units:,} units, the largest first",
        f"colours end at ±{end:.3g}, the largest weight is {largest:.3g}" if largest > 1.001 * end else "",
        f"{bad:,} units have weights that are not numbers, drawn as 0" if bad else "",
    ]
    return dressed(_images(table, shape, order.tolist(), end=end), heading, notes)


def _images(table: NDArray[np.float64], shape: tuple[int, ...], order: list[int], *, end: float) -> Any:
    rows: list[dict[str, Any]] = []
    for unit in order:
        pixels = table[:, unit].reshape(shape)
        pixels = pixels.mean(axis=2) if pixels.ndim == 3 else pixels
        row = {"url": picture(_signed(pixels / end)), "unit": f"unit {unit}", "value": 0.0}
        rows.append(row | {"low": float(pixels.min()), "high": float(pixels.max())})
    across = min(len(order), 8 if len(order) > 16 else max(1, ceil(sqrt(len(order) * 1.6))))
    tiles = Tiles(len(order), across=across, tile=76 if across >= 8 else 90, gap=6)
    tips = tooltip(unit="unit", low=("lowest", "+.3~g"), high=("highest", "+.3~g"))
    key = alt.Color(
        "value:Q",
        scale=alt.Scale(domain=[-end, 0, end], range=[_BLUE_END, "#ffffff", _ORANGE_END], interpolate="rgb"),
        legend=alt.Legend(title="weight", format=".2~g", gradientLength=150, values=[-end, 0, end]),
    )
    legend = tiles.places(rows).mark_point(opacity=0, size=1).encode(color=key)
    return tiles.sized(alt.layer(tiles.images(rows).encode(tooltip=tips), legend))


def _signed(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Values from -1 to 1 as colours from blue over white to orange."""
    ends = [np.array([int(end[i : i + 2], 16) for i in (1, 3, 5)], dtype=float) for end in (_BLUE_END, _ORANGE_END)]
    strength = np.clip(np.abs(values), 0, 1)[..., None]
    far = np.where(values[..., None] < 0, ends[0], ends[1])
    return (255 + strength * (far - 255)).round().astype(np.uint8)


CHART = Chart(
    "weights",
    "weights",
    weights,
    "First-layer weights (most accurate trial)",
    "the weights of the first layer as images",
    suits=lambda _: True,
    of_trial=True,
)

__all__ = ["CHART", "weights"]
