"""Claims on studies whose repeats are folds: corrected comparisons, and the rules that are refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.claims.frames import MadeUp, made_up, verdict_of

D = np.array([0.02, 0.04, 0.0, 0.03, 0.05, 0.01, 0.04, 0.02, 0.03, 0.06])
A, B = ({"configuration": name} for name in "ab")


def folds(d: np.ndarray = D, *, only: Sequence[str] = ("a", "b"), name: str = "made-up", shift: int = 0) -> MadeUp:
    study = made_up({"a": (0.9 + d).tolist(), "b": [0.9] * len(d)}, name=name)
    for row in study.rows:
        r = row["repeat"] + shift
        draw = (r // 5, 5.0, r % 5 + 1, 0.25) if row["configuration"] in only else (math.nan,) * 4
        row |= dict(zip(("draw_split", "draw_folds", "draw_fold", "draw_overlap"), draw, strict=True))
    return study


@pytest.mark.parametrize("family", ["claim", "pairs", "left"])
def test_beats_is_judged_by_the_corrected_test(family: str) -> None:
    answer = verdict_of({"rule": "beats", "left": A, "right": B, "family": family}, folds())
    assert answer.holds is True
    assert "over 10 folds (2 x 5)" in answer.evidence and "corrected resampled t test" in answer.evidence
    assert "seed" not in answer.evidence
    close = D - 0.015
    plain = made_up({"a": (0.9 + close).tolist(), "b": [0.9] * 10})
    assert verdict_of({"rule": "beats", "left": A, "right": B, "family": family}, plain).holds is True
    assert verdict_of({"rule": "beats", "left": A, "right": B, "family": family}, folds(close)).holds is None


@pytest.mark.parametrize(
    "rule",
    [
        {"rule": "no-worse", "left": A, "right": B, "margin": "1 point"},
        {"rule": "equal", "left": A, "right": B, "tolerance": "10 points", "significant": True},
    ],
)
def test_margins_are_tested_over_folds(rule: dict[str, Any]) -> None:
    answer = verdict_of(rule, folds())
    assert answer.holds is True
    assert "10 folds; corrected resampled t test" in answer.evidence


@pytest.mark.parametrize(
    "rule",
    [
        {"rule": "beats", "left": A, "right": B},
        {"rule": "less", "left": B, "right": A, "over": "every"},
    ],
)
def test_test_sets_that_differ_cannot_tell(rule: dict[str, Any]) -> None:
    answer = verdict_of(rule, folds(only=["a"]))
    assert answer.holds is None
    assert "their test sets differ (" in answer.reason
    assert "fold 1 of 5, split 0" in answer.reason and "the data's own" in answer.reason


@pytest.mark.parametrize(
    "rule",
    [
        {"rule": "threshold", "side": A, "at_least": "80 %", "significant": True},
        {"rule": "ratio", "left": A, "right": B, "at_least": 0.9, "significant": True},
        {"rule": "reaches", "side": A, "target": "80 %", "within": 10, "significant": True},
        {"rule": "published-point", "side": A, "published": "93 %"},
    ],
)
def test_tests_of_independent_seeds_are_refused(rule: dict[str, Any]) -> None:
    answer = verdict_of(rule, folds())
    assert answer.holds is None
    assert "folds or re-splits of the same examples" in answer.reason


@pytest.mark.parametrize(
    ("rule", "evidence"),
    [
        ({"rule": "threshold", "side": A, "at_least": "80 %"}, "93.00 %, 10 folds"),
        ({"rule": "threshold", "side": A, "at_least": "80 %", "over": "every"}, "a: on 10 of 10 folds"),
        ({"rule": "less", "left": B, "right": A, "over": "every"}, "b less than a on 9 of 10 common folds"),
        ({"rule": "equal", "left": A, "right": B, "tolerance": "10 points", "over": "every"}, "10 of 10 common folds"),
        ({"rule": "less", "left": B, "right": A}, "b: 90.00 %, 10 folds"),
        ({"rule": "spread", "side": A, "at_most": "7 points"}, "range 6.00 points, 10 folds"),
        ({"rule": "ratio", "left": A, "right": B, "at_least": 1.0}, "b: 90.00 %, 10 folds"),
    ],
)
def test_the_evidence_says_folds(rule: dict[str, Any], evidence: str) -> None:
    answer = verdict_of(rule, folds())
    assert evidence in answer.evidence
    assert "seed" not in f"{answer.evidence} {answer.reason}"
    plain = verdict_of(rule, made_up({"a": (0.9 + D).tolist(), "b": [0.9] * 10}))
    assert evidence.replace("fold", "seed") in plain.evidence


def test_re_splits_and_trials_that_did_not_finish_are_named_as_what_they_are() -> None:
    study = folds()
    for row in study.rows:
        row |= {"draw_folds": math.nan, "draw_fold": math.nan, "draw_split": float(row["repeat"])}
    study.rows[3] |= {"outcome": "diverged", "accuracy": None}
    answer = verdict_of({"rule": "threshold", "side": A, "at_least": "80 %"}, study)
    assert "10 re-splits (1 diverged of 10 re-splits)" in answer.evidence
    study.rows[3]["outcome"] = "failed"
    answer = verdict_of({"rule": "threshold", "side": A, "at_least": "80 %", "over": "every"}, study)
    assert "no result: 1 failed of 10 re-splits of a" in f"{answer.evidence} {answer.reason}"


def test_studies_are_paired_by_seed_where_their_folds_are_equal() -> None:
    sides = [A | {"study": "one"}, B | {"study": "two"}]
    rule = {"rule": "beats", "left": sides[0], "right": sides[1]}
    assert verdict_of(rule, folds(name="one"), folds(name="two")).holds is True
    shifted = verdict_of(rule, folds(name="one"), folds(name="two", shift=1))
    assert shifted.holds is None
    assert "their test sets differ" in shifted.reason
