"""What is special to the reference engine: it allocates nothing after its first iterations."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from assay.data.datasets import load as load_data
from assay.engines import load
from assay.engines.base import Cohort, Splits, fresh
from assay.parts.batches import make_batches
from assay.recipe.model import Recipe
from assay.training.loop import prepared


@pytest.mark.parametrize("model", ["3LS", "2LR", {"hidden": [32], "activation": "gelu"}])
def test_a_thousand_iterations_allocate_nothing(model: object) -> None:
    recipe = Recipe.parse({"model": model, "optimizer": "descent", "batches": {"size": 50}, "precision": "float64"})
    data = prepared(recipe, load_data("digits"))
    cohort = Cohort((recipe,), recipe.model.network(data.inputs, data.classes))
    engine = load("numpy")
    state = engine.start(cohort, fresh(cohort), Splits({"train": (data.x_train, data.y_train)}))
    examples, alive = len(data.y_train), np.array([True])
    engine.advance(
        state, make_batches(recipe.batches, cohort.seeds, 1, 29, examples), alive
    )  # an epoch, its last short
    rows = make_batches(recipe.batches, cohort.seeds, 30, 1000, examples)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    engine.advance(state, rows, alive)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - before < 100_000


def test_it_computes_in_float64_whatever_the_recipe_says() -> None:
    recipe = Recipe.parse({"precision": "float32", "model": {"hidden": [4]}})
    cohort = Cohort((recipe,), recipe.model.network(3, 2))
    engine = load("numpy")
    state = engine.start(cohort, fresh(cohort), Splits({"train": (np.zeros((4, 3), np.float32), np.zeros(4, int))}))
    assert {w.dtype for w in engine.export(state).weights.values()} == {np.dtype(np.float64)}
    assert engine.outputs(state, np.zeros((2, 3))).dtype == np.float64


def test_threads_are_limited_while_it_works() -> None:
    from threadpoolctl import threadpool_info

    engine = load("numpy", threads=1)
    with engine._quiet():  # pyright: ignore
        assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}
