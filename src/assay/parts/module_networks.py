"""The network of a user's module: its arrays by name, of torch; those of jax build on it (`jax_modules`)."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assay.errors import CodeError, to_install
from assay.parts.layers import Network
from assay.parts.libraries import TORCH, Library, library_of_module
from assay.parts.signatures import Plain, Signature, as_arguments
from assay.parts.stack import Shape

Arrays = dict[str, NDArray[Any]]

INPUTS, CLASSES = ("inputs", "in_features"), ("classes", "num_classes", "out_features")
SHAPE, CHANNELS = "input_shape", "in_channels"
HANDED_IN = (*INPUTS, SHAPE, CHANNELS, *CLASSES)
"""Arguments that Assay gives where a model's signature has them: the number of values of an example, its shape as the
module sees it, its channels, and the number of classes."""

GIVEN = "given"
"""The place of a module that a program gave as an object, in this process alone (see `given`)."""

REINITIALISED = (
    "it is a module that was made already: its reset_parameters draws the first weights by the seed, and those that it "
    "had are not used"
)


@dataclass(frozen=True, eq=False)
class Factory:
    """What makes the module of a name, the identity of its code, and its signature.

    `is_made`: the name is that of a module, no class and no function; weights that it has are drawn anew. `seeds`: the
    arguments of its library by which it draws its weights; the signature does not have them.
    """

    make: Callable[..., Any]
    code: str
    signature: Signature
    is_made: bool = False
    library: Library = TORCH
    seeds: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """A sentence on the weights that training begins with, or ""."""
        return REINITIALISED if self.is_made and self.library.has_weights else ""

    def made(self, name: str, arguments: Mapping[str, Any], seeds: Mapping[str, Any] | None = None) -> Any:
        """Its module, of these arguments. Raises: CodeError, where it fails."""
        try:
            return self.make(**arguments, **(seeds or {}))
        except (MemoryError, CodeError):
            raise
        except Exception as error:
            shown = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
            raise CodeError(
                f"model {name!r} cannot be made with ({shown}): {type(error).__name__}: {first_line(error)}"
            ) from error


class UserModel(Protocol):
    """A user's module in a recipe (`modules.ForeignModel`)."""

    name: str
    arguments: tuple[tuple[str, Plain], ...]

    @property
    def library(self) -> Library:
        """The library of its module."""
        ...

    def factory(self) -> Factory:
        """What makes its module. Raises: CodeError."""
        ...


@dataclass(frozen=True)
class ModuleNetwork(Network):
    """The arrays of a user's module, in torch's names and layout. It has no layers that Assay knows."""

    model: UserModel
    shape: Shape

    @property
    def seen(self) -> Shape:
        """The shape of an example as the module sees it: (channels, height, width), or (D,)."""
        if len(self.shape) == 2:
            return 1, *self.shape
        return (self.shape[2], *self.shape[:2]) if len(self.shape) == 3 else self.shape

    @property
    def channels(self) -> int | None:
        """The channels of images; None for other examples."""
        return self.seen[0] if len(self.seen) == 3 else None

    def handed_in(self, signature: Signature) -> dict[str, Any]:
        """The arguments that Assay gives, of those that the signature has and the recipe does not give."""
        values: dict[str, Any] = dict.fromkeys(INPUTS, self.inputs) | dict.fromkeys(CLASSES, self.classes)
        values[SHAPE] = self.seen
        if self.channels is not None:
            values[CHANNELS] = self.channels
        given = dict(self.model.arguments)
        return {k: v for k, v in values.items() if k in signature.arguments and k not in given}

    def built(self, seed: int) -> Any:
        """A new module, with the weights that it draws after `torch.manual_seed(seed)`. Raises: CodeError."""
        torch = torch_library()
        factory = self.model.factory()
        arguments = self.handed_in(factory.signature) | as_arguments(factory.signature, dict(self.model.arguments))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = factory.made(self.model.name, arguments)
        self._check(module)
        return module

    def _check(self, module: Any) -> None:
        """Raises: CodeError if it is no module, or one whose arrays cannot be trained and stored."""
        torch, owner = torch_library(), f"model {self.model.name!r}"
        if not isinstance(module, torch.nn.Module):
            if other := library_of_module(module) or _with_state(module):
                raise CodeError(
                    f"{owner} returned {other.of}, and a function of another library than torch says so by its return "
                    f"annotation: def net(...) -> {other.base}"
                )
            raise CodeError(f"{owner} returned {a_kind(module)}; expected a torch.nn.Module")
        arrays = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        unsized = torch.nn.parameter.UninitializedTensorMixin
        lazy = [name for name, array in arrays.items() if isinstance(array, unsized)]
        if lazy:
            raise CodeError(
                f"{owner}: {lazy[0]!r} has no size before the first batch (a lazy layer); give it one: Assay hands in "
                f"{', '.join(HANDED_IN)}"
            )
        trained = {name: array for name, array in module.named_parameters() if array.requires_grad}
        if not trained:
            what = "all of its parameters are frozen" if dict(module.named_parameters()) else "it has no parameters"
            raise CodeError(f"{owner} cannot be trained: {what}")
        odd = [name for name, array in trained.items() if not array.is_floating_point() or array.is_sparse]
        if odd:
            raise CodeError(f"{owner}: parameter {odd[0]!r} is of type {trained[odd[0]].dtype}; expected real numbers")
        if slashed := [name for name in arrays if "/" in name]:
            raise CodeError(f"{owner}: parameter {slashed[0]!r} has a '/' in its name; give it another")

    @cached_property
    def _made(self) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
        module = self.built(0)
        trained, others = parts_of(module)
        return {n: tuple(a.shape) for n, a in trained.items()}, {n: tuple(a.shape) for n, a in others.items()}

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._made[0]

    @cached_property
    def buffers(self) -> dict[str, tuple[int, ...]]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The shapes of what is not trained: buffers and frozen parameters."""
        return self._made[1]

    @property
    def order(self) -> list[str]:
        """The names of the trained arrays; first those under penalties and weight decay: of two or more dimensions."""
        return sorted(self.shapes, key=lambda name: len(self.shapes[name]) < 2)

    @property
    def penalised(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes.values() if len(shape) >= 2)

    @property
    def normalises(self) -> bool:
        return True  # a module may, and nobody knows

    def pooled_first(self) -> ModuleNetwork:
        return self

    def initial(self, seed: int) -> Arrays:
        """The arrays before the first iteration, real numbers as float64."""
        trained, others = parts_of(self.built(seed))
        return {name: as_array(array, wide=True) for name, array in {**trained, **others}.items()}

    # --- torch's own form ---

    def state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        """The arrays as `Module.state_dict()` has them: tied ones under each name, buffers that are not kept left out.

        Raises: CodeError where the module cannot be made here.
        """
        return {name: arrays[own] for name, own in self._own_names().items()}

    def arrays_of(self, tensors: Mapping[str, NDArray[Any]]) -> Arrays:
        """The arrays from those of a state_dict; buffers that it does not keep are those of a new module."""
        arrays = self.initial(0)
        return arrays | {own: tensors[name] for name, own in self._own_names().items()}

    def _own_names(self) -> dict[str, str]:
        """The names of a state_dict, each with ours."""
        module = self.built(0)
        ours = {id(array): name for part in parts_of(module) for name, array in part.items()}
        return {name: ours[id(array)] for name, array in module.state_dict(keep_vars=True).items() if id(array) in ours}

    def code(self, path: str) -> list[str]:
        """Lines of Python that make the module and load an exported file into it."""
        factory, (_, _, place) = self.model.factory(), self.model.name.partition(":")
        arguments = self.handed_in(factory.signature) | as_arguments(factory.signature, dict(self.model.arguments))
        written = "" if factory.is_made else f"({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
        return [
            "from safetensors.torch import load_file",
            import_line(self.model.name),
            "",
            f"net = {place}{written}",
            f"net.load_state_dict(load_file({path!r}))",
        ]


def import_line(name: str) -> str:
    """The line of Python that imports what makes a model; a comment for what a program gave as an object."""
    module, _, place = name.partition(":")
    if module == GIVEN:
        return f"# {place}() stands for the model that the program gave as an object"
    return f"from {module} import {place.partition('.')[0]}"


def parts_of(module: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters of a module that are trained, and its other arrays: frozen parameters and buffers, by name."""
    parameters = dict(module.named_parameters())
    trained = {name: array for name, array in parameters.items() if array.requires_grad}
    others = {name: array for name, array in parameters.items() if not array.requires_grad}
    return trained, others | dict(module.named_buffers())


def as_array(tensor: Any, *, wide: bool = False) -> NDArray[Any]:
    """A copy of a tensor; with `wide`, real numbers as float64. A type that NumPy lacks becomes float32."""
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point() and (wide or tensor.dtype not in (torch_library().float32, torch_library().float64)):
        tensor = tensor.double() if wide else tensor.float()
    return np.array(tensor.numpy(), order="C")


def _with_state(made: object) -> Library | None:
    """The library of a pair of module and state."""
    pair: Any = made if isinstance(made, tuple) else (None,)
    return library_of_module(pair[0]) if pair else None


def torch_library() -> Any:
    """torch. Raises: CodeError where it is not installed."""
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise CodeError(f"a model that is a module needs torch: {to_install('torch')}") from None


def a_kind(value: object) -> str:
    """What an object is, in a sentence."""
    return f"a {type(value).__name__}" if value is not None else "nothing (None)"


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).splitlines() or [""])[0]
