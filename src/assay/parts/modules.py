"""Models of a user, named `module:Net`: a class of modules of torch or of a library on jax, or a function for one.

A recipe holds the name, plain data for its arguments, and the identity of its code. Recipes may come from strangers, so
that a name is imported, and a function called, only inside `allowing_code`; a class that the program has already loaded
needs no permission. What is made of a name under permission stays usable in the process, because training comes later.
"""

from __future__ import annotations

import copy
import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import SerializerFunctionWrapHandler, ValidationError, model_serializer
from pydantic_core import InitErrorDetails, PydanticCustomError

from assay.errors import CodeError, has_no, to_install
from assay.parts.layers import Network
from assay.parts.libraries import (
    TORCH,
    Library,
    bases_in_words,
    library_of,
    library_of_class,
    library_of_module,
)
from assay.parts.models import Model, OutputName
from assay.parts.resets import reinitialised
from assay.parts.signatures import (
    Plain,
    Signature,
    as_arguments,
    complete,
    plain,
    problems_of_arguments,
    signature_of,
)
from assay.parts.sources import identity_of
from assay.parts.stack import Shape
from assay.parts.user_optimizers import code_is_allowed, import_user_module, loaded_object, refusal

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

_RESERVED = ("name", "output", "code")


class ForeignModel(Model):
    """A user's module: its name `module:Net`, its arguments, and the identity of its code.

    Attributes:
        name: Where the class or function is.
        arguments: Its arguments by name, with the defaults of its signature.
        code: What identifies its source (see `sources`).
        output: The function after the module, whose own last values are scores (logits) with the default.
    """

    name: str
    arguments: tuple[tuple[str, Plain], ...] = ()
    code: str = ""
    output: OutputName = "log_softmax"

    @model_serializer(mode="wrap")
    def _plain(self, listed: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"name": self.name, **self.settings(), "code": self.code}

    def settings(self) -> dict[str, Any]:
        arguments = {key: _lists(value) for key, value in self.arguments}
        return {"output": self.output, **arguments}

    def canonical(self) -> dict[str, Any]:
        return {"name": self.name, **self.settings(), "code": self.code}

    @property
    def title(self) -> str:
        if not self.arguments:
            return self.name
        return f"{self.name}({', '.join(f'{key}={_shown(value)}' for key, value in self.arguments)})"

    @property
    def functions(self) -> str:
        return ""

    def network(self, shape: Shape | int, classes: int) -> ModuleNetwork:
        """The network for examples of a shape. Nothing is made before its arrays are needed, which may raise."""
        shape = (shape,) if isinstance(shape, int) else shape
        kind = ModuleNetwork
        if self.library.adapter:
            from assay.parts.jax_modules import FunctionalNetwork

            kind = FunctionalNetwork
        return kind((), self.output, math.prod(shape), classes, model=self, shape=shape)

    @property
    def library(self) -> Library:
        """The library of its module; torch where its code may not be imported, as nothing is made of it then."""
        try:
            return self.factory().library
        except CodeError:
            return TORCH

    def is_usable(self) -> bool:
        """Whether its module can be made here."""
        try:
            self.factory()
        except CodeError:
            return False
        return True

    def factory(self) -> Factory:
        """What makes its module. Raises: CodeError if it may not be imported, or its source has changed."""
        made = factory_of(self.name)
        if made.code != self.code:
            raise CodeError(
                f"the source of model {self.name!r} is not the one that it was trained with (or a file or package that "
                "it uses is not); restore it, or train again"
            )
        return made


def is_module(model: object) -> bool:
    """Whether a model is a user's module."""
    return isinstance(model, ForeignModel)


def module_problem(model: Model, engine: str) -> str | None:
    """Why an engine cannot train a model: it is a module of a library that another one trains. None if it can."""
    if not isinstance(model, ForeignModel) or engine == model.library.engine:
        return None
    own = model.library.engine
    return f"model {model.name!r} is {model.library.of}, which trains on engine {own!r} only; use engine {own!r}"


# --- from a recipe's value to a model --------------------------------------------------------------------------------


def module_of(value: object, *, stored: bool) -> ForeignModel | None:
    """The user's model that a recipe's value is or names; None if it names one of the table.

    `stored`: the value is that of a stored trial, for which nothing is imported.

    Raises: CodeError, or pydantic's error with all that is wrong with the arguments.
    """
    if isinstance(value, ForeignModel):
        return value
    if library_of_module(value) or (callable(value) and not isinstance(value, Model)):
        raise CodeError(
            "got an object, which no worker could import; write its class or function into a module and name it, "
            "such as 'my_models:Net'. assay.fit(model=...) trains an object in this process"
        )
    given: dict[str, Any] = {"name": value} if isinstance(value, str) else {}
    if isinstance(value, Mapping):
        given = {str(key): entry for key, entry in value.items()}  # pyright: ignore
    name = given.pop("name", None)
    if not isinstance(name, str) or ":" not in name:
        return None
    output, code = given.pop("output", None), given.pop("code", None)
    shown: dict[str, Any] = {} if output is None else {"output": output}
    if stored:
        arguments = {key: plain(entry) for key, entry in sorted(given.items())}
        return ForeignModel(name=name, arguments=tuple(arguments.items()), code=str(code or ""), **shown)
    made = factory_of(name)
    problems = problems_of_arguments(f"model {name!r}", made.signature, given, handed_in=HANDED_IN)
    if code not in (None, made.code):
        problems.append(("code", f"got {code!r}; this is {made.code!r}, because the source is another: leave it out"))
    if "initial" in given and "initial" not in made.signature.arguments:
        problems = [problem for problem in problems if problem[0] != "initial"]
        problems.append(("initial", "a module draws its own initial weights; leave it out"))
    if problems:
        raise _error(name, problems)
    arguments = complete(made.signature, given, handed_in=HANDED_IN)
    return ForeignModel(name=name, arguments=tuple(arguments.items()), code=made.code, **shown)


def _error(name: str, problems: list[tuple[str, str]]) -> ValidationError:
    lines = [
        InitErrorDetails(
            type=PydanticCustomError("unknown_name", "{sentence}", {"sentence": sentence}), loc=(key,), input=name
        )
        for key, sentence in problems
    ]
    return ValidationError.from_exception_data(name, lines)


# --- factories -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Factory:
    """What makes the module of a name, the identity of its code, and its signature.

    `resets`: the name is that of a module, which is re-initialised; it is no class and no function. `seeds`: the
    arguments of its library by which it draws its weights; the signature does not have them.
    """

    make: Callable[..., Any]
    code: str
    signature: Signature
    resets: bool = False
    library: Library = TORCH
    seeds: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """A sentence on the weights that training begins with, or ""."""
        return REINITIALISED if self.resets else ""


_factories: dict[str, Factory] = {}


def factory_of(name: str) -> Factory:
    """What makes the module of a name `module:Net`. Raises: CodeError."""
    if name in _factories:
        return _factories[name]
    module, _, path = name.partition(":")
    if module == GIVEN:
        raise CodeError(f"model {name!r} was an object in another process, which is gone; give it to assay.fit again")
    if not all(step.isidentifier() for step in (*module.split("."), *path.split("."))):
        raise CodeError(f"got {name!r}; expected the place of a class or function, such as 'my_models:Net'")
    make = loaded_object(name)
    if not (library_of_class(make)):
        if not code_is_allowed():
            raise CodeError(refusal(name))
        imported = import_user_module(module)
        make = loaded_object(name)
        if make is None:
            raise CodeError(has_no(f"module {module!r}", "model", path, _models_in(vars(imported))))
    return _factories.setdefault(name, _checked_factory(name, make))


def register(name: str, factory: Factory) -> None:
    """Keeps a factory that a program gave, under a name of this process."""
    _factories[name] = factory


def named_factory(value: Any) -> tuple[str, Factory] | None:
    """The name of a class or function, and its factory; None where no other process could import it by that.

    Raises: CodeError where it makes no module.
    """
    module, path = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    name = f"{module}:{path}"
    if not module or module == "__main__" or "<" in path or loaded_object(name) is not value:
        return None
    if name not in _factories:
        register(name, _checked_factory(name, value))
    return name, _factories[name]


def _checked_factory(name: str, make: object) -> Factory:
    """Raises: CodeError if it makes no module, or cannot be found again by its name."""
    if isinstance(make, type) and not library_of_class(make):
        raise CodeError(f"{name!r} is a class without the base {bases_in_words()}; expected one, or a function")
    if not callable(make):
        raise CodeError(f"{name!r} is {_a(make)}; expected a class of {bases_in_words()}, or a function")
    module = name.partition(":")[0]
    if module == "__main__":
        raise CodeError(
            f"{name!r} is defined in a script or notebook, where workers and later runs cannot import it; put it into "
            "a module, such as my_models.py"
        )
    if is_torch_module(make):
        return resetting(make, f"model {name!r}", identity_of(module, type(make).__module__))
    if found := library_of_module(make):
        raise CodeError(
            f"{name!r} is {found.of} that is made already, and its weights are those of no seed; give its class, or a "
            "function that returns it"
        )
    library = library_of(make)
    try:
        signature, seeds = signature_without(make, library)
    except (ValueError, TypeError):
        raise CodeError(f"{name!r} has no signature, which its arguments are checked against; wrap it") from None
    if clash := [key for key in _RESERVED if key in signature.arguments]:
        raise CodeError(f"{name!r}: its argument {clash[0]!r} is a key of every model; give the argument another name")
    code = identity_of(module, getattr(make, "__module__", module) or module)
    return Factory(make, code, signature, library=library, seeds=seeds)


def signature_without(make: Any, library: Library) -> tuple[Signature, tuple[str, ...]]:
    """The signature of a class or function without its library's own arguments; and those of them that it has.

    Raises: ValueError or TypeError where it has none.
    """
    signature = signature_of(make)
    own = tuple(name for name in library.own if name in signature.arguments or name in signature.code)
    if not own:
        return signature, ()
    arguments = {name: value for name, value in signature.arguments.items() if name not in own}
    code = {name: value for name, value in signature.code.items() if name not in own}
    return Signature(arguments, code, signature.takes_any), own


def resetting(module: Any, owner: str, code: str) -> Factory:
    """What makes copies of a module that are drawn anew. Raises: CodeError where it cannot be."""
    kept = copy.deepcopy(module)  # what is made later does not depend on what the program does in between
    with torch_library().random.fork_rng(devices=[]):
        reinitialised(kept, owner)  # what cannot be is said now
    return Factory(lambda: reinitialised(kept, owner), code, Signature({}, {}, takes_any=False), resets=True)


def _models_in(names: Mapping[str, Any]) -> list[str]:
    return [key for key, value in names.items() if library_of_class(value)]


def is_torch_module(value: object) -> bool:
    """Whether an object is a module of torch; torch is not imported for it."""
    return TORCH.is_module(value)


# --- the network of a module -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModuleNetwork(Network):
    """The arrays of a user's module, in torch's names and layout. It has no layers that Assay knows."""

    model: ForeignModel
    shape: Shape

    @property
    def seen(self) -> Shape:
        """The shape of an example as the module sees it: (channels, height, width), or (D,)."""
        if len(self.shape) == 2:
            return 1, *self.shape
        return (self.shape[2], *self.shape[:2]) if len(self.shape) == 3 else self.shape

    def handed_in(self, signature: Signature) -> dict[str, Any]:
        """The arguments that Assay gives, of those that the signature has and the recipe does not give."""
        values: dict[str, Any] = dict.fromkeys(INPUTS, self.inputs) | dict.fromkeys(CLASSES, self.classes)
        values[SHAPE] = self.seen
        if len(self.seen) == 3:
            values[CHANNELS] = self.seen[0]
        given = dict(self.model.arguments)
        return {k: v for k, v in values.items() if k in signature.arguments and k not in given}

    def built(self, seed: int) -> Any:
        """A new module, with the weights that it draws after `torch.manual_seed(seed)`. Raises: CodeError."""
        torch = torch_library()
        factory = self.model.factory()
        arguments = self.handed_in(factory.signature) | as_arguments(factory.signature, dict(self.model.arguments))
        shown = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                module = factory.make(**arguments)
            except (MemoryError, CodeError):
                raise
            except Exception as error:
                raise CodeError(
                    f"model {self.model.name!r} cannot be made with ({shown}): {type(error).__name__}: {_first(error)}"
                ) from error
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
            raise CodeError(f"{owner} returned {_a(module)}; expected a torch.nn.Module")
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
        factory, (module, _, place) = self.model.factory(), self.model.name.partition(":")
        arguments = self.handed_in(factory.signature) | as_arguments(factory.signature, dict(self.model.arguments))
        written = "" if factory.resets else f"({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
        return [
            "from safetensors.torch import load_file",
            f"from {module} import {place.partition('.')[0]}",
            "",
            f"net = {place}{written}",
            f"net.load_state_dict(load_file({path!r}))",
        ]


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


def arrays_in(tensors: Mapping[str, NDArray[Any]], slots: int) -> tuple[Arrays, Arrays]:
    """Weights (1, *shape) and slots (slots, 1, *shape) in a file, by name; its engine compares them with the module.

    Raises: ValueError where the slots are not those of an optimizer with that many.
    """
    weights = {name.removeprefix("weights/"): a[None] for name, a in tensors.items() if name.startswith("weights/")}
    kept = {name.removeprefix("slots/"): a[:, None] for name, a in tensors.items() if name.startswith("slots/")}
    for name, array in kept.items():
        own = name not in weights  # the state of another library's optimizer, under its own names
        expected = (1, *array.shape[1:]) if own else (slots, *weights[name].shape)
        if array.shape != expected:
            raise ValueError(f"slots/{name} has shape {array.shape}, expected {expected}")
    return weights, kept


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


def _lists(value: Plain) -> Any:
    return [_lists(entry) for entry in value] if isinstance(value, tuple) else value


def _shown(value: Plain) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _a(value: object) -> str:
    return f"a {type(value).__name__}" if value is not None else "nothing (None)"


def _first(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]
