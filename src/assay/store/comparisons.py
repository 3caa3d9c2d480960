"""How the conditions of filters and queries, such as `accuracy>0.97`, compare a value with what was typed."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
EQUALITIES = ("=", "!=")
TRUTH = {"true": True, "1": True, "false": False, "0": False}


def passes(value: Any, operation: str, wanted: str) -> bool:
    """Whether a value passes a condition; only numbers have an order.

    >>> passes(0.01, "=", "1e-2"), passes("adam", "!=", "descent"), passes(True, "=", "True"), passes("adam", ">", "a")
    (True, True, True, False)
    """
    number = number_of(wanted)
    if isinstance(value, bool):
        value, wanted = str(value).lower(), str(TRUTH.get(wanted.lower(), wanted)).lower()
    if is_number(value) and number is not None:
        return bool(OPERATORS[operation](value, number))
    return operation in EQUALITIES and bool(OPERATORS[operation](str(value), wanted))


def is_number(value: Any) -> bool:
    """Whether a value is a number, which a truth value is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def number_of(text: str) -> float | None:
    """A number that others can be compared with: no NaN, which equals nothing, and no 1_000."""
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) or "_" in text else number


__all__ = ["EQUALITIES", "OPERATORS", "TRUTH", "is_number", "number_of", "passes"]
