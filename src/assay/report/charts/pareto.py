"""The score against training time, with the Pareto front."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from assay.analysis.draws import overlaps_of, pairing
from assay.analysis.effort import comparable_within
from assay.analysis.frames import own
from assay.analysis.pareto import undominated
from assay.analysis.quantities import OF_REGRESSION, Quantity, ranked_by
from assay.analysis.seeds import BUSY, ENDED, ranked_by_seconds
from assay.analysis.ties import tied_names
from assay.errors import AssayError, unknown
from assay.report.charts.chart import Chart
from assay.report.charts.forms import scatter
from assay.report.charts.frames import (
    Frame,
    captions,
    checked,
    ended,
    headed,
    mixed,
    nothing,
    numbers,
    omitted,
    pooled,
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
    measure_of,
    message,
    plot_width,
    span,
    tooltip,
)
from assay.report.thinning import evenly

_SEEDS, _MEANS, _FRONT = 1500, 1000, 300  # points: more of them only hide each other
_OBSTACLES = 400  # points that names stay clear of
_NAMED = {"front": 8, "all": 40}  # how many names
_COST = measure_of("seconds")


def accuracy_against_time(
    trials: Frame,
    *,
    by: str = "configuration",
    names: str = "front",
    most_labels: int | None = None,
    title: str | None = None,
) -> Any:
    """The score against training seconds: seeds faint, configurations solid, the Pareto front as a line with names.

    A configuration has its mean score, which counts those that diverged or timed out as they ended, and the median of
    its times that compare, as in the tables of a study. × marks configurations of which some did not finish; they are
    not optimal. The line steps through the optimal ones that differ beyond noise: hollow ones tie with another
    (`assay.analysis.ties`).
    `names`: "front" names the optimal ones, "all" also those that they dominate, at most `most_labels` of them (8, or
    40 of all), as far as there is room. Raises: AssayError.
    """
    if names not in _NAMED:
        raise AssayError("names: " + unknown("choice", names, _NAMED))
    score = ranked_by(trials)
    title_of = measure_of(score.column).title
    checked(trials, [by, "seconds", score.column])
    trials, left_out = own(trials)
    heading = headed(trials, f"{title_of} against {_COST.quantity.label}", title)
    seeds = _seeds(trials, by)
    if not len(seeds):
        return message(nothing(trials, f"a {score.label} and a time"), heading, mixed(trials))
    means, busy = _means(seeds, trials, by)
    front = means[means["front"]].sort_values("x", kind="stable")
    plane = _plane(seeds, score)
    shown = _thinned(seeds, _SEEDS)
    drawn = _records(_with_front(_thinned(means, _MEANS), front))
    exact = {
        "x": ("seconds", ".4~g"),
        "y": (
            score.label if score.name in OF_REGRESSION else score.name.replace("_", " "),
            measure_of(score.column).exact,
        ),
    }
    corners = _records(front.iloc[evenly(len(front), _FRONT)])
    steps = [row for row in corners if not row["tie"]]
    others = [row for row in drawn if not row["front"]]
    named = placed(
        [*(steps or corners), *(others if names == "all" else [])],
        captions(trials, by, means["name"].tolist()),
        plane=plane,
        most=_NAMED[names] if most_labels is None else most_labels,
        around=drawn if len(drawn) <= _OBSTACLES else [],
    )
    chart = scatter(
        drawn,
        plane=plane,
        tips=tooltip(name=by, **exact, n=("trials", "d"), unfinished=("of them unfinished", "d"), status="Pareto"),
        faint=(_records(shown), tooltip(name=by, **exact, how="outcome")),
        steps=_steps(steps, plane.x.limits[1]),
        named=named,
    )
    notes = [
        f"configurations: {len(means):,}, trials (grey): {len(seeds):,}, Pareto-optimal (orange): {len(front):,}",
        _ties_note(front, seeds, word="trial" if overlaps_of(trials, words(trials, by)) else "seed"),
        f"{len(shown):,} of the trials drawn, extremes kept" if len(shown) < len(seeds) else "",
        f"{len(drawn):,} of the means drawn" if len(means) > len(drawn) else "",
        omitted(len(trials) - len(seeds), f"trials without {score.label} or time"),
        f"{ended(trials)} (×)" if ended(trials) else "",
        pooled(trials, by),
        left_out,
        busy,
        mixed(trials),
    ]
    return dressed(chart, heading, notes, seen=_seen(corners, score))


def _seen(corners: Rows, score: Quantity) -> str:
    """The ends of the front in words."""
    ends = [corners[0], corners[-1]] if len(corners) > 1 else corners
    words_of = [f"{row['name']}, {measure_of(score.column).text(row['y'])} in {row['x']:.3g} s" for row in ends]
    return f"Pareto-optimal from {' to '.join(words_of)}" if words_of else "no configuration is Pareto-optimal"


def _ties_note(front: Frame, seeds: Frame, *, word: str) -> str:
    """How many of the front are no trade-off beyond noise, or why it is not known."""
    if len(front) < 2:
        return ""
    if int(seeds.groupby("name", sort=False).size().loc[front["name"].tolist()].max()) < 2:
        return "one seed each: whether the steps of the front exceed noise is not known"
    count = int((front["tie"] != "").sum())
    return (
        f"{count:,} of them tie with another within noise (hollow; 95 %, paired {word}s, uncorrected)" if count else ""
    )


def _seeds(trials: Frame, by: str) -> Frame:
    """The trials with a score and a time, in columns of fixed names."""
    seeds = pd.DataFrame({"name": words(trials, by), "how": [how or "finished" for how in unfinished(trials)]})
    seeds["x"] = pd.Series(numbers(trials, "seconds"), dtype="float64")
    seeds["y"] = pd.Series(numbers(trials, ranked_by(trials).column), dtype="float64")
    return seeds[(seeds["x"] > 0) & seeds["y"].notna()]


def _means(seeds: Frame, trials: Frame, by: str) -> tuple[Frame, str]:
    """One row per configuration: median time, mean score, of how many trials, how many did not finish, whether optimal.

    With the sentence on times of a busy machine.
    """
    groups = seeds.groupby("name", sort=False)
    means: Frame = pd.DataFrame({"x": groups["x"].median(), "y": groups["y"].mean(), "n": groups.size()})
    timed, busy = _timed(comparable_within(trials, by=by), by)
    for name, column, middle, frame in (
        ("x", "seconds", "median", timed),
        ("y", ranked_by(trials).column, "mean", trials),
    ):
        counted = statistics(frame, by, [column]).set_index("name").reindex(means.index)[f"{column}_{middle}"]
        means[name] = counted.where(counted.notna(), means[name])
    ended_early: Any = pd.Series([bool(how) for how in unfinished(trials)], index=words(trials, by), dtype=int)
    means["unfinished"] = ended_early.groupby(level=0).sum().reindex(means.index).astype(int)
    did_not_finish: Any = pd.Series([how in ENDED for how in unfinished(trials)], index=words(trials, by), dtype=int)
    ended_of = did_not_finish.groupby(level=0).sum().reindex(means.index).to_numpy()
    costs = np.where(ended_of > 0, np.inf, means["x"])  # worse than the seconds of any trial that finished
    means["front"] = undominated(costs, means["y"].to_numpy())
    means = means.reset_index()
    front = means[means["front"]].sort_values("x", kind="stable")
    means["tie"] = ""
    for place, tie in zip(front.index, _ties(front["name"].tolist(), trials, by), strict=True):
        means.loc[place, "tie"] = tie
    means["status"] = _statuses(means, front)
    return means, busy


def _timed(trials: Frame, by: str) -> tuple[Frame, str]:
    """The trials whose seconds are ranked: those with foreign load are left out while enough others remain."""
    if not {"busy", "outcome"} <= set(trials.columns):
        return trials, ""
    timed, marked = ranked_by_seconds(trials, by=by)
    sentences = [
        omitted(len(trials) - len(timed), "times with foreign load"),
        f"{len(marked):,} configurations timed on a {BUSY}" if marked else "",
    ]
    return timed, "; ".join(sentence for sentence in sentences if sentence)


def _ties(names: list[str], trials: Frame, by: str) -> list[str]:
    """The name of the optimal configuration that each ties with within noise, empty for a trade-off of its own."""
    repeats = trials["repeat"].tolist() if "repeat" in trials.columns else range(len(trials))
    columns = (
        words(trials, by),
        pairing(trials, repeats),
        numbers(trials, "seconds"),
        numbers(trials, ranked_by(trials).column),
    )
    return tied_names(names, zip(*columns, strict=True), overlaps=overlaps_of(trials, words(trials, by)))


def _statuses(means: Frame, front: Frame) -> list[str]:
    """What a tooltip says of each: optimal, tied within noise, or dominated by the cheapest that is as good."""
    costs, gains, names = front["x"].to_numpy(), front["y"].to_numpy(), front["name"].tolist()
    best = np.maximum.accumulate(gains) if len(gains) else gains
    statuses: list[str] = []
    for optimal, tie, cost, gain in zip(means["front"], means["tie"], means["x"], means["y"], strict=True):
        if optimal:
            statuses.append(f"optimal, ties with {tie} within noise" if tie else "optimal")
            continue
        first = int(np.searchsorted(best, gain))  # the cheapest that gains as much
        beaten = first < len(names) and costs[first] <= cost
        statuses.append(f"dominated by {names[first]}" if beaten else "not optimal: trials did not finish")
    return statuses


def _plane(seeds: Frame, score: Quantity) -> Plane:
    """Axes with room for the names left of the fastest and above the front."""
    left, right = span(seeds["x"].tolist(), log=True, pad=0.1)
    low, high = measure_of(score.column).span(seeds["y"].tolist(), pad=0.05)
    form = axis_format(low, high, percent=score.is_fraction)
    return Plane(
        PlotAxis(_COST.title, (left * (left / right) ** 0.15, right), log=True),
        PlotAxis(
            measure_of(score.column).title, (low, _within(high + (high - low) * 0.1, score)), format=form, count=7
        ),
        (plot_width() + 100, 380),
    )


def _within(high: float, score: Quantity) -> float:
    """The end of the axis of scores, which is no higher than the highest possible score."""
    return high if score.high is None else min(high, score.high)


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
    "Score against time",
    "test accuracy against training time, with the Pareto front",
    suits=lambda _: True,
)

__all__ = ["CHART", "accuracy_against_time"]
