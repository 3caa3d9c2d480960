"""A search as it runs: decides jobs, stores decisions and scores before they are used, and feeds the study loop."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import metadata
from typing import Any

from assay.errors import EngineError, RecipeError, StoreError
from assay.execution.estimates import estimated
from assay.execution.runner import Execution
from assay.execution.search_text import about, plain, sentences
from assay.execution.warm_start import shown
from assay.store.pruning import prune
from assay.store.searches import Resolved, Searches, StoredJob
from assay.store.store import Store
from assay.studies.plan import Member, Plan, jobs
from assay.studies.search.decisions import Course, goal_of, scheduler_of
from assay.studies.search.halving import fraction_trained
from assay.studies.search.jobs import FRESH, PROMOTION, RACE, Decision, Ended, Told
from assay.studies.search.objectives import EndedTrial, Score, counted_score, floor, score
from assay.studies.search.points import Planned, Points
from assay.studies.search.prior import sampler_of
from assay.studies.search.race_results import RaceResult, race_result
from assay.studies.search.races import Races
from assay.studies.search.samplers import Sampler, method_of, package_problem
from assay.studies.search.settings import SearchSettings
from assay.studies.study import Study
from assay.system.affinity import on_cores
from assay.system.limits import CONFIGURATIONS
from assay.training.outcome import Outcome

_log = logging.getLogger("assay.execution")
_TRIED = 200  # random points, of which one must be valid


class StudySearch:
    """The feed of an execution: the next trials of a search.

    Args:
        study: The study, whose design is "search".
        store: Where its decisions are stored.

    Attributes:
        resolved: What the search fixed when it was first registered.
        course: The search as far as it has come.
        ended: Why it has no further job; "" until then.
        change: What registering it changes in the store, in words.
        spare: Cores that no trial is pinned to, on which the sampler runs; none where it runs on any.

    Raises:
        RecipeError: A package is missing, no point is valid, or a budget was lowered.
    """

    def __init__(self, study: Study, store: Store) -> None:
        self.study, self.store = study, store
        self.searches = Searches(store.database)
        self.points = Points(study)
        self.goal = goal_of(study)
        self.ended = ""
        self.change = self.searches.change(study)
        self.resolved = self.searches.stored(study) or _resolved(study, self.points, store)
        self._check()
        self.number = -1
        self.course = self._course()
        self._decided: dict[int, float] = {}  # when each job was decided
        self._waiting: list[Plan] = []
        self.spare: Sequence[int] = ()

    @property
    def search(self) -> SearchSettings:
        """The settings of the search."""
        assert self.study.settings.search is not None
        return self.study.settings.search

    @property
    def total(self) -> int | None:
        """The budget in trials, with those of the race if no racer drops out.

        None without one, and with halving, where promotions come to it.
        """
        seeds, trials = self.search.seeds, self.search.trials
        if self.search.halving is not None:
            return None
        if seeds is None or trials is None:
            return trials
        return trials * seeds.screen + (self.racers + 1) * seeds.race

    @property
    def parallel(self) -> int:
        """How many jobs can be open at once."""
        return self.search.parallel

    @property
    def engines(self) -> frozenset[str]:
        """The engine of a valid point of the space, which that of most others is."""
        return frozenset({self._example.trial.engine})

    def empty_plan(self) -> Plan:
        """The plan that the execution begins with: it has no trials yet."""
        return Plan(self.study, (), {}, requested=0, examples={}, registers=False)

    def register(self) -> None:
        """Stores the search, or takes the stored one with its decisions."""
        self.number, resolved = self.searches.register(self.study, self.resolved)
        if resolved != self.resolved:  # another driver was first
            self.resolved = resolved
            self.course = self._course()
        self._take_stored()
        if self.course.decisions:
            self._waiting.append(self._restored())

    def more(self, outcomes: Mapping[str, Outcome]) -> Sequence[Plan]:
        """Tells jobs that have ended, decides the next ones; the plans of those that are new."""
        if self.number < 0:
            self.register()
        if self._waiting:
            plans, self._waiting = self._waiting, []
            return plans
        self._tell(outcomes)
        plans: list[Plan] = []
        while not self.ended and self.course.ready():
            self.ended = self.course.ended()
            if self.ended:
                break
            planned = self._decide()
            if planned is None:
                break
            plans.append(planned)
        return plans

    def end(self) -> None:
        """Prunes the weights that are not kept when the search has ended: those of rungs, or of all but the best."""
        keep = self.study.settings.keep
        if not self.ended or self.course.open:
            return
        if keep == "winners":
            prune(self.store, self.study.name, self._kept())
        elif keep == "nothing" and self.search.halving is not None:
            prune(self.store, self.study.name, set())

    def _kept(self) -> set[str]:
        """The trials whose weights stay: the best ones, or all fresh seeds of the winner of the race."""
        standing = self.course.standing
        if standing is None:
            return {decision.trial for decision, _ in self.course.best()}
        decisions, winners = self.course.decisions, self.winners()
        return {d.trial for d in decisions if d.kind == FRESH and d.parent in winners} or {d.trial for d in decisions}

    # --- what is said ---

    def about(self) -> str:
        """What the search is, and what it will do, in words."""
        return about(self)

    def sentences(self) -> list[str]:
        """What the search has found, and why it ended."""
        return sentences(self)

    def plain(self) -> dict[str, Any]:
        """The search as plain data: what it resolved, its jobs with what they were told, and the best ones."""
        return plain(self)

    @property
    def racers(self) -> int:
        """How many configurations race, if all that the budget allows have a score."""
        seeds = self.search.seeds
        return 0 if seeds is None else seeds.count(self.search.trials or CONFIGURATIONS.most)

    def _race_seconds(self) -> float:
        """The estimated seconds that are left of the race and of the fresh seeds, if no racer drops out."""
        seeds = self.search.seeds
        if seeds is None:
            return 0.0
        raced = sum(job.told is not None and job.decision.kind in (RACE, FRESH) for job in self.known)
        return max(0, (self.racers + 1) * seeds.race - raced) * self._estimate

    def seconds(self) -> float:
        """The estimated seconds that are left of the budget, by the estimate of one trial of the space."""
        search = self.search
        suggested = [job for job in self.known if job.decision.kind not in (RACE, FRESH)]
        known = [job.told for job in suggested if job.told is not None]
        rests: list[float] = []
        if search.seconds is not None:
            rests.append(search.seconds - sum(one.seconds for one in known))
        if search.trials is not None:
            screen = 1 if search.seeds is None else search.seeds.screen
            part = fraction_trained(search.halving, self.points.rungs) if search.halving is not None else 1.0
            later = sum(job.told is not None and job.decision.kind == PROMOTION for job in self.known)
            rests.append((search.trials * screen - (len(known) - later)) * part * self._estimate)
        if search.flops is not None:
            flops = search.flops - sum(one.flops for one in known)
            rests.append(flops / max(1, self._example.trial.flops) * self._estimate)
        return max(0.0, min(rests)) + self._race_seconds()

    @cached_property
    def known(self) -> list[StoredJob]:
        """The jobs that were stored before this run."""
        stored = self.searches.named(self.study.name) if self.searches.stored(self.study) else None
        return self.searches.jobs(stored[0]) if stored else []

    @cached_property
    def _example(self) -> Planned:
        """A valid point of the space."""
        draws = (self.points.space.draw(self.search.seed, "search/check", n) for n in range(_TRIED))
        return next(p for values in draws if isinstance(p := self.points.at(values), Planned))

    @cached_property
    def _estimate(self) -> float:
        """The estimated seconds of one trial."""
        (job,) = jobs([self._example.trial])
        (seconds,) = estimated([job], self.store, {self._example.trial.key: self._example.examples}).values()
        return seconds

    @property
    def race(self) -> RaceResult | None:
        """The last race; None before the first one, or where the search has no seeds."""
        if self.search.seeds is None:
            return None
        return race_result(self.course.decisions, self.course.told, seeds=self.search.seeds, goal=self.goal)

    def winners(self) -> list[int]:
        """The job of the winner of the last race on the screening seed; none before it is over."""
        standing = self.course.standing
        return [] if standing is None or standing.winner is None else [standing.racers[standing.winner]]

    # --- decisions ---

    def _decide(self) -> Plan | None:
        """Decides the next job, or takes the stored decision; None at the end of the space."""
        n = len(self.course.decisions)
        stored = self.searches.jobs(self.number, start=n)
        if stored:
            self._take(stored[0], restored=True)
            return self._plan(stored[0].decision)
        with on_cores(self.spare):  # so that the sampler's threads take no core of a trial, where there is another one
            decision = self.course.next()
        if decision is None or isinstance(decision, Ended):
            self.ended = decision.sentence if decision is not None else ""
            return None
        planned = self.points.of(decision)
        standing = self.searches.decide(self.number, decision, planned.trial)
        if standing.decision.trial != decision.trial:  # another driver, of another version, was faster
            _log.warning("trial %d: another driver decided otherwise; its decision stands", n)
        self._take(standing, restored=False)
        return self._plan(standing.decision)

    def _take(self, job: StoredJob, *, restored: bool) -> None:
        self.course.take(job.decision, restored=restored)
        self._decided[job.decision.n] = job.decided

    def _take_stored(self) -> None:
        """Takes every stored decision and score."""
        for job in self.searches.jobs(self.number):
            self._take(job, restored=True)
            if job.told is not None and len(self.course.told) == job.decision.n:
                self.course.told.append(job.told)
        if sentence := self.course.sampler.differs:
            _log.warning("%s: %s", self.study.name, sentence)

    def _plan(self, decision: Decision) -> Plan:
        planned = self._planned(decision)
        if planned is None:
            raise StoreError(self._not_alike(decision))
        return self._plan_of([(decision, planned)])

    def _plan_of(self, decided: Sequence[tuple[Decision, Planned]]) -> Plan:
        members = tuple(Member(one.trial, one.label, one.values, one.repeat) for one, _ in decided)
        trials = {planned.trial.key: planned.trial for _, planned in decided}
        examples = {planned.trial.key: planned.examples for _, planned in decided}
        promotable = frozenset(decision.trial for decision, _ in decided if decision.rung is not None)
        return Plan(self.study, members, trials, len(members), examples, registers=False, promotable=promotable)

    def _planned(self, decision: Decision) -> Planned | None:
        """The trial of a decision, on the engine that it was decided for; None where it would be another trial."""
        try:
            planned = self.points.of(decision)
            if planned.trial.key != decision.trial and self.study.settings.engine == "auto":
                engine = self.searches.engines([decision.trial]).get(decision.trial)
                planned = self.points.of(decision, engine) if engine else planned
                if engine and planned.trial.key == decision.trial:
                    self.points.engine_of[decision.trial] = engine
        except (RecipeError, EngineError):
            return None
        return planned if planned.trial.key == decision.trial else None

    def _not_alike(self, decision: Decision) -> str:
        return (
            f"study {self.study.name!r}: trial {decision.n} of the search was decided as {decision.trial[:8]}, and is "
            "another one here: its data, its engine or the version of Assay has changed; give the study another name "
            "to begin a new search"
        )

    def _restored(self) -> Plan:
        """The plan of the stored decisions. One that cannot be planned here any more needs its stored result."""
        restored: list[tuple[Decision, Planned]] = []
        missing: list[tuple[Decision, Planned]] = []
        done = self.store.outcomes([decision.trial for decision in self.course.decisions])
        known = self.searches.engines([decision.trial for decision in self.course.decisions])
        for decision in self.course.decisions:
            planned = self._planned(decision)
            if planned is None and decision.trial not in done:
                raise StoreError(self._not_alike(decision))
            if planned is not None:
                restored.append((decision, planned))
                if decision.trial not in known:
                    missing.append((decision, planned))
        if missing:
            self.searches.restore_members(self.number, [(decision, planned.trial) for decision, planned in missing])
        return self._plan_of(restored)

    # --- scores ---

    def _tell(self, outcomes: Mapping[str, Outcome]) -> None:
        """Tells the jobs that have ended, in order: the first that has not ended ends the list."""
        while self.course.open and self.course.open[0].trial in outcomes:
            decision = self.course.open[0]
            measured = self.searches.measured([decision.trial])
            if decision.trial not in measured:  # another driver has begun to retrain it
                return
            ended, finished = measured[decision.trial]
            scored, feasible = self._scored(decision, ended), self.points.feasible(ended.seconds)
            seconds, flops = self.course.spent_before(decision)
            one = Told(
                decision.n,
                self.course.score_of(scored, feasible=feasible),
                scored.values,
                str(ended.outcome),
                feasible=feasible,
                seconds=max(0.0, (ended.seconds or 0.0) - seconds),
                flops=max(0.0, (ended.flops or 0.0) - flops),
                reused=finished < self._decided[decision.n],
            )
            self.course.told.append(self.searches.tell(self.number, one))

    def _scored(self, decision: Decision, ended: EndedTrial) -> Score:
        """The scores of a trial; in a race also of one that diverged or timed out, as it counts in every study."""
        if decision.kind not in (RACE, FRESH):
            return score(self.goal, ended)
        source = self.points.of(decision).trial.recipe.data
        data = self.points.planner.data(source.name, source.task)
        chance = floor([one.measured for one in self.course.told]) if data.task else 1 / len(data.classes)
        return Score(counted_score(self.goal, ended, chance=chance))

    # --- start ---

    def _course(self) -> Course:
        scheduler = scheduler_of(self.points, self.goal)
        course = Course(self.points, self._sampler(), self.goal, self.resolved.worst, scheduler=scheduler)
        course.races = None if self.search.seeds is None else Races(self.search.seeds, self.goal)
        return course

    def _sampler(self) -> Sampler:
        sampler = sampler_of(self.resolved.method, self.points, maximize=self.goal.maximize)
        for values, scores in self.resolved.shown:
            sampler.show(values, scores)
        return sampler

    def _check(self) -> None:
        """Raises: RecipeError with all that keeps the search from beginning."""
        problems = [problem] if (problem := package_problem(self.resolved.method)) else []
        first = ""
        for number in range(_TRIED):
            planned = self.points.at(self.points.space.draw(self.search.seed, "search/check", number))
            if isinstance(planned, Planned):
                break
            first = first or planned
        else:
            problems.append(f"axes: none of {_TRIED} random points is valid; the first one: {first}")
        if problems:
            raise RecipeError(problems, source=self.study.name)


def _resolved(study: Study, points: Points, store: Store) -> Resolved:
    """What a new search fixes: its method, the worst scores, and what the sampler is shown first."""
    search = study.settings.search
    assert search is not None
    method, choice = method_of(search, points.space)
    goal = goal_of(study)
    versions = tuple((name, metadata.version(name)) for name in ("optuna", "cmaes") if _has(name))
    seen = shown(study, points, goal, store) if search.warm_start else ()
    return Resolved(method, choice, goal.worst, seen, versions if method != "random" else ())


def _has(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def execution_of(study: Study, store: Store, *, retry: bool = False) -> tuple[Execution, StudySearch]:
    """The execution of a search, and the search. Raises: AssayError."""
    feed = StudySearch(study, store)
    return Execution(feed.empty_plan(), store, retry=retry, feed=feed, prunes=False), feed
