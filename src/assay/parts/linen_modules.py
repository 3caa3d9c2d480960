"""Modules of flax.linen: definitions without weights, which are initialised by a key and a first example.

The arrays are its variables, named by their paths: `params.Dense_0.kernel` is trained, and what other collections hold,
such as `batch_stats.BatchNorm_0.mean`, is not. A batch is given whole. Random numbers of the stream "dropout" are drawn
from the key, and those of other streams from `fold_in(key, 1)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp

from assay.errors import CodeError
from assay.parts.libraries import Arrays, Functional
from assay.parts.module_networks import a_kind, first_line
from assay.parts.training_flags import IN_WORDS, Call, call_of

_PARAMS = "params."
_NOT_KEPT: Any = ["intermediates", "perturbations"]  # for looking into a module, and no part of its training
_nn: Any = nn
_flax: Any = flax
_tree: Any = jax.tree_util
_random: Any = jax.random


def seeding(key: Any) -> dict[str, Any]:
    """None: a definition draws nothing."""
    del key
    return {}


def flag() -> str:
    """An argument of `__call__`, as linen has no other way."""
    return IN_WORDS


def flattening() -> str:
    """A module is called with a batch."""
    return "x = x.reshape(len(x), -1)"


def functional(make: Callable[[], Any], key: Any, shape: tuple[int, ...]) -> Functional:
    """The module that a class or function makes, with the variables that `init` draws in evaluation."""
    module: Any = _checked(make())
    if module.scope is not None:
        raise TypeError("is bound to variables, which Assay draws itself; give module.unbind()[0], or its class")
    call = call_of(type(module))
    named = _initialised(module, call, key, jnp.ones((1, *shape), jnp.float32))
    trained = {name: array for name, array in named.items() if name.startswith(_PARAMS)}
    others = {name: array for name, array in named.items() if name not in trained}
    collections = sorted({name.partition(".")[0] for name in others})

    def apply(arrays: Mapping[str, Any], x: Any, key: Any, training: bool) -> tuple[Any, Arrays]:
        variables = _flax.traverse_util.unflatten_dict({name: arrays[name] for name in named}, sep=".")
        rngs = {"dropout": key, "params": _random.fold_in(key, 1)}
        given = call.arguments(training=training)
        if not training:
            return _nn.Module.apply(module, variables, x, **given, rngs=rngs), {name: arrays[name] for name in others}
        values, changed = _nn.Module.apply(module, variables, x, **given, rngs=rngs, mutable=collections)
        after = {name: arrays[name] for name in others} | _named(changed)
        if added := sorted(after.keys() - others.keys()):
            raise TypeError(f"it adds {added[0]!r} to its variables in training, which it does not have after `init`")
        return values, after

    return Functional(trained, others, apply, call.notes())


def _checked(made: Any) -> Any:
    """Raises: TypeError if it is no module that can be called."""
    if not isinstance(made, _nn.Module):
        raise TypeError(f"returned {a_kind(made)}; expected a flax.linen.Module")
    if not callable(made):
        raise TypeError(f"returned a {type(made).__name__}, which has no __call__")
    return made


def _initialised(module: Any, call: Call, key: Any, x: Any) -> Arrays:
    """The variables of a new module by name. Raises: TypeError if it fails, with a sentence."""
    layers: set[str] = set()

    def watch(call_next: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if isinstance(context.module, _nn.Dropout | _nn.BatchNorm):
            layers.add(type(context.module).__name__)
        return call_next(*args, **kwargs)

    try:
        with _nn.intercept_methods(watch):
            given = call.arguments(training=False)
            variables = _nn.Module.init(module, key, x, **given, mutable=_flax.core.DenyList(_NOT_KEPT))
    except (MemoryError, CodeError):
        raise
    except Exception as error:
        failed = f"failed on a batch of shape {tuple(x.shape)}: {type(error).__name__}: {first_line(error)}"
        raise TypeError(failed + hint(error)) from error
    if layers and call.others and not call.flags:
        raise TypeError(
            f"has {' and '.join(sorted(layers))}, and none of the arguments of its __call__ ({', '.join(call.others)}) "
            f"is known to say whether it is in training; give it {IN_WORDS}"
        )
    return _named(variables)


def _named(variables: Any) -> Arrays:
    """The arrays of variables by their paths. Raises: TypeError where a path is none of names."""
    named: Arrays = {}
    for path, leaf in _tree.tree_flatten_with_path(_nn.meta.unbox(variables))[0]:
        names = [str(step.key) if isinstance(step, _tree.DictKey) else None for step in path]
        written = _tree.keystr(path, simple=True, separator=".")
        if None in names:
            raise TypeError(
                f"keeps more than an array in {written!r}; give each array a name of its own, and `sow` what is only "
                "to be looked at into 'intermediates'"
            )
        if any("." in str(name) for name in names):
            raise TypeError(f"has a variable {written!r} with a '.' in a name; give it another")
        named[written] = jnp.asarray(leaf)
    return named


def hint(error: Exception) -> str:
    """What is missing where a layer does not know whether it is in training."""
    message = str(error)
    unknown = "to the constructor or at call time" in message or "provided to Dropout" in message
    changed = type(error).__name__ == "ModifyScopeVariableError" and 'collection "params"' not in message
    return f"; a layer has to know whether it is in training: give it {IN_WORDS}" if unknown or changed else ""


def code(make: str, imported: str, seeds: tuple[str, ...], path: str) -> list[str]:
    """Lines of Python that make the module and load a file of its variables."""
    del seeds
    return [
        "from flax.traverse_util import unflatten_dict",
        "from safetensors.numpy import load_file",
        imported,
        "",
        f"net = {make}",
        f'variables = unflatten_dict(load_file({path!r}), sep=".")',
        "# values = net.apply(variables, x, train=False), with the argument for training that its __call__ has, if any",
    ]
