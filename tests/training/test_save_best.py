"""The weights of the best validation point: the right ones, whatever the training shares, resumes from or survives."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import assay
from assay.engines import load
from assay.errors import AssayError, RecipeError
from assay.execution.runner import Execution
from assay.recipe.model import Recipe
from assay.store.store import Store
from assay.studies.plan import plan, plan_of_one
from assay.studies.settings import Settings
from assay.studies.study import Study
from assay.training.checkpoints import from_bytes, restore, save, to_bytes
from assay.training.history import History
from assay.training.outcome import Outcome
from assay.training.snapshots import at_best
from assay.workers.batch import EndedEvent, Limits, SavedEvent, can_resume, train_together
from tests.training.test_loop import data, recipe, run

WILD: dict[str, Any] = {"optimizer": {"name": "descent", "learning_rate": 1.0}, "data": {"validation": 20}}


def wild(budget: int, **patch: Any) -> Recipe:
    return recipe(**WILD | {"budget": {"iterations": budget}} | patch)


def trained(
    recipes: list[Recipe], *, start: History | None = None, cancel_at: int | None = None, engine: str = "numpy"
) -> tuple[dict[int, History], History | None]:
    """The histories of trials whose best weights are kept, and the checkpoint if the training is cancelled."""
    reached = 0
    limits = Limits(cancelled=lambda: cancel_at is not None and reached >= cancel_at)
    ended: dict[int, History] = {}
    saved: History | None = None
    chosen = range(len(recipes))
    for event in train_together(recipes, load(engine), data(recipes[0]), start=start, limits=limits, save_best=chosen):
        if isinstance(event, EndedEvent):
            ended[event.number] = event.history
        elif isinstance(event, SavedEvent):
            saved = event.history
        else:
            reached = event.status.iteration
    return ended, saved


def is_at_its_best(history: History) -> None:
    """Compares the kept weights with those of a training that ends at the best point."""
    best = history.best
    assert best is not None
    assert best.set == "validation"
    expected = run(history.recipe.patched({"budget": {"iterations": best.iteration}, "stop": {}}))[0]
    kept = at_best(history)
    assert kept.iterations == best.iteration
    assert kept.final == next(p for p in history.points if p.iteration == best.iteration)
    assert kept.final.validation_loss == expected.final.validation_loss
    for name, weights in expected.checkpoint.weights.items():
        np.testing.assert_array_equal(weights, kept.checkpoint.weights[name])
    assert kept.flops == expected.flops


def test_the_weights_are_those_of_the_best_validation_point_and_the_result_is_that_of_the_end() -> None:
    ended, _ = trained([wild(90)])
    alone = run(wild(90))[0]
    history = ended[0]
    assert (history.accuracy, history.iterations) == (alone.accuracy, 90)
    assert history.best is not None
    assert history.best.iteration < 90
    is_at_its_best(history)
    for name, weights in alone.checkpoint.weights.items():
        np.testing.assert_array_equal(weights, history.checkpoint.weights[name])


def test_trials_of_one_training_each_have_their_own_best_point() -> None:
    recipes = [wild(30, log=7), wild(60, log=1, stop={"patience": "3 points"}), wild(90, log=10)]
    ended, _ = trained(recipes)
    assert len(ended) == 3
    assert len({h.best.iteration for h in ended.values() if h.best}) == 3
    for history in ended.values():
        assert len(history.snapshots) == 1
        is_at_its_best(history)


@pytest.mark.parametrize("engine", ["numpy", "native"])
@pytest.mark.parametrize("cancel_at", [5, 25, 75])
def test_the_weights_hold_across_a_checkpoint(cancel_at: int, engine: str) -> None:
    recipes = [wild(60, log=3), wild(90)]
    whole, _ = trained(recipes, engine=engine)
    _, saved = trained(recipes, cancel_at=cancel_at, engine=engine)
    assert saved is not None
    left = recipes if saved.iterations < 60 else recipes[1:]
    start = from_bytes(to_bytes(saved), source="test")
    assert can_resume(start, left, 77, save_best=range(len(left)))
    resumed, _ = trained(left, start=start, engine=engine)
    for history in resumed.values():
        twin = next(other for other in whole.values() if other.recipe == history.recipe)
        assert history.snapshots.keys() == twin.snapshots.keys()
        for t, weights in twin.snapshots.items():
            for name, array in weights.items():
                np.testing.assert_array_equal(array, history.snapshots[t][name])


def test_a_training_whose_rules_read_the_clock_keeps_them_too() -> None:
    ended, _ = trained([wild(90, stop={"seconds": 60.0})])
    is_at_its_best(ended[0])


def test_a_checkpoint_without_them_is_not_resumed_from() -> None:
    start = run(wild(80))[0]  # its best point is before its end
    assert can_resume(start, [wild(90)], 77)
    assert not can_resume(start, [wild(90)], 77, save_best=[0])
    best = start.best
    assert best is not None
    at_its_best = run(wild(best.iteration))[0]  # has them: they are its last ones
    assert can_resume(at_its_best, [wild(90)], 77, save_best=[0])
    ended, _ = trained([wild(90)], start=at_its_best)
    is_at_its_best(ended[0])


def test_a_file_of_them_predicts_and_says_what_it_is(tmp_path: Path) -> None:
    history = trained([wild(90)])[0][0]
    path = save(at_best(history), tmp_path / "best.safetensors")
    read = restore(path)
    assert read.reason == f"weights of the best validation point, iteration {read.iterations} of 90"
    assert read.snapshots == {}
    assert restore(save(history, tmp_path / "end.safetensors")).snapshots.keys() == history.snapshots.keys()
    with pytest.raises(AssayError, match="weights of the best validation point of this trial were not kept; train it"):
        at_best(run(wild(90))[0])
    with pytest.raises(AssayError, match="were not kept"):
        at_best(run(recipe())[0])


# --- studies and commands --------------------------------------------------------------------------------------------

BASE = {"model": {"hidden": [4]}, "data": {"validation": 100}, "budget": {"iterations": 60}, "log": 5}


def study(**raw: Any) -> Study:
    rates = {"key": "optimizer.learning_rate", "values": [0.01, 0.5]}
    return Study.parse({"baseline": BASE, "axes": {"rate": rates}, "engine": "numpy", "save_best": True, **raw})


def test_a_study_keeps_them_for_each_trial_and_its_keys_are_the_same(tmp_path: Path) -> None:
    planned, store = plan(study()), Store(str(tmp_path / "s.db"))
    assert planned.trials.keys() == plan(study(save_best=False)).trials.keys()
    for _ in Execution(planned, store):
        pass
    for key, trial in planned.trials.items():
        stored = store.history(key)
        assert stored is not None
        assert stored.best is not None
        kept = at_best(stored)
        expected = assay.fit(trial.recipe.with_budget(iterations=stored.best.iteration), engine="numpy")
        for name, weights in expected.checkpoint.weights.items():
            np.testing.assert_array_equal(weights, kept.checkpoint.weights[name])


def test_a_longer_trial_that_keeps_them_trains_anew_where_the_stored_ones_are_missing(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "s.db"))
    for budget, saves in ((60, False), (120, True), (90, True)):
        made = study(baseline=BASE | {"budget": {"iterations": budget}}, save_best=saves, name=f"{budget}")
        for _ in Execution(plan(made), store):
            pass
    for key in plan(study(baseline=BASE | {"budget": {"iterations": 90}})).trials:
        kept = store.history(key)  # not read off the longer trial's curve, which would leave no weights
        assert kept is not None
        assert at_best(kept).best == kept.best


def test_a_worker_that_is_killed_costs_no_best_weights(tmp_path: Path) -> None:
    big = BASE | {"model": {"hidden": [48]}, "budget": {"epochs": 40}, "log": "1 epoch"}
    planned, store = (
        plan_of_one(Recipe.parse(big), Settings(engine="numpy", save_best=True)),
        Store(str(tmp_path / "s")),
    )
    execution, killed = Execution(planned, store), 0
    for status in execution:
        process = execution.workers.processes[0] if execution.workers.processes else None
        if not killed and process is not None and status.running and status.running[0].iteration > 0:
            os.kill(process.process.pid, signal.SIGKILL)
            killed += 1
            time.sleep(0.05)
    assert killed
    (trial,) = planned.trials.values()
    stored = store.history(trial.key)
    assert stored is not None
    assert stored.best is not None
    expected = assay.fit(trial.recipe.with_budget(iterations=stored.best.iteration), engine="numpy")
    for name, weights in expected.checkpoint.weights.items():
        np.testing.assert_array_equal(weights, at_best(stored).checkpoint.weights[name])


def test_it_is_refused_without_a_validation_set_without_kept_weights_and_for_programs() -> None:
    with pytest.raises(RecipeError, match=r"save_best: needs a validation set.*set data\.validation"):
        plan(study(baseline={**BASE, "data": "digits"}))
    with pytest.raises(RecipeError, match="save_best: keeps weights, and keep = 'nothing' does not"):
        study(keep="nothing")
    with assay.allowing_code(), pytest.raises(RecipeError, match="an external program hands over its last weights"):
        plan(study(engine={"command": ["true"]}))
    with pytest.raises(RecipeError, match="has no key 'save_best'"):
        Recipe.parse(BASE | {"save_best": True})


def test_train_writes_them_and_show_fetches_them_from_a_study(invoke: Any, tmp_path: Path) -> None:
    sets = [word for key in ("data.validation=100", "budget.iterations=60", "log=5") for word in ("--set", key)]
    code, out, err = invoke("train", *sets, "--engine", "numpy", "--save-best", "best.safetensors", "--json")
    assert code == 0, err
    told = json.loads(out)
    read = restore(tmp_path / "best.safetensors")
    assert told["best"] == read.plain()["best"]
    assert told["files"]["best weights"] == "best.safetensors"
    assert read.iterations == told["best"]["iteration"]
    assert read.final.validation_loss == told["best"]["loss"]
    again = invoke("train", *sets, "--engine", "numpy", "--save-best", "again.safetensors")
    assert again[0] == 0
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "best.safetensors").read_bytes()
    code, _, err = invoke("show", told["trial"], "--save-best", "shown.safetensors")
    assert code == 0
    assert f"iteration {read.iterations} of 60" in err
    assert (tmp_path / "shown.safetensors").read_bytes() == (tmp_path / "best.safetensors").read_bytes()
    code, out, _ = invoke("show", told["trial"])
    assert f"iteration {read.iterations}: lowest validation loss" in " ".join(out.split())


def test_a_study_says_which_stored_trials_lack_them(invoke: Any, tmp_path: Path) -> None:
    text = "[baseline]\ndata.validation = 100\nbudget.iterations = 40\nlog = 5\nmodel.hidden = [8]\n"
    text += 'optimizer = { name = "descent", learning_rate = 1.0 }\n[axes.seed]\nkey = "seed"\nvalues = [1, 2]\n'
    (tmp_path / "s.toml").write_text(text)
    assert invoke("run", "s.toml", "--engine", "numpy")[0] == 0
    (tmp_path / "s.toml").write_text("save_best = true\n" + text)
    said = "save_best: 2 trials were stored without the weights of their best point; --again retrains them"
    assert said in " ".join(invoke("run", "s.toml", "--engine", "numpy")[2].split())
    for words in (["--again"], []):
        code, _, err = invoke("run", "s.toml", "--engine", "numpy", *words)
        assert (code, "without the weights" in err) == (0, False)


def test_train_refuses_before_training_what_it_could_not_write(invoke: Any) -> None:
    code, _, err = invoke("train", "--save-best", "nowhere/best.safetensors", "--set", "data.validation=100")
    assert (code, err) == (
        2,
        "error: --save-best nowhere/best.safetensors: the folder nowhere does not exist; create it: mkdir -p nowhere\n",
    )
    code, _, err = invoke("train", "--save-best", "best.safetensors")
    assert code == 2
    assert "save_best: needs a validation set" in err
    sets = [
        "--set",
        "data.validation=100",
        "--set",
        "model.hidden=[8]",
        "--set",
        "budget.iterations=40",
        "--engine",
        "numpy",
    ]
    sets += ["--set", "log=5", "--set", "optimizer=descent", "--set", "optimizer.learning_rate=1.0"]
    assert invoke("train", *sets)[0] == 0
    code, _, err = invoke("train", *sets, "--save-best", "best.safetensors")
    assert code == 2
    assert "were not kept; train it again with `save_best`" in err
    assert invoke("train", *sets, "--save-best", "best.safetensors", "--again")[0] == 0


def test_an_outcome_that_is_no_result_has_no_best_weights_by_accident() -> None:
    diverging = wild(
        90, optimizer={"name": "descent", "learning_rate": 1e30}, model={"hidden": [6], "output": "identity"}
    )
    history = trained([diverging.patched({"loss": "mse"})])[0][0]
    assert history.outcome is Outcome.DIVERGED
    is_at_its_best(history)
