"""The queue of a run: claiming, finishing and noting cost the same at the last trial as at the first, however many."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from assay.execution.active import ActiveBatch
from assay.execution.queue import Queue
from assay.execution.runner import Execution
from assay.store.endings import Ending
from assay.store.store import Store
from assay.studies.plan import Member, Plan, plan
from assay.studies.study import Study
from assay.workers.eta import Estimates
from tests.store.makers import made_end

SMALL, BATCH = 1_000, 20
CASE = {"design": "one-at-a-time", "engine": "numpy", "timing": "packed", "baseline": {"budget": {"iterations": 10}}}


def planned(count: int) -> Plan:
    """A plan of so many trials of one form, made without planning each."""
    one = plan(Study.parse(CASE))
    (first,) = one.trials.values()
    trials = {f"{n:032x}": replace(first, key=f"{n:032x}", trajectory=f"{n + 2**64:032x}") for n in range(count)}
    members = tuple(Member(key, f"number {key}", {}, 0) for key in trials)
    return replace(one, members=members, trials=trials, examples=dict.fromkeys(trials, 1437), requested=count)


def stored(made: Plan, path: Path) -> Store:
    """A store with the trials of a plan."""
    store = Store(str(path))
    rows = [(trial.key, trial.trajectory) for trial in made.trials.values()]
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.executemany("INSERT INTO trajectory (key, iteration, losses) VALUES (?2, 0, 0)", rows)
        connection.executemany(
            "INSERT INTO trial (key, trajectory, recipe, data, created) VALUES (?1, ?2, '{}', 'digits', 0)", rows
        )
    connection.close()
    return store


def steps(store: Store, work: Callable[[], object]) -> dict[str, int]:
    """The calls of functions and the steps of SQLite's machine that some work takes."""
    counts = {"calls": 0, "sql": 0}

    def count_calls(frame: Any, event: str, argument: Any) -> None:
        counts["calls"] += event in ("call", "c_call")

    def count_sql() -> int:
        counts["sql"] += 1
        return 0

    with store.database.engine.connect() as connection:  # the pool gives it to the transactions
        raw: Any = connection.connection.driver_connection
        raw.set_progress_handler(count_sql, 1)
    sys.setprofile(count_calls)
    try:
        work()
    finally:
        sys.setprofile(None)
        raw.set_progress_handler(None, 1)
    return counts


def one_batch(execution: Execution) -> None:
    """Everything that the driver does for a batch, but for sending it to a worker."""
    assert execution._claim()
    members = execution._pending.popleft()
    assert len(members) == BATCH
    active = execution._active[0] = ActiveBatch(members)
    ends = [Ending(held.lease, held.job.trials[0], made_end(held.job.trials[0])) for held in members]
    execution._finish(ends)
    active.open.clear()
    execution._batch_ended(0, active, 1.0)
    assert execution._status().done % BATCH == 0


def counted(count: int, folder: Path) -> dict[str, int]:
    """The steps that a batch takes at the end of a run of so many trials."""
    made = planned(count)
    store = stored(made, folder / f"{count}.db")
    execution = Execution(made, store)
    execution._estimates = Estimates(dict.fromkeys((t.trajectory for t in made.trials.values()), 1.0 / BATCH))
    execution.open.estimated_by(execution._estimates.of, sort=True)
    for trajectory in [job.trajectory for job in execution.open][: count - 10 * BATCH]:  # as if they had ended
        execution.open.close(trajectory, execution.trials)
    one_batch(execution)  # compiles the statements
    counts = steps(store, lambda: one_batch(execution))
    with store.database.read() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM result")).scalar_one() == 2 * BATCH
    store.close()
    return counts


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.endurance)])
def test_a_batch_takes_as_many_steps_at_the_last_trial_of_many_as_of_1_000(count: int, tmp_path: Path) -> None:
    few, many = counted(SMALL, tmp_path), counted(count, tmp_path)
    assert min(few.values()) > 100
    assert many["calls"] <= 1.02 * few["calls"]
    assert many["sql"] <= 1.02 * few["sql"]


def test_jobs_of_a_form_come_together_the_longest_first_and_what_is_left_comes_back_first() -> None:
    (first,) = plan(Study.parse(CASE)).trials.values()
    forms = ["a", "b", "a", "b", "c"]
    trials = [
        replace(first, key=f"{n}{k}", trajectory=f"{n}", form=form, iterations=10 + k)
        for n, form in enumerate(forms)
        for k in range(2)
    ]
    queue = Queue(trials)
    order = [job.trajectory for job in queue.free()]
    assert order == ["0", "2", "1", "3", "4"]
    assert ([queue.waiting(queue._forms[n]) for n in "01234"], len(queue)) == ([2, 2, 2, 2, 1], 5)
    seconds = {"0": 1.0, "1": 5.0, "2": 1.0, "3": 5.0, "4": 2.0}
    queue.estimated_by(seconds.__getitem__, sort=True)
    assert [job.trajectory for job in queue.free()] == ["1", "3", "4", "0", "2"]
    assert (queue.seconds, queue.longest) == (14.0, 5.0)
    queue.begin("1")
    assert (queue.seconds, [job.trajectory for job in queue.free()]) == (9.0, ["3", "4", "0", "2"])
    queue.close("1", {"10"})
    queue.elsewhere = {"3"}
    assert [(job.trajectory, len(job.trials)) for job in queue.free()] == [("1", 1), ("4", 2), ("0", 2), ("2", 2)]
    for trajectory in "01234":
        queue.close(trajectory, [trial.key for trial in trials])
    assert (list(queue), len(queue), queue.seconds) == ([], 0, 0.0)
