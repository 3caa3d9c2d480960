"""The tests that equal and reaches make with `significant = true`, and what plain rules say by chance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from assay.analysis.many_verdicts import decided_signs
from assay.claims.agreement import Run, of_score
from assay.claims.rules.arrival_tests import Arrival, at_least, enough, sooner
from assay.errors import RecipeError
from benchmarks.claims import generator, normal
from benchmarks.more_claims import (
    arrival_answers,
    equal_fails,
    equal_holds,
    more_alarms,
    plain_answers,
    sooner_answers,
)
from tests.claims.frames import MadeUp, made_up, verdict_of

A, B = ({"configuration": name} for name in "ab")
EQUAL = {"rule": "equal", "left": A, "right": B, "tolerance": "0.3 points", "significant": True}


@pytest.mark.parametrize(
    ("shift", "holds"), [(0.0, True), (0.002, True), (0.003, None), (0.0045, False), (-0.002, True), (-0.0045, False)]
)
def test_equal_is_shown_by_two_one_sided_tests(shift: float, holds: bool | None) -> None:
    d = shift + 0.0003 * np.asarray([1, -1, 0.5, -0.5, 1.5, -1.5, 0.2, -0.2])
    answer = verdict_of(EQUAL, made_up({"a": (0.9 + d).tolist(), "b": [0.9] * 8}))
    assert answer.holds is holds
    assert f"{100 * shift:.3g} points" in answer.evidence or abs(shift) < 1e-9
    assert "two one-sided tests" in answer.rule and answer.figures[0]["n"] == 8


def test_equal_holds_as_no_worse_in_both_directions_and_fails_as_beats() -> None:
    d = 0.004 * normal(generator(21, "equal"), (9, 5)) + np.linspace(-0.012, 0.012, 9)[:, None]
    holds, fails = equal_holds(d, 0.003), equal_fails(d, 0.003)
    for row, held, failed in zip(d, holds, fails, strict=True):
        study = made_up({"a": (0.9 + row).tolist(), "b": [0.9] * 5})
        assert verdict_of(EQUAL, study).holds is (True if held else False if failed else None)
        no_worse = {"rule": "no-worse", "margin": "0.3 points"}
        both = [verdict_of(no_worse | {"left": x, "right": y}, study).holds for x, y in ((A, B), (B, A))]
        assert held == (both == [True, True])
    wide = 1000.0
    assert (equal_holds(d + wide, wide) == (decided_signs(d, alpha=0.1) < 0)).all(), "the further end never counts"
    assert (equal_fails(d, 1e-12) == (decided_signs(d) != 0)).all(), "a tolerance of nothing: any difference"


def test_the_same_trainings_are_equal_without_a_spread() -> None:
    study = made_up({"a": [0.9, 0.91], "b": [0.9, 0.91]})
    assert verdict_of(EQUAL, study).holds is None, "equal numbers alone are no proof with two seeds"
    for row in study.rows:
        row["test_loss"] = 0.1 + row["seed"]
    assert "equal in every bit" in verdict_of(EQUAL, study).evidence


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"over": "every"}, "leave out over = 'every'"),
        ({"bits": True, "tolerance": None}, "leave it out with bits"),
        ({"right": 0.9}, "write rule = 'threshold' with both bounds"),
    ],
)
def test_what_a_test_of_equality_cannot_take_is_refused(change: dict[str, Any], sentence: str) -> None:
    table = {key: value for key, value in {**EQUAL, **change}.items() if value is not None}
    with pytest.raises(RecipeError, match=sentence):
        verdict_of(table, made_up({"a": [0.9], "b": [0.9]}))


# --- reaches ----------------------------------------------------------------------------------------------------------


def test_the_binomial_tail_is_exact() -> None:
    assert at_least(3, 4, 0.5) == 5 / 16
    assert at_least(1, 3, 0.2) == pytest.approx(1 - 0.8**3, abs=1e-15)


@pytest.mark.parametrize(
    ("early", "unknown", "n", "fraction", "answer"),
    [
        (5, 0, 5, 0.5, True),
        (4, 0, 4, 0.5, None),
        (0, 0, 5, 0.5, False),
        (0, 1, 5, 0.5, None),
        (7, 0, 8, 0.5, True),
        (6, 0, 8, 0.5, None),
        (8, 0, 8, 0.8, None),
        (14, 0, 14, 0.8, True),
        (3, 0, 8, 0.8, False),
    ],
)
def test_enough_seeds_arrive_by_the_binomial_test(
    early: int, unknown: int, n: int, fraction: float, answer: bool | None
) -> None:
    assert enough(early, unknown, n, fraction=fraction, alpha=0.05) is answer


NEVER = math.inf


def arrivals(*times: float) -> dict[int, Arrival]:
    """Arrivals by seed; a negative time is that of the last look at one that had not arrived."""
    return {seed: Arrival(abs(time), time > 0) for seed, time in enumerate(times)}


@pytest.mark.parametrize(
    ("left", "right", "times", "answer", "counts"),
    [
        ((1, 1, 1, 1, 1), (2, 2, 2, 2, 2), 1.0, True, (5, 0, 0)),
        ((1, 1, 1, 1, 1), (2, 2, 2, 2, 2), 0.5, None, (0, 0, 0)),
        ((1, 1, 1, 1, 1), (2, 2, 2, 2, 2), 0.4, False, (0, 5, 0)),
        ((1, 1, 1, 1, 1), (-2, -2, -2, -2, -NEVER), 1.0, True, (5, 0, 0)),
        ((3, 3, 3, 3, 3), (-2, -2, -2, -2, -2), 1.0, None, (0, 0, 5)),
        ((-2, -2, -2, -2, -2), (1, 1, 1, 1, 1), 1.0, False, (0, 5, 0)),
        ((-2, -2, -2, -2, -2), (-2, -2, -2, -2, -2), 1.0, None, (0, 0, 5)),
        ((1, 1, 1, 1, 3), (2, 2, 2, 2, -2), 1.0, None, (4, 0, 1)),
    ],
)
def test_the_sign_test_counts_who_arrives_first(
    left: tuple[float, ...],
    right: tuple[float, ...],
    times: float,
    answer: bool | None,
    counts: tuple[int, int, int],
) -> None:
    assert sooner(arrivals(*left), arrivals(*right), times=times, alpha=0.05) == (answer, counts)


def rising(speeds: dict[str, list[float]]) -> MadeUp:
    """Trials whose accuracy rises linearly to speed at 100 iterations."""
    return made_up(speeds)


def test_reaches_with_a_test_on_whole_curves() -> None:
    table = {"rule": "reaches", "side": A, "target": 0.45, "within": 50, "significant": True}
    assert verdict_of(table, rising({"a": [0.9] * 5})).holds is True
    assert verdict_of(table, rising({"a": [0.9] * 4})).holds is None
    slow = verdict_of(table | {"within": 49}, rising({"a": [0.9] * 5}))
    assert slow.holds is False and "exact binomial test" in slow.rule
    assert verdict_of(table | {"within": 200, "target": 0.95}, rising({"a": [0.9] * 5})).holds is None, "too short"
    both = rising({"a": [0.9] * 5, "b": [0.6, 0.7, 0.8, 0.6, 0.5]})
    than = {"rule": "reaches", "side": A, "than": B, "target": 0.4, "significant": True}
    answer = verdict_of(than, both)
    assert answer.holds is True and "in time on 5 and later on 0 common seeds" in answer.evidence
    assert verdict_of(than | {"side": B, "than": A}, both).holds is False
    assert verdict_of(than | {"times_at_most": 0.5}, both).holds is False
    assert "sign test" in answer.rule
    diverged = made_up({"a": [0.9] * 5, "b": [0.3] * 5}, outcomes={"b": ["diverged"] * 5})
    assert verdict_of(than, diverged).holds is True, "what diverged never arrives"


def test_many_arrivals_at_once_are_what_the_rules_say_of_each() -> None:
    d = normal(generator(8, "arrivals"), (20, 8)) - 0.5
    above, below = sooner_answers(d)
    for row, soon, late in zip(d, above, below, strict=True):
        left, right = arrivals(*(10 + row).tolist()), arrivals(*([10.0] * 8))
        assert sooner(left, right, times=1.0, alpha=0.05)[0] is (True if soon else False if late else None)
    counts = np.arange(9)
    for fraction in (0.5, 0.8):
        more, less = arrival_answers(counts, np.full(9, 8), fraction)
        made = [enough(int(k), 0, 8, fraction=fraction, alpha=0.05) for k in counts]
        assert made == [True if m else False if f else None for m, f in zip(more, less, strict=True)]


def test_significant_claims_share_the_level_and_need_seeds_of_a_fixed_number() -> None:
    study = made_up({"a": [0.9] * 5, "b": [0.9] * 5})
    leaf = {"rule": "reaches", "side": A, "target": 0.45, "within": 50, "significant": True}
    assert verdict_of(leaf, study).holds is True
    two = verdict_of({"all": [leaf, leaf | {"side": B}]}, study)
    assert two.holds is None, "each of two tests is made at 2.5 %, and five seeds give 3.1 %"
    study.seeds_added = "Seeds were added"
    assert "seeds were added until its pairs were decided" in verdict_of(leaf, study).reason


# --- rules that are no tests, and published figures -------------------------------------------------------------------


def test_a_rule_that_is_a_test_errs_in_5_percent_at_most() -> None:
    """A published figure that is one more run of the same training is refused no more often, either."""
    most = 0.05 + 3.3 * math.sqrt(0.05 * 0.95 / 300)
    published = [row for row in plain_answers(300, 5, (3, 5)) if "published" in row["rule and answer"]]
    rows = [*more_alarms(300, 5, (3, 5)), *published]
    assert len(rows) == 9
    assert max(value for row in rows for key, value in row.items() if key.startswith("n =")) <= most


def test_a_comparison_of_medians_holds_by_chance() -> None:
    rows = plain_answers(300, 5, (5,))
    (less,) = [r for r in rows if r["rule and answer"].startswith("less, order") and r["values"] == "normal"]
    assert 0.4 < less["n = 5"] < 0.6


@pytest.mark.parametrize(
    ("published", "runs", "holds"),
    [
        (0.60, (0.59, 0.59, 0.59), None),
        (0.59, (0.59, 0.59, 0.59), True),
        (0.60, (0.59,) * 7, False),
        (0.61, (0.59, 0.59, 0.60, 0.59), True),
        (0.65, (0.59, 0.59, 0.60, 0.59), False),
    ],
)
def test_equal_runs_show_no_spread(published: float, runs: tuple[float, ...], holds: bool | None) -> None:
    answer = of_score(published, "", [Run(value, settled=False) for value in runs])
    assert answer.holds is holds
    assert ("equal runs show no spread" in answer.why) is (holds is None)
