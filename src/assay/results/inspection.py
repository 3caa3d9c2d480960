"""What trained weights show: the first layer as images, the test images that are most surely mistaken."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.datasets import load
from assay.errors import AssayError
from assay.parts.modules import is_module
from assay.training.history import History
from assay.training.prediction import probabilities

_SHOWN = 24


def first_layer(history: History) -> tuple[NDArray[Any], tuple[int, ...]]:
    """The weights (D, H) of the first layer, and the shape of an image. Raises: AssayError for other inputs, and for a
    user's module, whose arrays do not say which layer is the first."""
    if is_module(history.recipe.model):
        raise AssayError(
            "a user's module does not say which of its layers is the first; only weights of Assay's are drawn"
        )
    weights = next(w[0] for name, w in history.checkpoint.weights.items() if name.endswith("weight"))
    if len(history.shape) not in (2, 3):
        raise AssayError(f"the examples have shape {history.shape}; weights can be drawn for images alone")
    return weights, history.shape


def most_confused(history: History) -> tuple[list[NDArray[Any]], list[str], list[str]]:
    """The test images that are taken for another class with the highest probability, with both classes' names."""
    if history.recipe.data.name.startswith("openml:"):  # a name from somebody's store
        raise AssayError(
            f"data {history.recipe.data.name!r} would be fetched; a chart reads only data that lie on this machine"
        )
    if history.recipe.is_regression:
        raise AssayError("the trial is of a regression, which confuses no classes")
    data = load(history.recipe.data.name)
    if data.checksum != history.data_checksum:
        raise AssayError(f"data {history.recipe.data.name!r} are not those that the trial was trained on any more")
    data = data.drawn(history.recipe.data.draw)
    if len(data.shape) != 2 and not (len(data.shape) == 3 and data.shape[2] in (1, 3)):
        raise AssayError(
            f"the examples have shape {data.shape}; only images can be drawn: (height, width), or with 1 or 3 channels"
        )
    likely = probabilities(history, data.x_test.astype(np.float64) / data.scale)
    predicted = likely.argmax(-1)
    wrong = np.flatnonzero(predicted != data.y_test)
    order = wrong[np.argsort(-likely[wrong, predicted[wrong]], kind="stable")][:_SHOWN]
    images = [data.x_test[row].reshape(data.shape) for row in order]
    names = data.classes
    return images, [names[data.y_test[row]] for row in order], [names[predicted[row]] for row in order]
