"""Networks that take images: the laws of the engine contract again, over every kind of layer, and what is special to
convolutions, pooling and batch normalisation."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np
import pytest

from assay.engines.base import Checkpoint, Cohort, Splits, fresh
from assay.engines.promises import promised
from assay.parts.activations import ACTIVATIONS
from assay.parts.batches import make_batches
from assay.parts.initials import initial_weights
from assay.parts.layers import Activate, BatchNorm, Pool
from assay.parts.models import MODELS
from assay.parts.stack import LAYERS
from assay.recipe.model import Recipe
from assay.rng import stream
from tests.engines.cases import NAMES, RATES, Run, engine, engine_for, gradient_error, nudged, one, same_bits

CLASSES, EXAMPLES = 3, 23
SIDES = {"grey": (9, 8), "colour": (9, 8, 2)}
ENGINES = [name for name in NAMES if name != "native"]
OTHERS = [name for name in ENGINES if name != "numpy"]


def conv(channels: int, kernel: int, activation: str = "tanh", **more: int) -> dict[str, Any]:
    return {"kind": "conv2d", "channels": channels, "kernel": kernel, "activation": activation, **more}


STACKS: dict[str, list[Any]] = {
    "max": [conv(3, 3, "relu"), "max_pool", conv(4, 2), "flatten", {"kind": "dense", "units": 5, "activation": "tanh"}],
    "average": [conv(3, 3, "sigmoid", padding=2), "average_pool", conv(2, 3, stride=2), "flatten"],
    "strided": [conv(2, 3, "softplus", stride=2, padding=1), {"kind": "max_pool", "size": 3, "stride": 1}, "flatten"],
    "overlapping": [{"kind": "average_pool", "size": 3, "stride": 2}, conv(3, 2, "gelu"), "flatten"],
    "normalised": [conv(3, 3), "batch_norm", {"kind": "activation", "function": "silu"}, "max_pool", "flatten"],
    "flat": ["flatten", {"kind": "dense", "units": 6}, "batch_norm", "activation"],
    "dropout": [conv(3, 3), {"kind": "dropout", "rate": 0.3}, "max_pool", "flatten", {"kind": "dropout", "rate": 0.5}],
    "one channel": [conv(2, 3), conv(1, 3), "flatten"],
    "pool first": ["max_pool", conv(2, 2, "leaky_relu", padding=1), "flatten"],
}


def recipe(stack: str = "max", **changes: Any) -> Recipe:
    base: dict[str, Any] = {
        "model": {"layers": STACKS[stack], "output": "softmax"},
        "optimizer": {"name": "adam", "learning_rate": RATES["adam"]},
        "batches": {"size": 10},
        "precision": "float64",
        "seed": 5,
        "budget": {"iterations": 100},
    }
    return Recipe.parse(base | changes)


@cache
def images(kind: str, precision: str) -> Splits:
    shape = SIDES[kind]
    y = stream(1, "image-labels").integers(CLASSES, EXAMPLES)
    x = stream(1, f"image-{kind}").normal(EXAMPLES * int(np.prod(shape))).reshape(EXAMPLES, *shape)
    x[:, 1:4, 1:4] += y.reshape(-1, *[1] * len(shape))
    x = x.reshape(EXAMPLES, -1).astype("float64" if precision == "float64" else "float32")
    return Splits({"train": (x, y), "test": (x[:11], y[:11])})


def run(name: str, *recipes: Recipe, kind: str = "grey", checkpoint: Checkpoint | None = None) -> Run:
    """A run on images at its start, or at a checkpoint."""
    found = engine_for(name, recipes[0])
    cohort = Cohort(recipes, recipes[0].model.network(SIDES[kind], CLASSES))
    state = found.start(cohort, checkpoint or nudged(fresh(cohort)), images(kind, recipes[0].precision))
    mine = Run(found, cohort, state)
    mine.examples = EXAMPLES
    return mine


def test_the_stacks_have_every_kind_of_layer() -> None:
    named = {layer if isinstance(layer, str) else layer["kind"] for stack in STACKS.values() for layer in stack}
    assert named == set(LAYERS)


# --- the laws --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SIDES)
@pytest.mark.parametrize("stack", [name for name in STACKS if name != "dropout"])
@pytest.mark.parametrize("name", OTHERS)
def test_losses_and_weights_agree_with_the_reference(name: str, stack: str, kind: str) -> None:
    """float64 to 1e-10, the running means of a batch normalisation with the weights; the short batch included.

    A bias before a normalisation has no gradient but its rounding error, which Adam would blow up to a step.
    """
    optimizer = {"optimizer": {"name": "momentum", "learning_rate": 0.05}} if "batch_norm" in STACKS[stack] else {}
    mine, judge = (run(each, recipe(stack, **optimizer), kind=kind) for each in (name, "numpy"))
    np.testing.assert_allclose(mine.go(1, 30), judge.go(1, 30), rtol=1e-10, atol=1e-10)
    ends = mine.export(), judge.export()
    for key, w in ends[1].weights.items():
        np.testing.assert_allclose(ends[0].weights[key], w, rtol=1e-9, atol=1e-10, err_msg=key)
    for split in ("train", "test"):
        a, b = mine.engine.evaluate(mine.state, split), judge.engine.evaluate(judge.state, split)
        np.testing.assert_allclose(a.loss, b.loss, rtol=1e-10)
        np.testing.assert_allclose(a.accuracy, b.accuracy, rtol=1e-15)
    x = images(kind, "float64").parts["test"][0]
    a, b = mine.engine.outputs(mine.state, x), judge.engine.outputs(judge.state, x)
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("stack", ["max", "average", "normalised"])
@pytest.mark.parametrize("name", OTHERS)
def test_single_precision_agrees_with_the_reference(name: str, stack: str) -> None:
    mine, judge = (run(each, recipe(stack, precision="float32")) for each in (name, "numpy"))
    assert np.abs(mine.go(1, 20) - judge.go(1, 20)).max() < 1e-4


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("model", ["lenet5", "lenet5-wide"])
@pytest.mark.parametrize("name", OTHERS)
def test_lenet_agrees_with_the_reference(name: str, model: str, precision: str) -> None:
    mine = Recipe.parse({"model": model, "batches": {"size": 5}, "precision": precision, "budget": {"iterations": 9}})
    y = stream(2, "labels").integers(10, 12)
    x = stream(2, "inputs").uniform(12 * 784).reshape(12, 784)
    cohort = Cohort((mine,), mine.model.network((28, 28), 10))
    losses = []
    for each in (name, "numpy"):
        found = engine_for(each, mine)
        state = found.start(cohort, fresh(cohort), Splits({"train": (x, y)}))
        losses.append(found.advance(state, make_batches(mine.batches, (1,), 1, 4, 12), np.array([True]))[1].losses)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-9 if precision == "float64" else 1e-4)


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("name", ENGINES)
def test_chunks_watching_and_resuming_give_the_same_bits(name: str, stack: str) -> None:
    whole, parts = (run(name, recipe(stack)) for _ in range(2))
    losses = whole.go(1, 12)
    pieces = [parts.go(1, 1)]
    parts.engine.evaluate(parts.state, "train")
    parts.engine.outputs(parts.state, images("grey", "float64").parts["test"][0])
    pieces.append(parts.go(2, 4))
    half = parts.export()
    again = run(name, recipe(stack), checkpoint=half)
    same_bits(again.export(), half)
    again.engine.warm_up(again.state, make_batches(again.cohort.first.batches, again.cohort.seeds, 6, 7, EXAMPLES))
    pieces.append(again.go(6, 7))
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), losses)
    same_bits(whole.export(), again.export())


@pytest.mark.parametrize("stack", ["max", "normalised"])
@pytest.mark.parametrize("name", ENGINES)
def test_a_trial_alone_equals_the_trial_in_its_cohort(name: str, stack: str) -> None:
    recipes = [
        recipe(stack, seed=seed, optimizer={"name": "adam", "learning_rate": 0.001 * (seed + 1)}) for seed in (0, 1)
    ]
    together = run(name, *recipes)
    losses = together.go(1, 8)
    promise = promised(name, 3)
    assert promise is not None
    for number, mine in enumerate(recipes):
        alone = run(name, mine)
        own = alone.go(1, 8)
        if not promise.same_bits:
            np.testing.assert_allclose(own[0], losses[number], rtol=promise.by_precision["float64"])
        else:
            np.testing.assert_array_equal(own[0], losses[number])
            same_bits(alone.export(), one(together.export(), number))


@pytest.mark.parametrize("kind", SIDES)
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.endurance] * (n == "jax")) for n in ENGINES])
def test_gradients_agree_with_finite_differences(name: str, stack: str, kind: str) -> None:
    mine = recipe(stack, optimizer={"name": "descent", "learning_rate": 1e-3}, batches="full")
    start = run(name, mine, kind=kind).export().weights
    error = gradient_error(
        lambda checkpoint: run(name, mine, kind=kind, checkpoint=checkpoint), start, rate=1e-3, step=1e-6, least=1e-2
    )
    assert error < 1e-6


# --- pooling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [name for name, entry in ACTIVATIONS.items() if entry.monotone])
def test_pooling_before_a_monotone_activation_is_the_same_function(function: str) -> None:
    """On the reference engine, both orders as written: outputs and updates, with the ties that a constant image has."""
    y = np.array([0, 1, 2, 1])
    x = stream(3, function).normal(4 * 36).reshape(4, 36)
    x[0], x[1, :18] = 0.0, 1.0
    layers = [conv(3, 3, "identity"), {"kind": "activation", "function": function}, "max_pool", "flatten"]
    ends = []
    for order in (layers, [layers[0], layers[2], layers[1], layers[3]]):
        mine = recipe(model={"layers": order}, batches="full", optimizer={"name": "descent", "learning_rate": 0.1})
        cohort = Cohort((mine,), mine.model.network((6, 6), CLASSES))
        found = engine("numpy")
        state = found.start(cohort, fresh(cohort), Splits({"train": (x, y)}))
        state, progress = found.advance(state, make_batches(mine.batches, (5,), 1, 6, 4), np.array([True]))
        ends.append((progress.losses, found.export(state).weights, found.outputs(state, x)))
    np.testing.assert_array_equal(ends[0][0], ends[1][0])
    np.testing.assert_array_equal(ends[0][2], ends[1][2])
    for key, w in ends[0][1].items():
        np.testing.assert_array_equal(w, ends[1][1][key])


def test_only_monotone_activations_change_places_with_max_pooling() -> None:
    def order(function: str, pool: str) -> list[type]:
        model = {"layers": [conv(2, 3, function), pool, "flatten"]}
        layers = Recipe.parse({"model": model}).model.network((8, 8), 3).pooled_first().layers
        return [type(layer) for layer in layers if isinstance(layer, Pool | Activate)]

    assert order("relu", "max_pool") == [Pool, Activate]
    assert order("gelu", "max_pool") == [Activate, Pool]
    assert order("relu", "average_pool") == [Activate, Pool]


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_what_is_called_monotone_never_falls(function: str) -> None:
    z = np.linspace(-12, 12, 100_001)
    steps = np.diff(ACTIVATIONS[function].forward(np, z))
    assert (steps.min() >= -1e-13) == ACTIVATIONS[function].monotone


# --- batch normalisation ---------------------------------------------------------------------------------------------


def test_batch_normalisation_is_that_of_torch() -> None:
    """An independent witness: torch's own module, its running statistics and its gradient, trained by torch's SGD."""
    torch = pytest.importorskip("torch")
    x, y = images("grey", "float64").parts["train"]
    mine = recipe(
        model={"layers": ["flatten", "batch_norm"], "output": "identity"},
        optimizer={"name": "descent", "learning_rate": 0.1},
        batches="full",
    )
    judge = run("numpy", mine)
    start = judge.export().weights
    module = torch.nn.Sequential(torch.nn.BatchNorm1d(72), torch.nn.Linear(72, CLASSES)).double()
    with torch.no_grad():
        for target, name in ((module[0].weight, "0.scale"), (module[0].bias, "0.bias"), (module[1].bias, "1.bias")):
            target.copy_(torch.tensor(start[name][0]))
        module[1].weight.copy_(torch.tensor(start["1.weight"][0].T))
    sgd = torch.optim.SGD(module.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        sgd.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(torch.tensor(x)), torch.tensor(y))
        loss.backward()
        sgd.step()
        losses.append(float(loss.detach()))
    np.testing.assert_allclose(judge.go(1, 5)[0], losses, rtol=1e-12)
    weights = judge.export().weights
    np.testing.assert_allclose(weights["0.mean"][0], module[0].running_mean.numpy(), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(weights["0.variance"][0], module[0].running_var.numpy(), rtol=1e-12)
    module.eval()
    expected = module(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(judge.engine.outputs(judge.state, x)[0], expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ENGINES)
def test_a_batch_that_breaks_changes_no_running_mean(name: str) -> None:
    mine = recipe("flat", optimizer={"name": "descent", "learning_rate": 1e9}, loss="mse", batches="full")
    mine = mine.patched(
        {"model": {"layers": ["flatten", "batch_norm", {"kind": "dense", "units": 4}], "output": "identity"}}
    )
    each = run(name, mine)
    batches = make_batches(mine.batches, each.cohort.seeds, 1, 60, EXAMPLES)
    state, progress = each.engine.advance(each.state, batches, np.array([True]))
    broken = int(progress.broken[0])
    assert 1 < broken < 60
    other = run(name, mine)
    other.go(1, broken - 1)
    for key, w in other.export().weights.items():
        np.testing.assert_array_equal(each.engine.export(state).weights[key], w)


# --- shapes, weights and what an engine refuses ----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "parameters"), [("lenet5", 61_706), ("lenet5-wide", 194_982)])
def test_the_lenets_have_their_weights(name: str, parameters: int) -> None:
    network = MODELS[name]().network((28, 28), 10)
    assert network.parameters == parameters
    assert network.parameters == sum(w.size for w in initial_weights(network, "glorot_uniform", 1).values())


@pytest.mark.parametrize("initial", ["glorot_uniform", "kaiming_uniform"])
def test_initial_weights_of_a_convolution_go_by_what_a_unit_sees(initial: str) -> None:
    network = MODELS["lenet5-wide"]().network((28, 28), 10)
    weights = initial_weights(network, initial, 2)["1.weight"]
    seen, by = 25 * 32, 25 * 64
    bound = np.sqrt(6 / (seen + by)) if initial == "glorot_uniform" else 1 / np.sqrt(seen)
    assert 0.99 * bound < np.abs(weights).max() <= bound


def test_operations_of_images_are_counted_by_hand() -> None:
    network = Recipe.parse({"model": {"layers": [conv(3, 3, "relu"), "max_pool", "flatten"]}}).model.network((6, 6), 2)
    forward = [sum(layer.flops(first=i == 0)[:1]) for i, layer in enumerate(network.layers)]
    assert forward == [2 * 9 * 16 * 3, 16 * 3, 4 * 4 * 3, 0, 2 * 12 * 2]


def test_an_engine_for_dense_nets_says_who_can() -> None:
    reason = engine("native").why_not(recipe())
    assert reason is not None
    assert "torch" in reason


def test_running_means_are_kept_apart_from_what_is_trained() -> None:
    network = recipe("normalised").model.network((9, 8), CLASSES)
    assert set(network.buffers) == {"1.mean", "1.variance"}
    assert not set(network.buffers) & set(network.shapes)
    assert sum(isinstance(layer, BatchNorm) for layer in network.weighted) == 1
    assert network.penalised == sum(int(np.prod(s)) for name, s in network.shapes.items() if name.endswith("weight"))


SHAPES = [
    ((12,), ["flatten", "max_pool"], "model.layers.1 (max_pool) takes images"),
    ((6, 6), [conv(2, 3), {"kind": "dense", "units": 3}], "(dense) takes flat values; got images of shape (4, 4, 2)"),
    ((6, 6), [conv(2, 3)], "the last dense layer takes flat values"),
    ((6, 6), [conv(2, 7)], "has windows of 7 x 7; got images of shape (6, 6)"),
    ((6, 6), [conv(2, 9, padding=1)], "8 x 8 with padding"),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "layers", "sentence"), SHAPES)
def test_layers_that_do_not_fit_are_named_with_their_shapes(shape: Any, layers: list[Any], sentence: str) -> None:
    from assay.errors import RecipeError

    with pytest.raises(RecipeError) as caught:
        Recipe.parse({"model": {"layers": layers}}).model.network(shape, 3)
    assert sentence in str(caught.value)


def test_every_image_network_that_fits_has_the_shapes_it_says() -> None:
    """All small stacks of convolution and pooling: the records' shapes are those of the arrays that go through."""
    for kernel, stride, padding, pool in itertools.product((1, 2, 3), (1, 2), (0, 1), ("max_pool", "average_pool")):
        layers = [conv(2, kernel, stride=stride, padding=padding), pool, "flatten"]
        mine = recipe(model={"layers": layers})
        each = run("numpy", mine)
        assert each.engine.outputs(each.state, images("grey", "float64").parts["test"][0]).shape == (1, 11, CLASSES)


@pytest.mark.parametrize("kind", SIDES)
@pytest.mark.parametrize("stack", [name for name in STACKS if name not in ("dropout", "strided")])
def test_the_plain_loop_of_torch_trains_the_same_network(stack: str, kind: str) -> None:
    """nn.Module and torch.optim, channels first: losses, weights and outputs are those of the reference."""
    pytest.importorskip("torch")
    from assay.engines.torch_eager import TorchEager

    mine = recipe(stack, optimizer={"name": "momentum", "learning_rate": 0.05})
    judge, eager = run("numpy", mine, kind=kind), TorchEager(threads=1)
    plain = Run(eager, judge.cohort, eager.start(judge.cohort, judge.export(), images(kind, "float64")), EXAMPLES)
    np.testing.assert_allclose(plain.go(1, 8), judge.go(1, 8), rtol=1e-9)
    ends = plain.export(), judge.export()
    for key, w in ends[1].weights.items():
        np.testing.assert_allclose(ends[0].weights[key], w, rtol=1e-7, atol=1e-9, err_msg=key)
    x = images(kind, "float64").parts["test"][0]
    np.testing.assert_allclose(eager.outputs(plain.state, x), judge.engine.outputs(judge.state, x), rtol=1e-8)
