"""Fewer points that look the same: extremes are kept, and the reader is told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def thinned(x: Floats, values: Sequence[Floats], *, most: int, log: bool = False) -> NDArray[np.intp]:
    """The indices of at most `most` points: of each stretch of x those where a value is lowest or highest.

    The first and the last point are always kept. `values`: arrays of the length of x, such as the median and the two
    ends of a band.
    """
    n = len(x)
    if n <= most:
        return np.arange(n)
    buckets = max(1, (most - 2) // (2 * len(values)))
    place = np.log(x) if log and x.min() > 0 else x
    edges = np.linspace(place.min(), place.max(), buckets + 1)[1:-1]
    bucket = np.digitize(place, edges)
    chosen = {0, n - 1}
    for value in values:
        order = np.lexsort((np.nan_to_num(value), bucket))  # by bucket, lowest first
        starts = np.flatnonzero(np.r_[True, np.diff(bucket[order]) > 0])
        ends = np.r_[starts[1:], n] - 1
        chosen.update(order[starts].tolist())
        chosen.update(order[ends].tolist())
    return np.array(sorted(chosen), dtype=np.intp)


def evenly(n: int, most: int) -> list[int]:
    """At most `most` of the places 0 to n - 1, evenly spaced, the first and the last among them.

    >>> evenly(9, 3), evenly(2, 5)
    ([0, 4, 8], [0, 1])
    """
    if n <= most:
        return list(range(n))
    if most < 2:
        return [0][:most]
    return sorted({round(i * (n - 1) / (most - 1)) for i in range(most)})
