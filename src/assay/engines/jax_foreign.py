"""Optimizers of optax and functions like them in the jax engine: their state as named arrays, and one step.

A transformation is made inside the program from its arguments and the learning rate of the iteration, so that a
schedule costs no compilation. The state of T trials is {name: ((T, ...),)}, like the slots of Assay's optimizers.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import optax.contrib
from numpy.typing import NDArray

from assay.engines.jax_layers import Tree
from assay.errors import CodeError
from assay.parts.foreign import ForeignOptimizer
from assay.parts.groups import GroupedOptimizer, members_of

_WEIGHTS = "weights/"
"""The name of the weights that are trained, where others are evaluated."""
Shapes = tuple[tuple[str, tuple[int, ...], str], ...]
"""Name, shape and element type of each array of weights."""


def without_rate(own: ForeignOptimizer) -> ForeignOptimizer:
    """The optimizer with a fixed learning rate: what a program depends on. Groups keep theirs, and their ratios."""
    return own if isinstance(own, GroupedOptimizer) else own.model_copy(update={"learning_rate": 1.0})


def shapes_of(weights: Tree) -> Shapes:
    """The shapes of one trial's weights {name: array}."""
    return tuple((name, tuple(a.shape), np.dtype(a.dtype).name) for name, a in weights.items())


class _Part(NamedTuple):
    """One optimizer of a training, the weights that it trains, the ratio of its rate, and the names of its state."""

    own: ForeignOptimizer
    names: tuple[str, ...]
    ratio: float
    tree: Any
    state: tuple[str, ...]
    leaves: tuple[Any, ...]


def _parts(own: ForeignOptimizer, weights: Tree) -> list[_Part]:
    """The optimizers of a training, for one trial's weights. Raises: CodeError."""
    return _parts_of(own, shapes_of(weights))


@cache
def _parts_of(own: ForeignOptimizer, shapes: Shapes) -> list[_Part]:
    by_name = {name: (name, shape, element) for name, shape, element in shapes}
    parts: list[_Part] = []
    of_module = not all(name.partition(".")[0].isdigit() for name in by_name)  # names of Assay's layers are "0.weight"
    for i, member in enumerate(members_of(own, {name: shape for name, shape, _ in shapes}, of_module=of_module)):
        tree, names, leaves = _state(member.own, tuple(by_name[name] for name in member.names))
        prefix = f"group/{i}/" if isinstance(own, GroupedOptimizer) else ""
        parts.append(_Part(member.own, member.names, member.ratio, tree, tuple(prefix + n for n in names), leaves))
    return parts


def _transform(own: ForeignOptimizer, learning_rate: Any) -> Any:
    return optax.with_extra_args_support(own.built(learning_rate=learning_rate))


@cache
def _state(own: ForeignOptimizer, shapes: Shapes) -> tuple[Any, tuple[str, ...], tuple[Any, ...]]:
    """The structure of the state of one trial: its tree, and the names and the shapes of its arrays.

    Raises: CodeError if the library refuses these arguments or weights.
    """
    weights = {name: jax.ShapeDtypeStruct(shape, element) for name, shape, element in shapes}
    try:
        state: Any = jax.eval_shape(_transform(own, 1.0).init, weights)
    except Exception as error:
        raise _error(own, "cannot be made", error) from error
    leaves, tree = jax.tree_util.tree_flatten_with_path(state)
    names = tuple(jax.tree_util.keystr(path) for path, _ in leaves)
    return tree, names, tuple(leaf for _, leaf in leaves)


def _error(own: ForeignOptimizer, what: str, error: Exception) -> CodeError:
    message = (str(error).splitlines() or [""])[0]
    return CodeError(f"optimizer {own.entry!r} {what}: {type(error).__name__}: {message}")


def _one(weights: Tree) -> Tree:
    """The weights of the first of T trials, for their shapes."""
    return {name: a[0] for name, a in weights.items()}


def initial_state(own: ForeignOptimizer, weights: dict[str, NDArray[Any]]) -> Tree:
    """The state before the first iteration, for the weights of T trials {name: (T, ...)}."""
    state: Tree = {}
    for part in _parts(own, _one(weights)):
        states = jax.vmap(_transform(part.own, 1.0).init)({name: weights[name] for name in part.names})
        leaves = jax.tree_util.tree_leaves(states)
        state |= {name: (np.array(leaf),) for name, leaf in zip(part.state, leaves, strict=True)}
    return state


def stored_state(
    own: ForeignOptimizer, weights: dict[str, NDArray[Any]], slots: dict[str, NDArray[Any]]
) -> tuple[dict[str, NDArray[Any]], Tree]:
    """The weights that are trained and the state, from a checkpoint's slots.

    Raises: CodeError if they are not the state of this optimizer for these weights.
    """
    state: Tree = {}
    for part in _parts(own, _one(weights)):
        for name, leaf in zip(part.state, part.leaves, strict=True):
            array = slots.get(name)
            if array is None or array.shape[2:] != leaf.shape or array.dtype != leaf.dtype:
                raise CodeError(f"the state to resume from is not one of optimizer {own.entry!r}: {name!r} is missing")
            state[name] = (np.array(array[0]),)
    trained = {name: np.array(slots[_WEIGHTS + name][0]) for name in weights if _WEIGHTS + name in slots}
    return weights | trained, state


def step(own: ForeignOptimizer, w: Tree, g: Tree, state: Tree, *, learning_rate: Any, loss: Any) -> tuple[Tree, Tree]:
    """One trial's weights and state after a step. Raises: CodeError if the library raises."""
    weights: Tree = {}
    after: Tree = {}
    for part in _parts(own, w):
        element = w[part.names[0]].dtype
        rate, value = (learning_rate * part.ratio).astype(element), loss.astype(element)
        before = [state[name][0] for name in part.state]
        mine, gradient = ({name: tree[name] for name in part.names} for tree in (w, g))
        try:
            tree_before = jax.tree_util.tree_unflatten(part.tree, before)
            updates, new = _transform(part.own, rate).update(gradient, tree_before, mine, value=value)
            weights |= optax.apply_updates(mine, updates)
        except Exception as error:
            raise _error(part.own, "failed in its update", error) from error
        leaves, tree_after = jax.tree_util.tree_flatten(new)
        if tree_after != part.tree:
            raise CodeError(f"optimizer {part.own.entry!r} returned a state of another structure than it was given")
        # under 64 bits a state may turn to float64 by a Python number, which it is not with jax's default types
        after |= {name: (a.astype(b.dtype),) for name, a, b in zip(part.state, leaves, before, strict=True)}
    return weights, after


def _averages(part: _Part) -> bool:
    """Whether the weights to evaluate are others than those it trains: it is schedule-free."""
    return isinstance(jax.tree_util.tree_unflatten(part.tree, part.leaves), optax.contrib.ScheduleFreeState)


def shown(own: ForeignOptimizer, w: Tree, slots: Tree, names: tuple[str, ...]) -> Tree:
    """The weights to evaluate of T trials: those that are trained, but for a schedule-free optimizer.

    `names`: of the weights that are trained; the others of `w` stay.
    """
    result = dict(w)
    for part in filter(_averages, _parts(own, _one({name: w[name] for name in names}))):

        def of_one(weights: Tree, leaves: Any, tree: Any = part.tree) -> Tree:
            state: Any = jax.tree_util.tree_unflatten(tree, leaves)
            averaged: Any = optax.contrib.schedule_free_eval_params(state, weights)
            return {name: averaged[name].astype(a.dtype) for name, a in weights.items()}

        trained = {name: w[name] for name in part.names}
        result |= jax.vmap(of_one)(trained, [slots[name][0] for name in part.state])
    return result


def trained_weights(own: ForeignOptimizer, trained: Tree) -> dict[str, NDArray[Any]]:
    """The slots of a checkpoint that hold the weights that are trained, where others are evaluated; else none."""
    averaging = filter(_averages, _parts(own, _one(trained)))
    return {_WEIGHTS + name: np.array(trained[name])[None] for part in averaging for name in part.names}
