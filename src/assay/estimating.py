"""How long a study will take: from past trials where there are any, else from a short calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from assay.data.datasets import load
from assay.engines import load as load_engine
from assay.errors import AssayError
from assay.store.store import Store
from assay.studies.planning import Job, Trial
from assay.train import Training, number_of_log_points, prepared

_CALIBRATED = 6  # kinds of training, the most expensive ones
_SECONDS = 0.05  # of training each

Kind = tuple[str, ...]


def kind_of(trial: Trial) -> Kind:
    """What trainings that cost about the same for each iteration have in common."""
    recipe = trial.recipe
    hidden = "-".join(map(str, recipe.model.hidden))
    size = str(recipe.batches.settings().get("size", ""))
    settings = (recipe.data.name, recipe.precision, hidden, recipe.model.activation, recipe.optimizer.entry)
    return (*settings, recipe.batches.kind, size, trial.engine, trial.device, trial.timing)


@dataclass(frozen=True)
class Cost:
    """Seconds of an iteration and of a log point."""

    iteration: float
    point: float

    def of(self, job: Job, points: int) -> float:
        """Seconds of a job that has so many log points."""
        return self.iteration * job.iterations + self.point * points


def estimated(jobs: Sequence[Job], store: Store, examples: Mapping[str, int]) -> dict[str, float]:
    """Seconds that each job will take, by trajectory; `examples`: N of each trial."""
    kinds: dict[Kind, list[Job]] = {}
    for job in jobs:
        kinds.setdefault(kind_of(job.trials[-1]), []).append(job)
    known = {kind: Cost(*costs) for kind, costs in store.costs(kinds).items()}
    unknown = [kind for kind in kinds if kind not in known]
    unknown.sort(key=lambda kind: -sum(job.flops for job in kinds[kind]))
    known |= {kind: calibrated(kinds[kind][0].trials[-1]) for kind in unknown[:_CALIBRATED]}
    rate = median([cost.iteration * kinds[k][0].iterations / max(kinds[k][0].flops, 1) for k, cost in known.items()])
    point = median([cost.point for cost in known.values()])
    found: dict[str, float] = {}
    for kind, group in kinds.items():
        for job in group:
            cost = known.get(kind) or Cost(rate * job.flops / max(job.iterations, 1), point)
            last = job.trials[-1]
            found[job.trajectory] = cost.of(job, number_of_log_points(last.recipe, examples[last.key]))
    return found


def calibrated(trial: Trial) -> Cost:
    """What a training of a twentieth of a second costs; nothing where it cannot be done: the run will say why."""
    try:
        recipe = trial.recipe
        data = prepared(recipe, load(recipe.data.name))
        threads = 1 if trial.timing == "packed" else trial.threads
        training = Training([recipe], load_engine(trial.engine, device=trial.device, threads=threads), data)
        begin = perf_counter()
        for status in training:
            if status.iteration == 0:  # what comes before the first iteration comes once
                begin = perf_counter()
            if perf_counter() - begin > _SECONDS:
                break
    except AssayError:
        return Cost(0.0, 0.0)
    points = max(len(training.histories()[0].points), 1)
    return Cost(training.ledger.train / max(training.t, 1), training.ledger.evaluate / points)


def remaining(estimates: Mapping[str, float], open_jobs: Sequence[Job], workers: int) -> float:
    """Seconds until the open jobs are done on that many workers, and never less than the longest of them."""
    seconds = [estimates.get(job.trajectory, 0.0) for job in open_jobs]
    return max(sum(seconds) / max(workers, 1), max(seconds, default=0.0))
