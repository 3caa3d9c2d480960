"""What a store says of the studies in work: counts, drivers, throughput, what is left, failures."""

from __future__ import annotations

import sqlalchemy as sa

from assay.store.activity import WINDOW_SECONDS, status
from assay.store.leases import SECONDS, Lease
from assay.store.records import Finished
from assay.store.schema import member, result, study, trajectory
from assay.store.store import Store
from assay.studies.plan import Plan
from assay.training.outcome import Outcome
from tests.store.makers import made_end, made_plan


def registered(store: Store, seeds: int = 4, name: str = "made") -> Plan:
    made = made_plan(seeds, name)
    store.register(made)
    return made


def ended(store: Store, made: Plan, *, seconds_ago: float = 0.0, finished: Finished | None = None) -> str:
    """Trains the next job, as far as the store can tell; returns the key of its trial."""
    claimed = store.leases.claim(made.jobs)
    assert claimed
    lease, job = claimed
    (trial,) = job.trials
    store.finish(lease, trial, finished or made_end(trial))
    store.leases.release(lease)
    with store.database.write() as connection:
        at = store.database.now(connection) - seconds_ago
        connection.execute(sa.update(result).where(result.c.trial == trial.key).values(finished=at))
    return trial.key


def begun(store: Store, seconds_ago: float) -> None:
    """Sets when the studies were registered."""
    with store.database.write() as connection:
        connection.execute(sa.update(study).values(updated=store.database.now(connection) - seconds_ago))


def test_nothing_is_in_work_in_an_empty_store_or_where_all_have_ended(store: Store) -> None:
    assert status(store.database).studies == ()
    made = registered(store, 1)
    ended(store, made)
    current = status(store.database)
    assert (current.studies, current.idle, current.drivers, current.failures) == ((), (), (), ())


def test_open_trials_that_nobody_trains_are_idle(store: Store) -> None:
    registered(store)
    current = status(store.database)
    assert current.studies == ()
    assert current.idle == ("made",)


def test_a_study_is_in_work_while_a_process_holds_a_lease_of_it(store: Store) -> None:
    made = registered(store)
    ended(store, made, seconds_ago=300.0)
    claimed = store.leases.claim(made.jobs)
    assert claimed
    current = status(store.database)
    (one,) = current.studies
    assert (one.name, one.trials, one.ended, one.training) == ("made", 4, 1, 1)
    assert one.outcomes == {Outcome.COMPLETED: 1}
    assert one.best == 0.9
    (driver,) = current.drivers
    assert (driver.trajectories, driver.ended, driver.late) == (1, False, False)
    assert driver.unrenewed < 5.0
    store.leases.release(claimed[0])
    assert status(store.database).idle == ("made",)


def test_throughput_is_that_of_the_window_and_what_is_left_follows_from_it(store: Store) -> None:
    made = registered(store, 10)
    for seconds_ago in (900.0, 500.0, 100.0, 50.0):  # the first before the window
        ended(store, made, seconds_ago=seconds_ago)
    begun(store, 2000.0)
    assert store.leases.claim(made.jobs)
    (one,) = status(store.database).studies
    assert (one.ended, one.recent) == (4, 3)
    assert one.window == WINDOW_SECONDS
    assert one.per_second == 3 / 600
    assert one.eta_seconds == 6 / (3 / 600)
    begun(store, 200.0)  # a run that began within the window
    (one,) = status(store.database).studies
    assert one.recent == 2
    assert abs(one.window - 200.0) < 5.0
    assert abs((one.per_second or 0.0) - 0.01) < 0.0005


def test_no_throughput_is_made_up_from_a_moment_or_for_a_search(store: Store) -> None:
    made = registered(store)
    ended(store, made)
    assert store.leases.claim(made.jobs)
    (one,) = status(store.database).studies
    assert (one.per_second, one.eta_seconds) == (None, None)
    begun(store, 100.0)
    with store.database.write() as connection:
        connection.execute(sa.update(study).values(definition='{"design": "search", "name": "made"}'))
    (one,) = status(store.database).studies
    assert one.is_search
    assert one.per_second is not None
    assert one.eta_seconds is None


def test_a_trial_that_two_configurations_share_counts_once(store: Store) -> None:
    made = registered(store, 2)
    with store.database.write() as connection:
        row = dict(connection.execute(sa.select(member)).mappings().first() or {})
        connection.execute(sa.insert(member).values(**row | {"position": 2, "label": "as well"}))
    assert store.leases.claim(made.jobs)
    (one,) = status(store.database).studies
    assert (one.trials, one.training) == (2, 1)


def test_drivers_that_have_ended_or_do_not_renew_are_told_from_those_at_work(store: Store) -> None:
    made = registered(store)
    held = [claimed[0] for _ in range(3) if (claimed := store.leases.claim(made.jobs))]
    first, second, _ = (lease.trajectory for lease in held)

    def change(key: str, **values: object) -> None:
        with store.database.write() as connection:
            connection.execute(sa.update(trajectory).where(trajectory.c.key == key).values(**values))

    change(first, started="1")  # of this machine, and no longer there
    with store.database.read() as connection:
        now = store.database.now(connection)
    change(second, host="elsewhere", boot="x", pid=7, expires=now + SECONDS - 40.0)  # renewed 40 s ago
    current = status(store.database)
    states = {(driver.host, driver.ended, driver.late) for driver in current.drivers}
    assert ("elsewhere", False, True) in states
    assert {(ended, late) for host, ended, late in states if host != "elsewhere"} == {(True, False), (False, False)}
    assert current.studies[0].training == 2  # what a process that has ended held is free
    change(second, expires=now - 1.0)  # expired, which only a server's clock decides
    assert status(store.database).studies[0].training == (1 if store.database.path is None else 2)


def test_failures_are_counted_and_the_latest_are_named(store: Store) -> None:
    made = registered(store)
    keys = [
        ended(store, made, seconds_ago=ago, finished=Finished(outcome, reason))
        for ago, outcome, reason in (
            (30.0, Outcome.OUT_OF_MEMORY, "above 1 GB"),
            (20.0, Outcome.FAILED, "an error"),
            (10.0, Outcome.DIVERGED, "the loss is nan"),
        )
    ]
    current = status(store.database, failures=1)
    (one,) = current.studies  # a trial ended less than a minute ago
    assert one.outcomes == {Outcome.OUT_OF_MEMORY: 1, Outcome.FAILED: 1, Outcome.DIVERGED: 1}
    (latest,) = current.failures
    assert (latest["trial"], latest["study"], latest["reason"]) == (keys[1], "made", "an error")
    assert len(status(store.database).failures) == 2


def test_a_lease_of_no_study_is_of_a_driver_alone(store: Store) -> None:
    made = made_plan(1)
    store.register(made)
    with store.database.write() as connection:
        connection.execute(sa.delete(member))
    claimed = store.leases.claim(made.jobs)
    assert isinstance(claimed and claimed[0], Lease)
    current = status(store.database)
    assert current.studies == ()
    assert len(current.drivers) == 1
