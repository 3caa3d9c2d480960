"""Predictions of trained weights for images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.images import read_images
from assay.engines.base import Cohort, Splits
from assay.engines.numpy_engine import NumpyEngine
from assay.errors import DataError
from assay.training.history import History


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image: the most likely class, and the probability of each class."""

    image: str
    label: str
    probabilities: dict[str, float]


def predict(history: History, paths: list[str | Path]) -> list[Prediction]:
    """Predicts the classes of images: PNG (or any format that Pillow reads) of any size, or IDX files of many images.

    Raises: FileError, DataError.
    """
    names, images = [], []
    for path in map(Path, paths):
        for name, image in read_images(path, history.shape):
            names.append(name)
            images.append(image)
    outputs = probabilities(history, np.stack(images).reshape(len(images), -1))
    return [
        Prediction(name, history.classes[int(p.argmax())], dict(zip(history.classes, map(float, p), strict=True)))
        for name, p in zip(names, outputs, strict=True)
    ]


def probabilities(history: History, x: NDArray[np.float64]) -> NDArray[Any]:
    """The class probabilities (N, C) of examples (N, D) with values in [0, 1], before the input scaling."""
    network = history.recipe.model.network(history.shape, len(history.classes))
    engine = NumpyEngine()
    state = engine.start(Cohort((history.recipe,), network), history.checkpoint, Splits({}))
    return _probabilities(engine.outputs(state, _scaled(x, history))[0], network.output)


def _probabilities(outputs: NDArray[Any], output: str) -> NDArray[Any]:
    """Outputs (N, C) as probabilities that sum to 1. The outputs of sigmoid units are normalised."""
    if output == "log_softmax":
        return np.exp(outputs)
    if output == "identity":
        e = np.exp(outputs - outputs.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)
    return outputs / np.maximum(outputs.sum(-1, keepdims=True), np.finfo(float).tiny)


def _scaled(x: NDArray[np.float64], history: History) -> NDArray[np.float64]:
    if history.recipe.input == "standardise-each":
        deviation = x.std(axis=1, keepdims=True)
        if (deviation == 0).any():
            raise DataError("an image is constant, so it cannot be standardised by itself")
        return (x - x.mean(axis=1, keepdims=True)) / deviation
    mean, deviation = history.scaling
    return (x - mean) / deviation
