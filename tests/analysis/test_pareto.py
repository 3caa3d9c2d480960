"""Fronts and profiles against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.analysis.pareto import front
from assay.errors import AssayError
from tests.analysis.frames import trials

points = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=12)
costs = st.one_of(st.integers(1, 5).map(float), st.just(math.nan), st.just(math.inf))


@given(points)
def test_the_front_is_what_no_other_dominates(pairs: list[tuple[int, int]]) -> None:
    frame = trials({f"c{i}": [gain / 10] for i, (_, gain) in enumerate(pairs)})
    table = front(frame.assign(flops=[float(cost) for cost, _ in pairs]), cost="flops").set_index("configuration")
    for i, (cost, gain) in enumerate(pairs):
        dominators = {f"c{j}" for j, (c, g) in enumerate(pairs) if c <= cost and g >= gain and (c, g) != (cost, gain)}
        assert table["front"][f"c{i}"] == (not dominators)
        assert (
            (table["dominated_by"][f"c{i}"] in dominators) if dominators else (table["dominated_by"][f"c{i}"] is None)
        )


def test_means_bands_and_counts() -> None:
    frame = trials({"a": [0.8, 0.9, np.nan], "b": [np.nan, np.nan], "c": [0.7]})
    frame["seconds"] = [1.0, 3.0, 9.0, 1.0, 1.0, 5.0]
    frame["outcome"] = ["completed"] * 3 + ["diverged"] * 2 + ["completed"]
    table = front(frame)
    assert table["configuration"].tolist() == ["a", "c", "b"]
    assert table["front"].tolist() == [True, False, False]
    assert table["dominated_by"].tolist() == [
        None,
        "a",
        "a",
    ]  # a training that diverged costs more than any that finished
    first = table.loc[0, ["seconds", "seconds_min", "seconds_max", "accuracy", "accuracy_min", "accuracy_max"]]
    assert first.tolist() == pytest.approx([2.0, 1.0, 3.0, 0.85, 0.8, 0.9])
    assert table.loc[2, ["n", "trials", "diverged", "timed_out", "missing"]].tolist() == [0, 2, 2, 0, 0]
    assert table["accuracy"][2] == 0.1  # chance


def test_the_cost_is_the_median_as_in_the_tables_of_a_study() -> None:
    frame = trials({"one slow seed": [0.9, 0.9, 0.9], "steady": [0.9, 0.9, 0.9]})
    frame["seconds"] = [1.0, 1.0, 100.0, 2.0, 2.0, 2.0]
    table = front(frame)
    assert table["seconds"].tolist() == [1.0, 2.0]
    assert table["dominated_by"].tolist() == [None, "one slow seed"]


def test_a_configuration_with_a_diverged_seed_is_not_optimal_by_seconds() -> None:
    frame = trials({"a": [0.9, 0.9, 0.5], "b": [0.8, 0.8, 0.8]}).assign(seconds=[1.0, 1.0, 0.1, 2.0, 2.0, 2.0])
    frame.loc[2, "outcome"] = "diverged"
    table = front(frame).set_index("configuration")
    assert table["front"].to_dict() == {"a": False, "b": True}
    assert table["seconds"]["a"] == 1.0 and table["accuracy"]["a"] == pytest.approx((0.9 + 0.9 + 0.5) / 3)
    assert front(frame, cost="parameters").set_index("configuration")["front"].to_dict() == {"a": False, "b": True}


def test_seconds_that_do_not_compare_are_refused() -> None:
    frame = trials({"a": [0.8, 0.9]}).assign(timing=["isolated", "packed"])
    with pytest.raises(AssayError, match="are not comparable"):
        front(frame)
    assert len(front(frame, cost="parameters")) == 1


def test_errors_are_explained_in_a_sentence() -> None:
    frame = trials({"a": [0.5]})
    with pytest.raises(AssayError, match="unknown cost 'flop'; did you mean 'flops'"):
        front(frame, cost="flop")
    with pytest.raises(AssayError, match="unknown gain 'test_loss'"):
        front(frame, gain="test_loss")
    with pytest.raises(AssayError, match="no trials"):
        front(frame.iloc[:0])
