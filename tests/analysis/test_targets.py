"""Times to a target, against scipy, plain loops, and the leukaemia data of the textbooks."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from assay.analysis.targets import (
    default_target,
    kaplan_meier,
    median_time,
    restricted_mean,
    summary,
    times_to,
    wilson,
)
from assay.errors import AssayError
from tests.analysis.frames import curves, trials

# Weeks of remission of 21 children on 6-MP and 21 on placebo: Freireich and others (1963), Gehan (1965).
WEEKS = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
RELAPSED = [True] * 3 + [False, True, False, True, False, False, True, True] + [False] * 3 + [True] * 2 + [False] * 5
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]

observations = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=25)


def test_the_leukaemia_data_as_the_textbooks_print_them() -> None:
    table = kaplan_meier(WEEKS, RELAPSED)
    steps = table[table["arrived"] > 0]
    assert steps["time"].tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert steps["at_risk"].tolist() == [21, 17, 15, 12, 11, 7, 6]
    printed = [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]  # Klein and Moeschberger, table 4.1B
    assert steps["survival"].tolist() == pytest.approx(printed, abs=6e-4)
    assert median_time(WEEKS, RELAPSED) == 23
    assert median_time(PLACEBO, [True] * 21) == 8
    mean, error = restricted_mean(WEEKS, RELAPSED, horizon=35)
    assert (mean, error) == (pytest.approx(23.287, abs=5e-4), pytest.approx(2.827, abs=5e-4))


@given(observations)
def test_kaplan_meier_is_that_of_scipy(rows: list[tuple[int, bool]]) -> None:
    times, reached = [float(t) for t, _ in rows], [r for _, r in rows]
    table = kaplan_meier(times, reached).iloc[1:]
    wanted = stats.ecdf(stats.CensoredData.right_censored(np.array(times), ~np.array(reached))).sf
    assert table["time"].tolist() == wanted.quantiles.tolist()
    np.testing.assert_allclose(table["survival"], wanted.probabilities, atol=1e-12)


def test_the_interval_is_that_of_scipy() -> None:
    wanted = stats.ecdf(stats.CensoredData.right_censored(np.array(WEEKS, float), ~np.array(RELAPSED))).sf
    interval = wanted.confidence_interval(method="log-log")
    table = kaplan_meier(WEEKS, RELAPSED).iloc[1:]
    np.testing.assert_allclose(table["low"], interval.low.probabilities)
    np.testing.assert_allclose(table["high"], interval.high.probabilities)


@given(observations, st.integers(1, 12))
def test_the_restricted_mean_is_the_area_under_the_steps(rows: list[tuple[int, bool]], horizon: int) -> None:
    times, reached = [float(t) for t, _ in rows] + [12.0], [r for _, r in rows] + [False]
    table = kaplan_meier(times, reached)
    fine = np.arange(0.005, horizon, 0.01)
    height = table["survival"].to_numpy()[np.searchsorted(table["time"], fine, side="right") - 1]
    mean, error = restricted_mean(times, reached, horizon=horizon)
    assert mean == pytest.approx(np.sum(height) * 0.01)
    assert 0 <= error <= horizon


@given(st.lists(st.floats(0.1, 50), min_size=2, max_size=20))
def test_without_misses_the_restricted_mean_is_the_mean_and_its_error(times: list[float]) -> None:
    mean, error = restricted_mean(times, [True] * len(times), horizon=50.0)
    assert mean == pytest.approx(np.mean(times))
    assert error == pytest.approx(np.std(times) / math.sqrt(len(times)), rel=1e-6, abs=1e-6)


def test_trials_that_never_arrive_stay_on_their_way() -> None:
    table = kaplan_meier([1.0, 2.0, math.inf, math.inf], [True, True, False, False])
    assert table["survival"].tolist() == [1.0, 0.75, 0.5]
    assert table["at_risk"].tolist() == [4, 4, 3]
    assert restricted_mean([1.0, 2.0, math.inf, math.inf], [True, True, False, False], horizon=10.0)[0] == 5.75


@given(st.integers(0, 30), st.integers(0, 30))
def test_wilson_is_that_of_scipy(successes: int, failures: int) -> None:
    n = successes + failures
    if n == 0:
        assert all(math.isnan(x) for x in wilson(0, 0))
        return
    wanted = stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson(successes, n) == (pytest.approx(wanted.low, abs=1e-12), pytest.approx(wanted.high))


def test_the_time_is_interpolated_at_the_first_crossing() -> None:
    frame = trials({"a": [0.9, 0.9, 0.9]})
    curve = curves({"a/0": [0.1, 0.5, 0.9, 0.6, 0.9], "a/1": [0.1, np.nan, 0.9], "a/2": [0.8, 0.2]})
    assert times_to(curve, frame, accuracy=0.7)["time"].tolist() == pytest.approx([15.0, 15.0, 0.0])
    assert times_to(curve, frame, accuracy=0.7, by="seconds")["time"].tolist() == pytest.approx([0.15, 0.15, 0.0])
    assert times_to(curve, frame, accuracy=0.9)["time"].tolist() == pytest.approx([20.0, 20.0, 10.0])
    assert times_to(curve, frame, accuracy=0.9)["reached"].tolist() == [True, True, False]


def test_a_loss_is_reached_from_above() -> None:
    table = times_to(curves({"a/0": [2.0, 1.0, 0.5]}, "train_loss"), trials({"a": [0.9]}), loss=0.75, split="train")
    assert table["time"].tolist() == [15.0]
    assert table.attrs["quantity"] == "train_loss"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0, 1))
def test_the_crossing_lies_on_the_curve(values: list[float], target: float) -> None:
    table = times_to(curves({"a/0": values}, every=1), trials({"a": [0.5]}), accuracy=target)
    time, reached = float(table["time"][0]), bool(table["reached"][0])
    assert reached == (max(values) >= target)
    if not reached:
        assert time == len(values) - 1
    elif values[0] < target:
        assert np.interp(time, range(len(values)), values) == pytest.approx(target, abs=1e-9)
        assert max(values[: math.ceil(time)]) < target


def test_the_default_target_is_near_the_best_configuration() -> None:
    frame = trials({"a": [0.7, 0.8, 0.9, 0.1], "b": [0.5, 0.5, 0.5, 0.5]})
    frame["outcome"] = ["completed"] * 3 + ["diverged"] + ["completed"] * 4
    assert default_target(frame) == 0.79  # 0.1 + 0.99 x 0.7 = 0.793
    assert default_target(trials({"a": [0.982], "b": [0.1056]})) == 0.97  # 0.1 + 0.99 x 0.882 = 0.9732
    assert default_target(frame.assign(classes=np.nan)) == 0.79  # chance unknown: 0.99 x 0.8 = 0.792
    assert default_target(trials({"a": [0.08]}, classes=100)) == 0.079  # below ten points, in tenths of a percent
    with pytest.raises(AssayError, match="no finished trial has an accuracy"):
        default_target(frame.assign(accuracy=np.nan))


def test_chance_is_no_target() -> None:
    frame = trials({"a": [0.1056] * 3, "b": [0.12, 0.11, 0.10]})
    with pytest.raises(AssayError, match=r"the best configuration, b, has 11.00 % and chance is 10.00 %"):
        default_target(frame)
    with pytest.raises(AssayError, match=r"has 52.00 % and chance is 50.00 %"):
        default_target(trials({"a": [0.52]}, classes=2))
    assert default_target(trials({"a": [0.8]}, classes=2)) == 0.79


def test_the_summary_counts_every_trial() -> None:
    frame = trials({"a": [0.9, 0.9, 0.9, 0.9], "b": [0.5, 0.5, 0.9]})
    frame.loc[1, "outcome"] = "diverged"
    points = {"a/0": [0, 0.8], "a/1": [0, 0.1], "a/2": [0.0, 0.4, 0.8, 0.8], "b/0": [0, 0, 0.0], "b/1": [0.0, 0.8]}
    table = summary(times_to(curves(points), frame, accuracy=0.8)).set_index("configuration")
    assert table.loc["a", ["trials", "reached", "unmeasured"]].tolist() == [4, 2, 1]
    assert table.loc["b", ["trials", "reached", "unmeasured"]].tolist() == [3, 1, 1]
    assert table.index.tolist() == ["b", "a"]
    assert table["success"].tolist() == pytest.approx([1 / 2, 2 / 3])
    assert table["horizon"].tolist() == [20.0, 20.0]
    assert table["median"]["a"] == 20.0
    assert table["restricted_mean"]["a"] == pytest.approx(10 + 10 * 2 / 3)  # the diverged trial never arrives
    assert table["restricted_mean"]["b"] == pytest.approx(10 + 10 * 1 / 2)


def test_a_configuration_without_curves_is_shown() -> None:
    frame = trials({"a": [0.9], "b": [0.9]})
    table = summary(times_to(curves({"a/0": [0, 1.0]}), frame, accuracy=0.5))
    assert table["configuration"].tolist() == ["a", "b"]
    assert table["unmeasured"].tolist() == [0, 1]
    assert math.isnan(table["restricted_mean"][1])
    nothing = summary(times_to(curves({"a/0": [0, 1.0]}).iloc[:0], frame, accuracy=0.5))
    assert nothing["unmeasured"].tolist() == [1, 1]


def test_all_diverged() -> None:
    frame = trials({"a": [np.nan, np.nan]}, outcome="diverged")
    times = times_to(curves({"a/0": [0.1, np.nan], "a/1": [0.1, 0.1]}), frame, accuracy=0.8)
    assert summary(times)["restricted_mean"].tolist() == [10.0]  # as far as one of them was watched
    assert summary(times, horizon=30.0)["restricted_mean"].tolist() == [30.0]


def test_errors_are_explained_in_a_sentence() -> None:
    frame, curve = trials({"a": [0.9]}), curves({"a/0": [0, 1.0]})
    with pytest.raises(AssayError, match="unknown axis 'second'; did you mean 'seconds'"):
        times_to(curve, frame, by="second")
    with pytest.raises(AssayError, match="unknown split"):
        times_to(curve, frame, split="exam")
    with pytest.raises(AssayError, match="not both"):
        times_to(curve, frame, accuracy=0.5, loss=0.5)
    with pytest.raises(AssayError, match="unknown column 'test_accuracy'"):
        times_to(curve.drop(columns="test_accuracy"), frame)
    mixed = trials({"a": [0.9, 0.9]}).assign(machine=["1", "2"])
    with pytest.raises(AssayError, match="are not comparable"):
        times_to(curve, mixed, by="seconds")
    with pytest.raises(AssayError, match="horizon 9 is not between 0 and 3"):
        restricted_mean([1.0, 3.0], [True, False], horizon=9.0)
    with pytest.raises(AssayError, match="2 times do not match 1 value"):
        kaplan_meier([1.0, 2.0], [True])
    with pytest.raises(AssayError, match="no times"):
        kaplan_meier([], [])
    with pytest.raises(AssayError, match="a time must be 0 or more"):
        kaplan_meier([-1.0], [True])
    with pytest.raises(AssayError, match="no times to analyse"):
        summary(pd.DataFrame())


def test_the_default_target_is_above_what_the_largest_class_scores() -> None:
    frame = trials({"a": [0.92, 0.92], "b": [0.9, 0.9]}, classes=2).assign(majority=0.9)
    with pytest.raises(AssayError, match=r"a, has 90.50 % and chance is 90.00 %: nothing learned enough"):
        default_target(trials({"a": [0.905]}, classes=2).assign(majority=0.9))
    assert default_target(frame) == 0.919  # 0.9 + 0.99 x 0.02 = 0.9198
    assert default_target(frame.drop(columns="majority")) == 0.91  # 0.5 + 0.99 x 0.42 = 0.9158
    assert default_target(trials({"a": [0.9957]}, classes=2).assign(majority=0.995)) == 0.9956  # 0.995693, finer
    assert default_target(trials({"a": [0.98]}, classes=10).assign(majority=np.nan)) == 0.97  # 0.1 + 0.99 x 0.88
