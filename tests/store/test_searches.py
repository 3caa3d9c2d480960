"""Searches in every database: interrupted and continued, with the list and the scores of an uninterrupted one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.execution.search import execution_of
from assay.store import integrity
from assay.store.store import Store
from tests.execution.test_search import listed, searched, study


@pytest.mark.parametrize("halving", [pytest.param(None, marks=pytest.mark.endurance), {"first": 5, "factor": 2}])
def test_an_interrupted_search_continues_in_every_database(url: str, halving: Any, tmp_path: Path) -> None:
    made = study(trials=4, parallel=2, halving=halving)
    whole = searched(Store(str(tmp_path / "whole.db")), made)
    store = Store(url)
    execution, feed = execution_of(made, store)
    running = iter(execution)
    while len(feed.course.decisions) < 3:
        next(running)
    running.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert 3 <= len(listed(store)) <= len(whole)
    store.close()
    store = Store(url)
    assert searched(store, made) == whole
    again, fed = execution_of(made, store)
    for _ in again:
        pass
    assert not again.workers.processes
    assert len(fed.course.told) == len(whole)
    assert len(assay.Results(store, "found").frame()) == 4
    assert not [defect for defect in integrity.check(store) if defect.kind != "lease"]
    assert store.remove(studies=["found"]) == len(whole)
    store.close()


@pytest.mark.postgres
def test_the_command_line_searches_in_postgresql(server: str) -> None:
    words = ["search", "--space", "optimizer.lr=1e-3..1:log", "--method", "random", "--trials", "2", "--name", "typed"]
    tiny = ["--set", "model.hidden=[4]", "--set", "budget.iterations=10", "--engine", "numpy", "--store", server]
    command = [sys.executable, "-m", "assay", *words, *tiny]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    assert "2 trials, selected on test; the search ended: 2 of 2 trials" in run.stdout
