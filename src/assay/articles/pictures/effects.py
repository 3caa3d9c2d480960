"""What each change of a baseline does, with intervals."""

from __future__ import annotations

from typing import Any

from assay.analysis.frames import FINISHED
from assay.analysis.sensitivity import effects
from assay.articles.context import Context
from assay.articles.kinds import PagePart
from assay.articles.page import Figure, Table
from assay.report.charts.factors import effects as draw_effects


class Effects(PagePart):
    """The mean difference of each configuration from the baseline over paired seeds.

    Attributes:
        name: Ends the name of its file.
        study: The study, whose design is one change at a time.
        baseline: The configuration that the others are compared with.
        measure: What is compared.
        without: Changes that are not drawn; the correction is for them too.
    """

    name: str
    study: str
    baseline: str = "baseline"
    measure: str = "accuracy"
    without: tuple[str, ...] = ()

    def draw(self, context: Context) -> list[Table | Figure]:
        """The picture; nothing before the baseline is measured."""
        result = context.result(self.study)
        trials: Any = result.frame()
        if self.baseline not in trials[trials["outcome"].isin(FINISHED)]["configuration"].tolist():
            return []
        changes: Any = effects(trials, result.axes, self.baseline, measure=self.measure)
        changes = changes.rename(columns={"difference": "effect"})
        if self.without:
            changes = changes.loc[~(changes["axis"] + " " + changes["value"]).isin(self.without)]
        chart = draw_effects(changes, measure=self.measure, title=self.title)
        return [Figure(self.name, chart, self.title, self.note)]


__all__ = ["Effects"]
