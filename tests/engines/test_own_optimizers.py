"""Optimizers of Assay that step whole matrices or train other weights than they show, in whole trainings.

Each is compared with a loop that a user of optax writes, in float64 over 50 iterations, on every engine that has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assay.engines.base import Checkpoint
from assay.parts import newton_schulz
from assay.parts.batches import make_batches
from assay.parts.models import flops_training
from assay.parts.optimizers import OPTIMIZERS
from assay.recipe.model import Recipe
from assay.rng import stream
from tests.engines import cases
from tests.engines.cases import Run, data, same_bits

ITERATIONS = 50
ENGINES = ["numpy", "torch", "jax"]
FREE = ("schedule-free-sgd", "schedule-free-adamw")
DECAY = 0.1


def recipe_of(optimizer: Any, **changes: Any) -> Recipe:
    base = {
        "model": {"hidden": [6, 9], "activation": "tanh"},
        "optimizer": optimizer,
        "schedule": {"name": "cosine", "warm_up": 7, "horizon": 60},
        "batches": {"kind": "shuffled", "size": 10},
        "budget": {"iterations": ITERATIONS},
        "precision": "float64",
        "seed": 3,
    }
    return Recipe.parse(base | changes)


def by_hand(recipe: Recipe, start: Checkpoint, make: Any, shown: Any = None) -> dict[str, np.ndarray]:
    """The weights after a loop with an optimizer of optax; `make` gets the rate by the count from 0 and from 1."""
    import jax
    import jax.numpy as jnp
    import optax

    x, y = data("float64").parts["train"]
    batches = make_batches(recipe.batches, (recipe.seed,), 1, ITERATIONS, len(x))
    assert batches.rows is not None

    def loss(w: Any, x: Any, y: Any) -> Any:
        a = jnp.tanh(x @ w["0.weight"] + w["0.bias"])
        a = jnp.tanh(a @ w["1.weight"] + w["1.bias"]) @ w["2.weight"] + w["2.bias"]
        return -jax.nn.log_softmax(a)[jnp.arange(len(y)), y].mean()

    with jax.enable_x64(True):
        rates = jnp.array(recipe.schedule.rates(recipe.optimizer.learning_rate, 1, ITERATIONS + 1))
        optimizer = make(lambda count: rates[count], lambda count: rates[count - 1])
        w = {name: jnp.array(a[0]) for name, a in start.weights.items()}
        state = optimizer.init(w)

        @jax.jit
        def step(w: Any, state: Any, x: Any, y: Any) -> Any:
            updates, state = optimizer.update(jax.grad(loss)(w, x, y), state, w)
            return optax.apply_updates(w, updates), state

        for rows, size in zip(batches.rows[0], batches.sizes, strict=True):
            w, state = step(w, state, x[rows[:size]], y[rows[:size]])
        return {name: np.array(a) for name, a in (shown(state, w) if shown else w).items()}


def weights_only(w: Any) -> Any:
    return {name: name.endswith("weight") for name in w}


def optax_of(name: str) -> tuple[Any, Any]:
    import optax
    import optax.contrib

    if name == "muon":
        return lambda rate, _: optax.contrib.muon(rate, weight_decay=DECAY), None

    def make(rate: Any, rate_from_1: Any) -> Any:
        scaled = [optax.scale_by_rms(decay=0.999, eps=1e-8, eps_in_sqrt=False, bias_correction=True)]
        decayed = optax.add_decayed_weights(DECAY, weights_only)
        base = optax.chain(*(scaled if "adam" in name else []), decayed, optax.scale_by_learning_rate(rate))
        return optax.contrib.schedule_free(base, rate_from_1, b1=0.9)

    return make, optax.contrib.schedule_free_eval_params


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["muon", *FREE])
def test_a_training_equals_a_loop_that_a_user_of_optax_writes(name: str, engine: str) -> None:
    pytest.importorskip("optax")
    recipe = recipe_of({"name": name, "learning_rate": 0.02, "weight_decay": DECAY})
    run = Run.of(engine, recipe)
    start = run.export()
    expected = by_hand(recipe, start, *optax_of(name))
    run.go(1, ITERATIONS)
    for key, a in run.export().weights.items():
        np.testing.assert_allclose(a[0], expected[key], rtol=1e-9, atol=1e-11, err_msg=key)
        assert np.abs(a - start.weights[key]).max() > 1e-3


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (1, 6), (6, 1)])
def test_a_matrix_alone_is_stepped_as_optax_does(shape: tuple[int, int]) -> None:
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    pytest.importorskip("optax.contrib")
    recipe = recipe_of({"name": "muon", "learning_rate": 0.05}, schedule="constant")
    from assay.engines.base import Cohort, hyperparameters

    cohort = Cohort((recipe,), recipe.model.network(2, 2))
    constants, course = cohort.constants()[0], cohort.step_values(1, ITERATIONS)[0]
    count = shape[0] * shape[1]
    w, scale = stream(2, "w").normal(count).reshape(shape), 1 + stream(2, "s").uniform(count).reshape(shape)
    slots: Any = (np.zeros(shape), np.zeros(shape))
    with jax.enable_x64(True):
        optimizer, theirs = optax.contrib.muon(0.05), jax.numpy.array(w)
        state = optimizer.init(theirs)
        update = jax.jit(optimizer.update)
        for i in range(ITERATIONS):
            g = scale * w + 0.3 * np.cos(3 * w)
            step, slots = OPTIMIZERS["muon"].matrix_rule(np, w, g, slots, hyperparameters(constants, course, i))
            updates, state = update(jax.numpy.array(g), state, theirs)
            w, theirs = w - step, optax.apply_updates(theirs, updates)
            np.testing.assert_allclose(w, np.asarray(theirs), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (5, 5)])
def test_singular_values_come_near_one_and_singular_vectors_stay(shape: tuple[int, int]) -> None:
    x = stream(1, "x").normal(shape[0] * shape[1]).reshape(shape)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    p = s / (np.linalg.norm(x) + 1e-8)
    for _ in range(newton_schulz.STEPS):
        a, b, c = newton_schulz.COEFFICIENTS
        p = a * p + b * p**3 + c * p**5
    assert (np.abs(p - 1) < 0.4).all()
    np.testing.assert_allclose(newton_schulz.orthogonalised(np, x, 1e-8), u * p @ vt, rtol=1e-9, atol=1e-12)


def test_a_matrix_of_zeros_is_not_moved() -> None:
    assert not newton_schulz.orthogonalised(np, np.zeros((3, 2)), 1e-8).any()


# --- what is shown ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_evaluated_is_the_average_and_what_is_trained_is_not(engine: str) -> None:
    """With plain steps and a constant rate, x is the mean of all z: summed up by hand from the gradients at w."""
    recipe = recipe_of({"name": "schedule-free-sgd", "learning_rate": 0.3}, schedule="constant")
    run = Run.of(engine, recipe)
    descent = recipe_of({"name": "descent", "learning_rate": 1.0}, schedule="constant")
    start = run.export().weights
    z, x, w = dict(start), dict(start), dict(start)
    for t in range(1, 13):
        one = Run.of(engine, descent, checkpoint=Checkpoint(0, w, {}))
        one.go(t, 1)
        after = one.export().weights
        z = {key: z[key] - 0.3 * (w[key] - after[key]) for key in w}
        x = {key: x[key] + (z[key] - x[key]) / t for key in w}
        w = {key: 0.9 * x[key] + 0.1 * z[key] for key in w}
        run.go(t, 1)
        saved = run.export()
        for key in w:
            np.testing.assert_allclose(saved.weights[key], x[key], rtol=1e-11, atol=1e-13)
            np.testing.assert_allclose(saved.slots[key][-1], w[key], rtol=1e-11, atol=1e-13)
            assert saved.slots[key].shape == (2, *w[key].shape)
        assert t == 1 or np.abs(w["0.weight"] - x["0.weight"]).max() > 1e-5
        shown = Run.of(engine, descent, checkpoint=Checkpoint(0, x, {}))
        inputs = data("float64").parts["test"][0]
        a, b = (each.engine.outputs(each.state, inputs) for each in (run, shown))
        np.testing.assert_allclose(a, b, rtol=1e-10)
        a, b = (each.engine.evaluate(each.state, "test") for each in (run, shown))
        np.testing.assert_allclose(a.loss, b.loss, rtol=1e-10)


@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_training_resumes_from_a_file_with_the_weights_that_it_trains(name: str, engine: str) -> None:
    from tests.engines.test_foreign_optimizers import through_a_file

    recipe = recipe_of({"name": name, "learning_rate": 0.02, "weight_decay": DECAY}, precision="float32")
    whole, half = Run.of(engine, recipe), Run.of(engine, recipe)
    losses = whole.go(1, 20)
    half.go(1, 9)
    resumed = Run.of(engine, recipe, checkpoint=through_a_file(recipe, half.export()))
    np.testing.assert_array_equal(resumed.go(10, 11), losses[:, 9:])
    same_bits(resumed.export(), whole.export())


@pytest.mark.parametrize("name", FREE)
def test_a_checkpoint_of_one_engine_trains_on_in_another(name: str) -> None:
    recipe = recipe_of({"name": name, "learning_rate": 0.02})
    first = Run.of("numpy", recipe)
    first.go(1, 10)
    half, losses = first.export(), first.go(11, 10)
    for engine in ("torch", "jax"):
        np.testing.assert_allclose(Run.of(engine, recipe, checkpoint=half).go(11, 10), losses, rtol=1e-10)


def test_an_average_counts_low_rates_less_and_ignores_rates_of_zero() -> None:
    optimizer = OPTIMIZERS["schedule-free-sgd"]()
    average = optimizer.factors_of_rates(np.array([0.0, 1.0, 2.0, 1.0]))["average"]
    np.testing.assert_allclose(average, [0.0, 1.0, 4 / 5, 4 / 9])
    flat = OPTIMIZERS["schedule-free-sgd"](weight_power=0.0).factors_of_rates(np.array([0.5, 0.1, 0.5]))["average"]
    np.testing.assert_allclose(flat, [1, 1 / 2, 1 / 3])


# --- kernels, and what is counted ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["muon", *FREE])
def test_engines_agree_on_a_network_of_images(name: str) -> None:
    """Kernels of four dimensions are no matrices; batch normalisation's scales are neither, and do not decay."""
    from assay.engines.base import Cohort, Splits, fresh

    layers = [
        {"kind": "conv2d", "channels": 3, "kernel": 3},
        "batch_norm",
        {"kind": "activation", "function": "tanh"},
        "flatten",
    ]
    recipe = recipe_of({"name": name, "learning_rate": 0.01, "weight_decay": DECAY}, model={"layers": layers})
    x, y = stream(1, "x").normal(40 * 36).reshape(40, 36), stream(1, "y").integers(3, 40)
    ends = []
    for engine in ENGINES:
        cohort = Cohort((recipe,), recipe.model.network((6, 6), 3))
        found = cases.engine(engine)
        state = found.start(cohort, fresh(cohort), Splits({"train": (x, y)}))
        batches = make_batches(recipe.batches, cohort.seeds, 1, 20, 40)
        state, progress = found.advance(state, batches, np.ones(1, np.bool_))
        ends.append((progress.losses, found.export(state).weights, found.evaluate(state, "train").loss))
    for losses, weights, loss in ends[1:]:
        np.testing.assert_allclose(losses, ends[0][0], rtol=1e-9)
        np.testing.assert_allclose(loss, ends[0][2], rtol=1e-9)
        for key, a in weights.items():
            np.testing.assert_allclose(a, ends[0][1][key], rtol=1e-7, atol=1e-9, err_msg=key)


def test_the_operations_of_muon_are_those_of_its_products() -> None:
    recipe = recipe_of("muon", model={"hidden": [20]})
    network = recipe.model.network(30, 4)
    per_step = flops_training(network, recipe.loss, recipe.optimizer, iterations=1, examples=0)
    products = sum(5 * (4 * m * m * n + 2 * m**3) for m, n in ((20, 30), (4, 20)))
    assert products < per_step < 1.5 * products
    adam = recipe_of("adam", model={"hidden": [20]})
    assert flops_training(network, adam.loss, adam.optimizer, iterations=1, examples=0) == 14 * network.parameters


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("name", ["muon", *FREE])
def test_a_cohort_that_moves_as_one_agrees_with_its_trials(name: str, together: bool) -> None:
    """As on a GPU: the matrices of all trials in one product, each with its own hyperparameters."""
    pytest.importorskip("torch")
    from assay.engines.torch_engine import TorchEngine

    recipes = [
        recipe_of(
            {"name": name, "learning_rate": 0.01 * (n + 1), "weight_decay": 0.1 * n, "beta1": 0.8 + 0.05 * n}, seed=n
        )
        for n in range(3)
    ]
    alone = [Run.of("numpy", recipe) for recipe in recipes]
    run = Run.of("torch", *recipes)
    engine = TorchEngine(threads=1)
    engine.moves_together = together
    run.engine, run.state = engine, engine.start(run.cohort, run.export(), data("float64"))
    losses = run.go(1, 20)
    for n, one in enumerate(alone):
        np.testing.assert_allclose(losses[n], one.go(1, 20)[0], rtol=1e-9)
        mine, theirs = run.export(), one.export()
        for key in theirs.weights:
            np.testing.assert_allclose(mine.weights[key][n], theirs.weights[key][0], rtol=1e-8, atol=1e-10)
        for key in theirs.slots:
            np.testing.assert_allclose(mine.slots[key][:, n], theirs.slots[key][:, 0], rtol=1e-8, atol=1e-10)
    expected = [one.engine.evaluate(one.state, "test").loss[0] for one in alone]
    np.testing.assert_allclose(run.engine.evaluate(run.state, "test").loss, expected, rtol=1e-9)
