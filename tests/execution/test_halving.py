"""Halving in a store: what is trained and kept, the bits of promoted trainings, what tables say, and killed drivers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

import assay
from assay.execution.runner import Execution
from assay.execution.search import execution_of
from assay.execution.winners import winner
from assay.store import exchange, integrity
from assay.store.schema import result, search_job, trajectory
from assay.store.store import Store
from assay.studies.plan import plan_of_one
from assay.studies.search import samplers
from assay.studies.search.jobs import PROMOTION
from tests.execution.test_search import KILLS, RATE, check_kills, listed, searched, study

FIRST: dict[str, Any] = {"first": 2, "factor": 3}  # rungs of 2, 6, 18 and 20 iterations
SMALL: dict[str, Any] = {"first": 5, "factor": 2}  # of 5, 10 and 20


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store.db"))


def counting(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """The trajectory, the first and the last iteration of everything that workers get to train."""
    trained: list[tuple[str, int, int]] = []
    begin = Execution._begin

    def counted(self: Execution, number: int, members: Any) -> None:
        for held in members:
            start = 0 if held.start is None else held.start.iterations
            trained.append((held.job.trajectory, start, held.job.iterations))
        begin(self, number, members)

    monkeypatch.setattr(Execution, "_begin", counted)
    return trained


@pytest.mark.parametrize(("parallel", "brackets"), [(1, 1), (3, "all")])
def test_no_iteration_is_trained_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch, parallel: int, brackets: Any
) -> None:
    trained = counting(monkeypatch)
    made = study(trials=9, parallel=parallel, halving=SMALL | {"brackets": brackets})
    execution, feed = execution_of(made, store)
    for _ in execution:
        pass
    decisions = feed.course.decisions
    budgets = {decision.n: decision.budget or 20 for decision in decisions}
    differences = [budgets[d.n] - (budgets[d.parent] if d.parent is not None else 0) for d in decisions]
    assert min(differences) > 0
    assert sum(last - first for _, first, last in trained) == sum(differences)
    done = {(t, i) for t, first, last in trained for i in range(first, last)}
    assert len(done) == sum(differences)
    assert sum(d.kind == PROMOTION for d in decisions) >= 3
    costs = {one.n: one.flops for one in feed.course.told}
    with store.database.read() as connection:
        flops = dict(connection.execute(sa.select(result.c.trial, result.c.flops)).all())  # pyright: ignore
    last = [d for d in decisions if d.n not in {other.parent for other in decisions}]
    assert sum(costs.values()) == pytest.approx(sum(flops[d.trial] for d in last))


@pytest.mark.parametrize("engine", ["native", "numpy"])
def test_promoted_trainings_have_the_bits_of_uninterrupted_ones(store: Store, tmp_path: Path, engine: str) -> None:
    made = study(keep="checkpoint", trials=4, parallel=2, halving=SMALL, engine=engine)
    made = made.patched({"baseline": {"schedule": "cosine", "log": {"every": "7 iterations"}}})
    execution, feed = execution_of(made, store)
    for _ in execution:
        pass
    whole = Store(str(tmp_path / "whole.db"))
    full = [d for d in feed.course.decisions if d.rung is None]
    assert full
    for decision in full:
        recipe = feed.points.planned(decision.values).candidate.recipe
        plan = plan_of_one(recipe, made.settings)
        assert list(plan.trials) == [decision.trial]
        for _ in Execution(plan, whole):
            pass
        promoted, alone = store.history(decision.trial), whole.history(decision.trial)
        assert promoted is not None
        assert alone is not None
        assert [curve_of(point) for point in promoted.points] == [curve_of(point) for point in alone.points]
        for name, weights in alone.checkpoint.weights.items():
            assert np.array_equal(promoted.checkpoint.weights[name], weights), name


def curve_of(point: Any) -> tuple[Any, ...]:
    return (point.iteration, point.train_loss, point.test_loss, point.test_accuracy)


def test_only_full_trainings_have_the_key_of_the_full_budget(store: Store) -> None:
    execution, feed = execution_of(study(trials=4, halving=SMALL), store)
    for _ in execution:
        pass
    in_full = {d.values["rate"] for d in feed.course.decisions if d.rung is None}
    assert len(in_full) == 1
    for decision in feed.course.decisions:
        key = feed.points.planned(decision.values).trial.key
        assert (key in store.outcomes([key])) == (decision.values["rate"] in in_full)
        assert store.outcomes([decision.trial]) == {decision.trial: "completed"}
    best = feed.course.best()[0][0]
    assert winner(store, "found")[:2] == (best.trial, best.label)
    assert best.rung is None


@pytest.mark.parametrize(("keep", "kept"), [("nothing", 0), ("winners", 1), ("checkpoint", 7)])
def test_rungs_keep_their_weights_until_the_search_ends(store: Store, keep: str, kept: int) -> None:
    execution, feed = execution_of(study(keep=keep, trials=4, halving=SMALL), store)
    most = 0
    for _ in execution:
        most = max(most, weights_in(store))
    assert len(feed.course.decisions) == 7
    assert most >= 3
    assert weights_in(store) == kept
    with store.database.read() as connection:
        starts = connection.execute(sa.select(trajectory.c.checkpoint).where(trajectory.c.checkpoint.is_not(None)))
        assert len(starts.all()) == min(kept, 4)
    assert not integrity.check(store)


def weights_in(store: Store) -> int:
    with store.database.read() as connection:
        query = sa.select(sa.func.count()).select_from(result).where(result.c.artifact.is_not(None))
        return int(connection.execute(query).scalar_one())


def test_tables_and_charts_have_each_point_once_and_say_where_it_was_stopped(store: Store, tmp_path: Path) -> None:
    jobs = searched(store, study(trials=4, halving=SMALL))
    results = assay.Results(store, "found")
    frame = results.frame().set_index("configuration")
    assert len(frame) == 4
    rows = {str(label): row for label, row in frame.iterrows()}
    stopped = {int(label.rpartition(" ")[2][:-1]): row for label, row in rows.items() if "stopped at rung" in label}
    assert {rung: row["iterations"] for rung, row in stopped.items()} == {0: 5, 1: 10}
    assert sorted(frame["iterations"]) == [5, 5, 10, 20]
    assert set(results.curves()["trial"]) == set(frame["trial"])
    exchange.export(store, tmp_path / "export")
    other = Store(str(tmp_path / "other.db"))
    exchange.read_back(other, tmp_path / "export")
    assert listed(other) == jobs
    assert assay.Results(other, "found").frame()["configuration"].tolist() == list(frame.index)
    assert searched(other, study(trials=4, halving=SMALL)) == jobs
    assert store.remove(studies=["found"]) == 7


def test_what_a_search_with_halving_says(store: Store) -> None:
    execution, feed = execution_of(study(trials=4, halving=SMALL), store)
    assert "successive halving, rungs of 5, 10, 20 iterations, 1 of 2 promoted" in feed.about()
    for _ in execution:
        pass
    assert (
        "4 points, 3 promotions, 1 trained in full, selected on test; the search ended: 4 of 4 trials"
        in (feed.sentences()[-1])
    )
    assert [job["kind"] for job in feed.plain()["jobs"]] == ["suggestion"] * 4 + ["promotion"] * 3
    with store.database.read() as connection:
        columns = (search_job.c.rung, search_job.c.budget, search_job.c.parent)
        rows = connection.execute(sa.select(*columns).order_by(search_job.c.n)).all()
    assert [tuple(row)[:2] for row in rows] == [*[(0, 5)] * 4, (1, 10), (1, 10), (None, None)]
    short = execution_of(study("short", trials=None, flops=1.0, halving=SMALL), store)
    for _ in short[0]:
        pass
    assert short[1].sentences()[0] == "no trial with the full budget has a score that counts"


def test_a_diverged_rung_is_not_promoted(store: Store) -> None:
    axes = {"rate": {"key": "optimizer.learning_rate", "values": [0.01, 1e30, 0.02, 1e35]}}
    made = study(axes=axes, trials=4, objective="loss", halving=SMALL)
    made = made.patched({"baseline": {"optimizer": "descent", "loss": "mse"}})
    execution, feed = execution_of(made, store)
    for _ in execution:
        pass
    rates = {d.values["rate"] for d in feed.course.decisions if d.rung != 0}
    assert rates <= {0.01, 0.02}
    assert feed.course.best()[0][0].values["rate"] in rates


def test_a_rung_that_another_study_has_stored_without_weights_is_trained_again_when_promoted(store: Store) -> None:
    axes = {"rate": RATE}
    first, _ = execution_of(study("first", axes=axes, trials=4, halving=SMALL), store)
    for _ in first:
        pass
    again, second = execution_of(study("second", axes=axes, trials=4, halving=SMALL | {"first": 10}), store)
    for _ in again:
        pass
    assert [d.rung for d in second.course.decisions] == [0, 0, None, 0, 0, None]
    assert all(one.measured is not None for one in second.course.told)
    assert sum(one.reused for one in second.course.told) >= 2


def test_ask_and_tell_says_the_budget_of_each_suggestion() -> None:
    search = assay.Search(study(trials=4, halving=SMALL))
    asked = []
    while (suggestion := search.ask()) is not None:
        asked.append(suggestion)
        search.tell(suggestion, 0.1 * suggestion.n)
    assert [(s.rung, s.parent, s.recipe.budget.iterations) for s in asked] == [
        *[(0, None, 5)] * 4,
        (1, 3, 10),
        (1, 2, 10),
        (None, 5, 20),
    ]
    assert [best.n for best in search.best] == [6]


def test_the_command_line_has_halving(invoke: Any, tmp_path: Path) -> None:
    words = ["search", "--space", "optimizer.lr=1e-3..1:log", "--method", "random", "--trials", "4", "--name", "found"]
    tiny = ["--set", "model.hidden=[4]", "--set", "budget.iterations=20", "--engine", "numpy"]
    halving = ["--halving", "factor=2, first=5 iterations", "--prior"]
    code, out, err = invoke(*words, *tiny, *halving, "--save-study", "found.toml")
    assert code == 0, err
    assert "4 points, 3 promotions, 1 trained in full" in out
    assert "stopped at" in out  # in a table that breaks lines
    assert "half of the suggestions near the baseline" in err
    code, out, err = invoke("run", "found.toml", "--json")
    assert code == 0, err
    assert len(json.loads(out)["search"]["jobs"]) == 7
    assert "halving" in (tmp_path / "found.toml").read_text()
    code, out, err = invoke(*words, "--save-study", "-", "--plan", "--halving", "first=5 iterations", *tiny)
    assert code == 0, err
    assert '[search.halving]\nfirst = "5 iterations"' in out
    code, _, err = invoke(*words, *tiny, "--halving", "first")
    assert (code, "--halving: 1 error" in err) == (2, True)


# --- killed drivers --------------------------------------------------------------------------------------------------

WAYS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "halving": ("random", 9, FIRST),
    "hyperband": ("random", 12, SMALL | {"brackets": "all"}),
    "halving of tpe": ("tpe", 12, SMALL),
}


@pytest.mark.endurance
def test_a_halving_that_is_killed_continues(tmp_path: Path) -> None:
    assert check_kills(tmp_path, "random", 2, drivers=2, kills=1, seed=3, trials=4, halving=SMALL) == 1


@pytest.mark.endurance
@pytest.mark.parametrize(("parallel", "drivers"), [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("way", WAYS)
def test_a_halving_that_is_killed_at_random_instants(way: str, parallel: int, drivers: int, tmp_path: Path) -> None:
    method, trials, halving = WAYS[way]
    if not samplers.is_installed(method):
        pytest.skip(f"{method} is not installed")
    options: dict[str, Any] = {"drivers": drivers, "kills": KILLS, "trials": trials, "halving": halving}
    assert check_kills(tmp_path, method, parallel, seed=parallel + drivers, **options) == KILLS
