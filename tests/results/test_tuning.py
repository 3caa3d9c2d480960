"""What tuning costs, read from stored studies: which are random draws, the defaults, and the reasons of a refusal."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import assay
from assay.analysis.sensitivity import expected_best
from assay.errors import AssayError
from assay.results.results import Results
from assay.results.tuning import defaults_study, optimizer_axis, why_random
from tests.results.searches import job, search

BASE = {"budget": {"iterations": 8}, "model": {"hidden": [4]}, "log": {"every": "8 iterations"}}
AXES = {
    "optimizer": {"key": "optimizer", "values": ["adam", "descent"]},
    "rate": {"key": "optimizer.learning_rate", "low": 1e-3, "high": 1.0, "scale": "log"},
}


def run(url: str, **definition: Any) -> Results:
    return assay.run({"timing": "packed", "engine": "numpy", "baseline": BASE, "axes": AXES, **definition}, store=url)


def test_random_draws_have_a_curve_for_each_optimizer_and_the_defaults_are_found(tmp_path: Path) -> None:
    url = str(tmp_path / "assay.db")
    results = run(url, name="drawn", design="random", draws=24)
    cost = results.tuning_cost()
    assert (cost.by, cost.measure) == ("optimizer", "accuracy")
    frame = results.frame()
    for value in ("adam", "descent"):
        own = frame[frame["axis.optimizer"] == value]["accuracy"]
        curve = cost.table[(cost.table["value"] == value) & (cost.table["unit"] == "trials")]
        wanted = expected_best(own.to_numpy(), curve["budget"].astype(int).tolist())["expected"]
        assert curve["expected"].tolist() == pytest.approx(wanted.tolist())
        assert curve["budget"].max() == len(own) // 2
    assert [default.missing for default in cost.defaults] == ["the trial of the defaults is not stored"] * 2
    definition = defaults_study(results, "axis.optimizer")
    assert definition is not None
    trained = assay.run(definition, store=url).frame()
    found = {default.value: default.score for default in Results(results.store, "drawn").tuning_cost().defaults}
    assert found == dict(zip(trained["configuration"], trained["accuracy"], strict=True))
    with pytest.raises(AssayError, match="rate is a range; expected an axis with values"):
        results.tuning_cost(by="rate")
    with pytest.raises(AssayError, match="measure: unknown score 'seconds'"):
        results.tuning_cost(measure="seconds")


def test_the_suggestions_of_a_random_search_are_draws(tmp_path: Path) -> None:
    search = {"method": "random", "trials": 16}
    axes = {"rate": AXES["rate"]}
    results = run(str(tmp_path / "assay.db"), name="searched", design="search", search=search, axes=axes)
    cost = results.tuning_cost()
    assert results.searched is not None
    own = results.searched.expected_best
    columns = ["unit", "budget", "expected", "low", "high", "n"]
    pd.testing.assert_frame_equal(own[columns], cost.table[columns])
    assert (cost.by, own["budget"].iloc[0], set(own["n"])) == ("", 1, {16})
    assert cost.defaults[0].missing == "the trial of the defaults is not stored"


def study(design: str, *, method: str = "random", halving: bool = False) -> Any:
    """What is read of a study's results to see whether its trials are draws."""
    searched = search(job(0, 0.5), method=method, halving=halving) if design == "search" else None
    return SimpleNamespace(name="mine", about={"design": design}, searched=searched)


def test_a_study_whose_trials_were_chosen_is_refused_with_the_reason() -> None:
    assert why_random(study("random")) == []
    assert why_random(study("grid")) == ["a grid counts as uniform draws of its points"]
    assert why_random(study("search")) == []
    refused = {
        "is a search by tpe, which chose its trials by the results of earlier ones": study("search", method="tpe"),
        r"stopped trials by their results \(halving\)": study("search", halving=True),
        "lists configurations that somebody chose": study("list"),
        "has the design 'one-at-a-time'": study("one-at-a-time"),
    }
    for reason, results in refused.items():
        with pytest.raises(AssayError, match=f"study 'mine' {reason}"):
            why_random(results)


def test_the_axis_of_the_optimizers_is_found_by_what_it_sets() -> None:
    patches = {"fast": {"optimizer": {"name": "adam"}}, "slow": {"optimizer": "descent"}}
    assert optimizer_axis({"axes": {"rate": AXES["rate"], "rule": patches}}) == "rule"
    assert optimizer_axis({"axes": {"rate": AXES["rate"]}}) == ""


def test_an_optimizer_without_a_default_rate_has_no_defaults_and_leaves_the_others_theirs(tmp_path: Path) -> None:
    pytest.importorskip("optax")
    axes = {**AXES, "optimizer": {"key": "optimizer", "values": ["adam", "optax:lion"]}}
    study = {"baseline": {**BASE, "optimizer": {"name": "adam", "learning_rate": 0.1}}, "axes": axes}
    about = {"timing": "packed", **study}
    results = SimpleNamespace(name="drawn", about=about)
    definition = defaults_study(results, "axis.optimizer")  # pyright: ignore[reportArgumentType]
    assert definition is not None
    assert definition["axes"]["optimizer"]["values"] == ["adam"]
