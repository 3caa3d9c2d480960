"""A user's module of equinox: a loop by hand with the same weights, the laws, what is saved, and what is refused."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import assay
from assay.engines import choose
from assay.errors import AssayError, CodeError, EngineError, RecipeError
from assay.parts.batches import make_batches
from assay.parts.user_optimizers import allowing_code
from assay.recipe.model import Recipe
from assay.training.checkpoints import from_bytes, restore, to_bytes
from assay.training.loop import Training, prepared

jax = pytest.importorskip("jax", reason="needs jax")
eqx = pytest.importorskip("equinox", reason="needs equinox: pip install '.[equinox]'")
optax = pytest.importorskip("optax", reason="needs optax")

MODELS = """
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


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    """The name of a module with models, in a folder of its own."""
    (tmp_path / "equinox_models_of_a_test.py").write_text(MODELS)
    (tmp_path / "bad_equinox_of_a_test.py").write_text(BAD)
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield "equinox_models_of_a_test"
    forget()


def forget() -> None:
    """Makes the next recipe read the files again, as a new process does."""
    from assay.parts import modules

    for name in [name for name in modules._factories if "of_a_test" in name]:
        del modules._factories[name]
    for name in ("equinox_models_of_a_test", "bad_equinox_of_a_test"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


def recipe_of(model: Any, **changes: Any) -> Recipe:
    with allowing_code():
        return Recipe.parse({"model": model, "seed": 3, "budget": "12 iterations", **changes})


def bits(checkpoint: Any) -> dict[str, bytes]:
    arrays = {f"w {name}": a for name, a in checkpoint.weights.items()}
    arrays |= {f"s {name}": a for name, a in checkpoint.slots.items()}
    return {name: np.ascontiguousarray(a).tobytes() for name, a in arrays.items()}


# --- the same numbers by hand ----------------------------------------------------------------------------------------


def by_hand(model: Any, state: Any, data: Any, recipe: Recipe, transform: Any, shape: tuple[int, ...]) -> Any:
    """The module and state after training. It knows of Assay the batches, the scaled data, and the iterations' keys."""
    x, y = jax.numpy.asarray(data.x_train).reshape(-1, *shape), jax.numpy.asarray(data.y_train)
    count = recipe.iterations(len(y))
    batches = make_batches(recipe.batches, (recipe.seed,), 1, count, len(y))
    assert batches.rows is not None
    slots = transform.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def iteration(model: Any, state: Any, slots: Any, x: Any, y: Any, keys: Any) -> Any:
        def loss(model: Any) -> Any:
            if state is None:
                scores, after = jax.vmap(model)(x, key=keys), None
            else:
                run = jax.vmap(model, in_axes=(0, None, 0), out_axes=(0, None), axis_name="batch")
                scores, after = run(x, state, keys)
            return optax.softmax_cross_entropy_with_integer_labels(scores, y).mean(), after

        (_, after), g = eqx.filter_value_and_grad(loss, has_aux=True)(model)
        updates, slots = transform.update(g, slots)
        return eqx.apply_updates(model, updates), after, slots

    for t in range(1, count + 1):
        rows = batches.rows[0, t - 1, : batches.sizes[t - 1]]
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(recipe.seed), t), 7_171_940)
        model, state, slots = iteration(model, state, slots, x[rows], y[rows], jax.random.split(key, len(rows)))
    return model, state


def named(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_flatten_with_path(eqx.filter(tree, eqx.is_array))[0]
    return {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf) for path, leaf in leaves}


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    ("optimizer", "transform"),
    [
        ({"name": "descent", "learning_rate": 0.1}, optax.sgd(0.1)),
        ({"name": "adam", "learning_rate": 0.01, "epsilon": 1e-8}, optax.adam(0.01)),
        ({"name": "optax:adam", "learning_rate": 0.01}, optax.adam(0.01)),
    ],
)
def test_a_loop_by_hand_gives_the_same_weights(mine: str, precision: str, optimizer: Any, transform: Any) -> None:
    recipe = recipe_of(f"{mine}:Mlp", precision=precision, optimizer=optimizer)
    data = prepared(recipe, assay.load_data("digits"))
    history = assay.fit(recipe)
    assert history.engine == "jax"
    model = sys.modules[mine].Mlp(64, 10, key=jax.random.key(3))  # pyright: ignore
    with jax.enable_x64(precision == "float64"):
        model = jax.tree.map(lambda a: a.astype(precision) if eqx.is_inexact_array(a) else a, model)
        model, _ = by_hand(model, None, data, recipe, transform, (1, 8, 8))
        expected = named(model)
        scores = jax.vmap(eqx.nn.inference_mode(model), in_axes=(0, None))(data.x_test.reshape(-1, 1, 8, 8), None)
        accuracy = float((np.asarray(scores).argmax(1) == data.y_test).mean())
    limit = 1e-11 if precision == "float64" else 2e-6
    assert set(history.checkpoint.weights) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(history.checkpoint.weights[name][0], array, rtol=limit, atol=limit, err_msg=name)
    assert history.checkpoint.weights["places"].dtype == np.int32
    assert history.accuracy == pytest.approx(accuracy)


def test_batch_statistics_of_every_batch_are_those_of_a_loop_by_hand(mine: str) -> None:
    """Two epochs, each with a last batch of 29 examples, whose statistics must not see any padding."""
    recipe = recipe_of(f"{mine}:Net", optimizer={"name": "descent", "learning_rate": 0.1}, budget="2 epochs")
    data = prepared(recipe, assay.load_data("digits"))
    assert len(data.y_train) % 32
    history = assay.fit(recipe)
    model, state = eqx.nn.make_with_state(sys.modules[mine].Net)(1, 10, key=jax.random.key(3))  # pyright: ignore
    model, state = by_hand(model, state, data, recipe, optax.sgd(0.1), (1, 8, 8))
    expected = named(model) | {f"state.{name}": array for name, array in named(state).items()}
    assert set(history.checkpoint.weights) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(history.checkpoint.weights[name][0], array, rtol=2e-4, atol=2e-5, err_msg=name)
    frozen = jax.vmap(eqx.nn.inference_mode(model), in_axes=(0, None, None), out_axes=(0, None))
    scores, _ = frozen(data.x_test.reshape(-1, 1, 8, 8), state, jax.random.key(0))
    assert history.accuracy == pytest.approx(float((np.asarray(scores).argmax(1) == data.y_test).mean()), abs=0.003)
    assert history.plain()["flops"] is None
    other = assay.fit(recipe_of(f"{mine}:pair", optimizer=recipe.optimizer, budget="2 epochs"))
    assert bits(other.checkpoint) == bits(history.checkpoint)


@pytest.mark.parametrize("optimizer", ["adam", "muon", {"name": "adamw", "weight_decay": 0.1}, "schedule-free-sgd"])
def test_a_linear_module_equals_our_linear_model_with_its_weights(mine: str, tmp_path: Path, optimizer: Any) -> None:
    changes: Any = {"precision": "float64", "optimizer": optimizer, "regularisation": {"l2": 1e-3}}
    module = assay.fit(recipe_of(f"{mine}:linear", **changes))
    w = module.recipe.model.network((8, 8), 10).initial(3)  # pyright: ignore
    from safetensors.numpy import save_file

    from assay.training.torch_weights import from_state_dict

    save_file({"0.weight": w["layers.1.weight"], "0.bias": w["layers.1.bias"]}, tmp_path / "w.safetensors")
    ours = Recipe.parse({"model": {"hidden": []}, "seed": 3, "budget": "12 iterations", **changes})
    numpy = assay.fit(
        ours, engine="numpy", start=from_state_dict(tmp_path / "w.safetensors", ours, assay.load_data("digits"))
    )
    np.testing.assert_allclose(
        module.checkpoint.weights["layers.1.weight"][0].T, numpy.checkpoint.weights["0.weight"][0], rtol=1e-9, atol=1e-9
    )
    assert [p.test_loss for p in module.points] == pytest.approx([p.test_loss for p in numpy.points], rel=1e-9)


# --- the laws --------------------------------------------------------------------------------------------------------


OPTAX = {"name": "optax:adamw", "learning_rate": 0.01}


@pytest.mark.parametrize(
    ("name", "optimizer"), [("Net", "adam"), ("Mlp", "muon"), ("Mlp", OPTAX), ("Mlp", "schedule-free-adamw")]
)
def test_chunks_watching_and_resuming_from_a_file_give_the_same_bits(mine: str, name: str, optimizer: Any) -> None:
    recipe = recipe_of(f"{mine}:{name}", optimizer=optimizer, budget="60 iterations")  # more than an epoch
    whole = assay.fit(recipe.patched({"log": 60}))
    watched = assay.fit(recipe.patched({"log": 7}))
    assert bits(watched.checkpoint) == bits(whole.checkpoint)
    half = assay.fit(recipe.patched({"budget": "23 iterations"}))
    resumed = assay.fit(recipe, start=from_bytes(to_bytes(half), source="test"))
    assert bits(resumed.checkpoint) == bits(whole.checkpoint)
    assert bits(half.checkpoint) != bits(whole.checkpoint)


def test_a_trial_in_a_cohort_is_the_trial_alone(mine: str) -> None:
    changes: Any = {"budget": "50 iterations", "optimizer": {"name": "descent", "learning_rate": 0.05}}
    recipes = [recipe_of(f"{mine}:Net", seed=seed, **changes) for seed in (3, 4)]
    data = prepared(recipes[0], assay.load_data("digits"))
    together = Training(recipes, choose(recipes[0]), data)
    for _ in together:
        pass
    for recipe, history in zip(recipes, together.histories(), strict=True):
        alone = assay.fit(recipe).checkpoint.weights
        for name, array in history.checkpoint.weights.items():
            np.testing.assert_allclose(array[0], alone[name][0], rtol=1e-4, atol=1e-5, err_msg=name)


def test_seeds_draw_other_weights_and_the_same_seed_the_same(mine: str) -> None:
    network: Any = recipe_of(f"{mine}:Mlp").model.network((8, 8), 10)
    a, b, c = (network.initial(seed)["first.weight"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_saved_module_is_shown_without_its_code_and_predicts_with_it(mine: str, tmp_path: Path) -> None:
    history = assay.fit(recipe_of(f"{mine}:Net", budget="1 epoch"))
    path = history.save(tmp_path / "w.safetensors")
    x = assay.load_data("digits").x_test[:20]
    expected = history.predict(x, probabilities=True)
    forget()
    again = restore(path)
    assert mine not in sys.modules
    assert again.points == history.points
    with pytest.raises(CodeError, match="third-party code"):
        again.predict(x)
    with allowing_code():
        np.testing.assert_array_equal(again.predict(x, probabilities=True), expected)


def test_an_export_is_loaded_by_the_lines_that_it_prints(mine: str, tmp_path: Path) -> None:
    from assay.training.torch_weights import from_state_dict, torch_code, write_state_dict

    recipe = recipe_of(f"{mine}:Net", budget="1 epoch")
    history = assay.fit(recipe)
    path = write_state_dict(history, tmp_path / "net.safetensors")
    names: dict[str, Any] = {}
    exec("\n".join(torch_code(history, str(path))), names)
    data = prepared(recipe, assay.load_data("digits"))
    net = jax.vmap(names["net"], in_axes=(0, None, None), out_axes=(0, None))
    scores, _ = net(data.x_test.reshape(-1, 1, 8, 8), names["state"], jax.random.key(0))
    assert float((np.asarray(scores).argmax(1) == data.y_test).mean()) == history.accuracy
    started = from_state_dict(path, recipe, assay.load_data("digits"))
    assert started.points[0].test_accuracy == history.accuracy


# --- what is refused -------------------------------------------------------------------------------------------------


def test_other_engines_say_why_not_and_auto_takes_jax(mine: str) -> None:
    recipe = recipe_of(f"{mine}:Net")
    for engine in ("numpy", "native", "torch"):
        with pytest.raises(EngineError, match="is a module of equinox, which trains on engine 'jax' only"):
            choose(recipe, engine)
    assert choose(recipe).name == "jax"
    with pytest.raises(EngineError, match="use precision 'float32' or 'float64'"):
        choose(recipe_of(f"{mine}:Net", precision="bfloat16"), "jax")
    groups = [{"where": "weights", "name": "optax:sgd", "lr": 0.1}, {"where": "rest", "name": "optax:sgd", "lr": 0.1}]
    with pytest.raises(EngineError, match="has no groups for a module of equinox"):
        choose(recipe_of(f"{mine}:Net", optimizer={"groups": groups}), "jax")


def test_nothing_is_imported_without_permission_and_no_library_before_it_is_asked_for(mine: str) -> None:
    with pytest.raises(RecipeError, match="is third-party code, which is imported only if allowed: give --allow-code"):
        Recipe.parse({"model": f"{mine}:Net"})
    assert mine not in sys.modules
    code = "import sys, assay; import assay.parts.jax_modules; print({'jax', 'equinox', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_an_instance_trains_from_its_weights_and_is_refused_for_repeats(mine: str) -> None:
    with allowing_code():
        recipe_of(f"{mine}:Mlp")
    cls: Any = sys.modules[mine].Mlp  # pyright: ignore
    net = cls(64, 10, key=jax.random.key(8))
    history = assay.fit({"budget": "1 iteration", "optimizer": {"name": "descent", "learning_rate": 1e-30}}, model=net)
    np.testing.assert_array_equal(history.checkpoint.weights["first.weight"][0], np.asarray(net.first.weight))
    assert any("starts from the weights of that module" in note for note in history.notes)
    with pytest.raises(RecipeError, match="the same at each of 3 repeats; give its class, or a function"):
        assay.fit({"budget": "1 iteration"}, model=net, repeats=3)
    fits = assay.fit({"budget": "3 iterations"}, model=cls, repeats=2)
    assert bits(fits[0].checkpoint) != bits(fits[1].checkpoint)


BAD = """
import random
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

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

made = eqx.nn.Linear(64, 10, key=jax.random.key(0))

class Plain:
    pass
"""

REFUSED = [
    ("Fails", r"failed on a batch of shape \(32, 1, 8, 8\): .*needs x = jax.numpy.ravel\(x\) first"),
    ("Raises", "failed on a batch of shape .*: KeyError: 'nothing'"),
    ("Shape", r"returned values of shape \(32, 3\); expected \(32, 10\), a value for each class"),
    ("Pair", r"returned a tuple; expected \(32, 10\)"),
    ("Nan", "returned NaN for the first batch"),
    ("Empty", "cannot be trained: it has no parameters"),
    ("NoCall", "returned a NoCall, which has no __call__"),
    ("Detached", "its values do not depend on its parameters"),
    ("Random", "is random in evaluation: .* by `inference`"),
    ("Python", "gives other results for the same batch and weights"),
    ("Numpy", "draws 'fc.weight' from another source than the key|draws 'fc.bias' from another source"),
    ("Breaks", r"cannot be made with \(inputs=64, classes=10\): RuntimeError: no such size"),
    ("Complex", "is of type complex64; expected real numbers"),
    ("KeepsKey", "'own' is of type key<fry>, which no checkpoint can hold"),
    ("OfExamples", "failed on a batch of shape .*out_axes"),
    ("nothing", r"returned nothing \(None\); expected an equinox.Module"),
    ("unsaid", r"returned a module of equinox, and .* return annotation: def net\(...\) -> equinox.Module"),
    ("made", "is a module of equinox that is made already"),
    ("Plain", "is a class without the base torch.nn.Module or equinox.Module"),
]


@pytest.mark.parametrize(("name", "sentence"), REFUSED)
def test_a_module_that_cannot_train_is_refused_in_a_sentence(mine: str, name: str, sentence: str) -> None:
    with pytest.raises(AssayError, match=sentence) as caught:
        assay.fit(recipe_of(f"bad_equinox_of_a_test:{name}"))
    assert name in str(caught.value)


def test_a_softmax_at_the_end_is_noted(mine: str) -> None:
    history = assay.fit(recipe_of("bad_equinox_of_a_test:Softmax"))
    assert any("takes another softmax" in note for note in history.notes + history.warnings)
