"""`assay reproduce`: a published study run again, and what was published beside what was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.options import Json, StoreUrl, Yes, console, note, prepare_folder, print_json
from assay.cli.run import ask_if_long, execute, plan_sentence
from assay.errors import AssayError, FileError
from assay.report.text import duration

if TYPE_CHECKING:
    from assay.articles.page import Page
    from assay.execution.runner import Execution


def reproduce(
    name: Annotated[str, typer.Argument(help="What to reproduce; none: the list.")] = "",
    data: Annotated[str | None, typer.Option(help="The data set in place of MNIST's own: a folder of it.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Scaled down, on the embedded digits without --data.")] = False,
    seeds: Annotated[int | None, typer.Option(help="Seeds of every configuration; none: as each study says.")] = None,
    sample: Annotated[float | None, typer.Option(help="parameter-grid: the share of its trajectories to run.")] = None,
    epochs: Annotated[int | None, typer.Option(help="lenet5: epochs of every training; the article has 100.")] = None,
    plan_only: Annotated[bool, typer.Option("--plan", help="Say what would be done, and stop.")] = False,
    stored: Annotated[bool, typer.Option("--stored", help="Report what is stored; train nothing.")] = False,
    yes: Yes = False,
    store: StoreUrl = None,
    out: Annotated[Path, typer.Option(help="The folder for the report.")] = Path("assay-out"),
    as_json: Json = False,
) -> None:
    """Run a published study again; show what was published, what was measured, and whether it holds."""
    from assay.articles import REPRODUCTIONS, asked_for, page_of, reproduction, results_of
    from assay.execution.runner import Execution, pools
    from assay.store.store import Store

    if not name:
        for key, entry in REPRODUCTIONS.items():
            console().print(f"{key:18} {entry.about}", markup=False)
        return
    chosen = reproduction(name)
    if sample is not None and name != "parameter-grid":
        raise AssayError(f"--sample: is for parameter-grid alone, not for {name}")
    if epochs is not None and name != "lenet5":
        raise AssayError(f"--epochs: is for lenet5 alone, not for {name}")
    asked = asked_for(data=data, quick=quick, seeds=seeds, sample=sample, epochs=epochs)
    prepare_folder(out)
    opened, timed = Store(store), list[str]()
    plans = chosen.plans(asked)
    executions = [Execution(pool, opened) for pool in pools(plans)]
    if not stored:
        _foretell(name, executions)
        if plan_only:
            return
        ask_if_long(sum(execution.seconds for execution in executions), yes=yes)
    interrupted = _run(executions, timed, stored=stored)
    if not interrupted and (more := chosen.then(asked, results_of(plans, opened))):
        executions = [Execution(pool, opened) for pool in pools(more)]
        if not stored:
            _foretell(name, executions)
        interrupted = _run(executions, timed, stored=stored)
        plans = [*plans, *more]
    page = page_of(chosen, asked, plans, opened)
    if timed:
        page = replace(page, lead=[*page.lead, f"In this run: {'; '.join(timed)}."])
    files = _written(page, out, f"{name}{'-quick' if quick else ''}")
    if as_json:
        print_json({"reproduction": name, "files": [str(f) for f in files], "time": timed, **page.plain()})
    else:
        _print(page)
    for line in timed:
        note(line)
    note("written: " + ", ".join(map(str, files)))
    if interrupted:
        note("interrupted; the same command goes on where it was")
        raise typer.Exit(130)


def _foretell(name: str, executions: list[Execution]) -> None:
    for execution in executions:
        note(plan_sentence(execution))
    note(f"{name}: about {duration(sum(execution.seconds for execution in executions))} together")


def _run(executions: list[Execution], timed: list[str], *, stored: bool) -> bool:
    """Runs the studies in turn; adds to `timed` what each took; True where Ctrl-C ended one. `stored`: runs none."""
    for execution in executions:  # all, for the page reads also those that are stored whole or are not reached
        execution.register()
    for execution in [] if stored else executions:
        if not execution.open:
            continue
        expected, begin = execution.seconds, perf_counter()
        interrupted = execute(execution)
        took = perf_counter() - begin
        done = f"{execution.name}: {duration(took)}"
        timed.append(f"{done}, interrupted" if interrupted else f"{done}; estimated before: {duration(expected)}")
        if interrupted:
            return True
    return False


def _written(page: Page, folder: Path, stem: str) -> list[Path]:
    from assay.report.charts.writing import write

    files = [folder / f"{stem}{ending}" for ending in (".md", ".html")]
    for file, text in zip(files, (page.markdown(stem), page.html()), strict=True):
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise FileError(f"{file}: cannot be written: {error.strerror or error}") from None
    return [*files, *(write(picture.chart, folder / picture.file(stem)) for picture in page.pictures)]


def _print(page: Page) -> None:
    from assay.cli import tables
    from assay.report.text import clean

    screen = console()
    for text in [page.title, page.banner, *page.lead]:
        if text:
            screen.print(clean(text), markup=False)
    for table in page.tables:
        screen.print(tables.of_rows(table.title, table.head, table.rows))
        if table.note:
            screen.print(clean(table.note), markup=False)
