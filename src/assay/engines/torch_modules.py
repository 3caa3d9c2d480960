"""A user's module in the torch engine: its parameters share the memory of a trial's weights and of its gradient.

Before each iteration, torch's generator is set from (seed, iteration), so that dropout keeps laws 2 and 5. Buffers,
such as the running means of batch normalisation, are part of a trial's state. A module trains in `train()` and is
evaluated in `eval()`.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.errors import CodeError
from assay.parts.module_networks import ModuleNetwork, parts_of
from assay.parts.modules import ForeignModel
from assay.recipe.model import Recipe
from assay.rng import stream

ROWS = 1_000
"""Examples that a module is given at once in evaluation."""


def iteration_seed(seed: int, t: int) -> int:
    """What `torch.manual_seed` is given before iteration `t`, counted from 1, of a training with that seed."""
    return int(stream(seed, "module", t).words(1)[0]) & (2**63 - 1)


def module_at(network: ModuleNetwork, recipe: Recipe, arrays: dict[str, NDArray[Any]], like: Tensor) -> Any:
    """A new module with these arrays, on the device and in the type of `like`. Raises: CodeError if they do not fit."""
    module: Any = network.built(recipe.seed).to(device=like.device, dtype=like.dtype)
    load_arrays(module, arrays, network.model.name)
    return module


def load_arrays(module: Any, arrays: dict[str, NDArray[Any]], name: str) -> None:
    """Copies arrays into a module's parameters and buffers. Raises: CodeError unless they are those of the module."""
    trained, others = parts_of(module)
    own = {**trained, **others}
    missing, more = own.keys() - arrays.keys(), arrays.keys() - own.keys()
    if missing or more:
        what = f"the weights have no {sorted(missing)[0]!r}" if missing else f"the module has no {sorted(more)[0]!r}"
        raise CodeError(f"model {name!r} does not fit these weights: {what}")
    with torch.no_grad():
        for key, tensor in own.items():
            if tuple(tensor.shape) != arrays[key].shape:
                raise CodeError(
                    f"model {name!r} does not fit these weights: {key!r} is {tuple(tensor.shape)} in the module and "
                    f"{arrays[key].shape} in the weights"
                )
            tensor.copy_(torch.from_numpy(np.array(arrays[key])))


def bind(module: Any, weights: dict[str, Tensor], gradients: dict[str, Tensor]) -> None:
    """Makes a module's parameters, and their gradients, views of a trial's vectors."""
    for name, parameter in parts_of(module)[0].items():
        parameter.data = weights[name]
        parameter.grad = gradients[name]


def live_buffers(module: Any) -> dict[str, Tensor]:
    """Everything of a module that is not trained, as it is now: a module may replace a buffer by a new tensor."""
    return parts_of(module)[1]


def inputs_of(network: ModuleNetwork, x: Tensor) -> Tensor:
    """Examples (B, D) as the module sees them: images (B, channels, height, width), or flat values."""
    if len(network.seen) == 1:
        return x
    channels, height, width = network.seen
    return x.view(len(x), height, width, channels).permute(0, 3, 1, 2).contiguous()


def module_values(network: ModuleNetwork, trial: Any, x: Tensor, t: int | None) -> Tensor:
    """The module's values (B, C) for examples (B, D); `t`: the iteration, in training. Raises: CodeError."""
    module, recipe = trial.module, trial.recipe
    if module.training != (t is not None):
        module.train(t is not None)
    if t is not None:
        torch.manual_seed(iteration_seed(recipe.seed, t))
    values = called(network, module, inputs_of(network, x), recipe, "" if t is None else f" in iteration {t:,}")
    if t is not None:
        trial.running = live_buffers(module)
    return values


def called(network: ModuleNetwork, module: Any, inputs: Tensor, recipe: Recipe, when: str) -> Tensor:
    """The values of a module. Raises: CodeError if it fails, or returns anything but values of shape (B, C)."""
    owner, kind = f"model {network.model.name!r}", inputs.device.type
    try:
        if recipe.precision == "bfloat16":
            with torch.autocast(kind, dtype=torch.bfloat16):
                values = module(inputs)
        else:
            values = module(inputs)
    except (MemoryError, CodeError):
        raise
    except Exception as error:
        raise CodeError(
            f"{owner} failed{when} on a batch of shape {tuple(inputs.shape)}: {type(error).__name__}: "
            f"{(str(error).splitlines() or [''])[0]}{_hint(network, error)}"
        ) from error
    expected = (len(inputs), network.classes)
    if not isinstance(values, Tensor) or tuple(values.shape) != expected:
        got = f"values of shape {tuple(values.shape)}" if isinstance(values, Tensor) else f"a {type(values).__name__}"
        raise CodeError(f"{owner} returned {got}; expected {expected}, a value for each class{_classes_hint(values)}")
    return values.to(inputs.dtype)


def _hint(network: ModuleNetwork, error: Exception) -> str:
    """What a new user most likely has to change, as the end of a sentence."""
    text = str(error)
    if len(network.seen) == 3 and ("mat1 and mat2" in text or "size mismatch" in text):
        return "; the examples are images: begin with torch.nn.Flatten(), or x.flatten(1), for a linear layer"
    if len(network.seen) == 1 and ("3D or 4D" in text or "4D input" in text or "Expected 3D" in text):
        return "; the examples are flat values: there are no images in this data set"
    if "more than 1 value per channel" in text:
        return "; batch normalisation cannot train on a batch of one example: choose another batches.size"
    return ""


def _classes_hint(values: object) -> str:
    return "; give it the argument `classes`, which Assay hands in" if isinstance(values, Tensor) else ""


@contextmanager
def generators_kept(recipe: Recipe, device: torch.device) -> Generator[None]:
    """Inside, torch's generators may be set for a user's module; afterwards they are as before."""
    if not isinstance(recipe.model, ForeignModel):
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
