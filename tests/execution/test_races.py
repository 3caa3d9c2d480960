"""Searches with seeds in a store: resumed, exported, and what is shown as whose figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import assay
from assay.errors import AssayError
from assay.execution.search import execution_of
from assay.execution.winners import winner
from assay.report import page
from assay.results.results import Results
from assay.store import exchange, queries
from assay.store.searches import Searches
from assay.store.store import Store
from tests.execution.test_search import KILLS, RATE, check_kills, listed, searched, study

SEEDS = {"race": 4, "racers": 2}


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A search of six trials that is interrupted in its screening and in its race, with its weights."""
    store = Store(str(tmp_path_factory.mktemp("races") / "store.db"))
    made = study(trials=6, keep="winners", seeds=SEEDS)
    for count, state in ((3, "has not begun"), (8, "is not over")):
        execution, feed = execution_of(made, store)
        for _ in execution:
            if len(feed.course.told) >= count:
                break
        assert not feed.ended
        with pytest.raises(AssayError, match=f"the race of the search {state}, so that there is no winner"):
            winner(store, "found")
    searched(store, made)
    return store


def jobs_of(store: Store, name: str = "found") -> list[Any]:
    searches = Searches(store.database)
    return searches.jobs((searches.named(name) or (0,))[0])


@pytest.mark.endurance
def test_an_interrupted_race_is_the_uninterrupted_one(raced: Store, tmp_path: Path) -> None:
    whole = Store(str(tmp_path / "whole.db"))
    assert searched(whole, study(trials=6, keep="winners", seeds=SEEDS)) == listed(raced)
    assert [job.decision.kind for job in jobs_of(whole)] == [job.decision.kind for job in jobs_of(raced)]


def test_only_figures_of_fresh_seeds_are_shown_as_those_of_the_winner(raced: Store) -> None:
    results = Results(raced, "found")
    found = results.race
    assert found is not None
    frame: Any = results.frame()
    every: Any = results.frame(every_seed=True)
    expected = {racer.configuration: "race" for racer in found.racers} | {found.winner: "fresh"}
    phases = dict(zip(frame["configuration"], frame["phase"], strict=True))
    assert {name: phases[name] for name in expected} == expected
    assert set(phases.values()) == {"fresh", "race", "screening"}
    assert len(every) == len(jobs_of(raced)) > len(frame)
    mean = float(every[(every["configuration"] == found.winner) & (every["phase"] == "fresh")]["accuracy"].mean())
    assert found.fresh.mean == pytest.approx(mean)
    summary: Any = results.summary().set_index("configuration")
    assert summary.loc[found.winner, "accuracy"] == pytest.approx(mean)
    (listed_study,) = queries.studies(raced.database)
    assert (listed_study["best"], listed_study["selected"]) == (pytest.approx(mean), False)
    answers = results.answers()
    assert any(f"{found.winner} is best: accuracy {100 * mean:.2f} %, 4 seeds" in sentence for sentence in answers)
    assert any(f"Winner: {found.winner}: test accuracy {100 * mean:.2f} %" in sentence for sentence in answers)
    key, label, why = winner(raced, "found")
    assert (label, "winner of the race" in why) == (found.winner, True)
    assert key in set(frame[frame["phase"] == "fresh"]["trial"])
    other = next(racer for racer in found.racers if racer.configuration != found.winner)
    of_other = every[(every["configuration"] == other.configuration) & (every["phase"] == "race")]
    assert other.mean == pytest.approx(float(of_other["accuracy"].mean()))
    assert next(racer for racer in found.racers if racer.result == "winner").mean is None
    table, _ = results.race_table()
    assert table is not None
    assert table["mean"].tolist()[0] == "-"


def test_the_page_shows_the_race_and_the_winner_first(raced: Store) -> None:
    results = Results(raced, "found")
    assert results.race is not None
    (section,) = page.race_sections(results)
    assert all(racer.configuration in section.body for racer in results.race.racers)
    assert "p is that of the paired t test, corrected for looks and racers" in section.body
    summary = page.configuration_table(results)
    assert summary["configuration"].tolist()[0] == results.race.winner
    assert summary["phase"].tolist() == ["fresh", "race", *["screening"] * 4]
    assert page._best(results.frame())[0] == results.race.winner  # pyright: ignore[reportPrivateUsage]
    assert "figures of different seeds do not compare" in page.notes_list(results, results.frame())


def test_verdicts_between_racers_are_on_the_paired_seeds_of_the_race_and_corrected_for_its_looks(raced: Store) -> None:
    results = Results(raced, "found")
    found = results.race
    assert found is not None
    a, b = (racer.configuration for racer in found.racers)
    every: Any = results.frame(every_seed=True)
    pairs = every[every["phase"] == "race"].pivot(index="repeat", columns="configuration", values="accuracy").dropna()
    verdict = results.verdict(a, b)
    assert verdict.n == len(pairs)
    assert verdict.difference == pytest.approx(float((pairs[a] - pairs[b]).mean()))
    assert verdict.p_t == pytest.approx(float(stats.ttest_rel(pairs[a], pairs[b]).pvalue))
    n = found.looks[-1]
    assert verdict.look == (n - 2, 2)
    assert verdict.alpha == pytest.approx(0.05 * (n**2 - (9 if n == 4 else 0)) / 16)
    assert results.verdicts(baseline=b)["a"].tolist() == [a]
    assert [v.names for v in results.comparisons(baseline=b).verdicts] == [(a, b)]
    unraced = next(name for name in every["configuration"] if name not in (a, b))
    with pytest.raises(AssayError, match="did not race: it has the seeds of the screening alone"):
        results.verdict(a, unraced)
    with pytest.raises(AssayError, match="did not race: it has the seeds of the screening alone"):
        results.comparisons(baseline=unraced)


def test_importance_is_computed_from_the_seeds_that_all_configurations_have(
    raced: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results(raced, "found")
    assert results.screening()["trial"].tolist() == [job.decision.trial for job in jobs_of(raced)[:6]]

    def trials_given(trials: Any, _: Any) -> Any:
        return trials.assign(term="rate")

    monkeypatch.setattr("assay.analysis.importance.importance", trials_given)
    (table,) = results._drawn_from("importance", None)  # pyright: ignore[reportPrivateUsage]
    assert table["trial"].tolist() == results.screening()["trial"].tolist()


def test_weights_of_the_winner_alone_stay_on_its_fresh_seeds(raced: Store) -> None:
    fresh = {job.decision.trial for job in jobs_of(raced) if job.decision.kind == "fresh"}
    assert {job.decision.trial for job in jobs_of(raced) if raced.history(job.decision.trial) is not None} == fresh


def test_exported_races_are_read_as_they_were(raced: Store, tmp_path: Path) -> None:
    exchange.export(raced, tmp_path / "out")
    other = Store(str(tmp_path / "other.db"))
    exchange.read_back(other, tmp_path / "out")
    assert listed(other) == listed(raced)
    first, second = Results(raced, "found").race, Results(other, "found").race
    assert first is not None
    assert second is not None
    assert second.plain() == first.plain()


def test_the_scores_of_a_search_without_seeds_are_said_to_be_biased(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.db"))
    searched(store, study(trials=3))
    results = Results(store, "found")
    assert "the best score selected its configuration out of 3, so that it is biased" in results.selection
    assert results.notes()[0].sentence == results.selection
    assert any("a worse one is expected on other seeds" in sentence for sentence in results.answers())
    assert queries.studies(store.database)[0]["selected"] is True
    assert "phase" not in results.frame().columns
    _, feed = execution_of(study(trials=3), store)
    feed.register()
    assert "% (biased: it selected the configuration): rate" in feed.sentences()[0]


def test_a_race_in_a_loop_of_ones_own() -> None:
    search = assay.Search(study(trials=4, axes={"rate": RATE}, seeds={"race": 3, "racers": 2}))
    seeds: dict[float, list[int]] = {}
    noise = np.random.default_rng(1)
    while (suggestion := search.ask()) is not None:
        rate = suggestion.values["rate"]
        seeds.setdefault(rate, []).append(suggestion.recipe.seed)
        search.tell(suggestion, -abs(np.log(rate / 0.02)) + noise.normal() / 1e3)
    best = min(seeds, key=lambda rate: abs(np.log(rate / 0.02)))
    assert [one.values["rate"] for one in search.best] == [best]
    assert seeds[best] == [1, 2, 3, 4, 100_001, 100_002, 100_003]


# --- crashes ---------------------------------------------------------------------------------------------------------


@pytest.mark.endurance
@pytest.mark.parametrize("parallel", [1, 2])
def test_a_race_that_is_killed_at_random_instants(parallel: int, tmp_path: Path) -> None:
    seeds = {"screen": 1, "race": 3}
    done = check_kills(tmp_path, "random", parallel, drivers=1, kills=KILLS, seed=parallel, trials=6, seeds=seeds)
    assert done == KILLS
