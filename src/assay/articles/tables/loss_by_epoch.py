"""The test loss of a configuration after each epoch, and its distance from the least loss that it can have."""

from __future__ import annotations

from statistics import median

from assay.articles.context import Context
from assay.articles.kinds import PagePart
from assay.articles.measurements import epochs_of
from assay.articles.page import Figure, Table

_FIRST, _EVERY = 5, 10  # epochs that are shown one by one, and how many lie between two of the others


class LossByEpoch(PagePart):
    """One row per epoch: the median and range of the test loss over the seeds.

    Attributes:
        study: The study.
        configuration: The configuration.
        floor: The least loss that it can have.
    """

    study: str
    configuration: str
    floor: float

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table."""
        measured = context.measured([self.study])
        keys = [str(row["trial"]) for row in measured.of(self.configuration)]
        last, rows = epochs_of(measured), list[list[str]]()
        for epoch in range(1, last + 1):
            if epoch > _FIRST and epoch % _EVERY and epoch != last:
                continue
            curves = [measured.curves[key] for key in keys]
            losses = [curve.values("test_loss")[epoch] for curve in curves if len(curve.iterations) > epoch]
            if losses:
                middle = median(losses)
                cells = [f"{middle:.4f}", f"{min(losses):.4f} .. {max(losses):.4f}", f"{middle - self.floor:.4f}"]
                rows.append([str(epoch), *cells, str(len(losses))])
        head = ("after epoch", "test loss, median", "min .. max", "above the floor", "seeds")
        return [Table(head, rows, self.title, self.note)]


__all__ = ["LossByEpoch"]
