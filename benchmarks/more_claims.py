"""Simulates the rules reaches, spread, equal and published-point, and the comparisons of rules that are no tests.

Run by `python -m benchmarks.claims`. Values of seeds, not differences, are simulated: those of two sides, or of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.analysis.many_verdicts import decided_signs
from assay.claims.agreement import Run, of_score
from assay.claims.rules.arrival_tests import at_least
from benchmarks.claims import SEEDS, SPREADS, generator

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_ALPHA = 0.05


def normal(draw: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Values of seeds, normal."""
    return draw.standard_normal(shape)


def discrete(draw: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Values of seeds on a grid of half their standard deviation."""
    return np.round(2 * draw.standard_normal(shape)) / 2


def coarse(draw: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Values of seeds on a grid of twice their standard deviation: most are equal."""
    return np.round(draw.standard_normal(shape) / 2)


def exponential(draw: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Skewed values of seeds."""
    return draw.standard_exponential(shape)


def lognormal(draw: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """More skewed values of seeds."""
    return np.exp(draw.standard_normal(shape))


Make = Callable[[np.random.Generator, tuple[int, ...]], Floats]
SYMMETRIC: dict[str, Make] = {"normal": normal, "discrete": discrete, "coarse": coarse}
SKEWED: dict[str, Make] = {"exponential": exponential, "lognormal": lognormal}


# --- the tests that rules make with significant = true ----------------------------------------------------------------


def equal_holds(d: Floats, tolerance: float) -> Bools:
    """Of which rows of differences (m, n) `equal` with a test holds."""
    holds = np.zeros(d.shape[0], dtype=np.bool_)
    above = np.flatnonzero(decided_signs(d + tolerance, alpha=2 * _ALPHA) > 0)
    if above.size:
        holds[above] = decided_signs(d[above] - tolerance, alpha=2 * _ALPHA) < 0
    return holds


def equal_fails(d: Floats, tolerance: float) -> Bools:
    """Of which rows of differences (m, n) it does not hold."""
    under, over = (decided_signs(d + s * tolerance, alpha=_ALPHA) for s in (1, -1))
    return (under < 0) | (over > 0)


def arrival_answers(won: NDArray[np.int64], n: NDArray[np.int64], fraction: float) -> tuple[Bools, Bools]:
    """Whether significantly more, or less, than a fraction of n seeds arrived, of counts (m,)."""
    tail = np.vectorize(cache(lambda k, of, p: at_least(int(k), int(of), float(p))), otypes=[float])
    return tail(won, n, fraction) <= _ALPHA, tail(n - won, n, 1 - fraction) <= _ALPHA


def sooner_answers(d: Floats) -> tuple[Bools, Bools]:
    """Of which rows of differences in time (m, n) the sign test says that the left side is sooner, and later."""
    won, lost = (d < 0).sum(axis=1), (d > 0).sum(axis=1)
    return arrival_answers(won, won + lost, 0.5)


def more_alarms(count: int, seed: int, sizes: Sequence[int] = SEEDS) -> list[dict[str, Any]]:
    """Wrong answers in the worse of the two directions, at the limit between them.

    `equal` needs none: where the mean difference is the tolerance, it holds no more often than `no-worse` errs, and it
    does not hold no more often than `beats` errs.
    """
    rows: list[dict[str, Any]] = []
    kinds = (
        ("reaches within, significant", {"any": normal}, _within_alarms),
        ("reaches than, significant", {**SYMMETRIC, **SKEWED}, _than_alarms),
    )
    for rule, shapes, alarms in kinds:
        for shape, make in shapes.items():
            row: dict[str, Any] = {"rule": rule, "values": shape}
            for n in sizes:
                draw = generator(seed, rule, shape, n)
                first, second = make(draw, (count, n)), make(draw, (count, n))
                row[f"n = {n}"] = max(float(answers.mean()) for answers in alarms(make, first, second))
            rows.append(row)
    return rows


def _within_alarms(make: Make, first: Floats, second: Floats) -> list[Bools]:
    """Half of all seeds arrive in time, and 80 % of them do; the fraction of the claim is that."""
    uniform = np.argsort(np.argsort(first, axis=None)).reshape(first.shape) / first.size
    n = np.full(first.shape[0], first.shape[1])
    answers = [arrival_answers((uniform < p).sum(axis=1), n, p) for p in (0.5, 0.8)]
    return [direction for pair in answers for direction in pair]


def _than_alarms(make: Make, first: Floats, second: Floats) -> list[Bools]:
    return list(sooner_answers(first - second))


def more_powers(count: int, seed: int, sizes: Sequence[int] = SEEDS) -> list[dict[str, Any]]:
    """How often these tests find what is true, for the spreads of real seeds."""
    rows: list[dict[str, Any]] = []
    cases: tuple[tuple[str, Callable[[Floats, Floats, float], Bools]], ...] = (
        ("equal within 0.3 points: equal", lambda a, b, sd: equal_holds(sd * (a - b), 0.3)),
        ("equal within 1 point: equal", lambda a, b, sd: equal_holds(sd * (a - b), 1.0)),
        ("reaches on more than half: a mean 0.5 points above the target", lambda a, b, sd: _arrives(0.5 + sd * a)),
        ("reaches than: 1 epoch sooner, sd in epochs", lambda a, b, sd: sooner_answers(sd * (a - b) - 1.0)[0]),
    )
    for truth, found in cases:
        for sd in SPREADS:
            row: dict[str, Any] = {"rule and truth": truth, "sd of a seed": sd}
            for n in sizes:
                draw = generator(seed, "more power", n)
                a, b = normal(draw, (count, n)), normal(draw, (count, n))
                row[f"n = {n}"] = float(found(a, b, sd).mean())
            rows.append(row)
    return rows


def _arrives(margins: Floats) -> Bools:
    n = np.full(margins.shape[0], margins.shape[1])
    return arrival_answers((margins >= 0).sum(axis=1), n, 0.5)[0]


# --- rules that compare numbers as they are ---------------------------------------------------------------------------


def plain_answers(count: int, seed: int, sizes: Sequence[int] = SEEDS) -> list[dict[str, Any]]:
    """How often rules that are no tests give an answer that chance alone makes, of two equal configurations."""
    rows: list[dict[str, Any]] = []
    cases: tuple[tuple[str, Callable[[Floats, Floats], Bools]], ...] = (
        ("less, order, ratio below 1: hold", lambda a, b: np.median(a, axis=1) < np.median(b, axis=1)),
        ("less by one sd of a seed: holds", lambda a, b: np.median(a, axis=1) < np.median(b, axis=1) - 1),
        ("equal within one sd of a seed: does not hold", lambda a, b: _medians_apart(a, b) > 1 + 1e-12),
        ("reaches than: holds", lambda a, b: np.median(a, axis=1) <= np.median(b, axis=1)),
        ("spread, times_at_least 2: holds", lambda a, b: np.ptp(a, axis=1) >= 2 * np.ptp(b, axis=1)),
        ("spread, times_at_least 5: holds", lambda a, b: np.ptp(a, axis=1) >= 5 * np.ptp(b, axis=1)),
        ("published-point, not settled: does not hold", _one_more_run),
    )
    for rule, wrong in cases:
        for shape, make in SYMMETRIC.items():
            row: dict[str, Any] = {"rule and answer": rule, "values": shape}
            for n in sizes:
                draw = generator(seed, "plain", shape, n)
                first, second = make(draw, (count, n)), make(draw, (count, n))
                row[f"n = {n}"] = float(wrong(first, second).mean())
            rows.append(row)
    return rows


def _medians_apart(a: Floats, b: Floats) -> Floats:
    return np.abs(np.median(a, axis=1) - np.median(b, axis=1))


def _one_more_run(runs: Floats, others: Floats) -> Bools:
    """The published figure is one more run of the same training; accuracies around 70 % with an sd of 2 points."""
    scores = (0.7 + 0.02 * values for values in (runs, others[:, :1]))
    pairs = zip(*(values.tolist() for values in scores), strict=True)
    return np.asarray(
        [of_score(figure, "", [Run(value, settled=False) for value in row]).holds is False for row, (figure,) in pairs]
    )


MORE_TABLES = {"more false alarms": more_alarms, "more power": more_powers, "plain answers": plain_answers}

__all__ = [
    "MORE_TABLES",
    "arrival_answers",
    "equal_fails",
    "equal_holds",
    "more_alarms",
    "plain_answers",
    "sooner_answers",
]
