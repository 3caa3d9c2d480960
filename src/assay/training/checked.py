"""The types of what a file or a store holds of a training: points and ledgers, as strict fields of a schema.

They are derived from `Point` and `Ledger`, so that a new quantity or entry is checked wherever it is read.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

from pydantic import ConfigDict, Field, create_model

from assay.training.history import Point
from assay.training.ledger import ENTRIES

Whole = Annotated[int, Field(ge=0, le=2**63 - 1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]

_ALWAYS: dict[str, Any] = {"iteration": Whole, "examples": Whole, "seconds": Seconds}
"""What every point of a trained recipe has."""


def _kind(name: str) -> Any:
    """The type of a quantity on a set of examples."""
    return Fraction if name.endswith("_accuracy") else Number


_QUANTITIES = {field.name: _kind(field.name) for field in fields(Point) if field.name not in _ALWAYS}
_POINT: dict[str, Any] = {
    **{name: (kind, ...) for name, kind in _ALWAYS.items()},
    **{name: (kind | None, None) for name, kind in _QUANTITIES.items()},
}
_LEDGER: dict[str, Any] = dict.fromkeys((*ENTRIES, "other"), (Seconds, 0.0))
_LEDGER["processor"] = (dict[str, Seconds] | None, None)


def _strict(name: str, columns: dict[str, Any]) -> Any:
    """A schema that takes these fields alone, each of its very type."""
    return create_model(name, __config__=ConfigDict(strict=True, extra="forbid"), **columns)


POINT = _strict("Point", _POINT)
"""One point of a trained recipe."""

LEDGER = _strict("Ledger", _LEDGER)
"""A time breakdown, with its processor seconds where they were measured."""
