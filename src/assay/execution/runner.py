"""The study loop: skip what is stored, train the rest in workers, store each trial when it ends."""

from __future__ import annotations

import logging
import math
from collections import Counter, deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from time import monotonic, sleep
from typing import Any, Protocol

import numpy as np

from assay.execution.active import ActiveBatch, Held, halves
from assay.execution.batches import BatchSizes, form_of
from assay.execution.estimates import estimated
from assay.execution.executors import Executor, LocalExecutor, Needs, WorkerPool
from assay.execution.full_disk import WithoutRoom
from assay.execution.labels import batch_sentence, labels_of, sharing_sentence
from assay.execution.queue import Queue
from assay.execution.running import RunningNotes
from assay.execution.starts import alike, ends_within, usable, without
from assay.execution.status import RunningTrial, StudyStatus
from assay.execution.worker_errors import with_errors
from assay.recipe.code import recipe_code
from assay.store import leases
from assay.store.endings import Ending
from assay.store.leases import Claimed, Lease
from assay.store.progress import Running
from assay.store.pruning import kept_by_others
from assay.store.records import Finished
from assay.store.removals import RemovedError, has_studies, removed
from assay.store.store import Store
from assay.studies.plan import Job, Plan, Trial
from assay.system.garbage import uncollected
from assay.training.checkpoints import to_bytes
from assay.training.history import History
from assay.training.outcome import RETRIED, Outcome
from assay.training.stopping import own_points
from assay.workers.eta import Estimates, remaining
from assay.workers.pool import Workers, import_path
from assay.workers.reports import joined, reported_history, split

_POLL_SECONDS = 0.1
_log = logging.getLogger("assay.execution")
_OTHERS_SECONDS = 0.5  # between two queries for what other processes hold
_GRACE_SECONDS = 30.0  # after the time limit, before a worker that does not respond is killed


class Feed(Protocol):
    """Gives an execution further trials while it runs, as a search does."""

    @property
    def total(self) -> int | None:
        """How many trials there will be at most; None if that is unknown."""
        ...

    @property
    def parallel(self) -> int:
        """How many of its trials can be open at once."""
        ...

    @property
    def engines(self) -> frozenset[str]:
        """The engines of its trials, as far as they are known before the first one is decided."""
        ...

    spare: Sequence[int]
    """Cores that no trial is pinned to; the execution sets it before trials run."""

    def more(self, outcomes: Mapping[str, Outcome]) -> Sequence[Plan]:
        """The plans of further trials, after those with these outcomes; none if others must end first, or at the end.

        What it returns is added before it is asked again.
        """
        ...

    def end(self) -> None:
        """Is called when every trial has ended, or the run was stopped."""
        ...


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
        feed: Gives further trials while others are trained.
        executor: Where its workers are; None for this machine.
    """

    @uncollected()
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
        feed: Feed | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.plans = (plans,) if isinstance(plans, Plan) else tuple(plans)
        self.store = store
        self.trials = {
            key: trial
            for plan in self.plans
            for key, trial in plan.trials.items()
            if plan.own is None or key in plan.own
        }
        self._examples = {key: n for plan in self.plans for key, n in plan.examples.items()}
        self._settings = self.plans[0].study.settings  # only timing, device, threads and limits, which a pool shares
        self._kept = {key for plan in self.plans if plan.study.settings.keep != "nothing" for key in plan.trials}
        self._save_best = {key for plan in self.plans if plan.study.settings.save_best for key in plan.trials}
        self._retry, self._again, self._retries_fed, self._feed = retry, again, retry, feed
        self._starts, self._reads_off, self._prunes = dict(starts or {}), reads_off, prunes
        known = {} if again or starts else store.outcomes(self.trials)
        self.kept: dict[str, str] = {}  # why a repeat was cut short whose trial keeps its earlier result
        self.outcomes = {key: outcome for key, outcome in known.items() if not (retry and outcome in RETRIED)}
        self._stored = set(self.outcomes)
        self.open = Queue(trial for key, trial in self.trials.items() if key not in self.outcomes)
        self._estimates: Estimates | None = None
        self.labels = labels_of(self.plans)
        self.best: tuple[str, float] | None = None
        self._counts = Counter(self.outcomes.values())
        self._active: dict[int, ActiveBatch] = {}
        self._pending: deque[list[Held]] = deque()  # leased batches that no worker has yet
        self._sizes = BatchSizes(1)
        self._stop = self._stop_sent = False
        self.executor = executor or LocalExecutor()
        self.workers: WorkerPool = Workers(0)
        self._notes = RunningNotes(store)
        self._room = WithoutRoom()

    @property
    def name(self) -> str:
        """The names of the studies."""
        return ", ".join(dict.fromkeys(plan.study.name for plan in self.plans))

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
            self.open.estimated_by(self._estimates.of, sort=False)
        return remaining([self._estimates.of(job.trajectory) for job in self.open], self._count())

    @property
    def weights_bytes(self) -> int:
        """The bytes of weights that the open trials leave in the store, about; 0 where none are kept."""
        return sum(
            trial.weights_bytes * (2 if trial.key in self._save_best else 1)
            for job in self.open
            for trial in job.trials
            if trial.key in self._kept
        )

    def register(self) -> None:
        """Stores the studies with their trials, and marks the results to be retrained. Iterating calls it first."""
        for plan in self.plans:
            self.store.register(plan)
        _log.info("%s", sharing_sentence(self.name, self.trials.values(), self.outcomes))
        if self._again or self._retry or self._starts:
            every = self._again or bool(self._starts)
            weights, best = kept_by_others(self.store, {plan.study.name for plan in self.plans if plan.registers})
            self._kept |= weights & self.trials.keys()  # a repeat may not take them from the other studies
            self._save_best |= best & self.trials.keys()
            self.store.mark_stale(self.trials, failed_only=not every, keep_checkpoints=not self._again)
        self._again = self._retry = False

    def changes(self) -> list[str]:
        """What running changes in stored studies of the same names, a sentence for each that changes."""
        changes = [self.store.change(plan) for plan in self.plans]
        return [change.sentence() for change in changes if change is not None]

    def check(self) -> None:
        """Raises: AssayError where the executor has no room for its trials, or cannot train them."""
        self._count()

    def _count(self) -> int:
        return self.executor.count(self._needs())

    def _needs(self) -> Needs:
        """What the trials need of the executor."""
        settings = self._settings
        return Needs(
            timing=settings.timing,
            device=settings.device,
            threads=settings.threads,
            memory_limit=settings.memory_limit,
            trials=self.trials.values(),
            engines=frozenset() if self._feed is None or self.trials else self._feed.engines,
            runs_programs=not isinstance(settings.engine, str),
        )

    def stop(self) -> None:
        """Requests a stop: the workers save their checkpoints, then the loop ends."""
        self._stop = True  # the loop sends it: a signal may interrupt another message

    def without_best(self) -> int:
        """How many of the trials that were stored before lack the weights of the best point that `save_best` keeps."""
        pruned = {key for plan in self.plans if plan.study.settings.keep == "winners" for key in plan.trials}
        return sum(not self.store.has_best(key) for key in (self._stored & self._save_best) - pruned)

    def checkpoint_of(self, trial: Trial) -> History | None:
        """What a trial that was cancelled has done, if it can resume from it: its own curve, and the weights."""
        start = usable(
            self.store.start_of(trial.trajectory, trial.recipe),
            [trial],
            self._examples[trial.key],
            save_best=self._save_best,
        )
        if start is None:
            return None
        points = own_points(trial.recipe, start.points, self._examples[trial.key])
        return replace(start, recipe=trial.recipe, points=tuple(points))

    # --- the loop ---

    def __iter__(self) -> Iterator[StudyStatus]:
        """Trains until every trial has ended; yields several times a second.

        Raises:
            StoreError: The store cannot be read or written.
            RemovedError: Its studies or trials were removed from the store.
        """
        self.register()
        yield self._status()
        self._take_fed()
        if not len(self.open):
            self._prune()
            return
        self.workers = self._workers()
        try:
            yield from self._loop()
        finally:
            self.workers.kill_all()
            with suppress(Exception):  # if the store cannot be written, its leases expire
                self.store.leases.release(*self._leases())
                self._notes.end()
        self._refuse_removed()
        self._prune()
        yield self._status()

    def _prune(self) -> None:
        """Prunes the weights of the studies that keep those of their winners alone, and that have ended."""
        if self._feed is not None:
            self._feed.end()
        for plan in self.plans:
            if not self._prunes or not plan.registers or plan.study.settings.keep != "winners":
                continue
            if all(key in self.outcomes for key in plan.trials):
                from assay.execution.winners import keep_winners  # loads pandas, which no other run needs

                keep_winners(self.store, plan.study.name)

    def _workers(self) -> WorkerPool:
        """As many workers as the executor has room for."""
        most = len(self.open) if self._feed is None else self._feed.parallel
        count = min(self._count(), most)
        if self._estimates is not None:
            self.open.estimated_by(self._estimates.of, sort=count > 1)
        self._sizes = BatchSizes(count, device=self._settings.device)
        started = self.executor.start(self._needs(), count)
        if self._feed is not None:
            self._feed.spare = started.spare
        return started.workers

    def _loop(self) -> Iterator[StudyStatus]:
        renewed = synced = monotonic()
        while True:
            if not self._stop:
                self._take_fed()
                self._assign()
            elif not self._stop_sent:
                self._stop_sent = True
                self.workers.broadcast("stop")
            if not self._active:
                if not len(self.open):
                    self._take_fed()  # the last trial may have ended in `_assign`, in another process
                    if len(self.open):
                        continue
                if self._stop or not len(self.open):
                    return
                self._refuse_removed()
                self._sync_with_others(self.open)
                synced = monotonic()
                yield self._status()
                sleep(_OTHERS_SECONDS)
                continue
            for number, head, content in self.workers.messages(_POLL_SECONDS):
                self._on_message(number, head, content)
            self._kill_silent()
            if self._notes.due():
                self._notes.note([note for active in self._active.values() for note in self._running_of(active)])
            if monotonic() - renewed > leases.SECONDS / 4:
                with self._room.spared("training continues, but another driver may begin the same trials"):
                    self.store.leases.renew(self._leases())
                if not has_studies(self.store.database, self.plans):
                    self._refuse_removed()
                renewed = monotonic()
            if self.open.elsewhere and monotonic() - synced > _OTHERS_SECONDS * 10:
                self._sync_with_others([job for job in self.open if job.trajectory in self.open.elsewhere])
                synced = monotonic()
            yield self._status()

    def _leases(self) -> list[Lease]:
        """The leases that this process holds."""
        active = [held for batch in self._active.values() for held in batch.members]
        return [held.lease for held in (*active, *(held for batch in self._pending for held in batch))]

    def _take_fed(self) -> None:
        """Takes the further trials of the feed; none while an isolated trial is timed."""
        if self._feed is None:
            return
        while not self._stop and not (self.timing == "isolated" and self._active):
            plans = self._feed.more(self.outcomes)
            if not plans:
                return
            for plan in plans:
                self._add(plan)

    def _add(self, plan: Plan) -> None:
        """Adds the trials of a plan that the store has."""
        self.plans = (*self.plans, plan)
        self.trials |= plan.trials
        self._examples |= plan.examples
        self.labels |= labels_of((plan,))
        if plan.study.settings.keep != "nothing":
            self._kept |= plan.trials.keys()
        self._kept |= plan.promotable
        if plan.study.settings.save_best:
            self._save_best |= plan.trials.keys()
        known = self.store.outcomes(plan.trials)
        if self._retries_fed and (failed := [key for key, outcome in known.items() if outcome in RETRIED]):
            self.store.mark_stale(failed, failed_only=True)
            known = {key: outcome for key, outcome in known.items() if key not in failed}
        for key, outcome in known.items():
            self._note(key, outcome, None)
        self._stored |= known.keys()
        self.open.add(trial for key, trial in plan.trials.items() if key not in known)

    # --- jobs for workers ---

    def _assign(self) -> None:
        """Gives every idle worker a batch of jobs that no other process has."""
        for number in self.workers.available():
            while number not in self._active:
                if not self._pending and not self._claim():
                    return
                if self._pending:
                    self._begin(number, self._pending.popleft())

    def _claim(self) -> bool:
        """Leases the jobs of a batch; returns whether there were any."""
        claimed, ended = self.store.leases.claim_batch(self.open.free(), self._batch_of)
        for held in claimed:
            self.open.begin(held.job.trajectory)
        for key, outcome in ended.items():
            self._note(key, outcome, None)
        taken = {held.job.trajectory for held in claimed}
        for trajectory in {self.trials[key].trajectory for key in ended} - taken:
            self._close(trajectory)
        if claimed:
            self._pending.extend(self._startable(claimed))
        elif next(self.open.free(), None) is not None:
            self._sync_with_others(self.open)
        return bool(claimed)

    def _batch_of(self, job: Job) -> tuple[int, Hashable]:
        """How many jobs the batch of a job has, and their form."""
        form = None if job.trajectory in self._starts else form_of(job)
        estimate = self._estimates.of(job.trajectory) if self._estimates is not None else 0.0
        return self._sizes.of(form, estimate=estimate, waiting=self.open.waiting(form)), form or job.trajectory

    def _startable(self, claimed: Sequence[Claimed]) -> list[list[Held]]:
        """Batches of claimed jobs with their starts, after reading off stored curves every trial that these cover."""
        members = [Held(lease, job) for lease, job, _ in claimed]
        stored = {
            held.job.trajectory: self.store.start_of(held.job.trajectory, held.job.trials[0].recipe)
            for held, before in zip(members, claimed, strict=True)
            if before.has_checkpoint
        }
        ended = self._read_off(members, stored)
        ready: list[Held] = []
        done: list[Lease] = []
        for held in members:
            left = without(held, ended)
            if left is None:
                done.append(held.lease)
                continue
            trials, key = left.job.trials, held.job.trajectory
            start = self._starts.get(key) or usable(
                stored.get(key), trials, self._examples[trials[0].key], save_best=self._save_best
            )
            ready.append(replace(left, start=start))
        self._release(done)
        return alike(ready)

    def _read_off(self, members: Sequence[Held], stored: Mapping[str, History | None]) -> set[str]:
        """Stores the trials that end within a stored curve; returns their keys."""
        endings: list[Ending] = []
        for held in members:
            start = stored.get(held.job.trajectory)
            if start is not None and self._reads_off and held.job.trajectory not in self._starts:
                endings += ends_within(held, start, self._examples, self._save_best)
        if endings:
            _log.info("%s read off stored curves of longer trainings", f"{len(endings):,} trials")
            self._finish(endings)
        return {ending.trial.key for ending in endings if ending.trial.key in self.outcomes}

    def _release(self, held: Sequence[Lease]) -> None:
        """Ends leases; what is left of their jobs waits again."""
        if held:
            self.store.leases.release(*held)
            for lease in held:
                self._close(lease.trajectory)

    def _begin(self, number: int, members: Sequence[Held]) -> None:
        """Gives a worker a batch."""
        self._active[number] = ActiveBatch(members)
        first = members[0].job.trials[0]
        _log.info("%s", batch_sentence(number, members))
        starts, content = joined([b"" if held.start is None else to_bytes(held.start) for held in members])
        self.workers.train(
            number,
            content,
            jobs=[[self._message(trial) for trial in held.job.trials] for held in members],
            starts=starts,
            code=recipe_code(first.recipe),
            path=import_path(),
            engine=first.engine,
            choice=first.engine_choice,
            program=first.program.plain() if first.program else None,
            device=first.device,
            threads=first.threads if first.timing == "isolated" or first.device != "cpu" else first.threads or 1,
            timing=first.timing,
            work=f"study {self.name!r}",
            time_limit=self._settings.time_limit,
            memory_limit=self._settings.memory_limit,
        )

    def _message(self, trial: Trial) -> dict[str, Any]:
        keep = {"save_best": trial.key in self._save_best, "keep": trial.key in self._kept}
        return {"key": trial.key, "recipe": trial.recipe.plain(), **keep}

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
        active.heard = monotonic()
        if head["kind"] == "status":
            measured = {name: head[name] for name in ("accuracy", "loss", "point")}
            active.update(head["iteration"], expected=head["iterations"], **measured)
        elif head["kind"] == "waiting":
            active.waiting = True
        elif head["kind"] == "saved":
            contents = split(content, [report["size"] for report in head["reports"]])
            saved = [
                (active.open[report["key"]][0].lease, report["iteration"], weights)
                for report, weights in zip(head["reports"], contents, strict=True)
            ]
            with self._room.spared(
                "training continues without this checkpoint; a resumed trial begins at an earlier one"
            ):
                self.store.checkpoint_all(saved)
        elif head["kind"] == "ended":
            self._trials_ended(number, active, head["reports"], content)
        elif head["kind"] == "idle":
            self._batch_ended(number, active, head["seconds"])

    def _trials_ended(self, number: int, active: ActiveBatch, reports: list[dict[str, Any]], content: bytes) -> None:
        machine = self.workers.machine(number)
        endings: list[Ending] = []
        for report, kept in zip(reports, split(content, [report["size"] for report in reports]), strict=True):
            outcome = Outcome(report["outcome"])
            if len(active.members) > 1 and outcome in (Outcome.FAILED, Outcome.OUT_OF_MEMORY):
                continue  # of the batch: it is tried again in halves
            held, trial = active.open.pop(report["key"])
            history = reported_history(report, trial.recipe, machine)
            if history is not None:
                warnings = tuple(dict.fromkeys((*history.warnings, *trial.notes, *self.workers.notes(number))))
                history = replace(history, warnings=warnings)
            confusion = report.get("confusion")
            finished = Finished(
                outcome,
                report["reason"],
                history,
                error=with_errors(report.get("error"), self.workers.errors(number), outcome),
                confusion=np.array(confusion) if confusion is not None else None,
                content=kept or None,
            )
            endings.append(Ending(held.lease, trial, finished))
        self._finish(endings)

    def _refuse_removed(self) -> None:
        """Raises: RemovedError where studies or trials of this run are no longer in the store."""
        if sentence := removed(self.store.database, self.plans).sentence:
            raise RemovedError(sentence)

    def _finish(self, endings: Sequence[Ending]) -> None:
        """Stores the ends of trials, and notes those that were accepted."""
        refused: list[str] = []
        for ending, accepted in zip(endings, self.store.finish_all(endings), strict=True):
            finished = ending.finished
            if accepted:
                history = finished.history
                self._note(ending.trial.key, finished.outcome, history.accuracy if history and history.points else None)
            else:
                refused.append(ending.trial.key)
        if refused:
            self._say_refused(refused)
        self._note_kept({ending.trial.key: ending.finished.reason for ending in endings})

    def _say_refused(self, keys: Sequence[str]) -> None:
        """Says of each refused result why. What was removed while others are trained is said when these have ended."""
        gone = removed(self.store.database, self.plans)
        if gone.studies:
            raise RemovedError(gone.sentence)
        for key in (key for key in keys if key not in gone.trials):
            reason = (
                f"its lease went unrenewed for {leases.SECONDS:.0f} s and another process took it, "
                "or the trial was removed and stored again"
            )
            _log.warning("the result of %s was not stored: %s", self.labels[key], reason)

    def _note_kept(self, reasons: Mapping[str, str]) -> None:
        """Notes the repeats that were cut short and whose trials keep their earlier results, with their reasons."""
        cut_short = [key for key in reasons if self.outcomes.get(key) in RETRIED]
        for key, outcome in self.store.outcomes(cut_short).items():
            if outcome is not self.outcomes[key]:
                self.kept[key] = reasons[key]

    def _batch_ended(self, number: int, active: ActiveBatch, seconds: float) -> None:
        """Takes a batch from its worker; what has failed of it is tried again in halves."""
        del self._active[number]
        active.iteration = active.iterations
        if self._estimates is not None:
            self._estimates.done(active.pace(self._estimates))
        left = active.left()
        if not left:
            self._sizes.done(form_of(active.members[0].job), len(active.members), seconds)
        again = left if len(active.members) > 1 and not self._stop else []
        self._pending.extend(halves(again))
        kept = {held.lease.trajectory for held in again}
        self._release([held.lease for held in active.members if held.lease.trajectory not in kept])

    def _worker_lost(self, number: int, active: ActiveBatch, reason: str) -> None:
        """A batch is tried again in halves, and a job alone up to its last retry."""
        del self._active[number]
        left = active.left()
        if len(active.members) > 1:
            self._pending.extend(halves(left))
            kept = {held.lease.trajectory for held in left}
            self._release([held.lease for held in active.members if held.lease.trajectory not in kept])
            return
        trials = [trial for _, trial in active.open.values()]
        (held,) = active.members
        error = with_errors(None, self.workers.errors(number), Outcome.LOST)
        if not self.store.lost(held.lease, trials, reason, error=error):
            for trial in trials:
                self._note(trial.key, Outcome.LOST, None)
            self._note_kept({trial.key: reason for trial in trials})
        self._close(held.lease.trajectory)

    def _kill_silent(self) -> None:
        """Kills workers that are far beyond their time limit because their engine does not return."""
        limit = self._settings.time_limit
        if limit is None:
            return
        for number, active in list(self._active.items()):
            alone = len(active.members) == 1
            since = active.started if alone else active.heard  # a batch may take the limits of all of its members
            allowed = limit * len(active.members[0].job.trials) + _GRACE_SECONDS
            if active.waiting or monotonic() - since < allowed:
                continue
            reason = f"timed out after {limit:g} s; killed: no response"
            self.workers.drop(number)
            if not alone:
                self._worker_lost(number, active, reason)
                continue
            del self._active[number]
            self._finish(
                [Ending(held.lease, trial, Finished(Outcome.TIMED_OUT, reason)) for held, trial in active.open.values()]
            )
            self._release([held.lease for held in active.members])

    # --- progress ---

    def _note(self, key: str, outcome: Outcome, accuracy: float | None) -> None:
        if key in self.outcomes:
            self._counts[self.outcomes[key]] -= 1
        self.outcomes[key] = outcome
        self._counts[outcome] += 1
        if accuracy is not None and (self.best is None or accuracy > self.best[1]):
            self.best = (self.labels[key], accuracy)

    def _close(self, trajectory: str) -> None:
        self.open.close(trajectory, self.outcomes)

    def _sync_with_others(self, jobs: Iterable[Job]) -> None:
        """Updates which trials of jobs other processes have finished, and which of their trajectories they hold."""
        waiting = [job for job in jobs if not self.open.has_begun(job.trajectory)]
        keys = [trial.key for job in waiting for trial in job.trials]
        ended = self.store.outcomes(keys)
        for key, outcome in ended.items():
            self._note(key, outcome, None)
        for trajectory in {self.trials[key].trajectory for key in ended}:
            self._close(trajectory)
        checked = {job.trajectory for job in waiting}
        self.open.elsewhere = (self.open.elsewhere - checked) | self.store.leases.held_by_others(
            trajectory for trajectory in checked if trajectory in self.open
        )

    def _status(self) -> StudyStatus:
        running = tuple(
            RunningTrial(self._label(a), a.iteration, a.iterations, a.accuracy, a.loss, a.waiting)
            for a in self._active.values()
        )
        return StudyStatus(
            trials=len(self.trials) if self._feed is None else self._feed.total or len(self.trials),
            stored=self.stored,
            outcomes=+self._counts,
            running=running,
            elsewhere=len(self.open.elsewhere),
            best=self.best,
            eta_seconds=self._eta(),
            is_search=self._feed is not None,
        )

    def _running_of(self, active: ActiveBatch) -> list[Running]:
        """The jobs of a batch as the store notes them while they are trained, each with its part of the seconds."""
        seconds = 0.0 if active.waiting else (monotonic() - active.started) / len(active.members)
        notes: list[Running] = []
        for held in active.left():
            key = held.job.trials[0].key
            study = next(plan.study.name for plan in self.plans if key in plan.trials)
            points = tuple(active.points) if held.lease is active.members[0].lease else ()
            progress = (active.iteration, active.iterations, points)
            notes.append(Running(held.lease, study, self.labels[key], seconds, *progress))
        return notes

    def _label(self, active: ActiveBatch) -> str:
        label = self.labels[next(iter(active.open), active.members[0].job.trials[-1].key)]
        others = len(active.members) - 1
        return f"{label} and {others:,} more" if others else label

    def _eta(self) -> float | None:
        if self._estimates is None:
            return None
        running = [active.pace(self._estimates) for active in self._active.values()]
        pending = sum(self._estimates.of(held.job.trajectory) for batch in self._pending for held in batch)
        workers = max(1, self.workers.count)
        return self._estimates.remaining(self.open.seconds + pending, self.open.longest, running, workers)
