"""Checkpoints: trained weights in safetensors files.

A checkpoint holds the weights, the optimizer slots and, as metadata, the history without its machine: all that is
needed to resume training and to predict. It is written to a temporary file, flushed and renamed.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.engines.base import Checkpoint
from assay.errors import AssayError, FileError
from assay.parts.user_optimizers import UnloadedOptimizer, code_hash
from assay.recipe.model import Recipe
from assay.system.files import write_atomically
from assay.training.history import History, Ledger, Outcome, Point

FORMAT = 1
_PREFIX = "assay"  # the key of our metadata in the header


def save(history: History, path: str | Path) -> Path:
    """Writes a history's checkpoint. Raises: FileError where it cannot be written; an older file then stays intact."""
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
        "code": code_hash(history.recipe.optimizer),
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
    if history.warnings:
        about["warnings"] = list(history.warnings)
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
    if isinstance(
        recipe.optimizer, UnloadedOptimizer
    ):  # a user optimizer whose class, and so its number of slots, is unknown
        slots = next((len(array) for name, array in tensors.items() if name.startswith("slots/")), 0)
    weights, slot_arrays = dict[str, NDArray[Any]](), dict[str, NDArray[Any]]()
    if tensors:  # an external program may return no weights, and never returns its slots
        weights = {name: _tensor(tensors, f"weights/{name}", shape)[None] for name, shape in network.arrays.items()}
    if slots and any(name.startswith("slots/") for name in tensors):
        slot_arrays = {
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
        checkpoint=Checkpoint(int(about["t"]), weights, slot_arrays),
        inputs=int(about["inputs"]),
        classes=tuple(map(str, about["classes"])),
        shape=tuple(map(int, about["shape"])),
        scaling=(float(about["scaling"][0]), float(about["scaling"][1])),
        data_checksum=str(about["data_checksum"]),
        warnings=tuple(map(str, about.get("warnings", ()))),
    )


def _tensor(tensors: dict[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if name not in tensors:
        raise ValueError(f"{name} is missing")
    if tensors[name].shape != shape:
        raise ValueError(f"{name} has shape {tensors[name].shape}, expected {shape}")
    return tensors[name]
