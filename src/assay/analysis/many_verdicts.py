"""Whether each of many comparisons is significant, alone or in small families, for simulations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assay.analysis.families import is_resampled
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
from assay.analysis.paired_many import excludes_zero

Floats = NDArray[np.float64]


def decided_signs(d: Floats, *, alpha: float = 0.05) -> NDArray[np.int64]:
    """The sign of each significant mean difference of rows (m, n), 0 for the others: what `compare` says of each row.

    >>> decided_signs(np.array([[1.0, 1.1, 0.9, 1.2, 1.0, 1.1], [1.0, -1.1, 0.9, -1.2, 1.0, -1.1]])).tolist()
    [1, 0]
    """
    n, sd = d.shape[1], deviations(d)
    low, high = t_intervals(d, sd, alpha=alpha)
    excluded = (low > 0) | (high < 0)
    candidates = confirmed(d, alpha=alpha)
    if is_resampled(n, alpha=alpha, smallest_p=smallest_flip_p(n)):
        places = np.flatnonzero(candidates & (sd > 0))
        resampled = excludes_zero(d[places], alpha=alpha)
        for i in np.flatnonzero(resampled & ~excluded[places]):  # none, or one that is shorter than the t interval
            resampled[i] = bootstrap_interval(d[places[i]], alpha=alpha) is not None
        excluded[places] = resampled
    return np.where(candidates & excluded, np.sign(d.mean(axis=1)), 0.0).astype(np.int64)


def decided_in_families(d: Floats, *, alpha: float = 0.05) -> NDArray[np.int64]:
    """The sign of each significant mean difference of families (m, k, n) of k comparisons, 0 for the others.

    What `assay.analysis.families.chosen` says of the k named comparisons of each family, with Holm's correction for
    them. For k = 1 it is `decided_signs`.
    """
    m, k, n = d.shape
    rows = d.reshape(m * k, n)
    if k == 1:
        return decided_signs(rows, alpha=alpha).reshape(m, 1)
    p = t_tests(rows, resolved_deviations(rows))
    if smallest_flip_p(n) <= alpha / k:
        small = np.flatnonzero(p <= alpha)  # others are significant in no step
        p[small] = np.fmax(p[small], flip_tests(rows[small])[0])
    corrected = np.asarray([holm(family) for family in p.reshape(m, k)]).reshape(-1)
    places = np.flatnonzero(corrected <= alpha)
    decided = np.zeros(m * k, dtype=np.bool_)
    decided[places] = confirmed(rows[places], alpha=alpha)
    if is_resampled(n, alpha=alpha, smallest_p=smallest_flip_p(n)):
        again = np.flatnonzero(decided & (deviations(rows) > 0))
        decided[again] = excludes_zero(rows[again], alpha=alpha)
    return np.where(decided, np.sign(rows.mean(axis=1)), 0.0).astype(np.int64).reshape(m, k)


__all__ = ["decided_in_families", "decided_signs"]
