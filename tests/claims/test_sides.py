"""What a side selects and reads: columns, places on curves, and trainings that did not get there."""

from __future__ import annotations

import math
from typing import Any

import pytest

from assay.claims.claim import parse_claims
from assay.claims.measured import CannotTellError, Measured
from assay.claims.side import Side
from assay.errors import AssayError, RecipeError
from tests.claims.frames import MadeUp, made_up, verdict_of


def side(**keys: Any) -> Side:
    """A side, as a claim has it."""
    table = {"id": "a", "text": "A", "rule": "threshold", "side": keys, "at_least": 0}
    (claim,) = parse_claims({"claims": [table]}, source="test")
    ((_, read),) = claim.condition.sides()
    return read


def values(study: MadeUp, **keys: Any) -> dict[int, float]:
    """What a side reads, by seed."""
    return dict(Measured({study.name: study}).read(side(**keys)).values)


RISING = made_up({"a": [0.8, 0.9]})  # log points at 0, 10, 50 and 100 iterations, linear up to the value


@pytest.mark.parametrize(
    ("at", "fraction"),
    [
        ("end", 1.0),
        ("best", 1.0),
        (0, 0.0),
        (49, 0.1),
        (50, 0.5),
        ({"iteration": 99}, 0.5),
        ({"examples": 100}, 0.1),
        ({"epoch": 5}, 0.5),
        ({"fraction": 0.5}, 0.5),
        ({"fraction": 1}, 1.0),
    ],
)
def test_a_place_is_the_last_log_point_up_to_it(at: Any, fraction: float) -> None:
    assert values(RISING, configuration="a", at=at) == pytest.approx({1: 0.8 * fraction, 2: 0.9 * fraction})


def test_a_curve_that_does_not_get_there_has_no_value() -> None:
    study = made_up({"a": [0.8, 0.9]})
    with pytest.raises(CannotTellError, match="not measured"):
        values(study, configuration="a", at=101)
    for row in study.rows:
        study.lengths[row["trial"]]["epochs"] = math.nan
    with pytest.raises(CannotTellError, match="not in epochs"):
        values(study, configuration="a", at={"epoch": 1})


def test_what_diverged_before_a_place_counts_as_its_last_value_and_else_as_it_stood_there() -> None:
    study = made_up({"a": [0.8, None]}, outcomes={"a": ["completed", "diverged"]})
    ended = study.rows[1]["trial"]
    study.points += [
        {"trial": ended, "iteration": t, "examples": t, "test_accuracy": v}
        for t, v in ((0, 0.1), (10, 0.3), (20, math.nan))
    ]
    assert values(study, configuration="a", at=10)[2] == 0.3
    assert values(study, configuration="a", at=100)[2] == 0.3
    assert values(study, configuration="a", at="best")[2] == 0.3
    study.points = [point for point in study.points if point["trial"] != ended]
    assert values(study, configuration="a", at=100)[2] == 0.1  # chance of ten classes


def test_the_seconds_of_a_diverged_training_are_no_time() -> None:
    study = made_up({"a": [1.0, 1.0]}, column="seconds", outcomes={"a": ["completed", "diverged"]})
    assert values(study, configuration="a", quantity="seconds")[2] == math.inf
    table = {"rule": "threshold", "side": {"configuration": "a"}, "quantity": "seconds", "at_most": 2}
    assert "1 diverged of 2 seeds of a" in verdict_of(table, study).reason


def test_failed_and_lost_trials_are_no_result() -> None:
    study = made_up({"a": [0.5, 0.6, 0.7]}, outcomes={"a": ["completed", "failed", "lost"]})
    assert values(study, configuration="a") == {1: 0.5}


def test_columns_select_and_numbers_and_lists_match() -> None:
    study = made_up({"a": [0.1], "b": [0.2], "c": [0.3]}, columns={"a": {"rate": 0.1}, "b": {"rate": 0.2}})
    study.axes = ["rate"]
    assert values(study, rate=0.1) == {1: 0.1}
    assert values(study, rate="0.2") == {1: 0.2}
    assert values(study, where={"rate": 0.2}) == {1: 0.2}
    assert values(study, rate=[0.1, 0.2], configuration="b*") == {1: 0.2}
    with pytest.raises(AssayError, match="selects nothing"):
        values(study, rate=0.1, configuration="b")


def test_a_side_that_selects_some_trials_of_a_configuration_is_refused() -> None:
    study = made_up({"a": [0.1, 0.9], "b": [0.2, 0.3]}, columns={"b": {"seed": 7}})
    sentence = "trials of 'a' differ in seed, and a side reads all trials of a configuration; leave seed out"
    with pytest.raises(AssayError, match=sentence):
        values(study, configuration="a", seed=1)
    assert values(study, configuration="b", seed=7) == {7: 0.3}
    study.rows[1]["machine"] = None  # of a trial that was not trained
    assert values(study, configuration="a", machine="m1") == {1: 0.1, 2: 0.9}


def test_imported_logs_are_left_out() -> None:
    study = made_up({"a": [0.5], "log": [0.9]}, columns={"log": {"origin": "imported", "seed": None}})
    assert values(study, configuration="*") == {1: 0.5}
    with pytest.raises(AssayError, match="no configuration 'log'"):
        values(study, configuration="log")


def test_a_side_without_a_study_may_be_in_any_and_the_main_one_is_meant_where_there_is_one() -> None:
    first, second = made_up({"a": [0.5]}, name="first"), made_up({"a": [0.6], "b": [0.7]}, name="second")
    studies = {"first": first, "second": second}
    assert dict(Measured(studies).read(side(configuration="b")).values) == {1: 0.7}
    with pytest.raises(AssayError, match=r"selects 2 configurations: a \(first\), a \(second\)"):
        Measured(studies).read(side(configuration="a"))
    assert dict(Measured(studies, main="first").read(side(configuration="a")).values) == {1: 0.5}
    assert dict(Measured(studies, main="first").read(side(configuration="a", study="second")).values) == {1: 0.6}


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({}, "selects no configuration"),
        ({"configuration": "a", "at": "ende"}, "unknown place 'ende'; did you mean 'end'?"),
        ({"configuration": "a", "at": {"epochs": 1}}, "unknown place 'epochs'; did you mean 'epoch'?"),
        ({"configuration": "a", "at": {"fraction": 2}}, "expected a number between 0 and 1"),
        ({"configuration": "a", "pick": "bst"}, "unknown pick 'bst'; did you mean 'best'?"),
        ({"configuration": "a", "quantity": "effort", "at": 5}, "measured at the end only"),
        ({"configuration": "a", "quantity": "seconds", "at": "best"}, "is neither"),
        ({"experiment": "x", "configuration": "a"}, "has no key 'configuration'"),
        ({"values": []}, "expected a list of numbers"),
        ({"values": [0.5, 97]}, "0.97 is 97 %"),
        ({"configuration": {"a": 1}}, "expected a word or a number"),
        ({"configuration": "x" * 2000}, "more than 1,000 characters"),
    ],
)
def test_a_wrong_side_is_said_in_a_sentence(keys: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError) as error:
        side(**keys)
    assert sentence in str(error.value)


def test_too_many_claims_and_rules_are_refused() -> None:
    rule = {"rule": "threshold", "side": {"configuration": "{i}"}, "at_least": 0}
    many = {"id": "a", "text": "A", "each": {"i": list(range(101)), "j": list(range(100))}, **rule}
    with pytest.raises(RecipeError, match="more than 10,000 rules"):
        parse_claims({"claims": [many]}, source="test")
    with pytest.raises(RecipeError, match="a whole number of about 401 digits; expected at most"):
        side(configuration="a", at={"iteration": 10**400})
    with pytest.raises(RecipeError, match="got 1,001; expected 1,000 claims at most"):
        parse_claims({"claims": [{"id": f"c{i}", "text": "A", **rule} for i in range(1001)]}, source="test")
