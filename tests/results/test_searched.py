"""The search of a study as a frame: what it cost, and how its best score improved."""

from __future__ import annotations

import math

import pytest

from tests.results.searches import halved, job, search


def test_what_a_search_cost_is_summed_and_suggestions_are_apart() -> None:
    made = search(
        job(0, 0.5),
        job(1, 0.7, reused=True, cost_seconds=4.0),
        job(2, None, outcome="failed", cost_seconds=1.0),
        job(3, None, outcome=None, cost_seconds=None, cost_flops=None),  # still open: its suggestion was made
    )
    cost = made.cost
    assert (cost.trials, cost.seconds, cost.reused, cost.reused_seconds, cost.flops) == (3, 7.0, 1, 4.0, 30.0)
    assert cost.deciding == pytest.approx(2.0)
    assert cost.fraction == pytest.approx(2.0 / (3.0 + 2.0))
    assert cost.plain()["trained_seconds"] == 3.0
    sentence = made.cost_sentence()
    assert sentence.startswith("3 trials took 7 s and 30 operations of training, 4 s of it before (1 was stored)")
    assert sentence.endswith("suggestions took 2 s apart from that, 40 % of what was spent here")
    assert search(job(0, 0.5, cost_seconds=0.0, seconds=0.0)).cost.plain()["deciding_fraction"] is None


def test_the_incumbent_counts_feasible_full_trials_alone() -> None:
    made = search(
        job(0, 0.5),
        job(1, 0.9, feasible=False),
        job(2, None, outcome="diverged"),
        job(3, 0.6),
        job(4, 0.95, rung=0, budget=10),
        job(5, 0.99, kind="race", repeat=1),
    )
    table = made.incumbents
    assert table["best"].tolist() == [0.5, 0.5, 0.5, 0.6, 0.6, 0.6]
    assert table["improved"].tolist() == [True, False, False, True, False, False]
    assert table["seconds"].tolist() == [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]
    assert [row["trials"] for row in made.plain()["incumbents"]] == [1, 4]
    losses = search(job(0, 0.5), job(1, 0.2), objective="loss").incumbents
    assert losses["best"].tolist() == [0.5, 0.2]
    assert math.isnan(search(job(0, None, outcome="failed")).incumbents["best"][0])


def test_the_best_after_budgets_is_expected_for_random_draws_and_observed_for_others() -> None:
    jobs = [job(n, n / 100) for n in range(20)]
    assert "of this run, which these scores selected: 1 (2 s): 0.00 %, 2 (4 s): 1.00 %" in search(*jobs).best_sentence()
    random = search(*jobs, method="random")
    expected = random.expected_best
    assert expected[expected["unit"] == "trials"]["expected"].iloc[0] == pytest.approx(0.095)  # the mean of 0 ... 0.19
    words = "expected best of random draws by trials [95 % band] and seconds: 1: 9.50 % ["
    assert random.best_sentence().startswith(words)
    assert "expected_best" in random.plain()
    assert "expected_best" not in halved().plain()  # its trials were stopped by their results


def test_a_draw_without_a_score_counts_as_the_worst() -> None:
    made = search(job(0, 0.5), job(1, None, outcome="failed"), job(2, 0.9, feasible=False), method="random")
    assert made.draws()["score"].tolist() == [0.5, 0.5, 0.5]
    neighbours = search(job(0, 0.5), job(1, 0.7, origin="neighbour"), method="random")
    assert neighbours.draws()["score"].tolist() == [0.5]  # it was chosen near a draw
