"""Verdicts: their sentences, when they are significant, and how often they are wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from assay.analysis.alpha_spending import alpha_at
from assay.analysis.paired import holm, pairs_needed
from assay.analysis.verdicts import best, compare, pairwise
from assay.errors import AssayError
from tests.analysis.frames import trials

fractions = st.integers(0, 1000).map(lambda x: x / 1000)
FEW = "; fewer than 6 seeds: assumes nearly normal differences, up to 18 % false positives if they are skewed"
ADDED = "; add them with --until-decided (in Python, until_decided=True), which corrects for looking again"
STANDARD_ERRORS = 3.3  # what a simulation may be off by: 1 chance in 1,000


def test_a_clear_difference_is_given_in_points() -> None:
    verdict = compare([0.975, 0.978, 0.977, 0.976], [0.970, 0.971, 0.972, 0.971], names=("adam", "descent"))
    wanted = stats.ttest_rel([0.975, 0.978, 0.977, 0.976], [0.970, 0.971, 0.972, 0.971]).confidence_interval()
    assert (verdict.low, verdict.high) == (pytest.approx(wanted.low), pytest.approx(wanted.high))
    assert verdict.decided and verdict.winner == "adam" and verdict.more_seeds == 0
    assert verdict.sentence() == "adam beats descent by 0.55 points [0.39, 0.71], 4 seeds" + FEW
    assert (verdict.p, verdict.smallest_p, verdict.method) == (0.125, 0.125, "paired t")


def test_the_loser_may_come_first() -> None:
    a, b = [0.90, 0.91, 0.90, 0.92], [0.95, 0.97, 0.95, 0.96]
    assert compare(a, b).winner == "B"
    assert compare(a, b).sentence().startswith("A is worse than B by 5.00 points [")
    assert compare(a, b, unit="seconds", higher_is_better=False).winner == "A"
    assert compare(a, b, unit="seconds", higher_is_better=False).sentence().startswith("A beats B by 0.05 seconds [0.0")


def test_an_undecided_verdict_says_how_many_more_seeds_are_needed() -> None:
    a, b = [0.90, 0.92, 0.91, 0.93], [0.91, 0.90, 0.90, 0.915]
    verdict = compare(a, b)
    d = np.subtract(a, b)
    assert verdict.winner is None
    assert verdict.more_seeds == pairs_needed(d.mean(), d.std(ddof=1)) - 4
    assert verdict.sentence().startswith("no significant difference between A and B: 0.88 points [-")
    assert verdict.sentence().endswith(f"4 seeds; about {verdict.more_seeds} more seeds needed{ADDED}{FEW}")


def test_differences_without_spread() -> None:
    equal = compare([0.5, 0.6], [0.5, 0.6])
    assert equal.sentence() == "no significant difference between A and B: they are equal on all 2 seeds"
    assert equal.more_seeds is None
    few = compare([0.51, 0.61], [0.50, 0.60])
    assert not few.decided and few.more_seeds == 4  # six of six are the fewest that are significant at 0.05
    six = np.linspace(0.5, 0.6, 6)
    assert compare(six + 0.01, six).decided and compare(six + 0.01, six).p == 2 / 64


def test_one_seed_and_none() -> None:
    one = compare([0.9], [0.8])
    sentence = "too few seeds to compare A and B: 10.00 points, 1 seed; one seed does not show the spread"
    assert one.sentence() == f"{sentence} over seeds"
    assert one.more_seeds is None and one.p == 1.0
    with pytest.raises(AssayError, match="no pairs of A and B"):
        compare([], [])


def test_hopeless() -> None:
    rng = np.random.default_rng(1)
    d = rng.normal(0, 1, 5)
    verdict = compare(d - d.mean() + 1e-4, np.zeros(5))
    assert verdict.more_seeds is None
    assert verdict.sentence().endswith("; no attainable number of seeds is enough" + FEW)


def test_from_eight_pairs_the_interval_is_resampled() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(0.01, 0.004, 8), np.zeros(8)
    assert compare(a, b).method == "studentised bootstrap"
    assert compare(a[:7], b[:7]).method == "paired t"
    assert compare(a, b, alpha=0.0001).method == "paired t"  # finer than 8 pairs can resolve
    assert compare([0.0] * 7 + [0.01], b).method == "paired t"
    assert compare(a, b) == compare(a, b)


@given(st.lists(st.tuples(fractions, fractions), min_size=1, max_size=12))
def test_a_verdict_is_the_same_from_both_sides(pairs: list[tuple[float, float]]) -> None:
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    one, other = compare(a, b, names=("a", "b")), compare(b, a, names=("b", "a"))
    assert one.difference == pytest.approx(-other.difference)
    assert (one.p, one.n) == (pytest.approx(other.p), other.n)
    assert one.p >= one.smallest_p - 1e-12
    if one.method == "paired t":
        assert one.decided == other.decided and one.winner == other.winner
    if one.decided:
        assert (one.low > 0) == (one.winner == "a")
    assert one.sentence()


@pytest.mark.parametrize("n", [3, 7, 8, 12])
def test_equal_configurations_differ_significantly_in_at_most_5_of_100(n: int) -> None:
    rng, runs = np.random.default_rng(n), 400
    verdicts = [compare(rng.normal(size=n), rng.normal(size=n)) for _ in range(runs)]
    error = math.sqrt(0.05 * 0.95 / runs)
    assert sum(v.decided for v in verdicts) / runs <= 0.05 + STANDARD_ERRORS * error
    assert abs(sum(v.low <= 0 <= v.high for v in verdicts) / runs - 0.95) < STANDARD_ERRORS * error


def test_a_family_of_equals_differs_significantly_in_at_most_5_of_100() -> None:
    rng, runs = np.random.default_rng(9), 80
    frames = [trials({name: rng.normal(0.9, 0.01, 5) for name in "abcd"}) for _ in range(runs)]
    wrong = sum(bool(pairwise(frame)["decided"].any()) for frame in frames)
    assert wrong / runs <= 0.05 + STANDARD_ERRORS * math.sqrt(0.05 * 0.95 / runs)


def test_adding_seeds_until_decided_keeps_alpha() -> None:
    rng, runs, looks = np.random.default_rng(7), 300, (4, 8, 12)

    def ever_decided(d: np.ndarray) -> bool:
        levels = [alpha_at(i, len(looks)) for i in range(1, len(looks) + 1)]
        return any(compare(d[:n], np.zeros(n), alpha=alpha).decided for n, alpha in zip(looks, levels, strict=True))

    wrong = sum(ever_decided(rng.normal(size=12)) for _ in range(runs))
    assert wrong / runs <= 0.05 + STANDARD_ERRORS * math.sqrt(0.05 * 0.95 / runs)
    found = sum(ever_decided(rng.normal(2.0, size=12)) for _ in range(50))
    assert found == 50


def test_pairs_are_matched_by_repeat_and_the_others_counted() -> None:
    frame = trials({"a": [0.90, 0.91, 0.92, 0.93], "b": [0.80, 0.81, np.nan, 0.83, 0.84], "c": [np.nan]})
    frame.loc[0, "outcome"] = "failed"
    table = pairwise(frame)
    assert table[["a", "b"]].to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    first = table.iloc[0]
    assert (first["n"], first["missing_a"], first["missing_b"]) == (2, 2, 3)  # repeats 1 and 3
    assert first["difference"] == pytest.approx(0.10)
    assert table["n"].tolist() == [2, 0, 0]
    assert table["sentence"][1] == (
        "cannot compare a and c: they have no seed in common; no result: 1 failed of 4 seeds of a; "
        "no result: 1 without a number of 1 seed of c"
    )
    assert math.isnan(table["p_holm"][1])


def test_holm_runs_over_all_pairs() -> None:
    rng = np.random.default_rng(1)
    frame = trials({"a": rng.normal(0.90, 0.01, 6), "b": rng.normal(0.91, 0.01, 6), "c": rng.normal(0.99, 0.01, 6)})
    table = pairwise(frame)
    values = {name: frame["accuracy"][frame["configuration"] == name].to_numpy() for name in "abc"}
    p = [stats.ttest_rel(values[a], values[b]).pvalue for a, b in ("ab", "ac", "bc")]
    assert table["p_t"].tolist() == pytest.approx(p)
    assert table["p_holm"].tolist() == pytest.approx(holm(p))
    assert table["decided"].tolist() == [False, True, True]


def test_a_pair_that_only_the_correction_leaves_open_needs_more_seeds() -> None:
    d = np.array([0.010, 0.030, 0.020, 0.005])
    base = np.full(4, 0.9)
    frame = trials({"a": base + d, "b": base, "c": base - 0.3 * d, "d": base + 0.4 * d})
    assert compare(base + d, base).p_t < 0.1
    table = pairwise(frame, alpha=0.1)
    first = table.iloc[0]
    assert first["p_t"] < 0.1 < first["p_holm"] and not first["decided"] and first["more_seeds"] >= 1
    assert first["sentence"].startswith("too few seeds for 6 comparisons to decide between a and b: 1.63 points [")


def test_the_best_and_what_does_not_differ_significantly_from_it() -> None:
    noise = np.array([0.001, -0.001, 0.0, 0.002, -0.002, 0.0005])
    frame = trials({"low": 0.5 + noise, "top": 0.9 + noise[::-1], "near": 0.8995 - noise, "gone": [np.nan, np.nan]})
    found = best(frame)
    assert (found.name, found.beats, found.ties, found.unmeasured) == ("top", ("low",), ("near",), ("gone",))
    assert found.sentence() == (
        "top is best: accuracy 90.01 %, 6 seeds (selected on test); it beats low (Holm's correction for 3 pairs); "
        "no significant difference from near; no result for gone"
    )
    validated = frame.assign(validation_accuracy=1 - frame["accuracy"])
    assert (best(validated).name, best(validated).measure) == ("low", "validation_accuracy")
    assert "selected on test" not in best(validated).sentence()
    assert best(frame.assign(test_loss=frame["accuracy"]), measure="test_loss").name == "low"
    alone = best(trials({"a": [0.9, np.nan]}))
    assert alone.sentence() == (
        "a is best: accuracy 90.00 %, 1 seed of 2, no result: 1 without a number of 2 seeds (selected on test)"
    )


def test_errors_are_explained_in_a_sentence() -> None:
    frame = trials({"a": [0.9, 0.8], "b": [0.7, 0.6]})
    with pytest.raises(AssayError, match="unknown measure 'acuracy'; did you mean 'accuracy'"):
        pairwise(frame, measure="acuracy")
    with pytest.raises(AssayError, match="unknown column 'effort'"):
        pairwise(frame, measure="effort")
    with pytest.raises(AssayError, match="unknown column 'optimiser'; did you mean 'optimizer'"):
        pairwise(frame, by="optimiser")
    with pytest.raises(AssayError, match="only one optimizer, 'adam'"):
        pairwise(frame.iloc[:2], by="optimizer")
    with pytest.raises(AssayError, match="optimizer 'adam' has 2 trials of repeat 0"):
        pairwise(frame, by="optimizer")
    with pytest.raises(AssayError, match="are not comparable"):
        pairwise(frame.assign(threads=[1, 1, 2, 2]), measure="seconds")
    with pytest.raises(AssayError, match="no finished trial has a number"):
        best(frame.assign(outcome="failed"))
    with pytest.raises(AssayError, match="no trials"):
        best(frame.iloc[:0])
    with pytest.raises(AssayError, match="2 values of A do not pair with 1 of B"):
        compare([1, 2], [1])
    with pytest.raises(AssayError, match="missing or infinite"):
        compare([1, math.nan], [1, 2])
    with pytest.raises(AssayError, match="alpha lies between"):
        compare([1, 2], [1, 2], alpha=5)
    assert len(pairwise(frame.assign(outcome="diverged"))) == 1


def test_a_difference_that_is_not_confirmed_names_the_test_that_contradicts() -> None:
    steady = [0.81, 0.82, 0.81, 0.82, 0.83, 0.81, 0.80, 0.82]
    unstable = [0.10, 0.05, 0.16, 0.01, 0.09, 0.08, 0.78, 0.79]
    middle = [0.40, 0.41, 0.39, 0.40, 0.42, 0.40, 0.40, 0.41]
    family = pairwise(trials({"steady": steady, "unstable": unstable, "middle": middle})).iloc[0]
    assert family["p"] == 2 / 2**8 and family["p_holm"] <= 0.05 and family["low"] > 0 and not family["decided"]
    assert "not confirmed (the studentised bootstrap interval contains 0)" in family["sentence"]
