"""Learning curves read: a stretch of them, smoothed, where they stand still, and where training goes on in vain."""

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
        raise AssayError(f"a stretch of the curve goes from less to more, not from {start:g} to {stop:g}")
    along = numbers(curves, by, what="curves")
    return curves.iloc[np.flatnonzero((along >= start) & (along <= stop))]


def moving_average(values: ArrayLike, window: int, *, partial: bool = False) -> Floats:
    """The mean of each value and the window - 1 before it (trailing), as many as there are values.

    The first window - 1 have no full window: they are NaN, or with `partial` the means of the values up to them. Every
    window with a NaN in it is NaN.

    >>> moving_average([1.0, 2.0, 6.0, 1.0], 2).tolist()
    [nan, 1.5, 4.0, 3.5]
    >>> moving_average([1.0, 2.0, 6.0, 1.0], 2, partial=True).tolist()
    [1.0, 1.5, 4.0, 3.5]

    Raises AssayError for a window below 1.
    """
    if window < 1:
        raise AssayError(f"a moving average is over 1 value or more, not {window}")
    x = np.asarray(values, dtype=np.float64)
    smooth = np.full(x.size, np.nan)
    if x.size >= window:
        smooth[window - 1 :] = np.lib.stride_tricks.sliding_window_view(x, window).mean(axis=1)
    if partial:
        first = x[: window - 1]
        smooth[: first.size] = np.cumsum(first) / np.arange(1, first.size + 1)
    return smooth


def plateaus(
    curve: pd.DataFrame, *, column: str = TEST_SCORE.name, within: float = 0.005, share: float = 0.1
) -> pd.DataFrame:
    """The stretches of one curve in which a column moves by less than `within`, each as long as it gets.

    A stretch has at least two points and the given share of all measured ones; it begins at the first point from
    which there is one, and the next begins after its end. To move is the greatest value minus the least.

    Columns: start, stop (iterations), points, low, high (values).

    Raises AssayError if the frame holds several trials.
    """
    iterations, (values,) = _points(curve, column)
    least = _at_least(share, values.size)
    found: list[dict[str, float]] = []
    first = 0
    while first + least <= values.size:
        spans = np.maximum.accumulate(values[first:]) - np.minimum.accumulate(values[first:])
        points = int(np.argmax(spans >= within)) if bool((spans >= within).any()) else values.size - first
        if points < least:
            first += 1
            continue
        part = values[first : first + points]
        ends = {"start": iterations[first], "stop": iterations[first + points - 1], "points": points}
        found.append({**ends, "low": float(part.min()), "high": float(part.max())})
        first += points
    table = pd.DataFrame(found, columns=["start", "stop", "points", "low", "high"])
    return table.astype({"start": "int64", "stop": "int64", "points": "int64"})


def settled(curve: pd.DataFrame, *, column: str = TEST_SCORE.name, share: float = 0.1, within: float = 0.005) -> bool:
    """True if the column moved by less than `within` over the last share of the measured points, two at least.

    A curve with fewer than two measured points shows nothing, and is not settled.

    Raises AssayError if the frame holds several trials.
    """
    _, (values,) = _points(curve, column)
    last = values[-_at_least(share, values.size) :]
    return last.size > 1 and float(np.ptp(last)) < within


def gap(curves: pd.DataFrame) -> pd.DataFrame:
    """How far training is from test at every point: train minus test, NaN where one of the two was not measured.

    Columns: trial, iteration, accuracy_gap (a fraction; overfitting is above 0), loss_gap (overfitting is below 0).
    """
    need(curves, ["trial", "iteration"], what="curves")
    columns = {
        f"{metric.name}_gap": numbers(curves, name_of("train", metric.name), what="curves")
        - numbers(curves, name_of("test", metric.name), what="curves")
        for metric in (SCORE, LOSS)
    }
    return curves[["trial", "iteration"]].assign(**columns)


def overfitting(curve: pd.DataFrame, *, share: float = 0.1, window: int = 1) -> int | None:
    """The iteration from which the train loss keeps falling to the end while the test accuracy rises no more.

    It is the first measured point after which every train loss is below the one before it and no test accuracy is
    above the point's own; at least two points, and the given share of all, must follow it. None if there is no such
    point. A noisy train loss may first be smoothed by a moving average over `window` points.

    Raises AssayError if the frame holds several trials.
    """
    iterations, (losses, accuracies) = _points(curve, name_of("train", LOSS.name), TEST_SCORE.name)
    smooth = moving_average(losses, window)
    first = None
    falling, highest = True, -math.inf
    for i in range(losses.size - 1, -1, -1):
        falling = falling and (i == losses.size - 1 or bool(smooth[i + 1] < smooth[i]))
        if not falling:
            break
        if accuracies[i] >= highest and losses.size - 1 - i >= _at_least(share, losses.size):
            first = int(iterations[i])
        highest = max(highest, float(accuracies[i]))
    return first


def _points(curve: pd.DataFrame, *columns: str) -> tuple[Floats, list[Floats]]:
    """The iterations at which all the columns were measured, in order, and the columns there."""
    need(curve, ["iteration", *columns], what="points")
    if "trial" in curve.columns:
        trials = list(dict.fromkeys(str(trial) for trial in curve["trial"].tolist()))
        if len(trials) > 1:
            raise AssayError(f"a curve is that of one trial, and the frame holds {len(trials)}; take one of them")
    iterations = numbers(curve, "iteration", what="points")
    values = [numbers(curve, column, what="points") for column in columns]
    kept = np.flatnonzero(np.all([np.isfinite(x) for x in (iterations, *values)], axis=0))
    order = kept[np.argsort(iterations[kept], kind="stable")]
    return iterations[order], [x[order] for x in values]


def _at_least(share: float, points: int) -> int:
    if not 0 < share <= 1:
        raise AssayError(f"a share of the points lies above 0 and up to 1, not {share:g}")
    return max(2, math.ceil(share * points - 1e-9))
