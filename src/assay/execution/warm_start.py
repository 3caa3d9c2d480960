"""The trials of a store that lie in the space of a search, for its sampler to see before the first suggestion."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from assay.errors import AssayError
from assay.recipe.model import Recipe
from assay.store.rows import recipe_of
from assay.store.schema import result, trial
from assay.store.searches import Searches, Shown
from assay.store.store import Store
from assay.studies.designs import Configuration
from assay.studies.search.objectives import Goal, score
from assay.studies.search.points import Planned, Points
from assay.studies.search.space import SearchSpace
from assay.studies.space import Axis, Value, applied
from assay.studies.study import Study
from assay.training.outcome import RANKED

MOST = 1_000
"""How many trials a sampler is shown at most: those whose result was stored last."""
_COMBINATIONS = 256  # of values that a stored recipe may stand for


def shown(study: Study, points: Points, goal: Goal, store: Store) -> tuple[Shown, ...]:
    """The points of the space whose trial is stored with scores, each with these, by the key of the trial.

    A stored trial counts if the point makes exactly its key: the same recipe with the same seed, data, engine and
    timing.
    """
    matching = dict(_matching(study, points, store))
    measured = Searches(store.database).measured(matching)
    pairs: list[Shown] = []
    for key in sorted(matching):
        scores = score(goal, measured[key][0]).values if key in measured else None
        if scores is not None and points.feasible(measured[key][0].seconds):
            pairs.append((dict(matching[key]), scores))
    return tuple(pairs)


def _matching(study: Study, points: Points, store: Store) -> Iterator[tuple[str, Configuration]]:
    """The keys of the stored trials that lie in the space, with their points."""
    settings = study.settings
    query = (
        sa.select(trial.c.key, trial.c.recipe)
        .join(result, result.c.trial == trial.c.key)
        .where(result.c.outcome.in_([str(outcome) for outcome in RANKED]), ~result.c.stale)
        .where(trial.c.timing == settings.timing, trial.c.seed == Recipe.parse(study.baseline).seed)
        .order_by(result.c.finished.desc(), trial.c.key)
    )
    with store.database.read() as connection:
        rows = connection.execute(query).all()
    found = 0
    values_of = _Values(study.baseline, points.space)
    for row in rows:
        if found >= MOST:
            return
        for values in values_of.points(recipe_of({"trial": row.key, "recipe": row.recipe})):
            planned = points.at(values)
            if isinstance(planned, Planned) and planned.trial.key == row.key:
                found += 1
                yield row.key, values
                break


class _Values:
    """The points that a stored recipe may be."""

    def __init__(self, baseline: Mapping[str, Any], space: SearchSpace) -> None:
        self._space = space
        self._settings: dict[str, dict[Value, dict[str, Any]]] = {}  # axis -> value -> what a recipe has with it
        for axis in space.axes:
            if not axis.is_range:
                self._settings[axis.name] = {value: _alone(baseline, axis, value) for value in axis.patches}

    def points(self, recipe: Mapping[str, Any]) -> Iterator[Configuration]:
        """Points whose values agree with the plain data of a recipe; the key of the trial has the last word."""
        options = {axis.name: self._options(axis, recipe) for axis in self._space.axes}
        always = [name for name, values in options.items() if not values and not self._space.by_name[name].when]
        if always:
            return
        names = [name for name, values in options.items() if values]
        product = itertools.product(*(options[name] for name in names))
        seen: set[tuple[tuple[str, str], ...]] = set()
        for combination in itertools.islice(product, _COMBINATIONS):
            values = dict(zip(names, combination, strict=True))
            with suppress(KeyError):  # an axis that the point has and the recipe has no value of
                point = self._space.point(lambda axis, values=values: values[axis.name])
                key = tuple((name, repr(value)) for name, value in point.items())
                if key not in seen:
                    seen.add(key)
                    yield point

    def _options(self, axis: Axis, recipe: Mapping[str, Any]) -> Sequence[Value]:
        if not axis.is_range:
            return [value for value, settings in self._settings[axis.name].items() if _agree(settings, recipe)]
        value = _at(recipe, axis.key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not axis.low <= value <= axis.high:
            return []
        return [int(value)] if axis.whole and float(value).is_integer() else [] if axis.whole else [value]


def _alone(baseline: Mapping[str, Any], axis: Axis, value: Value) -> dict[str, Any]:
    """What the recipe of the baseline with one value has at the keys that the axis sets: names of components alone."""
    try:
        table, _ = applied(baseline, [axis.patch(value)])
        table.pop("engine", None)
        plain = Recipe.parse(table).plain()
    except AssayError:
        return {}  # valid only with other axes: the key decides
    patch = axis.patch(value)
    return {key: _name(_at(plain, key)) for key in _leaves(patch) if key != "engine"}


def _leaves(patch: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key, value in patch.items():
        if isinstance(value, Mapping) and value and not path and not {"name", "kind"} & set(value):
            yield from _leaves(value, f"{key}.")  # pyright: ignore[reportUnknownArgumentType]
        else:
            yield path + key


def _agree(settings: Mapping[str, Any], recipe: Mapping[str, Any]) -> bool:
    """Whether a recipe has these settings; one that it lacks does not count."""
    pairs = ((value, _name(_at(recipe, key))) for key, value in settings.items())
    return all(value is None or other is None or value == other for value, other in pairs)


def _at(table: Any, key: str) -> Any:
    """The value at a dotted key of plain data; None where there is none."""
    for part in key.split("."):
        if not isinstance(table, Mapping) or part not in table:
            return None
        table = table[part]  # pyright: ignore[reportUnknownVariableType]
    return table  # pyright: ignore[reportUnknownVariableType]


def _name(value: Any) -> Any:
    """The name of a component; any other value as it is."""
    if isinstance(value, Mapping):
        return value.get("name", value.get("kind", value))  # pyright: ignore[reportUnknownVariableType]
    return value
