"""Which configuration is better, told from paired seeds: two of them, all pairs, the best."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from assay.analysis.frames import groups, have, is_imported, listed, measured, need, numbers, paired, rows, same_clock
from assay.analysis.paired import (
    bootstrap_interval,
    deviation,
    flip_test,
    holm,
    pairs_needed,
    t_interval,
    t_test,
)
from assay.analysis.quantities import MEASURES, SCORE, TEST_SCORE, VALIDATION_SCORE
from assay.errors import AssayError, unknown

BOOTSTRAP_FROM = 8  # pairs; with fewer the t interval
_FINEST_ALPHA = 0.002  # of the bootstrap: below it, 10,000 resamples say too little about so far a tail


@dataclass(frozen=True)
class Verdict:
    """What paired seeds say about two configurations; differences are the first minus the second.

    `low` and `high` bound the mean difference with confidence 1 - alpha, by `method`. `p` is that of the exact
    sign-flip test, `smallest_p` the least that n pairs can reach, `p_t` that of the paired t test. `level` is alpha,
    or in a family of comparisons the part of it that one alone must meet. NaN is what one pair cannot tell.
    Accuracies are fractions here and percentage points in `sentence`.
    """

    names: tuple[str, str]
    difference: float
    low: float
    high: float
    p: float
    smallest_p: float
    p_t: float
    n: int
    deviation: float
    alpha: float
    level: float
    method: str
    decided: bool
    unit: str = SCORE.unit
    higher_is_better: bool = SCORE.higher_is_better

    @property
    def winner(self) -> str | None:
        """The better one, or None if the seeds do not decide it."""
        return self.names[(self.difference > 0) != self.higher_is_better] if self.decided else None

    @property
    def more_seeds(self) -> int | None:
        """How many more pairs would decide it with 80 % power, were the difference the observed one; None if hopeless.

        From the paired t test; the differences that are all equal need as many as a sign-flip test does.
        """
        if self.decided:
            return 0
        if self.n < 2 or self.difference == 0:
            return None
        if self.deviation == 0:
            return max(1, math.ceil(math.log2(2 / self.level)) - self.n)
        needed = pairs_needed(self.difference, self.deviation, alpha=self.level)
        return None if needed is None else max(1, needed - self.n)

    def sentence(self) -> str:
        """The verdict as a person would say it, with its evidence."""
        first, second = self.names
        seeds = f"{self.n} seed{'' if self.n == 1 else 's'}"
        if self.decided:
            loser = second if self.winner == first else first
            return f"{self.winner} beats {loser} by {self._amount()}, {seeds}"
        unclear = f"cannot tell {first} from {second}:"
        if not self.n:
            return f"{unclear} they have no seed in common"
        if self.n == 1:
            return f"{unclear} {self._amount()}, {seeds}, which does not show how much seeds differ"
        if self.difference == self.deviation == 0:
            return f"{unclear} they are equal on all {seeds}"
        more = self.more_seeds
        hope = "no number of seeds within reach would" if more is None else f"about {more} more seeds would"
        return f"{unclear} {self._amount()}, {seeds}; {hope if more != 1 else 'about 1 more seed would'}"

    def _amount(self) -> str:
        sign = -1.0 if self.decided and self.difference < 0 else 1.0
        low, high = sorted((sign * self.low, sign * self.high))
        bounds = "" if math.isnan(self.low) else f" [{self._shown(low)}, {self._shown(high)}]"
        return f"{self._shown(sign * self.difference)}{' ' if self.unit else ''}{self.unit}{bounds}"

    def _shown(self, value: float) -> str:
        return f"{100 * value:z.2f}" if self.unit == "points" else f"{value:z.3g}"


def compare(
    a_values: ArrayLike,
    b_values: ArrayLike,
    *,
    names: tuple[str, str] = ("A", "B"),
    alpha: float = 0.05,
    unit: str = SCORE.unit,
    higher_is_better: bool = SCORE.higher_is_better,
) -> Verdict:
    """The verdict on two configurations from their values at equal seeds, pair by pair.

    The interval of the mean difference is that of the paired t below 8 pairs, and of the studentised bootstrap from 8
    on (the t too where alpha is finer than the pairs or the resamples can resolve, or too many values are equal). It
    is decided if the interval leaves out 0 and the sign-flip test, where so many pairs can reach alpha, agrees.
    Differences that are all equal have no spread to judge by: the sign-flip test alone decides.

    `unit` is "points" for fractions that are shown as percentage points, or the name of the unit of the values.

    >>> a, b = [0.972, 0.975, 0.971, 0.974, 0.973, 0.976], [0.968, 0.970, 0.968, 0.969, 0.970, 0.971]
    >>> compare(a, b, names=("adam", "descent")).sentence()
    'adam beats descent by 0.42 points [0.31, 0.52], 6 seeds'

    Raises AssayError for values that do not pair, or are missing: those are left out knowingly, and counted.
    """
    a, b = np.asarray(a_values, dtype=np.float64), np.asarray(b_values, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise AssayError(f"{a.size} values of {names[0]} do not pair with {b.size} of {names[1]}")
    if not a.size:
        raise AssayError(f"there are no pairs of {names[0]} and {names[1]} to compare")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise AssayError("a value is missing or infinite; leave its pair out, and say so")
    if not 0 < alpha < 1:
        raise AssayError(f"alpha lies between 0 and 1, not {alpha:g}")
    d = a - b
    p, smallest = flip_test(d)
    resolved = smallest <= alpha
    interval, method = t_interval(d, alpha=alpha), "paired t"
    if d.size >= BOOTSTRAP_FROM and resolved and alpha >= _FINEST_ALPHA and deviation(d) > 0:
        resampled = bootstrap_interval(d, alpha=alpha)
        interval, method = (resampled, "studentised bootstrap") if resampled else (interval, method)
    low, high = interval
    clear = low > 0 or high < 0
    decided = clear and (p <= alpha if resolved else deviation(d) > 0)
    return Verdict(
        names,
        difference=float(d.mean()),
        low=low,
        high=high,
        p=p,
        smallest_p=smallest,
        p_t=t_test(d),
        n=int(d.size),
        deviation=deviation(d),
        alpha=alpha,
        level=alpha,
        method=method,
        decided=decided,
        unit=unit,
        higher_is_better=higher_is_better,
    )


def pairwise(
    trials: pd.DataFrame, *, measure: str = TEST_SCORE.column, by: str = "configuration", alpha: float = 0.05
) -> pd.DataFrame:
    """Every pair of configurations compared at equal repeats, with Holm's correction for the number of pairs.

    A pair is decided if its verdict is, and the p of its paired t test, corrected by Holm, is at most alpha. (The
    sign-flip p of 8 seeds cannot pass the correction for more than 6 pairs, however large the difference.)

    Columns: a, b (in order of first appearance), difference (a - b), low, high, n (pairs), missing_a, missing_b
    (trials without a number or a partner), p, smallest_p (sign flips), p_t, p_holm, decided, more_seeds, sentence.

    Imported curves take no part.

    Raises AssayError for one configuration alone, two trials of one repeat, and seconds that do not compare.
    """
    verdicts, corrected, missing = _family(trials, measure, by, alpha)
    found: list[dict[str, object]] = []
    for verdict, p_holm in zip(verdicts, corrected, strict=True):
        names = ("difference", "low", "high", "n", "p", "smallest_p", "p_t")
        row: dict[str, object] = {"a": verdict.names[0], "b": verdict.names[1]}
        row |= {name: getattr(verdict, name) for name in names}
        row |= {f"missing_{x}": missing[name] - verdict.n for x, name in zip("ab", verdict.names, strict=True)}
        row |= {"p_holm": p_holm, "decided": verdict.decided, "more_seeds": verdict.more_seeds}
        found.append(row | {"sentence": verdict.sentence()})
    return pd.DataFrame(found).astype({"more_seeds": "Int64"})


def between(
    trials: pd.DataFrame, a: str, b: str, *, measure: str = TEST_SCORE.column, by: str = "configuration"
) -> Verdict:
    """The verdict on two configurations alone, at equal repeats.

    Raises AssayError for a name that the frame lacks, two trials of one repeat, and seconds that do not compare.
    """
    have(trials, by)
    names = list(dict.fromkeys(str(name) for name in trials[by].tolist()))
    foreign = {str(name) for name in trials[by][is_imported(trials)].tolist()}
    for name in (a, b):
        if name not in names:
            raise AssayError(unknown(by, name, names))
        if name in foreign:
            raise AssayError(
                f"{name!r} comes from a log, which names no seed that pairs with another: it is not judged"
            )
    keep = np.asarray([str(name) in (a, b) for name in trials[by].tolist()], dtype=np.bool_)
    values = _matched(rows(trials, keep), measure, by)
    return _verdict(values, a, b, measure=measure, alpha=0.05)


@dataclass(frozen=True)
class Best:
    """The configuration with the best mean, those that it beats, and those that the seeds cannot tell from it."""

    name: str
    measure: str
    mean: float
    n: int
    trials: int
    beats: tuple[str, ...]
    ties: tuple[str, ...]
    unmeasured: tuple[str, ...]

    def sentence(self) -> str:
        """The best, with what stands against it."""
        quantity = MEASURES[self.measure]
        told = f"{self.name} is best: {self.measure.replace('_', ' ')} {quantity.text(self.mean)}, "
        told += f"{self.n} seed{'' if self.n == 1 else 's'}"
        told += "" if self.n == self.trials else f" of {self.trials}"
        told += " (selected on test)" if quantity.split == "test" else ""
        told += f"; it beats {listed(self.beats)}" if self.beats else ""
        told += f"; it cannot be told from {listed(self.ties)}" if self.ties else ""
        return told + (f"; {listed(self.unmeasured)} gave no number" if self.unmeasured else "")


def best(trials: pd.DataFrame, *, measure: str | None = None, by: str = "configuration", alpha: float = 0.05) -> Best:
    """The configuration with the best mean, and which of the others the seeds tell from it.

    Chosen by validation accuracy where every finished trial with a test accuracy has one, else by test accuracy. Its
    comparisons are those of `pairwise`, corrected for all pairs, because it was chosen after seeing the values.

    Raises AssayError if no trial has a number.
    """
    need(trials, ["outcome", by])
    trials = paired(trials)
    if measure is None:
        test, validation = TEST_SCORE.column, VALIDATION_SCORE.column
        tested = len(measured(trials, test))
        every = validation in trials.columns and len(measured(trials, validation)) == tested
        measure = validation if every and tested else test
    values = _matched(trials, measure, by)
    means = {name: float(np.mean(list(found.values()))) for name, found in values.items() if found}
    if not means:
        raise AssayError(f"no finished trial has a number for {measure!r}, so none is best")
    name = (max if MEASURES[measure].higher_is_better else min)(means, key=lambda label: means[label])
    verdicts = _family(trials, measure, by, alpha)[0] if len(values) > 1 else []
    beats = [v.names[v.names[0] == name] for v in verdicts if v.winner == name]
    return Best(
        name,
        measure,
        means[name],
        len(values[name]),
        sum(str(label) == name for label in trials[by].tolist()),
        tuple(beats),
        tuple(label for label in means if label != name and label not in beats),
        tuple(label for label in values if label not in means),
    )


def _family(
    trials: pd.DataFrame, measure: str, by: str, alpha: float
) -> tuple[list[Verdict], list[float], Mapping[str, int]]:
    """The verdict on each pair, decided after Holm's correction; the corrected p; the trials of each configuration."""
    values = _matched(trials, measure, by)
    if len(values) < 2:
        raise AssayError(f"there is only one {by}, {next(iter(values))!r}, and nothing to compare it with")
    pairs = itertools.combinations(values, 2)
    verdicts = [_verdict(values, a, b, measure=measure, alpha=alpha) for a, b in pairs]
    corrected = holm([verdict.p_t for verdict in verdicts])
    level = alpha / max(1, sum(not math.isnan(p) for p in corrected))
    decided = [
        replace(verdict, decided=verdict.decided and p <= alpha, level=level)
        for verdict, p in zip(verdicts, corrected, strict=True)
    ]
    return decided, corrected, {name: len(group) for name, group in groups(trials, by)}


def _verdict(values: Mapping[str, Mapping[str, float]], a: str, b: str, *, measure: str, alpha: float) -> Verdict:
    unit, higher = MEASURES[measure].unit, MEASURES[measure].higher_is_better
    common = [repeat for repeat in values[a] if repeat in values[b]]
    if not common:
        return _no_pairs((a, b), alpha=alpha, unit=unit, higher_is_better=higher)
    pairs = [values[a][r] for r in common], [values[b][r] for r in common]
    return compare(*pairs, names=(a, b), alpha=alpha, unit=unit, higher_is_better=higher)


def _no_pairs(names: tuple[str, str], *, alpha: float, unit: str, higher_is_better: bool) -> Verdict:
    nothing = math.nan
    return Verdict(
        names,
        difference=nothing,
        low=nothing,
        high=nothing,
        p=nothing,
        smallest_p=nothing,
        p_t=nothing,
        n=0,
        deviation=nothing,
        alpha=alpha,
        level=alpha,
        method="none",
        decided=False,
        unit=unit,
        higher_is_better=higher_is_better,
    )


def _matched(trials: pd.DataFrame, measure: str, by: str) -> dict[str, dict[str, float]]:
    """The numbers of each configuration by repeat, those without a number left out."""
    if measure not in MEASURES:
        raise AssayError(unknown("measure", measure, MEASURES))
    trials = paired(trials)
    need(trials, [by, "repeat", "outcome", measure])
    if MEASURES[measure].is_timed:
        same_clock(measured(trials, measure))
    found: dict[str, dict[str, float]] = {}
    for label, group in groups(trials, by):
        some = measured(group, measure, "repeat")
        repeats = [str(repeat) for repeat in some["repeat"].tolist()]
        twice = [repeat for repeat in dict.fromkeys(repeats) if repeats.count(repeat) > 1]
        if twice:
            raise AssayError(
                f"{by} {label!r} has {repeats.count(twice[0])} trials of repeat {twice[0]}, so that seeds do not pair; "
                "restrict the trials to what is to be compared"
            )
        found[label] = dict(zip(repeats, numbers(some, measure).tolist(), strict=True))
    return found
