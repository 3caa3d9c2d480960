"""Families of comparisons: the numbers of every configuration by seed, and their paired tests with one correction.

A study has two families, which depend on its trials alone: every pair of configurations, and every configuration
against a named baseline. A display picks verdicts from them, and the pick changes no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.analysis.frames import factorized, measured, need, paired, same_clock
from assay.analysis.paired import (
    bootstrap_interval,
    confirmed,
    deviations,
    flip_tests,
    holm,
    resolved_deviations,
    smallest_flip_p,
    t_intervals,
    t_tests,
)
from assay.analysis.quantities import MEASURES
from assay.analysis.seeds import UNFLAGGED, Endings, busy, counted, outcomes_of
from assay.analysis.verdict import Verdict
from assay.errors import AssayError, unknown

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

BOOTSTRAP_FROM = 8  # pairs; the t interval is used with fewer
FINEST_ALPHA = 0.002  # of the bootstrap: 10,000 resamples do not resolve smaller tails
MOST_PAIRS = 1_000_000  # of a family whose p values are all computed; beyond, the correction is Bonferroni's


@dataclass(frozen=True)
class SeedValues:
    """What the configurations count as at each seed.

    Attributes:
        names: the configurations (k), in order of first appearance.
        measure: the column of `MEASURES`.
        values: (k, seeds): NaN without a result, infinite where worse than any finished trial.
        flagged: (k, seeds): whether foreign load was seen during the trial.
        endings: how the trials of each configuration ended.
    """

    names: tuple[str, ...]
    measure: str
    values: Floats
    flagged: NDArray[np.bool_]
    endings: tuple[Endings, ...]

    @classmethod
    def of(cls, trials: pd.DataFrame, measure: str, by: str = "configuration") -> SeedValues:
        """The numbers of the trials by configuration and repeat; imported curves are ignored.

        Raises AssayError for two trials of one repeat, and seconds that are not comparable.
        """
        if measure not in MEASURES:
            raise AssayError(unknown("measure", measure, MEASURES))
        trials = paired(trials)
        need(trials, [by, "repeat", "outcome", measure])
        if MEASURES[measure].is_timed:
            same_clock(measured(trials, measure))
        codes, names = factorized([str(name) for name in trials[by].tolist()])
        repeats: list[object] = trials["repeat"].tolist()
        seeds, labels = factorized([_repeat(value) for value in repeats])
        values = counted(trials, measure)
        values[[label == "" for label in map(_repeat, repeats)]] = np.nan
        _check_repeats(codes, seeds, ~np.isnan(values), names=names, labels=labels, by=by)
        table = np.full((len(names), len(labels)), np.nan)
        flags = np.zeros(table.shape, dtype=np.bool_)
        with_result = np.flatnonzero(~np.isnan(values))
        table[codes[with_result], seeds[with_result]] = values[with_result]
        flags[codes[with_result], seeds[with_result]] = busy(trials)[with_result]
        words: list[list[str]] = [[] for _ in names]
        for code, word, value in zip(codes.tolist(), outcomes_of(trials).tolist(), values.tolist(), strict=True):
            words[code].append("without a number" if math.isnan(value) and word in ("completed", "stopped") else word)
        return cls(tuple(names), measure, table, flags, tuple(Endings.of(of_name) for of_name in words))

    @classmethod
    def plain(cls, values: Mapping[str, Mapping[int, float]], measure: str) -> SeedValues:
        """The numbers of configurations by seed, all of them of finished trials."""
        seeds = sorted({seed for by_seed in values.values() for seed in by_seed})
        table = np.asarray([[by_seed.get(seed, np.nan) for seed in seeds] for by_seed in values.values()])
        endings = tuple(Endings.of(["completed"] * len(by_seed)) for by_seed in values.values())
        shape = (len(values), len(seeds))
        return cls(tuple(values), measure, table.reshape(shape), np.zeros(shape, dtype=np.bool_), endings)

    def means(self) -> Floats:
        """The mean of each configuration over its seeds with a result (k,); NaN without any."""
        known = ~np.isnan(self.values)
        with np.errstate(invalid="ignore"):
            return np.where(known, self.values, 0.0).sum(axis=1) / np.where(
                known.any(axis=1), known.sum(axis=1), np.nan
            )


def _repeat(value: object) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _check_repeats(
    codes: Places,
    seeds: Places,
    with_result: NDArray[np.bool_],
    *,
    names: Sequence[str],
    labels: Sequence[str],
    by: str,
) -> None:
    """Raises AssayError if two trials with a result have one configuration and one repeat."""
    places, counts = np.unique(codes[with_result] * len(labels) + seeds[with_result], return_counts=True)
    for place, count in zip(places[counts > 1].tolist(), counts[counts > 1].tolist(), strict=True):
        raise AssayError(
            f"{by} {names[place // len(labels)]!r} has {count} trials of repeat {labels[place % len(labels)]}, so "
            "seeds cannot be paired; restrict the trials to what is to be compared"
        )


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
        )

    def verdicts(self) -> list[Verdict]:
        """Every verdict, in order."""
        return [self.verdict(i) for i in range(self.first.size)]

    def _method(self, i: int) -> str:
        if not self.n[i] or not self.comparable[i]:
            return "none"
        return "studentised bootstrap" if self.resampled[i] else "paired t"


def all_pairs(seeds: SeedValues, *, alpha: float = 0.05) -> Family:
    """The family of all pairs of configurations. Raises AssayError above 1,000,000 pairs."""
    k = len(seeds.names)
    if k * (k - 1) // 2 > MOST_PAIRS:
        raise AssayError(
            f"{k:,} configurations are {k * (k - 1) // 2:,} pairs, more than {MOST_PAIRS:,}; compare each with "
            "a baseline"
        )
    first, second = np.triu_indices(k, 1)
    return _family(seeds, first.astype(np.int64), second.astype(np.int64), alpha=alpha)


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
        return _family(seeds, first, second, alpha=alpha, total=k * (k - 1) // 2)
    every_first, every_second = (side.astype(np.int64) for side in np.triu_indices(k, 1))
    only = np.flatnonzero(np.isin(every_first * k + every_second, first * k + second))
    return _family(seeds, every_first, every_second, alpha=alpha, only=only)


def against(seeds: SeedValues, baseline: str, *, alpha: float = 0.05) -> Family:
    """The family of every configuration against the baseline. Raises AssayError for an unknown name."""
    if baseline not in seeds.names:
        raise AssayError(unknown("configuration", baseline, seeds.names))
    place = seeds.names.index(baseline)
    others = np.delete(np.arange(len(seeds.names)), place)
    return _family(seeds, others, np.full(others.size, place), alpha=alpha, baseline=baseline)


def chosen(seeds: SeedValues, pairs: Sequence[tuple[str, str]], *, alpha: float = 0.05) -> Family:
    """A family of named pairs, such as the claims of an article, which are fixed before anything runs."""
    places = np.asarray([[seeds.names.index(name) for name in pair] for pair in pairs], dtype=np.int64).reshape(-1, 2)
    return _family(seeds, places[:, 0], places[:, 1], alpha=alpha)


def _family(
    seeds: SeedValues,
    first: Places,
    second: Places,
    *,
    alpha: float,
    baseline: str = "",
    total: int = 0,
    only: Places | None = None,
) -> Family:
    """The comparisons, corrected for all of them or for `total`; those of `only` are returned, or all."""
    if not 0 < alpha < 1:
        raise AssayError(f"alpha lies between 0 and 1, not {alpha:g}")
    p_t = np.full(first.size, np.nan)
    single = first.size == 1 and total <= 1
    for places, d in _differences(seeds, _usable(seeds, first, second), first, second):
        p_t[places] = t_tests(d, deviations(d) if single else resolved_deviations(d))
    count = total or max(1, int(np.sum(~np.isnan(p_t))))
    corrected = np.minimum(1.0, count * p_t) if total else np.asarray(holm(p_t))
    if not single and not total:
        corrected = np.asarray(holm(_with_flips(seeds, first, second, p_t, alpha=alpha, level=alpha / count)))
    if only is not None:
        first, second, p_t, corrected = first[only], second[only], p_t[only], corrected[only]
    usable = _usable(seeds, first, second)
    numbers = {name: np.full(first.size, np.nan) for name in ("difference", "deviation", "low", "high", "p")}
    smallest_p = np.full(first.size, np.nan)
    decided, resampled = np.zeros(first.size, dtype=np.bool_), np.zeros(first.size, dtype=np.bool_)
    for places, d in _differences(seeds, usable, first, second):
        numbers["difference"][places], numbers["deviation"][places] = d.mean(axis=1), deviations(d)
        p, smallest = flip_tests(d)
        numbers["p"][places], smallest_p[places] = p, smallest
        sd = deviations(d) if single else resolved_deviations(d)
        low, high = t_intervals(d, sd, alpha=alpha / count)
        candidates = confirmed(d, alpha=alpha) & (single | (corrected[places] <= alpha))
        for i in range(len(d)) if single else np.flatnonzero(candidates).tolist():
            interval = bootstrapped(d[i], alpha=alpha, smallest_p=smallest)
            if single and interval:
                (low[i], high[i]), resampled[places[i]] = interval, True
            bounds = (low[i], high[i]) if single else interval or (1.0, 1.0)  # without one, the t test alone decides
            decided[places[i]] = bool(candidates[i]) and (bounds[0] > 0 or bounds[1] < 0)
        numbers["low"][places], numbers["high"][places] = low, high
    return Family(
        seeds,
        first,
        second,
        alpha,
        baseline,
        count,
        n=usable.seeds.sum(axis=1),
        p_t=p_t,
        p_corrected=corrected,
        smallest_p=smallest_p,
        resampled=resampled,
        decided=decided,
        comparable=_comparable(seeds, usable, first, second),
        is_busy=usable.is_busy,
        left_busy=usable.left_busy,
        **numbers,
    )


def _with_flips(seeds: SeedValues, first: Places, second: Places, p_t: Floats, *, alpha: float, level: float) -> Floats:
    """The larger p of the t test and the sign flips, where n pairs can reach the level of the family in these.

    The flips keep the level for every symmetric distribution, also far out in the tails.
    """
    p = p_t.copy()
    small = np.flatnonzero(p_t <= alpha)  # others are significant in no step
    if math.log2(1 / level) + 1 > seeds.values.shape[1] or not small.size:
        return p
    for places, d in _differences(seeds, _usable(seeds, first[small], second[small]), first[small], second[small]):
        if smallest_flip_p(d.shape[1]) <= level:
            p[small[places]] = np.maximum(p_t[small[places]], flip_tests(d)[0])
    return p


def _comparable(seeds: SeedValues, usable: Usable, first: Places, second: Places) -> NDArray[np.bool_]:
    """Whether every pair that a comparison uses has two finite numbers (m,)."""
    finite = np.isfinite(np.where(usable.seeds, seeds.values[first] + seeds.values[second], 0.0))
    return np.asarray(finite.all(axis=1), dtype=np.bool_)


def _differences(seeds: SeedValues, usable: Usable, first: Places, second: Places) -> Iterator[tuple[Places, Floats]]:
    """Yields the comparisons that use the same seeds, with their differences (comparisons, seeds)."""
    kept = np.flatnonzero((usable.seeds.sum(axis=1) > 0) & _comparable(seeds, usable, first, second))
    patterns, inverse = _patterns(usable.seeds[kept])
    order = np.argsort(inverse, kind="stable")
    for part, pattern in zip(np.split(kept[order], np.cumsum(np.bincount(inverse))[:-1]), patterns, strict=False):
        columns = np.flatnonzero(pattern)
        yield part, seeds.values[np.ix_(first[part], columns)] - seeds.values[np.ix_(second[part], columns)]


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


def bootstrapped(d: Floats, *, alpha: float, smallest_p: float) -> tuple[float, float] | None:
    """The studentised bootstrap interval; None where too few pairs or too coarse resamples give none."""
    if d.size >= BOOTSTRAP_FROM and smallest_p <= alpha and alpha >= FINEST_ALPHA and float(deviations(d[None])[0]) > 0:
        return bootstrap_interval(d, alpha=alpha)
    return None


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
