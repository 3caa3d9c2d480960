"""What must hold before a training begins: the recipe fits the data and the memory, and a start fits the recipe."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import psutil

from assay.engines.base import Checkpoint, Cohort, Engine, fresh
from assay.engines.program import Program
from assay.errors import AssayError, RecipeError
from assay.parts.foreign import is_foreign
from assay.parts.layers import Network
from assay.recipe.model import Recipe
from assay.recipe.notes import refusals
from assay.system.limits import ITERATIONS
from assay.training.history import History
from assay.training.log_points import log_points_up_to, too_many_log_points
from assay.training.stopping import first_stop


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
    if (iterations := recipe.iterations(examples)) > ITERATIONS.most:
        problems.append(f"budget: makes {iterations:,} iterations; expected at most {ITERATIONS.most:,}")
    elif problem := too_many_log_points(recipe, examples):
        problems.append(problem)
    if isinstance(subset, int) and subset > examples:
        problems.append(f"log.train_loss: got {subset}; {expected}")
    return problems + _memory_problems(cohort, examples, engine)


def _memory_problems(cohort: Cohort, examples: int, engine: Engine | Program) -> list[str]:
    """Why a cohort does not fit the memory of the machine, or a single trial that of a GPU: cohorts are made to fit."""
    free, where = psutil.virtual_memory().available, "that are free"
    device = None if isinstance(engine, Program) else memory_of_device(engine)
    if device is not None:
        free, where, cohort = device, f"that device {engine.device!r} has", Cohort(cohort.recipes[:1], cohort.network)
    needed = engine.memory(cohort, examples)
    if needed <= free:
        return []
    trials = f"{len(cohort.recipes):,} trials of " if len(cohort.recipes) > 1 else ""
    return [
        f"model: {trials}{cohort.network.parameters:,} weights need about {needed / 2**30:,.1f} GiB of "
        f"memory to train; expected at most the {free / 2**30:,.1f} GiB {where}"
    ]


def memory_of_device(engine: Engine) -> int | None:
    """The bytes of the device that an engine may take; None if the device is the host, or does not tell."""
    if engine.seen is None:
        return engine.free_device_memory()
    return next((device.memory_bytes for device in engine.seen.of(engine.device)), None)


def check_start(recipes: Sequence[Recipe], start: Sequence[History], *, data_checksum: str, examples: int) -> None:
    """Checks that each recipe can resume from its history, for N training `examples`. Raises: RecipeError, AssayError.

    The result must be that of an uninterrupted training, so the stopping rules must not end it before the start.
    """
    for recipe, history in zip(recipes, start, strict=False):
        changed = _changed_fields(recipe.resolved(examples), history.recipe.resolved(examples))
        if changed:
            raise RecipeError(
                [f"{name}: differs from the training to resume; only budget, log and stop may" for name in changed]
            )
        if history.data_checksum != data_checksum:
            raise AssayError("the training to resume was on other data")
        checkpoint = history.checkpoint
        has_state = type(recipe.optimizer).slots or is_foreign(recipe.optimizer)
        if not checkpoint.weights or (checkpoint.t and has_state and not checkpoint.slots):
            missing = "optimizer state" if checkpoint.weights else "weights"
            raise AssayError(f"the training to resume, by {history.engine}, kept no {missing}; retrain it")
        budget = recipe.iterations(examples)
        if checkpoint.t > budget:
            raise AssayError(f"the training to resume is at iteration {checkpoint.t}; the budget is {budget}")
        limit, used = recipe.budget.seconds, history.ledger.train
        if limit is not None and used > limit:
            raise AssayError(f"the training to resume has used {used:.4g} s of training; the budget is {limit:g} s")
        _check_rules(recipe, history, examples)


def _check_rules(recipe: Recipe, history: History, examples: int) -> None:
    """Checks that the rules on log points can be read off the curve of the training to resume. Raises: AssayError."""
    if recipe.stop.accuracy is None and recipe.stop.patience is None:
        return
    t = history.checkpoint.t
    stop = first_stop(recipe, history.points, examples)
    if stop is not None and stop[0] < t:
        raise AssayError(
            f"the training to resume is at iteration {t:,}, but the recipe's stopping rule ends it before: {stop[1]}; "
            "change `stop`, or train from the beginning"
        )
    if recipe.log.interval()[1] == "seconds":
        covered = recipe.log == history.recipe.log
    else:
        measured = {point.iteration for point in history.points}
        covered = measured.issuperset(log_points_up_to(recipe, examples, t))
    if not covered:
        raise AssayError(
            f"the stopping rules read the log points of log.every = {recipe.log.every!r}, and the training to resume, "
            f"with log.every = {history.recipe.log.every!r}, does not have them up to iteration {t:,}; keep its "
            "log.every, change `stop`, or train from the beginning"
        )


def same_arrays(a: Checkpoint, b: Checkpoint) -> bool:
    """Whether two checkpoints have the same iteration, weights and optimizer slots, bit for bit."""
    pairs = ((a.weights, b.weights), (a.slots, b.slots))
    return a.t == b.t and all(
        x.keys() == y.keys() and all(x[name].tobytes() == np.asarray(y[name], x[name].dtype).tobytes() for name in x)
        for x, y in pairs
    )


def is_fresh(checkpoint: Checkpoint, recipe: Recipe, network: Network) -> bool:
    """Whether a checkpoint is what a recipe's training begins with: its initial weights, and no slots but zeros."""
    kept = -1 if type(recipe.optimizer).averages() else None  # the last of these slots are the weights themselves
    if checkpoint.t or any(slots[:kept].any() for slots in checkpoint.slots.values()):
        return False
    weights = {name: np.asarray(w, recipe_dtype(recipe)) for name, w in checkpoint.weights.items()}
    own = {name: np.asarray(w, recipe_dtype(recipe)) for name, w in fresh(Cohort((recipe,), network)).weights.items()}
    return same_arrays(Checkpoint(0, weights, {}), Checkpoint(0, own, {}))


def recipe_dtype(recipe: Recipe) -> str:
    """The type in which an engine keeps the recipe's weights."""
    return "float64" if recipe.precision == "float64" else "float32"


def _changed_fields(new: Recipe, old: Recipe) -> list[str]:
    """The fields other than budget, log and stop in which two recipes differ."""
    a, b = new.canonical(), old.canonical()
    may_change = ("budget", "log", "stop")
    return sorted(key for key in a.keys() | b.keys() if key not in may_change and a.get(key) != b.get(key))
