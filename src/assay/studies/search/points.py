"""The points of a search, and the trials that they are."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import ValidationError

from assay.errors import EngineError, RecipeError
from assay.recipe.messages import sentences
from assay.recipe.model import Recipe
from assay.recipe.settings import Budget
from assay.studies.candidates import Candidate, Space
from assay.studies.designs import Configuration
from assay.studies.devices import AUTO
from assay.studies.plan import Planner, Trial
from assay.studies.search.constraints import Constraint, constraints_of
from assay.studies.search.halving import rungs_of, shortened
from assay.studies.search.jobs import Decision, Step
from assay.studies.search.space import SearchSpace, key_of
from assay.studies.settings import keys_at
from assay.studies.study import Study
from assay.training.log_points import shareable


@dataclass(frozen=True)
class Planned:
    """A point with its configuration and its trial."""

    candidate: Candidate
    trial: Trial
    examples: int


class Points:
    """Makes the trials of points, each once; says why a point is none.

    Raises: RecipeError where the device is "auto".
    """

    def __init__(self, study: Study, planner: Planner | None = None) -> None:
        assert study.settings.search is not None  # the study is a search
        if study.settings.device == AUTO:  # a decision names its trial, which another driver could not make elsewhere
            problem = "device: 'auto' chooses for a list of configurations, which a search does not have; name one"
            raise RecipeError([f"{problem}: 'cpu' or 'cuda'"], source=study.name)
        self.study, self.space = study, SearchSpace(study.axes)
        self.planner = planner or Planner(study.settings)
        self._candidates = Space(study.settings, study.baseline, study.axes)
        self._constraints = constraints_of(study.settings.search.constraints)
        halving, budget = study.settings.search.halving, Recipe.parse(study.baseline).budget
        self.rungs: tuple[Budget, ...] = rungs_of(halving, budget) if halving is not None else ()
        self.engine_of: dict[str, str] = {}  # of trials that were decided on another engine than this process chooses
        self._known: dict[tuple[tuple[str, str], ...], Planned | str] = {}

    def at(self, values: Configuration) -> Planned | str:
        """The trial of a point, or why the point has none: its recipe is not valid, or it breaks a constraint."""
        key = key_of(values)
        if key not in self._known:
            try:
                planned = self.planned(values)
                self._known[key] = self._broken(planned) or planned
            except ValidationError as error:
                self._known[key] = sentences(error.errors(), keys_at)[0]
            except RecipeError as error:
                self._known[key] = error.problems[0]
            except EngineError as error:
                self._known[key] = str(error)
        return self._known[key]

    def recipe(self, values: Configuration) -> Recipe | None:
        """The recipe of a point, or of a part of one; None where it is not valid."""
        try:
            return self._candidates.candidate(values).recipe
        except (ValidationError, RecipeError):
            return None

    def planned(self, values: Configuration, engine: str | None = None) -> Planned:
        """The trial of a point, on another engine if one is given.

        Raises: RecipeError, EngineError, ValidationError.
        """
        candidate = self._candidates.candidate(values)
        trial = self.planner.trial(candidate.recipe, engine or candidate.engine)
        return Planned(candidate, trial, self.planner.examples(trial.recipe))

    def of(self, decision: Decision, engine: str | None = None) -> Planned:
        """The trial of a decision, on another engine if one is given. Raises: RecipeError, EngineError."""
        return self.trained(self.planned(decision.values, engine), decision)

    def trained(self, planned: Planned, step: Step | Decision) -> Planned:
        """The trial of a point as a step trains it: with the seed of its repeat, and up to its rung."""
        recipe = planned.candidate.recipe
        if step.repeat:
            recipe = recipe.model_copy(update={"seed": recipe.seed + step.repeat})
        if step.rung is not None:
            recipe = shortened(recipe, self.rungs[step.rung], planned.examples)
        if recipe is planned.candidate.recipe:
            return planned
        candidate = replace(planned.candidate, recipe=recipe)
        engine = planned.candidate.engine if planned.trial.program else planned.trial.engine
        trial = replace(self.planner.trial(candidate.recipe, engine), engine_choice=planned.trial.engine_choice)
        return replace(planned, candidate=candidate, trial=trial)

    def _broken(self, planned: Planned) -> str:
        """Why a trial is none of the search: the constraint that it breaks, as far as it is known before its training.

        "" if it is one.
        """
        if self.rungs and planned.trial.program is not None:
            return "search.halving: an external program cannot go on from a checkpoint"
        if self.rungs and not shareable(planned.trial.recipe):
            return "search.halving: log points and stopping rules in seconds cannot be divided into rungs"
        for one in self._constraints:
            if not one.is_measured and not one.holds(value := self._quantity(one, planned.trial)):
                return f"{one}: the trial has {value:,.0f}"
        return ""

    def _quantity(self, one: Constraint, trial: Trial) -> float:
        if one.quantity == "flops":
            return float(trial.flops)
        data = self.planner.data(trial.recipe.data.name, trial.recipe.data.task)
        return float(trial.recipe.model.network(data.shape, len(data.classes)).parameters)

    @property
    def measures_seconds(self) -> bool:
        """Whether a constraint needs the seconds of each training."""
        return any(one.is_measured for one in self._constraints)

    def feasible(self, told_seconds: float | None) -> bool:
        """Whether a trial keeps the constraints that its training measures."""
        if told_seconds is None:
            return True
        return all(one.holds(told_seconds) for one in self._constraints if one.is_measured)
