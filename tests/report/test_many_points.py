"""The points of many curves are drawn without a text of their own each."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from assay.analysis.frames import median
from assay.report.charts.bands import band
from assay.report.charts.curves import CurveOptions
from assay.report.charts.points import points_of


def test_a_trial_that_configurations_share_has_a_line_in_each() -> None:
    trials = pd.DataFrame(
        {
            "trial": ["b", "a", "a"],  # two configurations share one trial
            "configuration": ["first", "second", "third"],
            "outcome": ["completed", "completed", "diverged"],
            "accuracy": [0.9, 0.5, 0.5],
        }
    )
    curves = pd.DataFrame({"trial": ["a"] * 40 + ["c"] + ["b"] * 40, "iteration": [*range(40), 0, *range(40)]})
    curves["test_accuracy"] = np.append(np.nan, np.linspace(0, 0.9, 80))
    points = points_of(trials, curves, CurveOptions())
    lines = points.lines
    assert list(zip(lines.trial, lines.series, lines.unfinished, lines.row.tolist(), strict=True)) == [
        ("a", "second", "", 1),
        ("a", "third", "diverged", 2),
        ("b", "first", "", 0),
    ]
    assert [points.x[places].tolist() for _, places in points.spans()] == [
        [*range(1, 40)],
        [*range(1, 40)],
        [*range(40)],
    ]
    assert lines.final.tolist() == [0.5, 0.5, 0.9]


@given(st.lists(st.floats(-1e300, 1e300)), st.integers(0, 3))
def test_the_median_is_that_of_numpy(values: list[float], infinite: int) -> None:
    every = np.array([*values, *[np.inf] * infinite])
    expected = float(np.median(every)) if every.size else np.nan
    assert np.array_equal(median(np.array(values), infinite=infinite), expected, equal_nan=True)


@st.composite
def _series(draw: st.DrawFn) -> list[tuple[list[int], list[float]]]:
    """Trials of a series: the steps at which each was logged, which are those of the longest one, and its values."""
    steps = sorted(draw(st.sets(st.integers(0, 50), min_size=1, max_size=12)))
    lengths = [*draw(st.lists(st.integers(1, len(steps)), min_size=2, max_size=6)), len(steps)]
    values = st.floats(0, 1)
    return [(steps[:n], draw(st.lists(values, min_size=n, max_size=n))) for n in lengths]


@given(_series())
def test_a_band_is_median_and_range_at_each_step(series: list[tuple[list[int], list[float]]]) -> None:
    trials = pd.DataFrame({"trial": [f"{i}" for i in range(len(series))], "configuration": "a", "outcome": "completed"})
    rows = [(f"{i}", s, y) for i, (steps, ys) in enumerate(series) for s, y in zip(steps, ys, strict=True)]
    curves = pd.DataFrame(rows, columns=["trial", "iteration", "test_accuracy"]).sample(frac=1, random_state=0)
    points = points_of(trials, curves, CurveOptions())
    line = band(points, [places for _, places in points.spans()])
    steps = curves.groupby("iteration")["test_accuracy"]  # an independent way
    assert line["x"].tolist() == list(steps.groups)
    for name, expected in (("y", steps.median()), ("low", steps.min()), ("high", steps.max()), ("n", steps.count())):
        assert line[name].tolist() == expected.tolist()
    assert line["ended"].tolist() == [step > min(own[-1] for own, _ in series) for step in line["x"]]
