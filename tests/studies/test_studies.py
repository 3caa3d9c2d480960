"""Studies: axes, patches, designs, what is folded, and every mistake told at once."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import AssayError, FileError, RecipeError
from assay.recipe.model import Recipe
from assay.studies.plan import plan
from assay.studies.space import applied
from assay.studies.study import Study, bundled_names

RATES = {"key": "optimizer.learning_rate", "values": [0.1, 0.2]}
MOMENTA = {"key": "optimizer.momentum", "values": [0.5, 0.9]}
OPTIMIZERS = {"descent": {"optimizer": "descent"}, "momentum": {"optimizer": "momentum"}}
SHORT = {"budget": {"iterations": 5}}


def labels(raw: dict[str, Any]) -> list[str]:
    return [candidate.label for candidate in Study.parse(raw).candidates()]


def test_each_design_names_its_configurations() -> None:
    axes = {"rate": RATES, "optimizer": OPTIMIZERS}
    assert labels({"axes": axes, "design": "grid"}) == [
        "rate 0.1, descent",
        "rate 0.1, momentum",
        "rate 0.2, descent",
        "rate 0.2, momentum",
    ]
    assert labels({"axes": axes, "design": "one-at-a-time"}) == [
        "baseline",
        "rate 0.1",
        "rate 0.2",
        "optimizer descent",
        "optimizer momentum",
    ]
    assert len(labels({"axes": axes, "design": "random", "draws": 7})) == 7
    trials = {"small": {"model": {"hidden": [4]}}, "large": {"model": {"hidden": [64]}}}
    assert labels({"trials": trials, "design": "list"}) == ["small", "large"]


def test_more_random_draws_keep_the_first_ones() -> None:
    axes = {"rate": {"key": "optimizer.learning_rate", "low": 1e-4, "high": 1.0, "scale": "log"}}
    few = labels({"axes": axes, "design": "random", "draws": 5})
    assert labels({"axes": axes, "design": "random", "draws": 9})[:5] == few
    assert labels({"axes": axes, "design": "random", "draws": 5, "seed": 2}) != few


@given(st.integers(0, 2**32), st.floats(1e-6, 1.0), st.floats(1.01, 1e4), st.sampled_from(["linear", "log"]))
def test_draws_stay_in_their_range(seed: int, low: float, factor: float, scale: str) -> None:
    raw = {"key": "optimizer.learning_rate", "low": low, "high": low * factor, "scale": scale}
    study = Study.parse({"axes": {"rate": raw}, "design": "random", "draws": 4, "seed": seed})
    for candidate in study.candidates():
        assert low * (1 - 1e-5) <= float(candidate.values["rate"]) <= low * factor * (1 + 1e-5)


def test_whole_numbers_are_drawn_as_such() -> None:
    raw = {"key": "batches.size", "low": 2, "high": 4}
    drawn = {c.values["b"] for c in Study.parse({"axes": {"b": raw}, "design": "random", "draws": 40}).candidates()}
    assert drawn == {2, 3, 4}


def test_a_named_component_replaces_and_an_unnamed_one_merges_whatever_the_order() -> None:
    baseline = {"optimizer": {"name": "descent", "learning_rate": 0.2}}
    table, dropped = applied(baseline, [{"optimizer": {"learning_rate": 0.5}}, {"optimizer": {"name": "adam"}}])
    assert (table["optimizer"], dropped) == ({"name": "adam", "learning_rate": 0.5}, [])
    table, _ = applied(baseline, [{"optimizer": "adam"}])
    assert Recipe.parse(table).optimizer.learning_rate == 0.001  # not descent's
    table, _ = applied({}, [{"loss": "mse"}, {"model": "2LR"}])
    assert table["loss"] == "mse"


def test_keys_that_a_component_lacks_are_dropped_counted_and_folded() -> None:
    made = plan(Study.parse({"axes": {"momentum": MOMENTA, "optimizer": OPTIMIZERS}, "baseline": SHORT}))
    labels = [f"momentum {value}, {name}" for value in (0.5, 0.9) for name in ("descent", "momentum")]
    assert [member.label for member in made.members] == labels  # each configuration has its trial, also a shared one
    assert (made.requested, made.folded, made.dropped) == (4, 1, {"optimizer.momentum": 2})
    assert made.members[0].key == made.members[2].key and len(made.trials) == 3
    assert made.shared == {("momentum 0.5, descent", "momentum 0.9, descent"): 1} and not made.repeated


def test_a_seed_axis_is_refused_with_repeats() -> None:
    axes = {"seed": {"key": "seed", "values": [1, 2, 3]}}
    with pytest.raises(RecipeError, match=r"axes\.seed: sets the seed, and repeats = 3 counts seeds"):
        Study.parse({"axes": axes, "repeats": 3, "baseline": SHORT})
    with pytest.raises(RecipeError, match="trials: sets the seed"):
        Study.parse({"trials": {"a": {"seed": 1}, "b": {"seed": 2}}, "design": "list", "repeats": 2, "baseline": SHORT})
    patches = {"x": {"seed": 4, "optimizer": "adam"}, "y": {"optimizer": "descent"}}
    with pytest.raises(RecipeError, match=r"axes\.which: sets the seed"):
        Study.parse({"axes": {"which": patches}, "repeats": 2, "baseline": SHORT})
    apart = {"trials": {"a": {"seed": 1}, "b": {"seed": 3}}, "design": "list", "repeats": 2, "baseline": SHORT}
    assert len(plan(Study.parse(apart)).trials) == 4
    assert [m.label for m in plan(Study.parse({"axes": axes, "baseline": SHORT})).members] == [
        "seed 1",
        "seed 2",
        "seed 3",
    ]


@pytest.mark.parametrize("design", ["grid", "one-at-a-time"])
@pytest.mark.parametrize("values", ["[0.1, 1e-1]", "[0.1, 0.10, 0.2]"])
def test_values_listed_twice_are_left_out_counted_and_named(design: str, values: str) -> None:
    axes = {"rate": {"key": "optimizer.learning_rate", "values": tomllib.loads(f"v = {values}")["v"]}}
    made = plan(Study.parse({"axes": axes, "repeats": 2, "baseline": SHORT, "design": design}))
    assert made.repeated == {"rate 0.1": 1} and made.folded == 2
    assert [m.repeat for m in made.members if m.label == "rate 0.1"] == [0, 1]


def test_true_is_not_one() -> None:
    axes = {"biases": {"key": "regularisation.biases", "values": [True, 1, False]}}
    with pytest.raises(RecipeError, match=r"1: regularisation\.biases: got 1; expected true or false"):
        Study.parse({"axes": axes, "baseline": SHORT})  # neither value takes the place of the other
    axes = {"rate": {"key": "optimizer.learning_rate", "values": [True, 1]}}
    with pytest.raises(RecipeError, match=r"True: optimizer\.learning_rate: got True; expected a number"):
        Study.parse({"axes": axes, "baseline": SHORT})


def test_equal_numbers_written_in_two_ways_share_their_trial() -> None:
    made = plan(Study.parse({"axes": {"rate": RATES | {"values": [1, 1.0, 0.1]}}, "baseline": SHORT}))
    assert [m.label for m in made.members] == ["rate 1", "rate 1.0", "rate 0.1"]
    assert made.shared == {("rate 1", "rate 1.0"): 1} and (made.requested, made.folded) == (3, 1)


def test_a_doubled_configuration_keeps_its_rows() -> None:
    trials = {"a": {"optimizer": {"learning_rate": 0.1}}, "b": {"optimizer": {"learning_rate": 0.1}}, "c": {"seed": 3}}
    made = plan(Study.parse({"trials": trials, "design": "list", "baseline": SHORT}))
    assert [m.label for m in made.members] == ["a", "b", "c"] and made.members[0].key == made.members[1].key
    assert made.shared == {("a", "b"): 1} and [m.label for m in made.first_members] == ["a", "c"]


def test_different_configurations_with_one_label_are_refused() -> None:
    axes = {
        "name": {"x, y": {"seed": 2}, "x": {"seed": 3}},
        "rate": {"z": {}, "y, z": {"optimizer": {"learning_rate": 0.3}}},
    }
    with pytest.raises(RecipeError, match="x, y, z: two different configurations have this label"):
        plan(Study.parse({"axes": axes, "baseline": SHORT}))


def test_a_key_that_no_component_has_is_an_error() -> None:
    with pytest.raises(RecipeError, match=r"0\.1: optimizer\.momentun"):
        Study.parse({"axes": {"m": {"key": "optimizer.momentun", "values": [0.1]}}})


def test_repeats_are_paired_seeds() -> None:
    made = plan(Study.parse({"axes": {"rate": RATES}, "repeats": 3, "baseline": SHORT | {"seed": 7}}))
    seeds = {(member.label, member.repeat): made.trials[member.key].recipe.seed for member in made.members}
    assert seeds == {(label, repeat): 7 + repeat for label in ("rate 0.1", "rate 0.2") for repeat in range(3)}


def test_every_mistake_of_a_file_is_told_at_once() -> None:
    with pytest.raises(RecipeError) as told:
        Study.parse({"nam": "x", "design": "gird", "repeats": 0, "axes": {"a": {"x": 3}, "b": 4}, "baseline": 5})
    text = str(told.value)
    for said in ("did you mean 'name'", "did you mean 'grid'", "repeats", "axes.a.x", "axes.b", "baseline"):
        assert said in text
    with pytest.raises(RecipeError) as told:
        Study.parse({"axes": {"a": {"key": "optimizer.learning_rate", "values": [-1.0, 0.0, 0.1]}}})
    assert len(told.value.problems) == 2


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"axes": {"a": RATES, "b": {"x": {"optimizer": {"learning_rate": 1.0}}}}}, "both set optimizer.learning_rate"),
        ({"axes": {"a": RATES | {"low": 1.0, "high": 0.5, "values": None} | {}}, "design": "grid"}, "values"),
        ({"axes": {"a": {"key": "seed", "low": 5, "high": 1}}, "design": "random"}, "low < high"),
        ({"axes": {"a": {"key": "seed", "low": 0, "high": 1, "scale": "log"}}, "design": "random"}, "0 < low"),
        (
            {"axes": {"a": {"key": "optimizer.learning_rate", "low": 0.1, "high": 1.0}}},
            "only designs 'random' and 'search' draw from a range",
        ),
        ({"axes": {"a": {"key": "optimizer.learning_rate", "vlaues": [1.0]}}}, "did you mean 'values'"),
        ({"trials": {"a": {"seed": 1}}}, "only design 'list' has trials"),
        ({"design": "list", "axes": {"a": RATES}}, "design 'list' has no axes"),
        ({"axes": {}}, "needs at least one"),
        (
            {"axes": {"a": {"key": "batches.size", "values": list(range(1, 1002))}}, "repeats": 1000},
            "has 1,001,000 trials; expected at most 100,000",
        ),
        ({"timing": "packd"}, "did you mean 'packed'"),
        ({"baseline": {"modle": "3LS"}}, "baseline.modle"),
    ],
)
def test_a_mistake_in_a_study_is_a_sentence(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as told:
        Study.parse(raw)
    assert said in str(told.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda v: (
            st.lists(v, max_size=3)
            | st.dictionaries(
                st.sampled_from(["axes", "baseline", "key", "values", "low", "name", "design", "a"]), v, max_size=4
            )
        ),
        max_leaves=12,
    )
)
def test_any_plain_data_is_a_study_or_a_sentence(raw: Any) -> None:
    try:
        Study.parse(raw if isinstance(raw, dict) else {"axes": raw})
    except AssayError as error:
        assert str(error)


def test_an_unknown_study_names_the_nearest_bundled_one() -> None:
    with pytest.raises(FileError, match="did you mean 'quickstart'"):
        Study.load("quikstart")


@pytest.mark.parametrize("name", bundled_names())
def test_every_bundled_study_is_one(name: str) -> None:
    study = Study.load(name)
    assert study.name == name
    assert next(iter(study.candidates()))


def test_a_study_that_does_not_fit_its_data_is_told_before_it_runs() -> None:
    with pytest.raises(RecipeError, match=r"batches\.size: got 5000"):
        plan(Study.parse({"axes": {"b": {"key": "batches.size", "values": [10, 5000]}}, "baseline": SHORT}))
    with pytest.raises(AssayError, match="no such|cannot|unknown data set"):
        plan(Study.parse({"baseline": {"data": "/nowhere"}, "design": "one-at-a-time"}))


# --- keys ---


def keys(*patches: dict[str, Any], **settings: Any) -> list[tuple[str, str]]:
    trials = {f"t{i}": patch for i, patch in enumerate(patches)}
    made = plan(Study.parse({"design": "list", "trials": trials, "engine": "numpy", **settings}))
    return [(trial.trajectory, trial.key) for trial in made.trials.values()]


def test_trials_that_differ_in_budget_log_and_stopping_share_a_trajectory() -> None:
    found = keys(
        {"budget": {"epochs": 2}},
        {"budget": {"epochs": 3}},
        {"budget": {"epochs": 2}, "log": "1 epoch"},
        {"budget": {"epochs": 2}, "stop": {"accuracy": 0.9}},
    )
    assert len({trajectory for trajectory, _ in found}) == 1
    assert len({key for _, key in found}) == 4


def test_what_makes_another_training_makes_another_trajectory() -> None:
    found = keys(
        {},
        {"seed": 2},
        {"schedule": {"name": "cosine", "horizon": 100}},
        {"schedule": {"name": "cosine", "horizon": 200}},
        {"log": {"train_loss": "batch"}},
        {"data": {"train": 100}},
        {"precision": "float64"},
        {"stop": {"seconds": 5.0}},
    )
    assert len({trajectory for trajectory, _ in found}) == 8


def test_spellings_of_one_training_are_one_trial() -> None:
    spelt = {"model": {"hidden": [60, 60], "activation": "sigmoid", "output": "sigmoid"}, "loss": "mse"}
    assert len(keys({"model": "3LS", "loss": "mse"}, spelt)) == 1
    assert len(keys({"budget": {"epochs": 1}}, {"budget": {"iterations": 45}})) == 1  # 1,437 digits in batches of 32


def test_timing_and_threads_are_of_the_trial() -> None:
    assert len({key for timing in ("isolated", "packed") for _, key in keys({}, timing=timing)}) == 2
    assert len({key for threads in (1, 2) for _, key in keys({}, threads=threads)}) == 2


def test_the_keys_are_what_they_were() -> None:
    """Golden: a change here means that every stored trial is trained again; raise it only on purpose."""
    assert keys({"model": "3LS", "optimizer": {"name": "descent", "learning_rate": 0.2}}) == [GOLDEN]


GOLDEN = ("e60ea8b6746b5b5d6db61dff7d4015f9", "dc11d22c66b97a10ce20da89431c1c62")
