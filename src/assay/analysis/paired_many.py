"""The tests of `assay.analysis.paired` for many comparisons at once, as products of matrices instead of loops.

Each function gives what its counterpart gives row by row; the tests hold them against one another.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from assay.analysis.paired import RESAMPLES, bootstrap_interval, deviations, resamples, t_power

Floats = NDArray[np.float64]

_CHUNK = 2**22  # numbers in memory at once
_CLOSE = 1e-7  # relative: a count of resamples that such a change of the threshold alters is made exactly
_CONSTANT = 1e-13  # of the variance of a resample, relative to the largest squared difference: rounding
_UNCLEAR = 1e-9  # of the same: a smaller variance is made exactly


def excludes_zero(d: Floats, *, alpha: float) -> NDArray[np.bool_]:
    """Whether the studentised bootstrap intervals of rows of differences (m, n) exclude 0, or do not exist.

    As `bootstrap_interval(row)`, without its quantiles: the interval of a positive mean excludes 0 if at most a
    fraction alpha / 2 of the resamples has t* >= mean / error. The moments of all resamples are one product of their
    counts (resamples, n) with the differences. Where rounding could decide, the interval itself does.
    """
    result = np.ones(len(d), dtype=np.bool_)
    counts = _counts(d.shape[1])
    chunk = max(1, _CHUNK // len(counts))
    for start in range(0, len(d), chunk):
        result[start : start + chunk] = _excludes_zero(d[start : start + chunk], counts, alpha=alpha)
    return result


def _excludes_zero(d: Floats, counts: Floats, *, alpha: float) -> NDArray[np.bool_]:
    n, mean = d.shape[1], d.mean(axis=1)
    centred = np.where(mean < 0, -1.0, 1.0)[:, None] * (d - mean[:, None])  # a negative mean is the mirror image
    size = np.maximum((centred**2).max(axis=1), np.finfo(np.float64).tiny)
    means = counts @ centred.T  # (resamples, m): mean* - mean
    variances = counts @ (centred**2).T - means**2
    is_constant = variances <= _CONSTANT * size
    is_unclear = ((variances < _UNCLEAR * size) & ~is_constant).any(axis=0)
    t = np.abs(mean) * math.sqrt(n) / deviations(d)
    # t* >= t where mean* - mean >= t s* / sqrt(n), s*^2 = variance n / (n - 1)
    thresholds = t * np.sqrt(np.where(is_constant, 0.0, np.maximum(variances, 0.0)) / (n - 1))
    cut = math.floor(RESAMPLES * alpha / 2)
    is_beyond = np.where(is_constant, means >= 0, means >= thresholds)
    more = np.where(is_constant, means >= 0, means >= thresholds * (1 - _CLOSE)).sum(axis=0)
    fewer = np.where(is_constant, means >= 0, means >= thresholds * (1 + _CLOSE)).sum(axis=0)
    excluded = is_beyond.sum(axis=0) <= cut
    is_unclear |= (more <= cut) != (fewer <= cut)
    is_infinite = np.maximum((is_constant & (means >= 0)).sum(axis=0), (is_constant & (means < 0)).sum(axis=0)) > cut
    is_unclear |= is_infinite | (is_constant.any(axis=0) & ~excluded)
    for i in np.flatnonzero(is_unclear):
        interval = bootstrap_interval(d[i], alpha=alpha)
        excluded[i] = interval is None or interval[0] > 0 or interval[1] < 0
    return excluded


@lru_cache(maxsize=8)
def _counts(n: int) -> Floats:
    """How often each resample draws each of n differences, as fractions (resamples, n)."""
    drawn = resamples(n)
    places = np.arange(len(drawn))[:, None] * n + drawn
    return np.bincount(places.ravel(), minlength=len(drawn) * n).reshape(len(drawn), n) / n


def pairs_needed_each(
    means: Floats, sds: Floats, *, alpha: float, power: float = 0.8, most: int = 1000, overlap: Floats | None = None
) -> Floats:
    """`pairs_needed` for every row (m,), with the overlap of each; NaN where it is None.

    >>> pairs_needed_each(np.array([0.5, 0.0]), np.array([1.0, 1.0]), alpha=0.05).tolist()
    [34.0, nan]
    """
    needed = np.full(means.size, np.nan)
    known = np.flatnonzero((means != 0) & (sds > 0) & np.isfinite(means) & np.isfinite(sds))
    effects = np.abs(means[known] / sds[known])
    if overlap is None:
        effects, inverse = np.unique(effects, return_inverse=True)
        overlaps = np.zeros(effects.size)
    else:
        both, inverse = np.unique(np.stack([effects, overlap[known]]), axis=1, return_inverse=True)
        effects, overlaps, inverse = both[0], both[1], inverse.reshape(-1)
    low, high = np.ones(effects.size, dtype=np.int64), np.full(effects.size, most)
    possible = t_power(high, effects, alpha, overlap=overlaps) >= power
    while (high - low > 1).any():
        middle = np.where(high - low > 1, (low + high) // 2, high)  # low: too few pairs, high: enough
        is_enough = t_power(middle, effects, alpha, overlap=overlaps) >= power
        low, high = np.where(is_enough, low, middle), np.where(is_enough, middle, high)
    needed[known] = np.where(possible, high, np.nan)[inverse]
    return needed


def more_seeds_each(
    means: Floats,
    sds: Floats,
    n: NDArray[np.int64],
    *,
    alpha: float,
    open_: NDArray[np.bool_],
    overlap: Floats | None = None,
    folds: NDArray[np.int64] | None = None,
) -> Floats:
    """How many more pairs each comparison (m,) that is not significant needs, as in `Verdict.more_seeds`.

    0 for the others; NaN where no attainable number is enough. `alpha` is the level of one comparison of the family.
    `overlap` and `folds` are those of each comparison, 0 for seeds; None: all are of seeds.
    """
    more = pairs_needed_each(means, sds, alpha=alpha, overlap=overlap) - n
    constant = np.flatnonzero((sds == 0) & (means != 0))
    more[constant] = math.ceil(math.log2(2 / alpha)) - n[constant]
    if overlap is not None:
        more[constant[overlap[constant] > 0]] = np.nan
    more = np.maximum(more, 1.0)
    if folds is not None:
        parts = np.maximum(folds, 1)
        more = np.ceil(more / parts) * parts
    return np.where(open_, np.where(n < 2, np.nan, more), 0.0)


__all__ = ["excludes_zero", "more_seeds_each", "pairs_needed_each"]
