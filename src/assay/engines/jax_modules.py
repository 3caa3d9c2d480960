"""A user's module in the jax engine: its function of named arrays as the forward pass, and what it must do.

Before each iteration, the key of its random numbers is made of (seed, iteration), so that dropout keeps laws 2 and 5.
It is traced with jax's default types and, on a GPU too, with products in the precision of the recipe.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from assay.engines.module_sentences import backward_failed, not_finite, twice_softmax, without_gradient
from assay.errors import CodeError
from assay.parts.activations import OUTPUTS
from assay.parts.jax_modules import FunctionalNetwork, key_of, types_of
from assay.parts.losses import LOSSES, head
from assay.recipe.model import Recipe

Tree = Any  # jax arrays in dicts and tuples; jax's own types are not more precise
xp: Any = jnp

ROWS = 1_000
"""Examples that a module is given at once in evaluation."""

_FIRST_ROWS = 32  # of the first batch
_MODULES = 7_171_940  # so that no key of an iteration is one that `split` or `fold_in` made for the first weights
_MOST_PASSED = 256

_passed: dict[object, tuple[str, ...]] = {}


def iteration_key(seed: int, t: int) -> Any:
    """The key of a module's random numbers in iteration `t`, counted from 1, of a training with that seed."""
    return module_key(jax.random.fold_in(key_of(seed), t))


def module_key(key: Tree) -> Tree:
    """That key, from the one of the iteration."""
    return jax.random.fold_in(key, _MODULES)


def inputs_of(network: FunctionalNetwork, x: Tree) -> Tree:
    """Examples (B, D) as the module sees them."""
    if len(network.seen) == 1:
        return x
    height, width, channels = (*network.shape, 1)[:3]
    images = x.reshape(len(x), height, width, channels)
    return images if network.library.channels_last else images.transpose(0, 3, 1, 2)


def module_values(network: FunctionalNetwork, w: Tree, x: Tree, key: Tree, *, products: str) -> tuple[Tree, Tree]:
    """The module's values (B, C) for examples (B, D), and its arrays that are not trained afterwards.

    `key`: that of the iteration, in training; None in evaluation.

    Raises: CodeError if the module fails, or returns anything but values (B, C).
    """
    training = key is not None
    return called(network, w, x, module_key(key) if training else key_of(0), training, products=products)


def called(
    network: FunctionalNetwork, w: Tree, x: Tree, key: Tree, training: bool, *, products: str
) -> tuple[Tree, Tree]:
    """The same with a key of random numbers in evaluation too."""
    owner, inputs = f"model {network.model.name!r}", inputs_of(network, x)
    precision = "tensorfloat32" if products == "tensorfloat32" else "highest"
    try:
        with types_of(np.dtype(x.dtype).name), jax.default_matmul_precision(precision):
            values, after = network.functional.apply(w, inputs, key, training)
    except (MemoryError, CodeError):
        raise
    except Exception as error:
        message = (str(error).strip().splitlines() or [""])[0]
        raise CodeError(
            f"{owner} failed on a batch of shape {tuple(inputs.shape)}: {type(error).__name__}: {message}"
            f"{_hint(network, error)}"
        ) from error
    expected = (len(x), network.classes)
    if not isinstance(values, jax.Array) or values.shape != expected:
        got = f"values of shape {values.shape}" if isinstance(values, jax.Array) else f"a {type(values).__name__}"
        hint = _hint_on_shape(network, values.ndim) if isinstance(values, jax.Array) else ""
        raise CodeError(f"{owner} returned {got}; expected {expected}, a value for each class{hint}")
    if not jax.numpy.issubdtype(values.dtype, jax.numpy.floating):
        raise CodeError(f"{owner} returned values of type {values.dtype}; expected real numbers")
    return values.astype(x.dtype), {name: _like(owner, name, after[name], w[name]) for name in network.buffers}


def _like(owner: str, name: str, after: Tree, before: Tree) -> Tree:
    if after.shape != before.shape:
        raise CodeError(f"{owner} changes the shape of {name!r} from {before.shape} to {after.shape}")
    return after.astype(before.dtype)


def _hint(network: FunctionalNetwork, error: Exception) -> str:
    """What a new user most likely has to change, as the end of a sentence."""
    if own := network.adapter.hint(error):
        return own
    if len(network.seen) == 3 and any(word in str(error) for word in ("dot_general", "matmul", "shape")):
        return _flattening(network)
    return ""


def _hint_on_shape(network: FunctionalNetwork, dimensions: int) -> str:
    """The same for values of another shape than (B, C)."""
    if dimensions > 2 and len(network.seen) == 3:
        return _flattening(network)
    return "; give it the argument `classes`, which Assay hands in"


def _flattening(network: FunctionalNetwork) -> str:
    return f"; the examples are images {network.seen}: a linear layer needs {network.adapter.flattening()} first"


# --- what a module must do -------------------------------------------------------------------------------------------


def module_notes(network: FunctionalNetwork, recipe: Recipe, x: Tree, y: Tree, *, size: int) -> tuple[str, ...]:
    """Tries a module with its own first weights, on its first examples; returns sentences on what is unusual.

    Args:
        network: The module's network.
        recipe: What is trained.
        x: Examples (N, D), in the type of the training.
        y: What they should give (N, C).
        size: The number of examples of a batch.

    Raises:
        CodeError: It fails, returns anything but finite values (B, C), does not depend on its parameters, draws random
            numbers from elsewhere than its key, or is random in evaluation.
    """
    rows = min(size, len(x), _FIRST_ROWS)
    key = (network, recipe.seed, recipe.loss, recipe.precision, rows)
    if key not in _passed:
        notes = tuple(_Trial(network, recipe, x[:rows], y[:rows]).notes())
        if len(_passed) >= _MOST_PASSED:
            _passed.clear()
        _passed[key] = notes
    return _passed[key]


@dataclass(frozen=True, eq=False)
class _Trial:
    """A module and the first rows of its data."""

    network: FunctionalNetwork
    recipe: Recipe
    x: Tree
    y: Tree

    @property
    def owner(self) -> str:
        return f"model {self.network.model.name!r}"

    def notes(self) -> Iterator[str]:
        w = self._first_weights()
        values, gradients = self._pass(w)
        again, others = self._pass(w)
        if not all(map(_equal, [values, *gradients.values()], [again, *others.values()])):
            raise CodeError(
                f"{self.owner} gives other results for the same batch and weights, so that its training could not be "
                "resumed: it draws random numbers from elsewhere than the key that it is given, or keeps state outside"
            )
        if not any(np.any(g) for g in gradients.values()):
            raise without_gradient(self.owner)
        self._evaluated(w)
        yield from (f"{self.owner} {note}" for note in self.network.functional.notes)
        if self.recipe.model.output in ("log_softmax", "softmax") and _are_probabilities(values):
            yield twice_softmax(self.owner, self.recipe.model.output)

    def _first_weights(self) -> Tree:
        first, second = (self.network.initial(self.recipe.seed) for _ in range(2))
        own = self.network.arrays
        for name in first.keys() | second.keys() | own.keys():
            if any(name not in made for made in (first, second, own)) or own[name] != first[name].shape:
                raise CodeError(f"{self.owner} has an array {name!r} of another shape, or none, with another seed")
            if not _equal(first[name], second[name]):
                raise CodeError(
                    f"{self.owner} draws {name!r} from another source than the key that it is given, so that a seed "
                    "does not give the same weights again; draw it from the key"
                )
        return {name: a.astype(self.x.dtype) if a.dtype.kind == "f" else a for name, a in first.items()}

    def _pass(self, w: Tree) -> tuple[Any, dict[str, Any]]:
        """The module's values of the first batch in training, and their gradients, traced anew."""
        function, name = head(self.network.output, self.recipe.loss)
        epsilon = float(np.finfo(self.x.dtype).eps)

        def loss(trained: Tree, others: Tree, x: Tree, y: Tree, key: Tree) -> Tree:
            values, _ = called(self.network, trained | others, x, key, True, products=self.recipe.precision)
            return LOSSES[name].value(xp, OUTPUTS[function].forward(xp, values), y, epsilon).sum(), values

        trained = {key: w[key] for key in self.network.shapes}
        others = {key: w[key] for key in self.network.buffers}
        graded = jax.jit(jax.value_and_grad(loss, has_aux=True))
        try:
            key = iteration_key(self.recipe.seed, 1)
            (_, values), gradients = graded(trained, others, self.x, self.y, key)
        except (MemoryError, CodeError):
            raise
        except Exception as error:
            raise backward_failed(self.owner, error) from error
        if not np.isfinite(values).all():
            raise not_finite(self.owner, has_nan=bool(np.isnan(values).any()))
        return np.asarray(values), {name: np.asarray(g) for name, g in gradients.items()}

    def _values(self, w: Tree, key: Tree) -> Tree:
        """The module's values in evaluation, traced anew."""

        def values(x: Tree, key: Tree) -> Tree:
            return called(self.network, w, x, key, False, products=self.recipe.precision)[0]

        return jax.jit(values)(self.x, key)

    def _evaluated(self, w: Tree) -> None:
        if not _equal(self._values(w, key_of(0)), self._values(w, key_of(1))):
            raise CodeError(
                f"{self.owner} is random in evaluation: two passes with other keys differ; be random only in training, "
                f"by {self.network.adapter.flag()}"
            )


def _equal(a: Any, b: Any) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b))


def _are_probabilities(values: Any) -> bool:
    return bool((values >= 0).all()) and bool(np.allclose(values.astype(np.float64).sum(-1), 1.0, atol=1e-3))
