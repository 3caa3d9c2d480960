"""Trained weights in a file, and digits read from images with them.

A checkpoint is a safetensors file, written beside, flushed and renamed: weights, optimizer slots, and as metadata the
history without its machine. It holds all that training needs to go on and all that prediction needs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.idx import read_idx
from assay.engines.base import Checkpoint, Cohort, Splits
from assay.engines.numpy_engine import NumpyEngine
from assay.errors import AssayError, DataError, FileError
from assay.parts.user_optimizers import NamedRule, code_in
from assay.recipe.model import Recipe
from assay.system.files import write_atomically
from assay.training.history import History, Ledger, Outcome, Point

FORMAT = 1
_PREFIX = "assay"


def save(history: History, path: str | Path) -> Path:
    """Writes a history's checkpoint. Raises: FileError where that is impossible; an older file then stays whole."""
    path = Path(path)
    write_atomically(path, to_bytes(history))
    return path


def to_bytes(history: History) -> bytes:
    """A history, without its machine, as the content of a safetensors file."""
    from safetensors.numpy import save as packed

    tensors = {f"weights/{name}": np.ascontiguousarray(w[0]) for name, w in history.checkpoint.weights.items()}
    tensors |= {f"slots/{name}": np.ascontiguousarray(s[:, 0]) for name, s in history.checkpoint.slots.items()}
    about = {
        "format": FORMAT,
        "recipe": history.recipe.plain(),
        "code": code_in(history.recipe.optimizer),
        "t": history.checkpoint.t,
        "engine": history.engine,
        "engine_choice": history.engine_choice,
        "device": history.device,
        "points": [asdict(point) for point in history.points],
        "ledger": {key: value for key, value in history.ledger.plain().items() if key != "other"},
        "outcome": str(history.outcome),
        "reason": history.reason,
        "flops": history.flops,
        "inputs": history.inputs,
        "classes": list(history.classes),
        "shape": list(history.shape),
        "scaling": list(history.scaling),
        "data_checksum": history.data_checksum,
        "peak_memory_bytes": history.peak_memory_bytes,
    }
    return packed(tensors, metadata={_PREFIX: json.dumps(about, allow_nan=False)})


def restore(path: str | Path) -> History:
    """The history in a checkpoint file. Raises: FileError where it is missing, damaged or of another kind."""
    path = Path(path)
    if not path.is_file():
        raise FileError(f"{path}: no such file; expected weights that `assay train --save` wrote")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    return from_bytes(content, source=str(path))


def from_bytes(content: bytes, *, source: str) -> History:
    """The history that `to_bytes` packed. Raises: FileError, naming the source, where it is damaged or another kind."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors: dict[str, NDArray[Any]] = load(content)  # checks every size against the content first
        header: dict[str, Any] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        about = json.loads(header["__metadata__"][_PREFIX])
    except SafetensorError as error:
        raise FileError(f"{source}: not a safetensors file, or damaged: {error}") from None
    except (KeyError, ValueError):
        raise FileError(f"{source}: a safetensors file, but not one that Assay wrote") from None
    if about.get("format") != FORMAT:
        raise FileError(f"{source}: has format {about.get('format')}; this version reads format {FORMAT}")
    try:
        return _history(about, tensors)
    except (KeyError, TypeError, ValueError, AssayError) as error:
        raise FileError(f"{source}: damaged: {error}") from None


def _history(about: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> History:
    recipe = Recipe.stored(about["recipe"], code=about.get("code", ""))
    network = recipe.model.network(tuple(map(int, about["shape"])), len(about["classes"]))
    slots = type(recipe.optimizer).slots
    if isinstance(recipe.optimizer, NamedRule):  # how many there are, the class alone would say
        slots = next((len(array) for name, array in tensors.items() if name.startswith("slots/")), 0)
    weights, kept = dict[str, NDArray[Any]](), dict[str, NDArray[Any]]()
    if tensors:  # a program of the user's may keep its weights, and keeps its slots
        weights = {name: _tensor(tensors, f"weights/{name}", shape)[None] for name, shape in network.arrays.items()}
    if slots and any(name.startswith("slots/") for name in tensors):
        kept = {
            name: _tensor(tensors, f"slots/{name}", (slots, *shape))[:, None] for name, shape in network.shapes.items()
        }
    return History(
        recipe=recipe,
        engine=str(about["engine"]),
        engine_choice=str(about["engine_choice"]),
        device=str(about["device"]),
        points=tuple(Point(**point) for point in about["points"]),
        ledger=Ledger(**about["ledger"]),
        outcome=Outcome(about["outcome"]),
        reason=str(about["reason"]),
        flops=int(about["flops"]),
        peak_memory_bytes=int(about["peak_memory_bytes"]),
        peak_device_memory_bytes=None,
        checkpoint=Checkpoint(int(about["t"]), weights, kept),
        inputs=int(about["inputs"]),
        classes=tuple(map(str, about["classes"])),
        shape=tuple(map(int, about["shape"])),
        scaling=(float(about["scaling"][0]), float(about["scaling"][1])),
        data_checksum=str(about["data_checksum"]),
    )


def _tensor(tensors: dict[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if name not in tensors:
        raise ValueError(f"{name} is missing")
    if tensors[name].shape != shape:
        raise ValueError(f"{name} has shape {tensors[name].shape}, expected {shape}")
    return tensors[name]


# --- prediction ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prediction:
    """What a network says of one image: the most likely class and a probability for each class."""

    image: str
    label: str
    probabilities: dict[str, float]


def predict(history: History, paths: list[str | Path]) -> list[Prediction]:
    """The classes of images: PNG (or whatever Pillow reads) of any size, or IDX files of many images.

    Raises: FileError, DataError.
    """
    names, images = [], []
    for path in map(Path, paths):
        for name, image in _images(path, history.shape):
            names.append(name)
            images.append(image)
    outputs = probabilities(history, np.stack(images).reshape(len(images), -1))
    return [
        Prediction(name, history.classes[int(p.argmax())], dict(zip(history.classes, map(float, p), strict=True)))
        for name, p in zip(names, outputs, strict=True)
    ]


def probabilities(history: History, x: NDArray[np.float64]) -> NDArray[Any]:
    """The probability of each class (N, C) for examples (N, D) whose values are in [0, 1] before the input scaling."""
    network = history.recipe.model.network(history.shape, len(history.classes))
    engine = NumpyEngine()
    state = engine.start(Cohort((history.recipe,), network), history.checkpoint, Splits({}))
    return _probabilities(engine.outputs(state, _scaled(x, history))[0], network.output)


def _probabilities(outputs: NDArray[Any], output: str) -> NDArray[Any]:
    """Outputs (N, C) as probabilities that sum to 1; those of sigmoid units, trained one by one, are normalised."""
    if output == "log_softmax":
        return np.exp(outputs)
    if output == "identity":
        e = np.exp(outputs - outputs.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)
    return outputs / np.maximum(outputs.sum(-1, keepdims=True), np.finfo(float).tiny)


def _images(path: Path, shape: tuple[int, ...]) -> list[tuple[str, NDArray[np.float64]]]:
    """Every image of a file as values in [0, 1] of the shape that the network was trained on."""
    if not path.is_file():
        raise FileError(f"{path}: no such file")
    if path.read_bytes()[:4][:2] in (b"\x00\x00", b"\x1f\x8b"):  # IDX, or gzip around it
        array = read_idx(path)
        if array.ndim != 3:
            raise DataError(f"{path}: has {array.ndim} dimensions; expected images (count, height, width)")
        full = 255.0 if array.dtype == np.uint8 else float(np.abs(array).max() or 1)
        return [(f"{path}[{i}]", fitted(image / full, shape)) for i, image in enumerate(array)]
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            grey = np.asarray(image.convert("RGBA").convert("LA"), np.float64) / 255.0
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise FileError(f"{path}: not an image that can be read: {error}") from None
    return [(str(path), fitted(upright(grey), shape))]


def upright(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ink as high values: (height, width, 2) of lightness and opacity to (height, width) with a background near 0.

    What is transparent counts as background; an image whose border is light is dark ink on paper and is inverted.
    """
    light, opaque = grey[..., 0], grey[..., 1]
    border = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    edge = np.concatenate([opaque[0], opaque[-1], opaque[:, 0], opaque[:, -1]])
    if edge.mean() < 0.5:  # a drawing on a transparent ground: the opacity is the ink
        return opaque
    return 1.0 - light if border.mean() > 0.5 else light


def fitted(image: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """An image in the frame of the training images: as it is where the size agrees, else the ink cut out, scaled to
    the frame (with MNIST's margin of a seventh on frames of 16 pixels or more) and put with its centre of mass in the
    middle, as MNIST was made (LeCun et al. 1998)."""
    if len(shape) != 2:
        raise DataError(f"the network was trained on examples of shape {shape}; images can be given to (height, width)")
    if image.shape == shape:
        return image
    from PIL import Image

    rows, columns = np.nonzero(image > 0.2 * image.max()) if image.max() > 0 else (np.array([0]), np.array([0]))
    ink = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    inner = [side - 2 * round(side / 7) if side >= 16 else side for side in shape]
    scale = min(inner[0] / ink.shape[0], inner[1] / ink.shape[1])
    size = [max(1, round(side * scale)) for side in ink.shape]
    picture = Image.fromarray((ink * 255).astype(np.uint8)).resize((size[1], size[0]), Image.Resampling.BOX)
    small = np.asarray(picture, np.float64) / 255.0
    total = small.sum() or 1.0
    centre = [(small.sum(1 - axis) * np.arange(small.shape[axis])).sum() / total for axis in (0, 1)]
    start = [
        int(np.clip(round((side - 1) / 2 - c), 0, side - s)) for side, c, s in zip(shape, centre, size, strict=True)
    ]
    frame = np.zeros(shape)
    frame[start[0] : start[0] + size[0], start[1] : start[1] + size[1]] = small
    return frame


def _scaled(x: NDArray[np.float64], history: History) -> NDArray[np.float64]:
    if history.recipe.input == "standardise-each":
        deviation = x.std(axis=1, keepdims=True)
        if (deviation == 0).any():
            raise DataError("an image is constant, so it cannot be standardised by itself")
        return (x - x.mean(axis=1, keepdims=True)) / deviation
    mean, deviation = history.scaling
    return (x - mean) / deviation
