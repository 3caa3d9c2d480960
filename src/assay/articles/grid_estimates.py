"""Estimates of all runs of the grid from a stratified sample: effects, interactions, and hours.

The strata are the number of hidden layers and the batch size, which decide the cost of a training. A trajectory of
a stratum stands for N_h / n_h of them; a run with nll stands for two, because cross entropy is the same function here.
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
from assay.articles.measurements import TrialRow, percent_cell, trial_rows
from assay.articles.page import Figure, Table
from assay.articles.published import article
from assay.errors import AssayError
from assay.execution.estimates import estimated
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
_DOUBLED = "nll"  # the loss whose runs also stand for those of `_FOLDED`
_FOLDED = "cross entropy"
_LOSSES = 3
_FACTORS = ("hidden", "activation", "loss", "regularisation", "batch", "rate")
_FAILED, _GOOD = 0.5, 0.975  # accuracies below which a run has failed, and from which it is good


def stratum_of(job: Job) -> Stratum:
    """The stratum of a job."""
    recipe = job.trials[-1].recipe
    assert isinstance(recipe.model, MLP)  # of the study that is sampled
    return len(recipe.model.hidden), int(recipe.batches.settings().get("size", 0))


@dataclass(frozen=True)
class GridSample:
    """The trajectories of the grid whose trials are all finished.

    Attributes:
        whole: The plan of the whole grid.
        sizes: How many trajectories of each stratum the grid has.
        jobs: The finished jobs, by trajectory.
        trials: The finished trials, by key.
    """

    whole: Plan
    sizes: Mapping[Stratum, int]
    jobs: Mapping[str, Job]
    trials: Mapping[str, TrialRow]

    @classmethod
    def of(cls, whole: Plan, result: Results) -> GridSample:
        """The finished part of the grid, from the plan of all of it and the results."""
        rows = {str(row["trial"]): row for row in trial_rows(result) if row["outcome"] != "planned"}
        sizes: dict[Stratum, int] = {}
        for job in whole.jobs:
            sizes[stratum_of(job)] = sizes.get(stratum_of(job), 0) + 1
        jobs = {job.trajectory: job for job in whole.jobs if all(trial.key in rows for trial in job.trials)}
        return cls(whole, sizes, jobs, rows)

    @property
    def complete(self) -> bool:
        """Whether the sample is the whole grid."""
        return len(self.jobs) == len(self.whole.jobs)

    def weight(self, job: Job) -> float:
        """How many trajectories a job stands for."""
        stratum = stratum_of(job)
        return self.sizes[stratum] / sum(stratum_of(other) == stratum for other in self.jobs.values())

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
        return 2 if self.trials[job.trials[0].key]["loss"] == _DOUBLED else 1

    def accuracies(self, job: Job) -> list[float]:
        """The accuracies of a job's trials; a diverged one counts as a guess among ten classes."""
        rows = [self.trials[trial.key] for trial in job.trials]
        return [float(row["accuracy"]) if row["outcome"] in FINISHED else 0.1 for row in rows]


def grid_parts(sample: GridSample, axes: list[str]) -> list[Table | Figure]:
    """Tables and pictures of effects, interactions and hours."""
    parts: list[Table | Figure] = []
    try:
        parts.append(_estimates_table(sample))
    except AssayError as error:
        parts.append(Table((), [], "What this says about all runs", f"Not available: {error}."))
    try:
        means = pd.concat([_means(sample), _epochs(sample)], ignore_index=True)
    except AssayError as error:
        return [*parts, Table((), [], "Main effects", f"Not available: {error}.")]
    unfolded = _unfolded(sample)
    return [
        *parts,
        _effects_table(means, complete=sample.complete),
        Figure("effects", effects(means, origin="the mean of all runs", title=_MAIN), _MAIN),
        *_interactions(unfolded, axes),
    ]


_MAIN = "What each value of each factor changes"
_NOTE = (
    "Adjusted: means in a model with an effect for each value and no interactions, fitted to the trajectories with the "
    "weights of their strata, and evaluated with every other factor balanced; 95 % intervals. The plain mean is "
    "weighted too, but includes the effects of the values that a value was sampled with. Epochs are compared within "
    "each trajectory."
)


def _means(sample: GridSample) -> pd.DataFrame:
    """The adjusted means of the factors of a trajectory, whose accuracy is the mean over its epochs."""
    rows: list[dict[str, Any]] = []
    for job in sample.jobs.values():
        first = sample.trials[job.trials[0].key]
        weight = sample.weight(job) * sample.runs(job)
        rows.append({name: first[name] for name in _FACTORS} | {"y": mean(sample.accuracies(job)), "weight": weight})
    shares: dict[str, dict[str, float]] = {}
    for name in _FACTORS:
        values = list(dict.fromkeys(str(member.values[name]) for member in sample.whole.members))
        doubled = {_DOUBLED: 2.0} if name == "loss" else {}
        parts = {value: doubled.get(value, 1.0) for value in values}
        shares[name] = {value: part / sum(parts.values()) for value, part in parts.items()}
    return adjusted_means(pd.DataFrame(rows), shares, measure="y", weight="weight")


def _epochs(sample: GridSample) -> pd.DataFrame:
    """The effect of the epochs, within each trajectory."""
    jobs = list(sample.jobs.values())
    weights = np.asarray([sample.weight(job) * sample.runs(job) for job in jobs])
    values = np.asarray([sample.accuracies(job) for job in jobs])  # (trajectories, epochs)
    centred = values - values.mean(axis=1, keepdims=True)
    effect, n = weights @ centred / weights.sum(), len(jobs)
    spread = np.sqrt((weights**2) @ (centred - effect) ** 2 * n / (n - 1)) / weights.sum()
    middle, plain = float(weights @ values.mean(axis=1) / weights.sum()), weights @ values / weights.sum()
    labels = [str(sample.trials[trial.key]["epochs"]) for trial in jobs[0].trials]
    rows: list[dict[str, Any]] = []
    for i, label in enumerate(labels):
        low, high = Estimate(float(effect[i]), float(spread[i]), n - 1).interval()
        row = {"axis": "epochs", "value": label, "mean": middle + effect[i], "plain": plain[i], "n": n}
        rows.append(row | {"effect": effect[i], "low": low, "high": high})
    return pd.DataFrame(rows)


def _effects_table(means: pd.DataFrame, *, complete: bool) -> Table:
    rows = [
        [
            str(row["axis"]),
            str(row["value"]) + (f" and {_FOLDED}" if row["value"] == _DOUBLED else ""),
            f"{100 * row['effect']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]",
            percent_cell(float(row["plain"])),
            str(row["n"]),
        ]
        for row in means.to_dict("records")
    ]
    head = ("factor", "value", "adjusted, against the mean of all [points]", "plain mean [%]", "trajectories")
    note = _NOTE + ("" if complete else " Where an interval contains 0, this sample shows no significant effect.")
    return Table(head, rows, "Main effects", note)


def _unfolded(sample: GridSample) -> pd.DataFrame:
    """One row per run of the grid, also those folded away: each with nll again with cross entropy."""
    rows: list[dict[str, Any]] = []
    for job in sample.jobs.values():
        for trial, accuracy in zip(job.trials, sample.accuracies(job), strict=True):
            row = {**sample.trials[trial.key], "accuracy": accuracy, "outcome": "completed"}
            rows += [row, row | {"loss": _FOLDED}] if row["loss"] == _DOUBLED else [row]
    return pd.DataFrame(rows)


def _interactions(runs: pd.DataFrame, axes: list[str]) -> list[Figure]:
    heads = "Mean test accuracy by hidden layers and batch size [%]", "Which factors matter, alone and in pairs"
    every = "Every run: its values and its accuracy"
    shares = importance(runs, axes).rename(columns={"term": "axis"}).head(14)
    return [
        Figure("importance", importance_chart(shares, title=heads[1]), heads[1], _FOREST),
        Figure("strata", heat_map(runs, rows="hidden", columns="batch", title=heads[0]), heads[0], _STRATA),
        Figure("runs", parallel_coordinates(runs, axes=axes, by="trial", title=every), every, _EVERY),
    ]


_FOREST = (
    "Fractions of the variance over all combinations, by a random forest over the finished runs; a x b is the "
    "interaction of two factors. From a small sample, only the order of the first few is meaningful."
)
_STRATA = "These two factors are the strata of the sample, so each cell is a random sample of its own 243 runs."
_EVERY = "A line is a run, with cross entropy drawn as nll; its colour and its right end show its accuracy."


def _estimates_table(sample: GridSample) -> Table:
    """Hours and accuracies of all runs, estimated from the finished ones."""
    published: Mapping[str, int] = article("parameters")["full_grid"]
    repeats = sample.whole.study.settings.repeats
    runs = len(sample.whole.jobs) * len(sample.whole.jobs[0].trials) * _LOSSES / 2 / repeats
    cores = len(usable_cores())
    wall = sample.total(lambda job: float(sample.trials[job.trials[-1].key]["ledger_wall"]))
    trainings = len(sample.whole.jobs)
    expected = estimated(sample.whole.jobs, None, sample.whole.examples)

    def mean_of(value: Callable[[float], float]) -> Estimate:
        """The mean of a function of the accuracy, over all runs."""
        sums = sample.total(lambda job: sample.runs(job) * sum(value(a) for a in sample.accuracies(job)))
        return sums.scaled(1 / (runs * repeats))

    lines = [
        (
            f"hours of all {runs:,.0f} runs, as the article counts them",
            f"{published['hours']}",
            "one run after the other",
        ),
        (
            f"of the {trainings:,} trainings without duplicates, packed on {cores} cores",
            _interval(wall, lambda x: duration(x / cores)),
            f"estimated by a calibration: {duration(sum(expected.values()) / cores)}",
        ),
        ("mean test accuracy of all runs [%]", _interval(mean_of(lambda a: a), percent_cell), ""),
        (f"runs below {100 * _FAILED:g} % [%]", _interval(mean_of(lambda a: a < _FAILED), percent_cell), ""),
        (f"runs at {100 * _GOOD:g} % or more [%]", _interval(mean_of(lambda a: a >= _GOOD), percent_cell), ""),
    ]
    finished = "all of them" if sample.complete else f"{len(sample.jobs):,} of {trainings:,} trainings"
    note = (
        f"From {finished}, each weighted by how many of its stratum (hidden layers, batch size) it stands for; those "
        "with nll count twice, because cross entropy is the same function on a log-softmax. 95 % t intervals of a "
        "stratified sample. Packed seconds, evaluation included, loading the data left out. On a busy machine, the "
        "calibration estimates too much."
    )
    return Table(("what", "value [95 % interval]", "beside it"), lines, "What this says about all runs", note)


def _interval(estimate: Estimate, form: Callable[[float], str]) -> str:
    low, high = estimate.interval()
    if low == high:
        return form(estimate.value)
    if low != low:
        return f"{form(estimate.value)} (one training per stratum shows no spread)"
    return f"{form(estimate.value)} [{form(max(low, 0.0))}, {form(high)}]"


__all__ = ["GridSample", "Stratum", "grid_parts", "stratum_of"]
