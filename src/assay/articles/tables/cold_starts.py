"""What comes before the first iteration: start and compilation of the engine of each setup."""

from __future__ import annotations

from assay.articles.context import Context
from assay.articles.page import Figure, Table
from assay.articles.timed_runs import OfTimedRuns, seconds_cell


class ColdStarts(OfTimedRuns):
    """One row per setup that was timed."""

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table."""
        rows: list[list[str]] = []
        for setup, run in self.timed(context).items():
            start = self.start(context, setup)
            total = run.total(self.epochs, start)
            fractions = [f"{100 * value / total:.2g}" for value in (start.process, start.compile)]
            cells = [seconds_cell(value) for value in (start.process, start.compile, start.cached, run.compile)]
            rows.append([f"{setup.engine}, {setup.device_text}", *cells, *fractions])
        head = (
            "engine",
            "process and libraries [s]",
            "compile and warm up, from nothing [s]",
            "again, from its cache [s]",
            "in the run [s]",
            f"start, fraction of {self.epochs} epochs [%]",
            f"compilation, fraction of {self.epochs} epochs [%]",
        )
        return [Table(head, rows, self.title, self.note)]


__all__ = ["ColdStarts"]
