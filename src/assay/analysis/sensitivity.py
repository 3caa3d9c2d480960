"""Sensitivity to hyperparameters: effects from a baseline, analysis of variance, learning rates, search budgets."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from assay.analysis.families import against
from assay.analysis.frames import groups, have, measured, need, numbers, outcomes, rows, spread
from assay.analysis.quantities import MEASURES, ranked_by
from assay.analysis.seed_values import SeedValues
from assay.analysis.seeds import Endings, counted, with_counted
from assay.analysis.tuning_cost import best_weights
from assay.errors import AssayError, unknown

Floats = NDArray[np.float64]


def effects(
    trials: pd.DataFrame,
    axes: Sequence[str],
    baseline: str | Mapping[str, object],
    *,
    measure: str | None = None,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """The effect of changing one axis alone: the paired difference from the baseline, for each value of each axis.

    The baseline is a configuration's label or its value on every axis. Trials that differ from it in two axes or more
    are ignored. Seeds are paired by `repeat`, and trials that diverged or timed out count by the rule of
    `assay.analysis.seeds`. All effects are one family, that of every configuration against the baseline: Holm's
    correction for all of them decides, and the intervals are simultaneous.

    Columns: axis, value, difference (value - baseline), low, high (simultaneous), n (pairs), missing (trials of the
    value without a number or a partner), ended (trials of the value that diverged or timed out), p (sign flips),
    p_holm, decided (whether significant after correction), sentence; in the order of the axes. `.attrs` holds
    comparisons, the number of effects that are corrected for.

    Raises AssayError if no trial is at the baseline, or two trials of one value share a repeat.
    """
    measure = _checked(trials, measure)
    if not axes:
        raise AssayError("there is no axis to analyse")
    need(trials, [*axes, "repeat", "outcome", measure])
    origin = _baseline(trials, axes, baseline)
    columns = {axis: [_label(value) for value in trials[axis].tolist()] for axis in axes}
    changed = np.asarray([[label != origin[axis] for label in columns[axis]] for axis in axes], dtype=np.bool_)
    at_baseline = np.asarray(~changed.any(axis=0), dtype=np.bool_)
    if np.isnan(counted(rows(trials, at_baseline), measure)).all():
        where = ", ".join(f"{axis} = {value}" for axis, value in origin.items())
        raise AssayError(f"no trial with a number for {measure!r} is at the baseline ({where})")
    places = [_BASELINE if at else "" for at in at_baseline.tolist()]
    names: dict[str, tuple[str, str]] = {}
    for i, axis in enumerate(axes):
        for j in np.flatnonzero(changed[i] & (changed.sum(axis=0) == 1)).tolist():
            places[j] = f"{axis} = {columns[axis][j]}"
            names.setdefault(places[j], (axis, columns[axis][j]))
    _check_places(trials, places, ~np.isnan(counted(trials, measure)))
    of_family = rows(trials.assign(**{_PLACE: places}), np.asarray([place != "" for place in places], dtype=np.bool_))
    family = against(SeedValues.of(of_family, measure, _PLACE), _BASELINE, alpha=alpha)
    effects_of = {verdict.names[0]: verdict for verdict in family.verdicts()}
    differences: list[dict[str, object]] = []
    for place, (axis, value) in names.items():
        verdict = effects_of[place]
        endings = verdict.endings[0] if verdict.endings else Endings(())
        row: dict[str, object] = {"axis": axis, "value": value}
        row |= {name: getattr(verdict, name) for name in ("difference", "low", "high", "n")}
        row |= {"missing": endings.trials - verdict.n, "ended": endings.ended, "p": verdict.p}
        row |= {"p_holm": verdict.p_corrected, "decided": verdict.decided, "sentence": verdict.sentence()}
        differences.append(row)
    names_of_columns = ["axis", "value", "difference", "low", "high", "n", "missing", "ended", "p", "p_holm", "decided"]
    table = pd.DataFrame(differences, columns=[*names_of_columns, "sentence"])
    table.attrs = {"comparisons": family.total}
    return table


def _check_places(trials: pd.DataFrame, places: Sequence[str], with_result: NDArray[np.bool_]) -> None:
    """Raises AssayError if two trials with a result are at one place of the design and have one repeat."""
    pairs = zip(places, map(str, trials["repeat"].tolist()), with_result.tolist(), strict=True)
    counts = Counter((place, repeat) for place, repeat, has_result in pairs if place and has_result)
    for (place, _), count in counts.items():
        if count > 1:
            raise AssayError(f"{place} has several trials of one repeat, so seeds cannot be paired; name every axis")


_BASELINE, _PLACE = "the baseline", "place in the design"  # no axis can have a name with these spaces


def main_effects(trials: pd.DataFrame, axes: Sequence[str], *, measure: str | None = None) -> pd.DataFrame:
    """The mean at each value of each axis of a balanced grid, and its deviation from the mean of all.

    Columns: axis, value, mean, deviation, n (trials).

    Raises AssayError unless every combination of values has the same number of trials with a number.
    """
    measure = _checked(trials, measure)
    y, codes, values = _grid(trials, axes, measure)
    means = [
        {
            "axis": axis,
            "value": value,
            "mean": float(y[code == number].mean()),
            "deviation": float(y[code == number].mean() - y.mean()),
            "n": int(np.sum(code == number)),
        }
        for axis, code in zip(axes, codes, strict=True)
        for number, value in enumerate(values[axis])
    ]
    return pd.DataFrame(means)


def anova(trials: pd.DataFrame, axes: Sequence[str], *, measure: str | None = None) -> pd.DataFrame:
    """The analysis of variance of a balanced grid: main effects, two-way interactions, and the rest.

    SS_a = sum over trials of (mean_a - mean)^2; SS_ab = sum of (mean_ab - mean_a - mean_b + mean)^2. "within" is the
    variation of the seeds within a cell, "higher" the interactions of three axes and more. On a balanced grid these
    add up to the total sum of squares, and their fractions to 1.

    Columns: term ("model", "model x optimizer", "higher", "within"), sum_of_squares, degrees (of freedom), share (the
    fraction).

    Raises AssayError if the grid is not balanced, naming an incomplete cell, or if nothing varies.
    Source: Fisher, "Statistical methods for research workers" (1925), chapter 7.
    """
    measure = _checked(trials, measure)
    y, codes, values = _grid(trials, axes, measure)
    if float(np.ptp(y)) == 0:
        raise AssayError(f"{measure!r} is the same in every trial, so there is no variation to split")
    total = float(np.sum((y - y.mean()) ** 2))
    main = [_means(y, [code]) - y.mean() for code in codes]
    cell = _means(y, codes)
    terms = [(axis, float(np.sum(effect**2)), len(values[axis]) - 1) for axis, effect in zip(axes, main, strict=True)]
    for i, j in itertools.combinations(range(len(axes)), 2):
        interaction = _means(y, [codes[i], codes[j]]) - y.mean() - main[i] - main[j]
        degrees = (len(values[axes[i]]) - 1) * (len(values[axes[j]]) - 1)
        terms.append((f"{axes[i]} x {axes[j]}", float(np.sum(interaction**2)), degrees))
    cells = math.prod(len(values[axis]) for axis in axes)
    if len(axes) > 2:
        between = float(np.sum((cell - y.mean()) ** 2))
        rest = between - sum(square for _, square, _ in terms)
        terms.append(("higher", max(0.0, rest), cells - 1 - sum(degrees for _, _, degrees in terms)))
    terms.append(("within", float(np.sum((y - cell) ** 2)), y.size - cells))
    table = pd.DataFrame(terms, columns=["term", "sum_of_squares", "degrees"])
    return table.assign(share=table["sum_of_squares"] / total)


def learning_rate_curve(trials: pd.DataFrame, *, measure: str | None = None) -> pd.DataFrame:
    """The measure against the learning rate, for each optimizer, with its band over the trials.

    Trials that diverged or timed out count by the rule of `assay.analysis.seeds`: where every trial diverged at once,
    an accuracy is chance.

    Columns: optimizer, learning_rate, `measure` (mean over all trials with a result), `measure`_min, `measure`_max, n
    (finished trials), trials, diverged, timed_out, missing.
    """
    measure = _checked(trials, measure)
    need(trials, ["optimizer", "learning_rate", "outcome", measure])
    rates = numbers(trials, "learning_rate")
    points: list[dict[str, object]] = []
    for optimizer, group in groups(trials.assign(learning_rate=rates, counted=counted(trials, measure)), "optimizer"):
        of_group = numbers(group, "learning_rate")
        for rate in sorted({float(rate) for rate in of_group if not math.isnan(rate)}):
            at_rate = group.iloc[np.flatnonzero(of_group == rate)]
            values = numbers(at_rate, "counted")
            row: dict[str, object] = {"optimizer": optimizer, "learning_rate": rate}
            row |= spread(measure, values[~np.isnan(values)])
            points.append(row | outcomes(at_rate, finished=len(measured(at_rate, measure))))
    if not points:
        raise AssayError("no trial has a learning rate")
    return pd.DataFrame(points)


def expected_best(values: ArrayLike, budgets: Sequence[int]) -> pd.DataFrame:
    """The expected best of b trials drawn at random, without replacement, from those that were run.

    E[max] = sum over i of x_(i) C(i - 1, b - 1) / C(n, b), with x_(1) <= ... <= x_(n). Without replacement it is
    unbiased for every b up to n; with replacement (Dodge and others 2019) it is too low.

    Columns: budget, expected.

    >>> expected_best([0.5, 0.9, 0.7], [1, 2, 3])["expected"].round(4).tolist()
    [0.7, 0.8333, 0.9]

    Raises AssayError for a missing value (a diverged trial has used its budget too, so give it a value) and for a
    budget outside 1 ... n.
    Source: Tang and others, "Showing your work doesn't always work" (2020).
    """
    x = np.sort(np.asarray(values, dtype=np.float64))
    if not x.size or not np.isfinite(x).all():
        raise AssayError("expected one number or more, none of them missing or infinite")
    rows = [{"budget": b, "expected": float(best_weights(x.size, b) @ x[::-1])} for b in budgets]
    return pd.DataFrame(rows, columns=["budget", "expected"]).astype({"budget": "int64"})


def _checked(trials: pd.DataFrame, measure: str | None) -> str:
    """The measure of that name, or what the trials are ranked by. Raises AssayError for an unknown one."""
    measure = ranked_by(trials).column if measure is None else measure
    if measure not in MEASURES:
        raise AssayError(unknown("measure", measure, MEASURES))
    return measure


def _label(value: object) -> str:
    return "" if value is None or value != value else str(value)


def _baseline(trials: pd.DataFrame, axes: Sequence[str], baseline: str | Mapping[str, object]) -> dict[str, str]:
    if not isinstance(baseline, str):
        for axis in axes:
            if axis not in baseline:
                raise AssayError(f"the baseline has no value on the axis {axis!r}")
        return {axis: _label(baseline[axis]) for axis in axes}
    have(trials, "configuration")
    labels = [str(label) for label in trials["configuration"].tolist()]
    if baseline not in labels:
        if baseline == "baseline":
            raise AssayError("no configuration is the baseline, which effects need; design 'one-at-a-time' has one")
        raise AssayError(unknown("configuration", baseline, dict.fromkeys(labels)))
    row = labels.index(baseline)
    return {axis: _label(trials[axis].tolist()[row]) for axis in axes}


def _grid(
    trials: pd.DataFrame, axes: Sequence[str], measure: str
) -> tuple[Floats, list[NDArray[np.int64]], dict[str, list[str]]]:
    """The numbers (N,), the code of each trial's value on each axis, and the values of the axes of a balanced grid."""
    if not axes:
        raise AssayError("there is no axis to analyse")
    need(trials, [*axes, "outcome", measure])
    labels = {axis: [_label(value) for value in trials[axis].tolist()] for axis in axes}
    values = {axis: list(dict.fromkeys(labels[axis])) for axis in axes}
    finished = with_counted(trials, measure)
    if np.isinf(numbers(finished, measure)).any():
        raise AssayError(f"a trial that diverged or timed out has no {measure!r}, so the grid has no means to compare")
    of_finished = {axis: [_label(value) for value in finished[axis].tolist()] for axis in axes}
    counts = dict.fromkeys(itertools.product(*values.values()), 0)
    for cell in zip(*of_finished.values(), strict=True):
        counts[cell] += 1
    most = max(counts.values())
    for cell, count in counts.items():
        if count < most or most == 0:
            where = ", ".join(f"{axis} = {value}" for axis, value in zip(axes, cell, strict=True))
            raise AssayError(
                f"the grid is not balanced: {where} has {count} of {most} trials with a number, so means do not "
                "separate the axes; leave out the repeats that lack a cell, or use importance()"
            )
    codes = [np.asarray([values[axis].index(value) for value in of_finished[axis]], dtype=np.int64) for axis in axes]
    return numbers(finished, measure), codes, values


def _means(y: Floats, codes: Sequence[NDArray[np.int64]]) -> Floats:
    """For each trial, the mean of the trials with the same values on these axes."""
    cell = np.zeros(y.size, dtype=np.int64)
    for code in codes:
        cell = cell * (int(code.max()) + 1) + code
    return (np.bincount(cell, weights=y) / np.maximum(np.bincount(cell), 1))[cell]
