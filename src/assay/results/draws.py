"""The columns of a frame of trials on test sets that are drawn anew, from the recipes and the results."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from assay.analysis.axis_columns import DRAWS
from assay.data.prepare import trained_on
from assay.data.resampling import drawn_counts
from assay.store.rows import recipe_of
from assay.store.study_rows import StudyRows

_KEYS = ('"split"', '"folds"')  # of a recipe with a draw: a hundred thousand others are not parsed


def drawn_columns(rows: StudyRows) -> dict[str, list[float]]:
    """`draw_split`, `draw_folds`, `draw_fold` and `draw_overlap` (test / training examples); empty without any draw.

    A trial without stored sizes, such as one that waits, has the overlap of others with its data and number of folds.
    """
    drawn: dict[int, Mapping[str, Any]] = {}
    for number, text in enumerate(rows.columns["recipe"]):  # a block at a time
        if any(key in text for key in _KEYS):
            data = recipe_of(rows[number])["data"]
            if data.get("split") is not None or data.get("folds") is not None:
                drawn[number] = data
    if not drawn:
        return {}
    columns = {name: [math.nan] * len(rows) for name in DRAWS}
    alike: dict[str, float] = {}
    for number, data in drawn.items():
        columns["draw_split"][number] = float(data.get("split") or 0)
        for key in ("folds", "fold"):
            columns[f"draw_{key}"][number] = math.nan if data.get(key) is None else float(data[key])
        overlap = _overlap(rows[number], data)
        columns["draw_overlap"][number] = overlap
        if overlap == overlap:
            alike[_group(data)] = max(alike.get(_group(data), 0.0), overlap)
    for number, data in drawn.items():
        if math.isnan(columns["draw_overlap"][number]):
            columns["draw_overlap"][number] = alike.get(_group(data), math.nan)
    return columns


def _overlap(row: Mapping[str, Any], data: Mapping[str, Any]) -> float:
    """Test examples / training examples of a trial with a result; NaN where they are not stored.

    Results of before schema 0009 have the sizes in the sentence on what was drawn.
    """
    if row.get("train_examples") and row.get("test_examples"):
        return row["test_examples"] / row["train_examples"]
    counts = drawn_counts(json.loads(row["warnings"] or "[]"))
    if counts is None:
        return math.nan
    tested, total = counts
    trained = trained_on(total - tested, train=data.get("train"), validation=data.get("validation") or 0)
    return tested / trained if trained > 0 else math.nan


def _group(data: Mapping[str, Any]) -> str:
    """What trials with equal sizes have in common, as text."""
    return json.dumps({key: value for key, value in data.items() if key not in ("split", "fold")}, sort_keys=True)


__all__ = ["drawn_columns"]
