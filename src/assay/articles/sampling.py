"""A stratified sample of a grid's trajectories.

The strata are combinations of values of axes which decide the cost of a training. A trajectory of a stratum stands for
N_h / n_h of them; a trial stands for as many runs as the grid has members with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from assay.rng import stream
from assay.studies.plan import Job, Plan

Stratum = tuple[str, ...]
"""A value of each axis of the strata."""


def strata_of(whole: Plan, axes: Sequence[str]) -> dict[str, Stratum]:
    """The stratum of each trajectory, by trajectory; strata are in the order of the axes' values."""
    values = {member.key: tuple(str(member.values[axis]) for axis in axes) for member in whole.members}
    return {job.trajectory: values[job.trials[-1].key] for job in whole.jobs}


def one_each(whole: Plan) -> Plan:
    """The plan with one member for each trial: runs that are the same trial are trained and listed once."""
    return replace(whole, members=whole.first_members)


def sample_plan(whole: Plan, fraction: float, axes: Sequence[str]) -> Plan:
    """A plan with a fraction of the trajectories, stratified by the axes.

    Which ones depends on the plan alone. The strata's counts are rounded so that their sum is the fraction of all.
    """
    stratum = strata_of(whole, axes)
    strata: dict[Stratum, list[Job]] = {}
    for job in whole.jobs:
        strata.setdefault(stratum[job.trajectory], []).append(job)
    chosen: set[str] = set()
    seen = taken = 0
    for number, key in enumerate(sorted(strata, key=lambda key: _place(whole, key, axes))):
        jobs = strata[key]
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


def _place(whole: Plan, key: Stratum, axes: Sequence[str]) -> list[int]:
    """The place of each value in its axis."""
    by_name = {axis.name: axis for axis in whole.study.axes}
    return [[str(name) for name in by_name[axis].patches].index(value) for axis, value in zip(axes, key, strict=True)]


__all__ = ["Stratum", "one_each", "sample_plan", "strata_of"]
