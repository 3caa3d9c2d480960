"""HTML pages of one file that load nothing: the shell, its style, escaping, tables and downloads.

What stands in a page is text: no name, label or sentence of a study can run, load or break anything.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import Any

from assay.report.cells import displayed
from assay.report.text import clean_lines, frame_csv

Frame = Any
_LONG = 20  # rows, above which a table scrolls by itself
_MOST_ROWS = 300  # of a table; the data that can be downloaded are whole
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
_SCRIPTS_TOO = "; script-src 'unsafe-inline' 'unsafe-eval'"


def text(value: object) -> str:
    """The value as text of a page, also inside quotes, without control characters.

    >>> text('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    """
    return html.escape(clean_lines(str(value)), quote=True)


def page(title: str, parts: Sequence[str], *, style: str = "", scripts: Sequence[str] = ()) -> str:
    """A page of the parts, which are HTML; `style` follows the style of every page, `scripts` are whole elements."""
    return _SHELL.format(
        title=text(title),
        policy=_POLICY + (_SCRIPTS_TOO if scripts else ""),
        style=STYLE + style,
        body="\n".join(part for part in parts if part),
        scripts="\n".join(scripts),
    )


def items(lines: Sequence[str]) -> str:
    """Sentences as a list."""
    return "<ul>" + "".join(f"<li>{text(line)}</li>" for line in lines) + "</ul>"


def rows_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of words below a header."""
    lines = "\n".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    names = "".join(f"<th>{text(name)}</th>" for name in header)
    return f'<div class="wide"><table><thead><tr>{names}</tr></thead><tbody>\n{lines}\n</tbody></table></div>'


def frame_table(frame: Frame, key: str, *, file: str = "") -> str:
    """A frame as a table whose rows a script can filter, sort, and choose by the column `key`.

    `file` is where the page has all its rows, which the first ones name if there are more.
    """
    columns = [str(column) for column in frame.columns]
    body: list[str] = []
    words = displayed(frame.head(_MOST_ROWS))
    names = "".join(f'<th scope="col"><button>{text(column)}</button></th>' for column in words.columns)
    records = frame.head(_MOST_ROWS).to_dict("records")
    for record, shown in zip(records, words.itertuples(index=False), strict=True):
        pairs = zip(columns, shown, strict=True)
        cells = "".join(_cell(column, record[column], word) for column, word in pairs)
        body.append(f'<tr data-name="{text(record.get(key, ""))}">{cells}</tr>')
    more = len(frame) - _MOST_ROWS
    where = f" in {text(file)}" if file else ""
    note = f'<p class="note">{more:,} more rows are in the data below{where}.</p>' if more > 0 else ""
    rows = "\n".join(body)
    long = " long" if len(body) > _LONG else ""
    return f'<div class="wide{long}"><table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table></div>{note}'


def matrix(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A square table of signs, whose cells say on hover what is compared; the columns have the rows' numbers."""
    head = "".join(f'<th scope="col" title="{text(name)}">{i}</th>' for i, name in enumerate(names, 1))
    body = ""
    for i, (name, signs) in enumerate(zip(names, rows, strict=True), 1):
        cells = "".join(
            f'<td title="{text(f"{name}, {other}")}">{text(s)}</td>' for other, s in zip(names, signs, strict=True)
        )
        body += f'<tr data-name="{text(name)}"><th scope="row">{i} {text(name)}</th>{cells}</tr>'
    table = f'<table class="matrix"><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="wide">{table}</div>'


def _cell(column: str, value: Any, word: str) -> str:
    """A cell: numbers with their value to nine digits, by which the table sorts."""
    if value is None or value != value:
        return "<td>-</td>"
    is_word = isinstance(value, str | bool) or type(value).__name__ == "bool_"
    if not is_word and (isinstance(value, int | float) or hasattr(value, "dtype")):
        return f'<td data-value="{float(value):.9g}">{text(word)}</td>'
    return f"<td>{text(word[:8] if column == 'trial' else word)}</td>"


def pairs(lines: Sequence[tuple[str, str]]) -> str:
    """Names with their values."""
    rows = "".join(f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>' for name, value in lines)
    return f'<div class="wide"><table class="pairs"><tbody>{rows}</tbody></table></div>'


def download(name: str, frame: Frame) -> str:
    """A link that saves the frame as CSV, which the page holds."""
    content = base64.b64encode(frame_csv(frame).encode()).decode()
    return f'<p><a download="{name}" href="data:text/csv;base64,{content}">{name}</a>, {len(frame):,} rows</p>'


_SHELL = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
{scripts}
</body>
</html>
"""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --faint: #666; --line: #ddd; --mark: #fff3c4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #16181b; --faint: #a0a0a0; --line: #3a3d42; --mark: #4a4320; }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { margin: 0.5rem 0 0; overflow-wrap: anywhere; }
h2 { margin: 2.2rem 0 0.6rem; font-size: 1.25rem; }
.question { font-size: 1.1rem; color: var(--faint); margin-top: 0.2rem; }
.note { color: var(--faint); font-size: 0.9rem; }
figure { margin: 0; overflow-x: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; }
th, td { text-align: left; padding: 0.25rem 0.7rem 0.25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
td[data-value] { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { overflow-x: auto; font-size: 0.85rem; border: 1px solid var(--line); padding: 0.7rem; }
@media print {
  figure, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
  figure, .wide { overflow: visible; }
  table { font-size: 0.6rem; }
  th, td { padding-right: 0.35rem; }
}
"""

__all__ = ["STYLE", "download", "frame_table", "items", "matrix", "page", "pairs", "rows_table", "text"]
