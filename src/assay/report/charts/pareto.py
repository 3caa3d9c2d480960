"""The score against training time, with the Pareto front."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from assay.analysis.frames import own
from assay.analysis.pareto import undominated
from assay.analysis.quantities import TEST_SCORE
from assay.analysis.seeds import ENDED
from assay.report.charts.chart import Chart
from assay.report.charts.forms import scatter
from assay.report.charts.frames import (
    Frame,
    checked,
    ended,
    headed,
    mixed,
    nothing,
    numbers,
    omitted,
    statistics,
    unfinished,
    words,
)
from assay.report.charts.placing import placed
from assay.report.charts.style import (
    Plane,
    PlotAxis,
    Rows,
    axis_format,
    dressed,
    labels,
    measure_of,
    message,
    plot_width,
    span,
    tooltip,
)
from assay.report.thinning import evenly

_SEEDS, _MEANS, _FRONT = 3000, 2000, 300  # points: more of them only hide each other
_SCORE = measure_of(TEST_SCORE.column)
_COST = measure_of("seconds")


def accuracy_against_time(
    trials: Frame, *, by: str = "configuration", most_labels: int = 8, title: str | None = None
) -> Any:
    """The score against training seconds: seeds faint, means solid, the Pareto front as a line with names.

    A mean score counts every trial with a result, those that diverged or timed out as they ended; a mean time those
    that finished. × marks configurations of which some did not finish; they are not optimal. Raises: AssayError.
    """
    checked(trials, [by, "seconds", TEST_SCORE.column])
    trials, left_out = own(trials)
    heading = headed(trials, f"{_SCORE.title} against {_COST.quantity.label}", title)
    seeds = _seeds(trials, by)
    if not len(seeds):
        return message(nothing(trials, f"a {TEST_SCORE.label} and a time"), heading, mixed(trials))
    means = _means(seeds, trials, by)
    front = means[means["front"]].sort_values("x", kind="stable")
    plane = _plane(seeds)
    corners = _records(front.iloc[evenly(len(front), _FRONT)])
    shown = _thinned(seeds, _SEEDS)
    exact = {"x": ("seconds", ".4~g"), "y": (TEST_SCORE.name.replace("_", " "), _SCORE.exact)}
    chart = scatter(
        _records(_with_front(_thinned(means, _MEANS), front)),
        plane=plane,
        tips=tooltip(name=by, **exact, n=("trials", "d"), unfinished=("of them unfinished", "d")),
        faint=(_records(shown), tooltip(name=by, **exact, how="outcome")),
        steps=_steps(corners, plane.x.limits[1]),
        named=placed(corners, labels(means["name"]), plane=plane, most=most_labels),
    )
    notes = [
        f"configurations: {len(means):,}, trials (grey): {len(seeds):,}, Pareto-optimal (orange): {len(front):,}",
        f"{len(shown):,} of the trials drawn, extremes kept" if len(shown) < len(seeds) else "",
        f"{_MEANS:,} of the means drawn" if len(means) > _MEANS else "",
        omitted(len(trials) - len(seeds), f"trials without {TEST_SCORE.label} or time"),
        f"{ended(trials)} (×)" if ended(trials) else "",
        left_out,
        mixed(trials),
    ]
    return dressed(chart, heading, notes)


def _seeds(trials: Frame, by: str) -> Frame:
    """The trials with a score and a time, in columns of fixed names."""
    seeds = pd.DataFrame({"name": words(trials, by), "how": [how or "finished" for how in unfinished(trials)]})
    seeds["x"] = pd.Series(numbers(trials, "seconds"), dtype="float64")
    seeds["y"] = pd.Series(numbers(trials, TEST_SCORE.column), dtype="float64")
    return seeds[(seeds["x"] > 0) & seeds["y"].notna()]


def _means(seeds: Frame, trials: Frame, by: str) -> Frame:
    """One row per configuration: its means, how many trials they are of, how many did not finish, whether optimal."""
    groups = seeds.groupby("name", sort=False)
    means: Frame = groups[["x", "y"]].mean().assign(n=groups.size())
    counts = statistics(trials, by, ["seconds", TEST_SCORE.column]).set_index("name").reindex(means.index)
    for name, column in (("x", "seconds_mean"), ("y", f"{TEST_SCORE.column}_mean")):
        means[name] = counts[column].where(counts[column].notna(), means[name])
    ended_early: Any = pd.Series([bool(how) for how in unfinished(trials)], index=words(trials, by), dtype=int)
    means["unfinished"] = ended_early.groupby(level=0).sum().reindex(means.index).astype(int)
    did_not_finish: Any = pd.Series([how in ENDED for how in unfinished(trials)], index=words(trials, by), dtype=int)
    ended_of = did_not_finish.groupby(level=0).sum().reindex(means.index).to_numpy()
    costs = np.where(ended_of > 0, np.inf, means["x"])  # worse than the seconds of any trial that finished
    means["front"] = undominated(costs, means["y"].to_numpy())
    return means.reset_index()


def _plane(seeds: Frame) -> Plane:
    """Axes with room for the names left of the fastest and above the front."""
    left, right = span(seeds["x"].tolist(), log=True, pad=0.1)
    low, high = _SCORE.span(seeds["y"].tolist(), pad=0.05)
    form = axis_format(low, high, percent=TEST_SCORE.is_fraction)
    return Plane(
        PlotAxis(_COST.title, (left * (left / right) ** 0.15, right), log=True),
        PlotAxis(_SCORE.title, (low, high + (high - low) * 0.1), format=form, count=7),
        (plot_width() + 100, 380),
    )


def _steps(front: Rows, end: float) -> Rows:
    """The corners of the front: what score has been reached by which time."""
    corners: Rows = []
    for i, mean in enumerate(front):
        after = front[i + 1]["x"] if i + 1 < len(front) else end
        corners += [{"x": mean["x"], "y": mean["y"]}, {"x": after, "y": mean["y"]}]
    return corners


def _thinned(points: Frame, most: int) -> Frame:
    """Evenly by score, with the fastest and the slowest."""
    if len(points) <= most:
        return points
    by_score = points["y"].argsort(kind="stable").to_numpy()[evenly(len(points), most - 2)]
    kept = {*by_score.tolist(), int(points["x"].to_numpy().argmin()), int(points["x"].to_numpy().argmax())}
    return points.iloc[sorted(kept)]


def _with_front(means: Frame, front: Frame) -> Frame:
    return pd.concat([means, front]).drop_duplicates("name")


def _records(frame: Frame) -> Rows:
    return frame.to_dict("records")


CHART = Chart(
    "pareto",
    "trials",
    accuracy_against_time,
    "Accuracy against time",
    "test accuracy against training time, with the Pareto front",
    suits=lambda _: True,
)

__all__ = ["CHART", "accuracy_against_time"]
