"""Regressions on the page and in the lists: R2 wherever a classification has its accuracy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.results.results import Results
from assay.store import activity, queries
from assay.store.store import Store
from tests.serve.clients import Client, client

BASELINE: dict[str, Any] = {
    "data": {"name": "diabetes", "task": "regression", "validation": 50},
    "input": "standardise-features",
    "model": {"hidden": [4]},
    "budget": {"epochs": 1},
    "log": "1 epoch",
}


def study(name: str, baseline: dict[str, Any] = BASELINE, **more: Any) -> dict[str, Any]:
    rates = {"rate": {"key": "optimizer.learning_rate", "values": [0.0001, 0.03]}}
    base = {"name": name, "design": "grid", "engine": "numpy", "timing": "packed", "baseline": baseline}
    return {**base, "repeats": 2, "axes": rates, **more}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two regressions, of a search with a race, and of a classification."""
    path = tmp_path_factory.mktemp("regressions") / "store.db"
    pytest.importorskip("optuna")
    race = {"method": "random", "trials": 4, "seeds": {"screen": 1, "race": 3, "racers": 2}}
    space = {"rate": {"key": "optimizer.learning_rate", "low": 0.001, "high": 0.1, "scale": "log"}}
    for made in (
        study("values"),
        study("below", {**BASELINE, "optimizer": {"learning_rate": 1e-9}}, design="one-at-a-time", axes={}),
        study("raced", design="search", repeats=1, axes=space, search=race),
        study("classes", {"data": "digits", "model": {"hidden": [4]}, "budget": {"epochs": 1}}),
    ):
        assay.run(made, store=str(path))
    return path


@pytest.fixture
def browser(stored: Path) -> Client:
    return client(stored)


def test_studies_of_both_tasks_are_compared_side_by_side(stored: Path, browser: Client) -> None:
    answer = browser.get("/compare?study=values&study=classes")
    assert answer.status_code == 200
    shared = answer.text.partition("Configurations of the same name</h2>")[2]
    store = Store(str(stored))
    values = Results(store, "values").summary().set_index("configuration")
    classes = Results(store, "classes").summary().set_index("configuration")
    for label in values.index:
        assert f"R2 {values.loc[label, 'r2']:.4g} ± {values.loc[label, 'sd']:.4g}, n = 2" in shared
        assert f"{100 * classes.loc[label, 'accuracy']:.2f} % ± {100 * classes.loc[label, 'sd']:.2f}, n = 2" in shared


def test_the_best_of_a_race_is_the_mean_of_the_fresh_seeds(stored: Path, browser: Client) -> None:
    store = Store(str(stored))
    rows = {row["name"]: row for row in queries.studies(store.database)}
    frame = Results(store, "raced").frame()
    fresh = frame[frame["phase"] == "fresh"]
    assert len(fresh) == 3
    assert rows["raced"]["best_r2"] == pytest.approx(fresh["r2"].mean(), abs=1e-12)
    assert fresh["r2"].mean() < frame["r2"].max()  # which would be the biased one
    assert (rows["raced"]["best"], rows["raced"]["selected"]) == (None, False)
    listed = browser.get("/").text
    assert f"R2 {fresh['r2'].mean():.4g}" in listed
    assert "best score" in listed


def test_a_best_r2_below_0_is_shown_as_it_is(stored: Path, browser: Client) -> None:
    store = Store(str(stored))
    best = Results(store, "below").frame()["r2"].max()
    counted = activity.states(store.database)["below"].activity
    assert best < 0
    assert (counted.best, counted.best_r2) == (None, best)
    assert f"R2 {best:.4g}" in browser.get("/study/below/part/state").text


def test_the_table_and_the_page_of_a_trial_have_r2_and_rmse(stored: Path, browser: Client) -> None:
    store = Store(str(stored))
    row = Results(store, "values").frame().iloc[0]
    table = browser.get("/study/values/part/rows?rows=trials").text
    for word in ("R2", "validation R2", "RMSE", f"{row['r2']:.4g}", f"{row['rmse']:.4g}"):
        assert word in table
    page = browser.get(f"/trial/{row['trial']}").text
    for name, column in (("test R2", "r2"), ("validation R2", "validation_r2"), ("test RMSE", "rmse")):
        assert re.search(rf">{name}</t[dh]>\s*<td[^>]*>{row[column]:.4g}</td>", page)
    configurations = browser.get("/study/values/part/rows").text
    assert "effort" not in configurations
    assert "accuracy" not in configurations
    assert " %" not in configurations
