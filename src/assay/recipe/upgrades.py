"""Stored recipes of earlier versions of Assay, rewritten so that they still mean the training that was done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def upgraded(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """A stored recipe's plain data in the form of this version. Recipes that this version stored are unchanged."""
    stop: Any = raw.get("stop")
    if isinstance(stop, Mapping):
        return {**raw, "stop": _patience(stop)}  # pyright: ignore[reportUnknownArgumentType]
    return raw


def _patience(stop: Mapping[str, Any]) -> Mapping[str, Any]:
    """Until 0.2, patience was a whole number of log points, and counted those of the first epoch as well."""
    patience = stop.get("patience")
    if not isinstance(patience, int):  # later versions store it with its unit
        return stop
    return {**stop, "patience": f"{patience} points", "patience_from_start": True}
