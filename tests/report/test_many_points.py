"""The points of many curves are drawn without a text of their own each."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from assay.analysis.frames import median
from assay.report.charts.curves import CurveOptions, _points  # pyright: ignore[reportPrivateUsage]


def test_points_share_the_texts_of_their_line() -> None:
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
    points, keys = _points(trials, curves, CurveOptions())
    lines = points.groupby(["trial", "series", "unfinished"], sort=False)["x"].agg(list)
    assert keys == ["a", "a", "b"]
    assert [(keys[line], series, how) for line, series, how in lines.index] == [
        ("a", "second", ""),
        ("a", "third", "diverged"),
        ("b", "first", ""),
    ]
    assert lines.tolist() == [[*range(1, 40)], [*range(1, 40)], [*range(40)]]
    assert len({id(text) for text in points["series"]}) == 3
    assert points["final"].tolist() == [0.5] * 78 + [0.9] * 40


@given(st.lists(st.floats(-1e300, 1e300)), st.integers(0, 3))
def test_the_median_is_that_of_numpy(values: list[float], infinite: int) -> None:
    every = np.array([*values, *[np.inf] * infinite])
    expected = float(np.median(every)) if every.size else np.nan
    assert np.array_equal(median(np.array(values), infinite=infinite), expected, equal_nan=True)
