"""A user's module of each library on jax: a loop by hand with the same weights, the laws, files, and what is refused.

The modules are those of `module_cases.py`. A library of its own row in `LIBRARIES` gets these tests by a case there.
"""

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
from assay.parts.libraries import LIBRARIES
from assay.parts.user_optimizers import allowing_code
from assay.recipe.model import Recipe
from assay.training.checkpoints import from_bytes, restore, to_bytes
from assay.training.loop import Training, prepared
from tests.engines.module_cases import CASES, COMMON, ByHand, Case

jax = pytest.importorskip("jax", reason="needs jax")
optax = pytest.importorskip("optax", reason="needs optax")

NAMES = {case.name: case.name.replace(".", "_") for case in CASES}


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    """Each library that is installed."""
    pytest.importorskip(request.param.library.package, reason=f"needs {request.param.library.package}")
    return request.param


def mine_of(case: Case) -> str:
    return f"{NAMES[case.name]}_models_of_a_test"


def bad_of(case: Case) -> str:
    return f"{NAMES[case.name]}_bad_models_of_a_test"


@pytest.fixture
def mine(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    """The name of a module with a library's models, in a folder of its own; its bad models are in another module."""
    (tmp_path / f"{mine_of(case)}.py").write_text(case.models)
    (tmp_path / f"{bad_of(case)}.py").write_text(case.bad)
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield mine_of(case)
    forget()


def forget() -> None:
    """Makes the next recipe read the files again, as a new process does."""
    from assay.parts import modules

    for name in [name for name in modules._factories if "of_a_test" in name]:
        del modules._factories[name]
    for name in [name for name in sys.modules if name.endswith("models_of_a_test")]:
        sys.modules.pop(name)
    importlib.invalidate_caches()


def recipe_of(model: Any, **changes: Any) -> Recipe:
    with allowing_code():
        return Recipe.parse({"model": model, "seed": 3, "budget": "12 iterations", **changes})


def bits(checkpoint: Any) -> dict[str, bytes]:
    arrays = {f"w {name}": a for name, a in checkpoint.weights.items()}
    arrays |= {f"s {name}": a for name, a in checkpoint.slots.items()}
    return {name: np.ascontiguousarray(a).tobytes() for name, a in arrays.items()}


def models_of(name: str) -> Any:
    """The user's module of models, which a recipe has imported."""
    return sys.modules[name]


def test_every_library_on_jax_has_a_case() -> None:
    assert [case.name for case in CASES] == [library.name for library in LIBRARIES if library.adapter]


# --- the same numbers by hand ----------------------------------------------------------------------------------------


def trained_by_hand(hand: ByHand, start: Any, data: Any, recipe: Recipe, transform: Any, image: Any) -> Any:
    """What is trained, and the rest. It knows of Assay the batches, the scaled data, and the iterations' keys."""
    x, y = jax.numpy.asarray(data.x_train).reshape(-1, *image), jax.numpy.asarray(data.y_train)
    count = recipe.iterations(len(y))
    batches = make_batches(recipe.batches, (recipe.seed,), 1, count, len(y))
    assert batches.rows is not None
    trained, rest = start
    slots = transform.init(trained)

    @jax.jit
    def iteration(trained: Any, arrays: Any, slots: Any, x: Any, y: Any, key: Any) -> Any:
        rest = merged(arrays)

        def loss(trained: Any) -> Any:
            scores, after = hand.scores(trained, rest, x, key, True)
            return optax.softmax_cross_entropy_with_integer_labels(scores, y).mean(), arrays_of(after)

        (_, after), g = jax.value_and_grad(loss, has_aux=True)(trained)
        updates, slots = transform.update(g, slots)
        return optax.apply_updates(trained, updates), after, slots

    leaves, tree = jax.tree.flatten(rest)
    fixed = [None if isinstance(leaf, jax.Array) else leaf for leaf in leaves]

    def arrays_of(rest: Any) -> Any:
        return [leaf for leaf in jax.tree.leaves(rest) if isinstance(leaf, jax.Array)]

    def merged(arrays: Any) -> Any:
        own = iter(arrays)
        return jax.tree.unflatten(tree, [next(own) if leaf is None else leaf for leaf in fixed])

    arrays = arrays_of(rest)
    for t in range(1, count + 1):
        rows = batches.rows[0, t - 1, : batches.sizes[t - 1]]
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(recipe.seed), t), 7_171_940)
        trained, arrays, slots = iteration(trained, arrays, slots, x[rows], y[rows], key)
    return trained, merged(arrays)


def in_precision(tree: Any, precision: str) -> Any:
    real = {"float32", "float64"}
    return jax.tree.map(lambda a: a.astype(precision) if str(getattr(a, "dtype", "")) in real else a, tree)


GROUPS = [
    {"where": "weights", "name": "optax:adam", "learning_rate": 0.01},
    {"where": "rest", "name": "optax:sgd", "learning_rate": 0.1},
]
GROUPED = {"weights": optax.adam(0.01), "rest": optax.sgd(0.1)}


def by_dimensions(tree: Any) -> Any:
    return jax.tree.map(lambda a: "weights" if a.ndim >= 2 else "rest", tree)


@pytest.mark.parametrize(
    ("optimizer", "transform", "precision"),
    [
        ({"name": "descent", "learning_rate": 0.1}, lambda: optax.sgd(0.1), "float64"),
        ({"name": "adam", "learning_rate": 0.01, "epsilon": 1e-8}, lambda: optax.adam(0.01), "float64"),
        ({"name": "optax:adam", "learning_rate": 0.01}, lambda: optax.adam(0.01), "float64"),
        ({"name": "adam", "learning_rate": 0.01, "epsilon": 1e-8}, lambda: optax.adam(0.01), "float32"),
        ({"groups": GROUPS}, lambda: optax.multi_transform(GROUPED, by_dimensions), "float64"),
    ],
    ids=["descent", "adam", "optax-adam", "adam-float32", "groups"],
)
def test_a_loop_by_hand_gives_the_same_weights(
    case: Case, mine: str, precision: str, optimizer: Any, transform: Any
) -> None:
    recipe = recipe_of(f"{mine}:Mlp", precision=precision, optimizer=optimizer)
    data = prepared(recipe, assay.load_data("digits"))
    history = assay.fit(recipe)
    assert history.engine == "jax"
    hand = case.by_hand()
    start = hand.made(models_of(mine), "Mlp", 3)
    with jax.enable_x64(precision == "float64"):
        start = in_precision(start, precision)
        trained, rest = trained_by_hand(hand, start, data, recipe, transform(), case.image)
        expected = hand.named(trained, rest)
        scores, _ = hand.scores(trained, rest, data.x_test.reshape(-1, *case.image), jax.random.key(0), False)
        accuracy = float((np.asarray(scores).argmax(1) == data.y_test).mean())
    limit = 1e-11 if precision == "float64" else 2e-6
    assert set(history.checkpoint.weights) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(history.checkpoint.weights[name][0], array, rtol=limit, atol=limit, err_msg=name)
    assert history.checkpoint.weights[case.whole].dtype == np.int32
    assert history.accuracy == pytest.approx(accuracy)


def test_batch_statistics_of_every_batch_are_those_of_a_loop_by_hand(case: Case, mine: str) -> None:
    """Two epochs, each with a last batch of 29 examples, whose statistics must not see any padding."""
    recipe = recipe_of(f"{mine}:Net", optimizer={"name": "descent", "learning_rate": 0.1}, budget="2 epochs")
    data = prepared(recipe, assay.load_data("digits"))
    assert len(data.y_train) % 32
    history = assay.fit(recipe)
    hand = case.by_hand()
    start = hand.made(models_of(mine), "Net", 3)
    trained, rest = trained_by_hand(hand, start, data, recipe, optax.sgd(0.1), case.image)
    expected = hand.named(trained, rest)
    assert set(history.checkpoint.weights) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(history.checkpoint.weights[name][0], array, rtol=2e-4, atol=2e-5, err_msg=name)
    scores, _ = hand.scores(trained, rest, data.x_test.reshape(-1, *case.image), jax.random.key(0), False)
    assert history.accuracy == pytest.approx(float((np.asarray(scores).argmax(1) == data.y_test).mean()), abs=0.003)
    assert history.plain()["flops"] is None
    other = assay.fit(recipe_of(f"{mine}:pair", optimizer=recipe.optimizer, budget="2 epochs"))
    assert bits(other.checkpoint) == bits(history.checkpoint)


@pytest.mark.parametrize("optimizer", ["muon", {"name": "adamw", "weight_decay": 0.1}, "schedule-free-sgd"])
def test_a_linear_module_equals_our_linear_model_with_its_weights(
    case: Case, mine: str, tmp_path: Path, optimizer: Any
) -> None:
    from safetensors.numpy import save_file

    from assay.training.torch_weights import from_state_dict

    changes: Any = {"precision": "float64", "optimizer": optimizer, "regularisation": {"l2": 1e-3}}
    module = assay.fit(recipe_of(f"{mine}:linear", **changes))
    w = module.recipe.model.network((8, 8), 10).initial(3)  # pyright: ignore
    weight, bias = (next(name for name, a in w.items() if a.ndim == n) for n in (2, 1))
    as_torch = w[weight] if case.library.outputs_first else w[weight].T
    save_file({"0.weight": np.ascontiguousarray(as_torch), "0.bias": w[bias]}, tmp_path / "w.safetensors")
    ours = Recipe.parse({"model": {"hidden": []}, "seed": 3, "budget": "12 iterations", **changes})
    start = from_state_dict(tmp_path / "w.safetensors", ours, assay.load_data("digits"))
    numpy = assay.fit(ours, engine="numpy", start=start)
    got = module.checkpoint.weights[weight][0]
    got = got.T if case.library.outputs_first else got
    np.testing.assert_allclose(got, numpy.checkpoint.weights["0.weight"][0], rtol=1e-9, atol=1e-9)
    assert [p.test_loss for p in module.points] == pytest.approx([p.test_loss for p in numpy.points], rel=1e-9)


# --- the laws --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "optimizer"), [("Net", "adam"), ("Mlp", {"groups": GROUPS}), ("Mlp", "schedule-free-adamw")]
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
    weight = next(name for name, shape in network.shapes.items() if len(shape) == 2)
    a, b, c = (network.initial(seed)[weight] for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_dropout_is_drawn_anew_by_seed_and_iteration_and_only_in_training(case: Case, mine: str) -> None:
    from assay.engines.jax_modules import called, iteration_key

    network: Any = recipe_of({"name": f"{mine}:Mlp", "dropout": 0.5}).model.network((8, 8), 10)
    w = {n: a.astype("float32") if a.dtype.kind == "f" else a for n, a in network.initial(3).items()}
    x = jax.numpy.ones((4, 64), "float32")

    def values(seed: int, t: int, training: bool) -> Any:
        return np.asarray(called(network, w, x, iteration_key(seed, t), training, products="float32")[0])

    np.testing.assert_array_equal(values(3, 1, True), values(3, 1, True))
    assert not np.array_equal(values(3, 1, True), values(3, 2, True))
    assert not np.array_equal(values(3, 1, True), values(4, 1, True))
    np.testing.assert_array_equal(values(3, 1, False), values(4, 2, False))
    drawn = values(3, 1, True)
    assert len({row.tobytes() for row in drawn}) == len(drawn)  # each example has a mask of its own


# --- shapes and plans ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Net", "Mlp", "linear"])
def test_shapes_without_numbers_are_those_of_the_arrays(mine: str, name: str) -> None:
    network: Any = recipe_of(f"{mine}:{name}").model.network((8, 8), 10)
    made = network.built(0)
    assert network.shapes == {n: tuple(a.shape) for n, a in made.trained.items()}
    assert network.buffers == {n: tuple(a.shape) for n, a in made.others.items()}


def test_the_shapes_of_a_module_start_no_device(mine: str, tmp_path: Path) -> None:
    code = f"""
from assay.parts.user_optimizers import allowing_code
from assay.recipe.model import Recipe
with allowing_code():
    recipe = Recipe.parse({{"model": "{mine}:Net"}})
print(recipe.model.network((8, 8), 10).parameters > 500)
from jax._src import xla_bridge
print(bool(xla_bridge._backends))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == ["True", "False"], done.stderr


def test_the_engine_starts_jax_before_a_module_draws_its_weights(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the size of its thread pool would be that of the machine, and not `threads`."""
    from assay.engines.jax_engine import JaxEngine
    from assay.parts.jax_modules import FunctionalNetwork

    order: list[str] = []
    for kind, name in ((JaxEngine, "wake"), (FunctionalNetwork, "initial")):
        own = getattr(kind, name)
        monkeypatch.setattr(kind, name, lambda *a, own=own, name=name: order.append(name) or own(*a))
    assay.fit(recipe_of(f"{mine}:linear", budget="1 iteration"))
    assert order[:2] == ["wake", "initial"]


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


@pytest.mark.parametrize("name", ["Net", "pair", "linear"])
def test_an_export_is_loaded_by_the_lines_that_it_prints(case: Case, mine: str, tmp_path: Path, name: str) -> None:
    from assay.training.torch_weights import from_state_dict, torch_code, write_state_dict

    recipe = recipe_of(f"{mine}:{name}", budget="20 iterations")
    history = assay.fit(recipe)
    path = write_state_dict(history, tmp_path / "net.safetensors")
    names: dict[str, Any] = {}
    exec("\n".join(torch_code(history, str(path))), names)
    data = prepared(recipe, assay.load_data("digits"))
    x = data.x_test.reshape(-1, *case.image)
    scores = _loaded(case, names, x, has_state=name != "linear")
    assert float((np.asarray(scores).argmax(1) == data.y_test).mean()) == history.accuracy
    started = from_state_dict(path, recipe, assay.load_data("digits"))
    assert started.points[0].test_accuracy == history.accuracy


def _loaded(case: Case, names: dict[str, Any], x: Any, *, has_state: bool) -> Any:
    """The values of a module as its library evaluates it."""
    net = names["net"]
    if case.name == "flax.linen":
        return net.apply(names["variables"], x, **({"train": False} if has_state else {}))
    if case.name == "flax.nnx":
        return net(x)
    if not has_state:
        return jax.vmap(net)(x)
    return jax.vmap(net, in_axes=(0, None, None), out_axes=(0, None))(x, names["state"], jax.random.key(0))[0]


def test_a_study_trains_modules_in_two_workers_and_once(mine: str, tmp_path: Path) -> None:
    study = {
        "timing": "packed",
        "repeats": 2,
        "baseline": {"model": {"name": f"{mine}:Mlp"}, "budget": "12 iterations"},
        "axes": {"width": {"key": "model.width", "values": [4, 8]}},
    }
    with allowing_code():
        results = assay.run(study, store=str(tmp_path / "assay.db"))
        again = assay.run(study, store=str(tmp_path / "assay.db"))
    frame = results.frame()
    assert list(frame["outcome"]) == ["completed"] * 4
    assert frame["flops"].isna().all()
    assert list(again.frame()["seconds"]) == list(frame["seconds"])  # not trained again
    assert "a user&#x27;s module does not say which" in results.report(tmp_path / "r.html").read_text()
    alone = assay.fit(recipe_of({"name": f"{mine}:Mlp", "width": 8}, seed=1))
    assert float(frame[(frame["width"] == 8) & (frame["seed"] == 1)]["accuracy"].iloc[0]) == alone.accuracy


def test_a_regression_of_a_linear_module_is_the_least_squares(mine: str) -> None:
    recipe = recipe_of(
        f"{mine}:linear",
        data={"name": "diabetes", "task": "regression"},
        loss="mse",
        optimizer={"name": "adam", "learning_rate": 0.03},
        budget="100 epochs",
    )
    history = assay.fit(recipe)
    assert history.engine == "jax"
    data = assay.load_data("diabetes")
    x, rest = (np.c_[a.reshape(len(a), -1), np.ones(len(a))] for a in (data.x_train, data.x_test))
    fitted = rest @ np.linalg.lstsq(x, data.y_train)[0]
    r2 = 1 - ((fitted - data.y_test) ** 2).sum() / ((data.y_test - data.y_test.mean()) ** 2).sum()
    assert history.r2 == pytest.approx(r2, abs=0.03)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_other_engines_say_why_not_and_auto_takes_jax(case: Case, mine: str) -> None:
    recipe = recipe_of(f"{mine}:Net")
    for engine in ("numpy", "native", "torch"):
        with pytest.raises(EngineError, match=f"is a module of {case.name}, which trains on engine 'jax' only"):
            choose(recipe, engine)
    assert choose(recipe).name == "jax"
    with pytest.raises(
        EngineError, match=r"which trains on engine 'jax' only\n  - optimizer 'torch.optim:SGD' trains on"
    ):
        choose(recipe_of(f"{mine}:Net", optimizer="torch.optim:SGD"))
    with pytest.raises(EngineError, match="use precision 'float32' or 'float64'"):
        choose(recipe_of(f"{mine}:Net", precision="bfloat16"), "jax")
    groups = [{"where": "output weights", "name": "optax:sgd"}, {"where": "rest", "name": "optax:sgd"}]
    groups = [{**group, "learning_rate": 0.1} for group in groups]
    with pytest.raises(
        EngineError, match=f"'output weights' asks for the output layer, which a module of {case.name} do"
    ):
        choose(recipe_of(f"{mine}:Net", optimizer={"groups": groups}), "jax")


def test_nothing_is_imported_without_permission_and_no_library_before_it_is_asked_for(case: Case, mine: str) -> None:
    with pytest.raises(RecipeError, match="is third-party code, which is imported only if allowed: give --allow-code"):
        Recipe.parse({"model": f"{mine}:Net"})
    assert mine not in sys.modules
    names = {"jax", "torch", case.library.package}
    code = f"import sys, assay; import assay.parts.jax_modules; print({names} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_an_instance_trains_and_its_class_repeats(case: Case, mine: str) -> None:
    from assay.training.torch_weights import torch_code

    with allowing_code():
        recipe_of(f"{mine}:Mlp")
    models = models_of(mine)
    net = eval(case.instance, vars(models))
    start = {"budget": "1 iteration", "optimizer": {"name": "descent", "learning_rate": 1e-30}}
    history = assay.fit(start, model=net)
    weight = next(name for name in history.checkpoint.weights if "first" in name and "bias" not in name)
    if case.library.has_weights:
        own = net.first.weight if case.name == "equinox" else net.first.kernel[...]
        np.testing.assert_array_equal(history.checkpoint.weights[weight][0], np.asarray(own))
        assert any("starts from the weights of that module" in note for note in history.notes)
        with pytest.raises(RecipeError, match="the same at each of 3 repeats; give its class, or a function"):
            assay.fit({"budget": "1 iteration"}, model=net, repeats=3)
    else:
        assert not any("starts from the weights" in note for note in history.notes)
        first, second = assay.fit(start, model=net, repeats=2)
        assert not np.array_equal(first.checkpoint.weights[weight], second.checkpoint.weights[weight])
    lines = torch_code(history, "w.safetensors")
    assert any(line.startswith("# Mlp_") and "gave as an object" in line for line in lines)
    compile("\n".join(lines), "exported", "exec")
    fits = assay.fit({"budget": "3 iterations"}, model=models.Mlp, repeats=2)
    assert bits(fits[0].checkpoint) != bits(fits[1].checkpoint)


SENTENCES = {
    "Fails": r"failed on a batch of shape \(32, 1, 8, 8\): .*needs x = jax.numpy.ravel\(x\) first",
    "Raises": "failed on a batch of shape .*: KeyError: 'nothing'",
    "Shape": r"returned values of shape \(32, 3\); expected \(32, 10\), a value for each class",
    "Pair": r"returned a tuple; expected \(32, 10\)",
    "Nan": "returned NaN for the first batch",
    "Empty": "cannot be trained: it has no parameters",
    "NoCall": "returned a NoCall, which has no __call__",
    "Detached": "its values do not depend on its parameters",
    "Python": "gives other results for the same batch and weights",
    "Numpy": "draws '.*(weight|kernel|bias)' from another source than the key",
    "Breaks": r"cannot be made with \(inputs=64, classes=10\): RuntimeError: no such size",
    "Complex": "is of type complex64; expected real numbers",
    "KeepsKey": "own' is of type key<fry>, which no checkpoint can hold",
    "nothing": r"returned nothing \(None\); expected an? (equinox|flax.linen|flax.nnx).Module",
    "unsaid": r"returned a module of .*, and .* annotation: def net\(...\) -> (equinox|flax.linen|flax.nnx).Module",
    "Plain": "is a class without the base torch.nn.Module, equinox.Module, flax.linen.Module or flax.nnx.Module",
}


@pytest.mark.parametrize("name", COMMON)
def test_a_module_that_cannot_train_is_refused_in_a_sentence(case: Case, mine: str, name: str) -> None:
    refused(case, name, case.sentences.get(name) or SENTENCES[name])


OWN = [(case, name, sentence) for case in CASES for name, sentence in case.refused.items()]


@pytest.mark.parametrize("case, name, sentence", OWN, ids=[f"{case.name}-{name}" for case, name, _ in OWN])  # noqa: PT006
def test_what_only_one_library_refuses(case: Case, mine: str, name: str, sentence: str) -> None:
    refused(case, name, sentence)


def refused(case: Case, name: str, sentence: str) -> None:
    with pytest.raises(AssayError, match=sentence) as caught:
        assay.fit(recipe_of(f"{bad_of(case)}:{name}"))
    assert name in str(caught.value)


def test_a_softmax_at_the_end_is_noted(case: Case, mine: str) -> None:
    history = assay.fit(recipe_of(f"{bad_of(case)}:Softmax"))
    assert any("takes another softmax" in note for note in history.notes + history.warnings)


def test_an_argument_that_may_be_meant_for_training_is_noted(case: Case, mine: str) -> None:
    switch, known = (
        assay.fit(recipe_of(f"{bad_of(case)}:{name}", budget="1 iteration")) for name in ("Switch", "Known")
    )
    sentence = (
        "is called with is_train=False in training and evaluation, the defaults of its __call__; Assay sets an arg"
    )
    assert any(sentence in note for note in switch.notes + switch.warnings)
    assert not any("is called with" in note for note in known.notes + known.warnings)
