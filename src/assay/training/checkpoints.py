"""Checkpoints: trained weights in safetensors files.

A checkpoint holds the weights, the optimizer slots and, as metadata, the history without its machine: all that is
needed to resume training and to predict. With `save_best` it also holds the weights at the best points. It is written
to a temporary file, flushed and renamed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assay.data.picture_style import PictureStyle
from assay.engines.base import Checkpoint
from assay.errors import AssayError, FileError
from assay.parts.layers import Weights
from assay.parts.user_optimizers import UnloadedOptimizer, code_hash
from assay.recipe.model import Recipe
from assay.system.file_kinds import PICKLES, kind_of_file
from assay.system.files import home_expanded, read_limited, write_atomically
from assay.system.limits import WEIGHTS_BYTES, WEIGHTS_HEADER_BYTES
from assay.system.load import Load
from assay.training.checked import POINT, Seconds, Whole
from assay.training.history import History, Point
from assay.training.ledger import Ledger
from assay.training.outcome import Outcome

FORMAT = 1
_EXPECTED = "expected weights that `assay train --save` wrote (.safetensors)"
_PREFIX = "assay"  # the key of our metadata in the header
_BEST = "best"  # weights at the best points, best/ITERATION/NAME; only with `save_best`


def save(history: History, path: str | Path) -> Path:
    """Writes a history's checkpoint. Raises: FileError where it cannot be written; an older file then stays intact."""
    path = home_expanded(path)
    write_atomically(path, to_bytes(history))
    return path


def to_bytes(history: History) -> bytes:
    """A history, without its machine, as the content of a safetensors file."""
    from safetensors.numpy import save as packed

    tensors = {f"weights/{name}": np.ascontiguousarray(w[0]) for name, w in history.checkpoint.weights.items()}
    tensors |= {f"slots/{name}": np.ascontiguousarray(s[:, 0]) for name, s in history.checkpoint.slots.items()}
    for t, snapshot in history.snapshots.items():
        tensors |= {f"{_BEST}/{t}/{name}": np.ascontiguousarray(w[0]) for name, w in snapshot.items()}
    # one entry alone: safetensors writes several in any order, and equal content must have equal bytes
    return packed(tensors, metadata={_PREFIX: json.dumps(described(history), allow_nan=False)})


def described(history: History) -> dict[str, Any]:
    """A history without its machine and its weights, as plain data."""
    about = {
        "format": FORMAT,
        "recipe": history.recipe.plain(),
        "code": code_hash(history.recipe.optimizer),
        "t": history.checkpoint.t,
        "engine": history.engine,
        "engine_choice": history.engine_choice,
        "device": history.device,
        "points": [dict(vars(point)) for point in history.points],
        "ledger": {key: value for key, value in history.ledger.plain().items() if key != "other"},
        "outcome": str(history.outcome),
        "reason": history.reason,
        "flops": history.flops,
        "inputs": history.inputs,
        "classes": list(history.classes),
        "shape": list(history.shape),
        "scaling": [*history.scaling, *([] if history.scale is None else [history.scale])],
        "data_checksum": history.data_checksum,
        "peak_memory_bytes": history.peak_memory_bytes,
        "load": {
            "processor_seconds": history.ledger.plain_processor(),
            "foreign_seconds": history.load.foreign,
            "busy": history.load.busy,
            "level": history.level,
            "preparation_seconds": history.preparation_seconds,
            "skipped": history.skipped,
        },
    }
    if history.warnings:
        about["warnings"] = list(history.warnings)
    if history.pictures is not None:
        about["pictures"] = history.pictures.plain()
    if history.cohort > 1:  # its seconds are shared
        about["cohort"] = history.cohort
    return about


def restore(path: str | Path) -> History:
    """The history in a checkpoint file. Raises: FileError where it is missing, damaged or of another kind."""
    path = home_expanded(path)
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise FileError(f"{path}: {what}; {_EXPECTED}")
    kind = kind_of_file(path)
    if kind and not kind.startswith("a safetensors"):
        pickled = ", which holds pickled objects; Assay reads no pickle" if kind in PICKLES else ""
        raise FileError(f"{path}: is {kind}{pickled}; {_EXPECTED}")
    return from_bytes(read_limited(path, WEIGHTS_BYTES), source=str(path))


def from_bytes(content: bytes, *, source: str) -> History:
    """The history that `to_bytes` packed. Raises: FileError, naming the source, where it is damaged or another kind."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if len(content) > (length := int.from_bytes(content[:8], "little")) > WEIGHTS_HEADER_BYTES.most:
        raise FileError(f"{source}: claims a header of {length:,} bytes; expected at most {WEIGHTS_HEADER_BYTES}")
    try:
        tensors: dict[str, NDArray[Any]] = load(content)  # checks every size against the content first
        header: dict[str, Any] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        about = json.loads(header["__metadata__"][_PREFIX])
    except SafetensorError as error:
        raise FileError(f"{source}: not a safetensors file, or damaged: {error}") from None
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        raise FileError(f"{source}: a safetensors file, but not one that Assay wrote; {_EXPECTED}") from None
    if not isinstance(about, dict):
        raise FileError(f"{source}: damaged: its metadata are no table")
    if about.get("format") != FORMAT:
        raise FileError(f"{source}: has format {about.get('format')}; this version reads format {FORMAT}")
    try:
        _About.model_validate(about)
        recipe = Recipe.stored(about["recipe"], code=about.get("code", ""))
        if not tensors:  # the weights of a file without them are not checked against the shape
            recipe.model.network(tuple(map(int, about["shape"])), len(about["classes"]))
        return history_of(about, tensors, recipe)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise FileError(f"{source}: damaged: {where}: {first['msg']}") from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, AssayError) as error:
        raise FileError(f"{source}: damaged: {error}") from None


class _Measured(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    processor_seconds: dict[str, Seconds] | None = None
    foreign_seconds: Seconds | None = None
    busy: bool | None = None
    level: str | None = None
    preparation_seconds: Seconds | None = None
    skipped: Seconds | None = None


class _About(BaseModel):
    """The metadata of a file, whose types a stranger may have changed."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    recipe: dict[str, Any]
    code: str = ""
    t: Whole
    engine: str
    engine_choice: str
    device: str
    points: list[POINT]  # pyright: ignore[reportInvalidTypeForm]
    ledger: dict[str, Seconds]
    outcome: str
    reason: str
    flops: Whole | float
    inputs: Whole
    classes: list[str]
    shape: list[Annotated[int, Field(ge=0, lt=2**31)]]
    scaling: list[float] = Field(min_length=2, max_length=3)
    data_checksum: str
    peak_memory_bytes: Whole
    load: _Measured = _Measured()
    warnings: list[str] = []
    cohort: Annotated[int, Field(ge=1, lt=2**31)] = 1


def history_of(about: dict[str, Any], tensors: dict[str, NDArray[Any]], recipe: Recipe) -> History:
    """The history that `described` made plain, from checked metadata.

    `tensors`: its weights; empty where they are not kept. Raises: KeyError, TypeError, ValueError, AssayError.
    """
    slots = type(recipe.optimizer).slots
    if isinstance(
        recipe.optimizer, UnloadedOptimizer
    ):  # a user optimizer whose class, and so its number of slots, is unknown
        slots = next((len(array) for name, array in tensors.items() if name.startswith("slots/")), 0)
    load: dict[str, Any] = about.get("load", {})  # files of older versions have none
    ledger = Ledger.stored(about["ledger"], load.get("processor_seconds"))
    weights, slot_arrays = dict[str, NDArray[Any]](), dict[str, NDArray[Any]]()
    if tensors:  # an external program may return no weights, and never returns its slots
        network = recipe.model.network(tuple(map(int, about["shape"])), len(about["classes"]))
        weights = {name: _tensor(tensors, f"weights/{name}", shape)[None] for name, shape in network.arrays.items()}
        if slots and any(name.startswith("slots/") for name in tensors):
            slot_arrays = {
                name: _tensor(tensors, f"slots/{name}", (slots, *shape))[:, None]
                for name, shape in network.shapes.items()
            }
    return History(
        recipe=recipe,
        engine=str(about["engine"]),
        engine_choice=str(about["engine_choice"]),
        device=str(about["device"]),
        points=tuple(Point(**point) for point in about["points"]),
        ledger=ledger,
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
        load=Load((ledger.processor or {}).get("train"), load.get("foreign_seconds"), load.get("busy")),
        level=load.get("level"),
        preparation_seconds=load.get("preparation_seconds"),
        skipped=load.get("skipped"),
        scale=float(about["scaling"][2]) if len(about["scaling"]) > 2 else None,
        snapshots=_snapshots(tensors, recipe, about) if tensors else {},
        warnings=tuple(map(str, about.get("warnings", ()))),
        pictures=PictureStyle.stored(about["pictures"]) if about.get("pictures") is not None else None,
        cohort=int(about.get("cohort", 1)),
    )


def _snapshots(tensors: dict[str, NDArray[Any]], recipe: Recipe, about: dict[str, Any]) -> dict[int, Weights]:
    arrays = recipe.model.network(tuple(map(int, about["shape"])), len(about["classes"])).arrays
    iterations = sorted({int(name.split("/")[1]) for name in tensors if name.startswith(f"{_BEST}/")})
    return {
        t: {name: _tensor(tensors, f"{_BEST}/{t}/{name}", shape)[None] for name, shape in arrays.items()}
        for t in iterations
    }


def _tensor(tensors: dict[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if name not in tensors:
        raise ValueError(f"{name} is missing")
    if tensors[name].shape != shape:
        raise ValueError(f"{name} has shape {tensors[name].shape}, expected {shape}")
    return tensors[name]
