"""What a stratified sample of trajectories says about all of them: totals, means, and what each value of a factor does.

Every trajectory of stratum h stands for N_h / n_h trajectories; seconds, accuracies and factors are those of the
sampled ones. A complete sample is the whole, and its totals have no error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from assay.analysis.frames import need, numbers
from assay.errors import AssayError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number estimated from a sample, its standard error, and the degrees of freedom of that."""

    value: float
    error: float
    degrees: int

    def interval(self, *, alpha: float = 0.05) -> tuple[float, float]:
        """Where the number lies with confidence 1 - alpha, by the t distribution; NaN without degrees of freedom."""
        if self.error == 0:
            return self.value, self.value
        if self.degrees < 1:
            return math.nan, math.nan
        half = -float(special.stdtrit(self.degrees, alpha / 2)) * self.error
        return self.value - half, self.value + half

    def scaled(self, factor: float) -> Estimate:
        """The estimate of a multiple."""
        return Estimate(self.value * factor, self.error * factor, self.degrees)


def total(strata: Sequence[tuple[int, ArrayLike]]) -> Estimate:
    """The sum over all members of the strata, of which each has (N_h, the values of its sampled members).

    sum of N_h mean_h; variance sum of N_h^2 (1 - n_h / N_h) s_h^2 / n_h; degrees sum of n_h - 1, over strata that are
    not complete. A stratum of which one member is known, and not all are, shows no spread: the error is NaN.

    >>> total([(4, [1.0, 3.0]), (2, [5.0, 5.0])]).value
    18.0

    Raises AssayError for a stratum without a member, or with more than it has.
    Source: Cochran, "Sampling techniques" (1977), chapter 5.
    """
    value = variance = 0.0
    degrees = 0
    for size, found in strata:
        x = np.asarray(found, dtype=np.float64)
        if not 0 < x.size <= size:
            raise AssayError(f"a sample of {x.size} does not go with a stratum of {size}")
        value += size * float(x.mean())
        if x.size < size:
            spread = float(x.var(ddof=1)) if x.size > 1 else math.nan
            variance += size**2 * (1 - x.size / size) * spread / x.size
            degrees += x.size - 1
    return Estimate(value, math.sqrt(variance), degrees)


def adjusted_means(
    sample: pd.DataFrame, shares: Mapping[str, Mapping[str, float]], *, measure: str, weight: str
) -> pd.DataFrame:
    """The mean at each value of each factor, were the other factors balanced as they are in the whole.

    A sample of a few dozen of hundreds of combinations has, by chance, one value of a factor together with the good
    values of another, and plain means take the one for the other. Here a model with an effect for each value of each
    factor and no interactions is fitted by weighted least squares, and its means are read off. What the interactions
    do is in the residuals and widens the intervals. `shares`: for each factor (a column of words) its values and
    their shares of the whole; `weight`: the column of how many of the whole a row stands for.

    Columns: axis, value, mean, plain (the weighted mean of the rows with the value), effect (mean - mean of all), low,
    high (of the effect, 95 %, t), n (rows); on a balanced whole mean and plain are equal.

    Raises AssayError where the rows are too few to tell the factors apart.
    Source: Searle, Speed, Milliken, "Population marginal means in the linear model" (1980).
    """
    need(sample, [*shares, measure, weight])
    y, w = numbers(sample, measure), numbers(sample, weight)
    columns, read = [np.ones(y.size)], list[tuple[str, str, Floats]]()
    labels = {factor: np.asarray([str(value) for value in sample[factor].tolist()], dtype=object) for factor in shares}
    width = 1 + sum(len(values) - 1 for values in shares.values())
    for factor, values in shares.items():
        first, place = len(columns), {value: i for i, value in enumerate(values)}
        centre = np.zeros(width)
        for value, i in place.items():
            if i:
                centre[first + i - 1] = values[value]
                columns.append((labels[factor] == value).astype(np.float64) - values[value])
        for value, i in place.items():
            effect = -centre
            if i:
                effect[first + i - 1] += 1.0
            read.append((factor, value, effect))
    x = np.stack(columns, axis=1)  # (rows, 1 + values - 1 of each factor); the first coefficient is the mean of all
    gram = x.T @ (w[:, None] * x)
    degrees = y.size - width
    if degrees < 1 or np.linalg.matrix_rank(gram) < width:
        raise AssayError(f"{y.size} of the combinations are too few to tell {len(shares)} factors apart")
    inverse = np.linalg.inv(gram)
    coefficients = inverse @ (x.T @ (w * y))
    residuals = y - x @ coefficients
    variance = float(w @ residuals**2) / float(w.sum()) * y.size / degrees
    covariance = variance * inverse @ (x.T @ (w[:, None] ** 2 * x)) @ inverse
    found: list[dict[str, object]] = []
    for factor, value, effect in read:
        mine = labels[factor] == value
        estimate = Estimate(float(effect @ coefficients), math.sqrt(float(effect @ covariance @ effect)), degrees)
        low, high = estimate.interval()
        plain = float(np.average(y[mine], weights=w[mine])) if mine.any() else math.nan
        row: dict[str, object] = {"axis": factor, "value": value, "plain": plain}
        row["mean"] = float(coefficients[0]) + estimate.value
        found.append(row | {"effect": estimate.value, "low": low, "high": high, "n": int(mine.sum())})
    return pd.DataFrame(found)


__all__ = ["Estimate", "adjusted_means", "total"]
