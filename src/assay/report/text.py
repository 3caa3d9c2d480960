"""How numbers and names are written for people."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pydantic_core


def number(value: float | None) -> str:
    """A loss with four decimals, or in powers of ten where that shows nothing."""
    if value is None:
        return "-"
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.2e}"


def percent(value: float | None) -> str:
    """A fraction in percent, a dash where there is none.

    >>> percent(0.975)
    '97.50 %'
    """
    return "-" if value is None or value != value else f"{100 * value:.2f} %"


def short_percent(fraction: float, digits: int = 2) -> str:
    """A fraction in percent with so many significant digits, written out: 100 %, not 1e+02 %.

    >>> short_percent(1.0), short_percent(0.0714), short_percent(0.000000123), short_percent(0.25, 3)
    ('100 %', '7.1 %', '0.000012 %', '25 %')
    """
    return f"{Decimal(f'{100 * fraction:.{digits}g}'):f} %"


def score_words(accuracy: float | None, r2: float | None) -> str:
    """The score of a trial or a study: its accuracy in percent, or R2 of a regression, a dash without one.

    >>> score_words(0.975, None), score_words(None, -0.5), score_words(None, None)
    ('97.50 %', 'R2 -0.5', '-')
    """
    return percent(accuracy) if r2 is None or r2 != r2 else f"R2 {r2:.4g}"


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "row"), counted(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them.

    >>> duration(0.01), duration(0.52), duration(89), duration(95), duration(1720), duration(9720)
    ('0 s', '0.5 s', '89 s', '1.6 min', '29 min', '2.7 h')
    """
    units = (("h", 3600.0), ("min", 60.0))
    unit, size = next(((unit, size) for unit, size in units if seconds >= 1.5 * size), ("s", 1.0))
    amount = seconds / size
    return f"{amount:.0f} {unit}" if amount >= 9.95 or amount < 0.05 else f"{amount:.1f} {unit}"


_FORMULA = ("=", "+", "-", "@")


def clean(text: object) -> str:
    """Text from outside without control characters, so that a name cannot steer the terminal."""
    words = str(text)
    if words.isprintable():  # none is a control character
        return words
    return "".join("\N{REPLACEMENT CHARACTER}" if _steers(c) else c for c in words)


def distinguished(texts: Iterable[str]) -> dict[str, str]:
    """Each text as `clean` shows it; texts that would look alike have code points in place of what tells them apart.

    >>> distinguished(["y", "y ", "x"])
    {'y': 'y', 'y ': 'y<U+0020>', 'x': 'x'}
    """
    alike: dict[str, list[str]] = {}
    for text in dict.fromkeys(texts):
        alike.setdefault(" ".join(unicodedata.normalize("NFC", clean(text)).split()), []).append(text)
    return {text: clean(text) if len(group) == 1 else _spelled(text) for group in alike.values() for text in group}


def _spelled(text: str) -> str:
    """A text of which every character that is not plainly visible is written as its code point."""
    plain = len(text.rstrip(" "))
    return "".join(
        c if "!" <= c <= "~" or (c == " " and 0 < place < plain and text[place - 1] != " ") else f"<U+{ord(c):04X}>"
        for place, c in enumerate(text)
    )


def _steers(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] == "C" or category in ("Zl", "Zp")  # the separators of lines and paragraphs break a line


def readable(text: str) -> str:
    """A name from the command line or the file system, read as UTF-8 where the locale's encoding could not.

    >>> readable("caf\\udcc3\\udca9")
    'café'
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "replace").decode("utf-8")


def file_stem(study: str) -> str:
    """A study's name as the stem of a file name: no path, no control characters."""
    return "".join(c if c.isalnum() or c in "-_. " else "-" for c in study).strip(". ") or "study"


def clean_lines(text: str) -> str:
    """`clean`, line by line."""
    return "\n".join(clean(line) for line in text.split("\n"))


def csv_cell(text: str) -> str:
    """A text as a cell of a CSV file, which a spreadsheet must not take for a formula: with an apostrophe before it.

    `from_csv_cell` gives the text back.

    >>> csv_cell("=1+1"), csv_cell("adam"), csv_cell("'=1+1")
    ("'=1+1", 'adam', "''=1+1")
    """
    cleaned = clean(text)
    return "'" + cleaned if cleaned.lstrip("'")[:1] in _FORMULA else cleaned


def from_csv_cell(cell: str) -> str:
    """The text of a cell that `csv_cell` wrote.

    >>> from_csv_cell("''=1+1"), from_csv_cell("it's")
    ("'=1+1", "it's")
    """
    return cell[1:] if cell[:1] == "'" and cell.lstrip("'")[:1] in _FORMULA else cell


def frame_csv(frame: Any, *, header: bool = True) -> str:
    """Any frame as CSV without its index. Texts may be names from a stranger's store: none is a formula."""
    safe: dict[str, str] = {}  # a text that many rows have is cleaned once

    def cell(value: Any) -> str:
        if not isinstance(value, str):
            return _quoted(str(value))
        return safe.get(value) or safe.setdefault(value, _quoted(csv_cell(value)))

    columns = [_cells(frame.iloc[:, place], cell) for place in range(frame.shape[1])]
    if len(columns) == 1:
        columns = [[text or '""' for text in columns[0]]]  # an empty line would be no row
    names = [",".join(map(cell, frame.columns))] if header else []
    lines = [*names, *map(",".join, zip(*columns, strict=True)), ""]
    return os.linesep.join(lines)


def _quoted(text: str) -> str:
    """A text as a field of a CSV file."""
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def _cells(column: Any, cell: Callable[[Any], str]) -> list[str]:
    """The cells of a column of a CSV file, empty where a value is missing."""
    kind = getattr(column.dtype, "str", "")
    if kind in ("<f8", "<i8"):
        return float_texts(column.to_numpy()) if kind == "<f8" else list(map(str, column.tolist()))
    cells = [cell(value) for value in column.astype(object).tolist()]
    for place in column.isna().to_numpy().nonzero()[0].tolist():
        cells[place] = ""
    return cells


def float_texts(values: Any) -> list[str]:
    """Each number of an array as `repr` writes it, "" for NaN; five times as fast.

    >>> import numpy as np
    >>> float_texts(np.array([0.1, 1e-7, float("nan"), float("-inf")]))
    ['0.1', '1e-07', '', '-inf']
    """
    if not values.size:
        return []
    sizes = abs(values)
    alike = ((sizes >= 1e-4) & (sizes < 1e16)) | (sizes == 0)  # JSON writes these as `repr` does
    texts = pydantic_core.to_json(values[alike].tolist()).decode()[1:-1].split(",") if alike.any() else []
    if len(texts) == values.size:
        return texts
    whole, others = iter(texts), values.tolist()
    return [
        next(whole) if is_alike else repr(value) if value == value else ""
        for is_alike, value in zip(alike.tolist(), others, strict=True)
    ]


def markdown(frame: Any) -> str:
    """Any frame as a Markdown table; no cell is markup."""
    header = [str(column) for column in frame.columns]
    lines = [[plain_cell(value) for value in row] for row in frame.itertuples(index=False)]
    rule = "| " + " | ".join(["---"] * len(header)) + " |"
    first, *rest = ("| " + " | ".join(map(markdown_text, line)) + " |" for line in [header, *lines])
    return "\n".join([first, rule, *rest])


_MARKUP = re.compile(r"[\\|`*<>~$]|\](?=[(\[])|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")


def markdown_text(text: str) -> str:
    """A text in which Markdown reads no markup, HTML, formula or border of a cell; without control characters.

    >>> print(markdown_text("a|b <i> *c* [8] [x](y) x_1 _y_"))
    a\\|b \\<i\\> \\*c\\* [8] [x\\](y) x_1 \\_y\\_
    """
    return _MARKUP.sub(lambda match: "\\" + match[0], clean(text))


def plain_cell(value: Any) -> str:
    """A value of a frame as a cell of a table."""
    if value is None or str(value) in ("nan", "<NA>"):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
