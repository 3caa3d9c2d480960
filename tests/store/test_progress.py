"""The table of what is being trained: written at most once a second, emptied at the end, read by `assay list`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from assay.cli import app
from assay.execution import running as notes
from assay.execution.active import ActiveBatch, Held
from assay.execution.runner import Execution
from assay.store import exchange, integrity, progress
from assay.store.leases import Lease
from assay.store.progress import Running
from assay.store.schema import progress as table
from assay.store.schema import trajectory
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study
from assay.training.history import Point
from tests.store.makers import made_plan

POINTS = (
    Point(0, 0, 0.0, train_loss=2.5, test_accuracy=0.1),
    Point(100, 3200, 4.5, train_loss=0.25, test_accuracy=0.9),
)


def running(lease: Lease, seconds: float = 12.5, iteration: int = 120) -> Running:
    return Running(lease, "made", "baseline", seconds, iteration, 1000, POINTS)


def claimed(store: Store, seeds: int = 2) -> list[Lease]:
    made = made_plan(seeds)
    store.register(made)
    return [(store.leases.claim(made.jobs) or pytest.fail("nothing to claim"))[0] for _ in range(seeds)]


def stored(store: Store) -> int:
    with store.database.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def test_what_is_trained_is_listed_with_its_points_until_its_lease_ends(store: Store) -> None:
    first, second = claimed(store)
    progress.write(store.database, [running(first), running(second, 7.0)], "process 1 on here")
    rows = progress.listed(store.database)
    assert [row["trajectory"] for row in rows] == [first.trajectory, second.trajectory]
    assert [round(row["seconds"], 3) for row in rows] == [12.5, 7.0]
    assert (rows[0]["study"], rows[0]["label"], rows[0]["holder"]) == ("made", "baseline", "process 1 on here")
    assert (rows[0]["iteration"], rows[0]["iterations"], rows[0]["points"]) == (120, 1000, list(POINTS))
    progress.write(store.database, [running(first, 13.5, 130), running(second, 8.0)], "process 1 on here")
    assert [row["iteration"] for row in progress.listed(store.database)] == [130, 120]
    store.leases.release(first)
    assert [row["trajectory"] for row in progress.listed(store.database)] == [second.trajectory]
    assert stored(store) == 2
    store.leases.release(second)
    progress.write(store.database, [], "process 1 on here")
    assert stored(store) == 0
    assert integrity.check(store) == []


def test_a_driver_that_lost_its_lease_or_has_ended_is_not_listed(store: Store) -> None:
    first, second = claimed(store)
    progress.write(store.database, [running(Lease(first.trajectory)), running(second)], "x")
    assert [row["trajectory"] for row in progress.listed(store.database)] == [second.trajectory]
    with store.database.write() as connection:
        connection.execute(sa.update(trajectory).values(started="1"))  # of a process that is no longer there
    assert progress.listed(store.database) == []


def test_a_damaged_note_is_not_listed_is_found_and_is_removed(store: Store) -> None:
    first, second = claimed(store)
    progress.write(store.database, [running(first), running(second)], "x")
    with store.database.write() as connection:
        connection.execute(sa.update(table).where(table.c.trajectory == first.trajectory).values(points=b"AC\1"))
    assert [row["trajectory"] for row in progress.listed(store.database)] == [second.trajectory]
    (defect,) = [defect for defect in integrity.check(store) if defect.kind == "unreadable"]
    assert defect.sentence.startswith(
        f"the progress of trajectory {first.trajectory[:8]} cannot be read: progress.points"
    )
    assert f"removed the progress of trajectory {first.trajectory[:8]}" in integrity.repair(store)
    assert stored(store) == 1


def test_short_trainings_are_not_noted_and_notes_come_at_most_once_a_second(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lease,) = claimed(store, 1)
    clock, written = [100.0], list[int]()
    monkeypatch.setattr(notes, "perf_counter", lambda: clock[0])

    def write(database: Any, rows: Any, holder: str) -> None:
        written.append(len(rows))
        clock[0] += cost[0]

    monkeypatch.setattr(notes, "write", write)
    one, cost = notes.RunningNotes(store), [0.001]
    for step in range(40):  # 4 s in steps of 0.1 s, of a training that is too short
        clock[0] = 100 + step / 10
        if one.due():
            one.note([running(lease, 4.9)])
    assert written == []
    for step in range(105):
        clock[0] = max(clock[0], 110 + step / 10)
        if one.due():
            one.note([running(lease, 5.0)])
    assert written == [1] * 11
    cost[0], begin = 0.1, clock[0] + 1.0  # a slow store: 0.1 s a note
    written.clear()
    for step in range(1000):
        clock[0] = max(clock[0], begin + step / 10)
        if one.due():
            one.note([running(lease, 5.0)])
    assert 0.1 * len(written) <= 0.005 * 100
    written.clear()
    one.end()
    one.end()
    assert written == [0]


def test_the_points_of_a_job_ascend_and_are_finite_and_few() -> None:
    job = next(iter(made_plan(1).jobs))
    active = ActiveBatch([Held(Lease(job.trajectory), job)])
    for t in (0, 10, 10, 5, 20):
        active.update(t, expected=0, accuracy=0.5, loss=float("inf") if t == 20 else 1.0, point=[t, 32 * t, 0.1 * t])
    assert [point.iteration for point in active.points] == [0, 10, 20]
    assert [point.train_loss for point in active.points] == [1.0, 1.0, None]
    for t in range(30, 1000, 10):
        active.update(t, expected=0, accuracy=0.5, loss=1.0, point=[t, 32 * t, 0.1 * t])
    assert len(active.points) == 50


def test_a_study_notes_what_it_trains_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(notes, "_INTERVAL", 0.0)
    monkeypatch.setattr(notes, "_FRACTION", 1.0)
    raw = {"name": "s", "engine": "numpy", "design": "one-at-a-time", "baseline": {"budget": {"epochs": 20}}}
    store = Store(str(tmp_path / "s.db"))
    shown: list[str] = []
    listed: list[Any] = []
    for _ in Execution(plan(Study.parse(raw)), store):
        if not listed and (rows := progress.listed(store.database)) and rows[0]["points"]:
            listed = json.loads(CliRunner().invoke(app, ["list", "--json", "--store", store.name]).output)["running"]
            shown.append(CliRunner().invoke(app, ["list", "--store", store.name]).output)
    assert len(listed) == 1
    assert (listed[0]["study"], listed[0]["label"]) == ("s", "baseline")
    assert 0 <= listed[0]["points"][-1]["iteration"] <= listed[0]["iterations"] == 20 * 45
    assert "in training" in shown[0]
    assert stored(store) == 0
    assert json.loads(CliRunner().invoke(app, ["list", "--json", "--store", store.name]).output)["running"] == []
    store.close()


def test_long_commands_say_what_they_do_in_few_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from assay.cli import progress as bars

    clock = [0.0]
    monkeypatch.setattr(bars, "perf_counter", lambda: clock[0])
    with bars.steps("check") as show:
        for second in range(25):
            clock[0] = float(second)
            show("rows of result", 1000 * second, 100_000)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "check: rows of result, 10,000 of 100,000"
    assert len(said) <= 2


def test_check_export_import_and_vacuum_show_each_step(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    made = made_plan(3)
    store.register(made)
    shown: list[tuple[str, int, int]] = []

    def show(what: str, done: int, total: int) -> None:
        shown.append((what, done, total))

    assert integrity.check(store, show) == []
    assert ("rows of trial", 3, 3) in shown
    exchange.export(store, tmp_path / "out", show=show)
    assert ("trials", 0, 3) in shown
    other = Store(str(tmp_path / "other.db"))
    exchange.read_back(other, tmp_path / "out", show)
    assert {("trials read", 0, 3), ("trials stored", 0, 3)} <= set(shown)
    integrity.vacuum(other, show)
    assert shown[-1] == ("the database", 0, 1)
    other.close()
