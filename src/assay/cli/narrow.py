"""Tables on a narrow terminal: without padding and with folded headers, else one record for each row."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_LEAST = 13  # characters of a text that is folded into a column: those of "configuration"


def fitted(table: Table, width: int) -> Table | Group:
    """The table where its columns are readable in so many characters, else its rows as records.

    A column is readable if its longest word fits, or of a column of folded text at least thirteen characters of it. A
    table that is wider than the terminal loses its padding first, and the words of its headers stand one below the
    other. Changes the table.
    """
    for column in table.columns:  # else Rich reads the unit of "training [s]" as markup, and does not show it
        column.header = Text(plain_text(column.header))
    if not table.show_header or _width(table, least=False) <= width:
        return table
    headers = [str(column.header) for column in table.columns]
    table.padding = (0, 0)
    for column, header in zip(table.columns, headers, strict=True):
        column.header = Text(header.replace(" ", "\n"))
        column.min_width = None if column.min_width is None else min(column.min_width, _LEAST)
    spare = width - _width(table, least=True)
    if spare >= 0:
        for column in table.columns:  # Rich narrows it below its least width, and then draws too wide a table
            if column.min_width is not None and column.overflow == "fold":
                longest = max(map(len, [str(column.header), *map(plain_text, column.cells)]))
                column.width = min(longest, column.min_width + spare)
                break
        return table
    return Group(*_records(table, headers, width))


def _width(table: Table, *, least: bool) -> int:
    """The characters of a table's lines: those of its widest cells, or the `least` at which they are readable."""
    each: list[int] = []
    for column in table.columns:
        lines = [line for text in (str(column.header), *map(plain_text, column.cells)) for line in text.split("\n")]
        parts = [word for line in lines for word in line.split()] if least and not column.no_wrap else lines
        longest = max(map(len, parts), default=1)
        each.append(
            max(min(longest, _LEAST), column.min_width or 1) if least and column.overflow == "fold" else longest
        )
    padding = len(each) * (table.padding[1] + table.padding[3])
    return sum(each) + padding + (len(each) + 1 if table.box is not None else 0)


def _records(table: Table, headers: Sequence[str], width: int) -> list[RenderableType]:
    """The title, then for each row its first cell and below it the other ones by their headers."""
    names = [" ".join(header.split()) for header in headers]
    rows: list[Sequence[str]] = list(zip(*(map(plain_text, column.cells) for column in table.columns), strict=True))
    longest = max(map(len, names[1:]), default=0)
    lines = [str(table.title)] if table.title else []
    for row in rows:
        lines.append(row[0])
        for name, cell in zip(names[1:], row[1:], strict=True):
            first, rest = f"  {name:{longest}}  ", " " * (longest + 4)
            lines += textwrap.wrap(cell, width, initial_indent=first, subsequent_indent=rest) or [first.rstrip()]
    lines += [str(table.caption)] if table.caption else []
    return [Text(line, overflow="fold") for line in lines]


def plain_text(cell: RenderableType) -> str:
    """The words of a cell, a header or a title."""
    return cell.plain if isinstance(cell, Text) else str(cell)
