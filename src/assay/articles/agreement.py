"""When a published point holds against measured runs: the rule, stated before anything is run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean, median, stdev

from scipy import special

from assay.articles.published import PublishedPoint

TOLERANCE = 0.01  # of an accuracy, where the curve is settled or the article says "about"
LOSS_TOLERANCE = 0.1  # of a loss, relatively
_PLATEAU = 0.5  # an accuracy below which a curve that stands still is on a plateau, not at its end
_LAST_DIGIT = 5e-5  # half of the last digit of a published accuracy

RULE = (
    "A point holds if the median over the seeds is within 1.0 point of it where the curve is settled (in most runs the "
    "test accuracy moved by less than 0.5 points over the last tenth of the log points), and if it lies inside the "
    "95 % prediction interval for one new run (t interval over the seeds) where the curve is on a cliff (not settled) "
    "or on a plateau (settled below 50 %). Where the article says 'about', the interval is 1.0 point wider on each "
    "side; where it says 'above' or 'below', the median must be, or on a plateau or cliff the interval must reach "
    "there. A loss holds inside the prediction interval or within 10 % of the median. One run alone shows no spread: "
    "off a settled curve it cannot tell. Each published figure is one run of its author."
)


@dataclass(frozen=True)
class Run:
    """What one measured run gave at a published point."""

    accuracy: float
    settled: bool
    loss: float | None = None
    seconds: float = math.nan


@dataclass(frozen=True)
class Judgement:
    """Whether a published figure holds: None where the runs cannot tell. Accuracies and losses as measured."""

    holds: bool | None
    place: str
    median: float
    least: float
    greatest: float
    n: int
    interval: tuple[float, float]
    why: str = ""


def judge(point: PublishedPoint, runs: Sequence[Run]) -> Judgement:
    """The verdict on a point's accuracy from the runs that have one.

    >>> runs = [Run(0.961, settled=True), Run(0.964, settled=True), Run(0.963, settled=True)]
    >>> judge(PublishedPoint("2LR", "adam", "batch", 500, accuracy=0.9660), runs).holds
    True
    """
    assert point.accuracy is not None  # the caller asks for what was published
    values = [run.accuracy for run in runs]
    if not values:
        return Judgement(None, "", math.nan, math.nan, math.nan, 0, (math.nan, math.nan), "not measured")
    place = _place(runs)
    slack = TOLERANCE if point.word == "about" else _LAST_DIGIT
    return _judged(point.accuracy, point.word, values, place, near=TOLERANCE, slack=slack)


def judge_loss(point: PublishedPoint, runs: Sequence[Run]) -> Judgement:
    """The verdict on a point's training loss."""
    assert point.loss is not None  # the caller asks for what was published
    values = [run.loss for run in runs if run.loss is not None]
    if not values:
        return Judgement(None, "", math.nan, math.nan, math.nan, 0, (math.nan, math.nan), "not measured")
    near = LOSS_TOLERANCE * median(values)
    verdict = _judged(point.loss, "", values, _place(runs), near=near, slack=0.0)
    if not verdict.holds and abs(median(values) - point.loss) <= near:
        return _with(verdict, holds=True, why="")
    return verdict


def prediction_interval(values: Sequence[float], *, alpha: float = 0.05) -> tuple[float, float]:
    """Where one new run falls with confidence 1 - alpha: mean -+ t(1 - alpha / 2, n - 1) s sqrt(1 + 1 / n).

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


def _judged(
    published: float, word: str, values: Sequence[float], place: str, *, near: float, slack: float
) -> Judgement:
    middle, n = median(values), len(values)
    low, high = prediction_interval(values)
    sound = Judgement(True, place, middle, min(values), max(values), n, (low, high))
    if word in ("above", "below"):
        sign = 1 if word == "above" else -1
        reach = high if word == "above" else low
        if sign * (middle - published) > 0 or (place != "settled" and sign * (reach - published) > 0):
            return sound
        if place != "settled" and n < 2:
            return _with(sound, holds=None, why="one run shows no spread, and the curve is not settled")
        return _with(sound, holds=False, why=f"the median is not {word} it")
    if place == "settled":
        return (
            sound if abs(middle - published) <= near + 1e-9 else _with(sound, holds=False, why=_side(middle, published))
        )
    if n < 2:
        if abs(middle - published) <= slack:
            return sound
        return _with(sound, holds=None, why=f"one run shows no spread, and the curve is on a {place}")
    inside = low - slack <= published <= high + slack
    return sound if inside else _with(sound, holds=False, why=_side(middle, published))


def _side(middle: float, published: float) -> str:
    return f"the median is {'above' if middle > published else 'below'} it"


def _with(judgement: Judgement, *, holds: bool | None, why: str) -> Judgement:
    return replace(judgement, holds=holds, why=why)


__all__ = ["RULE", "Judgement", "Run", "judge", "judge_loss", "prediction_interval"]
