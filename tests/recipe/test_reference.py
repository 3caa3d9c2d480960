"""The reference of keys and the JSON schemas: complete, made from the parts, and in agreement with the readers."""

from __future__ import annotations

import ast
import importlib.util
import json
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Literal

import pytest
from jsonschema import Draft202012Validator

from assay.errors import AssayError
from assay.parts.activations import ACTIVATIONS
from assay.parts.optimizers import OPTIMIZERS, Optimizer
from assay.parts.part import Positive
from assay.recipe.model import Recipe
from assay.recipe.patches import assignment, merged
from assay.recipe.reference import all_keys, paths_named, sections
from assay.recipe.schema import recipe_schema
from assay.studies.schema import study_schema, study_sections
from assay.studies.study import Study

ROOT = Path(__file__).parents[2]
RECIPE, STUDY = Draft202012Validator(recipe_schema()), Draft202012Validator(study_schema())
ACCEPTED = [
    {"epochs": 5, "lr": 0.1, "batch_size": 32},
    {"optimizer": {"name": "Adam", "betas": [0.9, 0.99], "eps": 1e-7}},
    {"optimizer": "sgd"},
    {"optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": True, "dampening": 0}},
    {"schedule": {"name": "cosine", "horizon": "5 epochs", "warm_up": "0.5 epochs"}},
    {"stop": {"accuracy": "97 %", "patience": "8 points"}},
    {"stop": {"accuracy": 0.97, "patience": 3}},
    {"budget": "500 iterations", "log": "1 epoch"},
    {"budget": 500, "log": 10, "seed": 3.0},
    {"budget": "2 s"},
    {"model": "3ls", "loss": "MSE"},
    {"model": {"layers": ["flatten", {"kind": "Linear", "out_features": 8, "activation": "ReLU"}]}},
    {"model": {"hidden": [8, 4], "dropout": [0.1, 0.0]}},
    {"data": {"name": "digits", "train": 100, "validation": 50}, "batches": "stochastic"},
]
REFUSED = [
    {"optimiser": "adam"},
    {"optimizer": {"name": "adam", "momentum": 0.9}},
    {"optimizer": {"name": "adam", "learning_rate": 0}},
    {"optimizer": "adm"},
    {"schedule": "step"},
    {"stop": {"accuracy": 97}},
    {"stop": {"patience": "3 days"}},
    {"model": {"hidden": [0]}},
    {"model": {"name": "3LS", "layers": ["flatten"]}},
    {"model": {"layers": [{"kind": "dense"}]}},
    {"batches": {"kind": "full", "size": 3}},
    {"log": {"evry": 3}},
    {"seed": -1},
]


@pytest.mark.parametrize("table", ACCEPTED, ids=json.dumps)
def test_what_the_reader_accepts_the_schema_accepts(table: dict[str, Any]) -> None:
    Recipe.parse(table)
    assert [error.message for error in RECIPE.iter_errors(table)] == []
    study = {"baseline": table, "axes": {"seed": [1, 2]}}
    assert [error.message for error in STUDY.iter_errors(study)] == []


@pytest.mark.parametrize("table", REFUSED, ids=json.dumps)
def test_what_the_schema_refuses_the_reader_refuses(table: dict[str, Any]) -> None:
    assert list(RECIPE.iter_errors(table))
    assert list(STUDY.iter_errors({"baseline": table}))
    with pytest.raises(AssayError):
        Recipe.parse(table)


def _files() -> list[Path]:
    folders = ("src/assay/studies/bundled", "src/assay/articles", "examples", "docs", "tests", "benchmarks")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.toml"))]


def test_every_recipe_and_study_of_the_repository_is_valid_by_its_schema() -> None:
    count = 0
    for path in _files():
        table = tomllib.loads(path.read_text())
        for parse, schema in ((Recipe.parse, RECIPE), (Study.parse, STUDY)):
            try:
                parse(table)
            except AssayError:
                continue
            count += 1
            assert [error.message for error in schema.iter_errors(table)] == [], path
    assert count > 10


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("name", ["test_recipe.py", "test_aliases.py", "test_pairings.py"])
def test_the_schema_agrees_with_the_reader_on_the_recipes_of_these_tests(name: str) -> None:
    agreed = {True: 0, False: 0}
    for node in ast.walk(ast.parse((Path(__file__).parent / name).read_text())):
        try:
            table = ast.literal_eval(node) if isinstance(node, ast.Dict) else {}
        except ValueError:
            continue
        plain = _without_none(table)
        if not plain or not all(isinstance(key, str) for key in plain):
            continue
        try:
            Recipe.parse(table)
            message = ""
        except AssayError as error:
            message = str(error)
        refusals = [error.message for error in RECIPE.iter_errors(plain)]
        assert not (refusals and not message), (table, refusals)
        assert refusals or "a recipe has no key" not in message, table
        agreed[not message] += 1
    assert agreed[True] > 5


def test_every_key_has_a_meaning_and_an_example_that_is_read() -> None:
    for key in [*all_keys(user=False), *(key for section in study_sections() for key in section.keys)]:
        assert key.meaning, key
        assert key.type, key
    for section in sections(user=False):
        base: dict[str, Any] = {}
        if section.component and section.path != "model.layers":
            base = assignment(section.choice.replace(" = ", "="))
        needed = [assignment(f"{key.path}={key.example}") for key in section.keys if key.required]
        for key in section.keys:
            if section.path == "model.layers" or key.path in ("budget", "loss", "regularisation"):
                continue
            if key.path == "stop.patience_from_start":
                needed = [assignment("stop.patience=3")]
            if key.path in ("data.folds", "data.fold"):
                needed = [assignment("data.folds=5"), assignment("data.fold=1")]
            Recipe.parse(merged(base, [*needed, assignment(f"{key.path}={key.example}")]))


def test_the_keys_are_those_of_the_models_with_their_bounds_and_defaults() -> None:
    keys = {(key.path, key.component): key for key in all_keys(user=False)}
    rate = keys["optimizer.learning_rate", "descent"]
    assert (rate.type, rate.default, rate.range, rate.required) == ("number", "0.1", "> 0", False)
    assert "lr" in rate.aliases
    assert keys["budget.epochs", ""].unit == "epochs"
    assert keys["stop.seconds", ""].unit == "s"
    every = keys["schedule.every", "step"]
    assert (every.required, every.unit, every.example) == (True, "iterations", '"10 epochs"')
    assert keys["model.dropout", "mlp"].range == ">= 0, < 1"
    assert set(OPTIMIZERS) == {component for path, component in keys if path == "optimizer.learning_rate"}


def test_a_key_is_found_by_other_words() -> None:
    assert paths_named("learning-rate") == ["optimizer.learning_rate"]
    assert paths_named("batch_size") == ["batches.size"]
    assert paths_named("patience") == ["stop.patience"]
    assert paths_named("train") == ["data.train"]
    assert paths_named("wibble") == []


class Sluggish(Optimizer):
    """w <- w - learning_rate drag g.

    Attributes:
        drag: How much of the gradient is taken.
    """

    learning_rate: Positive = 0.5
    drag: Positive = 0.25
    slots: ClassVar[int] = 0

    @staticmethod
    def rule(xp: Any, w: Any, g: Any, slots: Any, h: Any) -> Any:
        return h.learning_rate * h.drag * g, ()


def test_a_user_optimizer_that_is_loaded_is_in_the_reference() -> None:
    name = f"{__name__}:Sluggish"
    (section,) = [section for section in sections() if section.component == name]
    assert [(key.path, key.default, key.meaning) for key in section.keys][1] == (
        "optimizer.drag",
        "0.25",
        "How much of the gradient is taken.",
    )
    assert name not in [section.component for section in sections(user=False)]
    table = {"optimizer": {"name": name, "drag": 0.5}}
    Recipe.parse(table)
    assert list(RECIPE.iter_errors(table)) == []


def test_an_entry_that_joins_a_table_is_in_the_schema_and_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lion(Optimizer):
        """The sign of an average."""

        name: Literal["lion"] = "lion"
        learning_rate: Positive = 1e-4
        pride: Positive = 3.0

    monkeypatch.setitem(OPTIMIZERS, "lion", Lion)
    monkeypatch.setitem(ACTIVATIONS, "wave", ACTIVATIONS["tanh"])
    schema = Draft202012Validator(recipe_schema())
    assert list(schema.iter_errors({"optimizer": {"name": "lion", "pride": 2}, "model": {"activation": "wave"}})) == []
    assert list(schema.iter_errors({"optimizer": {"name": "lion", "prid": 2}}))
    assert ("optimizer.pride", "3.0") in [(key.path, key.default) for key in all_keys()]


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_keys", ROOT / "scripts" / "write_keys.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_keys_is_what_its_script_writes() -> None:
    script = _script()
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run python scripts/write_keys.py"
