"""Predictions of trained weights for images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.data.dataset import Dataset
from assay.data.datasets import load
from assay.data.picture_style import PictureStyle
from assay.data.prepare import InputScaling
from assay.engines import load as load_engine
from assay.engines.base import Cohort, Splits
from assay.engines.numpy_engine import NumpyEngine
from assay.errors import AssayError, DataError, FileError
from assay.parts.modules import ForeignModel
from assay.training.changed_code import with_code_as_it_is_now
from assay.training.history import History
from assay.training.raw_examples import raw_examples

if TYPE_CHECKING:
    from assay.data.images import PreparedImage


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image.

    Attributes:
        image: The name of the file, with a number if it holds several images.
        label: The most likely class; None if there is nothing to predict, as on a blank page.
        probabilities: Of each class.
        problem: Why there is nothing to predict, a sentence; "" if there is.
        notes: What was removed from the image, and what was assumed about it.
    """

    image: str
    label: str | None
    probabilities: dict[str, float]
    problem: str = ""
    notes: tuple[str, ...] = ()


def predict(history: History, paths: Sequence[str | Path], *, ink: bool | None = None) -> list[Prediction]:
    """Predicts the classes of images: pictures that Pillow reads, of any size, or IDX files of many images.

    `ink`: whether the images are prepared as ink on paper; by default, as the training pictures were.

    Raises: FileError, DataError.
    """
    return predictions_of(history, prepare_images(history, paths, ink=ink))


def prepare_images(history: History, paths: Sequence[str | Path], *, ink: bool | None = None) -> list[PreparedImage]:
    """The images in files as the network is given them, before the input scaling. Raises: FileError, DataError."""
    if history.recipe.is_regression:
        raise AssayError("the weights are of a regression, and `assay predict` names classes; use History.predict(x)")
    style, assumed = style_of(history, ink=ink)
    from assay.data.images import read_images  # with scipy, which takes half a second and pictures alone need

    images: list[PreparedImage] = []
    problems: list[AssayError] = []
    for path in map(Path, paths):
        try:
            images += read_images(path, history.shape, style, scale=history.scale)
        except (FileError, DataError) as error:
            problems.append(error)
    if problems:
        raise type(problems[0])("\n".join(dict.fromkeys(map(str, problems))))
    return [replace(image, notes=(*image.notes, *assumed)) for image in images]


def predictions_of(history: History, images: Sequence[PreparedImage]) -> list[Prediction]:
    """The predictions for prepared images."""
    given = [image.values.ravel() for image in images if image.values is not None]
    outputs = iter(probabilities(history, np.stack(given)) if given else ())
    return [
        _prediction(image, next(outputs) if image.values is not None else None, history.classes) for image in images
    ]


def _prediction(image: PreparedImage, output: NDArray[Any] | None, classes: tuple[str, ...]) -> Prediction:
    if output is None:
        return Prediction(image.name, None, {}, image.problem, image.notes)
    likely = dict(zip(classes, map(float, output), strict=True))
    return Prediction(image.name, classes[int(output.argmax())], likely, "", image.notes)


def style_of(history: History, *, ink: bool | None = None) -> tuple[PictureStyle, tuple[str, ...]]:
    """What the training pictures of a network look like, and sentences on what is assumed.

    Weights that do not say so were saved by an older version. Their data set, if it is at hand, still does.

    `ink`: True assumes ink on an empty border where the training pictures have none, False the opposite.
    """
    style, assumed = history.pictures, list[str]()
    if style is None and (data := _training_data(history)) is not None:
        style = data.pictures
    if style is None:
        style = _MNIST_STYLE if ink is None and _may_be_ink(history.shape) else PictureStyle(None)
        kind = "ink on an empty border, as in MNIST" if style.border is not None else "of any kind"
        if ink is None:
            assumed.append(f"the weights do not say what their training pictures look like; assumed: {kind} {_OPTIONS}")
    if ink is False:
        return replace(style, border=None), tuple(assumed)
    if ink and style.border is None:
        style = replace(_MNIST_STYLE, low=style.low, high=style.high)
        assumed.append("assumed: ink is light on an empty dark border, as in MNIST")
    return _placed(style, history.shape), tuple(assumed)


_OPTIONS = "(--ink or --no-ink says so)"
_MNIST_STYLE = PictureStyle(0.0, 1.0, side=20 / 28, by_mass=(True, True))  # the side as a fraction, until `_placed`


def _may_be_ink(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or (len(shape) == 3 and shape[2] == 1)


def _placed(style: PictureStyle, shape: tuple[int, ...]) -> PictureStyle:
    """A style of MNIST's proportions in a frame of that shape: a margin of a seventh from 16 pixels on."""
    if not 0 < style.side < 1 or len(shape) not in (2, 3):
        return style
    shorter = min(shape[:2])
    side = shorter - 2 * round(shorter / 7) if shorter >= 16 else shorter
    return replace(style, side=float(side), centre=((shape[0] - 1) / 2, (shape[1] - 1) / 2))


def _training_data(history: History) -> Dataset | None:
    """The data set that a network was trained on, if it is on this machine and still the same."""
    if history.recipe.data.name.startswith("openml:"):
        return None
    try:
        data = load(history.recipe.data.name, task=history.recipe.data.task)
    except DataError:
        return None
    return data if data.checksum == history.data_checksum else None


def probabilities(history: History, x: NDArray[np.float64]) -> NDArray[Any]:
    """The class probabilities (N, C) of examples (N, D) with values in [0, 1], before the input scaling."""
    inputs = _scaling(history, 1.0).apply(x, where="picture")
    return as_probabilities(_outputs(history, inputs), history.recipe.model.output)


def of_examples(history: History, x: ArrayLike, *, probabilities: bool, scale: float | None) -> NDArray[Any]:
    """The names of the classes (N,) of raw examples, or probabilities (N, C); `History.predict` describes them.

    Raises: DataError, AssayError.
    """
    output = history.recipe.model.output  # raises for an imported curve
    examples = raw_examples(history, x, scale=scale)
    divisor = history.scale if scale is None else scale
    assert divisor is not None  # checked with the examples
    outputs = _outputs(history, _scaling(history, divisor).apply(examples, where="example"))
    if history.recipe.is_regression:
        return _values(history, outputs, probabilities=probabilities)
    if probabilities:
        return as_probabilities(outputs, output)
    return np.array(history.classes)[outputs.argmax(axis=-1)]


def _values(history: History, outputs: NDArray[Any], *, probabilities: bool) -> NDArray[Any]:
    """The outputs (N, 1) of a regression in the target's units (N,). Raises: AssayError."""
    if probabilities:
        raise AssayError("probabilities: a regression has none; leave it out to get its values")
    if history.targets is None:
        raise AssayError("the mean and the deviation of the targets are missing, so it cannot predict; train it again")
    return history.targets.invert(outputs[:, 0])


def _outputs(history: History, inputs: NDArray[Any]) -> NDArray[Any]:
    """The outputs (N, C) of the weights at the end. Raises: AssayError where these or the weights are not finite."""
    if not all(np.isfinite(w).all() for w in history.checkpoint.weights.values()):
        raise AssayError(f"the weights are not finite, so they predict nothing ({history.ending})")
    history = _of_code_now(history)
    model = history.recipe.model
    network = model.network(history.shape, len(history.classes))
    engine = load_engine(model.library.engine) if isinstance(model, ForeignModel) else NumpyEngine()
    state = engine.start(Cohort((history.recipe,), network), history.checkpoint, Splits({}))
    outputs = engine.outputs(state, inputs)[0]
    if not np.isfinite(outputs).all():
        row = int(np.flatnonzero(~np.isfinite(outputs).all(axis=1))[0])
        raise AssayError(f"example {row}: the outputs are not finite, so they predict nothing ({history.ending})")
    return outputs


def _of_code_now(history: History) -> History:
    """The history, where the source of its user's module has changed, with that source. Raises: CodeError."""
    model = history.recipe.model
    if not isinstance(model, ForeignModel) or model.as_it_is_now() is model:
        return history
    return with_code_as_it_is_now(history, _training_data(history))


def _scaling(history: History, scale: float) -> InputScaling:
    """The preparation of the training, for values that are divided by `scale` first."""
    recipe, (mean, deviation) = history.recipe, history.scaling
    if recipe.input == "standardise-features" and history.features is None:
        raise AssayError("the means and deviations of the features are missing, so it cannot predict; train it again")
    return InputScaling(recipe.input, recipe.preparation.dtype, scale, mean, deviation, history.features)


def as_probabilities(outputs: NDArray[Any], output: str) -> NDArray[Any]:
    """Outputs (N, C) as probabilities that sum to 1. The outputs of sigmoid units are normalised."""
    if output == "log_softmax":
        return np.exp(outputs)
    if output == "identity":
        e = np.exp(outputs - outputs.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)
    return outputs / np.maximum(outputs.sum(-1, keepdims=True), np.finfo(float).tiny)
