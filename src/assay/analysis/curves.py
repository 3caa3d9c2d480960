"""Learning curves: zooming, smoothing, plateaus, the generalisation gap and overfitting."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from assay.analysis.frames import need, numbers
from assay.analysis.quantities import AXES, LOSS, SCORE, TEST_SCORE, name_of
from assay.errors import AssayError, unknown

Floats = NDArray[np.float64]


def zoom(curves: pd.DataFrame, start: float, stop: float, *, by: str = "iteration") -> pd.DataFrame:
    """The points of the curves from start to stop, both included, in units of `by`; all columns.

    Raises AssayError for an unknown axis, and if start lies beyond stop.
    """
    if by not in AXES:
        raise AssayError(unknown("axis", by, AXES))
    need(curves, [by], what="curves")
    if not start <= stop:
        raise AssayError(f"the range must start before it stops, not run from {start:g} to {stop:g}")
    positions = numbers(curves, by, what="curves")
    return curves.iloc[np.flatnonzero((positions >= start) & (positions <= stop))]


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


def plateaus(
    curve: pd.DataFrame, *, column: str = TEST_SCORE.name, within: float = 0.005, fraction: float = 0.1
) -> pd.DataFrame:
    """The maximal stretches of one curve over which the range of a column (max - min) is below `within`.

    A stretch has at least two points and at least the given fraction of all measured points. It begins at the first
    point from which such a stretch exists; the next stretch begins after its end.

    Columns: start, stop (iterations), points, low, high (values).

    Raises AssayError if the frame holds several trials.
    """
    iterations, (values,) = _points(curve, column)
    least = _at_least(fraction, values.size)
    stretches: list[dict[str, float]] = []
    first = 0
    while first + least <= values.size:
        spans = np.maximum.accumulate(values[first:]) - np.minimum.accumulate(values[first:])
        points = int(np.argmax(spans >= within)) if bool((spans >= within).any()) else values.size - first
        if points < least:
            first += 1
            continue
        part = values[first : first + points]
        ends = {"start": iterations[first], "stop": iterations[first + points - 1], "points": points}
        stretches.append({**ends, "low": float(part.min()), "high": float(part.max())})
        first += points
    table = pd.DataFrame(stretches, columns=["start", "stop", "points", "low", "high"])
    return table.astype({"start": "int64", "stop": "int64", "points": "int64"})


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


def gap(curves: pd.DataFrame) -> pd.DataFrame:
    """The generalisation gap at every point: train minus test, NaN where one of the two was not measured.

    Columns: trial, iteration, accuracy_gap (a fraction; above 0 under overfitting), loss_gap (below 0 under
    overfitting).
    """
    need(curves, ["trial", "iteration"], what="curves")
    columns = {
        f"{metric.name}_gap": numbers(curves, name_of("train", metric.name), what="curves")
        - numbers(curves, name_of("test", metric.name), what="curves")
        for metric in (SCORE, LOSS)
    }
    return curves[["trial", "iteration"]].assign(**columns)


def overfitting(curve: pd.DataFrame, *, fraction: float = 0.1, window: int = 1) -> int | None:
    """The iteration from which the train loss keeps falling to the end while the test accuracy no longer rises.

    This is the first measured point after which every train loss is below the one before it and no test accuracy is
    above that of the point. At least two points, and at least the given fraction of all points, must follow it. None
    if there is no such point. `window`: a noisy train loss is first smoothed by a moving average over so many points.

    Raises AssayError if the frame holds several trials.
    """
    iterations, (losses, accuracies) = _points(curve, name_of("train", LOSS.name), TEST_SCORE.name)
    smoothed = moving_average(losses, window)
    first = None
    falling, highest = True, -math.inf
    for i in range(losses.size - 1, -1, -1):
        falling = falling and (i == losses.size - 1 or bool(smoothed[i + 1] < smoothed[i]))
        if not falling:
            break
        if accuracies[i] >= highest and losses.size - 1 - i >= _at_least(fraction, losses.size):
            first = int(iterations[i])
        highest = max(highest, float(accuracies[i]))
    return first


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
