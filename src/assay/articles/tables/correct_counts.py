"""How many test images are right: published counts next to those of the seeds."""

from __future__ import annotations

from statistics import median

from assay.articles.context import Context
from assay.articles.kinds import PagePart
from assay.articles.page import Figure, Table
from assay.data.datasets import load


class CorrectCounts(PagePart):
    """One row per configuration: the published counts, and the median and range of the measured ones.

    Attributes:
        study: The study.
        published: The published counts of each configuration, in the order of the rows.
        of: How many images the published counts are of.
        note_outside: The note where a published count does not lie within the measured seeds.
    """

    study: str
    published: dict[str, tuple[int, ...]]
    of: int = 10_000
    note_outside: str = ""

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table."""
        (name,) = {trial.recipe.data.name for trial in context.plans[self.study].trials.values()}
        images, measured = len(load(name).y_test), context.measured([self.study])
        rows: list[list[str]] = []
        is_within = True
        for label, published in self.published.items():
            correct = sorted(round(value * images) for value in measured.column(label, "accuracy").values())
            spread = [f"{median(correct):,.0f}", f"{correct[0]:,} .. {correct[-1]:,}"] if correct else ["-", "-"]
            rows.append([label, " and ".join(f"{n:,}" for n in published) or "-", *spread, str(len(correct))])
            is_within &= all(bool(correct) and correct[0] <= n <= correct[-1] for n in published)
        head = ("after", f"published, of {self.of:,}", f"median, of {images:,}", "min .. max", "seeds")
        return [Table(head, rows, self.title, self.note if is_within else self.note_outside or self.note)]


__all__ = ["CorrectCounts"]
