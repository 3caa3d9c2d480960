"""Families of comparisons: the numbers of every configuration by seed, and their paired tests with one correction.

A study has two families, which depend on its trials alone: every pair of configurations, and every configuration
against a named baseline. A display picks verdicts from them, and the pick changes no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.analysis.frames import factorized, have, measured, need, paired, same_clock
from assay.analysis.paired import (
    bootstrap_interval,
    deviations,
    flip_tests,
    holm,
    resolved_deviations,
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
            return np.where(known, self.values, 0.0).sum(axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan)


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
    places, counts = np.unique(np.stack([codes, seeds])[:, with_result], axis=1, return_counts=True)
    for (code, seed), count in zip(places.T.tolist(), counts.tolist(), strict=True):
        if count > 1:
            raise AssayError(
                f"{by} {names[code]!r} has {count} trials of repeat {labels[seed]}, so seeds cannot be paired; "
                "restrict the trials to what is to be compared"
            )


@dataclass(frozen=True)
class Family:
    """The comparisons of a family with their tests, one entry each: the first configuration minus the second.

    The p values of the paired t tests are corrected by Holm; the intervals are simultaneous, each with confidence
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
            f"{k:,} configurations are {k * (k - 1) // 2:,} pairs, more than {MOST_PAIRS:,}; compare each with a baseline"
        )
    first, second = np.triu_indices(k, 1)
    return _family(seeds, first.astype(np.int64), second.astype(np.int64), alpha=alpha)


def pairs_with(seeds: SeedValues, name: str, *, alpha: float = 0.05) -> Family:
    """The comparisons of one configuration with every other one, out of the family of all pairs."""
    k, place = len(seeds.names), seeds.names.index(name)
    if k * (k - 1) // 2 <= MOST_PAIRS:
        whole = all_pairs(seeds, alpha=alpha)
        return _picked(whole, np.flatnonzero((whole.first == place) | (whole.second == place)))
    others = np.delete(np.arange(k), place)
    first, second = np.minimum(others, place), np.maximum(others, place)
    return _family(seeds, first, second, alpha=alpha, total=k * (k - 1) // 2)


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


def _picked(family: Family, places: Places) -> Family:
    """Some comparisons of a family, with its correction."""
    fixed = ("seeds", "alpha", "baseline", "total")
    values = {name: value if name in fixed else value[places] for name, value in vars(family).items()}
    return Family(**values)


def _family(
    seeds: SeedValues, first: Places, second: Places, *, alpha: float, baseline: str = "", total: int = 0
) -> Family:
    if not 0 < alpha < 1:
        raise AssayError(f"alpha lies between 0 and 1, not {alpha:g}")
    m = first.size
    numbers = {name: np.full(m, np.nan) for name in ("difference", "deviation", "p_t", "p", "smallest_p")}
    usable, is_busy, left_busy = _usable(seeds, first, second)
    n = usable.sum(axis=1)
    with np.errstate(invalid="ignore"):
        differences = np.where(usable, seeds.values[first] - seeds.values[second], 0.0)
    comparable = np.isfinite(np.where(usable, seeds.values[first] + seeds.values[second], 0.0)).all(axis=1)
    blocks = _blocks(usable, (n > 0) & comparable)
    for places, d in ((places, differences[places][:, columns]) for places, columns in blocks):
        numbers["difference"][places], numbers["deviation"][places] = d.mean(axis=1), deviations(d)
        numbers["p_t"][places] = t_tests(d, deviations(d) if m == 1 else resolved_deviations(d))
        numbers["p"][places], numbers["smallest_p"][places] = flip_tests(d)
    count = total or max(1, int(np.sum(~np.isnan(numbers["p_t"]))))
    corrected = np.minimum(1.0, count * numbers["p_t"]) if total else np.asarray(holm(numbers["p_t"]))
    low, high = np.full(m, np.nan), np.full(m, np.nan)
    decided, resampled = np.zeros(m, dtype=np.bool_), np.zeros(m, dtype=np.bool_)
    for places, columns in blocks:
        d = differences[places][:, columns]
        agrees = np.where(numbers["smallest_p"][places] <= alpha, numbers["p"][places] <= alpha, deviations(d) > 0)
        sd = deviations(d) if m == 1 else resolved_deviations(d)
        low[places], high[places] = t_intervals(d, sd, alpha=alpha / count)
        candidates = agrees if m == 1 else agrees & (corrected[places] <= alpha)
        for i, place in enumerate(places.tolist()):
            if m > 1 and not candidates[i]:
                continue
            interval = bootstrapped(d[i], alpha=alpha, smallest_p=float(numbers["smallest_p"][place]))
            if m == 1 and interval:
                (low[place], high[place]), resampled[place] = interval, True
            bounds = interval or (low[place], high[place])
            excludes_zero = bounds[0] > 0 or bounds[1] < 0 or (m > 1 and interval is None)
            decided[place] = bool(candidates[i]) and excludes_zero
    return Family(
        seeds,
        first,
        second,
        alpha,
        baseline,
        count,
        n=n,
        low=low,
        high=high,
        p_corrected=corrected,
        resampled=resampled,
        decided=decided,
        comparable=comparable,
        is_busy=is_busy,
        left_busy=left_busy,
        **numbers,
    )


def _usable(
    seeds: SeedValues, first: Places, second: Places
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Places]:
    """Which seeds each comparison uses (m, seeds), whether flagged seconds are among them, and how many left (m,).

    Pairs with flagged seconds are left out of costs in time while at least three other pairs remain.
    """
    known = ~np.isnan(seeds.values)
    usable = known[first] & known[second]
    quantity = MEASURES[seeds.measure]
    if not quantity.is_timed or not seeds.flagged.any():
        return usable, np.zeros(first.size, dtype=np.bool_), np.zeros(first.size, dtype=np.int64)
    finished = np.isfinite(seeds.values)
    flagged = (seeds.flagged & finished)[first] | (seeds.flagged & finished)[second]
    clean = usable & ~flagged & finished[first] & finished[second]
    leave = clean.sum(axis=1) >= UNFLAGGED
    leaving = usable & flagged & leave[:, None] & finished[first] & finished[second]
    usable = usable & ~leaving
    return usable, (usable & flagged).any(axis=1), leaving.sum(axis=1)


def _blocks(usable: NDArray[np.bool_], keep: NDArray[np.bool_]) -> list[tuple[Places, Places]]:
    """The comparisons that use the same seeds, with these seeds; those that are not kept are left out."""
    kept = np.flatnonzero(keep)
    if not kept.size:
        return []
    patterns, inverse = np.unique(usable[kept], axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    order = np.argsort(inverse, kind="stable")
    parts = np.split(kept[order], np.cumsum(np.bincount(inverse, minlength=len(patterns)))[:-1])
    return [(part, np.flatnonzero(pattern)) for part, pattern in zip(parts, patterns, strict=True)]


def bootstrapped(d: Floats, *, alpha: float, smallest_p: float) -> tuple[float, float] | None:
    """The studentised bootstrap interval; None where too few pairs or too coarse resamples give none."""
    if d.size >= BOOTSTRAP_FROM and smallest_p <= alpha and alpha >= FINEST_ALPHA and float(deviations(d[None])[0]) > 0:
        return bootstrap_interval(d, alpha=alpha)
    return None


__all__ = ["MOST_PAIRS", "Family", "SeedValues", "against", "all_pairs", "bootstrapped", "chosen", "pairs_with"]
