"""What a search optimizes: the score of a trial that has ended, and what the sampler is told of one without a score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from assay.analysis.quantities import name_of
from assay.report.text import duration, percent
from assay.training.history import Point
from assay.training.outcome import CUT_SHORT, RANKED, Outcome


@dataclass(frozen=True)
class Objective:
    """A quantity to optimize.

    Attributes:
        about: What it is.
        maximize: Whether more of it is better.
        worst: What the sampler is told of a trial without a score, where no earlier trial has one.
        to_target: Whether it is a time to a target; a trial that misses it is censored.
    """

    about: str
    maximize: bool
    worst: float
    to_target: bool = False


OBJECTIVES: Mapping[str, Objective] = {
    "accuracy": Objective("accuracy at the end, a fraction", maximize=True, worst=0.0),
    "r2": Objective("R2 at the end, of a regression", maximize=True, worst=-1.0),
    "loss": Objective("loss at the end", maximize=False, worst=10.0),
    "effort": Objective("training seconds / accuracy", maximize=False, worst=3600.0),
    "seconds": Objective("training seconds to the target", maximize=False, worst=3600.0, to_target=True),
    "iterations": Objective("iterations to the target", maximize=False, worst=1e6, to_target=True),
}
"""The objectives of a search. On validation data where the baseline has any, else on the test set."""


DEFAULT = ("accuracy",)
"""The objective of a search that names none; of a regression it stands for R2."""


IN_A_REGRESSION = "use 'r2', which orders trials as RMSE does, or 'loss'"
"""What to write for a regression: 1 - R2 is the squared RMSE over a constant of the examples."""


def objectives_of(names: Sequence[str], *, is_regression: bool) -> tuple[str, ...]:
    """The objectives of a search, from those of its settings, with which a definition was checked already.

    >>> objectives_of(("accuracy",), is_regression=True), objectives_of(("loss",), is_regression=True)
    (('r2',), ('loss',))
    """
    return ("r2",) if is_regression and tuple(names) == DEFAULT else tuple(names)


@dataclass(frozen=True)
class Goal:
    """The objectives of one search: their names, the data set that decides, and the target of times.

    Attributes:
        names: The objectives, one or two.
        split: "validation" or "test".
        target: The accuracy that a time is to; None without one.
        target_loss: The loss that a time is to; None without one.
    """

    names: tuple[str, ...]
    split: str
    target: float | None = None
    target_loss: float | None = None

    @property
    def maximize(self) -> tuple[bool, ...]:
        """Whether more is better, for each objective."""
        return tuple(OBJECTIVES[name].maximize for name in self.names)

    @property
    def worst(self) -> tuple[float, ...]:
        """What is told of a trial without scores where no earlier one has any."""
        return tuple(OBJECTIVES[name].worst for name in self.names)

    @property
    def text(self) -> str:
        """The objectives in words.

        >>> Goal(("accuracy",), "test").text
        'accuracy (selected on test)'
        """
        level = "" if self.target is None else f" to {100 * self.target:g} %"
        level = f" to loss {self.target_loss:g}" if self.target_loss is not None else level
        names = [name + (level if OBJECTIVES[name].to_target else "") for name in self.names]
        return f"{' and '.join(names)} (selected on {self.split})"


@dataclass(frozen=True)
class EndedTrial:
    """What the store has of a trial that has ended.

    Attributes:
        outcome: How it ended.
        points: Its curve.
        seconds: Of training; None if it was not trained.
        flops: Of training; None if unknown.
    """

    outcome: Outcome
    points: Sequence[Point] = ()
    seconds: float | None = None
    flops: float | None = None


@dataclass(frozen=True)
class Score:
    """The scores of a trial.

    Attributes:
        values: One for each objective; None where the trial has none.
        bounds: For each objective, a value that the trial is at least as bad as: that of a censored time.
    """

    values: tuple[float, ...] | None
    bounds: tuple[float | None, ...] = ()


def score(goal: Goal, ended: EndedTrial) -> Score:
    """The scores of a trial by the goal of its search. A trial that did not get to its end has none."""
    if ended.outcome not in RANKED or not ended.points:
        return Score(None)
    pairs = [_one(goal, name, ended.points) for name in goal.names]
    values = [value for value, _ in pairs]
    known = [value for value in values if value is not None and math.isfinite(value)]
    return Score(tuple(known) if len(known) == len(values) else None, tuple(bound for _, bound in pairs))


def score_text(name: str, value: float) -> str:
    """A score by an objective in words.

    >>> score_text("accuracy", 0.9721), score_text("loss", 0.123456)
    ('97.21 %', '0.1235')
    """
    if name == "accuracy":
        return percent(value)
    return duration(value) if name == "seconds" else f"{value:,.4g}"


def counted_score(goal: Goal, ended: EndedTrial, *, chance: float) -> tuple[float, ...] | None:
    """What a seed of a race counts as, by the rule for the seeds of every study; None without a number.

    The score of a trial that got to its end. A trial that diverged or timed out counts its last accuracy, or chance
    (1 / classes) without one, and its last finite loss; it has no cost.
    """
    values = score(goal, ended).values
    if values is not None or ended.outcome not in CUT_SHORT:
        return values
    name = goal.names[0]
    if name not in ("accuracy", "r2", "loss"):
        return None
    column = name_of(goal.split, name)
    known = [value for point in ended.points if (value := getattr(point, column)) is not None and math.isfinite(value)]
    return (known[-1],) if known else None if name == "loss" else (chance,)


def floor(earlier: Iterable[Sequence[float] | None]) -> float:
    """What a regression of a race without a score counts as: the lower of an R2 of 0 and the worst score so far.

    >>> floor([(0.4,), None, (-2.5,)]), floor([(0.4,)]), floor([])
    (-2.5, 0.0, 0.0)
    """
    return min([0.0, *(scores[0] for scores in earlier if scores is not None)])


def _one(goal: Goal, name: str, points: Sequence[Point]) -> tuple[float | None, float | None]:
    """The score by one objective, and the bound of a censored one."""
    last = points[-1]
    if OBJECTIVES[name].to_target:
        reached, when = time_to(goal, points, "iteration" if name == "iterations" else "seconds")
        return (when, None) if reached else (None, when)
    accuracy: float | None = getattr(last, name_of(goal.split, "accuracy"))
    if name == "accuracy":
        return accuracy, None
    if name in ("loss", "r2"):
        return getattr(last, name_of(goal.split, name)), None
    return (last.seconds / accuracy if last.seconds is not None and accuracy else None), last.seconds


def time_to(goal: Goal, points: Sequence[Point], axis: str) -> tuple[bool, float | None]:
    """Whether a curve reaches the target, and when: interpolated between two points, as `assay target` does it.

    For a curve that does not reach it, the time is that of its last point.
    """
    is_loss = goal.target_loss is not None
    column = name_of(goal.split, "loss" if is_loss else "accuracy")
    level, sign = (goal.target_loss, -1.0) if is_loss else (goal.target, 1.0)
    assert level is not None  # the settings have one
    before: tuple[float, float] | None = None
    when: float | None = None
    for point in points:
        value, when = getattr(point, column), getattr(point, axis)
        if value is None or when is None or not math.isfinite(value):
            continue
        if sign * value >= sign * level:
            if before is None:
                return True, float(when)
            return True, before[0] + (level - before[1]) / (value - before[1]) * (when - before[0])
        before = (float(when), float(value))
    return False, None if before is None else before[0]


def told(
    goal: Goal,
    scored: Score,
    earlier: Sequence[Sequence[float]],
    worst: Sequence[float],
    *,
    feasible: bool = True,
) -> tuple[float, ...]:
    """What the sampler is told of a trial.

    Its scores if it has any. Otherwise the worst of what was told of the trials with lower numbers or, where there is
    none, the worst value that the search fixed when it was registered; a censored time at least. A trial that breaks a
    constraint is told nothing better than that.

    >>> told(Goal(("accuracy",), "test"), Score(None), [(0.9,), (0.4,)], (0.0,))
    (0.4,)
    """
    if scored.values is not None:
        if feasible:
            return scored.values
        substitute = told(goal, Score(None), earlier, worst)
        pairs = zip(scored.values, substitute, goal.maximize, strict=True)
        return tuple(min(own, other) if more else max(own, other) for own, other, more in pairs)
    values: list[float] = []
    for place, maximize in enumerate(goal.maximize):
        known = [scores[place] for scores in earlier]
        value = (min(known) if maximize else max(known)) if known else worst[place]
        bound = scored.bounds[place] if place < len(scored.bounds) else None
        if bound is not None:
            value = bound if not known else max(value, bound)
        values.append(float(value))
    return tuple(values)
