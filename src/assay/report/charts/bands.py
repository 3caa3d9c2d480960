"""The learning curves of the trials of a series as one line with a band, and the rows that are drawn of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.report.charts.points import Floats, Points
from assay.report.charts.style import Rows
from assay.report.thinning import evenly, thinned

POINTS = 300  # of a line: two pixels each
_GREY_POINTS = 30  # of a line that is not distinguished
_ALL_POINTS = 8000  # of a chart
_DOTS = 25  # points of a line up to which each has a dot
Line = dict[str, NDArray[Any]]


def band(points: Points, spans: Sequence[slice]) -> Line:
    """Median, lowest and highest over the trials of a series, as arrays over x, and how many trials there are.

    Trials that were logged at the same steps are compared step by step, against the median of their seconds; others are
    interpolated, each within its own range: no curve continues after its last point. `ended` marks the points after
    the first end of a trial, where the median is that of the trials that go on.

    Args:
        points: Of all series.
        spans: Where the points of each trial of this series are.
    """
    if len(spans) == 1:
        x, y = points.x[spans[0]], points.y[spans[0]]
        one = np.ones(len(y), dtype=int)
        return {"x": x, "y": y, "low": y, "high": y, "n": one, "ended": np.zeros(len(y), dtype=bool)}
    of_trials = [points.step[span] for span in spans]
    steps, place = np.unique(np.concatenate(of_trials), return_inverse=True)
    if len(steps) == max(len(np.unique(own)) for own in of_trials):
        x, y = (np.concatenate([values[span] for span in spans]) for values in (points.x, points.y))
        return _step_by_step(steps, place, x, y, first_end=min(own.max() for own in of_trials))
    return _interpolated([(points.x[span], points.y[span]) for span in spans])


def _step_by_step(steps: Floats, place: NDArray[np.int64], x: Floats, y: Floats, *, first_end: float) -> Line:
    """The band of points at common steps; `place` is the step of each point, by its number."""
    counts = np.bincount(place, minlength=len(steps))
    starts = np.cumsum(counts) - counts
    sorted_x, sorted_y = x[np.lexsort((x, place))], y[np.lexsort((y, place))]
    return {
        "x": np.maximum.accumulate(_middles(sorted_x, starts, counts)),  # where a trial ends it may step back
        "y": _middles(sorted_y, starts, counts),
        "low": sorted_y[starts],
        "high": sorted_y[starts + counts - 1],
        "n": counts,
        "ended": steps > first_end,
    }


def _middles(values: Floats, starts: NDArray[np.int64], counts: NDArray[np.int64]) -> Floats:
    """The median of each group of sorted values."""
    upper, lower = values[starts + counts // 2], values[starts + (counts - 1) // 2]
    return np.where(counts % 2 == 1, upper, (upper + lower) / 2)


def _interpolated(curves: Sequence[tuple[Floats, Floats]]) -> Line:
    """The band of trials that were logged at steps of their own."""
    everything = np.unique(np.concatenate([x for x, _ in curves]))
    grid = everything[evenly(len(everything), 2 * POINTS)]
    values = np.array([np.interp(grid, x, y, left=np.nan, right=np.nan) for x, y in curves])
    # (trials, grid): each x of the grid is a point of some trial, so that no column is empty
    spans = {"y": np.nanmedian(values, axis=0), "low": np.nanmin(values, axis=0), "high": np.nanmax(values, axis=0)}
    first_end = min(x.max() for x, _ in curves)
    return {"x": grid} | spans | {"n": np.isfinite(values).sum(axis=0), "ended": grid > first_end}


def band_rows(
    points: Points, *, named: Mapping[str, str], panels: Mapping[str, str], top: float, log: bool
) -> tuple[Rows, int]:
    """The rows of the lines, and how many points the longest line had that was thinned, or 0.

    `named` has the labels of the series that are coloured; others are grey. Where a trial did not finish, a cross is at
    its last point, or at the `top` of the axis.
    """
    rows: Rows = []
    most, longest = max(40, min(POINTS, _ALL_POINTS // (len(named) * len(panels)))), 0
    for rest, ((panel, series), spans) in enumerate(points.groups().items()):
        coloured = series in named
        line = band(points, [places for _, places in spans])
        values = [line["y"], line["low"], line["high"]] if coloured and line["n"].max() > 1 else [line["y"]]
        chosen = thinned(line["x"], values, most=most if coloured else _GREY_POINTS, log=log)
        if coloured and len(chosen) < len(line["x"]):
            longest = max(longest, len(line["x"]))
        text = {"panel": panels[panel], "series": named.get(series, series), "name": series}
        text |= {} if coloured else {"series": "", "rest": rest}
        kind = ("line" if len(chosen) > _DOTS else "dots") if coloured else "rest"
        ended = np.flatnonzero(line["ended"][chosen])
        parts = [(kind, chosen if not ended.size or not coloured else chosen[: ended[0]])]
        if ended.size and coloured:  # the dashed part begins at the last point that all trials have
            parts.append(("ended", chosen[max(0, int(ended[0]) - 1) :]))
        for part, places in parts:
            columns = zip(*(line[c][places].tolist() for c in ("x", "y", "low", "high", "n")), strict=True)
            rows += [
                text | {"kind": part, "x": x, "y": y, "low": lo, "high": hi, "n": n} for x, y, lo, hi, n in columns
            ]
        if len(parts) > 1:
            count = f"n = {rows[-1]['n']} of {int(line['n'].max())}"
            rows.append(rows[-1] | {"kind": "count", "text": count})
        rows += [text | cross for cross in _crosses(points, spans, top)] if coloured else []
    return rows, longest


def _crosses(points: Points, spans: Sequence[tuple[int, slice]], top: float) -> Rows:
    """A cross at the last point of each trial that did not finish."""
    ends = [(places.stop - 1, points.lines.unfinished[line]) for line, places in spans]
    return [
        {"kind": "cross", "x": float(points.x[last]), "y": min(float(points.y[last]), top), "how": how}
        for last, how in ends
        if how
    ]


__all__ = ["POINTS", "band", "band_rows"]
