"""`keep = "winners"`: the weights of the best configuration stay, those of the others go when the study has ended."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.execution.runner import Execution
from assay.execution.sequential import until_decided
from assay.execution.winners import keep_winners
from assay.results.results import Results
from assay.store import integrity, queries
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study
from assay.training.outcome import Outcome
from tests.store.makers import made_end, made_plan


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "s.db"))


def raw(**changes: Any) -> dict[str, Any]:
    """Two configurations of two seeds, of which the second one learns next to nothing."""
    axes = {"rate": {"key": "optimizer.learning_rate", "values": [0.01, 0.000001]}}
    baseline = {"model": {"hidden": [4]}, "budget": {"iterations": 60}}
    return {
        "name": "s",
        "engine": "numpy",
        "repeats": 2,
        "keep": "winners",
        "axes": axes,
        "baseline": baseline,
    } | changes


def run(store: Store, **changes: Any) -> None:
    for _ in Execution(plan(Study.parse(raw(**changes))), store):
        pass


def with_weights(store: Store, name: str = "s") -> dict[str, int]:
    """How many trials of each configuration have weights."""
    counts: dict[str, int] = {}
    for row in Results(store, name).frame().to_dict("records"):
        counts[row["configuration"]] = counts.get(row["configuration"], 0) + (store.history(row["trial"]) is not None)
    return counts


def test_all_seeds_of_the_best_configuration_keep_their_weights_and_no_other_trial(store: Store) -> None:
    run(store)
    assert with_weights(store) == {"rate 0.01": 2, "rate 1e-06": 0}
    assert len(list(store.artifacts.names())) == 2
    assert integrity.check(store) == []
    frame = Results(store, "s").frame()
    assert frame["accuracy"].notna().all()
    assert len(Results(store, "s").curves()["trial"].unique()) == 4
    losers = frame.loc[frame["configuration"] == "rate 1e-06", "trial"]
    trajectories = {queries.one_trial(store.database, key)["trajectory"] for key in losers}
    assert all(store.start_of(key) is None for key in trajectories)


def test_weights_that_another_study_keeps_stay(store: Store) -> None:
    run(store, name="all", keep="checkpoint")
    run(store)
    assert with_weights(store) == {"rate 0.01": 2, "rate 1e-06": 2}
    run(store, name="none", keep="nothing")
    assert store.remove(studies=["all"]) == 0  # the other studies have its trials
    run(store)  # a finished study prunes what nothing keeps any more
    assert with_weights(store) == {"rate 0.01": 2, "rate 1e-06": 0}


def test_an_interrupted_study_prunes_nothing_before_it_is_finished(store: Store) -> None:
    execution = Execution(plan(Study.parse(raw())), store)
    for status in execution:
        if status.done == 3:
            execution.stop()
    done = len(queries.trials(store.database, ["outcome=completed"])[0])
    if done < 4:
        assert sum(with_weights(store).values()) == done
    run(store)
    assert with_weights(store) == {"rate 0.01": 2, "rate 1e-06": 0}


def test_a_new_winner_whose_weights_were_pruned_is_said(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    axes = {"rate": {"key": "optimizer.learning_rate", "values": [0.01, 0.0003]}}
    run(store, axes=axes)
    assert with_weights(store) == {"rate 0.01": 2, "rate 0.0003": 0}
    only = {"rate": {"key": "optimizer.learning_rate", "values": [0.0003, 0.000001]}}
    with caplog.at_level(logging.WARNING, "assay.execution"):
        run(store, axes=only)
    assert "s: 2 of the 2 trials of the best configuration, rate 0.0003, have no weights" in caplog.text
    assert "--again retrains them" in caplog.text


def test_without_a_ranked_configuration_everything_is_kept(store: Store) -> None:
    made = made_plan(2)
    store.register(made)
    while claimed := store.leases.claim(made.jobs):
        trial = claimed[1].trials[0]
        ended = replace(made_end(trial, content=trial.key.encode()), outcome=Outcome.FAILED)
        assert store.finish(claimed[0], trial, ended)
        store.leases.release(claimed[0])
    assert keep_winners(store, "made") == 0
    assert len(list(store.artifacts.names())) == 2


@pytest.mark.endurance
def test_looks_prune_once_at_their_end(store: Store) -> None:
    def ran(execution: Execution) -> bool:
        for _ in execution:
            pass
        return False

    decision = until_decided(Study.parse(raw(repeats=3)), store, ran, looks=2)
    counts = with_weights(store)
    assert decision.winner == "rate 0.01"
    assert counts["rate 0.01"] >= 3
    assert counts["rate 1e-06"] == 0
    assert with_weights(store, "s, fresh seeds") == {"baseline": len(Results(store, "s, fresh seeds").frame())}
