"""The most confident misclassifications of one trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from assay.errors import AssayError
from assay.report.charts.chart import Chart
from assay.report.charts.frames import best_of
from assay.report.charts.style import dressed, message, number, short, tooltip, word
from assay.report.charts.tiles import Tiles, picture


def confused(
    images: Sequence[Any],
    true: Sequence[object],
    predicted: Sequence[object],
    *,
    probabilities: Sequence[float | None] | None = None,
    most: int = 24,
    title: str | None = None,
) -> Any:
    """Misclassified images in the given order, each with its true and its predicted class.

    `images`: arrays (height, width) or (height, width, 3), dark is low. `probabilities`: those of the wrong classes.
    Raises: AssayError.
    """
    heading = title if title is not None else "most confident misclassifications"
    if not len(images) == len(true) == len(predicted) or len(probabilities or true) != len(true):
        sizes = f"{len(images)} images, {len(true)} true and {len(predicted)} predicted classes"
        raise AssayError(f"confused: {sizes}; expected as many of each")
    if not len(images):
        return message("No image was misclassified.", heading)
    shown = min(len(images), most)
    chances = [None if probabilities is None else number(probabilities[i]) for i in range(shown)]
    rows = [
        {"url": picture(_grey(images[i])), "true": word(true[i]), "predicted": word(predicted[i])}
        | {"probability": chance}
        | {"text": f"{short(word(true[i]), 12)} → {short(word(predicted[i]), 12)}{_percent(chance)}"}
        for i, chance in enumerate(chances)
    ]
    tiles = Tiles(shown, across=min(8, shown), tile=72, gap=24, below=18)
    tips = tooltip(true="true", predicted="predicted", probability=("probability", ".1%"))
    chart = alt.layer(tiles.images(rows).encode(tooltip=tips), tiles.texts(rows))
    notes = ["true → predicted" + (" (probability of the wrong class)" if probabilities is not None else "")]
    return dressed(tiles.sized(chart), heading, [*notes, best_of(shown, len(images), "errors")])


def _percent(chance: float | None) -> str:
    return "" if chance is None else f" ({100 * chance:.0f} %)"


def _grey(image: Any) -> NDArray[np.uint8]:
    """An image as bytes, from its lowest value in black to its highest in white."""
    values = np.asarray(image, dtype=float)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] != 3) or not values.size:
        raise AssayError(f"confused: expected images (height, width) or (height, width, 3), got {values.shape}")
    values = np.where(np.isfinite(values), values, np.nanmin(np.where(np.isfinite(values), values, np.inf)))
    values = np.where(np.isfinite(values), values, 0.0)
    low, high = values.min(), values.max()
    return (255 * (values - low) / ((high - low) or 1.0)).astype(np.uint8)


CHART = Chart(
    "confused",
    "confused",
    confused,
    "Most confident misclassifications (most accurate trial)",
    "the most confident misclassifications",
    suits=lambda _: True,
    keeps_colours=True,
    of_trial=True,
)

__all__ = ["CHART", "confused"]
