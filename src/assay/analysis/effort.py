"""Effort, the cost of a configuration divided by its accuracy, and the ranking by it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.analysis.frames import (
    CLOCK,
    FINISHED,
    SHARED,
    assumed_levels,
    clocks,
    described,
    factorized,
    is_imported,
    measured,
    median,
    need,
    numbers,
    outcome_counts,
    places,
    rows,
    same_clock,
    spread,
)
from assay.analysis.quantities import REGRESSION, TEST_SCORE, no_accuracy, task_of
from assay.analysis.seeds import counted, outcomes_of, ranked_by_seconds
from assay.errors import AssayError, unknown
from assay.system.load import BUSY

COSTS = ("seconds", "flops")

Places = NDArray[np.int64]


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


def comparable_costs(trials: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """All trials, without the times and efforts that do not compare with the others, and a sentence on whose these are.

    Those of the largest group of `comparable` stay, and the scores of all. Imported curves are left as they are. The
    sentence is empty where all times compare, and it says how to get times that do.

    >>> frame = pd.DataFrame({"timing": ["isolated"] * 2 + ["packed"], "machine": "3f2a", "threads": 2, "seconds": 1.0})
    >>> comparable_costs(frame)[0]["seconds"].tolist()
    [1.0, 1.0, nan]
    """
    return _without_others(trials, np.zeros(len(trials), dtype=np.int64))


def comparable_on_engines(trials: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The same for rankings of each engine's trials alone: those of its own largest group stay.

    >>> frame = pd.DataFrame({"timing": ["isolated"] * 2 + ["packed"], "machine": "3f2a", "threads": 2, "seconds": 1.0})
    >>> comparable_on_engines(frame.assign(engine=["numpy", "numpy", "native"]))[0]["seconds"].tolist()
    [1.0, 1.0, 1.0]
    """
    return _without_others(trials, _engine_codes(trials))


def _without_others(trials: pd.DataFrame, parts: Places) -> tuple[pd.DataFrame, str]:
    """All trials, without the times that do not compare with most of their part, and a sentence on whose these are."""
    timed, groups, group, rank = _clocked(trials, parts)
    if not (apart := rank > 0).any():
        return trials, ""
    part = parts[timed]
    concerned = np.unique(group[np.isin(part, part[apart])])
    counts = np.bincount(group[apart], minlength=len(groups))
    left_out = "; ".join(described(groups[number], int(counts[number])) for number in np.flatnonzero(counts))
    changed = _without_times(trials, timed[apart])
    assumed = assumed_levels(rows(changed, np.isfinite(numbers(changed, "seconds"))))
    remedy = _remedy([groups[number] for number in concerned.tolist()])
    return changed, "; ".join(filter(None, (f"{_timed(trials)} leave out {left_out}", assumed, remedy)))


def comparable_within(trials: pd.DataFrame, *, by: str = "configuration") -> pd.DataFrame:
    """All trials, without the times and efforts that do not compare with others of their configuration.

    Of a configuration with times of several groups of `comparable`, those of its engine's largest group that it has
    stay. Where `comparable_on_engines` leaves times of a configuration, these are the same, so that all tables and
    charts show one median of it.

    >>> frame = pd.DataFrame({"timing": ["isolated"] * 2 + ["packed"], "machine": "3f2a", "threads": 2, "seconds": 1.0})
    >>> comparable_within(frame.assign(configuration=["a", "b", "b"]))["seconds"].tolist()
    [1.0, 1.0, nan]
    """
    if not {*CLOCK, "seconds", by} <= set(trials.columns):
        return trials
    timed, groups, group, rank = _clocked(trials, _engine_codes(trials))
    if len(groups) < 2:
        return trials
    order = rank * len(groups) + group  # a configuration of two engines keeps the times of one group too
    codes, names = factorized([str(name) for name in trials[by].tolist()])
    first = np.full(len(names), len(groups) ** 2)
    np.minimum.at(first, codes[timed], order)
    return _without_times(trials, timed[order != first[codes[timed]]])


def _clocked(trials: pd.DataFrame, parts: Places) -> tuple[Places, list[tuple[str, ...]], Places, Places]:
    """The positions of the trials with times of ours, all groups of `clocks`, and of each trial its group and its rank.

    The rank of a group is its place among those of the trial's part, the largest first; `parts` numbers them.
    """
    timed = np.flatnonzero(~is_imported(trials) & np.isfinite(numbers(trials, "seconds")))
    group, rank = np.empty(timed.size, dtype=np.int64), np.empty(timed.size, dtype=np.int64)
    numbered: dict[tuple[str, ...], int] = {}
    for part in np.unique(parts[timed]):
        inside = np.flatnonzero(parts[timed] == part)
        for place, (clock, members) in enumerate(clocks(trials.iloc[timed[inside]]).items()):
            group[inside[members]] = numbered.setdefault(clock, len(numbered))
            rank[inside[members]] = place
    return timed, list(numbered), group, rank


def _engine_codes(trials: pd.DataFrame) -> Places:
    """A number for each trial's engine; 0 for all where they are not known."""
    if "engine" not in trials.columns:
        return np.zeros(len(trials), dtype=np.int64)
    return factorized([str(name) for name in trials["engine"].tolist()])[0]


def _without_times(trials: pd.DataFrame, apart: Places) -> pd.DataFrame:
    """The trials, those at these positions without their times and efforts."""
    changed, leaves = trials.copy(), np.isin(np.arange(len(trials)), apart)
    for column in (name for name in ("seconds", "processor_seconds", "effort") if name in changed.columns):
        changed[column] = changed[column].where(~leaves)
    return changed


def _timed(trials: pd.DataFrame) -> str:
    """What is made of seconds in these trials: a regression has no effort."""
    return "times" if task_of(trials) is REGRESSION else "times and efforts"


def _remedy(groups: Sequence[tuple[str, ...]]) -> str:
    """What to do for times of all trials that compare."""
    is_packed = all(timing.startswith("packed") for timing, *_ in groups)
    if is_packed and len({tuple(place) for _, *place in groups}) == 1:
        if any(f"{SHARED} of " in timing for timing, *_ in groups):
            return (
                "on a GPU a trial's part of the seconds is that of its cohort's size: --timing isolated times all alike"
            )
        return "a trial alone in its batch does not share its seconds: --timing isolated times all alike"
    return "to time all alike, run the study with one --timing and --threads on one machine, with --again"


def effort(trials: pd.DataFrame, *, cost: str = "seconds") -> pd.DataFrame:
    """The configurations ranked by their median effort, the lowest first.

    effort = cost / test accuracy for each finished trial. The cost is training seconds or floating-point operations.
    The effort of a trial that diverged or timed out is worse than that of any finished one: a configuration of which
    half of the trials or more ended so has no finite median and no rank, and comes after those that have one, those
    without a result last. Trials that are no result are left out and counted. Equal medians share the better rank.
    By seconds, finished trials with foreign load are left out while three others of the configuration remain.

    Columns: configuration, rank, effort, effort_min, effort_max (of the finished trials), accuracy (mean of all that
    have a result) and cost (mean of the finished ones), n (finished trials with an effort), trials (all), diverged,
    timed_out, missing (no result for another reason, or left out), busy ("busy machine" where seconds with foreign
    load are ranked).

    Raises AssayError if the seconds come from several timings, machines or numbers of threads.
    Source: the effort as the reproduced articles define it, training time over accuracy.
    """
    if cost not in COSTS:
        raise AssayError(unknown("cost", cost, COSTS))
    if reason := no_accuracy(trials, "effort is training seconds / accuracy"):
        raise AssayError(f"{reason}: compare its configurations by seconds, or by what is Pareto-optimal")
    need(trials, ["configuration", "outcome", TEST_SCORE.column, cost])
    marked: list[str] = []
    used = trials
    if cost == "seconds":
        used, marked = ranked_by_seconds(trials)
        same_clock(_with_effort(used, cost))
    of_used = dict(places(used, "configuration"))
    costs, scores = numbers(used, cost), numbers(used, TEST_SCORE.column)
    has_effort = np.isin(outcomes_of(used), FINISHED) & np.isfinite(costs) & np.isfinite(scores) & (scores > 0)
    with_result, words = counted(trials, TEST_SCORE.column), outcomes_of(trials)
    ranking: list[dict[str, object]] = []
    for label, at in places(trials, "configuration"):
        finished = of_used[label][has_effort[of_used[label]]]
        efforts = costs[finished] / scores[finished]
        endings = outcome_counts(words[at].tolist(), finished=len(finished))
        ended = endings["diverged"] + endings["timed_out"]
        row: dict[str, object] = {"configuration": label, **spread("effort", efforts)}
        row["effort"] = median(efforts, infinite=ended)
        of_label = with_result[at]
        row["accuracy"] = spread("accuracy", of_label[~np.isnan(of_label)])["accuracy"]
        row["cost"] = spread("cost", costs[finished])["cost"]
        ranking.append(row | endings | {"busy": BUSY if label in marked else ""})
    table = pd.DataFrame(ranking)
    table = table.sort_values("effort", kind="stable", na_position="last", ignore_index=True)  # infinite before NaN
    table["effort"] = table["effort"].replace(np.inf, np.nan)
    table.insert(1, "rank", table["effort"].rank(method="min").astype("Int64"))
    return table


def _with_effort(trials: pd.DataFrame, cost: str) -> pd.DataFrame:
    finished = measured(trials, TEST_SCORE.column, cost)
    return rows(finished, numbers(finished, TEST_SCORE.column) > 0)
