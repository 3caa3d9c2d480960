"""The study loop: skip what is stored, train the rest in workers, store each trial when it ends."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from time import monotonic, sleep
from typing import Any

import numpy as np

from assay.execution.active import ActiveJob
from assay.execution.estimates import estimated
from assay.execution.labels import labels_of
from assay.execution.queue import Queue
from assay.execution.running import RunningNotes
from assay.execution.status import RunningTrial, StudyStatus
from assay.execution.winners import keep_winners
from assay.parts.user_optimizers import code_hash
from assay.store import leases
from assay.store.leases import Lease
from assay.store.progress import Running
from assay.store.records import Finished
from assay.store.store import Store
from assay.studies.plan import Job, Plan, Trial
from assay.system.machine import usable_cores
from assay.training.checkpoints import from_bytes, to_bytes
from assay.training.history import History
from assay.training.outcome import RETRIED, Outcome
from assay.training.stopping import own_points
from assay.workers.batch import can_resume, covers, read_off
from assay.workers.eta import Estimates, remaining
from assay.workers.pool import Workers, import_path

_POLL_SECONDS = 0.1
_log = logging.getLogger("assay.execution")
_OTHERS_SECONDS = 0.5  # between two queries for what other processes hold
_GRACE_SECONDS = 30.0  # after the time limit, before a worker that does not respond is killed


class Execution:
    """Executes a plan: iterate over it to run it. Each trial is stored as soon as it is finished.

    Several plans, which must be one of the `pools`, train a trajectory that they share once.

    Args:
        plans: What to train.
        store: Where results are looked up and stored.
        retry: Retrain trials that failed, were lost, timed out or ran out of memory.
        again: Retrain every trial, from its first iteration.
        starts: Histories to resume from, by trajectory, in place of the store's checkpoints.
        reads_off: Whether a shorter trial may be read off the stored curve of a longer one, which leaves it without
            weights.
        prunes: Whether the studies end with this run, so that `keep = "winners"` prunes the weights of the others.
    """

    def __init__(
        self,
        plans: Plan | Sequence[Plan],
        store: Store,
        *,
        retry: bool = False,
        again: bool = False,
        starts: Mapping[str, History] | None = None,
        reads_off: bool = True,
        prunes: bool = True,
    ) -> None:
        self.plans = (plans,) if isinstance(plans, Plan) else tuple(plans)
        self.store = store
        self.trials = {key: trial for plan in self.plans for key, trial in plan.trials.items()}
        self._examples = {key: n for plan in self.plans for key, n in plan.examples.items()}
        self._settings = self.plans[0].study.settings  # only timing, device, threads and limits, which a pool shares
        self._kept = {key for plan in self.plans if plan.study.settings.keep != "nothing" for key in plan.trials}
        self._save_best = {key for plan in self.plans if plan.study.settings.save_best for key in plan.trials}
        self._retry, self._again = retry, again
        self._starts, self._reads_off, self._prunes = dict(starts or {}), reads_off, prunes
        known = {} if again or starts else store.outcomes(self.trials)
        self.outcomes = {key: outcome for key, outcome in known.items() if not (retry and outcome in RETRIED)}
        self._stored = set(self.outcomes)
        self.open = Queue(trial for key, trial in self.trials.items() if key not in self.outcomes)
        self._estimates: Estimates | None = None
        self.labels = labels_of(self.plans)
        self.best: tuple[str, float] | None = None
        self._active: dict[int, ActiveJob] = {}
        self._stop = self._stop_sent = False
        self.workers = Workers(0)
        self._notes = RunningNotes(store)

    @property
    def name(self) -> str:
        """The names of the studies."""
        return ", ".join(plan.study.name for plan in self.plans)

    @property
    def stored(self) -> int:
        """The number of trials that were stored before."""
        return len(self._stored)

    @property
    def timing(self) -> str:
        """How trials are timed: "isolated" or "packed"."""
        return self._settings.timing

    @property
    def seconds(self) -> float:
        """The estimated seconds of the open jobs. The first access may calibrate, which takes seconds."""
        if self._estimates is None:
            seconds = estimated(list(self.open), self.store, self._examples) if len(self.open) else {}
            limit = math.inf if self._settings.time_limit is None else self._settings.time_limit
            longest = {job.trajectory: limit * len(job.trials) for job in self.open}
            self._estimates = Estimates({job: min(value, longest[job]) for job, value in seconds.items()})
        return remaining([self._estimates.of(job.trajectory) for job in self.open], self._count())

    def register(self) -> None:
        """Stores the studies with their trials, and marks the results to be retrained. Iterating calls it first."""
        for plan in self.plans:
            self.store.register(plan)
        if self._again or self._retry or self._starts:
            every = self._again or bool(self._starts)
            self.store.mark_stale(self.trials, failed_only=not every, keep_checkpoints=not self._again)
        self._again = self._retry = False

    def changes(self) -> list[str]:
        """What running changes in stored studies of the same names, a sentence for each that changes."""
        changes = [self.store.change(plan) for plan in self.plans]
        return [change.sentence() for change in changes if change is not None]

    def _count(self) -> int:
        if self._settings.timing == "isolated" or self._settings.device != "cpu":
            return 1
        return max(1, len(usable_cores()) // (self._settings.threads or 1))

    def stop(self) -> None:
        """Requests a stop: the workers save their checkpoints, then the loop ends."""
        self._stop = True  # the loop sends it: a signal may interrupt another message

    def without_best(self) -> int:
        """How many of the trials that were stored before lack the weights of the best point that `save_best` keeps."""
        pruned = {key for plan in self.plans if plan.study.settings.keep == "winners" for key in plan.trials}
        return sum(not self.store.has_best(key) for key in (self._stored & self._save_best) - pruned)

    def checkpoint_of(self, trial: Trial) -> History | None:
        """What a trial that was cancelled has done, if it can resume from it: its own curve, and the weights."""
        start = self._usable(self.store.start_of(trial.trajectory), [trial])
        if start is None:
            return None
        points = own_points(trial.recipe, start.points, self._examples[trial.key])
        return replace(start, recipe=trial.recipe, points=tuple(points))

    # --- the loop ---

    def __iter__(self) -> Iterator[StudyStatus]:
        """Trains until every trial has ended; yields several times a second. Raises: StoreError."""
        self.register()
        yield self._status()
        if not len(self.open):
            self._prune()
            return
        self.workers = self._workers()
        try:
            yield from self._loop()
        finally:
            self.workers.kill_all()
            with suppress(Exception):  # if the store cannot be written, its leases expire
                for active in self._active.values():
                    self.store.leases.release(active.lease)
                self._notes.end()
        self._prune()
        yield self._status()

    def _prune(self) -> None:
        """Prunes the weights of the studies that keep those of their winners alone, and that have ended."""
        for plan in self.plans:
            ended = all(key in self.outcomes for key in plan.trials)
            if self._prunes and ended and plan.registers and plan.study.settings.keep == "winners":
                keep_winners(self.store, plan.study.name)

    def _workers(self) -> Workers:
        """As many workers as the machine has room for, pinned to cores if trials run in parallel."""
        count, width = min(self._count(), len(self.open)), self._settings.threads or 1
        if count > 1 and self._estimates is not None:
            self.open.longest_first(self._estimates.of)
        cores: list[list[int]] = []
        if self._settings.timing == "packed" and self._settings.device == "cpu":
            usable = usable_cores()
            cores = [usable[n * width : (n + 1) * width] for n in range(count)]
        return Workers(count, cores=cores, memory_limit=self._settings.memory_limit)

    def _loop(self) -> Iterator[StudyStatus]:
        renewed = synced = monotonic()
        while True:
            if not self._stop:
                self._assign()
            elif not self._stop_sent:
                self._stop_sent = True
                self.workers.broadcast("stop")
            if not self._active:
                if self._stop or not len(self.open):
                    return
                self._sync_with_others()
                synced = monotonic()
                yield self._status()
                sleep(_OTHERS_SECONDS)
                continue
            for number, head, content in self.workers.messages(_POLL_SECONDS):
                self._on_message(number, head, content)
            self._kill_silent()
            if self._notes.due():
                self._notes.note([self._running_of(active) for active in self._active.values()])
            if monotonic() - renewed > leases.SECONDS / 4:
                self.store.leases.renew([active.lease for active in self._active.values()])
                renewed = monotonic()
            if self.open.elsewhere and monotonic() - synced > _OTHERS_SECONDS * 10:
                self._sync_with_others()
                synced = monotonic()
            yield self._status()

    def _assign(self) -> None:
        """Gives every idle worker a job that no other process has."""
        for number in range(len(self.workers.processes)):
            while number not in self._active:
                claimed, ended = self.store.leases.claim_or_done(self.open.free(self._running()))
                for key, outcome in ended.items():
                    self._note(key, outcome, None)
                for key in ended:
                    self._close(self.trials[key].trajectory)
                if claimed is None:
                    if next(self.open.free(self._running()), None) is not None:
                        self._sync_with_others()
                    return
                self._begin(number, *claimed)

    def _running(self) -> set[str]:
        return {active.lease.trajectory for active in self._active.values()}

    def _begin(self, number: int, lease: Lease, job: Job) -> None:
        """Starts a claimed job, after reading off the stored curve every trial that it covers."""
        start, left = self.store.start_of(job.trajectory), list(job.trials)
        if start is not None and self._reads_off and job.trajectory not in self._starts:
            left = self._read_off(lease, left, start)
        if not left:
            self.store.leases.release(lease)
            self._close(job.trajectory)
            return
        first = left[0]
        start = self._starts.get(job.trajectory) or self._usable(start, left)
        content = to_bytes(start) if start is not None else b""
        self._active[number] = ActiveJob(lease, Job(job.trajectory, tuple(left)), {trial.key: trial for trial in left})
        self.workers.train(
            number,
            content,
            trials=[self._message(trial) for trial in left],
            code=code_hash(first.recipe.optimizer),
            path=import_path(),
            engine=first.engine,
            choice=first.engine_choice,
            program=first.program.plain() if first.program else None,
            device=first.device,
            threads=first.threads if first.timing == "isolated" else first.threads or 1,
            timing=first.timing,
            work=f"study {self.name!r}",
            time_limit=self._settings.time_limit,
        )

    def _message(self, trial: Trial) -> dict[str, Any]:
        return {"key": trial.key, "recipe": trial.recipe.plain(), "save_best": trial.key in self._save_best}

    def _usable(self, start: History | None, trials: Sequence[Trial]) -> History | None:
        """The stored history if the trials can resume from it, else None."""
        if start is None or trials[0].program or start.iterations >= trials[-1].iterations:
            return None
        recipes, n = [trial.recipe for trial in trials], self._examples[trials[0].key]
        save_best = [number for number, trial in enumerate(trials) if trial.key in self._save_best]
        return start if can_resume(start, recipes, n, save_best=save_best) else None

    def _read_off(self, lease: Lease, trials: list[Trial], start: History) -> list[Trial]:
        """Stores the trials that end within a stored curve; returns the others."""
        left: list[Trial] = []
        for trial in trials:
            n = self._examples[trial.key]
            covered = trial.key not in self._save_best and covers(start, [trial.recipe], n)
            history = read_off(start, trial.recipe, n, trial.test_counts) if covered else None
            if history is None:
                left.append(trial)
                continue
            history = replace(history, warnings=(*trial.notes, *history.warnings))
            finished = Finished(history.outcome, history.reason, history)
            if self.store.finish(lease, trial, finished):
                self._note(trial.key, history.outcome, history.accuracy)
        return left

    # --- messages of workers ---

    def _on_message(self, number: int, head: dict[str, Any] | None, content: bytes) -> None:
        active = self._active.get(number)
        if head is None:
            reason = self.workers.drop(number)
            if active is not None:
                self._worker_lost(number, active, reason)
            return
        if active is None or head["kind"] == "ready":
            return
        if head["kind"] == "status":
            measured = {name: head[name] for name in ("accuracy", "loss", "point")}
            active.update(head["iteration"], expected=head["iterations"], **measured)
        elif head["kind"] == "waiting":
            active.waiting = True
        elif head["kind"] == "saved":
            self.store.checkpoint(active.lease, head["iteration"], content)
        elif head["kind"] == "ended":
            self._trial_ended(number, active, head, content)
        elif head["kind"] == "idle":
            del self._active[number]
            active.iteration = active.iterations
            if self._estimates is not None:
                self._estimates.done(active.pace(self._estimates))
            self.store.leases.release(active.lease)
            self._close(active.job.trajectory)

    def _trial_ended(self, number: int, active: ActiveJob, head: dict[str, Any], content: bytes) -> None:
        trial = active.open.pop(head["key"])
        outcome = Outcome(head["outcome"])
        process = self.workers.processes[number]
        history: History | None = None
        if content:
            history = replace(
                from_bytes(content, source="worker"),
                machine=process.machine if process else {},
                warnings=tuple(dict.fromkeys((*head["warnings"], *trial.notes))),
                peak_device_memory_bytes=head.get("peak_device_memory_bytes"),
            )
        confusion = head.get("confusion")
        finished = Finished(
            outcome,
            head["reason"],
            history,
            error=head.get("error"),
            confusion=np.array(confusion) if confusion is not None else None,
            content=content if history and history.checkpoint.weights and trial.key in self._kept else None,
        )
        if self.store.finish(active.lease, trial, finished):
            self._note(trial.key, outcome, history.accuracy if history and history.points else None)
        else:
            _log.warning(
                "the result of %s was not stored: its lease went unrenewed for %.0f s, and another process trains it",
                self.labels[trial.key],
                leases.SECONDS,
            )

    def _worker_lost(self, number: int, active: ActiveJob, reason: str) -> None:
        del self._active[number]
        trials = list(active.open.values())
        if not self.store.lost(active.lease, trials, reason):
            for trial in trials:
                self._note(trial.key, Outcome.LOST, None)
        self._close(active.job.trajectory)

    def _kill_silent(self) -> None:
        """Kills workers that are far beyond their time limit because their engine does not return."""
        limit = self._settings.time_limit
        if limit is None:
            return
        for number, active in list(self._active.items()):
            if active.waiting or monotonic() - active.started < limit * len(active.job.trials) + _GRACE_SECONDS:
                continue
            self.workers.drop(number)
            del self._active[number]
            for trial in active.open.values():
                reason = f"timed out after {limit:g} s; killed: no response"
                self.store.finish(active.lease, trial, Finished(Outcome.TIMED_OUT, reason))
                self._note(trial.key, Outcome.TIMED_OUT, None)
            self.store.leases.release(active.lease)
            self._close(active.job.trajectory)

    # --- progress ---

    def _note(self, key: str, outcome: Outcome, accuracy: float | None) -> None:
        self.outcomes[key] = outcome
        if accuracy is not None and (self.best is None or accuracy > self.best[1]):
            self.best = (self.labels[key], accuracy)

    def _close(self, trajectory: str) -> None:
        self.open.close(trajectory, self.outcomes)

    def _sync_with_others(self) -> None:
        """Updates which trials other processes have finished, and which trajectories they hold."""
        keys = [trial.key for job in self.open for trial in job.trials]
        for key, outcome in self.store.outcomes(keys).items():
            self._note(key, outcome, None)
        for job in list(self.open):
            self._close(job.trajectory)
        held = self.store.leases.held_by_others(job.trajectory for job in self.open)
        self.open.elsewhere = held - self._running()

    def _status(self) -> StudyStatus:
        running = tuple(
            RunningTrial(self._label(a), a.iteration, a.iterations, a.accuracy, a.loss, a.waiting)
            for a in self._active.values()
        )
        return StudyStatus(
            trials=len(self.trials),
            stored=self.stored,
            outcomes=Counter(self.outcomes.values()),
            running=running,
            elsewhere=len(self.open.elsewhere),
            best=self.best,
            eta_seconds=self._eta(),
        )

    def _running_of(self, active: ActiveJob) -> Running:
        """A job as the store notes it while it is trained."""
        key = next(iter(active.open), active.job.trials[-1].key)
        study = next(plan.study.name for plan in self.plans if key in plan.trials)
        seconds = 0.0 if active.waiting else monotonic() - active.started
        progress = (active.iteration, active.iterations, tuple(active.points))
        return Running(active.lease, study, self.labels[key], seconds, *progress)

    def _label(self, active: ActiveJob) -> str:
        return self.labels[next(iter(active.open), active.job.trials[-1].key)]

    def _eta(self) -> float | None:
        if self._estimates is None:
            return None
        running = {active.job.trajectory: active.pace(self._estimates) for active in self._active.values()}
        tasks = [job.trajectory for job in self.open]
        return self._estimates.remaining(tasks, running, max(1, len(self.workers.processes)))
