"""Comparisons of configurations whose test sets are drawn: the corrected test in a frame, and what is refused."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from assay.analysis import verdicts
from assay.analysis.draws import overlaps_of, pairing
from assay.analysis.families import Family, against, all_pairs
from assay.analysis.seed_values import SeedValues
from assay.analysis.ties import differs, tied_names
from tests.analysis.frames import trials

NAN = math.nan
D = np.array([0.02, 0.04, 0.0, 0.03, 0.05, 0.01, 0.04, 0.02, 0.03, 0.06])


def drawn(
    frame: pd.DataFrame,
    *,
    folds: int | None = 5,
    overlap: float = 0.25,
    only: Sequence[str] | None = None,
    shift: int = 0,
) -> pd.DataFrame:
    """A frame with the columns of draws: fold r mod k + 1 of split r // k, or split r; `only` some configurations."""
    repeat = frame["repeat"].to_numpy() + shift
    here = frame["configuration"].isin(only if only is not None else frame["configuration"].unique()).to_numpy()
    columns = {
        "draw_split": repeat // folds if folds else repeat,
        "draw_folds": np.full(len(frame), folds or NAN),
        "draw_fold": repeat % folds + 1 if folds else np.full(len(frame), NAN),
        "draw_overlap": np.full(len(frame), overlap),
    }
    old = {name: frame[name].to_numpy() if name in frame else np.full(len(frame), NAN) for name in columns}
    return frame.assign(**{name: np.where(here, values, old[name]) for name, values in columns.items()})


def pair(d: np.ndarray = D) -> pd.DataFrame:
    return trials({"a": list(0.9 + d), "b": [0.9] * d.size})


def family(frame: pd.DataFrame) -> Family:
    return all_pairs(SeedValues.of(frame, "accuracy"))


def test_a_study_of_folds_has_the_closed_form_of_nadeau_and_bengio() -> None:
    made = family(drawn(pair()))
    (found,) = made.verdicts()
    # mean 0.03, s^2 = 0.003 / 9, 10 folds, n_test / n_train = 1 / 4
    error = math.sqrt((1 / 10 + 1 / 4) * (0.003 / 9))
    assert found.p_t == pytest.approx(2 * stats.t.sf(0.03 / error, 9), rel=1e-12)
    half = stats.t.ppf(0.975, 9) * error
    assert (found.low, found.high) == pytest.approx((0.03 - half, 0.03 + half), rel=1e-12)
    assert found.uncorrected == pytest.approx((found.low, found.high), rel=1e-12)
    low, high = made.uncorrected()
    assert (low[0], high[0]) == pytest.approx((found.low, found.high), rel=1e-12)
    assert found.decided
    assert math.isnan(found.p)
    assert found.method == "corrected resampled t"


@pytest.mark.parametrize("folds", [5, None])
@pytest.mark.parametrize("shift", [0.0, 0.02, 0.03])
def test_a_comparison_alone_is_that_of_compare(folds: int | None, shift: float) -> None:
    (found,) = family(drawn(pair(D - shift), folds=folds)).verdicts()
    alone = verdicts.compare(0.9 + D - shift, np.full(10, 0.9), names=("a", "b"), overlap=0.25, folds=folds or 0)
    plain, expected = found.plain(), alone.plain()
    for name in ("measure", "endings"):  # what a frame knows in addition
        plain.pop(name), expected.pop(name)
    assert plain.keys() == expected.keys()
    for name, value in expected.items():
        assert plain[name] == (pytest.approx(value, rel=1e-12, abs=1e-15) if isinstance(value, float) else value), name
    assert found.sentence() == alone.sentence()
    assert family(drawn(pair(D - shift), folds=folds)).more_seeds()[0] == pytest.approx(
        NAN if alone.more_seeds is None else alone.more_seeds, nan_ok=True
    )


def test_a_family_is_corrected_for_overlap_and_comparisons() -> None:
    values = {"a": list(0.9 + D), "b": [0.9] * 10, "c": list(0.9 + D[::-1] / 3)}
    found = against(SeedValues.of(drawn(trials(values)), "accuracy"), "b").verdicts()
    error = math.sqrt((1 / 10 + 1 / 4) * D.var(ddof=1))
    p = [2 * stats.t.sf(d.mean() / (error * k), 9) for d, k in ((D, 1), (D / 3, 1 / 3))]
    assert p[0] == pytest.approx(p[1])
    assert [v.p_corrected for v in found] == pytest.approx([2 * p[0]] * 2, rel=1e-9)
    half = stats.t.ppf(1 - 0.05 / 4, 9) * error
    assert (found[0].low, found[0].high) == pytest.approx((0.03 - half, 0.03 + half), rel=1e-9)
    assert "Holm's correction for 2 comparisons with b" in found[0].sentence()
    assert "over 10 folds (2 x 5)" in found[0].sentence()


def test_the_larger_overlap_of_the_two_sides_counts() -> None:
    frame = drawn(drawn(pair(), overlap=0.25), overlap=0.6, only=["b"])
    (found,) = family(frame).verdicts()
    assert found.overlap == 0.6
    assert found.p_t == pytest.approx(2 * stats.t.sf(0.03 / math.sqrt(0.7 * 0.003 / 9), 9), rel=1e-12)


def test_comparisons_of_several_overlaps_in_one_family() -> None:
    values = {name: list(0.9 + k * D) for name, k in (("a", 3), ("b", 2), ("c", 0))}
    frame = drawn(drawn(trials(values), overlap=0.25), overlap=0.5, only=["c"])
    found = {v.names: v for v in family(frame).verdicts()}
    assert [found[names].overlap for names in (("a", "b"), ("a", "c"), ("b", "c"))] == [0.25, 0.5, 0.5]
    for (a, b), verdict in found.items():
        d = np.asarray(values[a]) - np.asarray(values[b])
        t = d.mean() / math.sqrt((1 / 10 + verdict.overlap) * d.var(ddof=1))
        assert verdict.p_t == pytest.approx(2 * stats.t.sf(t, 9), rel=1e-9)


def test_the_sentence_says_folds_and_names_the_test() -> None:
    found = verdicts.pairwise(drawn(pair())).iloc[0]
    assert found["sentence"].startswith("a beats b by 3.00 points [")
    assert "], over 10 folds (2 x 5); corrected resampled t test" in found["sentence"]
    resplit = verdicts.pairwise(drawn(pair(D - 0.02), folds=None)).iloc[0]
    assert "over 10 re-splits; more re-splits of the same examples do not decide it" in resplit["sentence"]
    for sentence in (found["sentence"], resplit["sentence"]):
        assert "seed" not in sentence
    best = verdicts.best(drawn(pair())).sentence()
    assert "10 folds (selected on test)" in best


def test_test_sets_that_differ_cannot_be_compared() -> None:
    frame = drawn(drawn(pair()), only=["b"], shift=1)
    (found,) = family(frame).verdicts()
    assert not found.decided
    assert found.sentence() == (
        "cannot compare a and b: their test sets differ (fold 1 of 5, split 0 and fold 2 of 5, split 0)"
    )
    assert math.isnan(found.p_t)
    assert math.isnan(found.difference)


def test_one_with_draws_and_one_without_cannot_be_compared() -> None:
    (found,) = family(drawn(pair(), only=["a"], folds=None)).verdicts()
    assert found.sentence() == "cannot compare a and b: their test sets differ (split 0 and the data's own)"


def test_what_cannot_be_compared_leaves_the_others_uncorrected_for_it() -> None:
    frame = drawn(trials({"a": list(0.9 + D), "b": [0.9] * 10, "c": [0.5] * 10}), only=["a", "b"])
    found = {v.names: v for v in family(frame).verdicts()}
    assert found["a", "b"].comparisons == 1
    assert found["a", "b"].p_corrected == pytest.approx(found["a", "b"].p_t)
    assert not found["a", "c"].comparable
    assert found["a", "c"].incomparable


def test_one_draw_for_all_repeats_is_one_test_set_and_its_repeats_are_seeds() -> None:
    plain = pair()
    one = plain.assign(draw_split=3.0, draw_folds=NAN, draw_fold=NAN, draw_overlap=0.25)
    assert family(one).verdict(0) == family(plain).verdict(0)
    assert verdicts.pairwise(one).equals(verdicts.pairwise(plain))
    assert "10 seeds" in family(one).verdict(0).sentence()


def test_some_repeats_on_one_test_set_and_others_not_cannot_be_compared() -> None:
    frame = drawn(pair())
    twice = frame.assign(draw_split=0.0)  # five folds at ten repeats
    (found,) = family(twice).verdicts()
    assert found.sentence() == (
        "cannot compare a and b: some of their repeats have the same test set and others do not"
    )


def test_unknown_sizes_cannot_be_compared() -> None:
    (found,) = family(drawn(pair(), overlap=NAN)).verdicts()
    assert found.sentence() == "cannot compare a and b: the sizes of their test sets are not stored"
    assert found.more_seeds is None


def test_folds_that_wait_are_known_to_be_folds() -> None:
    frame = drawn(pair())
    frame.loc[frame["repeat"] > 0, ["accuracy", "outcome"]] = [NAN, "planned"]
    (found,) = family(frame).verdicts()
    assert "1 fold; one fold does not show the spread over folds" in found.sentence()


def test_equal_differences_on_all_folds_decide_nothing() -> None:
    (found,) = family(drawn(pair(np.full(10, 0.25)))).verdicts()
    assert not found.decided
    assert found.p_t == 1.0
    assert found.sentence().startswith("no significant difference between a and b: 25.00 points on each fold")


def test_no_number_of_folds_decides_equal_differences() -> None:
    made = family(drawn(pair(np.full(10, 0.25))))
    assert np.isnan(made.more_seeds()).all()
    assert made.verdict(0).more_seeds is None


def test_sign_flips_are_no_part_of_the_correction() -> None:
    d = np.array([0.1, 0.101, 0.099, 0.1, 0.102, 0.098, 0.1, 0.1])  # 8 pairs reach 2 / 2^8 in the sign flips
    values = {"a": list(0.8 + d), "b": [0.8] * 8, "c": list(0.8 + d[::-1])}
    found = against(SeedValues.of(drawn(trials(values), folds=None), "accuracy"), "b").verdicts()
    p = 2 * stats.t.sf(d.mean() / math.sqrt((1 / 8 + 1 / 4) * d.var(ddof=1)), 7)
    assert p < 1e-6
    assert [v.p_corrected for v in found] == pytest.approx([2 * p] * 2, rel=1e-6)


def test_ties_use_the_overlap_and_equal_test_sets() -> None:
    a, b = dict(enumerate((0.9 + D).tolist())), dict.fromkeys(range(10), 0.9)
    t = 0.03 / math.sqrt(0.003 / 9 / 10)
    assert t > stats.t.ppf(0.975, 9)
    assert differs(a, b)
    assert differs(a, b, overlap=1.0) is False  # t / sqrt(11) = 1.57
    assert differs(a, b, overlap=math.inf) is None
    rows = [(name, r, cost, side[r]) for name, cost, side in (("b", 1.0, b), ("a", 2.0, a)) for r in range(10)]
    assert tied_names(["b", "a"], rows) == ["", ""]
    assert tied_names(["b", "a"], rows, overlaps={"a": 1.0}) == ["", "b"]
    frame = drawn(drawn(pair()), only=["b"], shift=1)
    keys = pairing(frame, frame["repeat"].tolist())
    assert not set(keys[:10]) & set(keys[10:])
    assert overlaps_of(frame, frame["configuration"].tolist()) == {"a": 0.25, "b": 0.25}
    assert pairing(pair(), [0, 1]) == [0, 1]


@pytest.mark.endurance
def test_the_false_positives_of_folds_are_kept_down() -> None:
    rng = np.random.default_rng(1)
    shared = rng.normal(size=(400, 1)) * 0.5  # what all folds have in common, with no true difference
    d = 0.01 * (shared + rng.normal(size=(400, 10)))
    found = [family(drawn(pair(row))).verdict(0).decided for row in d]
    plain = [family(pair(row)).verdict(0).decided for row in d]
    assert np.mean(found) < 0.1 < np.mean(plain)
