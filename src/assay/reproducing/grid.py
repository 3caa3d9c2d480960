"""The full grid of seven factors: all of it, or a stratified sample of its trajectories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import mean, median

from assay.parts.models import MLP
from assay.published import article, sources
from assay.reproducing.asking import Asked, study
from assay.reproducing.measured import Measured, Row, percent
from assay.reproducing.pages import Page, Table
from assay.results import Results
from assay.rng import stream
from assay.studies.planning import Job, Plan, plan

_BEST = 10


def grid_plans(asked: Asked) -> list[Plan]:
    """The plan of the grid, or of the share of it that is asked for."""
    whole = plan(study("parameter-grid", asked))
    return [whole if asked.sample is None else sampled(whole, asked.sample)]


def sampled(whole: Plan, share: float) -> Plan:
    """A plan with a share of the trajectories, as many of each number of hidden layers and batch size as there are.

    Which ones hangs on the plan alone. The strata's shares are rounded so that their sum is the share of all.
    """
    strata: dict[tuple[int, int], list[Job]] = {}
    for job in whole.jobs:
        recipe = job.trials[-1].recipe
        size = int(recipe.batches.settings().get("size", 0))
        hidden = len(recipe.model.hidden) if isinstance(recipe.model, MLP) else 0
        strata.setdefault((hidden, size), []).append(job)
    chosen: set[str] = set()
    passed = taken = 0
    for number, (_, jobs) in enumerate(sorted(strata.items())):
        passed += len(jobs)
        count = max(1, round(share * passed) - taken)
        taken += count
        order = stream(1, "sample of a grid", number).permutation(len(jobs))
        chosen |= {jobs[int(place)].trajectory for place in order[:count]}
    trials = {key: trial for key, trial in whole.trials.items() if trial.trajectory in chosen}
    members = tuple(member for member in whole.members if member.key in trials)
    named = whole.study.patched({"name": f"{whole.study.name}-sample"})
    examples = {key: whole.examples[key] for key in trials}
    return replace(whole, study=named, members=members, trials=trials, asked=len(members), examples=examples)


def grid_page(asked: Asked, results: Mapping[str, Results]) -> Page:
    """What each value of each factor gives on average, the best combinations, and what the grid costs."""
    (result,) = results.values()
    measured = Measured([result])
    published: Mapping[str, int] = article("parameters")["full_grid"]
    share = "the whole grid" if asked.sample is None else f"a sample of {100 * asked.sample:g} % of its trajectories"
    lead = [
        f"The article counted {published['runs']:,} runs and {published['hours']} hours, and did not run them. This is "
        f"{share}: {len(measured.trials):,} of {measured.asked:,} trials are measured, {measured.diverged:,} diverged.",
        _cost(measured, asked),
    ]
    tables = [_factors(measured, result.axes), _best(measured, result.axes)]
    title = "Parameter choice on MNIST: the full grid"
    return Page(title, lead, tables, [], sources("parameters"), asked.banner)


def _cost(measured: Measured, asked: Asked) -> str:
    longest: dict[tuple[str, ...], float] = {}
    for row in measured.trials:
        key = tuple(str(row.get(name)) for name in ("hidden", "activation", "loss", "regularisation", "batch", "rate"))
        key = (*key, str(row["seed"]))
        longest[key] = max(longest.get(key, 0.0), float(row["seconds"]))
    hours = sum(longest.values()) / 3600
    said = f"Training took {hours:.2f} core-hours on {len(longest):,} trajectories, evaluation left out"
    return said + (f"; the whole grid by that {hours / asked.sample:.1f}." if asked.sample else ".")


def _factors(measured: Measured, axes: list[str]) -> Table:
    rows: list[list[str]] = []
    for axis in axes:
        groups: dict[str, list[float]] = {}
        for row in measured.trials:
            groups.setdefault(str(row[axis]), []).append(float(row["accuracy"]))
        for value in sorted(groups):
            values = groups[value]
            cells = [percent(median(values)), percent(mean(values)), percent(max(values)), str(len(values))]
            rows.append([axis, value, *cells])
    head = ("factor", "value", "median [%]", "mean [%]", "best [%]", "trials")
    note = "Test accuracy over all trials with the value that finished. A sample does not balance the other factors."
    return Table(head, rows, "Each value of each factor", note)


def _best(measured: Measured, axes: list[str]) -> Table:
    ranked: list[Row] = sorted(measured.trials, key=lambda row: -float(row["accuracy"]))[:_BEST]
    rows = [[*(str(row[axis]) for axis in axes), percent(float(row["accuracy"]))] for row in ranked]
    note = "One seed each, selected on test: the order of the best ones means little."
    return Table((*axes, "accuracy [%]"), rows, "The best combinations", note)


__all__ = ["grid_page", "grid_plans", "sampled"]
