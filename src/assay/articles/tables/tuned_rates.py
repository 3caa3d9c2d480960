"""Every optimizer at its own rate: tuned on some of the seeds, judged on the others."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, median

import numpy as np

from assay.analysis.frames import FINISHED
from assay.analysis.seeds import with_counted
from assay.analysis.verdicts import of_values
from assay.articles.context import Context
from assay.articles.kinds import PagePart
from assay.articles.measurements import TrialRow, percent_cell
from assay.articles.page import Figure, Table
from assay.articles.selection import grouped
from assay.articles.tables.time_to_target import spread
from assay.results.results import Results

_TUNED_BY = 3  # one in three seeds is for tuning, the others for testing


class TunedRates(PagePart):
    """One row per optimizer: its rate, its accuracy there, the verdict against the best one, and the cost of tuning.

    Attributes:
        study: The study, with the axes optimizer and learning_rate.
    """

    study: str

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table."""
        trials = _counted_rows(context.result(self.study))
        head = ("optimizer", "its rate", "validation [%]", "test [%]", "seeds", "against the first", "tuning [s]")
        head += ("tuning [1e12]",)
        if not trials:
            return [Table(head, [], self.title, self.note)]
        tuned = {name: tuned_rate(rows) for name, rows in grouped(trials, "optimizer").items()}
        order = sorted(tuned, key=lambda name: -median(tuned[name][2].values()) if tuned[name][2] else 0.0)
        values, others = {name: tuned[name][2] for name in order}, order[1:]
        against = dict(zip(others, of_values(values, [(order[0], name) for name in others]), strict=True))
        rows: list[list[str]] = []
        for name in order:
            rate, validated, tested = tuned[name]
            tuning = [row for row in trials if row["optimizer"] == name and _tunes(row, trials)]
            seconds, flops = (sum(float(row[cost]) for row in tuning) for cost in ("seconds", "flops"))
            accuracies = [percent_cell(validated), spread(list(tested.values()), percent_cell), str(len(tested))]
            verdict = against[name].sentence() if name in against and against[name].n else "-"
            rows.append([name, f"{rate:g}", *accuracies, verdict, f"{seconds:.1f}", f"{flops / 1e12:.2f}"])
        return [Table(head, rows, self.title, self.note)]


def _counted_rows(result: Results) -> list[TrialRow]:
    """The trials with a result; those that diverged or timed out count as they ended."""
    frame = result.frame()
    if not np.isin(frame["outcome"], FINISHED).any():
        return []
    rows: list[TrialRow] = with_counted(frame, "accuracy", "validation_accuracy").to_dict("records")  # pyright: ignore[reportAssignmentType]
    return rows


def _tunes(row: TrialRow, trials: Sequence[TrialRow]) -> bool:
    """Whether a trial has one of the tuning seeds."""
    seeds = 1 + max(int(other["repeat"]) for other in trials)
    return int(row["repeat"]) < max(1, seeds // _TUNED_BY)


def tuned_rate(trials: Sequence[TrialRow]) -> tuple[float, float, dict[int, float]]:
    """An optimizer's best rate on the tuning seeds, its mean validation accuracy there, and the other seeds' test
    accuracies."""
    tuning = grouped([row for row in trials if _tunes(row, trials)], "learning_rate")
    means = {rate: mean(float(row["validation_accuracy"]) for row in rows) for rate, rows in tuning.items()}
    best = max(means, key=lambda rate: means[rate])
    tested = [row for row in trials if str(row["learning_rate"]) == best and not _tunes(row, trials)]
    return float(best), means[best], {int(row["repeat"]): float(row["accuracy"]) for row in tested}


__all__ = ["TunedRates", "tuned_rate"]
