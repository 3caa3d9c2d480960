"""Times in logs: durations, dates, times of day; and what a column of them counts, decided by its name and values."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

from assay.errors import AssayError
from assay.logs.lines import number_of

DAY = 86400.0
_UNIX = (6e8, 4.2e9)  # seconds from 1989 to 2103; no training lasts 19 years
_MORNING = 6 * 3600.0  # an epoch of more hours is rarer than a clock that shows them
_SCALES = (1.0, 1e-3, 1e-6, 1e-9)  # Unix times in s, ms, us and ns
_TIME = re.compile(r"(?:(\d{1,6}) days?, )?(?:(\d{1,6}):)?(\d{1,6}):(\d{1,2}(?:[.,]\d{1,12})?)")
_DATE = re.compile(
    r"(\d{4})[-/](\d\d?)[-/](\d\d?)[T ]\s*(\d\d?):(\d\d)(?::(\d\d(?:[.,]\d{1,12})?))?\s*(Z|UTC|[+-]\d\d:?\d\d)?"
)
UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "msec": 1e-3,
    "msecs": 1e-3,
    "millis": 1e-3,
    "millisecond": 1e-3,
    "milliseconds": 1e-3,
    "s": 1.0,
    "sec": 1.0,
    "secs": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "m": 60.0,
    "min": 60.0,
    "mins": 60.0,
    "minute": 60.0,
    "minutes": 60.0,
    "h": 3600.0,
    "hr": 3600.0,
    "hrs": 3600.0,
    "hour": 3600.0,
    "hours": 3600.0,
    "d": DAY,
    "day": DAY,
    "days": DAY,
}
"""The units of time that headers and cells use, in seconds."""
_AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{0,15})?)\s*(" + "|".join(sorted(UNITS, key=len, reverse=True)) + r")(?![a-zµ])")


class Time(NamedTuple):
    """A time as written: its seconds, and whether it is a "date" with a time, may be a time of "day", or neither."""

    seconds: float
    stamp: str = ""


def time_of(text: str, factor: float = 1.0) -> Time | None:
    """The time that a cell writes; `factor` is the unit of plain numbers in seconds.

    >>> time_of("2 min 5 s"), time_of("14:03:20"), time_of("soon")
    (Time(seconds=125.0, stamp=''), Time(seconds=50600.0, stamp='day'), None)
    """
    text = text.strip()
    number = number_of(text)
    if number is not None:
        return Time(number * factor) if math.isfinite(number) and number >= 0 else None
    if match := _TIME.fullmatch(text):
        days, hours, minutes, seconds = match.groups()
        total = DAY * int(days or 0) + 3600.0 * int(hours or 0) + 60.0 * int(minutes) + float(seconds.replace(",", "."))
        clock_face = days is None and hours is not None and int(hours) < 24 and int(minutes) < 60
        return Time(total, "day" if clock_face else "")
    if match := _DATE.fullmatch(text):
        return _date(match)
    return _amounts(text)


def seconds_of(text: str) -> float | None:
    """Seconds from "309.35", "01:53:56" or "5:43"; None for anything else.

    >>> seconds_of("01:53:56"), seconds_of("1.38"), seconds_of("soon")
    (6836.0, 1.38, None)
    """
    time = time_of(text)
    return None if time is None or time.stamp == "date" else time.seconds


def _date(match: re.Match[str]) -> Time | None:
    year, month, day, hour, minute, second, zone = match.groups()
    try:
        begin = datetime(int(year), int(month), int(day), int(hour), int(minute), tzinfo=UTC).timestamp()
    except ValueError:
        return None
    offset = 0.0
    if zone and zone[0] in "+-":
        offset = (1 if zone[0] == "+" else -1) * (3600.0 * int(zone[1:3]) + 60.0 * int(zone[-2:]))
    return Time(begin + float((second or "0").replace(",", ".")) - offset, "date")


def _amounts(text: str) -> Time | None:
    """The sum of amounts in ever smaller units: "1h 2m 3.5s"."""
    total, position, unit = 0.0, 0, math.inf
    while position < len(text):
        match = _AMOUNT.match(text.casefold(), position)
        if match is None or UNITS[match[2]] >= unit:
            return None
        unit = UNITS[match[2]]
        total += float(match[1]) * unit
        position = match.end()
        while position < len(text) and text[position] in " ,":
            position += 1
    return Time(total) if position else None


class Clock(NamedTuple):
    """What a column of seconds counts.

    Attributes:
        kind: "per-epoch", "elapsed" or "unix", a choice of `--seconds`.
        reason: why it was decided so, as the end of a sentence.
        seconds: in the unit s; of an absolute clock since its first value.
    """

    kind: str
    reason: str
    seconds: list[float]


def clock_of(seconds: Sequence[float], stamps: Sequence[str], *, specified: str, named: str, name: str) -> Clock:
    """What a column of seconds counts: as specified, else by its name, else by the values.

    Args:
        seconds: one per record, in their order.
        stamps: of the same records, see `Time`.
        specified: the choice of `--seconds`, or "".
        named: the kind that the name of the column says, or "".
        name: of the column.

    Raises: AssayError where more than one reading fits.

    >>> clock_of([60.0, 121.0, 180.0], ["", "", ""], specified="", named="", name="time").kind
    'elapsed'
    """
    if specified == "unix":
        return Clock("unix", "as specified", _absolute(seconds, stamps))
    if specified and "date" in stamps:
        raise AssayError(f"the seconds in {name!r} are dates; expected --seconds unix, got --seconds {specified}")
    if specified:
        return Clock(specified, "as specified", list(seconds))
    if reason := _absolute_reason(seconds, stamps, named):
        return Clock("unix", reason, _absolute(seconds, stamps))
    if named in ("elapsed", "per-epoch"):
        return Clock(named, f"by its name, {name!r}", list(seconds))
    kind, reason = _by_values(seconds, name, day=all(stamp == "day" for stamp in stamps))
    return Clock(kind, reason, list(seconds))


def _scale(seconds: Sequence[float]) -> float | None:
    """The unit of Unix times in seconds; None where the numbers are none."""
    low, high = min(seconds), max(seconds)
    return next((scale for scale in _SCALES if _UNIX[0] <= low * scale and high * scale <= _UNIX[1]), None)


def _spreadsheet(seconds: Sequence[float]) -> bool:
    """Whether the values are days since 1900, as a spreadsheet stores dates: from 2009 to 2064, within a month."""
    return min(seconds) >= 40_000 and max(seconds) <= 60_000 and max(seconds) - min(seconds) < 31


def _absolute_reason(seconds: Sequence[float], stamps: Sequence[str], named: str) -> str:
    """Why a column is an absolute clock, or ""."""
    if "date" in stamps:
        return "they are dates"
    if scale := _scale(seconds):
        unit = {1.0: "seconds", 1e-3: "milliseconds", 1e-6: "microseconds", 1e-9: "nanoseconds"}[scale]
        return f"they are Unix times in {unit}"
    if named == "unix":
        return "they are the days of a spreadsheet" if _spreadsheet(seconds) else "by its name"
    if not all(stamp == "day" for stamp in stamps) or named or len(seconds) < 2:
        return ""
    steps = [(b - a) % DAY for a, b in pairwise(seconds)]
    falls = sum(b < a for a, b in pairwise(seconds))
    if falls and all(a - b > DAY / 2 for a, b in pairwise(seconds) if b < a):
        return "they are times of day that pass midnight"
    if not falls and seconds[0] > max(10 * max(steps), _MORNING):
        return f"they are times of day: the first is {_face(seconds[0])}, far beyond the step of {max(steps):g} s"
    return ""


def _face(seconds: float) -> str:
    return f"{int(seconds // 3600):02}:{int(seconds % 3600 // 60):02}:{seconds % 60:02.0f}"


def _absolute(seconds: Sequence[float], stamps: Sequence[str]) -> list[float]:
    """Seconds since the first value; times of day go on after midnight."""
    if "date" in stamps and any(stamp != "date" for stamp in stamps):
        raise AssayError("some times are dates, others are not; expected the same for all")
    scale = 1.0 if "date" in stamps else _scale(seconds) or (DAY if _spreadsheet(seconds) else 1.0)
    if stamps and all(stamp == "day" for stamp in stamps):
        total, counted = 0.0, [0.0]
        for before, after in pairwise(seconds):
            total += (after - before) % DAY if after < before else after - before
            counted.append(total)
        return counted
    first = seconds[0]
    return [round((value - first) * scale, 9) for value in seconds]


def _by_values(seconds: Sequence[float], name: str, *, day: bool) -> tuple[str, str]:
    """Whether the values are per epoch or elapsed, and why. Raises: AssayError where both fit."""
    if len(seconds) < 2:
        return "elapsed", "assumed of a single value"
    if min(seconds) == max(seconds):
        return "per-epoch", "they are constant"
    falls = [i for i, (a, b) in enumerate(pairwise(seconds)) if b < a]
    if falls:
        runs = _rising_runs(seconds, falls)
        if len(runs) <= 1 + len(seconds) // 3 and all(len(run) > 2 and run[-1] >= 2 * run[0] for run in runs):
            raise AssayError(_ask(name, f"rise and fall back {len(falls)} times, as after a restart", day=day))
        return "per-epoch", "they decrease"
    first, last = seconds[0], seconds[-1]
    if first > 0 and last < 2 * first:
        raise AssayError(_ask(name, f"rise from {first:g} to {last:g}", day=day))
    return "elapsed", "they never decrease, and the last is at least twice the first"


def _rising_runs(seconds: Sequence[float], falls: Sequence[int]) -> list[Sequence[float]]:
    starts = [0, *(i + 1 for i in falls)]
    return [seconds[a:b] for a, b in zip(starts, [*starts[1:], len(seconds)], strict=True)]


def _ask(name: str, what: str, *, day: bool) -> str:
    return (
        f"the seconds in {name!r} {what}, which fits seconds per epoch and elapsed seconds; "
        f"choose --seconds per-epoch or --seconds elapsed{' or --seconds unix (a time of day)' if day else ''}"
    )
