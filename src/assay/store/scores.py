"""Trials filtered and sorted by scores that no column holds, because their confusion matrices give them."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from assay.analysis.confusion import columns, stored
from assay.analysis.quantities import is_of_confusion
from assay.store.database import Database
from assay.store.rows import check_row
from assay.store.schema import result, trial

_log = logging.getLogger("assay.store")

Test = tuple[str, Callable[[Any, Any], Any], float]
"""A score, a comparison, and the number that the score is compared with."""


def matching(
    database: Database, source: Any, where: Sequence[Any], *, tests: Sequence[Test], sort: str, order: Any
) -> tuple[list[str], dict[str, float]]:
    """The keys of the trials that pass, in order, and the score that they are sorted by.

    A trial without a confusion matrix passes no test, and comes last.

    Args:
        database: The database.
        source: The tables of trials joined with those of their results.
        where: Conditions on their columns.
        tests: Conditions on their scores.
        sort: The score, or the column, to sort by; "-" in front sorts in descending order.
        order: The order of the database where `sort` is a column.
    """
    query = sa.select(trial.c.key, result.c.confusion, result.c.classes).select_from(source).where(*where)
    with database.read() as connection:
        rows = connection.execute(query.order_by(order)).all()
    scores = columns({row.key: matrix for row in rows if (matrix := _matrix(row)) is not None})
    keys = [row.key for row in rows if all(_passes(scores.get(row.key, {}), test) for test in tests)]
    name, sign = sort.removeprefix("-"), -1.0 if sort.startswith("-") else 1.0
    if not is_of_confusion(name):
        return keys, {}
    known = {key: value for key in keys if not math.isnan(value := scores.get(key, {}).get(name, math.nan))}
    return sorted(keys, key=lambda key: (key not in known, sign * known.get(key, 0.0))), known


def _matrix(row: Any) -> tuple[NDArray[np.int64], list[str]] | None:
    """The confusion matrix of a trial with the names of its classes; None without one that can be read."""
    if not row.confusion or not row.classes:
        return None
    try:
        check_row("result", {"confusion": row.confusion, "classes": row.classes})
    except ValueError as error:
        _log.warning("trial %s: %s; `assay store check` lists what is damaged", row.key[:8], error)
        return None
    classes: list[str] = json.loads(row.classes)
    matrix = stored(row.confusion, classes)
    return None if matrix is None else (matrix, classes)


def _passes(scores: dict[str, float], test: Test) -> bool:
    name, compare, bound = test
    value = scores.get(name, math.nan)
    return not math.isnan(value) and bool(compare(value, bound))
