"""Published runs of several programs next to one timed run of each setup here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.articles.context import Context
from assay.articles.measurements import percent_cell
from assay.articles.page import Figure, Table
from assay.articles.setups import Setup
from assay.articles.timed_runs import OfTimedRuns, TimedRun, seconds_cell
from assay.bench.startup import ColdStart


class PublishedRuns(OfTimedRuns):
    """One row per run of `[[facts.runs]]`, and one per setup of the study."""

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table."""
        rows = [self._published(run) for run in context.fact("runs")]
        timed = self.timed(context)
        for setup, reason in context.setups[self.study].items():
            if setup in timed:
                rows.append(self._measured(setup, timed[setup], self.start(context, setup)))
            else:
                unmeasured = reason or "not measured yet"
                rows.append([f"Assay, {setup.engine}", setup.device_text, *["-"] * 6, unmeasured])
        head = (
            "program",
            "device",
            "first epoch [s]",
            "later epochs [s]",
            "validation, an epoch [s]",
            f"{self.epochs} epochs, start-up and compilation in [s]",
            f"{self.epochs} epochs, steady [s]",
            "accuracy [%]",
            "",
        )
        return [Table(head, rows, self.title, self.note)]

    def _published(self, run: Mapping[str, Any]) -> list[str]:
        later, validation = run.get("later_epoch_s"), run.get("validation_s")
        return [
            run["framework"],
            run["device"],
            seconds_cell(run.get("first_epoch_s")),
            seconds_cell(later),
            seconds_cell(None if validation is None else validation / self.epochs),
            seconds_cell(run["total_s"]),
            seconds_cell(None if later is None else later * self.epochs),
            percent_cell(run["accuracy"]),
            f"published; {run['note']}" if "note" in run else "published",
        ]

    def _measured(self, setup: Setup, timed: TimedRun, start: ColdStart) -> list[str]:
        count = len(timed.epochs)
        extrapolated = f"totals extrapolated from {count} epochs; accuracy after {count}"
        return [
            f"Assay, {setup.engine}",
            setup.device_text,
            seconds_cell(timed.compile + timed.epochs[0]),
            seconds_cell(timed.later),
            seconds_cell(timed.validation),
            seconds_cell(timed.total(self.epochs, start)),
            seconds_cell(timed.later * self.epochs),
            percent_cell(timed.accuracy),
            "measured" if count >= self.epochs else extrapolated,
        ]


__all__ = ["PublishedRuns"]
