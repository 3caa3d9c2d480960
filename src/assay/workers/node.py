"""What a node of a cluster says about itself before it trains: `python -P -m assay.workers.node QUESTION`.

The question is JSON with `engines`. The answer is a line of JSON; it is compared with that of the driver.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from assay.engines import load
from assay.engines.promises import NUMERICS
from assay.errors import AssayError
from assay.system.machine import describe, instruction_level, usable_cores, versions

PATTERNS = ("**/*.py", "_native*")
"""The files of Assay that its results depend on."""


@cache
def installed_files() -> str:
    """The beginning of a SHA-256 of the files of Assay that are installed here."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    files = {path for pattern in PATTERNS for path in root.glob(pattern) if path.is_file()}
    for path in sorted(files, key=lambda path: path.relative_to(root).as_posix()):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def native_levels() -> list[str]:
    """The instruction levels that the native engine may use here, the best first: that of ASSAY_NATIVE_LEVEL alone."""
    try:
        from assay.engines.native_engine import levels
    except ImportError:  # the kernel is not built
        return []
    wanted = os.environ.get("ASSAY_NATIVE_LEVEL")
    return [level for level in levels() if wanted in (None, "", level)]


def facts(engines: Sequence[str]) -> dict[str, Any]:
    """What this machine is, and of each engine its numerics, its instruction level, or why it cannot be used here."""
    about: dict[str, Any] = {
        "assay": versions()["assay"],
        "files": installed_files(),
        "cores": len(usable_cores()),
        "levels": native_levels(),
        "processor": instruction_level(),
        "describe": describe(),
        "numerics": {f"{engine}, {kind}": version for (engine, kind), version in NUMERICS.items()},
        "missing": {},
        "used": {},
    }
    for name in engines:
        try:
            about["used"][name] = load(name, device="cpu", threads=1).instruction_level()
        except AssayError as error:
            about["missing"][name] = str(error)
    return about


def main(arguments: list[str]) -> None:
    """Prints the facts of this node. A closed output is nobody's loss."""
    question = json.loads(arguments[0])
    answer = json.dumps(facts(question["engines"]), default=str)
    with suppress(BrokenPipeError):
        print(answer, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
