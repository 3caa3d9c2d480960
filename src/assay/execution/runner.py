"""The study loop: plan, skip what is stored, train the rest in workers, store each trial when it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np

from assay.execution.eta import estimated, remaining
from assay.parts.user_optimizers import code_hash
from assay.recipe.model import warnings
from assay.results.results import Results
from assay.store import leases
from assay.store.leases import Lease
from assay.store.records import Finished
from assay.store.store import Store
from assay.studies.plan import Job, Plan, Trial, jobs, plan
from assay.studies.study import Study
from assay.system.machine import usable_cores
from assay.system.signals import interruption
from assay.training.checkpoints import from_bytes, to_bytes
from assay.training.history import RETRIED, History, Outcome
from assay.workers.batch import covers, read_off
from assay.workers.pool import Workers, import_path

_POLL_SECONDS = 0.1
_OTHERS_SECONDS = 0.5  # between two looks at what other processes hold
_TRUST_SECONDS = 5.0  # of training, from which its pace counts for more than the estimate
_GRACE_SECONDS = 30.0  # beyond its time limit, before a worker that says nothing is killed


class StudyInterrupted(KeyboardInterrupt):
    """Ctrl-C during a study: what was finished is stored, what was running has left a checkpoint."""


@dataclass(frozen=True)
class Running:
    """A trial in training, as it last told."""

    label: str
    iteration: int
    iterations: int
    accuracy: float | None
    waiting: bool  # for its turn on this machine


@dataclass(frozen=True)
class StudyStatus:
    """Where a running study stands."""

    trials: int
    stored: int  # before this run
    outcomes: Mapping[Outcome, int]
    running: tuple[Running, ...]
    elsewhere: int  # trajectories that other processes train
    best: tuple[str, float] | None
    eta_seconds: float | None  # where `Execution.seconds` was asked for

    @property
    def done(self) -> int:
        """Trials that have an end."""
        return sum(self.outcomes.values())


@dataclass
class _Active:
    """A job that a worker has."""

    lease: Lease
    job: Job
    open: dict[str, Trial]
    since: float = field(default_factory=monotonic)
    began: int | None = None  # the iteration that its first status told
    iteration: int = 0
    accuracy: float | None = None
    waiting: bool = False

    def pace(self, foreseen: float) -> tuple[float, float, float]:
        """Seconds since it began, how many of those `foreseen` were for this, and how many of them are left."""
        begin, end = self.began or 0, max(self.job.iterations, 1)
        return (
            monotonic() - self.since,
            foreseen * (self.iteration - begin) / end,
            foreseen * (1 - self.iteration / end),
        )


def pools(plans: Iterable[Plan]) -> list[list[Plan]]:
    """Plans whose trials can share workers, together: those of equal timing, device, threads and limits."""
    groups: dict[tuple[object, ...], list[Plan]] = {}
    for one in plans:
        its = one.study.settings
        groups.setdefault((its.timing, its.device, its.threads, its.memory_limit, its.time_limit), []).append(one)
    return list(groups.values())


class Execution:
    """A plan on its way to its end: iterate over it; what is finished is stored at once.

    Of several plans, one of the `pools`, what they ask of one trajectory is trained once. `retry`: train again what
    failed, was lost, timed out or ran out of memory. `again`: train everything anew.
    """

    def __init__(self, plans: Plan | Sequence[Plan], store: Store, *, retry: bool = False, again: bool = False) -> None:
        self.plans = (plans,) if isinstance(plans, Plan) else tuple(plans)
        self.store = store
        self.trials = {key: trial for one in self.plans for key, trial in one.trials.items()}
        self._examples = {key: n for one in self.plans for key, n in one.examples.items()}
        self._settings = self.plans[0].study.settings  # of timing, device, threads and limits, which a pool shares
        self._kept = {key for one in self.plans if one.study.settings.keep == "checkpoint" for key in one.trials}
        self._retry, self._again = retry, again
        found = {} if again else store.outcomes(self.trials)
        self.outcomes = {key: outcome for key, outcome in found.items() if not (retry and outcome in RETRIED)}
        self.stored = len(self.outcomes)
        self.open = self._open_jobs()
        self._estimates: dict[str, float] | None = None
        self._taken = self._foreseen = 0.0  # seconds of what is done, and those that were estimated for it
        self.labels = _labels(self.plans)
        self.best: tuple[str, float] | None = None
        self._active: dict[int, _Active] = {}
        self._elsewhere: set[str] = set()
        self._stop = self._told = False
        self.workers = Workers(0)

    @property
    def name(self) -> str:
        """The names of its studies."""
        return ", ".join(one.study.name for one in self.plans)

    @property
    def timing(self) -> str:
        """How its trials are timed: "isolated" or "packed"."""
        return self._settings.timing

    @property
    def seconds(self) -> float:
        """How long what is open will take, by stored trials or a calibration that is made when first asked for."""
        if self._estimates is None:
            self._estimates = estimated(self.open, self.store, self._examples) if self.open else {}
        return remaining([self._estimates.get(job.trajectory, 0.0) for job in self.open], self._count())

    def register(self) -> None:
        """Stores the studies with their trials, and which results are asked for again; the loop begins with it."""
        for one in self.plans:
            self.store.register(one)
        if self._again or self._retry:
            self.store.ask_again(self.trials, failed_only=not self._again)
        self._again = self._retry = False

    def _open_jobs(self) -> list[Job]:
        return list(jobs(trial for key, trial in self.trials.items() if key not in self.outcomes))

    def _count(self) -> int:
        if self._settings.timing == "isolated" or self._settings.device != "cpu":
            return 1
        return max(1, len(usable_cores()) // (self._settings.threads or 1))

    def stop(self) -> None:
        """Asks for an end: the workers save what they train, and the loop ends when they have."""
        self._stop = True  # told to them by the loop: a signal may come in the middle of another message

    # --- the loop ---

    def __iter__(self) -> Iterator[StudyStatus]:
        """Trains until every trial has an end, yielding often. Raises: StoreError."""
        self.register()
        yield self._status()
        if not self.open:
            return
        count, width = min(self._count(), len(self.open)), self._settings.threads or 1
        if count > 1 and self._estimates is not None:  # the longest first, lest the others wait for it at the end
            self.open.sort(key=self._estimated, reverse=True)
        cores: list[list[int]] = []
        if self._settings.timing == "packed" and self._settings.device == "cpu":
            mine = usable_cores()
            cores = [mine[n * width : (n + 1) * width] for n in range(count)]
        self.workers = Workers(count, cores=cores, memory_limit=self._settings.memory_limit)
        renewed = looked = monotonic()
        try:
            while True:
                if not self._stop:
                    self._give_out()
                elif not self._told:
                    self._told = True
                    self.workers.tell("stop")
                if not self._active:
                    if self._stop or not self.open:
                        break
                    self._look_elsewhere()
                    looked = monotonic()
                    yield self._status()
                    sleep(_OTHERS_SECONDS)
                    continue
                for number, head, content in self.workers.messages(_POLL_SECONDS):
                    self._on_message(number, head, content)
                self._kill_silent()
                if monotonic() - renewed > leases.SECONDS / 4:
                    self.store.renew([active.lease for active in self._active.values()])
                    renewed = monotonic()
                if self._elsewhere and monotonic() - looked > _OTHERS_SECONDS * 10:
                    self._look_elsewhere()
                    looked = monotonic()
                yield self._status()
        finally:
            self.workers.kill_all()
            with suppress(Exception):  # a store that cannot be written to frees the leases by itself in time
                for active in self._active.values():
                    self.store.release(active.lease)
        yield self._status()

    def _give_out(self) -> None:
        """Gives every idle worker a job that nobody else has."""
        for number in range(len(self.workers.processes)):
            while number not in self._active:
                active = {one.lease.trajectory for one in self._active.values()}
                candidates = [job for job in self.open if job.trajectory not in active | self._elsewhere]
                claimed, done = self.store.claim_or_done(candidates)
                for key, outcome in done.items():
                    self._note(key, outcome, None)
                for job in candidates if done else []:
                    self._drop_done(job.trajectory)
                if claimed is None:
                    if candidates:
                        self._look_elsewhere()
                    return
                self._begin(number, *claimed)

    def _begin(self, number: int, lease: Lease, job: Job) -> None:
        """Starts a claimed job; what a stored curve answers already is read off it."""
        start = self.store.start_of(job.trajectory)
        left = list(job.trials)
        if start is not None:
            left = self._read_off(lease, left, start)
        if not left:
            self.store.release(lease)
            self._drop_done(job.trajectory)
            return
        first = left[0]
        examples = self._examples[first.key]
        if start is not None:
            beyond = start.iterations >= left[-1].iterations
            start = None if beyond or not covers(start, [trial.recipe for trial in left], examples) else start
            start = None if first.program else start
        content = to_bytes(start) if start is not None else b""
        self._active[number] = _Active(lease, Job(job.trajectory, tuple(left)), {trial.key: trial for trial in left})
        self.workers.train(
            number,
            content,
            trials=[{"key": trial.key, "recipe": trial.recipe.plain()} for trial in left],
            code=code_hash(first.recipe.optimizer),
            path=import_path(),
            engine=first.engine,
            program=first.program.plain() if first.program else None,
            device=first.device,
            threads=first.threads if first.timing == "isolated" else first.threads or 1,
            timing=first.timing,
            time_limit=self._settings.time_limit,
        )

    def _read_off(self, lease: Lease, trials: list[Trial], start: History) -> list[Trial]:
        left: list[Trial] = []
        for trial in trials:
            n = self._examples[trial.key]
            covered = covers(start, [trial.recipe], n)
            history = read_off(start, trial.recipe, n, len(start.classes)) if covered else None
            if history is None:
                left.append(trial)
                continue
            finished = Finished(history.outcome, history.reason, history)
            if self.store.finish(lease, trial, finished):
                self._note(trial.key, history.outcome, history.accuracy)
        return left

    # --- what workers say ---

    def _on_message(self, number: int, head: dict[str, Any] | None, content: bytes) -> None:
        active = self._active.get(number)
        if head is None:
            how = self.workers.drop(number)
            if active is not None:
                self._worker_lost(number, active, how)
            return
        if active is None or head["kind"] == "ready":
            return
        if head["kind"] == "status":
            if active.waiting:  # what it waited is no part of its time limit
                active.waiting, active.since = False, monotonic()
            if active.began is None:
                active.began, active.since = head["iteration"], monotonic()
            active.iteration, active.accuracy = head["iteration"], head["accuracy"]
        elif head["kind"] == "waiting":
            active.waiting = True
        elif head["kind"] == "saved":
            self.store.checkpoint(active.lease, head["iteration"], content)
        elif head["kind"] == "ended":
            self._trial_ended(number, active, head, content)
        elif head["kind"] == "idle":
            del self._active[number]
            active.iteration = active.job.iterations
            taken, foreseen, _ = active.pace(self._estimated(active.job))
            self._taken, self._foreseen = self._taken + taken, self._foreseen + foreseen
            self.store.release(active.lease)
            self._drop_done(active.job.trajectory)

    def _trial_ended(self, number: int, active: _Active, head: dict[str, Any], content: bytes) -> None:
        trial = active.open.pop(head["key"])
        outcome = Outcome(head["outcome"])
        process = self.workers.processes[number]
        history: History | None = None
        if content:
            history = replace(
                from_bytes(content, source="worker"),
                machine=process.machine if process else {},
                warnings=tuple(warnings(trial.recipe)),
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

    def _worker_lost(self, number: int, active: _Active, how: str) -> None:
        del self._active[number]
        trials = list(active.open.values())
        if not self.store.lost(active.lease, trials, how):
            for trial in trials:
                self._note(trial.key, Outcome.LOST, None)
        self._drop_done(active.job.trajectory)

    def _kill_silent(self) -> None:
        """Ends workers that are far beyond their trial's time limit and do not come back from their engine."""
        limit = self._settings.time_limit
        if limit is None:
            return
        for number, active in list(self._active.items()):
            if active.waiting or monotonic() - active.since < limit * len(active.job.trials) + _GRACE_SECONDS:
                continue
            self.workers.drop(number)
            del self._active[number]
            for trial in active.open.values():
                reason = f"not done after {limit:g} s, and killed for it did not answer"
                self.store.finish(active.lease, trial, Finished(Outcome.TIMED_OUT, reason))
                self._note(trial.key, Outcome.TIMED_OUT, None)
            self.store.release(active.lease)
            self._drop_done(active.job.trajectory)

    # --- what is done ---

    def _note(self, key: str, outcome: Outcome, accuracy: float | None) -> None:
        self.outcomes[key] = outcome
        if accuracy is not None and (self.best is None or accuracy > self.best[1]):
            self.best = (self.labels[key], accuracy)

    def _drop_done(self, trajectory: str) -> None:
        for place, job in enumerate(self.open):
            if job.trajectory == trajectory:
                left = tuple(trial for trial in job.trials if trial.key not in self.outcomes)
                self.open[place : place + 1] = [Job(trajectory, left)] if left else []
                return

    def _look_elsewhere(self) -> None:
        """Sees what other processes have finished meanwhile, and what they hold."""
        keys = [trial.key for job in self.open for trial in job.trials]
        for key, outcome in self.store.outcomes(keys).items():
            self._note(key, outcome, None)
        for job in list(self.open):
            self._drop_done(job.trajectory)
        active = {one.lease.trajectory for one in self._active.values()}
        self._elsewhere = self.store.held_by_others(job.trajectory for job in self.open) - active

    def _status(self) -> StudyStatus:
        running = tuple(
            Running(self._label(a), a.iteration, a.job.iterations, a.accuracy, a.waiting) for a in self._active.values()
        )
        return StudyStatus(
            trials=len(self.trials),
            stored=self.stored,
            outcomes=Counter(self.outcomes.values()),
            running=running,
            elsewhere=len(self._elsewhere),
            best=self.best,
            eta_seconds=self._eta(),
        )

    def _label(self, active: _Active) -> str:
        return self.labels[next(iter(active.open), active.job.trials[-1].key)]

    def _estimated(self, job: Job) -> float:
        return (self._estimates or {}).get(job.trajectory, 0.0)

    def _eta(self) -> float | None:
        if self._estimates is None:
            return None
        active = {one.job.trajectory: one.pace(self._estimated(one.job)) for one in self._active.values()}
        taken = self._taken + sum(its for its, _, _ in active.values()) + _TRUST_SECONDS
        foreseen = self._foreseen + sum(done for _, done, _ in active.values()) + _TRUST_SECONDS
        seconds: list[float] = []
        for job in self.open:  # at the pace of what has been trained until now, or at its own
            its, done, left = active.get(job.trajectory, (0.0, 0.0, self._estimated(job)))
            own = its > _TRUST_SECONDS and done > 0
            seconds.append(left * (its / done if own else taken / foreseen))
        return remaining(seconds, max(1, len(self.workers.processes)))


def _labels(plans: Sequence[Plan]) -> dict[str, str]:
    """What each trial is called where it runs: its configuration, its repeat and its study, where there are several."""
    found: dict[str, str] = {}
    for one in plans:
        study = f"{one.study.name}: " if len(plans) > 1 else ""
        for member in one.members:
            repeat = f", repeat {member.repeat + 1}" if one.study.settings.repeats > 1 else ""
            found.setdefault(member.key, f"{study}{member.label}{repeat}")
    return found


def run(
    study: Study | Mapping[str, Any] | str | Path,
    *,
    store: str | None = None,
    retry: bool = False,
    again: bool = False,
) -> Results:
    """Runs a study to its end and returns its results; what the store has already is not trained again.

    `study`: a Study, its plain data, a TOML file, or the name of a bundled study. `store`: a URL or a file, by default
    $ASSAY_STORE, else assay.db in the current folder.

    Raises: RecipeError, DataError, EngineError, StoreError; StudyInterrupted on Ctrl-C, with everything stored.
    """
    if isinstance(study, Mapping):
        study = Study.parse(study)
    elif not isinstance(study, Study):
        study = Study.load(study)
    execution = Execution(plan(study), Store(store), retry=retry, again=again)
    with interruption(execution.stop) as interrupted:
        for _ in execution:
            pass
        if interrupted():
            raise StudyInterrupted
    return Results(execution.store, study.name)
