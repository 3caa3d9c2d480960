"""Every feature by its own mean and deviation: the formula, its edges, and that training and prediction share it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import assay
from assay.data.dataset import Dataset, from_arrays
from assay.data.features import FeatureScaling
from assay.data.prepare import Preparation, prepare, split
from assay.engines import ENGINES, installed
from assay.errors import DataError

FEATURES = Preparation("standardise-features", "float64", validation=20)


@pytest.fixture(scope="module")
def wine() -> Dataset:
    x, y = load_wine(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
    return from_arrays(x_train, y_train, x_test, y_test, name="wine", classes=["a", "b", "c"])


def table(x_train: list[list[float]], x_test: list[list[float]], **options: float) -> Dataset:
    y = np.arange(len(x_train)) % 2
    return from_arrays(np.array(x_train), y, np.array(x_test), y[: len(x_test)], **options)


def test_it_is_scikit_learns_scaler_fitted_on_the_training_rows_alone(wine: Dataset) -> None:
    rows, drawn = split(wine, train=None, validation=20)
    scaler = StandardScaler().fit(wine.x_train[rows].astype(float))
    data = prepare(wine, FEATURES)
    np.testing.assert_allclose(data.x_train, scaler.transform(wine.x_train[rows].astype(float)), atol=1e-9)
    np.testing.assert_allclose(data.x_test, scaler.transform(wine.x_test.astype(float)), atol=1e-9)
    assert data.x_validation is not None
    np.testing.assert_allclose(data.x_validation, scaler.transform(wine.x_train[drawn].astype(float)), atol=1e-9)
    assert np.abs(data.x_validation.mean(axis=0)).max() > 0.1  # it was not fitted on these
    assert data.features is not None
    np.testing.assert_allclose(data.features.mean * wine.scale, scaler.mean_, rtol=1e-9)


def test_constant_features_are_zero_everywhere_and_it_is_said() -> None:
    rows = [[1.0, 5.0, 0.1], [3.0, 5.0, 0.1], [1.0, 5.0, 0.1], [3.0, 5.0, 0.1]]
    data = prepare(table(rows, [[2.0, 9.0, 0.1], [3.0, 5.0, 0.1]]), Preparation("standardise-features", "float64"))
    np.testing.assert_allclose(data.x_train, [[-1, 0, 0], [1, 0, 0], [-1, 0, 0], [1, 0, 0]], rtol=1e-12)
    np.testing.assert_allclose(data.x_test, [[0, 0, 0], [1, 0, 0]], atol=1e-12)
    assert not data.x_train[:, 1:].any() and not data.x_test[:, 1:].any()  # exactly 0
    said = [note for note in data.notes if "constant" in note]
    assert said == [
        "1 feature (1) is constant in the training set and not in the validation or test set: input "
        "'standardise-features' makes it 0"
    ]
    silent = prepare(table(rows, [[2.0, 5.0, 0.1], [3.0, 5.0, 0.1]]), Preparation("standardise-features", "float64"))
    assert not [note for note in silent.notes if "constant in" in note]


def test_what_cannot_be_standardised_is_refused() -> None:
    same = table([[1.0, 2.0], [1.0, 2.0]], [[1.0, 2.0]])
    with pytest.raises(DataError, match="every feature is constant"):
        prepare(same, Preparation("standardise-features", "float32"))
    far = table([[1.0, 1e-30], [2.0, 2e-30]], [[1.0, 1e15]], scale=1.0)
    with pytest.raises(DataError, match="test example 0: feature 1 is 2e[+]45 deviations"):
        prepare(far, Preparation("standardise-features", "float32"))


def test_numbers_near_the_limits_of_float64_and_of_rounding_are_right() -> None:
    x = np.array([[1e200, 1e-200, 1e9, 0.1], [3e200, 3e-200, 1e9 + 2, 0.1 + 1e-17]])
    features = FeatureScaling.of(x, 1.0)
    np.testing.assert_allclose(features.deviation, [1e200, 1e-200, 1.0, 0.0], rtol=1e-12)
    np.testing.assert_allclose(features.apply(x), [[-1, -1, -1, 0], [1, 1, 1, 0]], rtol=1e-12)


def test_pixels_and_blocks_give_the_same_as_one_formula() -> None:
    x = np.random.default_rng(1).integers(0, 256, (5000, 6)).astype(np.uint8)
    features = FeatureScaling.of(x, 255.0)
    np.testing.assert_allclose(features.mean, (x / 255).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(features.deviation, (x / 255).std(axis=0), rtol=1e-12)


@pytest.mark.parametrize("engine", [name for name in ENGINES if installed(name)])
def test_every_engine_trains_on_the_same_inputs_and_predicts_as_it_was_measured(engine: str, wine: Dataset) -> None:
    recipe = {"input": "standardise-features", "budget": {"iterations": 30}, "precision": "float64"}
    history = assay.fit(recipe, data=wine, engine=engine)
    reference = assay.fit(recipe, data=wine, engine="numpy")
    assert history.final.test_loss == pytest.approx(reference.final.test_loss, rel=1e-9)
    x = np.concatenate([wine.x_test, wine.x_train])
    labels = history.predict(x)
    assert (labels[: len(wine.y_test)] == np.array(wine.classes)[wine.y_test]).mean() == history.accuracy


def test_columns_of_other_units_are_learnt(wine: Dataset) -> None:
    recipe = {"budget": {"epochs": 30}, "data": {"name": "wine"}}
    accuracies = {name: assay.fit(recipe | {"input": name}, data=wine).accuracy for name in ("unit", "standardise")}
    assert assay.fit(recipe | {"input": "standardise-features"}, data=wine).accuracy >= 0.95
    assert max(accuracies.values()) < 0.75  # type: ignore[type-var]
