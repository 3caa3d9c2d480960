"""Running studies: what is stored is not trained again, budgets share a training, and whatever fails is told apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import sqlalchemy as sa

import assay
from assay.data.datasets import load
from assay.execution.estimates import estimated, overhead
from assay.execution.queue import pools
from assay.execution.runner import Execution
from assay.results.results import Results
from assay.store import integrity, queries
from assay.store.curves import unpacked
from assay.store.removals import RemovedError
from assay.store.schema import artifact
from assay.store.store import PastCost, Store
from assay.studies.plan import plan
from assay.studies.study import Study
from assay.system.machine import usable_cores
from assay.system.machine_lock import machine_lock
from assay.training.ledger import Ledger
from assay.training.log_points import number_of_log_points
from assay.training.outcome import Outcome
from assay.workers.calibration import Cost

TINY = {"budget": {"iterations": 20}, "model": {"hidden": [4]}}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store.db"))


def study(**raw: Any) -> Study:
    raw.setdefault("baseline", TINY)
    raw.setdefault("design", "one-at-a-time")
    raw.setdefault("engine", "numpy")
    return Study.parse(raw)


def executed(store: Store, made: Study, **options: Any) -> Execution:
    execution = Execution(plan(made), store, **options)
    for _ in execution:
        pass
    return execution


def curves(store: Store, name: str = "study") -> list[Any]:
    """Every trial's curve without its seconds, as bits."""
    frame = Results(store, name).curves().drop(columns=["seconds"]).fillna(-1.0)  # NaN is not equal to itself
    return [(key, group.to_numpy().tolist()) for key, group in frame.groupby("trial")]


def test_what_is_stored_is_not_trained_again(store: Store) -> None:
    made = study(repeats=3, name="first")
    assert executed(store, made).stored == 0
    before = queries.trials(store.database)[0]
    second = executed(store, made)
    assert (second.stored, len(second.workers.processes)) == (3, 0)
    larger = executed(store, study(repeats=4, name="second"))
    assert larger.stored == 3
    after = {row["key"]: row for row in queries.trials(store.database)[0]}
    assert all(after[row["key"]]["finished"] == row["finished"] for row in before)


def test_a_study_gives_what_single_trainings_give(store: Store) -> None:
    executed(store, study(axes={"model": {"small": {}, "other": {"model": {"hidden": [7, 5]}}}}, repeats=2))
    for row in queries.trials(store.database)[0]:
        recipe = queries.one_trial(store.database, row["key"])["recipe"]
        history = assay.fit(assay.Recipe.parse(__import__("json").loads(recipe)), engine="numpy")
        assert history.accuracy == row["accuracy"]
        assert history.final.test_loss == row["test_loss"]
        assert history.flops == row["flops"]
        stored = store.history(row["key"])
        assert stored is not None
        for name, weights in history.checkpoint.weights.items():
            np.testing.assert_array_equal(weights, stored.checkpoint.weights[name])


SLOW = [pytest.param(name, marks=pytest.mark.endurance) for name in ("torch", "jax")]  # to import, in each worker


@pytest.mark.parametrize("engine", ["numpy", "native", *SLOW])
def test_budgets_share_one_training(engine: str, store: Store) -> None:
    budgets = {"budget": {"key": "budget.epochs", "values": [2, 5]}}
    made = study(axes=budgets, design="grid", engine=engine, baseline={"model": {"hidden": [4]}, "log": "1 epoch"})
    execution = Execution(plan(made), store)
    assert [job.iterations for job in execution.open] == [5 * 45]  # 5 epochs in place of 7
    for _ in execution:
        pass
    alone = Store(str(Path(store.name).with_name("alone.db")))
    for epochs in (2, 5):
        executed(
            alone,
            study(
                baseline={"model": {"hidden": [4]}, "log": "1 epoch", "budget": {"epochs": epochs}},
                engine=engine,
                name=f"{epochs} epochs",
            ),
        )
        frame = Results(alone, f"{epochs} epochs").curves().drop(columns=["seconds"])
        shared = Results(store, "study").curves().drop(columns=["seconds"])
        assert frame.equals(shared[shared["trial"].isin(frame["trial"])].reset_index(drop=True))


def test_a_longer_budget_goes_on_from_the_stored_checkpoint(store: Store, tmp_path: Path) -> None:
    short, long = ({"model": {"hidden": [4]}, "log": "1 epoch", "budget": {"epochs": n}} for n in (3, 6))
    executed(store, study(baseline=short))
    executed(store, study(baseline=long))
    whole = Store(str(tmp_path / "whole.db"))
    executed(whole, study(baseline=long))
    assert curves(store) == curves(whole)
    row = queries.one_trial(store.database, queries.trials(store.database, ["budget=270"])[0][0]["key"])
    first = queries.one_trial(store.database, queries.trials(store.database, ["budget=135"])[0][0]["key"])
    seconds = unpacked(row["curve"])["seconds"]
    assert seconds[:4] == unpacked(first["curve"])["seconds"]  # the first three epochs were not trained again


def test_a_shorter_budget_is_read_off_the_stored_curve(store: Store) -> None:
    executed(store, study(baseline={"model": {"hidden": [4]}, "log": "1 epoch", "budget": {"epochs": 6}}))
    execution = executed(store, study(baseline={"model": {"hidden": [4]}, "log": "1 epoch", "budget": {"epochs": 2}}))
    (row,) = queries.trials(store.database, ["budget=90"])[0]
    assert (row["outcome"], row["iterations"]) == ("completed", 90)
    assert "read off" in row["reason"]
    assert not any(execution.workers.processes)


def test_a_schedule_with_another_horizon_is_another_training(store: Store) -> None:
    schedules = {f"{h}": {"schedule": {"name": "cosine", "horizon": h}} for h in (20, 40)}
    made = plan(study(axes={"horizon": schedules}, design="grid"))
    assert len(made.jobs) == 2


def test_stopping_rules_are_read_off_a_shared_curve(store: Store) -> None:
    baseline = {"model": {"hidden": [16]}, "log": "1 epoch", "budget": {"epochs": 12}}
    stops = {"never": {}, "early": {"stop": {"accuracy": 0.5}}, "patient": {"stop": {"patience": 1}}}
    made = study(axes={"stop": stops}, design="grid", baseline=baseline)
    execution = executed(store, made)
    assert len(execution.plans[0].jobs) == 1
    for row in Results(store, "study").frame().to_dict("records"):
        alone = assay.fit(assay.Recipe.parse({**baseline, **stops[row["configuration"]]}), engine="numpy")
        assert (row["outcome"], row["iterations"], row["accuracy"]) == (alone.outcome, alone.iterations, alone.accuracy)


def test_a_diverged_trial_is_a_result_and_the_others_go_on(store: Store) -> None:
    rates = {"rate": {"key": "optimizer.learning_rate", "values": [0.1, 1e200]}}
    baseline = {
        "optimizer": "descent",
        "model": {"hidden": [4], "activation": "identity"},
        "budget": {"iterations": 400},
    }
    executed(store, study(axes=rates, design="grid", baseline=baseline))
    assert list(Results(store, "study").frame()["outcome"]) == ["completed", "diverged"]


def digits_folder(folder: Path) -> Path:
    digits = load("digits")
    path = folder / "digits.npz"
    np.savez(path, x_train=digits.x_train, y_train=digits.y_train, x_test=digits.x_test, y_test=digits.y_test)
    return path


def test_a_trial_that_raises_is_failed_with_its_traceback_and_retried_on_request(store: Store, tmp_path: Path) -> None:
    path = digits_folder(tmp_path)
    kept = path.read_bytes()
    axes = {"data": {"gone": {"data": str(path)}, "there": {"data": "digits"}}}
    made = plan(study(axes=axes, design="grid"))
    path.unlink()
    for _ in Execution(made, store):
        pass
    frame = Results(store, "study").frame()
    assert list(frame["outcome"]) == ["failed", "completed"]
    row = queries.one_trial(store.database, frame["trial"][0])
    assert "Traceback" in row["error"]
    assert "digits.npz" in row["reason"]
    path.write_bytes(kept)
    for _ in Execution(made, store):
        pass
    assert Results(store, "study").frame()["outcome"][0] == "failed"  # not by itself
    for _ in Execution(made, store, retry=True):
        pass
    assert list(Results(store, "study").frame()["outcome"]) == ["completed", "completed"]


def test_a_killed_worker_is_replaced_and_its_trial_tried_again(store: Store) -> None:
    execution = Execution(plan(study(baseline={"model": {"hidden": [64]}, "budget": {"epochs": 40}}, repeats=2)), store)
    killed = 0
    for status in execution:
        process = execution.workers.processes[0] if execution.workers.processes else None
        if killed < 2 and process is not None and status.running and status.running[0].iteration > 0:
            os.kill(process.process.pid, signal.SIGKILL)
            killed += 1
            time.sleep(0.1)
    assert killed == 2
    assert set(execution.outcomes.values()) == {Outcome.COMPLETED}


def test_a_trial_whose_workers_are_always_killed_is_lost_and_the_study_ends(store: Store) -> None:
    baseline = {"model": {"hidden": [64]}, "budget": {"epochs": 4000}}
    execution = Execution(plan(study(baseline=baseline)), store)
    for _ in execution:
        process = execution.workers.processes[0] if execution.workers.processes else None
        if process is not None and process.process.poll() is None and execution._active:
            os.kill(process.process.pid, signal.SIGKILL)
    (row,) = queries.trials(store.database)[0]
    assert row["outcome"] == "lost"
    assert "SIGKILL; tried 4 times" in row["reason"]


def test_a_worker_beyond_its_memory_is_told_so_and_the_others_go_on(store: Store) -> None:
    large = {"model": {"hidden": [60_000]}, "batches": "full", "precision": "float64"}
    axes = {"size": {"large": large, "small": {"model": {"hidden": [4]}}}}
    made = study(axes=axes, design="grid", memory_limit=700 * 2**20)
    executed(store, made)
    assert list(Results(store, "study").frame()["outcome"]) == ["out of memory", "completed"]


def test_a_trial_beyond_its_time_is_told_so_with_its_curve(store: Store) -> None:
    made = study(baseline={"model": {"hidden": [64]}, "budget": {"epochs": 100_000}}, time_limit=0.5)
    executed(store, made)
    (row,) = queries.trials(store.database)[0]
    assert row["outcome"] == "timed out"
    assert row["accuracy"] is not None


def test_packed_trials_run_side_by_side_and_give_the_same(store: Store, tmp_path: Path) -> None:
    executed(store, study(repeats=6, timing="packed", engine="native"))
    isolated = Store(str(tmp_path / "isolated.db"))
    executed(isolated, study(repeats=6, timing="isolated", engine="native"))
    assert [points for _, points in sorted(curves(store), key=str)] != []
    mine, theirs = (Results(s, "study").frame().sort_values("seed") for s in (store, isolated))
    assert list(mine["test_loss"]) == list(theirs["test_loss"])
    assert set(mine["timing"]) == {"packed"}
    assert not set(mine["trial"]) & set(theirs["trial"])


def test_an_isolated_trial_waits_for_its_turn(store: Store) -> None:
    execution = Execution(plan(study()), store)
    seen: list[float] = []

    def run() -> None:
        for _ in execution:
            seen.append(time.monotonic())

    with machine_lock("packed"):
        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(3.0)
        assert not execution.outcomes
    thread.join(30)
    frame = Results(store, "study").frame()
    assert frame["ledger_wait"][0] > 0.5


@pytest.mark.endurance
def test_what_a_trial_waits_is_no_part_of_its_time_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    execution = Execution(plan(study(baseline=TINY, time_limit=1.0)), store)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with machine_lock("packed"):
            held.set()
            release.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(30)
    waited: float | None = None
    for status in execution:
        if status.running and status.running[0].waiting:
            monkeypatch.setattr(
                "assay.execution.runner._GRACE_SECONDS", 0.0
            )  # not before: the worker may be slow to start
            waited = waited or time.monotonic()
            if time.monotonic() - waited > 2.5:
                monkeypatch.setattr("assay.execution.runner._GRACE_SECONDS", 30.0)
                release.set()
    holder.join()
    assert waited
    assert set(execution.outcomes.values()) == {Outcome.COMPLETED}


def test_studies_that_share_workers_train_what_they_share_once_and_keep_what_each_keeps(store: Store) -> None:
    settings = {"timing": "packed", "design": "grid", "axes": {"n": {"key": "budget.iterations", "values": [10, 20]}}}
    short = study(**settings, name="short", keep="nothing")
    settings["axes"] = {"n": {"key": "budget.iterations", "values": [20, 40]}}
    long = study(**settings, name="long")
    alone = study(name="alone", timing="isolated")
    plans = [plan(short), plan(alone), plan(long)]
    together, apart = pools(plans)
    assert (together, apart) == ([plans[0], plans[2]], [plans[1]])
    execution = Execution(together, store)
    assert (execution.name, execution.timing) == ("short, long", "packed")
    assert [(job.iterations, len(job.trials)) for job in execution.open] == [(40, 3)]
    assert sorted(execution.labels.values()) == ["long: n 40", "short: n 10", "short: n 20"]
    for _ in execution:
        pass
    for name, values in (("short", [10, 20]), ("long", [20, 40])):
        frame = Results(store, name).frame()
        assert frame["iterations"].tolist() == values
        assert set(frame["outcome"]) == {"completed"}
    kept = {trial.iterations for key, trial in execution.trials.items() if store.history(key) is not None}
    assert kept == {20, 40}  # the short study keeps nothing, but 20 is a trial of the long one too


def test_a_repeat_keeps_the_weights_that_another_study_keeps(store: Store) -> None:
    split = {**TINY, "data": {"name": "digits", "validation": 100}}
    keys = executed(store, study(name="keeps", baseline=split, save_best=True)).trials
    executed(store, study(name="light", baseline=split, keep="nothing"), again=True)
    assert all(store.has_best(key) for key in keys)
    alone = executed(store, study(name="alone", keep="nothing", baseline=TINY), again=True)
    assert all(store.history(key) is None for key in alone.trials)


def executed_while(execution: Execution, act: Callable[[], object]) -> None:
    """Runs an execution, and does something once, after its studies were registered."""
    states = iter(execution)
    next(states)
    act()
    for _ in states:
        pass


def test_a_run_whose_study_is_removed_ends_with_what_was_removed(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("assay.store.store.refuse_running", lambda *_, **__: None)  # as another version might
    execution, begin = Execution(plan(study(repeats=3)), store), Execution._begin

    def begin_and_remove(*arguments: Any) -> None:
        begin(*arguments)
        store.remove(studies=["study"])

    monkeypatch.setattr(Execution, "_begin", begin_and_remove)
    with pytest.raises(RemovedError) as end:
        executed_while(execution, lambda: None)
    assert str(end.value) == f"study 'study' was removed from {store.name} during its run, with 3 of its 3 trials"
    assert "lease" not in caplog.text
    assert queries.trials(store.database) == ([], 0)


def test_a_run_of_which_a_waiting_trial_is_removed_trains_the_others_and_says_it(store: Store) -> None:
    execution = Execution(plan(study(repeats=3)), store)
    with pytest.raises(RemovedError, match=r"^1 of the 3 trials of 'study' was removed from .* during the run"):
        executed_while(execution, lambda: store.remove(trials=[list(execution.trials)[2]]))
    assert [row["outcome"] for row in queries.trials(store.database)[0]] == ["completed", "completed"]


def test_a_run_whose_study_alone_is_removed_says_that_its_trials_stay(store: Store) -> None:
    store.register(plan(study(name="other", repeats=2)))
    execution = Execution(plan(study(repeats=2)), store)
    with pytest.raises(RemovedError, match=r"^study 'study' was removed .* run; its trials stay in other studies$"):
        executed_while(execution, lambda: store.remove(studies=["study"]))
    assert [row["outcome"] for row in queries.trials(store.database)[0]] == ["completed", "completed"]


def test_the_longest_training_begins_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    core = usable_cores()[0]
    monkeypatch.setattr("assay.execution.executors.usable_cores", lambda: [core, core])
    monkeypatch.setattr(
        "assay.execution.runner.estimated", lambda jobs, *_: {job.trajectory: job.iterations for job in jobs}
    )
    sizes = {"model": {str(n): {"model": {"hidden": [n]}, "budget": {"iterations": n}} for n in (3, 9, 6)}}
    execution = Execution(plan(study(axes=sizes, design="grid", timing="packed")), store)
    assert execution.seconds == 9
    begun = [one.label for status in execution for one in status.running]
    assert list(dict.fromkeys(begun)) == ["model 9", "model 6", "model 3"]


def test_a_plan_that_is_not_run_changes_nothing(store: Store) -> None:
    executed(store, study(repeats=2))
    before = queries.trials(store.database)
    for options in ({}, {"again": True}, {"retry": True}):
        execution = Execution(plan(study(repeats=3)), store, **options)
        assert execution.seconds >= 0
    assert queries.trials(store.database) == before
    assert queries.studies(store.database)[0]["trials"] == 2


def test_what_the_trainings_take_corrects_the_estimate(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.execution.runner.estimated", lambda jobs, *_: {job.trajectory: 1000.0 for job in jobs})
    execution = Execution(plan(study(repeats=4)), store)
    assert execution.seconds >= 1000
    left = {sum(status.outcomes.values()): status.eta_seconds for status in execution}
    assert left[4] == 0
    assert left[3] is not None
    assert left[3] < 100  # seconds for a training of milliseconds, of which three are done


def test_no_training_is_estimated_to_take_longer_than_its_time_limit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.execution.runner.estimated", lambda jobs, *_: {job.trajectory: 1000.0 for job in jobs})
    assert Execution(plan(study(repeats=4, timing="isolated", time_limit=0.5)), store).seconds == pytest.approx(2)
    assert Execution(plan(study(repeats=4, timing="isolated")), store).seconds == pytest.approx(4000)


def test_a_calibration_leaves_the_first_iteration_and_the_first_log_point_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        """A training whose first iteration takes 5 s and first log point 1 s, later ones 0.05 and 0.2."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.ledger, self.t, self.points = Ledger(), 0, 0

        def __iter__(self) -> Iterator[Any]:
            for self.t, self.points, train, evaluate in ((0, 1, 0.0, 1.0), (1, 2, 5.0, 1.2), (11, 2, 5.5, 1.2)):
                self.ledger.train, self.ledger.evaluate = train, evaluate
                yield SimpleNamespace(iteration=self.t)

        def histories(self) -> list[Any]:
            return [SimpleNamespace(points=[None] * self.points)]

    monkeypatch.setattr("assay.workers.calibration.Training", Slow)
    jobs = plan(study()).jobs
    (seconds,) = estimated(jobs, None, {trial.key: 1437 for job in jobs for trial in job.trials}).values()
    points = number_of_log_points(jobs[0].trials[0].recipe, 1437)
    assert seconds == pytest.approx(20 * 0.05 + points * 0.2 + overhead(jobs[0]))


def test_an_estimate_takes_the_latest_stored_trial_that_was_long(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = plan(study()).jobs
    trial = jobs[0].trials[0]
    costs = [(9.0, 2), (0.5, 90), (7.0, 100)]  # seconds and number of iterations, the latest first
    past = [PastCost(trial.recipe, trial.engine, trial.device, trial.timing, cost, 0.0, n) for cost, n in costs]
    monkeypatch.setattr(Store, "recent_costs", lambda *_: iter(past))
    (seconds,) = estimated(jobs, store, {trial.key: 1437}).values()
    assert seconds == pytest.approx(20 * 0.5 + overhead(jobs[0]))


@pytest.mark.parametrize(("seconds", "n", "trusted"), [(0.01, 4, False), (0.01, 5, True), (0.3, 4, True)])
def test_a_brief_stored_trial_does_not_tell_what_a_much_longer_one_costs(
    seconds: float, n: int, trusted: bool, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = plan(study()).jobs  # of 20 iterations
    trial = jobs[0].trials[0]
    past = PastCost(trial.recipe, trial.engine, trial.device, trial.timing, seconds, 0.0, n)
    monkeypatch.setattr(Store, "recent_costs", lambda *_: iter([past]))
    monkeypatch.setattr("assay.execution.estimates.CostCalibration.of", lambda *_: Cost(7.0, 0.0))
    (found,) = estimated(jobs, store, {trial.key: 1437}).values()
    assert found == pytest.approx(20 * (seconds if trusted else 7.0) + overhead(jobs[0]))


def test_a_run_without_a_question_calibrates_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: Any) -> None:
        raise AssertionError("nobody asked how long it takes")

    monkeypatch.setattr("assay.execution.runner.estimated", refused)
    assert set(executed(store, study()).outcomes.values()) == {Outcome.COMPLETED}


def test_the_first_ctrl_c_saves_and_the_second_run_goes_on_bit_for_bit(store: Store, tmp_path: Path) -> None:
    made = study(baseline={"model": {"hidden": [64]}, "budget": {"epochs": 60}}, repeats=2)
    execution = Execution(plan(made), store)
    for status in execution:
        if status.running and status.running[0].iteration > 200:
            execution.stop()
    assert len(execution.outcomes) < 2
    job = execution.plans[0].jobs[len(execution.outcomes)]
    start = store.start_of(job.trajectory)
    assert start is not None
    assert start.iterations > 200
    executed(store, made)
    whole = Store(str(tmp_path / "whole.db"))
    executed(whole, made)
    assert curves(store) == curves(whole)


@pytest.mark.endurance
@pytest.mark.parametrize("hidden", [4, 400])  # its weights are a row of the database, or a file
def test_a_damaged_checkpoint_costs_time_alone(store: Store, hidden: int) -> None:
    baseline = {"model": {"hidden": [hidden]}, "log": "1 epoch"}
    executed(store, study(baseline=baseline | {"budget": {"epochs": 2}}))
    names = list(store.artifacts.names())
    assert names
    for name in names:
        path = Path(store.name + ".artifacts") / name[:2] / name
        damaged = store.artifacts.get(name)[:-100]
        if hidden > 100:
            path.write_bytes(damaged)
        else:
            with store.database.write() as connection:
                change = sa.update(artifact).where(artifact.c.hash == name)
                assert connection.execute(change.values(content=damaged)).rowcount == 1
    execution = executed(store, study(baseline=baseline | {"budget": {"epochs": 4}}))
    assert set(execution.outcomes.values()) == {Outcome.COMPLETED}
    executed(store, study(baseline=baseline | {"budget": {"epochs": 2}}), again=True)
    assert not [finding for finding in integrity.check(store) if finding.kind == "missing"]  # it was written anew


@pytest.mark.endurance
def test_two_runs_share_a_study_and_no_trial_is_trained_twice(tmp_path: Path) -> None:
    code = (
        "import sys, assay\n"
        "assay.run({'name': 'shared', 'design': 'one-at-a-time', 'repeats': 8, 'engine': 'numpy', 'timing': 'packed',"
        " 'threads': 2, 'baseline': {'model': {'hidden': [32]}, 'budget': {'epochs': 20}}}, store=sys.argv[1])\n"
    )
    path = tmp_path / "shared.db"
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    rows, count = queries.trials(Store(str(path)).database)
    assert count == 8
    assert {row["outcome"] for row in rows} == {"completed"}


def test_a_script_without_a_guard_may_run_a_study(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"import assay\nprint(len(assay.run({{'baseline': {TINY!r}, 'axes': {{'s': {{'key': 'seed', "
        "'values': [1, 2]}}}).frame()))\n"
    )
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "2"), done.stderr


@pytest.mark.endurance
def test_no_worker_outlives_a_killed_driver(tmp_path: Path) -> None:
    code = (
        "import sys, assay\n"
        "assay.run({'design': 'one-at-a-time', 'engine': sys.argv[2], 'timing': 'packed', 'repeats': 2,"
        " 'baseline': {'model': {'hidden': [64]}, 'budget': {'epochs': 100000}}}, store=sys.argv[1])\n"
    )
    for engine in ("numpy", "native"):
        words = [sys.executable, "-c", code, str(tmp_path / f"{engine}.db"), engine]
        driver = subprocess.Popen(words, cwd=ROOT)
        process = psutil.Process(driver.pid)
        deadline = time.monotonic() + 30
        while len(process.children(recursive=True)) < 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(2.0)
        workers = process.children(recursive=True)
        assert workers
        driver.kill()
        driver.wait()
        _, alive = psutil.wait_procs(workers, timeout=5)
        assert not alive
