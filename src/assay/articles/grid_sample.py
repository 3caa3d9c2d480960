"""The full grid of seven factors, a stratified sample of its trajectories, and what is measured of them.

The strata are the number of hidden layers and the batch size, which decide the cost of a training. A trajectory of
a stratum stands for N_h / n_h of them; a run with nll stands for two, because cross entropy is the same function here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from assay.analysis.frames import FINISHED
from assay.analysis.sampling import Estimate, total
from assay.articles.measurements import TrialRow, trial_rows
from assay.errors import AssayError
from assay.parts.models import MLP
from assay.results.results import Results
from assay.rng import stream
from assay.studies.plan import Job, Plan

Stratum = tuple[int, int]
"""The number of hidden layers, and the batch size."""
DOUBLED, FOLDED = "nll", "cross entropy"
"""The loss whose runs also stand for those of another, and that other."""


def stratum_of(job: Job) -> Stratum:
    """The stratum of a job."""
    recipe = job.trials[-1].recipe
    assert isinstance(recipe.model, MLP)  # of the study that is sampled
    return len(recipe.model.hidden), int(recipe.batches.settings().get("size", 0))


def one_each(whole: Plan) -> Plan:
    """The plan with one member for each trial: a run with nll is that with cross entropy, and is counted twice."""
    return replace(whole, members=whole.first_members)


def sample_plan(whole: Plan, fraction: float) -> Plan:
    """A plan with a fraction of the trajectories, stratified by number of hidden layers and batch size.

    Which ones depends on the plan alone. The strata's counts are rounded so that their sum is the fraction of all.
    """
    strata: dict[Stratum, list[Job]] = {}
    for job in whole.jobs:
        strata.setdefault(stratum_of(job), []).append(job)
    chosen: set[str] = set()
    seen = taken = 0
    for number, (_, jobs) in enumerate(sorted(strata.items())):
        seen += len(jobs)
        count = max(1, round(fraction * seen) - taken)
        taken += count
        order = stream(1, "sample of a grid", number).permutation(len(jobs))
        chosen |= {jobs[int(index)].trajectory for index in order[:count]}
    trials = {key: trial for key, trial in whole.trials.items() if trial.trajectory in chosen}
    members = tuple(member for member in whole.first_members if member.key in trials)
    renamed = whole.study.patched({"name": f"{whole.study.name}-sample"})
    examples = {key: whole.examples[key] for key in trials}
    return replace(whole, study=renamed, members=members, trials=trials, requested=len(members), examples=examples)


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

    def part(self, fraction: float) -> GridSample:
        """The trainings that a sample of this fraction would have measured, of those that are finished."""
        chosen = {job.trajectory for job in sample_plan(self.whole, fraction).jobs}
        return replace(self, jobs={name: job for name, job in self.jobs.items() if name in chosen})

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
        return 2 if self.trials[job.trials[0].key]["loss"] == DOUBLED else 1

    def accuracies(self, job: Job) -> list[float]:
        """The accuracies of a job's trials; a diverged one counts as a guess among ten classes."""
        rows = [self.trials[trial.key] for trial in job.trials]
        return [float(row["accuracy"]) if row["outcome"] in FINISHED else 0.1 for row in rows]


__all__ = ["DOUBLED", "FOLDED", "GridSample", "Stratum", "one_each", "sample_plan", "stratum_of"]
