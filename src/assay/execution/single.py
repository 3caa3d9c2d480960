"""One recipe trained in this process and stored like any other trial; what is stored is not trained again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

from assay.data.dataset import Dataset
from assay.engines.program import Command
from assay.errors import AssayError
from assay.recipe.model import Recipe
from assay.store.queries import one_trial
from assay.store.records import Finished, history_of
from assay.store.store import Store
from assay.studies.plan import Planner
from assay.studies.study import Settings
from assay.system.machine_lock import machine_lock
from assay.system.signals import interruption
from assay.training.checkpoints import to_bytes
from assay.training.history import History, Outcome
from assay.training.loop import TrainingStatus, prepared
from assay.workers.batch import CHECKPOINT_SECONDS, confusion_of, covers
from assay.workers.external.training import make_training


class Single:
    """A trial of its own: `stored` is its history where the store has it, else `train` makes it."""

    def __init__(
        self,
        recipe: Recipe,
        store: Store,
        *,
        engine: str | Command = "auto",
        device: str = "cpu",
        threads: int | None = None,
        start: History | None = None,
        again: bool = False,
        time_limit: float | None = None,
    ) -> None:
        """`start`: a history to go on from, else the store's own, if it holds one of this trajectory. `time_limit`:
        seconds after which the training ends, whatever it does."""
        if threads is not None and threads < 1:
            raise AssayError(f"threads: got {threads}; expected a number >= 1")
        begin = perf_counter()
        self.store, self.recipe, self.time_limit = store, recipe, time_limit
        settings = Settings.model_construct(engine=engine, device=device, threads=threads, timing="isolated")
        self.planner = Planner(settings)
        self.trial = self.planner.trial(recipe)
        store.ask_again([self.trial.key], failed_only=not again)  # what failed is tried again without being asked
        fresh = again or start is not None
        self.stored = None if fresh else self._found()
        self._given = self._start() if not fresh and self.stored is None else start
        self._seconds = perf_counter() - begin

    def _found(self) -> History | None:
        """The trial as it is stored, with its weights where they were kept."""
        if not self.store.outcomes([self.trial.key]):
            return None
        found = history_of(one_trial(self.store.database, self.trial.key))
        kept = self.store.history(self.trial.key)
        return replace(kept, machine=found.machine) if kept else found

    def _start(self) -> History | None:
        start = self.store.start_of(self.trial.trajectory)
        if start is None or self.trial.program or start.iterations >= self.trial.iterations:
            return None
        return start if covers(start, [self.recipe], self.planner.examples(self.recipe)) else None

    def train(
        self,
        show: Callable[[TrainingStatus], None] = lambda status: None,
        *,
        on_wait: Callable[[], None] = lambda: None,
    ) -> History:
        """Trains, on Ctrl-C until there, and stores the result, or the checkpoint to go on from.

        `on_wait` is called where another trial on this machine must end first.
        """
        begin = perf_counter()
        data: Dataset = self.planner.data(self.recipe.data.name)
        parts, engine = prepared(self.recipe, data), self.planner.engine(self.recipe)
        start = self._given
        if start is not None and self.recipe.data.name != start.recipe.data.name:
            start = replace(start, recipe=start.recipe.model_copy(update={"data": self.recipe.data}))
        seconds = self._seconds + perf_counter() - begin
        run = make_training(self.recipe, engine, parts, start=[start] if start else [], data_seconds=seconds)
        self.store.add_trial(self.trial)
        saved, late = perf_counter(), False
        with (
            interruption(run.engine.cancel) as interrupted,
            machine_lock("isolated", cancelled=interrupted, on_wait=on_wait) as waited,
        ):
            run.ledger.wait += waited
            run.ledger.wall += waited
            limit = perf_counter() + (self.time_limit or math.inf)
            for status in run:
                show(status)
                late = perf_counter() > limit
                if interrupted() or late:
                    break
                if run.can_resume and perf_counter() - saved > CHECKPOINT_SECONDS:
                    self.store.save_alone(self.trial, run.histories()[0])
                    saved = perf_counter()
        history = run.histories()[0]
        if late and history.outcome is Outcome.INTERRUPTED:
            history = replace(history, outcome=Outcome.TIMED_OUT, reason=f"not done after {self.time_limit:g} s")
        if history.outcome is Outcome.INTERRUPTED:
            if run.can_resume:
                self.store.save_alone(self.trial, history)
            return history
        whole = history.outcome in (Outcome.COMPLETED, Outcome.STOPPED)
        confusion = confusion_of(run) if whole else None
        content = to_bytes(history) if history.checkpoint.weights else None
        self.store.store_alone(self.trial, Finished(history.outcome, history.reason, history, None, confusion, content))
        return history
