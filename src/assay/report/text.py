"""How numbers and names are written for people."""

from __future__ import annotations

import re
import unicodedata
from typing import Any


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

    def cell(value: Any) -> Any:
        return csv_cell(value) if isinstance(value, str) else value

    words = frame.select_dtypes(exclude="number").columns  # numbers are no formulas, and are most of a large frame
    safe = frame.assign(**{column: frame[column].map(cell) for column in words}) if frame.columns.is_unique else None
    return str((frame.map(cell) if safe is None else safe).rename(columns=cell).to_csv(index=False, header=header))


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
