"""What is special to the jax engine: it compiles before the clock runs, and never for another number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assay.engines import load
from assay.parts.batches import make_batches
from assay.recipe import Recipe
from tests.engines.cases import Run, data

pytest.importorskip("jax")


def recipe(**patch: Any) -> Recipe:
    base = {"model": {"hidden": [6]}, "batches": {"size": 10}, "optimizer": "adam", "precision": "float32"}
    return Recipe.parse(base | patch)


def test_nothing_is_compiled_after_the_warm_up_whatever_the_numbers() -> None:
    run = Run.of("jax", recipe())
    engine: Any = run.engine
    engine.warm_up(run.state, make_batches(run.cohort.first.batches, run.cohort.seeds, 1, 7, 97))
    compiled = engine.compilations
    first = 1
    for count in (1, 3, 64, 100, 1500):  # any log interval
        run.go(first, count)
        first += count
        for split in data("float32").parts:
            engine.evaluate(run.state, split)
    assert engine.compilations == compiled
    others = [
        recipe(optimizer={"name": "adam", "learning_rate": 0.01, "beta1": 0.8}),
        recipe(seed=9),
        recipe(schedule={"name": "cosine", "horizon": 50}),
        recipe(regularisation={"l2": 0.1}),
    ]
    for other in others:
        again = Run.of("jax", other)
        again.go(1, 20)
        again.engine.evaluate(again.state, "test")
    assert engine.compilations == compiled


def test_float32_stays_float32() -> None:
    run = Run.of("jax", recipe())
    run.go(1, 5)
    checkpoint = run.export()
    assert {w.dtype for w in checkpoint.weights.values()} == {np.dtype(np.float32)}
    assert {s.dtype for s in checkpoint.slots.values()} == {np.dtype(np.float32)}


def test_hyperparameters_keep_their_precision_in_float32() -> None:
    """1 - 0.999 in float32 would be wrong in its fifth digit, and so would be the second moment."""
    single, double = Run.of("jax", recipe()), Run.of("jax", recipe(precision="float64"))
    single.go(1, 1)
    double.go(1, 1)
    for name, slots in double.export().slots.items():
        mine = single.export().slots[name][1]
        near = np.abs(slots[1]) > 1e-9
        np.testing.assert_allclose(mine[near], slots[1][near], rtol=5e-6)


def test_the_process_keeps_its_own_setting_of_64_bits() -> None:
    import jax

    run = Run.of("jax", recipe(precision="float64"))
    run.go(1, 2)
    assert jax.numpy.ones(1).dtype == np.float32


def test_a_device_that_is_not_there() -> None:
    reason = load("jax", device="cuda:5").why_not(recipe())
    assert reason is not None
    assert "jax sees" in reason
