"""Measures how often races of equal configurations drop one, and writes the tables of docs/statistics.md.

    python scripts/race_rates.py            # 10,000 races each; some minutes
    python scripts/race_rates.py --races 500

Every race is one of `assay.analysis.racing`: k configurations, 8 paired seeds, a look after each from the third on.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.analysis.racing import ALPHA, race

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]

PAGE = Path(__file__).parents[1] / "docs" / "statistics.md"
BEGIN, END = "<!-- measured: scripts/race_rates.py -->", "<!-- end of measured races -->"
SEEDS = 8
RACERS = (2, 5, 10)
STEPS = (0.5, 1.0, 2.0)


def accuracies(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Accuracies on 360 test examples, near 95 %."""
    return random.binomial(360, 0.95, shape) / 360


def counts(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """-1, 0 or 1 with equal chances."""
    return random.integers(-1, 2, shape).astype(np.float64)


def unequal(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Normal scores; those of the last configuration have ten times the deviation."""
    scores = random.standard_normal(shape)
    scores[-1] *= 10
    return scores


def skewed(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Normal scores; those of the last configuration are exponential with mean 0, so that its differences are skewed.

    The deviation is three times that of the others.
    """
    scores = random.standard_normal(shape)
    scores[-1] = 3 * (1 - random.exponential(size=shape[1]))
    return scores


SCORES: dict[str, Draw] = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "normal, rounded": lambda random, shape: np.rint(1.5 * random.standard_normal(shape)),
    "accuracies of 360 examples": accuracies,
    "-1, 0, 1": counts,
    "normal, one with 10 times the deviation": unequal,
    "one skewed (exponential, 3 times the deviation)": skewed,
}
NORMAL = list(SCORES)[:5]


def measured(draw: Draw, racers: int, races: int, *, step: float = 0.0) -> tuple[float, float, float, float]:
    """Of races in which each configuration is `step` deviations worse than the one before, the fractions.

    Returns: The fraction of races that dropped any, the fraction that dropped the best, the mean number that was left,
    and the fraction of the trials that was not needed.
    """
    random = np.random.default_rng([racers, round(10 * step), [*SCORES.values()].index(draw)])
    ended = np.ones((racers, SEEDS), dtype=np.bool_)
    lost = best_lost = left = trained = 0
    for _ in range(races):
        result = race(draw(random, (racers, SEEDS)) - step * np.arange(racers)[:, None], ended)
        lost += len(result.racing) < racers
        best_lost += 0 not in result.racing
        left += len(result.racing)
        dropped = {racer: look.seeds for look in result.looks for racer in look.dropped}
        trained += sum(dropped.get(racer, result.seeds) for racer in range(racers))
    return lost / races, best_lost / races, left / races, 1 - trained / (races * racers * SEEDS)


def table(rows: list[list[str]]) -> str:
    """A Markdown table; the first row is its header."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def tables(races: int) -> str:
    """The measured part of the page."""
    bound = ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / races)
    rows = [["scores of equal configurations", *(f"{k} racers" for k in RACERS)]]
    for name, draw in SCORES.items():
        rates = [measured(draw, racers, races)[0] for racers in RACERS]
        cells = [f"**{100 * r:.2f}**" if r > bound and name in NORMAL else f"{100 * r:.2f}" for r in rates]
        rows.append([name, *cells])
        print(rows[-1], flush=True)
    power = [["each worse than the one before by", "racers", "best dropped, %", "left", "trials saved, %"]]
    for step in STEPS:
        for racers in RACERS:
            _, best_lost, left, saved = measured(SCORES["normal"], racers, races, step=step)
            line = [f"{step:g} deviations", str(racers), f"{100 * best_lost:.2f}", f"{left:.1f}", f"{100 * saved:.0f}"]
            power.append(line)
            print(line, flush=True)
    about = (
        f"{races:,} races each, {SEEDS} seeds. Percent of the races of equal configurations that dropped any; 5 % plus "
        f"two standard errors is {100 * bound:.2f} %, and what is above it although the differences are symmetric is "
        "bold."
    )
    unequal_about = "Unequal configurations, normal scores; the deviation is that of one score over seeds:"
    return f"{about}\n\n{table(rows)}\n\n{unequal_about}\n\n{table(power)}"


def main() -> None:
    """Replaces the tables of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=10_000)
    races = parser.parse_args().races
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables(races)}\n\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
