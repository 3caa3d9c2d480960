"""The two keys of a trial: that of its trajectory, which several trials can share, and its own."""

from __future__ import annotations

import hashlib
import json
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
    form = recipe.canonical()
    if shareable(recipe):
        form = {key: value for key, value in form.items() if key not in ("budget", "log", "stop")}
    form["data"] = {key: value for key, value in form["data"].items() if key != "name"}
    form["data"]["checksum"] = data_checksum  # the content counts, not the name
    form["measured"] = {"train_loss": recipe.log.train_loss, "timing": timing, "threads": threads}
    form["engine"] = [engine.name, engine.numerics, engine.device.partition(":")[0]]
    if isinstance(engine, Program):
        form["program"] = engine.identity
    return _digest(form)


def started_key(trajectory: str, digest: str) -> str:
    """The key of a trajectory that starts from a file of weights that are not its own, by the file's digest."""
    return _digest({"trajectory": trajectory, "start": digest})


def trial_key(trajectory: str, recipe: Recipe, examples: int) -> str:
    """The key of a trial: its trajectory, its budget, in iterations or seconds, its log points and its stopping rules.

    Lengths in epochs must be resolved (`Recipe.resolved`).
    """
    seconds = recipe.budget.seconds
    form: dict[str, Any] = {
        "trajectory": trajectory,
        **({"iterations": recipe.iterations(examples)} if seconds is None else {"seconds": seconds}),
        "every": list(recipe.log.interval()),
        "stop": recipe.stop.canonical(),
    }
    return _digest(form)


def _digest(form: dict[str, Any]) -> str:
    text = json.dumps(form, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
