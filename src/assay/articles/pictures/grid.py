"""The pictures of a grid: effects, importance, the mean of each stratum, and every run."""

from __future__ import annotations

from assay.analysis.importance import importance
from assay.articles.context import Context
from assay.articles.grids import GridPart, effects_of
from assay.articles.page import Figure, Table
from assay.report.charts.factors import effects
from assay.report.charts.grid import heat_map
from assay.report.charts.importance import importance as importance_chart
from assay.report.charts.parallel import parallel_coordinates


class GridEffects(GridPart):
    """What each value of each factor changes, against the mean of all runs."""

    def draw(self, context: Context) -> list[Table | Figure]:
        """The picture."""
        chart = effects(effects_of(self.grid(context)), origin="the mean of all runs", title=self.title)
        return [Figure("effects", chart, self.title, self.note)]


class GridImportance(GridPart):
    """Which factors matter, alone and in pairs, by a random forest over the finished runs."""

    rows: int = 14

    def draw(self, context: Context) -> list[Table | Figure]:
        """The picture."""
        sample = self.grid(context)
        effects_of(sample)  # raises where the sample is too small to say anything
        terms = importance(sample.unfolded(), self.axes(context)).rename(columns={"term": "axis"}).head(self.rows)
        small = "" if sample.complete else " From a small sample, only the order of the first few is meaningful."
        return [Figure("importance", importance_chart(terms, title=self.title), self.title, self.note + small)]


class GridStrata(GridPart):
    """The mean accuracy of each stratum, which has two axes."""

    def draw(self, context: Context) -> list[Table | Figure]:
        """The picture."""
        sample = self.grid(context)
        effects_of(sample)
        rows, columns = sample.sampling.strata
        runs = sample.unfolded()
        each = f"{round(sample.whole.requested / len(sample.sizes)):,} runs"
        cells = (
            f"Each cell is the mean of its {each}."
            if sample.complete
            else f"These two factors are the strata of the sample, so each cell is a random sample of its own {each}."
        )
        chart = heat_map(runs, rows=rows, columns=columns, title=self.title)
        return [Figure("strata", chart, self.title, cells)]


class GridRuns(GridPart):
    """Every run as a line, those that are the same trial as one."""

    def draw(self, context: Context) -> list[Table | Figure]:
        """The picture."""
        sample = self.grid(context)
        effects_of(sample)
        runs, folded = sample.unfolded(), sample.sampling.folded
        if folded:
            both = {folded.axis: {folded.value: f"{folded.value}, {folded.also}"}}
            runs = runs[runs[folded.axis] != folded.also].replace(both)
        chart = parallel_coordinates(runs, axes=self.axes(context), by="trial", title=self.title)
        return [Figure("runs", chart, self.title, self.note)]


__all__ = ["GridEffects", "GridImportance", "GridRuns", "GridStrata"]
