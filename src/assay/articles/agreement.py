"""Whether a published figure agrees with measured runs: the rule, fixed before anything is run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean, median, stdev

from scipy import special

from assay.articles.published import PublishedPoint

TOLERANCE = 0.01  # of an accuracy, where the curve is settled or the article says "about"
LOSS_TOLERANCE = 0.1  # of a loss, relatively
NEAR_CHANCE = 0.15  # a published accuracy of ten classes below which agreement says nothing
_PLATEAU = 0.5  # an accuracy below which a curve that no longer moves is on a plateau, not at its end
_LAST_DIGIT = 5e-5  # half of the last digit of a published accuracy

RULE = (
    "A point holds if the median over the seeds is within 1.0 point of it where the curve is settled (in most runs the "
    "test accuracy moved by less than 0.5 points over the last tenth of the log points), and if it lies inside the "
    "95 % prediction interval for one new run (t interval over the seeds) where the curve is on a cliff (not settled) "
    "or on a plateau (settled below 50 %). Where the article says 'about', the interval is 1.0 point wider on each "
    "side; where it says 'above' or 'below', the median must be, or on a plateau or cliff the interval must reach "
    "there. A loss holds inside the prediction interval or within 10 % of the median. One run alone shows no spread: "
    "off a settled curve it cannot tell. Each published figure is one run of its author. Points whose published "
    "accuracy is below 15 %, near chance (10 %), are marked and counted apart: nearly every untrained network agrees "
    "with them."
)


@dataclass(frozen=True)
class Run:
    """The result of one measured run at a published point."""

    accuracy: float
    settled: bool
    loss: float | None = None
    seconds: float = math.nan


@dataclass(frozen=True)
class Judgement:
    """Whether a published figure holds, and why; `holds` is None where the runs cannot tell."""

    holds: bool | None
    place: str
    median: float
    least: float
    greatest: float
    n: int
    interval: tuple[float, float]
    why: str = ""
    near_chance: bool = False


_NOT_MEASURED = Judgement(None, "", math.nan, math.nan, math.nan, 0, (math.nan, math.nan), "not measured")


def judge(point: PublishedPoint, runs: Sequence[Run]) -> Judgement:
    """The verdict on the accuracy of a published point, from measured runs.

    >>> runs = [Run(0.961, settled=True), Run(0.964, settled=True), Run(0.963, settled=True)]
    >>> judge(PublishedPoint("2LR", "adam", "batch", 500, accuracy=0.9660), runs).holds
    True
    """
    assert point.accuracy is not None  # callers pass points that have one
    values = [run.accuracy for run in runs]
    if not values:
        return _NOT_MEASURED
    place = _place(runs)
    slack = TOLERANCE if point.word == "about" else _LAST_DIGIT
    judgement = _judge(point.accuracy, point.word, values, place, tolerance=TOLERANCE, slack=slack)
    return replace(judgement, near_chance=is_near_chance(point))


def is_near_chance(point: PublishedPoint) -> bool:
    """Whether a published point is one of a network that has learned next to nothing."""
    return point.accuracy is not None and point.accuracy < NEAR_CHANCE


def judge_loss(point: PublishedPoint, runs: Sequence[Run]) -> Judgement:
    """The verdict on the training loss of a published point, from measured runs."""
    assert point.loss is not None  # callers pass points that have one
    values = [run.loss for run in runs if run.loss is not None]
    if not values:
        return _NOT_MEASURED
    tolerance = LOSS_TOLERANCE * median(values)
    judgement = _judge(point.loss, "", values, _place(runs), tolerance=tolerance, slack=0.0)
    if not judgement.holds and abs(median(values) - point.loss) <= tolerance:
        judgement = replace(judgement, holds=True, why="")
    return replace(judgement, near_chance=is_near_chance(point))


def prediction_interval(values: Sequence[float], *, alpha: float = 0.05) -> tuple[float, float]:
    """The prediction interval for one new run: mean -+ t(1 - alpha / 2, n - 1) s sqrt(1 + 1 / n).

    NaN for one value.

    >>> [round(x, 3) for x in prediction_interval([0.1, 0.2, 0.3])]
    [-0.297, 0.697]

    Source: Hahn, Meeker, "Statistical intervals" (1991), section 4.7.
    """
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    half = -float(special.stdtrit(n - 1, alpha / 2)) * stdev(values) * math.sqrt(1 + 1 / n)
    return mean(values) - half, mean(values) + half


def _place(runs: Sequence[Run]) -> str:
    """Where on its curve the point lies: settled, plateau or cliff."""
    if 2 * sum(run.settled for run in runs) <= len(runs):
        return "cliff"
    return "plateau" if median(run.accuracy for run in runs) < _PLATEAU else "settled"


def _judge(
    published: float, word: str, values: Sequence[float], place: str, *, tolerance: float, slack: float
) -> Judgement:
    """The verdict by the rule; `slack` widens the prediction interval on each side."""
    middle, n = median(values), len(values)
    low, high = prediction_interval(values)
    holds = Judgement(True, place, middle, min(values), max(values), n, (low, high))
    if word in ("above", "below"):
        return _judge_bound(published, word, holds)
    if place == "settled":
        close = abs(middle - published) <= tolerance + 1e-9
        return holds if close else replace(holds, holds=False, why=_side(middle, published))
    if n < 2:
        if abs(middle - published) <= slack:
            return holds
        return replace(holds, holds=None, why=f"one run shows no spread, and the curve is on a {place}")
    inside = low - slack <= published <= high + slack
    return holds if inside else replace(holds, holds=False, why=_side(middle, published))


def _judge_bound(published: float, word: str, holds: Judgement) -> Judgement:
    """The verdict on a figure that is published as a bound."""
    sign = 1 if word == "above" else -1
    reach = holds.interval[1] if word == "above" else holds.interval[0]
    settled = holds.place == "settled"
    if sign * (holds.median - published) > 0 or (not settled and sign * (reach - published) > 0):
        return holds
    if not settled and holds.n < 2:
        return replace(holds, holds=None, why="one run shows no spread, and the curve is not settled")
    return replace(holds, holds=False, why=f"the median is not {word} it")


def _side(middle: float, published: float) -> str:
    return f"the median is {'above' if middle > published else 'below'} it"


__all__ = ["RULE", "Judgement", "Run", "is_near_chance", "judge", "judge_loss", "prediction_interval"]
