"""Groups of recipes that one engine call can train together."""

from __future__ import annotations

import json
from collections.abc import Sequence

from assay.parts.foreign import ForeignOptimizer
from assay.parts.user_optimizers import code_hash
from assay.recipe.model import Recipe, jsonable


def cohorts(recipes: Sequence[Recipe]) -> list[list[Recipe]]:
    """Groups of recipes that differ only in traced numbers, so that one program can train them together.

    Traced are the seed, every number of the optimizer and of the regularisation, the clipping norm, and the schedule.
    """
    groups: dict[str, list[Recipe]] = {}
    for recipe in recipes:
        groups.setdefault(static_form(recipe), []).append(recipe)
    return list(groups.values())


def static_optimizer(recipe: Recipe) -> str:
    """What the recipes of one cohort have in common of their optimizers: all but numbers; a library's arguments too."""
    optimizer = recipe.optimizer
    arguments = sorted(optimizer.arguments().items()) if isinstance(optimizer, ForeignOptimizer) else ""
    return f"{optimizer.entry}{code_hash(optimizer)}{arguments}"


def static_form(recipe: Recipe) -> str:
    """Everything that the recipes of one cohort have in common, as text."""
    form = recipe.plain() | {"model": jsonable(recipe.model.canonical())}
    form |= {
        "stop": recipe.stop.canonical(),
        "seed": 0,
        "schedule": None,
        "optimizer": static_optimizer(recipe),
    }
    form["clip_norm"] = recipe.clip_norm is not None
    if not recipe.clips_and_penalises or recipe.clip_of == "objective":
        form.pop("clip_of", None)
    form["regularisation"] = recipe.regularisation.biases
    return json.dumps(form, sort_keys=True)
