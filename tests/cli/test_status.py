"""`assay status`: its tables, its JSON, and what it says of drivers that are gone."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from assay.cli import status as command
from assay.store import progress
from assay.store.progress import Running
from assay.store.records import Finished
from assay.store.schema import study, trajectory
from assay.store.store import Store
from assay.training.history import Point
from assay.training.outcome import Outcome
from tests.conftest import Command
from tests.store.makers import made_end, made_plan

POINTS = (Point(0, 0, 0.0, train_loss=2.5, test_accuracy=0.1), Point(100, 3200, 4.5, train_loss=0.25))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Six trials of a study: one completed, one failed, one in training for 12.5 s."""
    opened = Store(f"sqlite:///{tmp_path / 'assay.db'}")
    made = made_plan(6)
    opened.register(made)
    for number in range(3):
        claimed = opened.leases.claim(made.jobs)
        assert claimed
        lease, job = claimed
        (trial,) = job.trials
        if number == 2:
            running = Running(lease, "made", "baseline", 12.5, 120, 1000, POINTS)
            progress.write(opened.database, [running], "process 1 on here")
            continue
        opened.finish(lease, trial, Finished(Outcome.FAILED, "no memory\x1b[2J") if number else made_end(trial))
        opened.leases.release(lease)
    with opened.database.write() as connection:
        at = opened.database.now(connection) - 120.0
        connection.execute(sa.update(study).values(updated=at))
    return opened


def test_a_study_in_work_is_shown_with_its_driver_and_its_failures(
    store: Store, invoke: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    code, out, err = invoke("status")
    words = " ".join(out.split())
    assert (code, err) == (0, "")
    assert "│ made │ 2 of 6 │ 1 │ 1 │ 90.00 % │ 1.0 │ ~ 4.0 min │" in words
    assert "│ 1 │ at work │" in words
    assert "│ made │ baseline │ process 1 on here │ 120/1,000 │" in words
    assert "failed" in words
    assert "\x1b" not in out


def test_json_has_the_same_figures(store: Store, invoke: Command) -> None:
    code, out, _ = invoke("status", "--json", "--failures", "0")
    told = json.loads(out)
    (one,) = told["studies"]
    assert code == 0
    assert (one["name"], one["trials"], one["ended"], one["training"], one["best"]) == ("made", 6, 2, 1, 0.9)
    assert one["outcomes"] == {"completed": 1, "failed": 1}
    assert abs(one["eta_seconds"] - 4 / one["per_second"]) < 1e-9
    assert abs(one["per_second"] - 2 / 120) < 0.001
    assert [row["iteration"] for row in told["running"]] == [120]
    assert told["failures"] == []


def test_the_tables_in_one_csv_name_themselves(store: Store, invoke: Command) -> None:
    code, out, _ = invoke("status", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [row["table"] for row in rows] == ["in work", "drivers", "in training", "latest failures"]
    assert (rows[0]["study"], rows[0]["ended"]) == ("made", "2 of 6")


def test_a_driver_that_has_ended_and_studies_that_nobody_trains_are_said(store: Store, invoke: Command) -> None:
    with store.database.write() as connection:
        connection.execute(sa.update(trajectory).where(trajectory.c.token.is_not(None)).values(started="1"))
    store.register(made_plan(2, "another", seed=50))
    _, out, err = invoke("status")
    assert "made" in out  # a trial of it ended within the last minute
    assert "has ended; the next run takes its 1 lease over" in err
    assert "1 study has open trials that nobody trains: another" in err


def test_watch_shows_it_again_until_it_is_interrupted(
    store: Store, invoke: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(command.time, "sleep", sleep)
    code, out, _ = invoke("status", "--watch", "--interval", "0.5", "--json")
    assert code == 130
    assert looks == [0.5, 0.5, 0.5]
    assert [json.loads(line)["studies"][0]["name"] for line in out.splitlines()] == ["made"] * 3


def test_a_store_that_is_not_there_is_a_sentence(invoke: Command) -> None:
    code, _, err = invoke("status")
    assert code == 2
    assert "no such store" in err
