"""A user's own measures in `fit`: their values by another way, where they are kept, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

import assay
from assay.errors import AssayError, RecipeError
from assay.training.measures import MeasureError

SHORT: dict[str, Any] = {"budget": "40 iterations", "log": 20, "seed": 3}


def errors(outputs: Any, labels: Any) -> Any:
    return (outputs.argmax(1) != labels).sum()


def f1(outputs: Any, labels: Any) -> Any:
    return f1_score(labels, outputs.argmax(1), average="macro")


def likelihood(outputs: Any, labels: Any) -> Any:
    return -log_loss(labels, outputs / outputs.sum(1, keepdims=True), labels=range(10))


@pytest.mark.parametrize("engine", ["numpy", "native"])
def test_measures_equal_ours_and_those_of_scikit_learn(engine: str) -> None:
    recipe = SHORT | {"data": {"validation": 100}, "precision": "float64"}
    history = assay.fit(recipe, engine=engine, measures={"errors": ("min", errors), "f1": f1, "likelihood": likelihood})
    for point, row in zip(history.points, history.frame().to_dict("records"), strict=True):
        assert row["test_errors"] == round((1 - point.test_accuracy) * 360)
        assert row["validation_errors"] == round((1 - point.validation_accuracy) * 100)
        assert row["test_likelihood"] == pytest.approx(-point.test_loss, rel=1e-9)
    assert history.measures == {
        name: history.frame()[f"test_{name}"].iloc[-1] for name in ("errors", "f1", "likelihood")
    }
    assert history.measures["f1"] == pytest.approx(history.scores["macro_f1"])
    assert history.plain()["measures"] == history.measures
    assert f"test errors {history.measures['errors']:.0f}" in repr(history)
    assert "<td>test f1</td>" in history._repr_html_()


def test_measures_change_neither_the_training_nor_the_key() -> None:
    def draws(outputs: Any, labels: Any) -> float:
        np.random.seed(1)
        return 0.5

    with_them = assay.fit(SHORT, measures={"draws": draws})
    without = assay.fit(SHORT)
    assert with_them.recipe.key() == without.recipe.key()
    assert with_them.points[-1].test_loss == without.points[-1].test_loss
    for name, array in without.checkpoint.weights.items():
        np.testing.assert_array_equal(with_them.checkpoint.weights[name], array)
    assert without.measures == {}
    assert "measures" not in without.plain()


def test_a_regression_is_measured_in_the_units_of_its_targets() -> None:
    def rmse(outputs: Any, labels: Any) -> Any:
        assert outputs.shape == labels.shape
        assert labels.max() > 200
        return np.sqrt(((outputs - labels) ** 2).mean())

    recipe = {"data": {"name": "diabetes", "task": "regression"}, "loss": "mse", "budget": "40 iterations"}
    history = assay.fit(recipe, measures={"my_rmse": ("min", rmse)})
    assert history.measures["my_rmse"] == pytest.approx(history.rmse, rel=1e-4)


def test_the_best_point_follows_the_direction_and_the_validation_set() -> None:
    values = iter([5.0, 1.0, 3.0, 9.0, 2.0, 4.0])  # validation and test in turn

    def next_one(outputs: Any, labels: Any) -> float:
        return next(values)

    history = assay.fit(SHORT | {"data": {"validation": 50}}, measures={"next": next_one})
    assert list(history.frame()["validation_next"]) == [5.0, 3.0, 2.0]
    assert history.best_by("next").iteration == 0
    values = iter([5.0, 3.0, 4.0])
    history = assay.fit(SHORT, measures={"next": ("min", next_one)})
    assert history.best_by("next").iteration == 20
    assert history.best_by("accuracy").test_accuracy == max(p.test_accuracy for p in history.points)
    assert history.best_by("loss").iteration == history.best.iteration
    with pytest.raises(AssayError, match="unknown measure 'nxt'; did you mean 'next'"):
        history.best_by("nxt")
    with pytest.raises(AssayError, match="'r2' was measured at no point"):
        history.best_by("r2")


def test_measures_are_saved_resumed_and_drawn(tmp_path: Path) -> None:
    half = assay.fit(SHORT, measures={"errors": ("min", errors)})
    again = assay.load_history(half.save(tmp_path / "w.safetensors"))
    assert again.own == half.own
    assert again.frame().equals(half.frame())
    longer = assay.fit(half.recipe.with_budget(iterations=60), start=again, measures={"f1": f1})
    frame = longer.frame()
    assert frame["test_errors"].notna().tolist() == [True, True, True, False]
    assert frame["test_f1"].notna().tolist() == [False, False, False, True]
    assert set(longer.measures) == {"f1"}
    assert longer.best_by("errors").iteration == 40
    spec = half.plot().to_dict()
    assert len(spec["concat"]) == 3
    assert len(assay.fit(SHORT).plot().to_dict()["hconcat"]) == 2


def test_repeats_have_a_column_for_each_measure() -> None:
    fits = assay.fit(SHORT, measures={"errors": ("min", errors)}, repeats=2)
    assert fits.frame()["errors"].tolist() == [history.measures["errors"] for history in fits]
    assert fits.curves()["test_errors"].notna().all()


def test_a_measure_that_fails_names_the_point_and_loses_nothing() -> None:
    calls = 0

    def fails(outputs: Any, labels: Any) -> float:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyError("nothing")
        return 1.0

    expected = "measure 'fails' at iteration 40 on the test set raised KeyError: 'nothing'"
    with pytest.raises(MeasureError, match=expected) as caught:
        assay.fit(SHORT | {"budget": "60 iterations"}, measures={"fails": fails})
    history = caught.value.history
    assert history is not None
    assert [point.iteration for point in history.points] == [0, 20, 40]
    assert history.frame()["test_fails"].notna().tolist() == [True, True, False]
    resumed = assay.fit(history.recipe, start=history, measures={"fails": lambda a, y: 2.0})
    whole = assay.fit(SHORT | {"budget": "60 iterations"})
    assert resumed.points[-1].test_loss == whole.points[-1].test_loss
    assert resumed.measures == {"fails": 2.0}


def changes(outputs: Any, labels: Any) -> float:
    outputs[0] = 0.0
    return 1.0


def relabels(outputs: Any, labels: Any) -> float:
    labels += 1
    return 1.0


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda a, y: None, r"returned nothing \(None\); expected a number"),
        (lambda a, y: a.max(1), r"returned an array of shape \(360,\); expected a number"),
        (lambda a, y: float("nan"), "returned nan; expected a finite number"),
        (lambda a, y: "0.5", "returned '0.5'; expected a number"),
        (lambda a, y: True, "returned True; expected a number"),
        (lambda a, y: 1j, "returned a complex; expected a number"),
        (lambda o: 1.0, "raised TypeError"),
        (changes, "its arrays are read-only: copy what it changes"),
        (relabels, "its arrays are read-only: copy what it changes"),
    ],
)
def test_what_a_measure_returns_is_checked_before_any_training(function: Any, sentence: str) -> None:
    with pytest.raises(MeasureError, match=f"measure 'mine' at iteration 0 on the test set {sentence}|{sentence}"):
        assay.fit(SHORT, measures={"mine": function})


def test_all_wrong_measures_are_named_at_once() -> None:
    given: Any = {"accuracy": f1, "loss": f1, "top 3": f1, "class": f1, "x": 3, "y": ("low", f1), "z": ("min", None)}
    with pytest.raises(RecipeError) as caught:
        assay.fit(SHORT, measures=given)
    text = str(caught.value)
    assert "measures.accuracy: is a name of Assay's own; choose another, such as 'my_accuracy'" in text
    assert "measures.loss: is a name" in text
    assert "got the name 'top 3'" in text
    assert "got the name 'class'" in text
    assert "measures.x: got 3; expected a function" in text
    assert "measures.y: got 'low' before the function; expected 'max' or 'min'" in text
    assert "measures.z: got nothing (None); expected a function" in text
    with pytest.raises(RecipeError, match="measures: got a list; expected functions by name"):
        assay.fit(SHORT, measures=[f1])  # pyright: ignore
