"""Pareto-optimal configurations by cost and gain, and performance profiles."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.analysis.frames import groups, listed, measured, need, numbers, outcomes, same_clock, spread
from assay.analysis.quantities import SCORES, TEST_SCORE
from assay.errors import AssayError, unknown

COSTS = ("seconds", "flops", "parameters")


def front(trials: pd.DataFrame, *, cost: str = "seconds", gain: str = TEST_SCORE.column) -> pd.DataFrame:
    """Every configuration by its mean cost and mean gain, with the Pareto-optimal ones marked.

    One configuration dominates another if it costs no more, gains no less, and is better in one of the two. Means are
    over the finished trials that have both numbers; the bands are their minimum and maximum.

    Columns: configuration, front (whether Pareto-optimal), dominated_by (the cheapest that dominates it, or None),
    `cost`, `cost`_min, `cost`_max, `gain`, `gain`_min, `gain`_max, n, trials, diverged, missing; the cheapest first,
    without numbers last.

    Raises AssayError for an unknown cost or gain, and if the seconds are not comparable.
    """
    for kind, name, known in (("cost", cost, COSTS), ("gain", gain, SCORES)):
        if name not in known:
            raise AssayError(unknown(kind, name, known))
    need(trials, ["configuration", "outcome", cost, gain])
    if cost == "seconds":
        same_clock(measured(trials, cost, gain))
    means: list[dict[str, object]] = []
    for label, group in groups(trials, "configuration"):
        finished = measured(group, cost, gain)
        bands = spread(cost, numbers(finished, cost)) | spread(gain, numbers(finished, gain))
        means.append({"configuration": label, **bands, **outcomes(group, counted=len(finished))})
    ascending = {cost: True, gain: False}
    table = pd.DataFrame(means).sort_values(
        list(ascending), ascending=list(ascending.values()), kind="stable", na_position="last", ignore_index=True
    )
    costs, gains = numbers(table, cost), numbers(table, gain)
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
    """The position of the first that dominates each, or None; costs are in ascending order."""
    dominators: list[int | None] = []
    for c, g in zip(cost, gain, strict=True):
        better = np.flatnonzero((cost <= c) & (gain >= g) & ((cost < c) | (gain > g)))
        dominators.append(int(better[0]) if better.size else None)
    return dominators


def performance_profile(
    frame: pd.DataFrame, *, problem: str = "problem", solver: str = "configuration", cost: str = "seconds"
) -> pd.DataFrame:
    """For each solver, the fraction of problems that it solves within a factor of the best solver's cost.

    rho_s(tau) = |{p : cost_ps <= tau min_s' cost_ps'}| / number of problems. The frame has one row per problem and
    solver. The cost is missing or infinite where the solver failed.

    Columns: the one of `solver`, ratio (tau, from 1), share (rho); one row per step of rho, and one at tau = 1.

    >>> frame = pd.DataFrame({"problem": list("ppqq"), "configuration": list("abab"), "seconds": [1.0, 2, 4, 2]})
    >>> performance_profile(frame).to_dict("list")
    {'configuration': ['a', 'a', 'b', 'b'], 'ratio': [1.0, 2.0, 1.0, 2.0], 'share': [0.5, 1.0, 0.5, 1.0]}

    Raises AssayError if a pair has several rows or none, and for a cost that is 0 or less.
    Source: Dolan, More, "Benchmarking optimization software with performance profiles" (2002).
    """
    need(frame, [problem, solver, cost], what="costs")
    costs = numbers(frame, cost, what="costs")
    if (costs <= 0).any():
        raise AssayError(f"a performance profile compares ratios, so every value of {cost!r} must be above 0")
    problems, solvers = ([str(value) for value in frame[name].tolist()] for name in (problem, solver))
    pairs = list(zip(problems, solvers, strict=True))
    duplicates = [f"{p} with {s}" for (p, s), count in Counter(pairs).items() if count > 1]
    if duplicates:
        raise AssayError(f"there is more than one row for {listed(duplicates)}; take their median first")
    cost_of = dict(zip(pairs, costs.tolist(), strict=True))
    names, tasks = list(dict.fromkeys(solvers)), list(dict.fromkeys(problems))
    missing = [f"{p} with {s}" for p in tasks for s in names if (p, s) not in cost_of]
    if missing:
        raise AssayError(f"there is no row for {listed(missing)}; a solver that was not tried is not one that failed")
    steps: list[dict[str, object]] = []
    for name in names:
        ratios: list[float] = []
        for task in tasks:
            solved = [cost_of[task, other] for other in names if math.isfinite(cost_of[task, other])]
            if math.isfinite(cost_of[task, name]):
                ratios.append(cost_of[task, name] / min(solved))
        for tau in sorted({1.0, *ratios}):
            steps.append({solver: name, "ratio": tau, "share": sum(ratio <= tau for ratio in ratios) / len(tasks)})
    return pd.DataFrame(steps)
