"""Measures of one task asked of studies of the other one: each command says what the study has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.data.datasets import load as load_data
from assay.errors import AssayError, RecipeError
from assay.results.results import Results
from assay.store.store import Store
from assay.studies.study import Study

REGRESSION = """
name = "houses"
repeats = 3
engine = "numpy"
baseline = { data = { name = "diabetes", task = "regression" }, input = "standardise-features", budget = "2 epochs" }
axes = { optimizer = ["adam", "rmsprop"] }
"""
CLASSIFICATION = """
name = "flowers"
repeats = 3
engine = "numpy"
baseline = { data = "iris", input = "standardise-features", budget = "2 epochs" }
axes = { optimizer = ["adam", "rmsprop"] }
"""
SPACE = ["--space", "optimizer.learning_rate=1e-4..1:log", "--trials", "2", "--method", "random", "--plan"]
HOUSES = ["--set", "data=diabetes", "--set", "data.task=regression"]


@pytest.fixture
def stored(invoke: Any, tmp_path: Path) -> None:
    for name, text in (("houses", REGRESSION), ("flowers", CLASSIFICATION)):
        (tmp_path / f"{name}.toml").write_text(text)
        code, _, err = invoke("run", f"{name}.toml", "--yes")
        assert code == 0, err


OF_CLASSES = (
    "accuracy",
    "validation_accuracy",
    "train_accuracy",
    "effort",
    "macro_f1",
    "balanced_accuracy",
    "recall:1",
)
OF_REALS = ("r2", "rmse", "validation_r2", "train_rmse")


def test_a_measure_of_the_other_task_is_refused_with_those_of_the_study(invoke: Any, stored: None) -> None:
    for study, measures, of, use in (
        ("houses", OF_CLASSES, "classification", "regression; use r2, rmse or test_loss"),
        ("flowers", OF_REALS, "regression", "classification; use accuracy or test_loss"),
    ):
        for measure in measures:
            for words in (
                ("compare", study, "--measure", measure),
                ("list", "--study", study, "--sort", f"-{measure}"),
                ("list", "--study", study, f"{measure}>0.9"),
                ("plot", study, "verdicts", "--measure", measure, "-o", "chart.json"),
                ("plot", study, "sensitivity", "--measure", measure, "-o", "chart.json"),
                ("plot", study, "grid", "--measure", measure, "-o", "chart.json"),
                ("tuning-cost", study, "--measure", measure),
            ):
                code, _, err = invoke(*words)
                said = f"measure: got '{measure}', which is of a {of}, but these trials are of a {use}"
                assert (code, said in err) == (2, True), (words, err)


@pytest.mark.parametrize(("study", "measure"), [("houses", "accuracy"), ("flowers", "r2"), ("flowers", "rmse")])
def test_curves_of_what_was_not_measured_are_refused_and_no_empty_chart(
    invoke: Any, stored: None, study: str, measure: str, tmp_path: Path
) -> None:
    code, _, err = invoke("plot", study, "curves", "--measure", measure, "-o", "chart.json")
    assert (code, f"got '{measure}'" in err) == (2, True), err
    assert not (tmp_path / "chart.json").exists()


def test_the_chart_of_differences_is_drawn_in_the_measure_that_was_asked_for(invoke: Any, stored: None) -> None:
    code, _, err = invoke("plot", "houses", "verdicts", "--measure", "rmse", "-o", "chart.json")
    assert code == 0, err
    rows = [row for part in json.loads(Path("chart.json").read_text())["datasets"].values() for row in part]
    frame = Results(Store(), "houses").frame()
    means = frame.groupby("configuration")["rmse"].mean()
    apart = abs(means.iloc[0] - means.iloc[1])
    assert any(abs(row.get("x", 0.0)) == pytest.approx(apart, rel=1e-9) for row in rows)


def test_both_tasks_in_one_list_are_filtered_by_the_scores_of_one(invoke: Any, stored: None) -> None:
    code, out, err = invoke("list", "accuracy>0", "--json")
    assert code == 0, err
    assert json.loads(out)["count"] == 6
    assert json.loads(invoke("list", "r2>-100", "--json")[1])["count"] == 6


def test_a_search_for_the_score_of_the_other_task_is_refused(invoke: Any) -> None:
    for name in ("accuracy", "effort"):
        code, _, err = invoke("search", *HOUSES, *SPACE, "--objective", name)
        assert code == 2
        assert f"search.objective: '{name}' is " in err
        assert "a regression has no accuracy; use 'r2', which orders trials as RMSE does, or 'loss'" in err
    for words in (HOUSES, ["--set", "data=iris"]):
        code, _, err = invoke("search", *words, *SPACE, "--objective", "rmse")
        assert (code, "'rmse' is of a regression, and is no objective; for a regression use 'r2'" in err) == (2, True)
    code, _, err = invoke("search", "--set", "data=iris", *SPACE, "--objective", "r2")
    assert (code, "'r2' is of a regression, and the baseline classifies" in err) == (2, True)


def test_a_target_of_a_regression_is_told_as_a_loss(invoke: Any) -> None:
    command = ("search", *SPACE, *HOUSES, "--objective", "iterations")
    code, _, err = invoke(*command)
    assert (code, "target_loss = 0.1, as for a regression, which has no accuracy" in " ".join(err.split())) == (2, True)
    for extra, sentence in (
        (["--target", "0.9"], "0.1 of 'mse' is R2 = 0.9 if the test"),
        (["--target", "0.4", "--set", "loss=quadratic"], "0.3 of 'quadratic' is R2 = 0.4 if the test"),
        (["--target", "1"], "0.1 of 'mse' is R2 = 0.9 if the test"),
    ):
        code, _, err = invoke(*command, *extra)
        assert code == 2
        assert f"a regression has none; write target_loss, on standardised targets: {sentence}" in " ".join(err.split())
    assert invoke(*command, "--target-loss", "0.1")[0] == 0


def test_a_target_loss_is_the_r2_that_the_message_says(stored: None) -> None:
    trials: Any = Results(Store("assay.db"), "houses").frame()
    y = load_data("diabetes")
    vary = y.y_test.var() / y.y_train.var()  # 1 where the test targets vary as the trained ones
    np.testing.assert_allclose(1 - trials["test_loss"] / vary, trials["r2"], rtol=1e-5)


def test_results_measure_the_time_to_a_loss(invoke: Any, stored: None) -> None:
    results = Results(Store("assay.db"), "houses")
    table: Any = results.targets(loss=0.99)
    (printed,) = [json.loads(invoke("target", "houses", "--loss", "0.99", "--json")[1])["rows"]]
    assert table["reached"].tolist() == [row["reached"] for row in printed]
    assert table["configuration"].tolist() == [row["configuration"] for row in printed]
    assert table["reached"].sum() > 0
    with pytest.raises(AssayError, match="an accuracy or a loss, not both"):
        results.targets(accuracy=0.9, loss=0.5)
    with pytest.raises(AssayError, match="give a loss as the target: --loss 0.3, in Python loss=0.3"):
        results.targets()


@pytest.mark.parametrize(
    ("study", "side", "sentence"),
    [
        ("houses", "", "names no quantity, so that accuracy is assumed, which study houses, of a regression, does not"),
        ("houses", ', quantity = "accuracy"', "accuracy is of a classification, and study houses is of a regression"),
        ("houses", ', quantity = "macro_f1"', "macro_f1 is of a classification, and study houses is of a regression"),
        ("flowers", ', quantity = "r2"', "r2 is of a regression, and study flowers is of a classification"),
    ],
)
def test_a_claim_on_a_quantity_of_the_other_task_says_what_to_write(
    invoke: Any, stored: None, study: str, side: str, sentence: str
) -> None:
    sides = "\n".join(f'{s} = {{ optimizer = "{o}"{side} }}' for s, o in (("left", "adam"), ("right", "rmsprop")))
    Path("claims.toml").write_text(f'[[claims]]\nid = "a"\ntext = "a"\nrule = "less"\n{sides}\n')
    code, _, err = invoke("check", study, "claims.toml")
    err = " ".join(err.split())
    assert code == 2
    assert err.count(sentence) == 2, err
    known = "'r2', 'rmse', 'test_loss'" if study == "houses" else "'accuracy', 'test_loss'"
    assert f"write quantity = one of {known}" in err


def test_the_plan_says_that_r2_is_the_default_of_a_regression(invoke: Any) -> None:
    code, _, err = invoke("search", *HOUSES, *SPACE)
    assert (code, "for r2 (selected on test), the default of a regression;" in err) == (0, True), err
    code, _, err = invoke("search", *HOUSES, *SPACE, "--objective", "r2")
    assert (code, "the default" in err) == (0, False), err
    raw = {
        "design": "search",
        "search": {"trials": 2, "objective": "accuracy"},
        "baseline": {"data": {"name": "diabetes", "task": "regression"}},
        "axes": {"rate": {"key": "optimizer.learning_rate", "low": 1e-4, "high": 1.0, "scale": "log"}},
    }
    with pytest.raises(RecipeError, match="'accuracy' is of a classification"):
        Study.parse(raw)
