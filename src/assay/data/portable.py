"""Names of data sets that mean the same on every machine, in the place of the paths of folders and files."""

from __future__ import annotations

import re
from pathlib import Path

from assay.data.datasets import DATASETS

KNOWN = {
    "303918b84c1aa28562a34b4c3b9457904281e5ecdb80fc7b856762b3f6e61b31": "digits",
    "0a755e2486339f906c22aa04fd0c88256dfda84caea82a53c907b973ec72363b": "digits-28",
    "c956bdbbea7ade66a0ac220b3fa0d5a40d03ca1a36632730dc93a398eb6f7c57": "mnist",
}
"""Data sets by the checksum of their content."""
MARKED = re.compile(r"[^/\\]+@(?P<checksum>[0-9a-f]{12})")
"""A name that stands for a folder of another machine: its last part, and the beginning of the data's checksum."""
_DIGITS = 12
_ENDINGS = (".npz", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq")


def is_path(name: str) -> bool:
    """Whether the name of a data set is the path of a folder or a file.

    >>> is_path("mnist"), is_path("openml:61"), is_path("/data/mnist"), is_path("letters.npz")
    (False, False, True, True)
    """
    if name in DATASETS or name.startswith("openml:") or MARKED.fullmatch(name):
        return False
    return "/" in name or "\\" in name or name.startswith("~") or name.lower().endswith(_ENDINGS)


def portable_name(name: str, checksum: str | None) -> str:
    """The name of a data set without the folder that it lies in.

    A folder that holds a known data set has the name of that set, any other its last part and the beginning of its
    checksum. A word that is no path stays as it is.

    Args:
        name: The name or path, as a recipe has it.
        checksum: Of its content, in hexadecimal digits; None if it is unknown.

    >>> portable_name("/home/ada/kana", "12ab34cd56ef7890")
    'kana@12ab34cd56ef'
    """
    if name in DATASETS or name.startswith("openml:") or MARKED.fullmatch(name):
        return name
    if checksum in KNOWN:
        return KNOWN[checksum]
    if not is_path(name):
        return name
    last = re.split(r"[/\\]+", name.rstrip("/\\"))[-1]
    if last in ("", ".", "..") or last.startswith("~"):
        last = Path(name).expanduser().resolve().name if last in (".", "..") else "data"
    last = last or "data"
    return f"{last}@{checksum[:_DIGITS]}" if checksum else last
