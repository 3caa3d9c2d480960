"""Text logs as lines and numbers: encodings, line ends, durations, accuracies in percent or as fractions."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterable

from assay.errors import FileError
from assay.system.limits import LOG_CELLS, LOG_COLUMNS, LOG_LINES, LOG_TEXT_BYTES

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ENDS = re.compile(r"\r\n|\n|\r")  # a progress bar writes a lone carriage return between its states
NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|NaN|NAN|inf|Inf|INF)(?:inity)?"


def lines_of(content: bytes) -> list[str]:
    """The lines of a text, without line ends and terminal colours. Raises: FileError for a binary file."""
    text = _decoded(content)
    if "\0" in text:
        raise FileError("a binary file; expected a text file")
    if len(content) > LOG_TEXT_BYTES.most:
        raise FileError(f"a text of more than {LOG_TEXT_BYTES}; cut it to the lines of the training")
    refuse_size(max(text.count("\n"), text.count("\r")))
    lines = [_COLOURS.sub("", line) for line in _ENDS.split(text)]
    return lines[:-1] if lines and not lines[-1] else lines


def refuse_size(lines: int, *, columns: int = 1) -> None:
    """Refuses a log of too many lines, columns or cells by their numbers. Raises: FileError."""
    if lines > LOG_LINES.most or columns > LOG_COLUMNS.most or lines * columns > LOG_CELLS.most:
        what = f"{lines:,} lines" if columns == 1 else f"{columns:,} columns in {lines:,} lines"
        raise FileError(
            f"{what}; expected at most {LOG_LINES}, {LOG_COLUMNS} and {LOG_CELLS}: cut it to what is needed"
        )


def _decoded(content: bytes) -> str:
    for mark, encoding in _MARKS:  # PowerShell redirects in UTF-16
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    if encoding := _unmarked(content[:1000]):
        return content.decode(encoding, errors="replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")  # it decodes every byte, and digits are the same in every encoding


def _unmarked(sample: bytes) -> str:
    """The UTF-16 of a text without a byte-order mark, whose every second byte is 0 in Western texts, or ""."""
    for encoding, zeros, others in (("utf-16-le", sample[1::2], sample[::2]), ("utf-16-be", sample[::2], sample[1::2])):
        if len(sample) > 3 and 0 not in others and zeros.count(0) > 0.9 * len(zeros):
            return encoding
    return ""


def number_of(text: str) -> float | None:
    """A number, which may be infinite or NaN; None for anything else."""
    return float(text) if _NUMBER.fullmatch(text.strip()) else None


_NUMBER = re.compile(NUMBER)
_LITERALS = re.compile(
    r"\b(?:(?:np|numpy|torch|tf|jnp)\.)?(?:float\d+|bfloat16|tensor|Tensor|array|Array)"
    rf"\(\s*\[?\s*({NUMBER})\s*\]?(?:,[^()]{{0,200}}(?:\([^()]{{0,99}}\)[^()]{{0,99}}){{0,3}})?\)"
)
_TENSORS = re.compile(rf"<tf\.Tensor:[^<>]{{0,200}}numpy=({NUMBER})>")
_MINUS = re.compile(r"[\u2212\ufe63]\s{0,3}(?=[.,]?\d|inf)")
_SIGNS = str.maketrans({"\uff05": "%", "\u066a": "%"})
_JULIA = re.compile(r"(?<=\d)f([-+]?\d{1,2})\b")


def plain_numbers(text: str) -> str:
    """The text with bare numbers in place of the literals of libraries, and the minus and percent signs of Unicode as
    those of ASCII.

    >>> plain_numbers("loss=np.float64(0.31), acc: tensor(0.9, device='cuda:0'), 0.5f0")
    'loss=0.31, acc: 0.9, 0.5e0'
    """
    if not text.isascii():
        text = _MINUS.sub("-", text).translate(_SIGNS)
    if "(" in text:
        text = _TENSORS.sub(r"\1", _LITERALS.sub(r"\1", text))
    return _JULIA.sub(r"e\1", text) if "f" in text else text


_PREFIXES = re.compile(
    r"\s*(?:"
    r"[\[(]?\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?[\])]?"  # a date and a time
    r"|[\[(]?\d\d?:\d\d:\d\d(?:[.,]\d+)?[\])]?(?=[\s:|-])"  # a time of day
    r"|[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w./-]+:\d+\]"  # glog
    r"|[\[(]?(?:DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|NOTICE)[\])]?(?::[\w.]+(?=:))?(?=[\s:|,-]|$)"
    r"|[\w.]+ (?=- (?:DEBUG|INFO|WARNING|ERROR)\b)"  # the logger's name between the time and the level
    r"|[\[(][\w./-]+(?:\.py)?:\d+[\])]"  # the file and the line of the call
    r"|(?:__main__|root|train|main|[\w.]+\.\w+)(?=(?::\d+)? (?:- |\|))(?::\d+)?"  # a logger after the level
    r")\s*[:|>-]*\s*"
)


def without_prefix(text: str) -> str:
    """The text of a line without a logger's time, level and name.

    >>> without_prefix("2024-05-01 12:00:00,123 - train - INFO - epoch 1: loss 0.5")
    'epoch 1: loss 0.5'
    >>> without_prefix("INFO:root:Train Epoch: 1")
    'Train Epoch: 1'
    """
    position = 0
    for _ in range(6):
        match = _PREFIXES.match(text, position)
        if match is None or match.end() == position:
            break
        position = match.end()
    return text[position:]


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
    unit = specified or ("percent" if highest > 1 else "fraction")
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
