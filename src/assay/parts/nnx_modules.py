"""Modules of flax.nnx, which hold their weights: a graph, and a state of named arrays, such as `layers.0.kernel`.

Its `Param` are trained, and other variables are not. A batch is given whole. The random streams that a module holds are
no part of its state: before each call, stream number i begins anew with `fold_in(key, i)`, as `nnx.reseed` does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from assay.parts.libraries import Arrays, Functional
from assay.parts.module_networks import a_kind
from assay.parts.training_flags import IN_WORDS, call_of

_jax: Any = jax
_nnx: Any = nnx
_tree: Any = jax.tree_util
_random: Any = jax.random


def seeding(key: Any) -> dict[str, Any]:
    """The argument `rngs`, as layers of nnx have it."""
    return {"rngs": _nnx.Rngs(key)}


def flag() -> str:
    """What `eval()` of a module sets, and arguments of `__call__`."""
    return f"`deterministic`, which eval() sets in evaluation, or by {IN_WORDS}"


def flattening() -> str:
    """A module is called with a batch."""
    return "x = x.reshape(len(x), -1)"


def functional(make: Callable[[], Any], key: Any, shape: tuple[int, ...]) -> Functional:
    """The module that a class or function makes; its weights were drawn from the key that it was given."""
    del key, shape
    made = make()
    if not isinstance(made, _nnx.Module):
        raise TypeError(f"returned {a_kind(made)}; expected a flax.nnx.Module")
    if not callable(made):
        raise TypeError(f"returned a {type(made).__name__}, which has no __call__")
    _check_of_a_trace(made)
    call = call_of(type(made), given=("rngs",))
    module = _nnx.clone(made)  # one that a program gave stays as it is
    module.eval()
    evaluated = _nnx.graphdef(module)
    module.train()
    graph, *states = _nnx.split(module, _nnx.Param, _nnx.RngState, ...)
    graphs = {True: graph, False: evaluated}
    (trained, of_trained), (others, of_others) = _named(states[0]), _named(states[2])
    streams, of_streams = _tree.tree_flatten(states[1])

    def apply(arrays: Mapping[str, Any], x: Any, key: Any, training: bool) -> tuple[Any, Arrays]:
        parts = (  # new variables, which a trace may change
            (of_trained, [arrays[name] for name in trained]),
            (of_streams, streams),
            (of_others, [arrays[name] for name in others]),
        )
        module = _nnx.merge(graphs[training], *(_tree.tree_unflatten(tree, leaves) for tree, leaves in parts))
        count = _reseed(module, key)
        more = {"rngs": _nnx.Rngs(_random.fold_in(key, count))} if "rngs" in call.given else {}
        values = module(x, **call.arguments(training=training), **more)
        after = _named(_nnx.state(module, _nnx.Not(_nnx.Any(_nnx.Param, _nnx.RngState))))[0]
        if lost := sorted(others.keys() - after.keys()):
            raise TypeError(f"it has no {lost[0]!r} after a call")
        return values, {name: after[name] for name in others}

    return Functional(trained, others, apply, call.notes())


def _check_of_a_trace(module: Any) -> None:
    """Raises: TypeError for a module that is made while its shapes are traced, where nnx leaves out arrays that are no
    variables; it has to be made with numbers."""
    for _, node in _nnx.iter_graph(module):
        if isinstance(node, _nnx.Module) and any(isinstance(value, _jax.core.Tracer) for value in vars(node).values()):
            raise TypeError("has arrays that are no variables of nnx, and cannot be traced")


def _reseed(module: Any, key: Any) -> int:
    """Gives each random stream that a module holds a key of its own; returns how many there are."""
    streams = [node for _, node in _nnx.iter_graph(module) if isinstance(node, _nnx.RngStream)]
    for i, stream in enumerate(streams):
        shape, own = stream.key.shape, _random.fold_in(key, i)
        stream.key.set_value(_random.split(own, shape) if shape else own)
        stream.count.set_value(jnp.zeros(shape, jnp.uint32))
    return len(streams)


def _named(state: Any) -> tuple[Arrays, Any]:
    """The arrays of a state by their paths, and its structure."""
    leaves, tree = _tree.tree_flatten_with_path(state)
    named: Arrays = {}
    for path, leaf in leaves:
        inside = path[:-1] if isinstance(path[-1], _tree.GetAttrKey) else path  # `value` of a variable
        name = _tree.keystr(inside, simple=True, separator=".")
        if name in named:
            raise TypeError(f"has two arrays with the name {name!r}; give its parts other names")
        named[name] = jnp.asarray(leaf)
    return named, tree


def hint(error: Exception) -> str:
    """Its own sentences are enough."""
    del error
    return ""


def code(make: str, imported: str, seeds: tuple[str, ...], path: str) -> list[str]:
    """Lines of Python that make the module and load a file of its arrays into it."""
    if seeds:
        make = f"{make[:-1]}{'' if make.endswith('()') else ', '}rngs=nnx.Rngs(0))"
    return [
        "import jax",
        "from flax import nnx",
        "from safetensors.numpy import load_file",
        imported,
        "",
        f"net = {make}",
        f"arrays = load_file({path!r})",
        "leaves, tree = jax.tree_util.tree_flatten_with_path(nnx.state(net))",
        'names = [jax.tree_util.keystr(p, simple=True, separator=".").removesuffix(".value") for p, _ in leaves]',
        "nnx.update(net, jax.tree_util.tree_unflatten(tree, [arrays.get(n, a) for n, (_, a) in zip(names, leaves)]))",
        "net.eval()",
    ]
