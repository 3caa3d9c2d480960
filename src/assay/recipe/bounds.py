"""What plain data of a user may be: whole numbers of 64 bits, tables of a limited depth. Checked before it is used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assay.system.limits import TOML_DEPTH, WHOLE_NUMBER

_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?(?:"""|\Z)|\'\'\'.*?(?:\'\'\'|\Z)'  # texts of several lines
    r'|(?P<text>"(?:[^"\\\n]|\\.)*"?|\'[^\'\n]*\'?)'
    r"|#[^\n]*|(?P<word>[\w+-]+)|(?P<dot>\.)|[ \t]+|(?P<other>.|\n)",
    re.DOTALL,
)


def problems_of(value: object, where: str = "", *, depth: int = 0) -> Iterator[str]:
    """A sentence for each number that has more than 64 bits, and for tables that are nested too deeply.

    >>> list(problems_of({"seed": 10**5000, "a": {"b": 1}}))
    ['seed: got a whole number of about 5,001 digits; expected at most 9,223,372,036,854,775,807']
    """
    if isinstance(value, int) and abs(value) > WHOLE_NUMBER.most:
        digits = int(value.bit_length() * 0.30103) + 1
        shown = f"{value:,}" if digits <= 40 else f"a whole number of about {digits:,} digits"
        yield f"{where}: got {shown}; expected at most {WHOLE_NUMBER.most:,}".removeprefix(": ")
    elif depth > TOML_DEPTH.most and isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        yield f"{where[:80]}: is nested more than {TOML_DEPTH.most} levels deep".removeprefix(": ")
    elif isinstance(value, Mapping):
        items: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        for key, item in items.items():
            yield from problems_of(item, f"{where}.{str(key)[:80]}" if where else str(key)[:80], depth=depth + 1)
    elif isinstance(value, list | tuple):
        entries: Sequence[Any] = value  # pyright: ignore[reportUnknownVariableType]
        for number, item in enumerate(entries):
            if isinstance(item, int | Mapping | list | tuple):
                yield from problems_of(item, f"{where}[{number}]", depth=depth + 1)


def too_deep(text: str) -> str:
    """Why a text of TOML is not parsed: its line with a dotted key of too many parts; "" if there is none.

    A parser takes memory that grows with the square of their number.

    >>> too_deep("a.b.c = 1"), too_deep("a." * 20 + "b = 1")
    ('', 'line 1: a dotted key of more than 16 parts')
    """
    if text.count(".") < TOML_DEPTH.most:
        return ""
    parts, after_dot = 0, False
    for match in _TOKEN.finditer(text):
        if match["word"] or match["text"]:
            parts = parts + 1 if after_dot else 1
            after_dot = False
        elif match["dot"]:
            after_dot = parts > 0
        elif match["other"]:
            parts, after_dot = 0, False
        if parts > TOML_DEPTH.most:
            line = text.count("\n", 0, match.start()) + 1
            return f"line {line}: a dotted key of more than {TOML_DEPTH.most} parts"
    return ""
