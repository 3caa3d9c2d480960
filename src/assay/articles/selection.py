"""Which configurations of a study's results go on into another study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean, median

from assay.analysis.frames import FINISHED
from assay.articles.measurements import TrialRow

Selection = Callable[[Sequence[TrialRow], str], list[str]]
"""From the trials of a study, and the axis of `by`, the labels of the configurations, the better ones first."""


def fastest(trials: Sequence[TrialRow], by: str = "") -> list[str]:
    """The configurations that reached the target in every trial, by median seconds."""
    groups = grouped(trials, "configuration")
    reached = {name: rows for name, rows in groups.items() if all(row["outcome"] == "stopped" for row in rows)}
    return sorted(reached, key=lambda name: median(float(row["seconds"]) for row in reached[name]))


def best_accuracy(trials: Sequence[TrialRow], by: str = "") -> list[str]:
    """The configurations with the best mean test accuracy over their seeds; none before every trial is finished."""
    if any(row["outcome"] == "planned" for row in trials):
        return []
    return by_accuracy(trials)


def by_accuracy(trials: Sequence[TrialRow]) -> list[str]:
    """The configurations with a finished trial, by mean test accuracy."""
    means = {
        label: mean(float(row["accuracy"]) for row in rows)
        for label, rows in grouped([row for row in trials if row["outcome"] in FINISHED], "configuration").items()
    }
    return sorted(means, key=lambda label: -means[label])


def best_of_each(trials: Sequence[TrialRow], by: str) -> list[str]:
    """The configuration of each value of the axis `by` with the best mean validation accuracy."""
    return list(winners(trials, by).values())


def winners(trials: Sequence[TrialRow], by: str) -> dict[str, str]:
    """The same, by value of the axis."""
    best: dict[str, str] = {}
    for value, rows in grouped(trials, by).items():
        groups = grouped([row for row in rows if row["outcome"] in FINISHED], "configuration")
        if groups:
            best[value] = max(groups, key=lambda name: mean(float(r["validation_accuracy"]) for r in groups[name]))
    return best


def grouped(trials: Sequence[TrialRow], column: str) -> dict[str, list[TrialRow]]:
    """The trials by the value of a column, in order of first appearance."""
    groups: dict[str, list[TrialRow]] = {}
    for row in trials:
        groups.setdefault(str(row[column]), []).append(row)
    return groups


SELECTIONS: Mapping[str, Selection] = {
    "fastest": fastest,
    "best-accuracy": best_accuracy,
    "best-of-each": best_of_each,
}

__all__ = ["SELECTIONS", "best_accuracy", "best_of_each", "by_accuracy", "fastest", "grouped", "winners"]
