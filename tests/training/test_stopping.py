"""Stopping rules: the unit and the place of patience, the points that count, and lengths in epochs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import assay
from assay.engines import load
from assay.errors import AssayError, RecipeError
from assay.execution.runner import Execution
from assay.recipe.model import Recipe
from assay.results.results import Results
from assay.store.store import Store
from assay.studies.keys import trial_key
from assay.studies.plan import Planner, plan, plan_of_one
from assay.studies.settings import Settings
from assay.studies.study import Study
from assay.training.history import History, Point
from assay.training.loop import Training, train
from assay.training.outcome import Outcome
from assay.training.stopping import StoppingRules, first_stop
from assay.workers.batch import EndedEvent, can_resume, read_off, train_together
from tests.training.test_loop import data, iterations, recipe, run

EXAMPLES = 100  # with batches of 10: an epoch is 10 iterations


def curve(losses: dict[int, float], *, validation: dict[int, float] | None = None) -> list[Point]:
    """Points with these test losses at these iterations."""
    measured = validation or {}
    return [
        Point(
            t, 10 * t, 0.0, test_loss=loss, test_accuracy=0.5, validation_loss=measured.get(t), validation_accuracy=0.5
        )
        for t, loss in losses.items()
    ]


def stop_of(stop: dict[str, Any], losses: dict[int, float], *, log: Any = "geometric", budget: int = 1000) -> Any:
    patient = recipe(stop=stop, log=log, budget={"iterations": budget})
    return first_stop(patient, curve(losses), EXAMPLES)


# --- the unit and the place of patience ------------------------------------------------------------------------------

RISING = dict.fromkeys((0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 63, 79, 100), 2.0) | {2: 1.0}


@pytest.mark.parametrize(
    ("stop", "iteration", "words"),
    [
        ({"patience": 4}, 20, "4 log points"),  # 10, 13, 16, 20: the first epoch ends at iteration 10
        ({"patience": "4 points"}, 20, "4 log points"),
        ({"patience": "1 log point"}, 10, "1 log point"),
        ({"patience": "2 epochs"}, 32, "2 epochs"),  # 10 + 20 iterations; 32 is the first point from there on
        ({"patience": "20 iterations"}, 32, "2 epochs"),
        ({"patience": "15 iterations"}, 25, "15 iterations"),
        ({"patience": "0.5 epochs"}, 16, "0.5 epochs"),
        ({"patience": 4, "patience_from_start": True}, 6, "4 log points"),
        ({"patience": "1 epoch", "patience_from_start": True}, 13, "1 epoch"),  # 2 + 10
    ],
)
def test_patience_has_a_unit_and_the_first_epoch_does_not_use_it_up(
    stop: dict[str, Any], iteration: int, words: str
) -> None:
    assert stop_of(stop, RISING) == (iteration, f"no lower loss for {words} (lowest at iteration 2)")


def test_a_lower_loss_starts_the_wait_anew_and_an_equal_one_does_not() -> None:
    losses = {0: 3.0, 10: 2.0, 20: 2.0, 30: 1.0, 40: 1.0, 50: 1.5, 60: 1.2}
    assert stop_of({"patience": 3}, losses, log=10) == (60, "no lower loss for 3 log points (lowest at iteration 30)")
    assert stop_of({"patience": "2 epochs"}, losses, log=10) == (
        50,
        "no lower loss for 2 epochs (lowest at iteration 30)",
    )
    assert stop_of({"patience": 4}, losses, log=10) is None


def test_patience_reads_the_validation_set_where_there_is_one() -> None:
    patient = recipe(stop={"patience": 1}, log=10)
    points = curve({0: 3.0, 10: 2.0, 20: 1.0, 30: 0.5}, validation={0: 3.0, 10: 1.0, 20: 2.0, 30: 3.0})
    assert first_stop(patient, points, EXAMPLES) == (20, "no lower loss for 1 log point (lowest at iteration 10)")


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "8", "60 s", "3 parsecs", "0 epochs", "1.5 points", ""])
def test_another_patience_is_a_sentence_with_what_is_possible(value: Any) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe(stop={"patience": value})
    assert f"stop.patience: got {value!r}" in str(caught.value)
    assert "'n points', 'n epochs' or 'n iterations'" in str(caught.value)
    with pytest.raises(RecipeError, match=r"patience_from_start says how patience counts; give patience"):
        recipe(stop={"patience_from_start": True})


def test_a_recipe_says_its_patience_with_the_unit() -> None:
    spelt = {
        8: "8 points",
        "8 log points": "8 points",
        "1 points": "1 point",
        "3.0 epochs": "3 epochs",
    }
    for value, plain in spelt.items():
        made = recipe(stop={"patience": value})
        assert made.plain()["stop"] == {"patience": plain}
        assert Recipe.parse(made.plain()) == made
        assert Recipe.stored(made.plain()) == made
    assert recipe(stop={"patience": 8, "patience_from_start": False}) == recipe(stop={"patience": 8})


def test_a_stored_patience_keeps_its_meaning_and_its_key_and_a_new_one_gets_another() -> None:
    raw = recipe().plain() | {"stop": {"patience": 8}}
    stored, new = Recipe.stored(raw), Recipe.parse(raw)
    assert stored.plain()["stop"] == {"patience": "8 points", "patience_from_start": True}
    assert stored.canonical()["stop"] == {"patience": 8}
    assert Recipe.stored(stored.plain()) == stored
    assert new.canonical()["stop"] == {"patience": "8 points"}
    assert stored.key() != new.key()
    assert trial_key("t", stored, EXAMPLES) != trial_key("t", new, EXAMPLES)
    assert first_stop(stored.patched({"log": "geometric"}), curve(RISING), EXAMPLES) == (
        16,
        "no lower loss for 8 log points (lowest at iteration 2)",
    )


def test_the_default_patience_of_few_points_does_not_end_a_training_that_learns() -> None:
    """A rate that is too high at first: until 0.2 the rule ended this at iteration 8, far from what it reaches."""
    base = {"optimizer": {"name": "descent", "learning_rate": 1.2}, "model": {"hidden": [32]}, "seed": 3}
    learns = {**base, "budget": {"epochs": 6}, "batches": {"size": 32}}
    now = assay.fit(learns | {"stop": {"patience": 3}}, engine="numpy")
    before = assay.fit(learns | {"stop": {"patience": 3, "patience_from_start": True}}, engine="numpy")
    whole = assay.fit(learns, engine="numpy")
    assert before.iterations < 45 < now.iterations
    assert now.accuracy is not None
    assert before.accuracy is not None
    assert whole.accuracy is not None
    assert before.accuracy < 0.5 < now.accuracy
    assert now.accuracy > whole.accuracy - 0.05


# --- lengths in epochs -----------------------------------------------------------------------------------------------

LENGTHS = [
    ({"schedule": {"name": "step", "every": "5 epochs"}}, {"schedule": {"name": "step", "every": 225}}),
    ({"schedule": {"name": "exponential", "every": "0.5 epochs"}}, {"schedule": {"name": "exponential", "every": 22}}),
    (
        {"schedule": {"name": "cosine", "horizon": "2 epochs", "warm_up": "1 epoch"}},
        {"schedule": {"name": "cosine", "horizon": 90, "warm_up": 45}},
    ),
    ({"schedule": {"name": "linear", "horizon": "90 iterations"}}, {"schedule": {"name": "linear", "horizon": 90}}),
    ({"schedule": {"warm_up": "0 epochs"}}, {}),
    ({"stop": {"patience": "3 epochs"}}, {"stop": {"patience": "135 iterations"}}),
    (
        {"stop": {"patience": "1 epoch", "seconds": 60}, "schedule": {"name": "step", "every": "1 epoch"}},
        {"stop": {"patience": "45 iterations", "seconds": 60}, "schedule": {"name": "step", "every": 45}},
    ),
]


@pytest.mark.parametrize(("epochs", "counted"), LENGTHS)
def test_epochs_and_the_equal_number_of_iterations_are_the_same_trial(epochs: Any, counted: Any) -> None:
    planner = Planner(Settings(engine="numpy"))
    first, second = (planner.trial(Recipe.parse({"model": {"hidden": [4]}, **raw})) for raw in (epochs, counted))
    assert first.key == second.key
    assert first.trajectory == second.trajectory
    assert first.recipe == second.recipe  # and so is what is stored
    other = planner.trial(Recipe.parse({"model": {"hidden": [4]}, "data": {"train": 500}, **epochs}))
    assert other.key != first.key


def test_the_rate_falls_where_the_epochs_say() -> None:
    made = recipe(schedule={"name": "step", "every": "2 epochs", "warm_up": "1 epoch"}, budget={"epochs": 6})
    factors = made.resolved(97).schedule.factors(1, 60)  # 97 examples in batches of 10: 10 iterations
    np.testing.assert_allclose(factors[:10], np.arange(1, 11) / 10)
    np.testing.assert_allclose(factors[10:30], 1.0)
    np.testing.assert_allclose(factors[30:50], 0.1)
    np.testing.assert_allclose(factors[50:], 0.01)
    with pytest.raises(ValueError, match="use the recipe that Recipe.resolved returns"):
        made.schedule.factors(1, 60)


@pytest.mark.parametrize("engine", ["numpy", "native"])
def test_a_training_with_lengths_in_epochs_is_that_in_iterations(engine: str) -> None:
    raw = {"name": "cosine", "final": 0.1}
    spelt = [raw | {"horizon": "2 epochs", "warm_up": "0.5 epochs"}, raw | {"horizon": 20, "warm_up": 5}]
    first, second = (run(recipe(schedule=schedule), engine=load(engine))[0] for schedule in spelt)
    assert first.recipe == second.recipe
    for name, weights in first.checkpoint.weights.items():
        np.testing.assert_array_equal(weights, second.checkpoint.weights[name])


def test_a_study_folds_both_spellings_and_the_store_has_one(tmp_path: Path) -> None:
    spelt = {f"{n}": {"schedule": {"name": "step", "every": every}} for n, every in enumerate(("1 epoch", 45))}
    baseline = {"model": {"hidden": [4]}, "budget": {"iterations": 10}}
    planned = plan(Study.parse({"baseline": baseline, "axes": {"every": spelt}, "engine": "numpy"}))
    assert (planned.requested, planned.folded) == (2, 1)
    store = Store(str(tmp_path / "s.db"))
    for _ in Execution(planned, store):
        pass
    again = Execution(plan_of_one(Recipe.parse(baseline | spelt["1"]), Settings(engine="numpy")), store)
    assert again.stored == 1
    saved = next(iter(again.trials.values())).recipe
    assert saved.plain()["schedule"]["every"] == 45


@pytest.mark.parametrize(
    ("short", "table"),
    [
        ("5 epochs", {"epochs": 5.0}),
        ("0.5 epochs", {"epochs": 0.5}),
        ("500 iterations", {"iterations": 500}),
        (500, None),
    ],
)
def test_a_budget_has_a_short_form(short: Any, table: Any) -> None:
    assert recipe(budget=short) == recipe(budget=table or {"iterations": 500})
    assert recipe(budget=short).patched({"budget": {"epochs": 2}}).budget.epochs == 2
    with pytest.raises(RecipeError, match="budget: got '5 fortnights'; expected a whole number >= 0 of iterations, or"):
        recipe(budget="5 fortnights")


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ({"name": "step", "every": "5 parsecs"}, "schedule.every: got '5 parsecs'; expected a whole number >= 1"),
        ({"name": "step", "every": 0}, "schedule.every: got 0; expected a whole number >= 1 of iterations"),
        ({"name": "step", "every": "1.5 iterations"}, "schedule.every: got '1.5 iterations'"),
        ({"name": "cosine", "horizon": "3 points"}, "or 'n iterations' or 'n epochs'"),
        ({"name": "cosine", "horizon": "0 epochs"}, "schedule.horizon: got '0 epochs'"),
        ({"warm_up": -1}, "schedule.warm_up: got -1; expected a whole number >= 0 of iterations"),
        ({"name": "linear", "horizon": True}, "schedule.horizon: got True"),
    ],
)
def test_another_length_is_a_sentence(schedule: dict[str, Any], problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe(schedule=schedule)
    assert problem in str(caught.value)


# --- the points that count -------------------------------------------------------------------------------------------

DENSE: dict[str, Any] = {"optimizer": {"name": "descent", "learning_rate": 2.0}, "log": 1}
SPARSE = DENSE | {"log": 10, "stop": {"patience": 2}}


def dense(budget: int, **patch: Any) -> History:
    return run(recipe(**DENSE | {"budget": {"iterations": budget}} | patch))[0]


def sparse(budget: int = 400, **patch: Any) -> Recipe:
    return recipe(**SPARSE | {"budget": {"iterations": budget}} | patch)


def same(a: History, b: History) -> None:
    assert (a.outcome, a.iterations, a.reason) == (b.outcome, b.iterations, b.reason)
    assert [(p.iteration, p.test_loss) for p in a.points] == [(p.iteration, p.test_loss) for p in b.points]


def test_the_rules_would_end_elsewhere_if_they_read_every_point() -> None:
    """The other tests of this part show something only where this holds."""
    alone, every = run(sparse())[0], run(sparse(log=1))[0]
    assert alone.outcome is every.outcome is Outcome.STOPPED
    assert every.iterations < 35 < alone.iterations


def test_points_of_the_training_to_resume_do_not_count_unless_they_are_the_recipes_own() -> None:
    alone = run(sparse())[0]
    resumed = train([sparse()], load("numpy"), data(sparse()), start=[dense(35)])[0]
    assert (resumed.outcome, resumed.iterations, resumed.reason) == (alone.outcome, alone.iterations, alone.reason)


def test_a_start_at_which_the_rule_ends_is_the_end() -> None:
    alone = run(sparse())[0]
    start = dense(alone.iterations)
    resumed = train([sparse()], load("numpy"), data(sparse()), start=[start])[0]
    assert (resumed.outcome, resumed.iterations, resumed.reason) == (alone.outcome, alone.iterations, alone.reason)
    for name, weights in alone.checkpoint.weights.items():
        np.testing.assert_array_equal(weights, resumed.checkpoint.weights[name])


def test_a_start_after_the_end_is_refused_and_so_is_one_without_the_log_points() -> None:
    alone = run(sparse())[0]
    with pytest.raises(AssayError, match="stopping rule ends it before: no lower loss .*iteration"):
        train([sparse()], load("numpy"), data(sparse()), start=[dense(alone.iterations + 20)])
    coarse = dense(30, log=15)
    with pytest.raises(
        AssayError, match=r"log\.every = 10, and the training to resume, with log\.every = 15, does not"
    ):
        train([sparse()], load("numpy"), data(sparse()), start=[coarse])
    train([sparse(40, stop={})], load("numpy"), data(sparse()), start=[coarse])  # no rule reads them


def ended(recipes: list[Recipe], start: History | None = None) -> dict[int, History]:
    events = train_together(recipes, load("numpy"), data(recipes[0]), start=start)
    return {event.number: event.history for event in events if isinstance(event, EndedEvent)}


def test_points_of_trials_in_the_same_training_do_not_count() -> None:
    alone = run(sparse())[0]
    both = ended([sparse(), recipe(**DENSE | {"budget": {"iterations": 400}})])
    same(both[0], alone)
    assert len(both[1].points) == 401


def test_points_of_a_denser_checkpoint_do_not_count() -> None:
    alone = run(sparse())[0]
    start = dense(35)
    assert can_resume(start, [sparse()], 97)
    same(ended([sparse()], start)[0], alone)


def test_a_trial_that_ends_within_a_checkpoint_does_not_resume_from_it() -> None:
    alone = run(sparse())[0]
    assert not can_resume(dense(alone.iterations + 1), [sparse()], 97)
    assert not can_resume(dense(35), [sparse(20, stop={}), sparse()], 97)  # the first one ends at 20
    at_the_end = dense(alone.iterations)
    assert can_resume(at_the_end, [sparse()], 97)
    same(ended([sparse()], at_the_end)[0], alone)


def test_points_of_a_longer_trial_do_not_count_when_one_is_read_off() -> None:
    alone, off = run(sparse())[0], read_off(dense(400), sparse(), 97, (10, 10, 10))
    assert off is not None
    assert (off.outcome, off.iterations) == (alone.outcome, alone.iterations)
    assert off.reason == f"{alone.reason}; read off the curve of a longer trial"
    assert [p.iteration for p in off.points] == iterations(alone)
    assert off.notes == ("the stopping rule reads the test set (no validation set): results are selected on test",)


@pytest.mark.parametrize("reads_off", [True, False])
@pytest.mark.parametrize("budget", [60, 200, 300])
def test_a_recipe_stops_where_it_stops_alone_after_another_was_run(
    tmp_path: Path, reads_off: bool, budget: int
) -> None:
    """`assay train`, with `--save` (which must have the weights of the end) and without, after a denser log."""
    base = {
        "model": {"hidden": [8], "activation": "tanh"},  # relu units may die, which only weights show
        "optimizer": {"name": "descent", "learning_rate": 2.0},
        "batches": {"size": 100},
    }
    patient = Recipe.parse(base | {"log": 15, "stop": {"patience": 2}, "budget": {"iterations": 300}})
    other = Recipe.parse(base | {"log": 1, "budget": {"iterations": budget}})
    settings, store = Settings(engine="numpy"), Store(str(tmp_path / "s.db"))
    for one in (other, patient):
        execution = Execution(plan_of_one(one, settings), store, reads_off=reads_off or one is other)
        for _ in execution:
            pass
    (key,) = plan_of_one(patient, settings).trials
    stored, alone = store.result(key), assay.fit(patient, engine="numpy")
    assert stored is not None
    assert alone.outcome is Outcome.STOPPED
    assert (stored.outcome, stored.iterations, stored.accuracy) == (alone.outcome, alone.iterations, alone.accuracy)
    assert stored.reason.removesuffix("; read off the curve of a longer trial") == alone.reason
    assert stored.warnings == alone.warnings
    if not reads_off:
        for name, weights in alone.checkpoint.weights.items():
            np.testing.assert_array_equal(weights, stored.checkpoint.weights[name])


def test_an_interrupted_trial_does_not_show_the_checkpoint_of_another(tmp_path: Path) -> None:
    base = {"model": {"hidden": [4]}, "budget": {"iterations": 90}}
    store, settings = Store(str(tmp_path / "s.db")), Settings(engine="numpy")
    for _ in Execution(plan_of_one(Recipe.parse(base | {"log": 30}), settings), store):
        pass
    finer = plan_of_one(Recipe.parse(base | {"log": 7, "budget": {"iterations": 200}}), settings)
    coarser = plan_of_one(Recipe.parse(base | {"log": 60, "budget": {"iterations": 200}}), settings)
    (fine,), (coarse,) = finer.trials.values(), coarser.trials.values()
    assert store.start_of(fine.trajectory) is not None
    assert Execution(finer, store).checkpoint_of(fine) is None
    kept = Execution(coarser, store).checkpoint_of(coarse)
    assert kept is not None
    assert (kept.recipe, iterations(kept)) == (coarse.recipe, [0, 60])


def test_train_refuses_to_resume_after_the_end_and_says_where_it_was(invoke: Any) -> None:
    sets = ["--set", "model.hidden=[8]", "--set", "optimizer=descent", "--set", "optimizer.learning_rate=2.0"]
    sets += ["--set", "log=15", "--engine", "numpy"]
    code, _, err = invoke("train", *sets, "--set", "budget.iterations=300", "--save", "a.safetensors")
    assert code == 0, err
    code, _, err = invoke(
        "train", *sets, "--set", "budget.iterations=600", "--set", "stop.patience=2", "--start", "a.safetensors"
    )
    assert code == 2
    said = " ".join(err.split())
    assert "the training to resume is at iteration 300, but the recipe's stopping rule ends it before: no lower" in said
    assert said.endswith("change `stop`, or train from the beginning")


# --- the best point --------------------------------------------------------------------------------------------------


def test_the_best_point_is_named_with_its_set_and_the_accuracy_stays_that_of_the_end() -> None:
    history = run(recipe(data={"validation": 20}, **DENSE | {"budget": {"iterations": 60}}))[0]
    losses = [p.validation_loss for p in history.points if p.validation_loss is not None]
    best = history.points[losses.index(min(losses))]
    assert history.best is not None
    assert history.plain()["best"] == {
        "iteration": best.iteration,
        "set": "validation",
        "loss": best.validation_loss,
        "accuracy": best.validation_accuracy,
    }
    assert best.iteration < history.iterations
    assert history.plain()["accuracy"] == history.final.test_accuracy
    tested = dense(60)
    assert tested.best is not None
    assert (tested.best.set, tested.best.loss) == ("test", min(p.test_loss or 9 for p in tested.points))


def test_frames_name_the_same_best_points(tmp_path: Path) -> None:
    axes: dict[str, Any] = {"split": {"validated": {"data": {"validation": 100}}, "not": {}}}
    raw = {"baseline": {"model": {"hidden": [4]}, "budget": {"iterations": 60}, "log": 5}, "axes": axes}
    store = Store(str(tmp_path / "s.db"))
    for _ in Execution(plan(Study.parse(raw | {"engine": "numpy"})), store):
        pass
    results = Results(store, "study")
    rows = results.best_points().set_index("trial")
    assert sorted(rows["best_set"]) == ["test", "validation"]
    for key, row in rows.iterrows():
        history = store.result(str(key))
        assert history is not None
        assert history.best is not None
        assert dict(row) == {f"best_{name}": value for name, value in history.best.plain().items()}


def test_rules_read_a_long_curve_in_linear_time() -> None:
    rules = StoppingRules(recipe(stop={"patience": "50000 points"}), EXAMPLES)
    for t in range(20_000):
        assert rules.read(Point(t, t, 0.0, test_loss=1.0 / (t + 1), test_accuracy=0.1)) == ""
    assert rules.best is not None
    assert rules.best.iteration == 19_999


def test_training_stops_by_itself_as_the_rules_say() -> None:
    training = Training([sparse()], load("numpy"), prepared_data := data(sparse()))
    for _ in training:
        pass
    history = training.histories()[0]
    assert first_stop(sparse(), history.points, len(prepared_data.y_train)) == (history.iterations, history.reason)


def test_an_imported_curve_names_its_best_epoch(invoke: Any, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("epoch,loss,val_loss,val_accuracy\n1,2,1.9,0.4\n2,1,1.1,0.6\n3,0.5,1.3,0.62\n")
    code, out, err = invoke("import", "log.csv")
    assert code == 0, err
    assert "best point epoch 2: lowest validation loss 1.1000, accuracy 60.00 %" in " ".join(out.split())
    (row,) = Results(Store(), "imported").frame().to_dict("records")
    shown = json.loads(invoke("show", row["trial"], "--json")[1])
    assert shown["best"] == {"epoch": 2, "set": "validation", "loss": 1.1, "accuracy": 0.6}
