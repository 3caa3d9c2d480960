"""What a sample of a grid had said about all runs, next to what all runs say."""

from __future__ import annotations

from assay.articles.context import Context
from assay.articles.grids import EstimatedNumber, GridPart, GridSample, quantities
from assay.articles.page import Figure, Table
from assay.articles.tables.main_effects import contains
from assay.errors import AssayError


class SampleJudged(GridPart):
    """One row per number of all runs; only of a whole grid.

    Attributes:
        sample: The fraction of the trajectories in the sample.
        failed: The accuracy below which a run has failed.
        good: The accuracy from which a run is good.
    """

    sample: float = 0.05
    failed: float = 0.5
    good: float = 0.975

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table; nothing of a sample."""
        grid = self.grid(context)
        return [self.judged(grid, grid.part(self.sample))] if self.is_whole(context) else []

    def judged(self, grid: GridSample, sample: GridSample) -> Table:
        """The table of a whole grid and a sample of it."""
        title = f"What a sample of {100 * self.sample:g} % had said"
        try:
            truths, guesses = (quantities(part, failed=self.failed, good=self.good) for part in (grid, sample))
        except AssayError as error:
            return Table((), [], title, f"Not available: {error}.")
        pairs = zip(truths, guesses, strict=True)
        rows = [[truth.name, truth.text(), guess.text(), _verdict(truth, guess)] for truth, guess in pairs]
        note = (
            f"{len(sample.jobs):,} trainings, stratified by {' and '.join(sample.sampling.strata)}. Their seconds are "
            "those of this run, so that the estimate of the time does not depend on another machine."
        )
        return Table(("what", "all runs", "the sample [95 % interval]", "the interval"), rows, title, note)


def _verdict(truth: EstimatedNumber, guess: EstimatedNumber) -> str:
    low, high = guess.estimate.interval()
    if low != low:
        return "unknown"
    return "contained it" if contains((low, high), truth.estimate.value) else "missed it"


__all__ = ["SampleJudged"]
