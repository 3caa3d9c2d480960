"""The full grid of seven factors: all of it, or a stratified sample of its trajectories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from assay.articles.grid_estimates import GridSample, Stratum, grid_parts, stratum_of
from assay.articles.measurements import Measurements, TrialRow, percent_cell
from assay.articles.page import Page, Table
from assay.articles.published import article, sources
from assay.articles.spec import ReproductionSpec, study
from assay.results.results import Results
from assay.rng import stream
from assay.studies.plan import Job, Plan, plan

_BEST = 10


def grid_plans(spec: ReproductionSpec) -> list[Plan]:
    """The plan of the grid, or of the sample that the spec asks for."""
    whole = one_each(plan(study("parameter-grid", spec)))
    return [whole if spec.sample is None else sample_plan(whole, spec.sample)]


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


def grid_page(spec: ReproductionSpec, results: Mapping[str, Results]) -> Page:
    """The effect of each value of each factor, estimates of all runs, the best runs, and the cost."""
    (result,) = results.values()
    measured = Measurements([result])
    published: Mapping[str, int] = article("parameters")["full_grid"]
    extent = "the whole grid" if spec.sample is None else f"a sample of {100 * spec.sample:g} % of its trajectories"
    lead = [
        f"The article counted {published['runs']:,} runs and {published['hours']} hours, and did not run them. This is "
        f"{extent}: {len(measured.trials):,} of {measured.planned:,} trials are measured, "
        f"{measured.diverged:,} diverged.",
    ]
    title = "Parameter choice on MNIST: the full grid"
    sample = GridSample.of(one_each(plan(study("parameter-grid", spec))), result)
    parts = grid_parts(sample, result.axes) if sample.jobs else []
    return Page(title, lead, [*parts, _best(measured, result.axes)], [], sources("parameters"), spec.banner)


def _best(measured: Measurements, axes: list[str]) -> Table:
    ranked: list[TrialRow] = sorted(measured.trials, key=lambda row: -float(row["accuracy"]))[:_BEST]
    rows = [[*(str(row[axis]) for axis in axes), percent_cell(float(row["accuracy"]))] for row in ranked]
    note = "One seed each, selected on test, so their order means little."
    return Table((*axes, "accuracy [%]"), rows, "The best combinations", note)


__all__ = ["grid_page", "grid_plans", "one_each", "sample_plan"]
