"""The tests that rules make: many at once as one by one, and a part of the simulations in docs/claims.md."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from assay.analysis.many_verdicts import decided_in_families, decided_signs
from assay.analysis.verdicts import compare, of_values
from benchmarks.claims import SKEWED, SYMMETRIC, TESTS, alarms, generator, normal, order_alarms, rate
from tests.claims.frames import made_up, verdict_of

_COUNT = 400


@pytest.mark.parametrize("n", [2, 3, 5, 6, 8, 20])
@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_many_at_once_are_what_compare_says_of_each(n: int, alpha: float) -> None:
    count = 12 if n < 20 else 2  # above 16 pairs, every comparison flips 100,000 times
    for make in (*SYMMETRIC.values(), *SKEWED.values()):
        d = make(generator(3, "rows", make.__name__, n), (count, n)) + np.linspace(0, 2.5, count)[:, None]
        one_by_one = [compare(row, 0 * row, names=("a", "b"), alpha=alpha) for row in d]
        expected = [0 if not v.decided else 1 if v.difference > 0 else -1 for v in one_by_one]
        assert decided_signs(d, alpha=alpha).tolist() == expected


@pytest.mark.parametrize("n", [3, 5, 7, 8])
def test_many_families_at_once_are_what_the_analysis_says_of_each(n: int) -> None:
    for make in (*SYMMETRIC.values(), *SKEWED.values()):
        sides = make(generator(4, "families", make.__name__, n), (8, 3, n)) + np.linspace(0, 2.5, 8)[:, None, None]
        sides[:, 1:] *= 0.5
        d = sides[:, :-1] - sides[:, 1:]
        for family, signs in zip(sides, decided_in_families(d), strict=True):
            values = {name: dict(enumerate(row.tolist())) for name, row in zip("abc", family, strict=True)}
            made = of_values(values, [("a", "b"), ("b", "c")])
            assert signs.tolist() == [0 if not v.decided else 1 if v.difference > 0 else -1 for v in made]


@pytest.mark.parametrize("shape", SYMMETRIC)
@pytest.mark.parametrize("n", [3, 5, 8])
def test_false_alarms_of_equal_configurations_stay_at_5_percent(shape: str, n: int) -> None:
    most = 0.05 + 3.3 * math.sqrt(0.05 * 0.95 / _COUNT)
    for test in TESTS.values():
        assert rate(test, *alarms(test, SYMMETRIC[shape], n=n, count=_COUNT, seed=5)) <= most
    assert order_alarms(SYMMETRIC[shape], n=n, count=_COUNT, seed=5) <= most


def test_a_rule_answers_as_the_simulated_test() -> None:
    """no-worse and threshold on studies whose differences are simulated ones."""
    for n in (3, 8):
        d = 0.005 * normal(generator(9, "whole rule", n), (10, n)) + np.linspace(-0.01, 0.02, 10)[:, None]
        simulated = decided_signs(d + 0.003, alpha=0.10)
        for row, sign in zip(d, simulated, strict=True):
            study = made_up({"a": (0.9 + row).tolist(), "b": [0.9] * n})
            sides = {"left": {"configuration": "a"}, "right": {"configuration": "b"}}
            holds = verdict_of({"rule": "no-worse", **sides, "margin": "0.3 points"}, study).holds
            assert holds is {1: True, 0: None, -1: False}[int(sign)]
            tested = {"rule": "threshold", "side": {"configuration": "a"}, "significant": True}
            assert verdict_of({**tested, "at_least": 0.897}, study).holds is holds


def test_a_planted_drop_is_found() -> None:
    for sd, n in ((0.2, 3), (0.5, 8), (0.9, 20)):
        noise = math.sqrt(2) * sd * normal(generator(11, "planted", n), (40, n))
        assert (decided_signs(noise - 1.0 + 0.3, alpha=0.10) <= 0).mean() >= 0.9


def test_the_answer_says_what_few_seeds_assume() -> None:
    study = made_up({"a": [0.9, 0.91, 0.92, 0.9], "b": [0.8, 0.81, 0.81, 0.8]})
    sides = {"left": {"configuration": "a"}, "right": {"configuration": "b"}}
    assert (
        "up to 25 % false alarms with 4 seeds"
        in verdict_of({"rule": "no-worse", **sides, "margin": "1 point"}, study).evidence
    )
    assert "up to 18 % false positives" in verdict_of({"rule": "beats", **sides}, study).evidence
    more = made_up({"a": [0.9, 0.91, 0.92] * 3, "b": [0.8, 0.81, 0.81] * 3})
    assert "up to 10 % false alarms with 9 seeds" in verdict_of({"rule": "beats", **sides}, more).evidence


def test_seeds_that_were_added_until_decided_need_the_corrected_verdicts() -> None:
    """A test that looks again and again at the same claim would find a difference sooner or later."""
    a, b = [0.950, 0.952, 0.949, 0.951, 0.953, 0.948], [0.940, 0.941, 0.940, 0.942, 0.941, 0.939]
    study = made_up({"a": a, "b": b})
    sides = {"left": {"configuration": "a"}, "right": {"configuration": "b"}}
    assert verdict_of({"rule": "beats", **sides}, study).holds is True
    study.seeds_added = "Seeds were added"
    for table in (
        {"rule": "beats", **sides},
        {"rule": "beats", **sides, "family": "right"},
        {"rule": "no-worse", **sides, "margin": "1 point"},
        {"rule": "order", "sides": list(sides.values()), "significant": True},
        {"rule": "threshold", "side": sides["left"], "at_least": 0.9, "significant": True},
        {"rule": "beats", **sides, "family": "pairs"},
    ):
        answer = verdict_of(table, study)
        assert answer.holds is None and "seeds were added until its pairs were decided" in answer.reason
    study.looks = [replace(compare(a, b, names=("a", "b")), look=(2, 5))]
    answer = verdict_of({"rule": "beats", **sides, "family": "pairs"}, study)
    assert answer.holds is True and "look 2 of 5" in answer.evidence


def test_a_ratio_is_tested_on_the_logarithms_of_paired_seeds() -> None:
    study = made_up({"a": [1.0, 1.1, 1.2, 1.0, 1.1, 1.3], "b": [1.0, 1.0, 1.1, 1.0, 1.05, 1.2]}, column="seconds")
    logarithms = np.log([1.0, 1.1, 1.2 / 1.1, 1.0, 1.1 / 1.05, 1.3 / 1.2])
    sides = {"left": {"configuration": "a"}, "right": {"configuration": "b"}}
    table = {"rule": "ratio", "quantity": "seconds", **sides, "significant": True}
    for bound in (1.0, 1.05, 1.1, 1.2):
        expected = int(decided_signs((math.log(bound) - logarithms)[None], alpha=0.10)[0])
        answer = verdict_of(table | {"at_most": bound}, study)
        assert answer.holds is {1: True, 0: None, -1: False}[expected]
        assert answer.figures[0]["ratio"] == pytest.approx(math.exp(logarithms.mean()))
    assert verdict_of(table | {"at_most": 1.2}, study).holds is True
    assert verdict_of(table | {"at_most": 0.9}, study).holds is False
    assert "too short to judge" in verdict_of(table | {"at_most": 1.2}, study).evidence


def test_a_tested_ratio_leaves_out_pairs_of_a_busy_machine() -> None:
    study = made_up({"a": [1.0, 1.01, 0.99, 9.0], "b": [1.0, 1.0, 1.0, 1.0]}, column="seconds")
    table = {"rule": "ratio", "quantity": "seconds", "at_most": 1.1, "significant": True}
    table |= {"left": {"configuration": "a"}, "right": {"configuration": "b"}}
    assert verdict_of(table, study).holds is None
    for row in study.rows:
        row["busy"] = row["seconds"] == 9.0
    answer = verdict_of(table, study)
    assert answer.holds is True and "1 pairs with seconds of a busy machine left out" in answer.evidence
