"""Estimates from a stratified sample of trajectories: totals, means, and the effect of each value of a factor.

Every sampled trajectory of stratum h stands for N_h / n_h trajectories. A complete sample is the population, and its
totals have no error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy  # its parts are loaded when they are first used
from numpy.typing import ArrayLike, NDArray

from assay.analysis.frames import need, numbers
from assay.errors import AssayError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """An estimate from a sample, its standard error, and the degrees of freedom of that error."""

    value: float
    error: float
    degrees: int

    def interval(self, *, alpha: float = 0.05) -> tuple[float, float]:
        """The t interval with confidence 1 - alpha; NaN without degrees of freedom."""
        if self.error == 0:
            return self.value, self.value
        if self.degrees < 1:
            return math.nan, math.nan
        half = -float(scipy.special.stdtrit(self.degrees, alpha / 2)) * self.error
        return self.value - half, self.value + half

    def scaled(self, factor: float) -> Estimate:
        """The estimate of a multiple of the number."""
        return Estimate(self.value * factor, self.error * factor, self.degrees)


def total(strata: Sequence[tuple[int, ArrayLike]]) -> Estimate:
    """The estimated sum over all members of the strata; a stratum is (N_h, the values of its sampled members).

    The value is the sum of N_h mean_h, its variance the sum of N_h^2 (1 - n_h / N_h) s_h^2 / n_h, and the degrees of
    freedom are the sum of n_h - 1 over the incomplete strata. An incomplete stratum with one sampled member has no
    spread, so the error is NaN.

    >>> total([(4, [1.0, 3.0]), (2, [5.0, 5.0])]).value
    18.0

    Raises AssayError for a stratum without a sampled member, or with more sampled members than members.
    Source: Cochran, "Sampling techniques" (1977), chapter 5.
    """
    value = variance = 0.0
    degrees = 0
    for size, values in strata:
        x = np.asarray(values, dtype=np.float64)
        if not 0 < x.size <= size:
            raise AssayError(f"a sample of {x.size} does not match a stratum of {size}")
        value += size * float(x.mean())
        if x.size < size:
            spread = float(x.var(ddof=1)) if x.size > 1 else math.nan
            variance += size**2 * (1 - x.size / size) * spread / x.size
            degrees += x.size - 1
    return Estimate(value, math.sqrt(variance), degrees)


def adjusted_means(
    sample: pd.DataFrame, fractions: Mapping[str, Mapping[str, float]], *, measure: str, weight: str
) -> pd.DataFrame:
    """The marginal mean at each value of each factor, with the other factors balanced as they are in the population.

    In a sample of a few dozen of hundreds of combinations, one value of a factor occurs by chance together with the
    good values of another factor, so that plain means confound them. Here a model with an effect for each value of
    each factor and no interactions is fitted by weighted least squares, and its means are read off. Interactions are
    part of the residuals and widen the intervals.

    Args:
        sample: one row per sampled combination.
        fractions: for each factor (a column of strings) its values and their fractions of the population.
        measure: the column to average.
        weight: the column with the number of members of the population that a row stands for.

    Columns: axis, value, mean, plain (the weighted mean of the rows with the value), effect (mean - mean of all), low,
    high (of the effect, 95 %, t), n (rows). On a balanced population mean and plain are equal.

    Raises AssayError where there are too few rows to distinguish the factors.
    Source: Searle, Speed, Milliken, "Population marginal means in the linear model" (1980).
    """
    need(sample, [*fractions, measure, weight])
    y, w = numbers(sample, measure), numbers(sample, weight)
    labels = {name: np.asarray([str(value) for value in sample[name].tolist()], dtype=object) for name in fractions}
    x, contrasts = _design(labels, fractions, rows=y.size)
    if y.size - x.shape[1] < 1 or np.linalg.matrix_rank(x.T @ (w[:, None] * x)) < x.shape[1]:
        raise AssayError(f"{y.size} of the combinations are too few to distinguish {len(fractions)} factors")
    coefficients, covariance = _least_squares(x, y, w)
    means: list[dict[str, object]] = []
    for factor, value, contrast in contrasts:
        matching = labels[factor] == value
        error = math.sqrt(float(contrast @ covariance @ contrast))
        effect = Estimate(float(contrast @ coefficients), error, y.size - x.shape[1])
        low, high = effect.interval()
        plain = float(np.average(y[matching], weights=w[matching])) if matching.any() else math.nan
        row: dict[str, object] = {"axis": factor, "value": value, "plain": plain}
        row["mean"] = float(coefficients[0]) + effect.value
        means.append(row | {"effect": effect.value, "low": low, "high": high, "n": int(matching.sum())})
    return pd.DataFrame(means)


def _design(
    labels: Mapping[str, NDArray[np.object_]], fractions: Mapping[str, Mapping[str, float]], *, rows: int
) -> tuple[Floats, list[tuple[str, str, Floats]]]:
    """The design matrix (rows, P), and for each value of each factor the contrast (P,) that gives its effect.

    P = 1 + the number of values - 1 of each factor. Columns are centred, so that the first coefficient is the mean of
    the population; the first value of each factor has no column.
    """
    width = 1 + sum(len(values) - 1 for values in fractions.values())
    columns, contrasts = [np.ones(rows)], list[tuple[str, str, Floats]]()
    for factor, values in fractions.items():
        first = len(columns)
        centre = np.zeros(width)
        for i, value in enumerate(values):
            if i:
                centre[first + i - 1] = values[value]
                columns.append((labels[factor] == value).astype(np.float64) - values[value])
        for i, value in enumerate(values):
            contrast = -centre
            if i:
                contrast[first + i - 1] += 1.0
            contrasts.append((factor, value, contrast))
    return np.stack(columns, axis=1), contrasts


def _least_squares(x: Floats, y: Floats, w: Floats) -> tuple[Floats, Floats]:
    """The weighted least-squares coefficients (P,) and their covariance (P, P)."""
    inverse = np.linalg.inv(x.T @ (w[:, None] * x))
    coefficients = inverse @ (x.T @ (w * y))
    residuals = y - x @ coefficients
    variance = float(w @ residuals**2) / float(w.sum()) * y.size / (y.size - x.shape[1])
    return coefficients, variance * inverse @ (x.T @ (w[:, None] ** 2 * x)) @ inverse


__all__ = ["Estimate", "adjusted_means", "total"]
