"""Check that no code of one instruction level can leak into another: `python scripts/check_symbols.py BUILD_FOLDER`.

The kernel is compiled once per level, with that level's instructions. The linker keeps one copy of an inline function
or a template that several object files define under one name, whichever comes first. If the kernel for AVX-512 defined
such a function outside its own namespace, the kernel for the baseline, or the module itself, could call a copy full of
AVX-512 instructions: a crash on machines that lack them, and bits that depend on the order of linking.

So every symbol that a level's object file shares with the linker must be in the namespace of that level.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def leaks(lines: list[str], level: str) -> list[str]:
    """The symbols in the output of `nm -P` that are shared with the linker and outside the level's namespace.

    A name that has the namespace in an argument only, such as `std::swap<assay::avx2::Block>`, is unique to the level,
    too.
    """
    namespace = re.compile(rf"(5assay|S[0-9A-Z]*_){len(level)}{level}")  # mangled; S_ stands for what was named before
    leaked: list[str] = []
    for line in lines:
        name, kind = line.split()[:2]
        defined = kind == "u" or (
            kind.isupper() and kind != "U"
        )  # other small letters: local to the file, or undefined
        if defined and not namespace.search(name):
            leaked.append(f"{name} ({kind})")
    return leaked


def main(folders: list[str]) -> int:
    """Checks the object files in `kernel_LEVEL.dir` below the folders; returns 1 if one leaks, or there is none."""
    objects = [path for folder in folders for path in sorted(Path(folder).glob("**/kernel_*.dir/**/*.o"))]
    if not objects:
        print(f"no object files of the kernel in {', '.join(folders) or 'no folder'}", file=sys.stderr)
        return 1
    failed = False
    for path in objects:
        level = next(part for part in path.parts if re.fullmatch(r"kernel_\w+\.dir", part))[
            len("kernel_") : -len(".dir")
        ]
        listing = subprocess.run(["nm", "-P", path], capture_output=True, text=True, check=True).stdout.splitlines()
        leaked = leaks(listing, level)
        print(f"{level}: {len(listing)} symbols, {len(leaked)} outside its namespace")
        for symbol in leaked:
            failed = True
            print(f"  {symbol}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
