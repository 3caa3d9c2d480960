"""What is special to the native engine: its names, sparse inputs, levels, threads, cancelling, memory, odd shapes."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.engines import choose, load
from assay.engines.base import Cohort, Splits, fresh
from assay.parts.activations import ACTIVATIONS, OUTPUTS
from assay.parts.batches import make_batches
from assay.parts.losses import LOSSES
from assay.parts.optimizers import OPTIMIZERS, Adam
from assay.recipe.model import Recipe
from assay.rng import stream
from tests.engines.cases import AXES, LACKING, Run, nudged, pairwise, raw, same_bits

native = pytest.importorskip("assay._native")
module = pytest.importorskip("assay.engines.native_engine")
LEVELS = module.levels()
HAD = [name for name in OPTIMIZERS if name not in LACKING]
PAIRS = pairwise(AXES)


def recipe_of(case: dict[str, Any]) -> Recipe:
    """The recipe of a combination."""
    return Recipe.parse(raw(case))


def run(
    recipe: Recipe, x: Any, y: Any, iterations: int, *, engine: str = "native", classes: int = 10, **options: Any
) -> tuple[Any, Any, Any]:
    """Losses, checkpoint and evaluation of a training on arrays."""
    loaded = load(engine, **({"threads": 1} | options)) if engine != "level" else module.NativeEngine(**options)
    cohort = Cohort((recipe,), recipe.model.network(x.shape[1], classes))
    state = loaded.start(
        cohort, nudged(fresh(cohort)), Splits({"train": (x, y), "test": (x[: len(x) // 2 + 1], y[: len(x) // 2 + 1])})
    )
    batches = make_batches(recipe.batches, cohort.seeds, 1, iterations, len(x))
    state, progress = loaded.advance(state, batches, np.array([True]))
    return progress.losses, loaded.export(state), loaded.evaluate(state, "test")


def images(examples: int, features: int, zeros: float, classes: int, element: Any = np.float64) -> tuple[Any, Any]:
    """Inputs with a fraction of zeros; the first example is all zero."""
    values = stream(7, "values").uniform(examples * features)
    kept = stream(7, "kept").uniform(examples * features) >= zeros
    x = (values * kept).reshape(examples, features).astype(element)
    x[0] = 0.0
    return x, stream(7, "labels").integers(classes, examples)


def targets_of(x: Any) -> Any:
    """Standardised targets that depend on inputs (N, D)."""
    y = np.tanh(3.0 * x[:, 0]) + x[:, -1].astype(np.float64) ** 2 + 0.3 * stream(7, "noise").normal(len(x))
    return (y - y.mean()) / y.std()


# --- names -----------------------------------------------------------------------------------------------------------


def test_the_kernel_has_every_name_of_the_tables_or_says_why_not() -> None:
    tables = {"activations": ACTIVATIONS, "outputs": OUTPUTS, "losses": LOSSES, "optimizers": OPTIMIZERS}
    for kind, table in tables.items():
        assert set(getattr(native, kind)) == set(table) - (set(LACKING) if kind == "optimizers" else set()), kind
    for name in LACKING:
        recipe = Recipe.parse({"optimizer": name})
        assert f"has no optimizer '{name}'; use engine 'numpy', 'jax' or 'torch'" in str(load("native").why_not(recipe))
        assert choose(recipe).name == "numpy"


@pytest.mark.parametrize("name", HAD)
def test_the_kernel_reads_the_settings_that_an_optimizer_has(name: str) -> None:
    optimizer = OPTIMIZERS[name]()
    slots, settings_read, factors = native.optimizers[name]
    assert slots == OPTIMIZERS[name].slots
    in_factors_only = {"learning_rate", "weight_decay", "momentum_decay"}
    assert set(settings_read) == set(optimizer.settings()) - in_factors_only
    assert set(factors) == set(optimizer.factors(np.array([1.0])))


def test_what_the_kernel_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module._TABLES, "optimizer", {})
    reason = load("native").why_not(Recipe())
    assert reason is not None
    assert "no optimizer 'adam'" in reason


def test_auto_takes_it_for_dense_networks_on_a_cpu() -> None:
    assert choose(Recipe()).name == "native"


# --- the same function, sparse or dense ------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("kind", ["full", "single", "window", "shuffled"])
@pytest.mark.parametrize("background", [0.0, -0.42], ids=["zeros", "standardised"])
@pytest.mark.parametrize("units", [3, 20, 70])
@pytest.mark.parametrize("optimizer", ["descent", "adam"])
def test_sparse_inputs_give_what_numpy_gives(
    precision: str, kind: str, background: float, units: int, optimizer: str
) -> None:
    x, y = images(150, 40, 0.8, 4, np.dtype(precision))
    x = x + np.asarray(background, x.dtype)
    recipe = Recipe.parse(
        {
            "model": {"hidden": [units], "activation": "tanh"},
            "optimizer": {"name": optimizer, "learning_rate": 0.01},
            "batches": {"kind": kind} | ({} if kind in ("full", "single") else {"size": 17}),
            "regularisation": {"l2": 1e-3} if units == 20 else {},
            "precision": precision,
            "budget": {"iterations": 40},
        }
    )
    examples = native.Examples64 if precision == "float64" else native.Examples32
    assert examples(x, y.astype(np.int32), native.Pool(1)).sparse
    losses, end, test = run(recipe, x, y, 40, classes=4)
    expected, reference, expected_test = run(recipe, x, y, 40, engine="numpy", classes=4)
    close = {"rtol": 1e-10, "atol": 1e-11} if precision == "float64" else {"rtol": 2e-4, "atol": 2e-5}
    np.testing.assert_allclose(losses, expected, **close)
    np.testing.assert_allclose(test.loss, expected_test.loss, **close)
    for name, w in reference.weights.items():
        np.testing.assert_allclose(end.weights[name], w, **close)


def test_inputs_are_sparse_below_a_density() -> None:
    pool = native.Pool(1)
    for zeros, sparse in ((0.9, True), (0.7, True), (0.5, False), (0.0, False)):
        x, y = images(200, 50, zeros, 3)
        split = native.Examples64(x, y.astype(np.int32), pool)
        assert split.sparse is sparse
        assert split.density == np.count_nonzero(x) / x.size


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    widths=st.lists(st.integers(1, 300), max_size=2),
    features=st.integers(1, 300),
    classes=st.integers(2, 40),
    batch=st.integers(1, 257),
    zeros=st.sampled_from([0.0, 0.9, 1.0]),
    optimizer=st.sampled_from(HAD),
)
def test_any_shape_gives_what_numpy_gives(
    widths: list[int], features: int, classes: int, batch: int, zeros: float, optimizer: str
) -> None:
    x, y = images(257, features, zeros, classes)
    recipe = Recipe.parse(
        {
            "model": {"hidden": widths, "activation": "sigmoid"},
            "optimizer": {"name": optimizer, "learning_rate": 0.003},
            "batches": {"kind": "replacement", "size": batch},
            "precision": "float64",
            "budget": {"iterations": 3},
        }
    )
    losses, end, test = run(recipe, x, y, 3, classes=classes)
    expected, reference, expected_test = run(recipe, x, y, 3, engine="numpy", classes=classes)
    np.testing.assert_allclose(losses, expected, rtol=1e-10)
    np.testing.assert_allclose(test.loss, expected_test.loss, rtol=1e-10)
    np.testing.assert_allclose(test.accuracy, expected_test.accuracy, atol=1.5 / 129)  # ties of a constant net
    if optimizer not in ("adam", "adamw", "rmsprop", "adadelta", "adagrad"):  # these blow up the last bit of a zero
        for name, w in reference.weights.items():
            np.testing.assert_allclose(end.weights[name], w, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("optimizer", HAD)
@pytest.mark.parametrize("features", [40, 41])
def test_weights_of_inputs_that_batches_lack_lose_no_update(optimizer: str, features: int) -> None:
    """Some rules leave such weights alone and make up for it when it matters: whoever looks sees no difference, and
    however the iterations are cut up, the bits are the same. Columns 10 to 19 are in one example, 0 to 4 in none."""
    x, y = images(60, features, 0.8, 4)
    x[:, :5] = 0.0
    x[1:, 10:20] = 0.0
    x[0, 10:20] = 0.5
    recipe = Recipe.parse(
        {
            "model": {"hidden": [70], "activation": "tanh"},
            "optimizer": {"name": optimizer, "learning_rate": 0.01},
            "batches": {"kind": "shuffled", "size": 8},  # the last one of an epoch has 4: it is not sorted
            "precision": "float64",
            "budget": {"iterations": 60},
        }
    )
    cohort = Cohort((recipe,), recipe.model.network(features, 4))
    ends: list[Any] = []
    for engine, piece in (("numpy", 60), ("native", 60), ("native", 1), ("native", 7)):
        loaded = load(engine, threads=1)
        state = loaded.start(cohort, nudged(fresh(cohort)), Splits({"train": (x, y)}))
        for first in range(1, 61, piece):
            batches = make_batches(recipe.batches, cohort.seeds, first, min(piece, 61 - first), len(x))
            state, _ = loaded.advance(state, batches, np.array([True]))
        ends.append(loaded.export(state))
    reference, whole, *cut = ends
    for name, w in reference.weights.items():
        np.testing.assert_allclose(whole.weights[name], w, rtol=1e-9, atol=1e-11)
        for end in cut:
            np.testing.assert_array_equal(end.weights[name], whole.weights[name])
    for name, slots in reference.slots.items():
        np.testing.assert_allclose(whole.slots[name], slots, rtol=1e-9, atol=1e-14)
        for end in cut:
            np.testing.assert_array_equal(end.slots[name], whole.slots[name])


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 2])
def test_numbers_too_small_to_be_normal_are_taken_for_zero(precision: str, threads: int) -> None:
    """Moments of weights that get no gradient any more shrink until they are; a processor is slow on them."""
    element = np.dtype(precision)
    x, y = images(12, 6, 0.0, 3, element)
    x[:, 4] = 0.0  # no gradient for its weights: Adam multiplies their moments by beta alone
    recipe = Recipe.parse({"model": {"hidden": [5], "activation": "tanh"}, "optimizer": "adam", "precision": precision})
    cohort = Cohort((recipe,), recipe.model.network(6, 3))
    start, tiny = nudged(fresh(cohort)), np.finfo(element).smallest_normal
    slots = {name: np.full((2, *w.shape), 2 * tiny, element) for name, w in start.weights.items()}
    engine = load("native", threads=threads)
    state = engine.start(cohort, replace(start, t=1, slots=slots), Splits({"train": (x, y)}))
    batches = make_batches(recipe.batches, cohort.seeds, 2, 12, len(x))
    state, _ = engine.advance(state, batches, np.array([True]))
    first, second = engine.export(state).slots["0.weight"][:, 0]
    assert (first[4] == 0).all()  # 2 x 0.9^12 of the smallest normal number would be 0.56 of it
    assert (second[4] > tiny).all()  # 2 x 0.999^12 of it
    assert (np.abs(first[:4]) > tiny).all()


@pytest.mark.parametrize("units", [3, 17, 33])
def test_padded_units_are_dead(units: int) -> None:
    """sigmoid(0) is 0.5: a padded unit that trained would be one bias more. The memory beyond the units stays zero."""
    recipe = recipe_of(PAIRS[0] | {"activation": "sigmoid", "optimizer": "momentum", "hidden": [units], "dropout": 0.0})
    trained = Run.of("native", recipe)
    trained.go(1, 50)
    weight, bias, stride = trained.state.native.layout[0]
    memory = trained.state.native.state(0)
    rows = memory[:, weight : weight + 7 * stride].reshape(-1, 7, stride)
    assert stride > units
    assert not rows[:, :, units:].any()
    assert not memory[:, bias + units : bias + stride].any()
    assert rows[:, :, :units].any()


def test_adams_bias_correction_is_right_after_two_million_iterations() -> None:
    t = np.array([1.0, 2.0, 2_000_000.0])
    factors = Adam(beta2=0.9999999).factors(t)
    exact = [1 - 0.9999999, 1 - 0.9999999**2, -np.expm1(2_000_000 * np.log1p(-1e-7))]
    np.testing.assert_allclose(factors["correction2"], exact, rtol=1e-8)
    recipe = Recipe.parse(
        {"optimizer": {"name": "adam", "beta2": 0.9999999}, "precision": "float64", "model": {"hidden": [4]}}
    )
    x, y = images(60, 8, 0.5, 10)
    cohort = Cohort((recipe,), recipe.model.network(8, 10))
    ends = []
    for name in ("native", "numpy"):
        engine = load(name, threads=1)
        start = fresh(cohort)
        slots = {key: np.full((2, *w.shape), 1e-3) for key, w in start.weights.items()}
        state = engine.start(cohort, type(start)(2_000_000, start.weights, slots), Splits({"train": (x, y)}))
        state, _ = engine.advance(state, make_batches(recipe.batches, cohort.seeds, 2_000_001, 5, 60), np.array([True]))
        ends.append(engine.export(state))
    for key, w in ends[1].weights.items():
        np.testing.assert_allclose(ends[0].weights[key], w, rtol=1e-12, atol=1e-15)


# --- regressions ------------------------------------------------------------------------------------------------------

REGRESSION = {"data": {"task": "regression"}}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("inputs", ["dense", "sparse", "standardised"])
@pytest.mark.parametrize(
    "batches", ["single", "full", {"kind": "shuffled", "size": 5}, {"kind": "window", "size": 150}], ids=str
)
def test_a_regression_gives_what_numpy_gives(level: str, precision: str, inputs: str, batches: Any) -> None:
    """In batches of one row, of few, and of several blocks; sorted by pairs or not."""
    x, _ = images(313, 21, 0.0 if inputs == "dense" else 0.8, 2, np.dtype(precision))
    if inputs == "standardised":
        x = x + np.asarray(-0.42, x.dtype)
    y = targets_of(x)
    for loss, hidden in (("mse", [70, 3]), ("quadratic", [5]), ("mse", [])):
        model = {"hidden": hidden, "activation": "tanh"}
        recipe = Recipe.parse({**REGRESSION, "model": model, "batches": batches, "precision": precision, "loss": loss})
        losses, end, test = run(recipe, x, y, 40, engine="level", classes=1, level=level, threads=1)
        expected, reference, expected_test = run(recipe, x, y, 40, engine="numpy", classes=1)
        close = {"rtol": 1e-10, "atol": 1e-12} if precision == "float64" else {"rtol": 2e-4, "atol": 2e-5}
        np.testing.assert_allclose(losses, expected, **close)
        np.testing.assert_allclose(test.loss, expected_test.loss, **close)
        for name, w in reference.weights.items():
            np.testing.assert_allclose(end.weights[name], w, **close)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    widths=st.lists(st.integers(1, 150), max_size=2),
    features=st.integers(1, 150),
    examples=st.integers(2, 300),
    batch=st.integers(1, 300),
    zeros=st.sampled_from([0.0, 0.9]),
    optimizer=st.sampled_from(["descent", "momentum", "nesterov", "lion"]),
    threads=st.sampled_from([1, 2]),
)
def test_a_regression_of_any_shape_gives_what_numpy_gives(
    widths: list[int], features: int, examples: int, batch: int, zeros: float, optimizer: str, threads: int
) -> None:
    x, _ = images(examples, features, zeros, 2)
    y = stream(8, "targets").normal(examples)
    recipe = Recipe.parse(
        {
            **REGRESSION,
            "model": {"hidden": widths, "activation": "sigmoid"},
            "optimizer": {"name": optimizer, "learning_rate": 0.003},
            "batches": {"kind": "replacement", "size": min(batch, examples)},
            "precision": "float64",
        }
    )
    losses, end, test = run(recipe, x, y, 3, classes=1, threads=threads)
    expected, reference, expected_test = run(recipe, x, y, 3, engine="numpy", classes=1)
    np.testing.assert_allclose(losses, expected, rtol=1e-10)
    np.testing.assert_allclose(test.loss, expected_test.loss, rtol=1e-10)
    if optimizer != "lion":  # it steps by the sign of a sum that may be nearly 0
        for name, w in reference.weights.items():
            np.testing.assert_allclose(end.weights[name], w, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["full", {"kind": "shuffled", "size": 700}], ids=["full", "shuffled"])
@pytest.mark.parametrize("clip", [None, 0.1])
def test_the_bits_of_a_regression_do_not_depend_on_the_number_of_threads(kind: Any, clip: float | None) -> None:
    x, _ = images(1500, 30, 0.8, 2, np.float32)
    model = {"hidden": [20], "dropout": 0.4}
    recipe = Recipe.parse({**REGRESSION, "model": model, "batches": kind, "clip_norm": clip, "optimizer": "momentum"})
    ends = [run(recipe, x, targets_of(x), 12, classes=1, threads=threads) for threads in (1, 2)]
    np.testing.assert_array_equal(ends[0][0], ends[1][0])
    np.testing.assert_array_equal(ends[0][2].loss, ends[1][2].loss)
    same_bits(ends[0][1], ends[1][1])


@pytest.mark.parametrize("kind", [{"kind": "shuffled", "size": 20}, {"kind": "window", "size": 3}], ids=str)
def test_regressions_that_share_sorted_batches_have_the_bits_of_each_alone(kind: dict[str, Any]) -> None:
    x, _ = images(210, 31, 0.8, 2, np.float32)
    y = targets_of(x)
    patch = {**REGRESSION, "model": {"hidden": [70]}, "batches": kind}
    rates = (0.01, 1e30, 0.1)  # one of them breaks, and the others go on
    recipes = tuple(Recipe.parse(patch | {"optimizer": {"name": "rmsprop", "learning_rate": rate}}) for rate in rates)
    cohort = Cohort(recipes, recipes[0].model.network(31, 1))
    engine, iterations = load("native", threads=2), 150
    state = engine.start(cohort, nudged(fresh(cohort)), Splits({"train": (x, y)}))
    batches = make_batches(recipes[0].batches, cohort.seeds, 1, iterations, len(x))
    state, progress = engine.advance(state, batches, np.array([True] * 3))
    together = engine.export(state)
    assert list(np.isnan(progress.losses).any(axis=1)) == [False, True, False]
    for n, each in enumerate(recipes):
        losses, alone, _ = run(each, x, y, iterations, classes=1)
        np.testing.assert_array_equal(progress.losses[n], losses[0])
        for name, w in alone.weights.items():
            np.testing.assert_array_equal(together.weights[name][n], w[0])


@pytest.mark.parametrize("batches", ["single", "full"])
def test_the_padding_of_the_one_output_is_dead(batches: str) -> None:
    """Its derivatives are written where those of the first of two hidden layers were."""
    recipe = Recipe.parse({**REGRESSION, "model": {"hidden": [5, 4]}, "optimizer": "momentum", "batches": batches})
    trained = Run.of("native", recipe)
    trained.go(1, 50)
    weight, bias, stride = trained.state.native.layout[2]
    memory = trained.state.native.state(0)
    assert not memory[:, weight : weight + 4 * stride].reshape(-1, 4, stride)[:, :, 1:].any()
    assert not memory[:, bias + 1 : bias + stride].any()
    assert memory[:, bias].all()


def test_targets_are_copied() -> None:
    """The kernel keeps none of the caller's targets, so that they may change or go."""
    x, _ = images(60, 8, 0.0, 2)
    y = targets_of(x)
    split = native.Examples64(x, None, native.Pool(1), y)
    before = split.bytes
    assert before >= y.nbytes
    recipe = Recipe.parse({**REGRESSION, "precision": "float64", "batches": "full"})
    cohort, engine = Cohort((recipe,), recipe.model.network(8, 1)), load("native", threads=1)
    state = engine.start(cohort, fresh(cohort), Splits({"train": (x, y)}))
    expected = engine.evaluate(state, "train").loss
    y[...] = np.nan
    np.testing.assert_array_equal(engine.evaluate(state, "train").loss, expected)


# --- levels, alignment, threads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("number", range(0, len(PAIRS), 6))
def test_every_level_gives_what_numpy_gives(level: str, number: int) -> None:
    recipe = recipe_of(PAIRS[number] | {"dropout": 0.0, "precision": "float64", "activation": "gelu"})
    x, y = images(97, 21, 0.8 * (number % 2), 10)
    losses, _, _ = run(recipe, x, y, 30, engine="level", level=level, threads=1)
    expected, _, _ = run(recipe, x, y, 30, engine="numpy")
    np.testing.assert_allclose(losses, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("zeros", [0.0, 0.8], ids=["dense", "sparse"])
@pytest.mark.parametrize("batches", ["single", {"kind": "shuffled", "size": 22}], ids=["single", "shuffled"])
def test_every_level_gives_what_numpy_gives_in_tiles_of_every_size(
    level: str, precision: str, zeros: float, batches: Any
) -> None:
    """The widest vectors have 16 values: 240 units are panels of 8, 4, 2 and 1 of them; 22 rows are 12, 6, 3 and 1."""
    recipe = Recipe.parse(
        {"model": {"hidden": [240, 120]}, "batches": batches, "precision": precision, "budget": {"iterations": 20}}
    )
    x, y = images(97, 21, zeros, 10, np.dtype(precision))
    losses, _, test = run(recipe, x, y, 20, engine="level", level=level, threads=1)
    expected, _, expected_test = run(recipe, x, y, 20, engine="numpy")
    close = {"rtol": 1e-10} if precision == "float64" else {"rtol": 2e-4, "atol": 2e-5}
    np.testing.assert_allclose(losses, expected, **close)
    np.testing.assert_allclose(test.loss, expected_test.loss, **close)


def test_a_level_that_is_emulated_runs_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASSAY_NATIVE_LEVEL", raising=False)
    assert module.NativeEngine().level == LEVELS[0] != "wide"
    assert "wide" not in LEVELS[:-1]


def test_an_unknown_level_is_an_error() -> None:
    with pytest.raises(Exception, match="level 'mmx' is not supported on this machine"):
        module.NativeEngine(level="mmx")


@pytest.mark.parametrize("kind", ["full", {"kind": "shuffled", "size": 700}])
@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_the_bits_do_not_depend_on_the_number_of_threads(kind: Any, clip: float | None, dropout: float) -> None:
    x, y = images(1500, 30, 0.8, 10, np.float32)
    recipe = Recipe.parse(
        {"model": {"hidden": [20], "dropout": dropout}, "batches": kind, "clip_norm": clip, "optimizer": "momentum"}
    )
    ends = [run(recipe, x, y, 12, threads=threads) for threads in (1, 2)]
    np.testing.assert_array_equal(ends[0][0], ends[1][0])
    same_bits(ends[0][1], ends[1][1])
    cohort = Cohort((recipe,) * 2, recipe.model.network(30, 10))
    engine = load("native", threads=2)
    state = engine.start(cohort, nudged(fresh(cohort)), Splits({"train": (x, y)}))
    state, progress = engine.advance(
        state, make_batches(recipe.batches, cohort.seeds, 1, 12, 1500), np.array([True] * 2)
    )
    np.testing.assert_array_equal(progress.losses, np.repeat(ends[0][0], 2, axis=0))


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("background", [0.0, -0.42], ids=["zeros", "standardised"])
@pytest.mark.parametrize("units", [3, 20, 40, 70])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_full_batch_sorted_once_is_trained_as_one_that_is_not(
    precision: str, background: float, units: int, threads: int
) -> None:
    x, y = images(1411, 31, 0.8, 10, np.dtype(precision))  # five parts, the last pair is of one input
    x = x + np.asarray(background, x.dtype)
    patch = {"model": {"hidden": [units]}, "optimizer": "adam", "precision": precision, "clip_norm": 1.0}
    kinds = ("full", {"kind": "window", "size": len(x)})
    a, b = (run(Recipe.parse(patch | {"batches": kind}), x, y, 6, threads=threads) for kind in kinds)
    if units == 70:  # from 64 on a window is sorted too
        np.testing.assert_array_equal(a[0], b[0])
        same_bits(a[1], b[1])
        return
    least = 1e-13 if precision == "float64" else 1e-5  # the order in which an example's inputs are added
    np.testing.assert_allclose(a[0], b[0], rtol=least)
    for name, weights in a[1].weights.items():
        np.testing.assert_allclose(weights, b[1].weights[name], rtol=10 * least, atol=10 * least)


@pytest.mark.parametrize("kind", [{"kind": "shuffled", "size": 20}, {"kind": "window", "size": 3}])
@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("threads", [1, 2])
def test_trials_that_share_sorted_batches_have_the_bits_of_trials_alone(
    kind: dict[str, Any], clip: float | None, threads: int
) -> None:
    x, y = images(210, 31, 0.8, 10, np.float32)
    model = {"hidden": [70], "activation": "relu", "output": "identity"}
    patch = {"model": model, "batches": kind, "clip_norm": clip, "loss": "mse"}
    rates = (0.01, 1e30, 0.1)  # one of them breaks, and the others go on
    recipes = tuple(Recipe.parse(patch | {"optimizer": {"name": "rmsprop", "learning_rate": rate}}) for rate in rates)
    cohort = Cohort(recipes, recipes[0].model.network(31, 10))
    engine, iterations = load("native", threads=threads), 150  # more than one round of them
    state = engine.start(cohort, nudged(fresh(cohort)), Splits({"train": (x, y)}))
    batches = make_batches(recipes[0].batches, cohort.seeds, 1, iterations, len(x))
    state, progress = engine.advance(state, batches, np.array([True] * 3))
    together = engine.export(state)
    assert list(np.isnan(progress.losses).any(axis=1)) == [False, True, False]
    for n, each in enumerate(recipes):
        losses, alone, _ = run(each, x, y, iterations)
        np.testing.assert_array_equal(progress.losses[n], losses[0])
        for name, w in alone.weights.items():
            np.testing.assert_array_equal(together.weights[name][n], w[0])
            np.testing.assert_array_equal(together.slots[name][:, n], alone.slots[name][:, 0])


def test_the_bits_do_not_depend_on_where_the_inputs_lie() -> None:
    x, y = images(300, 30, 0.1, 10, np.float32)
    shifted = np.empty(x.size + 1, np.float32)[1:].reshape(x.shape)
    shifted[...] = x
    recipe = Recipe.parse({"model": {"hidden": [20]}, "batches": "window"})
    a, b = (run(recipe, each, y, 20) for each in (x, shifted))
    np.testing.assert_array_equal(a[0], b[0])
    same_bits(a[1], b[1])


def test_dense_inputs_live_as_long_as_they_are_read() -> None:
    recipe = Recipe.parse({"model": {"hidden": [8]}, "batches": "full"})
    x, y = images(400, 30, 0.0, 10, np.float32)
    engine = load("native", threads=1)
    cohort = Cohort((recipe,), recipe.model.network(30, 10))
    state = engine.start(cohort, fresh(cohort), Splits({"train": (x.copy(), y)}))
    expected = engine.start(cohort, fresh(cohort), Splits({"train": (x, y)}))
    junk = [np.full_like(x, np.nan) for _ in range(20)]
    assert engine.evaluate(state, "train").loss[0] == engine.evaluate(expected, "train").loss[0]
    del junk


@pytest.mark.parametrize("zeros", [0.0, 0.8], ids=["dense", "sparse"])
@pytest.mark.parametrize("element", [np.float32, np.float64], ids=["as it is", "converted"])
def test_the_kernel_keeps_borrowed_inputs_alive_and_no_others(zeros: float, element: Any) -> None:
    """Without the engine: Examples itself holds dense inputs, or what nanobind has converted them to."""
    x, y = images(400, 30, zeros, 10, element)
    labels, pool = y.astype(np.int32), native.Pool(1)

    def cohort_of(inputs: Any) -> Any:
        layers, keys = [(30, 10, "identity", 0.0)], np.zeros((1, 1), np.uint64)
        train = native.Examples32(inputs, labels, pool)
        settings_ = ("identity", "mse", "descent", 1e-7, False, False, keys, 400)
        cohort = native.Cohort32(layers, *settings_, train, pool, LEVELS[0])
        cohort.state(0)[...] = 0.1
        return cohort, train

    expected = cohort_of(x)[0].evaluate(native.Examples32(x, labels, pool))
    inputs = x.copy()
    alive = weakref.ref(inputs)
    cohort, train = cohort_of(inputs)
    del inputs
    borrowed = not train.sparse and element is np.float32
    assert (alive() is not None) is borrowed
    junk = [np.full((400, 30), np.nan, np.float32) for _ in range(20)]
    np.testing.assert_array_equal(cohort.evaluate(train), expected)
    del train
    assert (alive() is not None) is borrowed  # the cohort holds what it trains on
    one = (np.array([400], np.int32), None, None, np.array([True]), np.array([[0.0, 0.0, 0.0, np.inf]]))
    losses, _ = cohort.advance(1, *one, np.array([[[0.01]]]))
    np.testing.assert_allclose(losses[0, 0], expected[0][0] / 400, rtol=1e-5)
    del cohort, junk
    assert alive() is None


# --- cancelling ------------------------------------------------------------------------------------------------------


def long_run(threads: int) -> tuple[Any, Any, Any]:
    recipe = Recipe.parse({"model": {"hidden": [256, 256]}, "batches": "full", "budget": {"iterations": 10**6}})
    x, y = images(20_000, 300, 0.5, 10, np.float32)
    engine = load("native", threads=threads)
    cohort = Cohort((recipe,), recipe.model.network(300, 10))
    state = engine.start(cohort, fresh(cohort), Splits({"train": (x, y)}))
    return engine, state, make_batches(recipe.batches, cohort.seeds, 1, 1000, len(x))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_cancelled_call_has_done_nothing(threads: int) -> None:
    engine, state, batches = long_run(threads)
    before = engine.export(state)
    timer = threading.Timer(0.5, engine.cancel)
    timer.start()
    begin = time.perf_counter()
    state, progress = engine.advance(state, batches, np.array([True]))
    timer.join()
    assert progress.cancelled
    assert progress.losses.shape == (1, 0)
    assert time.perf_counter() - begin < 5.0  # a thousand iterations take minutes
    same_bits(engine.export(state), before)
    few = type(batches)(1, np.full(1, 1000, np.int32))  # the first of a full batch, which alone would take seconds
    state, progress = engine.advance(state, few, np.array([True]))
    assert not progress.cancelled
    assert np.isfinite(progress.losses).all()


CTRL_C = """
import numpy as np, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell in the background takes away
sys.path.insert(0, ".")
from tests.engines.test_native_engine import long_run
engine, state, batches = long_run(1)
print("ready", flush=True)
try:
    engine.advance(state, batches, np.array([True]))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_reaches_python_while_the_kernel_works() -> None:
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", CTRL_C], cwd=root, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=240)[0] == "interrupted\n"  # under sanitizers all of it is slow


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an alarm")
@pytest.mark.parametrize("call", ["evaluate", "outputs"])
def test_what_a_signal_raises_ends_an_evaluation(call: str) -> None:
    x, y = images(20_000, 300, 0.5, 10, np.float32)
    recipe = Recipe.parse({"model": {"hidden": [1024, 512]}})
    engine = load("native", threads=1)
    cohort = Cohort((recipe,), recipe.model.network(300, 10))
    state = engine.start(cohort, fresh(cohort), Splits({"train": (x, y), "test": (x[:2000], y[:2000])}))
    begin = time.perf_counter()
    engine.evaluate(state, "test")
    tenth = time.perf_counter() - begin

    def raises(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, raises)
    begin = time.perf_counter()
    try:
        signal.setitimer(signal.ITIMER_REAL, tenth)
        with pytest.raises(KeyboardInterrupt):
            engine.evaluate(state, "train") if call == "evaluate" else engine.outputs(state, x)
        elapsed = time.perf_counter() - begin
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert elapsed < 6 * tenth  # to the end it takes ten


def test_a_cancelled_call_leaves_no_postponed_update() -> None:
    """Of weights without a gradient some updates wait; those of iterations that were discarded must not follow."""
    x, y = images(210, 41, 0.9, 10, np.float32)
    x[:, :5] = 0.0
    rmsprop = {"name": "rmsprop", "learning_rate": 0.01}
    recipe = Recipe.parse(
        {"model": {"hidden": [70]}, "optimizer": rmsprop, "batches": {"kind": "shuffled", "size": 20}}
    )
    cohort = Cohort((recipe,) * 2, recipe.model.network(41, 10))
    engine = load("native", threads=1)
    start = nudged(fresh(cohort))
    start = replace(start, t=1, slots={name: np.full((1, *w.shape), 1.0) for name, w in start.weights.items()})
    state = engine.start(cohort, start, Splits({"train": (x, y)}))
    many = make_batches(recipe.batches, cohort.seeds, 2, 100_000, len(x))
    done = threading.Event()

    def cancel() -> None:  # again and again: it does nothing before the kernel has begun
        while not done.wait(0.02):
            engine.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    state, progress = engine.advance(state, many, np.array([True] * 2))
    done.set()
    canceller.join()
    assert progress.cancelled
    few = make_batches(recipe.batches, cohort.seeds, 2, 5, len(x))
    state, _ = engine.advance(state, few, np.array([True] * 2))
    fresh_state = engine.start(cohort, start, Splits({"train": (x, y)}))
    fresh_state, _ = engine.advance(fresh_state, few, np.array([True] * 2))
    same_bits(engine.export(state), engine.export(fresh_state))


# --- memory ----------------------------------------------------------------------------------------------------------

COUNTER = """
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t),
    *__libc_memalign(size_t, size_t);
static long count;  /* by all threads but the main one */
static void note(void) { if (syscall(SYS_gettid) != getpid()) __atomic_fetch_add(&count, 1, __ATOMIC_SEQ_CST); }
long allocations(void) { return __atomic_load_n(&count, __ATOMIC_SEQ_CST); }
void *malloc(size_t n) { note(); return __libc_malloc(n); }
void *calloc(size_t n, size_t m) { note(); return __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { note(); return __libc_realloc(p, n); }
void *aligned_alloc(size_t a, size_t n) { note(); return __libc_memalign(a, n); }
int posix_memalign(void **p, size_t a, size_t n) { note(); return (*p = __libc_memalign(a, n)) ? 0 : ENOMEM; }
"""

ALLOCATIONS = """
import ctypes, sys, threading
import numpy as np
sys.path.insert(0, ".")
from tests.engines.test_native_engine import Cohort, Recipe, Splits, fresh, images, load, make_batches, stream
allocations = ctypes.CDLL(None).allocations
allocations.restype = ctypes.c_long
before = allocations()
thread = threading.Thread(target=lambda: bytearray(10**7))
thread.start()
thread.join()
assert allocations() > before, "the counter does not count"
cases = [
    ({"batches": {"kind": "shuffled", "size": 20}}, 3),  # sorted for all trials
    ({"batches": {"kind": "shuffled", "size": 20}}, 1),
    ({"batches": "full", "clip_norm": 1.0}, 1),  # parts on both threads
    ({"batches": "single", "model": {"hidden": [20], "dropout": 0.5}}, 2),
]
for zeros in (0.0, 0.8):
    x, y = images(1500, 31, zeros, 10, np.float32)
    for patch, trials in cases:
        raw = {"model": {"hidden": [70]}, "optimizer": "rmsprop"} | patch
        recipes = tuple(Recipe.parse(raw | {"seed": seed}) for seed in range(trials))
        cohort = Cohort(recipes, recipes[0].model.network(31, 10))
        engine = load("native", threads=2)
        state = engine.start(cohort, fresh(cohort), Splits({"train": (x, y), "test": (x[:300], y[:300])}))
        batches = make_batches(recipes[0].batches, cohort.seeds, 1, 100, len(x))
        before = allocations()
        state, progress = engine.advance(state, batches, np.array([True] * trials))
        engine.evaluate(state, "test")
        engine.outputs(state, x[:200])
        print(allocations() - before)
"""


@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="a sanitizer has an allocator of its own")
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc, to count its allocations")
def test_threads_of_the_pool_allocate_nothing(tmp_path: Path) -> None:
    """An allocator locks and asks the system for memory, so threads would wait for each other."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    source, library = tmp_path / "counter.c", tmp_path / "counter.so"
    source.write_text(COUNTER)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-fno-builtin", source, "-o", library], check=True)
    child = subprocess.run(
        [sys.executable, "-c", ALLOCATIONS],
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"LD_PRELOAD": str(library), "OPENBLAS_NUM_THREADS": "1"},
    )
    assert child.stdout.split() == ["0"] * 8


MEMORY = """
import json, sys
import numpy as np, psutil
from assay.engines import load
from assay.engines.base import Cohort, Splits, fresh
from assay.recipe.model import Recipe

raw, trials, threads, examples = json.loads(sys.argv[1])
recipes = tuple(Recipe.parse(raw | {"seed": seed}) for seed in range(trials))
cohort = Cohort(recipes, recipes[0].model.network(300, 10))
engine = load("native", threads=threads)
x = np.ones((examples, 300), "float64" if raw.get("precision") == "float64" else "float32")
x[:, ::2] = 0.0  # not sparse: read where it is
y = np.zeros(examples, np.int64)
before = psutil.Process().memory_info().rss
start = fresh(cohort)
state = engine.start(cohort, start, Splits({"train": (x, y)}))
peak = psutil.Process().memory_info().rss
del start
end = engine.export(state)
peak = max(peak, psutil.Process().memory_info().rss)
print(engine.memory(cohort, examples), peak - before)
"""


@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="a sanitizer keeps what is freed")
@pytest.mark.parametrize(
    ("patch", "trials", "threads"),
    [
        ({"optimizer": "momentum", "batches": "full"}, 1, 2),
        ({"optimizer": "descent", "batches": "full", "precision": "float64"}, 2, 2),
        ({"optimizer": "adadelta", "model": {"hidden": [1000, 1000], "dropout": 0.5}}, 3, 2),
    ],
    ids=["parts on two threads", "parts of two trials", "slots and dropout"],
)
def test_the_memory_is_about_what_it_says(patch: dict[str, Any], trials: int, threads: int) -> None:
    if threads > native.usable_cores():
        pytest.skip("needs two cores")
    raw = {"model": {"hidden": [1500, 1500]}} | patch
    child = subprocess.run(  # its own process: what another test has freed would be used again
        [sys.executable, "-c", MEMORY, json.dumps([raw, trials, threads, 1100])],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"},  # glibc: what is freed goes back at once
    )
    estimated, measured = map(int, child.stdout.split())
    assert measured > 50e6
    assert estimated == pytest.approx(measured, rel=0.1)


# --- what it refuses -------------------------------------------------------------------------------------------------


def test_the_kernel_refuses_what_does_not_fit() -> None:
    trained = Run.of("native", recipe_of(PAIRS[0] | {"batches": "replacement"}))
    batches = make_batches(trained.cohort.first.batches, trained.cohort.seeds, 1, 4, 97)
    assert batches.rows is not None
    for wrong in (batches.rows + 97, batches.rows - 98):
        broken = type(batches)(1, batches.sizes, rows=wrong)
        with pytest.raises(ValueError, match="do not fit the examples"):
            trained.engine.advance(trained.state, broken, np.array([True]))
    with pytest.raises(ValueError, match=r"alive: \(T,\)"):
        trained.engine.advance(trained.state, batches, np.array([True, True]))
    with pytest.raises(ValueError, match="first layer"):
        trained.engine.outputs(trained.state, np.zeros((3, 9)))


def test_the_kernel_refuses_targets_that_are_none() -> None:
    x, pool = np.ones((4, 3)), native.Pool(1)
    labels, targets = np.zeros(4, np.int32), np.array([0.5, 1.0, -1.0, 2.0])
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="a target that is not finite"):
            native.Examples64(x, None, pool, np.where(targets == 1.0, bad, targets))
    for both in ((labels, targets), (None, None)):
        with pytest.raises(ValueError, match="either labels or targets"):
            native.Examples64(x, both[0], pool, both[1])
    with pytest.raises(ValueError, match="as many labels or targets as examples"):
        native.Examples64(x, None, pool, targets[:3])
    for wrong in (targets, labels.astype(np.int64)):  # converted, 0.5 would be class 0
        with pytest.raises(TypeError):
            native.Examples64(x, wrong, pool)
    for wrong in (labels, targets.astype(np.float32), targets[:, None], targets.tolist()):
        with pytest.raises(TypeError):
            native.Examples64(x, None, pool, wrong)


def test_the_kernel_trains_on_targets_only_what_is_a_regression() -> None:
    x, pool, keys = np.ones((4, 3)), native.Pool(1), np.zeros((1, 1), np.uint64)
    y = np.array([0.5, 1.0, -1.0, 2.0])
    split, labelled = native.Examples64(x, None, pool, y), native.Examples64(x, np.zeros(4, np.int32), pool)

    def cohort_of(train: Any, units: int = 1, output: str = "identity", loss: str = "mse") -> Any:
        layers = [(3, units, "identity", 0.0)]
        settings_ = (output, loss, "descent", 1e-7, False, False, keys, 4)
        return native.Cohort64(layers, *settings_, train, pool, LEVELS[0])

    for patch in ({"units": 2}, {"output": "sigmoid"}, {"loss": "nll"}, {"output": "log_softmax", "loss": "nll"}):
        with pytest.raises(ValueError, match="targets need one output, identity, and the loss mse or quadratic"):
            cohort_of(split, **patch)
    trained, classifier = cohort_of(split), cohort_of(labelled)
    for cohort, other in ((trained, labelled), (classifier, split)):
        with pytest.raises(ValueError, match="a split with labels, and one with targets"):
            cohort.evaluate(other)
    loss, correct = trained.evaluate(split)
    assert loss[0] == (y**2).sum()  # the weights are 0
    assert correct[0] == 4
    assert trained.outputs(labelled).shape == (1, 4, 1)


def test_trainings_in_two_python_threads_take_turns() -> None:
    """One engine, one pool of threads: both get what each would get alone."""
    x, y = images(1500, 30, 0.8, 10, np.float32)
    recipe = Recipe.parse({"model": {"hidden": [20]}, "batches": {"kind": "shuffled", "size": 700}})
    engine = load("native", threads=2)
    cohort = Cohort((recipe,), recipe.model.network(30, 10))
    states = [engine.start(cohort, nudged(fresh(cohort)), Splits({"train": (x, y)})) for _ in range(2)]

    def train(state: Any) -> None:
        for first in range(1, 60, 3):
            engine.advance(state, make_batches(recipe.batches, cohort.seeds, first, 3, 1500), np.array([True]))

    workers = [threading.Thread(target=train, args=(state,)) for state in states]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert not any(worker.is_alive() for worker in workers)
    same_bits(engine.export(states[0]), engine.export(states[1]))
    alone = engine.start(cohort, nudged(fresh(cohort)), Splits({"train": (x, y)}))
    train(alone)
    same_bits(engine.export(alone), engine.export(states[0]))


# --- symbols ---------------------------------------------------------------------------------------------------------

CHECK = Path(__file__).resolve().parents[2] / "scripts" / "check_symbols.py"
PLANTED = """
template <class T> T twice(T x) { return x + x; }  // another level could define the same
namespace assay::avx2 {
struct Block { int rows; };
template <class T> T rows(T block) { return block; }
template <class T> T own(T block) { return rows(block); }
template Block own(Block);
}
"""


def test_a_symbol_outside_the_namespace_of_its_level_is_found(tmp_path: Path) -> None:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None or shutil.which("nm") is None:
        pytest.skip("needs a C++ compiler and nm")
    folder = tmp_path / "kernel_avx2.dir"
    folder.mkdir()

    def check(source: str) -> subprocess.CompletedProcess[str]:
        (folder / "kernel.cpp").write_text(source)
        command = [compiler, "-std=c++20", "-c", folder / "kernel.cpp", "-o", folder / "kernel.cpp.o"]
        subprocess.run(command, check=True)
        return subprocess.run([sys.executable, CHECK, tmp_path], capture_output=True, text=True)

    assert subprocess.run([sys.executable, CHECK, tmp_path], capture_output=True).returncode == 1  # nothing to check
    assert check(PLANTED).returncode == 0
    leaking = check(PLANTED + "template int twice(int);\ntemplate assay::avx2::Block assay::avx2::rows(Block);")
    assert leaking.returncode == 1
    assert leaking.stderr.split() == ["_Z5twiceIiET_S0_", "(W)"]
    other_level = check(PLANTED.replace("assay::avx2", "assay::baseline"))
    assert other_level.returncode == 1
