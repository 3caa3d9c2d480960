"""The notes on the trials of a study: each sentence once, with the configurations that it is about."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

_NAMED = 3  # configurations by name


def notes_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The notes of stored trials, from their rows."""
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        for sentence in json.loads(row["warnings"] or "[]"):
            trials = counts.setdefault(sentence, {})
            trials[row["label"]] = trials.get(row["label"], 0) + 1
    return [f"{_listed(trials)}: {sentence}" for sentence, trials in counts.items()]


def _listed(trials: Mapping[str, int]) -> str:
    """Configurations with their numbers of trials."""
    names = [f"{label} ({n} trials)" if n > 1 else label for label, n in list(trials.items())[:_NAMED]]
    others = len(trials) - _NAMED
    return ", ".join(names) + (f" and {others:,} other configurations" if others > 0 else "")
