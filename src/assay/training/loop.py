"""The one training loop, for every engine: evaluation, timing, logging, stopping and checkpoints.

The clock encloses `advance` and nothing else. Iterations are done in chunks that end at the next log point, or after
about a tenth of a second, so that a caller can show progress or cancel between two chunks.
"""

from __future__ import annotations

import bisect
import math
import resource
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import Dataset
from assay.data.prepare import Prepared, prepare
from assay.engines.base import Checkpoint, Cohort, Engine, Splits, fresh
from assay.engines.promises import resumes_exactly
from assay.errors import AssayError, RecipeError
from assay.parts.batches import examples_seen, iterations_per_epoch, make_batches
from assay.parts.layers import Weights
from assay.parts.models import flops_training
from assay.recipe.cohorts import static_form
from assay.recipe.model import Recipe
from assay.system.limits import LOG_POINTS
from assay.system.load import Load, LoadMeter
from assay.training.checks import check_start, recipe_problems
from assay.training.history import History, Point, cohort_checkpoint, member_checkpoint
from assay.training.ledger import Ledger
from assay.training.log_points import next_log_point
from assay.training.measures import Measures
from assay.training.outcome import Outcome
from assay.training.own_measures import OwnMeasures
from assay.training.prediction import as_probabilities
from assay.training.scoring import Scoring
from assay.training.shares import Share, Taken
from assay.training.stopping import StoppingRules, own_points
from assay.training.trial_end import TrialEnd, make_history

_CHUNK_SECONDS = 0.1
_LAST_SECONDS = 0.002  # of a chunk before a limit in seconds
_CHUNK_ROWS = 2**20  # of row numbers generated at once
_CHUNK_ITERATIONS = 2**16


@dataclass(frozen=True)
class TrainingStatus:
    """The progress of a running training."""

    iteration: int
    iterations: int  # the budget
    seconds: float  # of training so far
    point: Point  # the last log point of the first trial that is still trained
    new_point: bool


@dataclass
class _Trial:
    """The state of one trial of the cohort."""

    recipe: Recipe
    points: list[Point]
    rules: StoppingRules
    outcome: Outcome | None = None
    reason: str = ""
    done: int = 0  # iterations
    before: float = 0.0  # seconds of the training that it resumes
    taken: Taken | None = None  # of a trial that ended before others of its cohort


class Training:
    """A cohort in training: iterate over it to its end, or cancel by leaving the loop; then take its `histories`.

    >>> from assay.data.datasets import load
    >>> from assay.engines import load as load_engine
    >>> recipe = Recipe.parse({"budget": {"iterations": 10}})
    >>> for status in (training := Training([recipe], load_engine("numpy"), prepared(recipe, load("digits")))):
    ...     pass
    >>> training.histories()[0].outcome.value
    'completed'
    """

    can_resume = True
    """Whether another training can resume from a history of this one."""

    def __init__(
        self,
        recipes: Sequence[Recipe],
        engine: Engine,
        data: Prepared,
        *,
        start: Sequence[History] = (),
        data_seconds: float = 0.0,
        log_points: Sequence[int] | None = None,
        measures: Measures | None = None,
    ) -> None:
        """Places the data and the initial or resumed weights on the engine. Raises: RecipeError, AssayError.

        `start`: histories to resume from, one for each recipe. `data_seconds`: the seconds that preparing `data` took.
        `log_points`: the iterations at which the curves have points, ascending; by default those of the recipes.
        `measures`: a user's own, of the first trial.
        """
        begin, processor_begin = perf_counter(), process_time()
        self.log_points = log_points
        self.measures, self._own = measures, dict[int, dict[str, float]]()
        self._began: tuple[float, float] | None = None  # the clock and the processor's, while the loop runs
        self.engine, self.data, self.earlier = engine, data, start
        self.n = len(data.y_train)
        recipes = [recipe.resolved(self.n) for recipe in recipes]
        self.recipe = recipes[0]
        if len({static_form(recipe) for recipe in recipes}) != 1:
            raise AssayError("the recipes of one cohort may differ only in traced numbers; group them with cohorts()")
        self.cohort = Cohort(tuple(recipes), self.recipe.model.network(data.shape, data.classes))
        problems = recipe_problems(self.cohort, self.n, engine)
        if problems:
            raise RecipeError(problems)
        self.budget = self.recipe.iterations(self.n)
        self._budget_seconds = self.recipe.budget.seconds
        if self._budget_seconds is not None and len(recipes) > 1:
            raise AssayError("a budget in seconds is of one training alone; train these recipes one after the other")
        check_start(recipes, start, data_checksum=data.checksum, examples=self.n)
        self.ledger = Ledger(data=data_seconds, processor={})
        self._load = LoadMeter()
        with self.ledger.book("data"):
            engine.wake()
            checkpoint = cohort_checkpoint([h.checkpoint for h in start]) if start else fresh(self.cohort)
            started = perf_counter()
            splits = splits_of(self.recipe, data)
            self._scoring = Scoring.of(self.recipe.loss, data.targets, splits)
            self.state = engine.start(self.cohort, checkpoint, splits)
            self._preparation = engine.preparation(self.state, perf_counter() - started)
        self.t = checkpoint.t
        self.trials = [_Trial(recipe, [], StoppingRules(recipe, self.n), done=self.t) for recipe in recipes]
        for trial, history in zip(self.trials, start, strict=False):
            trial.points, trial.before = list(history.points), history.ledger.train
            self._replay(trial)
        self._rows = list(range(len(recipes)))  # of the engine's state: the number of the trial in each
        self._seeds = self.cohort.seeds  # of the rows
        self._share, self._members = Share(), len(recipes)  # between how many trials time is shared
        self.seconds = start[0].ledger.train if start else 0.0
        self._shared_seconds = 0.0  # of a member of the cohort, without the training that it resumes
        self._rate = 0.0  # iterations per second of the last chunk
        self._next_seconds = self._interval_seconds()
        self.ledger.add("wall", data_seconds + perf_counter() - begin, process_time() - processor_begin)

    # --- the loop ---

    def __iter__(self) -> Iterator[TrainingStatus]:
        """Trains to the end of the budget; yields after every chunk. Leaving the loop keeps a consistent state."""
        self._began = perf_counter(), process_time()
        try:
            if not self.trials[0].points:
                self._log_point(np.full(len(self._rows), np.nan))
            yield self._status(new_point=True)
            self._warm_up()
            yield from self._chunks()
        finally:
            self._load.close()
            self.ledger = self._spent()
            self._began = None
        for trial in self.trials:
            if trial.outcome is None:
                trial.outcome, trial.reason = Outcome.COMPLETED, self._budget_done()

    def _budget_done(self) -> str:
        if self._budget_seconds is None:
            return f"{self.budget:,} iterations done"
        return f"{self._budget_seconds:g} s of training done: {self.seconds:.4g} s, {self.t:,} iterations"

    def _chunks(self) -> Iterator[TrainingStatus]:
        while self.t < self.budget and self._alive().any():
            with self.ledger.book("data"):
                count = self._chunk_size()
                batches = make_batches(self.recipe.batches, self._seeds, self.t + 1, count, self.n)
            alive = self._alive()
            self._share_out(int(alive.sum()))
            self._load.begin()
            begin = perf_counter()
            self.state, progress = self.engine.advance(self.state, batches, alive)
            elapsed = perf_counter() - begin
            self._load.end(0.0 if progress.cancelled else elapsed)
            if progress.cancelled:  # the chunk is repeated, so its seconds do not count as training
                yield self._status(new_point=False)
                continue
            self.ledger.train += elapsed
            self.seconds += elapsed
            self._shared_seconds += elapsed / self._members
            self._rate = count / max(elapsed, 1e-9)
            self.t += count
            self._end_diverged(progress.broken)
            new_point = self._is_log_point()
            if new_point:
                self._log_point(progress.losses[:, -1])
            self._apply_seconds_rules()
            yield self._status(new_point=new_point)

    def _warm_up(self) -> None:
        if self.t < self.budget:
            with self.ledger.book("compile"):
                count = min(self.budget - self.t, 64)
                batches = make_batches(self.recipe.batches, self._seeds, self.t + 1, count, self.n)
                self.engine.warm_up(self.state, batches)

    def _alive(self) -> NDArray[np.bool_]:
        """Which rows of the engine's state are still trained."""
        return np.array([self.trials[number].outcome is None for number in self._rows])

    def _status(self, *, new_point: bool) -> TrainingStatus:
        shown = next((self.trials[number] for number in self._rows if self.trials[number].outcome is None), None)
        point = (shown or self.trials[self._rows[0]]).points
        return TrainingStatus(self.t, self._expected(), self.seconds, point[-1], new_point)

    def _expected(self) -> int:
        """The budget in iterations; where it is in seconds, what the pace so far makes of them."""
        if self._budget_seconds is None:
            return self.budget
        pace = self.t / self.seconds if self.seconds else 0.0
        return max(self.t, round(pace * self._budget_seconds))

    # --- members of a cohort ---

    def leave(self, numbers: Collection[int]) -> None:
        """Ends trials of a cohort whose histories have been taken; they have none from now on.

        Where half of the cohort has ended, the others go on in a smaller one, with the same bits (laws 3 and 5).
        """
        for number in numbers:
            self.trials[number].outcome = self.trials[number].outcome or Outcome.INTERRUPTED
        left = [number for number in self._rows if self.trials[number].outcome is None]
        if not left or len(left) > len(self._rows) // 2:
            return
        with self.ledger.book("data"):
            checkpoint = self.engine.export(self.state)
            members = [member_checkpoint(checkpoint, self._rows.index(number), self.t) for number in left]
            smaller = Cohort(tuple(self.trials[number].recipe for number in left), self.cohort.network)
            self.state = self.engine.start(smaller, cohort_checkpoint(members), splits_of(self.recipe, self.data))
            self._rows, self._seeds = left, smaller.seeds

    def foreign_seconds(self) -> float | None:
        """The seconds that foreign load took from this training so far; None if unknown on this system."""
        self._load.close()
        return self._load.foreign

    def _share_out(self, members: int) -> None:
        """Shares out what was spent so far, then divides what follows among so many members."""
        if len(self.trials) > 1:
            self._share.add(self._spent(), self._load.foreign, members=self._members)
            for trial in (self.trials[number] for number in self._rows):
                if trial.outcome is not None and trial.taken is None:
                    trial.taken = self._share.taken(self._shared_seconds)
        self._members = max(1, members)

    def _seconds_of(self, trial: _Trial) -> float:
        """The training seconds of a trial so far; in a cohort, its part of them."""
        return self.seconds if len(self.trials) == 1 else trial.before + self._shared_seconds

    def _chunk_size(self) -> int:
        """The number of iterations of the next chunk: up to the next log point, the budget, or a tenth of a second."""
        width = self.recipe.batches.width(self.n) if self.recipe.batches.kind != "full" else 1
        rows = _CHUNK_ROWS // (width * len(self._rows))
        affordable = int(self._rate * self._chunk_seconds()) if self._rate else 1
        reach = min(self._log_point_after(self.t), self.budget) - self.t
        return max(1, min(reach, affordable, rows, _CHUNK_ITERATIONS))

    def _chunk_seconds(self) -> float:
        """The seconds until the next chunk must end."""
        limits = [_CHUNK_SECONDS]
        for end in (self.recipe.stop.seconds, self._budget_seconds):
            if end is not None:  # half of what is left, so that a slower last chunk ends little later
                left = end - self.seconds
                limits.append(left / 2 if left > _LAST_SECONDS else left)
        if self._next_seconds is not None:
            limits.append(self._next_seconds - self.seconds)
        return max(0.0, min(limits))

    # --- log points ---

    def _interval_seconds(self) -> float | None:
        number, unit = self.recipe.log.interval()
        return (math.floor(self.seconds / number) + 1) * number if unit == "seconds" else None

    def _log_point_after(self, t: int) -> int:
        if self.log_points is None:
            return next_log_point(self.recipe, self.n, t)
        i = bisect.bisect_right(self.log_points, t)
        return self.log_points[i] if i < len(self.log_points) else sys.maxsize

    def _is_log_point(self) -> bool:
        if self._next_seconds is not None and self.seconds >= self._next_seconds:
            self._next_seconds = self._interval_seconds()
            return True
        ended = not self._alive().any() or self.t == self.budget
        return ended or self.t == self._log_point_after(self.t - 1)

    def _log_point(self, batch_losses: NDArray[np.float64]) -> None:
        """Evaluates the cohort, adds a point to every running trial, and applies the stopping rules on points."""
        with self.ledger.book("evaluate"):
            splits = ["test"] + (["validation"] if self.data.x_validation is not None else [])
            kind = self.recipe.log.train_loss
            train = {"full": "train", "batch": ""}.get(str(kind), "subset")
            results = {name: self.engine.evaluate(self.state, name) for name in [*splits, train] if name}
        if len(self.trials[self._rows[0]].points) >= LOG_POINTS.most:
            raise RecipeError([f"log.every: made {LOG_POINTS} by iteration {self.t:,}, the most; log less often"])
        seen = examples_seen(self.recipe.batches, self.t, self.n)
        for row, trial in enumerate(self.trials[number] for number in self._rows):
            if trial.outcome is not None:
                continue
            values: dict[str, float | None] = {}
            for name, result in results.items():
                prefix = "train" if name == train else name
                loss = float(result.loss[row])
                values[f"{prefix}_loss"] = loss
                scores = self._scoring.scores(name, loss=loss, accuracy=float(result.accuracy[row]))
                values |= {f"{prefix}_{metric}": value for metric, value in scores.items()}
            if kind == "batch" and not math.isnan(batch_losses[row]):
                values["train_loss"] = float(batch_losses[row])
            trial.done = self.t
            if not all(math.isfinite(value) for value in values.values() if value is not None):
                self._end(trial, Outcome.DIVERGED, f"loss not finite after iteration {self.t:,}")
                continue
            trial.points.append(Point(self.t, seen, self._seconds_of(trial), **values))
            if self.measures is not None and trial is self.trials[0]:
                self._measure(self.measures)
            self._apply_point_rules(trial)

    def _measure(self, measures: Measures) -> None:
        """Computes a user's measures of the first trial. Raises: MeasureError."""
        data = self.data
        parts = {"validation": (data.x_validation, data.y_validation), "test": (data.x_test, data.y_test)}
        own = self._own.setdefault(self.t, {})
        with self.ledger.book("evaluate"):
            for split, (x, y) in parts.items():
                if x is None or y is None:
                    continue
                outputs = np.asarray(self.outputs(x), np.float64)
                if data.targets is not None:
                    outputs, y = data.targets.invert(outputs[:, 0]), data.targets.invert(y)
                else:
                    outputs = as_probabilities(outputs, self.recipe.model.output)
                own |= measures.at(self.t, split, outputs, y)

    # --- ends ---

    def _end(self, trial: _Trial, outcome: Outcome, reason: str) -> None:
        trial.outcome, trial.reason = outcome, reason

    def _end_diverged(self, broken: NDArray[np.int64]) -> None:
        """Ends the trials with a loss that is not finite; `broken` (T,) has the iteration of the first, or 0."""
        for number, t in zip(self._rows, broken, strict=True):
            trial = self.trials[number]
            if trial.outcome is None:
                trial.done = self.t
                if t:
                    trial.done = int(t) - 1
                    self._end(trial, Outcome.DIVERGED, f"loss not finite at iteration {int(t):,}")

    def _apply_point_rules(self, trial: _Trial) -> None:
        reason = trial.rules.read(trial.points[-1])
        if reason:
            self._end(trial, Outcome.STOPPED, reason)

    def _replay(self, trial: _Trial) -> None:
        """Passes the points of a start to the rules, which end the trial if they do so at the start's last point."""
        for point in own_points(trial.recipe, trial.points, self.n):
            reason = trial.rules.read(point)
            if reason and point.iteration == self.t:
                self._end(trial, Outcome.STOPPED, reason)

    def _apply_seconds_rules(self) -> None:
        """Ends the trials at the seconds of a stopping rule or of the budget, with a last point."""
        stop = self.recipe.stop.seconds
        stopped = stop is not None and self.seconds >= stop
        done = self._budget_seconds is not None and self.seconds >= self._budget_seconds
        if not (stopped or done) or not self._alive().any():
            return
        if self.trials[0].points[-1].iteration != self.t:
            self._log_point(np.full(len(self._rows), np.nan))
        outcome = Outcome.STOPPED if stopped else Outcome.COMPLETED
        reason = f"{stop:g} seconds of training reached" if stopped else self._budget_done()
        for trial in self.trials:
            if trial.outcome is None:
                self._end(trial, outcome, reason)

    # --- results ---

    def histories(self) -> list[History]:
        """The histories so far, one for each recipe; a trial that has not ended counts as interrupted."""
        return list(self.histories_of(range(len(self.trials))).values())

    def histories_of(self, numbers: Collection[int]) -> dict[int, History]:
        """The histories so far of some trials, by their numbers; in a cohort, with their part of the seconds."""
        self._load.close()
        with self.book("checkpoint"):
            checkpoint = self.engine.export(self.state)
        self._share_out(self._members)
        return {number: self._history(number, checkpoint) for number in numbers}

    def book(self, entry: str) -> AbstractContextManager[None]:
        """Books a block of work on this training; `wall` counts by itself only while the loop runs."""
        return self.ledger.book(entry, wall=self._began is None)

    def _spent(self) -> Ledger:
        """The ledger so far, also while the loop runs."""
        ledger = replace(self.ledger, processor={**(self.ledger.processor or {}), "train": self._load.processor})
        if self._began is not None:
            ledger.add("wall", perf_counter() - self._began[0], process_time() - self._began[1])
        return ledger

    def _taken(self, trial: _Trial) -> Taken:
        """What a trial has taken of this training; in a cohort, its part of it."""
        if len(self.trials) == 1:
            return Taken(self._spent(), self._load.foreign)
        return trial.taken or self._share.taken(self._shared_seconds)

    def _load_with(self, earlier: History | None, taken: Taken, ledger: Ledger) -> Load:
        """The load of the training, with that of the training it resumes; a cohort is judged by all of its seconds."""
        processor, foreign = (ledger.processor or {}).get("train"), taken.foreign
        if earlier is not None:
            before = earlier.load.foreign
            foreign = None if foreign is None or before is None else foreign + before
        load = Load.judged(processor=processor, foreign=foreign, seconds=ledger.train)
        if len(self.trials) == 1:
            return load
        whole = Load.judged(processor=None, foreign=self._load.foreign, seconds=self.ledger.train)
        return replace(load, busy=whole.busy)

    def _history(self, number: int, checkpoint: Checkpoint) -> History:
        trial, earlier = self.trials[number], self.earlier[number] if self.earlier else None
        taken = self._taken(trial)
        ledger = taken.ledger.plus(earlier.ledger) if earlier else taken.ledger
        end = TrialEnd(
            points=trial.points,
            ledger=ledger,
            outcome=trial.outcome or Outcome.INTERRUPTED,
            reason=trial.reason or f"interrupted after iteration {trial.done:,}",
            checkpoint=member_checkpoint(checkpoint, self._rows.index(number), trial.done),
            peak_memory_bytes=peak_memory(),
            load=self._load_with(earlier, taken, ledger),
            preparation_seconds=self._preparation,
            skipped=self._skipped(),
            warnings=self.engine.warnings(self.state),
        )
        history = make_history(trial.recipe, self.cohort, self.data, self.engine, end)
        if own := self._measured(number, earlier):
            history = replace(history, own=own)
        if earlier is None or not earlier.iterations:
            return history
        history = replace(history, cohort=max(history.cohort, earlier.cohort))
        if self.engine.device != "cpu" and not resumes_exactly(self.engine.name, self.engine.device):
            history = replace(history, warnings=(*history.warnings, _resumed(self.engine, earlier)))
        if earlier.level == history.level:
            return history
        both = earlier.level is not None and history.level is not None
        return replace(history, level=f"{earlier.level}, then {history.level}" if both else None)

    def _measured(self, number: int, earlier: History | None) -> OwnMeasures | None:
        """The user's measures of a trial, with those of the training that it resumes."""
        before = earlier.own if earlier is not None else None
        if self.measures is None or number:
            return before
        now = OwnMeasures(self.measures.higher, {t: dict(values) for t, values in self._own.items()})
        return now if before is None else before.plus(now)

    def _skipped(self) -> float | None:
        """The fraction of the counted operations that the engine skips; None if unknown."""
        inputs, network, n = self.engine.skipped(self.state), self.cohort.network, self.n
        if inputs is None:
            return None
        iterations = max(1, round(iterations_per_epoch(self.recipe.batches, n)))
        whole = flops_training(network, self.recipe.loss, self.recipe.optimizer, iterations=iterations, examples=n)
        return inputs * n * sum(network.layers[0].flops(first=True)) / whole

    def weights(self) -> Weights:
        """A copy of the weights (1, *shape) of the first trial by name."""
        return self.weights_of([0])[0]

    def weights_of(self, numbers: Collection[int]) -> dict[int, Weights]:
        """Copies of the weights (1, *shape) by name of some trials, by their numbers."""
        checkpoint = replace(self.engine.export(self.state), slots={})
        return {n: member_checkpoint(checkpoint, self._rows.index(n), self.t).weights for n in numbers}

    def outputs(self, x: NDArray[Any]) -> NDArray[Any]:
        """The outputs (N, C) of the first trial for inputs (N, D)."""
        return self.engine.outputs(self.state, x)[0]

    def outputs_of(self, numbers: Collection[int], x: NDArray[Any]) -> dict[int, NDArray[Any]]:
        """The outputs (N, C) for inputs (N, D) of some trials, by their numbers."""
        outputs = self.engine.outputs(self.state, x)
        return {number: outputs[self._rows.index(number)] for number in numbers}


def _resumed(engine: Engine, earlier: History) -> str:
    """The sentence on a training that was resumed where law 5 does not promise the same bits."""
    return (
        f"resumed at iteration {earlier.iterations:,}: on device {engine.device!r}, engine {engine.name!r} does not "
        "promise the bits of an uninterrupted training"
    )


def splits_of(recipe: Recipe, data: Prepared) -> Splits:
    """The parts of the data that a recipe trains on and is evaluated on."""
    parts = {"train": (data.x_train, data.y_train), "test": (data.x_test, data.y_test)}
    if data.x_validation is not None and data.y_validation is not None:
        parts["validation"] = (data.x_validation, data.y_validation)
    if isinstance(recipe.log.train_loss, int):
        subset = slice(0, recipe.log.train_loss)
        parts["subset"] = (data.x_train[subset], data.y_train[subset])
    return Splits(parts)


def train(recipes: Sequence[Recipe], engine: Engine, data: Prepared, *, start: Sequence[History] = ()) -> list[History]:
    """Trains a cohort to its end; returns one history per recipe. Raises: RecipeError, AssayError."""
    training = Training(recipes, engine, data, start=start)
    for _ in training:
        pass
    return training.histories()


def peak_memory() -> int:
    """The peak memory of this process, in bytes."""
    with suppress(OSError):  # unlike VmHWM, ru_maxrss is inherited from the process that started this one
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def prepared(recipe: Recipe, dataset: Dataset) -> Prepared:
    """A data set scaled and split as a recipe says."""
    return prepare(dataset, recipe.preparation)
