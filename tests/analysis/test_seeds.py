"""What the trial of a seed counts as, by how it ended, and seconds with foreign load."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from assay.analysis.effort import effort
from assay.analysis.quantities import MEASURES
from assay.analysis.seeds import Endings, counted, ranked_by_seconds
from assay.analysis.sensitivity import effects, learning_rate_curve
from assay.analysis.targets import summary, times_to
from assay.analysis.verdicts import against, best, between, pairwise
from assay.errors import AssayError
from tests.analysis.frames import curves, trials

STEADY = [0.85 + 0.001 * i for i in range(10)]
LUCKY = [0.93 + 0.001 * i for i in range(6)] + [0.10, 0.10, 0.10, 0.10]


def unstable() -> pd.DataFrame:
    """A rate at which 4 of 10 seeds diverge, and one with 85 % at every seed."""
    frame = trials({"steady": STEADY, "unstable": LUCKY})
    frame["outcome"] = ["completed"] * 16 + ["diverged"] * 4
    frame["seconds"] = [2.0] * 16 + [0.1] * 4
    return frame


def test_diverged_seeds_count_with_their_last_accuracy() -> None:
    verdict = between(unstable(), "steady", "unstable")
    assert verdict.n == 10
    assert verdict.difference == pytest.approx(np.mean(STEADY) - np.mean(LUCKY))
    assert verdict.difference > 0.2  # over the survivors alone it is -0.08
    assert "4 diverged of 10 seeds of unstable" in verdict.sentence()
    assert best(unstable()).name == "steady"
    assert best(unstable()).mean == pytest.approx(np.mean(STEADY))


def test_a_diverged_seed_without_an_accuracy_counts_as_chance() -> None:
    frame = unstable()
    frame.loc[16:, "accuracy"] = np.nan
    assert counted(frame, "accuracy")[16:].tolist() == [0.1] * 4
    assert counted(frame.assign(classes=[10.0] * 16 + [np.nan] * 4), "accuracy")[16:].tolist() == [0.1] * 4
    assert between(frame, "steady", "unstable") == between(unstable(), "steady", "unstable")
    with pytest.raises(AssayError, match="number of classes is unknown"):
        counted(frame.drop(columns="classes"), "accuracy")
    two = frame.assign(classes=[10] * 10 + [4] * 10, data=["mnist"] * 10 + ["own"] * 10)
    two.loc[18, "classes"] = np.nan
    assert counted(two, "accuracy")[16:].tolist() == [0.25] * 4


def test_what_each_outcome_counts_as() -> None:
    words = ["completed", "stopped", "diverged", "timed out", "failed", "lost", "out of memory", "planned"]
    frame = trials({"a": [0.9] * 8}).assign(outcome=words, test_loss=[0.3, 0.3, 7.0, np.nan, 1.0, 1.0, 1.0, np.nan])
    nan = math.nan
    assert np.array_equal(counted(frame, "accuracy"), [0.9, 0.9, 0.9, 0.9, nan, nan, nan, nan], equal_nan=True)
    assert np.array_equal(counted(frame, "test_loss"), [0.3, 0.3, 7, math.inf, nan, nan, nan, nan], equal_nan=True)
    for measure in ("seconds", "flops", "iterations", "examples"):
        assert counted(frame, measure)[2:4].tolist() == [math.inf] * 2, measure
    assert counted(frame, "parameters")[:4].tolist() == [10.0] * 4
    assert Endings.of(words).notes("a") == [
        "1 diverged and 1 timed out of 8 seeds of a",
        "no result: 1 failed, 1 lost, 1 out of memory, 1 not trained of 8 seeds of a",
    ]


@pytest.mark.parametrize("measure", [m for m in MEASURES if MEASURES[m].kind == "cost" and m != "parameters"])
def test_costs_of_seeds_that_did_not_finish_cannot_be_compared(measure: str) -> None:
    frame = unstable().assign(effort=1.0, processor_seconds=1.0)
    verdict = between(frame, "steady", "unstable", measure=measure)
    assert not verdict.decided and verdict.winner is None and math.isnan(verdict.difference)
    assert verdict.sentence() == (
        f"cannot compare steady and unstable by {measure.replace('_', ' ')}: a seed that did not finish has no result "
        "to compare; 4 diverged of 10 seeds of unstable"
    )
    ended = pairwise(frame, measure=measure)[["ended_a", "ended_b", "n"]].iloc[0]
    assert ended.tolist() == [0, 4, 10]


def test_configurations_of_which_all_seeds_diverged_come_last_by_effort() -> None:
    frame = trials({"gone": [0.5] * 4, "half": [0.9] * 4, "few": [0.8] * 4})
    frame["outcome"] = ["diverged"] * 4 + ["timed out"] * 2 + ["completed"] * 2 + ["timed out"] + ["completed"] * 3
    frame["seconds"] = [0.001] * 4 + [1.0] * 8
    table = effort(frame)
    assert table["configuration"].tolist() == ["few", "gone", "half"]
    assert table["rank"].tolist()[0] == 1 and table["rank"].isna().tolist() == [False, True, True]
    assert table["effort"][0] == pytest.approx(1.25) and table["effort"].isna().tolist() == [False, True, True]
    assert table[["n", "diverged", "timed_out", "missing"]].to_numpy().tolist() == [
        [3, 0, 1, 0],
        [0, 4, 0, 0],
        [2, 0, 2, 0],
    ]


def test_a_timed_out_seed_misses_the_target_also_without_a_curve() -> None:
    frame = trials({"a": [0.9] * 4})
    frame["outcome"] = ["completed", "timed out", "timed out", "failed"]
    points = curves({"a/0": [0.0, 0.8, 0.9], "a/1": [0.0, 0.1], "a/3": [0.0, 0.9]})
    table = summary(times_to(points, frame, accuracy=0.8)).iloc[0]
    columns = ["trials", "reached", "diverged", "timed_out", "unmeasured"]
    assert table[columns].tolist() == [4, 1, 0, 2, 1]
    assert table["success"] == pytest.approx(1 / 3) and math.isnan(table["median"])


def test_effects_and_learning_rates_drop_no_seed() -> None:
    frame = unstable().assign(rate=[None] * 10 + ["0.5"] * 10, learning_rate=[0.1] * 10 + [0.5] * 10)
    table = effects(frame, ["rate"], "steady")
    assert table["difference"][0] == pytest.approx(np.mean(LUCKY) - np.mean(STEADY))
    assert table[["n", "missing", "ended"]].iloc[0].tolist() == [10, 0, 4]
    assert learning_rate_curve(frame)["accuracy"].tolist() == pytest.approx([np.mean(STEADY), np.mean(LUCKY)])


def busy_frame(flags: list[bool], seconds: list[float]) -> pd.DataFrame:
    frame = trials({"a": [0.5] * 4, "b": [0.5] * 4})
    return frame.assign(seconds=seconds, effort=[2 * s for s in seconds], busy=flags)


def test_flagged_seconds_leave_while_three_others_remain() -> None:
    frame = busy_frame([True, False, False, False] + [False] * 4, [9.0, 1.0, 1.1, 1.2, 2.0, 2.0, 2.1, 2.2])
    ranked, marked = ranked_by_seconds(frame)
    assert len(ranked) == 7 and marked == []
    table = effort(frame).set_index("configuration")
    assert table["effort"]["a"] == pytest.approx(2.2) and table["busy"].tolist() == ["", ""]
    assert table.loc["a", ["n", "missing"]].tolist() == [3, 1]
    verdict = between(frame, "a", "b", measure="seconds")
    assert verdict.n == 3 and verdict.difference == pytest.approx(-1.0) and not verdict.is_busy
    assert "1 more with seconds of a busy machine left out" in verdict.sentence()
    assert between(frame, "a", "b").n == 4  # accuracies do not depend on load


def test_with_fewer_than_three_others_all_are_ranked_and_marked() -> None:
    frame = busy_frame([True, True, False, False] + [False] * 4, [9.0, 9.0, 1.1, 1.2, 2.0, 2.0, 2.1, 2.2])
    table = effort(frame).set_index("configuration")
    assert table["effort"]["a"] == pytest.approx(np.median([18, 18, 2.2, 2.4]))
    assert table["busy"].to_dict() == {"a": "busy machine", "b": ""}
    verdict = between(frame, "a", "b", measure="seconds")
    assert verdict.n == 4 and verdict.is_busy and verdict.sentence().endswith("seconds of a busy machine")


@pytest.mark.parametrize("flag", [None, np.nan, pd.NA, False, 0])
def test_an_absent_flag_is_none(flag: object) -> None:
    frame = busy_frame([True] + [False] * 7, [1.0] * 8)
    frame["busy"] = [flag] * 8
    assert len(ranked_by_seconds(frame)[0]) == 8
    assert ranked_by_seconds(frame.drop(columns="busy"))[1] == []


def test_a_diverged_seed_stays_infinite_on_a_busy_machine() -> None:
    frame = busy_frame([True] * 4 + [False] * 4, [1.0] * 8)
    frame.loc[:1, "outcome"] = "diverged"
    assert math.isnan(effort(frame).set_index("configuration")["effort"]["a"])


def test_the_baseline_is_one_family_and_all_pairs_another() -> None:
    rng = np.random.default_rng(3)
    frame = trials({name: rng.normal(0.9 - 0.02 * i, 0.01, 6) for i, name in enumerate("abcde")})
    with_baseline, pairs = against(frame, "c"), pairwise(frame)
    assert with_baseline["a"].tolist() == ["a", "b", "d", "e"] and set(with_baseline["b"]) == {"c"}
    both = pairs[(pairs["a"] == "a") & (pairs["b"] == "c")].iloc[0]
    assert with_baseline["p_t"][0] == pytest.approx(both["p_t"])
    assert with_baseline["low"][0] > both["low"]  # four comparisons, not ten
    assert "Holm's correction for 4 comparisons with c" in with_baseline["sentence"][0]
    assert "Holm's correction for 10 pairs" in both["sentence"]
    with pytest.raises(AssayError, match="unknown configuration 'z'"):
        against(frame, "z")
