"""Members of a Pareto front that noise does not tell apart are no trade-off."""

from __future__ import annotations

import pytest

from assay.analysis.ties import Seeds, differs, tied, tied_names


def seeds(costs: list[float], gains: list[float]) -> Seeds:
    return Seeds(dict(enumerate(costs)), dict(enumerate(gains)))


def test_a_difference_is_that_of_students_interval() -> None:
    # differences 1, 2, 3: mean 2, sd 1, t(2) = 4.3027: half width 2.484, so 0 is within
    assert differs({0: 1.0, 1: 2.0, 2: 3.0}, dict.fromkeys(range(3), 0.0)) is False
    # differences 2, 2.5, 3: sd 0.5, half width 1.242
    assert differs({0: 2.0, 1: 2.5, 2: 3.0}, dict.fromkeys(range(3), 0.0)) is True
    assert differs({0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0}) is False
    assert differs({0: 1.0}, {0: 0.0}) is None
    assert differs({0: 1.0, 1: 2.0}, {2: 0.0, 3: 0.0}) is None


@pytest.mark.parametrize(
    ("front", "ties"),
    [
        # clear steps in both
        ([seeds([1.0, 1.1, 1.0], [0.8, 0.81, 0.8]), seeds([2.0, 2.1, 2.0], [0.9, 0.91, 0.91])], [None, None]),
        # 0.1 points more for twice the time, within noise
        ([seeds([1.0, 1.1, 1.0], [0.9, 0.92, 0.88]), seeds([2.0, 2.1, 2.0], [0.91, 0.89, 0.91])], [None, 0]),
        # as fast within noise, but better: the cheaper one is no choice
        ([seeds([1.0, 1.5, 0.5], [0.8, 0.81, 0.8]), seeds([1.1, 1.0, 1.1], [0.9, 0.91, 0.91])], [1, None]),
        # one seed each: unknown, both stay
        ([seeds([1.0], [0.8]), seeds([2.0], [0.81])], [None, None]),
        ([], []),
    ],
)
def test_ties(front: list[Seeds], ties: list[int | None]) -> None:
    assert tied(front) == ties


def test_a_chain_of_ties_ends_at_a_member_that_stays() -> None:
    noisy = [seeds([1.0, 1.5, 0.5], [0.7, 0.71, 0.7]), seeds([1.1, 1.0, 1.2], [0.8, 0.81, 0.8])]
    last = seeds([1.2, 0.9, 1.3], [0.9, 0.91, 0.9])
    assert tied([*noisy, last]) == [2, 2, None]


def test_names_tie_by_all_their_seeds_with_a_number() -> None:
    seeds = [("slow", n, 2.0 + n / 10, 0.9 + n / 100) for n in range(3)]
    seeds += [("fast", n, 1.0 + n / 10, 0.8 + n / 100) for n in range(3)]
    seeds += [("other", n, 0.1, 0.1) for n in range(3)]  # not on the front
    assert tied_names(["fast", "slow"], seeds) == ["", ""]
    without_times = [(name, n, None if n else cost, gain) for name, n, cost, gain in seeds]
    assert tied_names(["fast", "slow"], without_times) == ["", ""]  # their gains differ, however many were timed
    alike = [(name, n, cost, 0.9 + n / 100) for name, n, cost, _ in seeds[:6]]
    assert tied_names(["fast", "slow"], alike) == ["", "fast"]  # the same gains for each seed
