"""The settings of a search: its method, its budget, its objectives and its constraints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from assay.parts.durations import Length
from assay.parts.part import Accuracy, Count, Part, Positive, Unit, WholeNumber, Written, one_of
from assay.studies.search.constraints import constraint
from assay.studies.search.objectives import DEFAULT, IN_A_REGRESSION, OBJECTIVES
from assay.studies.search.seeds import SeedSettings
from assay.system.limits import CONFIGURATIONS

METHODS: Mapping[str, str] = {
    "auto": "chosen by the space and the budget; the choice is printed and stored",
    "random": "independent draws; needs no other package",
    "tpe": "tree-structured Parzen estimator, by Optuna",
    "gp": "Gaussian process with expected improvement, by Optuna and PyTorch",
    "cmaes": "covariance matrix adaptation, by Optuna and cmaes",
    "nsga2": "genetic algorithm for two objectives, by Optuna",
}
"""The methods of a search, each with what it is."""


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value  # pyright: ignore


def _objectives(value: object) -> object:
    names = _as_tuple(value)
    if isinstance(names, tuple) and "rmse" in names:
        raise ValueError(f"'rmse' is of a regression, and is no objective; for a regression {IN_A_REGRESSION}")
    return names


def _brackets(value: object) -> object:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 64):
        return value
    raise ValueError(f"got {value!r}; expected a whole number from 1 to 64, or 'all' for Hyperband")


_BRACKETS = Written(
    "whole number, or 'all'", {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 64}, {"const": "all"}]}
)
_NAME = one_of("objective", OBJECTIVES)
_WORDS = {"enum": list(OBJECTIVES)}
_Objectives = Annotated[
    tuple[_NAME, ...],  # pyright: ignore[reportInvalidTypeForm]
    BeforeValidator(_objectives),
    Written("a name, or a list of two", {"anyOf": [_WORDS, {"type": "array", "items": _WORDS, "maxItems": 2}]}),
]
_Constraints = Annotated[
    tuple[str, ...],
    BeforeValidator(_as_tuple),
    Written(
        "a text, or a list of texts",
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
    ),
]


ONE_WINNER = "seeds: a race has one winner, so that a search with seeds has one objective; got two"


class Halving(Part):
    """The keys of the table `halving` of a search: points are trained in rungs, and the best of each rung go on.

    Attributes:
        factor: Each rung trains this many times as long as the one before it, and 1 of so many jobs goes on.
        first: The budget of the first rung, in the unit of the recipe's budget: "1 epoch", or 100 for iterations.
        brackets: 1 for successive halving, n for n brackets of which each begins one rung later, "all" for Hyperband.
        asynchronous: Promote as soon as a job is among the best that have ended (ASHA), not when a rung is complete;
            by default where `parallel` is above 1.
    """

    factor: Annotated[WholeNumber, Field(ge=2, le=1000)] = 3
    first: Annotated[Length, Field(examples=["1 epoch"])]
    brackets: Annotated[int | str, BeforeValidator(_brackets), _BRACKETS] = 1
    asynchronous: Annotated[bool | None, Field(examples=[True])] = None


class SearchSettings(Part):
    """The keys of the table `[search]` of a study: how its configurations are found.

    Attributes:
        method: "random", "tpe", "gp", "cmaes", "nsga2", or "auto" for a choice by the space and the budget.
        trials: Maximum number of trials.
        seconds: Maximum number of seconds of training, summed over the trials in order; stored trials count as stored.
        flops: Maximum number of floating-point operations of training, summed in the same way.
        parallel: The number of trials that may be in training at once: trial n is decided from the results of the
            trials 0 to n - parallel alone, so that the list of trials does not depend on which one ends first.
        seed: The seed of the suggestions.
        objective: "accuracy" (of a regression "r2"), "loss", "effort", "seconds" or "iterations" (to the target), or a
            list of two of them.
        target: The accuracy that the objectives "seconds" and "iterations" are the time to.
        target_loss: The loss that they are the time to, in place of an accuracy.
        constraints: Conditions such as "parameters <= 50_000", on parameters, flops or seconds of training.
        warm_start: Show the sampler the trials of the store that lie in the space before its first suggestion.
        halving: Train every point to a first rung, and only the best of each rung further: `factor`, `first`,
            `brackets` and `asynchronous`. `trials` then counts points.
        prior: Draw half of the suggestions from near the baseline and the defaults; the first one is the baseline
            itself.
        seeds: Seeds inside the search: every suggestion is trained on the seeds for screening, the best are raced on
            paired seeds, and the winner is trained on fresh ones, as a table such as `{ screen = 1, race = 8 }`.
    """

    method: one_of("method", METHODS) = "auto"  # pyright: ignore[reportInvalidTypeForm]
    trials: Annotated[Count | None, Unit("trials"), Field(le=CONFIGURATIONS.most, examples=[50])] = None
    seconds: Annotated[Positive | None, Unit("s"), Field(examples=[600])] = None
    flops: Annotated[Positive | None, Unit("operations"), Field(examples=[1e12])] = None
    parallel: Annotated[Count, Unit("trials"), Field(le=1024)] = 1
    seed: WholeNumber = 1
    objective: _Objectives = DEFAULT
    target: Annotated[Accuracy | None, Field(examples=[0.97])] = None
    target_loss: Annotated[Positive | None, Field(examples=[0.1])] = None
    constraints: _Constraints = ()
    warm_start: bool = False
    halving: Annotated[Halving | None, Field(examples=[{"factor": 3, "first": "1 epoch"}])] = None
    prior: bool = False
    seeds: Annotated[SeedSettings | None, Field(examples=[{"screen": 1, "race": 8}])] = None

    @field_validator("constraints")
    @classmethod
    def _constraints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if problems := [problem for text in value if (problem := constraint(text)[1])]:
            raise PydanticCustomError("unknown_name", "{sentence}", {"sentence": "; ".join(problems)})
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> SearchSettings:
        problems = [*self._of_objectives(), *self._of_target(), *self._of_samplers(), *self._of_halving()]
        problems += self._of_seeds()
        if self.trials is None and self.seconds is None and self.flops is None:
            problems.append("trials: a search needs a budget; write trials = 50, or seconds or flops")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _of_objectives(self) -> list[str]:
        names = self.objective
        if not 1 <= len(names) <= 2 or len(set(names)) < len(names):
            return [f"objective: got {list(names)}; expected one objective, or two different ones"]
        if len(names) == 2 and self.method in ("cmaes",):
            return [f"method: {self.method!r} has one objective; for two, use 'nsga2', 'tpe', 'gp' or 'random'"]
        return []

    def _of_samplers(self) -> list[str]:
        """What a given method cannot do; `auto` chooses one that can."""
        problems: list[str] = []
        if self.method not in ("auto", *self.methods):
            able = " or ".join(self.methods)
            if self.prior:
                problems.append(f"prior: {self.method!r} draws from a distribution of its own; use method = {able}")
            uneven = [name for name in ("warm_start",) if self.warm_start] or ["halving.brackets"]
            if self.compares_budgets:
                problems.append(
                    f"{uneven[0]}: gives scores of different budgets, and {self.method!r} compares those of one "
                    f"budget; use method = {able}"
                )
        return problems

    def _of_seeds(self) -> list[str]:
        if self.seeds is None:
            return []
        return [ONE_WINNER] if len(self.objective) == 2 else []

    def _of_halving(self) -> list[str]:
        if self.halving is None:
            return []
        problems: list[str] = []
        if len(self.objective) > 1:
            problems.append("halving: promotes the best by one objective; got two, of which several points are best")
        if self.seeds is not None and self.seeds.screen > 1:
            problems.append(f"seeds.screen: got {self.seeds.screen}; halving promotes by one seed: write screen = 1")
        for name in self.objective:
            if OBJECTIVES[name].to_target:
                problems.append(
                    f"halving: compares points at equal budgets, and objective {name!r} is the time to a target, which "
                    "short trainings miss; use 'accuracy' or 'loss'"
                )
        return problems

    @property
    def compares_budgets(self) -> bool:
        """Whether the sampler sees points whose scores are of different budgets."""
        return self.halving is not None and (self.halving.brackets != 1 or self.warm_start)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that can do what the search asks for."""
        able = [name for name in METHODS if name != "auto"]
        if self.prior:
            able = [name for name in able if name in ("random", "tpe", "gp")]
        if self.compares_budgets:
            able = [name for name in able if name in ("random", "tpe")]
        return tuple(able)

    def _of_target(self) -> list[str]:
        timed = [name for name in self.objective if OBJECTIVES[name].to_target]
        if timed and self.target is None and self.target_loss is None:
            return [
                f"target: is missing; objective {timed[0]!r} is the time to a target: write target = 0.97, or "
                "target_loss = 0.1, as for a regression, which has no accuracy"
            ]
        if self.target is not None and self.target_loss is not None:
            return ["target: is given together with target_loss; leave one of them out"]
        if not timed and (self.target is not None or self.target_loss is not None):
            return ["target: only the objectives 'seconds' and 'iterations' have one"]
        return []

    @property
    def budget(self) -> dict[str, Any]:
        """The limits of the budget that are set: what may be raised later."""
        return {name: value for name in BUDGETS if (value := getattr(self, name)) is not None}


BUDGETS = ("trials", "seconds", "flops")
"""The limits of a search; each may be raised later. Any other change of the definition is another search."""
