"""The accuracy against a number of the recipe."""

from __future__ import annotations

from assay.articles.context import Context
from assay.articles.page import Figure, Table
from assay.articles.pictures.trials import OfTrials
from assay.report.charts.sensitivity import sensitivity


class Sensitivity(OfTrials):
    """A line per value of `by`.

    Attributes:
        x: The column of the number.
        by: The column whose values are the lines.
    """

    x: str = "learning_rate"
    by: str = "optimizer"

    def draw(self, context: Context) -> list[Table | Figure]:
        """The picture."""
        trials, _ = self.trials(context)
        return [Figure(self.name, sensitivity(trials, x=self.x, by=self.by, title=self.title), self.title, self.note)]


__all__ = ["Sensitivity"]
