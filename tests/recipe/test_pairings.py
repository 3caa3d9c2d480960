"""Outputs and losses that follow each other, odd pairings, and the order of clipping and penalties in keys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assay.engines.numpy_engine import NumpyEngine
from assay.parts.activations import OUTPUTS
from assay.parts.losses import LOSSES
from assay.parts.models import MLP, MODELS
from assay.recipe.cohorts import static_form
from assay.recipe.model import Recipe
from assay.recipe.notes import PAIRINGS, notes, refusals
from assay.recipe.patches import merged
from assay.recipe.upgrades import upgraded
from assay.studies.study import Study
from assay.training.loop import prepared, train

FOLLOWS = {
    "cross_entropy": "softmax",
    "logit_cross_entropy": "identity",
    "nll": "log_softmax",
    "binary_cross_entropy": "sigmoid",
    "binary_cross_entropy_with_logits": "identity",
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", MODELS)
def test_an_output_that_is_not_written_follows_the_loss(name: str, loss: str) -> None:
    default = MODELS[name].model_fields["output"].default
    expected = FOLLOWS.get(loss, default)
    for model in ({"name": name}, name, MODELS[name]()):
        recipe = Recipe.parse({"model": model, "loss": loss})
        assert (recipe.model.output, recipe.loss) == (expected, loss)
        assert Recipe.parse(recipe.plain()) == recipe
    assert refusals(recipe) == []


def test_it_is_resolved_before_hashing() -> None:
    written = {"hidden": [16], "output": "softmax"}
    assert Recipe.parse({"model": {"hidden": [16]}, "loss": "cross_entropy"}).key() == (
        Recipe.parse({"model": written, "loss": "cross_entropy"}).key()
    )
    assert Recipe.parse({"model": MLP(hidden=(16,)), "loss": "cross_entropy"}).model.output == "softmax"
    assert Recipe.parse({"model": MLP(hidden=(16,), output="identity"), "loss": "cross_entropy"}).model.output == (
        "identity"
    )


def test_a_stored_recipe_keeps_its_output() -> None:
    stored = Recipe.parse({}).plain() | {"loss": "cross_entropy"}
    assert Recipe.stored(stored).model.output == "log_softmax"


def test_a_patched_loss_moves_an_output_that_was_left_out_and_leaves_one_that_was_written() -> None:
    open_output = Recipe.parse({"model": {"hidden": [16]}})
    assert (open_output.model.output, open_output.loss) == ("log_softmax", "nll")
    for loss, output in FOLLOWS.items():
        assert open_output.patched({"loss": loss}).model.output == output
    assert open_output.patched({"loss": "cross_entropy"}).patched({"loss": "nll"}).model.output == "log_softmax"
    assert open_output.patched({"seed": 2}, {"loss": "cross_entropy"}).model.output == "softmax"
    written = Recipe.parse({"model": {"output": "log_softmax"}})
    assert written.patched({"loss": "cross_entropy"}).model.output == "log_softmax"
    assert Recipe.parse({"model": "3LS"}).patched({"loss": "cross_entropy"}).model.output == "softmax"


def test_a_patched_output_moves_a_loss_that_was_left_out_and_leaves_one_that_was_written() -> None:
    assert Recipe.parse({}).patched({"model": {"output": "sigmoid"}}).loss == "mse"
    assert Recipe.parse({"loss": "nll"}).patched({"model": {"output": "softmax"}}).loss == "nll"
    assert Recipe.parse({}).patched({"model": "2LR"}).loss == "cross_entropy"


def test_a_budget_changes_neither() -> None:
    for raw in ({}, {"loss": "cross_entropy"}, {"model": {"output": "sigmoid"}}, {"model": "3LS", "loss": "nll"}):
        recipe = Recipe.parse(raw)
        assert recipe.with_budget(epochs=7).with_budget(epochs=30) == recipe


def test_assignments_and_axes_of_losses_move_the_output() -> None:
    assert Recipe.parse(merged({"model": {"hidden": [16]}}, [{"loss": "cross_entropy"}])).model.output == "softmax"
    assert Recipe.parse(merged({"model": MLP(hidden=(16,))}, [{"loss": "nll"}, {"model": {"activation": "tanh"}}])) == (
        Recipe.parse({"model": {"hidden": [16], "activation": "tanh"}, "loss": "nll"})
    )
    for baseline in ({"model": {"hidden": [16]}}, {"model": MLP(hidden=(16,))}, Recipe.parse({"model": MLP()})):
        study = Study.parse({"baseline": baseline, "axes": {"loss": {"key": "loss", "values": list(FOLLOWS)}}})
        assert {c.label: c.recipe.model.output for c in study.candidates()} == FOLLOWS


def test_every_odd_pairing_says_what_it_does() -> None:
    for output in OUTPUTS:
        for loss, entry in LOSSES.items():
            recipe = Recipe.parse({"model": {"output": output}, "loss": loss})
            sentences = notes(recipe)
            assert ((output, loss) in PAIRINGS) == (output not in entry.outputs) == bool(sentences)
            if sentences:
                assert sentences[0].startswith(f"loss {loss!r} is meant for output {' or '.join(entry.outputs)}; ")
                assert f"output is {output!r}: " in sentences[0]


REFUSED = {
    ("identity", "cross_entropy"),
    ("sigmoid", "cross_entropy"),
    ("log_softmax", "cross_entropy"),
    ("identity", "nll"),
    ("sigmoid", "nll"),
    ("log_softmax", "binary_cross_entropy"),
    ("sigmoid", "binary_cross_entropy_with_logits"),
}


def test_a_pairing_that_cannot_train_is_refused_with_what_to_type() -> None:
    assert {pair for pair, entry in PAIRINGS.items() if not entry.trains} == REFUSED
    (sentence,) = refusals(Recipe.parse({"model": {"output": "sigmoid"}, "loss": "cross_entropy"}))
    assert sentence.endswith(
        "the loss falls if every output grows, whatever the example is; set model.output = 'softmax', or "
        "loss = 'mse' or 'quadratic' or 'binary_cross_entropy'"
    )


@pytest.mark.parametrize("pair", sorted(REFUSED))
def test_what_is_refused_does_not_learn(pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch, digits: Any) -> None:
    monkeypatch.setattr("assay.training.checks.refusals", lambda recipe: [])
    assert accuracy(*pair, digits) < 0.4


@pytest.mark.parametrize(("loss", "output"), FOLLOWS.items())
def test_what_follows_from_a_loss_learns(loss: str, output: str, digits: Any) -> None:
    assert accuracy(output, loss, digits) > 0.85


def accuracy(output: str, loss: str, digits: Any) -> float:
    raw = {"model": {"hidden": [16], "output": output}, "loss": loss, "budget": {"epochs": 4}, "batches": {"size": 16}}
    recipe = Recipe.parse(raw | {"optimizer": {"name": "adam", "learning_rate": 0.01}})
    history = train([recipe], NumpyEngine(threads=1), prepared(recipe, digits))[0]
    assert history.accuracy is not None
    assert np.isfinite(history.accuracy)
    return history.accuracy


@pytest.fixture(scope="module")
def digits() -> Any:
    from assay.data.datasets import load

    return load("digits")


# --- the order of clipping and penalties -------------------------------------------------------------------------


BOTH: dict[str, Any] = {"clip_norm": 1.0, "regularisation": {"l2": 0.01}}


@pytest.mark.parametrize("penalty", [{"l2": 0.01}, {"l1": 0.01}, {"l1": 0.01, "l2": 0.01}])
def test_clipping_with_penalties_has_a_key_of_its_own_and_what_is_stored_keeps_the_old_one(penalty: Any) -> None:
    raw = BOTH | {"regularisation": penalty}
    new, stored = Recipe.parse(raw), Recipe.stored(raw)
    assert (new.clip_of, stored.clip_of) == ("loss", "objective")
    assert new.key() != stored.key()
    assert new.canonical() == stored.canonical() | {"clip_of": "loss"}
    assert stored.key() == Recipe.parse(raw | {"clip_of": "objective"}).key()
    assert static_form(new) != static_form(stored)
    for recipe in (new, stored):
        assert Recipe.stored(recipe.plain()) == recipe
        assert Recipe.parse(recipe.plain()) == recipe


@pytest.mark.parametrize("raw", [{}, {"clip_norm": 1.0}, {"regularisation": {"l2": 0.01}}])
def test_without_both_nothing_changes(raw: dict[str, Any]) -> None:
    assert "clip_of" not in Recipe.parse(raw).plain()
    assert upgraded(raw) == raw
    other = Recipe.parse(raw | {"clip_of": "objective"})
    assert other.key() == Recipe.parse(raw).key()
    assert notes(other) == ["clip_of 'objective' has no effect: it needs clip_norm, and l1 or l2"]


def test_the_old_order_is_named_in_a_note() -> None:
    assert notes(Recipe.parse(BOTH)) == []
    assert "PyTorch adds them after it" in notes(Recipe.stored(BOTH))[0]


def test_a_damaged_stored_recipe_is_left_to_the_validation() -> None:
    for damaged in (3, "l2", {"l2": "much"}, {"l1": None}, None):
        assert "clip_of" not in upgraded({"clip_norm": 1.0, "regularisation": damaged})
