"""What is measured of a grid: all of it, or a sample that stands for all, and the effects of its factors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd

from assay.analysis.frames import FINISHED
from assay.analysis.sampling import Estimate, adjusted_means, total
from assay.articles.context import Context
from assay.articles.entries import Sampling
from assay.articles.kinds import PagePart
from assay.articles.measurements import TrialRow, percent_cell, trial_rows
from assay.articles.sampling import Stratum, sample_plan, strata_of
from assay.errors import AssayError
from assay.report.text import duration
from assay.results.results import Results
from assay.studies.plan import Job, Plan
from assay.system.machine import usable_cores


@dataclass(frozen=True)
class GridSample:
    """The trajectories of the grid whose trials are all finished.

    Attributes:
        whole: The plan of the whole grid.
        sampling: The strata, the axis within a trajectory, and the value that another one is the same as.
        strata: The stratum of each trajectory of the grid.
        jobs: The finished jobs, by trajectory.
        trials: The finished trials, by key.
    """

    whole: Plan
    sampling: Sampling
    strata: Mapping[str, Stratum]
    jobs: Mapping[str, Job]
    trials: Mapping[str, TrialRow]

    @classmethod
    def of(cls, whole: Plan, sampling: Sampling, result: Results) -> GridSample:
        """The finished part of the grid, from the plan of all of it and the results."""
        rows = {str(row["trial"]): row for row in trial_rows(result) if row["outcome"] != "planned"}
        jobs = {job.trajectory: job for job in whole.jobs if all(trial.key in rows for trial in job.trials)}
        return cls(whole, sampling, strata_of(whole, sampling.strata), jobs, rows)

    @property
    def complete(self) -> bool:
        """Whether the sample is the whole grid."""
        return len(self.jobs) == len(self.whole.jobs)

    @property
    def sizes(self) -> dict[Stratum, int]:
        """How many trajectories of each stratum the grid has."""
        return _counts(self.strata.values())

    @property
    def factors(self) -> list[str]:
        """The axes that a trajectory has one value of."""
        return [axis.name for axis in self.whole.study.axes if axis.name != self.sampling.within]

    def part(self, fraction: float) -> GridSample:
        """The trainings that a sample of this fraction would have measured, of those that are finished."""
        chosen = {job.trajectory for job in sample_plan(self.whole, fraction, self.sampling.strata).jobs}
        return replace(self, jobs={name: job for name, job in self.jobs.items() if name in chosen})

    def weight(self, job: Job) -> float:
        """How many trajectories a job stands for."""
        stratum = self.strata[job.trajectory]
        return self.sizes[stratum] / sum(self.strata[other] == stratum for other in self.jobs)

    def total(self, value: Callable[[Job], float]) -> Estimate:
        """The sum of `value(job)` over all trajectories of the grid. Raises: AssayError for an empty stratum."""
        strata: dict[Stratum, list[float]] = {}
        for job in self.jobs.values():
            strata.setdefault(self.strata[job.trajectory], []).append(value(job))
        sizes = self.sizes
        if strata.keys() != sizes.keys():
            raise AssayError("not every stratum has a finished training")
        return total([(sizes[key], values) for key, values in strata.items()])

    def runs(self, job: Job) -> int:
        """How many of the grid's runs a trial of the job stands for."""
        folded = self.sampling.folded
        return 2 if folded and str(self.trials[job.trials[0].key][folded.axis]) == folded.value else 1

    def accuracies(self, job: Job) -> list[float]:
        """The accuracies of a job's trials; a diverged one counts as a guess among ten classes."""
        rows = [self.trials[trial.key] for trial in job.trials]
        return [float(row["accuracy"]) if row["outcome"] in FINISHED else 0.1 for row in rows]

    def value_label(self, axis: str, value: str) -> str:
        """The value of a factor in a table: one that another is the same as, with that other."""
        folded = self.sampling.folded
        return f"{value} and {folded.also}" if folded and (axis, value) == (folded.axis, folded.value) else value

    def unfolded(self) -> pd.DataFrame:
        """One row per run of the grid, also those that are folded into others."""
        folded = self.sampling.folded
        rows: list[dict[str, Any]] = []
        for job in self.jobs.values():
            for trial, accuracy in zip(job.trials, self.accuracies(job), strict=True):
                row = {**self.trials[trial.key], "accuracy": accuracy, "outcome": "completed"}
                rows += [row, row | {folded.axis: folded.also}] if folded and self.runs(job) == 2 else [row]
        return pd.DataFrame(rows)


def _counts(strata: Any) -> dict[Stratum, int]:
    sizes: dict[Stratum, int] = {}
    for stratum in strata:
        sizes[stratum] = sizes.get(stratum, 0) + 1
    return sizes


class GridPart(PagePart):
    """A table or picture of the study that `[sampling]` names.

    Attributes:
        complete_only: Whether it is left out before the whole grid is finished, and after a sample.
    """

    def grid(self, context: Context) -> GridSample:
        """The finished part of the grid. Raises: AssayError where it is no random sample."""
        sampling = context.sampling
        if sampling is None:
            raise AssayError("the article has no table [sampling]")
        sample: GridSample = context.once(
            "grid", lambda: GridSample.of(context.unsampled(), sampling, context.result(sampling.study))
        )
        if context.spec.sample is None and not sample.complete:
            raise AssayError(
                "what is measured so far is no random sample, because long trainings come first: nothing is estimated "
                "from it"
            )
        return sample

    def axes(self, context: Context) -> list[str]:
        """The axes of the grid."""
        assert context.sampling is not None  # `grid` comes first
        return context.result(context.sampling.study).axes

    def is_whole(self, context: Context) -> bool:
        """Whether all of the grid is asked for and finished."""
        return context.spec.sample is None and self.grid(context).complete


# --- effects ----------------------------------------------------------------------------------------------------------


def effects_of(sample: GridSample) -> pd.DataFrame:
    """The effect of each value of each factor, those within a trajectory included, against the mean of all runs.

    Columns: axis, value, effect, low, high (of the effect, 95 %, t), plain (the weighted mean), n (trajectories). If
    the sample is the whole grid, the effects are those of its runs, and low and high are the effect. Raises:
    AssayError.
    """
    means = pd.concat([_means(sample), _within(sample)], ignore_index=True)
    return means.assign(low=means["effect"], high=means["effect"]) if sample.complete else means


def _means(sample: GridSample) -> pd.DataFrame:
    """The adjusted means of the factors of a trajectory, whose accuracy is the mean over its trials."""
    rows: list[dict[str, Any]] = []
    for job in sample.jobs.values():
        first = sample.trials[job.trials[0].key]
        weight = sample.weight(job) * sample.runs(job)
        factors = {name: first[name] for name in sample.factors}
        rows.append(factors | {"y": mean(sample.accuracies(job)), "weight": weight})
    folded = sample.sampling.folded
    fractions: dict[str, dict[str, float]] = {}
    for name in sample.factors:
        values = list(dict.fromkeys(str(member.values[name]) for member in sample.whole.members))
        doubled = {folded.value: 2.0} if folded and name == folded.axis else {}
        parts = {value: doubled.get(value, 1.0) for value in values}
        fractions[name] = {value: part / sum(parts.values()) for value, part in parts.items()}
    return adjusted_means(pd.DataFrame(rows), fractions, measure="y", weight="weight")


def _within(sample: GridSample) -> pd.DataFrame:
    """The effect of the axis whose values share a trajectory, within each trajectory."""
    jobs, axis = list(sample.jobs.values()), sample.sampling.within
    weights = np.asarray([sample.weight(job) * sample.runs(job) for job in jobs])
    values = np.asarray([sample.accuracies(job) for job in jobs])  # (trajectories, trials)
    centred = values - values.mean(axis=1, keepdims=True)
    effect, n = weights @ centred / weights.sum(), len(jobs)
    spread = np.sqrt((weights**2) @ (centred - effect) ** 2 * n / (n - 1)) / weights.sum()
    middle, plain = float(weights @ values.mean(axis=1) / weights.sum()), weights @ values / weights.sum()
    labels = [str(sample.trials[trial.key][axis]) for trial in jobs[0].trials]
    rows: list[dict[str, Any]] = []
    for i, label in enumerate(labels):
        low, high = Estimate(float(effect[i]), float(spread[i]), n - 1).interval()
        row = {"axis": axis, "value": label, "mean": middle + effect[i], "plain": plain[i], "n": n}
        rows.append(row | {"effect": effect[i], "low": low, "high": high})
    return pd.DataFrame(rows)


def effect_cell(row: Mapping[Any, Any]) -> str:
    """An effect in points with its interval."""
    return f"{100 * row['effect']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"


# --- numbers of all runs ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EstimatedNumber:
    """A number of all runs: what it is, its estimate, and how it is written."""

    name: str
    estimate: Estimate
    form: Callable[[float], str]

    def text(self) -> str:
        """The value with its interval; without one where it is known."""
        low, high = self.estimate.interval()
        value = self.form(self.estimate.value)
        if low == high:
            return value
        if low != low:
            return f"{value} (one training per stratum shows no spread)"
        return f"{value} [{self.form(max(low, 0.0))}, {self.form(high)}]"


def quantities(sample: GridSample, *, failed: float, good: float) -> list[EstimatedNumber]:
    """The time of all trainings, the mean accuracy of all runs, and how many of them are bad and good.

    Raises: AssayError where a stratum has no finished training.
    """
    cores, repeats = len(usable_cores()), sample.whole.study.settings.repeats
    runs = runs_of(sample)
    wall = sample.total(lambda job: float(sample.trials[job.trials[-1].key]["ledger_wall"]))

    def mean_of(value: Callable[[float], float]) -> Estimate:
        """The mean of a function of the accuracy, over all runs."""
        sums = sample.total(lambda job: sample.runs(job) * sum(value(a) for a in sample.accuracies(job)))
        return sums.scaled(1 / (runs * repeats))

    trainings = f"of the {len(sample.whole.jobs):,} trainings without duplicates, packed on {cores} cores"
    return [
        EstimatedNumber(trainings, wall.scaled(1 / cores), duration),
        EstimatedNumber("mean test accuracy of all runs [%]", mean_of(lambda a: a), percent_cell),
        EstimatedNumber(f"runs below {100 * failed:g} % [%]", mean_of(lambda a: a < failed), percent_cell),
        EstimatedNumber(f"runs at {100 * good:g} % or more [%]", mean_of(lambda a: a >= good), percent_cell),
    ]


def runs_of(sample: GridSample) -> float:
    """The runs of the grid as an article counts them, of one seed."""
    return sample.whole.requested / sample.whole.study.settings.repeats


__all__ = ["EstimatedNumber", "GridPart", "GridSample", "effect_cell", "effects_of", "quantities", "runs_of"]
