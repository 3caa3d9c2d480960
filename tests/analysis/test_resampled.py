"""The corrected resampled t test: its closed form by hand, its words, and that nothing else decides."""

import math

import numpy as np
import pytest
from scipy import stats

from assay.analysis.paired import independent_pairs, pairs_needed, t_interval, t_test
from assay.analysis.verdict import Verdict
from assay.analysis.verdicts import compare
from assay.errors import AssayError

D = np.array([0.02, 0.04, 0.0, 0.03, 0.05, 0.01, 0.04, 0.02, 0.03, 0.06])


def test_the_closed_form_of_nadeau_and_bengio() -> None:
    # mean 0.03, sum of squares of deviations 0.003, s^2 = 0.003 / 9; 10 folds: n_test / n_train = 1 / 9
    t = 0.03 / math.sqrt((1 / 10 + 1 / 9) * (0.003 / 9))
    assert t_test(D, overlap=1 / 9) == pytest.approx(2 * stats.t.sf(t, 9), rel=1e-12)
    half = stats.t.ppf(0.975, 9) * math.sqrt((1 / 10 + 1 / 9) * (0.003 / 9))
    assert t_interval(D, overlap=1 / 9) == pytest.approx((0.03 - half, 0.03 + half), rel=1e-12)
    assert t_test(D) == pytest.approx(stats.ttest_1samp(D, 0).pvalue, rel=1e-12)


def test_more_replicates_are_worth_no_more_than_the_examples() -> None:
    assert independent_pairs(np.array([1, 10, 10**9]), 0.25).round(6).tolist() == [0.8, round(10 / 3.5, 6), 4.0]
    assert pairs_needed(1.0, 1.0) == 10
    assert pairs_needed(1.0, 1.0, overlap=0.25) is None  # |t| stays near 2
    needed = pairs_needed(1.0, 0.5, overlap=0.1)
    assert needed is not None
    power = [stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, 2 / math.sqrt(1 / n + 0.1)) for n in (needed - 1, needed)]
    assert power[0] < 0.8 <= power[1]


def test_the_sentence_says_what_the_replicates_are() -> None:
    found = compare(0.9 + D, np.full(10, 0.9), names=("a", "b"), overlap=1 / 9, folds=10)
    assert found.decided
    assert found.sentence().startswith("a beats b by 3.00 points [1.10, 4.90], over 10 folds (1 x 10); corrected")
    assert found.method == "corrected resampled t"
    assert math.isnan(found.p)
    of_plain = Verdict.of_plain(found.plain())
    assert (of_plain.overlap, of_plain.folds, of_plain.sentence()) == (1 / 9, 10, found.sentence())
    splits = compare(0.9 + D, np.full(10, 0.9), names=("a", "b"), overlap=0.25)
    assert ", over 10 re-splits; " in splits.sentence()
    old = {key: value for key, value in found.plain().items() if key not in ("overlap", "folds")}
    assert Verdict.of_plain(old).overlap == 0.0  # as stored by an earlier version


def test_what_is_open_says_whether_more_folds_help() -> None:
    noisy = D - 0.02
    found = compare(0.9 + noisy, np.full(10, 0.9), names=("a", "b"), overlap=0.25, folds=5)
    assert not found.decided
    assert "over 10 folds (2 x 5)" in found.sentence()
    assert "seed" not in found.sentence()
    assert found.more_seeds is None or found.more_seeds % 5 == 0
    assert found.uncorrected == pytest.approx((found.low, found.high))


def test_equal_differences_of_splits_decide_nothing() -> None:
    found = compare(np.full(10, 0.9), np.full(10, 0.8), overlap=0.25)
    assert not found.decided
    assert found.p_t == 1.0
    assert found.more_seeds is None


@pytest.mark.parametrize(("overlap", "folds"), [(-0.1, 0), (math.nan, 0), (math.inf, 0), (0.0, 5), (0.25, -1)])
def test_an_overlap_that_is_none_is_refused(overlap: float, folds: int) -> None:
    with pytest.raises(AssayError, match="expected test examples / training examples"):
        compare(D, D, overlap=overlap, folds=folds)
