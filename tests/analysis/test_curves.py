"""Curves read, against plain loops over their points."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.analysis.curves import moving_average, settled
from assay.errors import AssayError
from tests.analysis.frames import curves

steps = st.lists(st.integers(0, 6), min_size=1, max_size=25)


def curve(**columns: list[float]) -> pd.DataFrame:
    """One trial's curve with several columns."""
    first, *others = columns
    frame = curves({"a": columns[first]}, first)
    return frame.assign(**{name: columns[name] for name in others})


@given(st.lists(st.floats(-10, 10), max_size=20), st.integers(1, 6))
def test_the_moving_average_is_the_mean_of_what_came_last(values: list[float], window: int) -> None:
    wanted = [math.nan if i + 1 < window else np.mean(values[i + 1 - window : i + 1]) for i in range(len(values))]
    np.testing.assert_allclose(moving_average(values, window), wanted, atol=1e-12)
    np.testing.assert_allclose(moving_average(values, window), pd.Series(values).rolling(window).mean(), atol=1e-12)


def test_a_moving_average_fills_nothing_in() -> None:
    assert np.isnan(moving_average([1.0, math.nan, 1.0, 1.0], 2)).tolist() == [True, True, True, False]


def test_settled_looks_at_the_last_tenth() -> None:
    rising = [0.01 * i for i in range(20)]
    assert not settled(curves({"a": rising}))
    assert settled(curves({"a": [*rising, 0.9, 0.903]}), fraction=0.05)
    assert settled(curves({"a": [*rising, 0.9, 0.903, 0.901]}))
    assert not settled(curves({"a": [*rising, 0.9, 0.906, 0.901]}))
    assert settled(curves({"a": [*rising, 0.9, 0.906, 0.901]}), within=0.01)
    assert settled(curves({"a": [0.9, 0.9]}))


def test_one_point_or_none_settles_nothing() -> None:
    assert not settled(curves({"a": [0.9]}))
    assert not settled(curves({"a": [np.nan, np.nan]}))


def test_errors_are_explained_in_a_sentence() -> None:
    frame = curves({"a": [0.1, 0.2], "b": [0.1]})
    with pytest.raises(AssayError, match="one trial, and the frame holds 2"):
        settled(frame)
    with pytest.raises(AssayError, match="must be 1 or more"):
        moving_average([1.0], 0)
    with pytest.raises(AssayError, match="unknown column 'test_acuracy'; did you mean 'test_accuracy'"):
        settled(frame[:2], column="test_acuracy")
    with pytest.raises(AssayError, match="fraction"):
        settled(frame[:2], fraction=0.0)
