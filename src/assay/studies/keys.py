"""The two keys of a trial: that of its trajectory, which several trials can share, and its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from assay.engines.base import Engine
from assay.engines.program import Program
from assay.recipe.model import Recipe
from assay.recipe.texts import Texts, shared_parts, table_text, text_of
from assay.training.log_points import shareable

_NO_SEED = "\0"  # in place of a seed: JSON text has no such character


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
    columns: dict[str, Any] = {"data_checksum": data_checksum, "timing": timing, "threads": threads}
    return trajectory_keys(recipe, (recipe.seed,), engine=engine, **columns, texts=texts)[0]


def trajectory_keys(
    recipe: Recipe, seeds: Iterable[int], *, engine: Engine | Program, texts: Texts | None = None, **columns: Any
) -> list[str]:
    """The keys of the trajectories of a recipe with each of these seeds; `columns` are those of `trajectory_key`."""
    columns |= {"engine": engine.name, "numerics": engine.numerics, "device": engine.device}
    form = _form(recipe, columns, texts or Texts())
    if isinstance(engine, Program):
        form["program"] = text_of(engine.identity)
    before, after = table_text(form | {"seed": _NO_SEED}).split(_NO_SEED)
    return [_hash(f"{before}{text_of(seed)}{after}") for seed in seeds]


def trajectory_key_of(recipe: Recipe, columns: Mapping[str, Any]) -> str:
    """The key of the trajectory of a stored trial from its columns; that of an external program holds more.

    Args:
        recipe: Its recipe.
        columns: Its `data_checksum`, `timing`, `threads`, `engine`, `numerics` and `device`.
    """
    return _digest(_form(recipe, columns, Texts()))


def is_same_training(first: Recipe, second: Recipe) -> bool:
    """Whether two recipes are of one trajectory, as far as recipes tell: they may differ in budget, log and rules.

    >>> from assay.recipe.model import Recipe
    >>> a, b = (Recipe.parse({"budget": {"iterations": n}}) for n in (10, 20))
    >>> is_same_training(a, b), is_same_training(a, b.model_copy(update={"seed": 2}))
    (True, False)
    """
    columns = {"data_checksum": "", "timing": "", "threads": None, "engine": "", "numerics": 0, "device": ""}
    texts = Texts()
    forms = [{**_form(recipe, columns, texts), "measured": ""} for recipe in (first, second)]
    return forms[0] == forms[1]


def _form(recipe: Recipe, columns: Mapping[str, Any], texts: Texts) -> dict[str, str]:
    """The form of a trajectory, field by field, each as text."""
    shared = texts.made(f"form {columns}", shared_parts(recipe), lambda: _shared_form(recipe, columns, texts))
    return shared | texts.own(recipe)


def _shared_form(recipe: Recipe, columns: Mapping[str, Any], texts: Texts) -> dict[str, str]:
    """The part of the form that depends on what recipes share, and on the columns, alone."""
    form = texts.shared(recipe)
    if shareable(recipe):
        form = {key: text for key, text in form.items() if key not in ("budget", "log", "stop")}
    timed = {"timing": columns["timing"], "threads": columns["threads"]}
    form["data"] = _data_text(recipe, str(columns["data_checksum"]))
    form["measured"] = text_of({"train_loss": recipe.log.train_loss} | timed)
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

    def before() -> str:
        rules = {"every": text_of(list(recipe.log.interval())), "stop": text_of(recipe.stop.canonical())}
        return table_text(length | rules | {"trajectory": ""})[:-1]  # its key is the last one

    shared = (texts or Texts()).made(f"rules {length}", (recipe.log, recipe.stop), before)
    return _hash(f"{shared}{text_of(trajectory)}}}")


def _digest(form: Mapping[str, str]) -> str:
    """The hash of a table whose values are given as JSON text, 32 hexadecimal digits."""
    return _hash(table_text(form))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
