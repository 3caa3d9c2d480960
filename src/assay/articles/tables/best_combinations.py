"""The best configurations of a study, and what they do on seeds that did not choose them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

from assay.analysis.frames import FINISHED
from assay.articles.context import Context
from assay.articles.kinds import PagePart
from assay.articles.measurements import percent_cell, trial_rows
from assay.articles.page import Figure, Table
from assay.articles.selection import by_accuracy, grouped


class BestCombinations(PagePart):
    """One row per configuration: its values, its accuracy, and that on further seeds.

    Attributes:
        study: The study.
        finals: The study on further seeds.
        rows: How many configurations are shown.
    """

    study: str
    finals: str
    rows: int = 10

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table."""
        measured, axes = context.measured([self.study]), context.result(self.study).axes
        firsts = {str(row["configuration"]): row for row in reversed(measured.trials)}
        again = self._again(context)
        rows: list[list[str]] = []
        for label in by_accuracy(measured.trials)[: self.rows]:
            chosen = mean(measured.column(label, "accuracy").values())
            cells = [*(str(firsts[label][axis]) for axis in axes), percent_cell(chosen)]
            rows.append([*cells, _spread(again.get(label, []))] if again else cells)
        head = (*axes, "accuracy [%]", *(["on further seeds [%]"] if again else []))
        note = (
            "Chosen by the test accuracy of the seeds of the grid, so these accuracies are too high, and their order "
            "means little."
        )
        if again:
            note += " The further seeds chose nothing: mean (least .. greatest). "
            note += self._reference(context, again)
        return [Table(head, rows, self.title, note)]

    def study_names(self) -> tuple[str, ...]:
        """The studies that it reads."""
        return self.study, self.finals

    def _again(self, context: Context) -> dict[str, list[float]]:
        """The accuracies on further seeds by configuration; none before they are planned."""
        if self.finals not in context.results:
            return {}
        rows = [row for row in trial_rows(context.results[self.finals]) if row["outcome"] in FINISHED]
        return {label: [float(r["accuracy"]) for r in group] for label, group in grouped(rows, "configuration").items()}

    def _reference(self, context: Context, again: Mapping[str, list[float]]) -> str:
        """The configurations that the study has whatever was chosen, on the same seeds."""
        names = [c.label for c in context.written(self.finals).candidates() if c.label in again]
        return " ".join(f"{name[0].upper()}{name[1:]}, on the same seeds: {_spread(again[name])} %." for name in names)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{percent_cell(mean(values))} ({percent_cell(min(values))} .. {percent_cell(max(values))})"


__all__ = ["BestCombinations"]
