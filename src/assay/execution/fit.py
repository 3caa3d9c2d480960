"""Trains a recipe in one call, or step by step for callers that show progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, overload

import numpy as np

from assay.data.dataset import Dataset, from_arrays
from assay.data.datasets import load
from assay.data.splits import drawn_for_test
from assay.engines import choose
from assay.engines.program import Command
from assay.errors import AssayError, CodeError, DataError, RecipeError
from assay.execution.fits import Fits
from assay.parts.given import model_of_object, optimizer_of_object
from assay.parts.part import Part
from assay.recipe.model import Recipe
from assay.recipe.named import recipe_table
from assay.studies.devices import AUTO, auto_device
from assay.system.limits import TRIALS
from assay.system.signals import interruption
from assay.training.history import History, Point
from assay.training.loop import Training, prepared
from assay.training.measures import MeasureError, Measures
from assay.training.notes import result_notes
from assay.training.outcome import Outcome
from assay.workers.batch import WITH_CONFUSION, confusion_of
from assay.workers.external.training import ExternalTraining, make_training


class Interrupted(KeyboardInterrupt):
    """Raised by `fit` on Ctrl-C. A `KeyboardInterrupt` that carries what was trained so far.

    Attributes:
        history: The history so far. Give it to `fit` as `start` to resume, on a CPU with the same bits as an
            uninterrupted run.
        finished: With `repeats`, the histories of the seeds before.
    """

    def __init__(self, history: History, finished: Sequence[History] = ()) -> None:
        super().__init__(history.reason)
        self.history, self.finished = history, tuple(finished)


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
    if device == AUTO:

        def loaded(name: str, task: str | None = None) -> Dataset:
            return data or load(name, task=task)

        device, _ = auto_device([(recipe, engine, 1)], timing="isolated", data=loaded)
    chosen = choose(recipe, engine, device=device, threads=threads)
    begin, processor_begin = perf_counter(), process_time()
    if data is None:
        data = load(recipe.data.name, task=recipe.data.task)
    elif data.name != recipe.data.name or (data.task and not recipe.is_regression):
        task = data.task or recipe.data.task  # a Dataset of a regression says what it is for
        recipe = recipe.patched({"data": recipe.data.model_dump() | {"name": data.name, "task": task}})
    parts = prepared(recipe, data)
    seconds, processor = perf_counter() - begin, process_time() - processor_begin
    made = make_training(recipe, chosen, parts, start=[start] if start else [], data_seconds=seconds)
    for entry in ("data", "wall"):
        made.ledger.add(entry, 0.0, processor)  # the seconds are booked
    return made


Given = Recipe | Mapping[str, Any] | str | Path | None


@overload
def fit(
    recipe: Given = None,
    *,
    data: Dataset | Sequence[Any] | None = None,
    engine: str | Command = "auto",
    device: str = "cpu",
    threads: int | None = None,
    start: History | None = None,
    on_point: Callable[[Point], object] | None = None,
    model: Any = None,
    optimizer: Any = None,
    repeats: None = None,
    measures: Mapping[str, Any] | None = None,
) -> History: ...
@overload
def fit(
    recipe: Given = None,
    *,
    data: Dataset | Sequence[Any] | None = None,
    engine: str | Command = "auto",
    device: str = "cpu",
    threads: int | None = None,
    start: None = None,
    on_point: Callable[[Point], object] | None = None,
    model: Any = None,
    optimizer: Any = None,
    repeats: int,
    measures: Mapping[str, Any] | None = None,
) -> Fits: ...
def fit(
    recipe: Given = None,
    *,
    data: Dataset | Sequence[Any] | None = None,
    engine: str | Command = "auto",
    device: str = "cpu",
    threads: int | None = None,
    start: History | None = None,
    on_point: Callable[[Point], object] | None = None,
    model: Any = None,
    optimizer: Any = None,
    repeats: int | None = None,
    measures: Mapping[str, Any] | None = None,
) -> History | Fits:
    """Trains one recipe in this process and returns its history. Nothing is stored.

    Args:
        recipe: What to train: a Recipe, plain data in the form of a recipe file, the path of such a file, or the name
            of a model such as "3LS", with the defaults of a recipe. None trains the default recipe on the digits that
            scikit-learn carries.
        data: A data set to use in place of the one that the recipe names, or its arrays: (x, y, x_test, y_test), as
            `from_arrays` takes them, or (x, y), of which a fifth of each class is drawn to test on. With
            `data.task = "regression"` in the recipe, y are targets.
        engine: "numpy", "native", "jax", "torch", or "auto" for the fastest installed engine that can train the recipe;
            or a Command, inside `allowing_code`.
        device: "cpu", a GPU such as "cuda", or "auto" for the one that is faster by what was measured.
        threads: Number of CPU threads; None leaves the choice to the engine.
        start: A history to resume from. The recipe's budget counts from its beginning: to add 10 epochs to 10, ask for
            20.
        on_point: A function that is called with each new `Point` of the curve, off the clock of training. The training
            stops where it returns True.
        model: The model of the recipe: a name, a table, or a list of layers. Also a `torch.nn.Module`, which is copied
            and trained from its own weights, or its class, or a function that returns one, which the recipe's seed
            initialises. With several `repeats`, the copies of a module are re-initialised by its `reset_parameters`.
            A module of equinox, flax.linen or flax.nnx trains on engine jax.
        optimizer: The optimizer of the recipe: a name, a table, an instance of your own class, or a function that makes
            one of torch from parameters, such as `lambda p: torch.optim.NAdam(p, lr=1e-3)`.
        repeats: Train at so many seeds, one after the other: that of the recipe and the next ones.
        measures: Functions by name, each of `outputs` and `labels`, that return a number: your own measures. They are
            computed at every log point on the test set, and on the validation set if there is one, off the clock.
            `outputs` are the probabilities of the classes (N, C), `labels` the numbers of the classes (N,); of a
            regression, values and targets (N,) in the target's units. Both are read-only. Higher is better, or
            ("min", function) says that lower is. They change neither the training nor its key.

    Returns:
        The history: the learning curve, the outcome, the time breakdown and the trained weights. With `repeats`,
        `Fits`, a sequence of histories.

    Raises:
        RecipeError: The recipe is wrong; all problems are listed.
        FileError: The file of a recipe cannot be read, or the word is neither a file nor a model.
        DataError: The data set is missing, or does not fit the recipe.
        EngineError: The engine is unknown, not installed, or cannot train the recipe.
        CodeError: The recipe names third-party code outside `allowing_code`.
        Interrupted: On Ctrl-C, with the history so far.
        MeasureError: A measure raised, or returned no finite number; with the history so far.

    Examples:
        >>> history = fit({"model": {"hidden": [16]}, "budget": {"epochs": 1}})
        >>> history.outcome.value
        'completed'
        >>> longer = fit(history.recipe.with_budget(epochs=2), start=history)
        >>> errors = ("min", lambda outputs, labels: (outputs.argmax(1) != labels).sum())
        >>> history = fit({"budget": {"epochs": 1}}, measures={"errors": errors})
        >>> history.measures["errors"] == round((1 - history.accuracy) * 360)
        True
    """
    own = None if measures is None else Measures.of(measures)
    _check_repeats(repeats, start)
    if isinstance(recipe, str | Path):
        recipe = Recipe.parse(recipe_table(recipe), source=str(recipe))
    elif recipe is None or isinstance(recipe, Mapping):
        recipe = Recipe.parse(recipe or {})
    model, optimizer, given = _of_objects(model, optimizer, repeats=repeats or 1)
    if parts := _parts(model, optimizer):
        recipe = recipe.patched(*parts)
    dataset = data if data is None or isinstance(data, Dataset) else _of_arrays(data, recipe.data.task)
    one = _Fit(dataset, engine, device, threads, on_point, tuple(given), own)
    if repeats is None:
        return one.trained(recipe, start=start)
    finished: list[History] = []
    for seed in range(recipe.seed, end := recipe.seed + repeats):
        try:
            finished.append(one.trained(recipe.model_copy(update={"seed": seed}), is_last=seed == end - 1))
        except Interrupted as interrupted:
            raise Interrupted(interrupted.history, finished) from None
    return Fits(tuple(finished))


@dataclass(frozen=True)
class _Fit:
    """What all trainings of a `fit` share, in the words of its arguments; `given`: notes on objects."""

    data: Dataset | None
    engine: str | Command
    device: str
    threads: int | None
    on_point: Callable[[Point], object] | None
    given: tuple[str, ...]
    measures: Measures | None

    def trained(self, recipe: Recipe, *, start: History | None = None, is_last: bool = True) -> History:
        """The history of a recipe. Raises: AssayError, Interrupted."""
        run = training(
            recipe, data=self.data, engine=self.engine, device=self.device, threads=self.threads, start=start
        )
        if self.measures is not None:
            if not isinstance(run, Training):
                raise AssayError("measures: an external program measures by itself; leave them out, or name an engine")
            run.measures = self.measures
        try:
            return self._ended(run, is_last=is_last)
        except MeasureError as error:
            so_far = run.histories()[0]
            error.history = so_far if so_far.points else None
            raise

    def _ended(self, run: Training | ExternalTraining, *, is_last: bool) -> History:
        """The history of a training, run to its end."""
        stopped = ""
        with interruption(run.engine.cancel) as interrupted:
            for status in run:
                if interrupted():
                    raise Interrupted(run.histories()[0])
                if self.on_point is not None and status.new_point and _is_true(self.on_point(status.point)):
                    stopped = f"on_point returned True at iteration {status.iteration:,}"
                    if status.iteration < status.iterations:
                        break
            if interrupted() and not is_last:
                raise Interrupted(run.histories()[0])
        ended = run.histories()[0]
        if stopped and ended.outcome is Outcome.INTERRUPTED:
            ended = replace(ended, outcome=Outcome.STOPPED, reason=stopped)
        confusion = None
        if ended.outcome in WITH_CONFUSION:
            with run.book("evaluate"):
                confusion = confusion_of(run)
        history = replace(ended, ledger=run.histories()[0].ledger, confusion=confusion)
        notes = result_notes(history, run.data, lambda: confusion)
        return replace(history, warnings=(*history.warnings, *self.given, *notes))


def _check_repeats(repeats: int | None, start: History | None) -> None:
    """Raises: AssayError for a number of repeats that is none, or that a start is given with."""
    if repeats is None:
        return
    if isinstance(repeats, bool) or not isinstance(repeats, int | np.integer) or not 1 <= repeats <= TRIALS.most:
        raise AssayError(f"repeats: got {repeats!r}; expected a whole number from 1 to {TRIALS.most:,}")
    if start is not None:
        raise AssayError("start: resumes one training, and repeats asks for several; resume each by a fit of its own")


def _of_objects(model: Any, optimizer: Any, *, repeats: int) -> tuple[Any, Any, list[str]]:
    """A model and an optimizer with those that are objects of torch, or functions, as parts of a recipe; and sentences
    on what the key does not cover. Raises: RecipeError, with all that is wrong."""
    problems, notes = list[str](), list[str]()
    if callable(model) and not isinstance(model, Part):
        try:
            model, note = model_of_object(model, repeats=repeats)
            notes.append(note)
        except CodeError as error:
            problems.append(str(error))
    if callable(optimizer) and not isinstance(optimizer, Part):
        try:
            optimizer, note = optimizer_of_object(optimizer)
            notes.append(note)
        except CodeError as error:
            problems.append(str(error))
    if problems:
        raise RecipeError(problems, source="fit")
    return model, optimizer, [note for note in notes if note]


def _parts(model: Any, optimizer: Any) -> list[dict[str, Any]]:
    """The patches of a model and an optimizer that are given next to a recipe."""
    layers = {"layers": list(model)} if isinstance(model, list | tuple) else model
    given = {"model": layers, "optimizer": optimizer}
    return [{key: value} for key, value in given.items() if value is not None]


def _is_true(answer: object) -> bool:
    return isinstance(answer, bool | np.bool_) and bool(answer)


def _of_arrays(data: Sequence[Any], task: str | None) -> Dataset:
    """The data set of (x, y, x_test, y_test), or of (x, y). Raises: DataError."""
    if not isinstance(data, tuple | list) or len(data) not in (2, 4):
        got = f"{len(data)} entries" if isinstance(data, tuple | list) else type(data).__name__
        raise DataError(
            f"data: got {got}; expected a Dataset, (x, y, x_test, y_test) or (x, y); load_data reads others"
        )
    if len(data) == 4:
        return from_arrays(*data, task=task)
    try:
        x, y = (np.asarray(array) for array in data)
    except ValueError as error:
        raise DataError(f"data: x or y is no array: {error}; expected examples of one shape") from None
    if y.ndim != 1 or len(x) != len(y):
        raise DataError(f"data: x has shape {x.shape}, y {y.shape}; expected (N, ...) and (N,)")
    kept, rows, note = drawn_for_test("data", y, None, task=task)
    return from_arrays(x[kept], y[kept], x[rows], y[rows], task=task).noting([note])
