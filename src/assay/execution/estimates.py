"""How long a study will take: from past trials where there are any, else from a short calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from assay.data.cache import DataCache
from assay.engines import load as load_engine
from assay.errors import AssayError
from assay.recipe.model import Recipe
from assay.store.store import PastCost, Store
from assay.studies.plan import Job, Trial
from assay.training.log_points import number_of_log_points
from assay.training.loop import Training

_PATIENCE = 3.0  # seconds after which no further kind of training is calibrated; the most expensive ones come first
_SECONDS = 0.05  # of training each
_BRIEF = 1.0  # seconds of training, below which a stored trial says little of one that is much longer
_LONG = 4  # a stored trial tells what another costs unless one of its kind was more than so many times as long

Kind = tuple[str, ...]


def kind(recipe: Recipe, engine: str, *, device: str, timing: str) -> Kind:
    """What trainings that cost about the same for each iteration have in common."""
    size = str(recipe.batches.settings().get("size", ""))
    settings = (recipe.data.name, recipe.precision, recipe.model.title, recipe.model.functions, recipe.optimizer.entry)
    return (*settings, recipe.batches.kind, size, engine, device, timing)


def _kind_of(job: Job) -> Kind:
    trial = job.trials[-1]
    return kind(trial.recipe, trial.engine, device=trial.device, timing=trial.timing)


@dataclass(frozen=True)
class Cost:
    """Seconds of an iteration and of a log point."""

    iteration: float
    point: float

    def of(self, job: Job, points: int) -> float:
        """Seconds of a job that has so many log points."""
        return self.iteration * job.iterations + self.point * points


def estimated(jobs: Sequence[Job], store: Store | None, examples: Mapping[str, int]) -> dict[str, float]:
    """Seconds that each job will take, by trajectory; `examples`: N of each trial. Without a store: by calibration."""
    kinds: dict[Kind, list[Job]] = {}
    for job in jobs:
        kinds.setdefault(_kind_of(job), []).append(job)
    asked = {its: max(job.iterations for job in group) for its, group in kinds.items()}
    known = _known(store, asked) if store is not None else {}
    unknown = [k for k in kinds if k not in known]
    unknown.sort(key=lambda k: -sum(job.flops for job in kinds[k]))
    cache, begin = DataCache(), perf_counter()
    for its in unknown:
        if known and perf_counter() - begin > _PATIENCE:
            break
        known[its] = calibrated(kinds[its][0].trials[-1], cache)
    rate = median([cost.iteration * kinds[k][0].iterations / max(kinds[k][0].flops, 1) for k, cost in known.items()])
    point = median([cost.point for cost in known.values()])
    found: dict[str, float] = {}
    for its, group in kinds.items():
        for job in group:
            cost = known.get(its) or Cost(rate * job.flops / max(job.iterations, 1), point)
            last = job.trials[-1]
            found[job.trajectory] = cost.of(job, number_of_log_points(last.recipe, examples[last.key]))
    return found


def _known(store: Store, asked: Mapping[Kind, int]) -> dict[Kind, Cost]:
    """What the latest stored trials cost, for kinds of which so many iterations are asked.

    Short ones, hardly out of cold caches, count where none is much longer, and not where much more is asked.
    """
    found: dict[Kind, list[PastCost]] = {}
    for past in store.recent_costs():
        its = kind(past.recipe, past.engine, device=past.device, timing=past.timing)
        if its in asked:
            found.setdefault(its, []).append(past)
    known: dict[Kind, Cost] = {}
    for its, trials in found.items():
        most = max(past.iterations for past in trials)
        latest = next(past for past in trials if past.iterations * _LONG >= most)
        if latest.iteration * latest.iterations >= _BRIEF or latest.iterations * _LONG >= asked[its]:
            known[its] = Cost(latest.iteration, latest.point)
    return known


def calibrated(trial: Trial, cache: DataCache) -> Cost:
    """What a training of a twentieth of a second costs; nothing where it cannot be done: the run will say why.

    The first iteration and the first log point are left out where others follow: they find caches cold and make what
    later ones use again.
    """
    try:
        recipe = trial.recipe
        data = cache.prepared(recipe.data.name, recipe.preparation)
        threads = 1 if trial.timing == "packed" else trial.threads
        engine = trial.engine if trial.program is None else "numpy"  # in the place of a program nobody has timed yet
        training = Training([recipe], load_engine(engine, device=trial.device, threads=threads), data, log_points=(1,))
        spent, first = training.ledger, (0.0, 0.0)  # seconds of the first iteration, and of the first log point
        for status in training:
            if status.iteration == 0:
                first = (0.0, spent.evaluate)
            elif status.iteration == 1:
                first = (spent.train, first[1])
            if spent.train - first[0] > _SECONDS:
                break
    except AssayError:
        return Cost(0.0, 0.0)
    points = len(training.histories()[0].points)
    iteration = (spent.train - first[0]) / (training.t - 1) if training.t > 1 else spent.train
    return Cost(iteration, (spent.evaluate - first[1]) / (points - 1) if points > 1 else spent.evaluate)
