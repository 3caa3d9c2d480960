"""The process that lists the devices of a library: `python -P -m assay.engines.listing ENGINE` prints them and ends."""

from __future__ import annotations

import importlib
import sys

from assay.engines import ENGINES
from assay.engines.devices import line_of
from assay.engines.seen import Seen


def main(engine: str) -> None:
    """Prints the devices that the library of an engine sees."""
    seen: Seen = importlib.import_module(ENGINES[engine][0]).seen_here()
    print(line_of(seen), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
