"""Formats of tables: drawn on a terminal, CSV, Markdown or LaTeX. Every command that prints a table has them all."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.narrow import plain_text
from assay.cli.printing import console, frame_records, note, print_csv, print_json
from assay.errors import AssayError
from assay.report.text import frame_csv, markdown, markdown_text

if TYPE_CHECKING:
    from rich.table import Table

    from assay.results.results import Results

Frame = Any  # a pandas frame


class TableFormat(StrEnum):
    """How tables are printed."""

    TEXT = ""
    CSV = "csv"
    MARKDOWN = "markdown"
    LATEX = "latex"

    @property
    def as_option(self) -> dict[str, bool]:
        """The option that asks for it, for a command line to repeat; none for text."""
        return {self.value: True} if self else {}


_ABOUT = {
    TableFormat.CSV: "Print the table as CSV.",
    TableFormat.MARKDOWN: "Print the table as Markdown.",
    TableFormat.LATEX: "Print the table as LaTeX (booktabs).",
}
PARAMETER = "table_format"
"""The parameter of a command's function that holds the format; a function that has it prints a table."""


def option(form: TableFormat) -> inspect.Parameter:
    """The option of a format as a parameter of a command's function."""
    annotation = Annotated[bool, typer.Option(f"--{form}", help=_ABOUT[form])]
    return inspect.Parameter(form.value, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)


OPTIONS = tuple(map(option, _ABOUT))
"""`--csv`, `--markdown` and `--latex`."""


def chosen(values: Mapping[str, Any], *, as_json: bool) -> TableFormat:
    """The format that the options ask for. Raises: AssayError for more than one."""
    asked = [form for form in _ABOUT if values[form]]
    names = [*(f"--{form}" for form in asked), *(["--json"] if as_json else [])]
    if len(names) > 1:
        raise AssayError(f"{' and '.join(names)}: expected one of them; a table is printed in one format")
    return asked[0] if asked else TableFormat.TEXT


def refuse_format(table_format: TableFormat, why: str) -> None:
    """Raises AssayError if a format was asked for where no table is printed."""
    if table_format:
        raise AssayError(f"--{table_format}: {why}")


def print_frame(
    frame: Frame,
    *,
    title: str,
    table_format: TableFormat = TableFormat.TEXT,
    as_json: bool = False,
    imported: Frame | None = None,
) -> None:
    """Prints a frame as a table, or in the format that the options ask for.

    Args:
        frame: A pandas frame.
        title: Title of the table.
        table_format: Format of the table. CSV has the numbers unrounded.
        as_json: Whether --json was given.
        imported: A frame of imported curves, which JSON has as an entry of its own.
    """
    from assay.cli import tables
    from assay.report.cells import displayed, latex

    if as_json:
        extra = {} if imported is None or not len(imported) else {"imported": frame_records(imported)}
        print_json({"title": title, "rows": frame_records(frame), **extra})
    elif table_format is TableFormat.CSV:
        typer.echo(frame_csv(frame), nl=False)
    elif table_format is TableFormat.MARKDOWN:
        typer.echo(markdown(displayed(frame)))
    elif table_format is TableFormat.LATEX:
        typer.echo(latex(displayed(frame), caption=title))
    else:
        console().print(tables.of_frame(displayed(frame), title))


def print_summary(results: Results, table_format: TableFormat) -> None:
    """Prints the configurations of a study in a format; CSV has all columns, the others those that people read."""
    from assay.analysis.phases import PHASE, by_phase
    from assay.analysis.quantities import REGRESSION, score_of, task_of

    summary = by_phase(results.summary())
    validated = any(count > 0 for count in summary["validation_n"].tolist())
    phase = [PHASE] if PHASE in summary.columns else []
    task = task_of(summary)
    test = score_of(task).column
    columns = [
        "configuration",
        *phase,
        "trials",
        "n",
        test,
        "sd",
        "low",
        "high",
        *(["rmse"] if task is REGRESSION else []),
    ]
    columns += [score_of(task, "validation").column, "validation_sd"] if validated else []
    is_csv = table_format is TableFormat.CSV
    shown = summary if is_csv else summary[[*columns, "seconds", *([] if task is REGRESSION else ["effort"])]]
    print_frame(shown, title=results.name, table_format=table_format)


def print_tables(
    drawn: Sequence[Table], *, table_format: TableFormat, raw: Frame | Sequence[Mapping[str, Any]] | None = None
) -> None:
    """Prints tables, on the terminal as they are drawn, and in Markdown and LaTeX one below the other.

    Args:
        drawn: The tables.
        table_format: Their format.
        raw: What CSV has: rows of unrounded values. By default, it has the words of the tables; those of several
            tables follow each other under all their columns, and the first column names the table.
    """
    from assay.report.cells import latex

    if table_format is TableFormat.TEXT:
        for table in drawn:
            console().print(table)
    elif table_format is TableFormat.CSV:
        _print_csv(drawn, raw)
    elif table_format is TableFormat.LATEX:
        typer.echo("\n\n".join(latex(words(table), caption=plain_text(table.title or "")) for table in drawn))
    else:
        titles = [markdown_text(plain_text(table.title or "")) for table in drawn]
        parts = [
            f"{title}\n\n{markdown(words(table))}" if title and len(drawn) > 1 else markdown(words(table))
            for title, table in zip(titles, drawn, strict=True)
        ]
        typer.echo("\n\n".join(parts))
    if table_format in (TableFormat.MARKDOWN, TableFormat.LATEX):
        for table in drawn:
            note(plain_text(table.caption)) if table.caption else None


def _print_csv(drawn: Sequence[Table], raw: Frame | Sequence[Mapping[str, Any]] | None) -> None:
    if raw is not None and not isinstance(raw, Sequence):
        typer.echo(frame_csv(raw), nl=False)
    elif raw is not None:
        print_csv([dict(row) for row in raw])
    elif len(drawn) == 1:
        typer.echo(frame_csv(words(drawn[0])), nl=False)
    else:
        import pandas

        frames = [(plain_text(table.title or ""), words(table)) for table in drawn]
        for title, frame in frames:
            frame.insert(0, "table", title, allow_duplicates=True)
        typer.echo(frame_csv(pandas.concat([frame for _, frame in frames], ignore_index=True)), nl=False)


def words(table: Table) -> Frame:
    """The cells of a drawn table as a frame of words, each header in one line; without headers, names and values."""
    import pandas

    headers = [" ".join(plain_text(column.header).split()) for column in table.columns]
    if not table.show_header:
        headers = ["name", "value"]
    cells = {
        i: [" ".join(plain_text(cell).split("\n")) for cell in column.cells] for i, column in enumerate(table.columns)
    }
    frame = pandas.DataFrame(cells, dtype=object)
    frame.columns = pandas.Index(headers)
    return frame


__all__ = [
    "OPTIONS",
    "PARAMETER",
    "TableFormat",
    "chosen",
    "print_frame",
    "print_summary",
    "print_tables",
    "refuse_format",
    "words",
]
