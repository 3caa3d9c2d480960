"""The rules threshold, less, order and ratio on made-up data with known answers."""

from __future__ import annotations

import pytest

from assay.claims.measured import Experiments
from assay.errors import RecipeError
from tests.claims.frames import made_up, verdict_of

A, B = {"configuration": "a"}, {"configuration": "b"}
STUDY = made_up({"a": [0.90, 0.92, 0.94], "b": [0.80, 0.93, 0.85]})
for _row in STUDY.rows:
    _row["recall:1"] = 0.4


@pytest.mark.parametrize(
    ("keys", "answer"),
    [
        ({"at_least": 0.92}, True),
        ({"above": 0.92}, False),
        ({"at_most": "92 %"}, True),
        ({"below": 0.93, "above": 0.91}, True),
        ({"at_least": 0.91, "over": "mean"}, True),
        ({"at_least": 0.93, "over": "max"}, True),
        ({"at_least": 0.91, "over": "min"}, False),
        ({"at_least": 0.90, "over": "every"}, True),
        ({"at_least": 0.91, "over": "every"}, None),
        ({"at_least": 0.95, "over": "every"}, False),
        ({"at_most": 0.041, "over": "range"}, True),
        ({"above": 0.021, "over": "sd"}, False),
        ({"at_least": 0.46, "below": 0.47, "at": {"epoch": 5}}, True),
        ({"at_least": 0.92, "at": "best"}, True),
        ({"at_most": 0.0, "at": {"iteration": 9}}, True),
        ({"at_least": 0.1, "at": {"iteration": 101}}, None),
    ],
)
def test_threshold(keys: dict[str, object], answer: bool | None) -> None:
    at = {"at": keys.pop("at")} if "at" in keys else {}
    assert verdict_of({"rule": "threshold", "side": A | at, **keys}, STUDY).holds is answer


@pytest.mark.parametrize(
    ("left", "right", "keys", "answer"),
    [
        (B, A, {}, True),
        (A, B, {}, False),
        (B, A, {"by": "5 points"}, True),
        (B, A, {"by": "8 points"}, False),
        (B, A, {"over": "every"}, None),
        (B, 0.86, {}, True),
        (0.8, A, {"over": "every"}, True),
        ({"configuration": "a", "quantity": "recall:1"}, 0.5, {}, True),
        ({"values": [0.89, 0.91, 0.93]}, A, {"over": "every"}, True),
    ],
)
def test_less(left: object, right: object, keys: dict[str, object], answer: bool | None) -> None:
    assert verdict_of({"rule": "less", "left": left, "right": right, **keys}, STUDY).holds is answer


def test_order_by_medians_and_by_tests() -> None:
    study = made_up({"a": [0.95, 0.96, 0.97] * 3, "b": [0.90, 0.91, 0.92] * 3, "c": [0.90, 0.92, 0.91] * 3})
    sides = [{"configuration": name} for name in "abc"]
    assert verdict_of({"rule": "order", "sides": sides[:2]}, study).holds is True
    assert verdict_of({"rule": "order", "sides": sides[1::-1]}, study).holds is False
    assert verdict_of({"rule": "order", "sides": sides[:2], "significant": True}, study).holds is True
    assert verdict_of({"rule": "order", "sides": sides, "significant": True}, study).holds is None
    assert verdict_of({"rule": "order", "sides": sides[1::-1], "significant": True}, study).holds is False


def test_ratio_of_experiments_and_trials() -> None:
    given = Experiments({"new": 1000.0, "in place": 2.0})
    table = {"rule": "ratio", "left": {"experiment": "new"}, "right": {"experiment": "in place"}, "at_least": 400}
    table["quantity"] = "peak_memory_bytes"
    assert verdict_of(table, experiments=given).holds is True
    assert verdict_of(table | {"at_least": 501}, experiments=given).holds is False
    assert verdict_of(table).verdict == "not run"
    assert verdict_of({"rule": "ratio", "left": A, "right": B, "at_most": 1.1}, STUDY).holds is True


def test_all_any_each_and_except_combine() -> None:
    each = {"rule": "threshold", "each": {"name": ["a", "b"]}, "side": {"configuration": "{name}"}, "at_least": 0.9}
    assert verdict_of(each, STUDY).holds is False
    assert verdict_of(each | {"except": [{"name": "b"}]}, STUDY).holds is True
    assert verdict_of({"any": [each]}, STUDY).holds is True
    assert verdict_of({"all": [each]}, STUDY).holds is False
    unknown = {"rule": "threshold", "side": {**A, "at": 101}, "at_least": 0.5}
    assert verdict_of({"all": [unknown, each]}, STUDY).holds is False
    assert verdict_of({"any": [unknown, each]}, STUDY).holds is True
    assert verdict_of({"all": [unknown, each | {"except": [{"name": "b"}]}]}, STUDY).holds is None


def test_what_is_not_trained_cannot_be_told() -> None:
    planned = made_up({"a": [None, None]})
    answer = verdict_of({"rule": "threshold", "side": A, "at_least": 0.9}, planned)
    assert answer.verdict == "cannot tell"
    assert "2 not trained of 2 seeds" in answer.reason


def test_a_training_that_diverged_counts_as_chance() -> None:
    study = made_up({"a": [0.9, None, None]}, outcomes={"a": ["completed", "diverged", "diverged"]})
    answer = verdict_of({"rule": "threshold", "side": A, "at_least": 0.5}, study)
    assert answer.holds is False
    assert "a: 10.00 %" in answer.evidence


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(RecipeError) as error:
        verdict_of(
            {
                "all": [
                    {"rule": "treshold", "side": A, "at_least": 1},
                    {"rule": "threshold", "side": {"configuration": "a", "quantity": "acuracy"}, "at_least": 0.9},
                    {"rule": "less", "left": A, "right": B, "by": -1},
                    {"rule": "threshold", "side": A, "at_least": 97.5},
                ]
            },
            STUDY,
        )
    text = str(error.value)
    assert "unknown rule 'treshold'; did you mean 'threshold'?" in text
    assert "unknown quantity 'acuracy'; did you mean 'accuracy'?" in text
    assert "wrong sign" in text
    assert "0.975 is 97.5 %" in text


def test_a_side_that_selects_nothing_or_two_things_is_refused() -> None:
    with pytest.raises(RecipeError) as error:
        verdict_of(
            {"rule": "less", "left": {"configuration": "aa"}, "right": {"configuration": "*"}},
            STUDY,
        )
    text = str(error.value)
    assert "selects nothing: study made-up has no configuration 'aa'; did you mean 'a'? It has: a, b" in text
    assert "selects 2 configurations: a, b" in text


def test_times_of_two_machines_do_not_compare() -> None:
    place = {"a": {"machine": "m2"}}
    study = made_up({"a": [1.0, 1.1], "b": [2.0, 2.1]}, column="seconds", columns=place)
    table = {"rule": "less", "quantity": "seconds", "left": A, "right": B}
    answer = verdict_of(table, study)
    assert answer.holds is None
    assert "these seconds do not compare" in answer.reason
    assert verdict_of(table, made_up({"a": [1.0, 1.1], "b": [2.0, 2.1]}, column="seconds")).holds is True


def test_a_number_has_the_quantity_of_the_other_side() -> None:
    study = made_up({"a": [2.5, 2.6]}, column="test_loss")
    left = {"configuration": "a", "quantity": "test_loss"}
    assert verdict_of({"rule": "less", "left": left, "right": 3}, study).holds is True
    with pytest.raises(RecipeError, match="the sides have different units"):
        verdict_of({"rule": "less", "left": left, "right": A}, study)
