"""Stored recipes of earlier versions of Assay, rewritten so that they still mean the training that was done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def upgraded(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A stored recipe's plain data in the form of this version. Recipes that this version stored are unchanged.

    Damaged values are left to the recipe's validation.

    >>> upgraded({"clip_norm": 1.0, "regularisation": {"l2": 0.1}})["clip_of"]
    'objective'
    >>> upgraded({"stop": {"patience": 8}})["stop"]
    {'patience': '8 points', 'patience_from_start': True}
    """
    table = dict(raw)
    if "clip_of" not in table and table.get("clip_norm") is not None and _penalised(table.get("regularisation")):
        table["clip_of"] = "objective"  # penalties were added before the gradient was clipped
    stop: Any = table.get("stop")
    if isinstance(stop, Mapping):
        table["stop"] = _patience(stop)  # pyright: ignore[reportUnknownArgumentType]
    return table


def _penalised(regularisation: object) -> bool:
    if not isinstance(regularisation, Mapping):
        return False
    factors: list[Any] = [regularisation.get("l1"), regularisation.get("l2")]
    return any(isinstance(factor, int | float) and factor > 0 for factor in factors)


def _patience(stop: Mapping[str, Any]) -> Mapping[str, Any]:
    """Until 0.2, patience was a whole number of log points, and counted those of the first epoch as well."""
    patience = stop.get("patience")
    if not isinstance(patience, int):  # later versions store it with its unit
        return stop
    return {**stop, "patience": f"{patience} points", "patience_from_start": True}
