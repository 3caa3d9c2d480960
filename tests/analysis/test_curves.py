"""Curves read, against plain loops over their points."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.analysis.curves import gap, moving_average, overfitting, plateaus, settled, zoom
from assay.errors import AssayError
from tests.analysis.frames import curves

steps = st.lists(st.integers(0, 6), min_size=1, max_size=25)


def curve(**columns: list[float]) -> pd.DataFrame:
    """One trial's curve with several columns."""
    first, *others = columns
    frame = curves({"a": columns[first]}, first)
    return frame.assign(**{name: columns[name] for name in others})


def test_zoom_keeps_both_ends() -> None:
    frame = curves({"a": [0.1, 0.2, 0.3, 0.4], "b": [0.5, 0.6]})
    assert zoom(frame, 10, 20)["test_accuracy"].tolist() == [0.2, 0.3, 0.6]
    assert zoom(frame, 0.1, 0.2, by="seconds")["iteration"].tolist() == [10, 20, 10]
    assert zoom(frame, 900, 1000).empty


@given(st.lists(st.floats(-10, 10), max_size=20), st.integers(1, 6))
def test_the_moving_average_is_the_mean_of_what_came_last(values: list[float], window: int) -> None:
    wanted = [math.nan if i + 1 < window else np.mean(values[i + 1 - window : i + 1]) for i in range(len(values))]
    np.testing.assert_allclose(moving_average(values, window), wanted, atol=1e-12)
    np.testing.assert_allclose(moving_average(values, window), pd.Series(values).rolling(window).mean(), atol=1e-12)


def test_a_moving_average_fills_nothing_in() -> None:
    assert np.isnan(moving_average([1.0, math.nan, 1.0, 1.0], 2)).tolist() == [True, True, True, False]


@given(steps, st.sampled_from([0.1, 0.2, 0.5]))
def test_plateaus_are_stretches_that_cannot_be_longer(values: list[int], fraction: float) -> None:
    found = plateaus(curves({"a": [v / 10 for v in values]}, every=1), within=0.15, fraction=fraction)
    least, place = max(2, math.ceil(fraction * len(values))), 0
    wanted = []
    while place < len(values):
        ends = [e for e in range(place + 1, len(values) + 1) if max(values[place:e]) - min(values[place:e]) <= 1]
        if ends[-1] - place >= least:
            wanted.append((place, ends[-1] - 1, ends[-1] - place))
            place = ends[-1]
        else:
            place += 1
    assert [tuple(row) for row in found[["start", "stop", "points"]].to_numpy().tolist()] == wanted
    assert ((found["high"] - found["low"]) < 0.15).all()


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
    assert plateaus(curves({"a": [0.9]})).empty
    assert plateaus(curves({"a": [np.nan, np.nan]})).empty


def test_the_gap_is_train_minus_test() -> None:
    frame = curve(train_accuracy=[0.5, 0.9], test_accuracy=[0.5, 0.8], train_loss=[1.0, 0.2], test_loss=[1.0, np.nan])
    table = gap(frame)
    assert table["accuracy_gap"].tolist() == pytest.approx([0.0, 0.1])
    assert table["loss_gap"][0] == 0.0 and math.isnan(table["loss_gap"][1])
    assert table.columns.tolist() == ["trial", "iteration", "accuracy_gap", "loss_gap"]


def test_overfitting_begins_at_the_peak_of_the_test_accuracy() -> None:
    losses = [1.0, 0.5, 0.3, 0.2, 0.1, 0.05]
    assert overfitting(curve(train_loss=losses, test_accuracy=[0.5, 0.8, 0.9, 0.9, 0.89, 0.88])) == 20
    assert overfitting(curve(train_loss=losses, test_accuracy=[0.5, 0.6, 0.7, 0.8, 0.9, 0.95])) is None
    bumpy = [1.0, 0.5, 0.3, 0.31, 0.1, 0.05]
    assert overfitting(curve(train_loss=bumpy, test_accuracy=[0.5, 0.8, 0.9, 0.9, 0.89, 0.88])) == 30
    assert overfitting(curve(train_loss=bumpy, test_accuracy=[0.5, 0.8, 0.9, 0.9, 0.89, 0.88]), window=2) == 20


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=12), st.sampled_from([0.1, 0.4]))
def test_overfitting_is_the_first_point_of_which_the_definition_holds(
    rows: list[tuple[int, int]], fraction: float
) -> None:
    losses, accuracies = [float(a) for a, _ in rows], [float(b) for _, b in rows]
    n = len(rows)
    wanted = [
        i
        for i in range(n)
        if n - 1 - i >= max(2, math.ceil(fraction * n))
        and all(losses[j] < losses[j - 1] for j in range(i + 1, n))
        and all(accuracies[j] <= accuracies[i] for j in range(i + 1, n))
    ]
    found = overfitting(curve(train_loss=losses, test_accuracy=accuracies), fraction=fraction)
    assert found == (10 * wanted[0] if wanted else None)


def test_errors_are_explained_in_a_sentence() -> None:
    frame = curves({"a": [0.1, 0.2], "b": [0.1]})
    with pytest.raises(AssayError, match="one trial, and the frame holds 2"):
        settled(frame)
    with pytest.raises(AssayError, match="unknown axis"):
        zoom(frame, 0, 1, by="hour")
    with pytest.raises(AssayError, match="not run from 5 to 1"):
        zoom(frame, 5, 1)
    with pytest.raises(AssayError, match="must be 1 or more"):
        moving_average([1.0], 0)
    with pytest.raises(AssayError, match="unknown column 'test_acuracy'; did you mean 'test_accuracy'"):
        plateaus(frame, column="test_acuracy")
    with pytest.raises(AssayError, match="fraction"):
        settled(frame[:2], fraction=0.0)
    with pytest.raises(AssayError, match="no points"):
        overfitting(frame[:0])
    with pytest.raises(AssayError, match="unknown column 'train_loss'"):
        gap(frame.drop(columns="train_loss"))
