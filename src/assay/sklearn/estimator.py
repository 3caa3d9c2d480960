"""What the estimators of scikit-learn share: training in this process, without a store and without a lock."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from assay.data.dataset import Dataset
from assay.data.features import feature_scaling
from assay.data.layout import channels_last
from assay.data.prepare import INPUTS, InputScaling, Prepared, split
from assay.data.targets import TargetScaling
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


class NetworkEstimator(BaseEstimator):
    """A neural network with the interface of scikit-learn's estimators, for a task that a subclass has.

    It trains in the calling process and stores nothing. Where a hyperparameter is None, it has the default of a recipe
    or of its component. All training examples are trained on, unless `validation_fraction` says otherwise. No test set
    is held out: use `cross_val_score` or `train_test_split`.
    """

    history_: History

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

    def _task(self) -> dict[str, Any]:
        """What the data of its recipes say of the task."""
        return {}

    def _train(self, dataset: Dataset, *, start: History | None) -> Recipe:
        """Trains on a data set of all examples, and keeps what came of it. Raises: AssayError."""
        seed = _seed(self.random_state)
        recipe = self._recipe(len(dataset.x_train), seed)
        history = _trained(recipe, dataset, _Engine(self.engine, self.device, self.threads), start=start)
        self.seed_, self.history_ = seed, history
        self._image_shape = None if self.image_shape is None else tuple(self.image_shape)
        self.loss_curve_ = [point.train_loss for point in history.points if point.iteration > 0]
        return recipe

    def _outputs(self, X: Any, *, probabilities: bool) -> NDArray[Any]:  # noqa: N803 - scikit-learn's name
        """What the network answers to examples X (N, D)."""
        check_is_fitted(self)
        x: Any = validate_data(self, X, reset=False)
        with as_value_error():
            x = as_images(x, self._image_shape).reshape(len(x), -1)
            return self.history_.predict(x, probabilities=probabilities, scale=self.history_.scale)

    def _last(self) -> History | None:
        """The last training, for a warm start of this one."""
        return self.history_ if self.warm_start and hasattr(self, "history_") else None

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
            {"data": {"name": "arrays", "validation": validation, **self._task()}, "stop": {"patience": self.patience}},
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
def as_value_error() -> Generator[None]:
    """Raises errors of ours as EstimatorError, which is a ValueError, as scikit-learn's callers expect."""
    try:
        yield
    except EstimatorError:
        raise
    except AssayError as error:
        raise EstimatorError(str(error)) from error


def refuse(estimator: str, unsupported: Mapping[str, Any]) -> None:
    """Refuses the keywords of a `fit`. Raises: TypeError."""
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


def written(value: Any) -> str:
    """A value for an error."""
    return repr(_plain(value))


def _seed(random_state: Any) -> int:
    if isinstance(random_state, int | np.integer) and random_state >= 0:
        return int(random_state)
    return int(check_random_state(random_state).randint(_SEEDS))


def check_shape(x: NDArray[Any], shape: Sequence[int] | None) -> None:
    """Refuses an `image_shape` of another size than the examples X (N, D). Raises: AssayError."""
    if shape is not None and math.prod(shape) != x.shape[1]:
        raise AssayError(f"image_shape: {tuple(shape)} has {math.prod(shape):,} values; X has {x.shape[1]:,} features")


def as_images(x: NDArray[Any], shape: Sequence[int] | None) -> NDArray[Any]:
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
    x, y_all, targets = scaling.apply(x_train, where="X: example", rows=training), dataset.y_train, None
    if dataset.task is not None:
        targets = TargetScaling.of(y_all[training], where="y") if start is None else start.targets
        y_all = y_all if targets is None else targets.apply(y_all)
    y = y_all[training]
    validated = scaling.apply(dataset.x_train[drawn], where="X: example", rows=drawn) if len(drawn) else None
    return Prepared(
        x_train=x,
        y_train=y,
        x_validation=validated,
        y_validation=y_all[drawn] if len(drawn) else None,
        x_test=x,
        y_test=y,
        shape=dataset.shape,
        class_names=dataset.classes,
        scaling=(mean, deviation),
        checksum=dataset.checksum,
        scale=scale,
        pictures=dataset.pictures,
        features=features,
        targets=targets,
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
    measured = ("loss", "accuracy", "r2", "rmse")
    moved = {f"train_{name}": getattr(point, f"test_{name}") for name in measured}
    return replace(point, **moved, **{f"test_{name}": None for name in measured})


__all__ = ["EstimatorError", "NetworkEstimator", "as_images", "as_value_error", "check_shape", "refuse", "written"]
