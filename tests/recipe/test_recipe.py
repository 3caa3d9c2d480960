"""A recipe says what is wrong with it, all at once, and is the same thing however it is spelt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import AssayError, FileError, RecipeError
from assay.parts.activations import ACTIVATIONS, OUTPUTS
from assay.parts.batches import BATCHES
from assay.parts.losses import LOSSES
from assay.parts.models import MODELS
from assay.parts.optimizers import OPTIMIZERS
from assay.parts.schedules import SCHEDULES
from assay.recipe.cohorts import cohorts, static_form
from assay.recipe.model import Recipe
from assay.recipe.notes import notes
from assay.recipe.patches import assignment, merged
from assay.recipe.toml import read_toml

WRONG = {
    "modle": "3LS",
    "model": {"hidden": [1, 0, "a"], "activation": "rleu", "dropout": 1.5},
    "optimizer": {"name": "adm"},
    "batches": {"kind": "window", "size": 0, "sise": 1},
    "budget": {"iterations": 3, "epochs": 3},
    "log": {"every": "3 cows", "train_loss": "all"},
    "schedule": {"name": "step"},
    "regularisation": {"l3": 2},
    "clip_norm": float("nan"),
    "precision": "f32",
    "loss": "msee",
    "input": "standardize",
    "seed": True,
    "data": 3,
}


def test_all_errors_are_told_at_once_each_with_its_place_and_the_nearest_name() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse(WRONG, source="my.toml")
    said = str(caught.value)
    assert said.startswith(f"my.toml: {len(caught.value.problems)} errors")
    for sentence in (
        "modle: a recipe has no key 'modle'; did you mean 'model'?",
        "model.hidden.1: got 0; expected a number >= 1",
        "model.hidden.2: got 'a'; expected a whole number",
        "model.activation: unknown activation 'rleu'; did you mean 'relu'?",
        "model.dropout: got 1.5; expected a number < 1",
        "optimizer: unknown optimizer 'adm'; did you mean 'adam'?",
        "batches.size: got 0; expected a number >= 1",
        "batches.sise: batches 'window' has no key 'sise'; did you mean 'size'?",
        "budget: give exactly one of iterations, epochs and seconds; got iterations and epochs",
        "log.every: got '3 cows'; expected",
        "log.train_loss: got 'all'; expected one of 'full' or 'batch', or a whole number",
        "schedule.every: is missing",
        "regularisation.l3: regularisation has no key 'l3'",
        "clip_norm: got nan; expected a finite number",
        "precision: unknown precision 'f32'; did you mean 'float32'?",
        "loss: unknown loss 'msee'; did you mean 'mse'?",
        "input: unknown input 'standardize'; did you mean 'standardise'?",
        "seed: got True; expected a whole number",
        "data.name: got 3; expected a string",
    ):
        assert sentence in said


def test_a_recipe_made_in_python_is_checked_the_same_way() -> None:
    with pytest.raises(RecipeError, match="did you mean 'adam'"):
        Recipe(optimizer="adm")  # pyright: ignore[reportArgumentType]
    assert Recipe(model={"hidden": [3]}).model.hidden == (3,)  # pyright: ignore[reportArgumentType]


def test_the_short_form_is_the_table_with_a_name() -> None:
    short = Recipe.parse({"data": "mnist", "model": "3LS", "optimizer": "adam", "batches": "single", "log": 10})
    long = Recipe.parse(
        {
            "data": {"name": "mnist"},
            "model": {"name": "3LS"},
            "optimizer": {"name": "adam"},
            "batches": {"kind": "single"},
            "log": {"every": 10},
        }
    )
    assert short == long
    assert hash(short) == hash(long)


def test_a_named_model_and_its_spelling_are_one() -> None:
    spelt = {"hidden": [60, 60], "activation": "sigmoid", "output": "sigmoid"}
    assert Recipe.parse({"model": "3LS"}).key() == Recipe.parse({"model": spelt}).key()
    assert Recipe.parse({"model": "3LS"}).key() != Recipe.parse({"model": "4LS"}).key()
    dropped = Recipe.parse({"model": spelt | {"dropout": [0.2, 0.2]}})
    assert dropped.key() == Recipe.parse({"model": spelt | {"dropout": 0.2}}).key()


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ({}, "1b54a9f62429ae7b41214a0edb4f1112"),
        (
            {"data": "mnist", "model": "4LS", "optimizer": {"name": "descent", "learning_rate": 0.2}},
            "8131346b11b7ddb6bb2ddeab3a7adee0",
        ),
    ],
)
def test_keys_are_golden(raw: dict[str, Any], key: str) -> None:
    """Should this fail, stored trials would be trained again: a new field needs an entry in NEUTRAL."""
    assert Recipe.parse(raw).key() == key


@pytest.mark.parametrize(("output", "loss"), [(name, entry.loss) for name, entry in OUTPUTS.items()])
def test_without_a_loss_the_output_decides(output: str, loss: str) -> None:
    recipe = Recipe.parse({"model": {"output": output}})
    assert recipe.loss == loss
    assert notes(recipe) == []


def test_odd_pairings_are_allowed_and_warned_about() -> None:
    recipe = Recipe.parse({"model": {"output": "softmax"}, "loss": "logit_cross_entropy"})
    assert notes(recipe) == [
        "loss 'logit_cross_entropy' is meant for output identity; this model's output is 'softmax': softmax is applied "
        "twice, so that the loss cannot come near 0 (for ten classes, not below 1.46)"
    ]
    assert "selected on test" in notes(Recipe.parse({"stop": {"accuracy": 0.9}}))[0]


def test_merging_replaces_what_is_named_and_merges_what_is_not() -> None:
    base = {"optimizer": {"name": "descent", "learning_rate": 0.2}, "model": "3LS", "budget": {"epochs": 3}}
    named = Recipe.parse(merged(base, [{"optimizer": {"name": "adam"}}]))
    assert (named.optimizer.name, named.optimizer.learning_rate) == ("adam", 0.001)
    unnamed = Recipe.parse(merged(base, [{"optimizer": {"learning_rate": 0.3}}]))
    assert (unnamed.optimizer.name, unnamed.optimizer.learning_rate) == ("descent", 0.3)
    assert Recipe.parse(merged(base, [{"model": {"activation": "relu"}}])).model.hidden == (60, 60)
    assert Recipe.parse(merged(base, [{"budget": {"iterations": 7}}])).budget.epochs is None
    assert Recipe.parse(merged({}, [{"batches": {"size": 7}}])).batches.width(100) == 7
    assert Recipe.parse({"model": "3LS"}).patched({"model": "2LR"}).loss == "cross_entropy"
    with pytest.raises(RecipeError, match="optimizer 'descent' has no key 'beta1'"):
        Recipe.parse(merged(base, [{"optimizer": {"beta1": 0.5}}]))


@pytest.mark.parametrize(
    ("text", "patch"),
    [
        ("model=3LS", {"model": "3LS"}),
        ("seed=4", {"seed": 4}),
        ("model.hidden=[3, 4]", {"model": {"hidden": [3, 4]}}),
        ("log.every=1 epoch", {"log": {"every": "1 epoch"}}),
        ("optimizer.learning_rate = 1e-3", {"optimizer": {"learning_rate": 1e-3}}),
        ('data="a=b"', {"data": "a=b"}),
    ],
)
def test_assignments_are_patches(text: str, patch: dict[str, Any]) -> None:
    assert assignment(text) == patch


@pytest.mark.parametrize("text", ["model", "=3", "a..b=1", ""])
def test_what_is_no_assignment_is_an_error(text: str) -> None:
    with pytest.raises(RecipeError, match="expected KEY=VALUE"):
        assignment(text)


def test_files_that_cannot_be_read_are_errors(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("seed = [")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(FileError, match="did you mean 'recipe.toml'"):
        Recipe.load(tmp_path / "recipy.toml")
    with pytest.raises(FileError, match="not valid TOML"):
        Recipe.load(tmp_path / "recipe.toml")
    with pytest.raises(FileError, match="cannot be read as text"):
        read_toml(tmp_path / "binary.toml")
    with pytest.raises(FileError):
        read_toml(tmp_path)


def test_cohorts_share_what_is_static() -> None:
    rates = [Recipe.parse({"optimizer": {"name": "adam", "learning_rate": 10.0**-i}, "seed": i}) for i in range(3)]
    clipped = Recipe.parse({"clip_norm": 1.0})
    other = Recipe.parse({"batches": {"size": 8}})
    assert cohorts([rates[0], other, rates[1], clipped, rates[2]]) == [rates, [other], [clipped]]
    assert static_form(Recipe.parse({"schedule": {"name": "cosine", "horizon": 9}})) == static_form(Recipe())


PARTS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**6),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([*MODELS, *OPTIMIZERS, *SCHEDULES, *BATCHES, *LOSSES, *ACTIVATIONS, *OUTPUTS, "1 epoch"]),
)
KEYS = st.sampled_from(
    [
        *Recipe.model_fields,
        "name",
        "kind",
        "size",
        "hidden",
        "learning_rate",
        "dropout",
        "every",
        "epochs",
        "iterations",
        "x",
    ]
)
VALUES = st.recursive(PARTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))


@given(st.dictionaries(KEYS, VALUES, max_size=6))
@settings(deadline=None, max_examples=400)
def test_any_data_are_a_recipe_or_a_recipe_error(raw: dict[str, Any]) -> None:
    try:
        recipe = Recipe.parse(raw)
    except RecipeError as error:
        assert error.problems
        return
    assert Recipe.parse(recipe.plain()) == recipe
    assert recipe.key() == Recipe.parse(recipe.plain()).key()


@given(st.dictionaries(KEYS, VALUES, max_size=3), st.lists(st.dictionaries(KEYS, VALUES, max_size=3), max_size=3))
@settings(deadline=None, max_examples=200)
def test_any_patches_merge_or_are_refused(raw: dict[str, Any], patches: list[dict[str, Any]]) -> None:
    try:
        Recipe.parse(merged(raw, patches))
    except RecipeError:
        pass


@given(st.text(max_size=60))
@settings(deadline=None, max_examples=200)
def test_any_text_is_an_assignment_or_an_error(text: str) -> None:
    try:
        Recipe.parse(merged({}, [assignment(text)]))
    except AssayError:
        pass
