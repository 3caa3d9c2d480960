"""Estimates how long jobs will take: from stored trials if there are any, else from a short calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from assay.data.cache import DataCache
from assay.engines import load as load_engine
from assay.errors import AssayError
from assay.execution.batches import form_of
from assay.recipe.model import Recipe
from assay.store.store import PastCost, Store
from assay.studies.plan import Job, Trial
from assay.system.limits import ITERATIONS, LOG_POINTS
from assay.training.log_points import number_of_log_points
from assay.training.loop import Training

_MAX_SECONDS = 3.0  # of calibration in total; the most expensive kinds of training are calibrated first
_SECONDS = 0.05  # of training per calibration
_BRIEF = 1.0  # seconds of training; a stored trial shorter than this does not predict a much longer one
_TOGETHER_SECONDS = 0.003  # of a trial in a batch, beyond its training: message, result, transaction
_ALONE_SECONDS = 0.015  # the same of a job alone, which has messages and two transactions of its own
_LONG = 4  # times as many iterations: from there on a trial is much longer than another

Kind = tuple[str, ...]


def kind_of(recipe: Recipe, engine: str, *, device: str, timing: str) -> Kind:
    """The kind of a training: trainings of one kind cost about the same per iteration."""
    size = str(recipe.batches.settings().get("size", ""))
    settings = (recipe.data.name, recipe.precision, recipe.model.title, recipe.model.functions, recipe.optimizer.entry)
    return (*settings, recipe.batches.kind, size, engine, device, timing)


def _kind_of_job(job: Job) -> Kind:
    trial = job.trials[-1]
    return kind_of(trial.recipe, trial.engine, device=trial.device, timing=trial.timing)


@dataclass(frozen=True)
class Cost:
    """Seconds per iteration, per log point, and per training for all that is neither (weights, batches, checkpoint)."""

    iteration: float
    point: float
    training: float = 0.0

    def of(self, job: Job, examples: int) -> float:
        """Seconds of a job for N training examples, until its results are stored."""
        recipe, seconds, rest = job.trials[-1].recipe, job.seconds, self.training + overhead(job)
        if seconds is None:
            return self.iteration * job.iterations + self.point * number_of_log_points(recipe, examples) + rest
        reached = min(round(seconds / self.iteration), ITERATIONS.most) if self.iteration else None
        points = min(number_of_log_points(recipe, examples, iterations=reached), LOG_POINTS.most)
        return seconds + self.point * points + rest


def overhead(job: Job) -> float:
    """The seconds of a job that its ledger does not have: to send it, and to send and store its results.

    Measured on two cores of an AMD EPYC.
    """
    return _ALONE_SECONDS if form_of(job) is None else _TOGETHER_SECONDS


def estimated(jobs: Sequence[Job], store: Store | None, examples: Mapping[str, int]) -> dict[str, float]:
    """The estimated seconds of each job, by trajectory.

    Args:
        jobs: The jobs.
        store: Its latest trials predict those of their kind; without a store, all kinds are calibrated.
        examples: The number of training examples of each trial.
    """
    kinds: dict[Kind, list[Job]] = {}
    for job in jobs:
        kinds.setdefault(_kind_of_job(job), []).append(job)
    longest = {kind: max(_known_iterations(job) for job in group) for kind, group in kinds.items()}
    known = _known(store, longest) if store is not None else {}
    unknown = [kind for kind in kinds if kind not in known]
    unknown.sort(key=lambda kind: -sum(job.flops for job in kinds[kind]))
    cache, begin = DataCache(), perf_counter()
    for kind in unknown:
        if known and perf_counter() - begin > _MAX_SECONDS:
            break
        known[kind] = calibrated(kinds[kind][0].trials[-1], cache)
    counted = {k: cost for k, cost in known.items() if kinds[k][0].flops} or known
    rate = median([cost.iteration * kinds[k][0].iterations / max(kinds[k][0].flops, 1) for k, cost in counted.items()])
    point, training = (median([getattr(cost, name) for cost in known.values()]) for name in ("point", "training"))
    seconds: dict[str, float] = {}
    for kind, group in kinds.items():
        for job in group:
            cost = known.get(kind) or Cost(rate * job.flops / max(job.iterations, 1), point, training)
            seconds[job.trajectory] = cost.of(job, examples[job.trials[-1].key])
    return seconds


def _known_iterations(job: Job) -> int:
    """The iterations of a job; 0 where its budget is in seconds."""
    return job.iterations if job.seconds is None else 0


def _known(store: Store, longest: Mapping[Kind, int]) -> dict[Kind, Cost]:
    """The costs of the latest stored trials, for kinds whose longest job has that many iterations.

    A short trial ran mostly on cold caches; it counts only if no stored trial of its kind and no job is much longer.
    """
    by_kind: dict[Kind, list[PastCost]] = {}
    for past in store.recent_costs():
        kind = kind_of(past.recipe, past.engine, device=past.device, timing=past.timing)
        if kind in longest:
            by_kind.setdefault(kind, []).append(past)
    known: dict[Kind, Cost] = {}
    for kind, trials in by_kind.items():
        most = max(past.iterations for past in trials)
        latest = next(past for past in trials if past.iterations * _LONG >= most)
        if latest.iteration * latest.iterations >= _BRIEF or latest.iterations * _LONG >= longest[kind]:
            known[kind] = Cost(latest.iteration, latest.point, median([past.training for past in trials]))
    return known


def calibrated(trial: Trial, cache: DataCache) -> Cost:
    """The cost of a trial, measured by training it for a twentieth of a second.

    It is 0 if the trial cannot be trained; the run will report why. If others follow, the first iteration and the first
    log point are left out, because they run on cold caches and allocate what later ones reuse.
    """
    try:
        recipe = trial.recipe
        data = cache.prepared(recipe.data.name, recipe.preparation)
        threads = 1 if trial.timing == "packed" else trial.threads
        engine = trial.engine if trial.program is None else "numpy"  # stands in for a program that was never timed
        training = Training([recipe], load_engine(engine, device=trial.device, threads=threads), data, log_points=(1,))
        ledger, first = training.ledger, (0.0, 0.0)  # first: seconds of the first iteration and the first log point
        for status in training:
            if status.iteration == 0:
                first = (0.0, ledger.evaluate)
            elif status.iteration == 1:
                first = (ledger.train, first[1])
            if ledger.train - first[0] > _SECONDS:
                break
    except AssayError:
        return Cost(0.0, 0.0)
    points = len(training.histories()[0].points)
    iteration = (ledger.train - first[0]) / (training.t - 1) if training.t > 1 else ledger.train
    point = (ledger.evaluate - first[1]) / (points - 1) if points > 1 else ledger.evaluate
    return Cost(iteration, point, ledger.data + ledger.compile)
