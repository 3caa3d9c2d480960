"""Simulates the rules of claims: python -m benchmarks.claims [--simulations N] [--seed S] [--json FILE].

False alarms of equal configurations, the power for the spread of real seeds, how often a planted drop is found, and
what rules that are no tests say of equal configurations (`benchmarks.more_claims`). The tables are printed in
Markdown, as they stand in docs/claims.md; --only has one of them, --n other numbers of seeds.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.analysis.many_verdicts import decided_in_families, decided_signs
from assay.rng import stream
from assay.system.files import write_atomically

Floats = NDArray[np.float64]
SEEDS = (3, 5, 8, 20)
SPREADS = (0.2, 0.5, 1.0)
"""Standard deviations of one configuration over its seeds, in points."""
MARGIN, DROP = 0.3, 1.0
"""The margin of no-worse, and the planted drop, in points."""
_STEP = 0.25  # points: a grid of accuracies, such as that of 400 test images


def normal(draw: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Differences of two equal configurations, normal."""
    return draw.standard_normal(shape)


def discrete(draw: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Differences of two equal configurations whose accuracies lie on a grid of half their standard deviation."""
    return np.round(2 * draw.standard_normal(shape)) / 2 - np.round(2 * draw.standard_normal(shape)) / 2


def coarse(draw: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Differences of two equal configurations on a grid of twice their standard deviation: most are 0."""
    return np.round(draw.standard_normal(shape) / 2) - np.round(draw.standard_normal(shape) / 2)


def exponential(draw: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Skewed differences with mean 0: exponential ones minus 1."""
    return draw.standard_exponential(shape) - 1


def lognormal(draw: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """More skewed differences with mean 0: the exponentials of normal ones, minus their mean."""
    return np.exp(draw.standard_normal(shape)) - math.exp(0.5)


SYMMETRIC = {"normal": normal, "discrete": discrete, "coarse": coarse}
SKEWED = {"exponential": exponential, "lognormal": lognormal}


@dataclass(frozen=True)
class Test:
    """A rule that is a test: the level of `compare`, and whether an alarm is in one direction or in either."""

    alpha: float
    one_sided: bool


TESTS = {"beats, differs": Test(0.05, False), "no-worse, threshold, ratio": Test(0.10, True)}


def generator(seed: int, *names: object) -> np.random.Generator:
    """A generator of numbers that depends on the seed and the names alone."""
    return np.random.default_rng(stream(seed, " ".join(map(str, names))).integers(2**62, 4).tolist())


def alarms(test: Test, make: Callable[..., Floats], *, n: int, count: int, seed: int) -> tuple[float, float]:
    """The rates of significant results above and below 0 where the mean difference is 0."""
    d = make(generator(seed, "alarms", make.__name__, n), (count, n))
    signs = np.concatenate([decided_signs(part, alpha=test.alpha) for part in np.array_split(d, max(1, count // 2500))])
    return float((signs > 0).mean()), float((signs < 0).mean())


def order_alarms(make: Callable[..., Floats], *, n: int, count: int, seed: int) -> float:
    """How often any two neighbours of three equal sides differ significantly, by the rule order.

    The differences of the first two pairs of three sides share the side in the middle, as differences of sides do.
    """
    first, second, third = (make(generator(seed, "order", make.__name__, n, i), (count, n)) for i in range(3))
    d = np.stack([first - second, second - third], axis=1)
    parts = np.array_split(d, max(1, count // 1000))
    signs = np.concatenate([decided_in_families(part) for part in parts])
    return float((signs != 0).any(axis=1).mean())


def rate(test: Test, above: float, below: float) -> float:
    """The false alarms of a rule: in both directions, or in the worse of the two."""
    return max(above, below) if test.one_sided else above + below


def false_alarms(count: int, seed: int, sizes: Sequence[int] = SEEDS) -> list[dict[str, Any]]:
    """The false alarms of every test, distribution and number of seeds."""
    rows: list[dict[str, Any]] = []
    for name, test in TESTS.items():
        for shape, make in {**SYMMETRIC, **SKEWED}.items():
            row: dict[str, Any] = {"rule": name, "differences": shape}
            for n in sizes:
                above, below = alarms(test, make, n=n, count=count, seed=seed)
                row[f"n = {n}"] = rate(test, above, below)
            rows.append(row)
    for shape, make in SYMMETRIC.items():
        row = {"rule": "order of three, beats with a list", "differences": shape}
        row |= {f"n = {n}": order_alarms(make, n=n, count=count, seed=seed) for n in sizes}
        rows.append(row)
    return rows


def powers(count: int, seed: int, sizes: Sequence[int] = SEEDS) -> list[dict[str, Any]]:
    """How often a test finds what is true, for the spreads of real seeds."""
    rows: list[dict[str, Any]] = []
    for about, test, truth, scale in (
        ("beats: 1 point better", TESTS["beats, differs"], 1.0, math.sqrt(2)),
        ("beats: 0.5 points better", TESTS["beats, differs"], 0.5, math.sqrt(2)),
        (f"no-worse by {MARGIN:g} points: equal", TESTS["no-worse, threshold, ratio"], MARGIN, math.sqrt(2)),
        ("no-worse by 1 point: equal", TESTS["no-worse, threshold, ratio"], 1.0, math.sqrt(2)),
        ("threshold, significant: 0.5 points above", TESTS["no-worse, threshold, ratio"], 0.5, 1.0),
    ):
        for sd in SPREADS:
            row: dict[str, Any] = {"rule and truth": about, "sd of a seed": sd}
            for n in sizes:
                d = truth + scale * sd * normal(generator(seed, "power", n), (count, n))
                row[f"n = {n}"] = float((decided_signs(d, alpha=test.alpha) > 0).mean())
            rows.append(row)
    return rows


def planted(count: int, seed: int, sizes: Sequence[int] = SEEDS) -> list[dict[str, Any]]:
    """What `assay check` says of a new configuration that is a point worse than a baseline, and of an equal one.

    Two claims: threshold, the median of the seeds at least half a point below the baseline's; and no-worse than the
    stored baseline by 0.3 points. "red" is every answer but holds (exit code 1 or 3).
    """
    rows: list[dict[str, Any]] = []
    test = TESTS["no-worse, threshold, ratio"]
    for n in sizes:
        edge = MARGIN * math.sqrt(n / 2)
        for sd in sorted({*(sd for sd in SPREADS if sd * math.sqrt(2 / n) <= MARGIN + 1e-9), round(edge, 3)}):
            new, old = (sd * normal(generator(seed, side, n, sd), (count, n)) for side in ("new", "old"))
            medians = np.median(new, axis=1)
            worse = decided_signs(new - old - DROP + MARGIN, alpha=test.alpha)
            equal = decided_signs(new - old + MARGIN, alpha=test.alpha)
            row: dict[str, Any] = {"n": n, "sd of a seed": sd, "sd sqrt(2 / n)": round(sd * math.sqrt(2 / n), 3)}
            row |= {"threshold, drop: does not hold": float((medians - DROP < -DROP / 2).mean())}
            row |= {"threshold, equal: does not hold": float((medians < -DROP / 2).mean())}
            row |= {"no-worse, drop: red": float((worse <= 0).mean())}
            row |= {"no-worse, drop: does not hold": float((worse < 0).mean())}
            row |= {"no-worse, equal: does not hold": float((equal < 0).mean())}
            rows.append(row | {"no-worse, equal: holds": float((equal > 0).mean())})
    return rows


TABLES = {"false alarms": false_alarms, "power": powers, "planted": planted}
"""The tables of the tests of means; `main` adds those of `benchmarks.more_claims`."""


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table; rates in percent."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    for row in rows:
        is_rate = lambda name: name.startswith("n = ") or "drop" in name or "equal:" in name  # noqa: E731
        cells = [f"{100 * value:.1f} %" if is_rate(name) else str(value) for name, value in row.items()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Simulates, and prints the tables."""
    from benchmarks.more_claims import MORE_TABLES

    tables = TABLES | MORE_TABLES
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=10_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--n", type=int, action="append", metavar="SEEDS", help="a number of seeds; repeatable")
    parser.add_argument("--only", choices=tuple(tables), action="append", help="a table; repeatable")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    count, seed = options.simulations, options.seed
    errors = 200 * math.sqrt(0.05 * 0.95 / count)
    print(f"{count:,} simulations of each cell, seed {seed}; two standard errors of 5 % are {errors:.2f} points")
    report = {
        name: make(count, seed, options.n or SEEDS) for name, make in tables.items() if name in (options.only or tables)
    }
    for name, rows in report.items():
        print(f"\n{name}\n\n{table(rows)}")
    if options.json:
        write_atomically(options.json, json.dumps({"simulations": count, "seed": seed, **report}, indent=1).encode())


if __name__ == "__main__":
    main()
