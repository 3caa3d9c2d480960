"""The certificate tells wrong from rounded: honest engines pass with a margin, planted faults fail in their part."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from assay.bench import parity
from assay.bench.contenders import load as load_contender
from assay.bench.probes import Probe, Prober, telling
from assay.bench.rounding import ARITHMETIC, LAMBDA, Bounds, bounds, nudged
from assay.bench.rows import Certificate, Check, Contender
from assay.engines.base import Checkpoint, Cohort, Engine, Splits, fresh
from assay.parts.batches import Batches, make_batches
from assay.recipe.model import Recipe
from assay.rng import stream

IMAGES = {"layers": [{"kind": "conv2d", "channels": 4, "kernel": 3, "activation": "relu"}, "max_pool", "flatten"]}
DENSE = {"hidden": [12, 10], "activation": "sigmoid"}
SHAPES: dict[str, Any] = {"images": (8, 8), "dense": (64,)}
MODELS: dict[str, Any] = {"images": IMAGES, "dense": DENSE}
EXAMPLES, CLASSES = 90, 5


def recipe_of(model: str, precision: str, **changes: Any) -> Recipe:
    raw = {"model": MODELS[model], "optimizer": "adam", "batches": {"kind": "shuffled", "size": 32}, "seed": 3}
    return Recipe.parse(raw | {"precision": precision} | changes)


def data_of(precision: str) -> tuple[np.ndarray, np.ndarray]:
    y = stream(0, "labels").integers(CLASSES, EXAMPLES)
    x = stream(0, "inputs").uniform(EXAMPLES * 64).reshape(EXAMPLES, 64)
    x = x * (x > 0.4) + 0.5 * (np.arange(64) % CLASSES == y[:, None])
    return x.astype("float64" if precision == "float64" else "float32"), y


def probe_of(recipe: Recipe, model: str) -> Probe:
    return Probe.of(recipe, recipe.model.network(SHAPES[model], CLASSES), *data_of(recipe.precision))


def bounds_of(probe: Probe, arithmetic: str | None = None) -> Bounds:
    own = ARITHMETIC[arithmetic or probe.recipe.precision]
    return bounds(probe.recipe, probe.network, probe.weights, probe.first, arithmetic=own)


def checks_of(engine: Engine, recipe: Recipe, model: str, arithmetic: str | None = None) -> dict[str, Check]:
    """The checks of an engine's arithmetic by the first word of their names: loss, gradient, step, 3."""
    probe = probe_of(recipe, model)
    numbers, arrays = Prober(engine, probe).arrays()
    found = parity.checks(probe.recipe, probe.network, arrays, numbers, bounds_of(probe, arithmetic))
    return {check.what.split()[0]: check for check in found}


def in_float64(engine: Engine, recipe: Recipe, model: str, iterations: int = 5) -> Certificate:
    """The part of the certificate that compares the algorithm in float64 with the reference."""
    recipe = recipe.patched({"precision": "float64"}).resolved(EXAMPLES)
    cohort = Cohort((recipe,), recipe.model.network(SHAPES[model], CLASSES))
    found: list[dict[str, Any]] = []
    for each in (engine, load_contender("numpy", device="cpu", threads=1)):
        state = each.start(cohort, fresh(cohort), Splits({"train": data_of("float64")}))
        batches = make_batches(recipe.batches, (3,), 1, iterations, EXAMPLES)
        state, progress = each.advance(state, batches, np.array([True]))
        found.append({"losses": progress.losses[0], **each.export(state).weights})
    return parity.judged(recipe, found[0], found[1], iterations=iterations)


# --- engines with a mistake ------------------------------------------------------------------------------------------


class Planted(Engine):
    """An engine around an honest one, with one mistake."""

    name = "planted"

    def __init__(self, engine: Engine, mistake: str) -> None:
        super().__init__()
        self.engine, self.mistake = engine, mistake
        self.kept: dict[str, Any] = {}

    def why_not(self, recipe: Recipe) -> str | None:
        return self.engine.why_not(recipe)

    def start(self, cohort: Cohort, checkpoint: Checkpoint, splits: Splits) -> Any:
        weights = dict(checkpoint.weights)
        if self.mistake == "transposed kernel":
            weights["0.weight"] = np.swapaxes(weights["0.weight"], 1, 2)
        if self.mistake == "dropped bias":
            self.kept["0.bias"], weights["0.bias"] = weights["0.bias"], np.zeros_like(weights["0.bias"])
        if self.mistake in ("wrong epsilon", "ignored epsilon"):
            recipe = cohort.first
            if "epsilon" in recipe.optimizer.settings():
                value = 1e-8 if self.mistake == "ignored epsilon" else 10 * recipe.optimizer.settings()["epsilon"]
                cohort = Cohort((recipe.patched({"optimizer": {"epsilon": value}}),), cohort.network)
        return self.engine.start(cohort, replace(checkpoint, weights=weights), splits)

    def advance(self, state: Any, batches: Batches, alive: Any) -> Any:
        if self.mistake == "bias correction one step off":
            batches = replace(batches, first=batches.first + 1)
        return self.engine.advance(state, batches, alive)

    def export(self, state: Any) -> Checkpoint:
        done = self.engine.export(state)
        weights = done.weights | self.kept
        if self.mistake == "transposed kernel":
            weights["0.weight"] = np.swapaxes(weights["0.weight"], 1, 2)
        return replace(done, weights=weights)

    def evaluate(self, state: Any, split: str) -> Any:
        return self.engine.evaluate(state, split)

    def outputs(self, state: Any, x: Any) -> Any:
        return self.engine.outputs(state, x)


def torch_engine() -> Engine:
    pytest.importorskip("torch")
    return load_contender("torch", device="cpu", threads=1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("mistake", "model", "check"),
    [
        ("transposed kernel", "images", "gradient"),
        ("dropped bias", "images", "gradient"),
        ("dropped bias", "dense", "gradient"),
        ("wrong epsilon", "dense", "3"),
        ("ignored epsilon", "dense", "3"),
        ("bias correction one step off", "dense", "3"),
    ],
)
def test_a_planted_fault_fails_at_the_precision_that_is_timed(
    mistake: str, model: str, check: str, precision: str
) -> None:
    """Alone, as on a device without float64, and by at least twice the bound."""
    recipe = recipe_of(model, precision)
    honest, wrong = (checks_of(e, recipe, model) for e in (torch_engine(), Planted(torch_engine(), mistake)))
    assert all(each.holds for each in honest.values())
    assert not wrong[check].holds
    assert (wrong[check].deviation or np.inf) > 2.0
    if check == "3":  # the arithmetic of its gradients is that of the honest engine
        assert wrong["gradient"].holds and wrong["step"].holds


@pytest.mark.parametrize(
    ("mistake", "model"),
    [
        ("transposed kernel", "images"),
        ("dropped bias", "images"),
        ("dropped bias", "dense"),
        ("wrong epsilon", "dense"),
        ("bias correction one step off", "dense"),
    ],
)
def test_a_planted_fault_fails_in_float64(mistake: str, model: str) -> None:
    assert in_float64(torch_engine(), recipe_of(model, "float32"), model).holds
    found = in_float64(Planted(torch_engine(), mistake), recipe_of(model, "float32"), model)
    assert not found.holds
    assert found.weights is not None
    assert found.weights > 100 * found.tolerance


@pytest.mark.parametrize("name", ["native", "torch", "torch-eager"])
@pytest.mark.parametrize("loss", ["mse", "quadratic"])
def test_a_regression_on_targets_that_are_cut_to_whole_numbers_fails(name: str, loss: str) -> None:
    pytest.importorskip("torch")
    changes = {"data": {"task": "regression"}, "model": {"hidden": [12, 10], "activation": "sigmoid"}, "loss": loss}
    recipe = Recipe.parse(changes | {"batches": {"kind": "shuffled", "size": 32}, "optimizer": "adam"})
    x, _ = data_of("float32")
    probe = Probe.of(recipe, recipe.model.network(64, 1), x, stream(0, "targets").normal(EXAMPLES))
    engine, limits = load_contender(name, device="cpu", threads=1), bounds_of(probe)
    found = parity.checks(probe.recipe, probe.network, *Prober(engine, probe).arrays()[::-1], limits)
    assert all((check.deviation or 0.0) < MARGIN for check in found), [check.sentence() for check in found]
    cut = replace(probe, y=np.trunc(probe.y))
    loss_check, gradient, *_ = parity.checks(recipe, probe.network, *Prober(engine, cut).arrays()[::-1], limits)
    assert not loss_check.holds and not gradient.holds


# --- honest engines --------------------------------------------------------------------------------------------------

MARGIN = 0.5  # of the bound, which honest rows keep


@pytest.mark.parametrize("optimizer", ["descent", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adamw"])
@pytest.mark.parametrize("name", ["native", "torch", "torch-eager"])
def test_every_optimizer_of_an_honest_engine_passes(name: str, optimizer: str) -> None:
    pytest.importorskip("torch")
    recipe = recipe_of("dense", "float32", optimizer=optimizer)
    engine = load_contender(name, device="cpu", threads=1)
    for check in checks_of(engine, recipe, "dense").values():
        assert (check.deviation if check.deviation is not None else np.inf) < MARGIN, check.sentence()


@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("model", MODELS)
def test_an_honest_engine_passes_at_every_precision(model: str, precision: str) -> None:
    for check in checks_of(torch_engine(), recipe_of(model, precision), model).values():
        assert (check.deviation if check.deviation is not None else np.inf) < MARGIN, check.sentence()


def test_penalties_and_clipping_are_recomputed() -> None:
    changes = {"clip_norm": 5.0, "regularisation": {"l1": 1e-5, "l2": 1e-4, "biases": True}}
    for order in ("loss", "objective"):
        recipe = recipe_of("dense", "float32", clip_of=order, **changes)
        assert all(check.holds for check in checks_of(torch_engine(), recipe, "dense").values())
        probe = probe_of(recipe, "dense")
        numbers, arrays = Prober(torch_engine(), probe).arrays()
        other = probe.recipe.patched({"clip_of": "objective" if order == "loss" else "loss"})
        found = parity.checks(other, probe.network, arrays, numbers, bounds_of(probe))
        assert [check.holds for check in found] == [True, True, True, False]


def test_what_rounds_more_than_its_precision_fails() -> None:
    """bfloat16 products are not float32, and fail under its bound; they pass under their own."""
    recipe = recipe_of("dense", "bfloat16")
    assert not checks_of(torch_engine(), recipe, "dense", "float32")["gradient"].holds
    assert checks_of(torch_engine(), recipe, "dense", "bfloat16")["gradient"].holds


# --- the bound -------------------------------------------------------------------------------------------------------


def test_the_bound_of_one_product_is_that_of_the_formula() -> None:
    """A linear network with the squared error: the gradient of the bias is the mean residual, and only the sums of its
    D products, of the B residuals, and the roundings of results disturb it."""
    recipe = Recipe.parse({"model": {"hidden": [], "output": "identity"}, "loss": "quadratic", "precision": "float32"})
    inputs, examples = 400, 50
    network = recipe.model.network(inputs, 2)
    x = stream(1, "x").uniform(inputs * examples).reshape(examples, inputs)
    y = stream(1, "y").integers(2, examples)
    weights = {name: w[0] for name, w in fresh(Cohort((recipe,), network)).weights.items()}
    u = ARITHMETIC["float32"].sums
    found = bounds(recipe, network, weights, (x, y), arithmetic=ARITHMETIC["float32"], samples=64)
    absolute = np.sqrt(inputs + 1) * u * (x @ np.abs(weights["0.weight"]) + np.abs(weights["0.bias"]))
    residual = x @ weights["0.weight"] + weights["0.bias"] - np.eye(2)[y]
    total = np.sqrt(examples) * u * np.abs(residual).mean(0)
    expected = np.sqrt((absolute**2).sum(0) / examples**2 + total**2)
    assert found.norms["0.bias"] / LAMBDA == pytest.approx(np.linalg.norm(expected), rel=0.35)
    np.testing.assert_allclose(found.gradients["0.bias"], residual.mean(0), rtol=1e-12)


def test_the_bound_grows_with_the_unit_roundoff() -> None:
    probe = probe_of(recipe_of("dense", "float32"), "dense")
    sizes = [bounds_of(probe, name).norms["0.weight"] for name in ("float64", "float32", "tensorfloat32", "bfloat16")]
    assert sizes[0] < 1e-7 * sizes[1]
    assert sizes[1] < 0.1 * sizes[2]
    assert sizes[2] < 0.5 * sizes[3]
    assert {name: a.results if not a.factors else a.factors for name, a in ARITHMETIC.items()} == {
        "float64": 2.0**-53,
        "float32": 2.0**-24,
        "tensorfloat32": 2.0**-11,
        "bfloat16": 2.0**-8,
    }


def test_the_bound_is_the_same_each_time_and_travels_as_arrays() -> None:
    probe = probe_of(recipe_of("images", "float32"), "images")
    one, two = bounds_of(probe), Bounds.of(bounds_of(probe).arrays())
    assert (one.norms, one.entries, one.loss_bound) == (two.norms, two.entries, two.loss_bound)


def test_biases_and_scales_are_moved_off_their_start() -> None:
    probe = probe_of(recipe_of("images", "float32"), "images")
    assert np.abs(probe.weights["0.bias"]).min() > 0
    start = {"0.weight": np.ones((2, 2)), "0.bias": np.zeros(2)}
    network = Recipe.parse({"model": {"hidden": []}}).model.network(2, 2)
    np.testing.assert_array_equal(nudged(network, start)["0.weight"], start["0.weight"])


def test_hyperparameters_are_set_where_they_matter() -> None:
    g, w = {"0.weight": np.full(4, 0.011)}, {"0.weight": np.full(4, 0.24)}
    recipe = recipe_of("dense", "float32", optimizer={"name": "adamw", "learning_rate": 0.5}, clip_norm=9.0)
    told = telling(recipe, g, w)
    assert (told.optimizer.epsilon, told.optimizer.beta1, told.optimizer.beta2) == (2.0**-7, 0.7, 0.8)  # pyright: ignore
    assert told.optimizer.settings()["weight_decay"] == 0.25
    assert told.clip_norm == pytest.approx(0.011)
    assert told.optimizer.learning_rate == 0.5


@pytest.mark.parametrize(
    ("batches", "forms", "whole"),
    [
        ({"kind": "shuffled", "size": 32}, "rows", True),
        ({"kind": "window", "size": 20}, "starts", True),
        ("full", "neither", True),
        ("single", "rows", True),
    ],
)
def test_a_probe_has_the_batches_of_the_recipe_in_their_form(batches: Any, forms: str, whole: bool) -> None:
    recipe = recipe_of("dense", "float32", batches=batches)
    probe = probe_of(recipe, "dense")
    x, y = data_of("float32")
    made = make_batches(probe.recipe.batches, (3,), 1, 3, EXAMPLES)
    for i, each in enumerate(probe.batches):
        assert (each.rows is not None, each.starts is not None) == (forms == "rows", forms == "starts")
        expected = np.arange(EXAMPLES) if forms == "neither" else None
        if made.rows is not None:
            expected = made.rows[0, i, : made.sizes[i]]
        if made.starts is not None:
            expected = made.starts[0, i] + np.arange(made.sizes[i])
        own = np.arange(EXAMPLES)
        if each.rows is not None:
            own = each.rows[0, 0]
        if each.starts is not None:
            own = each.starts[0, 0] + np.arange(each.sizes[0])
        np.testing.assert_array_equal(probe.x[own], x[expected])
        np.testing.assert_array_equal(probe.y[own], y[expected])
    assert probe.whole is whole


def test_a_batch_that_is_too_large_for_the_reference_is_cut() -> None:
    recipe = Recipe.parse({"model": "lenet5-wide", "batches": {"kind": "shuffled", "size": 600}})
    x, y = np.zeros((700, 784), np.float32), np.zeros(700, np.int64)
    probe = Probe.of(recipe, recipe.model.network((28, 28), 10), x, y)
    assert not probe.whole
    assert [int(each.sizes[0]) for each in probe.batches] == [16, 16, 16]


# --- the whole certificate -------------------------------------------------------------------------------------------


def test_the_arithmetic_of_a_row_follows_its_precision_and_pytorchs_defaults() -> None:
    names = {
        (engine, device, precision): parity.arithmetic(Contender(engine, device, None, precision))[0]
        for engine in ("torch", "torch-eager", "torch-eager-float32")
        for device in ("cpu", "cuda:0")
        for precision in ("float32", "bfloat16")
    }
    changed = {key: name for key, name in names.items() if name != key[2]}
    assert changed == {("torch-eager", "cuda:0", "float32"): "tensorfloat32"}


def test_a_certificate_holds_only_if_each_part_does() -> None:
    whole = Certificate("numpy, float64", 20, 1e-10, 1e-12, 1e-12, checks=(Check("gradient", 0.2, "0.weight"),))
    assert whole.holds
    assert not replace(whole, weights=1e-9).holds
    assert not replace(whole, losses=None).holds
    assert not replace(whole, checks=(Check("gradient", 1.2, "0.weight"),)).holds
    failing = replace(whole, checks=(Check("gradient of a batch", None, "0.bias"),))
    assert not failing.holds
    assert failing.sentence().endswith("gradient of a batch (0.bias): not finite")
    assert parity.judged(recipe_of("dense", "float32"), None, None, iterations=5).iterations == 0


def test_dropout_layers_are_left_out_of_a_certificate() -> None:
    recipe = Recipe.parse({"model": {"layers": ["flatten", {"kind": "dropout", "rate": 0.5}]}})
    assert [layer.entry for layer in parity.without_dropout(recipe).model.layers] == ["flatten"]  # pyright: ignore
