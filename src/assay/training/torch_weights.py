"""Weights in the names and the layout of torch: written as a state_dict in safetensors, and read from one."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import Dataset
from assay.data.prepare import prepare
from assay.engines import choose
from assay.engines.base import Checkpoint, Cohort, fresh
from assay.engines.program import Program
from assay.errors import AssayError, FileError
from assay.parts.layers import Activate, BatchNorm, Conv2d, Dense, Dropout, Flatten, Network, Pool, Weights
from assay.parts.module_networks import ModuleNetwork
from assay.recipe.model import Recipe
from assay.system.files import home_expanded, read_limited, write_atomically
from assay.system.limits import WEIGHTS_BYTES, WEIGHTS_HEADER_BYTES
from assay.training.checkpoints import check_header
from assay.training.history import History
from assay.training.ledger import Ledger
from assay.training.loop import Training
from assay.training.outcome import Outcome
from assay.training.trial_end import TrialEnd, make_history

EXPORT = "assay_export"
"""The key of what an exported file says of itself, next to its arrays."""

_BATCHES = "num_batches_tracked"
_ACTIVATIONS = {
    "relu": "nn.ReLU()",
    "leaky_relu": "nn.LeakyReLU(0.01)",
    "sigmoid": "nn.Sigmoid()",
    "tanh": "nn.Tanh()",
    "elu": "nn.ELU()",
    "softplus": "nn.Softplus()",
    "silu": "nn.SiLU()",
    "gelu": 'nn.GELU(approximate="tanh")',
    "identity": "nn.Identity()",
}
_OUTPUTS = {"log_softmax": "nn.LogSoftmax(dim=1)", "softmax": "nn.Softmax(dim=1)", "sigmoid": "nn.Sigmoid()"}
_NUMBERED = re.compile(r"(.*?)(\d+)\D*")

Change = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class _Array:
    """An array of torch's: its name within the module, ours, and how one becomes the other."""

    name: str
    ours: str
    to_torch: Change
    to_ours: Change


@dataclass(frozen=True)
class _Module:
    """A module of an `nn.Sequential`, as code, with its arrays."""

    code: str
    arrays: tuple[_Array, ...] = ()
    normalises: bool = False


def modules(network: Network) -> list[_Module]:
    """The modules of an `nn.Sequential` that computes what the network computes. Raises: AssayError.

    torch flattens images in the order (channels, height, width), so that arrays behind it are rearranged.
    """
    if isinstance(network, ModuleNetwork):
        raise AssayError(
            f"{network.model.name!r} is a user's module, whose layers are its own; export its arrays "
            f"(.safetensors) and use the ONNX export of {network.model.library.name}"
        )
    if network.image is None and any(isinstance(layer, Conv2d | Pool) for layer in network.layers):
        raise AssayError("a network whose first layer is no convolution or pooling of its images cannot be exported")
    image, order = network.image, None
    made: list[_Module] = []
    for number, layer in network.numbered():
        match layer:
            case Dense():
                made.append(_dense(layer, number, order))
                order = None
            case Conv2d():
                made.append(_convolution(layer, number))
                image = layer.out
            case BatchNorm():
                made.append(_normalisation(layer, number, order, flat=image is None))
            case Pool():
                kind = "Max" if layer.kind == "max" else "Avg"
                made.append(_Module(f"nn.{kind}Pool2d({layer.size}, stride={layer.stride})"))
                image = layer.out
            case Flatten():
                made.append(_Module("nn.Flatten()"))
                if image is not None:
                    order = np.arange(math.prod(image)).reshape(image).transpose(2, 0, 1).ravel()
                image = None
            case Activate():
                made.append(_Module(_ACTIVATIONS[layer.function]))
            case Dropout():
                made.append(_Module(f"nn.Dropout({layer.rate:g})"))
    return [*made, *([_Module(_OUTPUTS[network.output])] if network.output in _OUTPUTS else [])]


def _dense(layer: Dense, number: int, order: NDArray[np.int64] | None) -> _Module:
    rows = np.arange(layer.inputs) if order is None else order
    weight = _Array("weight", f"{number}.weight", lambda w: w[rows].T, lambda w: w.T[np.argsort(rows)])
    return _Module(f"nn.Linear({layer.inputs}, {layer.units})", (weight, _same("bias", f"{number}.bias")))


def _convolution(layer: Conv2d, number: int) -> _Module:
    code = (
        f"nn.Conv2d({layer.image[2]}, {layer.channels}, {layer.kernel}, stride={layer.stride}, padding={layer.padding})"
    )
    weight = _Array("weight", f"{number}.weight", lambda w: w.transpose(3, 2, 0, 1), lambda w: w.transpose(2, 3, 1, 0))
    return _Module(code, (weight, _same("bias", f"{number}.bias")))


def _normalisation(layer: BatchNorm, number: int, order: NDArray[np.int64] | None, *, flat: bool) -> _Module:
    names = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "variance"}
    rows = np.arange(layer.channels) if order is None else order
    arrays = tuple(
        _Array(name, f"{number}.{ours}", lambda a: a[rows], lambda a: a[np.argsort(rows)])
        for name, ours in names.items()
    )
    return _Module(f"nn.BatchNorm{1 if flat else 2}d({layer.channels})", arrays, normalises=True)


def _same(name: str, ours: str) -> _Array:
    return _Array(name, ours, lambda a: a, lambda a: a)


def _arrays(network: Network) -> Iterator[tuple[str, _Array]]:
    """The prefix of each module and its arrays, in order."""
    for number, module in enumerate(modules(network)):
        for array in module.arrays:
            yield str(number), array


def state_dict(history: History) -> dict[str, NDArray[Any]]:
    """The weights by torch's names, in torch's layout, as `nn.Sequential.state_dict()` has them. Raises: AssayError.

    >>> import assay
    >>> history = assay.fit({"model": {"hidden": [8]}, "budget": "1 iteration"})
    >>> {name: array.shape for name, array in state_dict(history).items()}
    {'0.weight': (8, 64), '0.bias': (8,), '2.weight': (10, 8), '2.bias': (10,)}
    """
    network, weights = network_of(history), history.checkpoint.weights
    if isinstance(network, ModuleNetwork):
        return network.state_dict({name: np.asarray(array[0]) for name, array in weights.items()})
    result = {
        f"{prefix}.{array.name}": np.ascontiguousarray(array.to_torch(weights[array.ours][0]))
        for prefix, array in _arrays(network)
    }
    for number, module in enumerate(modules(network)):
        if module.normalises:
            result[f"{number}.{_BATCHES}"] = np.array(history.checkpoint.t, np.int64)
    return result


def network_of(history: History) -> Network:
    """The network of a training whose weights were kept. Raises: AssayError."""
    model = history.recipe.model  # raises for an imported curve
    if not history.checkpoint.weights:
        raise AssayError("the weights of this training were not kept, so they cannot be exported; train it again")
    return model.network(history.shape, len(history.classes))


def write_state_dict(history: History, path: str | Path) -> Path:
    """Writes the state_dict as safetensors, which torch loads with `safetensors.torch.load_file`.

    Raises: AssayError, FileError.
    """
    from safetensors.numpy import save as packed

    path = home_expanded(path)
    about = {"code": torch_code(history, str(path)), "classes": list(history.classes), "recipe": history.recipe.plain()}
    write_atomically(path, packed(state_dict(history), metadata={EXPORT: json.dumps(about, allow_nan=False)}))
    return path


def torch_code(history: History, path: str) -> list[str]:
    """Lines of Python that load an exported file into torch, and say what the module takes."""
    network = network_of(history)
    if isinstance(network, ModuleNetwork):
        takes = f"(N, {', '.join(map(str, network.seen))}): {_scaling_in_words(history)}"
        evaluated = "# over a batch, net" if network.model.library.adapter else "net.eval()  #"
        return [*network.code(path), f"{evaluated} takes {takes}"]
    inside = [f"    {module.code}," for module in modules(network)]
    if network.image is not None:
        shape = "(N, {2}, {0}, {1})".format(*network.image)
    else:
        flattened = f" flattened from {history.shape}, channels last" if len(history.shape) == 3 else ""
        shape = f"(N, {network.inputs}){flattened}"
    return [
        "from safetensors.torch import load_file",
        "from torch import nn",
        "",
        "net = nn.Sequential(",
        *inside,
        ")",
        f"net.load_state_dict(load_file({path!r}))",
        f"net.eval()  # takes {shape}: {_scaling_in_words(history)}",
    ]


def _scaling_in_words(history: History) -> str:
    scale = f"values divided by {history.scale:.9g}" if history.scale is not None else "values"
    mean, deviation = history.scaling
    match history.recipe.input:
        case "standardise":
            return f"{scale}, then (x - {mean:.9g}) / {deviation:.9g}"
        case "standardise-each":
            return f"{scale}, then each example by its own mean and deviation"
        case "standardise-features":
            return f"{scale}, then each feature by its mean and deviation, `history.features` of the file of --save"
        case _:
            return scale


# --- reading ---


def holds_foreign_weights(path: str | Path) -> bool:
    """Whether a file is safetensors that Assay did not write as a checkpoint: a state_dict, as far as one can see."""
    path = home_expanded(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > WEIGHTS_HEADER_BYTES.most:
            return False
        content = file.read(size)
    try:
        header: Any = json.loads(content)
        metadata: Any = header.get("__metadata__", {})
        return isinstance(metadata, dict) and "assay" not in metadata
    except (ValueError, AttributeError, RecursionError):
        return False


def from_state_dict(path: str | Path, recipe: Recipe, dataset: Dataset) -> History:
    """A history before its first iteration, with the weights of a state_dict of torch, to start a training from.

    Args:
        path: The state_dict as safetensors.
        recipe: What will be trained; its model says what the arrays must be.
        dataset: The data of the training.

    A dense layer that takes the pixels of pictures with channels has its inputs with the channels last.

    Returns:
        A history with the point at iteration 0. `assay.fit(recipe, start=history)` trains from its weights.

    Raises:
        FileError: The file is damaged, or its arrays are not those of the model.
    """
    path = home_expanded(path)
    data = prepare(dataset, recipe.preparation)
    recipe = recipe.resolved(len(data.y_train))
    network = recipe.model.network(data.shape, data.classes)
    if isinstance(network, ModuleNetwork):
        weights = _of_module(_read(path), network, source=str(path))
    else:
        weights = _weights(_read(path), network, source=str(path))
    cohort = Cohort((recipe,), network)
    dtype = recipe.preparation.dtype
    given = {name: weights[name][None] for name in fresh(cohort).weights}
    checkpoint = Checkpoint(0, {name: w.astype(dtype) if w.dtype.kind == "f" else w for name, w in given.items()}, {})
    engine = choose(recipe)
    assert not isinstance(engine, Program)  # which only a command is
    end = TrialEnd((), Ledger(processor={}), Outcome.INTERRUPTED, f"weights of {path.name}", checkpoint, 0)
    begun = Training([recipe], engine, data, start=[make_history(recipe, cohort, data, engine, end)])
    next(iter(begun))  # measures the point at iteration 0, which every history has
    return begun.histories()[0]


def _read(path: Path) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = read_limited(path, WEIGHTS_BYTES)
    check_header(content, source=str(path))
    try:
        return load(content)
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        hint = (
            "; save it in float32: net.float().state_dict()" if "bfloat16" in str(error) or "BF16" in str(error) else ""
        )
        raise FileError(f"{path}: not a safetensors file, or damaged: {error}{hint}") from None


def _weights(tensors: Mapping[str, NDArray[Any]], network: Network, *, source: str) -> Weights:
    """The arrays of a network from those of a state_dict. Raises: FileError."""
    groups: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in tensors.items():
        prefix, _, last = name.rpartition(".")
        if last != _BATCHES:
            groups.setdefault(prefix, {})[last] = array
    expected = [module for module in modules(network) if module.arrays]
    in_order = _in_order(groups, expected, network, source=source)
    weights: Weights = {}
    for module, prefix in zip(expected, in_order, strict=True):
        for array in module.arrays:
            values = groups[prefix][array.name]
            if values.dtype.kind != "f" or not np.isfinite(values).all():
                raise FileError(f"{source}: {prefix}.{array.name} has values that are no finite numbers")
            weights[array.ours] = np.ascontiguousarray(array.to_ours(values))
    return weights


def _of_module(tensors: Mapping[str, NDArray[Any]], network: ModuleNetwork, *, source: str) -> Weights:
    """The arrays of a user's module from its state_dict. Raises: FileError."""
    wanted = network.state_dict(network.initial(0))
    for name in wanted.keys() ^ tensors.keys():
        where = "the file has no" if name in wanted else f"model {network.model.name!r} has no"
        raise FileError(f"{source}: {where} {name!r}")
    for name, array in tensors.items():
        if array.shape != wanted[name].shape:
            raise FileError(f"{source}: {name!r} is {array.shape}; the model has {wanted[name].shape}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise FileError(f"{source}: {name} has values that are no finite numbers")
    return network.arrays_of(tensors)


def _in_order(
    groups: Mapping[str, Mapping[str, NDArray[Any]]], expected: list[_Module], network: Network, *, source: str
) -> list[str]:
    """The prefix of each module's arrays: by their numbers, or by their shapes where these are all different."""
    wanted = [_shapes(module, network) for module in expected]
    got = {prefix: {name: array.shape for name, array in arrays.items()} for prefix, arrays in groups.items()}
    ordered = _by_number(list(got))
    if ordered is not None and [got[prefix] for prefix in ordered] == wanted:
        return ordered
    by_shape = [[prefix for prefix, shapes in got.items() if shapes == one] for one in wanted]
    if len(got) == len(wanted) and all(len(prefixes) == 1 for prefixes in by_shape):
        chosen = [prefixes[0] for prefixes in by_shape]
        if len(set(chosen)) == len(chosen):
            return chosen
    held = "; ".join(f"{prefix}.{name} {shape}" for prefix, shapes in got.items() for name, shape in shapes.items())
    names = [f"{i}.{name} {shape}" for i, shapes in enumerate(wanted) for name, shape in shapes.items()]
    same = sorted(sorted(one.items()) for one in got.values()) == sorted(sorted(one.items()) for one in wanted)
    why = "the order of its layers is unclear: number them, such as 0.weight, 1.weight" if same else "other arrays"
    model, file = "; ".join(names)[:1500], held[:1500] or "nothing"
    raise FileError(f"{source}: {why}; the model has, in its order, {model}; the file has {file}")


def _by_number(prefixes: list[str]) -> list[str] | None:
    """Prefixes in the order of their numbers, if they differ in these alone: 0, 2, 4, or fc1, fc2; None otherwise."""
    if len(prefixes) == 1:
        return prefixes
    matches = [_NUMBERED.fullmatch(prefix) for prefix in prefixes]
    parts = [(match[1], int(match[2][:15]), prefix) for match, prefix in zip(matches, prefixes, strict=True) if match]
    if len(parts) < len(prefixes) or len({stem for stem, _, _ in parts}) > 1:
        return None
    parts.sort(key=lambda part: part[1])
    return None if any(a[1] == b[1] for a, b in pairwise(parts)) else [prefix for _, _, prefix in parts]


def _shapes(module: _Module, network: Network) -> dict[str, tuple[int, ...]]:
    """The shapes that a module's arrays have in torch."""
    return {array.name: array.to_torch(np.empty(network.arrays[array.ours])).shape for array in module.arrays}
