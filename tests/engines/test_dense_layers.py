"""Dense networks written as a list of layers: every engine trains them by the same laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assay.engines import AUTO, choose, installed
from assay.recipe.model import Recipe
from tests.engines.cases import CLASSES, NAMES, RATES, Run, engine, gradient_error, one, raw, same_bits

STACKS: dict[str, list[Any]] = {
    "linear": ["flatten"],
    "nothing": [],
    "two": [{"kind": "dense", "units": 6, "activation": "relu"}, {"kind": "dense", "units": 5, "activation": "tanh"}],
    "bare": [{"kind": "dense", "units": 6}, "flatten", {"kind": "dense", "units": 4}],
    "parts": ["flatten", {"kind": "dense", "units": 6}, {"kind": "activation", "function": "gelu"}],
    "dropout": [
        {"kind": "dense", "units": 6, "activation": "silu"},
        {"kind": "dropout", "rate": 0.3},
        {"kind": "dense", "units": 9},
        {"kind": "dropout", "rate": 0.2},
    ],
}
PLAIN = [name for name in STACKS if name != "dropout"]  # masks are each engine's own


def recipe(layers: list[Any], **changes: Any) -> Recipe:
    base: dict[str, Any] = {
        "model": {"layers": layers},
        "optimizer": {"name": "adamw", "learning_rate": RATES["adamw"]},
        "regularisation": {"l1": 1e-3, "l2": 1e-2},
        "clip_norm": 0.5,
        "batches": {"size": 10},
        "precision": "float64",
        "seed": 5,
        "budget": {"iterations": 300},
    }
    return Recipe.parse(base | changes)


@pytest.mark.parametrize("stack", PLAIN)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "numpy"])
def test_losses_weights_and_evaluations_agree_with_the_reference(name: str, stack: str) -> None:
    run, reference = (Run.of(each, recipe(STACKS[stack])) for each in (name, "numpy"))
    np.testing.assert_allclose(run.go(1, 60), reference.go(1, 60), rtol=1e-10, atol=1e-10)
    weights, expected = run.export().weights, reference.export().weights
    assert weights.keys() == expected.keys()
    for key, w in expected.items():
        np.testing.assert_allclose(weights[key], w, rtol=1e-9, atol=1e-10, err_msg=key)
    a, b = run.engine.evaluate(run.state, "test"), reference.engine.evaluate(reference.state, "test")
    np.testing.assert_allclose(a.loss, b.loss, rtol=1e-10)
    assert a.accuracy == b.accuracy


@pytest.mark.parametrize("stack", PLAIN)
def test_native_agrees_in_single_precision(stack: str) -> None:
    run, reference = (Run.of(each, recipe(STACKS[stack], precision="float32")) for each in ("native", "numpy"))
    assert np.abs(run.go(1, 200) - reference.go(1, 200)).max() < 1e-4


@pytest.mark.parametrize("stack", STACKS)
def test_native_promises_the_same_bits_in_chunks_after_a_resume_and_in_a_cohort(stack: str) -> None:
    recipes = [recipe(STACKS[stack]), recipe(STACKS[stack], seed=8)]
    whole, parts = Run.of("native", *recipes), Run.of("native", recipes[1])
    losses = whole.go(1, 30)
    pieces = [parts.go(1, 1), parts.go(2, 12)]
    parts.engine.evaluate(parts.state, "train")
    half = parts.export()
    resumed = Run.of("native", recipes[1], checkpoint=half)
    same_bits(resumed.export(), half)
    pieces.append(resumed.go(14, 17))
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1)[0], losses[1])
    same_bits(resumed.export(), one(whole.export(), 1))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_list_of_layers_has_the_bits_of_the_same_multilayer_perceptron(dropout: float) -> None:
    case = {"activation": "tanh", "output": "softmax", "initial": "lecun", "loss": "cross_entropy"}
    case |= {"optimizer": "adam", "batches": "shuffled", "schedule": "constant", "regularisation": {}}
    case |= {"clip_norm": None, "precision": "float32", "dropout": dropout, "hidden": [6, 4]}
    as_units = Recipe.parse(raw(case))
    dense = [{"kind": "dense", "units": units, "activation": "tanh"} for units in (6, 4)]
    layers = [part for layer in dense for part in (layer, {"kind": "dropout", "rate": dropout})]
    model = {"name": "sequential", "layers": layers, "output": "softmax", "initial": "lecun"}
    as_layers = Recipe.parse(raw(case, model=model))
    one_run, other = Run.of("native", as_units), Run.of("native", as_layers)
    np.testing.assert_array_equal(one_run.go(1, 40), other.go(1, 40))
    same_bits(one_run.export(), other.export())


@pytest.mark.parametrize("stack", ["two", "dropout"])
def test_native_gradients_agree_with_finite_differences(stack: str) -> None:
    plain = recipe(
        STACKS[stack], optimizer={"name": "descent", "learning_rate": 1e-3}, batches="full", regularisation={}
    ).patched({"clip_norm": None})
    start = Run.of("native", plain).export().weights
    error = gradient_error(
        lambda checkpoint: Run.of("native", plain, checkpoint=checkpoint), start, rate=1e-3, step=1e-6, least=1e-2
    )
    assert error < 1e-6


def test_auto_takes_native_for_dense_layers_and_numpy_where_native_cannot() -> None:
    for layers in STACKS.values():
        assert choose(recipe(layers)).name == "native"
    assert choose(recipe([{"kind": "dropout", "rate": 0.2}, {"kind": "dense", "units": 6}])).name == "numpy"
    image = recipe(["flatten", {"kind": "dense", "units": 6}, "batch_norm"])
    assert choose(image).name == next(name for name in AUTO["layers"]["cpu"] if installed(name))


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (["activation", {"kind": "dense", "units": 6}], "right after a dense layer"),
        ([{"kind": "dense", "units": 6, "activation": "relu"}, "activation"], "right after a dense layer"),
        ([{"kind": "dense", "units": 6}, "dropout", "activation"], "right after a dense layer"),
        ([{"kind": "dense", "units": 6}, "dropout", "dropout"], "right after a dense layer"),
        (["dropout"], "right after a dense layer"),
        ([{"kind": "dense", "units": 2}] * 65, "at most 65 dense layers"),
        (["flatten", "batch_norm"], "only multilayer perceptrons"),
    ],
)
def test_native_says_which_lists_of_layers_it_cannot_train(layers: list[Any], words: str) -> None:
    reason = engine("native").why_not(recipe(layers))
    assert reason is not None and words in reason


def test_native_trains_as_many_layers_as_it_says() -> None:
    deep = recipe([{"kind": "dense", "units": 2, "activation": "tanh"}] * 64)
    run = Run.of("native", deep)
    assert np.isfinite(run.go(1, 3)).all()
    assert len(run.cohort.network.dense) == 65 and run.cohort.network.classes == CLASSES
