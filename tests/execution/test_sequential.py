"""Seeds are added only where a verdict is open, and the winner is trained again on fresh ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import assay
from assay.errors import AssayError
from assay.execution.runner import Execution
from assay.execution.sequential import until_decided
from assay.results.results import Results
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study

TWINS = {"a": {"model": {"hidden": [16]}}, "b": {"clip_norm": 1e9}, "poor": {"model": {"hidden": [1]}}}


def study(**raw: Any) -> Study:
    baseline = {"model": {"hidden": [16]}, "budget": {"epochs": 3}, "log": "3 epochs"}
    settings = {"name": "twins", "engine": "native", "repeats": 4, "timing": "packed", "baseline": baseline}
    return Study.parse({**settings, "axes": {"model": TWINS}, **raw})


def run(execution: Execution) -> bool:
    for _ in execution:
        pass
    return False


def test_run_from_python_adds_seeds_and_returns_the_corrected_verdicts(tmp_path: Path) -> None:
    place = str(tmp_path / "store.db")
    results = assay.run(
        study(axes={"model": {"a": {"model": {"hidden": [16]}}, "poor": TWINS["poor"]}}),
        store=place,
        until_decided=True,
    )
    assert results.seeds_added.startswith("Seeds were added until the pairs were decided by accuracy")
    assert all(", corrected for all looks" in sentence for sentence in results.verdicts()["sentence"])
    assert len(Results(Store(place), "twins, fresh seeds").frame())
    for option in ("retry", "again"):
        with pytest.raises(AssayError, match="until_decided: cannot be combined with retry or again"):
            assay.run(study(), store=place, until_decided=True, **{option: True})


def test_seeds_are_added_only_where_a_verdict_is_open(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.db"))
    decision = until_decided(study(), store, run, looks=3)
    assert decision.seeds["a"] == decision.seeds["b"] == 12  # twins, which no seed tells apart
    assert decision.open == {("a", "b")}
    assert "poor" in decision.sentences[("a", "poor")]
    assert decision.seeds["poor"] < 12
    frame = Results(store, "twins").frame()
    assert dict(frame["configuration"].value_counts()) == decision.seeds
    results = Results(store, "twins")
    table = results.verdicts().set_index(["a", "b"])
    assert table["sentence"].to_dict() == decision.sentences  # with the intervals of their looks
    assert "look 3 of 3, corrected for all looks" in table.loc[("a", "b"), "sentence"]
    assert table.loc[("a", "poor"), "n"] == decision.seeds["poor"]
    assert results.verdict("poor", "a").sentence().count("look") == 2
    assert results.seeds_added.startswith("Seeds were added until the pairs were decided by accuracy")
    assert "until_decided" not in results.about
    assert results.seeds_added + "." in results.answers()
    assert not any("look" in sentence for sentence in results.verdicts(measure="test_loss")["sentence"])
    store.register(plan(study()))  # a plain run of the study has a fixed number of seeds again
    assert not Results(store, "twins").seeds_added
    assert decision.winner in ("a", "b")
    assert decision.fresh_seeds == 10
    assert abs(decision.fresh_mean - decision.chosen_mean) < 0.05
    fresh = Results(store, "twins, fresh seeds").frame()
    assert not set(fresh["seed"]) & set(frame["seed"])


def test_what_cannot_be_compared_is_told(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.db"))
    with pytest.raises(AssayError, match="at least 3 seeds"):
        until_decided(study(repeats=2), store, run)
    with pytest.raises(AssayError, match="only one configuration"):
        until_decided(study(axes={}, design="one-at-a-time"), store, run)


def test_an_interrupted_look_ends_it(tmp_path: Path) -> None:
    decision = until_decided(study(), Store(str(tmp_path / "store.db")), lambda execution: True)
    assert decision.interrupted
    assert not decision.sentences
