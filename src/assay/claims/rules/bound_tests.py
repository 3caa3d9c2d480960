"""The test of a mean over seeds against bounds, which `threshold` and `ratio` make with `significant = true`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from assay.analysis.verdicts import compare

_SIGNS = {"at_least": 1.0, "above": 1.0, "at_most": -1.0, "below": -1.0}


def tested(
    values: NDArray[np.float64], bounds: Mapping[str, float], *, alpha: float
) -> tuple[bool | None, tuple[float, float]]:
    """Whether the mean of the values (n,) meets the bounds, by the tests of `compare`, one-sided at alpha for each.

    None where it is significantly on neither side of a bound. And the interval of the mean, of confidence 1 - 2 alpha.

    >>> tested(np.array([1.0, 1.1, 0.9, 1.2, 1.0, 1.1]), {"at_least": 0.5}, alpha=0.05)[0]
    True
    """
    holds: list[bool | None] = []
    ends = (float("nan"), float("nan"))
    for key, bound in bounds.items():
        sign = _SIGNS[key]
        verdict = compare(sign * values, np.full(values.size, sign * bound), names=("side", "bound"), alpha=2 * alpha)
        holds.append(verdict.difference > 0 if verdict.decided else None)
        low, high = sorted((sign * verdict.low, sign * verdict.high))
        ends = low + bound, high + bound
    return False if False in holds else None if None in holds else True, ends


def interval_text(low: float, high: float, *, alpha: float) -> str:
    """The interval of a one-sided test at alpha, in words; empty where it is not known.

    >>> interval_text(-0.5, 0.25, alpha=0.05), interval_text(float("nan"), float("nan"), alpha=0.05)
    (' [-0.5, 0.25] (90 % interval)', '')
    """
    return "" if low != low or high != high else f" [{low:.3g}, {high:.3g}] ({100 * (1 - 2 * alpha):.3g} % interval)"


__all__ = ["interval_text", "tested"]
