"""Halving without a store: rungs, promotions that a plain reference makes too, brackets, resuming, and the prior."""

from __future__ import annotations

import hashlib
import itertools
import statistics
from collections.abc import Sequence
from typing import Any

import pytest

from assay.errors import RecipeError
from assay.recipe.settings import Budget
from assay.studies.search import samplers
from assay.studies.search.decisions import Course, goal_of, scheduler_of
from assay.studies.search.halving import fraction_trained, rungs_of
from assay.studies.search.jobs import FRESH, PROMOTION, RACE, SUGGESTION, Decision, Ended, Told
from assay.studies.search.points import Points
from assay.studies.search.prior import PriorSampler, sampler_of
from assay.studies.search.races import Races
from assay.studies.search.settings import Halving
from assay.studies.study import Study

RATE = {"key": "optimizer.learning_rate", "low": 1e-4, "high": 1.0, "scale": "log"}
AXES = {"rate": RATE, "batch": {"key": "batches.size", "low": 16, "high": 128, "step": 16}}
FIRST = {"factor": 3, "first": "3 iterations"}


def study(axes: Any = None, halving: Any = None, budget: Any = 27, timing: str = "packed", **search: Any) -> Study:
    settings = {"trials": 12, "method": "random", "halving": FIRST | (halving or {})} | search
    settings = {key: value for key, value in settings.items() if value is not None}
    baseline = {"model": {"hidden": [4]}, "budget": budget, "schedule": "cosine"}
    made = {"design": "search", "search": settings, "engine": "numpy", "timing": timing}
    return Study.parse(made | {"baseline": baseline, "axes": axes or AXES})


def course(made: Study, decisions: Sequence[Decision] = (), scores: Sequence[Told] = ()) -> Course:
    assert made.settings.search
    points, goal = Points(made), goal_of(made)
    sampler = sampler_of(made.settings.search.method, points, maximize=goal.maximize)
    scheduler = scheduler_of(points, goal)
    return Course(points, sampler, goal, goal.worst, list(decisions), list(scores), scheduler=scheduler)


def told_of(decision: Decision) -> Told:
    """A score that is a function of the point and of the rung; one of eight points has none."""
    text = f"{sorted(decision.values.items())} {decision.rung}"
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")
    scores = (number / 2**32,)
    measured = None if number % 8 == 0 else scores
    return Told(decision.n, (0.0,) if measured is None else scores, measured, "completed", seconds=1.0, flops=10.0)


def continued(one: Course, *, early: bool = False) -> Course:
    """Decides to the end; jobs are told as late as they may be, or at once."""
    while True:
        upcoming = one.next() if one.ready() and not (early and one.open) else None
        if isinstance(upcoming, Decision):
            one.take(upcoming)
        elif isinstance(upcoming, Ended) and not one.open:
            return one
        else:
            one.told.append(told_of(one.open[0]))


def decided(one: Course) -> list[Any]:
    return [(d.n, d.kind, d.rung, d.budget, d.parent, d.values, d.trial, d.attempts) for d in one.decisions]


def rung(decision: Decision) -> int:
    return 2 if decision.rung is None else decision.rung


# --- definitions -----------------------------------------------------------------------------------------------------


def test_rungs_grow_by_the_factor_and_end_with_the_full_budget() -> None:
    def lengths(full: Budget, **settings: Any) -> list[float | None]:
        return [rung.iterations or rung.epochs for rung in rungs_of(Halving(**settings), full)]

    assert lengths(Budget(iterations=27), first=3, factor=3) == [3, 9, 27]
    assert lengths(Budget(iterations=30), first="3 iterations", factor=3) == [3, 9, 27, 30]
    assert lengths(Budget(epochs=4.0), first="0.5 epochs", factor=2) == [0.5, 1.0, 2.0, 4.0]
    assert lengths(Budget(epochs=0.3), first="0.1 epochs", factor=3) == [0.1, 0.3]  # 0.1 * 3 is not 0.3
    halving = Halving(first=3, factor=3, brackets="all")
    counted = (9 * 3 + 3 * 6 + 1 * 18) + (5 * 9 + 1 * 18) + 3 * 27
    assert fraction_trained(halving, rungs_of(halving, Budget(iterations=27))) == counted / (17 * 27)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"halving": {"factor": 1}}, "search.halving.factor: got 1; expected a number >= 2"),
        ({"halving": {"first": 27}}, "first: got '27 iterations'; expected less than the full budget, 27 iterations"),
        ({"halving": {"first": "1 epoch"}}, "the budget is 27 iterations; give both in iterations, or both in epochs"),
        ({"halving": {"brackets": 4}}, "brackets: got 4; there are 3 rungs, so at most 3 brackets"),
        ({"halving": {"brackets": 0}}, "got 0; expected a whole number from 1 to 64, or 'all' for Hyperband"),
        ({"halving": {"stages": 3}}, "search.halving.stages: halving has no key 'stages'. Known: factor, first"),
        ({"timing": "isolated"}, "search.halving: trains in pieces"),
        ({"objective": "iterations", "target": 0.9}, "objective 'iterations' is the time to a target"),
        ({"objective": ["loss", "accuracy"]}, "halving: promotes the best by one objective; got two"),
        ({"axes": {"b": {"key": "budget.iterations", "values": [27, 81]}}}, "axes.b: sets budget.iterations"),
        ({"method": "gp", "halving": {"brackets": 2}}, "halving.brackets: gives scores of different budgets, and 'gp'"),
        ({"method": "nsga2", "warm_start": True}, "warm_start: gives scores of different budgets, and 'nsga2'"),
        (
            {"method": "cmaes", "prior": True},
            "prior: 'cmaes' draws from a distribution of its own; use method = random",
        ),
    ],
)
def test_a_wrong_halving_is_said(changes: Any, sentence: str) -> None:
    with pytest.raises(RecipeError) as error:
        study(**changes)
    assert sentence in str(error.value)
    assert len(error.value.problems) == 1


def test_every_error_of_a_halving_is_said_at_once() -> None:
    with pytest.raises(RecipeError) as error:
        study({"b": {"key": "budget.iterations", "values": [27, 81]}}, {"first": 50}, timing="isolated")
    assert len(error.value.problems) == 3
    timed = {"design": "search", "timing": "isolated", "search": {"trials": 3, "halving": {"first": "1 epoch"}}}
    with pytest.raises(RecipeError, match="search.halving: the budget is in seconds"):
        Study.parse(timed | {"baseline": {"budget": "3 s"}, "axes": {"rate": RATE}})
    every = {"budget": {"epochs": 3.0}, "log": {"every": "1 s"}}
    with pytest.raises(RecipeError, match="in seconds cannot be divided into rungs"):
        Study.parse(timed | {"timing": "packed", "baseline": every, "axes": {"rate": RATE}})


def test_auto_chooses_a_method_that_can_do_what_is_asked_for() -> None:
    made = study({"rate": RATE}, {"brackets": "all"}, method="auto", trials=200).settings.search
    assert made
    method, why = samplers.method_of(made, Points(study()).space)
    assert method == ("tpe" if samplers.is_installed("tpe") else "random")
    assert "cmaes cannot do what prior, brackets or warm_start ask for" in why


# --- promotions ------------------------------------------------------------------------------------------------------


def test_synchronous_halving_promotes_the_best_third_of_each_rung() -> None:
    one = continued(course(study(trials=18)))
    kinds = [(d.kind, rung(d)) for d in one.decisions]
    points, first, second = [(SUGGESTION, 0)] * 9, [(PROMOTION, 1)] * 3, [(PROMOTION, 2)]
    assert kinds == [*points, *first, *second] * 2
    for start in (0, 13):
        score = {n: one.told[n].measured for n in range(start, start + 13)}
        ranked = sorted((n for n in range(start, start + 9) if score[n]), key=lambda n: score[n] or (), reverse=True)
        assert [d.parent for d in one.decisions[start + 9 : start + 12]] == ranked[:3]
        best = max(range(start + 9, start + 12), key=lambda n: score[n] or (-1.0,))
        assert one.decisions[start + 12].parent == best
    assert one.best()[0][0].n in (12, 25)  # a rung is never the best
    assert one.ended() == "18 of 18 trials"


def test_less_loss_is_better() -> None:
    one = continued(course(study(trials=9, objective="loss")))
    ranked = sorted((t.measured, t.n) for t in one.told[:9] if t.measured)
    assert [d.parent for d in one.decisions[9:12]] == [n for _, n in ranked[:3]]


@pytest.mark.parametrize("parallel", [1, 3])
def test_asynchronous_halving_promotes_what_is_in_the_best_third_when_it_is_decided(parallel: int) -> None:
    one = continued(course(study(trials=30, parallel=parallel, halving={"asynchronous": True})))
    promoted: set[int] = set()
    for decision in one.decisions:
        seen = one.told[: max(0, decision.n - parallel + 1)]
        promotable = [
            n
            for level in (1, 0)
            for n in reference_best([t for t in seen if rung(one.decisions[t.n]) == level])
            if n not in promoted
        ]
        points = sum(d.kind == SUGGESTION for d in one.decisions[: decision.n])
        if promotable:
            assert (decision.kind, decision.parent) == (PROMOTION, promotable[0])
            promoted.add(promotable[0])
        elif points < 30:
            assert decision.kind == SUGGESTION
        else:  # the rest, as more is told
            assert decision.parent is not None
            promoted.add(decision.parent)
    assert sum(d.rung is None for d in one.decisions) >= 1


def reference_best(told: Sequence[Told]) -> list[int]:
    ranked = sorted((-t.measured[0], t.n) for t in told if t.measured)
    return [n for _, n in ranked[: len(told) // 3]]


def test_hyperband_begins_its_brackets_at_later_rungs() -> None:
    one = continued(course(study(trials=17, halving={"brackets": "all"})))
    assert [(d.kind, rung(d)) for d in one.decisions] == [
        *[(SUGGESTION, 0)] * 9,
        *[(PROMOTION, 1)] * 3,
        (PROMOTION, 2),
        *[(SUGGESTION, 1)] * 5,
        (PROMOTION, 2),
        *[(SUGGESTION, 2)] * 3,
    ]
    assert [d.budget for d in one.decisions[12:15]] == [None, 9, 9]


def test_one_point_is_trained_in_full_where_none_would_be() -> None:
    for asynchronous in (True, False):
        one = continued(course(study(trials=2, halving={"asynchronous": asynchronous})))
        assert [rung(d) for d in one.decisions] == [0, 0, 1, 2]
        assert one.best()[0][0].n == 3


def test_a_point_without_a_score_or_against_a_constraint_is_not_promoted() -> None:
    one = course(study(trials=9))
    for n in range(9):
        decision = one.next()
        assert isinstance(decision, Decision)
        one.take(decision)
        measured = None if n % 2 else (0.1 * n,)
        one.told.append(Told(n, measured or (0.0,), measured, "completed", feasible=n != 8))
    parents = []
    while isinstance(decision := one.next(), Decision) and decision.rung is not None:
        parents.append(decision.parent)
        one.take(decision)
        one.told.append(told_of(decision))
    assert parents == [6, 4, 2]


def test_a_space_without_a_further_point_still_promotes() -> None:
    one = continued(course(study({"batch": {"key": "batches.size", "values": [16, 32, 64, 128]}}, trials=50)))
    assert sum(d.kind == SUGGESTION for d in one.decisions) == 4
    assert sum(d.rung is None for d in one.decisions) == 1
    assert one.ended().startswith("every trial of the space is in the search")


def test_a_budget_in_operations_counts_what_each_rung_adds() -> None:
    one = continued(course(study(trials=None, flops=95.0)))
    assert one.ended() == "100 of 95 operations"
    assert len(one.decisions) == 10


def test_the_rung_of_a_point_has_the_schedule_and_the_trajectory_of_its_full_budget() -> None:
    one = continued(course(study(trials=9)))
    full = one.points.planned(one.decisions[12].values)
    for decision in (one.decisions[12], one.decisions[one.decisions[12].parent or 0]):
        planned = one.points.of(decision)
        assert planned.trial.trajectory == full.trial.trajectory
        assert planned.trial.recipe.schedule.settings()["horizon"] == 27
        assert (planned.trial.key == full.trial.key) == (decision.rung is None)
        assert planned.trial.iterations == (decision.budget or 27)


def test_the_race_of_a_halving_is_among_the_points_that_were_trained_in_full() -> None:
    made = study(trials=18, seeds={"screen": 1, "race": 2})
    one = course(made)
    assert made.settings.search
    assert made.settings.search.seeds
    one.races = Races(made.settings.search.seeds, one.goal)
    continued(one)
    full = {d.n for d in one.decisions if d.kind == PROMOTION and d.rung is None}
    raced = [d for d in one.decisions if d.kind in (RACE, FRESH)]
    assert raced
    assert {d.parent for d in raced} <= full
    assert all(one.points.of(d).trial.iterations == 27 for d in raced)
    with pytest.raises(RecipeError, match="seeds.screen: got 2; halving promotes by one seed"):
        study(seeds={"screen": 2, "race": 2})


# --- resuming --------------------------------------------------------------------------------------------------------

WAYS: dict[str, dict[str, Any]] = {
    "halving": {},
    "asha": {"halving": {"asynchronous": True}},
    "hyperband": {"halving": {"brackets": "all"}},
    "prior": {"prior": True},
    "loss": {"objective": "loss"},
}


@pytest.mark.parametrize(("way", "method", "parallel"), [*itertools.product(WAYS, ("random", "tpe"), (1, 3))])
def test_a_halving_resumes_exactly_and_depends_on_no_later_score(way: str, method: str, parallel: int) -> None:
    if not samplers.is_installed(method):
        pytest.skip(f"{method} is not installed")
    made = study(trials=14, method=method, parallel=parallel, **WAYS[way])
    whole = continued(course(made))
    assert decided(continued(course(made), early=True)) == decided(whole)
    for cut in (3, 11, 15, len(whole.decisions) - 1):
        for late in (0, parallel):
            scores = [told_of(d) for d in whole.decisions[: max(0, cut - late)]]
            resumed = course(made, whole.decisions[:cut], scores)
            assert decided(continued(resumed)) == decided(whole), (cut, late)


def test_tpe_learns_from_rungs_and_prefers_later_ones() -> None:
    if not samplers.is_installed("tpe"):
        pytest.skip("optuna is not installed")
    one = continued(course(study(trials=9, method="tpe")))
    next_one = course(study(trials=10, method="tpe"), one.decisions, one.told)
    assert isinstance(next_one.next(), Decision)
    trials = [t for t in next_one.sampler._study.get_trials() if t.state.name in ("PRUNED", "COMPLETE")]  # pyright: ignore
    steps = [max(t.intermediate_values) if t.state.name == "PRUNED" else 2 for t in trials]
    assert sorted(steps) == [*[0] * 9, *[1] * 3, 2]
    by_rung = {(rung(d), one.told[d.n].scores) for d in one.decisions}
    assert {(step, (trial.value,)) for step, trial in zip(steps, trials, strict=True)} == by_rung


# --- the prior -------------------------------------------------------------------------------------------------------


def test_the_prior_is_around_the_baseline_and_the_defaults() -> None:
    axes = {
        "optimizer": {"key": "optimizer", "values": ["adam", "momentum", "rmsprop", "descent"]},
        "momentum": {"key": "optimizer.momentum", "low": 0.0, "high": 1.0, "when": {"optimizer": "momentum"}},
        "rate": RATE,
        "clip": {"key": "clip_norm", "low": 1.0, "high": 2.0},
    }
    one = course(study(axes, prior=True, halving=None))
    sampler = one.sampler
    assert isinstance(sampler, PriorSampler)
    by_name = one.points.space.by_name
    first = one.next()
    assert isinstance(first, Decision)
    assert {name: first.values[name] for name in ("optimizer", "rate")} == {"optimizer": "adam", "rate": 0.001}
    assert sampler.centre(by_name["momentum"], {"optimizer": "momentum"}) == 0.9  # the default
    assert sampler.centre(by_name["clip"], {}) is None  # the baseline has none: uniform
    draws: list[dict[str, Any]] = [dict(sampler._drawn(n, 1)) for n in range(400)]
    near = sum(d["optimizer"] == "adam" for d in draws) / 400
    assert near == pytest.approx(4 / 7, abs=0.08)
    momenta = [d["momentum"] for d in draws if "momentum" in d]
    assert statistics.mean(momenta) > 0.6
    assert 0 <= min(momenta) <= max(momenta) <= 1
    assert statistics.mean(d["clip"] for d in draws) == pytest.approx(1.5, abs=0.05)
    assert sum(sampler._is_prior(n, 0) for n in range(1, 1001)) == pytest.approx(500, abs=60)


def test_a_search_with_a_prior_resumes_exactly_and_repeats_no_point() -> None:
    axes = {"batch": {"key": "batches.size", "low": 16, "high": 128, "step": 16}}
    for method in ("random", "tpe"):
        if not samplers.is_installed(method):
            continue
        made = study(axes, prior=True, method=method, trials=8, halving=None)
        whole = continued(course(made))
        assert len({d.trial for d in whole.decisions if d.kind == SUGGESTION}) == 8
        for cut in (1, 4, 7):
            stored = whole.decisions[:cut]
            assert decided(continued(course(made, stored, [told_of(d) for d in stored]))) == decided(whole)
