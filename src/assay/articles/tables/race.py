"""The configurations of a search that reached the target with every seed, the fastest first."""

from __future__ import annotations

from assay.articles.context import Context
from assay.articles.kinds import PagePart
from assay.articles.measurements import trial_rows
from assay.articles.page import Figure, Table
from assay.articles.selection import fastest, grouped
from assay.articles.tables.time_to_target import FORMATS, spread


class Race(PagePart):
    """One row per configuration: its packed seconds and its operations.

    Attributes:
        study: The study, whose trainings stop at the target.
        rows: How many configurations are shown.
    """

    study: str
    rows: int = 8

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table. `{reached}` and `{finished}` in its note are how many reached the target and are finished."""
        trials = trial_rows(context.result(self.study))
        order, groups = fastest(trials), grouped(trials, "configuration")
        rows = [
            [name, *(spread([float(row[key]) for row in groups[name]], FORMATS[key]) for key in ("seconds", "flops"))]
            for name in order[: self.rows]
        ]
        finished = sum(row["outcome"] != "planned" for row in trials)
        note = self.note.replace("{reached}", f"{len(order):,} of {len(groups):,} configurations")
        note = note.replace("{finished}", f"{finished:,} of {len(trials):,} trials")
        return [Table(("configuration", "packed seconds", "operations [1e9]"), rows, self.title, note)]


__all__ = ["Race"]
