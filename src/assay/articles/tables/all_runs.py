"""Hours and accuracies of all runs of a grid: measured, or estimated from a sample."""

from __future__ import annotations

from assay.articles.context import Context
from assay.articles.grids import GridPart, quantities, runs_of
from assay.articles.page import Figure, Table
from assay.execution.estimates import estimated
from assay.report.text import duration
from assay.system.machine import usable_cores


class AllRuns(GridPart):
    """The published hours, those of the trainings without duplicates, and the accuracies.

    Attributes:
        hours: The hours that the article counts for all runs.
        failed: The accuracy below which a run has failed.
        good: The accuracy from which a run is good.
    """

    hours: float
    failed: float = 0.5
    good: float = 0.975

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table."""
        sample = self.grid(context)
        trainings = len(sample.whole.jobs)
        expected = sum(estimated(sample.whole.jobs, None, sample.whole.examples).values()) / len(usable_cores())
        time, *accuracies = quantities(sample, failed=self.failed, good=self.good)
        lines = [
            (
                f"hours of all {runs_of(sample):,.0f} runs, as the article counts them",
                f"{self.hours:g}",
                "one run after the other",
            ),
            (time.name, time.text(), f"estimated by a calibration: {duration(expected)}"),
            *((quantity.name, quantity.text(), "") for quantity in accuracies),
        ]
        folded = sample.sampling.folded
        doubled = f"; those with {folded.value} count twice, as {folded.also} is the same" if folded else ""
        strata = ", ".join(sample.sampling.strata)
        everything = f"All {trainings:,} trainings are measured{doubled}."
        weighted = (
            f"From {len(sample.jobs):,} of {trainings:,} trainings, each weighted by how many of its stratum "
            f"({strata}) it stands for{doubled}. 95 % t intervals of a stratified sample."
        )
        note = (
            f"{everything if sample.complete else weighted} Packed seconds, evaluation included, loading the data left "
            "out. On a busy machine, both the seconds and the calibration are too high."
        )
        title = "All runs" if sample.complete else "What this says about all runs"
        head = ("what", "value" if sample.complete else "value [95 % interval]", "beside it")
        return [Table(head, lines, title, note)]


__all__ = ["AllRuns"]
