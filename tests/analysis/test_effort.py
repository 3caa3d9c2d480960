"""Effort and what may be ranked by it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.analysis.effort import comparable, comparable_costs, effort
from assay.analysis.frames import clocks
from assay.errors import AssayError
from tests.analysis.frames import trials


def test_effort_is_the_median_of_cost_over_accuracy() -> None:
    frame = trials({"a": [0.5, 0.8, 1.0], "b": [0.5, 0.5]})
    frame["seconds"] = [1.0, 1.0, 1.0, 0.1, 0.2]
    table = effort(frame)
    assert table["configuration"].tolist() == ["b", "a"]
    assert table["effort"].tolist() == pytest.approx([0.3, 1.25])
    assert table["effort_min"].tolist() == pytest.approx([0.2, 1.0])
    assert table["effort_max"].tolist() == pytest.approx([0.4, 2.0])
    assert table["rank"].tolist() == [1, 2]
    assert table["n"].tolist() == [2, 3]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0.01, 1), st.floats(0.01, 100)), min_size=1, max_size=30))
def test_the_ranking_agrees_with_plain_python(rows: list[tuple[str, float, float]]) -> None:
    frame = pd.DataFrame(rows, columns=["configuration", "accuracy", "flops"]).assign(outcome="stopped")
    table = effort(frame, cost="flops").set_index("configuration")
    wanted = {c: float(np.median([f / a for d, a, f in rows if d == c])) for c, _, _ in rows}
    for label, value in wanted.items():
        assert table["effort"][label] == pytest.approx(value)
        assert table["rank"][label] == 1 + sum(other < value for other in wanted.values())


def test_trials_without_a_result_are_counted_and_not_ranked() -> None:
    frame = trials({"a": [0.1, 0.9, 0.9, np.nan], "b": [np.nan, 0.1]})
    frame["outcome"] = ["diverged", "completed", "stopped", "completed", "diverged", "lost"]
    table = effort(frame).set_index("configuration")
    assert table.loc["a", ["n", "trials", "diverged", "missing"]].tolist() == [2, 4, 1, 1]
    assert table.loc["b", ["n", "trials", "diverged", "missing"]].tolist() == [0, 2, 1, 1]
    assert np.isnan(table["effort"]["b"]) and table["rank"].isna()["b"]
    assert table.index.tolist() == ["a", "b"]


def test_an_accuracy_of_zero_has_no_effort() -> None:
    assert effort(trials({"a": [0.0, 0.5]}))["n"].tolist() == [1]


@pytest.mark.parametrize(("column", "value"), [("timing", "packed"), ("machine", "77aa"), ("threads", 8)])
def test_seconds_that_do_not_compare_are_refused(column: str, value: object) -> None:
    frame = trials({"a": [0.5, 0.8, 0.9], "b": [0.5]})
    frame[column] = [frame[column][0]] * 3 + [value]
    with pytest.raises(AssayError, match="3 trials isolated on machine 3f2a with 2 threads; 1 trial .*comparable"):
        effort(frame)
    assert len(effort(frame, cost="flops")) == 2
    part, sentence = comparable(frame)
    assert effort(part)["configuration"].tolist() == ["a"]
    assert sentence.startswith("left out: 1 trial ") and str(value) in sentence


def test_a_diverged_trial_elsewhere_does_not_stop_a_ranking() -> None:
    frame = trials({"a": [0.5, 0.8]})
    frame["machine"], frame["outcome"] = ["3f2a", "77aa"], ["completed", "diverged"]
    assert effort(frame)["n"].tolist() == [1]


def test_threads_that_pandas_made_floats_or_lost() -> None:
    frame = trials({"a": [0.5, 0.8, 0.7]})
    frame["threads"] = [2.0, 2.0, np.nan]
    assert comparable(frame)[1] == "left out: 1 trial isolated on machine 3f2a with unknown threads"
    assert comparable(frame.iloc[:2])[1] == "every trial compares by seconds"


def test_errors_are_explained_in_a_sentence() -> None:
    frame = trials({"a": [0.5]})
    with pytest.raises(AssayError, match="unknown cost 'second'; did you mean 'seconds'"):
        effort(frame, cost="second")
    with pytest.raises(AssayError, match="no trials"):
        effort(frame.iloc[:0])
    with pytest.raises(AssayError, match="no trials"):
        comparable(pd.DataFrame())
    with pytest.raises(AssayError, match="unknown column 'accuracy'"):
        effort(frame.drop(columns="accuracy"))
    with pytest.raises(AssayError, match="'accuracy' .* not a number"):
        effort(frame.assign(accuracy="high"))


LEVELS = {"engine": ["native"] * 5 + ["torch"] * 2, "level": ["avx512", "avx2", "avx512", None, np.nan, "avx2", "avx2"]}


def test_seconds_of_different_known_instruction_levels_do_not_compare() -> None:
    frame = trials({"a": [0.5] * 7}).assign(**LEVELS)
    assert clocks(frame) == {
        ("isolated", "3f2a", "2", ""): [0, 2, 3, 4, 5, 6],
        ("isolated", "3f2a", "2", "native avx2"): [1],
    }
    with pytest.raises(AssayError, match="not comparable: 6 trials .*; 1 trial .*, instruction level native avx2"):
        effort(frame)
    kept, sentence = comparable(frame)
    assert kept["level"].tolist()[:2] == ["avx512", "avx512"]
    assert sentence == (
        "left out: 1 trial isolated on machine 3f2a with 2 threads, instruction level native avx2; "
        "2 trials stored without an instruction level are taken to have avx512 (native)"
    )
    assert len(effort(kept)) == 1


def test_a_trial_without_a_level_joins_the_largest_group_on_its_own_machine() -> None:
    frame = trials({"a": [0.5] * 5}).assign(engine="native", level=["avx2", "avx512", "avx2", None, "avx512"])
    frame["machine"] = ["3f2a", "77aa", "3f2a", "77aa", "3f2a"]
    assert clocks(frame) == {
        ("isolated", "3f2a", "2", ""): [0, 2],
        ("isolated", "77aa", "2", ""): [1, 3],
        ("isolated", "3f2a", "2", "native avx512"): [4],
    }


def test_engines_that_choose_different_levels_by_themselves_compare() -> None:
    frame = trials({"a": [0.5], "b": [0.5], "c": [0.5]})
    frame = frame.assign(engine=["native", "numpy", "torch"], level=["avx512", "SkylakeX", None])
    assert comparable(frame)[1] == "every trial compares by seconds"
    assert len(effort(frame)) == 3
    assert comparable(frame.drop(columns=["level"]))[1] == "every trial compares by seconds"


def test_times_of_the_smaller_group_are_left_out_and_their_scores_kept() -> None:
    frame = pd.DataFrame({"timing": "packed", "machine": "3f2a", "threads": 1, "cohort": [4, 4, 1], "seconds": 1.0})
    frame = frame.assign(accuracy=0.9, effort=[1.0, 1.1, 1.2], processor_seconds=1.0)
    fair, sentence = comparable_costs(frame)
    assert fair["effort"].isna().tolist() == fair["seconds"].isna().tolist() == [False, False, True]
    assert fair["accuracy"].tolist() == [0.9] * 3
    assert sentence == (
        "times and efforts leave out 1 trial packed on machine 3f2a with 1 thread; "
        "a trial alone in its batch does not share its seconds: --timing isolated times all alike"
    )
    same, nothing = comparable_costs(frame.assign(cohort=[4, 27, 2]))  # cohorts of any size are one group
    assert (same["seconds"].notna().all(), nothing) == (True, "")
    planned = frame.assign(cohort=[4, 4, np.nan], machine=["3f2a", "3f2a", None], seconds=[1.0, 1.0, np.nan])
    assert comparable_costs(planned)[1] == ""  # it has no time to leave out
    assert "run the study with one --timing" in comparable_costs(frame.assign(machine=["a", "a", "b"]))[1]


def test_on_a_gpu_only_cohorts_of_one_size_compare_by_seconds() -> None:
    frame = pd.DataFrame({"timing": ["packed"] * 5, "machine": "3f2a", "threads": 1, "seconds": 1.0})
    frame = frame.assign(cohort=[45, 45, 45, 3, 1], device="cuda")
    kept, sentence = comparable_costs(frame)
    assert kept["seconds"].isna().tolist() == [False, False, False, True, True]
    assert "leave out 1 trial packed in cohorts of 3 on machine 3f2a with 1 thread; 1 trial packed on" in sentence
    assert "--timing isolated times all alike" in sentence
    on_cpu = comparable_costs(frame.assign(device="cpu"))[0]
    assert on_cpu["seconds"].isna().tolist() == [False, False, False, False, True]
