"""The values and ranges of axes, the decays of optimizers, and horizons that are not given."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from assay.errors import RecipeError
from assay.parts.optimizers import RMSprop
from assay.recipe.model import Recipe
from assay.recipe.notes import assumed, notes
from assay.studies.plan import plan
from assay.studies.rerun import rerun
from assay.studies.schema import study_schema
from assay.studies.study import Study

SHORT = {"budget": {"iterations": 5}}


def recipes(raw: dict[str, Any]) -> dict[str, Recipe]:
    return {candidate.label: candidate.recipe for candidate in Study.parse(raw).candidates()}


@pytest.mark.parametrize("form", ["keyed", "short"])
def test_an_axis_takes_lists_and_tables(form: str) -> None:
    def axis(key: str, values: list[Any]) -> dict[str, Any]:
        return {key: values} if form == "short" else {key: {"key": key, "values": values}}

    made = recipes({"baseline": SHORT, "axes": axis("model.hidden", [[8], [16, 4], []])})
    assert {label: recipe.model.settings()["hidden"] for label, recipe in made.items()} == {
        "[8]": (8,),
        "[16, 4]": (16, 4),
        "[]": (),
    }
    optimizers = ["adam", {"name": "sgd", "lr": 0.5}, {"name": "SGD", "lr": 0.5, "momentum": 0.3}]
    made = recipes({"baseline": SHORT, "axes": axis("optimizer", optimizers)})
    assert [(r.optimizer.entry, r.optimizer.learning_rate) for r in made.values()] == [
        ("adam", 0.001),
        ("descent", 0.5),
        ("momentum", 0.5),
    ]
    assert list(made)[1] == '{ name = "descent", learning_rate = 0.5 }'
    models = [{"layers": ["flatten"]}, {"hidden": [3]}]
    made = recipes({"baseline": SHORT, "axes": axis("model", models)})
    assert [recipe.model.title for recipe in made.values()] == ["sequential linear", "mlp 3"]


RANGE = {"low": 1e-4, "high": 0.1, "scale": "log"}
RATE = "optimizer.learning_rate"


@pytest.mark.parametrize(
    "axes",
    [
        {RATE: RANGE, "batches.size": {"low": 8, "high": 64}},
        {"optimizer.lr": RANGE, "batches": {"size": {"low": 8, "high": 64}}},
        {"optimizer": {"lr": RANGE}, "batches.size": {"low": 8, "high": 64}},
    ],
)
def test_a_range_goes_under_the_name_of_its_key(axes: dict[str, Any]) -> None:
    keyed = {RATE: {"key": RATE, **RANGE}, "batches.size": {"key": "batches.size", "low": 8, "high": 64}}
    ours, theirs = ({"design": "random", "draws": 5, "baseline": SHORT, "axes": written} for written in (axes, keyed))
    assert list(recipes(ours).items()) == list(recipes(theirs).items())
    assert [error.message for error in Draft202012Validator(study_schema()).iter_errors(ours)] == []


def test_the_condition_of_a_range_stays_with_it() -> None:
    when = {"optimizer": "adam"}
    raw = {"design": "search", "search": {"trials": 3}, "baseline": SHORT}
    study = Study.parse({**raw, "axes": {"optimizer": ["adam", "sgd"], "optimizer.lr": {**RANGE, "when": when}}})
    assert {axis.name: axis.when for axis in study.axes}[RATE] == {"optimizer": ("adam",)}


def test_a_range_under_another_name_asks_for_its_key() -> None:
    with pytest.raises(RecipeError, match=r'axes\.rate\.low: .* write key = "optimizer\.learning_rate" above'):
        Study.parse({"design": "random", "draws": 2, "axes": {"rate": {"low": 0.1, "high": 0.2}}})
    with pytest.raises(RecipeError, match="'optimizr'; did you mean 'optimizer'"):
        plan(Study.parse({"design": "random", "draws": 2, "axes": {"optimizr.lr": {"low": 0.1, "high": 0.2}}}))


def test_a_wrong_value_in_a_list_is_an_error_of_its_own_configuration() -> None:
    with pytest.raises(RecipeError, match=r"\[0\]: model\.hidden\.0: got 0; expected a number >= 1"):
        Study.parse({"axes": {"model.hidden": [[4], [0]]}})
    with pytest.raises(RecipeError, match=r"'\[8\]' is written as a text and as another value"):
        Study.parse({"axes": {"model.hidden": [[8], "[8]"]}})


def drawn(key: str, low: float, high: float, **more: Any) -> list[Any]:
    axes = {"a": {"key": key, "low": low, "high": high, **more}}
    study = Study.parse({"design": "random", "draws": 20, "baseline": SHORT, "axes": axes})
    return [candidate.values["a"] for candidate in study.candidates()]


def test_whole_bounds_draw_whole_numbers_only_where_the_key_takes_no_others() -> None:
    reals = drawn("regularisation.l2", 0, 1)
    assert all(isinstance(value, float) and 0 < value < 1 for value in reals)
    assert any(value != int(value) for value in drawn("budget.epochs", 1, 3))
    assert {type(value) for value in drawn("batches.size", 8, 64, scale="log")} == {int}
    assert {type(value) for value in drawn("schedule.warm_up", 0, 10)} == {int}
    assert set(drawn("regularisation.l2", 0, 1, whole=True)) == {0, 1}
    with pytest.raises(RecipeError, match=r"axes\.a: got low 0\.5 and high 8; expected whole numbers: batches\.size"):
        drawn("batches.size", 0.5, 8)
    with pytest.raises(RecipeError, match=r"axes\.a\.whole: got False; expected true: batches\.size takes no others"):
        drawn("batches.size", 1, 8, whole=False)


def test_rho_and_alpha_are_the_averaging_constant_and_its_key_does_not_move() -> None:
    keys = {Recipe.parse({"optimizer": {"name": "rmsprop", word: 0.9}}).key() for word in ("rho", "alpha", "decay")}
    assert len(keys) == 1
    recipe = Recipe.parse({"optimizer": {"name": "rmsprop", "alpha": 0.9}})
    assert isinstance(recipe.optimizer, RMSprop) and recipe.optimizer.decay == 0.9
    assert recipe.plain()["optimizer"]["decay"] == 0.9 and not notes(recipe)
    (note,) = notes(Recipe.parse({"optimizer": {"name": "rmsprop", "decay": 1e-6}}))
    assert note.startswith("optimizer.rho 1e-06 averages") and "Keras's decay" in note


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "momentum"])
def test_no_decay_is_suggested_for_another_one(name: str) -> None:
    with pytest.raises(RecipeError, match=r"optimizer\.decay: .*write a schedule") as caught:
        Recipe.parse({"optimizer": {"name": name, "lr": 0.1, "decay": 1e-6}})
    assert "did you mean" not in str(caught.value)
    axes = {"d": {"key": "optimizer.decay", "values": [0.1]}}
    with pytest.raises(RecipeError, match=r"axes\.d: optimizer\.decay: .*write a schedule") as caught:
        Study.parse({"baseline": {"optimizer": {"name": name, "lr": 0.1}}, "axes": axes})
    assert "did you mean" not in str(caught.value)
    with pytest.raises(RecipeError, match="decoupled decay") as caught:
        Recipe.parse({"optimizer": {"name": "rmsprop", "weight_decay": 0.1}})
    assert "did you mean" not in str(caught.value)
    assert Recipe.parse({"optimizer": {"name": "sgd", "lr": 0.1, "decay": 0.0}}).optimizer.entry == "descent"


def test_a_horizon_that_is_not_given_is_the_rest_of_the_budget_as_a_number() -> None:
    recipe = Recipe.parse({"schedule": {"name": "cosine", "warm_up": "1 epoch"}, "budget": {"epochs": 3}})
    resolved = recipe.resolved(100)  # 4 iterations an epoch
    assert resolved.schedule.settings()["horizon"] == 8 and resolved.schedule.factors(12, 1)[0] < 0.04
    assert "8 iterations" in assumed(resolved)[0] and "rest of the budget" in assumed(recipe)[0]
    longer = resolved.with_budget(epochs=9)
    assert longer.schedule.settings()["horizon"] == 8 and not assumed(longer)  # written down: a longer budget keeps it
    assert recipe.with_budget(iterations=7).resolved(100).schedule.settings()["horizon"] == 3
    given = recipe.patched({"schedule": {"horizon": 8}}).resolved(100)
    assert given.key() == resolved.key()


def test_budgets_of_a_study_have_their_own_horizons_and_the_plan_says_so() -> None:
    raw = {"baseline": {"schedule": "linear"}, "axes": {"budget.epochs": [1, 2]}}
    made = plan(Study.parse(raw))
    horizons = [trial.recipe.schedule.settings()["horizon"] for trial in made.trials.values()]
    assert horizons == [trial.iterations for trial in made.trials.values()] and len(made.jobs) == 2
    assert all("schedule.horizon is not given" in notes(trial.recipe)[0] for trial in made.trials.values())


AXES = {"optimizer": ["adam", {"name": "sgd", "lr": 0.5}], "model": [{"layers": ["flatten"]}, "3LS"]}


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ({"axes": AXES, "about": 'a "quote"\n\\ and \u00e9'}, ""),
        ({"design": "list", "trials": {"a b": {"seed": 2}, "c.d": {"model": {"layers": ["flatten"]}}}}, ""),
        ({"about": "curves"}, "design 'grid' needs at least one"),
        ({"axes": {"c": {"off": {"clip_norm": None}, "on": {"clip_norm": 1.0}}}}, "which TOML does not have"),
    ],
)
def test_a_definition_that_is_printed_as_toml_runs_or_says_why_not(raw: dict[str, Any], problem: str) -> None:
    again = rerun(raw)
    assert (problem in again.problem) if problem else not again.problem
    assert again.command("x y") == "assay run 'x y'"


def test_third_party_code_needs_its_option_again() -> None:
    for raw in (
        {"axes": {"optimizer": ["adam", "my:Rule"]}},
        {"baseline": {"optimizer": {"name": "my:Rule"}}, "axes": {"seed": [1]}},
        {"engine": {"command": ["./train"]}, "axes": {"seed": [1]}},
    ):
        assert rerun(raw).command("s") == "assay run s --allow-code"


@pytest.mark.parametrize(
    ("study", "sentence"),
    [
        ({"study": "digits"}, 'study: a study calls it name; write name = "digits"'),
        (
            {"grid": {"lr": [0.1, 0.2]}},
            "grid: a study calls it axes; write [axes] in place of [grid], and below it lr = ",
        ),
        ({"axes": [{"name": "lr", "values": [0.1]}]}, "write [axes], and below it lr = [0.1]"),
        ({"axes": [{"values": [0.1]}]}, "write [axes], and below it optimizer.learning_rate = [0.001, 0.01]"),
        ({"axes": {"lr": {"values": [0.1]}}}, 'write key = "optimizer.learning_rate" above'),
        ({"axes": {"lr": {"key": "optimizer.learning_rate"}}}, "has a key and no values; write values = [0.001, 0.01]"),
        ({"n_trials": 5}, 'a study calls it draws; write draws = 5, with design = "random"'),
        ({"name": "x"}, "write [axes], and below it optimizer.learning_rate = [0.001, 0.01]"),
    ],
)
def test_what_another_tool_calls_it_names_what_to_write(study: Any, sentence: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Study.parse(study)
    assert sentence in str(caught.value)
    assert "Known:" not in str(caught.value)  # the hint takes the place of the list


@pytest.mark.parametrize(
    ("schedule", "sentence"),
    [
        (
            {"name": "cosine", "T_max": 10},
            "write horizon = '10 epochs' for one call per epoch, or horizon = 10 for one",
        ),
        ({"name": "cosine", "warmup": 5}, "write warm_up = 5, in iterations, or warm_up = '1 epoch'"),
        ({"name": "step", "step_size": 3}, "write every = '3 epochs' for one call per epoch, or every = 3 for one"),
        ({"name": "cosine", "horizon": "5 ep"}, "or 'n iterations' or 'n epochs', such as '5 epochs'"),
        ({"name": "cosine", "horizon": "soon"}, "such as '10 iterations'"),
    ],
)
def test_what_another_library_calls_a_length_names_what_to_write(schedule: Any, sentence: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse({"budget": 3, "schedule": schedule})
    assert sentence in str(caught.value)
