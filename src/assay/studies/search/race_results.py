"""What the race of a search has found: its table, and the winner on its fresh seeds, as plain data and in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from assay.analysis.racing import ALPHA, Comparison, Estimate
from assay.studies.search.jobs import Decision, Told
from assay.studies.search.objectives import Goal, score_text
from assay.studies.search.races import Races, Standing
from assay.studies.search.seeds import SeedSettings


@dataclass(frozen=True)
class Racer:
    """A configuration of a race.

    Attributes:
        configuration: Its label.
        job: Its job on the screening seed.
        result: "winner", "racing", "not significantly worse", or "dropped out".
        seeds: The number of its paired seeds that have ended, with a result.
        mean: Its mean score on these seeds; None without one, and for the winner, whom these seeds have selected.
        behind: How much worse it is than `against` at the last look that compared them, more is worse; None without.
        against: The configuration that was best at that look.
        p_corrected: The p value of that look, corrected for looks and racers; None without.
        dropped_at: The number of seeds after which it dropped out; None if it did not.
    """

    configuration: str
    job: int
    result: str
    seeds: int
    mean: float | None
    behind: float | None
    against: str
    p_corrected: float | None
    dropped_at: int | None


@dataclass(frozen=True)
class RaceResult:
    """The last race of a search.

    Attributes:
        goal: The objective.
        number: The number of the race, from 1.
        racers: The configurations, the winner first, then those that are left, then those that dropped out last.
        seeds: The maximum number of seeds of the race, and the number of fresh seeds of the winner.
        looks: The numbers of seeds of the looks so far.
        over: Whether the race is over.
        winner: The label of the winner; "" before the race is over, or where no racer has a result.
        fresh: The score of the winner on its fresh seeds.
        fresh_ended: The number of fresh seeds that have ended.
        done: Whether all fresh seeds have ended.
    """

    goal: Goal
    number: int
    racers: tuple[Racer, ...]
    seeds: int
    looks: tuple[int, ...]
    over: bool
    winner: str
    fresh: Estimate
    fresh_ended: int
    done: bool

    def plain(self) -> dict[str, Any]:
        """The race as plain data; None for NaN."""
        fresh = {name: _known(value) for name, value in asdict(self.fresh).items()}
        racers = [asdict(racer) for racer in self.racers]
        own = {"race": self.number, "objective": self.goal.names[0], "selected_on": self.goal.split, "alpha": ALPHA}
        own |= {"seeds": self.seeds, "looks": list(self.looks), "over": self.over, "racers": racers}
        return own | {"winner": self.winner or None, "fresh_seeds": fresh, "fresh_ended": self.fresh_ended}

    def sentences(self) -> list[str]:
        """The winner on its fresh seeds, and how the race went."""
        return [*self._of_winner(), self._of_race()]

    def _of_winner(self) -> list[str]:
        if not self.over:
            return []
        if not self.winner:
            return ["no racer has a result, so there is no winner"]
        if not self.fresh.n:
            return [f"winner: {self.winner}; none of its {self.seeds} fresh seeds has a result yet"]
        name, one = self.goal.names[0], self.fresh
        interval = f" [{score_text(name, one.low)}, {score_text(name, one.high)}]" if one.n > 1 else ""
        seeds = f"mean of {one.n} fresh seed{'' if one.n == 1 else 's'}"
        missing = self.fresh_ended - one.n
        seeds += f"; {missing} of {self.fresh_ended} without a number" if missing else ""
        waiting = self.seeds - self.fresh_ended
        seeds += f"; {waiting} of {self.seeds} have not ended" if waiting else ""
        how = f"{self.goal.split} {name}" if name in ("accuracy", "loss", "r2") else name
        same = f"; new seeds, not new data: the {self.goal.split} set selected it"
        return [f"winner: {self.winner}: {how} {score_text(name, one.mean)}{interval}, {seeds}{same}"]

    def _of_race(self) -> str:
        count = len(self.racers)
        if count == 1:
            return "no race: one configuration alone has a score"
        dropped = [racer for racer in self.racers if racer.dropped_at is not None]
        parts = [f"race of {count} configurations on at most {self.seeds} paired seeds that the screening did not use"]
        parts += [f"{len(dropped)} dropped out" if dropped else "none dropped out"]
        level = [racer for racer in self.racers if racer.result == "not significantly worse"]
        parts += [f"{len(level)} not significantly worse than the winner"] if self.over and level else []
        at = f"after {self.looks[-1]} seeds" if self.looks else "no look yet"
        return f"{', '.join(parts)}, {at if self.over else f'not over: {at}'} (5 % for all racers and looks together)"


def race_result(
    decisions: Sequence[Decision], told: Sequence[Told], *, seeds: SeedSettings, goal: Goal
) -> RaceResult | None:
    """The result of the last race of a search; None before the first one."""
    races = Races(seeds, goal)
    standing = races.standing(decisions, told)
    if standing is None:
        return None
    labels = [decisions[n].label for n in standing.racers]
    racers = [_racer(standing, place, labels, races.sign) for place in range(len(labels))]
    order = sorted(
        racers,
        key=lambda one: (
            one.result != "winner",
            -(one.dropped_at or math.inf),
            -races.sign * _or_worst(one, races.sign),
        ),
    )
    winner = "" if standing.winner is None else labels[standing.winner]
    looks = tuple(look.seeds for look in standing.race.looks) if standing.race else ()
    return RaceResult(
        goal,
        standing.generation + 1,
        tuple(order),
        standing.seeds,
        looks,
        standing.over,
        winner,
        standing.estimate,
        standing.fresh_ended,
        standing.is_done,
    )


def _racer(standing: Standing, place: int, labels: Sequence[str], sign: float) -> Racer:
    looks = standing.race.looks if standing.race else ()
    last: Comparison | None = None
    dropped_at = None
    for look in looks:
        for one in look.comparisons:
            if one.racer == place:
                last, dropped_at = one, look.seeds if one.dropped else None
    is_winner = place == standing.winner
    result = "dropped out" if dropped_at else "not significantly worse" if standing.over else "racing"
    values = standing.scores(place) if dropped_at is None else standing.scores(place)[:dropped_at]
    mean = None if is_winner or not values.size else sign * float(values.mean())
    if is_winner:
        last = None
    return Racer(
        labels[place],
        standing.racers[place],
        "winner" if is_winner else result,
        int(values.size),
        mean,
        None if last is None else _known(last.difference),
        "" if last is None else labels[last.best],
        None if last is None else _known(last.p_corrected),
        dropped_at,
    )


def _or_worst(racer: Racer, sign: float) -> float:
    return -sign * math.inf if racer.mean is None else racer.mean


def _known(value: Any) -> Any:
    """None for NaN."""
    return None if value != value else value


__all__ = ["RaceResult", "Racer", "race_result"]
