"""The quantities that a claim may be about: every column of numbers of a study's trials, and those of its curves."""

from __future__ import annotations

from collections.abc import Iterable

from assay.analysis.quantities import MEASURED, MEASURES, QUANTITIES, Quantity, is_of_confusion
from assay.errors import unknown

_LEDGER = "ledger_"
_OTHER: dict[str, Quantity] = {
    quantity.name: quantity
    for quantity in (
        Quantity("number", "number", "cost", "number"),
        Quantity("part", "part of the whole", "cost", "part", unit="points", low=0.0, high=1.0),
        Quantity("peak_memory_bytes", "peak memory", "cost", "peak_memory_bytes", unit="bytes", low=0.0),
        Quantity("preparation_seconds", "preparation", "cost", "preparation_seconds", unit="seconds", low=0.0),
        Quantity("foreign_seconds", "foreign load", "cost", "foreign_seconds", unit="seconds", low=0.0),
    )
}
ON_CURVES: dict[str, str] = {
    **{QUANTITIES[name].column: name for name in MEASURED},
    "seconds": "seconds",
    "flops": "flops",
    "examples": "examples",
    "iterations": "iteration",
}
"""The column of a curve that has a quantity at each log point, by the quantity's column in a frame of trials."""


def known_quantities() -> list[str]:
    """The names by which a claim can name a quantity, without the scores of single classes and ledger entries."""
    return [*MEASURES, *(name for name in QUANTITIES if name not in MEASURES), *_OTHER]


def quantity_of(name: str) -> Quantity:
    """The quantity of a name: a column of the frame of trials, or the name that it has in a curve.

    >>> quantity_of("test_accuracy").column, quantity_of("ledger_evaluate").unit
    ('accuracy', 'seconds')

    Raises:
        ValueError: There is none; the message has the nearest name.
    """
    if name in MEASURES:
        return MEASURES[name]
    if name in QUANTITIES:
        return QUANTITIES[name]
    if name in _OTHER:
        return _OTHER[name]
    if name.startswith(_LEDGER) and name != _LEDGER:
        words = name.removeprefix(_LEDGER).replace("_", " ")
        return Quantity(name, f"{words} (time breakdown)", "cost", name, unit="seconds", low=0.0)
    raise ValueError(unknown("quantity", name, known_quantities()))


def names_of(columns: Iterable[str]) -> list[str]:
    """The quantities that a frame with these columns has."""
    return [c for c in columns if c in MEASURES or c in _OTHER or c.startswith(_LEDGER) or is_of_confusion(c)]


__all__ = ["ON_CURVES", "known_quantities", "names_of", "quantity_of"]
