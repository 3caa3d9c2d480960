"""Modules and functions that a program gives as objects, which no name stands for: they train here, and nothing else.

Their code is in no file that could be hashed, so that the key of such a training is unique: nothing is ever reused.
"""

from __future__ import annotations

import copy
import itertools
import uuid
from collections.abc import Callable
from typing import Any, cast

from pydantic import create_model

from assay.errors import CodeError
from assay.parts.foreign import ForeignOptimizer, kind_of_object, remember
from assay.parts.libraries import TORCH, Library, library_of, library_of_module
from assay.parts.module_networks import GIVEN, HANDED_IN, Factory, torch_library
from assay.parts.modules import (
    ForeignModel,
    is_torch_module,
    named_factory,
    register,
    resetting,
    signature_without,
)
from assay.parts.part import Positive
from assay.parts.signatures import Signature, complete, problems_of_arguments

_numbers = itertools.count(1)


def model_of_object(value: Any, *, repeats: int = 1) -> tuple[ForeignModel, str]:
    """The model of a module, of its class, or of a function that returns one; and a sentence on it, or "".

    A class or function of a module that can be imported is the model of that name. A module trains from the weights
    that it has; for several `repeats`, each of them draws new ones by `reset_parameters`, which torch's have. One of a
    library whose modules have no weights, such as flax.linen, is initialised by every seed.

    Raises: CodeError.
    """
    library = library_of_module(value) or TORCH
    if library.adapter and library.has_weights and repeats > 1:
        raise CodeError(
            f"model: got {library.of}, whose weights are the same at each of {repeats} repeats; give its class, or a "
            "function that returns it, which draws new weights for every seed"
        )
    if is_torch_module(value) and repeats > 1:
        model = _kept(type(value).__name__, resetting(value, f"model {type(value).__name__}", _unique()))
        return model, _unhashed("model", model.name)
    if library.is_module(value):
        model = _registered(type(value).__name__, _same(value), Signature({}, {}, takes_any=False), library)
        starts = "; it starts from the weights of that module, and the seed draws batches and dropout alone"
        return model, _unhashed("model", model.name) + (starts if library.has_weights else "")
    if found := named_factory(value):
        name, factory = found
        return _with_defaults(name, factory), ""
    library = library_of(value)
    try:
        signature, seeds = signature_without(value, library)
    except (ValueError, TypeError):
        raise CodeError("model: its signature cannot be read; give a module, or a function without arguments") from None
    model = _registered(getattr(value, "__name__", "model").strip("<>"), value, signature, library, seeds)
    return model, _unhashed("model", model.name)


def optimizer_of_object(make: Callable[[Any], Any]) -> tuple[ForeignOptimizer, str]:
    """The optimizer that a function of parameters makes, and a sentence on it. Raises: CodeError."""
    torch = torch_library()
    parameter = torch.nn.Parameter(torch.zeros(2, 2))
    try:
        built = make([parameter])
    except Exception as error:
        message = (str(error).splitlines() or [""])[0]
        raise CodeError(
            f"optimizer: the function failed when it was given a list of parameters: {type(error).__name__}: {message}"
        ) from error
    if not isinstance(built, torch.optim.Optimizer):
        raise CodeError(
            f"optimizer: the function returned a {type(built).__name__}; expected a torch.optim.Optimizer of the "
            "parameters that it is given, such as lambda parameters: torch.optim.NAdam(parameters, lr=1e-3)"
        )
    if not kind_of_object(type(built)) or not all("lr" in group for group in built.param_groups):
        raise CodeError(f"optimizer: {type(built).__name__} has no learning rate `lr` in its param_groups")
    if not any(one is parameter for group in built.param_groups for one in group["params"]):
        raise CodeError(
            "optimizer: the function does not use the parameters that it is given; Assay trains a copy of the "
            "model, so that the optimizer must take these"
        )
    created: Any = create_model(
        type(built).__name__, __base__=ForeignOptimizer, learning_rate=(Positive, float(built.param_groups[0]["lr"]))
    )
    made = cast("type[ForeignOptimizer]", created)
    made.path, made.engine, made.code = f"{GIVEN}:{type(built).__name__}_{next(_numbers)}", "torch", _unique()

    def of_parameters(parameters: Any, **_: Any) -> Any:
        return make(parameters)

    made.make = staticmethod(of_parameters)
    return remember(made.path, made)(), _unhashed("optimizer", made.path)  # pyright: ignore[reportCallIssue]


def _same(module: Any) -> Callable[[], Any]:
    """What makes a module as it is now: what is trained later does not depend on what the program does in between."""
    if not is_torch_module(module):
        return lambda: module  # of jax, whose arrays cannot change
    kept = copy.deepcopy(module)
    return lambda: copy.deepcopy(kept)


def _registered(
    title: str, make: Callable[..., Any], signature: Signature, library: Library, seeds: tuple[str, ...] = ()
) -> ForeignModel:
    return _kept(title, Factory(make, _unique(), signature, library=library, seeds=seeds))


def _kept(title: str, factory: Factory) -> ForeignModel:
    name = f"{GIVEN}:{title}_{next(_numbers)}"
    register(name, factory)
    return _with_defaults(name, factory)


def _with_defaults(name: str, factory: Factory) -> ForeignModel:
    if problems := problems_of_arguments(f"model {name!r}", factory.signature, {}, handed_in=HANDED_IN):
        raise CodeError("\n".join(f"model.{key}: {sentence}" for key, sentence in problems))
    arguments = complete(factory.signature, {}, handed_in=HANDED_IN)
    return ForeignModel(name=name, arguments=tuple(arguments.items()), code=factory.code)


def _unique() -> str:
    return f"object {uuid.uuid4().hex[:24]}"


def _unhashed(part: str, name: str) -> str:
    return (
        f"the {part} was given as an object, {name}: its code is not part of the key, so that the result is neither "
        "stored nor reused"
    )
