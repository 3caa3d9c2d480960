"""The rules equal, spread, beats, differs, no-worse, reaches, flat-then-falls and published-point on made-up data."""

from __future__ import annotations

import re
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from assay.analysis.verdicts import compare
from assay.claims.claim import parse_claims
from assay.claims.judge import judge
from assay.claims.junit import junit
from assay.claims.measured import Experiments
from assay.claims.rules import RULES
from assay.errors import RecipeError
from tests.claims.frames import MadeUp, made_up, verdict_of

DOCS = (Path(__file__).parents[2] / "docs" / "claims.md").read_text()
A, B, C = ({"configuration": name} for name in "abc")
GOOD = [0.950, 0.952, 0.949, 0.951, 0.953, 0.948]
LESS_GOOD = [0.940, 0.941, 0.940, 0.942, 0.941, 0.939]
NOISY = [0.950, 0.930, 0.960, 0.951, 0.941, 0.949]
STUDY = made_up({"a": GOOD, "b": LESS_GOOD, "c": NOISY})


@pytest.mark.parametrize(
    ("left", "right", "holds"), [(A, B, True), (B, A, False), (A, C, None), (A, [B, C], None), ([A, C], B, None)]
)
def test_beats(left: object, right: object, holds: bool | None) -> None:
    assert verdict_of({"rule": "beats", "left": left, "right": right}, STUDY).holds is holds


def test_beats_has_the_interval_of_the_analysis() -> None:
    answer = verdict_of({"rule": "beats", "left": A, "right": B}, STUDY)
    expected = compare(GOOD, LESS_GOOD, names=("a", "b"))
    assert answer.figures[0]["verdicts"][0]["low"] == pytest.approx(expected.low, abs=1e-15)
    assert answer.evidence.startswith(expected.sentence() + "; ")


def test_families_of_a_study_correct_for_all_its_comparisons() -> None:
    for family, comparisons in (("claim", 1), ("left", 2), ("right", 2), ("pairs", 3)):
        table = {"rule": "beats", "left": A, "right": B, "family": family}
        assert verdict_of(table, STUDY).figures[0]["verdicts"][0]["comparisons"] == comparisons
    study = made_up({"baseline": GOOD, "b": LESS_GOOD, "c": NOISY})
    table = {"rule": "beats", "left": {"configuration": "baseline"}, "right": B, "family": "baseline"}
    verdict = verdict_of(table, study).figures[0]["verdicts"][0]
    assert (verdict["comparisons"], verdict["family"]) == (2, "baseline")
    assert "neither side is" in verdict_of(table | {"left": C}, study).reason


def test_several_tests_of_a_claim_share_its_level() -> None:
    leaf = {"rule": "beats", "left": A, "right": B}
    answer = verdict_of({"all": [leaf, {"rule": "differs", "left": A, "right": C}]}, STUDY)
    assert [figures["verdicts"][0]["alpha"] for figures in answer.figures] == [0.025, 0.025]
    assert answer.holds is None
    assert "2 tests, each at 0.025" in answer.rule


@pytest.mark.parametrize(("left", "right", "holds"), [(A, B, True), (B, A, True), (A, C, None)])
def test_differs(left: object, right: object, holds: bool | None) -> None:
    assert verdict_of({"rule": "differs", "left": left, "right": right}, STUDY).holds is holds


@pytest.mark.parametrize(
    ("left", "right", "margin", "holds"),
    [
        (A, B, "0.3 points", True),
        (B, A, "0.3 points", False),
        (B, A, "1.5 points", True),
        (B, A, "1 point", None),
        (C, A, "0.3 points", None),
        (C, A, "5 points", True),
    ],
)
def test_no_worse(left: object, right: object, margin: str, holds: bool | None) -> None:
    assert verdict_of({"rule": "no-worse", "left": left, "right": right, "margin": margin}, STUDY).holds is holds


def test_no_worse_of_a_loss_means_not_higher() -> None:
    study = made_up({"a": [0.10, 0.11, 0.12, 0.11], "b": [0.30, 0.31, 0.32, 0.32]}, column="test_loss")
    table = {"rule": "no-worse", "quantity": "test_loss", "margin": 0.05}
    assert verdict_of(table | {"left": A, "right": B}, study).holds is True
    assert verdict_of(table | {"left": B, "right": A}, study).holds is False


def test_the_same_trainings_are_no_worse_and_equal_numbers_alone_are_not() -> None:
    table = {"rule": "no-worse", "margin": "0.3 points"}
    table |= {"left": {**A, "study": "new"}, "right": {**A, "study": "old"}}
    new, old = (made_up({"a": [0.95, 0.95]}, name=name) for name in ("new", "old"))
    assert verdict_of(table, new, old).holds is None
    for study in (new, old):
        for row in study.rows:
            row["test_loss"] = 0.1 + row["seed"]
    assert "equal in every bit" in verdict_of(table, new, old).evidence


def test_studies_are_paired_by_seed_and_stated_values_by_repeat() -> None:
    new, old = made_up({"a": GOOD}, name="new"), made_up({"a": LESS_GOOD}, name="old", first_seed=3)
    table: dict[str, Any] = {"rule": "beats", "left": {**A, "study": "new"}, "right": {**A, "study": "old"}}
    assert verdict_of(table, new, old).figures[0]["verdicts"][0]["n"] == 4
    assert verdict_of(table | {"right": {"values": LESS_GOOD}}, new).figures[0]["verdicts"][0]["n"] == 6
    none = made_up({"a": LESS_GOOD}, name="old", first_seed=100)
    assert "no seed in common" in verdict_of(table, new, none).reason


def test_equal_in_bits_and_within_a_tolerance() -> None:
    study = made_up({"a": [0.1, 0.2], "b": [0.1, 0.2], "c": [0.1 + 1e-16, 0.2 + 1e-9]})
    assert verdict_of({"rule": "equal", "left": A, "right": B, "bits": True}, study).holds is True
    assert verdict_of({"rule": "equal", "left": A, "right": C, "bits": True}, study).holds is False
    near = {"rule": "equal", "left": A, "right": C, "tolerance": 1e-6}
    assert verdict_of(near, study).holds is True
    assert verdict_of(near | {"over": "every"}, study).holds is True
    assert verdict_of({"rule": "equal", "left": A, "right": 0.16, "tolerance": "1 point"}, study).holds is True
    given = Experiments({"one": 0.25, "other": 0.25})
    table = {"rule": "equal", "quantity": "train_loss", "bits": True}
    table |= {"left": {"experiment": "one"}, "right": {"experiment": "other"}}
    assert verdict_of(table, experiments=given).holds is True


def test_spread() -> None:
    study = made_up({"a": [0.90, 0.91], "b": [0.70, 0.80]})
    assert verdict_of({"rule": "spread", "side": A, "at_most": "1 point"}, study).holds is True
    assert verdict_of({"rule": "spread", "side": A, "below": "0.9 points"}, study).holds is False
    assert verdict_of({"rule": "spread", "side": B, "than": A, "times_at_least": 5}, study).holds is True
    assert verdict_of({"rule": "spread", "side": B, "than": A, "times_at_least": 11}, study).holds is False
    one = made_up({"a": [0.9]})
    assert "needs two of them" in verdict_of({"rule": "spread", "side": A, "at_most": "1 point"}, one).reason


def curve(study: MadeUp, label: str, column: str, values: dict[int, float]) -> None:
    """Gives every trial of a configuration this curve."""
    keys = [row["trial"] for row in study.rows if row["configuration"] == label]
    study.points = [point for point in study.points if point["trial"] not in keys]
    for key in keys:
        study.points += [{"trial": key, "iteration": t, "examples": t, column: v} for t, v in values.items()]


def test_reaches_by_hand() -> None:
    study = made_up({"a": [0.9, 0.9, 0.9, 0.9], "b": [0.9]})
    table = {"rule": "reaches", "side": A, "target": 0.45}
    assert verdict_of(table | {"within": 50}, study).holds is True  # all curves rise linearly to 0.9 at 100
    assert verdict_of(table | {"within": 49}, study).holds is False
    assert verdict_of(table | {"target": 0.95, "within": 100}, study).holds is False
    assert verdict_of(table | {"target": 0.95, "within": 200}, study).holds is None
    slow = made_up({"a": [0.9, 0.9], "b": [0.45, 0.45]})
    faster = {"rule": "reaches", "target": 0.4, "side": A, "than": B}
    assert verdict_of(faster, slow).holds is True
    assert verdict_of(faster | {"times_at_most": 0.4}, slow).holds is False
    assert verdict_of({"rule": "reaches", "target": 0.4, "side": B, "than": A}, slow).holds is False


def test_a_target_that_is_reached_at_once_on_both_sides_has_no_ratio() -> None:
    answer = verdict_of({"rule": "reaches", "target": 0.0, "side": A, "than": B}, STUDY)
    assert answer.holds is True
    assert answer.evidence.endswith("b: 6 of 6, median 0")


def test_intervals_have_the_level_of_their_tests() -> None:
    """Of one test at 5 % one-sided the interval has 90 %, of two at 2.5 % it has 95 %, and one seed has none."""
    for rule in ({"rule": "no-worse", "margin": "0.3 points"}, {"rule": "ratio", "at_least": 1, "significant": True}):
        leaf = rule | {"left": A, "right": B}
        one, two = verdict_of(leaf, STUDY), verdict_of({"all": [leaf, leaf | {"right": C}]}, STUDY)
        assert [text.count("(90 % interval)") for text in (one.evidence, two.evidence)] == [1, 0]
        assert two.evidence.count("(95 % interval)") == 2
        assert "interval" not in verdict_of(leaf, made_up({"a": [0.95], "b": [0.94]})).evidence


def test_flat_then_falls() -> None:
    study = made_up({"a": [0.5, 0.5]}, column="train_loss")
    table = {"rule": "flat-then-falls", "quantity": "train_loss", "side": A, "start": 10, "flat_until": 50}
    table |= {"fallen_by": 100}
    curve(study, "a", "train_loss", {0: 1.2, 10: 1.0, 50: 0.9, 100: 0.5})
    assert verdict_of(table, study).holds is True
    assert verdict_of(table | {"rises": True}, study).holds is False
    assert verdict_of(table | {"flat_above": 0.95}, study).holds is False
    curve(study, "a", "train_loss", {0: 1.2, 10: 1.0, 30: 1.1, 50: 0.9, 100: 0.5})
    assert verdict_of(table | {"rises": True}, study).holds is True
    with pytest.raises(RecipeError, match="start < flat_until < fallen_by"):
        verdict_of(table | {"fallen_by": 20}, study)


@pytest.mark.parametrize(
    ("published", "word", "holds"),
    [
        (0.955, "exact", True),
        (0.97, "exact", False),
        (0.96, "above", False),
        (0.94, "above", True),
        (0.94, "below", False),
    ],
)
def test_published_point_on_a_settled_curve(published: float, word: str, holds: bool) -> None:
    study = made_up({"a": [0.95, 0.951, 0.949]})
    for label, values in (("a", [0.95, 0.951, 0.949]),):
        curve(study, label, "test_accuracy", {0: 0.1, 50: values[0], 90: values[0], 100: values[0]})
    table = {"rule": "published-point", "side": A, "published": published, "word": word}
    assert verdict_of(table, study).holds is holds


def test_published_point_of_one_unsettled_run_cannot_be_told() -> None:
    answer = verdict_of({"rule": "published-point", "side": A, "published": 0.7}, made_up({"a": [0.9]}))
    assert answer.holds is None
    assert "one run shows no spread" in answer.reason


def test_seconds_of_other_runs_need_a_known_load() -> None:
    table = {"rule": "ratio", "quantity": "seconds", "at_most": 1.1}
    table |= {"left": {**A, "study": "new"}, "right": {**A, "study": "old"}}
    new, old = (made_up({"a": [1.0, 1.0]}, column="seconds", name=name) for name in ("new", "old"))
    assert verdict_of(table, new, old).holds is True
    for row in old.rows:
        row["foreign_seconds"] = None
    assert "different runs, and the load of the machine is unknown" in verdict_of(table, new, old).reason
    assert "name no machine" in verdict_of(table | {"right": {"values": [1.0, 1.0]}}, new).reason


def test_a_pause_of_a_study_makes_two_runs() -> None:
    study = made_up({"a": [1.0, 1.0], "b": [1.0, 1.0]}, column="seconds")
    for row in study.rows:
        row["foreign_seconds"] = None
    table = {"rule": "ratio", "quantity": "seconds", "left": A, "right": B, "at_most": 1.1}
    assert verdict_of(table, study).holds is True
    for row in study.rows:
        study.lengths[row["trial"]]["finished"] += 10_000 * (row["configuration"] == "b")
    assert "different runs" in verdict_of(table, study).reason


def test_the_longest_budget_is_picked_also_where_it_is_not_trained() -> None:
    study = made_up({"a 10": [0.5, 0.5], "a 20": [0.9, 0.9]})
    for row in study.rows:
        study.lengths[row["trial"]]["budget"] = float(row["configuration"][-2:])
    table = {"rule": "threshold", "side": {"configuration": "a *", "pick": "longest"}, "at_least": 0.8}
    assert verdict_of(table, study).holds is True
    for row in study.rows:
        if row["configuration"] == "a 20":
            row |= {"outcome": "planned", "accuracy": None}
    assert verdict_of(table, study).verdict == "cannot tell"


def test_the_best_of_a_group_is_picked_by_the_direction_of_the_quantity() -> None:
    for pick, limit in (("best", 0.94), ("worst", 0.93)):
        side = {"configuration": "*", "pick": pick}
        answer = verdict_of({"rule": "threshold", "side": side, "above": limit}, STUDY)
        assert answer.evidence.startswith("a:" if pick == "best" else "b:")


LEFT_OUT = "no result: 1 not trained of 7 seeds of a"
UNFINISHED = made_up({"a": [0.9, 0.91, 0.92, None, 0.93, 0.94, 0.95], "b": [0.8, 0.81, 0.82, 0.825, 0.83, 0.84, 0.85]})


@pytest.mark.parametrize(
    "table",
    [
        {"rule": "threshold", "side": A, "at_least": 0.5, "significant": True},
        {"rule": "ratio", "left": A, "right": B, "at_least": 1, "significant": True},
        {"rule": "beats", "left": A, "right": B},
        {"rule": "no-worse", "left": A, "right": B, "margin": 0.01},
        {"rule": "reaches", "side": A, "target": 0.4, "within": 50},
        {"rule": "published-point", "side": A, "published": 0.92},
    ],
)
def test_a_claim_that_holds_names_the_seeds_without_a_result(table: dict[str, Any]) -> None:
    answer = verdict_of(table, UNFINISHED)
    assert answer.holds is True
    assert answer.evidence.count("1 not trained of 7 seeds") == 1


@pytest.mark.parametrize(
    "table",
    [
        {"rule": "threshold", "side": A, "at_least": 0.5, "over": "every"},
        {"rule": "less", "left": B, "right": A, "over": "every"},
        {"rule": "equal", "left": A, "right": A, "bits": True},
        {"rule": "equal", "left": A, "right": A, "tolerance": 0.01, "over": "every"},
    ],
)
def test_nothing_holds_on_every_seed_while_one_is_not_trained(table: dict[str, Any]) -> None:
    assert (verdict_of(table, UNFINISHED).holds, verdict_of(table, UNFINISHED).reason) == (None, LEFT_OUT)
    whole = made_up({"a": [0.9, 0.91], "b": [0.8, 0.81]})
    assert verdict_of(table, whole).holds is True


@pytest.mark.parametrize(
    "table",
    [
        {"rule": "ratio", "left": B, "right": A, "at_least": 10},
        {"rule": "less", "left": A, "right": B},
        {"rule": "less", "left": A, "right": B, "over": "every"},
        {"rule": "threshold", "side": B, "at_least": 10, "over": "every"},
        {"rule": "order", "sides": [A, B]},
    ],
)
def test_a_cost_that_a_training_did_not_get_to_the_end_for_lets_nothing_hold(table: dict[str, Any]) -> None:
    """With its infinite cost, each of these would hold by the median or on every seed."""
    outcomes = {"a": ["completed"] * 3, "b": ["completed", "completed", "diverged"]}
    study = made_up({"a": [1.0, 1.0, 1.0], "b": [20.0, 21.0, 1.0]}, column="seconds", outcomes=outcomes)
    answer = verdict_of(table | {"quantity": "seconds"}, study)
    assert (answer.holds, "1 diverged of 3 seeds of b" in answer.reason) == (None, True)


def test_a_side_is_not_compared_with_itself() -> None:
    for rule in ({"rule": "beats"}, {"rule": "differs"}, {"rule": "no-worse", "margin": 0.01}):
        answer = verdict_of(rule | {"left": A, "right": A}, STUDY)
        assert (answer.holds, answer.reason) == (None, "both sides are the same trials: a")


def test_the_best_of_configurations_of_two_studies_is_picked_but_not_by_times() -> None:
    other = made_up({"c": [0.95, 0.96]}, name="other")
    side = {"configuration": ["a", "c"], "pick": "best"}
    assert verdict_of({"rule": "threshold", "side": side, "above": 0.9}, STUDY, other).evidence.startswith("c: 95.50 %")
    with pytest.raises(RecipeError, match="whose times may not compare; add study = 'made-up'"):
        verdict_of(
            {"rule": "threshold", "side": side, "quantity": "seconds", "above": 1},
            *(
                made_up({name: [1.0, 1.0]}, column="seconds", name=study)
                for name, study in (("a", "made-up"), ("c", "other"))
            ),
        )


BAD = {
    "threshold": ({"side": A}, "has no bound"),
    "less": ({"left": A, "right": B, "by": -0.1}, "wrong sign"),
    "order": ({"sides": [A]}, "expected two or more"),
    "ratio": ({"left": A, "right": B, "at_least": 0}, "expected a number above 0"),
    "equal": ({"left": A, "right": B}, "expected tolerance"),
    "spread": ({"side": A, "times_at_least": 3}, "the side than, which is missing"),
    "beats": ({"left": A, "right": B, "family": "all"}, "unknown word 'all'"),
    "differs": ({"left": A}, "right: is missing"),
    "no-worse": ({"left": A, "right": B, "margin": "-0.3 points"}, "wrong sign"),
    "reaches": ({"side": A, "target": 0.5}, "expected within"),
    "flat-then-falls": ({"side": A, "start": 1, "flat_until": 3, "fallen_by": 2}, "expected start < flat_until"),
    "published-point": ({"side": {"configuration": "a", "quantity": "seconds"}, "published": 5}, "another machine"),
}


@pytest.mark.parametrize("name", RULES)
def test_every_rule_keeps_the_contract(name: str) -> None:
    """Words, a table in docs/claims.md, an unknown key refused, and a mistake of its own refused in a sentence."""
    rule = RULES[name]
    assert rule.about.endswith(".")
    assert set(rule.several) | set(rule.optional) <= set(rule.sides)
    assert all(key.about for key in rule.keys.values())
    documented = DOCS.partition(f"### {name}\n")[2].partition("\n#")[0]
    assert all(f"`{key}`" in documented or f"`{key} =" in documented for key in (*rule.sides, *rule.keys))
    table, sentence = BAD[name]
    with pytest.raises(RecipeError) as error:
        verdict_of({"rule": name, **table}, STUDY)
    assert sentence in str(error.value)
    with pytest.raises(RecipeError, match="has no key 'unknown'"):
        verdict_of({"rule": name, **table, "unknown": 1}, STUDY)


def test_the_claims_of_the_page_are_claims() -> None:
    blocks = [block for block in re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL) if "[[claims]]" in block]
    read = [parse_claims(tomllib.loads(block), source="docs/claims.md") for block in blocks]
    assert [len(claims) for claims in read] == [1, 3, 3]
    assert {claim.rule for claims in read for claim in claims} == {"threshold", "beats", "reaches", "no-worse", "ratio"}


def test_junit_is_xml_whatever_the_text_has() -> None:
    text = "<&'\" \ufffe \x00 \x1b[31m ]]> \ud800 \U0001f600"
    claims = parse_claims(
        {"claims": [{"id": "one", "text": text, "rule": "threshold", "side": A, "at_least": 1}]}, source="test"
    )
    written = junit(text, judge(claims, {STUDY.name: STUDY}))
    case = ET.fromstring(written.encode())[0][0]
    assert case[0].tag == "failure" and case[0].text is not None
    assert case[0].text.startswith("<&'\"") and "\x1b" not in case[0].text and "\U0001f600" in case[0].text
