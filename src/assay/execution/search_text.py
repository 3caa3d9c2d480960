"""What a search says: what it will do, what it has found, and the same as plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from assay.report.text import duration
from assay.studies.search.halving import Promotions, length_of, most_brackets
from assay.studies.search.jobs import FRESH, PROMOTION, RACE, SUGGESTION
from assay.studies.search.objectives import score_text

if TYPE_CHECKING:
    from assay.execution.search import StudySearch


def about(feed: StudySearch) -> str:
    """What the search is, and what it will do, in words."""
    search, resolved = feed.search, feed.resolved
    method = resolved.method + (f" (auto: {resolved.choice})" if resolved.choice else "")
    limits = {"trials": "trials", "seconds": "s of training", "flops": "operations"}
    budget = " or ".join(f"{value:,g} {limits[name]}" for name, value in search.budget.items())
    listed = feed.points.space.listed
    size = f"{len(listed):,} points" if listed is not None else "continuous or more than 20,000 points"
    axes = len(feed.study.axes)
    rungs = f"; {_halving(feed)}" if search.halving is not None else ""
    prior = "; half of the suggestions near the baseline" if search.prior else ""
    shown_first = f"; {len(resolved.shown):,} stored trials shown first" if search.warm_start else ""
    return (
        f"{feed.study.name}: search by {method}, {budget}, {search.parallel} at a time, seed {search.seed}, for "
        f"{feed.goal.text}{_by_default(feed)}; {axes} {'axis' if axes == 1 else 'axes'}, {size}{rungs}{prior}"
        f"{shown_first}; "
        f"{_race_about(feed)}{len(feed.known):,} trials decided before; "
        f"{feed.study.settings.timing}, about {duration(feed.seconds())}"
    )


def _by_default(feed: StudySearch) -> str:
    """Why a search that names no objective has that of a regression; "" for others."""
    is_said = "objective" in feed.search.model_fields_set
    return "" if is_said or feed.goal.names != ("r2",) else ", the default of a regression"


def _race_about(feed: StudySearch) -> str:
    """What the seeds of the search are used for; "" without."""
    seeds = feed.search.seeds
    if seeds is None:
        return ""
    screen = f"{seeds.screen} seed{'' if seeds.screen == 1 else 's'}"
    count = f"the best {feed.racers}" if feed.search.trials is not None or seeds.racers else "the best"
    return (
        f"{screen} for screening, then a race of {count} on up to {seeds.race} other seeds and the winner on "
        f"{seeds.race} fresh ones, on top of the budget; "
    )


def _halving(feed: StudySearch) -> str:
    """The rungs, and how points are promoted, in words."""
    halving, rungs = feed.search.halving, feed.points.rungs
    assert halving is not None
    scheduler = feed.course.scheduler
    is_asynchronous = isinstance(scheduler, Promotions) and scheduler.asynchronous
    unit = "epochs" if rungs[-1].epochs is not None else "iterations"
    lengths = ", ".join(f"{length_of(rung):,g}" for rung in rungs)
    brackets = most_brackets(halving, len(rungs))
    kind = "Hyperband" if brackets > 1 else "successive halving"
    of_brackets = f" in {brackets} brackets" if brackets > 1 else ""
    how = "asynchronous " if is_asynchronous else ""
    return f"{how}{kind}{of_brackets}, rungs of {lengths} {unit}, 1 of {halving.factor} promoted"


def sentences(feed: StudySearch) -> list[str]:
    """What the search has found, and why it ended."""
    course, goal, race = feed.course, feed.goal, feed.race
    sentences: list[str] = [] if race is None else race.sentences()
    best = course.best() if race is None else []
    for decision, one in best:
        values = zip(goal.names, one.measured or (), strict=True)
        found = ", ".join(f"{name} {score_text(name, value)}" for name, value in values)
        biased = " (biased: it selected the configuration)" if course.suggestions > 1 else ""
        what = "best" if len(goal.names) == 1 else "Pareto-optimal"
        sentences.append(f"{what}: {found}{biased}: {decision.label}")
    if not best and course.told and race is None:
        no_full = any(one.measured is not None for one in course.told)
        missing = "no trial with the full budget has a score that counts" if no_full else "no trial has a score"
        sentences.append(missing)
    reused = sum(one.reused for one in course.told)
    parts = _counts(feed)
    parts += [f"{reused:,} of them stored before"] if reused else []
    parts += [f"{n:,} without a score" for n in [sum(one.measured is None for one in course.told)] if n]
    parts += [f"{n:,} broke a constraint" for n in [sum(not one.feasible for one in course.told)] if n]
    parts += [f"selected on {goal.split}"]
    sentences.append(", ".join(parts) + (f"; the search ended: {feed.ended}" if feed.ended else ""))
    if course.invalid:
        sentences.append(f"{course.invalid:,} suggestions were not valid, the first: {course.first_invalid}")
    return sentences


def _counts(feed: StudySearch) -> list[str]:
    """How many trials there were; with halving, how many points, promotions and full trainings; those of a race."""
    told = feed.course.decisions[: len(feed.course.told)]
    raced, fresh = (sum(decision.kind == kind for decision in told) for kind in (RACE, FRESH))
    own = [decision for decision in told if decision.kind not in (RACE, FRESH)]
    of_race = [f"{raced:,} trials of the race", f"{fresh:,} on fresh seeds"] if raced or fresh else []
    if feed.search.halving is None:
        return [f"{len(own):,} trials{' for screening' if of_race else ''}", *of_race]
    promotions = sum(decision.kind == PROMOTION for decision in own)
    full = sum(decision.rung is None and decision.kind in (SUGGESTION, PROMOTION) for decision in own)
    points = sum(decision.kind == SUGGESTION for decision in own)
    return [f"{points:,} points", f"{promotions:,} promotions", f"{full:,} trained in full", *of_race]


def plain(feed: StudySearch) -> dict[str, Any]:
    """The search as plain data: what it resolved, its jobs with what they were told, and the best ones."""
    told_of = {one.n: one for one in feed.course.told}
    listed = [
        asdict(decision) | {"told": asdict(told_of[decision.n]) if decision.n in told_of else None}
        for decision in feed.course.decisions
    ]
    resolved = {"method": feed.resolved.method, "choice": feed.resolved.choice, "shown": len(feed.resolved.shown)}
    best = [decision.n for decision, _ in feed.course.best()]
    goal = {"objective": list(feed.goal.names), "selected_on": feed.goal.split}
    found = {**resolved, **goal, "jobs": listed, "best": best, "ended": feed.ended}
    if feed.search.seeds is None:
        return found
    race = feed.race  # once it has begun, the best by the screening is the best no more
    return found | {
        "best": best if race is None else feed.winners(),
        "race": None if race is None else race.plain(),
    }
