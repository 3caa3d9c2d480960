"""A classifier for scikit-learn: trained in this process, without a store and without the machine's lock."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from assay.data.dataset import Dataset, from_arrays
from assay.data.features import feature_scaling
from assay.data.layout import channels_last
from assay.data.prepare import INPUTS, InputScaling, Prepared, split
from assay.engines import choose
from assay.engines.base import Checkpoint, Cohort, fresh
from assay.engines.program import Program
from assay.errors import AssayError
from assay.recipe.model import Recipe
from assay.recipe.patches import merged
from assay.system.load import Load
from assay.training.history import History, Point
from assay.training.ledger import Ledger
from assay.training.loop import Training
from assay.training.outcome import Outcome

_BATCH = 32
_SEEDS = 2**31 - 1


class EstimatorError(AssayError, ValueError):
    """An estimator was given wrong hyperparameters or data, or its training failed. It is also a ValueError."""


class AssayClassifier(ClassifierMixin, BaseEstimator):
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

    def __init__(
        self,
        hidden: Sequence[int] | None = None,
        *,
        activation: str | None = None,
        dropout: float | None = None,
        model: str | Mapping[str, Any] | Sequence[Any] | None = None,
        optimizer: str | Mapping[str, Any] | None = None,
        learning_rate: float | None = None,
        schedule: str | Mapping[str, Any] | None = None,
        l2: float | None = None,
        epochs: float = 100,
        batch_size: int | None = None,
        input: str | None = None,
        image_shape: Sequence[int] | None = None,
        validation_fraction: float | None = None,
        patience: str | int | None = None,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        engine: str = "auto",
        device: str = "cpu",
        threads: int | None = 1,
        recipe: Mapping[str, Any] | None = None,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.dropout = dropout
        self.model = model
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.l2 = l2
        self.epochs = epochs
        self.batch_size = batch_size
        self.input = input
        self.image_shape = image_shape
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.warm_start = warm_start
        self.random_state = random_state
        self.engine = engine
        self.device = device
        self.threads = threads
        self.recipe = recipe

    def fit(self, X: Any, y: Any, **unsupported: Any) -> Self:  # noqa: N803 - scikit-learn's name
        """Trains the network on examples X (N, D) with their classes y (N,); returns the estimator.

        Raises:
            EstimatorError: A hyperparameter is wrong, y has one class, or the loss was not finite. It is an AssayError
                and a ValueError.
            TypeError: A keyword such as `sample_weight` was given.
        """
        _refuse(type(self).__name__, unsupported)
        again = bool(self.warm_start) and hasattr(self, "history_")
        checked: Any = validate_data(self, X, y, reset=not again)
        x, y = checked
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        with _as_value_error():
            self._check_types()
            if len(classes) < 2:
                raise AssayError(f"y has only one class, {_written(classes[0])}; expected examples of two or more")
            start = _start(self, classes) if again else None
            seed = _seed(self.random_state)
            dataset = _dataset(x, codes, classes, self.image_shape, scale=start.scale if start else None)
            recipe = self._recipe(len(x), seed)
            history = _trained(recipe, dataset, _Engine(self.engine, self.device, self.threads), start=start)
        self.classes_, self.seed_, self.history_ = classes, seed, history
        self._image_shape = None if self.image_shape is None else tuple(self.image_shape)
        after = [point for point in history.points if point.iteration > 0]
        self.loss_curve_ = [point.train_loss for point in after]
        measured = recipe.data.validation > 0
        self.validation_scores_ = [point.validation_accuracy for point in after] if measured else None
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """The probabilities (N, C) of the classes, in the order of `classes_`, for examples X (N, D)."""
        check_is_fitted(self)
        x: Any = validate_data(self, X, reset=False)
        with _as_value_error():
            x = _as_images(x, self._image_shape).reshape(len(x), -1)
            result = self.history_.predict(x, probabilities=True, scale=self.history_.scale)
        return result.astype(np.float64)

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """The most likely class (N,) of examples X (N, D)."""
        probabilities = self.predict_proba(X)  # raises before `classes_` is missed
        return self.classes_[probabilities.argmax(axis=1)]

    def _check_types(self) -> None:
        """Checks what no recipe checks. Raises: AssayError."""
        for name, kind, expected in (
            ("hidden", (Sequence, np.ndarray), "the units of each hidden layer, such as (100,)"),
            ("image_shape", (Sequence, np.ndarray), "the shape of one example, such as (28, 28)"),
            ("validation_fraction", (int, float, np.number), "a number from 0 to below 1"),
            ("threads", (int, np.integer), "a number >= 1"),
            ("recipe", Mapping, "a table"),
            ("engine", str, "a name, such as 'auto'"),
            ("device", str, "a name, such as 'cpu'"),
        ):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
                raise AssayError(f"{name}: got {value!r}; expected {expected}")
        if self.image_shape is not None and not all(
            isinstance(n, int | np.integer) and n > 0 for n in self.image_shape
        ):
            raise AssayError(f"image_shape: got {self.image_shape!r}; expected numbers >= 1, such as (28, 28)")
        if self.threads is not None and self.threads < 1:
            raise AssayError(f"threads: got {self.threads}; expected a number >= 1")

    def _recipe(self, examples: int, seed: int) -> Recipe:
        """The recipe that the hyperparameters describe, for that many examples. Raises: AssayError."""
        if self.model is not None and any(v is not None for v in (self.hidden, self.activation, self.dropout)):
            raise AssayError(
                "model: given together with hidden, activation or dropout, which it would replace; give one"
            )
        if self.patience is not None and not self.validation_fraction:
            raise AssayError("patience: needs validation examples; give validation_fraction, such as 0.1")
        fraction = self.validation_fraction or 0.0
        if not 0 <= fraction < 1:
            raise AssayError(f"validation_fraction: got {fraction}; expected a number from 0 to below 1")
        if self.recipe is not None and (kept := sorted({"data", "stop", "log", "budget", "seed"} & set(self.recipe))):
            raise AssayError(f"recipe: has {', '.join(kept)}, which the other hyperparameters decide; leave it out")
        validation = math.ceil(fraction * examples)
        if validation >= examples:
            raise AssayError(f"validation_fraction: {fraction} of {examples:,} examples leaves none to train on")
        model = {"layers": list(self.model)} if isinstance(self.model, list | tuple) else self.model
        scaling = self.input or ("standardise-features" if self.image_shape is None else "unit")
        patches: list[dict[str, Any]] = [
            {"input": scaling, "batches": {"size": min(_BATCH, examples - validation)}},
            dict(self.recipe or {}),
            {"model": model},
            {"optimizer": self.optimizer},
            {"hidden": self.hidden if self.hidden is None else [_plain(units) for units in self.hidden]},
            {"activation": self.activation, "dropout": self.dropout, "learning_rate": self.learning_rate},
            {"schedule": self.schedule, "batch_size": self.batch_size, "input": self.input},
            {"regularisation": None if self.l2 is None else {"l2": _plain(self.l2)}},
            {"budget": {"epochs": _plain(self.epochs)}, "seed": seed},
            {"data": {"name": "arrays", "validation": validation}, "stop": {"patience": self.patience}},
            {"log": {"every": "1 epoch", "train_loss": "batch"}},  # of all examples: see `_prepared`
        ]
        given = [{key: _plain(value) for key, value in patch.items() if value is not None} for patch in patches]
        return Recipe.parse(merged({}, [patch for patch in given if patch]), source=type(self).__name__)


@dataclass(frozen=True)
class _Engine:
    """What `choose` is asked for."""

    name: str
    device: str
    threads: int | None


@contextmanager
def _as_value_error() -> Generator[None]:
    """Raises errors of ours as EstimatorError, which is a ValueError, as scikit-learn's callers expect."""
    try:
        yield
    except EstimatorError:
        raise
    except AssayError as error:
        raise EstimatorError(str(error)) from error


def _refuse(estimator: str, unsupported: Mapping[str, Any]) -> None:
    given = {key: value for key, value in unsupported.items() if value is not None}
    if "sample_weight" in given:
        raise TypeError(
            f"{estimator}.fit has no sample_weight: every example counts the same; repeat the rows that count more, "
            "or leave sample_weight out"
        )
    if given:
        raise TypeError(f"{estimator}.fit has no argument {sorted(given)[0]!r}; expected X and y")


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, as a grid made by `np.logspace` has them."""
    return value.item() if isinstance(value, np.generic) else value


def _written(value: Any) -> str:
    return repr(_plain(value))


def _seed(random_state: Any) -> int:
    if isinstance(random_state, int | np.integer) and random_state >= 0:
        return int(random_state)
    return int(check_random_state(random_state).randint(_SEEDS))


def _start(estimator: Any, classes: NDArray[Any]) -> History:
    """The last training, if its network fits the classes. Raises: AssayError."""
    if not np.array_equal(estimator.classes_, classes):
        had, got = (", ".join(map(_written, some[:8])) for some in (estimator.classes_, classes))
        raise AssayError(f"warm_start: y has the classes {got}; the last fit had {had}; set warm_start=False")
    return estimator.history_


def _dataset(
    x: NDArray[Any], codes: NDArray[Any], classes: NDArray[Any], shape: Sequence[int] | None, *, scale: float | None
) -> Dataset:
    """The examples as a data set of ours, whose test set is one example that nothing is measured on."""
    names = [str(_plain(value)) for value in classes]
    if len(set(names)) < len(names):
        names = [str(number) for number in range(len(names))]
    if shape is not None and math.prod(shape) != x.shape[1]:
        raise AssayError(f"image_shape: {tuple(shape)} has {math.prod(shape):,} values; X has {x.shape[1]:,} features")
    x = _as_images(x, shape)
    return from_arrays(x, codes, x[:1], codes[:1], classes=names, scale=scale)


def _as_images(x: NDArray[Any], shape: Sequence[int] | None) -> NDArray[Any]:
    """Examples (N, D) as (N, *shape) with channels last, the order in which the weights take them."""
    return x if shape is None else channels_last(x.reshape(len(x), *shape))[0]


def _trained(recipe: Recipe, dataset: Dataset, engine: _Engine, *, start: History | None) -> History:
    """Trains a recipe; the quantities of its points are those of the training and validation examples."""
    data = _prepared(recipe, dataset, start)
    chosen = choose(recipe, engine.name, device=engine.device, threads=engine.threads)
    if isinstance(chosen, Program):
        raise AssayError("engine: an external program is no engine of an estimator; use assay.fit for it")
    training = Training([recipe], chosen, data, start=[_as_initial(start, recipe, data)] if start else [])
    for _ in training:
        pass
    history = training.histories()[0]
    if history.outcome is Outcome.DIVERGED:
        raise AssayError(f"the training diverged: {history.reason}; lower learning_rate or scale the features")
    return replace(history, points=tuple(_without_test(point) for point in history.points))


def _prepared(recipe: Recipe, dataset: Dataset, start: History | None) -> Prepared:
    """The examples split and scaled; evaluated in the place of a test set are the training examples themselves."""
    training, drawn = split(dataset, train=None, validation=recipe.data.validation)
    x_train, scale = dataset.x_train[training], dataset.scale
    how = recipe.preparation
    if start is None:
        mean, deviation = INPUTS[how.scaling](dataset, x_train)
        features = feature_scaling("X", x_train, scale) if how.scaling == "standardise-features" else None
    else:
        (mean, deviation), features = start.scaling, start.features
    scaling = InputScaling(how.scaling, how.dtype, scale, mean, deviation, features)
    x, y = scaling.apply(x_train, where="X: example", rows=training), dataset.y_train[training]
    validated = scaling.apply(dataset.x_train[drawn], where="X: example", rows=drawn) if len(drawn) else None
    return Prepared(
        x_train=x,
        y_train=y,
        x_validation=validated,
        y_validation=dataset.y_train[drawn] if len(drawn) else None,
        x_test=x,
        y_test=y,
        shape=dataset.shape,
        class_names=dataset.classes,
        scaling=(mean, deviation),
        checksum=dataset.checksum,
        scale=scale,
        pictures=dataset.pictures,
        features=features,
    )


def _as_initial(start: History, recipe: Recipe, data: Prepared) -> History:
    """A start that lends its weights alone. Raises: AssayError where they do not fit the model or the input."""
    if recipe.input != start.recipe.input:
        raise AssayError(f"warm_start: input is {recipe.input!r}; the last fit had {start.recipe.input!r}")
    network = recipe.model.network(data.shape, data.classes)
    own, had = fresh(Cohort((recipe,), network)).weights, start.checkpoint.weights
    if {name: w.shape for name, w in own.items()} != {name: w.shape for name, w in had.items()}:
        raise AssayError("warm_start: the model has other layers than in the last fit; set warm_start=False")
    weights = {name: w.astype(recipe.preparation.dtype) for name, w in had.items()}
    return replace(
        start,
        recipe=recipe,
        points=(),
        checkpoint=Checkpoint(0, weights, {}),
        ledger=Ledger(processor={}),
        load=Load(),
        data_checksum=data.checksum,
    )


def _without_test(point: Point) -> Point:
    """A point whose test quantities, which are those of the training examples, stand where they belong."""
    return replace(
        point, train_loss=point.test_loss, train_accuracy=point.test_accuracy, test_loss=None, test_accuracy=None
    )
