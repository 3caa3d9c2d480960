"""Measures how late trainings with `budget.seconds` end, and prints the rows of the table in docs/stopping.md."""

from __future__ import annotations

import os
from statistics import median

import assay

_SEEDS = range(1, 6)


def main() -> None:
    """Trains 3LS on the digits for 0.5 s and 2 s on each engine, and prints how late each training ended."""
    for engine in ("native", "numpy", "torch"):
        for seconds in (0.5, 2.0):
            recipe = {"model": "3LS", "data": "digits", "budget": {"seconds": seconds}}
            histories = [assay.fit(recipe | {"seed": seed}, engine=engine) for seed in _SEEDS]
            late = [1000 * (history.ledger.train - seconds) for history in histories]
            counts = [history.iterations for history in histories]
            cells = [engine, f"{seconds} s", str(len(late)), f"{median(late):.0f} ms"]
            cells += [f"{min(late):.1f} .. {max(late):.0f} ms", f"{min(counts):,} .. {max(counts):,}"]
            print("| " + " | ".join(cells) + " |", flush=True)
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
