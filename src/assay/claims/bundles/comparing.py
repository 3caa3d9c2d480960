"""Compares the files of a bundle with those that its data give."""

from __future__ import annotations

import base64
import json
import math
import re
import sys
import tomllib
import zlib
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from assay.claims.bundles.derived import FIGURES
from assay.errors import shortened
from assay.system.limits import BUNDLE_TEXT_BYTES, TOML_BYTES

_TOLERANCE = 1e-9  # relative, of figures: sums of floats depend on the processor in their last digits
_DIGITS = 9  # of numbers in texts
_SHOWN = 8  # differences of one file that are named
_WORDS = ("answers", "evidence", "rule", "reason")
"""Keys of figures whose texts another version may word otherwise."""
_NUMBER = re.compile(r"(?<![\w.])\d+\.\d{6,}(?:[eE][-+]?\d+)?")
_PACKED = re.compile(r"data:application/gzip;base64,([A-Za-z0-9+/=]+)")


def file_problems(
    files: Mapping[str, bytes], expected: Mapping[str, bytes], *, same_packages: bool
) -> tuple[list[str], list[str]]:
    """What the files say that the data do not give, and the files that could not be compared.

    Args:
        files: Of the bundle.
        expected: The same, made from the data.
        same_packages: Whether they were made by the same versions of the packages.
    """
    problems: list[str] = []
    unseen: list[str] = []
    for name in sorted(set(files) | set(expected)):
        if name not in expected:
            if name.startswith("report/") and not same_packages:
                unseen.append(name)
            else:
                problems.append(f"{name}: no file of a bundle with these data")
        elif name not in files:
            problems.append(f"{name}: is missing; the data give it")
        elif files[name] == expected[name]:
            continue
        elif name in FIGURES:
            problems += figure_problems(name, files[name], expected[name], same_packages=same_packages)
        elif name.endswith(".toml"):
            problems += [f"{name}: {p}" for p in _toml_problems(files[name], expected[name], same=same_packages)]
        elif same_packages:
            problems += [f"{name}: {problem}" for problem in _text_problems(files[name], expected[name])]
        else:
            unseen.append(name)
    return problems, unseen


def figure_problems(name: str, content: bytes, expected: bytes, *, same_packages: bool) -> list[str]:
    """The figures of a file that the data do not give, each with its place."""
    if len(content) > BUNDLE_TEXT_BYTES.most:
        return [f"{name}: has {len(content):,} bytes; expected at most {BUNDLE_TEXT_BYTES}"]
    try:
        found = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return [f"{name}: not JSON: {str(error)[:200]}"]
    different = list(_unlike(found, json.loads(expected), "", words=same_packages))
    return [f"{name}: {sentence}" for sentence in different[:_SHOWN]] + (
        [f"{name}: and {len(different) - _SHOWN:,} more figures that the data do not give"]
        if len(different) > _SHOWN
        else []
    )


def _unlike(found: Any, expected: Any, place: str, *, words: bool) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in dict.fromkeys([*expected, *found]):
            if key in _WORDS and not words:
                continue
            inner = f"{place}.{key}" if place else str(key)
            if key not in found or key not in expected:
                yield f"{inner} is {'missing' if key not in found else 'not among the figures of the data'}"
            else:
                yield from _unlike(found[key], expected[key], inner, words=words)
    elif isinstance(expected, list) and isinstance(found, list):
        if len(found) != len(expected):
            yield f"{place} has {len(found):,} entries, the data give {len(expected):,}"
        for number, (one, other) in enumerate(zip(found, expected, strict=False)):
            yield from _unlike(one, other, f"{place}[{number}]", words=words)
    elif not _alike(found, expected):
        yield f"{place} is {_shown(found)}, the data give {_shown(expected)}"


def _alike(found: Any, expected: Any) -> bool:
    numbers = (int, float)
    if isinstance(found, bool) or isinstance(expected, bool):
        return found is expected
    if isinstance(found, int) and isinstance(expected, int):
        return found == expected  # also those that no float can hold
    if isinstance(found, numbers) and isinstance(expected, numbers):
        return abs(found) <= sys.float_info.max and math.isclose(found, expected, rel_tol=_TOLERANCE, abs_tol=1e-15)
    return type(found) is type(expected) and found == expected


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 100 else text[:97] + "..."


def _toml_problems(content: bytes, expected: bytes, *, same: bool) -> Iterator[str]:
    """A sentence where a recipe or a study is another one, or its comments are under the same packages."""
    if len(content) > TOML_BYTES.most:
        yield f"has {len(content):,} bytes; expected at most {TOML_BYTES}"
        return
    try:
        found = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        yield f"not TOML: {str(error)[:200]}"
        return
    if found != tomllib.loads(expected.decode()):
        yield from _text_problems(content, expected) if same else ["is not what the data give"]
    elif same:
        yield from _text_problems(content, expected)


def _text_problems(content: bytes, expected: bytes) -> Iterator[str]:
    """The first line that differs, numbers compared to nine digits."""
    try:
        found = comparable(content)
    except (ValueError, zlib.error) as error:
        yield f"cannot be read: {str(error)[:200]}"
        return
    given = comparable(expected)
    for number, (one, other) in enumerate(zip_longest(found, given), 1):
        if one != other:
            yield f"line {number:,} is {_cut(one, other)}, the data give {_cut(other, one)}"
            return


def _cut(line: str | None, other: str | None) -> str:
    """A line from shortly before where it differs from another one."""
    if line is None:
        return "missing"
    same = next((n for n, (a, b) in enumerate(zip(line, other or "", strict=False)) if a != b), 0)
    start = max(0, same - 30)
    return shortened([repr(("..." if start else "") + line[start : same + 60])], 1)


def comparable(content: bytes) -> list[str]:
    """The lines of a text, packed data in it unpacked, and numbers of many digits rounded to nine.

    Raises: ValueError where it is no text.
    """
    left = BUNDLE_TEXT_BYTES.most

    def unpacked(match: re.Match[str]) -> str:
        nonlocal left
        data = zlib.decompressobj(31).decompress(base64.b64decode(match[1]), left + 1)
        left -= len(data)
        if left < 0:
            raise ValueError(f"its packed data have more than {BUNDLE_TEXT_BYTES}")
        return data.decode("utf-8")

    text = _PACKED.sub(unpacked, content.decode("utf-8"))
    return _NUMBER.sub(lambda match: f"{float(match[0]):.{_DIGITS}g}", text).splitlines()


__all__ = ["comparable", "figure_problems", "file_problems"]
