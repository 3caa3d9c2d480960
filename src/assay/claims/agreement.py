"""Whether a published figure agrees with measured runs: the rule, fixed before anything is run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from assay.analysis.prediction import prediction_interval

TOLERANCE = 0.01  # of an accuracy, where the curve is settled or the article says "about"
LOSS_TOLERANCE = 0.1  # of a loss, relatively
NEAR_CHANCE = 0.15  # a published accuracy of ten classes below which agreement says nothing
_PLATEAU = 0.5  # an accuracy below which a curve that no longer moves is on a plateau, not at its end
_EQUAL_RUNS = 7  # from so many equal runs on, fewer than 5 % of new ones differ from all of them: p^n (1 - p) <= 0.05
_LAST_DIGIT = 5e-5  # half of the last digit of a published accuracy
WORDS = ("about", "above", "below")
"""How an article qualifies a figure; one without a word has all its digits."""

RULE = (
    "A point holds if the median over the seeds is within 1.0 point of it where the curve is settled (in most runs the "
    "test accuracy moved by less than 0.5 points over the last tenth of the log points), and if it lies inside the "
    "95 % prediction interval for one new run (t interval over the seeds) where the curve is on a cliff (not settled) "
    "or on a plateau (settled below 50 %). Where the article says 'about', the interval is 1.0 point wider on each "
    "side; where it says 'above' or 'below', the median must be, or on a plateau or cliff the interval must reach "
    "there. Where runs are equal, the interval is wider by half of the least difference between others. A loss holds "
    "inside the prediction interval or within 10 % of the median. One run alone, or fewer than 7 that are all equal, "
    "show no spread: off a settled curve they cannot tell. Each published figure is one run of its author. Points "
    "whose published accuracy is below 15 %, near chance (10 %), are marked and counted apart: nearly every untrained "
    "network agrees with them."
)


@dataclass(frozen=True)
class Run:
    """The result of one measured run at a published point."""

    accuracy: float
    settled: bool
    loss: float | None = None
    seconds: float = math.nan


@dataclass(frozen=True)
class Agreement:
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


_NOT_MEASURED = Agreement(None, "", math.nan, math.nan, math.nan, 0, (math.nan, math.nan), "not measured")


def of_score(published: float, word: str, runs: Sequence[Run], *, tolerance: float = TOLERANCE) -> Agreement:
    """The verdict on a published accuracy, from measured runs.

    >>> runs = [Run(0.961, settled=True), Run(0.964, settled=True), Run(0.963, settled=True)]
    >>> of_score(0.9660, "", runs).holds
    True
    """
    values = [run.accuracy for run in runs]
    if not values:
        return _NOT_MEASURED
    slack = tolerance if word == "about" else _LAST_DIGIT
    agreement = _judge(published, word, values, _place(runs), tolerance=tolerance, slack=slack)
    return replace(agreement, near_chance=published < NEAR_CHANCE)


def of_loss(published: float, word: str, runs: Sequence[Run]) -> Agreement:
    """The verdict on a published loss, from measured runs."""
    values = [run.loss for run in runs if run.loss is not None]
    if not values:
        return _NOT_MEASURED
    tolerance = LOSS_TOLERANCE * median(values)
    agreement = _judge(published, word, values, _place(runs), tolerance=tolerance, slack=0.0)
    if word not in ("above", "below") and not agreement.holds and abs(median(values) - published) <= tolerance:
        return replace(agreement, holds=True, why="")
    return agreement


def _place(runs: Sequence[Run]) -> str:
    """Where on its curve the point lies: settled, plateau or cliff."""
    if 2 * sum(run.settled for run in runs) <= len(runs):
        return "cliff"
    return "plateau" if median(run.accuracy for run in runs) < _PLATEAU else "settled"


def _judge(
    published: float, word: str, values: Sequence[float], place: str, *, tolerance: float, slack: float
) -> Agreement:
    """The verdict by the rule; `slack` widens the prediction interval on each side."""
    middle, n = median(values), len(values)
    low, high = prediction_interval(values)
    low, high = low - _half_step(values), high + _half_step(values)
    holds = Agreement(True, place, middle, min(values), max(values), n, (low, high))
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
    if not inside and n < _EQUAL_RUNS and len(set(values)) == 1:
        return replace(holds, holds=None, why=f"{n} equal runs show no spread, and the curve is on a {place}")
    return holds if inside else replace(holds, holds=False, why=_side(middle, published))


def _half_step(values: Sequence[float]) -> float:
    """Half of the step of the grid that values which repeat lie on; 0 for others."""
    different = sorted(set(values))
    if len(different) in (1, len(values)):
        return 0.0
    return min(b - a for a, b in itertools.pairwise(different)) / 2


def _judge_bound(published: float, word: str, holds: Agreement) -> Agreement:
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


__all__ = [
    "NEAR_CHANCE",
    "RULE",
    "TOLERANCE",
    "WORDS",
    "_NOT_MEASURED",
    "Agreement",
    "Run",
    "_place",
    "of_loss",
    "of_score",
]
