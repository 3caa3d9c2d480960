"""One row per configuration: its accuracy and costs over its seeds, and how its trials ended."""

from __future__ import annotations

import numpy as np
import pandas as pd

from assay.analysis.effort import comparable_within
from assay.analysis.frames import FINISHED, is_imported, median, numbers, places
from assay.analysis.phases import PHASE, by_phase
from assay.analysis.quantities import MEASURES, QUANTITIES, name_of, score_of, task_of
from assay.analysis.seeds import Endings, busy, counted, outcomes_of, ranked_by_seconds
from assay.errors import AssayError
from assay.system.load import BUSY

_WALL = ("seconds", "effort")
_COSTS = ("seconds", "processor_seconds", "effort", "flops")


def summarised(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per configuration, in order of first appearance.

    Trials that diverged or timed out count by the rule of `assay.analysis.seeds`: in the accuracies as they ended, in
    the medians of the costs as worse than any finished trial. A median is missing where half of the trials or more
    ended so. Of the times of one configuration, those that do not compare with most are left out
    (`assay.analysis.effort.comparable_within`). Imported curves have the numbers of their log.

    Columns: configuration, trials, finished (all that ended in any way), diverged, accuracy (mean), low, high (its
    range), seconds, processor_seconds, effort, flops (medians), origin, timed_out, no_result (failed, lost, out of
    memory), busy_trials (how many had foreign load), busy ("busy machine" where their seconds are ranked), sd
    (standard deviation of the accuracy over seeds, n - 1 in the denominator; missing for one seed), n (seeds with an
    accuracy), and validation_accuracy, validation_sd, validation_n, which are missing where nothing was validated. Of a
    search with seeds also phase: the seeds that the figures are of. A regression has r2 in place of accuracy, rmse (the
    mean), and validation_r2, validation_rmse.
    """
    trials = comparable_within(trials)
    own_row = ~is_imported(trials)
    task = task_of(trials)
    test, validation = (score_of(task, split).column for split in ("test", "validation"))
    others = [QUANTITIES[name_of(split, m.name)].column for split in ("test", "validation") for m in task.metrics[1:]]
    scores = {column: _scores(trials, column, own_row) for column in (test, validation, *others)}
    unflagged, names = ranked_by_seconds(trials.assign(row=np.arange(len(trials))))
    marked = set(names)
    is_timed = np.zeros(len(trials), dtype=np.bool_)
    is_timed[unflagged["row"].to_numpy(dtype=np.int64)] = True
    words, flags = outcomes_of(trials), busy(trials)
    is_finished = np.isin(words, FINISHED)
    costs = {cost: numbers(trials, cost) for cost in _COSTS if cost in trials.columns}
    origins: list[object] = trials["origin"].tolist() if "origin" in trials.columns else ["measured"] * len(trials)
    phases: list[object] = trials[PHASE].tolist() if PHASE in trials.columns else []
    table: list[dict[str, object]] = []
    for label, at in places(trials, "configuration"):
        endings = Endings.of(words[at].tolist())
        own = bool(own_row[at[0]])
        mean, low, high, sd, n = _statistics(scores[test][at])
        row: dict[str, object] = {"configuration": label, "trials": len(at)}
        row |= {"finished": len(at) - endings.count("planned"), "diverged": endings.count("diverged")}
        row |= {test: mean, "low": low, "high": high}
        for cost in _COSTS:
            of_cost = at[is_timed[at]] if cost in _WALL else at  # foreign load leaves the others as they are
            used = of_cost[is_finished[of_cost]] if own else of_cost
            row[cost] = _median(costs[cost][used], endings.ended if own else 0) if cost in costs else np.nan
        row |= {"origin": str(origins[at[0]]), "timed_out": endings.count("timed out")}
        row |= {"no_result": endings.without - endings.count("planned"), "busy_trials": int(flags[at].sum())}
        row |= {"busy": BUSY if label in marked else "", "sd": sd, "n": n}
        mean, _, _, sd, n = _statistics(scores[validation][at])
        row |= {PHASE: str(phases[at[0]])} if phases else {}
        row |= {validation: mean, "validation_sd": sd, "validation_n": n}
        table.append(row | {column: _statistics(scores[column][at])[0] for column in others})
    return pd.DataFrame(table)


def ranked(summary: pd.DataFrame, column: str, *, ascending: bool) -> pd.DataFrame:
    """A summary sorted by a column; configurations of which no trial completed, or was stopped by a rule, come last.

    The figures of a search with seeds are of different seeds: the winner comes first, then the racers.

    >>> table = {"configuration": ["a", "b"], "finished": 2, "diverged": 0, "timed_out": [2, 0], "no_result": 0}
    >>> ranked(pd.DataFrame(table | {"accuracy": [0.9, 0.5]}), "accuracy", ascending=False)["configuration"].tolist()
    ['b', 'a']
    """
    unfinished = summary["finished"] - summary["diverged"] - summary["timed_out"] - summary["no_result"] <= 0
    table = summary.assign(unfinished=unfinished)
    table = table.sort_values(["unfinished", column], ascending=[True, ascending], kind="stable")
    return by_phase(table.drop(columns="unfinished"))


def _scores(trials: pd.DataFrame, column: str, own_row: np.ndarray) -> np.ndarray:
    """What each trial counts as in a score (N,), or for an imported log its number; NaN where it was not measured."""
    if column not in trials.columns:
        return np.full(len(trials), np.nan)
    values = numbers(trials, column)
    if np.isnan(values).all() and MEASURES[column].split != "test":
        return values  # nothing was validated: a trial that diverged does not count as chance
    try:
        return np.where(own_row, counted(trials, column), values)
    except AssayError:  # no trial of the data set tells its number of classes, so none has an accuracy
        return values


def _statistics(values: np.ndarray) -> tuple[float, float, float, float, int]:
    """Mean, minimum, maximum, standard deviation and number of the values that are not missing."""
    values = values[~np.isnan(values)]
    if not values.size:
        return np.nan, np.nan, np.nan, np.nan, 0
    sd = float(values.std(ddof=1)) if values.size > 1 else np.nan
    return float(values.mean()), float(values.min()), float(values.max()), sd, int(values.size)


def _median(values: np.ndarray, ended: int) -> float:
    """The median of the costs of finished trials and of `ended` infinite ones; NaN where it is infinite."""
    middle = median(values[np.isfinite(values)], infinite=ended)
    return middle if np.isfinite(middle) else np.nan


__all__ = ["ranked", "summarised"]
