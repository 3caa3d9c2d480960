"""What the trials of a reproduction count as where some seeds diverged or timed out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import assay
from assay.articles import find_article
from assay.articles.measurements import MeasuredCurve, Measurements
from assay.claims.judge import Judgement, judge

CURVES = {1: [0.1, 0.8, 0.9, 0.95], 2: [0.1, 0.9, 0.3], 3: [], 4: [0.1, 0.2, 0.9, 0.97]}
OUTCOMES = {1: "completed", 2: "diverged", 3: "timed out", 4: "failed"}


class Stored:
    """Trials of one cell by seed: their outcomes, and their test accuracies at 0, 100, 200 and 300 iterations."""

    name, axes, seeds_added = "flux-mnist", (), ""

    def __init__(self, cells: dict[str, dict[int, list[float]]], outcomes: dict[int, str]) -> None:
        self.cells, self.outcomes = cells, outcomes

    def budgets(self) -> pd.DataFrame:
        frame = self.frame()[["trial"]]
        return frame.assign(budget=300.0, epochs=math.nan, finished=1.0)

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(
            [
                {"trial": f"{cell}/{seed}", "configuration": cell, "seed": seed, "repeat": seed, "classes": 10}
                | {"outcome": self.outcomes.get(seed, "completed"), "accuracy": curve[-1] if curve else math.nan}
                | {"train_loss": 0.5, "seconds": 1.0, "effort": 1.1, "origin": "measured", "machine": "a"}
                | {
                    "timing": "packed",
                    "threads": 1,
                    "foreign_seconds": 0.0,
                    "busy": False,
                    "level": "",
                    "engine": "native",
                }
                for cell, curves in self.cells.items()
                for seed, curve in curves.items()
            ]
        )

    def curves(self) -> pd.DataFrame:
        names = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "test_loss")
        return pd.DataFrame(
            [
                {"trial": f"{cell}/{seed}", "iteration": 100 * i, "test_accuracy": value}
                | dict.fromkeys(names, 1.0 - value)
                for cell, curves in self.cells.items()
                for seed, curve in curves.items()
                for i, value in enumerate(curve)
            ]
        )


def measured(cells: dict[str, dict[int, list[float]]], outcomes: dict[int, str]) -> Measurements:
    results: Any = Stored(cells, outcomes)
    return Measurements([results])


def test_no_seed_of_an_article_is_dropped_because_it_diverged() -> None:
    m = measured({"net 300": CURVES}, OUTCOMES)
    assert (m.diverged, m.timed_out, m.planned) == (1, 1, 4)
    assert m.values_at("net", "test_accuracy", 300) == {1: 0.95, 2: 0.3, 3: 0.1}, "last accuracy, or chance"
    assert m.values_at("net", "test_accuracy", 100) == {1: 0.8, 2: 0.9, 3: 0.1}
    assert m.values_at("net", "train_loss", 300) == {1: pytest.approx(0.05), 2: pytest.approx(0.7), 3: math.inf}
    assert m.best_accuracies("net", 300) == {1: 0.95, 2: 0.9, 3: 0.1}
    assert m.first_reached("net", 0.85) == 200, "median of 200, 100 and never"
    assert m.first_reached("net", 0.93) is None
    assert [run.accuracy for run in m.runs("net 300")] == [0.95, 0.3, 0.1]
    assert m.ended_text("net 300") == "1 diverged and 1 timed out of 4 seeds of net 300"


def judged(claim: str, cells: dict[str, dict[int, list[float]]], outcomes: dict[int, str]) -> Judgement:
    """The verdict on a claim of the article on Descent, from made-up trials of its study."""
    (chosen,) = [c for c in find_article("flux-mnist").claims if c.id == claim]
    study: Any = Stored(cells, outcomes)
    (judgement,) = judge([chosen], {"flux-mnist": study})
    return judgement


def test_the_ranking_of_the_article_counts_diverged_seeds_and_is_corrected() -> None:
    steady = {seed: [0.1, 0.900 + 0.001 * seed] for seed in range(1, 9)}
    lower = {seed: [0.1, 0.850 + 0.0015 * seed] for seed in range(1, 9)}
    lowest = {seed: [0.1, 0.800 + 0.002 * seed] for seed in range(1, 9)}

    def ranking(outcomes: dict[int, str], best: dict[int, list[float]]) -> Judgement:
        cells = {"3LS": best, "2LR": lower, "4LS": lowest}
        return judged("ranking", {f"{m} descent stochastic 2048000": curves for m, curves in cells.items()}, outcomes)

    whole = ranking({}, steady)
    assert whole.holds is True and "Holm's correction for 2 pairs, simultaneous interval" in whole.evidence
    some = ranking({1: "diverged", 2: "diverged"}, {**steady, 1: [0.1], 2: [0.1]})
    assert some.holds is None, "over the survivors alone, 3LS would win"
    assert "2 diverged of 8 seeds of 3LS descent stochastic 2048000" in some.evidence


def test_effort_is_not_judged_where_a_seed_did_not_finish() -> None:
    cells = {"2LR descent mini-batch 64000": CURVES, "3LS descent mini-batch 2048000": CURVES}
    judgement = judged("effort", cells, OUTCOMES)
    assert judgement.holds is None and "diverged" in judgement.reason
    assert judged("effort", {label: {1: CURVES[1]} for label in cells}, {}).holds is False


def test_the_curve_of_a_stored_trial_has_no_numbers_of_another_task(tmp_path: Path) -> None:
    results = assay.run(
        {"name": "one", "axes": {"model": ["2LR"]}, "baseline": {"budget": "20 iterations"}},
        store=str(tmp_path / "one.db"),
    )
    curve = MeasuredCurve(results.curves())
    assert curve.last("test_accuracy") == results.frame()["accuracy"][0]
    assert all(math.isnan(value) for value in curve.values("test_r2")) and math.isnan(curve.last("train_rmse"))
