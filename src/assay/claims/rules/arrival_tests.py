"""The tests of `reaches`: an exact binomial test of how many seeds arrive, and a sign test of which side arrives first.

A seed whose training ended too early to know counts against the answer, whichever it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Arrival:
    """When a seed reached the target.

    Attributes:
        time: The time at which it did; otherwise the last one at which it had not, infinite for one that never will.
        reached: Whether it did.
    """

    time: float
    reached: bool


def at_least(successes: int, n: int, fraction: float) -> float:
    """The probability of `successes` or more in n trials that each succeed with probability `fraction`.

    >>> at_least(5, 5, 0.5), at_least(0, 3, 0.5)
    (0.03125, 1.0)
    """
    return math.fsum(math.comb(n, k) * fraction**k * (1 - fraction) ** (n - k) for k in range(successes, n + 1))


def enough(early: int, unknown: int, n: int, *, fraction: float, alpha: float) -> bool | None:
    """Whether significantly more, or less, than `fraction` of the seeds arrive in time; None for neither.

    Args:
        early: How many of them did.
        unknown: How many were not trained for long enough.
        n: How many there are.
        fraction: The fraction of all seeds under the null hypothesis.
        alpha: The level of each of the two one-sided tests.

    >>> enough(5, 0, 5, fraction=0.5, alpha=0.05), enough(4, 1, 5, fraction=0.5, alpha=0.05)
    (True, None)
    """
    if at_least(early, n, fraction) <= alpha:
        return True
    return False if at_least(n - early - unknown, n, 1 - fraction) <= alpha else None


def sooner(
    left: Mapping[int, Arrival], right: Mapping[int, Arrival], *, times: float, alpha: float
) -> tuple[bool | None, tuple[int, int, int]]:
    """Whether the left side arrives within `times` the time of the right one on significantly many common seeds.

    Returns the answer, and on how many seeds it did, did not, and cannot be known. Equal times say nothing.

    >>> soon, late = ({seed: Arrival(time, True) for seed in range(5)} for time in (10.0, 30.0))
    >>> sooner(soon, late, times=1.0, alpha=0.05)
    (True, (5, 0, 0))
    """
    counts = {True: 0, False: 0, None: 0}
    for seed in left.keys() & right.keys():
        first, second = left[seed], Arrival(times * right[seed].time, right[seed].reached)
        if first.reached and second.reached and math.isclose(first.time, second.time, rel_tol=1e-12):
            continue
        counts[_is_first(first, second)] += 1
    won, lost, unknown = counts[True], counts[False], counts[None]
    n = won + lost + unknown
    if at_least(won, n, 0.5) <= alpha:
        return True, (won, lost, unknown)
    return (False if at_least(lost, n, 0.5) <= alpha else None), (won, lost, unknown)


def _is_first(first: Arrival, second: Arrival) -> bool | None:
    """Whether the first arrives before the second; None where neither is known to have."""
    if first.reached and (second.reached or first.time <= second.time):
        return first.time < second.time or not second.reached
    if second.reached and (first.reached or second.time <= first.time):
        return False
    return None


__all__ = ["Arrival", "at_least", "enough", "sooner"]
