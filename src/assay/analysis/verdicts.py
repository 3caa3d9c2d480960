"""Which configuration is better, by tests on paired seeds: two configurations, all pairs, a baseline, the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from assay.analysis.draws import in_words
from assay.analysis.families import Family, all_pairs, bootstrapped, chosen, pairs_with
from assay.analysis.families import against as family_against
from assay.analysis.frames import FINISHED, have, is_imported, is_measured, need, paired
from assay.analysis.paired import confirmed, deviation, flip_test, t_interval, t_test
from assay.analysis.phases import decisive
from assay.analysis.quantities import MEASURES, OF_REGRESSION, SCORE, TEST_SCORE, on_test, ranked_by
from assay.analysis.seed_values import SeedValues
from assay.analysis.seeds import Endings
from assay.analysis.verdict import Verdict, correction
from assay.errors import AssayError, listed, unknown


def compare(
    a_values: ArrayLike,
    b_values: ArrayLike,
    *,
    names: tuple[str, str] = ("A", "B"),
    alpha: float = 0.05,
    unit: str = SCORE.unit,
    higher_is_better: bool = SCORE.higher_is_better,
    overlap: float = 0.0,
    folds: int = 0,
) -> Verdict:
    """The verdict on two configurations from their values at equal seeds, pair by pair.

    The interval of the mean difference is the paired t interval below 8 pairs, and the studentised bootstrap interval
    from 8 pairs on. (It stays the t interval if alpha is smaller than the pairs or the resamples resolve, or if too
    many values are equal.) The difference is significant if the interval excludes 0 and the sign-flip test agrees.
    Where n pairs cannot reach alpha in it (5 pairs and 5 %), the t test decides, with a larger deviation for coarse
    values. If all differences are equal, the sign-flip test alone decides. This is one comparison; several need the
    correction of `pairwise` or `against`.

    Args:
        a_values: of the first configuration (n,), accuracies as fractions.
        b_values: of the second configuration (n,), at the same seeds.
        names: of the two configurations.
        alpha: the significance level.
        unit: "points" for fractions shown as percentage points, or the unit of the values.
        higher_is_better: the direction of the measure.
        overlap: test examples / training examples, where the pairs are splits of the same examples, such as 1 / 9 for
            10 folds. They share training examples, so that the corrected resampled t test alone decides: sign flips
            and the bootstrap assume independence.
        folds: the number of parts of each cross-validation; 0 for re-splits.

    >>> a, b = [0.972, 0.975, 0.971, 0.974, 0.973, 0.976], [0.968, 0.970, 0.968, 0.969, 0.970, 0.971]
    >>> compare(a, b, names=("adam", "descent")).sentence()
    'adam beats descent by 0.42 points [0.31, 0.52], 6 seeds'

    Raises AssayError for values that do not pair, and for missing ones: exclude their pairs and report their number.
    """
    d = _differences(a_values, b_values, names)
    if not 0 < alpha < 1:
        raise AssayError(f"alpha lies between 0 and 1, not {alpha:g}")
    if not 0 <= overlap < np.inf or folds < 0 or (folds and not overlap):
        raise AssayError(f"got overlap {overlap:g} and folds {folds}; expected test examples / training examples")
    p, smallest = (np.nan, np.nan) if overlap else flip_test(d)
    resampled = None if overlap else bootstrapped(d, alpha=alpha, smallest_p=smallest)
    low, high = resampled or t_interval(d, alpha=alpha, overlap=overlap)
    excludes_zero = low > 0 or high < 0
    return Verdict(
        names,
        difference=float(d.mean()),
        low=low,
        high=high,
        p=p,
        smallest_p=smallest,
        p_t=t_test(d, overlap=overlap),
        n=int(d.size),
        deviation=deviation(d),
        alpha=alpha,
        level=alpha,
        method="studentised bootstrap" if resampled else "corrected resampled t" if overlap else "paired t",
        decided=excludes_zero and bool(confirmed(d[None], alpha=alpha, overlap=overlap)[0]),
        unit=unit,
        higher_is_better=higher_is_better,
        p_corrected=t_test(d, overlap=overlap),
        overlap=overlap,
        folds=folds,
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


def pairwise(
    trials: pd.DataFrame, *, measure: str | None = None, by: str = "configuration", alpha: float = 0.05
) -> pd.DataFrame:
    """Every pair of configurations compared at equal repeats, with Holm's correction for multiple comparisons.

    A difference is significant if its p value of the paired t test, corrected by Holm, is at most alpha, and the tests
    of `compare` at alpha do not contradict. (The sign-flip p of 8 seeds cannot pass the correction for more than 6
    pairs, however large the difference.) The intervals are simultaneous, by Bonferroni. Trials that diverged or timed
    out count by the rule of `assay.analysis.seeds`.

    Columns: a, b (in order of first appearance), difference (a - b), low, high (simultaneous), n (pairs), missing_a,
    missing_b (trials without a number or a partner), ended_a, ended_b (trials that diverged or timed out), p,
    smallest_p (sign flips), p_t, p_holm, decided (whether significant after correction), more_seeds, sentence,
    low_uncorrected, high_uncorrected (the interval of the difference alone).

    Imported curves are ignored.

    Raises AssayError for a single configuration, two trials of one repeat, and seconds that are not comparable.
    """
    return with_sentences(all_pairs(_several(trials, measure, by), alpha=alpha))


def against(
    trials: pd.DataFrame,
    baseline: str,
    *,
    measure: str | None = None,
    by: str = "configuration",
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Every configuration compared with the baseline at equal repeats, with Holm's correction for these comparisons.

    The columns, tests and errors are those of `pairwise`; b is the baseline. Raises AssayError for an unknown baseline.
    """
    return with_sentences(family_against(_several(trials, measure, by), baseline, alpha=alpha))


def of_values(
    values: Mapping[str, Mapping[int, float]],
    pairs: Sequence[tuple[str, str]],
    *,
    measure: str = TEST_SCORE.column,
    alpha: float = 0.05,
) -> list[Verdict]:
    """The verdicts on named pairs of configurations, from their values by seed, with Holm's correction for these pairs.

    >>> of_values({"a": {1: 0.9, 2: 0.91}, "b": {1: 0.8}}, [("a", "b")])[0].n
    1
    """
    return chosen(SeedValues.plain(values, measure), pairs, alpha=alpha).verdicts()


def with_sentences(family: Family) -> pd.DataFrame:
    """The comparisons of a family as a frame with the columns of `pairwise`."""
    table = family.table()
    more = (None if value is pd.NA else int(value) for value in table["more_seeds"])
    sentences = [family.verdict(i).sentence(more=count) for i, count in enumerate(more)]  # one verdict at a time
    table.insert(len(table.columns) - 2, "sentence", sentences)
    return table


def table_of(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Verdicts as a frame with the columns of `pairwise`."""
    table: list[dict[str, object]] = []
    for verdict in verdicts:
        names = ("difference", "low", "high", "n", "p", "smallest_p", "p_t")
        row: dict[str, object] = {"a": verdict.names[0], "b": verdict.names[1]}
        row |= {name: getattr(verdict, name) for name in names}
        endings = verdict.endings or (Endings(()), Endings(()))
        row |= {f"missing_{x}": e.trials - verdict.n for x, e in zip("ab", endings, strict=True)}
        row |= {f"ended_{x}": e.ended for x, e in zip("ab", endings, strict=True)}
        row |= {"p_holm": verdict.p_corrected, "decided": verdict.decided, "more_seeds": verdict.more_seeds}
        low, high = verdict.uncorrected
        row |= {"sentence": verdict.sentence(), "low_uncorrected": low, "high_uncorrected": high}
        table.append(row)
    return pd.DataFrame(table).astype({"more_seeds": "Int64"})


def between(trials: pd.DataFrame, a: str, b: str, *, measure: str | None = None, by: str = "configuration") -> Verdict:
    """The verdict on two configurations at equal repeats, out of the family of all pairs of the trials.

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
    if a == b:
        raise AssayError(f"got {a!r} twice; expected two configurations to compare")
    seeds = SeedValues.of(trials, measure, by)
    order = [seeds.names.index(name) for name in (a, b)]
    ordered = (a, b) if order[0] < order[1] else (b, a)
    whole = pairs_with(seeds, a)
    verdict = next(v for v in whole.verdicts() if v.names == ordered)
    return verdict if ordered == (a, b) else verdict.reversed()


_NO_ENDINGS = Endings(())


def selection(trials: pd.DataFrame) -> str:
    """The measure that configurations are selected and shown by: validation accuracy, or else test accuracy.

    It is the validation accuracy if every finished trial with a test accuracy has one. Of a regression, likewise R2.
    """
    test, validation = (ranked_by(trials, split).column for split in ("test", "validation"))
    tested = int(is_measured(trials, test).sum())
    validated = validation in trials.columns and int(is_measured(trials, validation).sum()) == tested
    return validation if validated and tested else test


@dataclass(frozen=True)
class Best:
    """The configuration with the best mean, those it beats, and those not significantly different from it.

    `ties` are the configurations without a significant difference, `unresolved` those from which only the number of
    seeds leaves it open for so many comparisons. `test_mean` is its test accuracy where `measure` is another one.
    `verdicts` are those of the best against the others, or with a baseline, against that. `replicate` is what its
    repeats are: "seed", or "fold" or "re-split" where test sets are drawn.
    """

    name: str
    measure: str
    mean: float
    n: int
    trials: int
    beats: tuple[str, ...]
    ties: tuple[str, ...]
    unmeasured: tuple[str, ...]
    endings: Endings = _NO_ENDINGS
    comparisons: int = 1
    unresolved: tuple[str, ...] = ()
    test_mean: float = np.nan
    verdicts: tuple[Verdict, ...] = ()
    replicate: str = "seed"

    def sentence(self) -> str:
        """The best configuration in words, with its evidence."""
        quantity = MEASURES[self.measure]
        words = quantity.label if quantity.name in OF_REGRESSION else self.measure.replace("_", " ")
        sentence = f"{self.name} is best: {words} {quantity.text(self.mean)}, "
        if self.test_mean == self.test_mean:
            test = on_test(quantity)
            sentence += f"{test.label} {test.text(self.test_mean)}, "
        sentence += in_words(self.n, self.replicate)
        sentence += "" if self.n == self.trials else f" of {self.trials}"
        sentence += "".join(f", {note}" for note in self.endings.notes(replicate=self.replicate))
        sentence += f" (selected on {quantity.split})" if quantity.split else ""
        family = self.verdicts[0].family if self.verdicts else "pairs"
        corrected = f" ({correction(self.comparisons, family)})" if self.comparisons > 1 else ""
        sentence += f"; it beats {_named(self.beats)}{corrected}" if self.beats else ""
        if self.unresolved:
            count = f"{self.comparisons:,} comparisons" if self.comparisons > 1 else "a comparison"
            sentence += f"; too few {self.replicate}s for {count} to decide against {_named(self.unresolved)}"
        sentence += f"; no significant difference from {_named(self.ties)}" if self.ties else ""
        sentence += corrected if self.ties and not self.beats and not self.unresolved else ""
        return sentence + (f"; no result for {listed(self.unmeasured)}" if self.unmeasured else "")


def _named(names: Sequence[str]) -> str:
    """Configurations in a sentence: by name, or where they are many, their number and the first ones."""
    few = listed(names, _NAMED)
    return few if len(names) <= _NAMED + 1 else f"{len(names):,} configurations, such as {listed(names[:2])}"


_NAMED = 5


def best(
    trials: pd.DataFrame,
    *,
    measure: str | None = None,
    by: str = "configuration",
    alpha: float = 0.05,
    decided: Mapping[str, Sequence[Verdict]] | None = None,
    baseline: str | None = None,
) -> Best:
    """The configuration with the best mean, and which of the others are significantly worse.

    It is selected by the measure of `selection`, unless another one is named. The mean is over all seeds with a result:
    those that diverged or timed out count as they ended. A configuration of which no seed completed, or was stopped by
    a rule, is not the best. The comparisons are those of `pairwise`, corrected for all pairs, because it was selected
    after seeing the values; with a `baseline`, those of `against`: of the best with the baseline, or where this is the
    best, with every other one. `decided` has the verdicts on all pairs of a study to which seeds were added until they
    were decided, by measure.

    Raises AssayError if no trial that completed, or was stopped by a rule, has a number.
    """
    need(trials, ["outcome", by])
    trials = paired(decisive(trials))
    measure = selection(trials) if measure is None else measure
    seeds = SeedValues.of(trials, measure, by)
    means = seeds.means()
    finished = np.asarray([endings.count(*FINISHED) > 0 for endings in seeds.endings], dtype=np.bool_)
    eligible = np.where(finished & np.isfinite(means), means, np.nan)
    if np.isnan(eligible).all():
        raise AssayError(f"no finished trial has a number for {measure!r}, so none is best")
    place = int(np.nanargmax(eligible) if MEASURES[measure].higher_is_better else np.nanargmin(eligible))
    name, verdicts = seeds.names[place], list[Verdict]()
    if len(seeds.names) > 1:
        verdicts = _of_best(seeds, name, (decided or {}).get(measure), baseline=baseline, alpha=alpha)
    has_mean = {label: mean == mean for label, mean in zip(seeds.names, means.tolist(), strict=True)}
    losers, unresolved, ties = _sides(name, [v for v in verdicts if all(has_mean[n] for n in v.names)])
    quantity = MEASURES[measure]
    is_score = quantity.split == "validation" and quantity.kind == "score"
    has_test = is_score and on_test(quantity).column in trials.columns
    return Best(
        name,
        measure,
        float(means[place]),
        int(np.sum(~np.isnan(seeds.values[place]))),
        seeds.endings[place].trials,
        losers,
        ties,
        tuple(label for label in seeds.names if not has_mean[label]),
        seeds.endings[place],
        max((verdict.comparisons for verdict in verdicts), default=1),
        unresolved,
        float(SeedValues.of(trials, on_test(quantity).column, by).means()[place]) if has_test else np.nan,
        tuple(verdicts),
        seeds.replicate(place),
    )


def _of_best(
    seeds: SeedValues, name: str, decided: Sequence[Verdict] | None, *, baseline: str | None, alpha: float
) -> list[Verdict]:
    """The verdicts of the best configuration with the others, or with the baseline; the best one comes first."""
    if decided is not None:
        verdicts = [verdict for verdict in decided if name in verdict.names]
    elif baseline is not None:
        of_baseline = family_against(seeds, baseline, alpha=alpha).verdicts()
        verdicts = [verdict for verdict in of_baseline if name in verdict.names]
    else:
        verdicts = pairs_with(seeds, name, alpha=alpha).verdicts()
    return [verdict if verdict.names[0] == name else verdict.reversed() for verdict in verdicts]


def _sides(name: str, verdicts: Sequence[Verdict]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The configurations that the best one beats, those left open by the number of seeds, and the ties."""
    sides: tuple[list[str], list[str], list[str]] = ([], [], [])
    for verdict in verdicts:
        sides[0 if verdict.winner == name else 1 if verdict.too_few else 2].append(verdict.names[1])
    return tuple(sides[0]), tuple(sides[1]), tuple(sides[2])


def _several(trials: pd.DataFrame, measure: str | None, by: str) -> SeedValues:
    """The numbers of two configurations or more. Raises AssayError for a single one."""
    seeds = SeedValues.of(trials, measure, by)
    if len(seeds.names) < 2:
        (only,) = list(seeds.names)
        raise AssayError(f"there is only one {by}, {only!r}, so there is nothing to compare it with")
    return seeds


__all__ = [
    "Best",
    "Family",
    "Verdict",
    "against",
    "best",
    "between",
    "compare",
    "of_values",
    "pairwise",
    "selection",
    "table_of",
    "with_sentences",
]
