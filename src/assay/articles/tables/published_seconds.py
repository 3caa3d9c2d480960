"""Published training times next to the measured ones."""

from __future__ import annotations

from statistics import median

from assay.articles.context import Context
from assay.articles.entries import ArticleTable
from assay.articles.kinds import PagePart
from assay.articles.page import Figure, Table


class PublishedTime(ArticleTable):
    """The published seconds of a configuration, and under what name the table shows it."""

    configuration: str
    seconds: float
    name: str = ""


class PublishedSeconds(PagePart):
    """One row per published time: those of the points that have one, or those given.

    Attributes:
        studies: The studies that measure them.
        times: The published times; without them, those of the published points.
    """

    studies: tuple[str, ...]
    times: tuple[PublishedTime, ...] = ()

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table."""
        measured, quick = context.measured(self.studies), context.spec.quick
        rows: list[list[str]] = []
        for time, cells in self._times(context):
            seconds = measured.column(time.configuration, "seconds").values()
            middle = median(seconds) if seconds else 0.0
            ratio = f"{time.seconds / middle:,.0f}" if seconds and not quick else "-"
            counted = [f"{middle:.3g}" if seconds else "-", ratio, str(len(seconds)) if seconds else "-"]
            rows.append([*cells, f"{time.seconds:g}", *counted])
        head = ["configuration", *([] if self.times else ["iterations"])]
        head += ["published [s]", "measured [s]", "published / measured", "seeds"]
        return [Table(head, rows, self.title, self.note)]

    def _times(self, context: Context) -> list[tuple[PublishedTime, list[str]]]:
        if self.times:
            return [(time, [time.name or time.configuration]) for time in self.times]
        return [
            (
                PublishedTime(configuration=point.name, seconds=point.seconds),
                [point.cell, f"{context.spec.iterations(point.iterations):,}"],
            )
            for point in context.points
            if point.seconds is not None
        ]


__all__ = ["PublishedSeconds"]
