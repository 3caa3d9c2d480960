"""Effects, analysis of variance, importance and search budgets against brute force."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.ensemble import RandomForestRegressor

from assay.analysis.importance import importance
from assay.analysis.sensitivity import anova, effects, expected_best, learning_rate_curve, main_effects
from assay.errors import AssayError
from tests.analysis.frames import trials

AXES = ("model", "batch", "rate")


def grid(value: Callable[..., float], *, repeats: int = 2, sizes: tuple[int, ...] = (3, 2, 2)) -> pd.DataFrame:
    """A trial for each combination of the first axes and each repeat; a value is the number of its place."""
    axes = AXES[: len(sizes)]
    cells = list(itertools.product(*(range(size) for size in sizes)))
    frame = trials({str(cell): [value(*cell, repeat) for repeat in range(repeats)] for cell in cells})
    for place, axis in enumerate(axes):
        frame[axis] = [f"{axis}{cell[place]}" for cell in cells for _ in range(repeats)]
    return frame


def residual(y: np.ndarray, columns: list[np.ndarray]) -> float:
    """The residual sum of squares of a least-squares fit to indicator columns."""
    x = np.column_stack([np.ones(y.size), *columns])
    return float(np.sum((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2))


def indicators(*codes: pd.Series) -> list[np.ndarray]:
    """A column for each combination of values that is there."""
    joined = ["/".join(row) for row in zip(*codes, strict=True)]
    return [np.array([label == other for other in joined], dtype=float) for label in dict.fromkeys(joined)]


def test_effects_are_paired_differences_from_the_baseline() -> None:
    frame = grid(lambda m, b, r, s: 0.8 + 0.01 * m - 0.02 * b + 0.05 * r + 0.1 * s + 0.0001 * m * s, repeats=3)
    baseline = {"model": "model0", "batch": "batch0", "rate": "rate0"}
    table = effects(frame, AXES, baseline)
    assert table[["axis", "value"]].to_numpy().tolist() == [
        ["model", "model1"],
        ["model", "model2"],
        ["batch", "batch1"],
        ["rate", "rate1"],
    ]
    assert table["difference"].tolist() == pytest.approx([0.0101, 0.0202, -0.02, 0.05])
    assert table["n"].tolist() == [3] * 4
    assert table["low"][0] == pytest.approx(
        0.0101 - stats.t.ppf(1 - 0.05 / 8, 2) * 1e-4 / math.sqrt(3), abs=1e-9
    )  # four effects
    assert table["decided"].tolist() == [True, True, False, False]  # without spread, three seeds do not decide
    pd.testing.assert_frame_equal(table, effects(frame, AXES, "(0, 0, 0)"))


def test_effects_count_what_they_miss() -> None:
    frame = trials({"base": [0.9, 0.8], "big": [0.7, np.nan, 0.6], "odd": [np.nan]})
    frame["model"] = [None, None, "big", "big", "big", "odd"]  # a one-at-a-time design leaves the baseline's value out
    table = effects(frame, ["model"], "base")
    assert table["value"].tolist() == ["big", "odd"]
    assert table["n"].tolist() == [1, 0] and table["missing"].tolist() == [2, 1]
    assert table["difference"][0] == pytest.approx(-0.2) and math.isnan(table["difference"][1])
    assert effects(frame.iloc[:2], ["model"], "base").empty


@given(st.lists(st.integers(0, 100), min_size=24, max_size=24).filter(lambda x: len(set(x)) > 1))
def test_the_analysis_of_variance_is_that_of_nested_least_squares(numbers: list[int]) -> None:
    flat = iter(numbers)
    frame = grid(lambda *_: next(flat) / 100)
    table = anova(frame, AXES).set_index("term")
    y = frame["accuracy"].to_numpy()
    mains = {axis: indicators(frame[axis]) for axis in AXES}
    full = [*itertools.chain(*mains.values())]
    for axis in AXES:
        rest = [*itertools.chain(*(mains[other] for other in AXES if other != axis))]
        assert table["sum_of_squares"][axis] == pytest.approx(residual(y, rest) - residual(y, full), abs=1e-9)
    for a, b in itertools.combinations(AXES, 2):
        joint = residual(y, full) - residual(y, full + indicators(frame[a], frame[b]))
        assert table["sum_of_squares"][f"{a} x {b}"] == pytest.approx(joint, abs=1e-9)
    within = residual(y, indicators(*(frame[axis] for axis in AXES)))
    assert table["sum_of_squares"]["within"] == pytest.approx(within, abs=1e-9)
    assert table["share"].sum() == pytest.approx(1.0)
    assert table["degrees"].tolist() == [2, 1, 1, 2, 2, 1, 2, 12]


def test_main_effects_are_means_and_deviations() -> None:
    table = main_effects(grid(lambda m, b, s: 0.1 * m + 0.3 * b, sizes=(3, 2)), AXES[:2])
    assert table["mean"].tolist() == pytest.approx([0.15, 0.25, 0.35, 0.1, 0.4])
    assert table["deviation"].tolist() == pytest.approx([-0.1, 0.0, 0.1, -0.15, 0.15])
    assert table["n"].tolist() == [4, 4, 4, 6, 6]


def test_a_grid_that_is_not_balanced_is_refused_with_its_cell() -> None:
    frame = grid(lambda m, b, s: 0.1 * m + 0.3 * b, sizes=(3, 2))
    frame.loc[3, "accuracy"] = np.nan
    with pytest.raises(AssayError, match=r"model = model0, batch = batch1 has 1 of 2 trials"):
        anova(frame, AXES[:2])
    frame.loc[2, "outcome"] = "failed"
    with pytest.raises(AssayError, match="has 0 of 2 trials"):
        main_effects(frame, AXES[:2])


@pytest.mark.parametrize("seeds", [1, 3])
def test_importance_is_that_of_a_forest_by_brute_force_over_all_combinations(seeds: int) -> None:
    rng = np.random.default_rng(1)
    frame = grid(lambda m, b, r, s: 0.1 * m + 0.3 * b * r + 0.02 * rng.normal(), sizes=(4, 3, 2), repeats=seeds)
    kept = rng.permutation(24)[:17]
    cells_of = frame.groupby(list(AXES), sort=False).ngroup()
    frame = frame[cells_of.isin(kept)].copy()  # not balanced
    frame["rate"] = [float(label[-1]) for label in frame["rate"]]
    table = importance(frame, AXES, trees=400, seed=3).set_index("term")
    codes = np.column_stack([[int(str(v).removesuffix(".0")[-1]) for v in frame[axis]] for axis in AXES])
    forest = RandomForestRegressor(n_estimators=400, random_state=3).fit(codes, frame["accuracy"])
    cells = np.array(list(itertools.product(range(4), range(3), range(2))))
    shares = []
    for tree in forest.estimators_:
        f = tree.predict(cells).reshape(4, 3, 2)
        axes = (0, 1, 2)
        alone = [np.var(f.mean(axis=tuple(set(axes) - {a}))) for a in axes]
        both = [np.var(f.mean(axis=3 - i - j)) - alone[i] - alone[j] for i, j in itertools.combinations(axes, 2)]
        shares.append(np.array([*alone, *both]) / np.var(f))
    terms = [*AXES, "model x batch", "model x rate", "batch x rate"]
    sd = np.std(shares, axis=0)
    off = np.abs(table["share"][terms].to_numpy() - np.mean(shares, axis=0)) / (sd * np.sqrt(2 / 400))
    assert off.max() < 4 and table["share_sd"][terms].tolist() == pytest.approx(sd.tolist(), rel=0.4)
    assert table["share"].is_monotonic_decreasing and table["n"].tolist() == [17 * seeds] * 6


def test_importance_finds_the_axis_that_matters() -> None:
    rng = np.random.default_rng(2)
    frame = trials({str(i): [0.0] for i in range(120)})
    frame["learning_rate"], frame["width"] = 10 ** rng.uniform(-4, 0, 120), rng.integers(1, 9, 120)
    frame["accuracy"] = 0.9 - 0.1 * (np.log10(frame["learning_rate"]) + 2) ** 2
    table = importance(frame, ["learning_rate", "width"], trees=16)
    assert table["term"][0] == "learning_rate" and table["share"][0] > 0.9
    pd.testing.assert_frame_equal(table, importance(frame, ["learning_rate", "width"], trees=16))


def test_importance_says_how_much_it_explains_and_is_silent_about_noise() -> None:
    frame = grid(lambda m, b, r, s: 0.1 * m + 0.3 * b, sizes=(4, 3, 2), repeats=2)
    table = importance(frame, AXES, trees=16)
    assert table["explained"].iloc[0] == table.attrs["explained"] > 0.9 > table.attrs["noise"]
    rng = np.random.default_rng(5)
    silent = 0
    for _ in range(20):
        noise = frame.assign(accuracy=rng.normal(0.9, 0.01, len(frame)))
        found = importance(noise, AXES, trees=8)
        silent += found.empty
        assert found.empty == (found.attrs["explained"] <= found.attrs["noise"])
    assert silent >= 16  # of 20; 19 are expected


def test_importance_counts_diverged_trials() -> None:
    frame = grid(lambda m, b, r, s: 0.9 - 0.01 * m, sizes=(3, 2, 2), repeats=3)
    frame.loc[frame["rate"] == "rate1", ["outcome", "accuracy"]] = ["diverged", np.nan]
    table = importance(frame, AXES, trees=16)
    assert table["term"][0] == "rate" and table["n"][0] == len(frame)  # over the survivors it is the model


def test_the_learning_rate_curve_keeps_the_rates_that_diverge() -> None:
    frame = trials({"a": [0.8, 0.9, 0.7, np.nan, np.nan]})
    frame["learning_rate"] = [0.1, 0.1, 0.01, 1.0, None]
    frame["outcome"] = ["completed"] * 3 + ["diverged"] * 2
    table = learning_rate_curve(frame)
    assert table["learning_rate"].tolist() == [0.01, 0.1, 1.0]
    assert table["accuracy"].tolist()[:2] == pytest.approx([0.7, 0.85])
    assert table["accuracy_min"].tolist()[:2] == [0.7, 0.8] and table["accuracy_max"].tolist()[:2] == [0.7, 0.9]
    assert table["accuracy"][2] == 0.1 and table["diverged"].tolist() == [0, 0, 1]  # chance of ten classes
    assert table["n"].tolist() == [1, 2, 0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_the_expected_best_is_that_over_all_subsets(values: list[float]) -> None:
    budgets = range(1, len(values) + 1)
    expected = expected_best(values, budgets)["expected"]
    wanted = [np.mean([max(subset) for subset in itertools.combinations(values, b)]) for b in budgets]
    assert expected.tolist() == pytest.approx(wanted)
    assert (np.diff(expected) >= -1e-12).all()


def test_the_expected_best_of_many_trials() -> None:
    table = expected_best(np.linspace(0, 1, 20_001), [1, 3, 20_001])
    assert table["expected"].tolist() == pytest.approx([0.5, 0.75, 1.0], abs=1e-4)


def test_errors_are_explained_in_a_sentence() -> None:
    frame = grid(lambda m, b, s: 0.1 * m, sizes=(3, 2))
    with pytest.raises(AssayError, match="unknown column 'modle'; did you mean 'model'"):
        anova(frame, ["modle"])
    with pytest.raises(AssayError, match="no axis"):
        anova(frame, [])
    with pytest.raises(AssayError, match="no axis"):
        importance(frame, [])
    with pytest.raises(AssayError, match="same in every trial"):
        anova(frame.assign(accuracy=0.5), ["model", "batch"])
    with pytest.raises(AssayError, match="no variation"):
        importance(frame.assign(accuracy=0.5), ["model"])
    with pytest.raises(AssayError, match="explain no variation"):
        importance(frame, ["study"])
    with pytest.raises(AssayError, match="0 trials with a number"):
        importance(frame.assign(outcome="failed"), ["model"])
    with pytest.raises(AssayError, match="unknown measure"):
        importance(frame, ["model"], measure="beauty")
    with pytest.raises(AssayError, match="unknown measure"):
        learning_rate_curve(frame, measure="beauty")
    with pytest.raises(AssayError, match="no trial has a learning rate"):
        learning_rate_curve(frame.assign(learning_rate=None))
    with pytest.raises(AssayError, match="no trials"):
        effects(frame.iloc[:0], ["model"], "a")
    with pytest.raises(AssayError, match="unknown configuration"):
        effects(frame, ["model"], "big")
    with pytest.raises(AssayError, match="no value on the axis 'batch'"):
        effects(frame, ["model", "batch"], {"model": "model0"})
    with pytest.raises(AssayError, match="no trial with a number .* baseline \\(model = model9\\)"):
        effects(frame, ["model"], {"model": "model9"})
    with pytest.raises(AssayError, match="the baseline has several trials of one repeat"):
        effects(frame, ["model"], {"model": "model0"})
    with pytest.raises(AssayError, match="missing or infinite"):
        expected_best([0.5, math.nan], [1])
    with pytest.raises(AssayError, match="between 1 and 2"):
        expected_best([0.5, 0.6], [3])
