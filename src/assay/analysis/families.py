"""Families of comparisons: the paired tests of configurations with one correction.

A study has two families, which depend on its trials alone: every pair of configurations, and every configuration
against a named baseline. A display picks verdicts from them, and the pick changes no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy  # its parts are loaded when they are first used
from numpy.typing import NDArray

from assay.analysis.paired import (
    bootstrap_interval,
    confirmed,
    deviations,
    flip_tests,
    holm,
    independent_pairs,
    resolved_deviations,
    smallest_flip_p,
    t_intervals,
    t_tests,
)
from assay.analysis.paired_many import excludes_zero, more_seeds_each
from assay.analysis.quantities import MEASURES
from assay.analysis.seed_values import Floats, Places, SeedValues
from assay.analysis.seeds import UNFLAGGED
from assay.analysis.verdict import MOST_PAIRS, Verdict
from assay.errors import AssayError, unknown

BOOTSTRAP_FROM = 8  # pairs; the t interval is used with fewer
FINEST_ALPHA = 0.002  # of the bootstrap: 10,000 resamples do not resolve smaller tails


@dataclass(frozen=True)
class Family:
    """The comparisons of a family with their tests, one entry each: the first configuration minus the second.

    The p values of the paired t tests (or of the sign flips, if these are larger and n pairs can reach
    alpha / comparisons in them) are corrected by Holm; the intervals are simultaneous, each with confidence
    1 - alpha / comparisons (Bonferroni). A difference is significant if its corrected p is at most alpha and, at alpha
    alone, the sign-flip test agrees as far as the pairs can reach alpha in it, and from 8 pairs on the studentised
    bootstrap interval excludes 0. A family of one comparison is that of `compare`: its interval decides.
    """

    seeds: SeedValues
    first: Places
    second: Places
    alpha: float
    baseline: str
    total: int  # comparisons that are corrected for
    n: Places
    difference: Floats
    deviation: Floats
    low: Floats
    high: Floats
    p_t: Floats
    p_corrected: Floats
    p: Floats
    smallest_p: Floats
    resampled: NDArray[np.bool_]
    decided: NDArray[np.bool_]
    comparable: NDArray[np.bool_]
    is_busy: NDArray[np.bool_]
    left_busy: Places  # seeds left out because of foreign load
    used: NDArray[np.bool_]  # (m, seeds): the pairs of each comparison, where test sets are drawn; else empty

    def verdict(self, i: int) -> Verdict:
        """The verdict on comparison number i."""
        a, b = int(self.first[i]), int(self.second[i])
        quantity = MEASURES[self.seeds.measure]
        return Verdict(
            (self.seeds.names[a], self.seeds.names[b]),
            difference=float(self.difference[i]),
            low=float(self.low[i]),
            high=float(self.high[i]),
            p=float(self.p[i]),
            smallest_p=float(self.smallest_p[i]),
            p_t=float(self.p_t[i]),
            n=int(self.n[i]),
            deviation=float(self.deviation[i]),
            alpha=self.alpha,
            level=self.alpha / max(1, self.total),
            method=self._method(i),
            decided=bool(self.decided[i]),
            unit=quantity.unit,
            higher_is_better=quantity.higher_is_better,
            p_corrected=float(self.p_corrected[i]),
            comparisons=max(1, self.total),
            family=self.baseline or "pairs",
            measure=quantity.column.replace("_", " "),
            endings=(self.seeds.endings[a], self.seeds.endings[b]),
            comparable=bool(self.comparable[i]),
            is_busy=bool(self.is_busy[i]),
            left_busy=int(self.left_busy[i]),
            **self._of_draws(i),
        )

    def _of_draws(self, i: int) -> dict[str, Any]:
        """What a verdict says of test sets that are drawn."""
        draws = self.seeds.draws
        if draws is None:
            return {}
        a, b = int(self.first[i]), int(self.second[i])
        overlap = float(np.nan_to_num(self.overlap[i]))
        folds = int(self.folds[i]) if overlap else 0
        return {"overlap": overlap, "folds": folds, "incomparable": draws.reason(a, b, self.used[i])}

    @cached_property
    def overlap(self) -> Floats:
        """Test examples / training examples of each comparison (m,), the larger of its two sides; 0 for seeds."""
        draws = self.seeds.draws
        return np.zeros(self.first.size) if draws is None else draws.overlap(self.first, self.second)

    @cached_property
    def folds(self) -> Places:
        """The parts of each cross-validation (m,); 0 for seeds and re-splits."""
        draws = self.seeds.draws
        return np.zeros(self.first.size, np.int64) if draws is None else draws.parts(self.first, self.second)

    def verdicts(self) -> list[Verdict]:
        """Every verdict, in order."""
        return [self.verdict(i) for i in range(self.first.size)]

    def more_seeds(self) -> Floats:
        """How many more seeds each comparison needs, as in `Verdict.more_seeds`; NaN where no number is known."""
        level = self.alpha / max(1, self.total)
        overlap, folds = (None, None) if self.seeds.draws is None else (self.overlap, self.folds)
        more = more_seeds_each(
            self.difference,
            self.deviation,
            self.n,
            alpha=level,
            open_=~self.decided,
            overlap=overlap,
            folds=folds,
        )
        return np.where(self.comparable, more, np.nan)

    def uncorrected(self) -> tuple[Floats, Floats]:
        """The paired t intervals of each difference alone, with confidence 1 - alpha; NaN without a spread."""
        half = np.full(self.n.size, np.nan)
        spread = (self.n > 1) & (self.deviation > 0)
        n = self.n[spread]
        independent = independent_pairs(n, self.overlap[spread])
        half[spread] = -scipy.special.stdtrit(n - 1, self.alpha / 2) * self.deviation[spread] / np.sqrt(independent)
        return self.difference - half, self.difference + half

    def table(self) -> pd.DataFrame:
        """One row for each comparison, with the columns of `verdicts.table_of` except the sentence."""
        names = np.asarray(self.seeds.names, dtype=object)
        trials, ended = (np.asarray([getattr(e, x) for e in self.seeds.endings]) for x in ("trials", "ended"))
        low, high = self.uncorrected()
        columns: dict[str, object] = {"a": names[self.first], "b": names[self.second]}
        columns |= {x: getattr(self, x) for x in ("difference", "low", "high", "n", "p", "smallest_p", "p_t")}
        columns |= {"missing_a": trials[self.first] - self.n, "missing_b": trials[self.second] - self.n}
        columns |= {"ended_a": ended[self.first], "ended_b": ended[self.second], "p_holm": self.p_corrected}
        columns |= {"decided": self.decided, "more_seeds": pd.array(self.more_seeds()).astype("Int64")}
        return pd.DataFrame(columns | {"low_uncorrected": low, "high_uncorrected": high})

    def _method(self, i: int) -> str:
        if not self.n[i] or not self.comparable[i]:
            return "none"
        if self.overlap[i]:
            return "corrected resampled t"
        return "studentised bootstrap" if self.resampled[i] else "paired t"


def all_pairs(seeds: SeedValues, *, alpha: float = 0.05) -> Family:
    """The family of all pairs of configurations. Raises AssayError above 1,000,000 pairs."""
    k = len(seeds.names)
    if k * (k - 1) // 2 > MOST_PAIRS:
        raise AssayError(
            f"{k:,} configurations are {k * (k - 1) // 2:,} pairs, more than {MOST_PAIRS:,}; compare each with "
            "a baseline"
        )
    first, second = (side.astype(np.int64) for side in np.triu_indices(k, 1))
    return _corrected_family(seeds, first, second, alpha=alpha)


def pairs_with(seeds: SeedValues, name: str, *, alpha: float = 0.05) -> Family:
    """The comparisons of one configuration with every other one, out of the family of all pairs."""
    place = seeds.names.index(name)
    others = np.delete(np.arange(len(seeds.names)), place)
    return _out_of_all(seeds, np.minimum(others, place), np.maximum(others, place), alpha=alpha)


def pairs_among(seeds: SeedValues, names: Sequence[str], *, alpha: float = 0.05) -> Family:
    """The comparisons of some configurations with one another, out of the family of all pairs."""
    places = np.sort([seeds.names.index(name) for name in names])
    first, second = np.triu_indices(places.size, 1)
    return _out_of_all(seeds, places[first], places[second], alpha=alpha)


def _out_of_all(seeds: SeedValues, first: Places, second: Places, *, alpha: float) -> Family:
    """These pairs with the correction for all pairs: that of Holm, or above 1,000,000 pairs that of Bonferroni."""
    k = len(seeds.names)
    if k * (k - 1) // 2 > MOST_PAIRS:
        tests = _tests(seeds, first, second, alpha=alpha, total=k * (k - 1) // 2)
        return _family(seeds, first, second, tests, alpha=alpha)
    every_first, every_second = (side.astype(np.int64) for side in np.triu_indices(k, 1))
    only = np.flatnonzero(np.isin(every_first * k + every_second, first * k + second))
    tests = _tests(seeds, every_first, every_second, alpha=alpha).at(only)
    return _family(seeds, every_first[only], every_second[only], tests, alpha=alpha)


def against(seeds: SeedValues, baseline: str, *, alpha: float = 0.05) -> Family:
    """The family of every configuration against the baseline. Raises AssayError for an unknown name."""
    if baseline not in seeds.names:
        raise AssayError(unknown("configuration", baseline, seeds.names))
    place = seeds.names.index(baseline)
    others = np.delete(np.arange(len(seeds.names)), place)
    return _corrected_family(seeds, others, np.full(others.size, place), alpha=alpha, baseline=baseline)


def chosen(seeds: SeedValues, pairs: Sequence[tuple[str, str]], *, alpha: float = 0.05) -> Family:
    """A family of named pairs, such as the claims of an article, which are fixed before anything runs."""
    places = np.asarray([[seeds.names.index(name) for name in pair] for pair in pairs], dtype=np.int64).reshape(-1, 2)
    return _corrected_family(seeds, places[:, 0], places[:, 1], alpha=alpha)


def _corrected_family(seeds: SeedValues, first: Places, second: Places, *, alpha: float, baseline: str = "") -> Family:
    """The family of exactly these comparisons."""
    tests = _tests(seeds, first, second, alpha=alpha)
    return _family(seeds, first, second, tests, alpha=alpha, baseline=baseline)


@dataclass(frozen=True)
class _Tests:
    """The paired t tests of comparisons, corrected for these or for more."""

    p: Floats
    corrected: Floats
    flips: Floats  # p values of the sign-flip tests, NaN where they were not needed for the correction
    count: int  # of the comparisons that are corrected for
    is_single: bool  # a comparison that is alone is decided by its interval

    def at(self, places: Places) -> _Tests:
        """The tests of some of the comparisons, with the same correction."""
        return replace(self, p=self.p[places], corrected=self.corrected[places], flips=self.flips[places])


def _tests(seeds: SeedValues, first: Places, second: Places, *, alpha: float, total: int = 0) -> _Tests:
    """The tests of these comparisons: corrected by Holm for all of them, or by Bonferroni for `total`."""
    if not 0 < alpha < 1:
        raise AssayError(f"alpha lies between 0 and 1, not {alpha:g}")
    p_t = np.full(first.size, np.nan)
    single = first.size == 1 and total <= 1
    for places, d, overlap in _differences(seeds, _usable(seeds, first, second), first, second):
        p_t[places] = t_tests(d, deviations(d) if single else resolved_deviations(d), overlap=overlap)
    count = total or max(1, int(np.sum(~np.isnan(p_t))))
    corrected = np.minimum(1.0, count * p_t) if total else np.asarray(holm(p_t))
    flips = np.full(first.size, np.nan)
    if not single and not total:
        flips = _needed_flips(seeds, first, second, p_t, alpha=alpha, level=alpha / count)
        corrected = np.asarray(holm(np.fmax(p_t, flips)))
    return _Tests(p_t, corrected, flips, count, single)


def _family(
    seeds: SeedValues, first: Places, second: Places, tests: _Tests, *, alpha: float, baseline: str = ""
) -> Family:
    """The comparisons, with their differences and intervals next to their tests."""
    single, corrected = tests.is_single, tests.corrected
    usable = _usable(seeds, first, second)
    columns = ("difference", "deviation", "low", "high", "p", "smallest_p")
    numbers = {name: np.full(first.size, np.nan) for name in columns}
    decided, resampled = np.zeros(first.size, dtype=np.bool_), np.zeros(first.size, dtype=np.bool_)
    for places, d, overlap in _differences(seeds, usable, first, second):
        numbers["difference"][places], numbers["deviation"][places] = d.mean(axis=1), deviations(d)
        p, smallest = tests.flips[places], np.nan if overlap else smallest_flip_p(d.shape[1])
        if not overlap:
            p[np.isnan(p)] = flip_tests(d[np.isnan(p)])[0]
        numbers["p"][places], numbers["smallest_p"][places] = p, smallest
        sd = deviations(d) if single else resolved_deviations(d)
        low, high = t_intervals(d, sd, alpha=alpha / tests.count, overlap=overlap)
        candidates = confirmed(d, alpha=alpha, flips=p, overlap=overlap) & (single | (corrected[places] <= alpha))
        if single and not overlap:
            (low, high), resampled[places] = _single_interval(d, (low, high), alpha=alpha, smallest_p=smallest)
        if single:
            decided[places] = candidates & ((low > 0) | (high < 0))
        else:
            decided[places] = candidates
            again = np.flatnonzero(candidates)
            if not overlap and is_resampled(d.shape[1], alpha=alpha, smallest_p=smallest):
                again = again[deviations(d[again]) > 0]  # without an interval, the t test alone decides
                decided[places[again]] = excludes_zero(d[again], alpha=alpha)
        numbers["low"][places], numbers["high"][places] = low, high
    return Family(
        seeds,
        first,
        second,
        alpha,
        baseline,
        tests.count,
        n=usable.seeds.sum(axis=1),
        p_t=tests.p,
        p_corrected=corrected,
        resampled=resampled,
        decided=decided,
        comparable=_comparable(seeds, usable, first, second),
        is_busy=usable.is_busy,
        left_busy=usable.left_busy,
        used=usable.seeds if seeds.draws is not None else usable.seeds[:0],
        **numbers,
    )


def _needed_flips(
    seeds: SeedValues, first: Places, second: Places, p_t: Floats, *, alpha: float, level: float
) -> Floats:
    """The p values of the sign flips where n pairs can reach the level of the family in these; NaN elsewhere.

    There the larger p of the two tests counts: the flips keep the level for every symmetric distribution, also far out
    in the tails.
    """
    flips = np.full(first.size, np.nan)
    small = np.flatnonzero(p_t <= alpha)  # others are significant in no step
    if math.log2(1 / level) + 1 > seeds.values.shape[1] or not small.size:
        return flips
    usable = _usable(seeds, first[small], second[small])
    for places, d, overlap in _differences(seeds, usable, first[small], second[small]):
        if not overlap and smallest_flip_p(d.shape[1]) <= level:
            flips[small[places]] = flip_tests(d)[0]
    return flips


def _comparable(seeds: SeedValues, usable: Usable, first: Places, second: Places) -> NDArray[np.bool_]:
    """Whether every pair that a comparison uses has two finite numbers, and one test set (m,)."""
    finite = np.isfinite(np.where(usable.seeds, seeds.values[first] + seeds.values[second], 0.0))
    allowed = True if seeds.draws is None else seeds.draws.allowed(first, second, usable.seeds)
    return np.asarray(finite.all(axis=1) & allowed, dtype=np.bool_)


def _differences(
    seeds: SeedValues, usable: Usable, first: Places, second: Places
) -> Iterator[tuple[Places, Floats, float]]:
    """Yields the comparisons of one overlap on the same seeds, their differences (comparisons, seeds), the overlap."""
    kept = np.flatnonzero((usable.seeds.sum(axis=1) > 0) & _comparable(seeds, usable, first, second))
    patterns, inverse = _patterns(usable.seeds[kept])
    order = np.argsort(inverse, kind="stable")
    for part, pattern in zip(np.split(kept[order], np.cumsum(np.bincount(inverse))[:-1]), patterns, strict=False):
        columns = np.flatnonzero(pattern)
        d = seeds.values[np.ix_(first[part], columns)] - seeds.values[np.ix_(second[part], columns)]
        if seeds.draws is None:
            yield part, d, 0.0
            continue
        overlaps = seeds.draws.overlap(first[part], second[part])
        for overlap in np.unique(overlaps).tolist():
            alike = overlaps == overlap
            yield part[alike], d[alike], overlap


def _patterns(used: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], Places]:
    """The different rows of a table, and which of them each row is."""
    if not len(used) or (used == used[0]).all():
        return used[:1], np.zeros(len(used), dtype=np.int64)
    patterns, inverse = np.unique(used, axis=0, return_inverse=True)
    return patterns, inverse.reshape(-1)


@dataclass(frozen=True)
class Usable:
    """Which seeds each comparison uses (m, seeds), whether flagged seconds are among them, and how many left (m,)."""

    seeds: NDArray[np.bool_]
    is_busy: NDArray[np.bool_]
    left_busy: Places


def _usable(seeds: SeedValues, first: Places, second: Places) -> Usable:
    """Which seeds each comparison uses.

    Pairs with flagged seconds are left out of costs in time while at least three other pairs remain.
    """
    known = ~np.isnan(seeds.values)
    used = known[first] & known[second]
    if not MEASURES[seeds.measure].is_timed or not seeds.flagged.any():
        return Usable(used, np.zeros(first.size, dtype=np.bool_), np.zeros(first.size, dtype=np.int64))
    finished = np.isfinite(seeds.values)
    both = finished[first] & finished[second]
    flagged = both & (seeds.flagged[first] | seeds.flagged[second])
    leave = (both & ~flagged).sum(axis=1) >= UNFLAGGED
    leaving = flagged & leave[:, None]
    used &= ~leaving
    return Usable(used, (used & flagged).any(axis=1), leaving.sum(axis=1))


def is_resampled(n: int, *, alpha: float, smallest_p: float) -> bool:
    """Whether n pairs and this alpha are enough for the studentised bootstrap."""
    return n >= BOOTSTRAP_FROM and smallest_p <= alpha and alpha >= FINEST_ALPHA


def bootstrapped(d: Floats, *, alpha: float, smallest_p: float) -> tuple[float, float] | None:
    """The studentised bootstrap interval; None where too few pairs or too coarse resamples give none."""
    if is_resampled(d.size, alpha=alpha, smallest_p=smallest_p) and float(deviations(d[None])[0]) > 0:
        return bootstrap_interval(d, alpha=alpha)
    return None


def _single_interval(
    d: Floats, of_t: tuple[Floats, Floats], *, alpha: float, smallest_p: float
) -> tuple[tuple[Floats, Floats], bool]:
    """The interval of a comparison that is alone, and whether it is the bootstrap's: that of the t test otherwise."""
    interval = bootstrapped(d[0], alpha=alpha, smallest_p=smallest_p)
    if interval is None:
        return of_t, False
    return (np.asarray([interval[0]]), np.asarray([interval[1]])), True


__all__ = [
    "MOST_PAIRS",
    "Family",
    "SeedValues",
    "against",
    "all_pairs",
    "bootstrapped",
    "chosen",
    "pairs_among",
    "pairs_with",
]
