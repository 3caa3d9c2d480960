"""What the contract suite is run on: small data, and combinations of everything that the tables hold."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from assay.data.targets import REGRESSION, TargetScaling
from assay.engines import ENGINES, installed, load
from assay.engines.base import Checkpoint, Cohort, Engine, Splits, fresh
from assay.parts.activations import ACTIVATIONS, OUTPUTS
from assay.parts.batches import BATCHES, make_batches
from assay.parts.initials import INITIALS
from assay.parts.losses import LOSSES, REGRESSION_LOSSES
from assay.parts.optimizers import OPTIMIZERS
from assay.parts.schedules import SCHEDULES
from assay.recipe.model import Recipe
from assay.rng import stream

EXAMPLES, INPUTS, CLASSES = 97, 7, 5  # 97 is a prime: every epoch ends with a short batch

SCHEDULE_SETTINGS = {"constant": {"warm_up": 9}, "step": {"every": 7}, "exponential": {"every": 20}}
LACKING = ("muon", "schedule-free-sgd", "schedule-free-adamw")
"""Optimizers that the native engine does not have, and says so."""
LATER = ("nadam", "radam", "lion", "adan", *LACKING)
"""Optimizers that came after the pairs were chosen: the laws are tested with them by cases of their own."""
AXES: dict[str, list[Any]] = {
    "activation": list(ACTIVATIONS),
    "output": list(OUTPUTS),
    "loss": list(LOSSES),
    "optimizer": [name for name in OPTIMIZERS if name not in LATER],
    "batches": list(BATCHES),
    "schedule": list(SCHEDULES),
    "initial": list(INITIALS),
    "regularisation": [{}, {"l1": 1e-3}, {"l2": 1e-2, "biases": True}, {"l1": 1e-3, "l2": 1e-2}],
    "clip_norm": [None, 0.5],
    "hidden": [[], [6], [5, 4]],
    "precision": ["float64", "float32"],
    "dropout": [0.0, 0.3],
}
REGRESSION_AXES = AXES | {"output": ["identity"], "loss": list(REGRESSION_LOSSES)}
"""Those of regressions, whose cases have the key "task" too."""
KINKED = {"relu", "leaky_relu", "elu"}


def raw(case: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """The recipe of a combination, as plain data."""
    settings = SCHEDULE_SETTINGS.get(case["schedule"], {"horizon": 30})
    kind = case["batches"]
    recipe = {
        "model": {
            "hidden": case["hidden"],
            "activation": case["activation"],
            "output": case["output"],
            "initial": case["initial"],
            "dropout": case["dropout"] if case["hidden"] else 0.0,
        },
        "loss": case["loss"],
        "optimizer": {"name": case["optimizer"], "learning_rate": RATES[case["optimizer"]]},
        "batches": {"kind": kind} | ({} if kind in ("full", "single") else {"size": 10}),
        "schedule": {"name": case["schedule"], **settings},
        "regularisation": case["regularisation"],
        "clip_norm": case["clip_norm"],
        "precision": case["precision"],
        "budget": {"iterations": 100},
        "seed": 3,
    }
    task = {"data": {"task": case["task"]}} if "task" in case else {}
    return recipe | task | changes


# small enough that no combination diverges, large enough that the loss moves
RATES = dict.fromkeys(OPTIMIZERS, 0.01) | {"adadelta": 0.5, "adam": 0.003, "adamw": 0.003, "rmsprop": 0.001}
RATES |= {"nadam": 0.003, "radam": 0.003, "lion": 0.0003, "adan": 0.003, "muon": 0.003}
RATES |= {"schedule-free-sgd": 0.1, "schedule-free-adamw": 0.003}


def pairwise(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Combinations in which every two values of two axes meet at least once; greedy and deterministic."""
    names = list(axes)
    index = {name: range(len(axes[name])) for name in names}
    missing = {
        (a, i, b, j) for a, b in itertools.combinations(names, 2) for i in index[a] for j in index[b]
    }  # fmt: skip
    found: list[dict[str, Any]] = []
    while missing:
        a, i, b, j = min(missing)
        chosen = {a: i, b: j}
        for name in names:
            if name not in chosen:
                gains = [sum(key(name, k, other, m) in missing for other, m in chosen.items()) for k in index[name]]
                turned = [(gain, -(k + len(found)) % len(gains)) for k, gain in enumerate(gains)]
                chosen[name] = turned.index(max(turned))
        missing -= {key(x, chosen[x], y, chosen[y]) for x, y in itertools.combinations(names, 2)}
        found.append({name: axes[name][chosen[name]] for name in names})
    return found


def key(a: str, i: int, b: str, j: int) -> tuple[str, int, str, int]:
    """A pair of values in the order of the axes."""
    order = list(AXES)
    return (a, i, b, j) if order.index(a) < order.index(b) else (b, j, a, i)


@cache
def data(precision: str, task: str | None = None) -> Splits:
    """Inputs that tell the classes apart a little, some of them zero; standardised targets that depend on them."""
    element = "float64" if precision == "float64" else "float32"
    y = stream(0, "case-labels").integers(CLASSES, EXAMPLES)
    x = stream(0, "case-inputs").uniform(EXAMPLES * INPUTS).reshape(EXAMPLES, INPUTS)
    x = (x * (x > 0.3) + 0.5 * (np.arange(INPUTS) == y[:, None])).astype(element)
    if task == REGRESSION:
        z = np.sin(3.0 * x[:, 0]) - x[:, 1] * x[:, 2] + 0.3 * stream(0, "case-noise").normal(EXAMPLES)
        y = TargetScaling.of(z).apply(z)
    return Splits({"train": (x, y), "test": (x[:41], y[:41])})


@cache
def engine(name: str) -> Engine:
    """An engine, one for all tests, so that it compiles a program once; on one thread, for tests run side by side."""
    if not installed(name):
        pytest.skip(f"engine {name} is not installed")
    return load(name, threads=1)


def engine_for(name: str, recipe: Recipe) -> Engine:
    """The engine, or a skip with its own reason."""
    found = engine(name)
    reason = found.why_not(recipe)
    if reason:
        pytest.skip(reason)
    return found


NAMES = list(ENGINES)


@dataclass
class Run:
    """A cohort on an engine."""

    engine: Engine
    cohort: Cohort
    state: Any
    examples: int = EXAMPLES

    @classmethod
    def of(cls, name: str, *recipes: Recipe, checkpoint: Checkpoint | None = None) -> Run:
        """A run at its start, or at a checkpoint."""
        found = engine_for(name, recipes[0])
        first = recipes[0]
        cohort = Cohort(recipes, first.model.network(INPUTS, 1 if first.is_regression else CLASSES))
        state = found.start(cohort, checkpoint or nudged(fresh(cohort)), data(first.precision, first.data.task))
        return cls(found, cohort, state)

    def go(self, first: int, count: int) -> np.ndarray:
        """Advances by `count` iterations from iteration `first`; the batch losses (T, count)."""
        batches = make_batches(self.cohort.first.batches, self.cohort.seeds, first, count, self.examples)
        alive = np.ones(len(self.cohort.recipes), np.bool_)
        self.state, progress = self.engine.advance(self.state, batches, alive)
        return progress.losses

    def export(self) -> Checkpoint:
        """The checkpoint."""
        return self.engine.export(self.state)


def gradient_error(
    begin: Callable[[Checkpoint], Run], start: dict[str, Any], *, rate: float, step: float, least: float
) -> float:
    """The largest error of a directional derivative of the first batch's loss, each array of `start` by itself.

    Relative to its size where that is above `least`; `begin` starts plain descent at `rate` from a checkpoint. The
    masks of the first iteration are the same for every start.
    """

    def moved(weights: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        run = begin(Checkpoint(0, weights, {}))
        return float(run.go(1, 1)[0, 0]), run.export().weights

    ends, worst = moved(start)[1], 0.0
    for i, key in enumerate(begin(Checkpoint(0, start, {})).cohort.network.shapes):
        w = start[key]
        direction = np.sin(np.arange(w.size) + i).reshape(w.shape)
        above, below = (moved(start | {key: w + sign * step * direction})[0] for sign in (1, -1))
        expected = (above - below) / (2 * step)
        got = float(((w - ends[key]) / rate * direction).sum())
        worst = max(worst, abs(got - expected) / max(least, abs(expected)))
    return worst


def nudged(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint whose biases are not zero, so that no unit sits exactly on a kink."""
    weights = {
        name: w + 0.1 * stream(9, name).normal(w[0].size).reshape(w.shape[1:]) if name.endswith("bias") else w
        for name, w in checkpoint.weights.items()
    }
    return Checkpoint(checkpoint.t, weights, checkpoint.slots)


def same_bits(a: Checkpoint, b: Checkpoint) -> None:
    """Asserts that two checkpoints are equal to the last bit."""
    assert a.t == b.t
    for mine, other in ((a.weights, b.weights), (a.slots, b.slots)):
        assert mine.keys() == other.keys()
        for name in mine:
            assert mine[name].dtype == other[name].dtype
            np.testing.assert_array_equal(mine[name], other[name], err_msg=name)


def one(checkpoint: Checkpoint, number: int) -> Checkpoint:
    """One trial's part of a cohort's checkpoint."""
    return Checkpoint(
        checkpoint.t,
        {name: w[number : number + 1] for name, w in checkpoint.weights.items()},
        {name: s[:, number : number + 1] for name, s in checkpoint.slots.items()},
    )
