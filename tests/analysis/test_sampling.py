"""What a stratified sample says about the whole."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.analysis.sampling import Estimate, adjusted_means, total
from assay.errors import AssayError

SHARES = {"a": {"x": 0.5, "y": 0.5}, "b": {"p": 1 / 3, "q": 1 / 3, "r": 1 / 3}}
EFFECTS = {"x": 1.0, "y": -1.0, "p": 3.0, "q": 0.0, "r": -3.0}


def frame(cells: list[tuple[str, str]]) -> pd.DataFrame:
    rows = [{"a": a, "b": b, "y": 10 + EFFECTS[a] + EFFECTS[b], "weight": 1.0} for a, b in cells]
    return pd.DataFrame(rows)


@given(st.lists(st.lists(st.floats(-100, 100), min_size=1, max_size=5), min_size=1, max_size=5))
def test_a_complete_sample_is_the_whole(strata: list[list[float]]) -> None:
    found = total([(len(values), values) for values in strata])
    assert found.value == pytest.approx(sum(map(sum, strata)), abs=1e-9)
    assert found.error == 0
    assert found.interval() == (found.value, found.value)


def test_the_interval_of_a_total_covers_it_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    strata = [random.normal(mean, spread, size=40) for mean, spread in ((0, 1), (50, 3), (200, 10))]
    whole, inside, sums = sum(float(s.sum()) for s in strata), 0, list[float]()
    for _ in range(1000):
        found = total([(40, random.choice(s, 8, replace=False)) for s in strata])
        low, high = found.interval()
        inside += low <= whole <= high
        sums.append(found.value)
    assert 0.92 < inside / 1000 < 0.98
    assert float(np.mean(sums)) == pytest.approx(whole, rel=0.005)


def test_one_of_a_stratum_shows_no_spread_and_too_many_are_a_mistake() -> None:
    assert np.isnan(total([(4, [1.0]), (2, [1.0, 2.0])]).error)
    assert all(np.isnan(total([(4, [1.0])]).interval()))
    for values in ([], [1.0, 2.0]):
        with pytest.raises(AssayError, match="does not match a stratum of 1"):
            total([(1, values)])
    assert Estimate(2.0, 1.0, 3).scaled(0.5) == Estimate(1.0, 0.5, 3)


def test_on_a_balanced_whole_adjusted_and_plain_means_are_equal() -> None:
    found = adjusted_means(frame(list(itertools.product("xy", "pqr"))), SHARES, measure="y", weight="weight")
    assert found["mean"].tolist() == pytest.approx(found["plain"].tolist())
    assert found["effect"].tolist() == pytest.approx([1, -1, 3, 0, -3])


def test_a_value_is_not_given_what_its_chance_company_does() -> None:
    cells = [("x", "p"), ("x", "p"), ("x", "q"), ("x", "q"), ("y", "q"), ("y", "r"), ("y", "r"), ("y", "r")]
    found = adjusted_means(frame(cells), SHARES, measure="y", weight="weight").set_index("value")
    assert found.loc["x", "plain"] - found.loc["y", "plain"] == pytest.approx(2 + 1.5 + 2.25)
    assert found.loc["x", "effect"] == pytest.approx(1)
    assert found.loc["r", "effect"] == pytest.approx(-3)
    assert found.loc["x", "mean"] == pytest.approx(11), "the mean of all is that of the balanced whole"


def test_values_of_unequal_shares_are_weighed_by_them() -> None:
    shares = {"a": {"x": 2 / 3, "y": 1 / 3}, "b": SHARES["b"]}
    found = adjusted_means(frame(list(itertools.product("xy", "pqr"))), shares, measure="y", weight="weight")
    assert found["effect"].tolist()[:2] == pytest.approx([2 / 3, -4 / 3])


def test_rows_that_cannot_tell_factors_apart_are_a_mistake() -> None:
    for cells in ([("x", "p"), ("y", "q"), ("x", "r")], [("x", "p")] * 4 + [("y", "q")] * 4 + [("y", "r")] * 4):
        with pytest.raises(AssayError, match="too few to distinguish 2 factors"):
            adjusted_means(frame(cells), SHARES, measure="y", weight="weight")
