"""A regressor for scikit-learn."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from assay.data.dataset import from_arrays
from assay.data.targets import REGRESSION
from assay.errors import AssayError
from assay.sklearn.estimator import NetworkEstimator, as_images, as_value_error, check_shape, refuse


class AssayRegressor(RegressorMixin, NetworkEstimator):
    """A neural network that answers with a number, with the interface of scikit-learn's estimators.

    It trains the mean squared error of targets that are standardised by their mean and deviation over the training
    examples, and predicts in the target's units. It trains in the calling process and stores nothing. All examples are
    trained on, unless `validation_fraction` says otherwise.

    Args:
        hidden: Units of each hidden layer of a multilayer perceptron, such as (64, 32); None for (128,).
        activation, dropout, model, optimizer, learning_rate, schedule, l2, epochs, batch_size, input, image_shape,
            validation_fraction, patience, warm_start, random_state, engine, device, threads, recipe: As in
            `AssayClassifier`. A warm start keeps the scaling of the targets as well as that of the input.

    Attributes:
        n_features_in_: D, the number of features.
        feature_names_in_: Their names, where X has string column names.
        history_: The `History` of the training. Its points have training and validation quantities, with R2 and RMSE in
            place of accuracies; those of a test set are None.
        loss_curve_: The mean squared error of the standardised targets of the training examples after each epoch.
        validation_scores_: R2 on the validation examples after each epoch; None without them.
        seed_: The seed that was used.

    Examples:
        >>> from sklearn.datasets import load_diabetes
        >>> x, y = load_diabetes(return_X_y=True)
        >>> regressor = AssayRegressor(hidden=(16,), epochs=30, random_state=1).fit(x, y)
        >>> regressor.score(x, y) > 0.4
        True
    """

    def fit(self, X: Any, y: Any, **unsupported: Any) -> Self:  # noqa: N803 - scikit-learn's name
        """Trains the network on examples X (N, D) with their targets y (N,); returns the estimator.

        Raises:
            EstimatorError: A hyperparameter is wrong, all targets are equal, or the loss was not finite. It is an
                AssayError and a ValueError.
            TypeError: A keyword such as `sample_weight` was given.
        """
        refuse(type(self).__name__, unsupported)
        last = self._last()
        checked: Any = validate_data(self, X, y, reset=last is None, y_numeric=True, ensure_min_samples=2)
        x, y = checked[0], np.asarray(checked[1], dtype=np.float64)
        with as_value_error():
            self._check_types()
            if y.min() == y.max():
                raise AssayError(f"all targets y are {y[0]:g}; expected two different values or more")
            check_shape(x, self.image_shape)
            pictures, ends = as_images(x, self.image_shape), [int(y.argmin()), int(y.argmax())]
            # a data set has a test set; nothing is measured on these two
            dataset = from_arrays(
                pictures, y, pictures[ends], y[ends], task=REGRESSION, scale=last.scale if last else None
            )
            recipe = self._train(dataset, start=last)
        after = [point for point in self.history_.points if point.iteration > 0]
        self.validation_scores_ = [point.validation_r2 for point in after] if recipe.data.validation else None
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """The values (N,) that are expected for examples X (N, D), in the units of the targets."""
        return self._outputs(X, probabilities=False)

    def _task(self) -> dict[str, Any]:
        return {"task": REGRESSION}


__all__ = ["AssayRegressor"]
