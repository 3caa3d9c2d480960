"""The accuracy of every configuration of a study against its training seconds."""

from __future__ import annotations

from typing import Any

from assay.analysis.frames import FINISHED
from assay.articles.context import Context
from assay.articles.kinds import PagePart
from assay.articles.page import Figure, Table
from assay.report.charts.pareto import accuracy_against_time


class Pareto(PagePart):
    """Seeds faint, configurations solid, the Pareto front as a line.

    Attributes:
        name: Ends the name of its file.
        study: The study.
    """

    name: str
    study: str

    def draw(self, context: Context) -> list[Table | Figure]:
        """The picture; nothing before a trial is finished."""
        trials: Any = context.result(self.study).frame()
        if not trials["outcome"].isin(FINISHED).any():
            return []
        return [Figure(self.name, accuracy_against_time(trials, title=self.title), self.title, self.note)]


__all__ = ["Pareto"]
