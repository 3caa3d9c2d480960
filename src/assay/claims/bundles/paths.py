"""Paths of the publisher's machine: taken out of the sentences of results, and looked for in all that is published."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

_PATH = re.compile(r"(?<![\w:/.~\\-])(?:~|[A-Za-z]:)?(?:[/\\][^\s/\\\"'<>|,;:()]+)+[/\\]([^\s/\\\"'<>|,;:()]+)")
"""An absolute path of two parts or more."""
_SHORTEST = 2  # characters of a folder that is looked for


def without_paths(text: str) -> str:
    """A sentence in which absolute paths are their last part.

    >>> without_paths("run as: python /home/ada/train.py --rate 1/2")
    'run as: python train.py --rate 1/2'
    """
    return _PATH.sub(lambda match: match[1], text)


def plain_without_paths(value: Any, *, key: str = "") -> Any:
    """Plain data of a study, in which the words of a program are without their folders."""
    if isinstance(value, Mapping):
        return {name: plain_without_paths(item, key=str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_without_paths(item, key=key) for item in value]
    return without_paths(value) if isinstance(value, str) and key in ("command", "files") else value


def local_folders(more: Iterable[str] = ()) -> list[str]:
    """The folders that tell of this machine: of its user, of this process, of Assay and of Python, and `more`."""
    package = Path(__file__).resolve().parents[3]
    folders = [str(Path.home()), str(Path.cwd()), tempfile.gettempdir(), str(package), sys.prefix, *more]
    folders += [os.environ[name] for name in ("ASSAY_DATA", "ASSAY_STORE") if os.environ.get(name)]
    kept = {folder.rstrip("/\\") for folder in folders if "/" in folder or "\\" in folder}
    return sorted((folder for folder in kept if len(folder) >= _SHORTEST), key=len, reverse=True)


def leaks(files: Mapping[str, bytes], folders: Iterable[str]) -> Iterator[str]:
    """A sentence for each file in which one of the folders is named.

    A folder of one part, such as /data, is not looked for in pages: their scripts may have the word.
    """
    every = [spelling for folder in folders for spelling in {folder, json.dumps(folder)[1:-1]}]
    patterns = {
        is_page: _pattern(f for f in every if not is_page or len(re.findall(r"[/\\]", f)) > 1) for is_page in (0, 1)
    }
    for name, content in files.items():
        if match := patterns[name.endswith(".html")].search(content):
            yield f"{name}: names {match[0].decode(errors='replace')}, a folder of this machine"


def _pattern(spellings: Iterable[str]) -> re.Pattern[bytes]:
    words = "|".join(re.escape(spelling) for spelling in sorted(spellings, key=len, reverse=True))
    return re.compile(rf"(?<![\w.:/\\-])(?:{words})(?![\w-])".encode() if words else rb"(?!)")
