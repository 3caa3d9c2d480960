"""Accuracies after chosen epochs: those of published runs by program, and those of the seeds."""

from __future__ import annotations

from assay.articles.context import Context
from assay.articles.kinds import PagePart
from assay.articles.measurements import accuracies_by_epoch, range_cell
from assay.articles.page import Figure, Table


class AccuracyByEpoch(PagePart):
    """One row per program of `[[facts.runs]]` and per configuration: least and greatest accuracy after each epoch.

    Attributes:
        study: The study.
        configurations: Its configurations.
        epochs: The epochs.
        last: The epoch of the published accuracy at the end; 0 where it is not shown.
    """

    study: str
    configurations: tuple[str, ...]
    epochs: tuple[int, ...]
    last: int = 0

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table."""
        marks = [*self.epochs, *([self.last] if self.last else [])]
        groups: dict[str, list[dict[int, float]]] = {}
        for run in context.fact("runs"):
            name = f"published, {run['framework'].partition(' ')[0]}"
            after = {} if self.last else dict(enumerate(run["accuracy_after"], 1))
            groups.setdefault(name, []).append(after | ({self.last: run["accuracy"]} if self.last else {}))
        published = [run[self.last] for group in groups.values() for run in group] if self.last else []
        measured = context.measured([self.study])
        ours: list[float] = []
        for label in self.configurations:
            curves = [dict(enumerate(values, 1)) for values in accuracies_by_epoch(measured, label)]
            groups[f"measured, {label}"] = curves
            ours += [curve[self.last] for curve in curves if self.last in curve]
        rows = [
            [
                name,
                *(range_cell([run[n] for run in group if n in run]) for n in marks),
                str(len(group)) if group else "-",
            ]
            for name, group in groups.items()
        ]
        head = ("runs", *(f"epoch {n} [%]" for n in marks), "runs or seeds")
        note = self.note
        if self.last:
            note += f" The published runs end at {range_cell(published)} %; "
            note += f"{len(ours)} of ours at {range_cell(ours)} %." if ours else "ours have not run that far yet."
        return [Table(head, rows, self.title, note)]


__all__ = ["AccuracyByEpoch"]
