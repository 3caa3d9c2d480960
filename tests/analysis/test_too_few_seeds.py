"""What only the number of seeds leaves open is not said to be equal, and its interval is named for what it is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from assay.analysis.families import all_pairs
from assay.analysis.seed_values import SeedValues
from assay.analysis.verdicts import best, compare
from tests.analysis.frames import trials


def many(n: int = 3) -> dict[str, list[float]]:
    """A hundred configurations from 36 to 94 %, whose seeds differ by half a point."""
    rng = np.random.default_rng(3)
    means = np.linspace(0.36, 0.94, 100)
    return {f"c{i}": (mean + rng.normal(0, 0.005, n)).tolist() for i, mean in enumerate(means.tolist())}


def test_94_percent_is_told_from_36_percent_or_the_seeds_are_too_few() -> None:
    accuracies = many()
    seeds = SeedValues.of(trials(accuracies), "accuracy")
    verdict = next(v for v in all_pairs(seeds).verdicts() if v.names == ("c0", "c99"))
    d = np.subtract(accuracies["c0"], accuracies["c99"])
    wanted = stats.ttest_1samp(d, 0).confidence_interval()
    assert not verdict.decided and verdict.too_few
    assert verdict.uncorrected == (pytest.approx(wanted.low), pytest.approx(wanted.high))
    low, high = (f"{100 * end:.2f}" for end in wanted)
    sentence = verdict.sentence()
    start = (
        f"too few seeds for 4,950 comparisons to decide between c0 and c99: {100 * d.mean():.2f} points [{low}, {high}]"
    )
    assert sentence.startswith(start)
    assert "the interval is of this difference alone, uncorrected for the 4,950 comparisons" in sentence
    assert "no significant difference" not in sentence and "simultaneous" not in sentence


def test_the_best_of_many_says_what_is_open_by_the_seeds_alone() -> None:
    found = best(trials(many()))
    assert (
        found.name in ("c98", "c99")
        and not {"c0", "c1"} & set(found.ties)
        and "c0" in (*found.unresolved, *found.beats)
    )
    assert "too few seeds for 4,950 comparisons to decide against" in found.sentence()


def test_equal_differences_have_no_interval_that_looks_exact() -> None:
    few = compare([0.94, 0.95, 0.96], [0.36, 0.37, 0.38])
    assert few.too_few and few.sentence().startswith(
        "too few seeds for a comparison to decide between A and B: 58.00 points on each seed, 3 seeds; about 3 more"
    )
    assert (
        compare([0.9, 0.91], [0.9, 0.91]).sentence().startswith("no significant difference between A and B: they are")
    )


def test_a_difference_within_the_spread_is_still_not_significant() -> None:
    frame = trials({"a": [0.90, 0.92, 0.91], "b": [0.91, 0.90, 0.92], "c": [0.5, 0.51, 0.52]})
    verdict = next(v for v in all_pairs(SeedValues.of(frame, "accuracy")).verdicts() if v.names == ("a", "b"))
    assert not verdict.too_few and verdict.sentence().startswith(
        "no significant difference between a and b: 0.00 points ["
    )


def test_both_names_come_in_the_order_asked() -> None:
    a, b = [0.90, 0.91, 0.90, 0.92], [0.95, 0.97, 0.95, 0.96]
    assert compare(a, b, names=("x", "y")).sentence().startswith("x is worse than y by 5.00 points [")
    assert compare(b, a, names=("y", "x")).sentence().startswith("y beats x by 5.00 points [")


def test_what_is_selected_by_validation_has_its_test_accuracy_next_to_it() -> None:
    frame = trials({"a": [0.90, 0.92], "b": [0.95, 0.93]})
    frame["validation_accuracy"] = [0.97, 0.99, 0.96, 0.94]
    sentence = best(frame).sentence()
    start = "a is best: validation accuracy 98.00 %, test accuracy 91.00 %, 2 seeds (selected on validation)"
    assert sentence.startswith(start)
