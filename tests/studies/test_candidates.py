"""Configurations that share what they have in common are those that are patched, validated and hashed one by one."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from assay.engines import load as load_engine
from assay.errors import RecipeError
from assay.recipe.cohorts import static_form
from assay.recipe.model import Recipe
from assay.recipe.texts import Texts
from assay.studies.keys import trajectory_key, trajectory_keys, trial_key
from assay.studies.plan import Planner
from assay.studies.settings import Settings
from assay.studies.space import applied, replaced_keys
from assay.studies.study import Study

_AXES: dict[str, Any] = {
    "rate": {"key": "optimizer.learning_rate", "values": [0.1, 1, 1.0, 1e-3]},
    "optimizer": {
        "adam": {"optimizer": "adam"},
        "beta": {"optimizer": {"name": "adam", "beta1": 0.8}},
        "momentum": {"optimizer": {"name": "momentum", "momentum": 0.5}},
        "rmsprop": {"optimizer": "rmsprop"},
    },
    "momentum": {"key": "optimizer.momentum", "values": [0.0, 0.5]},
    "model": {"key": "model", "values": ["3LS", "2LR", "4LS"]},
    "hidden": {"key": "model.hidden", "values": [[8], [8, 4]]},
    "output": {"key": "model.output", "values": ["softmax", "log_softmax"]},
    "loss": {"key": "loss", "values": ["mse", "nll", "cross_entropy"]},
    "penalty": {"key": "regularisation.l2", "values": [0.0, -0.0, 1e-4]},
    "biases": {"key": "regularisation.biases", "values": [True, False]},
    "clip": {"clipped": {"clip_norm": 1.0}, "after": {"clip_norm": 1, "clip_of": "objective"}, "not": {}},
    "batches": {
        "full": {"batches": "full"},
        "small": {"batches": {"size": 8}},
        "both": {"batches": {"size": 16}, "seed": 3},
    },
    "budget": {"short": {"budget": {"iterations": 20}}, "long": {"budget": "2 epochs"}},
    "schedule": {"key": "schedule", "values": ["constant", "cosine", {"name": "step", "every": "1 epoch"}]},
    "stop": {"stop": {"stop": {"patience": "3 epochs"}}, "early": {"stop": {"accuracy": "90 %"}, "log": 5}},
    "precision": {"key": "precision", "values": ["float32", "float64"]},
    "engine": {"numpy": {"engine": "numpy"}, "other": {"engine": "torch"}},
}
_BASELINES: list[dict[str, Any]] = [
    {},
    {"model": "3LS", "optimizer": {"name": "descent", "learning_rate": 0.2}, "budget": {"epochs": 1}},
    {"loss": "cross_entropy", "regularisation": {"l1": 1e-5}, "schedule": {"name": "linear", "warm_up": "0.1 epochs"}},
    {"model": {"layers": ["flatten", {"kind": "dense", "units": 8}]}, "clip_norm": 2.0, "data": {"train": 100}},
]


def _study(baseline: Mapping[str, Any], axes: list[str], design: str) -> Study:
    return Study.parse({"baseline": baseline, "axes": {name: _AXES[name] for name in axes}, "design": design})


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(_BASELINES),
    st.lists(st.sampled_from(sorted(_AXES)), min_size=1, max_size=3, unique=True),
    st.sampled_from(["grid", "one-at-a-time"]),
)
def test_configurations_that_share_components_are_those_made_one_by_one(
    baseline: dict[str, Any], axes: list[str], design: str
) -> None:
    try:
        study = _study(baseline, axes, design)
    except RecipeError as error:  # two axes set the same key, or no component has it
        assert all(problem.startswith("axes.") for problem in error.problems)
        assume(False)
        return
    texts, engine = Texts(), load_engine("numpy")
    for candidate in study.candidates():
        patches = [axis.patch(candidate.values[axis.name]) for axis in study.axes if axis.name in candidate.values]
        table, dropped = applied(study.baseline, patches)
        replaced = replaced_keys(study.baseline, table)
        assert candidate.engine == table.pop("engine", "auto")
        assert (candidate.table, sorted(candidate.dropped)) == (table, sorted(dropped))
        assert list(candidate.replaced) == replaced
        alone = Recipe.parse(table)
        assert candidate.recipe == alone and candidate.recipe.model_fields_set == alone.model_fields_set
        assert repr(candidate.recipe.written()) == repr(alone.written())  # repr: 0.0 equals -0.0
        assert texts.static_form(candidate.recipe) == static_form(alone)
        recipe = candidate.recipe.resolved(100)
        columns: Any = {"data_checksum": "ab", "engine": engine, "timing": "packed", "threads": 1}
        assert trajectory_key(recipe, **columns, texts=texts) == _trajectory(alone.resolved(100), columns)
        assert trial_key("t", recipe, 100, texts=texts) == trial_key("t", alone.resolved(100), 100)


def _trajectory(recipe: Recipe, columns: Mapping[str, Any]) -> str:
    """The key of a trajectory from its whole form."""
    form = {key: value for key, value in recipe.canonical().items() if key not in ("budget", "log", "stop")}
    form["data"] = {key: value for key, value in form["data"].items() if key != "name"} | {"checksum": "ab"}
    form["measured"] = {"train_loss": recipe.log.train_loss, "timing": "packed", "threads": 1}
    form["engine"] = ["numpy", columns["engine"].numerics, "cpu"]
    text = json.dumps(form, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def test_a_planner_that_shares_texts_gives_each_trial_the_key_of_a_planner_of_its_own() -> None:
    candidates = _study(_BASELINES[1], ["penalty", "schedule", "batches"], "grid").candidates()
    shared = Planner(Settings(engine="numpy"))
    keys = [shared.trial(candidate.recipe).key for candidate in candidates]
    assert keys == [Planner(Settings(engine="numpy")).trial(Recipe.parse(c.table)).key for c in candidates]
    assert (len(keys), len(set(keys))) == (27, 18)  # a penalty of -0.0 is none


def test_the_trials_of_several_seeds_are_those_of_one_seed_each() -> None:
    planner, recipe = Planner(Settings(engine="numpy")), Recipe.parse(_BASELINES[1] | {"seed": 7})
    trials = planner.trials(recipe, 3)
    alone = [
        Planner(Settings(engine="numpy")).trial(Recipe.parse(_BASELINES[1] | {"seed": seed})) for seed in (7, 8, 9)
    ]
    assert trials == alone and len({trial.key for trial in trials}) == 3
    columns: Any = {"data_checksum": "ab", "engine": load_engine("numpy"), "timing": "packed", "threads": 1}
    recipes = [recipe.resolved(100).model_copy(update={"seed": seed}) for seed in (7, 0, 2**40)]
    keys = trajectory_keys(recipes[0], [7, 0, 2**40], **columns)
    assert keys == [_trajectory(one, columns) for one in recipes]


def test_every_wrong_configuration_is_reported_with_all_of_its_errors_once() -> None:
    axes = {
        "rate": {"key": "optimizer.learning_rate", "values": [0.1, -1]},
        "size": {"key": "batches.size", "values": [8, 0]},
    }
    with pytest.raises(RecipeError) as caught:
        Study.parse({"axes": axes})
    assert list(caught.value.problems) == [
        "rate 0.1, size 0: batches.size: got 0; expected a number >= 1",
        "rate -1, size 8: optimizer.learning_rate: got -1; expected a number > 0.0",
    ]


def test_a_number_is_merged_as_any_other_number_of_its_axis() -> None:
    axes = {"m": {"key": "optimizer.momentum", "values": [0, 0.0, 0.9]}, "n": {"key": "seed", "values": [1, 2]}}
    study = Study.parse({"baseline": {"optimizer": {"name": "momentum", "momentum": 0.5}}, "axes": axes})
    momenta = [candidate.recipe.optimizer.settings()["momentum"] for candidate in study.candidates()]
    assert momenta == [0.0, 0.0, 0.0, 0.0, 0.9, 0.9]


def test_draws_that_differ_in_numbers_parse_a_recipe_for_each_component_only(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[Any] = []
    parse = Recipe.parse

    def counted(raw: Mapping[str, Any], **rest: Any) -> Recipe:
        parsed.append(raw)
        return parse(raw, **rest)

    monkeypatch.setattr(Recipe, "parse", counted)
    rate = {"key": "optimizer.lr", "low": 1e-4, "high": 0.1, "scale": "log"}
    optimizers = {"key": "optimizer", "values": ["adam", "momentum", "descent"]}
    axes = {"rate": rate, "optimizer": optimizers, "l2": {"key": "regularisation.l2", "low": 1e-6, "high": 1e-2}}
    study = Study.parse({"design": "random", "draws": 60, "axes": axes, "baseline": {"budget": {"iterations": 5}}})
    candidates = study.candidates()
    assert len(parsed) < 10
    for candidate in candidates:
        alone = parse(candidate.table)
        assert candidate.recipe == alone and candidate.recipe.written() == alone.written()
        assert candidate.recipe.optimizer.model_fields_set == alone.optimizer.model_fields_set


def test_a_wrong_number_among_right_ones_is_named_by_its_key() -> None:
    axes = {"rate": {"key": "optimizer.learning_rate", "values": [0.1, 0.2, -0.5]}}
    with pytest.raises(RecipeError, match=r"-0\.5.*optimizer\.learning_rate|optimizer\.learning_rate.*-0\.5"):
        Study.parse({"design": "grid", "axes": axes}).candidates()
