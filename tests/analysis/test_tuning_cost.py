"""What tuning costs: the expected best against closed forms, against every subset, and against simulated searches."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from assay.analysis.tuning_cost import best_weights, best_within, crossovers, draws, leaders, tuning_cost
from assay.errors import AssayError


def frame(scores: list[float], *, value: str = "a", seconds: float | list[float] = 1.0) -> pd.DataFrame:
    return pd.DataFrame({"value": value, "score": scores, "seconds": seconds})


def test_the_weights_are_those_of_all_subsets() -> None:
    values = [0.9, 0.8, 0.55, 0.3, 0.1]  # the best first
    for budget in range(1, 6):
        wanted = np.mean([max(subset) for subset in itertools.combinations(values, budget)])
        assert best_weights(5, budget) @ values == pytest.approx(wanted)
    with pytest.raises(AssayError, match="between 1 and 5"):
        best_weights(5, 6)


def test_the_expected_best_of_equally_spaced_scores_is_that_of_the_closed_form() -> None:
    n = 99
    table = tuning_cost(frame([i / (n + 1) for i in range(1, n + 1)]))
    for row in table[table["unit"] == "trials"].to_dict("records"):
        b = row["budget"]
        assert row["expected"] == pytest.approx(b * (n + 1) / (b + 1) / (n + 1))  # of b of 1 ... n: b (n + 1) / (b + 1)
        assert row["low"] <= row["expected"] <= row["high"] + 0.01
    assert table[table["unit"] == "trials"]["budget"].max() == 49  # half of them


def test_the_expected_best_agrees_with_simulated_searches() -> None:
    random = np.random.default_rng(0)
    population = random.beta(2.0, 1.0, 200_000)
    simulated = population[: 200_000 // 8 * 8].reshape(-1, 8).max(axis=1).mean()
    estimates = [float(best_weights(40, 8) @ np.sort(random.beta(2.0, 1.0, 40))[::-1]) for _ in range(2000)]
    assert np.mean(estimates) == pytest.approx(simulated, abs=4 * np.std(estimates) / 2000**0.5)  # unbiased


def test_with_equal_seconds_a_budget_in_seconds_is_one_in_trials() -> None:
    scores = np.linspace(0, 1, 41).tolist()
    table = tuning_cost(frame(scores, seconds=2.0))
    timed = table[table["unit"] == "seconds"]
    assert timed["budget"].iloc[0] == pytest.approx(2.0)
    assert timed["budget"].iloc[-1] == pytest.approx(41.0)  # half of all seconds
    last = timed.iloc[-1]  # 20 trials end within 41 s
    assert last["expected"] == pytest.approx(float(best_weights(41, 20) @ np.sort(scores)[::-1]), abs=0.01)
    assert last["low"] < last["expected"] <= last["high"] + 0.01


def test_a_costly_trial_ends_later() -> None:
    orders = np.array([[0, 1, 2], [2, 1, 0]])
    best = best_within([0.2, 0.9, 0.5], [1.0, 5.0, 1.0], [1.0, 5.9, 6.0, 7.0], orders)
    assert best.tolist() == pytest.approx([0.35, 0.35, 0.9, 0.9])
    assert np.isnan(best_within([0.2], [1.0], [0.5], np.array([[0]]))[0])  # nothing has ended


def test_less_is_better_for_a_loss() -> None:
    table = tuning_cost(frame(np.linspace(1, 3, 21).tolist()), higher_is_better=False)
    trials = table[table["unit"] == "trials"]
    assert trials["expected"].iloc[0] == pytest.approx(2.0)
    assert (np.diff(trials["expected"]) < 0).all()
    assert (trials["low"] <= trials["high"]).all()


def test_a_draw_without_seconds_leaves_the_curve_in_seconds_out() -> None:
    table = tuning_cost(frame(np.linspace(0, 1, 20).tolist(), seconds=[1.0] * 19 + [np.nan]))
    assert set(table["unit"]) == {"trials"}
    assert tuning_cost(frame([0.1] * 7)).empty  # fewer than eight draws


def test_a_crossover_is_told_only_where_the_bands_part() -> None:
    random = np.random.default_rng(1)
    steady = frame(np.linspace(0.6, 0.61, 100).tolist(), value="steady")
    risky = frame([0.9] * 10 + [0.2] * 90, value="risky")
    table = tuning_cost(pd.concat([steady, risky]))
    (of_trials,) = [one for one in crossovers(table) if one.unit == "trials"]
    assert (of_trials.early, of_trials.late) == ("steady", "risky")
    assert 1 <= of_trials.until < of_trials.start
    expected = {b: 0.2 + 0.7 * (1 - 0.9**b) for b in (of_trials.until, of_trials.start)}
    assert expected[of_trials.until] < 0.6 < expected[of_trials.start]  # of iid draws
    assert "with 50 trials, risky has the best expected score" in leaders(table)[0]
    alike = tuning_cost(pd.concat([frame(random.random(30).tolist(), value=name) for name in "ab"]))
    assert not crossovers(alike)
    assert all("cannot tell" in sentence for sentence in leaders(alike))


def test_trials_become_draws() -> None:
    trials = pd.DataFrame(
        {
            "configuration": ["a", "a", "b", "c", "d"],
            "optimizer": ["adam", "adam", "adam", "descent", "descent"],
            "outcome": ["completed", "completed", "diverged", "failed", "completed"],
            "accuracy": [0.8, 0.9, np.nan, np.nan, 0.7],
            "seconds": [1.0, 2.0, 0.5, 0.1, 3.0],
            "classes": 10,
        }
    )
    table, notes = draws(trials, by="optimizer", measure="accuracy")
    assert table["score"].tolist() == pytest.approx([0.85, 0.1, 0.7])  # the mean of two seeds, chance, one seed
    assert table["seconds"].tolist() == pytest.approx([3.0, 0.5, 3.0])
    assert notes[0] == "1 of 5 trials without a result left out"
    assert "up to 2 seeds per configuration" in notes[1]
