"""`assay compare`, the summary of `run`, and the plan's notes on shared trials, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assay.results.results import Results
from assay.store.records import Finished
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study
from assay.training.outcome import Outcome
from tests.store.makers import made_end

RATES = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}
ACCURACIES = {"a": 0.90, "b": 0.80, "c": 0.895, "d": 0.50}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A study of four configurations with six seeds: of d, two diverged, one timed out without a curve, one failed."""
    trials = {name: {"optimizer": {"learning_rate": rate}} for name, rate in RATES.items()}
    raw = {"name": "s", "design": "list", "repeats": 6, "trials": trials, "engine": "numpy"}
    made = plan(Study.parse(raw | {"baseline": {"data": "digits", "budget": {"iterations": 3}}}))
    store = Store(str(tmp_path / "assay.db"))
    store.register(made)
    by_key = {member.key: member for member in made.members}
    ends = {0: "diverged", 1: "diverged", 2: "timed out", 3: "failed"}
    while claimed := store.leases.claim(made.jobs):
        lease, job = claimed
        member, trial = by_key[job.trials[0].key], job.trials[0]
        accuracy = ACCURACIES[member.label] + 0.001 * ((7 * member.repeat) % 5) + 0.0003 * (ord(member.label) % 3)
        end = made_end(trial)
        assert end.history is not None
        last = end.history.points[-1]
        object.__setattr__(last, "test_accuracy", accuracy)
        outcome = Outcome(ends.get(member.repeat, "completed")) if member.label == "d" else Outcome.COMPLETED
        if outcome in (Outcome.TIMED_OUT, Outcome.FAILED):
            end = Finished(outcome, "over")
        elif outcome is Outcome.DIVERGED:
            end = Finished(outcome, "diverged", end.history)
        store.finish(lease, trial, end)
        store.leases.release(lease)
    return store


def test_every_display_uses_the_family_of_the_study(store: Store, invoke: Any) -> None:
    _, out, _ = invoke("compare", "s", "--json")
    every = {(row["a"], row["b"]): row for row in json.loads(out)["rows"]}
    assert len(every) == 6
    _, out, _ = invoke("compare", "s", "a", "b", "--json")
    (row,) = json.loads(out)["rows"]
    assert row == every[("a", "b")]
    verdict = Results(store, "s").verdict("b", "a")
    assert (-verdict.high, verdict.p_corrected) == (pytest.approx(row["low"]), pytest.approx(row["p_holm"]))
    _, out, _ = invoke("compare", "s", "a", "b")
    assert "Holm's correction for 6 pairs" in out and "simultaneous intervals" in " ".join(out.split())


def test_a_baseline_is_a_family_of_its_own(invoke: Any, store: Store) -> None:
    _, out, _ = invoke("compare", "s", "--baseline", "c", "--json")
    rows = json.loads(out)["rows"]
    assert [(row["a"], row["b"]) for row in rows] == [("a", "c"), ("b", "c"), ("d", "c")]
    _, out, _ = invoke("compare", "s", "b", "--baseline", "c")
    assert "Holm's correction for 3 comparisons with c" in out
    code, _, err = invoke("compare", "s", "b")
    assert code == 2 and "expected two or more, or --baseline" in err
    code, _, err = invoke("compare", "s", "--baseline", "e")
    assert code == 2 and "unknown configuration 'e'" in err


def test_seeds_that_did_not_finish_are_counted_everywhere(store: Store, invoke: Any) -> None:
    _, out, _ = invoke("compare", "s", "a", "d")
    text = " ".join(out.split())
    assert "2 diverged and 1 timed out of 6 seeds of d" in text and "no result: 1 failed of 6 seeds of d" in text
    results = Results(store, "s")
    row = results.summary().set_index("configuration").loc["d"]
    frame = results.frame()
    values = frame[(frame["configuration"] == "d") & (frame["outcome"] != "failed")]["accuracy"].fillna(0.1)
    assert row["accuracy"] == pytest.approx(values.mean()) and len(values) == 5  # chance for the one without a curve
    assert row[["diverged", "timed_out", "no_result"]].tolist() == [2, 1, 1]
    assert row["effort"] != row["effort"]  # half of the seeds did not finish
    _, out, _ = invoke("run", "--help")
    assert "ran out of memory or timed" in " ".join(out.split())
    answers = " ".join(results.answers())
    assert "worse than these, because half of the seeds or more did not finish: d" in answers
    code, out, _ = invoke("report", "s")
    assert code == 0 and "2 diverged" in out


def test_seconds_of_seeds_that_did_not_finish_are_not_compared(store: Store) -> None:
    sentence = Results(store, "s").verdict("a", "d", measure="seconds").sentence()
    assert sentence.startswith("cannot compare a and d by seconds: a seed that did not finish has no result to compare")


def test_the_plan_names_what_is_shared_and_what_is_listed_again(invoke: Any, tmp_path: Path) -> None:
    text = """
engine = "numpy"
[baseline]
data = "digits"
budget.iterations = 3
[axes.rate]
key = "optimizer.learning_rate"
values = [0.1, 1e-1, 1, 1.0]
"""
    (tmp_path / "twice.toml").write_text(text)
    code, out, err = invoke("run", "twice.toml", "--plan", "--json")
    assert code == 0, err
    assert (
        "1 configuration listed again, left out: rate 0.1; 1 trial shared by equal configurations: rate 1 = rate 1.0"
        in err
    )
    counts = json.loads(out)
    assert (counts["trials"], counts["folded"]) == (2, 2)
    assert counts["repeated"] == {"rate 0.1": 1} and counts["shared"] == [["rate 1", "rate 1.0"]]
    code, out, err = invoke("run", "twice.toml", "--json")
    assert code == 0, err
    rows = json.loads(out)["trials"]
    assert [row["configuration"] for row in rows] == ["rate 0.1", "rate 1", "rate 1.0"] and rows[1]["trial"] == rows[2][
        "trial"
    ]
    frame = Results(Store(str(tmp_path / "assay.db")), "twice").curves()
    assert not frame.duplicated(["trial", "iteration"]).any()
    assert json.loads(invoke("list", "--json")[1])["studies"][0]["trials"] == 2
