"""Regression: scores against scikit-learn's, fits against closed forms and a loop in torch, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score, root_mean_squared_error

import assay
from assay.data.dataset import from_arrays
from assay.data.prepare import prepare
from assay.engines.base import Cohort
from assay.errors import AssayError, DataError, RecipeError
from assay.recipe.model import Recipe

ENGINES = ("numpy", "native", "torch", "jax")
DATA = {"name": "diabetes", "task": "regression"}
RECIPE: dict[str, Any] = {
    "data": {**DATA, "validation": 60},
    "input": "standardise-features",
    "model": {"hidden": [8]},
    "budget": {"epochs": 3},
    "log": "1 epoch",
}


def toy(rows: int = 60, *, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, 3))
    y = 100.0 + 20.0 * (x @ [1.0, -2.0, 0.5]) + generator.normal(size=rows)
    return x[:40], y[:40], x[40:], y[40:]


@pytest.mark.parametrize("engine", ENGINES)
def test_full_batch_descent_of_a_linear_model_converges_to_least_squares(engine: str) -> None:
    x, y, x_test, y_test = toy()
    recipe = {
        "data": {"task": "regression"},
        "input": "standardise-features",
        "model": {"hidden": []},
        "batches": "full",
        "optimizer": {"name": "descent", "learning_rate": 0.3},
        "budget": {"iterations": 400},
        "precision": "float64",
    }
    history = assay.fit(recipe, data=(x, y, x_test, y_test), engine=engine)
    design = np.column_stack([x.astype(np.float32), np.ones(len(x))])
    weights = np.linalg.lstsq(design, y, rcond=None)[0]
    expected = np.column_stack([x_test.astype(np.float32), np.ones(len(x_test))]) @ weights
    assert np.allclose(history.predict(x_test), expected, rtol=0, atol=1e-8)
    assert history.r2 == pytest.approx(r2_score(y_test, expected), abs=1e-10)
    assert history.rmse == pytest.approx(root_mean_squared_error(y_test, expected), rel=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("loss", ["mse", "quadratic"])
def test_the_scores_of_every_part_are_those_of_scikit_learn(engine: str, loss: str) -> None:
    history = assay.fit({**RECIPE, "loss": loss}, engine=engine)
    data = assay.load_data("diabetes")
    prepared = prepare(data, history.recipe.preparation)
    assert prepared.targets is not None and history.targets is not None
    assert prepared.x_validation is not None and prepared.y_validation is not None
    parts = {
        "train": (prepared.x_train, prepared.y_train),
        "validation": (prepared.x_validation, prepared.y_validation),
        "test": (prepared.x_test, prepared.y_test),
    }
    network = history.recipe.model.network(prepared.shape, 1)
    for name, (x, z) in parts.items():
        w = {key: value[0].astype(np.float64) for key, value in history.checkpoint.weights.items()}
        hidden = np.maximum(x.astype(np.float64) @ w["0.weight"] + w["0.bias"], 0.0)
        last = next(key for key in network.shapes if key.endswith("weight") and key != "0.weight").split(".")[0]
        answer = prepared.targets.invert((hidden @ w[f"{last}.weight"] + w[f"{last}.bias"])[:, 0])
        truth = prepared.targets.invert(z)
        assert getattr(history.final, f"{name}_r2") == pytest.approx(r2_score(truth, answer), abs=2e-6)
        assert getattr(history.final, f"{name}_rmse") == pytest.approx(root_mean_squared_error(truth, answer), rel=2e-6)
        assert getattr(history.final, f"{name}_accuracy") is None
    assert history.accuracy is None and history.effort is None and history.confusion is None
    assert np.allclose(prepared.targets.invert(prepared.y_test), data.y_test)


def test_a_training_is_that_of_a_loop_written_in_torch() -> None:
    torch = pytest.importorskip("torch")
    recipe = Recipe.parse(
        {**RECIPE, "batches": "full", "budget": {"iterations": 30}, "precision": "float64", "optimizer": "adam"}
    )
    history = assay.fit(recipe, engine="numpy")
    data = prepare(assay.load_data("diabetes"), recipe.preparation)
    network = recipe.model.network(data.shape, 1)
    start = Cohort((recipe,), network).initial_weights()
    w = {name: torch.tensor(array[0], requires_grad=True) for name, array in start.items()}
    x, y = torch.tensor(data.x_train), torch.tensor(data.y_train)
    optimizer = torch.optim.Adam(list(w.values()), lr=recipe.optimizer.learning_rate, eps=1e-8)
    names = list(w)
    for _ in range(30):
        hidden = torch.relu(x @ w[names[0]] + w[names[1]])
        loss = ((hidden @ w[names[2]] + w[names[3]])[:, 0] - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, tensor in w.items():
        assert np.allclose(history.checkpoint.weights[name][0], tensor.detach().numpy(), rtol=0, atol=1e-9)


def test_the_targets_are_standardised_by_those_that_are_trained_on() -> None:
    x, y, x_test, y_test = toy()
    data = from_arrays(x, y, x_test, y_test, task="regression")
    prepared = prepare(data, Recipe.parse({"data": {"task": "regression", "validation": 10}}).preparation)
    assert prepared.y_train.mean() == pytest.approx(0.0, abs=1e-12)
    assert prepared.y_train.std() == pytest.approx(1.0)
    assert any("targets were standardised" in note for note in prepared.notes)


def test_a_saved_history_predicts_the_same_values(tmp_path: Path) -> None:
    history = assay.fit(RECIPE)
    data = assay.load_data("diabetes")
    again = assay.load_history(history.save(tmp_path / "a.safetensors"))
    assert np.array_equal(again.predict(data.x_test), history.predict(data.x_test))
    assert again.final == history.final and again.r2 == history.r2
    assert "accuracy" not in history.plain() and "test_accuracy" not in history.plain()["curve"][0]
    with pytest.raises(AssayError, match="a regression has none"):
        history.predict(data.x_test, probabilities=True)


def test_a_classification_is_stored_without_the_scores_of_a_regression() -> None:
    history = assay.fit({"budget": {"iterations": 5}, "model": {"hidden": [4]}})
    assert not any("r2" in name or "rmse" in name for name in (*history.plain(), *history.plain()["curve"][0]))
    assert not any("r2" in name for name in history.frame().columns)


def test_whole_numbers_with_the_loss_mse_stay_classes() -> None:
    history = assay.fit({"budget": {"iterations": 5}, "loss": "mse", "model": {"hidden": [4], "output": "sigmoid"}})
    assert history.accuracy is not None and history.r2 is None and len(history.classes) == 10


def test_the_task_is_part_of_the_key_and_no_task_has_none() -> None:
    assert Recipe.parse({"data": DATA}).key() != Recipe.parse({"data": "diabetes"}).key()
    assert "task" not in Recipe.parse({"data": "diabetes"}).canonical()["data"]


def test_a_regression_leaves_loss_and_output_to_the_task() -> None:
    recipe = Recipe.parse({"data": DATA})
    assert (recipe.loss, recipe.model.output) == ("mse", "identity")
    assert Recipe.parse(recipe.plain()) == recipe and Recipe.parse(recipe.written()) == recipe
    back = recipe.patched({"data": {"task": None}, "loss": None})
    assert back.loss == Recipe().loss


def test_whole_numbers_are_targets_where_the_task_says_so(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.linspace(0, 1, 40), "target": np.arange(40) % 7})
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = assay.load_data(tmp_path / "t.csv", task="regression")
    assert data.task == "regression" and data.classes == ("target",) and len(data.y_test) == 8
    assert assay.load_data(tmp_path / "t.csv").task is None
    assert assay.load_data(frame, task="regression").checksum == data.checksum


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        ([1.5, np.nan, 2.0, 4.0], "that of example 1 is NaN"),
        ([1.5, np.inf, 2.0, 4.0], "that of example 1 is infinite"),
        ([2.0, 2.0, 2.0, 2.0], "are all 2; expected two different values"),
        (["a", "b", "a", "b"], "hold 'a', which is no number"),
        ([[1.0, 2.0]] * 4, r"have shape \(4, 2\); expected one number per example"),
    ],
)
def test_targets_that_are_none_are_refused_in_a_sentence(y: list[Any], sentence: str) -> None:
    x = np.arange(8.0).reshape(4, 2)
    with pytest.raises(DataError, match=sentence):
        from_arrays(x, np.array(y), x, np.array([1.0, 2.0, 3.0, 4.0]), task="regression")


def test_real_labels_of_a_classification_say_how_to_make_a_regression() -> None:
    x = np.arange(8.0).reshape(4, 2)
    with pytest.raises(DataError, match=r"label 0 is 0.5; .* data.task = 'regression'"):
        from_arrays(x, np.array([0.5, 1.0, 2.0, 3.0]), x, np.array([0, 1, 2, 3]))
    with pytest.raises(DataError, match=r"--set data.task=regression"):
        assay.fit({"data": "diabetes"})
    with pytest.raises(DataError, match="the labels of this data set are classes"):
        assay.fit({"data": {"name": "digits", "task": "regression"}})


def test_a_validation_set_of_one_target_is_refused() -> None:
    with pytest.raises(DataError, match=r"data.validation: the 1 validation examples of diabetes all have the target"):
        assay.fit({"data": {**DATA, "validation": 1}})


def test_constant_columns_become_0_and_are_no_error() -> None:
    x, y, x_test, y_test = toy()
    x, x_test = (np.column_stack([part, np.full(len(part), 7.0)]) for part in (x, x_test))
    recipe = {"data": {"task": "regression"}, "input": "standardise-features", "budget": {"iterations": 5}}
    assert np.isfinite(assay.fit(recipe, data=(x, y, x_test, y_test)).r2 or np.nan)


def test_what_needs_classes_is_refused_all_at_once() -> None:
    with pytest.raises(RecipeError) as error:
        assay.fit({"data": DATA, "loss": "nll", "model": {"output": "softmax"}, "stop": {"accuracy": 0.9}})
    assert len(error.value.problems) == 3


def test_auto_takes_the_engine_that_it_takes_for_classes() -> None:
    pytest.importorskip("assay._native")
    history, classes = assay.fit(RECIPE), assay.fit({"budget": {"iterations": 1}, "model": {"hidden": [4]}})
    assert history.engine == classes.engine == "native"
    assert history.r2 == pytest.approx(assay.fit(RECIPE, engine="numpy").r2, abs=1e-4)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_regression_that_is_watched_and_resumed_has_the_same_bits(precision: str) -> None:
    """By the native engine: a log point at every iteration or at the end alone; and two epochs after the first."""
    pytest.importorskip("assay._native")
    recipe = RECIPE | {"precision": precision, "model": {"hidden": [8], "dropout": 0.2}, "optimizer": "adam"}
    watched = assay.fit(recipe | {"log": "1 iteration"}, engine="native")
    unwatched = assay.fit(recipe | {"log": "3 epochs"}, engine="native")
    assert len(watched.points) > len(unwatched.points)
    first = assay.fit(recipe | {"budget": {"epochs": 1}}, engine="native")
    resumed = assay.fit(recipe, engine="native", start=first)
    for other in (watched, resumed):
        assert other.final.test_r2 == unwatched.final.test_r2
        for name, w in unwatched.checkpoint.weights.items():
            assert np.array_equal(other.checkpoint.weights[name], w)


def test_a_command_names_engines_that_can() -> None:
    from assay.engines.program import Command, Program

    reason = Program(Command(command=("true",))).why_not(Recipe.parse(RECIPE))
    assert reason == (
        "a command trains classifiers alone; use engine 'native', 'numpy', 'torch' or 'jax' for a regression"
    )


STUDY: dict[str, Any] = {
    "name": "rates",
    "repeats": 3,
    "timing": "packed",
    "baseline": {k: v for k, v in RECIPE.items() if k != "data"} | {"data": DATA},
    "axes": {"rate": {"key": "optimizer.learning_rate", "values": [0.001, 0.02]}},
}


def test_a_study_is_ranked_by_r2_and_has_no_accuracy(tmp_path: Path) -> None:
    results = assay.run(STUDY, store=str(tmp_path / "s.db"))
    frame = results.frame()
    assert not any("accuracy" in name or "macro" in name for name in frame.columns)
    assert {"r2", "rmse"} <= set(frame.columns) and "effort" not in frame.columns
    summary = results.summary().set_index("configuration")
    assert summary.loc["rate 0.02", "r2"] == pytest.approx(frame[frame["rate"] == 0.02]["r2"].mean())
    verdict = results.verdict("rate 0.02", "rate 0.001")
    pairs = frame.pivot_table(index="repeat", columns="rate", values="r2")
    assert verdict.difference == pytest.approx((pairs[0.02] - pairs[0.001]).mean())
    assert verdict.measure == "" or "R2" in verdict.measure or "r2" in verdict.measure
    answers = " ".join(results.answers())
    assert "rate 0.02 is best: test R2" in answers
    assert "effort is training seconds / accuracy, and a regression has no accuracy" in answers
    assert "a target is an accuracy, and a regression has no accuracy" in answers
    with pytest.raises(AssayError, match="a regression has no accuracy"):
        results.verdict("rate 0.02", "rate 0.001", measure="accuracy")
    with pytest.raises(AssayError, match="no confusion matrix"):
        results.picture("confusion")
    for chart in ("curves", "pareto", "parallel", "verdicts", "curve"):
        results.picture(chart)
    assert "R2" in results._repr_html_()
    page = results.report(tmp_path / "page.html").read_text()
    assert "test R2" in page


def test_a_study_of_both_tasks_is_refused(tmp_path: Path) -> None:
    axis = {"set": {"a": {"data": DATA}, "b": {"data": {"name": "iris"}}}}
    study = {"name": "mixed", "baseline": {"budget": {"epochs": 1}}, "axes": axis}
    with pytest.raises(AssayError, match="a regression and others of a classification"):
        assay.run(study, store=str(tmp_path / "s.db"))


def test_a_search_maximizes_r2_and_refuses_what_needs_an_accuracy(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    study = {
        "name": "found",
        "design": "search",
        "timing": "packed",
        "search": {"method": "random", "trials": 4},
        "baseline": STUDY["baseline"],
        "axes": {"rate": {"key": "optimizer.learning_rate", "low": 1e-4, "high": 0.1, "scale": "log"}},
    }
    results = assay.run(study, store=str(tmp_path / "s.db"))
    assert results.searched is not None and results.searched.goal.names == ("r2",)
    assert "test R2" in " ".join(results.answers())
    with pytest.raises(RecipeError, match="'effort' is training seconds / accuracy, and a regression has no accuracy"):
        assay.run({**study, "search": {"trials": 4, "objective": "effort"}}, store=str(tmp_path / "s.db"))


def test_an_onnx_model_of_a_regression_is_refused(tmp_path: Path) -> None:
    from assay.training.onnx_model import write_onnx

    with pytest.raises(
        AssayError, match=r"of a classifier, and these weights are of a regression; write \.safetensors"
    ):
        write_onnx(assay.fit(RECIPE), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())
