"""The benchmark of search methods: its tables, its intervals and its tests over tables."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy

from assay.studies.search.space import key_of
from benchmarks.search_report import Regret, at_budget, friedman, median_interval, nemenyi
from benchmarks.search_runs import METHODS, START, Runs, run
from benchmarks.search_tables import SELECTING, TABLES, load_table


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_a_score_for_every_point_of_its_space(name: str) -> None:
    table = load_table(name)
    points = len(table.space.listed)
    assert points >= 2000
    assert table.selecting.shape == (points, len(table.rungs), SELECTING if table.is_judged_apart else 1)
    assert table.judging.shape == table.seconds.shape == (points, len(table.rungs))
    assert 0 <= table.selecting.min() <= table.selecting.max() <= 1
    assert (table.seconds > 0).all()
    assert (np.diff(table.seconds, axis=1) > 0).all()  # a longer training costs more
    drawn = [table.space.draw(3, "test", number) for number in range(50)]
    snapped = [table.space.snapped(values) for values in drawn]
    assert all(key_of(values) in table.places for values in snapped)
    assert [table.space.snapped(values) for values in snapped] == snapped


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches of a few trials."""
    for name in ("random", "tpe", "halving"):
        monkeypatch.setitem(METHODS, name, replace(METHODS[name], trials=START + 2))


@pytest.mark.usefixtures("short")
def test_searches_start_alike_and_repeat_no_trial() -> None:
    table = load_table("conditional")
    random, tpe = (run(table, method, repetition=2) for method in ("random", "tpe"))
    assert random.regret[:START].tolist() == tpe.regret[:START].tolist()
    assert random.seconds[:START].tolist() == tpe.seconds[:START].tolist()
    assert random.seconds[START:].tolist() != tpe.seconds[START:].tolist()  # other points
    assert random.work.tolist() == list(range(1, START + 3))
    assert run(table, "random", repetition=2).regret.tolist() == random.regret.tolist()


@pytest.mark.usefixtures("short")
def test_halving_trains_the_difference_of_the_rungs_alone() -> None:
    table = load_table("rungs")
    made = run(table, "halving", repetition=0)
    steps = {round(27 * step) for step in np.diff(made.work)}
    assert steps <= {1, 2, 6, 18}  # 1, 3 - 1, 9 - 3 and 27 - 9 epochs
    assert made.seconds[-1] >= (START + 2) * table.seconds[:, -1].mean()


def test_the_interval_of_a_median_is_of_order_statistics() -> None:
    values = np.arange(1.0, 33.0)
    assert median_interval(values) == (16.5, 10.0, 23.0)
    inside = scipy.stats.binom.cdf(22, 32, 0.5) - scipy.stats.binom.cdf(9, 32, 0.5)  # that the 10th to the 23rd hold it
    assert 0.95 <= inside < 0.98


def test_the_critical_difference_is_that_of_the_literature() -> None:
    assert nemenyi(4, 10) == pytest.approx(2.569 * np.sqrt(4 * 5 / 60), abs=1e-3)  # q of Demsar 2006, table 5


def test_friedman_over_four_tables_needs_agreement() -> None:
    def row(table: str, method: str, median: float) -> Regret:
        return Regret(table, method, "trainings", 30, median, 0, 1, 1, 3, None, None, None, n=32)

    alike = [row(t, m, k) for t in "abcd" for k, m in enumerate(("x", "y", "z"))]
    test = friedman(alike, ["x", "y", "z"], ["a", "b", "c", "d"], 30)
    assert test is not None
    assert (test.ranks, test.verdict) == ({"x": 1.0, "y": 2.0, "z": 3.0}, "x is better than z")
    assert test.p == pytest.approx(scipy.stats.friedmanchisquare([0] * 4, [1] * 4, [2] * 4).pvalue)
    pairs = [row(t, m, k) for t in "abcd" for k, m in enumerate(("x", "y"))]
    of_two = friedman(pairs, ["x", "y"], ["a", "b", "c", "d"], 30)
    assert of_two is not None
    assert (of_two.p, of_two.verdict) == (0.125, "cannot tell")  # four wins of four
    orders = itertools.cycle([(0, 1, 2), (2, 0, 1), (1, 2, 0), (0, 2, 1)])
    mixed = [row(t, m, k) for t, order in zip("abcd", orders, strict=False) for m, k in zip("xyz", order, strict=True)]
    unclear = friedman(mixed, ["x", "y", "z"], ["a", "b", "c", "d"], 30)
    assert unclear is not None
    assert unclear.verdict == "cannot tell"
    assert friedman(mixed, ["x", "gp"], ["a"], 30) is None


def test_the_regret_at_a_budget_is_that_of_the_last_training_within_it() -> None:
    spent = np.array([[1.0, 2.0, 3.0]])
    runs = Runs("conditional", "m", np.array([[0.5, 0.3, 0.1]]), spent, spent, np.empty((1, 0)))
    assert at_budget(runs, 2.5, "trainings") == pytest.approx([0.3])
    assert at_budget(runs, 3, "trainings") == pytest.approx([0.1])
    assert at_budget(runs, 10, "trainings") is None
    assert at_budget(runs, 0.5, "trainings") is None
