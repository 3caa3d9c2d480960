"""The full grid of seven factors: all of it, or a stratified sample of its trajectories, and its best combinations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

from assay.analysis.frames import FINISHED
from assay.articles.grid_estimates import sample_parts
from assay.articles.grid_sample import GridSample, one_each, sample_plan
from assay.articles.grid_whole import whole_parts
from assay.articles.measurements import Measurements, TrialRow, percent_cell, trial_rows
from assay.articles.page import Figure, Page, Table
from assay.articles.published import article, sources
from assay.articles.spec import ReproductionSpec, study
from assay.recipe.toml import read_toml
from assay.results.results import Results
from assay.studies.plan import Plan, plan
from assay.studies.study import Study, bundled

_GRID, _FINALS = "parameter-grid", "parameter-grid-finals"
_BEST = 10
_VARIED = ("model", "loss", "regularisation", "batches", "budget", "optimizer")  # the recipe keys that the axes set


def grid_plans(spec: ReproductionSpec) -> list[Plan]:
    """The plan of the grid, or of the sample that the spec asks for."""
    whole = one_each(plan(study(_GRID, spec)))
    return [whole if spec.sample is None else sample_plan(whole, spec.sample)]


def grid_finals(spec: ReproductionSpec, results: Mapping[str, Results]) -> list[Plan]:
    """The best combinations on seeds that did not choose them; none after a sample, or before the grid is finished."""
    if spec.sample is not None:
        return []
    grid = study(_GRID, spec)
    rows = trial_rows(results[_GRID])
    if any(row["outcome"] == "planned" for row in rows):
        return []
    as_written = Study.load(_GRID).candidates()  # `study` scales a quick run down, and may do so once
    tables = {c.label: full.table for c, full in zip(grid.candidates(), as_written, strict=True)}
    raw = read_toml(bundled(_FINALS))
    best = {label: {key: tables[label][key] for key in _VARIED if key in tables[label]} for label in best_of(rows)}
    first = {"seed": 1 + grid.settings.repeats}
    changes = {"trials": {**raw["trials"], **best}, "baseline": {**raw["baseline"], **first}}
    return [plan(study(_FINALS, spec, changes))]


def best_of(rows: Sequence[TrialRow]) -> list[str]:
    """The configurations with the best mean test accuracy over their seeds; the better ones first."""
    accuracies: dict[str, list[float]] = {}
    for row in rows:
        if row["outcome"] in FINISHED:
            accuracies.setdefault(str(row["configuration"]), []).append(float(row["accuracy"]))
    means = {label: mean(values) for label, values in accuracies.items()}
    return sorted(means, key=lambda label: -means[label])[:_BEST]


def grid_page(spec: ReproductionSpec, results: Mapping[str, Results]) -> Page:
    """The effect of each value of each factor, estimates of all runs, the best runs, and the cost."""
    result = next(results[name] for name in results if name != _FINALS)
    measured = Measurements([result])
    published: Mapping[str, int] = article("parameters")["full_grid"]
    sample = GridSample.of(one_each(plan(study(_GRID, spec))), result)
    whole = sample.complete and spec.sample is None
    extent = "all of them" if spec.sample is None else f"a sample of {100 * spec.sample:g} % of their trajectories"
    lead = [
        f"The article counted {published['runs']:,} runs and {published['hours']} hours, and did not run them. These "
        f"are {extent}: {len(measured.trials):,} of {measured.planned:,} different trials are measured, "
        f"{measured.diverged:,} diverged.",
    ]
    parts: list[Table | Figure] = []
    if whole:
        parts = whole_parts(sample, result.axes)
    elif spec.sample is None:
        lead.append(_UNFINISHED)
    elif sample.jobs:
        parts = sample_parts(sample, result.axes)
    best = _best(measured, result.axes, results.get(_FINALS))
    title = "Parameter choice on MNIST: the full grid"
    return Page(title, lead, [*parts, *best], [], sources("parameters"), spec.banner)


_UNFINISHED = (
    "What is measured so far is no random sample, because long trainings come first: nothing is estimated from it."
)


def _best(measured: Measurements, axes: list[str], finals: Results | None) -> list[Table | Figure]:
    labels = best_of(measured.trials)
    firsts = {str(row["configuration"]): row for row in reversed(measured.trials)}
    again = {} if finals is None else _by_configuration(trial_rows(finals))
    rows: list[list[str]] = []
    for label in labels:
        chosen = mean(measured.column(label, "accuracy").values())
        cells = [*(str(firsts[label][axis]) for axis in axes), percent_cell(chosen)]
        rows.append([*cells, _spread(again.get(label, []))] if again else cells)
    head = (*axes, "accuracy [%]", *(["on further seeds [%]"] if again else []))
    note = (
        "Chosen by the test accuracy of the seeds of the grid, so these accuracies are too high, and their order means "
        "little."
    )
    if again:
        note += f" The further seeds chose nothing: mean (least .. greatest). {_reference(again)}"
    return [Table(head, rows, "The best combinations", note)]


def _by_configuration(rows: Sequence[TrialRow]) -> dict[str, list[float]]:
    """The accuracies of the finished trials of each configuration."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["outcome"] in FINISHED:
            found.setdefault(str(row["configuration"]), []).append(float(row["accuracy"]))
    return found


def _reference(again: Mapping[str, list[float]]) -> str:
    """The article's own configuration on the same seeds."""
    names = [name for name in read_toml(bundled(_FINALS))["trials"] if name in again]
    return " ".join(f"{name[0].upper()}{name[1:]}, on the same seeds: {_spread(again[name])} %." for name in names)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{percent_cell(mean(values))} ({percent_cell(min(values))} .. {percent_cell(max(values))})"


__all__ = ["best_of", "grid_finals", "grid_page", "grid_plans"]
