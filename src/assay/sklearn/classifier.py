"""A classifier for scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from assay.data.dataset import Dataset, from_arrays
from assay.errors import AssayError
from assay.sklearn.estimator import NetworkEstimator, as_images, as_value_error, check_shape, refuse, written


class AssayClassifier(ClassifierMixin, NetworkEstimator):
    """A neural network that classifies, with the interface of scikit-learn's estimators.

    It trains in the calling process and stores nothing. Where a hyperparameter is None, it has the default of a recipe
    or of its component. All training examples are trained on, unless `validation_fraction` says otherwise. No test set
    is held out: use `cross_val_score` or `train_test_split`.

    Args:
        hidden: Units of each hidden layer of a multilayer perceptron, such as (64, 32); None for (128,).
        activation: The function after each hidden layer, such as "relu", "tanh" or "sigmoid".
        dropout: The probability that a hidden value is set to 0 in training.
        model: In place of these three: the name of a model such as "lenet5", its table, or a list of layers.
        optimizer: A name such as "adam" or "sgd", or its table: `{"name": "sgd", "momentum": 0.9}`.
        learning_rate: The learning rate; None for that of the optimizer.
        schedule: A learning-rate schedule, such as "cosine", or its table.
        l2: The factor of the penalty l2 / 2 sum w**2.
        epochs: Passes over the training examples.
        batch_size: Examples of one update; None for 32, or all where there are fewer.
        input: The input scaling: "unit", "standardise", "standardise-each" or "standardise-features". None for the
            last, or for "unit" with an `image_shape`.
        image_shape: The shape of one example, such as (28, 28) or (32, 32, 3), for models with convolutions.
        validation_fraction: The fraction of the training examples that is set aside to measure a loss on.
        patience: Stop after this much training without a lower validation loss, such as "10 epochs".
        warm_start: Whether `fit` begins with the weights of the last `fit`. The input scaling stays. The optimizer's
            state, the schedule and the batches begin anew, as in scikit-learn's own networks.
        random_state: The seed of initial weights, batches and dropout. None draws one from NumPy's generator.
        engine: "numpy", "native", "jax", "torch", or "auto" for the fastest installed one that can train the model.
        device: "cpu", or a GPU such as "cuda".
        threads: Number of CPU threads. 1, so that `n_jobs` of scikit-learn is what decides.
        recipe: Any other keys of a recipe, as a table; what the other hyperparameters say comes before it.

    Attributes:
        classes_: The classes (C,), sorted.
        n_features_in_: D, the number of features.
        feature_names_in_: Their names, where X has string column names.
        history_: The `History` of the training. Its points have training and validation quantities; those of a test set
            are None.
        loss_curve_: The mean loss on the training examples after each epoch.
        validation_scores_: The accuracy on the validation examples after each epoch; None without them.
        seed_: The seed that was used.

    Examples:
        >>> from sklearn.datasets import load_iris
        >>> x, y = load_iris(return_X_y=True)
        >>> classifier = AssayClassifier(hidden=(32,), learning_rate=0.01, random_state=1).fit(x, y)
        >>> classifier.score(x, y) > 0.95
        True
    """

    def fit(self, X: Any, y: Any, **unsupported: Any) -> Self:  # noqa: N803 - scikit-learn's name
        """Trains the network on examples X (N, D) with their classes y (N,); returns the estimator.

        Raises:
            EstimatorError: A hyperparameter is wrong, y has one class, or the loss was not finite. It is an AssayError
                and a ValueError.
            TypeError: A keyword such as `sample_weight` was given.
        """
        refuse(type(self).__name__, unsupported)
        last = self._last()
        checked: Any = validate_data(self, X, y, reset=last is None)
        x, y = checked
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        with as_value_error():
            self._check_types()
            if len(classes) < 2:
                raise AssayError(f"y has only one class, {written(classes[0])}; expected examples of two or more")
            if last is not None:
                _check_same(self.classes_, classes)
            dataset = _dataset(x, codes, classes, self.image_shape, scale=last.scale if last else None)
            recipe = self._train(dataset, start=last)
        self.classes_ = classes
        after = [point for point in self.history_.points if point.iteration > 0]
        measured = recipe.data.validation > 0
        self.validation_scores_ = [point.validation_accuracy for point in after] if measured else None
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """The probabilities (N, C) of the classes, in the order of `classes_`, for examples X (N, D)."""
        return self._outputs(X, probabilities=True).astype(np.float64)

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """The most likely class (N,) of examples X (N, D)."""
        probabilities = self.predict_proba(X)  # raises before `classes_` is missed
        return self.classes_[probabilities.argmax(axis=1)]


def _check_same(had: NDArray[Any], classes: NDArray[Any]) -> None:
    """Refuses a warm start on other classes. Raises: AssayError."""
    if not np.array_equal(had, classes):
        before, got = (", ".join(map(written, some[:8])) for some in (had, classes))
        raise AssayError(f"warm_start: y has the classes {got}; the last fit had {before}; set warm_start=False")


def _dataset(
    x: NDArray[Any], codes: NDArray[Any], classes: NDArray[Any], shape: Sequence[int] | None, *, scale: float | None
) -> Dataset:
    """The examples as a data set of ours, whose test set is one example that nothing is measured on."""
    names = [str(value) for value in classes]
    if len(set(names)) < len(names):
        names = [str(number) for number in range(len(names))]
    check_shape(x, shape)
    x = as_images(x, shape)
    return from_arrays(x, codes, x[:1], codes[:1], classes=names, scale=scale)


__all__ = ["AssayClassifier"]
