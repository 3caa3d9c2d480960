"""Which members of a Pareto front are a trade-off beyond noise, and which tie with a neighbour."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, sqrt
from types import MappingProxyType

import numpy as np
import scipy  # its parts are loaded when they are first used

from assay.analysis.paired import independent_pairs

_LEVEL = 0.95


@dataclass(frozen=True)
class Seeds:
    """The costs and the gains of a configuration by repeat; equal repeats of two configurations are paired seeds.

    `overlap`: test examples / training examples, where its repeats are splits of the same examples; 0 for seeds.
    """

    costs: dict[Hashable, float]
    gains: dict[Hashable, float]
    overlap: float = 0.0


def differs(a: Mapping[Hashable, float], b: Mapping[Hashable, float], *, overlap: float = 0.0) -> bool | None:
    """Whether the mean of a - b over paired seeds is not 0: its 95 % interval, Student's t, excludes 0.

    Not corrected for several comparisons; with an `overlap` the interval is that of the corrected resampled t test.
    None with fewer than two pairs, which say nothing about noise.

    >>> differs({1: 0.9, 2: 0.91, 3: 0.9}, {1: 0.8, 2: 0.81, 3: 0.81}), differs({1: 0.9, 2: 0.7}, {1: 0.8, 2: 0.9})
    (True, False)
    """
    pairs = [a[repeat] - b[repeat] for repeat in a if repeat in b]
    if len(pairs) < 2:
        return None
    n = len(pairs)
    if overlap == inf:  # unknown sizes: nothing is known of the noise
        return None
    half = float(scipy.special.stdtrit(n - 1, 0.5 + _LEVEL / 2)) * float(np.std(pairs, ddof=1))
    half /= sqrt(float(independent_pairs(n, overlap)))
    return bool(abs(float(np.mean(pairs))) > half)


def tied(front: Sequence[Seeds]) -> list[int | None]:
    """For each member of a front, the cheapest first, the member that it ties with; None for a trade-off of its own.

    A member that gains no more than a cheaper one, beyond noise, ties with it. A cheaper member whose cost does not
    differ from that of one that gains more ties with that one. Where seeds cannot tell, both stay.
    """
    ties: list[int | None] = [None] * len(front)
    kept: list[int] = []
    for place, member in enumerate(front):
        while kept:
            last = front[kept[-1]]
            overlap = max(member.overlap, last.overlap)
            if differs(member.gains, last.gains, overlap=overlap) is False:
                ties[place] = kept[-1]
                break
            if differs(member.costs, last.costs, overlap=overlap) is False:
                ties[kept.pop()] = place
                continue
            break
        if ties[place] is None:
            kept.append(place)
    return [_end(ties, place) for place in range(len(front))]


def tied_names(
    names: Sequence[str],
    seeds: Iterable[tuple[str, Hashable, float | None, float | None]],
    *,
    overlaps: Mapping[str, float] = MappingProxyType({}),
) -> list[str]:
    """For each configuration of a front, the cheapest first, the one that it ties with; "" for a trade-off of its own.

    Args:
        names: The configurations of the front.
        seeds: (configuration, repeat, cost, gain) of each trial. One that is missing or not finite says nothing.
        overlaps: As in `Seeds`, of the configurations whose repeats are splits of the same examples.

    >>> seeds = [("a", 1, 1.0, 0.8), ("a", 2, 1.1, 0.9), ("b", 1, 2.0, 0.9), ("b", 2, 2.1, 0.81)]
    >>> tied_names(["a", "b"], seeds)
    ['', 'a']
    """
    members = {name: Seeds({}, {}, overlaps.get(name, 0.0)) for name in names}
    for name, repeat, cost, gain in seeds:
        if name not in members:
            continue
        if cost is not None and isfinite(cost):
            members[name].costs[repeat] = cost
        if gain is not None and isfinite(gain):
            members[name].gains[repeat] = gain
    return ["" if tie is None else names[tie] for tie in tied(list(members.values()))]


def _end(ties: Sequence[int | None], place: int) -> int | None:
    """The member at the end of a chain of ties; None for one that ties with none."""
    end = ties[place]
    while end is not None and (further := ties[end]) is not None:
        end = further
    return end


__all__ = ["Seeds", "differs", "tied", "tied_names"]
