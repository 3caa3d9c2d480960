"""Text logs as lines and numbers: encodings, line ends, durations, accuracies in percent or as fractions."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterable

from assay.errors import FileError

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ENDS = re.compile(r"\r\n|\n|\r")  # a progress bar writes a lone carriage return between its states
_TIME = re.compile(r"(?:(\d+):)?(\d+):(\d{1,2}(?:\.\d+)?)")
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|NaN|NAN|inf|Inf|INF)(?:inity)?"


def lines_of(content: bytes) -> list[str]:
    """The lines of a text, without line ends and terminal colours. Raises: FileError for a binary file."""
    text = _decoded(content)
    if "\0" in text:
        raise FileError("a binary file; expected a text file")
    lines = [_COLOURS.sub("", line) for line in _ENDS.split(text)]
    return lines[:-1] if lines and not lines[-1] else lines


def _decoded(content: bytes) -> str:
    for mark, encoding in _MARKS:  # PowerShell redirects in UTF-16
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")  # it decodes every byte, and digits are the same in every encoding


def seconds_of(text: str) -> float | None:
    """Seconds from "309.35", "01:53:56" or "5:43"; None for anything else.

    >>> seconds_of("01:53:56"), seconds_of("1.38"), seconds_of("soon")
    (6836.0, 1.38, None)
    """
    match = _TIME.fullmatch(text.strip())
    if match:
        return 3600.0 * int(match[1] or 0) + 60.0 * int(match[2]) + float(match[3])
    value = number_of(text)
    return value if value is not None and math.isfinite(value) and value >= 0 else None


def number_of(text: str) -> float | None:
    """A number, which may be infinite or NaN; None for anything else."""
    return float(text) if re.fullmatch(NUMBER, text.strip()) else None


def finite(value: float) -> float | None:
    """The value; None if it is not finite."""
    return value if math.isfinite(value) else None


def fraction(accuracy: float | None, divisor: float) -> float | None:
    """An accuracy from 0 to `divisor` as a fraction, None if it is not finite. Raises: ValueError outside that range.

    >>> fraction(98.88, 100.0)
    0.9888
    """
    if accuracy is None or not math.isfinite(accuracy):
        return None
    if not 0 <= accuracy <= divisor:
        raise ValueError(f"an accuracy of {accuracy:g} lies outside 0 to {divisor:g}")
    return round(accuracy / divisor, 12)  # the float 98.88 / 100 is not the float 0.9888


def accuracy_unit(values: Iterable[float | None], specified: str) -> tuple[float, str]:
    """The divisor that makes accuracies fractions, and a sentence on their unit.

    Without a specified unit it is percent if any value is above 1: no trained network has at most 1 percent.
    """
    highest = max((value for value in values if value is not None and math.isfinite(value)), default=0.0)
    unit = specified or ("percent" if highest > 1 else "share")
    reason = "as specified" if specified else f"the highest is {highest:g}"
    if unit == "percent":
        return 100.0, f"percent in the log ({reason}), fractions here"
    return 1.0, f"fractions in the log ({reason})"


def whole_number(digits: str) -> int:
    """The number that digits write; Python reads no more than 4,300 of them, and no count has more than 18.

    >>> whole_number("60000"), whole_number("9" * 5000)
    (60000, 1000000000000000000)
    """
    return int(digits) if len(digits) <= 18 else 10**18
