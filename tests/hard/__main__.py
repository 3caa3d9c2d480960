"""`python -m tests.hard --cases N --seed S [--only NAME]`: runs the fault injectors and adds to their counts."""

import argparse
import importlib
import secrets
import sys
import time
from pathlib import Path

from . import CASES, counts

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def main() -> int:
    """Runs the injectors that were asked for; exits with 1 if one of them broke a promise."""
    options = _options()
    broken = 0
    if options.docs:
        PAGE.write_text(counts.document(PAGE))
        return 0
    for name in options.only or CASES:
        if options.fixed:
            counts.fixed(name)
            continue
        start = time.monotonic()
        run = importlib.import_module(CASES[name]).run(options.seed, options.cases)
        words = ", ".join(f"{number} {word}" for word, number in run.items())
        print(f"{name}: seed {options.seed}: {words} ({time.monotonic() - start:.0f} s)", flush=True)
        broken += run["failures"]
        if not options.dry:
            total = counts.add(name, options.seed, run)
            print(f"{name}: since the last fix: {total['cases']} cases, {total['failures']} failures", flush=True)
    return 1 if broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hard", description=__doc__)
    parser.add_argument("--cases", type=int, default=20, help="cases of each injector [default: 20]")
    parser.add_argument("--seed", type=int, default=None, help="seed of the cases [default: a fresh one, printed]")
    parser.add_argument("--only", action="append", choices=list(CASES), help="this injector only; may be repeated")
    parser.add_argument("--dry", action="store_true", help="add nothing to the file of counts")
    parser.add_argument("--docs", action="store_true", help=f"write the table of counts into {PAGE.name}, run nothing")
    parser.add_argument("--fixed", action="store_true", help="start the counts anew after a fix, and run nothing")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = secrets.randbelow(1_000_000_000)
    return options


if __name__ == "__main__":
    sys.exit(main())
