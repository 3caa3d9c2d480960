"""Text logs as lines and numbers: encodings, line ends, times of day, accuracies in percent or as shares."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterable

from assay.errors import FileError

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ENDS = re.compile(r"\r\n|\n|\r")  # a lone return is what a progress bar writes between its states
_TIME = re.compile(r"(?:(\d+):)?(\d+):(\d{1,2}(?:\.\d+)?)")
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|NaN|NAN|inf|Inf|INF)(?:inity)?"


def lines_of(content: bytes) -> list[str]:
    """The lines of a text, without their ends and without terminal colours. Raises: FileError where it is no text."""
    text = _decoded(content)
    if "\0" in text:
        raise FileError("a binary file; expected a text")
    lines = [_COLOURS.sub("", line) for line in _ENDS.split(text)]
    return lines[:-1] if lines and not lines[-1] else lines


def _decoded(content: bytes) -> str:
    for mark, encoding in _MARKS:  # PowerShell redirects in UTF-16
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")  # every byte is a letter there, and numbers are the same in all of them


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
    """The value, None where it is not finite."""
    return value if math.isfinite(value) else None


def fraction(accuracy: float | None, divisor: float) -> float | None:
    """An accuracy of 0 to `divisor` as a fraction, None where it is not finite. Raises: ValueError outside of that.

    >>> fraction(98.88, 100.0)
    0.9888
    """
    if accuracy is None or not math.isfinite(accuracy):
        return None
    if not 0 <= accuracy <= divisor:
        raise ValueError(f"an accuracy of {accuracy:g} lies outside 0 to {divisor:g}")
    return round(accuracy / divisor, 12)  # 98.88 / 100 is not the number that is written 0.9888


def accuracy_unit(values: Iterable[float | None], asked: str) -> tuple[float, str]:
    """What accuracies are divided by to be fractions, and the sentence on their unit.

    Percent if any is above 1, unless it was asked for: 1 as the highest of percents is no trained network.
    """
    highest = max((value for value in values if value is not None and math.isfinite(value)), default=0.0)
    unit = asked or ("percent" if highest > 1 else "share")
    why = "as was said" if asked else f"the highest is {highest:g}"
    said = "percent in the log" if unit == "percent" else "shares in the log"
    return (100.0 if unit == "percent" else 1.0), f"{said} ({why}), fractions here"
