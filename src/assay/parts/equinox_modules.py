"""Modules of equinox: a pytree whose real arrays are trained, called for one example and mapped over the batch.

`key` of `__call__`, where its signature has one, is a key for each example, and arguments of known names say whether
it is in training. A module with state, such as batch
normalisation, is called with `state` and returns (values, state), mapped with the axis name "batch".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx  # pyright: ignore[reportMissingImports]
import jax

from assay.parts.libraries import Arrays, Functional
from assay.parts.module_networks import a_kind
from assay.parts.training_flags import IN_WORDS, call_of

_AXIS = "batch"
_STATE = "state."
_eqx: Any = eqx
_tree: Any = jax.tree_util


def seeding(key: Any) -> dict[str, Any]:
    """The argument `key`, as equinox's layers have it."""
    return {"key": key}


def flag() -> str:
    """The library's own name of it."""
    return f"`inference`, which equinox.nn.inference_mode sets in evaluation, or by {IN_WORDS}"


def flattening() -> str:
    """A module is called with one example."""
    return "x = jax.numpy.ravel(x)"


def functional(make: Callable[[], Any], key: Any, shape: tuple[int, ...]) -> Functional:
    """The module that a class or function makes; a function may return (module, state) of `make_with_state`."""
    del key, shape  # the weights were drawn by `make`, from the key that it was given
    module, state = _with_state(make)
    named, static, tree = _named({"module": module, "state": state})
    trained = {name: a for name, a in named.items() if _eqx.is_inexact_array(a) and not name.startswith(_STATE)}
    others = {name: a for name, a in named.items() if name not in trained}
    call = call_of(type(module), given=("key", "state"))

    def apply(arrays: Mapping[str, Any], x: Any, key: Any, training: bool) -> tuple[Any, Arrays]:
        both = _eqx.combine(_tree.tree_unflatten(tree, [arrays[name] for name in named]), static)
        module = both["module"] if training else _eqx.nn.inference_mode(both["module"])
        keys = jax.random.split(key, len(x)) if "key" in call.given else None

        def one(example: Any, state: Any, key: Any) -> Any:
            more: dict[str, Any] = {"state": state} if "state" in call.given else {}
            more |= {} if key is None else {"key": key}
            values = module(example, **more, **call.arguments(training=training))
            if "state" not in more:
                return values, state
            if not isinstance(values, tuple) or len(values) != 2:
                raise TypeError("it takes `state`, and does not return (values, state)")
            return values

        axes = (0, None, None if keys is None else 0)
        mapped = jax.vmap(one, in_axes=axes, out_axes=(0, None), axis_name=_AXIS)
        values, state = mapped(x, both["state"], keys)
        return values, {name: a for name, a in _named({"state": state})[0].items() if name in others} | {
            name: arrays[name] for name in others if not name.startswith(_STATE)
        }

    return Functional(trained, others, apply, call.notes())


def _with_state(make: Callable[[], Any]) -> tuple[Any, Any]:
    """A module and its state, which is empty for most. Raises: TypeError if it is none."""
    made = make()
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[1], _eqx.nn.State):  # pyright: ignore
        module, state = made  # pyright: ignore[reportUnknownVariableType]
    else:
        module, state = made, None
    if not isinstance(module, _eqx.Module):
        raise TypeError(f"returned {a_kind(module)}; expected an equinox.Module")  # pyright: ignore
    if not callable(module):
        raise TypeError(f"returned a {type(module).__name__}, which has no __call__")
    return (module, state) if state is not None else _eqx.nn.make_with_state(lambda: module)()


def _named(both: dict[str, Any]) -> tuple[Arrays, Any, Any]:
    """The arrays of a module and its state by name, what is no array, and the structure of the arrays."""
    arrays, static = _eqx.partition(both, _is_array)
    leaves, tree = _tree.tree_flatten_with_path(arrays)
    named: Arrays = {}
    for path, leaf in leaves:
        name = _tree.keystr(path, simple=True, separator=".").removeprefix("module.")
        if name in named:
            raise TypeError(f"has two arrays with the name {name!r}; give its parts other names")
        named[name] = leaf
    return named, static, tree


def _is_array(leaf: Any) -> bool:
    return _eqx.is_array(leaf) or _eqx.is_inexact_array(leaf)


def hint(error: Exception) -> str:
    """Its own sentences are enough."""
    del error
    return ""


def code(make: str, imported: str, seeds: tuple[str, ...], path: str) -> list[str]:
    """Lines of Python that make the module and load a file of its arrays into it."""
    if seeds:
        make = f"{make[:-1]}{'' if make.endswith('()') else ', '}key=jax.random.key(0))"
    return [
        "import equinox as eqx",
        "import jax",
        "from safetensors.numpy import load_file",
        imported,
        "",
        f"made = {make}",
        "module, state = made if isinstance(made, tuple) else eqx.nn.make_with_state(lambda: made)()",
        f"arrays = load_file({path!r})",
        'leaves, tree = jax.tree_util.tree_flatten_with_path({"module": module, "state": state})',
        'names = [jax.tree_util.keystr(p, simple=True, separator=".").removeprefix("module.") for p, _ in leaves]',
        "both = jax.tree_util.tree_unflatten(tree, [arrays.get(n, a) for n, (_, a) in zip(names, leaves)])",
        'net, state = eqx.nn.inference_mode(both["module"]), both["state"]',
    ]
