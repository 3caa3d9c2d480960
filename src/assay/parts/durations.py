"""Lengths of a training in a unit: "500 iterations", "3 epochs", "8 points" (log points), "2 s" (training time)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator

from assay.parts.part import Written
from assay.system.limits import ITERATIONS, WHOLE_NUMBER

_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?(?:[eE]\+?\d+)?)\s*([a-z ]*[a-z])\s*")
_UNITS = {
    "iteration": "iterations",
    "iterations": "iterations",
    "epoch": "epochs",
    "epochs": "epochs",
    "point": "points",
    "points": "points",
    "log point": "points",
    "log points": "points",
    "s": "seconds",
    "second": "seconds",
    "seconds": "seconds",
}
_FRACTIONAL = ("epochs", "seconds")


class Duration(NamedTuple):
    """A number and its unit: "iterations", "epochs", "points" or "seconds". Epochs and seconds may be fractions."""

    number: float
    unit: str

    def __str__(self) -> str:
        """The text that `duration` reads back."""
        return f"{plain_number(self.number)} {self.unit if self.number != 1 else self.unit[:-1]}"


def plain_number(number: float) -> str:
    """A number without a fraction of zero: "3", "0.5"."""
    return str(int(number)) if number == int(number) else repr(number)


def duration(value: object, units: Sequence[str], *, least: int = 1) -> Duration:
    """Parses a duration; a number without a unit has the first of the `units`.

    Args:
        value: A whole number, or a number with its unit as text.
        units: The units that are possible here.
        least: The smallest number of iterations or points; any number of epochs or seconds above 0, or from 0 on if it
            is 0.

    Raises:
        ValueError: It is something else; the message lists what is possible.

    Examples:
        >>> duration("3 epochs", ["iterations", "epochs"])
        Duration(number=3.0, unit='epochs')
        >>> str(duration(500, ["iterations", "epochs"]))
        '500 iterations'
    """
    number, unit = _parts(value, units[0])
    if number is not None and number > ITERATIONS.most:
        shown = value if not isinstance(value, str) or len(value) <= 60 else value[:57] + "..."
        raise ValueError(f"got {shown!r}; expected at most {ITERATIONS.most:,}")
    whole = unit not in _FRACTIONAL
    fits = number is not None and unit in units and (number >= least if whole else number > 0 or not least)
    if number is None or not fits or (whole and number != int(number)):
        first = {"points": "log points"}.get(units[0], units[0])
        others = [f"'n {unit}'" for unit in units]
        ways = f"{', '.join(others[:-1])} or {others[-1]}"
        shown = value if not isinstance(value, str) or len(value) <= 60 else value[:57] + "..."
        example = f", such as {_nearest(value, units)!r}" if isinstance(value, str) else ""
        raise ValueError(f"got {shown!r}; expected a whole number >= {least} of {first}, or {ways}{example}")
    return Duration(float(number), unit)


def _nearest(text: str, units: Sequence[str]) -> str:
    """A duration that is possible, with the number and the unit of a text as far as they can be read.

    >>> _nearest("5 ep", ["iterations", "epochs"]), _nearest("soon", ["points", "epochs"])
    ('5 epochs', '10 points')
    """
    match = re.match(r"\s*(\d{1,9})\s*([a-z]*)", text.casefold())
    number, word = (max(int(match[1]), 1), match[2]) if match else (10, "")
    unit = next((unit for unit in units if word and unit.startswith(word[:2])), units[0])
    return str(Duration(number, unit))


def _parts(value: object, unit: str) -> tuple[float | None, str]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (float(value), unit) if abs(value) <= WHOLE_NUMBER.most else (None, "")  # NaN is not
    match = _TEXT.fullmatch(value) if isinstance(value, str) else None
    number = float(match[1]) if match else math.inf
    return (number, _UNITS.get(match[2], "")) if match and number <= WHOLE_NUMBER.most else (None, "")


def in_iterations(value: int | str, per_epoch: float, *, least: int = 1) -> int:
    """A length in iterations, at least `least`, for the number of iterations `per_epoch`."""
    if isinstance(value, int):
        return value
    length = duration(value, ("iterations", "epochs"), least=0)
    return max(least, round(length.number * (per_epoch if length.unit == "epochs" else 1)))


def iterations(value: int | str | None) -> int:
    """A length that is in iterations already. Raises: ValueError for one in epochs, or none, which need the training
    set."""
    if isinstance(value, int):
        return value
    raise ValueError(f"{value!r} depends on the training examples; use the recipe that Recipe.resolved returns")


def _iterations_or_epochs(least: int) -> BeforeValidator:
    def parse(value: object) -> object:
        length = duration(value, ("iterations", "epochs"), least=least)
        return int(length.number) if length.unit == "iterations" or not length.number else str(length)

    return BeforeValidator(parse)


def written(units: Sequence[str], *, least: int = 1) -> Written:
    """How a duration is written: a whole number of the first of the `units`, or a number with its unit as text."""
    words = sorted(text for text, unit in _UNITS.items() if unit in units)
    pattern = rf"^\s*\d+(\.\d+)?([eE]\+?\d+)?\s*({'|'.join(words)})\s*$"
    number = {"type": "integer", "minimum": least, "maximum": WHOLE_NUMBER.most}
    example = f"'5 {units[1]}'"
    schema = {"anyOf": [number, {"type": "string", "pattern": pattern}]}
    return Written(f"whole number, or text such as {example}", schema, unit=units[0], range=f">= {least}")


Length = Annotated[int | str, _iterations_or_epochs(1), written(("iterations", "epochs"))]
"""At least one iteration: a number of them, "n iterations", or "n epochs", which stays text until it is resolved."""
LengthOrNone = Annotated[int | str, _iterations_or_epochs(0), written(("iterations", "epochs"), least=0)]
"""The same, or 0."""
