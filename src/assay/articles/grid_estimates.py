"""What the finished trainings of the grid say about all 2,187 runs: effects, interactions, and hours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd

from assay.analysis.importance import importance
from assay.analysis.sampling import Estimate, adjusted_means
from assay.articles.grid_sample import DOUBLED, FOLDED, GridSample
from assay.articles.measurements import percent_cell
from assay.articles.page import Figure, Table
from assay.articles.published import article
from assay.errors import AssayError
from assay.execution.estimates import estimated
from assay.report.charts.factors import effects
from assay.report.charts.grid import heat_map
from assay.report.charts.importance import importance as importance_chart
from assay.report.charts.parallel import parallel_coordinates
from assay.report.text import duration
from assay.system.machine import usable_cores

_LOSSES = 3
_FACTORS = ("hidden", "activation", "loss", "regularisation", "batch", "rate")
_FAILED, _GOOD = 0.5, 0.975  # accuracies below which a run has failed, and from which it is good
EFFECTS = "What each value of each factor changes"


def sample_parts(sample: GridSample, axes: list[str]) -> list[Table | Figure]:
    """Tables and pictures of effects, interactions and hours, estimated from a sample."""
    parts: list[Table | Figure] = []
    try:
        parts.append(estimates_table(sample))
    except AssayError as error:
        parts.append(Table((), [], "What this says about all runs", f"Not available: {error}."))
    try:
        means = effects_of(sample)
    except AssayError as error:
        return [*parts, Table((), [], "Main effects", f"Not available: {error}.")]
    chart = effects(means, origin="the mean of all runs", title=EFFECTS)
    return [*parts, _effects_table(means), Figure("effects", chart, EFFECTS), *pictures(sample, axes)]


_NOTE = (
    "Adjusted: means in a model with an effect for each value and no interactions, fitted to the trajectories with the "
    "weights of their strata, and evaluated with every other factor balanced; 95 % intervals. The plain mean is "
    "weighted too, but includes the effects of the values that a value was sampled with. Epochs are compared within "
    "each trajectory. Where an interval contains 0, this sample shows no significant effect."
)


def effects_of(sample: GridSample) -> pd.DataFrame:
    """The effect of each value of each factor, the epochs included, against the mean of all runs.

    Columns: axis, value, effect, low, high (of the effect, 95 %, t), plain (the weighted mean), n (trajectories). If
    the sample is the whole grid, the effects are those of its runs, and low and high are the effect. Raises:
    AssayError.
    """
    means = pd.concat([_means(sample), _epochs(sample)], ignore_index=True)
    return means.assign(low=means["effect"], high=means["effect"]) if sample.complete else means


def value_label(axis: str, value: str) -> str:
    """The value of a factor in a table: that of a loss with the loss that is folded into it."""
    return f"{value} and {FOLDED}" if axis == "loss" and value == DOUBLED else value


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
        doubled = {DOUBLED: 2.0} if name == "loss" else {}
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


def _effects_table(means: pd.DataFrame) -> Table:
    rows = [
        [
            str(row["axis"]),
            value_label(str(row["axis"]), str(row["value"])),
            effect_cell(row),
            percent_cell(float(row["plain"])),
            str(row["n"]),
        ]
        for row in means.to_dict("records")
    ]
    head = ("factor", "value", "adjusted, against the mean of all [points]", "plain mean [%]", "trajectories")
    return Table(head, rows, "Main effects", _NOTE)


def effect_cell(row: Mapping[Any, Any]) -> str:
    """An effect in points with its interval."""
    return f"{100 * row['effect']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"


def unfolded(sample: GridSample) -> pd.DataFrame:
    """One row per run of the grid, also those folded away: each with nll again with cross entropy."""
    rows: list[dict[str, Any]] = []
    for job in sample.jobs.values():
        for trial, accuracy in zip(job.trials, sample.accuracies(job), strict=True):
            row = {**sample.trials[trial.key], "accuracy": accuracy, "outcome": "completed"}
            rows += [row, row | {"loss": FOLDED}] if row["loss"] == DOUBLED else [row]
    return pd.DataFrame(rows)


def pictures(sample: GridSample, axes: list[str]) -> list[Figure]:
    """Which factors matter and which interact, the mean of each stratum, and every run."""
    runs = unfolded(sample)
    shares = importance(runs, axes).rename(columns={"term": "axis"}).head(14)
    lines = runs[runs["loss"] != FOLDED].replace({"loss": {DOUBLED: f"{DOUBLED}, {FOLDED}"}})
    small = "" if sample.complete else " From a small sample, only the order of the first few is meaningful."
    cells = "Each cell is the mean of its 243 runs." if sample.complete else _STRATA
    return [
        Figure("importance", importance_chart(shares, title=_MATTER), _MATTER, _FOREST + small),
        Figure("strata", heat_map(runs, rows="hidden", columns="batch", title=_CELLS), _CELLS, cells),
        Figure("runs", parallel_coordinates(lines, axes=axes, by="trial", title=_RUNS), _RUNS, _EVERY),
    ]


_MATTER = "Which factors matter, alone and in pairs"
_CELLS = "Mean test accuracy by hidden layers and batch size [%]"
_RUNS = "Every run: its values and its accuracy"
_FOREST = (
    "Fractions of the variance over all combinations, by a random forest over the finished runs; a x b is the "
    "interaction of two factors."
)
_STRATA = "These two factors are the strata of the sample, so each cell is a random sample of its own 243 runs."
_EVERY = (
    "A line is a run, with nll and cross entropy as one; its colour and its right end show its accuracy. Lines are "
    "drawn in a random order, so that neither the good ones nor the others hide the rest."
)


@dataclass(frozen=True)
class EstimatedNumber:
    """A number of all runs: what it is, its estimate, how it is written, and what stands next to it."""

    name: str
    estimate: Estimate
    form: Callable[[float], str]
    beside: str = ""


def quantities(sample: GridSample) -> list[EstimatedNumber]:
    """The time of all trainings, the mean accuracy of all runs, and how many of them are bad and good.

    Raises: AssayError where a stratum has no finished training.
    """
    cores, repeats = len(usable_cores()), sample.whole.study.settings.repeats
    runs = _runs(sample)
    wall = sample.total(lambda job: float(sample.trials[job.trials[-1].key]["ledger_wall"]))

    def mean_of(value: Callable[[float], float]) -> Estimate:
        """The mean of a function of the accuracy, over all runs."""
        sums = sample.total(lambda job: sample.runs(job) * sum(value(a) for a in sample.accuracies(job)))
        return sums.scaled(1 / (runs * repeats))

    trainings = f"of the {len(sample.whole.jobs):,} trainings without duplicates, packed on {cores} cores"
    return [
        EstimatedNumber(trainings, wall.scaled(1 / cores), duration),
        EstimatedNumber("mean test accuracy of all runs [%]", mean_of(lambda a: a), percent_cell),
        EstimatedNumber(f"runs below {100 * _FAILED:g} % [%]", mean_of(lambda a: a < _FAILED), percent_cell),
        EstimatedNumber(f"runs at {100 * _GOOD:g} % or more [%]", mean_of(lambda a: a >= _GOOD), percent_cell),
    ]


def _runs(sample: GridSample) -> float:
    """The runs of the grid as the article counts them, of one seed."""
    jobs = sample.whole.jobs
    return len(jobs) * len(jobs[0].trials) * _LOSSES / 2 / sample.whole.study.settings.repeats


def estimates_table(sample: GridSample) -> Table:
    """Hours and accuracies of all runs, estimated from the finished ones."""
    published: Mapping[str, int] = article("parameters")["full_grid"]
    trainings = len(sample.whole.jobs)
    expected = sum(estimated(sample.whole.jobs, None, sample.whole.examples).values()) / len(usable_cores())
    time, *accuracies = quantities(sample)
    lines = [
        (
            f"hours of all {_runs(sample):,.0f} runs, as the article counts them",
            f"{published['hours']}",
            "one run after the other",
        ),
        (time.name, interval(time), f"estimated by a calibration: {duration(expected)}"),
        *((quantity.name, interval(quantity), quantity.beside) for quantity in accuracies),
    ]
    finished = "all of them" if sample.complete else f"{len(sample.jobs):,} of {trainings:,} trainings"
    weighted = (
        f"From {finished}, each weighted by how many of its stratum (hidden layers, batch size) it stands for; those "
        "with nll count twice, because cross entropy is the same function on a log-softmax. 95 % t intervals of a "
        "stratified sample."
    )
    everything = f"All {trainings:,} trainings are measured; those with nll count twice, as cross entropy is the same."
    note = (
        f"{everything if sample.complete else weighted} Packed seconds, evaluation included, loading the data left "
        "out. On a busy machine, both the seconds and the calibration are too high."
    )
    title = "All runs" if sample.complete else "What this says about all runs"
    return Table(("what", "value" if sample.complete else "value [95 % interval]", "beside it"), lines, title, note)


def interval(quantity: EstimatedNumber) -> str:
    """The value of a quantity with its interval; without one where it is known."""
    low, high = quantity.estimate.interval()
    value = quantity.form(quantity.estimate.value)
    if low == high:
        return value
    if low != low:
        return f"{value} (one training per stratum shows no spread)"
    return f"{value} [{quantity.form(max(low, 0.0))}, {quantity.form(high)}]"


__all__ = [
    "EFFECTS",
    "EstimatedNumber",
    "effect_cell",
    "effects_of",
    "estimates_table",
    "interval",
    "pictures",
    "quantities",
    "sample_parts",
    "unfolded",
    "value_label",
]
