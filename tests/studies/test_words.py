"""A study in other libraries' words is the same study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.errors import FileError, RecipeError
from assay.studies.study import Study

RATES = {"optimizer.learning_rate": {"key": "optimizer.learning_rate", "values": [0.1, 0.2]}}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ({"axes": {"optimizer.lr": [0.1, 0.2]}}, {"axes": RATES}),
        ({"axes": {"optimizer": {"lr": [0.1, 0.2]}}}, {"axes": RATES}),  # TOML's optimizer.lr = [0.1, 0.2]
        ({"axes": {"lr": [0.1, 0.2]}}, {"axes": RATES}),
        (
            {"axes": {"r": {"key": "lr", "values": [0.1]}}},
            {"axes": {"r": {"key": "optimizer.learning_rate", "values": [0.1]}}},
        ),
        (
            {"axes": {"r": {"key": "optimizer.lr", "low": 0.1, "high": 1.0}}, "design": "random", "draws": 3},
            {
                "axes": {"r": {"key": "optimizer.learning_rate", "low": 0.1, "high": 1.0}},
                "design": "random",
                "draws": 3,
            },
        ),
        (
            {"axes": {"b": {"key": "batches", "values": ["batch", "stochastic"]}}},
            {"axes": {"b": {"key": "batches", "values": ["full", "single"]}}},
        ),
        (
            {"axes": {"o": {"key": "optimizer", "values": ["SGD", "Adam"]}}},
            {"axes": {"o": {"key": "optimizer", "values": ["descent", "adam"]}}},
        ),
        (
            {"baseline": {"epochs": 2, "optimizer": "sgd"}, "axes": {"a": {"x": {"lr": 0.1}, "y": {"batch_size": 8}}}},
            {
                "baseline": {"budget": {"epochs": 2}, "optimizer": "descent"},
                "axes": {"a": {"x": {"optimizer": {"learning_rate": 0.1}}, "y": {"batches": {"size": 8}}}},
            },
        ),
        (
            {"design": "list", "trials": {"a": {"optimizer": {"name": "sgd", "momentum": 0.9}}, "b": {"epochs": 2}}},
            {
                "design": "list",
                "trials": {"a": {"optimizer": {"name": "momentum", "momentum": 0.9}}, "b": {"budget": {"epochs": 2}}},
            },
        ),
    ],
)
def test_aliases_give_the_same_labels_recipes_and_definition(words: dict[str, Any], names: dict[str, Any]) -> None:
    spelt, plain = Study.parse(words), Study.parse(names)
    assert [c.label for c in spelt.candidates()] == [c.label for c in plain.candidates()]
    assert [c.recipe.key() for c in spelt.candidates()] == [c.recipe.key() for c in plain.candidates()]
    if "sgd" not in str(words):
        assert spelt.digest == plain.digest


def test_sgd_is_what_the_axis_of_its_momentum_makes_of_it() -> None:
    axes = {"optimizer": ["sgd", "adam"], "m": {"key": "optimizer.momentum", "values": [0.0, 0.9]}}
    study = Study.parse({"axes": axes | {"optimizer.lr": [0.1]}})
    labels = {c.label: c.recipe.label().split(", ")[1] for c in study.candidates()}
    assert labels == {
        "sgd, m 0.0, learning_rate 0.1": "descent 0.1",
        "sgd, m 0.9, learning_rate 0.1": "momentum 0.1",
        "adam, m 0.0, learning_rate 0.1": "adam 0.1",
        "adam, m 0.9, learning_rate 0.1": "adam 0.1",
    }
    with pytest.raises(RecipeError, match="optimizer.learning_rate: is missing; an axis sets the momentum of 'sgd'"):
        Study.parse({"axes": axes})


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ({"axes": {"lr": [0.1], "x": {"a": {"learning_rate": 0.2}}}}, "both set optimizer.learning_rate"),
        ({"axes": {"b": {"key": "batches", "values": ["mini-batch"]}}}, "can be 'shuffled'"),
        ({"axes": {"a": {"x": {"lr": 0.1, "optimizer": {"learning_rate": 1.0}}}}}, "lr: is another name of"),
        ({"model": "3LS", "axes": RATES}, "model: is a key of the baseline; write it under [baseline]"),
        ({"epochs": 3, "axes": RATES}, "epochs: is a key of the baseline"),
        ({"baseline": {"stop": {"accuracy": 90}}, "axes": RATES}, "0.9 is 90 %"),
    ],
)
def test_what_cannot_be_meant_is_an_error(raw: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Study.parse(raw)
    assert sentence in str(caught.value)


def test_a_whole_number_written_as_a_float_is_one() -> None:
    study = Study.parse({"repeats": 2.0, "axes": {"batch_size": [1.6e1, 32]}})
    assert study.settings.repeats == 2
    assert [c.recipe.batches.width(100) for c in study.candidates()] == [16, 32]


def test_a_recipe_and_a_bare_name_in_place_of_a_study_are_said_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my recipe.toml").write_text('optimizer = "adam"')
    Path("mine.toml").write_text('[axes]\n"lr" = [0.1]')
    for name, sentence in (
        ("my recipe.toml", "is a recipe, because it has optimizer and no baseline or axes"),
        ("my recipe.toml", "assay train 'my recipe.toml'"),
        ("mine", "did you mean the file mine.toml? assay run mine.toml"),
        ("3LX", "neither a file nor a bundled study"),
    ):
        with pytest.raises(FileError) as caught:
            Study.load(name)
        assert sentence in str(caught.value)
    assert Study.load("mine.toml").name == "mine"
