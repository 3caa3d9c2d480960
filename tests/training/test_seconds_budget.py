"""A budget in seconds of training: when it ends, what it is never shared with, and what its answers say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import assay
from assay.analysis.seed_values import SeedValues
from assay.cli import app
from assay.data.datasets import load
from assay.engines import ENGINES, installed
from assay.engines import load as load_engine
from assay.engines.program import Command, Program
from assay.errors import AssayError, RecipeError
from assay.execution.estimates import estimated
from assay.recipe.model import Recipe
from assay.store.store import Store
from assay.studies.keys import trajectory_key, trial_key
from assay.studies.plan import plan, plan_of_one
from assay.studies.settings import Settings
from assay.studies.study import Study
from assay.training.ledger import Ledger
from assay.training.log_points import shareable
from assay.training.loop import Training, prepared
from assay.training.notes import schedule_notes
from assay.workers.batch import EndedEvent, Limits, SavedEvent, can_resume, train_together
from assay.workers.eta import Estimates

TINY: dict[str, Any] = {"model": {"hidden": [4]}, "batches": {"kind": "shuffled", "size": 8}}
SECONDS = 0.05


def timed(seconds: float = SECONDS, **more: Any) -> Recipe:
    return Recipe.parse(TINY | {"budget": {"seconds": seconds}} | more)


def test_it_is_written_in_three_ways_and_read_strictly() -> None:
    assert timed(2.0).budget == Recipe.parse({"budget": "2 s"}).budget == Recipe.parse({"budget": "2 seconds"}).budget
    assert Recipe.parse(TINY).with_budget(seconds=2).budget.seconds == 2.0
    assert timed(2.0).patched({"budget": {"epochs": 3}}).budget.seconds is None
    assert timed(2.0).plain()["budget"] == {"seconds": 2.0}
    for wrong in ({"seconds": 0}, {"seconds": -1}, {"seconds": float("inf")}, "0 s", {"seconds": "2"}):
        with pytest.raises(RecipeError, match="budget"):
            Recipe.parse({"budget": wrong})
    with pytest.raises(RecipeError, match="exactly one of iterations, epochs and seconds; got epochs and seconds"):
        Recipe.parse({"budget": {"seconds": 1, "epochs": 1}})
    with pytest.raises(RecipeError, match="got none of them"):
        Recipe.parse({"budget": {}})
    with pytest.raises(RecipeError, match="patience"):
        Recipe.parse({"stop": {"patience": "3 s"}})


def test_its_keys_are_its_own_and_no_trajectory_is_shared() -> None:
    engine = load_engine("numpy")
    keys: set[str] = set()
    recipes = [timed(1.0), timed(2.0), Recipe.parse(TINY), Recipe.parse(TINY | {"stop": {"seconds": 1.0}})]
    for recipe in recipes:
        trajectory = trajectory_key(recipe, data_checksum="ab", engine=engine, timing="isolated", threads=1)
        keys |= {trajectory, trial_key(trajectory, recipe, 1000)}
    assert len(keys) == 8
    assert [shareable(recipe) for recipe in recipes] == [False, False, True, False]


@pytest.mark.parametrize("name", [name for name in ENGINES if installed(name)])
def test_every_engine_obeys_it_and_ends_with_a_point(name: str) -> None:
    recipe = timed()
    training = Training([recipe], load_engine(name), prepared(recipe, load("digits")))
    chunks: list[float] = []
    for status in training:
        chunks.append(status.seconds)
        assert status.iterations >= status.iteration
    history = training.histories()[0]
    longest = max(np.diff(chunks))  # the clock is looked at between two chunks
    assert SECONDS <= history.ledger.train <= SECONDS + longest
    assert history.outcome == "completed"
    assert history.reason == (
        f"0.05 s of training done: {history.ledger.train:.4g} s, {history.iterations:,} iterations"
    )
    assert history.final.iteration == history.iterations > 0
    assert history.final.seconds == history.ledger.train
    assert any("differs between runs" in note for note in history.notes)


class _Clock:
    """A clock on which every iteration of an engine takes a millisecond."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("jump", "most"), [(1.0, 0.0011), (3.0, 0.31)])
def test_the_overshoot_is_less_than_an_iteration_at_a_steady_pace(
    jump: float, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`jump`: how many times longer an iteration takes from half of the budget on; a chunk is planned for 0.1 s."""
    clock, recipe = _Clock(), timed(1.0)
    engine = load_engine("numpy")
    advance = engine.advance

    def timed_advance(state: Any, batches: Any, alive: Any) -> Any:
        for _ in range(len(batches.sizes)):
            clock.now += 0.001 * (jump if clock.now >= 0.5 else 1.0)
        return advance(state, batches, alive)

    monkeypatch.setattr(engine, "advance", timed_advance)
    monkeypatch.setattr("assay.training.loop.perf_counter", clock)
    training = Training([recipe], engine, prepared(recipe, load("digits")))
    for _ in training:
        pass
    history = training.histories()[0]
    assert history.ledger.train + 1e-9 >= 1.0 and history.ledger.train <= 1.0 + most
    assert history.iterations == pytest.approx(1000 if jump == 1.0 else 500 + 500 / jump, rel=0.15)


def test_a_stopping_rule_next_to_it_still_stops() -> None:
    history = assay.fit(timed(5.0, stop={"accuracy": 0.2}))
    assert history.outcome == "stopped" and history.ledger.train < 5
    history = assay.fit(timed(5.0, stop={"seconds": 0.02}))
    assert history.outcome == "stopped" and history.reason == "0.02 seconds of training reached"
    history = assay.fit(timed(0.02, stop={"seconds": 5.0}, log="0.01 s"))
    assert history.outcome == "completed"


def test_seconds_already_used_count_when_it_is_resumed() -> None:
    first = assay.fit(timed(0.03))
    longer = assay.fit(timed(0.06), start=first)
    assert longer.iterations > first.iterations
    assert 0.06 <= longer.ledger.train < 0.06 + first.ledger.train
    assert longer.points[: len(first.points)] == first.points
    used = replace(first, ledger=Ledger(train=3.0))
    with pytest.raises(AssayError, match="has used 3 s of training; the budget is 0.06 s"):
        assay.fit(timed(0.06), start=used)


def test_a_worker_resumes_it_from_its_own_checkpoint_alone() -> None:
    recipe, data = timed(0.4), prepared(timed(0.4), load("digits"))
    cancelled = iter([False] * 2 + [True] * 100)
    limits = Limits(cancelled=lambda: next(cancelled))
    (saved,) = [
        e for e in train_together([recipe], load_engine("numpy"), data, limits=limits) if isinstance(e, SavedEvent)
    ]
    start = saved.history
    n = len(data.y_train)
    assert 0 < start.ledger.train < 0.4
    assert can_resume(start, [recipe], n)
    assert not can_resume(start, [timed(0.5)], n)
    assert not can_resume(replace(start, ledger=Ledger(train=0.4)), [recipe], n)
    assert not can_resume(start, [recipe], n, save_best=[0])
    (end,) = [e for e in train_together([recipe], load_engine("numpy"), data, start=start) if isinstance(e, EndedEvent)]
    assert end.history.outcome == "completed"
    assert 0.4 <= end.history.ledger.train < 0.6
    assert end.history.iterations > start.iterations


def test_it_is_never_packed_nor_trained_in_a_cohort_nor_by_a_program(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="budget.seconds: .*; set timing = 'isolated'"):
        plan_of_one(timed(), Settings(timing="packed"))
    data = prepared(timed(), load("digits"))
    with pytest.raises(AssayError, match="one training alone"):
        Training([timed(), timed(seed=2)], load_engine("numpy"), data)
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    why = Program(Command(command=(str(program),))).why_not(timed())
    assert why is not None and "budget.seconds" in why


def test_a_plan_uses_it_as_its_estimate() -> None:
    axes = {"rate": {"key": "optimizer.learning_rate", "values": [0.01, 0.1]}}
    planned = plan(Study.parse({"baseline": TINY | {"budget": "20 s"}, "axes": axes}))
    assert {trial.seconds for trial in planned.trials.values()} == {20.0}
    seconds = estimated(planned.jobs, None, planned.examples)
    assert all(20 <= value < 25 for value in seconds.values())
    assert Estimates(seconds).of(planned.jobs[0].trajectory) >= 20


def test_a_study_stores_lists_and_compares_it(tmp_path: Path) -> None:
    store = str(tmp_path / "s.db")
    study = {
        "name": "timed",
        "repeats": 2,
        "baseline": TINY | {"budget": {"seconds": 0.02}},
        "axes": {"rate": {"key": "optimizer.learning_rate", "values": [0.0001, 0.05]}},
    }
    results = assay.run(study, store=store)
    frame = results.frame()
    assert set(frame["outcome"]) == {"completed"} and set(frame["budget_seconds"]) == {0.02}
    assert (frame["seconds"] >= 0.02).all()
    means = frame.groupby("rate")["accuracy"].mean()
    verdict = results.verdict("rate 0.05", "rate 0.0001")
    assert verdict.n == 2 and verdict.difference == pytest.approx(means[0.05] - means[0.0001])
    assert any("differs between runs" in note.sentence for note in results.notes())
    again = assay.run(study, store=store).frame()
    assert again["iterations"].tolist() == frame["iterations"].tolist()  # nothing is trained twice
    listed = CliRunner().invoke(app, ["list", "--trials", "--store", store])
    assert listed.exit_code == 0 and "0.02 s" in listed.output
    assert Store(store).result(frame["trial"][0]) is not None


def test_accuracies_at_equal_seconds_compare_on_one_machine_alone() -> None:
    frame = pd.DataFrame(
        {"configuration": ["a", "a", "b", "b"], "repeat": [0, 1, 0, 1], "accuracy": [0.9, 0.8, 0.7, 0.6]}
    )
    frame = frame.assign(outcome="completed", timing="isolated", threads=1, machine=["m", "m", "n", "n"], classes=10)
    assert SeedValues.of(frame, "accuracy").names == ("a", "b")
    with pytest.raises(AssayError, match="not comparable"):
        SeedValues.of(frame.assign(budget_seconds=2.0), "accuracy")
    SeedValues.of(frame.assign(budget_seconds=2.0, machine="m"), "accuracy")


def test_a_schedule_that_the_seconds_do_not_reach_is_named() -> None:
    recipe = timed(1.0, schedule={"name": "cosine", "horizon": 500})
    (note,) = schedule_notes(recipe, 1000, 100)
    assert "500 iterations, but the budget of 1 s made 100" in note
    assert schedule_notes(recipe, 1000, 500) == []
