"""Stored recipes of older versions in today's form: what a key that they lack meant when they were trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def upgraded(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A stored recipe with the keys that it was trained without. Damaged values are left to the recipe's validation.

    >>> upgraded({"clip_norm": 1.0, "regularisation": {"l2": 0.1}})["clip_of"]
    'objective'
    """
    table = dict(raw)
    if "clip_of" not in table and table.get("clip_norm") is not None and _penalised(table.get("regularisation")):
        table["clip_of"] = "objective"  # penalties were added before the gradient was clipped
    return table


def _penalised(regularisation: object) -> bool:
    if not isinstance(regularisation, Mapping):
        return False
    factors: list[Any] = [regularisation.get("l1"), regularisation.get("l2")]
    return any(isinstance(factor, int | float) and factor > 0 for factor in factors)
