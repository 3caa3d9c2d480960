"""What must hold before a training begins: the recipe fits the data and the memory, and a start fits the recipe."""

from __future__ import annotations

from collections.abc import Sequence

import psutil

from assay.engines.base import Cohort, Engine
from assay.engines.program import Program
from assay.errors import AssayError, RecipeError
from assay.recipe.model import Recipe
from assay.recipe.notes import refusals
from assay.training.history import History


def recipe_problems(cohort: Cohort, examples: int, engine: Engine | Program) -> list[str]:
    """Why a cohort's recipes are not trained, one sentence each: a loss that cannot train the output, or what does not
    fit N training examples or the memory of the machine."""
    recipe = cohort.first
    subset = recipe.log.train_loss
    size = recipe.batches.settings().get("size", 1)
    expected = f"expected at most {examples}, the number of training examples"
    problems = refusals(recipe)
    if size > examples:
        problems.append(f"batches.size: got {size}; {expected}")
    if isinstance(subset, int) and subset > examples:
        problems.append(f"log.train_loss: got {subset}; {expected}")
    needed, free = engine.memory(cohort, examples), psutil.virtual_memory().available
    if needed > free:
        trials = f"{len(cohort.recipes):,} trials of " if len(cohort.recipes) > 1 else ""
        problems.append(
            f"model: {trials}{cohort.network.parameters:,} weights need about {needed / 2**30:,.1f} GiB of "
            f"memory to train; expected at most the {free / 2**30:,.1f} GiB that are free"
        )
    return problems


def check_start(recipes: Sequence[Recipe], start: Sequence[History], *, data_checksum: str, budget: int) -> None:
    """Checks that each recipe can resume from its history; `budget` in iterations. Raises: RecipeError, AssayError."""
    for recipe, history in zip(recipes, start, strict=False):
        changed = _changed_fields(recipe, history.recipe)
        if changed:
            raise RecipeError(
                [f"{name}: differs from the training to resume; only budget, log and stop may" for name in changed]
            )
        if history.data_checksum != data_checksum:
            raise AssayError("the training to resume was on other data")
        checkpoint = history.checkpoint
        if not checkpoint.weights or (checkpoint.t and type(recipe.optimizer).slots and not checkpoint.slots):
            missing = "optimizer state" if checkpoint.weights else "weights"
            raise AssayError(f"the training to resume, by {history.engine}, kept no {missing}; retrain it")
        if checkpoint.t > budget:
            raise AssayError(f"the training to resume is at iteration {checkpoint.t}; the budget is {budget}")


def _changed_fields(new: Recipe, old: Recipe) -> list[str]:
    """The fields other than budget, log and stop in which two recipes differ."""
    a, b = new.canonical(), old.canonical()
    may_change = ("budget", "log", "stop")
    return sorted(key for key in a.keys() | b.keys() if key not in may_change and a.get(key) != b.get(key))
