"""What logging costs: one configuration that logs at the end, another that logs at every iteration."""

from __future__ import annotations

from pydantic import Field

from assay.articles.context import Context
from assay.articles.kinds import PagePart
from assay.articles.measurements import trial_rows
from assay.articles.page import Figure, Table


class LoggingCost(PagePart):
    """Published and measured seconds of configurations that differ in what they log, and their ratio.

    Attributes:
        study: The study.
        published: The published seconds by configuration, the one that logs least first.
    """

    study: str
    published: dict[str, float] = Field(min_length=2)

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table."""
        rows: list[list[str]] = []
        trials = {
            row["configuration"]: row for row in trial_rows(context.result(self.study)) if row["outcome"] == "completed"
        }
        totals: dict[str, float] = {}
        for name, seconds in self.published.items():
            if name not in trials:
                rows.append([name, f"{seconds:g}", "-", "-", "-"])
                continue
            training, evaluation = float(trials[name]["seconds"]), float(trials[name]["ledger_evaluate"])
            totals[name] = training + evaluation
            rows.append([name, f"{seconds:g}", f"{training:.3f}", f"{evaluation:.3f}", f"{totals[name]:.3f}"])
        rows.append(["ratio", self._ratio(self.published), "", "", self._ratio(totals)])
        head = ("loss logged", "published [s]", "training [s]", "evaluation [s]", "together [s]")
        return [Table(head, rows, self.title, self.note)]

    def _ratio(self, seconds: dict[str, float]) -> str:
        """How many times as long the last configuration takes as the first."""
        first, *_, last = self.published
        return f"{seconds[last] / seconds[first]:,.0f}" if first in seconds and last in seconds else "-"


__all__ = ["LoggingCost"]
