"""Races of configurations on paired seeds: looks after each seed, at which what is significantly worse drops out.

The hypothesis H_i of racer i is that no racer is better. A race of k racers over N seeds looks at 3, 4, ..., N seeds
(over two seeds, at 2). A look compares each remaining racer i with the best one b, by the two-sided p value p_i of the
paired t test of the differences b - i, and corrects it three times:

- for the looks: look n spends w_n = (n / N)^2 - (m / N)^2 of alpha, m the seeds of the look before (0 at the first);
- for the choice of b, by Bonferroni: k - 1 racers could have been it, and one of the two sides counts: (k - 1) / 2;
- for the racers, by Holm: r, the number of those that were not dropped yet.

Racer i drops out if p_i r (k - 1) / (2 w_n) <= alpha and the second test of the verdicts does not contradict. The three
corrections bound unions of events. So the probability of dropping any racer that is as good as the best is at most
alpha whatever the dependence between looks and racers, as far as the p values are right: the paired t test is exact for
normal differences. With 3 to 8 seeds no test is right for every distribution; docs/statistics.md has measured rates.

Sources: Kim, DeMets, "Design and analysis of group sequential tests based on the type I error spending rate function"
(1987), for the spending function t^2; Holm (1979); Maurer, Bretz, "Multiple testing in group sequential trials using
graphical approaches" (2013), for Holm's correction over looks; Maron, Moore, "Hoeffding races" (1994).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.analysis.paired import confirmed, deviation, resolved_deviations, t_interval, t_tests
from assay.errors import AssayError

Floats = NDArray[np.float64]

ALPHA = 0.05
FIRST_LOOK = 3  # seeds: two differences have one degree of freedom, and decide almost nothing


@dataclass(frozen=True)
class Comparison:
    """One racer against the best one at a look.

    Attributes:
        racer: The racer, a row of the scores.
        best: The racer that it is compared with.
        seeds: The number of seeds on which both have a result.
        difference: How much better the best one is, on average.
        p: The p value of the paired t test; NaN with fewer than two seeds.
        p_corrected: After the corrections for looks and racers; at most alpha where the racer drops out.
        dropped: Whether the racer drops out.
    """

    racer: int
    best: int
    seeds: int
    difference: float
    p: float
    p_corrected: float
    dropped: bool


@dataclass(frozen=True)
class Look:
    """What one look sees: the number of seeds, the best racer, and every other one against it."""

    seeds: int
    best: int
    comparisons: tuple[Comparison, ...]

    @property
    def dropped(self) -> tuple[int, ...]:
        """The racers that drop out."""
        return tuple(one.racer for one in self.comparisons if one.dropped)


@dataclass(frozen=True)
class Race:
    """A race as far as it has come.

    Attributes:
        racing: The racers that are left, in order.
        looks: The looks so far.
        seeds: The number of seeds that every racer that was left then has ended.
        best: The best racer on these seeds; None before the first one has ended.
        over: Whether one racer is left, or the seeds are used up.
    """

    racing: tuple[int, ...]
    looks: tuple[Look, ...]
    seeds: int
    best: int | None
    over: bool


def looks_at(planned: int) -> tuple[int, ...]:
    """The numbers of seeds at which a race over `planned` seeds looks.

    >>> looks_at(8), looks_at(2)
    ((3, 4, 5, 6, 7, 8), (2,))
    """
    if planned < 2:
        raise AssayError(f"a race needs at least 2 seeds, not {planned}")
    return tuple(range(min(FIRST_LOOK, planned), planned + 1))


def fraction_spent(seeds: int, planned: int) -> float:
    """The fraction of alpha that the look at `seeds` of `planned` seeds spends; the looks together spend all of it.

    (n / N)^2 - (m / N)^2, with m the seeds of the look before, or 0.

    >>> [fraction_spent(n, 8) for n in (3, 4, 8)], sum(fraction_spent(n, 8) for n in looks_at(8))
    ([0.140625, 0.109375, 0.234375], 1.0)
    """
    looks = looks_at(planned)
    if seeds not in looks:
        raise AssayError(f"a race over {planned} seeds looks at {looks[0]} to {looks[-1]} seeds, not at {seeds}")
    before = seeds - 1 if seeds > looks[0] else 0
    return (seeds**2 - before**2) / planned**2


def race(gains: Floats, ended: NDArray[np.bool_], *, alpha: float = ALPHA) -> Race:
    """The race of k racers over N seeds, as far as their trials have ended.

    A racer is looked at while it is left; what it does after it has dropped out does not count.

    Args:
        gains: The scores (k, N), more is better. NaN is no result: its pair is left out. -infinity is worse than any
            result, such as the cost of a trial that diverged: a racer with fewer of them is better, and differences
            count it as the worst finite score of the race.
        ended: Whether each trial has ended (k, N); other scores are ignored.
        alpha: The probability of dropping any racer that is as good as the best.

    Raises: AssayError for fewer than 2 racers or seeds, or an alpha outside 0 ... 1.

    >>> rng = np.random.default_rng(1)
    >>> scores = np.array([[0.9], [0.8], [0.9]]) + rng.normal(size=(3, 8)) / 100
    >>> result = race(scores, np.ones((3, 8), dtype=bool))
    >>> result.racing, [look.seeds for look in result.looks if look.dropped], result.over
    ((0, 2), [3], True)
    """
    racers, planned = gains.shape
    if racers < 2:
        raise AssayError(f"a race needs at least 2 racers, not {racers}")
    if not 0 < alpha < 1:
        raise AssayError(f"alpha lies between 0 and 1, not {alpha:g}")
    points, racing, looks = looks_at(planned), list(range(racers)), list[Look]()
    seeds = 0
    while seeds < planned and len(racing) > 1 and ended[racing, seeds].all():
        seeds += 1
        if seeds in points:
            looks.append(_look(gains[:, :seeds], racing, planned=planned, alpha=alpha))
            racing = [racer for racer in racing if racer not in looks[-1].dropped]
    best = _best(gains[:, :seeds], racing) if seeds else None
    return Race(tuple(racing), tuple(looks), seeds, best, len(racing) == 1 or seeds == planned)


def _best(gains: Floats, racing: Sequence[int]) -> int:
    """The best of the racing ones: with the fewest scores of -infinity, then with the highest mean.

    Means are of the differences from the mean of each seed, so that a missing seed is no advantage. Ties: the first.
    """
    values = gains[list(racing)]  # (racing, n)
    infinite = np.isneginf(values).sum(axis=1)
    known = np.isfinite(values)
    seed_means = np.where(known, values, 0.0).sum(axis=0) / np.maximum(1, known.sum(axis=0))
    centred = np.where(known, values - seed_means, 0.0).sum(axis=1)
    count = known.sum(axis=1)
    means = np.where(count > 0, centred / np.maximum(1, count), -np.inf)
    without = (count + infinite == 0).astype(np.int64)  # nothing is known of it
    order = sorted(range(len(racing)), key=lambda place: (without[place], infinite[place], -means[place], place))
    return racing[order[0]]


def _look(gains: Floats, racing: Sequence[int], *, planned: int, alpha: float) -> Look:
    """The look at the seeds of `gains` (k, n), with Holm's steps over the racers from the smallest p value on."""
    racers, seeds = gains.shape
    best, spent = _best(gains, racing), fraction_spent(seeds, planned)
    finite = gains[list(racing)][np.isfinite(gains[list(racing)])]
    floored = np.where(np.isneginf(gains), finite.min(initial=np.inf) if finite.size else 0.0, gains)
    others = [racer for racer in racing if racer != best]
    tested = _tested([_paired(floored[best] - floored[racer]) for racer in others])
    order = sorted(range(len(others)), key=lambda place: (math.isnan(tested[place].p), tested[place].p, place))
    left, smallest, made = len(racing), 0.0, dict[int, Comparison]()
    for place in order:
        one, racer = tested[place], others[place]
        is_tested = not math.isnan(one.p)
        if is_tested:
            smallest = max(smallest, min(1.0, one.p * left * (racers - 1) / (2 * spent)))
        drops = is_tested and one.agrees and smallest <= alpha
        corrected = smallest if is_tested else math.nan
        made[racer] = Comparison(racer, best, one.n, one.difference, one.p, corrected, drops)
        left -= drops
    return Look(seeds, best, tuple(made[racer] for racer in others))


@dataclass(frozen=True)
class _Test:
    p: float
    n: int
    difference: float
    agrees: bool  # the second test does not contradict


def _paired(d: Floats) -> Floats:
    """The differences of the seeds on which both have a result."""
    return d[~np.isnan(d)]


def _tested(differences: Sequence[Floats]) -> list[_Test]:
    """The paired t tests of differences (n,), of which a positive mean can drop a racer.

    Where two differences of a row are equal in size, its deviation is at least their step, as in single verdicts.
    """
    tests = [_Test(math.nan, d.size, float(d.mean()) if d.size else math.nan, agrees=False) for d in differences]
    for n in {d.size for d in differences if d.size > 1}:
        places = [place for place, d in enumerate(differences) if d.size == n]
        rows = np.stack([differences[place] for place in places])  # (m, n)
        p, means = t_tests(rows, resolved_deviations(rows, ties=True)), rows.mean(axis=1)
        p = np.where(means > 0, p, 1.0)  # the best one is not ahead only where seeds have no result, or all are equal
        significant = p <= ALPHA
        agree = significant.copy()
        if significant.any():
            agree[significant] = confirmed(rows[significant], alpha=ALPHA)
        for row, place in enumerate(places):
            tests[place] = _Test(float(p[row]), n, float(means[row]), agrees=bool(agree[row]))
    return tests


@dataclass(frozen=True)
class Estimate:
    """The mean of fresh seeds, with its 95 % t interval; NaN with fewer than two seeds."""

    mean: float
    low: float
    high: float
    deviation: float
    n: int


def estimate(values: Floats) -> Estimate:
    """The mean of the scores of fresh seeds (n,) and its t interval: mean -+ t(0.975, n - 1) sd / sqrt(n).

    >>> one = estimate(np.array([0.90, 0.92, 0.91]))
    >>> round(one.mean, 4), round(one.low, 4), round(one.high, 4), one.n
    (0.91, 0.8852, 0.9348, 3)
    """
    if not values.size:
        return Estimate(math.nan, math.nan, math.nan, math.nan, 0)
    low, high = t_interval(values)
    return Estimate(float(values.mean()), low, high, deviation(values), values.size)


__all__ = ["ALPHA", "Comparison", "Estimate", "Look", "Race", "estimate", "fraction_spent", "looks_at", "race"]
