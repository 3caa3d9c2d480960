"""The accuracies of some configurations over the seeds, and the verdicts against the first of them."""

from __future__ import annotations

from statistics import median, stdev

from pydantic import Field

from assay.articles.context import Context
from assay.articles.kinds import PagePart
from assay.articles.measurements import Measurements, epochs_of, percent_cell, range_cell
from assay.articles.page import Figure, Table
from assay.results.results import Results


class SeedTable(PagePart):
    """One row per configuration: accuracy, spread, classes that are never predicted, seconds, and the verdict.

    Attributes:
        study: The study.
        configurations: Its configurations; the others are compared with the first.
    """

    study: str
    configurations: tuple[str, ...] = Field(min_length=1)

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table."""
        result, measured = context.result(self.study), context.measured([self.study])
        epochs, first = epochs_of(measured), self.configurations[0]
        rows: list[list[str]] = []
        for label in self.configurations:
            values = list(measured.column(label, "accuracy").values())
            if not values:
                rows.append([label, *["-"] * 5, "0", "not measured"])
                continue
            spread = f"{100 * stdev(values):.2f}" if len(values) > 1 else "-"
            against = "-" if label == first else result.verdict(label, first).sentence()
            never = ", ".join(map(str, classes_never_predicted(result, measured, label)))
            seconds = [second / epochs for second in measured.column(label, "seconds").values()]
            took = f"{min(seconds):.3g} .. {max(seconds):.3g}"
            cells = [percent_cell(median(values)), range_cell(values), spread, never, took, str(len(values)), against]
            rows.append([label, *cells])
        head = (
            "training",
            "median accuracy [%]",
            "min .. max",
            "standard deviation [points]",
            "classes never answered, by seed",
            "an epoch [s], one core",
            "seeds",
            f"against {first}",
        )
        return [Table(head, rows, self.title, f"After {epochs} epochs; {self.note}")]


def classes_never_predicted(result: Results, measured: Measurements, label: str) -> list[int]:
    """How many classes are predicted for no test image, per seed."""
    confusions = result.confusions()
    keys = [str(row["trial"]) for row in measured.of(label)]
    counts = [confusions[key] for key in keys if key in confusions]
    return [sum(not any(column) for column in zip(*count, strict=True)) for count in counts]


__all__ = ["SeedTable", "classes_never_predicted"]
