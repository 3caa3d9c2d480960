"""A search for a loop of one's own: ask for a recipe, tell its score. Nothing is stored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.errors import AssayError, RecipeError
from assay.execution.stored import load_study
from assay.recipe.model import Recipe
from assay.studies.search.decisions import Course, goal_of, scheduler_of
from assay.studies.search.jobs import FRESH, RACE, Decision, Ended, Told
from assay.studies.search.objectives import Score
from assay.studies.search.points import Points
from assay.studies.search.prior import sampler_of
from assay.studies.search.races import Races
from assay.studies.search.samplers import method_of, package_problem
from assay.studies.study import Study
from assay.training.outcome import Outcome


@dataclass(frozen=True)
class Suggestion:
    """A configuration to train.

    Attributes:
        n: Its number, from 0.
        recipe: What to train.
        values: The value of each axis.
        label: How it is called.
        rung: With halving, the rung that the recipe's budget is of; None with the full budget.
        parent: The number of the suggestion that it goes on from, as the same training with a smaller budget; None of a
            new point.
    """

    n: int
    recipe: Recipe
    values: Mapping[str, Any]
    label: str
    rung: int | None = None
    parent: int | None = None


class Search:
    """Suggests recipes of a study whose design is "search", and takes their scores. Nothing is stored.

    Suggestion n depends on the scores of the suggestions 0 to n - parallel alone, so that the same scores give the same
    suggestions, in whatever order they are told.

    Args:
        study: A Study, its plain data, the path of a TOML file, or the name of a bundled or stored study.

    Attributes:
        method: The method; what "auto" stands for.
        ended: Why there is no further suggestion, a sentence; "" until then.

    Raises:
        RecipeError: The study is no search, or wrong, or a package of its method is missing.

    Examples:
        >>> rate = {"key": "optimizer.learning_rate", "low": 1e-4, "high": 1.0, "scale": "log"}
        >>> study = {"design": "search", "search": {"trials": 5, "method": "random"}, "axes": {"rate": rate}}
        >>> search = Search(study)
        >>> while (suggestion := search.ask()) is not None:
        ...     search.tell(suggestion, -abs(suggestion.values["rate"] - 0.01))
        >>> [suggestion.label for suggestion in search.best], search.ended
        (['rate 0.0106404'], '5 of 5 trials')
    """

    def __init__(self, study: Study | Mapping[str, Any] | str | Path) -> None:
        if isinstance(study, Mapping):
            study = Study.parse(study)
        elif not isinstance(study, Study):
            study = load_study(study)
        search = study.settings.search
        if search is None:
            raise RecipeError(["design: expected 'search'; only a search can be asked"], source=study.name)
        points, goal = Points(study), goal_of(study)
        self.method, _ = method_of(search, points.space)
        if problem := package_problem(self.method):
            raise RecipeError([problem], source=study.name)
        sampler = sampler_of(self.method, points, maximize=goal.maximize)
        self.ended = ""
        self._points, self._goal = points, goal
        races = None if search.seeds is None else Races(search.seeds, goal)
        self._course = Course(points, sampler, goal, goal.worst, scheduler=scheduler_of(points, goal), races=races)
        self._scores: dict[int, tuple[tuple[float, ...] | None, float, float]] = {}  # told before an earlier one

    def ask(self) -> Suggestion | None:
        """The next suggestion; None at the end of the budget or of the space.

        Raises: AssayError where as many suggestions as the search has `parallel` were not told yet.
        """
        course = self._course
        if not course.ready():
            waiting = ", ".join(str(decision.n) for decision in course.open if decision.n not in self._scores)
            raise AssayError(f"ask: parallel = {course.parallel}; tell the score of suggestion {waiting} first")
        self.ended = self.ended or course.ended()
        if self.ended:
            return None
        decision = course.next()
        if decision is None or isinstance(decision, Ended):
            self.ended = decision.sentence if decision is not None else ""
            return None
        course.take(decision)
        return self._suggestion(decision)

    def tell(
        self,
        suggestion: Suggestion | int,
        score: float | Sequence[float] | None,
        *,
        seconds: float | None = None,
        flops: float | None = None,
    ) -> None:
        """Takes the score of a suggestion.

        Args:
            suggestion: The suggestion, or its number.
            score: Its score, in the direction of the objective; two of them for two objectives; None, or a number that
                is not finite, if it has none.
            seconds: Of its training; required by a budget or a constraint in seconds.
            flops: Of its training; required by a budget in operations.

        Raises:
            AssayError: The suggestion is unknown or was told before, the number of scores is not that of objectives, or
                a cost that the search counts is missing or not a number of at least 0.
        """
        n = suggestion if isinstance(suggestion, int) else suggestion.n
        if not 0 <= n < len(self._course.decisions):
            raise AssayError(f"tell: suggestion {n} is unknown; {len(self._course.decisions)} were asked for")
        if n in self._scores or n < len(self._course.told):
            raise AssayError(f"tell: suggestion {n} was told before; a score is told once")
        costs = (self._cost("seconds", seconds), self._cost("flops", flops))
        self._scores[n] = (None if score is None else self._checked(score), *costs)
        while (place := len(self._course.told)) in self._scores:
            self._tell(place, *self._scores.pop(place))

    @property
    def best(self) -> list[Suggestion]:
        """The best suggestion that was told; the Pareto-optimal ones of two objectives; none without a score.

        Of a search with seeds, the winner of the race once this is over.
        """
        standing = self._course.standing
        if standing is not None and standing.over and standing.winner is not None:
            return [self._suggestion(self._course.decisions[standing.racers[standing.winner]])]
        return [self._suggestion(decision) for decision, _ in self._course.best()]

    def _checked(self, score: float | Sequence[float]) -> tuple[float, ...] | None:
        """The scores, one for each objective; None where one is not finite."""
        names = self._goal.names
        try:
            scores = tuple(float(one) for one in np.atleast_1d(np.asarray(score, dtype=np.float64)))
        except (TypeError, ValueError):
            raise AssayError(f"tell: got {score!r}; expected a number for each objective: {', '.join(names)}") from None
        if len(scores) != len(names):
            raise AssayError(f"tell: got {len(scores)} scores; expected {len(names)}: {', '.join(names)}")
        return scores if all(map(math.isfinite, scores)) else None

    def _cost(self, name: str, value: float | None) -> float:
        """The cost of a training; 0 where the search does not count it."""
        search = self._points.study.settings.search
        assert search is not None  # it was checked
        if value is None:
            is_counted = getattr(search, name) is not None
            if is_counted or (name == "seconds" and self._points.measures_seconds):
                raise AssayError(f"tell: {name} is missing; the search has a limit on it: tell(..., {name}=...)")
            return 0.0
        if not (math.isfinite(value) and value >= 0):
            raise AssayError(f"tell: {name}: got {value!r}; expected a number of at least 0")
        return float(value)

    def _tell(self, n: int, scores: tuple[float, ...] | None, seconds: float, flops: float) -> None:
        course = self._course
        feasible = self._points.feasible(seconds)
        values = course.score_of(Score(scores), feasible=feasible)
        without = Outcome.DIVERGED if course.decisions[n].kind in (RACE, FRESH) else Outcome.FAILED
        outcome = str(Outcome.COMPLETED if scores is not None else without)  # no score in a race: worse than any
        course.told.append(Told(n, values, scores, outcome, feasible=feasible, seconds=seconds, flops=flops))

    def _suggestion(self, decision: Decision) -> Suggestion:
        recipe = self._points.of(decision).candidate.recipe
        values = dict(decision.values)
        return Suggestion(decision.n, recipe, values, decision.label, decision.rung, decision.parent)
