"""One row per configuration: its accuracy and costs over its seeds, and how its trials ended."""

from __future__ import annotations

import numpy as np
import pandas as pd

from assay.analysis.frames import FINISHED, groups, is_imported, numbers
from assay.analysis.quantities import TEST_SCORE
from assay.analysis.seeds import Endings, busy, counted, outcomes_of, ranked_by_seconds
from assay.errors import AssayError
from assay.system.load import BUSY

_WALL = ("seconds", "effort")
_COSTS = ("seconds", "processor_seconds", "effort", "flops")


def summarised(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per configuration, in order of first appearance.

    Trials that diverged or timed out count by the rule of `assay.analysis.seeds`: in the accuracies as they ended, in
    the medians of the costs as worse than any finished trial. A median is missing where half of the trials or more
    ended so. Imported curves have the numbers of their log.

    Columns: configuration, trials, finished (all that ended in any way), diverged, accuracy (mean), low, high (its
    range), seconds, processor_seconds, effort, flops (medians), origin, timed_out, no_result (failed, lost, out of
    memory), busy_trials (how many had foreign load), busy ("busy machine" where their seconds are ranked).
    """
    own_row = ~is_imported(trials)
    accuracy = np.where(own_row, _accuracies(trials), numbers(trials, TEST_SCORE.column))
    frame = trials.assign(counted=accuracy, row=np.arange(len(trials)))
    unflagged, marked = ranked_by_seconds(frame)
    timed = dict(groups(unflagged, "configuration"))
    table: list[dict[str, object]] = []
    for label, group in groups(frame, "configuration"):
        endings = Endings.of(outcomes_of(group).tolist())
        values = numbers(group, "counted")
        values = values[~np.isnan(values)]
        own = bool(own_row[int(group["row"].iloc[0])])
        row: dict[str, object] = {"configuration": label, "trials": len(group)}
        row |= {"finished": len(group) - endings.count("planned"), "diverged": endings.count("diverged")}
        row |= dict(zip(("accuracy", "low", "high"), _statistics(values), strict=True))
        for cost in _COSTS:
            of_cost = timed[label] if cost in _WALL else group  # foreign load leaves the others as they are
            row[cost] = _median(of_cost, cost, endings.ended if own else 0, own=own)
        row |= {"origin": str(group["origin"].iloc[0]) if "origin" in group.columns else "measured"}
        row |= {"timed_out": endings.count("timed out")}
        row |= {"no_result": endings.without - endings.count("planned"), "busy_trials": int(busy(group).sum())}
        row |= {"busy": BUSY if label in marked else ""}
        table.append(row)
    return pd.DataFrame(table)


def ranked(summary: pd.DataFrame, column: str, *, ascending: bool) -> pd.DataFrame:
    """A summary sorted by a column; configurations of which no trial completed, or was stopped by a rule, come last.

    >>> table = {"configuration": ["a", "b"], "finished": 2, "diverged": 0, "timed_out": [2, 0], "no_result": 0}
    >>> ranked(pd.DataFrame(table | {"accuracy": [0.9, 0.5]}), "accuracy", ascending=False)["configuration"].tolist()
    ['b', 'a']
    """
    unfinished = summary["finished"] - summary["diverged"] - summary["timed_out"] - summary["no_result"] <= 0
    table = summary.assign(unfinished=unfinished)
    return table.sort_values(["unfinished", column], ascending=[True, ascending], kind="stable").drop(
        columns="unfinished"
    )


def _accuracies(trials: pd.DataFrame) -> np.ndarray:
    try:
        return counted(trials, TEST_SCORE.column)
    except AssayError:  # no trial of the data set tells its number of classes, so none has an accuracy
        return numbers(trials, TEST_SCORE.column)


def _statistics(values: np.ndarray) -> tuple[float, float, float]:
    return (float(values.mean()), float(values.min()), float(values.max())) if values.size else (np.nan, np.nan, np.nan)


def _median(trials: pd.DataFrame, cost: str, ended: int, *, own: bool) -> float:
    """The median of a cost over the finished trials and `ended` infinite ones; NaN where it is infinite."""
    if cost not in trials.columns:
        return np.nan
    values = numbers(trials, cost)
    if own:
        values = values[np.isin(outcomes_of(trials), FINISHED)]
    values = np.append(values[np.isfinite(values)], np.full(ended, np.inf))
    middle = float(np.median(values)) if values.size else np.nan
    return middle if np.isfinite(middle) else np.nan


__all__ = ["ranked", "summarised"]
