"""Which configuration is better, by tests on paired seeds: two configurations, all pairs, the best."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

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

BOOTSTRAP_FROM = 8  # pairs; the t interval is used with fewer
_FINEST_ALPHA = 0.002  # of the bootstrap: 10,000 resamples do not resolve smaller tails


@dataclass(frozen=True)
class Verdict:
    """The comparison of two configurations on paired seeds; differences are the first minus the second.

    Accuracies are fractions here and percentage points in `sentence`. NaN is what one pair does not determine.

    Attributes:
        names: the two configurations.
        difference: the mean difference.
        low: the lower bound of the mean difference with confidence 1 - alpha, by `method`.
        high: the upper bound.
        p: the p value of the sign-flip test.
        smallest_p: the smallest p that n pairs can reach in that test.
        p_t: the p value of the paired t test.
        n: the number of pairs.
        deviation: the standard deviation of the differences.
        alpha: the significance level.
        level: alpha, or in a family of comparisons the level that a single comparison must meet.
        method: the method of the interval.
        decided: whether the difference is significant.
        unit: "points" for fractions shown as percentage points, or the unit of the values.
        higher_is_better: the direction of the measure.
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
        """The better configuration, or None if the difference is not significant."""
        return self.names[(self.difference > 0) != self.higher_is_better] if self.decided else None

    @property
    def more_seeds(self) -> int | None:
        """How many more pairs give 80 % power if the true difference is the observed one; None if above 1,000 pairs.

        By the power of the paired t test. If all differences are equal, the sign-flip test sets the number.
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
        """The verdict in words, with its evidence."""
        first, second = self.names
        seeds = f"{self.n} seed{'' if self.n == 1 else 's'}"
        if self.decided:
            loser = second if self.winner == first else first
            return f"{self.winner} beats {loser} by {self._amount()}, {seeds}"
        if not self.n:
            return f"cannot compare {first} and {second}: they have no seed in common"
        undecided = f"no significant difference between {first} and {second}:"
        if self.n == 1:
            return f"{undecided} {self._amount()}, {seeds}; one seed does not show the spread over seeds"
        if self.difference == self.deviation == 0:
            return f"{undecided} they are equal on all {seeds}"
        more = self.more_seeds
        needed = "no attainable number of seeds is enough" if more is None else f"about {more} more seeds needed"
        return f"{undecided} {self._amount()}, {seeds}; {needed if more != 1 else 'about 1 more seed needed'}"

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

    The interval of the mean difference is the paired t interval below 8 pairs, and the studentised bootstrap interval
    from 8 pairs on. (It stays the t interval if alpha is smaller than the pairs or the resamples resolve, or if too
    many values are equal.) The difference is significant if the interval excludes 0 and the sign-flip test agrees, as
    far as n pairs can reach alpha in it. If all differences are equal, the sign-flip test alone decides.

    Args:
        a_values: of the first configuration (n,), accuracies as fractions.
        b_values: of the second configuration (n,), at the same seeds.
        names: of the two configurations.
        alpha: the significance level.
        unit: "points" for fractions shown as percentage points, or the unit of the values.
        higher_is_better: the direction of the measure.

    >>> a, b = [0.972, 0.975, 0.971, 0.974, 0.973, 0.976], [0.968, 0.970, 0.968, 0.969, 0.970, 0.971]
    >>> compare(a, b, names=("adam", "descent")).sentence()
    'adam beats descent by 0.42 points [0.31, 0.52], 6 seeds'

    Raises AssayError for values that do not pair, and for missing ones: exclude their pairs and report their number.
    """
    d = _differences(a_values, b_values, names)
    if not 0 < alpha < 1:
        raise AssayError(f"alpha lies between 0 and 1, not {alpha:g}")
    return _tested(d, names, alpha=alpha, unit=unit, higher_is_better=higher_is_better)


def _tested(
    d: NDArray[np.float64], names: tuple[str, str], *, alpha: float, unit: str, higher_is_better: bool
) -> Verdict:
    p, smallest = flip_test(d)
    resolved = smallest <= alpha
    (low, high), method = _interval(d, alpha=alpha, resolved=resolved)
    excludes_zero = low > 0 or high < 0
    decided = excludes_zero and (p <= alpha if resolved else deviation(d) > 0)
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


def _differences(a_values: ArrayLike, b_values: ArrayLike, names: tuple[str, str]) -> NDArray[np.float64]:
    """The paired differences. Raises AssayError where the values do not pair, or one is not finite."""
    a, b = np.asarray(a_values, dtype=np.float64), np.asarray(b_values, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise AssayError(f"{a.size} values of {names[0]} do not pair with {b.size} of {names[1]}")
    if not a.size:
        raise AssayError(f"there are no pairs of {names[0]} and {names[1]} to compare")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise AssayError("a value is missing or infinite; exclude its pair and report it")
    return a - b


def _interval(d: NDArray[np.float64], *, alpha: float, resolved: bool) -> tuple[tuple[float, float], str]:
    """The interval of the mean difference and its method; `resolved`: whether the pairs can reach alpha at all."""
    if d.size >= BOOTSTRAP_FROM and resolved and alpha >= _FINEST_ALPHA and deviation(d) > 0:
        interval = bootstrap_interval(d, alpha=alpha)
        if interval:
            return interval, "studentised bootstrap"
    return t_interval(d, alpha=alpha), "paired t"


def pairwise(
    trials: pd.DataFrame, *, measure: str = TEST_SCORE.column, by: str = "configuration", alpha: float = 0.05
) -> pd.DataFrame:
    """Every pair of configurations compared at equal repeats, with Holm's correction for multiple comparisons.

    A difference is significant if its verdict is, and the p value of its paired t test, corrected by Holm, is at most
    alpha. (The sign-flip p of 8 seeds cannot pass the correction for more than 6 pairs, however large the difference.)

    Columns: a, b (in order of first appearance), difference (a - b), low, high, n (pairs), missing_a, missing_b
    (trials without a number or a partner), p, smallest_p (sign flips), p_t, p_holm, decided (whether significant
    after correction), more_seeds, sentence.

    Imported curves are ignored.

    Raises AssayError for a single configuration, two trials of one repeat, and seconds that are not comparable.
    """
    verdicts, corrected, trials_of = _family(trials, measure, by, alpha)
    table: list[dict[str, object]] = []
    for verdict, p_holm in zip(verdicts, corrected, strict=True):
        names = ("difference", "low", "high", "n", "p", "smallest_p", "p_t")
        row: dict[str, object] = {"a": verdict.names[0], "b": verdict.names[1]}
        row |= {name: getattr(verdict, name) for name in names}
        row |= {f"missing_{x}": trials_of[name] - verdict.n for x, name in zip("ab", verdict.names, strict=True)}
        row |= {"p_holm": p_holm, "decided": verdict.decided, "more_seeds": verdict.more_seeds}
        table.append(row | {"sentence": verdict.sentence()})
    return pd.DataFrame(table).astype({"more_seeds": "Int64"})


def between(
    trials: pd.DataFrame, a: str, b: str, *, measure: str = TEST_SCORE.column, by: str = "configuration"
) -> Verdict:
    """The verdict on two configurations alone, at equal repeats.

    Raises AssayError for an unknown name, two trials of one repeat, and seconds that are not comparable.
    """
    have(trials, by)
    names = list(dict.fromkeys(str(name) for name in trials[by].tolist()))
    imported = {str(name) for name in trials[by][is_imported(trials)].tolist()}
    for name in (a, b):
        if name not in names:
            raise AssayError(unknown(by, name, names))
        if name in imported:
            raise AssayError(
                f"{name!r} comes from a log, which names no seed that can be paired: it cannot be compared"
            )
    either = np.asarray([str(name) in (a, b) for name in trials[by].tolist()], dtype=np.bool_)
    values = _matched(rows(trials, either), measure, by)
    return _verdict(values, a, b, measure=measure, alpha=0.05)


@dataclass(frozen=True)
class Best:
    """The configuration with the best mean, those it beats, and those not significantly different from it."""

    name: str
    measure: str
    mean: float
    n: int
    trials: int
    beats: tuple[str, ...]
    ties: tuple[str, ...]
    unmeasured: tuple[str, ...]

    def sentence(self) -> str:
        """The best configuration in words, with its evidence."""
        quantity = MEASURES[self.measure]
        sentence = f"{self.name} is best: {self.measure.replace('_', ' ')} {quantity.text(self.mean)}, "
        sentence += f"{self.n} seed{'' if self.n == 1 else 's'}"
        sentence += "" if self.n == self.trials else f" of {self.trials}"
        sentence += " (selected on test)" if quantity.split == "test" else ""
        sentence += f"; it beats {listed(self.beats)}" if self.beats else ""
        sentence += f"; no significant difference from {listed(self.ties)}" if self.ties else ""
        return sentence + (f"; no result for {listed(self.unmeasured)}" if self.unmeasured else "")


def best(trials: pd.DataFrame, *, measure: str | None = None, by: str = "configuration", alpha: float = 0.05) -> Best:
    """The configuration with the best mean, and which of the others are significantly worse.

    It is selected by validation accuracy if every finished trial with a test accuracy has one, else by test accuracy.
    The comparisons are those of `pairwise`, corrected for all pairs, because it was selected after seeing the values.

    Raises AssayError if no trial has a number.
    """
    need(trials, ["outcome", by])
    trials = paired(trials)
    if measure is None:
        test, validation = TEST_SCORE.column, VALIDATION_SCORE.column
        tested = len(measured(trials, test))
        validated = validation in trials.columns and len(measured(trials, validation)) == tested
        measure = validation if validated and tested else test
    values = _matched(trials, measure, by)
    means = {name: float(np.mean(list(by_repeat.values()))) for name, by_repeat in values.items() if by_repeat}
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
    """The verdict on each pair after Holm's correction; the corrected p values; the trials of each configuration."""
    values = _matched(trials, measure, by)
    if len(values) < 2:
        raise AssayError(f"there is only one {by}, {next(iter(values))!r}, so there is nothing to compare it with")
    pairs = itertools.combinations(values, 2)
    verdicts = [_verdict(values, a, b, measure=measure, alpha=alpha) for a, b in pairs]
    corrected = holm([verdict.p_t for verdict in verdicts])
    level = alpha / max(1, sum(not math.isnan(p) for p in corrected))
    verdicts = [
        replace(verdict, decided=verdict.decided and p <= alpha, level=level)
        for verdict, p in zip(verdicts, corrected, strict=True)
    ]
    return verdicts, corrected, {name: len(group) for name, group in groups(trials, by)}


def _verdict(values: Mapping[str, Mapping[str, float]], a: str, b: str, *, measure: str, alpha: float) -> Verdict:
    unit, higher = MEASURES[measure].unit, MEASURES[measure].higher_is_better
    common = [repeat for repeat in values[a] if repeat in values[b]]
    if not common:
        return _no_pairs((a, b), alpha=alpha, unit=unit, higher_is_better=higher)
    pairs = [values[a][r] for r in common], [values[b][r] for r in common]
    return compare(*pairs, names=(a, b), alpha=alpha, unit=unit, higher_is_better=higher)


def _no_pairs(names: tuple[str, str], *, alpha: float, unit: str, higher_is_better: bool) -> Verdict:
    return Verdict(
        names,
        difference=math.nan,
        low=math.nan,
        high=math.nan,
        p=math.nan,
        smallest_p=math.nan,
        p_t=math.nan,
        n=0,
        deviation=math.nan,
        alpha=alpha,
        level=alpha,
        method="none",
        decided=False,
        unit=unit,
        higher_is_better=higher_is_better,
    )


def _matched(trials: pd.DataFrame, measure: str, by: str) -> dict[str, dict[str, float]]:
    """The numbers of each configuration by repeat; trials without a number are skipped."""
    if measure not in MEASURES:
        raise AssayError(unknown("measure", measure, MEASURES))
    trials = paired(trials)
    need(trials, [by, "repeat", "outcome", measure])
    if MEASURES[measure].is_timed:
        same_clock(measured(trials, measure))
    values: dict[str, dict[str, float]] = {}
    for label, group in groups(trials, by):
        finished = measured(group, measure, "repeat")
        repeats = [str(repeat) for repeat in finished["repeat"].tolist()]
        duplicates = [repeat for repeat in dict.fromkeys(repeats) if repeats.count(repeat) > 1]
        if duplicates:
            raise AssayError(
                f"{by} {label!r} has {repeats.count(duplicates[0])} trials of repeat {duplicates[0]}, so seeds cannot "
                "be paired; restrict the trials to what is to be compared"
            )
        values[label] = dict(zip(repeats, numbers(finished, measure).tolist(), strict=True))
    return values
