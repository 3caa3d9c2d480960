"""Every configuration of a study compared with its baseline over paired seeds."""

from __future__ import annotations

from statistics import median

from assay.analysis.families import against
from assay.analysis.verdict import Verdict
from assay.articles.context import Context
from assay.articles.kinds import PagePart
from assay.articles.measurements import Measurements, percent_cell, range_cell
from assay.articles.page import Figure, Table


class Changes(PagePart):
    """One row per configuration: accuracy, seconds, and the verdict against the baseline.

    Attributes:
        study: The study.
        baseline: Its configuration that the others are compared with.
    """

    study: str
    baseline: str = "baseline"

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table."""
        measured = context.measured([self.study])
        verdicts = against_baseline(measured, self.baseline)
        rows: list[list[str]] = []
        for label in dict.fromkeys(str(row["configuration"]) for row in measured.trials):
            values, seconds = (list(measured.column(label, name).values()) for name in ("accuracy", "seconds"))
            verdict = verdicts[label].sentence() if label in verdicts else "-"
            cells = [percent_cell(median(values)), range_cell(values), str(len(values)), verdict]
            rows.append([label, *cells, f"{median(seconds):.1f}"])
        head = ("change", "median accuracy [%]", "min .. max", "seeds", "against the baseline", "training [s]")
        return [Table(head, rows, self.title, self.note)]


def against_baseline(measured: Measurements, baseline: str) -> dict[str, Verdict]:
    """The verdicts on the accuracy of every other configuration, in one family of comparisons."""
    seeds = measured.counted("accuracy")
    if baseline not in seeds.names:
        return {}
    verdicts: dict[str, Verdict] = {}
    for verdict in against(seeds, baseline).verdicts():
        (label,) = set(verdict.names) - {baseline}
        if verdict.n:
            verdicts[label] = verdict if verdict.names[0] == label else verdict.reversed()
    return verdicts


__all__ = ["Changes", "against_baseline"]
