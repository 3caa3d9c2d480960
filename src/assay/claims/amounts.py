"""Numbers as a claims file has them: amounts of a quantity, differences, percent and points."""

from __future__ import annotations

import math
from typing import Any

from assay.analysis.quantities import Quantity
from assay.errors import AssayError
from assay.parts.fractions import fraction

_MOST_POINTS = 0.1  # a difference of a fraction that is written as a plain number; above, points are probably meant


def number(value: Any) -> float:
    """A finite number. Raises: ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"got {value!r}; expected a number")
    if not math.isfinite(value):
        raise ValueError(f"got {value}; expected a finite number")
    return float(value)


def positive(value: Any) -> float:
    """A number above 0. Raises: ValueError."""
    read = number(value)
    if read <= 0:
        raise ValueError(f"got {read:g}; expected a number above 0")
    return read


def amount(value: Any, quantity: Quantity) -> float:
    """An amount of a quantity; a fraction may be written in percent, such as "97.5 %".

    Raises:
        ValueError: It is no number, or impossible for this quantity.
    """
    if quantity.is_fraction:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"got {value!r}; expected a fraction such as 0.975, or '97.5 %'")
        try:
            return fraction(value)
        except AssayError as error:
            raise ValueError(str(error)) from None
    read = number(value)
    if quantity.low is not None and read < quantity.low:
        raise ValueError(f"got {read:g}; {quantity.label} is at least {quantity.low:g}")
    return read


def difference(value: Any, quantity: Quantity) -> float:
    """A difference above 0 of a quantity; that of a fraction may be written in points, such as "0.3 points".

    Raises:
        ValueError: It is no number, has the wrong sign, or is a number that was probably meant in points.
    """
    in_points = isinstance(value, str) and value.strip().removesuffix("s").endswith(" point")
    if in_points and not quantity.is_fraction:
        raise ValueError(f"got {value!r}; {quantity.label} has no points: write a number")
    if in_points:
        text = value.strip().removesuffix("s").removesuffix("point").strip()
        try:
            read = number(float(text)) / 100
        except ValueError:
            raise ValueError(f"got {value!r}; expected a number of points such as '0.3 points'") from None
    else:
        if isinstance(value, str):
            raise ValueError(f"got {value!r}; expected a number{_or_points(quantity)}")
        read = number(value)
        if quantity.is_fraction and read > _MOST_POINTS:
            raise ValueError(
                f"got {read:g}, which is {100 * read:g} points; write '{read:g} points' for {read / 100:g}, or "
                f"'{100 * read:g} points'"
            )
    if read <= 0:
        shown = value if in_points else f"{read:g}"
        raise ValueError(f"got {shown}, which has the wrong sign; expected a number above 0{_or_points(quantity)}")
    return read


def _or_points(quantity: Quantity) -> str:
    return ", such as 0.003 or '0.3 points'" if quantity.is_fraction else ""


def difference_text(value: float, quantity: Quantity) -> str:
    """A difference in words.

    >>> from assay.analysis.quantities import QUANTITIES
    >>> difference_text(0.003, QUANTITIES["test_accuracy"]), difference_text(0.5, QUANTITIES["seconds"])
    ('0.3 points', '0.5 seconds')
    """
    return f"{100 * value:.4g} points" if quantity.is_fraction else f"{value:.4g} {quantity.unit}".rstrip()


__all__ = ["amount", "difference", "difference_text", "number", "positive"]
