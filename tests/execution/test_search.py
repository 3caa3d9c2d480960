"""Searches in a store: resumed after SIGKILL, by two drivers, raised, reused, exported, and by ask and tell."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

import assay
from assay.errors import AssayError, RecipeError, StoreError
from assay.execution.search import execution_of
from assay.store import exchange, integrity, queries, schema
from assay.store.schema import result, search_job
from assay.store.searches import Searches
from assay.store.store import Store
from assay.studies.search import samplers
from assay.studies.study import Study
from tests.store.makers import made_plan

RATE = {"key": "optimizer.learning_rate", "low": 1e-3, "high": 1.0, "scale": "log"}
AXES = {"rate": RATE, "batch": {"key": "batches.size", "low": 16, "high": 128, "step": 16}}
TINY = {"model": {"hidden": [4]}, "budget": {"iterations": 20}}


def study(
    name: str = "found",
    axes: Any = None,
    keep: str = "nothing",
    timing: str = "packed",
    engine: str = "numpy",
    **search: Any,
) -> Study:
    settings = {"trials": 6, "method": "random"} | search
    settings = {key: value for key, value in settings.items() if value is not None}
    how = {"engine": engine, "timing": timing, "threads": 1, "keep": keep}
    return Study.parse(
        {"name": name, "design": "search", "search": settings, "baseline": TINY, **how, "axes": axes or AXES}
    )


def searched(store: Store, made: Study, **options: Any) -> list[Any]:
    """Runs a search; its list with the scores."""
    execution, feed = execution_of(made, store, **options)
    for _ in execution:
        pass
    assert feed.ended
    return listed(store, made.name)


def listed(store: Store, name: str = "found") -> list[Any]:
    searches = Searches(store.database)
    registered = searches.named(name)
    if registered is None:
        return []
    return [
        (
            job.decision.n,
            dict(job.decision.values),
            job.decision.trial,
            job.decision.attempts,
            job.told and job.told.scores,
        )
        for job in searches.jobs(registered[0])
    ]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store.db"))


@pytest.mark.parametrize("parallel", [1, 2])
def test_the_sampler_runs_where_no_trial_is_pinned(
    parallel: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.execution.executors.usable_cores", lambda: [0, 1])
    places: list[list[int]] = []

    @contextmanager
    def noted(cores: Collection[int]) -> Generator[None]:
        places.append(list(cores))
        yield

    monkeypatch.setattr("assay.execution.search.on_cores", noted)
    searched(store, study(trials=3, parallel=parallel))
    # the first jobs are decided before there are workers
    assert places[parallel:] == [[1] if parallel == 1 else []] * (3 - parallel)


def test_a_search_is_stored_and_every_command_reads_it(store: Store, tmp_path: Path) -> None:
    jobs = searched(store, study(parallel=2))
    assert [job[0] for job in jobs] == list(range(6))
    scores = {row["key"]: row["accuracy"] for row in queries.trials(store.database)[0]}
    assert [job[4] for job in jobs] == [(scores[job[2]],) for job in jobs]
    frame = assay.Results(store, "found").frame()
    assert frame["trial"].tolist() == [job[2] for job in jobs]
    assert not integrity.check(store)
    exchange.export(store, tmp_path / "export")
    other = Store(str(tmp_path / "other.db"))
    exchange.read_back(other, tmp_path / "export")
    assert listed(other) == jobs
    assert searched(other, study(parallel=2)) == jobs
    assert len(queries.trials(other.database)[0]) == 6
    taken = Store(str(tmp_path / "taken.db"))
    taken.register(made_plan(2, name="found"))  # no search: the imported one stays whole, under another name
    exchange.read_back(taken, tmp_path / "export")
    exchange.read_back(taken, tmp_path / "export")
    found = Searches(taken.database).named("found@1")
    assert found
    assert [job.decision.trial for job in Searches(taken.database).jobs(found[0])] == [job[2] for job in jobs]
    assert len(queries.studies(taken.database)) == 2
    assert store.remove(studies=["found"]) == 6
    assert listed(store) == []


@pytest.mark.endurance
def test_a_raised_budget_continues_as_if_it_had_been_there_from_the_beginning(store: Store, tmp_path: Path) -> None:
    if not samplers.is_installed("tpe"):
        pytest.skip("optuna is not installed")
    whole = searched(Store(str(tmp_path / "whole.db")), study(method="tpe", trials=14, parallel=2))
    first = searched(store, study(method="tpe", trials=12, parallel=2))
    assert searched(store, study(method="tpe", trials=14, parallel=2)) == whole
    assert first == whole[:12]
    with pytest.raises(RecipeError, match="a budget may only be raised"):
        execution_of(study(method="tpe", trials=13, parallel=2), store)
    searched(store, study(method="tpe", trials=3, parallel=1))  # another search
    assert listed(store, "found@1") == whole
    assert len(listed(store)) == 3


def test_stored_trials_answer_at_once_and_warm_the_start(store: Store) -> None:
    jobs = searched(store, study())
    before = finished(store)
    execution, feed = execution_of(study("again", seed=1), store)
    for _ in execution:
        pass
    assert len(execution.workers.processes) == 0
    assert finished(store) == before
    assert all(one.reused for one in feed.course.told)
    warm = execution_of(study("warm", warm_start=True, seed=5), store)[1]
    shown = {tuple(values.items()): scores for values, scores in warm.resolved.shown}
    assert shown == {tuple(job[1].items()): job[4] for job in jobs}


def finished(store: Store) -> dict[str, float]:
    return {row["key"]: row["finished"] for row in queries.trials(store.database)[0]}


def test_warm_trials_of_conditional_spaces_and_patches_are_recognised(store: Store) -> None:
    axes = {
        "net": {"small": {"model": {"hidden": [4]}}, "large": {"model": {"hidden": [8, 4]}}},
        "optimizer": {"key": "optimizer", "values": ["adam", "momentum"]},
        "momentum": {"key": "optimizer.momentum", "low": 0.5, "high": 0.9, "when": {"optimizer": "momentum"}},
        "rate": RATE,
    }
    jobs = searched(store, study(axes=axes, trials=8))
    warm = execution_of(study("warm", axes=axes, warm_start=True), store)[1]
    assert {repr(values) for values, _ in warm.resolved.shown} == {repr(job[1]) for job in jobs}


def test_axes_that_share_a_trajectory_are_searched(store: Store) -> None:
    axes = {"epochs": {"key": "budget.iterations", "values": [5, 10, 15, 20]}}
    jobs = searched(store, study(axes=axes, trials=9, parallel=4))
    assert sorted(job[1]["epochs"] for job in jobs) == [5, 10, 15, 20]


def test_a_diverged_trial_is_told_the_worst_and_never_stops_a_search(store: Store) -> None:
    axes = {"rate": {"key": "optimizer.learning_rate", "values": [0.01, 1e30, 0.02, 1e35]}}
    made = study(axes=axes, trials=4, objective="loss")
    made = made.patched({"baseline": {"optimizer": "descent", "loss": "mse"}})
    jobs = searched(store, made)
    outcomes = {row["key"]: row["outcome"] for row in queries.trials(store.database)[0]}
    assert sorted(outcomes.values()) == ["completed", "completed", "diverged", "diverged"]
    for n, (_, _, key, _, scores) in enumerate(jobs):
        if outcomes[key] == "diverged":
            assert scores == max([job[4] for job in jobs[:n]], default=(10.0,))


def test_what_was_told_stands_when_a_trial_is_mended_or_removed(store: Store) -> None:
    jobs = searched(store, study())
    key = jobs[2][2]
    with store.database.write() as connection:
        connection.execute(sa.update(result).where(result.c.trial == key).values(outcome="failed", accuracy=0.5))
    assert searched(store, study(), retry=True) == jobs
    assert store.outcomes([key]) == {key: "completed"}
    store.remove(trials=[key])
    assert searched(store, study()) == jobs
    assert store.outcomes([key]) == {key: "completed"}
    assert [row["trials"] for row in queries.studies(store.database)] == [6]


def test_a_decision_that_a_repair_removes_is_decided_again(store: Store) -> None:
    jobs = searched(store, study())
    with store.database.write() as connection:
        connection.execute(sa.update(search_job).where(search_job.c.n == 3).values(axis_values="[]"))
    assert [defect.kind for defect in integrity.check(store)] == ["unreadable"]
    with pytest.raises(AssayError, match="cannot be read"):
        execution_of(study(), store)[1].register()
    assert any("running its search again decides it" in sentence for sentence in integrity.repair(store))
    assert searched(store, study()) == jobs


def test_another_design_of_the_name_keeps_the_search_aside(store: Store) -> None:
    jobs = searched(store, study())
    assay.run({"name": "found", "design": "one-at-a-time", "engine": "numpy", "baseline": TINY}, store=store.name)
    assert listed(store, "found@1") == jobs
    assert Searches(store.database).named("found") is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (sa.update(schema.study).values(definition="[]"), "the study 'found' cannot be read: study.definition"),
        (sa.update(schema.search).values(method="bayes"), "the stored search has an unknown method 'bayes'"),
        (sa.update(search_job).values(told=None), "cannot be read: result.curve: is no stored curve"),
    ],
)
def test_a_damaged_search_is_a_sentence(store: Store, change: sa.Update, sentence: str) -> None:
    searched(store, study(trials=1))
    with store.database.write() as connection:
        connection.execute(change)
        connection.execute(sa.update(result).values(curve=b"AC"))
    with pytest.raises(StoreError, match=re.escape(sentence)):
        searched(store, study(trials=1))


def test_axes_in_another_order_are_another_search(store: Store) -> None:
    register = execution_of(study(), store)[1].register
    register()
    register()
    searches = Searches(store.database)
    assert searches.stored(study()) is not None
    reordered = study(axes=dict(reversed(AXES.items())))
    assert searches.stored(reordered) is None
    assert "a new search begins" in searches.change(reordered)
    small, large = {"model": {"hidden": [4]}}, {"model": {"hidden": [8]}}
    execution_of(study("nets", axes={"net": {"a": small, "b": large}}), store)[1].register()
    assert searches.stored(study("nets", axes={"net": {"a": small, "b": large}})) is not None
    assert searches.stored(study("nets", axes={"net": {"b": large, "a": small}})) is None


def test_a_search_that_keeps_its_winner_keeps_the_weights_of_the_best_trial_alone(store: Store) -> None:
    made = study(keep="winners")
    jobs = searched(store, made)
    best = max(jobs, key=lambda job: job[4])[2]
    assert {job[2] for job in jobs if store.history(job[2]) is not None} == {best}


def test_what_cannot_begin_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="none of 200 random points is valid; the first one: parameters <= 3"):
        execution_of(study(constraints="parameters <= 3"), store)
    monkeypatch.setattr(samplers.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RecipeError, match="'gp' needs optuna and torch"):
        execution_of(study(method="gp"), store)
    with pytest.raises(AssayError, match="a search keeps the scores"):
        assay.run(study(), store=store.name, again=True)


def test_the_estimate_is_that_of_what_is_left_of_the_budget(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.execution.search.estimated", lambda jobs, *_: {job.trajectory: 2.0 for job in jobs})
    searched(store, study(trials=6))
    assert execution_of(study(trials=16), store)[1].seconds() == 20.0
    assert execution_of(study(trials=16, seed=2), store)[1].seconds() == 32.0
    assert execution_of(study(trials=16, seed=2, seconds=9), store)[1].seconds() == 9.0
    operations = execution_of(study(trials=None, flops=1e12, axes={"rate": RATE}), store)[1]
    assert operations.seconds() == pytest.approx(2.0 * 1e12 / operations._example.trial.flops)


# --- ask and tell ----------------------------------------------------------------------------------------------------


def test_the_same_scores_give_the_same_suggestions_in_any_order() -> None:
    made = study(method="tpe" if samplers.is_installed("tpe") else "random", trials=16, parallel=3)

    def run(order: random.Random) -> list[Any]:
        search, waiting, suggested = assay.Search(made), [], []
        while True:
            while len(waiting) < 3 and len(suggested) < 16:
                try:
                    suggested.append(search.ask())
                except AssayError:
                    break
                waiting.append(suggested[-1])
            if not waiting:
                return [(one.n, one.values, one.recipe) for one in suggested]
            one = waiting.pop(order.randrange(len(waiting)))
            search.tell(one, one.values["rate"] if one.n != 4 else None)

    assert run(random.Random(1)) == run(random.Random(2))


def test_asking_too_early_and_telling_wrongly_is_said() -> None:
    search = assay.Search(study(trials=2))
    first = search.ask()
    assert first is not None
    with pytest.raises(AssayError, match="parallel = 1; tell the score of suggestion 0 first"):
        search.ask()
    with pytest.raises(AssayError, match="suggestion 7 is unknown"):
        search.tell(7, 0.5)
    with pytest.raises(AssayError, match="got 2 scores; expected 1: accuracy"):
        search.tell(first, (0.5, 0.5))
    search.tell(first, 0.5)
    with pytest.raises(AssayError, match="told before"):
        search.tell(first, 0.5)
    search.tell(search.ask() or 1, float("nan"))
    assert search.ask() is None
    assert (search.ended, search.best) == ("2 of 2 trials", [first])
    with pytest.raises(RecipeError, match="only a search can be asked"):
        assay.Search({"design": "one-at-a-time"})


def test_costs_that_the_search_counts_are_asked_for_and_constraints_are_kept() -> None:
    in_seconds = assay.Search(study(timing="isolated", trials=3, constraints="seconds <= 5"))
    n = in_seconds.ask() or 0
    with pytest.raises(AssayError, match="tell: seconds is missing; the search has a limit on it"):
        in_seconds.tell(n, 0.5)
    with pytest.raises(AssayError, match="tell: seconds: got nan; expected a number of at least 0"):
        in_seconds.tell(n, 0.5, seconds=float("nan"))
    with pytest.raises(AssayError, match="expected a number for each objective: accuracy"):
        in_seconds.tell(n, "good", seconds=1)  # pyright: ignore[reportArgumentType]
    in_seconds.tell(n, np.float32(0.5), seconds=1)  # pyright: ignore[reportArgumentType]
    in_seconds.tell(in_seconds.ask() or 1, 0.9, seconds=6)  # breaks the constraint
    assert [one.n for one in in_seconds.best] == [0]
    assert [one.scores for one in in_seconds._course.told] == [(0.5,), (0.5,)]
    in_operations = assay.Search(study(trials=None, flops=1_500))
    while (suggestion := in_operations.ask()) is not None:
        in_operations.tell(suggestion, 0.5, flops=10)
    assert in_operations.ended == "1,500 of 1,500 operations"


# --- crashes ---------------------------------------------------------------------------------------------------------

DRIVER = """
import sys
from assay.execution.search import execution_of
from assay.store.store import Store
from assay.studies.study import Study
from assay.recipe.toml import read_toml
from pathlib import Path
store = Store(sys.argv[2])
execution, feed = execution_of(Study.parse(read_toml(Path(sys.argv[1]))), store)
for _ in execution:
    pass
"""
KILLS = int(os.environ.get("ASSAY_TEST_KILLS", "2"))  # of each method: 20 take most of an hour on two cores
TRIALS = {"random": 14, "tpe": 16, "cmaes": 14, "nsga2": 14, "gp": 13}


def started(folder: Path, made: Study) -> subprocess.Popen[str]:
    from assay.recipe.toml import toml_text

    (folder / "study.toml").write_text(toml_text(made.raw))
    words = [sys.executable, "-c", DRIVER, "study.toml", "store.db"]
    return subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def check_kills(
    folder: Path,
    method: str,
    parallel: int,
    *,
    drivers: int,
    kills: int,
    seed: int,
    trials: int | None = None,
    **search: Any,
) -> int:
    """Kills drivers at random instants until the search has ended; returns how often one was killed at work."""
    if not samplers.is_installed(method):
        pytest.skip(f"{method} is not installed")
    trials = trials or TRIALS[method]
    made = study(method=method, trials=trials, parallel=parallel, **search)
    whole = searched(Store(str(folder / "whole.db")), made)
    chance, killed, cases = random.Random(seed), 0, 0
    while killed < kills:
        cases += 1
        assert cases < 5 * kills
        case = folder / f"case{cases}"
        case.mkdir()
        while True:
            running = [started(case, made) for _ in range(drivers)]
            begin = time.monotonic()
            wait_for_decision(case, chance.randrange(0, len(whole)), running)
            time.sleep(chance.uniform(0.0, 0.05))
            if killed < kills and any(one.poll() is None for one in running):
                one = chance.choice([one for one in running if one.poll() is None])
                one.send_signal(signal.SIGKILL)
                killed += 1
            errors = [one.communicate(timeout=120)[1] for one in running]
            assert time.monotonic() - begin < 120
            assert all(one.returncode in (0, -signal.SIGKILL) for one in running), errors
            if any(one.returncode == 0 for one in running):
                break
        store = Store(str(case / "store.db"))
        assert listed(store) == whole
        # a driver that was killed leaves its lease, and between a commit and the removal of what it replaced an orphan
        assert not [defect for defect in integrity.check(store) if defect.kind not in ("lease", "orphan")]
        store.close()
    return killed


def wait_for_decision(folder: Path, n: int, running: list[subprocess.Popen[str]]) -> None:
    """Waits until a decision is stored, or the drivers have ended."""
    while any(one.poll() is None for one in running):
        if (folder / "store.db").exists():
            try:
                store = Store(str(folder / "store.db"), read_only=True)
                decided = len(listed(store))
                store.close()
            except AssayError:
                decided = 0
            if decided > n:
                return
        time.sleep(0.002)


@pytest.mark.endurance
def test_a_killed_search_ends_with_the_list_of_an_uninterrupted_one(tmp_path: Path) -> None:
    assert check_kills(tmp_path, "random", 2, drivers=1, kills=1, seed=1, trials=5) == 1


@pytest.mark.endurance
@pytest.mark.parametrize("parallel", [1, 2])
@pytest.mark.parametrize("method", TRIALS)
def test_a_search_that_is_killed_at_random_instants(method: str, parallel: int, tmp_path: Path) -> None:
    assert check_kills(tmp_path, method, parallel, drivers=1, kills=KILLS, seed=parallel) == KILLS


@pytest.mark.endurance
@pytest.mark.parametrize("method", ["random", "tpe", "cmaes"])
def test_two_drivers_of_a_search_of_which_one_is_killed(method: str, tmp_path: Path) -> None:
    assert check_kills(tmp_path, method, 2, drivers=2, kills=KILLS, seed=7) == KILLS


def test_a_search_continues_where_another_driver_has_finished_its_last_open_trial(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution, feed = execution_of(study(), store)
    other = Store(store.name)
    claim = execution.store.leases.claim_batch

    def finished_elsewhere(*arguments: Any) -> Any:
        monkeypatch.setattr(execution.store.leases, "claim_batch", claim)
        for _ in execution_of(study(trials=6), other)[0]:  # decides and trains everything
            pass
        return claim(*arguments)

    monkeypatch.setattr(execution.store.leases, "claim_batch", finished_elsewhere)
    for _ in execution:
        pass
    assert feed.ended == "6 of 6 trials"
    assert [one.n for one in feed.course.told] == list(range(6))
    assert listed(store) == listed(other)
