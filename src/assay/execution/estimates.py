"""Estimates how long jobs will take: from stored trials if there are any, else from a short calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from time import perf_counter

from assay.execution.batches import form_of
from assay.execution.calibration import CostCalibration
from assay.execution.gpus import gpu_facts
from assay.recipe.model import Recipe
from assay.store.store import PastCost, Store
from assay.studies.plan import Job
from assay.system.garbage import uncollected
from assay.system.limits import ITERATIONS, LOG_POINTS
from assay.training.log_points import number_of_log_points
from assay.workers.calibration import Cost

_MAX_SECONDS = 3.0  # of calibration in total; the most expensive kinds of training are calibrated first
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


def _kinds(jobs: Sequence[Job]) -> dict[Kind, list[Job]]:
    """The jobs by kind, which trials of one static form share."""
    kinds: dict[Kind, list[Job]] = {}
    of_form: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        trial = job.trials[-1]
        form = (trial.form, trial.engine, trial.device, trial.timing)
        group = of_form.get(form)
        if group is None:
            kind = kind_of(trial.recipe, trial.engine, device=trial.device, timing=trial.timing)
            group = kinds.setdefault(kind, [])
            if trial.form:
                of_form[form] = group
        group.append(job)
    return kinds


def _seconds(job: Job, cost: Cost, examples: int) -> float:
    """Seconds of a job for N training examples, until its results are stored."""
    recipe, seconds, rest = job.trials[-1].recipe, job.seconds, cost.training + overhead(job)
    if seconds is None:
        return cost.iteration * job.iterations + cost.point * number_of_log_points(recipe, examples) + rest
    reached = min(round(seconds / cost.iteration), ITERATIONS.most) if cost.iteration else None
    points = min(number_of_log_points(recipe, examples, iterations=reached), LOG_POINTS.most)
    return seconds + cost.point * points + rest


def overhead(job: Job) -> float:
    """The seconds of a job that its ledger does not have: to send it, and to send and store its results.

    Measured on two cores of an AMD EPYC.
    """
    return _ALONE_SECONDS if form_of(job) is None else _TOGETHER_SECONDS


@uncollected()
def estimated(jobs: Sequence[Job], store: Store | None, examples: Mapping[str, int]) -> dict[str, float]:
    """The estimated seconds of each job, by trajectory.

    Args:
        jobs: The jobs.
        store: Its latest trials predict those of their kind; without a store, all kinds are calibrated.
        examples: The number of training examples of each trial.
    """
    kinds = _kinds(jobs)
    longest = {kind: max(_known_iterations(job) for job in group) for kind, group in kinds.items()}
    known = _known(store, longest, gpu_facts(jobs)) if store is not None else {}
    unknown = [kind for kind in kinds if kind not in known]
    unknown.sort(key=lambda kind: -sum(job.flops for job in kinds[kind]))
    begin = perf_counter()
    with CostCalibration() as calibration:
        for kind in unknown:
            if known and perf_counter() - begin > _MAX_SECONDS:
                break
            known[kind] = calibration.of(kinds[kind])
    counted = {k: cost for k, cost in known.items() if kinds[k][0].flops} or known
    rate = median([cost.iteration * kinds[k][0].iterations / max(kinds[k][0].flops, 1) for k, cost in counted.items()])
    point, training = (median([getattr(cost, name) for cost in known.values()]) for name in ("point", "training"))
    seconds: dict[str, float] = {}
    for kind, group in kinds.items():
        for job in group:
            cost = known.get(kind) or Cost(rate * job.flops / max(job.iterations, 1), point, training)
            seconds[job.trajectory] = _seconds(job, cost, examples[job.trials[-1].key])
    return seconds


def _known_iterations(job: Job) -> int:
    """The iterations of a job; 0 where its budget is in seconds."""
    return job.iterations if job.seconds is None else 0


def _known(store: Store, longest: Mapping[Kind, int], gpus: Sequence[Mapping[str, str]]) -> dict[Kind, Cost]:
    """The costs of the latest stored trials, for kinds whose longest job has that many iterations.

    `gpus`: those of this machine on which such trials run.

    A short trial ran mostly on cold caches; it counts only if no stored trial of its kind and no job is much longer.
    """
    by_kind: dict[Kind, list[PastCost]] = {}
    for past in store.recent_costs(gpus):
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
