"""Batches of packed trials: trained as cohorts, and one bad member costs the others nothing."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import assay
from assay.analysis.effort import comparable
from assay.analysis.frames import same_clock
from assay.errors import AssayError, StoreError
from assay.execution.batches import BatchSizes, form_of
from assay.execution.runner import Execution
from assay.results.results import Results
from assay.store import queries
from assay.store.store import Store
from assay.studies.plan import Plan, plan
from assay.studies.study import Study
from assay.system.machine import usable_cores
from assay.training.outcome import Outcome
from assay.workers.pool import Workers

TINY = {"budget": {"iterations": 20}, "model": {"hidden": [4]}, "log": 10}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store.db"))


@pytest.fixture(autouse=True)
def _one_worker_and_known_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of ten trials from the first one on."""
    core = usable_cores()[0]
    monkeypatch.setattr("assay.execution.executors.usable_cores", lambda: [core])
    monkeypatch.setattr("assay.execution.runner.estimated", lambda jobs, *_: {job.trajectory: 0.1 for job in jobs})


def planned(**raw: Any) -> Plan:
    settings = {"design": "one-at-a-time", "engine": "numpy", "timing": "packed", "repeats": 10, "baseline": TINY}
    return plan(Study.parse(settings | raw))


def executed(made: Plan, store: Store, **options: Any) -> Execution:
    execution = Execution(made, store, **options)
    assert execution.seconds > 0
    for _ in execution:
        pass
    return execution


def cohorts(store: Store) -> dict[int, int]:
    """The size of each trial's cohort, by its seed."""
    with store.database.read() as connection:
        rows = connection.execute(sa.text("SELECT seed, cohort FROM result JOIN trial ON trial.key = result.trial"))
        return {row.seed: row.cohort for row in rows}


def test_a_batch_gives_what_single_trainings_give(store: Store) -> None:
    executed(planned(), store)
    assert cohorts(store) == dict.fromkeys(range(1, 11), 10)
    for row in Results(store, "study").frame().to_dict("records"):
        alone = assay.fit({**TINY, "seed": row["seed"]}, engine="numpy")
        assert (row["test_loss"], row["accuracy"]) == (alone.final.test_loss, alone.accuracy)
        kept = store.result(row["trial"])
        assert kept is not None
        assert kept.cohort == 10
        for name, weights in alone.checkpoint.weights.items():
            assert kept.checkpoint.weights[name].tobytes() == weights.tobytes()


def test_a_longer_budget_resumes_as_a_batch(store: Store, tmp_path: Path) -> None:
    executed(planned(), store)
    longer = planned(baseline=TINY | {"budget": {"iterations": 40}})
    executed(longer, store)
    whole = Store(str(tmp_path / "whole.db"))
    executed(longer, whole)
    frames = [
        Results(s, "study").curves().drop(columns=["seconds"]).sort_values(["trial", "iteration"])
        for s in (store, whole)
    ]
    assert frames[0].reset_index(drop=True).equals(frames[1].reset_index(drop=True))
    executed(planned(baseline=TINY | {"budget": {"iterations": 10}}), store)
    rows = queries.trials(store.database, ["budget=10"])[0]
    assert [row["iterations"] for row in rows] == [10] * 10
    assert all("read off" in row["reason"] for row in rows)


@pytest.mark.parametrize(
    ("how", "outcome", "reason"),
    [
        ("in a batch", Outcome.COMPLETED, "20 iterations done"),
        ("always", Outcome.OUT_OF_MEMORY, "MemoryError: out of memory"),
        pytest.param(
            "killed",
            Outcome.LOST,
            "the worker was killed by SIGKILL; tried 4 times",
            marks=pytest.mark.endurance,  # each attempt starts a worker
        ),
    ],
)
def test_a_member_that_fails_costs_the_others_nothing(
    how: str, outcome: Outcome, reason: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILING", how)
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parents[2]}:{Path(assay.__file__).parents[1]}")
    failing = partial(Workers, module="tests.execution.failing_worker")
    monkeypatch.setattr("assay.execution.executors.Workers", failing)
    made = planned()
    execution = executed(made, store)
    seeds = {trial.recipe.seed: execution.outcomes[key] for key, trial in made.trials.items()}
    assert seeds == {seed: outcome if seed == 5 else Outcome.COMPLETED for seed in range(1, 11)}
    bad = next(row for row in queries.trials(store.database)[0] if row["seed"] == 5)
    assert queries.one_trial(store.database, bad["key"])["reason"] == reason
    assert cohorts(store)[1] == 2  # 10, 5, then 2 and 3 members
    assert cohorts(store)[10] == 5
    with store.database.read() as connection:
        assert not connection.execute(sa.text("SELECT 1 FROM trajectory WHERE token IS NOT NULL")).first()


REFUSED = "CREATE TRIGGER refuse BEFORE INSERT ON result WHEN {} BEGIN SELECT RAISE(ABORT, 'refused'); END"


def test_a_row_that_the_database_refuses_is_stored_as_failed_and_the_others_as_they_are(store: Store) -> None:
    made = planned()
    bad = next(key for key, trial in made.trials.items() if trial.recipe.seed == 5)
    with store.database.write() as connection:
        connection.exec_driver_sql(REFUSED.format(f"NEW.trial = '{bad}' AND NEW.accuracy IS NOT NULL"))
    executed(made, store)
    rows = {row["seed"]: row for row in queries.trials(store.database)[0]}
    assert {seed for seed, row in rows.items() if row["outcome"] == "completed"} == set(range(1, 11)) - {5}
    assert queries.one_trial(store.database, bad)["reason"] == "its result does not fit the store: refused"


def test_a_trial_that_cannot_be_stored_at_all_ends_the_run_after_the_others_are(store: Store) -> None:
    made = planned()
    bad = next(key for key, trial in made.trials.items() if trial.recipe.seed == 5)
    with store.database.write() as connection:
        connection.exec_driver_sql(REFUSED.format(f"NEW.trial = '{bad}'"))
    with pytest.raises(StoreError, match=f"trial {bad[:8]} cannot be stored: refused"):
        executed(made, store)
    assert {row["seed"] for row in queries.trials(store.database, ["outcome=completed"])[0]} == set(range(1, 11)) - {5}


def test_trials_whose_seconds_are_judged_alone_are_trained_alone() -> None:
    assert form_of(planned().jobs[0]) is not None
    assert form_of(planned(timing="isolated").jobs[0]) is None
    assert form_of(planned(baseline=TINY | {"stop": {"seconds": 5}}).jobs[0]) is None
    assert form_of(planned(baseline=TINY | {"log": "1 s"}).jobs[0]) is None
    assert len({form_of(job) for job in planned().jobs}) == 1
    other = planned(baseline=TINY | {"batches": {"size": 16}})
    assert form_of(other.jobs[0]) != form_of(planned().jobs[0])


def test_a_batch_is_worth_a_second_and_leaves_the_other_workers_their_part() -> None:
    sizes = BatchSizes(2)
    assert sizes.of("form", estimate=0.0, waiting=100) == 1  # nothing is known
    assert sizes.of("form", estimate=0.05, waiting=100) == 20
    assert sizes.of("form", estimate=0.05, waiting=10) == 5
    assert sizes.of("form", estimate=1e-6, waiting=10**6) == 256
    assert sizes.of("form", estimate=3.0, waiting=100) == 1
    assert sizes.of(None, estimate=0.001, waiting=100) == 1
    sizes.done("form", 10, 5.0)
    assert sizes.of("form", estimate=0.05, waiting=100) == 2  # by what was measured


def test_shared_seconds_do_not_compare_with_those_of_trials_alone(store: Store) -> None:
    executed(planned(name="a", repeats=3), store)
    executed(planned(name="b", repeats=4), store)  # the fourth is trained alone
    frame = Results(store, "b").frame()
    assert frame["cohort"].tolist() == [3, 3, 3, 1]
    kept, sentence = comparable(frame)
    assert kept["cohort"].tolist() == [3, 3, 3]
    assert sentence.startswith("left out: 1 trial packed on machine ")
    with pytest.raises(AssayError, match=r"3 trials packed in cohorts on machine .*; 1 trial packed on"):
        same_clock(frame)
    fair, left_out = Results(store, "b").comparable()
    assert left_out.startswith("times and efforts leave out 1 trial packed on machine ")
    assert fair.frame()["seconds"].isna().tolist() == [False, False, False, True]
    assert fair.frame()["accuracy"].tolist() == frame["accuracy"].tolist()
    assert fair.summary()["effort"].iloc[0] == pytest.approx(frame["effort"][:3].median())
