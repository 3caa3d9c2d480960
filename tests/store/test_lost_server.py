"""A server that is lost: in a commit, between statements, restarted during a study; and pgbouncer in between."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from assay.errors import StoreError
from assay.store import database, exchange, integrity
from assay.store.endings import Ending, ends_stored
from assay.store.schema import result, trajectory
from assay.store.store import Store
from assay.studies.plan import Plan
from assay.training.checkpoints import to_bytes
from assay.training.outcome import Outcome
from tests.store.makers import made_end, made_history, made_plan
from tests.store.proxy import Proxy, proxy
from tests.store.servers import Server, pgbouncer, program, server

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def own() -> Generator[Server]:
    """A server that no other module uses, so that it may be stopped."""
    if program("initdb") is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    with server() as made:
        yield made


@pytest.fixture
def name(own: Server, request: pytest.FixtureRequest) -> Generator[str]:
    """The name of an empty database."""
    admin = sa.create_engine(own.url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with admin.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE lost"))
    yield "lost"
    with admin.connect() as connection:
        connection.execute(sa.text("DROP DATABASE lost WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def direct(own: Server, name: str) -> Generator[Store]:
    opened = Store(own.url.replace("/postgres", f"/{name}"))
    yield opened
    opened.close()


@pytest.fixture
def between(own: Server, direct: Store) -> Generator[Proxy]:
    with proxy(own.port) as made:
        yield made


@pytest.fixture
def store(own: Server, between: Proxy, name: str) -> Generator[Store]:
    """The same store through the proxy."""
    opened = Store(own.url.replace(f":{own.port}/postgres", f":{between.port}/{name}"))
    yield opened
    opened.close()


def cut(between: Proxy, at: bytes = b"COMMIT") -> None:
    between.cut_at, between.cuts, between.done = at, 1, 0


def registered(store: Store, seeds: int = 3) -> Plan:
    made = made_plan(seeds)
    store.register(made)
    return made


def tokens(store: Store) -> dict[str, str]:
    with store.database.read() as connection:
        rows = connection.execute(
            sa.select(trajectory.c.key, trajectory.c.token).where(trajectory.c.token.is_not(None))
        )
        return {row.key: row.token for row in rows}


def results(store: Store) -> list[str]:
    with store.database.read() as connection:
        return list(connection.execute(sa.select(result.c.outcome)).scalars())


@pytest.mark.parametrize("at", [b"COMMIT", b"UPDATE trajectory"])
def test_a_claim_whose_commit_is_cut_is_the_claim_that_was_committed(
    store: Store, direct: Store, between: Proxy, at: bytes
) -> None:
    made = registered(store)
    cut(between, at)
    claimed = store.leases.claim(made.jobs)
    assert claimed
    assert between.done == 1
    assert tokens(direct) == {claimed[0].trajectory: claimed[0].token}


@pytest.mark.parametrize("at", [b"COMMIT", b"INSERT INTO result"])
def test_a_result_whose_commit_is_cut_is_stored_once_and_accepted(
    store: Store, direct: Store, between: Proxy, at: bytes
) -> None:
    made = registered(store)
    claimed = store.leases.claim(made.jobs)
    assert claimed
    lease, job = claimed
    cut(between, at)
    end = replace(made_end(job.trials[0]), content=to_bytes(made_history(job.trials[0])))
    assert store.finish_all([Ending(lease, job.trials[0], end)], release=[lease]) == [True]
    assert between.done == 1
    assert results(direct) == ["completed"]
    assert tokens(direct) == {}
    assert integrity.check(direct) == []


def test_only_the_same_result_counts_as_the_one_of_a_cut_commit(store: Store) -> None:
    made = registered(store)
    claimed = store.leases.claim(made.jobs)
    assert claimed
    lease, job = claimed
    end = made_end(job.trials[0])
    assert store.finish_all([Ending(lease, job.trials[0], end)], release=[lease]) == [True]

    def again(ending: Ending) -> list[bool]:
        return ends_stored(store.database, store.artifacts, [ending], [], again=True).accepted

    assert again(Ending(lease, job.trials[0], end)) == [True]
    assert again(Ending(lease, job.trials[0], made_end(job.trials[0], accuracy=0.8))) == [False]
    assert store.finish(lease, job.trials[0], end) is False  # without a lost attempt, the lease decides


def test_checkpoints_renewals_releases_and_losses_survive_a_cut_commit(
    store: Store, direct: Store, between: Proxy
) -> None:
    made = registered(store)
    claimed = store.leases.claim(made.jobs)
    assert claimed
    lease, job = claimed
    cut(between)
    store.checkpoint(lease, 5, to_bytes(made_history(job.trials[0])))
    assert between.done == 1
    assert direct.start_of(lease.trajectory) is not None
    cut(between)
    store.leases.renew([lease])
    assert between.done == 1
    assert tokens(direct) == {lease.trajectory: lease.token}
    cut(between)
    assert store.lost(lease, job.trials, "killed") is True  # it is tried again
    assert between.done == 1
    with direct.database.read() as connection:
        losses = sa.select(trajectory.c.losses).where(trajectory.c.key == lease.trajectory)
        assert connection.execute(losses).scalar() == 1
    claimed = store.leases.claim(made.jobs)
    assert claimed
    cut(between)
    store.leases.release(claimed[0])
    assert between.done == 1
    assert tokens(direct) == {}


def test_a_registration_whose_commit_is_cut_is_no_second_study(store: Store, direct: Store, between: Proxy) -> None:
    cut(between)
    made = registered(store)
    assert between.done == 1
    assert len(direct.outcomes(list(made.trials))) == 0
    with direct.database.read() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM study")).scalar() == 1
        assert connection.execute(sa.text("SELECT count(*) FROM member")).scalar() == 3


def test_an_error_of_the_transaction_itself_is_not_tried_again(store: Store) -> None:
    attempts: list[bool] = []

    def action(again: bool) -> None:
        attempts.append(again)
        with store.database.write() as connection:
            connection.execute(sa.text("INSERT INTO nowhere VALUES (1)"))

    with pytest.raises(StoreError, match="nowhere"):
        store.database.whole(action)
    assert attempts == [False]


def test_a_server_that_is_stopped_is_waited_for_and_this_is_said(
    own: Server, direct: Store, caplog: pytest.LogCaptureFixture
) -> None:
    made = registered(direct)
    own.stop()
    starting = threading.Timer(1.5, own.start)
    starting.start()
    with caplog.at_level(logging.WARNING, logger="assay.store"):
        assert direct.leases.claim(made.jobs)
    starting.join()
    assert [record.getMessage().split(";")[-1].strip()[:21] for record in caplog.records[:1]] == [
        "trying again for up t"
    ]
    assert "is back after" in caplog.records[-1].getMessage()


def test_a_server_that_stays_away_ends_with_a_sentence(own: Server, direct: Store, name: str) -> None:
    made = registered(direct)
    impatient = Store(own.url.replace("/postgres", f"/{name}"), patience=0.2)
    own.stop()
    try:
        with pytest.raises(StoreError, match="refused"):
            impatient.leases.claim(made.jobs)
    finally:
        own.start()


def test_drivers_at_the_same_time_train_every_trial_exactly_once(own: Server, direct: Store) -> None:
    made = registered(direct, 60)
    finished: list[str] = []
    errors: list[BaseException] = []

    def drive() -> None:
        opened = Store(direct.database.url.render_as_string(hide_password=False))
        try:
            while claimed := opened.leases.claim(made.jobs):
                lease, job = claimed
                if opened.finish_all([Ending(lease, job.trials[0], made_end(job.trials[0]))], release=[lease]) == [
                    True
                ]:
                    finished.append(job.trials[0].key)
        except BaseException as error:
            errors.append(error)
        finally:
            opened.close()

    drivers = [threading.Thread(target=drive) for _ in range(4)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert errors == []
    assert sorted(finished) == sorted(made.trials)  # none twice
    assert results(direct) == ["completed"] * 60
    assert integrity.check(direct) == []


def test_a_batch_has_no_more_jobs_than_it_may_although_its_rows_are_locked_in_several_queries(
    direct: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = registered(direct, 6)
    monkeypatch.setattr(database, "_KEYS", 2)
    claimed, _ = direct.leases.claim_batch(made.jobs, lambda _: (3, "alike"))
    assert len(claimed) == 3
    assert len(tokens(direct)) == 3


def test_claims_do_not_wait_for_each_other(direct: Store) -> None:
    made = registered(direct, 2)
    other = Store(direct.database.url.render_as_string(hide_password=False))
    first, second = made.jobs
    with direct.database.write(shared=True) as connection:
        locked = sa.select(trajectory.c.key).where(trajectory.c.key == first.trajectory).with_for_update()
        connection.execute(locked)
        begin = time.monotonic()
        claimed = other.leases.claim(made.jobs)
        assert time.monotonic() - begin < 5.0
        assert claimed
        assert claimed[0].trajectory == second.trajectory
        assert other.leases.claim([first]) is None
    assert other.leases.claim([first])
    other.close()


STUDY = """
name = "lost"
design = "one-at-a-time"
engine = "numpy"
repeats = 12
[baseline]
model = "2LR"
budget.iterations = 40
"""


def run(folder: Path, url: str, **environment: str) -> subprocess.Popen[str]:
    """`assay run` of 12 trials, one after the other."""
    (folder / "study.toml").write_text(STUDY)
    words = [sys.executable, "-m", "assay.cli", "run", "study.toml", "--yes", "--store", url]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, cwd=folder, env=os.environ | environment, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.endurance
def test_a_study_goes_on_after_a_crash_of_its_server(own: Server, direct: Store, tmp_path: Path) -> None:
    process = run(tmp_path, direct.database.url.render_as_string(hide_password=False))
    end = time.monotonic() + 60.0
    while len(results(direct)) < 3 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    assert process.poll() is None, "it ended before the crash; make the study longer"
    own.stop()
    time.sleep(0.5)
    own.start()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert results(direct) == ["completed"] * 12
    assert integrity.check(direct) == []


@pytest.mark.skipif(
    shutil.which("pgbouncer") is None and not Path("/usr/sbin/pgbouncer").exists(), reason="pgbouncer is not installed"
)
@pytest.mark.endurance
def test_a_study_through_pgbouncer_has_the_results_of_a_file(own: Server, direct: Store, tmp_path: Path) -> None:
    with pgbouncer(own) as address:
        processes = [run(tmp_path, address.replace("/postgres", "/lost")) for _ in range(2)]  # two drivers
        for process in processes:
            _, err = process.communicate(timeout=120)
            assert process.returncode == 0, err
            assert "Traceback" not in err
    plain = run(tmp_path, "file.db")
    plain.communicate(timeout=120)
    file = Store(str(tmp_path / "file.db"), read_only=True)
    query = sa.select(result.c.trial, result.c.outcome, result.c.test_loss).order_by(result.c.trial)
    rows: list[list[tuple[object, ...]]] = []
    for opened in (direct, file):
        with opened.database.read() as connection:
            rows.append([tuple(row) for row in connection.execute(query)])
    assert rows[0] == rows[1]
    assert len(rows[0]) == 12


@pytest.mark.endurance
def test_a_password_of_the_environment_opens_a_store_and_is_nowhere(tmp_path: Path) -> None:
    if program("initdb") is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    secret = "Correct-Horse-7"
    with server(password=secret) as made:
        refused = run(tmp_path, made.url, PGPASSWORD="wrong-one")
        out, err = refused.communicate(timeout=60)
        assert refused.returncode == 2
        assert "password authentication failed" in err
        opened = run(tmp_path, made.url, PGPASSWORD=secret)
        texts = opened.communicate(timeout=120)
        assert opened.returncode == 0, texts[1]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PGPASSWORD", secret)
            store = Store(made.url)
            exchange.export(store, tmp_path / "export")
            assert results(store) == [str(Outcome.COMPLETED)] * 12
            with store.database.read() as connection:
                stored = str(connection.execute(sa.text("SELECT definition FROM study")).scalars().all())
            store.close()
        exported = [path.read_bytes() for path in (tmp_path / "export").iterdir()]
        assert all(secret not in text for text in (*texts, out, err, stored))
        assert all(secret.encode() not in content for content in exported)
