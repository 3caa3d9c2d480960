"""Effort, the cost of a configuration divided by its accuracy, and the ranking by it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from assay.analysis.frames import (
    CLOCK,
    assumed_levels,
    clocks,
    described,
    groups,
    measured,
    need,
    numbers,
    outcomes,
    rows,
    same_clock,
    spread,
)
from assay.analysis.quantities import TEST_SCORE
from assay.errors import AssayError, unknown

COSTS = ("seconds", "flops")


def comparable(trials: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The largest group of trials with one timing, machine and number of threads, and a sentence on what is excluded.

    Of one engine it has one instruction level. Trials stored without a level stay, and the sentence says what level
    they are taken to have.

    Of two groups of equal size it is the one that comes first. Raises AssayError without trials.

    >>> frame = pd.DataFrame({"timing": ["isolated"] * 2 + ["packed"], "machine": "3f2a", "threads": 2})
    >>> comparable(frame)[1]
    'left out: 1 trial packed on machine 3f2a with 2 threads'
    """
    need(trials, CLOCK)
    (largest, *others) = clocks(trials).items()
    kept = trials.iloc[largest[1]] if others else trials
    excluded = "; ".join(described(clock, len(positions)) for clock, positions in others)
    sentence = f"left out: {excluded}" if others else "every trial compares by seconds"
    assumed = assumed_levels(kept)
    return kept, f"{sentence}; {assumed}" if assumed else sentence


def effort(trials: pd.DataFrame, *, cost: str = "seconds") -> pd.DataFrame:
    """The configurations ranked by their median effort, the lowest first.

    effort = cost / test accuracy for each finished trial. The cost is training seconds or floating-point operations.
    Trials that diverged or have no accuracy have no effort. They are counted separately, and the median is taken over
    the other trials. A configuration without any effort comes last and has no rank. Equal medians share the better
    rank.

    Columns: configuration, rank, effort, effort_min, effort_max, accuracy and cost (means), n (trials with an
    effort), trials (all), diverged, missing (no result for another reason).

    Raises AssayError if the seconds come from several timings, machines or numbers of threads.
    Source: the effort as the reproduced articles define it, training time over accuracy.
    """
    if cost not in COSTS:
        raise AssayError(unknown("cost", cost, COSTS))
    need(trials, ["configuration", "outcome", TEST_SCORE.column, cost])
    if cost == "seconds":
        same_clock(_with_effort(trials, cost))
    ranking: list[dict[str, object]] = []
    for label, group in groups(trials, "configuration"):
        finished = _with_effort(group, cost)
        accuracies, costs = numbers(finished, TEST_SCORE.column), numbers(finished, cost)
        efforts = costs / accuracies
        row: dict[str, object] = {"configuration": label, **spread("effort", efforts)}
        row["effort"] = float(np.median(efforts)) if efforts.size else np.nan
        row |= {"accuracy": spread("accuracy", accuracies)["accuracy"], "cost": spread("cost", costs)["cost"]}
        ranking.append(row | outcomes(group, counted=len(finished)))
    table = pd.DataFrame(ranking).sort_values("effort", kind="stable", na_position="last", ignore_index=True)
    table.insert(1, "rank", table["effort"].rank(method="min").astype("Int64"))
    return table


def _with_effort(trials: pd.DataFrame, cost: str) -> pd.DataFrame:
    finished = measured(trials, TEST_SCORE.column, cost)
    return rows(finished, numbers(finished, TEST_SCORE.column) > 0)
