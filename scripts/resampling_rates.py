"""Measures how often two equally good classifiers differ "significantly" over folds and re-splits of one data set.

Two ridge classifiers, one on each half of the features, which are exchangeable, so that neither is better. Each
repetition draws a data set anew. `python scripts/resampling_rates.py` prints the table of docs/statistics.md.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.analysis.paired import t_test
from assay.data.resampling import Draw, rows_of

Numbers = NDArray[Any]
FEATURES, RIDGE, SHIFT = 6, 1.0, 0.5


def data(rng: np.random.Generator, n: int) -> tuple[Numbers, Numbers]:
    """n examples of two classes, with a shift of each feature between them."""
    y = rng.permutation(np.arange(n) % 2)
    return rng.standard_normal((n, 2 * FEATURES)) + SHIFT * (2 * y[:, None] - 1), y


def accuracy(x: Numbers, y: Numbers, training: Numbers, test: Numbers) -> float:
    """The accuracy on the test rows of a ridge regression of the classes -1 and 1."""
    a, target = x[training], 2.0 * y[training] - 1
    centre = a.mean(axis=0)
    w = np.linalg.solve(
        (a - centre).T @ (a - centre) + RIDGE * np.eye(a.shape[1]), (a - centre).T @ (target - target.mean())
    )
    return float((((x[test] - centre) @ w + target.mean() > 0) == (y[test] == 1)).mean())


def replicates(x: Numbers, y: Numbers, draws: list[Draw]) -> tuple[Numbers, float]:
    """The differences over the draws, and test examples / training examples."""
    d, ratio = np.empty(len(draws)), 0.0
    for i, draw in enumerate(draws):
        training, test = rows_of("simulated", y, draw, tested=len(y) // 5)
        d[i] = accuracy(x[:, :FEATURES], y, training, test) - accuracy(x[:, FEATURES:], y, training, test)
        ratio += len(test) / len(training) / len(draws)
    return d, ratio


def main(repetitions: int) -> None:
    """Prints the table."""
    methods = {
        "5 folds": [Draw(0, 5, i) for i in range(1, 6)],
        "10 folds": [Draw(0, 10, i) for i in range(1, 11)],
        "10 folds (2 x 5)": [Draw(s, 5, i) for s in range(2) for i in range(1, 6)],
        "100 folds (10 x 10)": [Draw(s, 10, i) for s in range(10) for i in range(1, 11)],
        "10 re-splits": [Draw(s) for s in range(1, 11)],
        "30 re-splits": [Draw(s) for s in range(1, 31)],
    }
    print("| examples | replicates | runs | uncorrected, % | corrected, % | 2 standard errors of 5 % |")
    print("| --- | --- | --- | --- | --- | --- |")
    for n in (150, 500):
        for name, draws in methods.items():
            runs = repetitions
            rng, found = np.random.default_rng(n), np.zeros(2)
            for _ in range(runs):
                d, ratio = replicates(*data(rng, n), draws)
                if np.ptp(d) > 0:
                    found += [t_test(d) <= 0.05, t_test(d, overlap=ratio) <= 0.05]
            wide = 200 * np.sqrt(0.05 * 0.95 / runs)
            print(
                f"| {n} | {name} | {runs:,} | {100 * found[0] / runs:.1f} | {100 * found[1] / runs:.1f} | {wide:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
