"""Other libraries' words are the keys of equal meaning, or an error that says what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import assay
from assay.errors import RecipeError
from assay.recipe.aliases import INNER, NAMES, TOP, canonical, canonical_key
from assay.recipe.model import Recipe
from assay.recipe.patches import assignment, merged

SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"lr": 0.02}, {"optimizer": {"learning_rate": 0.02}}),
    ({"learning_rate_init": 0.02}, {"optimizer": {"learning_rate": 0.02}}),
    ({"optimizer": "Adam", "lr": 0.02}, {"optimizer": {"name": "adam", "learning_rate": 0.02}}),
    ({"optimizer": {"name": "RMSProp", "rho": 0.8}}, {"optimizer": {"name": "rmsprop", "decay": 0.8}}),
    ({"optimizer": {"betas": [0.8, 0.95], "eps": 1e-7}}, {"optimizer": {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-7}}),
    ({"optimizer": {"name": "adam", "amsgrad": False, "weight_decay": 0}}, {"optimizer": "adam"}),
    ({"optimizer": "sgd"}, {"optimizer": "descent"}),
    (
        {"optimizer": {"name": "SGD", "lr": 0.3, "momentum": 0}},
        {"optimizer": {"name": "descent", "learning_rate": 0.3}},
    ),
    ({"optimizer": {"name": "sgd", "momentum": 0.8}}, {"optimizer": {"name": "momentum", "momentum": 0.8}}),
    (
        {"optimizer": {"name": "sgd", "momentum": 0.8, "nesterov": False, "dampening": 0}},
        {"optimizer": {"name": "momentum", "momentum": 0.8}},
    ),
    (
        {"optimizer": {"name": "sgd", "momentum": 0.8, "nesterov": True, "lr": 0.1}},
        {"optimizer": {"name": "nesterov", "momentum": 0.8, "learning_rate": 0.1}},
    ),
    ({"epochs": 3}, {"budget": {"epochs": 3}}),
    ({"max_epochs": 3}, {"budget": {"epochs": 3}}),
    ({"max_steps": 70}, {"budget": {"iterations": 70}}),
    ({"hidden_layers": [9, 8]}, {"model": {"hidden": [9, 8]}}),
    ({"model": {"hidden_layer_sizes": [9]}, "activation": "ReLU"}, {"model": {"hidden": [9]}}),
    ({"activation": "logistic"}, {"model": {"activation": "sigmoid"}}),
    ({"batch_size": 64}, {"batches": {"size": 64}}),
    ({"batches": "window", "batch_size": 64}, {"batches": {"kind": "window", "size": 64}}),
    ({"batches": "batch"}, {"batches": "full"}),
    ({"batches": {"kind": "Stochastic"}}, {"batches": "single"}),
    ({"model": "LeNet-5", "dataset": "MNIST"}, {"model": "lenet5", "data": "mnist"}),
    ({"data": {"name": "Fashion_MNIST"}}, {"data": "fashion-mnist"}),
    ({"criterion": "NLLLoss"}, {"loss": "nll"}),
    ({"random_state": 7}, {"seed": 7}),
    (
        {"model": {"layers": [{"kind": "Conv2D", "filters": 4, "kernel_size": 3}, "MaxPool2d", "Flatten"]}},
        {"model": {"layers": [{"kind": "conv2d", "channels": 4, "kernel": 3}, "max_pool", "flatten"]}},
    ),
    ({"batch_size": 6.4e1, "max_steps": 6.4e4}, {"batches": {"size": 64}, "budget": {"iterations": 64000}}),
]


@pytest.mark.parametrize(("alias", "name"), SAME)
def test_an_alias_is_the_same_trial_with_the_same_label(alias: dict[str, Any], name: dict[str, Any]) -> None:
    spelt, plain = Recipe.parse(alias), Recipe.parse(name)
    assert spelt == plain
    assert (spelt.key(), spelt.label()) == (plain.key(), plain.label())
    assert Recipe.parse(merged({}, [alias])) == plain


def test_what_is_canonical_stays_as_it_is() -> None:
    for _, name in SAME:
        plain = Recipe.parse(name).plain()
        assert canonical(plain) == plain


def test_a_patch_in_other_words_is_merged_under_the_names_of_the_recipe() -> None:
    base = Recipe.parse({"optimizer": {"name": "descent", "learning_rate": 0.2}, "epochs": 9})
    patched = base.patched({"optimizer": {"lr": 0.3}}, {"epochs": 2}, {"batch_size": 16})
    assert patched == Recipe.parse(
        {"optimizer": {"name": "descent", "learning_rate": 0.3}, "batch_size": 16, "epochs": 2}
    )
    words = ["optimizer=SGD", "optimizer.momentum=.9", "optimizer.nesterov=true", "lr=.05", "epochs=3"]
    recipe = Recipe.parse(merged({"budget": {"iterations": 5}}, [assignment(word) for word in words]))
    assert recipe.optimizer.settings() == {"learning_rate": 0.05, "momentum": 0.9}
    assert (recipe.optimizer.entry, recipe.budget.epochs, recipe.budget.iterations) == ("nesterov", 3, None)


def test_fit_takes_the_words_and_trains_what_they_mean() -> None:
    words = {"lr": 0.01, "optimizer": "sgd", "batch_size": 50, "max_steps": 5, "hidden_layers": [4]}
    names = {
        "optimizer": {"name": "descent", "learning_rate": 0.01},
        "batches": {"size": 50},
        "budget": {"iterations": 5},
        "model": {"hidden": [4]},
    }
    assert (
        assay.fit(words, engine="numpy").points[-1].train_loss == assay.fit(names, engine="numpy").points[-1].train_loss
    )


WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {"lr": 0.1, "optimizer": {"learning_rate": 0.1}},
        "lr: is another name of optimizer.learning_rate, which is given too",
    ),
    ({"optimizer": {"lr": 0.1, "learning_rate": 0.1}}, "optimizer.lr: is another name of optimizer.learning_rate"),
    ({"optimizer": {"betas": [0.9, 0.99], "beta1": 0.8}}, "optimizer.betas: is another name of beta1 and beta2"),
    ({"epochs": 3, "num_epochs": 3}, "num_epochs: is another name of budget.epochs"),
    ({"epochs": 3, "budget": {"epochs": 3}}, "epochs: is another name of budget.epochs"),
    (
        {"epochs": 3, "budget": {"iterations": 3}},
        "budget: give exactly one of iterations, epochs and seconds; got iterations and epochs",
    ),
    ({"batch_size": 3, "batches": {"size": 3}}, "batch_size: is another name of batches.size"),
    ({"dataset": "mnist", "data": "digits"}, "dataset: is another name of data"),
    ({"batches": "mini-batch"}, "'mini-batch' can be 'shuffled'"),
    ({"batches": {"kind": "Minibatch", "size": 3}}, "or 'window'"),
    ({"optimizer": {"name": "adam", "weight_decay": 0.1}}, "name = 'adamw', weight_decay = 0.1"),
    ({"optimizer": {"name": "adam", "weight_decay": 0.1}}, "regularisation = { l2 = 0.1, biases = true }"),
    ({"optimizer": {"name": "sgd", "weight_decay": 0.1}}, "regularisation = { l2 = 0.1, biases = true }"),
    ({"weight_decay": 0.1}, "adamw"),
    ({"optimizer": {"name": "adam", "amsgrad": True}}, "AMSGrad is not one of the optimizers"),
    ({"optimizer": {"name": "sgd", "nesterov": True}}, "optimizer.nesterov: needs a momentum"),
    (
        {"optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": 1}},
        "optimizer.nesterov: got 1; expected true or false",
    ),
    ({"optimizer": {"name": "sgd", "momentum": 0.9, "dampening": 0.1}}, "momentum has no dampening"),
    ({"optimizer": {"name": "descent", "momentum": 0.9}}, "optimizer 'momentum' and 'nesterov' have it"),
    ({"optimizer": {"name": "momentum", "rho": 0.9}}, "optimizer 'momentum' has no key 'rho'"),
    ({"momentum": 0.9}, "name = 'momentum', momentum = 0.9"),
    ({"solver": "adam"}, "its 'adam' is optimizer = 'adam'"),
    ({"alpha": 1e-4}, "regularisation = { l2 = alpha / n }"),
    ({"max_iter": 20}, "budget = { epochs = 20 }"),
    ({"loss": "CrossEntropyLoss"}, "leave loss out"),
    ({"engine": "numpy"}, "give the option --engine"),
    ({"schedule": {"name": "step", "every": 3, "gamma": 0.1}}, "torch's gamma is the key 'factor'"),
    ({"validation_split": 0.2}, "validation = 1000"),
    ({"hidden_layers": 64}, "expected a list with the units of each hidden layer, such as [64, 32]"),
    ({"data": {"train": 0.8}}, "data.train: got 0.8; expected a whole number (a count, not a fraction)"),
    ({"batch_size": 0.5}, "batches.size: got 0.5; expected a whole number (a count, not a fraction)"),
    ({"lr": "0.1"}, "got '0.1'; expected a number (without quotes: 0.1)"),
    ({"model": {"dropout": 50}}, "model.dropout: got 50; expected a number < 1.0 (a fraction: 0.5 is 50 %)"),
    ({"stop": {"accuracy": 97}}, "stop.accuracy: got 97; expected a fraction between 0 and 1: 0.97 is 97 %"),
    ({"data": "C:\new\test"}, "in double quotes a backslash is an escape"),
]


@pytest.mark.parametrize(("raw", "sentence"), WRONG)
def test_what_means_something_else_is_an_error_with_what_to_write(raw: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse(raw)
    assert len(caught.value.problems) == 1, caught.value
    assert sentence in str(caught.value)


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse(
            {"lr": 0.1, "optimizer": {"name": "adam", "learning_rate": 1}, "solver": "adam", "batches": 3, "x": 1}
        )
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["lr", "solver", "batches", "x"]


def test_an_accuracy_may_be_a_percentage_with_its_sign() -> None:
    assert Recipe.parse({"stop": {"accuracy": "97.3 %"}}) == Recipe.parse({"stop": {"accuracy": 0.973}})


def test_the_settings_of_a_user_optimizer_are_its_own() -> None:
    table = {"name": "rules:Mine", "lr": 0.1, "eps": 1, "weight_decay": 3}
    assert canonical({"optimizer": table}) == {"optimizer": table}
    assert canonical({"optimizer": {"eps": 1}}, base={"optimizer": table}) == {"optimizer": {"eps": 1}}


def test_every_alias_leads_to_a_key_that_recipes_have() -> None:
    sections = {"optimizer": "adam rmsprop", "model": "mlp", "batches": "shuffled", "budget": ""}
    for path in TOP.values():
        section, _, key = path.partition(".")
        assert section in Recipe.model_fields
        assert not key or section in sections
    assert canonical_key("optimizer.lr") == "optimizer.learning_rate"
    assert all(
        canonical_key(f"{section}.{alias}") == f"{section}.{key}"
        for section in INNER
        for alias, key in INNER[section].items()
    )
    assert all(other in known or other == "sgd" for known, others in NAMES.values() for other in others.values())


def test_a_file_of_a_data_sets_name_counts_before_the_alias(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MNIST").mkdir()
    assert Recipe.parse({"data": "MNIST"}).data.name == "MNIST"
    assert Recipe.parse({"data": "Mnist"}).data.name == "mnist"


def test_the_documentation_lists_every_alias() -> None:
    page = (Path(__file__).parents[2] / "docs" / "recipe-words.md").read_text(encoding="utf-8")
    for word in [*TOP, *(alias for inner in INNER.values() for alias in inner)]:
        assert f"`{word}`" in page, word


def test_a_stored_recipe_is_in_its_own_words_and_nothing_in_it_is_taken_for_an_alias() -> None:
    stored = Recipe.parse({}).plain() | {"data": {"name": "MNIST", "validation": 0}}
    assert Recipe.stored(stored).data.name == "MNIST"  # the name of a folder where it was trained
    assert Recipe.parse(stored).data.name == "mnist"
    with pytest.raises(RecipeError, match="has no key 'lr'"):
        Recipe.stored(stored | {"optimizer": {"name": "adam", "lr": 0.1}})
