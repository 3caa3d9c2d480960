"""The values that are compared with the golden files, computed from the code as it is."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import typer
from safetensors.numpy import load as unpacked

import assay
from assay.cli import app
from assay.data.datasets import load as load_data
from assay.engines import load as load_engine
from assay.engines.base import Checkpoint, Cohort, Engine, fresh
from assay.parts.batches import make_batches
from assay.recipe.cohorts import static_form
from assay.recipe.model import Recipe
from assay.rng import stream
from assay.store.schema import VERSION, metadata
from assay.studies.keys import trajectory_key, trial_key
from assay.training.checkpoints import FORMAT, to_bytes
from assay.training.history import Point
from assay.training.ledger import Ledger
from assay.training.loop import prepared, train
from tests.engines import cases

CHECKSUM = "0123456789abcdef" * 2
EXAMPLES = 1347

FEATURES: dict[str, dict[str, Any]] = {
    "default": {},
    "3LS": {"model": "3LS"},
    "4LS": {"model": "4LS"},
    "2LR": {"model": "2LR"},
    "lenet5": {"model": "lenet5", "data": "mnist"},
    "lenet5-wide": {"model": "lenet5-wide", "data": "mnist", "batches": {"kind": "shuffled", "size": 600}},
    "layers": {
        "model": {
            "layers": [
                {"kind": "conv2d", "channels": 4, "kernel": 3, "activation": "relu"},
                {"kind": "batch_norm"},
                {"kind": "max_pool", "size": 2},
                "flatten",
                {"kind": "dropout", "rate": 0.2},
                {"kind": "dense", "units": 10},
            ]
        }
    },
    "dropout": {"model": {"hidden": [8, 6], "dropout": [0.1, 0.2]}},
    "data": {"data": {"name": "digits", "train": 500, "validation": 100}},
    "input": {"input": "standardise"},
    "input-each": {"input": "standardise-each"},
    "stop": {"stop": {"accuracy": 0.9, "patience": 3}},
    "stop-points": {"stop": {"accuracy": 0.9, "patience": "3 points"}},
    "stop-epochs": {"stop": {"patience": "3 epochs"}},
    "schedule-epochs": {"schedule": {"name": "cosine", "horizon": "5 epochs", "warm_up": "0.5 epochs"}},
    "stop-seconds": {"stop": {"seconds": 2.5}},
    "log-epochs": {"log": {"every": "2 epochs", "train_loss": 100}},
    "log-seconds": {"log": {"every": "0.5 s", "train_loss": "batch"}},
    "log-iterations": {"log": 25},
    "iterations": {"budget": {"iterations": 300}},
    "half-epoch": {"budget": {"epochs": 0.5}},
    "bfloat16": {"precision": "bfloat16"},
    "tensorfloat32": {"precision": "tensorfloat32"},
    "seed": {"seed": 12},
}
AXES = cases.AXES | {
    "loss": ["mse", "quadratic", "cross_entropy", "logit_cross_entropy", "nll"],
    "batches": ["full", "single", "window", "shuffled", "replacement"],
    "initial": ["glorot_uniform", "kaiming_uniform", "standard_normal"],
}
"""What the tables held when the golden files were written, so that an entry more leaves the cases as they are."""
TIMINGS = [("isolated", None), ("packed", 1)]


def _recipes() -> dict[str, Recipe]:
    named = {name: Recipe.stored(raw).resolved(EXAMPLES) for name, raw in FEATURES.items()}
    return named | {f"case {n}": recipe for n, recipe in enumerate(_cases())}


def _cases() -> list[Recipe]:
    """Combinations of everything, as they were stored before `clip_of`."""
    return [Recipe.stored(cases.raw(case)) for case in cases.pairwise(AXES)]


def keys() -> dict[str, Any]:
    """The keys of every feature of a recipe, and what its cohort has in common, by a hash."""
    engine = load_engine("numpy")
    result: dict[str, Any] = {}
    for name, recipe in _recipes().items():
        result[name] = {
            "recipe": recipe.key(data_checksum=CHECKSUM),
            "cohort": hashlib.sha256(static_form(recipe).encode()).hexdigest()[:32],
        }
        for timing, threads in TIMINGS:
            trajectory = trajectory_key(recipe, data_checksum=CHECKSUM, engine=engine, timing=timing, threads=threads)
            result[name][timing] = [trajectory, trial_key(trajectory, recipe, EXAMPLES)]
    return result


def names() -> dict[str, Any]:
    """The public names, with the parameters of those that are called."""
    return {name: _parameters(getattr(assay, name)) for name in assay.__all__ if name != "__version__"}


def _parameters(value: Any) -> list[str]:
    if isinstance(value, type) and issubclass(value, BaseException):
        return []
    try:
        return [f"{p.name}: {p.kind.description}" for p in inspect.signature(value).parameters.values()]
    except ValueError:
        return []


def commands() -> dict[str, Any]:
    """Every command with its options and arguments: names and defaults."""
    result: dict[str, Any] = {}

    def visit(command: Any, path: str) -> None:
        result[path] = [
            {
                "names": sorted([*one.opts, *one.secondary_opts]),
                "flag": bool(getattr(one, "is_flag", False)),
                "many": one.multiple or one.nargs != 1,
                "required": one.required,
                "default": None if callable(one.default) else one.default,
            }
            for one in command.params
        ]
        for name, inner in getattr(command, "commands", {}).items():
            visit(inner, f"{path} {name}")

    visit(typer.main.get_command(app), "assay")
    return json.loads(json.dumps(result, default=str))


def formats() -> dict[str, Any]:
    """What stored files hold: the tables, a checkpoint's arrays and metadata, a curve's and a ledger's entries."""
    recipe = Recipe.parse({"model": {"hidden": [5]}, "budget": {"iterations": 3}, "data": {"train": 100}})
    data = prepared(recipe, load_data("digits"))
    content = to_bytes(train([recipe], load_engine("numpy"), data)[0])
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    about = json.loads(header["__metadata__"]["assay"])
    return {
        "schema": VERSION,
        "tables": {
            table.name: [[c.name, str(c.type), c.nullable, c.primary_key] for c in table.columns]
            for table in metadata.sorted_tables
        },
        "checkpoint": {
            "format": FORMAT,
            "metadata": {name: type(value).__name__ for name, value in about.items()},
            "arrays": {name: [str(a.dtype), list(a.shape)] for name, a in sorted(unpacked(content).items())},
        },
        "point": list(Point.__dataclass_fields__),
        "ledger": list(Ledger().plain()),
    }


def digests() -> dict[str, str]:
    """Hashes of what the native engine leaves at level `baseline` after 40 iterations, one for each of the cases."""
    from assay.engines.native_engine import NativeEngine  # where it is installed

    engine = NativeEngine(threads=1, level="baseline")
    return {
        f"case {number}": digest(engine, recipe)
        for number, recipe in enumerate(_cases())
        if engine.why_not(recipe) is None
    }


def digest(engine: Engine, recipe: Recipe) -> str:
    """A hash of the losses, weights and slots of a training of 40 iterations.

    Its initial weights are uniform: the normal ones depend on NumPy's instruction level in their last bits.
    """
    cohort = Cohort((recipe,), recipe.model.network(cases.INPUTS, cases.CLASSES))
    weights = {
        name: (stream(5, name).uniform(w.size).reshape(w.shape) - 0.5).astype(w.dtype)
        for name, w in fresh(cohort).weights.items()
    }
    state = engine.start(cohort, Checkpoint(0, weights, {}), cases.data(recipe.precision))
    batches = make_batches(recipe.batches, cohort.seeds, 1, 40, cases.EXAMPLES)
    state, progress = engine.advance(state, batches, np.ones(1, np.bool_))
    checkpoint = engine.export(state)
    whole = hashlib.sha256(np.ascontiguousarray(progress.losses).tobytes())
    for arrays in (checkpoint.weights, checkpoint.slots):
        for name in sorted(arrays):
            whole.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    return whole.hexdigest()[:32]


VALUES: dict[str, Callable[[], Any]] = {
    "keys": keys,
    "names": names,
    "commands": commands,
    "formats": formats,
    "digests": digests,
}
