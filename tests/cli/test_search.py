"""`assay search`, a search by `assay run`, and `assay train --best`, as a user meets them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from assay.store.searches import Searches
from assay.store.store import Store

WORDS = ["search", "--space", "optimizer.lr=1e-3..1:log", "--space", "batches.size=16,32", "--method", "random"]
TINY = ["--set", "model.hidden=[4]", "--set", "budget.iterations=10", "--engine", "numpy"]


def test_a_search_needs_no_file_and_writes_the_one_that_it_ran(invoke: Any, tmp_path: Path) -> None:
    code, out, err = invoke(*WORDS, *TINY, "--trials", "3", "--save-study", "found.toml", "--name", "found")
    assert code == 0, err
    assert "found: search by random, 3 trials, 1 at a time, seed 1, for accuracy (selected on test); 2 axes" in err
    assert "3 trials, selected on test; the search ended: 3 of 3 trials" in out
    assert tomllib.loads((tmp_path / "found.toml").read_text())["search"]["trials"] == 3
    code, out, err = invoke("run", "found.toml", "--json")
    assert code == 0, err
    search = json.loads(out)["search"]
    assert [job["told"]["reused"] for job in search["jobs"]] == [False] * 3
    assert search["best"] == [max(search["jobs"], key=lambda job: job["told"]["scores"][0])["n"]]
    assert "stored with another definition" not in err  # the file is the search that was run
    code, out, err = invoke(*WORDS, *TINY, "--trials", "4", "--name", "found")
    assert code == 0, err
    assert "3 trials decided before" in err
    assert "4 of 4 trials" in out
    for words in (("list",), ("report", "found"), ("compare", "found"), ("plot", "found", "curves")):
        assert invoke(*words)[0] == 0, words


def test_the_best_of_a_study_is_trained_and_saved(invoke: Any, tmp_path: Path) -> None:
    assert invoke(*WORDS, *TINY, "--trials", "3", "--name", "found")[0] == 0
    code, _, err = invoke("train", "--best", "found", "--save", "best.safetensors")
    assert code == 0, err
    store = Store(str(tmp_path / "assay.db"))
    number, _ = Searches(store.database).named("found") or (0, None)
    jobs = Searches(store.database).jobs(number)
    best = max(jobs, key=lambda job: job.told.scores[0] if job.told else 0.0)
    assert f"best of found: {best.decision.label} (accuracy (selected on test))" in err
    assert f"trial {best.decision.trial[:8]} is already in" in err
    assert (tmp_path / "best.safetensors").stat().st_size > 0
    code, _, err = invoke("train", "3LS", "--best", "found")
    assert code == 2
    assert "--best: names what to train; leave out RECIPE" in err


def test_mistakes_of_a_search_are_sentences(invoke: Any) -> None:
    code, _, err = invoke("search", "--trials", "3")
    assert (code, "--space: is missing" in err) == (2, True)
    code, _, err = invoke("search", "--space", "lr=1..", "--space", "seed", "--trials", "3")
    assert code == 2
    assert "--space: 2 errors" in err
    code, _, err = invoke("search", "--space", "lr=0.1..1")
    assert (code, "a search needs a budget" in err) == (2, True)
    code, _, err = invoke("search", "--space", "model.hiden=[3]", "--trials", "2", "--objective", "speed")
    assert code == 2
    assert "unknown objective 'speed'" in err


def test_a_search_refuses_what_it_cannot_do(invoke: Any, tmp_path: Path) -> None:
    invoke(*WORDS, *TINY, "--trials", "2", "--save-study", "found.toml", "--name", "found", "--plan")
    assert (
        not (tmp_path / "assay.db").exists()
        or Searches(Store(str(tmp_path / "assay.db")).database).named("found") is None
    )
    for option in ("--again", "--until-decided"):
        code, _, err = invoke("run", "found.toml", option)
        assert (code, "a search" in err) == (2, True)
    code, _, err = invoke("run", "found.toml", "--set", "optimizer.learning_rate=0.5")
    assert code == 2
    assert "axis 'optimizer.learning_rate' sets it" in err


def test_a_search_ends_with_its_cost_and_tuning_cost_reads_it(invoke: Any) -> None:
    code, out, err = invoke(*WORDS, *TINY, "--trials", "16", "--name", "found", "--json")
    assert code == 0, err
    search = json.loads(out)["search"]
    cost = search["cost"]
    assert cost["trials"] == 16
    assert cost["seconds"] == pytest.approx(sum(job["told"]["seconds"] for job in search["jobs"]))
    assert cost["deciding"] == pytest.approx(sum(job["seconds"] for job in search["jobs"]))
    best = max(job["told"]["scores"][0] for job in search["jobs"])
    assert search["incumbents"][-1]["best"] == best
    assert "cost of the search by random: 16 trials took" in err
    code, out, err = invoke("tuning-cost", "found", "--json")
    assert code == 0, err
    plain = json.loads(out)
    trials = [row for row in plain["curves"] if row["unit"] == "trials"]
    assert [row["budget"] for row in trials] == [1, 2, 3, 4, 5, 6, 7, 8]
    scores = [job["told"]["scores"][0] for job in search["jobs"]]
    assert trials[0]["expected"] == pytest.approx(sum(scores) / 16)
    code, out, err = invoke("tuning-cost", "found")
    assert code == 0, err
    assert "expected best test accuracy of random draws" in out
    assert "--train-defaults trains what is missing" in err
    code, _, err = invoke("tuning-cost", "found", "--by", "optimizer.learning_rate")
    assert (code, "is a range; expected an axis with values" in err) == (2, True)


def test_a_search_that_races_shows_the_race_and_the_winner_on_fresh_seeds(invoke: Any) -> None:
    words = [*WORDS, *TINY, "--trials", "3", "--timing", "packed", "--name", "found"]
    code, out, err = invoke(*words, "--race", "2", "--racers", "2")
    assert code == 0, err
    assert (
        "then a race of the best 2 on up to 2 other seeds and the winner on 2 fresh ones, on top of the budget" in err
    )
    assert "found: race" in out
    assert "mean of 2 fresh seeds; new seeds, not new data: the test set selected it" in out
    assert "3 trials for screening, 4 trials of the race, 2 on fresh seeds, selected on test" in out
    assert "the winner's figures are of its fresh seeds" in err
    code, out, err = invoke("run", "found", "--json")
    assert code == 0, err
    search = json.loads(out)["search"]
    race = search["race"]
    assert [job["kind"] for job in search["jobs"]] == ["suggestion"] * 3 + ["race"] * 4 + ["fresh"] * 2
    fresh = [job["told"]["measured"][0] for job in search["jobs"] if job["kind"] == "fresh"]
    assert race["fresh_seeds"]["mean"] == sum(fresh) / 2
    assert search["best"] == [racer["job"] for racer in race["racers"] if racer["result"] == "winner"]
    assert race["winner"] in [racer["configuration"] for racer in race["racers"]]
    code, _, err = invoke(*words, "--screen", "2")
    assert (code, "--screen: only a search that races has it; write --race 8" in err) == (2, True)
    code, _, err = invoke(*words, "--race", "1", "--objective", "accuracy", "--objective", "loss")
    assert (code, "search.seeds.race: got 1" in err, "a race has one winner" in err) == (2, True, True)
