"""The network of a module of a library on jax: its arrays by name, and the pure function that its engine trains.

Its weights are drawn with jax's 64-bit types off, as a program of the user draws them by default, in float32.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import CodeError, to_install
from assay.parts.libraries import Adapter, Functional, Library
from assay.parts.module_networks import Arrays, Factory, ModuleNetwork, first_line, import_line
from assay.parts.signatures import as_arguments
from assay.parts.stack import Shape


class FunctionalNetwork(ModuleNetwork):
    """The arrays of a user's module of jax, in its library's names and layout."""

    @property
    def library(self) -> Library:
        """The library of its module. Raises: CodeError where the module's code may not be imported."""
        return self.model.factory().library

    @property
    def adapter(self) -> Adapter:
        """What adapts its library. Raises: CodeError where it is not installed."""
        return _adapter(self.library)

    @property
    def seen(self) -> Shape:
        """The shape of an example as the module sees it, channels where its library has them; or (D,)."""
        shape = (*self.shape, 1) if len(self.shape) == 2 else self.shape
        if len(shape) != 3 or self.library.channels_last:
            return shape
        return shape[2], *shape[:2]

    @property
    def channels(self) -> int | None:
        """The channels of images, where its library has them; None for other examples."""
        return self.seen[-1 if self.library.channels_last else 0] if len(self.seen) == 3 else None

    def built(self, seed: int) -> Functional:
        """A new module, with the weights that it draws from `jax.random.key(seed)`. Raises: CodeError."""
        adapter, factory = self.adapter, self.model.factory()
        arguments = self._arguments(factory)
        owner = f"model {self.model.name!r}"
        with types_of("float32"):
            key = key_of(seed)
            seeds = {name: value for name, value in adapter.seeding(key).items() if name in factory.seeds}
            try:
                made = adapter.functional(lambda: factory.made(self.model.name, arguments, seeds), key, self.seen)
            except TypeError as error:
                raise CodeError(f"{owner} {first_line(error)}") from error
        _check(made, owner)
        return made

    @cached_property
    def functional(self) -> Functional:
        """A module of it, for its function; its arrays are those of no training."""
        return self.built(0)

    @cached_property
    def _made(self) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
        trained, others = self._traced()
        return {n: tuple(a.shape) for n, a in trained.items()}, {n: tuple(a.shape) for n, a in others.items()}

    def _traced(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The arrays of a module without their numbers, so that no device is started for a plan's shapes."""
        jax: Any = importlib.import_module("jax")
        try:
            return jax.eval_shape(lambda: _arrays_of(self.built(0)))
        except CodeError:  # it cannot be made, or not without the numbers of its arrays
            return _arrays_of(self.functional)

    def pooled_first(self) -> FunctionalNetwork:
        return self

    def initial(self, seed: int) -> Arrays:
        """The arrays before the first iteration, real numbers as float64."""
        made = self.built(seed)
        return {name: _as_numpy(array) for name, array in {**made.trained, **made.others}.items()}

    # --- files for the library itself ---

    def state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        """The arrays under their names, the paths in the module."""
        return dict(arrays)

    def arrays_of(self, tensors: Mapping[str, NDArray[Any]]) -> Arrays:
        """The arrays from those of a file."""
        return {name: tensors[name] for name in self.arrays}

    def code(self, path: str) -> list[str]:
        """Lines of Python that make the module and load an exported file into it."""
        factory, (_, _, place) = self.model.factory(), self.model.name.partition(":")
        written = ", ".join(f"{key}={value!r}" for key, value in self._arguments(factory).items())
        make = f"{place}({written})" if not factory.is_made else place
        return self.adapter.code(make, import_line(self.model.name), factory.seeds, path)

    def _arguments(self, factory: Factory) -> dict[str, Any]:
        signature = factory.signature
        return self.handed_in(signature) | as_arguments(signature, dict(self.model.arguments))


def _arrays_of(made: Functional) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return made.trained, made.others


def types_of(precision: str) -> Any:
    """A context in which jax has 64-bit types for float64 alone, as in a program of the user's."""
    jax: Any = importlib.import_module("jax")
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(precision == "float64")
    older: Any = importlib.import_module("jax.experimental")
    return older.enable_x64(precision == "float64")


def key_of(seed: int) -> Any:
    """`jax.random.key(seed)` of the lowest 64 bits, whatever types are on."""
    jax: Any = importlib.import_module("jax")
    return jax.random.wrap_key_data(
        np.array([seed >> 32 & 0xFFFFFFFF, seed & 0xFFFFFFFF], np.uint32), impl="threefry2x32"
    )


def _adapter(library: Library) -> Adapter:
    try:
        return library.adapted()
    except ImportError:
        raise CodeError(f"a model that is {library.of} needs it: {to_install(library.package)}") from None


def _check(made: Functional, owner: str) -> None:
    """Raises: CodeError for arrays that cannot be trained and stored."""
    if not made.trained or not sum(math.prod(a.shape) for a in made.trained.values()):
        raise CodeError(f"{owner} cannot be trained: it has no parameters")
    odd = [name for name in made.trained if _kind(made.trained[name]) != "f"]
    if odd:
        raise CodeError(f"{owner}: parameter {odd[0]!r} is of type {made.trained[odd[0]].dtype}; expected real numbers")
    keys = [name for name, a in made.others.items() if _kind(a) not in "fiub"]
    if keys:
        raise CodeError(
            f"{owner}: {keys[0]!r} is of type {made.others[keys[0]].dtype}, which no checkpoint can hold; take random "
            "keys as an argument of the call"
        )
    if slashed := [name for name in (*made.trained, *made.others) if "/" in name]:
        raise CodeError(f"{owner}: array {slashed[0]!r} has a '/' in its name; give it another")


def _kind(array: Any) -> str:
    """The kind of an array's numbers, as NumPy's letters; "V" for a random key."""
    jnp: Any = importlib.import_module("jax.numpy")
    kinds = {"f": jnp.floating, "i": jnp.signedinteger, "u": jnp.unsignedinteger, "b": jnp.bool_}
    return next((letter for letter, kind in kinds.items() if jnp.issubdtype(array.dtype, kind)), "V")


def _as_numpy(array: Any) -> NDArray[Any]:
    return np.array(array, np.float64) if _kind(array) == "f" else np.array(array)
