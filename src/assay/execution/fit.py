"""From a recipe to its history in one call, or step by step where a caller draws progress."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any

from assay.data.dataset import Dataset
from assay.data.datasets import load
from assay.engines import choose
from assay.engines.program import Command
from assay.errors import AssayError
from assay.recipe.model import Recipe
from assay.system.signals import interruption
from assay.training.history import History
from assay.training.loop import Training, prepared
from assay.workers.external.training import ExternalTraining, make_training


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during `fit`; `history` holds what was done until then and can be given to `fit` as `start`."""

    def __init__(self, history: History) -> None:
        super().__init__(history.reason)
        self.history = history


def training(
    recipe: Recipe,
    *,
    data: Dataset | None = None,
    engine: str | Command = "auto",
    device: str = "cpu",
    threads: int | None = None,
    start: History | None = None,
) -> Training | ExternalTraining:
    """A training that is ready to be iterated over. Raises: AssayError and its kinds."""
    if threads is not None and threads < 1:
        raise AssayError(f"threads: got {threads}; expected a number >= 1")
    chosen = choose(recipe, engine, device=device, threads=threads)
    begin = perf_counter()
    if data is None:
        data = load(recipe.data.name)
    elif data.name != recipe.data.name:
        recipe = recipe.patched({"data": recipe.data.model_dump() | {"name": data.name}})
    parts = prepared(recipe, data)
    return make_training(recipe, chosen, parts, start=[start] if start else [], data_seconds=perf_counter() - begin)


def fit(
    recipe: Recipe | Mapping[str, Any] | None = None,
    *,
    data: Dataset | None = None,
    engine: str | Command = "auto",
    device: str = "cpu",
    threads: int | None = None,
    start: History | None = None,
) -> History:
    """Trains one recipe and returns its history.

    `recipe`: a Recipe, or plain data in the form of a recipe file; None is the quickstart on the embedded digits.
    `data`: a Dataset in place of the one that the recipe names. `start`: a history to go on from; the recipe's budget
    then counts from the very beginning. `engine`: by name, or a Command, inside `allowing_code`.

    Raises: RecipeError, DataError, EngineError; Interrupted on Ctrl-C, with the history so far.

    >>> fit({"model": {"hidden": [16]}, "budget": {"epochs": 1}}).outcome.value
    'completed'
    """
    if recipe is None or isinstance(recipe, Mapping):
        recipe = Recipe.parse(recipe or {})
    run = training(recipe, data=data, engine=engine, device=device, threads=threads, start=start)
    with interruption(run.engine.cancel) as interrupted:
        for _ in run:
            if interrupted():
                raise Interrupted(run.histories()[0])
    return run.histories()[0]
