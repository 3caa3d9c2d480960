"""Text of a TOML file: its encoding, and the likely cause of a syntax error with what to write."""

from __future__ import annotations

import codecs
import re

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decoded(content: bytes) -> str:
    """The text of a file: UTF-8, or with a byte-order mark UTF-16 or UTF-32.

    >>> decoded("seed = 1".encode("utf-16")), decoded("seed = 1".encode("utf-8-sig"))
    ('seed = 1', 'seed = 1')

    Raises:
        ValueError: With the line of the first byte that is not UTF-8, and what to do.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return _with_mark(content, mark, encoding)
    if b"\0" in content[:200]:
        raise ValueError("it holds null bytes: UTF-16 without a byte-order mark, or no text; save it as UTF-8")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        guess = content[error.start : error.start + 1].decode("cp1252", "replace")
        raise ValueError(
            f"line {line} has the byte 0x{content[error.start]:02x}, which is not UTF-8 "
            f"(in Windows-1252 it is {guess!r}); save it as UTF-8"
        ) from None


def _with_mark(content: bytes, mark: bytes, encoding: str) -> str:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"it begins as {encoding.upper()}, but is damaged: {error.reason}") from None
    if not text and encoding != "utf-8-sig":
        raise ValueError(f"it has the byte-order mark of {encoding.upper()} and nothing else")
    return text


_DOUBLE = "\u201c\u201d\u201e\u201f\u00ab\u00bb"
_SINGLE = "\u2018\u2019\u201a\u201b\u2039\u203a\u00b4"
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2212"
_SPACES = "\u00a0\u2007\u202f\u3000"
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
_LINE = re.compile(r"at line (\d+)")


def cause(text: str, message: str) -> str:
    """The likely cause of a TOML syntax error with what to write, as the end of a sentence; "" if none is likely.

    Args:
        text: The text that is not TOML.
        message: The parser's message, which may name the line.

    >>> cause("rate = .001", "Invalid value (at line 1, column 8)")
    '; line 1: TOML needs a digit before and after the point: 0.001'
    """
    lines = text.splitlines()
    match = _LINE.search(message)
    number = int(match[1]) if match else max(1, len(lines))
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    sentence = _typography(line) or _value(line)
    return f"; line {number}: {sentence}" if sentence else ""


def _typography(line: str) -> str:
    """What is wrong with characters that a word processor or a web page has put in."""
    for characters, name, right in (
        (_DOUBLE, "typographic quotes", 'write straight quotes: "'),
        (_SINGLE, "typographic quotes", "write straight quotes: ' or \""),
        (_DASHES, "a dash that is no minus sign", "write -"),
        (_SPACES, "a space of another kind, such as a no-break space", "write a plain space"),
        (_INVISIBLE, "an invisible character", "delete it, or type the line anew"),
    ):
        present = "".join(dict.fromkeys(c for c in line if c in characters))
        if present:
            shown = f" {present}" if characters not in (_SPACES, _INVISIBLE) else ""
            return f"{name}{shown}; {right}"
    return ""


def _value(line: str) -> str:
    """What is wrong with a line of plain characters."""
    bare = line.split("#")[0].strip()
    key, equals, value = (part.strip() for part in bare.partition("="))
    if '"' in bare and "\\" in bare:
        return "in double quotes a backslash is an escape; use single quotes: 'C:\\data\\mnist'"
    if not equals and re.match(r"[\w.-]+\s*:\s", bare + " "):
        return "TOML assigns with =, not with a colon"
    if not equals:
        return ""
    if point := re.search(r"(?<![\w.])([+-]?)(\.\d+|\d+\.)(?=[eE\s,\]}]|$)", value):
        digits = point[2]
        right = f"{point[1]}0{digits}" if digits.startswith(".") else f"{point[1]}{digits}0"
        return f"TOML needs a digit before and after the point: {right}"
    if re.fullmatch(r"[+-]?\d+,\d+", value):
        return f"TOML writes a decimal point: {value.replace(',', '.')}"
    if match := re.search(r"\b(True|False)\b", value):
        return f"TOML writes {match[1].lower()}"
    if re.fullmatch(r"(None|null|nil)", value):
        return f"TOML has no {value}; leave out {key}, which then has its default"
    if re.fullmatch(r"\d+(\.\d+)?\s*%", value):
        return f'a percentage is a string, "{value}", or a fraction'
    if re.fullmatch(r"[+-]?0\d+", value):
        return f"a number has no leading zero: {value.lstrip('+-').lstrip('0') or '0'}"
    if re.fullmatch(r"[A-Za-z~/.][^\s\"'\[\]{}]*( .*)?", value):
        return f'a string needs quotes: {key} = "{value}"' if "\\" not in value else f"use single quotes: '{value}'"
    if re.match(r"[A-Za-z]:\\", value):
        return f"a path needs single quotes: '{value}'"
    return ""
