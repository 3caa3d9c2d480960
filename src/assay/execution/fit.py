"""Trains a recipe in one call, or step by step for callers that show progress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from assay.data.dataset import Dataset
from assay.data.datasets import load
from assay.engines import choose
from assay.engines.program import Command
from assay.errors import AssayError
from assay.recipe.model import Recipe
from assay.recipe.named import recipe_table
from assay.system.signals import interruption
from assay.training.history import History
from assay.training.loop import Training, prepared
from assay.training.notes import result_notes
from assay.workers.batch import WITH_CONFUSION, confusion_of
from assay.workers.external.training import ExternalTraining, make_training


class Interrupted(KeyboardInterrupt):
    """Raised by `fit` on Ctrl-C. A `KeyboardInterrupt` that carries what was trained so far.

    Attributes:
        history: The history so far. Give it to `fit` as `start` to resume, with the same bits as an uninterrupted run.
    """

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
    """A training, ready to be iterated over. Raises: AssayError."""
    if threads is not None and threads < 1:
        raise AssayError(f"threads: got {threads}; expected a number >= 1")
    chosen = choose(recipe, engine, device=device, threads=threads)
    begin, processor_begin = perf_counter(), process_time()
    if data is None:
        data = load(recipe.data.name)
    elif data.name != recipe.data.name:
        recipe = recipe.patched({"data": recipe.data.model_dump() | {"name": data.name}})
    parts = prepared(recipe, data)
    seconds, processor = perf_counter() - begin, process_time() - processor_begin
    made = make_training(recipe, chosen, parts, start=[start] if start else [], data_seconds=seconds)
    for entry in ("data", "wall"):
        made.ledger.add(entry, 0.0, processor)  # the seconds are booked
    return made


def fit(
    recipe: Recipe | Mapping[str, Any] | str | Path | None = None,
    *,
    data: Dataset | None = None,
    engine: str | Command = "auto",
    device: str = "cpu",
    threads: int | None = None,
    start: History | None = None,
) -> History:
    """Trains one recipe in this process and returns its history. Nothing is stored.

    Args:
        recipe: What to train: a Recipe, plain data in the form of a recipe file, the path of such a file, or the name
            of a model such as "3LS", with the defaults of a recipe. None trains the default recipe on the digits that
            scikit-learn carries.
        data: A data set to use in place of the one that the recipe names.
        engine: "numpy", "native", "jax", "torch", or "auto" for the fastest installed engine that can train the recipe;
            or a Command, inside `allowing_code`.
        device: "cpu", or a GPU such as "cuda".
        threads: Number of CPU threads; None leaves the choice to the engine.
        start: A history to resume from. The recipe's budget counts from its beginning: to add 10 epochs to 10, ask for
            20.

    Returns:
        The history: the learning curve, the outcome, the time breakdown and the trained weights.

    Raises:
        RecipeError: The recipe is wrong; all problems are listed.
        FileError: The file of a recipe cannot be read, or the word is neither a file nor a model.
        DataError: The data set is missing, or does not fit the recipe.
        EngineError: The engine is unknown, not installed, or cannot train the recipe.
        CodeError: The recipe names third-party code outside `allowing_code`.
        Interrupted: On Ctrl-C, with the history so far.

    Examples:
        >>> history = fit({"model": {"hidden": [16]}, "budget": {"epochs": 1}})
        >>> history.outcome.value
        'completed'
        >>> longer = fit(history.recipe.with_budget(epochs=2), start=history)
    """
    if isinstance(recipe, str | Path):
        recipe = Recipe.parse(recipe_table(recipe), source=str(recipe))
    elif recipe is None or isinstance(recipe, Mapping):
        recipe = Recipe.parse(recipe or {})
    run = training(recipe, data=data, engine=engine, device=device, threads=threads, start=start)
    with interruption(run.engine.cancel) as interrupted:
        for _ in run:
            if interrupted():
                raise Interrupted(run.histories()[0])
    confusion = None
    if run.histories()[0].outcome in WITH_CONFUSION:
        with run.book("evaluate"):
            confusion = confusion_of(run)
    history = replace(run.histories()[0], confusion=confusion)
    notes = result_notes(history, run.data, lambda: confusion)
    return replace(history, warnings=(*history.warnings, *notes))
