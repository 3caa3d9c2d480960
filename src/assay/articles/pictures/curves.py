"""Learning curves: the whole of them, a stretch, or their beginnings."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from assay.analysis.frames import have
from assay.articles.context import Context
from assay.articles.page import Figure, Table
from assay.articles.pictures.trials import OfTrials, joined
from assay.report.charts.curves import CurveOptions, learning_curves


class CurvePicture(OfTrials):
    """A line per series, a panel per value of `facet`; see `assay.report.charts.curves.CurveOptions`.

    Attributes:
        chart_title: The title in the picture; without one, the title of the part.
        x: What the curves are drawn against.
        measure: "accuracy" or "loss".
        split: "test", "validation" or "train".
        by: The column whose values are the series.
        facet: The columns whose values, joined by a space, have a panel each.
        order: The series in their order; "seen" for those of the trials.
        log: The logarithmic axes.
        start: Where x begins; iterations are those of the article, and divided in a scaled-down run.
        stop: Where x ends.
    """

    fills_title: ClassVar[bool] = True

    chart_title: str = ""
    x: str = "iteration"
    measure: str = "accuracy"
    split: str = "test"
    by: str = "configuration"
    facet: tuple[str, ...] = ()
    order: tuple[str, ...] | str = ()
    log: str = ""
    start: int | None = Field(default=None, ge=0)
    stop: int | None = Field(default=None, ge=1)

    def draw(self, context: Context) -> list[Table | Figure]:
        """The picture."""
        trials, curves = self.trials(context)
        trials, facet = joined(trials, self.facet)
        have(trials, self.by)
        seen = [str(name) for name in dict.fromkeys(trials[self.by])] if self.order == "seen" else self.order
        ends = [None if x is None else self._scaled(context, x) for x in (self.start, self.stop)]
        title = context.text(self.title)
        options = CurveOptions(
            x=self.x,
            measure=self.measure,
            split=self.split,
            by=self.by,
            facet=facet,
            start=ends[0],
            stop=ends[1],
            log=self.log,
            order=list(seen) or None,
            title=self.chart_title or title,
        )
        return [Figure(self.name, learning_curves(trials, curves, options), title, self.note)]

    def _scaled(self, context: Context, x: int) -> int:
        return context.spec.iterations(x) if self.x == "iteration" else x


__all__ = ["CurvePicture"]
