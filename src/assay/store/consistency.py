"""Whether the columns of a stored trial say the same: its keys, its recipe, its curve and the numbers of its end."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from assay.analysis.quantities import end_columns
from assay.recipe.model import Recipe
from assay.recipe.upgrades import upgraded
from assay.store.curves import points_of
from assay.studies.keys import trajectory_key_of, trial_key_of
from assay.training.history import Point

_STARTED = "started from "
"""How the note begins that a trial from a file of weights has: its key holds the file's digest, which is not stored."""


def contradictions(
    planned: Mapping[str, Any], ended: Mapping[str, Any] | None, last: Point | None = None
) -> Iterator[str]:
    """A sentence for each column of a trial that contradicts another one.

    Args:
        planned: The row of the trial, whose cells have been checked one by one.
        ended: The row of its result; None if it has none.
        last: The last point of its curve; None reads the curve.

    What is consistent can still be forged: a store proves nothing about who wrote it.
    """
    recipe, is_current = _recipe(planned["recipe"])
    described = {
        "data": recipe.data.name,
        "optimizer": recipe.optimizer.entry,
        "learning_rate": recipe.optimizer.learning_rate,
        "batches": recipe.batches.kind,
        "batch_size": recipe.batches.settings().get("size"),
        "seed": recipe.seed,
    }
    for name, value in described.items():
        if planned[name] is not None and planned[name] != value:
            yield f"its column {name} is {planned[name]!r}, its recipe says {value!r}"
    if not str(planned["model"] or "").isprintable():
        yield "the name of its model has characters that cannot be printed"
    if is_current and not _has_key(planned, recipe, ended):
        yield "its key is not that of its recipe"
    if ended is not None:
        yield from _of_the_end(planned, ended, last)


_SEED = re.compile(r'"seed":(0|[1-9]\d{0,8})(?=[,}])')
_PLACEHOLDER = 999_999_999  # no default of any seed


def _recipe(text: str) -> tuple[Recipe, bool]:
    """A stored recipe, and whether this version would store it alike. Recipes that differ in the seed are read once."""
    seeds = _SEED.findall(text)
    if len(seeds) == 1:
        recipe, is_current = _read(_SEED.sub(f'"seed":{_PLACEHOLDER}', text))
        if recipe.seed == _PLACEHOLDER:  # else it is the seed of something else
            return recipe.model_copy(update={"seed": int(seeds[0])}), is_current
    return _read(text)


@lru_cache(maxsize=1024)
def _read(text: str) -> tuple[Recipe, bool]:
    raw: dict[str, Any] = json.loads(text)
    return Recipe.stored(raw), upgraded(raw) == raw


def _has_key(planned: Mapping[str, Any], recipe: Recipe, ended: Mapping[str, Any] | None) -> bool:
    """Whether the key follows from the recipe and the columns; as far as these hold all that it is made from."""
    if planned["key"] != trial_key_of(planned["trajectory"], recipe, iterations=planned["budget"]):
        return False
    if planned["engine"].startswith("command:") or ":" in recipe.optimizer.entry:
        return True  # it holds a hash of the program's files or of the class's source, which are not stored
    started = ended is not None and any(note.startswith(_STARTED) for note in json.loads(ended["warnings"]))
    return started or planned["trajectory"] == trajectory_key_of(recipe, planned)


def _of_the_end(planned: Mapping[str, Any], ended: Mapping[str, Any], last: Point | None) -> Iterator[str]:
    if last is None:
        points = points_of(ended["curve"])
        if not points:
            return
        last = points[-1]
    for name, value in end_columns(last).items():
        if name in ended and not _equal(ended[name], value):
            yield f"its column {name} is {ended[name]!r}, the last point of its curve has {value!r}"
    iterations = ended["iterations"]
    if iterations is not None and not last.iteration <= iterations <= (planned["budget"] or iterations):
        yield f"its column iterations is {iterations:,}, its curve ends at {last.iteration:,}"


def _equal(stored: Any, value: float | None) -> bool:
    if stored is None or value is None:
        return stored is None and value is None
    return bool(stored == value) or (math.isnan(stored) and math.isnan(value))


__all__ = ["contradictions"]
