"""What a study, or --set, writes is what is trained; what would have no effect is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from assay.errors import RecipeError
from assay.recipe.model import Recipe
from assay.recipe.patches import assignments, merged
from assay.studies.plan import plan
from assay.studies.study import Study

LAYERS = ["flatten", {"kind": "dense", "units": 5, "activation": "tanh"}, {"kind": "dense", "units": 10}]
SHORT = {"budget": {"iterations": 5}}


def recipes(raw: dict[str, Any]) -> dict[str, Recipe]:
    return {candidate.label: candidate.recipe for candidate in Study.parse(raw).candidates()}


@pytest.mark.parametrize("base", [{}, {"model": "3LS"}, {"model": {"hidden": [7]}}, {"model": "LeNet5"}])
@pytest.mark.parametrize("design", ["list", "grid", "one-at-a-time"])
def test_layers_in_a_patch_train_these_layers(base: dict[str, Any], design: str) -> None:
    patches = {"small": {"model": {"layers": LAYERS}}, "other": {"model": "2LR"}}
    raw = {"design": design, "baseline": SHORT | base}
    raw |= {"trials": patches} if design == "list" else {"axes": {"m": patches}}
    label = {"list": "small", "grid": "small", "one-at-a-time": "m small"}[design]
    made = recipes(raw)[label]
    assert (
        made.model.title.startswith("sequential")
        and made.key() == Recipe.parse({"model": {"layers": LAYERS}, **SHORT}).key()
    )


def test_layers_given_with_set_make_the_model_sequential() -> None:
    (patch,) = assignments(['model.layers=["flatten", {kind = "dense", units = 10}]'])
    table = merged({"model": "3LS", "loss": "mse"}, [patch])
    assert Recipe.parse(table).loss == "nll" and table["model"]["name"] == "sequential"
    kept = merged({"model": {"layers": LAYERS, "initial": "he_uniform"}}, [patch])["model"]
    assert kept["initial"] == "he_uniform" and len(kept["layers"]) == 2  # the same kind of model keeps its other keys


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (
            {"design": "list", "trials": {"a": {"optimizer": {"momentum": 0.9}}, "b": {"seed": 2}}},
            r"trials\.a: optimizer\.momentum: optimizer 'adam' has no key 'momentum'",
        ),
        (
            {"design": "list", "baseline": {"model": {"layers": LAYERS}}, "trials": {"a": {"model": {"hidden": [4]}}}},
            r"trials\.a: model\.hidden: model 'sequential' has no key 'hidden'",
        ),
        (
            {"axes": {"m": {"key": "optimizer.momentum", "values": [0.5, 0.9]}}},
            r"axes\.m: optimizer\.momentum: optimizer 'adam' has no key 'momentum'",
        ),
        (
            {"design": "random", "axes": {"m": {"key": "optimizer.momentum", "low": 0.5, "high": 0.9}}},
            r"axes\.m: optimizer\.momentum: optimizer 'adam' has no key",
        ),
        (
            {
                "design": "one-at-a-time",
                "axes": {"m": {"key": "optimizer.momentum", "values": [0.5]}, "o": {"x": {"optimizer": "momentum"}}},
            },
            r"axes\.m: optimizer\.momentum: optimizer 'adam' has no key",
        ),
        (
            {
                "axes": {
                    "m": {"key": "optimizer.beta1", "values": [0.5, 0.8]},
                    "o": {"x": {"optimizer": "descent"}, "y": {"optimizer": "momentum"}},
                }
            },
            r"axes\.m: optimizer\.beta1: optimizer 'momentum' has no key 'beta1'",
        ),
        (
            {"baseline": {"optimizer": {"name": "descent", "beta1": 0.5}}, "axes": {"s": {"x": {}}}},
            "has no key 'beta1'",
        ),
    ],
)
def test_a_key_that_no_component_can_take_is_an_error(raw: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        Study.parse(raw)


def test_in_a_product_single_combinations_drop_a_key_and_the_plan_says_which() -> None:
    axes = {
        "m": {"key": "optimizer.momentum", "values": [0.5, 0.8]},
        "o": {"x": {"optimizer": "descent"}, "y": {"optimizer": "momentum"}},
    }
    made = plan(Study.parse({"axes": axes, "baseline": SHORT}))
    assert made.lost == {"optimizer.momentum": ("m 0.5, x", "m 0.8, x")}


@pytest.mark.parametrize("design", ["list", "grid", "one-at-a-time"])
def test_the_baselines_own_optimizer_keeps_its_settings(design: str) -> None:
    patches = {
        "same": {"optimizer": "adam"},
        "set": {"optimizer": {"name": "adam", "beta1": 0.7}},
        "other": {"optimizer": "adamw"},
    }
    raw: dict[str, Any] = {"design": design, "baseline": SHORT | {"optimizer": {"learning_rate": 0.02, "beta2": 0.9}}}
    raw |= {"trials": patches} if design == "list" else {"axes": {"o": patches}}
    prefix = "o " if design == "one-at-a-time" else ""
    found = {label: made.optimizer.settings() for label, made in recipes(raw).items()}
    assert (found[f"{prefix}same"]["learning_rate"], found[f"{prefix}same"]["beta2"]) == (0.02, 0.9)
    assert (found[f"{prefix}set"]["learning_rate"], found[f"{prefix}set"]["beta1"]) == (0.02, 0.7)
    assert found[f"{prefix}other"]["learning_rate"] == 0.001
    assert plan(Study.parse(raw)).replaced == {
        "optimizer.learning_rate": (f"{prefix}other",),
        "optimizer.beta2": (f"{prefix}other",),
    }


def test_the_baselines_own_model_keeps_its_loss() -> None:
    baseline = SHORT | {"model": {"hidden": [8]}, "loss": "mse"}
    axes = {"m": {"a": {"model": {"name": "mlp", "hidden": [16]}}, "b": {"model": "2LR"}}}
    made = recipes({"baseline": baseline, "axes": axes})
    assert (made["a"].loss, made["b"].loss) == ("mse", "cross_entropy")


@pytest.mark.parametrize(
    "words",
    [
        ("optimizer.learning_rate=0.02", "optimizer.name=adamw"),
        ("lr=0.02", "optimizer=adamw"),
        ("model.hidden=[4]", "model.activation=tanh", "loss=mse", "model=mlp"),
        ("model=3LS", "loss=nll"),
        ("batches.size=16", "batches=window"),
        ("schedule.horizon=30", "schedule=cosine"),
        ("optimizer=sgd", "optimizer.momentum=0.9", "lr=0.2"),
        ("data.train=100", "data=digits"),
    ],
)
def test_the_order_of_set_does_not_matter(words: tuple[str, ...]) -> None:
    base = {"optimizer": {"name": "descent", "learning_rate": 0.3}, "loss": "nll"}
    keys = {Recipe.parse(merged(base, assignments(order))).key() for order in itertools.permutations(words)}
    assert len(keys) == 1
    optimizer = Recipe.parse(merged(base, assignments(words[::-1]))).optimizer
    if words[0] in ("optimizer.learning_rate=0.02", "lr=0.02"):
        assert (optimizer.entry, optimizer.learning_rate) == ("adamw", 0.02)


def test_a_key_set_twice_is_refused_unless_it_is_the_same() -> None:
    with pytest.raises(RecipeError, match=r"(?s)seed: is given twice, as 1 and as 2.*optimizer\.name: is given twice"):
        assignments(["seed=1", "seed=2", "optimizer=adam", "optimizer.name=descent"])
    assert assignments(["seed=1", "seed=1"]) == [{"seed": 1}]


def test_settings_of_draws_are_refused_where_nothing_is_drawn() -> None:
    axes = {"s": {"key": "batches.size", "values": [16, 32]}}
    with pytest.raises(RecipeError, match=r"seed: only design 'random' draws.*under \[baseline\]"):
        Study.parse({"axes": axes, "seed": 42})
    with pytest.raises(RecipeError, match=r"draws: only design 'random' draws, and this design is 'one-at-a-time'"):
        Study.parse({"axes": axes, "draws": 5, "design": "one-at-a-time"})
    assert len(Study.parse({"axes": axes, "draws": 5, "seed": 42, "design": "random"}).candidates()) == 5


GRID = """
[baseline]
budget = { iterations = 3 }
[axes.rate]
key = "optimizer.learning_rate"
values = [0.1, 0.2]
[axes.optimizer]
x = { optimizer = "descent" }
y = { optimizer = { name = "momentum", momentum = 0.5 } }
"""


def test_a_set_key_that_an_axis_sets_is_refused(tmp_path: Path, invoke: Any) -> None:
    (tmp_path / "grid.toml").write_text(GRID)
    for words, sentence in (
        (["--set", "lr=0.5"], "optimizer.learning_rate: axis 'rate' sets it, so that it has no effect"),
        (["--set", "optimizer=adam"], "optimizer.name: axis 'optimizer' sets it"),
        (["--set", "optimizer.beta1=0.5", "--set", "optimizer.name=adam"], "optimizer.beta1: every configuration has"),
    ):
        code, _, err = invoke("run", "grid.toml", "--plan", *words)
        assert (code, sentence in err) == (2, True), err
    code, _, err = invoke("run", "grid.toml", "--plan", "--set", "seed=4", "--set", "optimizer=descent")
    assert code == 2
    code, _, err = invoke("run", "grid.toml", "--plan", "--set", "seed=4", "--data", "digits")
    assert code == 0, err
    (tmp_path / "one.toml").write_text('design = "one-at-a-time"\n' + GRID)
    assert invoke("run", "one.toml", "--plan", "--set", "lr=0.5")[0] == 0  # the rate of the baseline


def test_the_plan_names_what_configurations_do_not_take(tmp_path: Path, invoke: Any) -> None:
    text = '[baseline]\noptimizer = { name = "descent", learning_rate = 0.3 }\n[axes.optimizer]\n'
    text += 'a = { optimizer = "descent" }\nb = { optimizer = "adam" }\n'
    (tmp_path / "s.toml").write_text(text)
    _, _, err = invoke("run", "s.toml", "--plan")
    assert "s: optimizer.learning_rate of the baseline is not used by b, which replace" in err
