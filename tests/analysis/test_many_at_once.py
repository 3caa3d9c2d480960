"""Families as products of matrices: what every comparison gives when it is computed alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.analysis.families import Family, against, all_pairs, bootstrapped, pairs_among, pairs_with
from assay.analysis.paired import (
    confirmed,
    deviation,
    flip_test,
    holm,
    pairs_needed,
    resolved_deviations,
    smallest_flip_p,
    t_intervals,
    t_tests,
)
from assay.analysis.paired_many import excludes_zero, pairs_needed_each
from assay.analysis.seed_values import SeedValues
from assay.analysis.verdict import MOST_PAIRS
from assay.analysis.verdicts import table_of, with_sentences


def values(k: int, n: int, *, step: float = 0.0, seed: int = 0, spread: float = 0.02) -> SeedValues:
    rng = np.random.default_rng(seed)
    numbers = 0.8 + rng.normal(0, 0.01, (k, n)) + rng.normal(0, spread, (k, 1))
    numbers = np.round(numbers / step) * step if step else numbers
    return SeedValues.plain({f"c{i}": dict(enumerate(row)) for i, row in enumerate(numbers.tolist())}, "accuracy")


def one_by_one(family: Family, alpha: float) -> list[bool]:
    """Which comparisons are significant, by the tests of single comparisons and a loop over pairs."""
    seeds = family.seeds.values
    differences = [seeds[a] - seeds[b] for a, b in zip(family.first, family.second, strict=True)]
    p = [float(t_tests(d[None], resolved_deviations(d[None]))[0]) for d in differences]
    level = alpha / len(p)
    larger = [
        max(one, flip_test(d)[0]) if one <= alpha and smallest_flip_p(d.size) <= level else one
        for one, d in zip(p, differences, strict=True)
    ]
    significant: list[bool] = []
    for i, (d, corrected) in enumerate(zip(differences, holm(larger), strict=True)):
        flips, smallest = flip_test(d)
        low, high = t_intervals(d[None], resolved_deviations(d[None]), alpha=level)
        interval = bootstrapped(d, alpha=alpha, smallest_p=smallest)
        agrees = interval is None or interval[0] > 0 or interval[1] < 0
        significant.append(corrected <= alpha and bool(confirmed(d[None], alpha=alpha)[0]) and agrees)
        assert (family.p[i], family.smallest_p[i]) == (pytest.approx(flips, abs=1e-12), smallest)
        assert family.difference[i] == pytest.approx(float(d.mean()), abs=1e-12)
        assert family.deviation[i] == pytest.approx(deviation(d), abs=1e-12)
        assert (family.low[i], family.high[i]) == (pytest.approx(low[0], abs=1e-12), pytest.approx(high[0], abs=1e-12))
        assert family.p_corrected[i] == pytest.approx(corrected, abs=1e-12)
    return significant


@pytest.mark.parametrize(("k", "n", "step"), [(6, 3, 0.0), (6, 5, 0.01), (5, 8, 0.0), (5, 9, 0.005), (4, 10, 0.0)])
def test_a_family_is_what_its_comparisons_are_alone(k: int, n: int, step: float) -> None:
    seeds = values(k, n, step=step, seed=k * n)
    for family in (all_pairs(seeds), against(seeds, "c1")):
        assert family.decided.tolist() == one_by_one(family, 0.05)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(-3, 6), min_size=8, max_size=8), min_size=1, max_size=4),
    step=st.sampled_from([0.001, 0.37, 1.0]),
)
def test_the_bootstrap_excludes_0_where_its_interval_does(rows: list[list[int]], step: float) -> None:
    d = np.asarray([row for row in rows if len(set(row)) > 1 and sum(row)], dtype=np.float64) * step
    wanted = []
    for row in d:
        interval = bootstrapped(row, alpha=0.05, smallest_p=0.0)
        wanted.append(interval is None or interval[0] > 0 or interval[1] < 0)
    if len(d):
        assert excludes_zero(d, alpha=0.05).tolist() == wanted


def test_the_seeds_needed_are_those_of_each_comparison() -> None:
    means, sds = np.array([0.5, 0.2, -0.5, 0.0, 0.01, 1.0, 3.0]), np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.1])
    for alpha in (0.05, 0.05 / 7140):
        each = pairs_needed_each(means, sds, alpha=alpha)
        alone = [pairs_needed(float(m), float(s), alpha=alpha) for m, s in zip(means, sds, strict=True)]
        assert [None if math.isnan(x) else int(x) for x in each] == alone


def test_the_table_of_a_family_is_that_of_its_verdicts() -> None:
    seeds = values(7, 4, step=0.01)
    family = all_pairs(seeds)
    fast, slow = with_sentences(family), table_of(family.verdicts())
    assert sorted(fast.columns) == sorted(slow.columns)
    for column in slow.columns:
        pairs = zip(fast[column].tolist(), slow[column].tolist(), strict=True)
        assert all(str(a) == str(b) or a == pytest.approx(b, abs=1e-12, nan_ok=True) for a, b in pairs), column


def test_what_is_shown_changes_no_verdict() -> None:
    seeds = values(9, 8)
    whole = {verdict.names: verdict for verdict in all_pairs(seeds).verdicts()}
    for picked in (pairs_with(seeds, "c4"), pairs_among(seeds, ["c7", "c2", "c3"])):
        assert all(verdict == whole[verdict.names] for verdict in picked.verdicts())


def test_a_family_of_millions_of_pairs_picks_at_once() -> None:
    seeds = values(1500, 3)
    family = pairs_with(seeds, "c3")
    assert (family.first.size, family.total) == (1499, 1500 * 1499 // 2)
    assert family.total > MOST_PAIRS and "Bonferroni's correction for 1,124,250 pairs" in family.verdict(0).sentence()
