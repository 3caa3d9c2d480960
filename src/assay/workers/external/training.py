"""A training by an external program, with the interface of `Training`: iterate over it, then read its history.

The program trains and evaluates. Assay provides the initial weights, batches and learning rates, compares the first and
the last reported point with its own evaluation of the weights, and keeps both times: the ledger's `train` is what the
program reports, `wall` is what Assay measured.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from numpy.typing import NDArray

from assay.analysis.quantities import LOSS, SCORE, name_of
from assay.data.prepare import Prepared
from assay.engines.base import Checkpoint, Cohort, Evaluation, Numbers, Splits, fresh
from assay.engines.numpy_engine import NumpyEngine
from assay.engines.program import Program
from assay.errors import AssayError, ProgramError, RecipeError
from assay.parts.batches import examples_seen
from assay.recipe.model import Recipe
from assay.training.checks import recipe_problems
from assay.training.history import History, Point
from assay.training.ledger import Ledger
from assay.training.log_points import log_points as log_points_of
from assay.training.loop import Training, TrainingStatus, splits_of
from assay.training.outcome import Outcome
from assay.training.stopping import StoppingRules
from assay.training.trial_end import TrialEnd, make_history
from assay.workers.external.folder import final_weights, write_folder
from assay.workers.external.load import ProgramLoad
from assay.workers.external.process import End, ProgramProcess
from assay.workers.external.reported_curve import ReportedCurve, disagreement

_POLL_SECONDS = 0.1
_NO_POINT = Point(0, 0, 0.0)


class ExternalTraining:
    """Trains one recipe by a program, always from the first iteration, because programs have no checkpoints."""

    can_resume = False

    def __init__(
        self,
        recipe: Recipe,
        engine: Program,
        data: Prepared,
        *,
        data_seconds: float = 0.0,
        log_points: Sequence[int],
    ) -> None:
        self.n = len(data.y_train)
        self.recipe, self.engine, self.data = recipe.resolved(self.n), engine, data
        recipe = self.recipe
        self.cohort = Cohort((recipe,), recipe.model.network(data.shape, data.classes))
        problems = recipe_problems(self.cohort, self.n, engine)
        if problems:
            raise RecipeError(problems)
        self.ledger = Ledger(data=data_seconds, wall=data_seconds)
        self.splits = splits_of(recipe, data)
        self.budget = log_points[-1]
        measured = ("test",) if data.x_validation is None else ("test", "validation")
        required = ["train_loss", *(name_of(split, metric.name) for split in measured for metric in (LOSS, SCORE))]
        self.curve = ReportedCurve(log_points, required, batch_loss=recipe.log.train_loss == "batch")
        self.points: list[Point] = []
        self._rules = StoppingRules(recipe, self.n)
        self.outcome, self.reason, self.iteration = Outcome.INTERRUPTED, "", 0
        self.weights: dict[str, Numbers] = {}
        self.end: End | None = None
        self._load = ProgramLoad()
        self._evaluator = NumpyEngine(threads=engine.threads)
        self._state: Any = None  # of the evaluator, at the weights that the program saved
        self._began: float | None = None

    # --- the loop ---

    def __iter__(self) -> Iterator[TrainingStatus]:
        """Runs the program to its end; yields ten times a second. Closing the iterator kills the program.

        Raises:
            ProgramError: The program failed, or reported an impossible point.
            AssayError: The disk is full.
        """
        self._began = perf_counter()
        try:
            yield self._status(_NO_POINT if not self.points else self.points[-1], new_point=False)
            with tempfile.TemporaryDirectory(prefix="assay-run-") as name:
                folder = Path(name)
                with self.ledger.book("data"):
                    self._write(folder)
                yield from self._run(folder)
        finally:
            self.ledger.wall += perf_counter() - self._began
            self._began = None

    def book(self, entry: str) -> AbstractContextManager[None]:
        """Books a block of work on this training; `wall` counts by itself only while the program runs."""
        return self.ledger.book(entry, wall=self._began is None)

    def _write(self, folder: Path) -> None:
        try:
            write_folder(folder, self.cohort, self.splits, self.engine, self.curve.log_points)
        except OSError as error:
            raise AssayError(
                f"{folder}: cannot be written: {error.strerror or error}; set TMPDIR to another folder"
            ) from None

    def _run(self, folder: Path) -> Iterator[TrainingStatus]:
        arguments = [self.engine.path, *self.engine.command.command[1:], str(folder)]
        process = ProgramProcess(arguments, folder, self._environment())
        started = perf_counter()
        try:
            while not process.done and self.outcome is Outcome.INTERRUPTED:
                lines = process.lines(_POLL_SECONDS)
                if self.curve.points or lines:  # from its first log point on, it trains
                    self._load.sample(process.group)
                for line in lines:
                    yield from self._on_message(line, perf_counter() - started)
                    if self.outcome is not Outcome.INTERRUPTED:
                        break
                yield self._status(self.points[-1] if self.points else _NO_POINT, new_point=False)
            if self.outcome is Outcome.INTERRUPTED:
                self._ended(process, folder)
                self._add(self.curve.points[-1])
                if self.outcome is Outcome.INTERRUPTED:
                    self.outcome, self.reason = Outcome.COMPLETED, f"{self.budget:,} iterations done"
                yield self._status(self.points[-1], new_point=True)
        except ProgramError as error:
            raise self._failure(error, process) from None
        finally:
            process.kill()

    def _on_message(self, line: bytes, seconds: float) -> Iterator[TrainingStatus]:
        """Reads a line. The last point of the curve is added only after the program has ended successfully."""
        if self.curve.complete:
            self.curve.read(line, seconds=seconds, examples=0)  # raises an error
        t = self.curve.log_points[len(self.curve.points)]
        point = self.curve.read(line, seconds=seconds, examples=examples_seen(self.recipe.batches, t, self.n))
        self.iteration, self.ledger.train = t, point.seconds or 0.0
        if t == 0:
            self._check(point, self._initial())
        values = vars(point).values()
        if any(isinstance(value, float) and math.isnan(value) for value in values):
            self.outcome, self.reason = Outcome.DIVERGED, f"loss not finite after iteration {t:,}"
            return
        if not self.curve.complete:
            self._add(point)
            yield self._status(point, new_point=True)

    def _add(self, point: Point) -> None:
        """Adds a point to the curve, and applies the stopping rules."""
        self.points.append(point)
        reason = self._rules.read(point)
        if reason:
            self.outcome, self.reason = Outcome.STOPPED, reason

    def _ended(self, process: ProgramProcess, folder: Path) -> None:
        """Checks how the program ended, and the weights that it saved. Raises: ProgramError."""
        self.end = process.end
        if process.failure:
            raise ProgramError(process.failure)
        assert process.end is not None  # it has not failed
        if process.end.code:
            raise ProgramError(f"{process.end.text} after {self.curve.progress}")
        if not self.curve.complete:
            raise ProgramError(f"ended with code 0 after {self.curve.progress}")
        with self.book("checkpoint"):
            self.weights = final_weights(folder, self.cohort.network.arrays)
        if self.weights:
            checkpoint = Checkpoint(self.iteration, {name: w[None] for name, w in self.weights.items()}, {})
            self._check(self.curve.points[-1], self._evaluated(checkpoint))

    # --- checks of the reported points ---

    def _initial(self) -> dict[str, Evaluation]:
        return self._evaluated(fresh(self.cohort))

    def _evaluated(self, checkpoint: Checkpoint) -> dict[str, Evaluation]:
        """Assay's own evaluation of weights, by split; the evaluator keeps them."""
        with self.book("evaluate"):
            weights_only = Checkpoint(checkpoint.t, checkpoint.weights, {})
            self._state = self._evaluator.start(self.cohort, weights_only, Splits(dict(self.splits.parts)))
            train = {"full": "train", "batch": ""}.get(str(self.recipe.log.train_loss), "subset")
            names = {"test": "test", "validation": "validation", "train": train}
            return {
                split: self._evaluator.evaluate(self._state, name)
                for split, name in names.items()
                if name in self.splits.parts
            }

    def _check(self, point: Point, measured: dict[str, Evaluation]) -> None:
        """Raises: ProgramError if a reported point differs from the evaluation of the weights at its iteration."""
        subset = self.splits.parts.get("subset", self.splits.parts["train"])
        examples = {name: len(y) for name, (_, y) in self.splits.parts.items()} | {"train": len(subset[1])}
        difference = disagreement(point, measured, examples, self.recipe.precision)
        if difference:
            where = f"line {len(self.curve.points)} of its output: at iteration {point.iteration:,}"
            raise ProgramError(f"{where} {difference}")

    def _failure(self, error: ProgramError, process: ProgramProcess) -> ProgramError:
        """The error with the program's name, and the end of its standard error."""
        sentence = f"{self.engine.name} {error}" if str(error)[:4] != "line" else f"{self.engine.name}, {error}"
        tail = process.last_errors
        return ProgramError(sentence + (f"\nits standard error ends with:\n{tail}" if tail else ""))

    # --- results ---

    def outputs(self, x: NDArray[Any]) -> Numbers | None:
        """The outputs (N, C) of the final weights for inputs (N, D); None if the program saved none."""
        return self._evaluator.outputs(self._state, x)[0] if self.weights else None

    def outputs_of(self, numbers: Collection[int], x: NDArray[Any]) -> dict[int, Numbers]:
        """The outputs (N, C) of the final weights for inputs (N, D), by the number 0; empty if it saved none."""
        outputs = self.outputs(x)
        return {} if outputs is None else dict.fromkeys(numbers, outputs)

    def histories_of(self, numbers: Collection[int]) -> dict[int, History]:
        """The history so far, by the number 0, as `Training` has it."""
        return dict.fromkeys(numbers, self.histories()[0])

    def histories(self) -> list[History]:
        """The history so far, in a list of one, as `Training` has it."""
        running = perf_counter() - self._began if self._began is not None else 0.0
        ledger = replace(self.ledger, wall=self.ledger.wall + running)
        weights = {name: w[None] for name, w in self.weights.items()}
        end = TrialEnd(
            points=self.points,
            ledger=ledger,
            outcome=self.outcome,
            reason=self.reason or f"interrupted after iteration {self.iteration:,}",
            checkpoint=Checkpoint(self.iteration, weights, {}),
            peak_memory_bytes=self.end.peak_memory_bytes if self.end else 0,
            load=self._load.load(self.ledger.train),
        )
        return [make_history(self.recipe, self.cohort, self.data, self.engine, end)]

    def _status(self, point: Point, *, new_point: bool) -> TrainingStatus:
        return TrainingStatus(self.iteration, self.budget, self.ledger.train, point, new_point)

    def _environment(self) -> dict[str, str]:
        """This process's environment, with the number of threads if the study sets one."""
        if self.engine.threads is None:
            return dict(os.environ)
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        return {**os.environ, **dict.fromkeys(names, str(self.engine.threads))}


def make_training(
    recipe: Recipe,
    engine: Any,
    data: Prepared,
    *,
    start: Sequence[History] = (),
    data_seconds: float = 0.0,
    log_points: Sequence[int] | None = None,
) -> Training | ExternalTraining:
    """The training of one recipe, by an engine or by an external program.

    Args:
        recipe: The recipe.
        engine: An engine or a program.
        data: The prepared data.
        start: A history to resume from; empty to begin from fresh weights.
        data_seconds: Seconds spent on loading and preparing the data.
        log_points: The log points, in place of the recipe's.

    Raises:
        AssayError: A program cannot resume from a history.
    """
    if not isinstance(engine, Program):
        return Training([recipe], engine, data, start=start, data_seconds=data_seconds, log_points=log_points)
    if start:
        raise AssayError("a program cannot resume from a history; leave out --start")
    points = log_points if log_points is not None else log_points_of(recipe, len(data.y_train))
    return ExternalTraining(recipe, engine, data, data_seconds=data_seconds, log_points=points)
