"""The decisions of a search: which point job n trains, from what the jobs 0 to n - parallel were told alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np

from assay.recipe.model import Recipe
from assay.studies.designs import Configuration
from assay.studies.search.halving import Promotions
from assay.studies.search.jobs import (
    FRESH,
    PROMOTION,
    RACE,
    SUGGESTION,
    Decision,
    Ended,
    Scheduler,
    Step,
    Suggestions,
    Told,
)
from assay.studies.search.objectives import Goal, Score, objectives_of, told
from assay.studies.search.points import Planned, Points
from assay.studies.search.races import Races, Standing
from assay.studies.search.samplers import MOST_ATTEMPTS, Sampler
from assay.studies.search.settings import SearchSettings
from assay.studies.study import Study

_IDLE = 100
"""A search whose budget is not in trials ends after so many trials in a row that use none of it."""


@dataclass
class Course:
    """A search as far as it has come: its decisions, what they were told, and the next decision.

    The same for every method, store and driver: what is recorded is decided elsewhere (`record`), and what it returns
    stands, also where it is another driver's.

    Args:
        points: Makes trials of points.
        sampler: Suggests points.
        goal: The objectives.
        worst: What is told of a trial without scores where no earlier one has any.
        decisions: Those that are stored, in order.
        told: Those that are stored, in order.
        scheduler: Chooses what each job is; suggestions alone where it is left out.
        races: Chooses the jobs of the search that belong to its seeds; None where every configuration has one.
    """

    points: Points
    sampler: Sampler
    goal: Goal
    worst: tuple[float, ...]
    decisions: list[Decision] = field(default_factory=list[Decision])
    told: list[Told] = field(default_factory=list[Told])
    scheduler: Scheduler = field(default_factory=Suggestions)
    races: Races | None = None
    invalid: int = 0  # suggestions that were not valid, in this process
    first_invalid: str = ""
    repeated: int = 0  # suggestions that were trials of the search already, in this process
    _shown: int = 0  # how many jobs the sampler was told
    _taken: dict[str, int] = field(default_factory=dict[str, int])  # trial -> job
    _labels: set[str] = field(default_factory=set[str])
    _suggested: int = 0
    _exhausted: str = ""  # a sentence, where the space has no further point
    _upcoming_at: tuple[tuple[int, int], Step | Ended | None] | None = None

    def __post_init__(self) -> None:
        stored, self.decisions = self.decisions, []
        for decision in stored:
            self.take(decision, restored=True)

    @property
    def parallel(self) -> int:
        """The number of jobs that may be open at once."""
        search = self.points.study.settings.search
        assert search is not None
        return search.parallel

    @property
    def open(self) -> list[Decision]:
        """The decisions whose jobs were not told yet."""
        return self.decisions[len(self.told) :]

    @property
    def suggestions(self) -> int:
        """The number of points of the search, which a budget in trials limits."""
        return self._suggested

    def ready(self) -> bool:
        """Whether the next job can be decided, or the search has ended: it depends on no job that was not told."""
        return self._upcoming() is not None

    def ended(self) -> str:
        """Why there is no further job; "" while there is one. Meaningful where `ready`."""
        upcoming = self._upcoming()
        return upcoming.sentence if isinstance(upcoming, Ended) else ""

    def _upcoming(self) -> Step | Ended | None:
        """What the next job is, or why there is none; None where other jobs must be told first.

        Job n is decided from what the jobs 0 to n - parallel were told. Where these allow none, as at the end of the
        budget in trials, it is decided from one more at a time, in their order.
        """
        place = (len(self.decisions), len(self.told))
        if self._upcoming_at is None or self._upcoming_at[0] != place:
            self._upcoming_at = (place, self._found())
        return self._upcoming_at[1]

    def _found(self) -> Step | Ended | None:
        search, n = self.points.study.settings.search, len(self.decisions)
        assert search is not None
        may_suggest = not self._exhausted and (search.trials is None or self.suggestions < search.trials)
        for seen in range(max(0, n - self.parallel + 1), len(self.told) + 1):
            step = self._step(search, self.told[:seen], may_suggest=may_suggest)
            if step is not None:
                return step
        return Ended(self._no_points(search)) if len(self.told) == n else None

    def _step(self, search: SearchSettings, told: Sequence[Told], *, may_suggest: bool) -> Step | Ended | None:
        """What the next job is by these results: of a race that has begun, else of the scheduler, else a new race."""
        if self.races is not None:
            step = self.races.screening(self.decisions) or self.races.step(self.decisions, told, ended=False)
            if not isinstance(step, Ended):
                return step
        if sentence := self._spent(search, told):
            step = Ended(sentence)
        else:
            step = self.scheduler.step(self.decisions, told, may_suggest=may_suggest)
        if not isinstance(step, Ended):
            return step
        ending = step.sentence or self._no_points(search)
        if self.races is None:
            return Ended(ending)
        step = self.races.step(self.decisions, told, ended=True)
        return Ended(f"{ending}; {step.sentence}" if step.sentence else ending) if isinstance(step, Ended) else step

    def _no_points(self, search: SearchSettings) -> str:
        """Why there is no further point."""
        return self._exhausted or f"{self.suggestions:,} of {search.trials or 0:,} trials"

    def _spent(self, search: SearchSettings, told: Sequence[Told]) -> str:
        """Why the trials that count end the search, by its limits of seconds and of operations; "" if they do not.

        The trials of races do not count: whether one begins must not depend on what it costs.
        """
        costs: list[list[float]] = []
        if search.seconds is None and search.flops is None:
            return ""
        counted = [one for one in told if self.decisions[one.n].kind not in (RACE, FRESH)]
        if search.seconds is not None:
            costs.append([one.seconds for one in counted])
            if (seconds := math.fsum(costs[-1])) >= search.seconds:
                return f"{seconds:,.4g} of {search.seconds:,g} s of training"
        if search.flops is not None:
            costs.append([one.flops for one in counted])
            if (flops := math.fsum(costs[-1])) >= search.flops:
                return f"{flops:,.4g} of {search.flops:,g} operations"
        if search.trials is None and len(counted) >= _IDLE and not any(any(cost[-_IDLE:]) for cost in costs):
            spent = "training time" if search.flops is None else "operations"
            return f"the last {_IDLE} trials took no {spent}: {counted[-1].outcome}"
        return ""

    def next(self) -> Decision | Ended | None:
        """Decides the next job; None where other jobs must be told first.

        Nothing is changed but the sampler: `take` takes what is recorded.
        """
        begin = perf_counter()
        step = self._upcoming()
        if isinstance(step, Step) and step.kind == SUGGESTION:
            decision = self._suggestion(step, begin)
            if decision is not None:
                return decision
            self._exhausted, self._upcoming_at = self._exhaustion(), None
            step = self._upcoming()  # nothing is suggested any more
        if not isinstance(step, Step):
            return step
        assert step.parent is not None  # only suggestions have none
        parent, n = self.decisions[step.parent], len(self.decisions)
        planned = self.points.planned(parent.values, self.points.engine_of.get(parent.trial))
        return self._decision(n, planned, step, label=parent.label, attempts=0, begin=begin)

    def _suggestion(self, step: Step, begin: float) -> Decision | None:
        """A new point for the next job; None where none is left."""
        n = len(self.decisions)
        self._show(n)
        first: Configuration | None = None
        for attempt in range(MOST_ATTEMPTS):
            values = self.sampler.ask(n, attempt)
            first = values if first is None else first
            planned = self._free(values)
            if planned is not None:
                label = self._label(n, planned)
                return self._decision(n, planned, step, label=label, attempts=attempt + 1, begin=begin)
        assert first is not None
        seed = self.points.study.settings.search.seed if self.points.study.settings.search else 1
        for values in self.points.space.neighbours(first, seed=seed, index=n):
            planned = self._free(values, counted=False)
            if planned is not None:
                label = self._label(n, planned)
                found = self._decision(n, planned, step, label=label, attempts=MOST_ATTEMPTS, begin=begin)
                return replace(found, origin="neighbour")
        return None

    def take(self, decision: Decision, *, restored: bool = False) -> None:
        """Takes a recorded decision; `restored` if `next` was not called for it."""
        self.decisions.append(decision)
        if decision.kind != SUGGESTION:
            return
        self._suggested += 1
        self._show(decision.n)
        n, values, suggested = decision.n, decision.values, decision.origin == "sampler"
        self.sampler.decided(n, values, attempts=decision.attempts, suggested=suggested, restored=restored)
        self._taken.setdefault(self._identity(decision), decision.n)
        self._labels.add(decision.label)

    def _identity(self, decision: Decision) -> str:
        """The trial of a decision with the full budget: that of a rung may be of several points."""
        planned = self.points.at(decision.values) if decision.rung is not None else None
        return planned.trial.key if isinstance(planned, Planned) else decision.trial

    def spent_before(self, decision: Decision) -> tuple[float, float]:
        """The seconds and operations of the jobs that a promotion goes on from, which are in those of its trial."""
        seconds = flops = 0.0
        while decision.kind == PROMOTION and decision.parent is not None:
            one, decision = self.told[decision.parent], self.decisions[decision.parent]
            seconds, flops = seconds + one.seconds, flops + one.flops
        return seconds, flops

    def score_of(self, scored: Score, *, feasible: bool) -> tuple[float, ...]:
        """What the sampler is told of the first job that was not told yet."""
        needs_earlier = scored.values is None or not feasible
        earlier = [one.scores for one in self.told] if needs_earlier else []
        return told(self.goal, scored, earlier, self.worst, feasible=feasible)

    def _show(self, n: int) -> None:
        """Tells the sampler what job n may depend on: the jobs 0 to n - parallel."""
        for one in self.told[self._shown : max(0, n - self.parallel + 1)]:
            decision = self.decisions[one.n]
            if self.races is not None and self.races.settings.screen > 1:
                scores = self.races.sampled(self.decisions, self.told[: one.n + 1], one.n)
                if scores is not None and decision.parent is not None:
                    self.sampler.tell(decision.parent, scores)
            elif decision.kind == SUGGESTION:
                self.sampler.tell(one.n, one.scores, rung=decision.rung)
            elif decision.kind == PROMOTION:
                self.sampler.promoted(decision.values, one.scores, rung=decision.rung)
            self._shown += 1

    @property
    def standing(self) -> Standing | None:
        """The last race; None before the first one, or where the search has no seeds."""
        return None if self.races is None else self.races.standing(self.decisions, self.told)

    def _free(self, values: Configuration, *, counted: bool = True) -> Planned | None:
        """The trial of a point; None where the search has it or the point is not valid."""
        planned = self.points.at(values)
        if isinstance(planned, str):
            if counted:
                self.invalid += 1
                self.first_invalid = self.first_invalid or planned
            return None
        if planned.trial.key in self._taken:
            self.repeated += counted
            return None
        return planned

    def _label(self, n: int, planned: Planned) -> str:
        label = planned.candidate.label
        return f"{label} (trial {n})" if label in self._labels else label

    def _decision(self, n: int, planned: Planned, step: Step, *, label: str, attempts: int, begin: float) -> Decision:
        trial = self.points.trained(planned, step).trial
        of_step: dict[str, Any] = {"kind": step.kind, "rung": step.rung, "parent": step.parent, "repeat": step.repeat}
        of_step["budget"] = None if step.rung is None else trial.iterations
        seconds = perf_counter() - begin
        return Decision(n, planned.candidate.values, label, trial.key, attempts, seconds=seconds, **of_step)

    def _exhaustion(self) -> str:
        """Why the sampler has no further point."""
        count, listed = self.suggestions, self.points.space.listed
        if listed is None:
            return f"no new trial was found near the suggestions; {count:,} are in the search"
        folded = f"{len(listed):,} points of the space are {count:,} distinct trials"
        return f"every trial of the space is in the search: the {folded}"

    def best(self) -> list[tuple[Decision, Told]]:
        """The best job with the full budget, or the Pareto-optimal ones of two objectives; all keep the constraints.

        By the scores that selected it; a search with seeds has a `standing`, whose winner has fresh ones.
        """
        if self.races is not None:
            first = self.races.candidates(self.decisions, self.told)[:1]
            return [(self.decisions[n], self.told[n]) for n, _ in first]
        pairs = ((self.decisions[one.n], one) for one in self.told if one.measured is not None and one.feasible)
        ranked = [(decision, one) for decision, one in pairs if decision.rung is None]
        if not ranked:
            return []
        signs = [1.0 if more else -1.0 for more in self.goal.maximize]
        gains = np.array([one.measured for _, one in ranked], dtype=np.float64) * signs  # (trials, objectives)
        if len(signs) == 1:
            return [ranked[int(gains.argmax())]]
        from assay.analysis.pareto import undominated  # with pandas, which other searches do not need

        optimal = undominated(-gains[:, 0], gains[:, 1])
        return [pair for pair, is_optimal in zip(ranked, optimal, strict=True) if is_optimal]


def scheduler_of(points: Points, goal: Goal) -> Scheduler:
    """What chooses the jobs of a search: promotions where it has halving, else suggestions alone."""
    search = points.study.settings.search
    assert search is not None
    if search.halving is None:
        return Suggestions()
    maximize, parallel = goal.maximize[0], search.parallel
    return Promotions(search.halving, len(points.rungs), maximize=maximize, parallel=parallel)


def goal_of(study: Study) -> Goal:
    """The goal of a search: on validation data where its baseline has any, else on the test set."""
    search = study.settings.search
    assert search is not None
    recipe = Recipe.parse(study.baseline)
    split = "validation" if recipe.data.validation else "test"
    return Goal(
        objectives_of(search.objective, is_regression=recipe.is_regression), split, search.target, search.target_loss
    )
