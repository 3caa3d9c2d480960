"""Learning curves: smoothing, and whether they have settled."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from assay.analysis.frames import need, numbers
from assay.analysis.quantities import TEST_SCORE
from assay.errors import AssayError

Floats = NDArray[np.float64]


def moving_average(values: ArrayLike, window: int, *, partial: bool = False) -> Floats:
    """The trailing mean of each value and the window - 1 values before it, with the length of `values`.

    The first window - 1 values have no full window: their means are NaN, or with `partial` those of the values up to
    them. A window that holds a NaN gives NaN.

    >>> moving_average([1.0, 2.0, 6.0, 1.0], 2).tolist()
    [nan, 1.5, 4.0, 3.5]
    >>> moving_average([1.0, 2.0, 6.0, 1.0], 2, partial=True).tolist()
    [1.0, 1.5, 4.0, 3.5]

    Raises AssayError for a window below 1.
    """
    if window < 1:
        raise AssayError(f"the window of a moving average must be 1 or more, not {window}")
    x = np.asarray(values, dtype=np.float64)
    smoothed = np.full(x.size, np.nan)
    if x.size >= window:
        smoothed[window - 1 :] = np.lib.stride_tricks.sliding_window_view(x, window).mean(axis=1)
    if partial:
        first = x[: window - 1]
        smoothed[: first.size] = np.cumsum(first) / np.arange(1, first.size + 1)
    return smoothed


def settled(
    curve: pd.DataFrame, *, column: str = TEST_SCORE.name, fraction: float = 0.1, within: float = 0.005
) -> bool:
    """Whether the column moved by less than `within` over the last fraction of the measured points, at least two.

    A curve with fewer than two measured points is not settled.

    Raises AssayError if the frame holds several trials.
    """
    _, (values,) = _points(curve, column)
    last = values[-_at_least(fraction, values.size) :]
    return last.size > 1 and float(np.ptp(last)) < within


def _points(curve: pd.DataFrame, *columns: str) -> tuple[Floats, list[Floats]]:
    """The iterations at which all the columns were measured, in ascending order, and the columns at these points."""
    need(curve, ["iteration", *columns], what="points")
    if "trial" in curve.columns:
        trials = list(dict.fromkeys(str(trial) for trial in curve["trial"].tolist()))
        if len(trials) > 1:
            raise AssayError(f"expected the curve of one trial, and the frame holds {len(trials)}; select one of them")
    iterations = numbers(curve, "iteration", what="points")
    values = [numbers(curve, column, what="points") for column in columns]
    complete = np.flatnonzero(np.all([np.isfinite(x) for x in (iterations, *values)], axis=0))
    order = complete[np.argsort(iterations[complete], kind="stable")]
    return iterations[order], [x[order] for x in values]


def _at_least(fraction: float, points: int) -> int:
    """The number of points that a fraction of them asks for, at least two."""
    if not 0 < fraction <= 1:
        raise AssayError(f"a fraction of the points lies above 0 and up to 1, not {fraction:g}")
    return max(2, math.ceil(fraction * points - 1e-9))
