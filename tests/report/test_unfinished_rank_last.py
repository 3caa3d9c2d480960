"""Configurations that never got to an end are ranked last and marked, however good their last score was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.cli.formats import TableFormat
from assay.cli.run_end import print_rankings
from assay.report.answers import answers
from assay.results.results import Results
from assay.store import queries
from assay.store.records import Finished
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study
from assay.training.history import Outcome
from tests.store.makers import made_history

ENDS = {"late": ("timed out", 0.99), "wild": ("diverged", 0.98), "good": ("completed", 0.9), "poor": ("stopped", 0.4)}


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Four configurations of two seeds: the two that did not get to their end had the best scores on the way."""
    trials = {name: {"optimizer": {"learning_rate": 0.1 * (i + 1)}} for i, name in enumerate(ENDS)}
    made = plan(
        Study.parse(
            {"name": "s", "design": "list", "repeats": 2, "trials": trials, "engine": "numpy"}
            | {"baseline": {"data": "digits", "budget": {"iterations": 3}}}
        )
    )
    store = Store(str(tmp_path / "assay.db"))
    store.register(made)
    names = {member.key: member.label for member in made.members}
    while claimed := store.leases.claim(made.jobs):
        lease, job = claimed
        for trial in job.trials:
            outcome, accuracy = ENDS[names[trial.key]]
            history = replace(made_history(trial, accuracy=accuracy), outcome=Outcome(outcome), reason="made")
            store.finish(lease, trial, Finished(Outcome(outcome), "made", history))
        store.leases.release(lease)
    return Results(store, "s")


def test_the_summary_ranks_them_last_and_marks_them(results: Results, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    print_rankings(results, TableFormat.TEXT)
    text = capsys.readouterr().out
    for table in text.split("s: by ")[1:]:
        order = [line.split()[1] for line in table.splitlines() if line.startswith("│") and line.split()[1] in ENDS]
        assert order[0] in ("good", "poor") and set(order[2:]) == {"late", "wild"}, table
        assert "2 timed out" in table and "2 div." in table
    by_accuracy = text.split("s: by ")[1]
    assert by_accuracy.index("good") < by_accuracy.index("poor") < by_accuracy.index("late")


def test_none_of_them_is_best_or_first_to_a_target(results: Results, invoke: Any) -> None:
    sentences = answers(results.frame(), results.curves())
    assert any(sentence.startswith("good is best: accuracy 90.00 %") for sentence in sentences), sentences
    table = results.targets(accuracy=0.3)
    assert set(table["configuration"][:2]) == {"good", "poor"}
    _, out, _ = invoke("target", "s", "--accuracy", "0.3", "--json")
    rows = json.loads(out)["rows"]
    assert [row["reached"] for row in rows] == [2, 2, 2, 2]
    assert {row["configuration"] for row in rows[2:]} == {"late", "wild"}
    assert results._chosen(None)["label"] == "good"  # pyright: ignore[reportPrivateUsage]


def test_the_list_of_studies_counts_them_and_takes_its_best_from_the_others(results: Results, invoke: Any) -> None:
    (row,) = queries.studies(results.store.database)
    assert (row["best"], row["trials"], row["finished"], row["unfinished"]) == (0.9, 8, 8, 4)
    _, out, _ = invoke("list")
    assert "8, 4 unfinished" in out and "90.00 %" in out


def test_no_configuration_is_best_where_none_got_to_its_end(results: Results) -> None:
    frame = results.frame()
    none = frame[frame["configuration"].isin(["late", "wild"])]
    sentences = answers(none, results.curves())
    assert "Not available: no finished trial has a number for 'accuracy', so none is best." in sentences
