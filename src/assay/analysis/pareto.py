"""Pareto-optimal configurations by cost and gain, and performance profiles."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.analysis.frames import FINISHED, measured, median, need, numbers, outcome_counts, places, same_clock, spread
from assay.analysis.quantities import QUANTITIES, SCORES, ranked_by
from assay.analysis.seeds import counted, is_worse_when_ended, outcomes_of, ranked_by_seconds
from assay.errors import AssayError, unknown

COSTS = ("seconds", "flops", "parameters")


def front(trials: pd.DataFrame, *, cost: str = "seconds", gain: str | None = None) -> pd.DataFrame:
    """Every configuration by its median cost and mean gain, with the Pareto-optimal ones marked.

    One configuration dominates another if it costs no more, gains no less, and is better in one of the two. The gain
    is the mean over all trials with a result: those that diverged or timed out count as they ended. The cost is the
    median over the finished trials, as in the tables of a study. A trial that did not finish costs more than any
    finished one, so a configuration with one is not optimal by seconds or operations and dominates none. By seconds,
    trials with foreign load are left out while three others of the configuration remain. The bands are minimum and
    maximum.

    Columns: configuration, front (whether Pareto-optimal), dominated_by (the cheapest that dominates it, or None),
    `cost`, `cost`_min, `cost`_max, `gain`, `gain`_min, `gain`_max, n (finished trials), trials, diverged, timed_out,
    missing; the cheapest first,
    without numbers last.

    Raises AssayError for an unknown cost or gain, and if the seconds are not comparable.
    """
    gain = ranked_by(trials).column if gain is None else gain
    for kind, name, known in (("cost", cost, COSTS), ("gain", gain, SCORES)):
        if name not in known:
            raise AssayError(unknown(kind, name, known))
    need(trials, ["configuration", "outcome", cost, gain])
    used = trials
    if cost == "seconds":
        used, _ = ranked_by_seconds(trials)
        same_clock(measured(used, cost, gain))
    of_used = dict(places(used, "configuration"))
    of_cost, of_gain = numbers(used, cost), numbers(used, gain)
    is_finished = np.isin(outcomes_of(used), FINISHED) & np.isfinite(of_cost) & np.isfinite(of_gain)
    with_result, words = counted(trials, gain), outcomes_of(trials)
    means: list[dict[str, object]] = []
    for label, at in places(trials, "configuration"):
        finished = of_used[label][is_finished[of_used[label]]]
        results = with_result[at]
        bands = (
            spread(cost, of_cost[finished])
            | {cost: median(of_cost[finished])}
            | spread(gain, results[~np.isnan(results)])
        )
        counts = outcome_counts(words[at].tolist(), finished=len(finished))
        means.append({"configuration": label, **bands, **counts})
    ascending = {cost: True, gain: False}
    table = pd.DataFrame(means).sort_values(
        list(ascending), ascending=list(ascending.values()), kind="stable", na_position="last", ignore_index=True
    )
    costs, gains = numbers(table, cost), numbers(table, gain)
    if is_worse_when_ended(QUANTITIES[cost]):
        costs = np.where((table["diverged"] + table["timed_out"]).to_numpy() > 0, np.inf, costs)
    dominators = _dominators(costs, gains)
    labels = table["configuration"].tolist()
    table.insert(1, "front", undominated(costs, gains))
    table.insert(2, "dominated_by", pd.Series([None if i is None else labels[i] for i in dominators], dtype=object))
    return table


def undominated(costs: NDArray[np.float64], gains: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each point is Pareto-optimal: no other one costs no more, gains no less, and is better in one of the two.

    A point without a number is not.

    >>> undominated(np.array([1.0, 2.0, 3.0]), np.array([0.8, 0.7, 0.9])).tolist()
    [True, False, True]
    """
    optimal = np.zeros(costs.size, dtype=np.bool_)
    known = np.flatnonzero(np.isfinite(costs) & np.isfinite(gains))
    order = known[np.lexsort((-gains[known], costs[known]))]
    best, at = -math.inf, math.nan  # the greatest gain so far, and the least cost that has it
    for place in order:
        if gains[place] > best or (gains[place] == best and costs[place] == at):
            optimal[place], best, at = True, float(gains[place]), float(costs[place])
    return optimal


def _dominators(cost: NDArray[np.float64], gain: NDArray[np.float64]) -> list[int | None]:
    """The position of the first that dominates each, or None; finite costs are in ascending order."""
    dominators: list[int | None] = []
    is_finite = np.isfinite(cost)
    for c, g in zip(cost, gain, strict=True):
        better = is_finite & (cost <= c) & (gain >= g) & ((cost < c) | (gain > g))
        first = int(better.argmax())
        dominators.append(first if better[first] else None)
    return dominators
