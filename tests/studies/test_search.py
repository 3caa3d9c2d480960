"""Searches without a store: definitions and their errors, spaces, samplers that resume exactly, no duplicates."""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Sequence
from typing import Any

import pytest

from assay.errors import RecipeError
from assay.studies.search import samplers
from assay.studies.search.decisions import Course, goal_of
from assay.studies.search.jobs import RACE, Decision, Ended, Step, Told
from assay.studies.search.notation import axes_of
from assay.studies.search.objectives import EndedTrial, Goal, Score, score, time_to, told
from assay.studies.search.points import Points
from assay.studies.search.samplers import chosen, make_sampler
from assay.studies.search.space import SearchSpace, at_fraction, levels, rounded
from assay.studies.space import Axis
from assay.studies.study import Study, bundled
from assay.training.history import Point
from assay.training.outcome import Outcome

RATE = {"key": "optimizer.learning_rate", "low": 1e-4, "high": 1.0, "scale": "log"}
CONTINUOUS = {"rate": RATE, "clip": {"key": "clip_norm", "low": 1, "high": 10}}
MIXED = {**CONTINUOUS, "batch": {"key": "batches.size", "low": 16, "high": 128, "step": 16}}
CONDITIONAL = {
    "optimizer": {"key": "optimizer", "values": ["adam", "momentum"]},
    "momentum": {"key": "optimizer.momentum", "low": 0.5, "high": 0.9, "when": {"optimizer": "momentum"}},
    "rate": RATE,
}


def raw(axes: Any = None, **search: Any) -> dict[str, Any]:
    tiny = {"model": {"hidden": [4]}, "budget": {"iterations": 10}}
    settings = {"trials": 10, "method": "random"} | search
    return {"design": "search", "search": settings, "engine": "numpy", "baseline": tiny, "axes": axes or CONTINUOUS}


def errors(**changes: Any) -> str:
    with pytest.raises(RecipeError) as error:
        Study.parse(raw() | changes)
    return str(error.value)


def course(study: Study, decisions: Sequence[Decision] = (), scores: Sequence[Told] = ()) -> Course:
    assert study.settings.search
    points, goal, search = Points(study), goal_of(study), study.settings.search
    sampler = make_sampler(search.method, points.space, seed=search.seed, maximize=goal.maximize)
    return Course(points, sampler, goal, goal.worst, list(decisions), list(scores))


def told_of(decision: Decision, objectives: int = 1) -> Told:
    numbers = [float(v) for v in decision.values.values() if not isinstance(v, str)]
    first = sum(math.sin(5 * math.log(abs(number) + 0.01)) for number in numbers) + len(numbers)
    scores = (first, abs(first - 1.5))[:objectives]
    return Told(decision.n, scores, scores, "completed", seconds=1.0, flops=10.0)


def continued(one: Course) -> Course:
    """Decides to the end of the budget, and tells as late as a parallel search may."""
    while not (one.ready() and one.ended()):
        if not one.ready():
            one.told.append(told_of(one.open[0], len(one.goal.names)))
            continue
        decision = one.next()
        if decision is None or isinstance(decision, Ended):
            break
        one.take(decision)
    return one


def decided(one: Course) -> list[Any]:
    return [(d.n, dict(d.values), d.trial, d.attempts, d.origin) for d in one.decisions]


# --- definitions -----------------------------------------------------------------------------------------------------


def test_every_error_of_a_definition_is_said_at_once() -> None:
    text = errors(
        repeats=2,
        draws=3,
        timing="packed",
        search={"trials": 3, "objective": "effort"},
        axes={
            "a": {"key": "optimizer.learning_rate", "low": 1, "high": 1},
            "b": {"key": "optimizer.beta1", "low": 0, "high": 0.9, "scale": "log"},
            "c": {"key": "batches.size", "low": 8, "high": 64, "step": 9},
            "d": {"key": "seed", "values": [1, 2]},
            "e": {"key": "clip_norm", "low": 1, "high": 2, "when": {"f": 1}},
            "f": {"key": "data.validation", "values": [10, 20]},
        },
    )
    assert "9 errors" not in text
    for sentence in (
        "axes.a: got low 1 and high 1; expected values, or two numbers with low < high",
        "axes.b: got low 0 and high 0.9; expected values, or two numbers with low < high and 0 < low",
        "axes.c.step: 8 to 64 in steps of 9 misses the end; write high = 62, or another step",
        "axes.d: sets the seed",
        "axes.e.when: unknown value of axis f '1'; did you mean '10'? Known: 10, 20",
        "axes.f: sets data.validation",
        "repeats: got 2; a search trains each of its configurations on one seed",
        "timing: effort needs seconds that compare",
    ):
        assert sentence in text, text


@pytest.mark.parametrize(
    ("search", "sentence"),
    [
        ({}, "search: trials: a search needs a budget; write trials = 50, or seconds or flops"),
        ({"trials": 3, "method": "bayes"}, "search.method: unknown method 'bayes'; did you mean"),
        ({"trials": 3, "objective": "speed"}, "search.objective.0: unknown objective 'speed'. Known: accuracy"),
        ({"trials": 3, "objective": "seconds"}, "objective 'seconds' is the time to a target"),
        ({"trials": 3, "target": 0.9}, "target: only the objectives 'seconds' and 'iterations' have one"),
        ({"trials": 3, "objective": ["loss", "loss"]}, "expected one objective, or two different ones"),
        ({"trials": 3, "method": "cmaes", "objective": ["loss", "accuracy"]}, "'cmaes' has one objective"),
        ({"trials": 3, "constraints": "memory < 3"}, "unknown quantity 'memory'. Known: parameters, flops, seconds"),
        ({"trials": 3, "constraints": "parameters = 3"}, "expected QUANTITY <= NUMBER"),
        ({"trial": 3}, "search.trial: a search has no key 'trial'; did you mean 'trials'?"),
    ],
)
def test_a_wrong_setting_is_said(search: dict[str, Any], sentence: str) -> None:
    assert sentence in errors(search=search)


def test_what_only_a_search_has_is_refused_elsewhere() -> None:
    assert "search: is missing; design 'search' needs a method and a budget" in errors(search=None)
    assert "search: only design 'search' has it" in errors(design="grid", axes={"clip_norm": [1.0, 2.0]})
    conditional = {"rate": {"key": "clip_norm", "values": [1.0], "when": {"x": 1}}}
    assert "axes.rate.when: only design 'search' has it" in errors(design="grid", search=None, axes=conditional)


def test_a_condition_that_names_nothing_or_itself_is_said() -> None:
    clip = {"key": "clip_norm", "low": 1, "high": 2}
    assert "axes.clip.when: unknown axis 'rates'; did you mean 'rate'?" in errors(
        axes={"rate": RATE, "clip": clip | {"when": {"rates": 1}}}
    )
    assert "axis 'rate' is a range; expected an axis with values or patches" in errors(
        axes={"rate": RATE, "clip": clip | {"when": {"rate": 1}}}
    )
    circle = {
        "a": {"key": "clip_norm", "values": [1.0], "when": {"b": 2}},
        "b": {"key": "batches.size", "values": [2], "when": {"a": 1.0}},
    }
    assert "axes.a.when: depends on itself, over other axes" in errors(axes=circle)


def test_a_value_that_no_point_makes_valid_is_said() -> None:
    assert "axes.x: model.hiden: model 'mlp' has no key 'hiden'" in errors(
        axes={"x": {"small": {"model": {"hiden": [3]}}}}
    )


def test_axes_of_one_key_may_exclude_each_other() -> None:
    rates = {
        "optimizer": {"key": "optimizer", "values": ["adam", "sgd", "momentum"]},
        "adam rate": {"key": "optimizer.lr", "low": 1e-4, "high": 1e-1, "when": {"optimizer": "adam"}},
        "other rate": {"key": "optimizer.lr", "low": 1e-3, "high": 1, "when": {"optimizer": ["sgd", "momentum"]}},
    }
    study = Study.parse(raw(rates))
    assert study.axes[0].patches.keys() == {"adam", "descent", "momentum"}
    assert study.axes[2].when == {"optimizer": ("descent", "momentum")}  # as the axis spells it
    points = [SearchSpace(study.axes).draw(1, "x", n) for n in range(20)]
    assert {tuple(p) for p in points} == {("optimizer", "adam rate"), ("optimizer", "other rate")}
    del rates["adam rate"]["when"]
    assert "axes.adam rate and axes.other rate: both set optimizer.learning_rate" in errors(axes=rates)


def test_the_notation_of_the_command_line_is_that_of_a_file() -> None:
    words = ["optimizer.lr=1e-4..1:log", "batches.size=16..128:step=16", "model.hidden=[32],[64]"]
    words += ["optimizer=adam,momentum", "optimizer.momentum=0.5..0.9 when optimizer=momentum"]
    axes = axes_of(words)
    assert axes["optimizer.learning_rate"] == RATE | {"high": 1}
    assert axes["batches.size"] == {"key": "batches.size", "low": 16, "high": 128, "step": 16}
    assert axes["model.hidden"]["values"] == [[32], [64]]
    assert axes["optimizer.momentum"]["when"] == {"optimizer": "momentum"}
    Study.parse(raw(axes))
    with pytest.raises(RecipeError) as error:
        axes_of(["optimizer.lr", "clip_norm=1..x", "seed=1..2:lag", "a=1 when b"])
    assert len(error.value.problems) == 4


# --- spaces ----------------------------------------------------------------------------------------------------------


def test_values_of_a_range_are_on_its_step_and_within_its_ends() -> None:
    units = Axis("units", {}, key="batches.size", low=8, high=32, whole=True, step=8)
    assert levels(units) == [8, 16, 24, 32]
    assert [at_fraction(units, u) for u in (0.0, 0.24, 0.26, 0.999)] == [8, 8, 16, 32]
    tenths = Axis("t", {}, key="clip_norm", low=0.1, high=0.5, step=0.1)
    assert levels(tenths) == [0.1, 0.2, 0.3, 0.4, 0.5]
    narrow = Axis("n", {}, key="clip_norm", low=1.0, high=1.00001)
    assert rounded(narrow, 1.0000012345678) == 1.0000012346
    whole = Axis("w", {}, key="batches.size", low=1, high=1000, whole=True, scale="log")
    assert (at_fraction(whole, 0.0), at_fraction(whole, 1 - 2**-53)) == (1, 1000)


def test_a_finite_space_lists_each_point_once_with_its_conditions() -> None:
    axes = {
        "optimizer": {"key": "optimizer", "values": ["adam", "momentum"]},
        "momentum": {"key": "optimizer.momentum", "values": [0.5, 0.9], "when": {"optimizer": "momentum"}},
    }
    space = SearchSpace(Study.parse(raw(axes)).axes)
    assert space.listed == (
        {"optimizer": "adam"},
        {"optimizer": "momentum", "momentum": 0.5},
        {"optimizer": "momentum", "momentum": 0.9},
    )
    near = list(space.neighbours({"optimizer": "momentum", "momentum": 0.9}, seed=1, index=0))
    assert near[0] == {"optimizer": "momentum", "momentum": 0.9}
    assert near[1] == {"optimizer": "momentum", "momentum": 0.5}
    assert SearchSpace(Study.parse(raw(CONDITIONAL)).axes).listed is None


# --- scores ----------------------------------------------------------------------------------------------------------


def points(*rows: tuple[int, float, float, float]) -> list[Point]:
    return [Point(i, i, s, test_accuracy=a, test_loss=loss) for i, s, a, loss in rows]


def test_scores_are_those_of_the_curve_and_misses_are_censored() -> None:
    curve = points((0, 0.0, 0.1, 3.0), (10, 1.0, 0.5, 2.0), (20, 2.0, 0.9, 1.0))
    ended = EndedTrial(Outcome.COMPLETED, curve, 2.0)
    names = ("accuracy", "loss", "effort")
    assert [score(Goal((name,), "test"), ended).values for name in names] == [(0.9,), (1.0,), (2.0 / 0.9,)]
    assert time_to(Goal(("iterations",), "test", target=0.7), curve, "iteration") == (True, pytest.approx(15.0))
    assert time_to(Goal(("iterations",), "test", target_loss=1.5), curve, "seconds") == (True, pytest.approx(1.5))
    missed = score(Goal(("iterations",), "test", target=0.95), ended)
    assert missed == Score(None, (20.0,))
    goal = Goal(("iterations",), "test", target=0.95)
    assert told(goal, missed, [], goal.worst) == (20.0,)
    assert told(goal, missed, [(30.0,), (4.0,)], goal.worst) == (30.0,)
    assert told(goal, missed, [(3.0,), (4.0,)], goal.worst) == (20.0,)
    assert score(Goal(("accuracy",), "test"), EndedTrial(Outcome.DIVERGED, curve, 2.0)).values is None


def test_a_trial_without_a_score_is_told_the_worst_of_the_earlier_ones() -> None:
    goal = Goal(("accuracy", "loss"), "test")
    assert told(goal, Score(None), [], goal.worst) == (0.0, 10.0)
    assert told(goal, Score(None), [(0.9, 0.3), (0.4, 0.2)], goal.worst) == (0.4, 0.3)


class SecondSeeds:
    """Three points, then a second seed of the best one."""

    def step(self, decisions: Sequence[Decision], told: Sequence[Told], *, may_suggest: bool) -> Step | Ended | None:
        if may_suggest:
            return Step()
        if len(decisions) == 4:
            return Ended("raced")
        return Step(RACE, parent=max(told, key=lambda one: one.scores).n, repeat=1) if len(told) == 3 else None


def test_a_scheduler_chooses_the_kind_of_each_job() -> None:
    made = course(Study.parse(raw(trials=3, parallel=3)))
    one = continued(Course(made.points, made.sampler, made.goal, made.worst, scheduler=SecondSeeds()))
    last, best = one.decisions[3], max(one.told[:3], key=lambda told: told.scores).n
    assert [decision.kind for decision in one.decisions] == ["suggestion"] * 3 + [RACE]
    assert (last.parent, last.repeat, last.values) == (best, 1, one.decisions[best].values)
    assert one.points.of(last).trial.recipe.seed == one.points.of(one.decisions[best]).trial.recipe.seed + 1
    assert one.points.of(last).trial.key == last.trial != one.decisions[best].trial
    assert one.ended() == "raced"


def test_of_two_objectives_the_pareto_optimal_ones_are_best() -> None:
    study = Study.parse(raw(objective=["accuracy", "loss"], trials=4))
    one = continued(course(study))
    scores = [(0.9, 0.5), (0.8, 0.2), (0.7, 0.3), (0.9, 0.6)]
    one.told = [Told(n, pair, pair, "completed") for n, pair in enumerate(scores)]
    assert [decision.n for decision, _ in one.best()] == [0, 1]
    one.told[0] = Told(0, scores[0], scores[0], "completed", feasible=False)
    assert [decision.n for decision, _ in one.best()] == [1, 3]


# --- samplers --------------------------------------------------------------------------------------------------------


METHODS = {
    "random": (MIXED, 12, 1),
    "tpe": (CONDITIONAL, 20, 1),
    "cmaes": (MIXED, 12, 1),
    "nsga2": (CONDITIONAL, 54, 2),
    "gp": (CONTINUOUS, 12, 1),
}


@pytest.mark.parametrize(("method", "parallel"), [*itertools.product(METHODS, (1, 3))])
def test_a_search_resumes_exactly_wherever_it_was_interrupted(method: str, parallel: int) -> None:
    if method == "gp":
        pytest.skip("takes a second for each suggestion; the endurance test has it")
    check_resuming(method, parallel, *METHODS[method], cuts=2)


@pytest.mark.endurance
@pytest.mark.parametrize(("method", "parallel"), [*itertools.product(METHODS, (1, 2, 4))])
def test_a_search_resumes_exactly_at_many_points(method: str, parallel: int) -> None:
    axes, trials, objectives = METHODS[method]
    cuts = {"gp": 3, "nsga2": 12}.get(method, 100)  # each asks for every suggestion again
    check_resuming(method, parallel, axes, trials if method == "gp" else 2 * trials, objectives, cuts=cuts)


def check_resuming(method: str, parallel: int, axes: Any, trials: int, objectives: int, *, cuts: int) -> None:
    if not samplers.is_installed(method):
        pytest.skip(f"{method} is not installed")
    names = ["accuracy", "loss"][:objectives]
    study = Study.parse(raw(axes, method=method, trials=trials, parallel=parallel, objective=names))
    whole = continued(course(study))
    assert len({d.trial for d in whole.decisions}) == trials
    for cut in range(1, trials, max(1, trials // cuts)):
        for late in (0, parallel):
            scores = [told_of(d, objectives) for d in whole.decisions[: max(0, cut - late)]]
            resumed = course(study, whole.decisions[:cut], scores)
            assert decided(continued(resumed)) == decided(whole), (cut, late)
            assert not resumed.sampler.differs


def test_a_decision_depends_on_no_later_score_than_the_lag_allows() -> None:
    study = Study.parse(raw(MIXED, method="tpe", trials=16, parallel=3))
    late = continued(course(study))
    early = course(study)
    while not early.ended():  # tells at once, where the other one tells as late as it may
        decision = early.next()
        assert isinstance(decision, Decision)
        early.take(decision)
        early.told.append(told_of(decision))
    assert decided(early) == decided(late)


def test_a_stored_decision_stands_where_the_sampler_would_decide_otherwise() -> None:
    study = Study.parse(raw(MIXED, method="cmaes", trials=8))
    whole = continued(course(study))
    other = Decision(5, {"rate": 0.5, "clip": 2.0, "batch": 32}, "other", "f" * 32, 1)
    stored = [*whole.decisions[:5], other, *whole.decisions[6:]]
    resumed = course(study, stored, [told_of(d) for d in stored])
    assert resumed.decisions == stored
    assert resumed.sampler.differs.startswith("trial 5: cmaes of Optuna")


def test_a_restored_neighbour_is_no_difference() -> None:
    axes = {
        "batch": {"key": "batches.size", "low": 16, "high": 64, "step": 16},
        "clip": {"key": "clip_norm", "low": 1, "high": 2, "step": 0.5},
    }
    if not samplers.is_installed("cmaes"):
        pytest.skip("cmaes is not installed")
    study = Study.parse(raw(axes, method="cmaes", trials=12))
    whole = continued(course(study))
    assert whole.decisions[-1].origin == "neighbour"
    resumed = course(study, whole.decisions, whole.told)
    assert resumed.sampler.differs == ""


def test_auto_follows_its_rule() -> None:
    def of(axes: Any, trials: int | None, objectives: int = 1) -> str:
        return chosen(SearchSpace(Study.parse(raw(axes)).axes), trials=trials, objectives=objectives)[0]

    assert of(CONDITIONAL, 20) == "tpe"
    assert of({"rate": RATE, "units": {"key": "batches.size", "values": [8, 16]}}, 20) == "tpe"
    assert of(MIXED, 20) == "tpe"
    assert of(MIXED, 500) == "cmaes"
    assert of({"rate": RATE}, None) == "tpe"
    assert (of(MIXED, 20, 2), of(MIXED, 500, 2)) == ("tpe", "nsga2")


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samplers.importlib.util, "find_spec", lambda name: None if name in ("torch", "cmaes") else 1)
    assert "'gp' needs torch: pip install '.[torch]'" in samplers.package_problem("gp")
    assert "'cmaes' needs cmaes: pip install '.[search]'" in samplers.package_problem("cmaes")
    assert samplers.package_problem("tpe") == ""
    space = SearchSpace(Study.parse(raw(MIXED)).axes)
    assert chosen(space, trials=500, objectives=1)[0] == "tpe"  # in place of CMA-ES
    monkeypatch.setattr(samplers.importlib.util, "find_spec", lambda _: None)
    method, why = chosen(space, trials=20, objectives=1)
    assert (method, why) == (
        "random",
        "3 ranges and 20 trials, for which tpe would be chosen if its packages were installed",
    )


# --- no duplicates ---------------------------------------------------------------------------------------------------


def grid(method: str, axes: Sequence[str] = (), **search: Any) -> Study:
    definition = tomllib.loads(bundled("parameter-grid").read_text())
    kept = {name: table for name, table in definition["axes"].items() if not axes or name in axes}
    search = {"method": method, "trials": 2187} | search
    definition |= {"design": "search", "search": search, "axes": kept, "engine": "numpy"}
    definition["baseline"] |= {"data": "digits"}
    return Study.parse(definition)


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_a_search_finds_every_trial_of_a_space_once_and_says_that_it_ended(method: str) -> None:
    one = continued(course(grid(method, ["activation", "loss", "rate"])))
    assert len(one.decisions) == len({d.trial for d in one.decisions}) == 18
    assert max(d.attempts for d in one.decisions) <= 21
    ended = one.next()
    assert isinstance(ended, Ended)
    text = "every trial of the space is in the search: the 27 points of the space are 18 distinct trials"
    assert ended.sentence == text


FIVE = ("activation", "loss", "rate", "batch", "hidden")


@pytest.mark.endurance
@pytest.mark.parametrize(("method", "axes", "distinct"), [("random", (), 1458), ("tpe", FIVE, 162)])
def test_the_grid_of_2187_points_is_searched_in_its_1458_distinct_trials(
    method: str, axes: Sequence[str], distinct: int
) -> None:
    """TPE on five of the axes: on all of them it needs ten minutes, for its model grows with every trial."""
    one = continued(course(grid(method, axes)))
    assert len(one.decisions) == len({d.trial for d in one.decisions}) == distinct


def test_a_constraint_is_kept_by_every_decision() -> None:
    axes = {"hidden": {"key": "model.hidden", "values": [[4], [8], [64], [128]]}, "rate": RATE}
    one = continued(course(Study.parse(raw(axes, trials=12, constraints="parameters <= 1_000"))))
    assert {d.values["hidden"] for d in one.decisions} == {"[4]", "[8]"}
    assert one.invalid > 0
    assert one.first_invalid.startswith("parameters <= 1,000: the trial has ")


def test_budgets_in_seconds_and_operations_end_a_search_in_the_order_of_its_jobs() -> None:
    assert len(continued(course(Study.parse(raw(trials=50, seconds=7)))).decisions) == 7
    assert len(continued(course(Study.parse(raw(trials=50, seconds=7, parallel=3)))).decisions) == 9
    assert len(continued(course(Study.parse(raw(trials=50, flops=45)))).decisions) == 5
