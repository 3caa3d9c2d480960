"""What the grid says, or a stratified sample of it about all of its runs: effects, interactions, and hours.

The strata are the number of hidden layers and the batch size, which decide the cost of a training. A trajectory
of a stratum stands for N_h / n_h of them; a run under nll stands for two, for cross entropy is the same function here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd

from assay.analysis.frames import FINISHED
from assay.analysis.importance import importance
from assay.analysis.sampling import Estimate, adjusted_means, total
from assay.articles.measured import Row, percent, records
from assay.articles.page import Picture, Table
from assay.articles.published import article
from assay.errors import AssayError
from assay.execution.eta import estimated
from assay.parts.models import MLP
from assay.report.charts.factors import effects
from assay.report.charts.grid import heat_map
from assay.report.charts.importance import importance as importance_chart
from assay.report.charts.parallel import parallel_coordinates
from assay.report.text import duration
from assay.results.results import Results
from assay.studies.plan import Job, Plan
from assay.system.machine import usable_cores

Stratum = tuple[int, int]
"""The number of hidden layers, and the batch size."""
_TWICE = "nll"  # the loss whose runs stand for those of another one too
_TOLD = "cross entropy"
_SUM = 3  # values of the loss
_FACTORS = ("hidden", "activation", "loss", "regularisation", "batch", "rate")
_FAILED, _GOOD = 0.5, 0.975  # accuracies below and from which a run counts as one


def stratum_of(job: Job) -> Stratum:
    """The stratum of a job."""
    recipe = job.trials[-1].recipe
    assert isinstance(recipe.model, MLP)  # of the study that is sampled
    return len(recipe.model.hidden), int(recipe.batches.settings().get("size", 0))


@dataclass(frozen=True)
class Gathered:
    """The trajectories of which every trial is finished, by stratum, and how many of each stratum there are."""

    whole: Plan
    sizes: Mapping[Stratum, int]
    jobs: Mapping[str, Job]  # by trajectory
    trials: Mapping[str, Row]  # by key

    @classmethod
    def of(cls, whole: Plan, result: Results) -> Gathered:
        """What is finished of the plan of the whole grid."""
        rows = {str(row["trial"]): row for row in records(result) if row["outcome"] != "planned"}
        sizes: dict[Stratum, int] = {}
        for job in whole.jobs:
            sizes[stratum_of(job)] = sizes.get(stratum_of(job), 0) + 1
        jobs = {job.trajectory: job for job in whole.jobs if all(trial.key in rows for trial in job.trials)}
        return cls(whole, sizes, jobs, rows)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to be estimated."""
        return len(self.jobs) == len(self.whole.jobs)

    def weight(self, job: Job) -> float:
        """How many trajectories a job stands for."""
        mine = stratum_of(job)
        return self.sizes[mine] / sum(stratum_of(other) == mine for other in self.jobs.values())

    def total(self, value: Callable[[Job], float]) -> Estimate:
        """The sum of `value(job)` over all trajectories of the grid."""
        strata: dict[Stratum, list[float]] = {}
        for job in self.jobs.values():
            strata.setdefault(stratum_of(job), []).append(value(job))
        if strata.keys() != self.sizes.keys():
            raise AssayError("not every stratum has a finished training")
        return total([(self.sizes[key], values) for key, values in strata.items()])

    def runs(self, job: Job) -> int:
        """How many of the grid's runs a trial of the job stands for."""
        return 2 if self.trials[job.trials[0].key]["loss"] == _TWICE else 1

    def accuracies(self, job: Job) -> list[float]:
        """The accuracies of a job's trials; a diverged one has found nothing: the share of one class."""
        rows = [self.trials[trial.key] for trial in job.trials]
        return [float(row["accuracy"]) if row["outcome"] in FINISHED else 0.1 for row in rows]


def grid_parts(found: Gathered, axes: list[str]) -> list[Table | Picture]:
    """Tables and pictures of effects, interactions and hours."""
    parts: list[Table | Picture] = []
    try:
        parts.append(_whole(found))
    except AssayError as error:
        parts.append(Table((), [], "What this says about all runs", f"Not told: {error}."))
    try:
        means = pd.concat([_means(found), _epochs(found)], ignore_index=True)
    except AssayError as error:
        return [*parts, Table((), [], "Main effects", f"Not told: {error}.")]
    unfolded = _unfolded(found)
    return [
        *parts,
        _effects_table(means, complete=found.complete),
        Picture("effects", effects(means, origin="the mean of all runs", title=_MAIN), _MAIN),
        *_interactions(unfolded, axes),
    ]


_MAIN = "What each value of each factor changes"
_NOTE = (
    "Adjusted: means in a model with an effect for each value and no interactions, fitted to the trajectories with the "
    "weights of their strata, and read off with every other factor balanced; 95 % intervals. The plain mean is "
    "weighted too, but takes the chance company of a value for its doing. Epochs are compared within each trajectory."
)


def _means(found: Gathered) -> pd.DataFrame:
    """The adjusted means of the factors that make a trajectory; its accuracy is the mean over its epochs."""
    rows: list[dict[str, Any]] = []
    for job in found.jobs.values():
        first = found.trials[job.trials[0].key]
        weight = found.weight(job) * found.runs(job)
        rows.append({name: first[name] for name in _FACTORS} | {"y": mean(found.accuracies(job)), "weight": weight})
    shares: dict[str, dict[str, float]] = {}
    for name in _FACTORS:
        values = list(dict.fromkeys(str(member.values[name]) for member in found.whole.members))
        twice = {_TWICE: 2.0} if name == "loss" else {}
        parts = {value: twice.get(value, 1.0) for value in values}
        shares[name] = {value: part / sum(parts.values()) for value, part in parts.items()}
    return adjusted_means(pd.DataFrame(rows), shares, measure="y", weight="weight")


def _epochs(found: Gathered) -> pd.DataFrame:
    """What the epochs change, each trajectory compared with itself."""
    jobs = list(found.jobs.values())
    weights = np.asarray([found.weight(job) * found.runs(job) for job in jobs])
    values = np.asarray([found.accuracies(job) for job in jobs])  # (trajectories, epochs)
    own = values - values.mean(axis=1, keepdims=True)
    effect, n = weights @ own / weights.sum(), len(jobs)
    spread = np.sqrt((weights**2) @ (own - effect) ** 2 * n / (n - 1)) / weights.sum()
    middle, plain = float(weights @ values.mean(axis=1) / weights.sum()), weights @ values / weights.sum()
    labels = [str(found.trials[trial.key]["epochs"]) for trial in jobs[0].trials]
    rows: list[dict[str, Any]] = []
    for place, label in enumerate(labels):
        low, high = Estimate(float(effect[place]), float(spread[place]), n - 1).interval()
        row = {"axis": "epochs", "value": label, "mean": middle + effect[place], "plain": plain[place], "n": n}
        rows.append(row | {"effect": effect[place], "low": low, "high": high})
    return pd.DataFrame(rows)


def _effects_table(means: pd.DataFrame, *, complete: bool) -> Table:
    rows = [
        [
            str(row["axis"]),
            str(row["value"]) + (f" and {_TOLD}" if row["value"] == _TWICE else ""),
            f"{100 * row['effect']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]",
            percent(float(row["plain"])),
            str(row["n"]),
        ]
        for row in means.to_dict("records")
    ]
    head = ("factor", "value", "adjusted, against the mean of all [points]", "plain mean [%]", "trajectories")
    note = _NOTE + ("" if complete else " A value whose interval holds 0 is not told from the others by this sample.")
    return Table(head, rows, "Main effects", note)


def _unfolded(found: Gathered) -> pd.DataFrame:
    """A row for each run that was trained or folded away: those under nll a second time, under cross entropy."""
    rows: list[dict[str, Any]] = []
    for job in found.jobs.values():
        for trial, accuracy in zip(job.trials, found.accuracies(job), strict=True):
            row = {**found.trials[trial.key], "accuracy": accuracy, "outcome": "completed"}
            rows += [row, row | {"loss": _TOLD}] if row["loss"] == _TWICE else [row]
    return pd.DataFrame(rows)


def _interactions(runs: pd.DataFrame, axes: list[str]) -> list[Picture]:
    heads = "Mean test accuracy by hidden layers and batch size [%]", "Which factors matter, alone and in pairs"
    every = "Every run: its values and its accuracy"
    shares = importance(runs, axes).rename(columns={"term": "axis"}).head(14)
    return [
        Picture("importance", importance_chart(shares, title=heads[1]), heads[1], _FOREST),
        Picture("strata", heat_map(runs, rows="hidden", columns="batch", title=heads[0]), heads[0], _STRATA),
        Picture("runs", parallel_coordinates(runs, axes=axes, by="trial", title=every), every, _EVERY),
    ]


_FOREST = (
    "Shares of the variance over all combinations, by a random forest over the runs at hand; a x b is what two factors "
    "do together beyond what each does alone. From a small sample the order of the first few is all that it tells."
)
_STRATA = "These two are the strata of a sample, so each cell is a fair sample of its own 243 runs."
_EVERY = "A line is a run, cross entropy drawn as nll; its colour and its end on the right are its accuracy."


def _whole(found: Gathered) -> Table:
    """Hours and accuracies of all runs, from those at hand."""
    published: Mapping[str, int] = article("parameters")["full_grid"]
    repeats = found.whole.study.settings.repeats
    runs = len(found.whole.jobs) * len(found.whole.jobs[0].trials) * _SUM / 2 / repeats
    cores = len(usable_cores())
    wall = found.total(lambda job: float(found.trials[job.trials[-1].key]["ledger_wall"]))
    every = {job.trajectory: job for job in found.whole.jobs}
    expected = estimated(list(every.values()), None, found.whole.examples)

    def share(counts: Callable[[float], float]) -> Estimate:
        sums = found.total(lambda job: found.runs(job) * sum(counts(a) for a in found.accuracies(job)))
        return sums.scaled(1 / (runs * repeats))

    lines = [
        (f"hours of all {runs:,.0f} runs, as the article counts them", f"{published['hours']}", "a run after another"),
        (
            f"of the {len(every):,} trainings that they fold to, packed on {cores} cores",
            _interval(wall, lambda x: duration(x / cores)),
            f"foreseen by a calibration: {duration(sum(expected.values()) / cores)}",
        ),
        ("mean test accuracy of all runs [%]", _interval(share(lambda a: a), percent), ""),
        (f"share of runs under {100 * _FAILED:g} % [%]", _interval(share(lambda a: a < _FAILED), percent), ""),
        (f"share of runs of {100 * _GOOD:g} % and more [%]", _interval(share(lambda a: a >= _GOOD), percent), ""),
    ]
    known = "all of them" if found.complete else f"{len(found.jobs):,} of {len(every):,} trainings"
    note = (
        f"From {known}, each weighted by how many of its stratum (hidden layers, batch size) it stands for, and for "
        "two under nll, as cross entropy is the same function on a log-softmax; 95 % t intervals of a stratified "
        "sample. Packed seconds, evaluation included, loading the data left out. A calibration on a busy machine "
        "foresees too much."
    )
    return Table(("what", "value [95 % interval]", "beside it"), lines, "What this says about all runs", note)


def _interval(estimate: Estimate, shown: Callable[[float], str]) -> str:
    low, high = estimate.interval()
    if low == high:
        return shown(estimate.value)
    if low != low:
        return f"{shown(estimate.value)} (one training of a stratum shows no spread)"
    return f"{shown(estimate.value)} [{shown(max(low, 0.0))}, {shown(high)}]"


__all__ = ["Gathered", "Stratum", "grid_parts", "stratum_of"]
