"""The statistics of paired differences: intervals, sign-flip test, Holm's correction, required number of pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import scipy  # its parts are loaded when they are first used
from numpy.typing import ArrayLike, NDArray

from assay.errors import AssayError
from assay.rng import stream

EXACT_UP_TO = 16  # pairs: up to here all 2^n sign flips are enumerated
FLIPS = 100_000
RESAMPLES = 10_000
_CHUNK = 2**22  # numbers in memory at once
_ROUNDING = 1e-9  # relative to the largest difference: smaller deviations count as rounding

Floats = NDArray[np.float64]


def deviation(d: Floats) -> float:
    """The standard deviation of the differences (n - 1 in the denominator); 0 if they differ only by rounding."""
    return float(deviations(d[None])[0])


def deviations(d: Floats) -> Floats:
    """The standard deviations (m,) of rows of differences (m, n), as in `deviation`."""
    if d.shape[1] < 2:
        return np.full(len(d), np.nan)
    sd = d.std(axis=1, ddof=1)
    return np.where(sd <= _ROUNDING * np.abs(d).max(axis=1), 0.0, sd)


def resolved_deviations(d: Floats, *, ties: bool = False) -> Floats:
    """The standard deviations (m,) of rows of differences (m, n), no smaller than their step where they are coarse.

    Differences of counts, such as accuracies on few examples, lie on a grid. If fewer than half of the values of a row
    are distinct in size, its standard deviation is taken to be at least the smallest gap between 0 and these sizes: a
    deviation below the step of the grid is not resolved, and t would be too large for the small levels of a family of
    comparisons. With `ties`, two of equal size are enough. All differences equal: 0.

    >>> resolved_deviations(np.array([[1.0, 1.0, 1.0, 1.0, 0.0], [1.0, 2.0, 3.0, 4.0, 5.0]])).round(4).tolist()
    [1.0, 1.5811]
    """
    sd, n = deviations(d), d.shape[1]
    if n < 2:
        return sd
    sizes = np.sort(np.abs(d), axis=1)
    gaps = np.diff(sizes, axis=1, prepend=0.0)  # the first gap is that from 0
    is_gap = gaps > _ROUNDING * sizes[:, -1:]
    distinct = 1 + is_gap[:, 1:].sum(axis=1)
    step = np.where(is_gap, gaps, np.inf).min(axis=1)
    coarse = distinct < n if ties else 2 * distinct < n
    return np.where(coarse & (sd > 0), np.maximum(sd, step), sd)


def independent_pairs(n: ArrayLike, overlap: ArrayLike) -> Floats:
    """The number of independent pairs whose mean has the standard error of n replicates that share training examples.

    The variance of the mean of n differences over splits of the same examples is taken to be (1 / n + overlap) s^2,
    overlap = test examples / training examples, instead of s^2 / n: the mean of n / (1 + n overlap) independent ones.
    It is n without an overlap, and never more than 1 / overlap.

    >>> independent_pairs(10, 1 / 9).round(4).tolist(), independent_pairs(10, 0.0).tolist()
    (4.7368, 10.0)

    Source: Nadeau, Bengio, "Inference for the generalization error" (2003); Bouckaert, Frank (2004) for repeated folds.
    """
    n = np.asarray(n, dtype=np.float64)
    return n / (1 + n * np.asarray(overlap, dtype=np.float64))


def t_interval(d: Floats, *, alpha: float = 0.05, overlap: float = 0.0) -> tuple[float, float]:
    """The paired t interval of the mean difference: mean -+ t(1 - alpha / 2, n - 1) sd / sqrt(n).

    Exact if the differences are normal. NaN for one pair; both bounds are the mean if all differences are equal.
    `overlap`: as in `independent_pairs`, whose number takes the place of n in the square root.
    """
    low, high = t_intervals(d[None], deviations(d[None]), alpha=alpha, overlap=overlap)
    return float(low[0]), float(high[0])


def t_intervals(d: Floats, sd: Floats, *, alpha: float = 0.05, overlap: float = 0.0) -> tuple[Floats, Floats]:
    """The paired t intervals of the means of rows of differences (m, n) with these standard deviations (m,)."""
    if d.shape[1] < 2:
        return np.full(len(d), np.nan), np.full(len(d), np.nan)
    half = (
        -float(scipy.special.stdtrit(d.shape[1] - 1, alpha / 2))
        * sd
        / math.sqrt(independent_pairs(d.shape[1], overlap))
    )
    means = d.mean(axis=1)
    return means - half, means + half


def confirmed(d: Floats, *, alpha: float, flips: Floats | None = None, overlap: float = 0.0) -> NDArray[np.bool_]:
    """Whether a second test at alpha does not contradict a significant t test, for rows of differences (m, n).

    From 6 pairs at 5 % it is the sign-flip test. Fewer pairs cannot reach alpha in it: there it is the t test with the
    standard deviation of `resolved_deviations` where any two differences are equal in size. `flips`: the p values of
    the sign-flip tests, where they are known. With an `overlap` there is no second test from 6 pairs on: sign flips and
    the bootstrap assume independence.
    """
    if overlap and smallest_flip_p(d.shape[1]) <= alpha:
        return deviations(d) > 0
    if smallest_flip_p(d.shape[1]) <= alpha:
        return (flip_tests(d)[0] if flips is None else flips) <= alpha
    return (deviations(d) > 0) & (t_tests(d, resolved_deviations(d, ties=True), overlap=overlap) <= alpha)


def t_test(d: Floats, *, overlap: float = 0.0) -> float:
    """The two-sided p value of the paired t test; NaN for one pair, the sign-flip p if all differences are equal.

    With an `overlap` it is the corrected resampled t test, t = mean / sqrt((1 / n + overlap) s^2), and 1 if all
    differences are equal: signs of replicates that share training examples are not independent.
    """
    return float(t_tests(d[None], deviations(d[None]), overlap=overlap)[0])


def t_tests(d: Floats, sd: Floats, *, overlap: float = 0.0) -> Floats:
    """The p values (m,) of the paired t tests of rows of differences (m, n) with these standard deviations (m,)."""
    n = d.shape[1]
    if n < 2:
        return np.full(len(d), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * scipy.special.stdtr(n - 1, -np.abs(d.mean(axis=1)) * math.sqrt(independent_pairs(n, overlap)) / sd)
    constant = np.flatnonzero(sd == 0)
    if constant.size and overlap:
        p[constant] = 1.0
    elif constant.size:
        p[constant] = flip_tests(d[constant])[0]
    return p


def bootstrap_interval(d: Floats, *, alpha: float = 0.05) -> tuple[float, float] | None:
    """The studentised bootstrap interval of the mean difference, from 10,000 resamples of one fixed random stream.

    [mean - q(1 - alpha / 2) s, mean - q(alpha / 2) s], s = sd / sqrt(n), with q the quantiles of
    (mean* - mean) / s* over the resamples. It keeps its coverage with as few as 8 pairs and with skewed differences,
    where the percentile and BCa intervals are too short. None if the quantiles are not finite, because too many
    resamples consist of one value.

    Source: Hall, "Theoretical comparison of bootstrap confidence intervals" (1988); Efron, Tibshirani, "An
    introduction to the bootstrap" (1993), section 12.5.
    """
    n, mean = d.size, float(d.mean())
    resampled = d[resamples(n)]  # (RESAMPLES, n)
    means = resampled.mean(axis=1)
    errors = resampled.std(axis=1, ddof=1) / math.sqrt(n)
    constant = errors <= _ROUNDING * float(np.max(np.abs(d)))
    deviations = means - mean
    t = np.sort(np.where(constant, np.copysign(np.inf, deviations), deviations / np.where(constant, 1.0, errors)))
    cut = math.floor(RESAMPLES * alpha / 2)
    low, high = float(t[cut]), float(t[-1 - cut])
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    error = deviation(d) / math.sqrt(n)
    return mean - high * error, mean - low * error


@lru_cache(maxsize=8)
def resamples(n: int) -> NDArray[np.int64]:
    """Which of n differences each resample of the bootstrap draws (resamples, n), from one fixed random stream."""
    return stream(0, "bootstrap of paired differences", n).integers(n, RESAMPLES * n).reshape(RESAMPLES, n)


def flip_test(d: Floats) -> tuple[float, float]:
    """The two-sided p value of the sign-flip test of the mean, and the smallest p that n pairs can reach.

    Under the null hypothesis the sign of each difference is arbitrary: p is the fraction of all 2^n flips whose mean
    is at least as far from 0 as the observed one. Above 16 pairs it is (1 + count) / (1 + 100,000) over random flips
    from a fixed stream.

    >>> flip_test(np.array([1.0, 2.0, 3.0, 4.0]))
    (0.125, 0.125)

    Source: Fisher, "The design of experiments" (1935), section 21; Phipson, Smyth (2010) for the random flips.
    """
    p, smallest = flip_tests(d[None])
    return float(p[0]), smallest


def flip_tests(d: Floats) -> tuple[Floats, float]:
    """The p values (m,) of the sign-flip tests of rows of differences (m, n), and the smallest p that n pairs reach.

    As in `flip_test`. Memory is bounded: the rows are tested in chunks.
    """
    m, n = d.shape
    observed = np.abs(d.sum(axis=1))
    least = observed - _ROUNDING * np.abs(d).sum(axis=1)
    if n <= EXACT_UP_TO:
        p, signs = np.empty(m), _all_flips(n)
        chunk = max(1, _CHUNK // len(signs))
        for start in range(0, m, chunk):
            sums = np.abs(signs @ d[start : start + chunk].T)  # (flips, rows)
            p[start : start + chunk] = (sums >= least[start : start + chunk]).mean(axis=0)
        return p, smallest_flip_p(n)
    counts = np.zeros(m)
    for signs in _flips(n):
        chunk = max(1, _CHUNK // len(signs))
        for start in range(0, m, chunk):
            sums = np.abs(signs @ d[start : start + chunk].T)  # (flips, rows)
            counts[start : start + chunk] += (sums >= least[start : start + chunk]).sum(axis=0)
    return (1 + counts) / (1 + FLIPS), smallest_flip_p(n)


@lru_cache(maxsize=EXACT_UP_TO)
def _all_flips(n: int) -> Floats:
    """Every flip of n signs with the first one fixed (2^(n - 1), n): the other half is symmetric."""
    bits = np.arange(2 ** max(0, n - 1))[:, None] >> np.arange(n)[::-1]
    return 1.0 - 2.0 * (bits & 1)


def smallest_flip_p(n: int) -> float:
    """The smallest p that n pairs can reach in the sign-flip test."""
    return 2.0 / 2**n if n <= EXACT_UP_TO else max(2.0 / 2**n, 1 / (1 + FLIPS))


def _flips(n: int) -> Iterator[Floats]:
    """Random signs in chunks of (FLIPS / 10, n)."""
    words = -(-n // 64)
    chunk = FLIPS // 10
    bits = stream(0, "sign flips", n)
    for i in range(10):
        octets = bits.words(chunk * words, start=i * chunk * words).view(np.uint8)
        signs = np.unpackbits(octets).reshape(chunk, 64 * words)[:, :n]  # (chunk, n), 0 or 1
        yield 2 * signs.astype(np.float64) - 1


def pairs_needed(
    mean: float, sd: float, *, alpha: float = 0.05, power: float = 0.8, most: int = 1000, overlap: float = 0.0
) -> int | None:
    """The smallest number of pairs with which the paired t test detects this mean difference; None if above `most`.

    Power = P(T > t(1 - alpha / 2, n - 1)) with T noncentral t of n - 1 degrees and noncentrality |mean| sqrt(n) / sd.
    The probability of a significant result in the wrong direction, below 1e-5 at a power of 0.8, is neglected.

    >>> pairs_needed(0.5, 1.0)
    34

    Source: Cohen, "Statistical power analysis" (1988), chapter 2.
    """
    if mean == 0 or not sd > 0 or t_power(most, mean / sd, alpha, overlap=overlap) < power:
        return None
    low, high = 1, most  # invariant: too few pairs, enough pairs
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if t_power(middle, mean / sd, alpha, overlap=overlap) >= power else (middle, high)
    return high


def t_power(n: ArrayLike, effect: ArrayLike, alpha: float, *, overlap: ArrayLike = 0.0) -> Floats:
    """The power of the paired t test with n pairs, for a mean of `effect` standard deviations; all may be arrays."""
    degrees = np.asarray(n, dtype=np.float64) - 1
    critical = -np.asarray(scipy.special.stdtrit(degrees, alpha / 2))
    noncentrality = np.abs(effect) * np.sqrt(independent_pairs(degrees + 1, overlap))
    # scipy's noncentral distribution loses its digits far out
    is_certain = noncentrality > critical * np.sqrt(1 + 50 / degrees) + 8
    missed = np.asarray(scipy.special.nctdtr(degrees, np.where(is_certain, 0.0, noncentrality), critical))
    return np.where(is_certain, 1.0, 1.0 - missed)


def holm(p_values: ArrayLike) -> list[float]:
    """The p values corrected for multiple comparisons; NaN stays NaN and does not count as a comparison.

    The i-th smallest of m becomes the maximum over j <= i of min(1, (m - j + 1) p_j).

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]

    Source: Holm, "A simple sequentially rejective multiple test procedure" (1979).
    """
    p = np.asarray(p_values, dtype=np.float64)
    if ((p < 0) | (p > 1)).any():
        raise AssayError("a p value lies between 0 and 1")
    order = np.argsort(p, kind="stable")  # NaN last
    order = order[: int(np.sum(~np.isnan(p)))]
    corrected = np.full(p.size, np.nan)
    corrected[order] = np.maximum.accumulate(np.minimum(1.0, (order.size - np.arange(order.size)) * p[order]))
    return corrected.tolist()
