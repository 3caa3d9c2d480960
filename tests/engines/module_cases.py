"""Small modules of every library on jax, good and bad ones, and how a program of its own computes with them.

`CASES` has an entry for every row of `LIBRARIES` with an adapter; `test_jax_modules.py` tests each of them alike.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from assay.parts.libraries import LIBRARIES, Library

Arrays = dict[str, Any]


@dataclass(frozen=True)
class ByHand:
    """A module as a program of its own uses it.

    Attributes:
        made: `made(models, name, seed)`: its trees of what is trained and of all else, with weights of that seed.
        scores: `scores(trained, rest, x, key, training)`: values (B, C) and the rest afterwards.
        named: `named(trained, rest)`: its arrays by the names that Assay should give them.
    """

    made: Callable[[Any, str, int], tuple[Any, Any]]
    scores: Callable[[Any, Any, Any, Any, bool], tuple[Any, Any]]
    named: Callable[[Any, Any], Arrays]


@dataclass(frozen=True)
class Case:
    """A library's modules.

    Attributes:
        name: Of its row in `LIBRARIES`.
        models: Source of `Net`, with a convolution, batch normalisation and dropout; of `Mlp`, with dropout and an
            array of whole numbers; and of the functions `linear` and `pair`, which returns a `Net`.
        bad: Source of modules that are refused.
        by_hand: How a program of its own uses them.
        whole: The array of whole numbers in `Mlp`.
        instance: The source of an instance of `Mlp`.
        refused: Sentences of refusals that only this library has, by the names of its bad modules.
        sentences: Sentences that differ from those that most libraries have.
    """

    name: str
    models: str
    bad: str
    by_hand: Callable[[], ByHand]
    whole: str
    instance: str
    refused: dict[str, str] = field(default_factory=dict[str, str])
    sentences: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def library(self) -> Library:
        """Its row."""
        return next(library for library in LIBRARIES if library.name == self.name)

    @property
    def image(self) -> tuple[int, ...]:
        """The shape of an example of "digits" as its modules see it."""
        return (8, 8, 1) if self.library.channels_last else (1, 8, 8)


def _jax() -> Any:
    return importlib.import_module("jax")


def _paths(tree: Any) -> Arrays:
    leaves = _jax().tree_util.tree_flatten_with_path(tree)[0]
    return {_jax().tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf) for path, leaf in leaves}


COMMON = ("Fails", "Raises", "Shape", "Pair", "Nan", "Empty", "NoCall", "Detached", "Random", "Python", "Numpy")
COMMON += ("Breaks", "Complex", "KeepsKey", "nothing", "unsaid", "Plain")
"""Bad modules that every library has."""


# --- equinox ---------------------------------------------------------------------------------------------------------

_EQUINOX = """
import equinox as eqx
import jax
import jax.numpy as jnp


class Net(eqx.Module):
    conv: eqx.nn.Conv2d
    norm: eqx.nn.BatchNorm
    layers: list
    drop: eqx.nn.Dropout

    def __init__(self, in_channels, classes, width: int = 3, *, key):
        a, b = jax.random.split(key)
        self.conv = eqx.nn.Conv2d(in_channels, width, 3, key=a)
        self.norm = eqx.nn.BatchNorm(width, "batch", mode="batch")
        self.layers = [eqx.nn.Linear(width * 36, classes, key=b)]
        self.drop = eqx.nn.Dropout(0.3)

    def __call__(self, x, state, key):
        x, state = self.norm(self.conv(x), state)
        return self.layers[0](self.drop(jnp.ravel(jax.nn.relu(x)), key=key)), state


class Mlp(eqx.Module):
    first: eqx.nn.Linear
    last: eqx.nn.Linear
    drop: eqx.nn.Dropout
    places: jax.Array

    def __init__(self, inputs, classes, width: int = 8, dropout: float = 0.25, *, key):
        a, b, c = jax.random.split(key, 3)
        self.first = eqx.nn.Linear(inputs, width, key=a)
        self.last = eqx.nn.Linear(width, classes, key=b)
        self.drop = eqx.nn.Dropout(dropout)
        self.places = jax.random.permutation(c, inputs)

    def __call__(self, x, key):
        return self.last(self.drop(jnp.tanh(self.first(jnp.ravel(x)[self.places])), key=key))


def linear(inputs, classes, key) -> eqx.Module:
    return eqx.nn.Sequential([eqx.nn.Lambda(jnp.ravel), eqx.nn.Linear(inputs, classes, key=key)])


def pair(in_channels, classes, key) -> tuple[Net, eqx.nn.State]:
    return eqx.nn.make_with_state(Net)(in_channels, classes, key=key)
"""

_BAD_EQUINOX = """
import random
import equinox as eqx
import jax
import jax.numpy as jnp

class Base(eqx.Module):
    fc: eqx.nn.Linear

    def __init__(self, inputs, classes, key):
        self.fc = eqx.nn.Linear(inputs, classes, key=key)

    def __call__(self, x):
        return self.fc(jnp.ravel(x))

class Fails(Base):
    def __call__(self, x):
        return self.fc(x)

class Raises(Base):
    def __call__(self, x):
        raise KeyError("nothing")

class Shape(Base):
    def __call__(self, x):
        return super().__call__(x)[:3]

class Pair(Base):
    def __call__(self, x):
        return super().__call__(x), 1

class Nan(Base):
    def __call__(self, x):
        return super().__call__(x) * jnp.nan

class Empty(eqx.Module):
    def __call__(self, x):
        return jnp.ravel(x)

class NoCall(eqx.Module):
    w: jax.Array
    def __init__(self):
        self.w = jnp.ones(3)

class Detached(Base):
    def __call__(self, x):
        return jax.lax.stop_gradient(super().__call__(x))

class Random(Base):
    def __call__(self, x, key):
        return super().__call__(x) + jax.random.normal(key, ())

class Python(Base):
    def __call__(self, x):
        return super().__call__(x) * (1 + random.random())

class Numpy(Base):
    def __init__(self, inputs, classes):
        self.fc = eqx.nn.Linear(inputs, classes, key=jax.random.key(random.randrange(2**30)))

class Breaks(Base):
    def __init__(self, inputs, classes):
        raise RuntimeError("no such size")

class Complex(Base):
    def __init__(self, inputs, classes, key):
        self.fc = eqx.nn.Linear(inputs, classes, key=key, dtype=jnp.complex64)

class KeepsKey(Base):
    own: jax.Array
    def __init__(self, inputs, classes, key):
        super().__init__(inputs, classes, key)
        self.own = key

class OfExamples(Base):
    place: eqx.nn.StateIndex
    def __init__(self, inputs, classes, key):
        super().__init__(inputs, classes, key)
        self.place = eqx.nn.StateIndex(jnp.zeros(()))
    def __call__(self, x, state):
        return super().__call__(x), state.set(self.place, x.sum())

def nothing() -> eqx.Module:
    return None

def unsaid(inputs, classes):
    return eqx.nn.Linear(inputs, classes, key=jax.random.key(0))

class Softmax(Base):
    def __call__(self, x):
        return jax.nn.softmax(super().__call__(x))

class Switch(Base):
    def __call__(self, x, key, is_train=False):
        return super().__call__(x) + (jax.random.normal(key, ()) if is_train else 0)

class Known(Base):
    def __call__(self, x, key, is_training, is_train=False):
        return super().__call__(x) + (jax.random.normal(key, ()) if is_training else 0)

class Masked(Base):
    def __call__(self, x, mask):
        return super().__call__(x) * mask

made = eqx.nn.Linear(64, 10, key=jax.random.key(0))

class Plain:
    pass
"""


def _equinox() -> ByHand:
    eqx: Any = importlib.import_module("equinox")
    jax = _jax()

    def made(models: Any, name: str, seed: int) -> tuple[Any, Any]:
        kind = getattr(models, name)
        sizes = {"Net": {"in_channels": 1, "classes": 10}, "Mlp": {"inputs": 64, "classes": 10}}[name]
        module, state = eqx.nn.make_with_state(kind)(**sizes, key=jax.random.key(seed))
        trained, rest = eqx.partition(module, eqx.is_inexact_array)
        return trained, (rest, state)

    def scores(trained: Any, rest: Any, x: Any, key: Any, training: bool) -> tuple[Any, Any]:
        module, state = eqx.combine(trained, rest[0]), rest[1]
        module = module if training else eqx.nn.inference_mode(module)
        keys = jax.random.split(key, len(x))
        if not hasattr(module, "norm"):
            return jax.vmap(module)(x, key=keys), rest
        run = jax.vmap(module, in_axes=(0, None, 0), out_axes=(0, None), axis_name="batch")
        values, state = run(x, state, keys)
        return values, (rest[0], state)

    def named(trained: Any, rest: Any) -> Arrays:
        module, state = eqx.filter(eqx.combine(trained, rest[0]), eqx.is_array), rest[1]
        return _paths(module) | {f"state.{name}": array for name, array in _paths(state).items()}

    return ByHand(made, scores, named)


# --- flax.linen ------------------------------------------------------------------------------------------------------

_LINEN = """
import flax.linen as nn
import jax
import jax.numpy as jnp


class Net(nn.Module):
    classes: int
    width: int = 3

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.Conv(self.width, (3, 3), padding="VALID")(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        x = nn.Dropout(0.3, deterministic=not train)(x.reshape(len(x), -1))
        return nn.Dense(self.classes)(x)


class Mlp(nn.Module):
    inputs: int
    classes: int
    width: int = 8
    dropout: float = 0.25

    @nn.compact
    def __call__(self, x, deterministic=True):
        draw = lambda: jax.random.permutation(self.make_rng("params"), self.inputs)
        places = self.variable("tables", "places", draw)
        x = jnp.tanh(nn.Dense(self.width, name="first")(x.reshape(len(x), -1)[:, places.value]))
        return nn.Dense(self.classes, name="last")(nn.Dropout(self.dropout)(x, deterministic))


def flat(x):
    return x.reshape(len(x), -1)


def linear(classes) -> nn.Module:
    return nn.Sequential([flat, nn.Dense(classes)])


made = nn.Sequential([flat, nn.Dense(10)])


def pair(classes, name: str = "a") -> Net:
    return Net(classes)
"""

_BAD_CALLS = """
class Fails(Base):
    def __call__(self, x):
        return self.fc(x)

class Raises(Base):
    def __call__(self, x):
        raise KeyError("nothing")

class Shape(Base):
    def __call__(self, x):
        return super().__call__(x)[:, :3]

class Pair(Base):
    def __call__(self, x):
        return super().__call__(x), 1

class Nan(Base):
    def __call__(self, x):
        return super().__call__(x) * jnp.nan

class Detached(Base):
    def __call__(self, x):
        return jax.lax.stop_gradient(super().__call__(x))
"""
"""Those that are bad in their call alone, of any library whose `Base` is called with a batch."""

_BAD_LINEN = (
    """
import random
import flax.linen as nn
import jax
import jax.numpy as jnp

class Base(nn.Module):
    classes: int

    def setup(self):
        self.fc = nn.Dense(self.classes)

    def __call__(self, x):
        return self.fc(x.reshape(len(x), -1))

"""
    + _BAD_CALLS
    + """class Empty(nn.Module):
    def __call__(self, x):
        return x.reshape(len(x), -1)

class NoCall(nn.Module):
    w: int = 3

class Random(Base):
    def __call__(self, x):
        return super().__call__(x) + jax.random.normal(self.make_rng("noise"), ())

class Python(Base):
    def __call__(self, x):
        return super().__call__(x) * (1 + random.random())

class Numpy(Base):
    def setup(self):
        own = lambda key, *rest: nn.initializers.lecun_normal()(jax.random.key(random.randrange(2**30)), *rest)
        self.fc = nn.Dense(self.classes, kernel_init=own)

class Breaks(Base):
    def __post_init__(self):
        raise RuntimeError("no such size")

class Complex(Base):
    def setup(self):
        self.fc = nn.Dense(self.classes, param_dtype=jnp.complex64)

class KeepsKey(Base):
    def setup(self):
        super().setup()
        self.own = self.variable("keys", "own", lambda: jax.random.key(1))

def nothing() -> nn.Module:
    return None

def unsaid(classes):
    return nn.Dense(classes)

class Softmax(Base):
    def __call__(self, x):
        return nn.softmax(super().__call__(x))

class Switch(Base):
    def __call__(self, x, is_train=False):
        return super().__call__(x) + (jax.random.normal(self.make_rng("noise"), ()) if is_train else 0)

class Known(Base):
    def __call__(self, x, is_training, is_train=False):
        return super().__call__(x) + (jax.random.normal(self.make_rng("noise"), ()) if is_training else 0)

class Plain:
    pass

class Masked(Base):
    def __call__(self, x, mask, train):
        return super().__call__(x) * mask

class NoInputs(Base):
    def __call__(self):
        return 0

class Unknown(Base):
    @nn.compact
    def __call__(self, x, is_train=False):
        return nn.Dense(self.classes)(nn.Dropout(0.5)(x.reshape(len(x), -1), not is_train))

class Unset(Base):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.classes)(nn.BatchNorm()(x.reshape(len(x), -1)))

class Changes(Base):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.classes)(nn.BatchNorm(use_running_average=False)(x.reshape(len(x), -1)))

class Sows(Base):
    def __call__(self, x):
        self.sow("losses", "size", x.sum())
        return super().__call__(x)

class Adds(Base):
    @nn.compact
    def __call__(self, x, train):
        self.variable("counts", "all", lambda: jnp.zeros(()))
        if train:
            self.variable("counts", "batches", lambda: jnp.zeros(()))
        return nn.Dense(self.classes)(x.reshape(len(x), -1))

class Dotted(Base):
    @nn.compact
    def __call__(self, x):
        return x.reshape(len(x), -1) @ self.param("a.b", nn.initializers.ones, (64, 10))

bound = nn.Dense(10).bind({"params": {"kernel": jnp.ones((64, 10)), "bias": jnp.ones(10)}})
"""
)


def _linen() -> ByHand:
    jax = _jax()
    used: dict[str, Any] = {}

    def made(models: Any, name: str, seed: int) -> tuple[Any, Any]:
        sizes = {"Net": {"classes": 10}, "Mlp": {"inputs": 64, "classes": 10}}[name]
        used["module"] = getattr(models, name)(**sizes)
        used["flag"] = lambda training: {"train": training} if name == "Net" else {"deterministic": not training}
        with jax.enable_x64(False):
            example = jax.numpy.ones((1, 8, 8, 1), "float32")
            rest = dict(used["module"].init(jax.random.key(seed), example, **used["flag"](False)))
        return rest.pop("params"), rest

    def scores(trained: Any, rest: Any, x: Any, key: Any, training: bool) -> tuple[Any, Any]:
        given: Any = {"params": trained, **rest}
        if not training:
            return used["module"].apply(given, x, **used["flag"](False)), rest
        return used["module"].apply(given, x, **used["flag"](True), rngs={"dropout": key}, mutable=list(rest))

    def named(trained: Any, rest: Any) -> Arrays:
        return _paths({"params": trained, **rest})

    return ByHand(made, scores, named)


# --- flax.nnx --------------------------------------------------------------------------------------------------------

_NNX = """
import jax
import jax.numpy as jnp
from flax import nnx


class Net(nnx.Module):
    def __init__(self, in_channels, classes, width: int = 3, *, rngs: nnx.Rngs):
        self.conv = nnx.Conv(in_channels, width, (3, 3), padding="VALID", rngs=rngs)
        self.norm = nnx.BatchNorm(width, momentum=0.9, rngs=rngs)
        self.drop = nnx.Dropout(0.3, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(width * 36, classes, rngs=rngs)])

    def __call__(self, x):
        x = nnx.relu(self.norm(self.conv(x)))
        return self.layers[0](self.drop(x.reshape(len(x), -1)))


class Mlp(nnx.Module):
    def __init__(self, inputs, classes, width: int = 8, dropout: float = 0.25, *, rngs: nnx.Rngs):
        self.first = nnx.Linear(inputs, width, rngs=rngs)
        self.last = nnx.Linear(width, classes, rngs=rngs)
        self.drop = nnx.Dropout(dropout, rngs=rngs)
        self.again = nnx.Dropout(dropout, rngs=rngs)
        self.places = jax.random.permutation(rngs.params(), inputs)
        self.rngs = rngs

    def __call__(self, x):
        x = jnp.tanh(self.first(self.again(x.reshape(len(x), -1)[:, self.places])))
        return self.last(self.drop(x))


def flat(x):
    return x.reshape(len(x), -1)


def linear(inputs, classes, rngs) -> nnx.Module:
    return nnx.Sequential(flat, nnx.Linear(inputs, classes, rngs=rngs))


def pair(in_channels, classes, rngs) -> Net:
    return Net(in_channels, classes, rngs=rngs)
"""

_BAD_NNX = (
    """
import random
import jax
import jax.numpy as jnp
from flax import nnx

class Base(nnx.Module):
    def __init__(self, inputs, classes, rngs):
        self.fc = nnx.Linear(inputs, classes, rngs=rngs)

    def __call__(self, x):
        return self.fc(x.reshape(len(x), -1))

"""
    + _BAD_CALLS
    + """class Empty(nnx.Module):
    def __call__(self, x):
        return x.reshape(len(x), -1)

class NoCall(nnx.Module):
    def __init__(self):
        self.w = nnx.Param(jnp.ones(3))

class Random(Base):
    def __init__(self, inputs, classes, rngs):
        super().__init__(inputs, classes, rngs)
        self.rngs = rngs

    def __call__(self, x):
        return super().__call__(x) + jax.random.normal(self.rngs(), ())

class Python(Base):
    def __call__(self, x):
        return super().__call__(x) * (1 + random.random())

class Numpy(Base):
    def __init__(self, inputs, classes):
        self.fc = nnx.Linear(inputs, classes, rngs=nnx.Rngs(random.randrange(2**30)))

class Breaks(Base):
    def __init__(self, inputs, classes):
        raise RuntimeError("no such size")

class Complex(Base):
    def __init__(self, inputs, classes, rngs):
        self.fc = nnx.Linear(inputs, classes, param_dtype=jnp.complex64, rngs=rngs)

class KeepsKey(Base):
    def __init__(self, inputs, classes, rngs):
        super().__init__(inputs, classes, rngs)
        self.own = nnx.Variable(rngs())

def nothing() -> nnx.Module:
    return None

def unsaid(inputs, classes):
    return nnx.Linear(inputs, classes, rngs=nnx.Rngs(0))

class Softmax(Base):
    def __call__(self, x):
        return nnx.softmax(super().__call__(x))

class Switch(Base):
    def __call__(self, x, rngs, is_train=False):
        return super().__call__(x) + (jax.random.normal(rngs(), ()) if is_train else 0)

class Known(Base):
    def __call__(self, x, rngs, is_training, is_train=False):
        return super().__call__(x) + (jax.random.normal(rngs(), ()) if is_training else 0)

class Plain:
    pass

made = nnx.Linear(64, 10, rngs=nnx.Rngs(0))

class Masked(Base):
    def __call__(self, x, mask, train):
        return super().__call__(x) * mask

class Loses(Base):
    def __init__(self, inputs, classes, rngs):
        super().__init__(inputs, classes, rngs)
        self.seen = nnx.Variable(jnp.zeros(()))

    def __call__(self, x):
        if hasattr(self, "seen"):
            del self.seen
        return super().__call__(x)

class Grows(Base):
    def __init__(self, inputs, classes, rngs):
        super().__init__(inputs, classes, rngs)
        self.seen = nnx.Variable(jnp.zeros((0,)))

    def __call__(self, x):
        self.seen.set_value(jnp.concatenate([self.seen.get_value(), jnp.ones(1)]))
        return super().__call__(x)
"""
)


def _nnx() -> ByHand:
    nnx: Any = importlib.import_module("flax.nnx")
    jax = _jax()
    used: dict[str, Any] = {}

    def made(models: Any, name: str, seed: int) -> tuple[Any, Any]:
        sizes = {"Net": {"in_channels": 1, "classes": 10}, "Mlp": {"inputs": 64, "classes": 10}}[name]
        module = getattr(models, name)(**sizes, rngs=nnx.Rngs(seed))
        used["graph"], trained, rest = nnx.split(module, nnx.Param, ...)
        return trained, rest

    def scores(trained: Any, rest: Any, x: Any, key: Any, training: bool) -> tuple[Any, Any]:
        module = nnx.merge(used["graph"], *jax.tree.map(lambda a: a, (trained, rest)))
        module.train() if training else module.eval()
        nnx.reseed(module, default=key)
        values = module(x)
        return values, nnx.split(module, nnx.Param, ...)[2]

    def named(trained: Any, rest: Any) -> Arrays:
        both = [*nnx.to_flat_state(trained), *nnx.to_flat_state(rest)]
        kept = [(path, leaf) for path, leaf in both if not isinstance(leaf, nnx.RngState)]
        return {".".join(map(str, path)): np.asarray(leaf) for path, leaf in kept}

    return ByHand(made, scores, named)


# --- the table -------------------------------------------------------------------------------------------------------

_KNOWN = "`train`, `training`, `is_training`, `deterministic`, `use_running_average` or `inference`"

CASES: tuple[Case, ...] = (
    Case(
        "equinox",
        _EQUINOX,
        _BAD_EQUINOX,
        _equinox,
        whole="places",
        instance="Mlp(64, 10, key=jax.random.key(8))",
        refused={
            "OfExamples": "failed on a batch of shape .*out_axes",
            "made": "is a module of equinox that is made already",
            "Masked": "needs 'mask' in its __call__",
        },
        sentences={"Random": "is random in evaluation: .* by `inference`"},
    ),
    Case(
        "flax.linen",
        _LINEN,
        _BAD_LINEN,
        _linen,
        whole="tables.places",
        instance="Mlp(64, 10)",
        refused={
            "Masked": "needs 'mask' in its __call__, and is called with the inputs and, as an argument .* `train`",
            "NoInputs": r"takes no inputs; expected __call__\(self, x\)",
            "Unknown": rf"has Dropout, and none of the arguments of its __call__ \(is_train\) .* named {_KNOWN}",
            "Unset": rf"failed on a batch of shape \(1, 8, 8, 1\): ValueError: .*; a layer has to know .* {_KNOWN}",
            "Changes": rf"ModifyScopeVariableError: .*; a layer has to know whether it is in training: .* {_KNOWN}",
            "Sows": "keeps more than an array in 'losses.size.0'; .* `sow` what is only to be looked at into",
            "Adds": "it adds 'counts.batches' to its variables in training",
            "Dotted": "has a variable 'params.a.b' with a '.' in a name",
            "bound": "is bound to variables, which Assay draws itself; give module.unbind",
        },
        sentences={
            "Fails": r"returned values of shape \(32, 8, 8, 10\).*needs x = x.reshape\(len\(x\), -1\) first",
            "Raises": r"failed on a batch of shape \(1, 8, 8, 1\): KeyError: 'nothing'",
            "Random": "is random in evaluation: .* by an argument of `__call__` named `train`",
            "Breaks": r"cannot be made with \(classes=10\): RuntimeError: no such size",
        },
    ),
    Case(
        "flax.nnx",
        _NNX,
        _BAD_NNX,
        _nnx,
        whole="places",
        instance="Mlp(64, 10, rngs=nnx.Rngs(8))",
        refused={
            "made": "is a module of flax.nnx that is made already",
            "Masked": "needs 'mask' in its __call__",
            "Loses": "it has no 'seen' after a call",
            "Grows": r"changes the shape of 'seen' from \(0,\) to \(1,\)",
        },
        sentences={
            "Fails": r"failed on a batch of shape \(32, 8, 8, 1\): .*needs x = x.reshape\(len\(x\), -1\) first",
            "Random": r"is random in evaluation: .* by `deterministic`, which eval\(\) sets in evaluation",
        },
    ),
)
"""A case for every library on jax."""
