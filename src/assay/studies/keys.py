"""The two keys of a trial: that of its trajectory, which several trials can share, and its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from assay.engines.base import Engine
from assay.engines.program import Program
from assay.recipe.model import Recipe
from assay.training.log_points import shareable


def trajectory_key(
    recipe: Recipe, *, data_checksum: str, engine: Engine | Program, timing: str, threads: int | None
) -> str:
    """The key of a trajectory: trials share it if they differ only in budget, log points and stopping rules.

    In addition to the recipe and the data, it covers the engine with its numerics, the examples on which the training
    loss is measured, and how seconds are timed. An external program enters with its arguments and a hash of its files,
    so a changed program makes another trial. Lengths in epochs must be resolved (`Recipe.resolved`).
    """
    columns = {"data_checksum": data_checksum, "timing": timing, "threads": threads}
    columns |= {"engine": engine.name, "numerics": engine.numerics, "device": engine.device}
    form = _form(recipe, columns)
    if isinstance(engine, Program):
        form["program"] = engine.identity
    return _digest(form)


def trajectory_key_of(recipe: Recipe, columns: Mapping[str, Any]) -> str:
    """The key of the trajectory of a stored trial from its columns; that of an external program holds more.

    Args:
        recipe: Its recipe.
        columns: Its `data_checksum`, `timing`, `threads`, `engine`, `numerics` and `device`.
    """
    return _digest(_form(recipe, columns))


def _form(recipe: Recipe, columns: Mapping[str, Any]) -> dict[str, Any]:
    form = recipe.canonical()
    if shareable(recipe):
        form = {key: value for key, value in form.items() if key not in ("budget", "log", "stop")}
    form["data"] = {key: value for key, value in form["data"].items() if key != "name"}
    form["data"]["checksum"] = columns["data_checksum"]  # the content counts, not the name
    measured = {"train_loss": recipe.log.train_loss, "timing": columns["timing"], "threads": columns["threads"]}
    form["measured"] = measured
    form["engine"] = [columns["engine"], columns["numerics"], columns["device"].partition(":")[0]]
    return form


def started_key(trajectory: str, digest: str) -> str:
    """The key of a trajectory that starts from a file of weights that are not its own, by the file's digest."""
    return _digest({"trajectory": trajectory, "start": digest})


def trial_key(trajectory: str, recipe: Recipe, examples: int) -> str:
    """The key of a trial: its trajectory, its budget, in iterations or seconds, its log points and its stopping rules.

    Lengths in epochs must be resolved (`Recipe.resolved`).
    """
    iterations = recipe.iterations(examples) if recipe.budget.seconds is None else None
    return trial_key_of(trajectory, recipe, iterations=iterations)


def trial_key_of(trajectory: str, recipe: Recipe, *, iterations: int | None) -> str:
    """The key of a trial whose budget is that many iterations; None for a budget in seconds."""
    seconds = recipe.budget.seconds
    form: dict[str, Any] = {
        "trajectory": trajectory,
        **({"iterations": iterations} if seconds is None else {"seconds": seconds}),
        "every": list(recipe.log.interval()),
        "stop": recipe.stop.canonical(),
    }
    return _digest(form)


def _digest(form: dict[str, Any]) -> str:
    text = json.dumps(form, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
