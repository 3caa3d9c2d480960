"""Races: the right p values, corrections and drop-outs, and error rates of at most 5 %."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from assay.analysis.racing import estimate, fraction_spent, looks_at, race
from assay.errors import AssayError


def run(scores: Any, ended: Any = None) -> Any:
    gains = np.asarray(scores, dtype=np.float64)
    return race(gains, np.ones(gains.shape, dtype=bool) if ended is None else np.asarray(ended))


def test_a_look_is_the_paired_t_test_of_scipy_with_the_three_corrections_by_hand() -> None:
    random = np.random.default_rng(3)
    scores = np.array([[0.9], [0.88], [0.87]]) + random.normal(size=(3, 4)) / 100
    result = run(scores, np.array([[True, True, True, False]] * 3))
    (look,) = result.looks
    assert (look.seeds, look.best, result.seeds, result.over) == (3, 0, 3, False)
    spent = (3 / 4) ** 2
    p = {i: float(stats.ttest_rel(scores[0, :3], scores[i, :3]).pvalue) for i in (1, 2)}
    first, second = sorted(p, key=lambda i: p[i])
    expected = {first: p[first] * 3 * 2 / 2 / spent}
    left = 3 - (expected[first] <= 0.05)  # Holm's next step
    expected[second] = max(min(1.0, expected[first]), p[second] * left * 2 / 2 / spent)
    for one in look.comparisons:
        assert one.p == pytest.approx(p[one.racer], rel=1e-9)
        assert one.p_corrected == pytest.approx(min(1.0, expected[one.racer]), rel=1e-9)
        assert one.dropped == (one.p_corrected <= 0.05)
        assert one.difference == pytest.approx(float((scores[0, :3] - scores[one.racer, :3]).mean()))


def test_the_looks_spend_alpha_once() -> None:
    assert looks_at(8) == (3, 4, 5, 6, 7, 8)
    for planned in (2, 3, 4, 8, 30):
        parts = [fraction_spent(n, planned) for n in looks_at(planned)]
        assert sum(parts) == pytest.approx(1.0)
        assert all(part > 0 for part in parts)
    for wrong in (lambda: looks_at(1), lambda: fraction_spent(2, 8), lambda: fraction_spent(9, 8)):
        with pytest.raises(AssayError):
            wrong()


def test_a_racer_that_is_far_behind_drops_out_at_the_first_look_and_a_race_with_one_left_is_over() -> None:
    random = np.random.default_rng(1)
    scores = np.array([[0.5], [0.9]]) + random.normal(size=(2, 8)) / 200
    ended = np.zeros((2, 8), dtype=bool)
    ended[:, :3] = True
    result = run(scores, ended)
    assert (result.racing, result.over, result.best, result.seeds) == ((1,), True, 1, 3)
    assert [look.dropped for look in result.looks] == [(0,)]


def test_what_a_racer_does_after_it_has_dropped_out_does_not_count() -> None:
    random = np.random.default_rng(1)
    scores = np.array([[0.5], [0.9], [0.9]]) + random.normal(size=(3, 8)) / 200
    ended = np.ones((3, 8), dtype=bool)
    ended[0, 3:] = False
    waiting = run(scores, ended)
    scores[0, 3:] = 1.0
    assert run(scores) == waiting
    assert (waiting.racing, waiting.seeds, waiting.over) == ((1, 2), 8, True)


def test_seeds_are_looked_at_only_when_every_remaining_racer_has_ended_on_them() -> None:
    ended = np.ones((2, 4), dtype=bool)
    ended[1, 2] = False
    result = run([[0.9, 0.9, 0.8, 0.9], [0.1, 0.2, 0.3, 0.1]], ended)
    assert (result.seeds, result.looks, result.over, result.best) == (2, (), False, 0)


def test_equal_and_coarse_scores_decide_nothing_with_few_seeds() -> None:
    equal = run([[0.5] * 8, [0.5] * 8])
    assert (equal.racing, equal.over, equal.best) == ((0, 1), True, 0)
    step = run([[0.51] * 3, [0.50] * 3])  # no spread: the p value of three sign flips is 1/4
    assert step.looks[0].comparisons[0].p == 0.25
    assert step.racing == (0, 1)
    coarse = run([[0.52, 0.52, 0.51, 0.52], [0.50, 0.50, 0.50, 0.50]])  # all on one grid of a hundredth
    assert coarse.racing == (0, 1)


def test_a_seed_without_a_result_leaves_with_its_pair() -> None:
    scores = np.array([[0.90, 0.91, 0.92, 0.93, 0.90], [0.80, np.nan, 0.85, 0.80, 0.82]])
    result = run(scores)
    last = result.looks[-1].comparisons[0]
    pairs = [0, 2, 3, 4]
    assert last.seeds == 4
    assert last.p == pytest.approx(float(stats.ttest_rel(scores[0, pairs], scores[1, pairs]).pvalue))
    nothing = run([[0.9] * 4, [math.nan] * 4])
    assert (nothing.racing, nothing.best) == ((0, 1), 0)
    assert math.isnan(nothing.looks[-1].comparisons[0].p)
    assert nothing.looks[-1].comparisons[0].seeds == 0


def test_a_seed_that_is_worse_than_any_counts_as_the_worst_score_and_never_leads() -> None:
    scores = np.array([[-1.0, -1.1, -math.inf, -1.0], [-2.0, -2.1, -2.2, -2.0]])  # seconds, fewer are better
    result = run(scores)
    assert result.best == 1  # the other one missed once
    one = result.looks[-1].comparisons[0]
    assert one.difference == pytest.approx(float(np.mean([-1.0, -1.0, -2.2 + 2.2, -1.0])))
    assert one.p == 1.0
    assert result.racing == (0, 1)


def test_a_missing_seed_is_no_advantage() -> None:
    hard = np.array([0.0, 0.0, -0.5, 0.0])  # the third seed is bad for everyone
    scores = np.stack([0.90 + hard, 0.89 + hard])
    scores[1, 2] = np.nan  # its plain mean would be the higher one
    assert run(scores).best == 0


@pytest.mark.parametrize("noise", ["normal", "accuracies"])
@pytest.mark.parametrize("racers", [2, 5])
def test_equal_racers_drop_out_in_at_most_five_percent_of_races(noise: str, racers: int) -> None:
    random, races, lost = np.random.default_rng(racers), 400, 0
    for _ in range(races):
        shape = (racers, 8)
        scores = random.normal(size=shape) if noise == "normal" else random.binomial(360, 0.95, shape) / 360
        lost += len(run(scores).racing) < racers
    assert lost / races <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / races)


def test_the_estimate_of_fresh_seeds_is_the_t_interval() -> None:
    values = np.array([0.91, 0.93, 0.92, 0.95])
    one = estimate(values)
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert (one.mean, one.low, one.high, one.n) == pytest.approx((values.mean(), low, high, 4))
    assert math.isnan(estimate(values[:1]).low)
    assert estimate(values[:0]).n == 0


def test_what_is_no_race_is_refused() -> None:
    with pytest.raises(AssayError, match="at least 2 racers, not 1"):
        run([[0.5, 0.5]])
    with pytest.raises(AssayError, match="at least 2 seeds, not 1"):
        run([[0.5], [0.4]])
    with pytest.raises(AssayError, match="alpha lies between 0 and 1"):
        race(np.zeros((2, 2)), np.ones((2, 2), dtype=bool), alpha=1.5)
