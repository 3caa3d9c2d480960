"""Successive halving by promotion: the rungs of a search, its brackets, and which job comes next.

A rung is a training of its own budget. The best of a rung go on to the next one; the last rung is the full budget.
Synchronous halving promotes when a rung is complete (Jamieson and Talwalkar, 2016), asynchronous halving as soon as a
job is among the best of those that have ended (ASHA, Li et al., 2020). Brackets that begin at later rungs make it
Hyperband (Li et al., 2018).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from assay.parts.durations import duration
from assay.recipe.model import Recipe
from assay.recipe.settings import Budget
from assay.studies.search.jobs import PROMOTION, SUGGESTION, Decision, Ended, Step, Told
from assay.studies.search.settings import Halving

_CLOSE = 1e-9  # a relative difference of lengths that is rounding


def rungs_of(halving: Halving, budget: Budget) -> tuple[Budget, ...]:
    """The budgets of the rungs: first, first * factor, ... below the full one, and at last the full one.

    >>> [rung.epochs for rung in rungs_of(Halving(first="1 epoch", factor=3), Budget(epochs=9.0))]
    [1.0, 3.0, 9.0]
    """
    first = duration(halving.first, ("iterations", "epochs"))
    full = float((budget.iterations if first.unit == "iterations" else budget.epochs) or 0)
    lengths: list[float] = []
    length = first.number
    while length < full * (1 - _CLOSE):
        lengths.append(length)
        length *= halving.factor
    if first.unit == "iterations":
        return (*(Budget(iterations=int(length)) for length in lengths), budget)
    return (*(Budget(epochs=length) for length in lengths), budget)


def shortened(recipe: Recipe, rung: Budget, examples: int) -> Recipe:
    """A recipe with the budget of a rung, in iterations, and the schedule that it has with its full budget."""
    recipe = recipe.resolved(examples)
    iterations = recipe.model_copy(update={"budget": rung}).iterations(examples)
    schedule = recipe.schedule.model_copy()
    if "horizon" in schedule.settings():
        schedule.model_fields_set.add("horizon")  # it is given now: it does not follow from this budget
    return recipe.model_copy(update={"budget": Budget(iterations=iterations), "schedule": schedule})


def length_of(budget: Budget) -> float:
    """A budget as a number, of iterations or epochs."""
    return float(budget.iterations or budget.epochs or 0)


def most_brackets(halving: Halving, rungs: int) -> int:
    """The number of brackets: 1 is successive halving, and as many as rungs are Hyperband."""
    return rungs if halving.brackets == "all" else int(halving.brackets)


def size_of(bracket: int, rungs: int, factor: int) -> int:
    """How many points a bracket has that begins at the rung of its number: Hyperband's ceil(R / (s + 1) factor^s).

    R is the number of rungs, and s = R - 1 - bracket how often the bracket is reduced.

    >>> [size_of(bracket, 3, 3) for bracket in range(3)]
    [9, 5, 3]
    """
    reductions = rungs - 1 - bracket
    return math.ceil(rungs * factor**reductions / (reductions + 1))


def fraction_trained(halving: Halving, rungs: Sequence[Budget]) -> float:
    """The training of a search with complete brackets, as a fraction of that of all its points with the full budget.

    >>> full = Budget(epochs=9.0)
    >>> first = Halving(first="1 epoch", factor=3)
    >>> fraction_trained(first, rungs_of(first, full)) == (9 * 1 + 3 * 2 + 1 * 6) / (9 * 9)
    True
    """
    lengths = [length_of(rung) for rung in rungs]
    trained = points = 0.0
    for bracket in range(most_brackets(halving, len(rungs))):
        count = size_of(bracket, len(rungs), halving.factor)
        points += count
        before = 0.0
        for length in lengths[bracket:]:
            trained += count * (length - before)
            before, count = length, max(1, count // halving.factor)
    return trained / (points * lengths[-1])


@dataclass
class _Group:
    """Jobs that are compared: those of one bracket, of one round or of all rounds of it."""

    first: int  # the rung at which its points begin
    size: int  # the number of its points in one round
    rungs: dict[int, list[int]] = field(default_factory=dict[int, list[int]])  # rung -> jobs


@dataclass(frozen=True)
class _Seen:
    """What a step depends on: the jobs in their groups, what the first of them were told, and which were promoted."""

    groups: Sequence[_Group]
    told: Mapping[int, Told]
    promoted: frozenset[int]
    may_suggest: bool


class Promotions:
    """Suggestions at the first rung of a bracket, and promotions of the best of a rung to the next one.

    Args:
        halving: The settings.
        rungs: The number of rungs; the last one is the full budget.
        maximize: Whether more of the objective is better.
        parallel: The number of jobs that may be open at once; asynchronous where it is above 1, unless it is given.
    """

    def __init__(self, halving: Halving, rungs: int, *, maximize: bool, parallel: int = 1) -> None:
        self._factor, self._top, self._sign = halving.factor, rungs - 1, 1.0 if maximize else -1.0
        given = halving.asynchronous
        self.asynchronous = parallel > 1 if given is None else given
        count = most_brackets(halving, rungs)
        self.sizes = [size_of(bracket, rungs, halving.factor) for bracket in range(count)]

    def step(self, decisions: Sequence[Decision], told: Sequence[Told], *, may_suggest: bool) -> Step | Ended | None:
        """A promotion if there is one, else a further suggestion; at the end, one point is trained in full."""
        parents = (d.parent for d in decisions if d.kind == PROMOTION and d.parent is not None)
        by_job = {one.n: one for one in told}
        seen = _Seen(self._groups(decisions), by_job, frozenset(parents), may_suggest)
        step = self._asynchronous(seen) if self.asynchronous else self._synchronous(seen)
        if step is not None:
            return step
        if may_suggest:
            points = sum(decision.kind == SUGGESTION for decision in decisions)
            return Step(SUGGESTION, rung=self._stored(self._place(points)[1]))
        if len(told) < len(decisions):
            return None
        return self._at_last(seen) or Ended("")

    def _asynchronous(self, seen: _Seen) -> Step | None:
        """The best job that is among the best of its rung so far; of the latest rung that has one."""
        for rung in reversed(range(self._top)):
            for group in seen.groups:
                ended = [n for n in group.rungs.get(rung, ()) if n in seen.told]
                step = self._promotion(seen, ended, rung=rung, most=len(ended) // self._factor)
                if step is not None:
                    return step
        return None

    def _synchronous(self, seen: _Seen) -> Step | None:
        """The next promotion of the first group that has one."""
        return next((step for group in seen.groups if (step := self._next_of(seen, group)) is not None), None)

    def _next_of(self, seen: _Seen, group: _Group) -> Step | None:
        """The next promotion of a group: a rung is promoted from when all of its jobs have ended."""
        for rung in range(group.first, self._top):
            jobs = group.rungs.get(rung, [])
            if rung == group.first and len(jobs) < group.size and seen.may_suggest:
                return None
            if not jobs or any(n not in seen.told for n in jobs):
                return None
            step = self._promotion(seen, jobs, rung=rung, most=max(1, len(jobs) // self._factor))
            if step is not None:
                return step
        return None

    def _promotion(self, seen: _Seen, jobs: Sequence[int], *, rung: int, most: int) -> Step | None:
        """The promotion of the best job of a rung, among its `most` best, that is not promoted yet."""
        for n in self._ranked(seen, jobs)[:most]:
            if n not in seen.promoted:
                return Step(PROMOTION, rung=self._stored(rung + 1), parent=n)
        return None

    def _ranked(self, seen: _Seen, jobs: Sequence[int]) -> list[int]:
        """Jobs from the best on; without those that have no score or break a constraint. Ties: the earlier job."""
        counted = [seen.told[n] for n in jobs if seen.told[n].feasible]
        scores = {one.n: one.measured[0] for one in counted if one.measured is not None}
        return sorted(scores, key=lambda n: (-self._sign * scores[n], n))

    def _at_last(self, seen: _Seen) -> Step | None:
        """The best job of the latest rung, if no job has the full budget: a search has a point that is trained out."""
        if any(group.rungs.get(self._top) for group in seen.groups):
            return None
        for rung in reversed(range(self._top)):
            best = self._ranked(seen, [n for group in seen.groups for n in group.rungs.get(rung, ())])
            if best:
                return Step(PROMOTION, rung=self._stored(rung + 1), parent=best[0])
        return None

    def _stored(self, rung: int) -> int | None:
        return None if rung == self._top else rung

    # --- groups ---

    def _place(self, point: int) -> tuple[int, int]:
        """The round and the bracket of the point of this number."""
        number, rest = divmod(point, sum(self.sizes))
        for bracket, size in enumerate(self.sizes):
            if rest < size:
                return number, bracket
            rest -= size
        raise AssertionError("the sizes add up")

    def _groups(self, decisions: Sequence[Decision]) -> list[_Group]:
        """The groups in the order of their first points."""
        groups: dict[tuple[int, int], _Group] = {}
        group_of: dict[int, _Group] = {}
        points = 0
        for decision in decisions:
            if decision.kind == SUGGESTION:
                number, bracket = self._place(points)
                points += 1
                key = (0 if self.asynchronous else number, bracket)
                group = groups.setdefault(key, _Group(bracket, self.sizes[bracket]))
            elif decision.kind == PROMOTION and decision.parent is not None:
                group = group_of[decision.parent]
            else:
                continue
            group_of[decision.n] = group
            rung = self._top if decision.rung is None else decision.rung
            group.rungs.setdefault(rung, []).append(decision.n)
        return list(groups.values())
