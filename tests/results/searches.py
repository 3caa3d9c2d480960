"""Searches made by hand: rows as the store has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from assay.results.searched import Searched
from assay.store.search_rows import SearchRows
from assay.studies.search.objectives import Goal

AXES = {
    "rate": {"key": "optimizer.learning_rate", "low": 1e-4, "high": 1.0, "scale": "log"},
    "l2": {"key": "regularisation.l2", "low": 0.0, "high": 0.1},
    "hidden": {"key": "model.hidden", "values": [[8], [16]]},
}


def job(n: int, score: float | None, values: Mapping[str, Any] | None = None, **columns: Any) -> dict[str, Any]:
    """The row of a told job."""
    values = {"rate": 10 ** (-(n % 40) / 10), "l2": (n % 13) / 130, "hidden": "[8]"} if values is None else values
    row = {"n": n, "kind": "suggestion", "rung": None, "budget": None, "parent": None, "origin": "sampler"}
    row |= {"trial": f"{n:032x}", "label": f"trial {n}", "axis_values": json.dumps(values), "repeat": 0}
    row |= {"outcome": "completed", "measured": None if score is None else json.dumps([score]), "feasible": True}
    return row | {"cost_seconds": 2.0, "cost_flops": 10.0, "reused": False, "seconds": 0.5} | columns


def search(
    *jobs: Mapping[str, Any], method: str = "tpe", objective: str = "accuracy", halving: bool = False
) -> Searched:
    """A search of these jobs."""
    return Searched(SearchRows(method, "", 0, jobs), Goal((objective,), "validation"), halving, AXES)


def halved() -> Searched:
    """Nine points on rung 0, of which three were promoted to rung 1 and one to the full budget."""
    jobs = [job(n, 0.1 * n, rung=0, budget=10) for n in range(9)]
    jobs += [job(9 + k, 0.8 + 0.01 * k, kind="promotion", parent=6 + k, rung=1, budget=30) for k in range(3)]
    jobs.append(job(12, 0.9, kind="promotion", parent=11))
    return search(*jobs, method="random", halving=True)
