"""The libraries whose modules are models: torch, and those of jax. A library is a row of `LIBRARIES` and an adapter.

No library is imported here: a class can only be one of a library that the program has loaded already.
"""

from __future__ import annotations

import importlib
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Arrays = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Functional:
    """A module of jax as named arrays and a pure function of them.

    Attributes:
        trained: The parameters by name, real numbers.
        others: What is not trained but is part of a training: running means, whole numbers.
        apply: `apply(arrays, x, key, training)` with all arrays, inputs (B, *shape), a random key of jax, and whether
            it is in training. Returns values (B, C) and the arrays of `others` afterwards.
        notes: Sentences on what is unusual about the module, as clauses after its name.
    """

    trained: Arrays
    others: Arrays
    apply: Callable[[Mapping[str, Any], Any, Any, bool], tuple[Any, Arrays]]
    notes: tuple[str, ...] = ()


class Adapter(Protocol):
    """What a library on jax gives to Assay, as functions of a module of ours; it may import its library."""

    def seeding(self, key: Any) -> dict[str, Any]:
        """The arguments by which its modules draw their first weights, from a random key of jax."""
        ...

    def functional(self, make: Callable[[], Any], key: Any, shape: tuple[int, ...]) -> Functional:
        """The module that `make` makes, for examples of a shape. Raises: TypeError if it is none, with a sentence."""
        ...

    def flag(self) -> str:
        """How a module is told that it is not in training, in a sentence."""
        ...

    def flattening(self) -> str:
        """What a module begins with to take images as flat values, in a sentence."""
        ...

    def hint(self, error: Exception) -> str:
        """What a new user most likely has to change where a module fails with an error, as a clause; or ""."""
        ...

    def code(self, make: str, imported: str, seeds: tuple[str, ...], path: str) -> list[str]:
        """Lines of Python that make a module by the call `make` and load a file of its arrays into it, as `net`.

        `imported`: the line that imports what `make` calls.
        """
        ...


@dataclass(frozen=True)
class Library:
    """A library of modules.

    Attributes:
        name: The package, or the part of it that has the modules.
        base: The class that all modules have as base, such as "equinox.Module".
        engine: The engine that trains them.
        adapter: The module of ours that adapts it; "" for torch, which its engine knows by itself.
        own: Arguments of a class or function that are the library's and not the user's: keys, never set by a recipe.
        channels_last: Images come as (height, width, channels), not (channels, height, width).
        outputs_first: Matrices of weights are (outputs, inputs), not (inputs, outputs).
        has_weights: A module has weights once it is made. Without, they are drawn for it by every seed.
    """

    name: str
    base: str
    engine: str
    adapter: str = ""
    own: tuple[str, ...] = field(default=())
    channels_last: bool = False
    outputs_first: bool = True
    has_weights: bool = True

    @property
    def package(self) -> str:
        """The package, and the extra of pyproject.toml that installs it."""
        return self.base.partition(".")[0]

    @property
    def of(self) -> str:
        """The module in a sentence."""
        return f"a module of {self.name}"

    def base_class(self) -> type | None:
        """The base of its modules; None where the program has not loaded the library."""
        module, _, name = self.base.rpartition(".")
        return getattr(sys.modules.get(module), name, None)

    def is_class(self, value: object) -> bool:
        """Whether an object is a class of its modules."""
        base = self.base_class()
        return base is not None and isinstance(value, type) and issubclass(value, base) and value is not base

    def is_module(self, value: object) -> bool:
        """Whether an object is one of its modules."""
        base = self.base_class()
        return base is not None and isinstance(value, base)

    def adapted(self) -> Adapter:
        """Its adapter. Raises: ImportError where the library is not installed."""
        made: Any = importlib.import_module(self.adapter)
        return made


TORCH = Library("torch", "torch.nn.Module", "torch")

LIBRARIES: tuple[Library, ...] = (
    TORCH,
    Library("equinox", "equinox.Module", "jax", "assay.parts.equinox_modules", own=("key",)),
    Library(
        "flax.linen",
        "flax.linen.Module",
        "jax",
        "assay.parts.linen_modules",
        own=("parent", "name"),
        channels_last=True,
        outputs_first=False,
        has_weights=False,
    ),
    Library(
        "flax.nnx",
        "flax.nnx.Module",
        "jax",
        "assay.parts.nnx_modules",
        own=("rngs",),
        channels_last=True,
        outputs_first=False,
    ),
)
"""Every library whose modules are models. A new one is a row here, and an `Adapter` in a module of its own."""


def library_of_module(value: object) -> Library | None:
    """The library of a module; None if it is none."""
    return next((library for library in LIBRARIES if library.is_module(value)), None)


def library_of_class(value: object) -> Library | None:
    """The library of a class of modules; None if it is none."""
    return next((library for library in LIBRARIES if library.is_class(value)), None)


def library_of(make: Any) -> Library:
    """The library of the modules that a class, a function or a module stands for.

    A function is called only when it trains: of another library than torch it is by the class that it says it returns.
    """
    if found := library_of_module(make) or library_of_class(make):
        return found
    try:
        returned = typing.get_type_hints(make).get("return")
    except Exception:  # a name that exists for type checkers only, or whatever an annotation raises
        return TORCH
    first = next(iter(typing.get_args(returned)), None)  # of (module, state)
    bases = {library.base_class(): library for library in LIBRARIES}
    for kind in (returned, first):
        if isinstance(kind, type) and (found := library_of_class(kind) or bases.get(kind)):
            return found
    return TORCH


def bases_in_words() -> str:
    """The bases that a class of modules may have."""
    *first, last = (library.base for library in LIBRARIES)
    return f"{', '.join(first)} or {last}"
