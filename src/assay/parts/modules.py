"""Models of a user, named `module:Net`: a class of modules of torch or of a library on jax, or a function for one.

A recipe holds the name, plain data for its arguments, and the identity of its code. Recipes may come from strangers, so
that a name is imported, and a function called, only inside `allowing_code`; a class that the program has already loaded
needs no permission. What is made of a name under permission stays usable in the process, because training comes later.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from pydantic import SerializerFunctionWrapHandler, ValidationError, model_serializer
from pydantic_core import InitErrorDetails, PydanticCustomError

from assay.errors import CodeError, has_no
from assay.parts.jax_modules import FunctionalNetwork
from assay.parts.libraries import (
    TORCH,
    Library,
    bases_in_words,
    library_of,
    library_of_class,
    library_of_module,
)
from assay.parts.models import Model, OutputName
from assay.parts.module_networks import GIVEN, HANDED_IN, Arrays, Factory, ModuleNetwork, a_kind, torch_library
from assay.parts.resets import reinitialised
from assay.parts.signatures import (
    Plain,
    Signature,
    complete,
    plain,
    problems_of_arguments,
    signature_of,
)
from assay.parts.sources import identity_of, own_files
from assay.parts.stack import Shape
from assay.parts.user_optimizers import code_is_allowed, import_user_module, loaded_object, refusal

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
        kind = FunctionalNetwork if self.library.adapter else ModuleNetwork
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

    def as_it_is_now(self) -> ForeignModel:
        """The same model with the source that its name has now, which may be another: to predict, never to train.

        Raises: CodeError if it may not be imported.
        """
        code = factory_of(self.name).code
        return self if code == self.code else self.model_copy(update={"code": code})

    @property
    def files(self) -> list[str]:
        """The user's own files that its identity covers, as far as they are loaded; its own file first."""
        return own_files(self.name.partition(":")[0])


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
        raise CodeError(f"{name!r} is {a_kind(make)}; expected a class of {bases_in_words()}, or a function")
    module = name.partition(":")[0]
    if module == "__main__":
        raise CodeError(
            f"{name!r} is defined in a script or notebook, where workers and later runs cannot import it; put it into "
            "a module, such as my_models.py"
        )
    if is_torch_module(make):
        return resetting(make, f"model {name!r}", identity_of(module, type(make).__module__))
    found = library_of_module(make)
    if found and not found.has_weights:
        code = identity_of(module, type(make).__module__)
        return Factory(lambda: make, code, Signature({}, {}, takes_any=False), is_made=True, library=found)
    if found:
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
    return Factory(lambda: reinitialised(kept, owner), code, Signature({}, {}, takes_any=False), is_made=True)


def _models_in(names: Mapping[str, Any]) -> list[str]:
    return [key for key, value in names.items() if library_of_class(value)]


def is_torch_module(value: object) -> bool:
    """Whether an object is a module of torch; torch is not imported for it."""
    return TORCH.is_module(value)


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


def _lists(value: Plain) -> Any:
    return [_lists(entry) for entry in value] if isinstance(value, tuple) else value


def _shown(value: Plain) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)
