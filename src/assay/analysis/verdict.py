"""The verdict on two configurations: its numbers, and its sentence with the evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import scipy  # its parts are loaded when they are first used

from assay.analysis.draws import in_words, word_of
from assay.analysis.paired import independent_pairs, pairs_needed
from assay.analysis.quantities import SCORE
from assay.analysis.seeds import Endings
from assay.system.load import BUSY

FEW = 6  # pairs; with fewer, sign flips cannot reach 5 %, and the t test alone decides
_COMPUTED = -1  # in place of a number of seeds: it is computed
MOST_PAIRS = 1_000_000  # of a family whose p values are all computed; beyond, the correction is Bonferroni's
SKEWED_RATE = 0.18  # of false positives with few, skewed differences: docs/statistics.md has the measured rates


@dataclass(frozen=True)
class Verdict:
    """The comparison of two configurations on paired seeds; differences are the first minus the second.

    Accuracies are fractions here and percentage points in `sentence`. NaN is what one pair does not determine.

    Attributes:
        names: the two configurations.
        difference: the mean difference.
        low: the lower bound of the mean difference with confidence 1 - level, by `method`.
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
        p_corrected: the p value of the paired t test after Holm's correction; `p_t` for one comparison.
        comparisons: the size of the family that the correction is for.
        family: "pairs", or "NAME" of the baseline with which every comparison of the family is made.
        measure: what is compared, in words; empty if unknown.
        endings: how the trials of the two configurations ended.
        comparable: whether every pair has two numbers; costs of a trial that diverged or timed out have none.
        is_busy: whether seconds of a busy machine are compared.
        left_busy: how many pairs were left out because of foreign load.
        look: the number of the interim look and of all looks, if seeds were added until the comparison was decided.
        overlap: test examples / training examples, where the pairs are splits of the same examples; 0 for seeds.
        folds: the number of parts of each cross-validation; 0 for re-splits.
        incomparable: why the test sets of the pairs do not compare; empty where they do.
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
    p_corrected: float = math.nan
    comparisons: int = 1
    family: str = "pairs"
    measure: str = ""
    endings: tuple[Endings, Endings] | None = None
    comparable: bool = True
    is_busy: bool = False
    left_busy: int = 0
    look: tuple[int, int] | None = None
    overlap: float = 0.0
    folds: int = 0
    incomparable: str = ""

    @property
    def winner(self) -> str | None:
        """The better configuration, or None if the difference is not significant."""
        return self.names[(self.difference > 0) != self.higher_is_better] if self.decided else None

    @property
    def more_seeds(self) -> int | None:
        """How many more pairs give 80 % power if the true difference is the observed one; None if above 1,000 pairs.

        By the power of the paired t test. If all differences are equal, the sign-flip test sets the number. Of splits
        of the same examples it is that of the corrected test, in whole cross-validations, and often None: the part of
        the variance that comes from shared training examples does not shrink.
        """
        if self.decided:
            return 0
        if self.n < 2 or not self.comparable or self.difference == 0:
            return None
        if self.deviation == 0 and self.overlap:
            return None
        if self.deviation == 0:
            return max(1, math.ceil(math.log2(2 / self.level)) - self.n)
        needed = pairs_needed(self.difference, self.deviation, alpha=self.level, overlap=self.overlap)
        more = None if needed is None else max(1, needed - self.n)
        return more if more is None or not self.folds else math.ceil(more / self.folds) * self.folds

    @property
    def uncorrected(self) -> tuple[float, float]:
        """The paired t interval of this difference alone, with confidence 1 - alpha; NaN without a spread."""
        if self.n < 2 or not self.deviation > 0:
            return math.nan, math.nan
        half = -_t_quantile(self.n - 1, self.alpha / 2) * self.deviation
        half /= math.sqrt(independent_pairs(self.n, self.overlap))
        return self.difference - half, self.difference + half

    @property
    def too_few(self) -> bool:
        """Whether it is the number of seeds that leaves the difference open, and not the spread over seeds.

        The uncorrected interval excludes 0, or all differences are equal, and neither of the second tests contradicts:
        more seeds can meet the level that the number of comparisons asks for.
        """
        if self.decided or not self.n or not self.comparable or self.difference == 0:
            return False
        if self.n == 1:
            return True
        if self.overlap and self.more_seeds is None:  # no number of splits of the same examples is enough
            return False
        if self.deviation == 0:
            return True
        low, high = self.uncorrected
        contradicted = self.p_corrected <= self.alpha or self.smallest_p <= self.alpha < self.p
        return self.comparisons > 1 and (low > 0 or high < 0) and not contradicted

    def reversed(self) -> Verdict:
        """The same verdict with the two configurations exchanged."""
        ends = {"difference": -self.difference, "low": -self.high, "high": -self.low}
        endings = None if self.endings is None else (self.endings[1], self.endings[0])
        return replace(self, names=(self.names[1], self.names[0]), endings=endings, **ends)

    def plain(self) -> dict[str, Any]:
        """The verdict as plain data, None for NaN; `of_plain` reads it."""
        values = {name: None if value != value else value for name, value in vars(self).items()}
        endings = None if self.endings is None else [[list(pair) for pair in e.outcomes] for e in self.endings]
        return values | {"names": list(self.names), "endings": endings, "look": self.look and list(self.look)}

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Verdict:
        """The verdict of `plain`."""
        numbers = ("difference", "low", "high", "p", "smallest_p", "p_t", "deviation", "p_corrected")
        values: dict[str, Any] = {
            **plain,
            **{name: math.nan if plain[name] is None else plain[name] for name in numbers},
        }
        if plain["endings"] is not None:
            first, second = (Endings(tuple((str(w), int(n)) for w, n in side)) for side in plain["endings"])
            values["endings"] = first, second
        look = plain["look"]
        values |= {"names": tuple(plain["names"]), "look": look and (int(look[0]), int(look[1]))}
        return cls(**values)

    def sentence(self, *, more: int | None = _COMPUTED) -> str:
        """The verdict in words, with its evidence; `more`: its `more_seeds`, where these are known already."""
        more = self.more_seeds if more == _COMPUTED else more
        return "; ".join([self._finding(more), *self._notes(more)])

    @property
    def replicate(self) -> str:
        """What a pair is: "seed", "fold" or "re-split"."""
        return word_of(self.overlap, self.folds)

    @property
    def _replicates(self) -> str:
        """The pairs in words: "8 seeds", "over 20 re-splits", "over 10 folds (2 x 5)"."""
        count = in_words(self.n, self.replicate)
        if not self.overlap:
            return count
        whole = f" ({self.n // self.folds} x {self.folds})" if self.folds and self.n % self.folds == 0 else ""
        return f"over {count}{whole}"

    def _finding(self, more: int | None) -> str:
        first, second = self.names
        seeds, one = self._replicates, self.replicate
        if not self.n:
            return f"cannot compare {first} and {second}: they have no {one} in common"
        if self.incomparable:
            return f"cannot compare {first} and {second}: {self.incomparable}"
        if not self.comparable:
            by = f" by {self.measure}" if self.measure else ""
            return f"cannot compare {first} and {second}{by}: a {one} that did not finish has no result to compare"
        if self.decided:
            verb = "beats" if self.winner == first else "is worse than"
            return f"{first} {verb} {second} by {self._amount()}, {seeds}"
        if self.n == 1 and self.difference != 0:
            few = f"too few {one}s to compare {first} and {second}"
            return f"{few}: {self._amount()}, {seeds}; one {one} does not show the spread over {one}s"
        undecided = f"no significant difference between {first} and {second}:"
        if self.n == 1:
            return f"{undecided} {self._amount()}, {seeds}; one {one} does not show the spread over {one}s"
        if self.difference == self.deviation == 0:
            return f"{undecided} they are equal on all {seeds.removeprefix('over ')}"
        if self.too_few:
            count = f"{self.comparisons:,} comparisons" if self.comparisons > 1 else "a comparison"
            undecided = f"too few {one}s for {count} to decide between {first} and {second}:"
        amount = f"{undecided} {self._amount()}{'' if self.deviation else f' on each {one}'}, {seeds}"
        if more is None and self.overlap:
            return f"{amount}; more {one}s of the same examples do not decide it"
        if more is None:
            return f"{amount}; no attainable number of seeds is enough"
        return f"{amount}; about {more} more {one}{'' if more == 1 else 's'} needed"

    def _notes(self, more: int | None) -> list[str]:
        notes: list[str] = []
        tested = self.comparable and self.n > 1
        excludes_zero = self.low > 0 or self.high < 0
        if tested and self.overlap:
            notes.append("corrected resampled t test: they share training examples")
        if tested and not self.decided and more and self.look is None and not self.overlap:
            notes.append(_ADD)
        if tested and self.comparisons > 1:
            simultaneous = ", simultaneous interval" if self.deviation > 0 and not self._shows_uncorrected else ""
            notes.append(self._correction() + simultaneous)
            if self._shows_uncorrected:
                notes.append(
                    f"the interval is of this difference alone, uncorrected for the {self.comparisons:,} comparisons"
                )
            if self.decided and not excludes_zero:
                notes.append(
                    f"Holm's stepwise test (p = {self.p_corrected:.2g}) rejects more than the interval excludes"
                )
        if tested and self.look is not None:
            notes.append(f"look {self.look[0]} of {self.look[1]}, corrected for all looks")
        is_rejected = self.comparisons > 1 and self.p_corrected <= self.alpha
        if tested and not self.decided and self.deviation > 0 and (excludes_zero or is_rejected):
            notes.append(f"not confirmed ({self._contradiction()})")
        if tested and self.n < FEW and not self.difference == self.deviation == 0:
            skewed = f"up to {100 * SKEWED_RATE:.0f} %" if self.comparisons == 1 else "many more"
            notes.append(
                f"fewer than {FEW} {self.replicate}s: assumes nearly normal differences, {skewed} false positives if "
                "they are skewed"
            )
        for name, endings in zip(self.names, self.endings or (), strict=False):
            notes += endings.notes(name, replicate=self.replicate)
        notes += [f"{self.left_busy} more with seconds of a {BUSY} left out"] if self.left_busy else []
        return [*notes, f"seconds of a {BUSY}"] if self.is_busy else notes

    def _contradiction(self) -> str:
        """Which test contradicts the t test."""
        if self.smallest_p > self.alpha or self.overlap:
            return "differences are too coarse"
        if self.p > self.alpha:
            return f"sign-flip test, p = {self.p:.2g}"
        return "the studentised bootstrap interval contains 0"

    def _correction(self) -> str:
        return correction(self.comparisons, self.family)

    @property
    def _shows_uncorrected(self) -> bool:
        """Whether the sentence has the interval of this difference alone: where it is open after a correction."""
        return not self.decided and self.comparisons > 1 and self.look is None and self.deviation > 0

    def interval_text(self) -> str:
        """The interval as the sentence has it; a star marks that of this difference alone; "-" without one."""
        ends = self.uncorrected if self._shows_uncorrected else (self.low, self.high)
        if math.isnan(ends[0]) or not (self.decided or self.deviation > 0):
            return "-"
        return f"[{self._shown(ends[0])}, {self._shown(ends[1])}]" + ("*" if self._shows_uncorrected else "")

    def _amount(self) -> str:
        sign = -1.0 if self.decided and self.difference < 0 else 1.0
        ends = self.uncorrected if self._shows_uncorrected else (self.low, self.high)
        low, high = sorted((sign * ends[0], sign * ends[1]))
        is_known = not math.isnan(low) and (self.decided or self.deviation > 0)
        bounds = f" [{self._shown(low)}, {self._shown(high)}]" if is_known else ""
        return f"{self._shown(sign * self.difference)}{' ' if self.unit else ''}{self.unit}{bounds}"

    def _shown(self, value: float) -> str:
        return f"{100 * value:z.2f}" if self.unit == "points" else f"{value:z.3g}"


@lru_cache(maxsize=256)
def _t_quantile(freedom: int, p: float) -> float:
    """The quantile of Student's t distribution: the verdicts of a family have few different ones."""
    return float(scipy.special.stdtrit(freedom, p))


def correction(comparisons: int, family: str = "pairs") -> str:
    """What the p values of a family are corrected by.

    >>> correction(6), correction(3, "baseline")
    ("Holm's correction for 6 pairs", "Holm's correction for 3 comparisons with baseline")
    """
    method = "Bonferroni" if comparisons > MOST_PAIRS else "Holm"
    if family == "pairs":
        return f"{method}'s correction for {comparisons:,} pairs"
    return f"{method}'s correction for {comparisons:,} comparisons with {family}"


def said_once(sentences: Sequence[str]) -> list[str]:
    """Verdicts in words, one after another, and at the end once what all of them would say.

    >>> said_once(["a beats b; Holm's correction for 3 pairs", "a beats c; Holm's correction for 3 pairs"])
    ['a beats b', 'a beats c', "These 2 comparisons: Holm's correction for 3 pairs"]
    """
    if len(sentences) < 2:
        return list(sentences)
    clauses = [sentence.split("; ") for sentence in sentences]
    shared = [clause for clause in clauses[0][1:] if all(clause in others[1:] for others in clauses)]
    once = [*shared, *([_ADD] if _ADD not in shared and any(_ADD in others for others in clauses) else [])]
    if not once:
        return list(sentences)
    lines = ["; ".join([own[0], *(clause for clause in own[1:] if clause not in once)]) for own in clauses]
    notes = "; ".join(_ADD_ALL if clause == _ADD else clause for clause in once)
    return [*lines, f"These {len(sentences):,} comparisons: {notes}"]


_HOW = "--until-decided (in Python, until_decided=True), which corrects for looking again"
_ADD = f"add them with {_HOW}"
_ADD_ALL = f"more seeds are added by {_HOW}"

__all__ = ["FEW", "MOST_PAIRS", "SKEWED_RATE", "Verdict", "correction", "said_once"]
