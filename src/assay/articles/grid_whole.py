"""What the whole grid says: how much each factor matters, and whether a sample of the grid had said it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.articles.grid_estimates import (
    EFFECTS,
    EstimatedNumber,
    effect_cell,
    effects_of,
    estimates_table,
    interval,
    pictures,
    quantities,
    unfolded,
    value_label,
)
from assay.articles.grid_sample import GridSample
from assay.articles.measurements import percent_cell
from assay.articles.page import Figure, Table
from assay.errors import AssayError
from assay.report.charts.factors import effects

SAMPLE = 0.05
"""The fraction of the trajectories in the sample that the whole grid is compared with."""


def whole_parts(grid: GridSample, axes: list[str]) -> list[Table | Figure]:
    """Tables and pictures of a grid whose trials are all finished."""
    sample = grid.part(SAMPLE)
    means = effects_of(grid)
    chart = effects(means, origin="the mean of all runs", title=EFFECTS)
    return [
        estimates_table(grid),
        factors_table(grid, axes),
        effects_table(grid, sample),
        Figure("effects", chart, EFFECTS),
        *pictures(grid, axes),
        sample_table(grid, sample),
    ]


def factors_table(grid: GridSample, axes: Sequence[str]) -> Table:
    """How much of the variance over all runs each factor explains, alone and with its interactions, exactly."""
    values = _array(grid, axes)
    variance = float(values.var())
    if variance == 0:
        return Table((), [], _FACTORS, "Not available: all runs have the same accuracy.")
    rows: list[tuple[float, list[str]]] = []
    for place, axis in enumerate(axes):
        others = tuple(i for i in range(len(axes)) if i != place)
        means = values.mean(axis=others)
        alone, total = float(means.var()) / variance, float(values.var(axis=place).mean()) / variance
        cells = [f"{100 * float(np.ptp(means)):.1f}", f"{100 * alone:.1f}", f"{100 * total:.1f}"]
        rows.append((total, [axis, *cells]))
    alone = sum(float(row[2]) for _, row in rows)
    note = (
        "Variance of the test accuracy over all runs, every combination with the same weight: the part that a factor "
        "explains alone, and the part that remains when all others are fixed, its interactions included. The factors "
        f"explain {alone:.1f} % one by one; the rest is interactions and the noise of one seed."
    )
    head = ("factor", "from the worst mean to the best [points]", "alone [%]", "with interactions [%]")
    return Table(head, [row for _, row in sorted(rows, key=lambda pair: -pair[0])], _FACTORS, note)


_FACTORS = "Which factors matter"


def _array(grid: GridSample, axes: Sequence[str]) -> NDArray[np.float64]:
    """The accuracies of all runs, an axis of the array for each factor; the mean over the seeds."""
    runs = unfolded(grid)
    texts = [[str(value) for value in runs[axis].tolist()] for axis in axes]
    levels = [list(dict.fromkeys(column)) for column in texts]
    places = tuple(
        np.asarray([level.index(value) for value in column]) for level, column in zip(levels, texts, strict=True)
    )
    shape = tuple(map(len, levels))
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, places, runs["accuracy"].to_numpy(dtype=np.float64))
    np.add.at(count, places, 1)
    if not count.all():
        raise AssayError("a combination of the grid has no result")
    return total / count


def effects_table(grid: GridSample, sample: GridSample) -> Table:
    """The effect of each value of each factor, and what the sample had said of it."""
    means = effects_of(grid)
    try:
        guesses: dict[tuple[str, str], Any] = {
            (str(row["axis"]), str(row["value"])): row for row in effects_of(sample).to_dict("records")
        }
    except AssayError:  # too few to distinguish the factors
        guesses = {}
    rows: list[list[str]] = []
    inside = 0
    for row in means.to_dict("records"):
        axis, value, effect = str(row["axis"]), str(row["value"]), float(row["effect"])
        cells = [axis, value_label(axis, value), percent_cell(float(row["plain"])), f"{100 * effect:+.1f}"]
        if guess := guesses.get((axis, value)):
            contained = _contains((float(guess["low"]), float(guess["high"])), effect)
            inside += contained
            rows.append([*cells, effect_cell(guess), "contained" if contained else "missed"])
        else:
            rows.append([*cells, "-", "-"])
    note = (
        "Means over all runs with the value. The sample: the same trainings that "
        f"`assay reproduce parameter-grid --sample {SAMPLE:g}` trains, {len(sample.jobs):,} of {len(grid.jobs):,}, "
        "read as if the others did not exist: 95 % intervals of a model without interactions."
    )
    if guesses:
        note += f" {inside} of {len(guesses)} intervals contain the effect."
    head = ("factor", "value", "mean [%]", "against the mean of all [points]", "the sample had said [points]", "it")
    return Table(head, rows, "Main effects", note)


def sample_table(grid: GridSample, sample: GridSample) -> Table:
    """What the sample had said about all runs, next to what all runs say."""
    title = f"What a sample of {100 * SAMPLE:g} % had said"
    try:
        pairs = list(zip(quantities(grid), quantities(sample), strict=True))
    except AssayError as error:
        return Table((), [], title, f"Not available: {error}.")
    rows = [[truth.name, interval(truth), interval(guess), _judged(truth, guess)] for truth, guess in pairs]
    note = (
        f"{len(sample.jobs):,} trainings, stratified by hidden layers and batch size. Their seconds are those of this "
        "run, so that the estimate of the time does not depend on another machine."
    )
    return Table(("what", "all runs", "the sample [95 % interval]", "the interval"), rows, title, note)


def _judged(truth: EstimatedNumber, guess: EstimatedNumber) -> str:
    low, high = guess.estimate.interval()
    if low != low:
        return "unknown"
    return "contained it" if _contains((low, high), truth.estimate.value) else "missed it"


def _contains(limits: tuple[float, float], value: float) -> bool:
    """Whether an interval contains a value, rounding left out of account."""
    return limits[0] - _ROUNDING <= value <= limits[1] + _ROUNDING


_ROUNDING = 1e-9


__all__ = ["SAMPLE", "effects_table", "factors_table", "sample_table", "whole_parts"]
