"""Statistics of a data set, and a contact sheet of its images."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.data.dataset import Dataset
from assay.data.labels import Labels
from assay.data.notes import first_with_all_classes, split_notes
from assay.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Info:
    """Statistics of a data set."""

    name: str
    training_examples: int
    test_examples: int
    shape: tuple[int, ...]
    element_type: str
    lowest: float
    highest: float
    share_of_zeros: float
    unused_inputs: int
    classes: dict[str, int]  # training examples of each; empty for a regression
    checksum: str
    test_lowest: float
    test_highest: float
    divided_by: float
    test_classes: dict[str, int]  # test examples of each
    first_examples_with_all_classes: int
    notes: tuple[str, ...]
    target: dict[str, Any] | None = None  # of a regression: the name, and the range, mean and deviation in training

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        table = asdict(self) | {"shape": list(self.shape), "notes": list(self.notes)}
        if self.target is None:
            del table["target"]
        else:
            del table["classes"], table["test_classes"], table["first_examples_with_all_classes"]
        return table


def info(dataset: Dataset) -> Info:
    """Counts, shape, ranges and classes of both sets; zeros and unused inputs (0 in every example) of the training set.

    `divided_by` is what every input scaling divides by first. `notes` are those that stand with results of the whole
    set; a part of it, or a validation set, may add others.
    """
    x = dataset.x_train
    return Info(
        name=dataset.name,
        training_examples=len(x),
        test_examples=len(dataset.x_test),
        shape=dataset.shape,
        element_type=str(x.dtype),
        lowest=float(x.min()),
        highest=float(x.max()),
        share_of_zeros=float(1 - np.count_nonzero(x) / x.size),
        unused_inputs=int((~x.any(axis=0)).sum()),
        classes=_examples_of_each(dataset, dataset.y_train),
        checksum=dataset.checksum,
        test_lowest=float(dataset.x_test.min()),
        test_highest=float(dataset.x_test.max()),
        divided_by=dataset.scale,
        test_classes=_examples_of_each(dataset, dataset.y_test),
        first_examples_with_all_classes=0 if dataset.task else first_with_all_classes(dataset.y_train),
        notes=(*dataset.notes, *split_notes(dataset, dataset.y_train, None)),
        target=_target(dataset),
    )


def _target(dataset: Dataset) -> dict[str, Any] | None:
    """The name and the statistics of the target of a regression; None for classes."""
    if not dataset.task:
        return None
    y = dataset.y_train
    numbers = {"lowest": y.min(), "highest": y.max(), "mean": y.mean(), "deviation": y.std()}
    return {"name": dataset.classes[0], **{name: float(value) for name, value in numbers.items()}}


def _examples_of_each(dataset: Dataset, y: Labels) -> dict[str, int]:
    if dataset.task:
        return {}
    return dict(zip(dataset.classes, map(int, np.bincount(y, minlength=len(dataset.classes))), strict=True))


def contact_sheet(dataset: Dataset, *, columns: int = 20, rows_per_class: int = 1, max_classes: int = 20) -> Image:
    """The first training examples of each class as one picture: one line per class, labelled with its name."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = _frame(dataset)
    zoom = max(1, round(36 / max(height, width)))
    cell = (width * zoom + 4, height * zoom + 4)
    names = dataset.classes[:max_classes]
    font = ImageFont.load_default(size=16)
    margin = int(max(font.getlength(name) for name in names)) + 20
    sheet = Image.new("L", (margin + columns * cell[0], 6 + len(names) * rows_per_class * cell[1]), 255)
    draw = ImageDraw.Draw(sheet)
    low, high = float(dataset.x_train.min()), float(dataset.x_train.max())
    for label, name in enumerate(names):
        top = 3 + label * rows_per_class * cell[1]
        draw.text((10, top + cell[1] * rows_per_class / 2), name, fill=0, font=font, anchor="lm")
        for i, row in enumerate(np.flatnonzero(dataset.y_train == label)[: columns * rows_per_class]):
            values = dataset.x_train[row].reshape(height, width, -1).mean(axis=2)  # colours as grey
            grey = (values - low) / ((high - low) or 1.0)
            tile = Image.fromarray((255 - 255 * grey).astype(np.uint8))
            tile = tile.resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
            sheet.paste(tile, (margin + i % columns * cell[0], top + i // columns * cell[1] + 2))
    return sheet


def drawable(dataset: Dataset) -> bool:
    """Whether the examples can be drawn: pictures, or flat squares."""
    if dataset.task:
        return False
    return len(dataset.shape) in (2, 3) or math.isqrt(dataset.shape[0]) ** 2 == dataset.shape[0]


def _frame(dataset: Dataset) -> tuple[int, int]:
    """Height and width of one example; flat examples are drawn as a square if their number of values is one."""
    shape = dataset.shape
    if len(shape) in (2, 3):
        return shape[0], shape[1]
    side = math.isqrt(shape[0])
    if side * side == shape[0]:
        return side, side
    raise DataError(f"{dataset.name}: examples have shape {shape}; only (height, width) or squares can be drawn")
