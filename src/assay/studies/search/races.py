"""Seeds inside a search: suggestions on the screening seeds, the best of them raced, the winner on fresh seeds.

What happens next is a function of the decisions and of what they were told, the same in every process. The
seed of a job is that of the baseline plus its `repeat`: from 0 on for screening, then the seeds of the race, and from
`FRESH_FROM` on those that the search has never seen. The statistics are those of `assay.analysis.racing`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from assay.analysis.racing import FIRST_LOOK, Estimate, Race, estimate, race
from assay.studies.search.jobs import FRESH, PROMOTION, RACE, SCREENING, SUGGESTION, Decision, Ended, Step, Told
from assay.studies.search.objectives import Goal
from assay.studies.search.seeds import FRESH_FROM, SeedSettings
from assay.training.outcome import CUT_SHORT, RANKED

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Standing:
    """A race as far as it has come.

    Attributes:
        generation: Its number, from 0: a search whose budget is raised after a race races again, on other seeds.
        racers: Their jobs on the screening seeds, the best first.
        gains: Their scores on the seeds of the race (k, N), more is better, as in `assay.analysis.racing.race`.
        ended: Which trials have ended (k, N).
        race: What the looks have decided; None where a single configuration had a score.
        winner: The place of the winner among the racers; None before the race is over, or where none has a result.
        fresh: The scores of the winner on the fresh seeds that have ended, in the direction of the objective.
        fresh_ended: How many of the fresh seeds have ended.
        seeds: How many seeds the race has at most, and the winner afterwards.
        over: Whether the race is over.
    """

    generation: int
    racers: tuple[int, ...]
    gains: Floats
    ended: NDArray[np.bool_]
    race: Race | None
    winner: int | None
    fresh: tuple[float, ...]
    fresh_ended: int
    seeds: int
    over: bool

    @property
    def is_done(self) -> bool:
        """Whether the winner has ended on every fresh seed, or there is none."""
        return self.over and (self.winner is None or self.fresh_ended == self.seeds)

    @property
    def estimate(self) -> Estimate:
        """The mean score of the winner on the fresh seeds, with its interval."""
        return estimate(np.array(self.fresh, dtype=np.float64))

    def scores(self, place: int) -> Floats:
        """The finite gains of a racer on the seeds of the race that have ended (n,)."""
        values = self.gains[place][self.ended[place]]
        return values[np.isfinite(values)]


class Races:
    """Decides the jobs of a search that belong to its seeds.

    Args:
        settings: The numbers of seeds.
        goal: The objective, a single one.
    """

    def __init__(self, settings: SeedSettings, goal: Goal) -> None:
        self.settings, self.sign = settings, 1.0 if goal.maximize[0] else -1.0
        self._scanned: tuple[int, Decision | None, int | None, bool] = (0, None, None, False)

    def screening(self, decisions: Sequence[Decision]) -> Step | None:
        """The last suggestion on its next screening seed; None where it has all of them."""
        if self.settings.screen == 1:
            return None
        last = next((d for d in reversed(decisions) if d.kind in (SUGGESTION, RACE, FRESH)), None)
        if last is None or last.kind != SUGGESTION:
            return None
        made = 1 + sum(d.kind == SCREENING and d.parent == last.n for d in decisions[last.n :])
        return Step(SCREENING, parent=last.n, repeat=made) if made < self.settings.screen else None

    def step(self, decisions: Sequence[Decision], told: Sequence[Told], *, ended: bool) -> Step | Ended | None:
        """The next job of a race, None where other jobs must be told first, or Ended where no race is to be run.

        Args:
            decisions: Those of all jobs.
            told: What the first of them were told.
            ended: Whether there are no further suggestions and promotions, so that a race may begin.
        """
        first = self._last_race(decisions)
        if first is not None:
            if len(told) < first:  # its racers were chosen from what these were told
                return None
            step = self._running(decisions, told, first)
            if not isinstance(step, Ended):
                return step
            new = any(d.kind in (SUGGESTION, PROMOTION) for d in decisions[first:])
            if not ended or not new:
                return step
        if not ended:
            return Ended("")
        if len(told) < len(decisions):  # the racers are chosen from all of them
            return None
        return self._begun(decisions, told)

    def standing(self, decisions: Sequence[Decision], told: Sequence[Told]) -> Standing | None:
        """The last race of a search; None before the first one."""
        first = self._last_race(decisions)
        return None if first is None else self._standing(decisions, told, first)

    def candidates(self, decisions: Sequence[Decision], told: Sequence[Told]) -> list[tuple[int, float]]:
        """The jobs with the full budget that have a score and keep the constraints, with that, the best first.

        With several screening seeds, the score is their mean, and each of them must have one.
        """
        scores: dict[int, list[float]] = {}
        for one in told:
            decision = decisions[one.n]
            own = decision.n if decision.kind in (SUGGESTION, PROMOTION) and decision.rung is None else None
            own = decision.parent if decision.kind == SCREENING else own
            if own is not None and one.measured is not None and one.feasible:
                scores.setdefault(own, []).append(one.measured[0])
        whole = [(n, float(np.mean(values))) for n, values in scores.items() if len(values) == self.settings.screen]
        return sorted(whole, key=lambda pair: (-self.sign * pair[1], pair[0]))

    def sampled(self, decisions: Sequence[Decision], told: Sequence[Told], n: int) -> tuple[float, ...] | None:
        """What the sampler is told after job n: the mean of the screening seeds after the last one; else None."""
        decision = decisions[n]
        if decision.kind != SCREENING or decision.repeat != self.settings.screen - 1:
            return None
        group = [one.scores for one in told[decision.parent :] if self._shares(decisions[one.n], decision)]
        return tuple(float(value) for value in np.mean(group, axis=0))

    def _shares(self, other: Decision, decision: Decision) -> bool:
        """Whether another job trains the same suggestion on another screening seed."""
        return other.n == decision.parent or (other.kind == SCREENING and other.parent == decision.parent)

    # --- the race ---

    def _last_race(self, decisions: Sequence[Decision]) -> int | None:
        """The first job of the last race, a run of its jobs; None without one. Of a longer list the rest is read."""
        count, last, first, is_race = self._scanned
        if count > len(decisions) or (count and decisions[count - 1] is not last):  # another list
            count, first, is_race = 0, None, False
        for decision in decisions[count:]:
            begins = decision.kind in (RACE, FRESH) and not is_race
            first = decision.n if begins else first
            is_race = decision.kind in (RACE, FRESH)
        self._scanned = (len(decisions), decisions[-1] if decisions else None, first, is_race)
        return first

    def _begun(self, decisions: Sequence[Decision], told: Sequence[Told]) -> Step | Ended:
        candidates = self.candidates(decisions, told)
        if not candidates:
            return Ended("no configuration has a score, so there is no race")
        first = self._last_race(decisions)
        generation = 0 if first is None else self._generation(decisions[first]) + 1
        return self._race_step(candidates[0][0], generation, 0, alone=len(candidates) == 1)

    def _race_step(self, racer: int, generation: int, seed: int, *, alone: bool = False) -> Step:
        start = generation * self.settings.race + seed
        if alone:
            return Step(FRESH, parent=racer, repeat=FRESH_FROM + start)
        return Step(RACE, parent=racer, repeat=self.settings.screen + start)

    def _generation(self, decision: Decision) -> int:
        return self._seed(decision) // self.settings.race

    def _seed(self, decision: Decision) -> int:
        return decision.repeat - (FRESH_FROM if decision.kind == FRESH else self.settings.screen)

    def _standing(self, decisions: Sequence[Decision], told: Sequence[Told], first: int) -> Standing:
        screened = self.candidates(decisions[:first], told[:first])
        racers = tuple(n for n, _ in screened[: self.settings.count(len(screened))])
        seeds, generation = self.settings.race, self._generation(decisions[first])
        gains, ended = np.full((len(racers), seeds), np.nan), np.zeros((len(racers), seeds), dtype=np.bool_)
        fresh: list[float] = []
        fresh_ended = 0
        for one in told[first:]:
            decision = decisions[one.n]
            if decision.kind == RACE and decision.parent in racers and self._generation(decision) == generation:
                place = racers.index(decision.parent), self._seed(decision) % seeds
                gains[place], ended[place] = self._gain(one), True
            elif decision.kind == FRESH and self._generation(decision) == generation:
                fresh_ended += 1
                fresh += [] if one.measured is None else [one.measured[0]]
        if len(racers) < 2:
            whole = gains, ended, None, 0
            return Standing(generation, racers, *whole, tuple(fresh), fresh_ended, seeds, over=True)
        state = _raced(gains.tobytes(), ended.tobytes(), gains.shape)
        best = state.best if state.over and state.best is not None else None
        winner = best if best is not None and np.isfinite(gains[best]).any() else None
        return Standing(
            generation, racers, gains, ended, state, winner, tuple(fresh), fresh_ended, seeds, over=state.over
        )

    def _gain(self, one: Told) -> float:
        """A score of the race, more is better: -infinity for one that is worse than any, NaN for no result."""
        if one.measured is not None and one.feasible:
            return self.sign * one.measured[0]
        return -math.inf if one.outcome in (*RANKED, *CUT_SHORT) else math.nan

    def _running(self, decisions: Sequence[Decision], told: Sequence[Told], first: int) -> Step | Ended | None:
        """The next job of the race that begins at job `first`; Ended where all of its jobs are decided."""
        standing = self._standing(decisions, told, first)
        decided = {(d.kind, d.parent, d.repeat) for d in decisions[first:]}
        if not standing.over:
            return self._next_seed(standing, decided)
        if standing.winner is None:
            return Ended("no racer has a result")
        for seed in range(standing.seeds):
            step = self._race_step(standing.racers[standing.winner], standing.generation, seed, alone=True)
            if (step.kind, step.parent, step.repeat) not in decided:
                return step
        return Ended("")

    def _next_seed(self, standing: Standing, decided: set[tuple[str, int | None, int]]) -> Step | None:
        """The next trial of a race: seed by seed, up to the next look."""
        state = standing.race
        assert state is not None  # a race that is not over has several racers
        until = max(state.seeds + 1, min(FIRST_LOOK, standing.seeds))  # no seed is trained before a look may save it
        for seed in range(until):
            for place in state.racing:
                step = self._race_step(standing.racers[place], standing.generation, seed)
                if (step.kind, step.parent, step.repeat) not in decided:
                    return step
        return None


@lru_cache(maxsize=64)
def _raced(gains: bytes, ended: bytes, shape: tuple[int, int]) -> Race:
    """The race of these scores: it is asked for again after every job."""
    scores = np.frombuffer(gains, dtype=np.float64).reshape(shape)
    return race(scores, np.frombuffer(ended, dtype=np.bool_).reshape(shape))
