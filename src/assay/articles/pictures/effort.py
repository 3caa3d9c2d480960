"""What the accuracy at the end of each curve cost."""

from __future__ import annotations

from assay.articles.context import Context
from assay.articles.page import Figure, Table
from assay.articles.pictures.trials import OfTrials
from assay.errors import AssayError
from assay.report.charts.effort import effort_ranking


class Effort(OfTrials):
    """Training seconds / accuracy of each cell at its longest budget, on a logarithmic axis."""

    def draw(self, context: Context) -> list[Table | Figure]:
        """The picture."""
        if not self.longest:
            raise AssayError("effort ranks the longest budget of each cell: write longest = true")
        trials, _ = self.trials(context)
        ended = trials[trials["iterations"] == trials.groupby("cell")["iterations"].transform("max")]
        return [Figure(self.name, effort_ranking(ended, by="cell", log=True, title=self.title), self.title, self.note)]


__all__ = ["Effort"]
