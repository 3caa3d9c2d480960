"""The statistics of paired differences against scipy, enumeration and simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from assay.analysis.alpha_spending import alpha_at, spent
from assay.analysis.paired import (
    bootstrap_interval,
    deviation,
    flip_test,
    holm,
    pairs_needed,
    t_interval,
    t_test,
)
from assay.errors import AssayError

differences = st.lists(st.integers(-20, 20), min_size=2, max_size=9).map(lambda x: np.array(x, dtype=float))


@given(differences.filter(lambda d: d.std() > 0))
def test_the_t_interval_and_p_are_those_of_scipy(d: np.ndarray) -> None:
    found = stats.ttest_rel(d + 3, np.full(d.size, 3.0))
    interval = found.confidence_interval(0.9)
    assert t_interval(d, alpha=0.1) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert t_test(d) == pytest.approx(found.pvalue)


@settings(max_examples=40)
@given(differences)
def test_the_sign_flips_are_those_of_scipy(d: np.ndarray) -> None:
    wanted = stats.permutation_test((d, np.zeros(d.size)), lambda x, y: np.sum(x - y), permutation_type="samples")
    assert flip_test(d)[0] == pytest.approx(wanted.pvalue)


@given(differences)
def test_the_sign_flips_are_those_of_a_plain_enumeration(d: np.ndarray) -> None:
    sums = [
        abs(sum(s * x for s, x in zip(signs, d, strict=True))) for signs in itertools.product((1, -1), repeat=d.size)
    ]
    assert flip_test(d) == (sum(s >= abs(d.sum()) for s in sums) / 2**d.size, 2 / 2**d.size)


@pytest.mark.parametrize("n", [17, 70])
def test_random_flips_come_close_to_the_normal_p(n: int) -> None:
    d = np.random.default_rng(n).normal(0.3, 1, n)
    p, smallest = flip_test(d)
    assert p == flip_test(d)[0]  # a fixed stream
    normal = 2 * stats.norm.sf(abs(d.sum()) / math.sqrt((d**2).sum()))  # the flips' own variance is exact
    assert p == pytest.approx(normal, abs=0.02)
    assert smallest == max(2 / 2**n, 1 / 100_001)


def test_sixteen_and_seventeen_pairs_agree() -> None:
    d = np.append(np.random.default_rng(3).normal(0.5, 1, 16), 0.0)  # a difference of 0 changes nothing
    assert flip_test(d)[0] == pytest.approx(flip_test(d[:16])[0], abs=0.004)


def test_rounding_does_not_break_ties() -> None:
    d = np.array([0.91, 0.81, 0.71]) - np.array([0.90, 0.80, 0.70])
    assert flip_test(d)[0] == 0.25
    assert deviation(d) == 0.0
    assert t_interval(d) == pytest.approx((0.01, 0.01))


def test_one_pair_says_nothing() -> None:
    d = np.array([0.5])
    assert flip_test(d) == (1.0, 1.0)
    assert math.isnan(t_test(d)) and all(math.isnan(x) for x in t_interval(d))


def test_the_bootstrap_is_that_of_a_plain_loop() -> None:
    d = np.random.default_rng(2).exponential(1, 9)
    rng = np.random.default_rng(5)
    t = []
    for _ in range(20_000):
        x = rng.choice(d, d.size)
        t.append((x.mean() - d.mean()) / (x.std(ddof=1) / 3))
    error = d.std(ddof=1) / 3
    wanted = d.mean() - np.quantile(t, 0.975) * error, d.mean() - np.quantile(t, 0.025) * error
    assert bootstrap_interval(d) == pytest.approx(wanted, rel=0.08)
    assert bootstrap_interval(d) == bootstrap_interval(d)


def test_a_bootstrap_of_mostly_one_value_is_refused() -> None:
    assert bootstrap_interval(np.array([0.0] * 7 + [1.0])) is None


@pytest.mark.parametrize("kind", ["normal", "uniform", "exponential"])
def test_the_bootstrap_covers_the_mean_of_8_pairs_in_95_of_100(kind: str) -> None:
    rng, runs = np.random.default_rng(8), 400
    mean = {"normal": 0.0, "uniform": 0.5, "exponential": 1.0}[kind]
    intervals = [bootstrap_interval(getattr(rng, kind)(size=8) - mean) for _ in range(runs)]
    covered = sum(i is not None and i[0] <= 0 <= i[1] for i in intervals)
    spread = 3.3 * math.sqrt(0.95 * 0.05 / runs)  # 1 in 1,000 by chance
    assert abs(covered / runs - 0.95) < spread


@given(st.floats(0.2, 60), st.sampled_from([0.05, 0.01, 1e-5]))
def test_the_pairs_needed_are_the_fewest_with_the_power(effect: float, alpha: float) -> None:
    n = pairs_needed(effect, 1.0, alpha=alpha)

    def power(n: int) -> float:
        """By integrating over the standard deviation, whose square is chi-squared."""
        c = stats.t.ppf(1 - alpha / 2, n - 1)
        q = (np.arange(4000) + 0.5) / 4000
        s = np.sqrt(stats.chi2.ppf(q, n - 1) / (n - 1))
        away = effect * math.sqrt(n)
        return float(np.mean(stats.norm.sf(c * s - away) + stats.norm.cdf(-c * s - away)))

    assert n is not None and n >= 2
    assert power(n) > 0.8 - 2e-3
    assert n == 2 or power(n - 1) < 0.8 + 2e-3


def test_the_pairs_needed_as_tables_print_them() -> None:
    assert [pairs_needed(d, 1.0) for d in (0.2, 0.5, 0.8)] == [199, 34, 15]  # Cohen's small, medium and large effects
    assert pairs_needed(-0.5, 1.0) == 34
    assert pairs_needed(0.01, 1.0) is None
    assert pairs_needed(0.0, 1.0) is None
    assert pairs_needed(1.0, 0.0) is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_its_steps_reject(p_values: list[float]) -> None:
    for alpha in (0.01, 0.05, 0.3):
        left, rejected = sorted(range(len(p_values)), key=lambda i: p_values[i]), set()
        while left and p_values[left[0]] * len(left) <= alpha:
            rejected.add(left.pop(0))
        corrected = holm(p_values)
        equal = {i for i in range(len(p_values)) if corrected[i] <= alpha}
        assert {p_values[i] for i in equal} == {p_values[i] for i in rejected}


def test_holm_leaves_out_what_was_not_tested() -> None:
    corrected = holm([0.04, math.nan, 0.01])
    assert corrected[0] == 0.04 and corrected[2] == 0.02 and math.isnan(corrected[1])
    assert holm([]) == []
    with pytest.raises(AssayError, match="between 0 and 1"):
        holm([1.5])


@pytest.mark.parametrize(
    ("looks", "bounds"),
    [(1, [1.96]), (2, [2.9626, 1.9686]), (3, [3.7103, 2.5114, 1.9930]), (5, [4.8769, 3.3569, 2.6803, 2.2898, 2.0310])],
)
def test_the_bounds_are_those_that_are_published(looks: int, bounds: list[float]) -> None:
    """Reboussin, DeMets, Kim, Lan (2000), two-sided 0.05, the O'Brien-Fleming type."""
    levels = [alpha_at(look, looks) for look in range(1, looks + 1)]
    assert [float(stats.norm.isf(level / 2)) for level in levels] == pytest.approx(bounds, abs=2e-4)


def test_the_looks_spend_alpha_together() -> None:
    rng, runs, looks = np.random.default_rng(1), 100_000, 4
    z = np.abs(np.cumsum(rng.normal(size=(runs, looks)), axis=1) / np.sqrt(np.arange(1, looks + 1)))
    bounds = np.array([stats.norm.isf(alpha_at(look, looks) / 2) for look in range(1, looks + 1)])
    left = np.maximum.accumulate(z >= bounds, axis=1).mean(axis=0)
    wanted = [spent(look / looks) for look in range(1, looks + 1)]
    assert left == pytest.approx(wanted, abs=4 * math.sqrt(0.05 * 0.95 / runs))


def test_impossible_looks_are_refused_with_a_sentence() -> None:
    for arguments in ((0, 3), (4, 3), (1, 0), (1, 51)):
        with pytest.raises(AssayError, match="lies between 1 and"):
            alpha_at(*arguments)
    with pytest.raises(AssayError, match="alpha"):
        alpha_at(1, 2, alpha=0.0)
    with pytest.raises(AssayError, match="fraction"):
        spent(1.5)
    assert spent(0.0) == 0.0
