"""From a recipe to its history in one call, or step by step where a caller draws progress."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from time import perf_counter
from types import FrameType
from typing import Any

from assay.data.dataset import Dataset
from assay.data.datasets import load
from assay.engines import choose
from assay.errors import AssayError
from assay.history import History
from assay.recipe import Recipe
from assay.train import Training, prepared


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during `fit`; `history` holds what was done until then and can be given to `fit` as `start`."""

    def __init__(self, history: History) -> None:
        super().__init__(history.reason)
        self.history = history


def training(
    recipe: Recipe,
    *,
    data: Dataset | None = None,
    engine: str = "auto",
    device: str = "cpu",
    threads: int | None = None,
    start: History | None = None,
) -> Training:
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
    return Training([recipe], chosen, parts, start=[start] if start else [], data_seconds=perf_counter() - begin)


def fit(
    recipe: Recipe | Mapping[str, Any] | None = None,
    *,
    data: Dataset | None = None,
    engine: str = "auto",
    device: str = "cpu",
    threads: int | None = None,
    start: History | None = None,
) -> History:
    """Trains one recipe and returns its history.

    `recipe`: a Recipe, or plain data in the form of a recipe file; None is the quickstart on the embedded digits.
    `data`: a Dataset in place of the one that the recipe names. `start`: a history to go on from; the recipe's budget
    then counts from the very beginning.

    Raises: RecipeError, DataError, EngineError; Interrupted on Ctrl-C, with the history so far.

    >>> fit({"model": {"hidden": [16]}, "budget": {"epochs": 1}}).outcome.value
    'completed'
    """
    if recipe is None or isinstance(recipe, Mapping):
        recipe = Recipe.parse(recipe or {})
    run = training(recipe, data=data, engine=engine, device=device, threads=threads, start=start)
    with interruption(run) as interrupted:
        for _ in run:
            if interrupted():
                raise Interrupted(run.histories()[0])
    return run.histories()[0]


@contextmanager
def interruption(run: Training) -> Generator[Callable[[], bool]]:
    """Turns the first Ctrl-C into a flag that is read between two chunks; a second one interrupts at once.

    The engine is asked to break off a chunk that is under way.

    Yields a function that says whether the flag is set. Outside the main thread signals cannot be caught, so there it
    never is.
    """
    seen = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield seen.is_set
        return

    def note(number: int, frame: FrameType | None) -> None:
        if seen.is_set():
            raise KeyboardInterrupt
        seen.set()
        run.engine.break_off()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield seen.is_set
    finally:
        signal.signal(signal.SIGINT, before)
