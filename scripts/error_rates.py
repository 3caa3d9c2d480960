"""Measures how often verdicts on equal configurations are significant, and writes the tables of docs/statistics.md.

    python scripts/error_rates.py            # 10,000 runs; a few minutes
    python scripts/error_rates.py --runs 500

Differences of equal configurations are drawn at random; every run is one study. The tests are those of
`assay.analysis.families`, on all runs at once.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import special

from assay.analysis.alpha_spending import alpha_at
from assay.analysis.families import chosen
from assay.analysis.paired import (
    bootstrap_interval,
    confirmed,
    deviations,
    flip_tests,
    holm,
    resolved_deviations,
    smallest_flip_p,
    t_tests,
)
from assay.analysis.seed_values import SeedValues
from assay.analysis.seeds import Endings

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]

PAGE = Path(__file__).parents[1] / "docs" / "statistics.md"
BEGIN, END = "<!-- measured: scripts/error_rates.py -->", "<!-- end of measured -->"
ALPHA = 0.05
SEEDS = (3, 5, 8, 20)
FAMILIES = (1, 10, 45, 1000)
LOOKS = 6


def coarse(random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """-1, 0 or 1 with equal chances: accuracies of few test examples."""
    return random.integers(-1, 2, shape).astype(np.float64)


def rounded(random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Normal differences in steps of two thirds of their deviation: accuracies of a few hundred test examples."""
    return np.rint(1.5 * random.standard_normal(shape))


def two_clusters(random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """-2, -1, 1 or 2 with equal chances: symmetric, and never near 0."""
    return np.array([-2.0, -1.0, 1.0, 2.0])[random.integers(0, 4, shape)]


def exponential(random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Exponential differences with mean 0 (skewness 2)."""
    return random.exponential(size=shape) - 1


def lognormal(random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Lognormal differences with mean 0 (sigma 1, skewness 6.2)."""
    return np.exp(random.standard_normal(shape)) - math.exp(0.5)


DIFFERENCES: dict[str, Draw] = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "normal, rounded": rounded,
    "-1, 0, 1": coarse,
    "-2, -1, 1, 2": two_clusters,
    "exponential, mean 0": exponential,
    "lognormal, mean 0": lognormal,
}
SYMMETRIC = ("normal", "normal, rounded", "-1, 0, 1", "-2, -1, 1, 2")


def singles(d: Floats, *, alpha: float = ALPHA) -> NDArray[np.bool_]:
    """Whether each row (runs, n) is significant as one comparison, by the rule of `compare`."""
    sd, smallest = deviations(d), 2.0 / 2 ** min(d.shape[1], 16)
    p_t, agrees = t_tests(d, sd), confirmed(d, alpha=alpha)
    significant = agrees & np.where(sd == 0, smallest <= alpha, p_t <= alpha)
    if d.shape[1] < 8 or smallest > alpha or alpha < 0.002:
        return significant
    for i in np.flatnonzero(agrees & (sd > 0)):
        interval = bootstrap_interval(d[i], alpha=alpha)
        significant[i] = p_t[i] <= alpha if interval is None else interval[0] > 0 or interval[1] < 0
    return significant


def families(d: Floats, *, alpha: float = ALPHA) -> NDArray[np.bool_]:
    """Whether any comparison of each run is significant, from differences (n, runs, comparisons), as in `Family`.

    Holm's first step is p <= alpha / comparisons, so that only runs with a t beyond that are looked at closely. (All
    differences equal: p is that of the sign flips, 2 / 2^n.)
    """
    n, runs, m = d.shape
    mean = d.sum(axis=0) / n
    variance = (np.einsum("nrm,nrm->rm", d, d) - n * mean * mean) / (n - 1)
    variance = np.where(variance <= 1e-12 * mean * mean, 0.0, variance)
    critical = -float(special.stdtrit(n - 1, alpha / m / 2))
    beyond = mean * mean * n >= critical * critical * variance * (1 - 1e-9)
    beyond &= (variance > 0) | (2.0 / 2**n <= alpha / m)
    looked_at = np.flatnonzero(beyond.any(axis=1))
    rows = d[:, looked_at].transpose(1, 2, 0).reshape(-1, n)  # (looked at x m, n): the flips are drawn once for all
    p = t_tests(rows, resolved_deviations(rows))
    if smallest_flip_p(n) <= alpha / m:
        small = np.flatnonzero(p <= 2 * alpha / m)  # others only count where more than half are significant
        p[small] = np.maximum(p[small], flip_tests(rows[small])[0])
    by_run = p.reshape(-1, m)
    rejected = np.zeros(by_run.shape, dtype=np.bool_)
    for i in np.flatnonzero(by_run.min(axis=1, initial=1.0) <= alpha / m).tolist():
        rejected[i] = np.asarray(holm(by_run[i])) <= alpha
    places = np.flatnonzero(rejected)
    found = np.zeros(runs, dtype=np.bool_)
    for place, agrees in zip(places.tolist(), confirmed(rows[places], alpha=alpha).tolist(), strict=True):
        run = looked_at[place // m]
        found[run] = found[run] or (agrees and _bootstrap_agrees(rows[place], alpha))
    return found


def _bootstrap_agrees(d: Floats, alpha: float) -> bool:
    """Whether the bootstrap at alpha does not contradict the t test."""
    interval = bootstrap_interval(d, alpha=alpha) if d.size >= 8 and deviations(d[None])[0] > 0 else None
    return interval is None or interval[0] > 0 or interval[1] < 0


def rate(draw: Draw, n: int, m: int, runs: int) -> float:
    """The fraction of the runs in which any of m comparisons of equal configurations with n seeds is significant."""
    random = np.random.default_rng([list(DIFFERENCES.values()).index(draw), n, m])
    found, done = 0, 0
    while done < runs:
        count = min(runs - done, max(1, 2_000_000 // (n * m)))
        d = draw(random, (n, count, m))
        found += int((singles(np.ascontiguousarray(d[:, :, 0].T)) if m == 1 else families(d)).sum())
        done += count
    return found / runs


def rate_of_looks(draw: Draw, step: int, runs: int, *, corrected: bool) -> float:
    """The fraction of the runs in which one comparison is significant at any look, each adding `step` seeds."""
    random = np.random.default_rng([list(DIFFERENCES.values()).index(draw), step, LOOKS])
    d = draw(random, (runs, step * LOOKS))
    found = np.zeros(runs, dtype=np.bool_)
    for look in range(1, LOOKS + 1):
        alpha = alpha_at(look, LOOKS) if corrected else ALPHA
        found[~found] = singles(d[~found, : look * step], alpha=alpha)
    return float(found.mean())


def check() -> None:
    """The vectorised rules above are those of `assay.analysis.families`, on a few hundred studies."""
    random = np.random.default_rng(1)
    for n in SEEDS:
        for m in (1, 10):
            d = DIFFERENCES["exponential, mean 0"](random, (n, 60, m)) + 0.6
            fast = singles(np.ascontiguousarray(d[:, :, 0].T)) if m == 1 else families(d)
            for run, whether in enumerate(fast.tolist()):
                values = np.concatenate([d[:, run].T, np.zeros((1, n))])
                names = tuple(str(i) for i in range(m + 1))
                endings = (Endings(()),) * (m + 1)
                seeds = SeedValues(names, "accuracy", values, np.zeros(values.shape, dtype=np.bool_), endings)
                family = chosen(seeds, [(str(i), str(m)) for i in range(m)])
                assert bool(family.decided.any()) == whether, (n, m, run)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def tables(runs: int) -> str:
    """The measured part of the page."""
    bound = ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / runs)
    parts = [
        f"{runs:,} runs each; 5 % plus two standard errors is {100 * bound:.2f} %; what is above it although the "
        "differences are symmetric is bold. Percent of runs."
    ]
    for n in SEEDS:
        rows: list[list[str]] = []
        for name, draw in DIFFERENCES.items():
            rows.append([name, *(_cell(rate(draw, n, m, runs), name, bound) for m in FAMILIES)])
            print(n, rows[-1], flush=True)
        header = (f"differences, {n} seeds", *(f"{m:,} comparison{'' if m == 1 else 's'}" for m in FAMILIES))
        parts.append(table(header, rows))
    rows = []
    for name, draw in DIFFERENCES.items():
        cells = [_cell(rate_of_looks(draw, step, runs, corrected=True), name, bound) for step in (3, 5)]
        rows.append([name, *cells, f"{100 * rate_of_looks(draw, 3, runs, corrected=False):.2f}"])
        print("looks", rows[-1], flush=True)
    header = ("differences", f"{LOOKS} looks of 3 seeds", f"{LOOKS} looks of 5 seeds", "3 seeds, looks uncorrected")
    parts.append(table(header, rows))
    return "\n\n".join(parts)


def _cell(value: float, name: str, bound: float) -> str:
    """A rate in percent, in bold if it is above the bound although the differences are symmetric."""
    return f"**{100 * value:.2f}**" if name in SYMMETRIC and value > bound else f"{100 * value:.2f}"


def main() -> None:
    """Checks the rules, and replaces the tables of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    runs = parser.parse_args().runs
    check()
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables(runs)}\n\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
