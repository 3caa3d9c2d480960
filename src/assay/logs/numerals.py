"""Numbers as lines of text write them: to their end, so that no part of a number is read for the whole.

A form that is not understood, such as 1'034.5, 1.5 x 10^3 or 10k, comes out as written: it is no number to a reader of
cells, and its line is malformed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from assay.logs.clocks import UNITS

BEGIN = re.compile(
    r"(?<![\w.@])(?:"
    r"(\d{4}[-/]\d\d?[-/]\d\d?[T ]\d\d?:\d\d(?::\d\d(?:[.,]\d{1,12})?)?(?:Z|[+-]\d\d:?\d\d)?)(?!\d)"  # a date
    r"|((?:\d{1,6} days?, )?\d{1,6}:\d\d(?::\d\d)?(?:[.,]\d{1,9})?)(?!\d)"  # a duration, such as 1:02:03
    r"|([-+]?(?:\d+(?:,\d+)*(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,4}(?!\d))?"
    r"|[-+]?(?:nan|NaN|NAN|inf|Inf|INF)(?:inity)?(?![A-Za-z])))"
)
"""The beginning of a number: of a date, a duration, or a number with points and commas."""
_WORDS = "|".join(sorted((unit for unit in UNITS if len(unit) > 1), key=len, reverse=True))
_END = r"(?![\w/\u00b5])(?!\s{0,9}[:=])"
_PERCENT = re.compile(r"\s?(?:%|(?:percent|pct)(?!\w))", re.IGNORECASE)
_UNIT = re.compile(rf"\s?((?:{_WORDS}|[smh]){_END})")
_TIME_UNIT = re.compile(rf"\s?((?:{_WORDS}|[smhd])(?:(?=\d)|(?=/epoch\b)|{_END}))", re.IGNORECASE)
_NEXT = re.compile(
    rf"(?:,\s?|\s)?(\d{{1,15}}(?:[.,]\d{{1,15}})?)\s?((?:{_WORDS}|[smh])(?:(?=\d)|{_END}))(?!\s{{0,3}}per\b)",
    re.IGNORECASE,
)
"""A further part of a duration, such as the 30s of 1m 30s."""
_OTHER_UNIT = re.compile(
    r"\s?(?:weeks?|months?|years?|yrs?|ticks?|cycles?|ps|min(?=\.?\s?/)|stunden?|std|minuten?|sekunden?|sek|heures?"
    r"|secondes?|minutos?|segundos?|horas?)\b",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"[.,'\u2018\u2019`\u00b4_\u00b7\u00a0\u2007\u2009\u202f]{1,3}\d(?:[.,'\u2019]?\w){0,30}"  # 1'034.5, 1.2.3
    r"|(?<=\d)\s?(?:[x\u00d7*\u22c5\u00b7]|\*\*)\s?10(?!\d)[^\s,;]{0,9}"  # 1.5 x 10^3
    r"|\s?[eE][-+]?\d{1,9}(?!\w)"  # 1.5 e-3
    r"|(?:\^|\*\*|\*|[-\u2013](?=\d)|#)[-+]?\w{1,20}(?:[.,]\d{1,9})?"  # 10^3, 1-5, 1.#INF
    r"|(?!(?:of|st|nd|rd|th)(?![^\W\d_]))(?![^\W\d]\w{0,40}\s{0,9}[:=])[^\W\d]\w{0,40}(?:/\w{1,20})?"  # 10k, 1.5D-3
    r"|[\u2030\u00bd\u00bc\u00be]"
)
"""What shows that a number goes on in a form that is not read."""
_GROUPS = re.compile(
    r"(?:[ \u00a0\u202f]\d{3}(?![\w/%:]))+(?:[.,]\d{1,15})?(?!\s?[/%])|(?:[ \u00a0\u202f]0\d\d(?!\d))+"
)
_GROUP = re.compile(r"[-+]?\d{1,3}")
_BOUND = re.compile(r"(?:[<\u2264\u2265\u2248~]\s?|[:=]\s{0,9}[-\u2013]\s{1,9}|(?:^|[\s:=])[\u2010-\u2015\uff0d])$")
"""What stands before a number that is not read: a bound, a minus with a space after it, a dash in place of a minus."""
_DECIMAL = re.compile(r"(?<![\d.,:'])(\d+),(\d+)(?![\d.,':])")
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3}){1,5}(?![\d,])")
_POINT = re.compile(r"(?<![\d.,:])\d+\.\d")
_SINGLE = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}(?!\d)\D*")
DECIMAL_COMMAS = "numbers such as 2,94 have a decimal comma"
"""The note on a log whose commas are decimal."""


class Numeral(NamedTuple):
    """A number as written.

    Attributes:
        end: position after it and its unit.
        text: with all that belongs to it; not readable as a number where its form is not understood.
        unit: "%", a unit of time, or "".
        stuck: whether the unit follows without a space.
    """

    end: int
    text: str
    unit: str = ""
    stuck: bool = False

    @property
    def cell(self) -> str:
        """The number with its unit, as a table would hold it."""
        return self.text + self.unit


def numeral(text: str, begin: re.Match[str], *, time: bool) -> Numeral:
    """The number that begins with a match of `BEGIN`, to its end.

    Args:
        text: of the line.
        begin: the match.
        time: whether the name before the number is one of times, so that every unit of time belongs to it.

    >>> line = "time 1m 30s, loss 1'034.5"
    >>> [numeral(line, match, time=True).cell for match in (BEGIN.search(line), BEGIN.search(line, 12))]
    ['1m 30s', "1'034.5"]
    """
    end = begin.end()
    number = begin[0]
    if number.endswith("."):  # of a sentence, as a digit would follow
        number = number[:-1]
    if begin[3] is None:
        return _odd(text, begin.start(), end) or Numeral(end, number)
    if percent := _PERCENT.match(text, end):
        return Numeral(percent.end(), number, "%")
    if unit := (_TIME_UNIT if time else _UNIT).match(text, end):
        return _duration(text, begin, unit)
    if time and (other := _OTHER_UNIT.match(text, end)):
        return Numeral(other.end(), text[begin.start() : other.end()])
    if bounded := _BOUND.search(text, max(0, begin.start() - 20), begin.start()):
        return Numeral(end, bounded[0].strip() + number)
    return _odd(text, begin.start(), end) or Numeral(end, number)


def _odd(text: str, start: int, end: int) -> Numeral | None:
    """The number with what shows that it goes on in a form that is not read; None where it ends."""
    if _GROUP.fullmatch(text, start, end) and (groups := _GROUPS.match(text, end)):
        return Numeral(groups.end(), text[start : groups.end()])
    tail = _TAIL.match(text, end)
    return Numeral(tail.end(), text[start : tail.end()]) if tail else None


def _duration(text: str, begin: re.Match[str], unit: re.Match[str]) -> Numeral:
    """A number with a unit of time, and the parts in smaller units that follow a whole number: 1h 30m."""
    last, end = unit, unit.end()
    whole = begin[0].isdecimal()
    while whole and (part := _NEXT.match(text, end)):
        if UNITS[part[2].casefold()] >= UNITS[last[last.lastindex or 1].casefold()]:
            break
        last, end, whole = part, part.end(), part[1].isdecimal()
    if last is unit:
        if end < len(text) and text[end].isdecimal():  # 1h30
            rest = re.compile(r"\w{1,30}").match(text, end)
            return Numeral(rest.end() if rest else end, text[begin.start() : rest.end() if rest else end])
        return Numeral(end, begin[0], unit[1], unit.start(1) == begin.end())
    return Numeral(end, text[begin.start() : unit.start(1)], text[unit.start(1) : end], unit.start(1) == begin.end())


# --- commas ----------------------------------------------------------------------------------------------------------


def commas_of(cells: Iterable[tuple[str, bool]], *, decimal: bool) -> str:
    """What a comma between digits is in a log: "decimal", "thousands", "both", or "" where nothing decides it.

    Args:
        cells: of the measured quantities and the seconds, each with whether it is an accuracy.
        decimal: whether commas are decimal where no number has a point, as in a table whose cells stand between
            semicolons.

    A number such as 2,94 or 0,941 has a decimal comma, 1,234 may have one. Where numbers have points, commas are those
    of thousands, or in a table some of each kind.

    >>> commas_of([("2,94", False), ("1,234", False)], decimal=False), commas_of([("1,234", False)], decimal=False)
    ('decimal', '')
    """
    commas = points = False
    for cell, accuracy in cells:
        points = points or _POINT.search(cell) is not None
        if "," in cell and not commas and _DECIMAL.search(cell):
            commas = not is_open(cell) or (accuracy and "/" not in cell)
    if points:
        return "both" if commas and decimal else "thousands"
    return "decimal" if commas or decimal else ""


def without_commas(cell: str, commas: str) -> str:
    """The cell with a point for its decimal comma, or without the commas of thousands.

    >>> without_commas("85,5%", "decimal"), without_commas("1,234.5", "thousands"), without_commas("1,5", "thousands")
    ('85.5%', '1234.5', '1,5')
    """
    if "," not in cell or not commas or (commas == "both" and is_open(cell)):
        return cell
    return without_groups(cell) if commas == "thousands" else _DECIMAL.sub(r"\1.\2", cell)


def is_open(cell: str) -> bool:
    """Whether the comma of a number could be of either kind.

    >>> is_open("1,234"), is_open("2,94"), is_open("0,941")
    (True, False, False)
    """
    return _SINGLE.fullmatch(cell) is not None


def without_groups(cell: str) -> str:
    """The cell without the commas of its thousands.

    >>> without_groups("1,000"), without_groups("1,00")
    ('1000', '1,00')
    """
    return _GROUPED.sub(lambda match: match[0].replace(",", ""), cell)
