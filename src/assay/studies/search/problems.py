"""The errors of the definition of a search, all of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from assay.data.targets import REGRESSION
from assay.errors import RecipeError
from assay.parts.durations import duration
from assay.parts.losses import REGRESSION_LOSSES
from assay.recipe.messages import sentences
from assay.recipe.model import Recipe
from assay.studies.candidates import Space
from assay.studies.designs import Configuration
from assay.studies.search.constraints import constraints_of
from assay.studies.search.halving import length_of, most_brackets, rungs_of
from assay.studies.search.objectives import IN_A_REGRESSION
from assay.studies.search.settings import ONE_WINNER, Halving, SearchSettings
from assay.studies.search.space import SearchSpace, condition_problems
from assay.studies.settings import Settings, keys_at
from assay.studies.space import Axis, Value
from assay.training.log_points import shareable

_TRIED = 100  # random points that complete a value, or that are tried for a valid one


def search_problems(settings: Settings, baseline: Mapping[str, Any], axes: Sequence[Axis]) -> list[str]:
    """The errors of a study whose design is "search", and of one that is no search but has its settings."""
    if settings.design != "search":
        return ["search: only design 'search' has it; write design = 'search'"] if settings.search else []
    if settings.search is None:
        return [
            "search: is missing; design 'search' needs a method and a budget: write [search], and below it trials = 50"
        ]
    problems = [*condition_problems(axes), *_of_settings(settings, baseline, axes), *_of_keys(axes)]
    return [*problems, *_of_halving(settings, baseline, axes)]


_SEEDS = (
    "a search trains each of its configurations on one seed; seeds = { screen = 1, race = 8 } under [search] races the "
    "best ones on paired seeds"
)
_GIVEN = "search.seeds says how many seeds there are; leave repeats out"


def unparsed_problems(options: Mapping[str, Any]) -> Iterator[str]:
    """The errors between settings of which one has an error of its own, so that nothing compares them otherwise."""
    search = options.get("search")
    if not isinstance(search, Mapping) or search.get("seeds") is None:  # pyright: ignore[reportUnknownMemberType]
        return
    objective: Any = search.get("objective")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(objective, list | tuple) and len(objective) == 2:  # pyright: ignore[reportUnknownArgumentType]
        yield f"search: {ONE_WINNER}"
    repeats = options.get("repeats", 1)
    if isinstance(repeats, int) and repeats > 1:
        yield f"repeats: got {repeats}; {_GIVEN}"


def _of_settings(settings: Settings, baseline: Mapping[str, Any], axes: Sequence[Axis]) -> Iterator[str]:
    search = settings.search
    assert search is not None  # checked by the caller
    if settings.repeats > 1:
        yield f"repeats: got {settings.repeats}; {_SEEDS if search.seeds is None else _GIVEN}"
    yield from _of_task(search, baseline)
    limits = constraints_of(search.constraints)
    if settings.timing == "packed":
        timed = [name for name in search.objective if name in ("effort", "seconds")]
        timed += ["constraints"] if any(one.is_measured for one in limits) else []
        if timed:
            yield (
                f"timing: {timed[0]} needs seconds that compare, and 'packed' trials share the machine; "
                "use timing = 'isolated'"
            )
    budget = baseline.get("budget")
    in_seconds = isinstance(budget, Mapping) and "seconds" in budget
    if in_seconds and (search.flops is not None or any(one.quantity == "flops" for one in limits)):
        yield "flops: nothing counts the operations of trials whose budget is in seconds; use trials or seconds"
    if search.flops is not None or any(one.quantity == "flops" for one in limits):
        values = [baseline.get("model"), *(patch.get("model") for axis in axes for patch in axis.patches.values())]
        names = [value.get("name") if isinstance(value, Mapping) else value for value in values]  # pyright: ignore
        if own := [name for name in names if isinstance(name, str) and ":" in name]:
            yield f"flops: nothing counts the operations of {own[0]!r}, a user's module; use trials or seconds"


def _of_task(search: SearchSettings, baseline: Mapping[str, Any]) -> Iterator[str]:
    """The errors of objectives that the task of the baseline has not."""
    data = baseline.get("data")
    is_regression = isinstance(data, Mapping) and data.get("task") == REGRESSION  # pyright: ignore[reportUnknownMemberType]
    if not is_regression:
        if "r2" in search.objective:
            yield "search.objective: 'r2' is of a regression, and the baseline classifies; use 'accuracy' or 'loss'"
        return
    said = search.objective if "objective" in search.model_fields_set else ()
    for name in said:
        if name in ("accuracy", "effort"):
            what = "is of a classification" if name == "accuracy" else "is training seconds / accuracy"
            yield f"search.objective: {name!r} {what}, and a regression has no accuracy; {IN_A_REGRESSION}"
    if search.target is not None:
        yield f"search.target: is an accuracy, and a regression has none; {_as_loss(search.target, baseline)}"


def _as_loss(target: float, baseline: Mapping[str, Any]) -> str:
    """What to write in place of a target that may be meant as R2, for the loss of a regression.

    >>> _as_loss(0.9, {"loss": "quadratic"}).partition(" if ")[0]
    "write target_loss, on standardised targets: 0.05 of 'quadratic' is R2 = 0.9"
    """
    said = baseline.get("loss", "mse")
    loss = said if isinstance(said, str) and said in REGRESSION_LOSSES else "mse"
    r2 = target if target < 1 else 0.9
    level = f"{(1 - r2) / REGRESSION_LOSSES[loss]:.3g}"
    return (
        f"write target_loss, on standardised targets: {level} of {loss!r} is R2 = {r2:g} if the test targets vary as "
        "the trained ones"
    )


_MEASURED_ON = {"data", *(f"data.{key}" for key in ("name", "validation", "task", "split", "folds", "fold"))}
"""The keys that say on which examples scores are measured."""


def _of_keys(axes: Sequence[Axis]) -> Iterator[str]:
    """The errors of axes that set what the scores are measured on, or the seed."""
    for axis in axes:
        touched = axis.touches()
        if changed := sorted(touched & _MEASURED_ON):
            yield f"axes.{axis.name}: sets {changed[0]}, so that scores would be measured on different examples"
        if "seed" in touched:
            yield (
                f"axes.{axis.name}: sets the seed, and a search would select the luckiest one; "
                "the seed is written under [baseline]"
            )


def _of_halving(settings: Settings, baseline: Mapping[str, Any], axes: Sequence[Axis]) -> Iterator[str]:
    """The errors of a search that trains in rungs."""
    halving = settings.search.halving if settings.search else None
    if halving is None:
        return
    if settings.timing == "isolated":
        yield (
            "search.halving: trains in pieces with others in between, whose seconds do not compare with those of a "
            "training in one piece; use timing = 'packed'"
        )
    if not isinstance(settings.engine, str):
        yield "search.halving: an external program cannot go on from a checkpoint; use one of Assay's engines"
    for axis in axes:
        if changed := sorted(key for key in axis.touches() if key.partition(".")[0] == "budget"):
            yield f"axes.{axis.name}: sets {changed[0]}, and halving gives the points of a rung one budget"
    try:
        recipe = Recipe.parse(baseline)
    except (ValidationError, RecipeError):  # said elsewhere
        return
    yield from _of_rungs(halving, recipe)


def _of_rungs(halving: Halving, recipe: Recipe) -> Iterator[str]:
    """The errors of the first rung and of the number of brackets, for the baseline's budget."""
    budget, first = recipe.budget, duration(halving.first, ("iterations", "epochs"))
    if budget.seconds is not None:
        yield "search.halving: the budget is in seconds; rungs are in iterations or epochs, and so must the budget be"
        return
    unit = "epochs" if budget.epochs is not None else "iterations"
    full = f"{length_of(budget):,g} {unit}"
    if first.unit != unit:
        yield f"search.halving.first: got '{first}', the budget is {full}; give both in {unit}, or both in {first.unit}"
        return
    if first.number >= length_of(budget):
        yield f"search.halving.first: got '{first}'; expected less than the full budget, {full}"
        return
    if not shareable(recipe):
        yield "search.halving: log points and stopping rules in seconds cannot be divided into rungs"
    rungs = len(rungs_of(halving, budget))
    if most_brackets(halving, rungs) > rungs:
        yield (
            f"search.halving.brackets: got {halving.brackets}; there are {rungs} rungs, so at most {rungs} brackets; "
            "'all' takes as many"
        )


# --- points ----------------------------------------------------------------------------------------------------------


def point_problems(settings: Settings, baseline: Mapping[str, Any], axes: tuple[Axis, ...]) -> list[str]:
    """The errors of values that no point makes valid, and of a space without a valid point.

    The rest of the definition has no error.
    """
    if settings.design != "search" or not axes:
        return []
    points, space = SearchSpace(axes), Space(settings, baseline, axes)
    problems: list[str] = []
    for axis in axes:
        for value in _ends(axis):
            problems += _of_value(points, space, axis, value)
    if problems:
        return list(dict.fromkeys(problems))
    first: list[str] = []
    for number in range(_TRIED):
        errors = errors_of(space, points.draw(1, "search/check", number))
        if not errors:
            return []
        first = first or errors
    return [f"axes: none of {_TRIED} random points is valid; the first one: {first[0]}"]


def _ends(axis: Axis) -> list[Value]:
    """The values of a list, or the ends of a range."""
    if not axis.is_range:
        return list(axis.patches)
    return [int(end) if axis.whole else end for end in (axis.low, axis.high)]


def _of_value(points: SearchSpace, space: Space, axis: Axis, value: Value) -> list[str]:
    """The errors that a value has in every point that is tried: the others at the baseline, then at random."""
    alone = {axis.name: value}
    errors = errors_of(space, alone)
    if not errors:
        return []
    for number in range(_TRIED):
        point = points.draw(1, f"search/check {axis.name}", number)
        if axis.name in point and not errors_of(space, {**point, axis.name: value}):
            return []
    return [f"axes.{axis.name}: {error}" for error in errors]


def errors_of(space: Space, values: Configuration) -> list[str]:
    """The errors of the recipe of a point; none if it is valid."""
    try:
        space.candidate(values)
    except ValidationError as error:
        return sentences(error.errors(), keys_at)
    except RecipeError as error:
        return list(error.problems)
    return []
