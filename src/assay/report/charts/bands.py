"""The learning curves of the trials of a series as one line with a band, and the rows that are drawn of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from assay.report.charts.frames import Frame
from assay.report.charts.style import Rows
from assay.report.thinning import evenly, thinned

POINTS = 300  # of a line: two pixels each
_GREY_POINTS = 30  # of a line that is not distinguished
_ALL_POINTS = 8000  # of a chart
_DOTS = 25  # points of a line up to which each has a dot


def band(group: Frame) -> dict[str, Any]:
    """Median, lowest and highest over the trials of a series, as arrays over x, and how many trials there are.

    Trials that were logged at the same steps are compared step by step, against the median of their seconds; others are
    interpolated, each within its own range: no curve continues after its last point. `ended` marks the points after
    the first end of a trial, where the median is that of the trials that go on.
    """
    if group["trial"].nunique() == 1:
        y = group["y"].to_numpy()
        one = np.ones(len(y), dtype=int)
        return {
            "x": group["x"].to_numpy(),
            "y": y,
            "low": y,
            "high": y,
            "n": one,
            "ended": np.zeros(len(y), dtype=bool),
        }
    longest = group.groupby("trial", sort=False)["step"].nunique().max()
    if group["step"].nunique() == longest:
        steps = group.groupby("step", sort=True)
        y = steps["y"]
        x = np.maximum.accumulate(steps["x"].median().to_numpy())  # where a trial ends the median may step back
        statistics = {"y": y.median(), "low": y.min(), "high": y.max(), "n": y.count()}
        first_end = group.groupby("trial", sort=False)["step"].max().min()
        ended = y.median().index.to_numpy() > first_end
        return {"x": x} | {name: values.to_numpy() for name, values in statistics.items()} | {"ended": ended}
    everything = np.unique(group["x"].to_numpy())
    grid = everything[evenly(len(everything), 2 * POINTS)]
    curves = np.array(
        [
            np.interp(grid, one["x"].to_numpy(), one["y"].to_numpy(), left=np.nan, right=np.nan)
            for _, one in group.groupby("trial", sort=False)
        ]
    )  # (trials, grid): each x of the grid is a point of some trial, so that no column is empty
    spans = {"y": np.nanmedian(curves, axis=0), "low": np.nanmin(curves, axis=0), "high": np.nanmax(curves, axis=0)}
    first_end = group.groupby("trial", sort=False)["x"].max().min()
    return {"x": grid} | spans | {"n": np.isfinite(curves).sum(axis=0), "ended": grid > first_end}


def band_rows(
    points: Frame, *, named: Mapping[str, str], panels: Mapping[str, str], top: float, log: bool
) -> tuple[Rows, int]:
    """The rows of the lines, and how many points the longest line had that was thinned, or 0.

    `named` has the labels of the series that are coloured; others are grey. Where a trial did not finish, a cross is at
    its last point, or at the `top` of the axis.
    """
    rows: Rows = []
    most, longest = max(40, min(POINTS, _ALL_POINTS // (len(named) * len(panels)))), 0
    for rest, ((panel, series), group) in enumerate(points.groupby(["panel", "series"], sort=False)):
        coloured = series in named
        line = band(group)
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
        rows += [text | cross for cross in _crosses(group, top)] if coloured else []
    return rows, longest


def _crosses(group: Frame, top: float) -> Rows:
    last = group[group["unfinished"] != ""].drop_duplicates("trial", keep="last")
    ends = zip(last["x"].tolist(), last["y"].tolist(), last["unfinished"], strict=True)
    return [{"kind": "cross", "x": x, "y": min(y, top), "how": how} for x, y, how in ends]


def top_of(points: Frame, *, bounded: bool) -> float:
    """The top of the y axis: where trials diverged, what the others reach, so that one does not flatten all."""
    finished = points.loc[points["unfinished"] == "", "y"]
    values = finished if len(finished) else points["y"]
    return float(values.max()) if bounded or len(finished) else float(values.quantile(0.9))


def ranked(points: Frame, order: Sequence[str] | None) -> list[str]:
    """The series by the mean of their final scores, best first, or those of `order` in that order."""
    means = points.drop_duplicates("trial").groupby("series", sort=False)["final"].mean()
    best = [str(name) for name in means.sort_values(ascending=False, kind="stable", na_position="last").index]
    return best if order is None else [name for name in order if name in best]


def within(points: Frame, *, start: float | None, stop: float | None, log: str) -> Frame:
    """The points from start to stop, above zero on logarithmic axes."""
    kept = pd.Series(True, index=points.index)
    if start is not None:
        kept &= points["x"] >= start
    if stop is not None:
        kept &= points["x"] <= stop
    for name in log:
        kept &= points[name] > 0
    return points if kept.all() else points[kept]


__all__ = ["POINTS", "band", "band_rows", "ranked", "top_of", "within"]
