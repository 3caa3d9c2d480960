"""The jobs of a search with seeds, decided from made-up scores: who races, on which seeds, in any order of the ends."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from assay.analysis.paired import t_interval
from assay.analysis.racing import race
from assay.errors import RecipeError
from assay.studies.search.decisions import Course, Points, goal_of, scheduler_of
from assay.studies.search.jobs import Decision, Told
from assay.studies.search.objectives import EndedTrial, Goal, counted_score
from assay.studies.search.race_results import RaceResult, race_result
from assay.studies.search.races import Races
from assay.studies.search.samplers import make_sampler
from assay.studies.search.seeds import SeedSettings, phase_of, selection_bias
from assay.studies.study import Study
from assay.training.history import Point
from assay.training.outcome import Outcome

RATE = {"key": "optimizer.learning_rate", "low": 1e-3, "high": 1.0, "scale": "log"}
TINY = {"model": {"hidden": [4]}, "budget": {"iterations": 20}}
Score = Callable[[Decision], float | str]


def study(**search: Any) -> Study:
    settings = {"trials": 8, "method": "random"} | search
    settings = {key: value for key, value in settings.items() if value is not None}
    raw = {"name": "found", "design": "search", "search": settings, "baseline": TINY, "timing": "packed"}
    return Study.parse(raw | {"engine": "numpy", "axes": {"rate": RATE}})


def course_of(made: Study, decisions: list[Decision], told: list[Told]) -> Course:
    points, goal, search = Points(made), goal_of(made), made.settings.search
    assert search is not None
    sampler = make_sampler(search.method, points.space, seed=search.seed, maximize=goal.maximize)
    races = None if search.seeds is None else Races(search.seeds, goal)
    scheduler = scheduler_of(points, goal)
    return Course(points, sampler, goal, goal.worst, list(decisions), list(told), scheduler=scheduler, races=races)


def run(made: Study, score: Score, *, before: Course | None = None, order: random.Random | None = None) -> Course:
    """Runs a search to its end; trials end in a random order if one is given."""
    course = course_of(made, before.decisions if before else [], before.told if before else [])
    ended: dict[int, Told] = {}
    while True:
        while course.ready() and not course.ended():
            decision = course.next()
            assert isinstance(decision, Decision)
            course.take(decision)
        if not course.open:
            return course
        waiting = [d for d in course.open if d.n not in ended]
        for decision in [order.choice(waiting)] if order and waiting else waiting:
            ended[decision.n] = told_of(decision, score(decision))
        while course.open and course.open[0].n in ended:
            course.told.append(ended[course.open[0].n])


def told_of(decision: Decision, value: float | str) -> Told:
    if isinstance(value, str):  # an outcome
        return Told(decision.n, (0.0,), None, value)
    return Told(decision.n, (value,), (value,), "completed", seconds=1.0, flops=10.0)


def noisy(decision: Decision) -> float:
    """An accuracy near 0.9, the better the nearer the rate is to 0.03."""
    distance = abs(np.log(float(decision.values["rate"]) / 0.03))
    noise = np.random.default_rng([decision.repeat, int(1e9 * float(decision.values["rate"]))]).normal()
    return float(0.9 - distance / 20 + noise / 50)


def rows(course: Course) -> list[tuple[str, int | None, int]]:
    return [(d.kind, d.parent, d.repeat) for d in course.decisions]


def listed(course: Course) -> list[Decision]:
    """The decisions without the seconds that they took."""
    return [replace(decision, seconds=0.0) for decision in course.decisions]


def result_of(course: Course, made: Study) -> RaceResult:
    assert made.settings.search is not None
    assert made.settings.search.seeds is not None
    found = race_result(course.decisions, course.told, seeds=made.settings.search.seeds, goal=goal_of(made))
    assert found is not None
    return found


# --- who races, on which seeds ---------------------------------------------------------------------------------------


def test_the_best_race_on_seeds_that_the_screening_did_not_use_and_the_winner_has_fresh_ones() -> None:
    made = study(seeds={"race": 4, "racers": 3})
    course = run(made, noisy)
    kinds = [d.kind for d in course.decisions]
    assert kinds[:8] == ["suggestion"] * 8
    top = sorted(range(8), key=lambda n: (-course.told[n].scores[0], n))[:3]
    gains, ended = np.full((3, 4), np.nan), np.zeros((3, 4), dtype=bool)
    for decision in course.decisions:
        if decision.kind == "race":
            place = top.index(decision.parent or 0), decision.repeat - 1
            gains[place], ended[place] = course.told[decision.n].scores[0], True
    expected = race(gains, ended)
    assert expected.over
    assert expected.best is not None
    fresh = [d for d in course.decisions if d.kind == "fresh"]
    assert [(d.parent, d.repeat) for d in fresh] == [(top[expected.best], 100_000 + seed) for seed in range(4)]
    seeds = {d.kind: set[int]() for d in course.decisions}
    for decision in course.decisions:
        seeds[decision.kind].add(course.points.of(decision).candidate.recipe.seed)
    assert seeds == {"suggestion": {1}, "race": {2, 3, 4, 5}, "fresh": {100_001, 100_002, 100_003, 100_004}}
    result = result_of(course, made)
    values = np.array([course.told[d.n].scores[0] for d in fresh])
    assert (result.fresh.mean, result.fresh.low, result.fresh.high) == pytest.approx(
        (values.mean(), *t_interval(values))
    )
    assert (result.winner, result.done) == (course.decisions[top[expected.best]].label, True)


def test_how_many_race() -> None:
    assert [SeedSettings().count(n) for n in (1, 2, 3, 30, 31, 100, 1000)] == [1, 2, 3, 3, 4, 10, 10]
    for racers in (2, 5):
        course = run(study(seeds={"race": 2, "racers": racers}), noisy)
        assert len({d.parent for d in course.decisions if d.kind == "race"}) == racers


def test_a_racer_that_is_far_behind_gets_no_seed_after_the_look_at_which_it_dropped_out() -> None:
    made = study(trials=3, seeds={"race": 8})

    def score(decision: Decision) -> float:
        place = decision.n if decision.parent is None else decision.parent
        return [0.5, 0.9, 0.89][place] + np.random.default_rng([place, decision.repeat]).normal() / 100

    course = run(made, score)
    seeds = [[d.repeat for d in course.decisions if d.kind == "race" and d.parent == n] for n in range(3)]
    assert seeds[0] == [1, 2, 3]
    assert len(seeds[1]) == len(seeds[2]) > 3
    result = result_of(course, made)
    first = next(racer for racer in result.racers if racer.job == 0)
    assert (first.dropped_at, first.result, first.seeds) == (3, "dropped out", 3)
    assert first.p_corrected is not None
    assert first.p_corrected <= 0.05


@pytest.mark.parametrize("parallel", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("seeds", [{"race": 5}, {"screen": 3, "race": 3, "racers": 2}])
def test_the_list_does_not_depend_on_the_order_in_which_trials_end_or_on_interruptions(
    parallel: int, seeds: dict[str, int]
) -> None:
    made = study(parallel=parallel, seeds=seeds)
    whole = run(made, noisy)
    assert listed(run(made, noisy, order=random.Random(1))) == listed(whole)
    for cut in range(1, len(whole.decisions), 5):  # another driver goes on from what is stored
        before = course_of(made, whole.decisions[:cut], whole.told[: max(0, cut - parallel)])
        resumed = run(made, noisy, before=before)
        assert listed(resumed) == listed(whole)
        assert resumed.told == whole.told


def test_with_several_screening_seeds_their_mean_decides_and_is_told() -> None:
    made = study(seeds={"screen": 3, "race": 2, "racers": 2})
    course = run(made, noisy)
    assert rows(course)[:4] == [
        ("suggestion", None, 0),
        ("screening", 0, 1),
        ("screening", 0, 2),
        ("suggestion", None, 0),
    ]
    means = {n: float(np.mean([course.told[n + k].scores[0] for k in range(3)])) for n in range(0, 24, 3)}
    top = sorted(means, key=lambda n: -means[n])[:2]
    assert {d.parent for d in course.decisions if d.kind == "race"} == set(top)
    assert {d.repeat for d in course.decisions if d.kind == "race"} == {3, 4}
    assert course.races is not None
    for n in means:
        told = course.told[: n + 3]
        assert course.races.sampled(course.decisions, told, n + 2) == pytest.approx((means[n],))
        assert course.races.sampled(course.decisions, told, n + 1) is None


def test_the_sampler_sees_the_mean_of_the_screening_seeds_and_nothing_of_the_race() -> None:
    made = study(seeds={"screen": 2, "race": 2, "racers": 2})
    course = course_of(made, [], [])
    seen: list[tuple[int, float]] = []
    course.sampler.tell = lambda n, scores, rung=None: seen.append((n, scores[0]))  # pyright: ignore[reportAttributeAccessIssue]
    while course.ready() and not course.ended():
        decision = course.next()
        assert isinstance(decision, Decision)
        course.take(decision)
        course.told.append(told_of(decision, noisy(decision)))
    means = [(n, (course.told[n].scores[0] + course.told[n + 1].scores[0]) / 2) for n in range(0, 16, 2)]
    assert seen == [(n, pytest.approx(mean)) for n, mean in means[: len(seen)]]
    assert len(seen) == 7  # those before the last suggestion


@pytest.mark.parametrize("parallel", [1, 3])
def test_with_halving_the_race_begins_after_the_promotions_with_what_was_trained_in_full(parallel: int) -> None:
    made = study(trials=18, parallel=parallel, halving={"first": 5, "factor": 2}, seeds={"race": 3, "racers": 3})
    course = run(made, noisy)
    kinds = [d.kind for d in course.decisions]
    first = kinds.index("race")
    assert set(kinds[:first]) == {"suggestion", "promotion"}
    assert set(kinds[first:]) == {"race", "fresh"}
    full = [d.n for d in course.decisions[:first] if d.rung is None]
    assert len(full) > 3
    top = sorted(full, key=lambda n: (-course.told[n].scores[0], n))[:3]
    assert {d.parent for d in course.decisions if d.kind == "race"} == set(top)
    assert all(d.rung is None for d in course.decisions[first:])
    assert listed(run(made, noisy, order=random.Random(2))) == listed(course)


def test_a_budget_that_is_raised_after_a_race_races_again_on_other_seeds() -> None:
    first = run(study(trials=4, seeds={"race": 2}), noisy)
    made = study(trials=6, seeds={"race": 2})
    second = run(made, noisy, before=first)
    count = len(first.decisions)
    assert second.decisions[:count] == first.decisions
    again = rows(second)[count:]
    assert [kind for kind, _, _ in again[:2]] == ["suggestion"] * 2
    assert {repeat for kind, _, repeat in again if kind == "race"} == {3, 4}
    assert {repeat for kind, _, repeat in again if kind == "fresh"} == {100_002, 100_003}
    assert result_of(second, made).number == 2
    assert len(run(made, noisy, before=second).decisions) == len(second.decisions)


def test_a_race_does_not_count_in_budgets_of_seconds_and_operations() -> None:
    for budget in ({"seconds": 5.0}, {"flops": 50.0}):
        course = run(study(trials=None, seeds={"race": 3}, **budget), noisy)
        kinds = [d.kind for d in course.decisions]
        assert kinds.count("suggestion") == 5
        assert kinds[:5] == ["suggestion"] * 5
        assert set(kinds[5:]) == {"race", "fresh"}
        assert course.ended().startswith("5 of 5 s" if "seconds" in budget else "50 of 50 operations")


# --- how trials end --------------------------------------------------------------------------------------------------


def test_without_a_score_nobody_races_and_with_a_single_one_it_wins_without_a_race() -> None:
    nobody = run(study(trials=3, seeds={"race": 3}), lambda _: "diverged")
    assert "no configuration has a score, so there is no race" in nobody.ended()
    assert {d.kind for d in nobody.decisions} == {"suggestion"}
    made = study(trials=3, seeds={"race": 3})
    one = run(made, lambda d: "failed" if d.n in (0, 2) else 0.5)
    assert rows(one)[3:] == [("fresh", 1, 100_000), ("fresh", 1, 100_001), ("fresh", 1, 100_002)]
    assert "no race: one configuration alone has a score" in result_of(one, made).sentences()[1]


def test_a_racer_that_diverges_never_wins_and_one_that_failed_is_judged_by_its_other_seeds() -> None:
    made = study(trials=2, seeds={"race": 3})

    def score(decision: Decision, outcome: str) -> float | str:
        parent = decision.n if decision.parent is None else decision.parent
        return outcome if (decision.kind, parent, decision.repeat) == ("race", 0, 2) else 0.9 - parent / 100

    diverged, failed = (run(made, lambda d, outcome=end: score(d, outcome)) for end in ("diverged", "failed"))
    assert result_of(diverged, made).winner == diverged.decisions[1].label
    assert result_of(failed, made).winner == failed.decisions[0].label
    assert [racer.seeds for racer in result_of(failed, made).racers if racer.job == 0] == [2]


def test_where_no_racer_has_a_result_there_is_no_winner() -> None:
    made = study(trials=3, seeds={"race": 2})
    course = run(made, lambda d: "failed" if d.kind == "race" else 0.5)
    assert course.ended() == "3 of 3 trials; no racer has a result"
    result = result_of(course, made)
    assert (result.over, result.winner, result.done) == (True, "", True)
    assert result.sentences()[0] == "no racer has a result, so there is no winner"


def test_a_seed_of_a_race_counts_as_in_every_study() -> None:
    goal = goal_of(study())
    point = Point(iteration=10, examples=320, seconds=1.0, test_loss=2.0, test_accuracy=0.4)
    cases = [
        (Outcome.COMPLETED, [point], (0.4,)),
        (Outcome.DIVERGED, [point], (0.4,)),
        (Outcome.DIVERGED, [], (0.1,)),
        (Outcome.TIMED_OUT, [point], (0.4,)),
        (Outcome.FAILED, [point], None),
        (Outcome.OUT_OF_MEMORY, [point], None),
    ]
    for outcome, points, expected in cases:
        assert counted_score(goal, EndedTrial(outcome, points), chance=0.1) == expected, outcome
    effort = Goal(("effort",), "test")
    assert counted_score(effort, EndedTrial(Outcome.DIVERGED, [point]), chance=0.1) is None


def test_the_mean_of_a_winner_with_missing_fresh_seeds_says_so() -> None:
    made = study(trials=2, seeds={"race": 3})
    course = run(made, lambda d: "failed" if d.repeat == 100_001 else 0.5 + d.repeat % 7 / 100)
    result = result_of(course, made)
    assert (result.fresh.n, result.fresh_ended) == (2, 3)
    assert "mean of 2 fresh seeds; 1 of 3 without a number" in result.sentences()[0]


# --- refusals --------------------------------------------------------------------------------------------------------


def test_mistakes_of_seeds_are_said_at_once() -> None:
    with pytest.raises(RecipeError) as raised:
        Study.parse(
            {
                "design": "search",
                "repeats": 3,
                "search": {
                    "trials": 5,
                    "seeds": {"screen": 0, "race": 1, "racers": 1, "sead": 3},
                    "objective": ["accuracy", "loss"],
                },
                "axes": {"rate": RATE},
            }
        )
    text = str(raised.value)
    for words in ("search.seeds.screen: got 0", "search.seeds.race: got 1", "search.seeds.racers: got 1", "sead"):
        assert words in text
    assert text.count("a race has one winner") == text.count("repeats: got 3; search.seeds says") == 1
    with pytest.raises(
        RecipeError, match="seeds: a race has one winner, so that a search with seeds has one objective"
    ):
        study(seeds={"race": 2}, objective=["accuracy", "loss"])
    with pytest.raises(RecipeError, match="screen: got 2; halving promotes by one seed"):
        study(seeds={"screen": 2}, halving={"first": 5})
    with pytest.raises(RecipeError, match=r"repeats: got 3; search\.seeds says how many seeds there are"):
        Study.parse(dict(study(seeds={"race": 2}).raw) | {"repeats": 3})
    with pytest.raises(RecipeError, match=r"repeats: got 3; .* seeds = \{ screen = 1, race = 8 \}"):
        Study.parse(dict(study().raw) | {"repeats": 3})


def test_phases_and_the_sentence_on_bias() -> None:
    assert [phase_of(n, 2) for n in (0, 1, 2, 99_999, 100_000)] == ["screening"] * 2 + ["race"] * 2 + ["fresh"]
    assert selection_bias(1, None) == ""
    assert "out of 50" in selection_bias(50, None)
    assert "--race 8" in selection_bias(50, None)
    assert "the race on other seeds has not begun" in selection_bias(50, SeedSettings())
