"""The two keys of a trial: that of its trajectory, which several trials can share, and its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from assay.engines.base import Engine
from assay.engines.program import Program
from assay.recipe.model import Recipe
from assay.recipe.texts import Texts, table_text, text_of
from assay.training.log_points import shareable


def trajectory_key(
    recipe: Recipe,
    *,
    data_checksum: str,
    engine: Engine | Program,
    timing: str,
    threads: int | None,
    texts: Texts | None = None,
) -> str:
    """The key of a trajectory: trials share it if they differ only in budget, log points and stopping rules.

    In addition to the recipe and the data, it covers the engine with its numerics, the examples on which the training
    loss is measured, and how seconds are timed. An external program enters with its arguments and a hash of its files,
    so a changed program makes another trial. Lengths in epochs must be resolved (`Recipe.resolved`).

    `texts`: those that recipes share, where there are many of them.
    """
    columns = {"data_checksum": data_checksum, "timing": timing, "threads": threads}
    columns |= {"engine": engine.name, "numerics": engine.numerics, "device": engine.device}
    form = _form(recipe, columns, texts or Texts())
    if isinstance(engine, Program):
        form["program"] = text_of(engine.identity)
    return _digest(form)


def trajectory_key_of(recipe: Recipe, columns: Mapping[str, Any]) -> str:
    """The key of the trajectory of a stored trial from its columns; that of an external program holds more.

    Args:
        recipe: Its recipe.
        columns: Its `data_checksum`, `timing`, `threads`, `engine`, `numerics` and `device`.
    """
    return _digest(_form(recipe, columns, Texts()))


def _form(recipe: Recipe, columns: Mapping[str, Any], texts: Texts) -> dict[str, str]:
    """The form of a trajectory, field by field, each as text."""
    form = texts.canonical(recipe)
    if shareable(recipe):
        form = {key: text for key, text in form.items() if key not in ("budget", "log", "stop")}
    checksum = str(columns["data_checksum"])
    form["data"] = texts.made(f"data {checksum}", (recipe.data,), lambda: _data_text(recipe, checksum))
    measured = {"train_loss": recipe.log.train_loss, "timing": columns["timing"], "threads": columns["threads"]}
    form["measured"] = text_of(measured)
    form["engine"] = text_of([columns["engine"], columns["numerics"], columns["device"].partition(":")[0]])
    return form


def _data_text(recipe: Recipe, checksum: str) -> str:
    table = {key: value for key, value in recipe.canonical_field("data").items() if key != "name"}
    return text_of(table | {"checksum": checksum})  # the content counts, not the name


def started_key(trajectory: str, digest: str) -> str:
    """The key of a trajectory that starts from a file of weights that are not its own, by the file's digest."""
    return _digest({"trajectory": text_of(trajectory), "start": text_of(digest)})


def trial_key(trajectory: str, recipe: Recipe, examples: int, *, texts: Texts | None = None) -> str:
    """The key of a trial: its trajectory, its budget, in iterations or seconds, its log points and its stopping rules.

    Lengths in epochs must be resolved (`Recipe.resolved`). `texts`: those that recipes share, where there are many.
    """
    iterations = recipe.iterations(examples) if recipe.budget.seconds is None else None
    return trial_key_of(trajectory, recipe, iterations=iterations, texts=texts)


def trial_key_of(trajectory: str, recipe: Recipe, *, iterations: int | None, texts: Texts | None = None) -> str:
    """The key of a trial whose budget is that many iterations; None for a budget in seconds."""
    seconds = recipe.budget.seconds
    length = {"iterations": text_of(iterations)} if seconds is None else {"seconds": text_of(seconds)}
    made = (texts or Texts()).made
    form = {
        "trajectory": text_of(trajectory),
        **length,
        "every": made("every", (recipe.log,), lambda: text_of(list(recipe.log.interval()))),
        "stop": made("rules", (recipe.stop,), lambda: text_of(recipe.stop.canonical())),
    }
    return _digest(form)


def _digest(form: Mapping[str, str]) -> str:
    """The hash of a table whose values are given as JSON text, 32 hexadecimal digits."""
    return hashlib.sha256(table_text(form).encode()).hexdigest()[:32]
