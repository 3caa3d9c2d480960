"""The prediction interval: where one new run is expected, from the runs over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, stdev

import scipy  # its parts are loaded when they are first used


def prediction_interval(values: Sequence[float], *, alpha: float = 0.05) -> tuple[float, float]:
    """The prediction interval for one new run: mean -+ t(1 - alpha / 2, n - 1) s sqrt(1 + 1 / n).

    NaN for one value.

    >>> [round(x, 3) for x in prediction_interval([0.1, 0.2, 0.3])]
    [-0.297, 0.697]

    Source: Hahn, Meeker, "Statistical intervals" (1991), section 4.7.
    """
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    half = -float(scipy.special.stdtrit(n - 1, alpha / 2)) * stdev(values) * math.sqrt(1 + 1 / n)
    return mean(values) - half, mean(values) + half


__all__ = ["prediction_interval"]
