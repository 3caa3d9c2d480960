"""The estimators: scikit-learn's own checks, and that what they train is what `assay.fit` trains."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.metrics import log_loss, mean_squared_error, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import assay
from assay.errors import AssayError
from assay.sklearn import AssayClassifier, AssayRegressor, EstimatorError

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
FEATURES, TARGETS = load_diabetes(return_X_y=True)
CHECKS = [check for kind in (AssayClassifier, AssayRegressor) for check in estimator_checks_generator(kind())]


def small(**settings: Any) -> AssayClassifier:
    return AssayClassifier(**{"hidden": (8,), "epochs": 3, "random_state": 1} | settings)


@pytest.mark.filterwarnings("ignore")  # the checks provoke warnings, and judge them themselves
@pytest.mark.parametrize("number", range(len(CHECKS)), ids=lambda n: f"{CHECKS[n][1].func.__name__}-{n}")
def test_it_passes_the_checks_of_scikit_learn(number: int) -> None:
    estimator, check = CHECKS[number]
    if check.func.__name__ == "check_array_api_input":
        pytest.skip("needs the variable SCIPY_ARRAY_API before SciPy is imported")
    check(estimator)


def test_it_trains_what_fit_trains_bit_for_bit() -> None:
    classifier = small(learning_rate=0.01, l2=1e-3).fit(X, NAMES[Y])
    recipe = {"model": {"hidden": [8]}, "lr": 0.01, "regularisation": {"l2": 1e-3}, "epochs": 3, "batch_size": 32}
    data = assay.from_arrays(X, NAMES[Y], X[::2], NAMES[Y][::2])
    history = assay.fit(recipe | {"input": "standardise-features"}, data=data, threads=1)
    for name, weights in history.checkpoint.weights.items():
        np.testing.assert_array_equal(classifier.history_.checkpoint.weights[name], weights)
    np.testing.assert_array_equal(classifier.predict(X), history.predict(X))


def test_its_curve_has_training_losses_and_no_test_accuracy() -> None:
    classifier = small().fit(X, Y)
    assert len(classifier.loss_curve_) == 3
    assert classifier.loss_curve_[-1] == pytest.approx(log_loss(Y, classifier.predict_proba(X)), rel=1e-5)
    final = classifier.history_.final
    assert (final.test_loss, final.test_accuracy, classifier.history_.accuracy) == (None, None, None)
    assert final.train_accuracy == pytest.approx(classifier.score(X, Y))
    assert classifier.validation_scores_ is None


def test_validation_examples_are_not_trained_on_and_end_a_training() -> None:
    classifier = small(validation_fraction=0.2, patience="2 epochs", epochs=200, learning_rate=0.1).fit(X, Y)
    assert classifier.history_.recipe.data.validation == 30
    assert classifier.history_.outcome == "stopped"
    assert len(classifier.validation_scores_) == len(classifier.loss_curve_) < 200
    assert set(np.round(np.array(classifier.validation_scores_) * 30, 5)) <= set(range(31))


def test_a_warm_start_begins_with_the_weights_of_the_last_fit() -> None:
    classifier = small(warm_start=True, epochs=1, optimizer="sgd", learning_rate=1e-12)
    before = classifier.fit(X, Y).predict_proba(X)
    classifier.set_params(learning_rate=0.1, epochs=20).fit(X, Y)
    trained = classifier.predict_proba(X)
    assert np.abs(trained - before).max() > 0.05
    classifier.set_params(learning_rate=1e-12, epochs=1).fit(X[:100], np.append(Y[:99], 2))
    np.testing.assert_allclose(classifier.predict_proba(X), trained, atol=1e-6)  # also on other data: scaling is kept
    classifier.set_params(warm_start=False).fit(X, Y)
    np.testing.assert_allclose(classifier.predict_proba(X), before, atol=1e-6)


def test_a_warm_start_that_does_not_fit_is_refused() -> None:
    classifier = small(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match=r"warm_start: y has the classes 0, 1; the last fit had 0, 1, 2"):
        classifier.fit(X[:100], Y[:100])
    with pytest.raises(ValueError, match="the model has other layers than in the last fit"):
        classifier.set_params(hidden=(9,)).fit(X, Y)


def test_cross_validation_pipelines_and_grids() -> None:
    assert cross_val_score(small(epochs=60, learning_rate=0.01), X, Y, cv=3).min() > 0.85
    grid = GridSearchCV(
        make_pipeline(MinMaxScaler(), small(epochs=20)),
        {"assayclassifier__learning_rate": np.logspace(-6, -1, 2), "assayclassifier__hidden": [(8,), (4, 4)]},
        cv=2,
    )
    assert grid.fit(X, Y).best_params_["assayclassifier__learning_rate"] == pytest.approx(0.1)


def test_a_fitted_estimator_is_pickled_and_cloned() -> None:
    classifier = small().fit(X, NAMES[Y])
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))
    with pytest.raises(NotFittedError):
        clone(classifier).predict(X)


def test_pictures_train_a_network_with_convolutions() -> None:
    x, y = load_digits(return_X_y=True)
    layers = ["flatten", {"kind": "dense", "units": 8, "activation": "relu"}]
    model = [{"kind": "conv2d", "channels": 2, "kernel": 3, "activation": "relu"}, *layers]
    classifier = AssayClassifier(model=model, image_shape=(8, 8), epochs=1, random_state=1, engine="numpy")
    history = classifier.fit(x[:200], y[:200]).history_
    assert (history.shape, history.recipe.input, history.scale) == ((8, 8), "unit", 16.0)
    assert classifier.predict(x[:3]).shape == (3,)


def test_none_draws_a_seed_from_numpys_generator() -> None:
    state = np.random.get_state()
    try:
        np.random.seed(5)
        first, second = small(random_state=None).fit(X, Y), small(random_state=None).fit(X, Y)
        np.random.seed(5)
        again = small(random_state=None).fit(X, Y)
    finally:
        np.random.set_state(state)
    assert first.seed_ == again.seed_ != second.seed_
    assert small(random_state=7).fit(X, Y).history_.recipe.seed == 7


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"optimizer": "adm"}, "unknown optimizer 'adm'; did you mean 'adam'"),
        ({"epochs": -1, "l2": -1.0}, "2 errors"),
        ({"hidden": None, "activation": "relu", "model": "2LR"}, "given together with hidden, activation or dropout"),
        ({"batch_size": 1000}, "got 1000; expected at most 150"),
        ({"patience": 3}, "give validation_fraction"),
        ({"validation_fraction": 1.5}, "got 1.5; expected a number from 0 to below 1"),
        ({"recipe": {"seed": 3}}, "has seed, which the other hyperparameters decide"),
        ({"image_shape": (2, 3)}, "has 6 values; X has 4 features"),
        ({"optimizer": "sgd", "learning_rate": 1e30}, "the training diverged: loss not finite"),
        ({"engine": "nunpy"}, "did you mean 'numpy'"),
    ],
)
def test_a_wrong_hyperparameter_is_a_sentence_and_a_value_error(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        small(**settings).fit(X, Y)
    assert isinstance(caught.value, AssayError)


def test_what_it_cannot_do_is_refused() -> None:
    with pytest.raises(TypeError, match="has no sample_weight: every example counts the same"):
        small().fit(X, Y, sample_weight=np.ones(len(Y)))
    small().fit(X, Y, sample_weight=None)
    with pytest.raises(TypeError, match="has no argument 'groups'"):
        small().fit(X, Y, groups=Y)
    with pytest.raises(ValueError, match="y has only one class, 1"):
        small().fit(X, np.ones(len(Y), int))
    with pytest.raises(ValueError, match="continuous"):
        small().fit(X, X[:, 0])
    with pytest.warns(DataConversionWarning):
        small().fit(X, Y[:, None])


def test_only_those_who_import_it_load_scikit_learn() -> None:
    code = "import sys, assay; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("kind", [np.float64, np.uint8])
def test_images_with_channels_first_are_predicted_in_the_order_of_training(kind: type) -> None:
    y = np.arange(60) % 2
    x = np.random.default_rng(0).uniform(0, 100, (60, 3, 8, 8))
    x[y == 1, 0, :4] += 100  # what tells the classes apart is in one channel
    flat = x.astype(kind).reshape(60, -1)
    classifier = AssayClassifier((16,), image_shape=(3, 8, 8), epochs=20, learning_rate=0.01, random_state=0)
    assert classifier.fit(flat, y).score(flat, y) == classifier.history_.points[-1].train_accuracy == 1.0
    last = np.moveaxis(x.astype(kind), 1, -1).reshape(60, -1)
    other = clone(classifier).set_params(image_shape=(8, 8, 3)).fit(last, y)
    np.testing.assert_array_equal(other.predict_proba(last), classifier.predict_proba(flat))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"hidden": 5}, r"hidden: got 5; expected the units of each hidden layer, such as \(100,\)"),
        ({"image_shape": 5}, "image_shape: got 5; expected the shape of one example"),
        ({"image_shape": (-4, -1)}, "image_shape: .* expected numbers >= 1"),
        ({"validation_fraction": "x"}, "validation_fraction: got 'x'; expected a number from 0 to below 1"),
        ({"validation_fraction": 0.99}, "0.99 of 8 examples leaves none to train on"),
        ({"threads": 0}, "threads: got 0; expected a number >= 1"),
        ({"recipe": 3}, "recipe: got 3; expected a table"),
        ({"engine": 3}, "engine: got 3; expected a name"),
        ({"device": 3}, "device: got 3; expected a name"),
    ],
)
def test_a_hyperparameter_of_another_type_is_a_sentence(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(EstimatorError, match=sentence):
        AssayClassifier(**({"epochs": 1} | wrong)).fit(np.arange(32.0).reshape(8, 4), np.arange(8) % 2)


def regressor(**settings: Any) -> AssayRegressor:
    return AssayRegressor(**{"hidden": (8,), "epochs": 20, "learning_rate": 0.01, "random_state": 1} | settings)


def test_a_regressor_trains_what_fit_trains_bit_for_bit() -> None:
    fitted = regressor(engine="numpy").fit(FEATURES, TARGETS)
    recipe = {"model": {"hidden": [8]}, "lr": 0.01, "epochs": 20, "batch_size": 32, "input": "standardise-features"}
    data = assay.from_arrays(FEATURES, TARGETS, FEATURES[::2], TARGETS[::2], task="regression")
    history = assay.fit(recipe | {"data": {"task": "regression"}}, data=data, threads=1, engine="numpy")
    for name, weights in history.checkpoint.weights.items():
        np.testing.assert_array_equal(fitted.history_.checkpoint.weights[name], weights)
    np.testing.assert_array_equal(fitted.predict(FEATURES), history.predict(FEATURES))


def test_a_regressor_answers_and_measures_in_the_units_of_the_targets() -> None:
    shifted = 1e4 + 100 * TARGETS
    fitted = regressor(validation_fraction=0.2).fit(FEATURES, shifted)
    final, answers = fitted.history_.final, fitted.predict(FEATURES)
    assert fitted.score(FEATURES, shifted) == pytest.approx(r2_score(shifted, answers)) and 0.3 < final.train_r2 < 1
    assert (final.test_r2, final.test_rmse, final.test_loss, final.train_accuracy) == (None, None, None, None)
    whole = regressor().fit(FEATURES, shifted)
    answers, final = whole.predict(FEATURES), whole.history_.final
    assert final.train_r2 == pytest.approx(r2_score(shifted, answers), abs=1e-5)
    assert final.train_rmse == pytest.approx(mean_squared_error(shifted, answers) ** 0.5, rel=1e-5)
    assert whole.loss_curve_[-1] == pytest.approx(mean_squared_error(shifted, answers) / shifted.var(), rel=1e-5)
    assert len(fitted.validation_scores_) == 20 and whole.validation_scores_ is None
    np.testing.assert_allclose(
        whole.predict(FEATURES), 1e4 + 100 * regressor().fit(FEATURES, TARGETS).predict(FEATURES)
    )


def test_a_warm_start_of_a_regressor_keeps_the_scaling_of_targets() -> None:
    fitted = regressor(warm_start=True).fit(FEATURES, TARGETS)
    before = fitted.predict(FEATURES)
    fitted.set_params(optimizer="sgd", learning_rate=1e-12, epochs=1).fit(FEATURES[:50], 3 * TARGETS[:50])
    np.testing.assert_allclose(fitted.predict(FEATURES), before, rtol=1e-5)


def test_a_regressor_is_found_by_a_grid_and_beats_the_mean_out_of_sample() -> None:
    scores = cross_val_score(make_pipeline(MinMaxScaler(), regressor()), FEATURES, TARGETS, cv=3)
    assert scores.min() > 0.2
    grid = GridSearchCV(regressor(epochs=5), {"learning_rate": [1e-5, 0.01]}, cv=3).fit(FEATURES, TARGETS)
    assert grid.best_params_ == {"learning_rate": 0.01}
    assert pickle.loads(pickle.dumps(grid.best_estimator_)).predict(FEATURES).shape == (442,)


def test_what_a_regressor_refuses() -> None:
    with pytest.raises(EstimatorError, match="all targets y are 2; expected two different"):
        regressor().fit(FEATURES, np.full(442, 2.0))
    with pytest.raises(ValueError, match="NaN"):
        regressor().fit(FEATURES, np.where(TARGETS > 300, np.nan, TARGETS))
    with pytest.raises(TypeError, match="AssayRegressor.fit has no sample_weight"):
        regressor().fit(FEATURES, TARGETS, sample_weight=np.ones(442))
    with pytest.raises(EstimatorError, match="loss"):
        regressor(recipe={"loss": "nll"}).fit(FEATURES, TARGETS)
    with pytest.warns(DataConversionWarning):
        fitted = regressor(epochs=1).fit(FEATURES, TARGETS[:, None])
    with pytest.raises(NotFittedError):
        regressor().predict(FEATURES)
    assert fitted.predict(FEATURES).shape == (442,)
