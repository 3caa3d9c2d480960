"""Checkpoints: trained weights in safetensors files.

A checkpoint holds the weights, the optimizer slots and, as metadata, the history without its machine: all that is
needed to resume training and to predict. With `save_best` it also holds the weights at the best points. It is written
to a temporary file, flushed and renamed.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assay.data.features import FeatureScaling
from assay.data.picture_style import PictureStyle
from assay.data.targets import TargetScaling
from assay.engines.base import Checkpoint
from assay.errors import AssayError, FileError
from assay.parts.layers import Network, Weights
from assay.parts.module_networks import ModuleNetwork
from assay.parts.modules import arrays_in, is_module
from assay.parts.user_optimizers import UnloadedOptimizer, code_hash
from assay.recipe.model import Recipe
from assay.system.file_kinds import PICKLES, kind_of_file
from assay.system.files import home_expanded, read_limited, write_atomically
from assay.system.limits import CLASSES, WEIGHTS_BYTES, WEIGHTS_HEADER_BYTES
from assay.system.load import Load
from assay.training.checked import POINT, Seconds, Whole
from assay.training.history import History, Point
from assay.training.ledger import Ledger
from assay.training.outcome import Outcome
from assay.training.own_measures import OwnMeasures

FORMAT = 1
_EXPECTED = "expected weights that `assay train --save` wrote (.safetensors)"
_PREFIX = "assay"  # the key of our metadata in the header
_INPUT = ("input/mean", "input/deviation")  # of each feature; only with input "standardise-features"
_BEST = "best"  # weights at the best points, best/ITERATION/NAME; only with `save_best`


def save(history: History, path: str | Path, *, complete: bool = False) -> Path:
    """Writes a history's checkpoint. Raises: FileError where it cannot be written; an older file then stays intact.

    `complete`: with what a training does not need to resume, such as the machine and the confusion matrix.
    """
    path = home_expanded(path)
    write_atomically(path, to_bytes(history, complete=complete))
    return path


def to_bytes(history: History, *, complete: bool = False) -> bytes:
    """A history as the content of a safetensors file; without its machine unless it is `complete`."""
    from safetensors.numpy import save as packed

    tensors = {f"weights/{name}": np.asarray(w[0], order="C") for name, w in history.checkpoint.weights.items()}
    tensors |= {f"slots/{name}": np.ascontiguousarray(s[:, 0]) for name, s in history.checkpoint.slots.items()}
    for t, snapshot in history.snapshots.items():
        tensors |= {f"{_BEST}/{t}/{name}": np.asarray(w[0], order="C") for name, w in snapshot.items()}
    if history.features is not None:
        arrays = (history.features.mean, history.features.deviation)
        tensors |= dict(zip(_INPUT, map(np.ascontiguousarray, arrays), strict=True))
    about = described(history)
    if complete:
        about["complete"] = _rest(history)
    # one entry alone: safetensors writes several in any order, and equal content must have equal bytes
    return packed(tensors, metadata={_PREFIX: json.dumps(about, allow_nan=False)})


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
        "points": [point.plain() for point in history.points],
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
    if history.targets is not None:
        about["targets"] = [history.targets.mean, history.targets.deviation]
    if history.sizes is not None:
        about["sizes"] = list(history.sizes)
    if history.own is not None:
        about["measures"] = {
            "higher": dict(history.own.higher),
            "values": [[t, dict(values)] for t, values in history.own.values.items()],
        }
    if history.cohort > 1:  # its seconds are shared
        about["cohort"] = history.cohort
    return about


def _rest(history: History) -> dict[str, Any]:
    """What a complete file holds in addition."""
    return {
        "machine": history.machine,
        "cohort": history.cohort,
        "peak_device_memory_bytes": history.peak_device_memory_bytes,
        "processor_seconds": history.load.processor,
        "confusion": None if history.confusion is None else history.confusion.tolist(),
    }


def restore(path: str | Path) -> History:
    """Reads the history in a file that `History.save`, or `assay train --save`, wrote.

    Nothing in the file is run, and no pickle is read. A file by `assay train --save` has no machine and no confusion
    matrix.

    Args:
        path: The file.

    Returns:
        The history. It predicts, shows its curve, and can be resumed from.

    Raises:
        FileError: The file is missing, damaged, or of another kind.

    Examples:
        >>> import assay, tempfile
        >>> history = assay.fit({"budget": {"iterations": 10}})
        >>> path = history.save(tempfile.mkdtemp() + "/digits.safetensors")
        >>> assay.load_history(path).points == history.points
        True
    """
    path = home_expanded(path)
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise FileError(f"{path}: {what}; {_EXPECTED}")
    kind = kind_of_file(path)
    if kind and not kind.startswith("a safetensors"):
        if kind in PICKLES:
            raise FileError(f"{path}: is {kind}, which holds pickled objects; {_pickled(path)}")
        raise FileError(f"{path}: is {kind}; {_EXPECTED}")
    return from_bytes(read_limited(path, WEIGHTS_BYTES), source=str(path))


def _pickled(path: Path) -> str:
    """Why a pickle is not read, and the lines that make a state_dict of it where it is trusted."""
    return (
        f"Assay reads no pickle; {_EXPECTED}. A state_dict is converted by these lines, and then trained from with "
        "`assay train RECIPE --start`:\n"
        "  import torch; from safetensors.torch import save_file\n"
        f"  save_file(torch.load({str(path)!r}, weights_only=True), {str(path.with_suffix('.safetensors'))!r})"
    )


def described_in(content: bytes, *, source: str) -> dict[str, Any]:
    """What the header of a checkpoint says, unchecked. Raises: FileError where it is no checkpoint."""
    try:
        header: dict[str, Any] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        about = json.loads(header["__metadata__"][_PREFIX])
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        raise FileError(f"{source}: a safetensors file, but not one that Assay wrote; {_EXPECTED}") from None
    if not isinstance(about, dict):
        raise FileError(f"{source}: damaged: its metadata are no table")
    return about  # pyright: ignore[reportUnknownVariableType]


def check_header(content: bytes, *, source: str) -> None:
    """Raises: FileError where a safetensors file claims a longer header than is read; the library takes any."""
    if len(content) > (length := int.from_bytes(content[:8], "little")) > WEIGHTS_HEADER_BYTES.most:
        raise FileError(f"{source}: claims a header of {length:,} bytes; expected at most {WEIGHTS_HEADER_BYTES}")


def from_bytes(content: bytes, *, source: str) -> History:
    """The history that `to_bytes` packed. Raises: FileError, naming the source, where it is damaged or another kind."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    check_header(content, source=source)
    try:
        tensors: dict[str, NDArray[Any]] = load(content)  # checks every size against the content first
    except SafetensorError as error:
        raise FileError(f"{source}: not a safetensors file, or damaged: {error}") from None
    about = described_in(content, source=source)
    if about.get("format") != FORMAT:
        raise FileError(f"{source}: has format {about.get('format')}; this version reads format {FORMAT}")
    try:
        complete = _About.model_validate(about).complete
        recipe = Recipe.stored(about["recipe"], code=about.get("code", ""))
        if not tensors:  # the weights of a file without them are not checked against the shape
            network = recipe.model.network(tuple(map(int, about["shape"])), len(about["classes"]))
            _features_of(recipe, tensors, network.inputs)
        history = history_of(about, tensors, recipe)
        return history if complete is None else _completed(history, complete)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise FileError(f"{source}: damaged: {where}: {first['msg']}") from None
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        OverflowError,
        RecursionError,
        AssayError,
    ) as error:
        raise FileError(f"{source}: damaged: {error}") from None


class _Measured(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    processor_seconds: dict[str, Seconds] | None = None
    foreign_seconds: Seconds | None = None
    busy: bool | None = None
    level: str | None = None
    preparation_seconds: Seconds | None = None
    skipped: Seconds | None = None


Counts = Annotated[list[Annotated[list[Whole], Field(max_length=CLASSES.most)]], Field(max_length=CLASSES.most)]


class _Complete(BaseModel):
    """What a complete file holds in addition."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    machine: dict[str, Any] = {}
    cohort: Annotated[int, Field(ge=1, lt=2**63)] = 1
    peak_device_memory_bytes: Whole | None = None
    processor_seconds: Seconds | None = None
    confusion: Counts | None = None


class _Own(BaseModel):
    """A user's measures."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid")
    higher: dict[str, bool]
    values: list[Annotated[list[Any], Field(min_length=2, max_length=2)]]


class _About(BaseModel):
    """The metadata of a file, whose types a stranger may have changed."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    recipe: dict[str, Any]
    code: str = ""
    t: Whole
    engine: str
    engine_choice: str
    device: str
    points: Annotated[list[POINT], Field(min_length=1)]  # pyright: ignore[reportInvalidTypeForm]
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
    targets: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    measures: _Own | None = None
    sizes: Annotated[list[Whole], Field(min_length=2, max_length=2)] | None = None
    cohort: Annotated[int, Field(ge=1, lt=2**31)] = 1
    complete: _Complete | None = None


def history_of(about: dict[str, Any], tensors: dict[str, NDArray[Any]], recipe: Recipe) -> History:
    """The history that `described` made plain, from checked metadata.

    `tensors`: its weights; empty where they are not kept. Raises: KeyError, TypeError, ValueError, AssayError.
    """
    slots = type(recipe.optimizer).stored_slots()
    if isinstance(
        recipe.optimizer, UnloadedOptimizer
    ):  # a user optimizer whose class, and so its number of slots, is unknown
        slots = next((len(array) for name, array in tensors.items() if name.startswith("slots/")), 0)
    load: dict[str, Any] = about.get("load", {})  # files of older versions have none
    ledger = Ledger.stored(about["ledger"], load.get("processor_seconds"))
    weights, slot_arrays = dict[str, NDArray[Any]](), dict[str, NDArray[Any]]()
    features: FeatureScaling | None = None
    if tensors:  # else there is nothing to check against the network, which takes time to make
        network = recipe.model.network(tuple(map(int, about["shape"])), len(about["classes"]))
        if about["inputs"] != network.inputs:
            raise ValueError(f"inputs: got {about['inputs']}, but the shape has {network.inputs}")
        features = _features_of(recipe, tensors, network.inputs)
        weights, slot_arrays = _arrays(tensors, network, slots)
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
        features=features,
        targets=_targets_of(about),
        cohort=int(about.get("cohort", 1)),
        own=_own_of(about.get("measures")),
        sizes=None if about.get("sizes") is None else (about["sizes"][0], about["sizes"][1]),
    )


def _own_of(plain: dict[str, Any] | None) -> OwnMeasures | None:
    """The user's measures of a file. Raises: TypeError, ValueError where they are none."""
    if plain is None:
        return None
    values = {int(t): {str(name): float(value) for name, value in at.items()} for t, at in plain["values"]}
    if not all(np.isfinite(value) for at in values.values() for value in at.values()):
        raise ValueError("measures: expected finite numbers")
    return OwnMeasures({str(name): bool(higher) for name, higher in plain["higher"].items()}, values)


def _arrays(
    tensors: dict[str, NDArray[Any]], network: Network, slots: int
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Weights (1, *shape) and slots (slots, 1, *shape) by name. Raises: ValueError.

    The state of another library's optimizer has names of its own, and its engine checks it.
    """
    if not tensors.keys() - set(_INPUT):  # an external program may return no weights, and never returns its slots
        return {}, {}
    if isinstance(network, ModuleNetwork):
        return arrays_in(tensors, slots)
    weights = {name: _tensor(tensors, f"weights/{name}", shape)[None] for name, shape in network.arrays.items()}
    names = [name.removeprefix("slots/") for name in tensors if name.startswith("slots/")]
    if set(names) - network.shapes.keys():
        if any(tensors[f"slots/{name}"].shape[:1] != (1,) for name in names):
            raise ValueError("the optimizer's state has arrays of another shape")
        return weights, {name: tensors[f"slots/{name}"][:, None] for name in names}
    if not slots or not names:
        return weights, {}
    arrays = {
        name: _tensor(tensors, f"slots/{name}", (slots, *shape))[:, None] for name, shape in network.shapes.items()
    }
    return weights, arrays


def _features_of(recipe: Recipe, tensors: dict[str, NDArray[Any]], inputs: int) -> FeatureScaling | None:
    return _features(tensors, inputs) if recipe.input == "standardise-features" else None


def _targets_of(about: dict[str, Any]) -> TargetScaling | None:
    """The scaling of the targets of a regression. Raises: ValueError where it is no scaling."""
    if about.get("targets") is None:
        return None
    mean, deviation = (float(value) for value in about["targets"])
    if not (np.isfinite(mean) and np.isfinite(deviation) and deviation > 0):
        raise ValueError("targets: expected a mean and a deviation > 0")
    return TargetScaling(mean, deviation)


def _features(tensors: dict[str, NDArray[Any]], inputs: int) -> FeatureScaling:
    """The scaling of the features. Raises: ValueError where it is missing or no scaling."""
    mean, deviation = (_tensor(tensors, name, (inputs,)) for name in _INPUT)
    if {mean.dtype, deviation.dtype} != {np.dtype(np.float64)}:
        raise ValueError(f"{_INPUT[0]} has element type {mean.dtype}, expected float64")
    if not (np.isfinite(mean).all() and np.isfinite(deviation).all() and (deviation >= 0).all()):
        raise ValueError("input/mean and input/deviation hold numbers that are no means and deviations")
    return FeatureScaling(mean, deviation)


def _completed(history: History, rest: _Complete) -> History:
    """A history with what a complete file holds in addition. Raises: ValueError."""
    counts, classes = None, len(history.classes)
    if rest.confusion is not None:
        if [len(row) for row in rest.confusion] != [classes] * classes:
            raise ValueError(f"the confusion matrix is not of shape ({classes}, {classes})")
        counts = np.array(rest.confusion, np.int64).reshape(classes, classes)
        if counts.sum(dtype=np.float64) > 2**53:
            raise ValueError("the confusion matrix counts more examples than there can be")
    json.dumps(rest.machine, allow_nan=False)  # it is shown and saved again
    return replace(
        history,
        machine=rest.machine,
        cohort=rest.cohort,
        peak_device_memory_bytes=rest.peak_device_memory_bytes,
        load=replace(history.load, processor=rest.processor_seconds),
        confusion=counts,
    )


def _snapshots(tensors: dict[str, NDArray[Any]], recipe: Recipe, about: dict[str, Any]) -> dict[int, Weights]:
    if is_module(recipe.model):  # no code is run for its shapes: they are those of the last weights
        prefix = "weights/"
        arrays = {name.removeprefix(prefix): a.shape for name, a in tensors.items() if name.startswith(prefix)}
    else:
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
