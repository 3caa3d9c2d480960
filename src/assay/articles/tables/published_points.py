"""Every published point next to what was measured there, with the verdict of the rule of agreement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from assay.analysis.quantities import SCORE, name_of
from assay.articles.context import Context
from assay.articles.entries import PublishedPoint
from assay.articles.kinds import PagePart
from assay.articles.measurements import Measurements, range_cell
from assay.articles.page import Figure, Table, verdict
from assay.claims.agreement import NEAR_CHANCE, RULE, Agreement, Run, of_loss, of_score
from assay.report.text import percent


class PublishedPoints(PagePart):
    """One row per published figure: what was measured, whether it holds, and why not.

    Attributes:
        studies: The studies that measure them.
        split: Of which part of the data the published accuracies are: "test", "validation" or "train".
    """

    studies: tuple[str, ...]
    split: Literal["test", "validation", "train"] = "test"

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table."""
        measured, quick = context.measured(self.studies), context.spec.quick
        score = name_of(self.split, SCORE.name)
        head = ("configuration", "iterations", "published", "median", "min .. max", "seeds", "where", "verdict")
        rows: list[list[str]] = []
        for point in context.points:
            runs = measured.runs(point.name, score=score)
            if point.accuracy is not None:
                agreement = judge(point, runs)
                published = f"{point.word} {percent(point.accuracy)}".strip()
                cells = [published, percent(agreement.median), range_cell([agreement.least, agreement.greatest])]
                why = "" if quick else _why(point, agreement, measured, score=score)
                rows.append(_row(context, point, agreement, cells, why))
            if point.loss is not None:
                agreement = judge_loss(point, runs)
                spread = f"{_loss(agreement.least)} .. {_loss(agreement.greatest)}"
                cells = [f"loss {point.loss:g}", f"loss {_loss(agreement.median)}", spread]
                rows.append(_row(context, point, agreement, cells, "" if quick else agreement.why))
        return [Table((*head, "why not"), rows, self.title, self.note or RULE)]


def judge(point: PublishedPoint, runs: Sequence[Run]) -> Agreement:
    """The verdict on the accuracy of a published point, from measured runs.

    >>> runs = [Run(0.961, settled=True), Run(0.964, settled=True), Run(0.963, settled=True)]
    >>> judge(PublishedPoint(cell="2LR adam batch", iterations=500, accuracy=0.9660), runs).holds
    True
    """
    assert point.accuracy is not None  # callers pass points that have one
    return of_score(point.accuracy, point.word, runs)


def judge_loss(point: PublishedPoint, runs: Sequence[Run]) -> Agreement:
    """The verdict on the training loss of a published point, from measured runs; its word is that of the accuracy."""
    assert point.loss is not None  # callers pass points that have one
    near_chance = point.accuracy is not None and point.accuracy < NEAR_CHANCE
    return replace(of_loss(point.loss, "", runs), near_chance=near_chance)


def _row(context: Context, point: PublishedPoint, agreement: Agreement, cells: list[str], why: str) -> list[str]:
    """The row of a point; `cells`: the published figure, the measured median and range."""
    quick = context.spec.quick
    iterations = f"{context.spec.iterations(point.iterations):,}"
    if not agreement.n:
        return [point.cell, iterations, cells[0], "-", "-", "-", agreement.place, "not measured", why]
    word = "not judged: scaled down" if quick else verdict(agreement.holds)
    word += ", near chance" if agreement.near_chance and agreement.holds and not quick else ""
    return [point.cell, iterations, *cells, str(agreement.n), agreement.place, word, why]


def _why(point: PublishedPoint, agreement: Agreement, measured: Measurements, *, score: str) -> str:
    """The most likely reason why a point does not hold, as far as the curves show it."""
    if agreement.holds is not False or point.accuracy is None:
        return agreement.why if agreement.n else ""
    if agreement.median < point.accuracy:
        return f"{agreement.why}: {_when_reached(point, measured, score=score)}"
    gap = f"{agreement.why} by {100 * abs(agreement.median - point.accuracy):.1f} points"
    if agreement.place == "settled":
        return f"{gap}: another rate, or another start of the author's one run"
    return f"{gap}: when a curve leaves a {agreement.place} depends on initial weights and batches"


def _when_reached(point: PublishedPoint, measured: Measurements, *, score: str) -> str:
    """When the measured curves reach a published accuracy that they do not have at the published iterations."""
    assert point.accuracy is not None  # callers pass points that have one
    reached = measured.first_reached(point.cell, point.accuracy, score=score)
    if reached is None:
        end = max((curve.end for curve in measured.longest(point.cell).values()), default=0)
        return f"half of the curves do not reach it by {end:,} iterations"
    late = "; the article adds iterations to trained weights, so perhaps its run was no fresh start"
    return f"the curves reach it by {reached:,.0f} iterations{late if reached > point.iterations else ''}"


def _loss(value: float) -> str:
    return "-" if value != value else f"{value:.4f}"


__all__ = ["PublishedPoints", "judge", "judge_loss"]
