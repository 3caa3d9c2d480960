"""`assay reproduce`: a published study run again, and what was published beside what was measured."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.printing import Json, StoreUrl, console, note, prepare_folder, print_json
from assay.cli.studies import Yes, ask_if_long, duration, execute, plan_sentence
from assay.errors import AssayError, FileError

if TYPE_CHECKING:
    from assay.reproducing.pages import Page
    from assay.running import Execution


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
    from assay.reproducing import REPRODUCTIONS, asked_for, reproduction
    from assay.results import Results
    from assay.running import Execution
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
    opened = Store(store)
    executions = [Execution(plan, opened) for plan in chosen.plans(asked)]
    interrupted, timed = False, list[str]()
    if not stored:
        for execution in executions:
            note(plan_sentence(execution))
        seconds = sum(execution.seconds for execution in executions)
        note(f"{name}: about {duration(seconds)} together")
        if plan_only:
            return
        ask_if_long(seconds, yes=yes)
    for execution in executions:  # all, for the page reads also those that are stored whole or are not reached
        execution.register()
    if not stored:
        interrupted = _run(executions, timed)
    results = {e.plan.study.name.removesuffix("-quick"): Results(opened, e.plan.study.name) for e in executions}
    page = chosen.page(asked, results)
    files = _written(page, out / f"{name}{'-quick' if quick else ''}")
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


def _run(executions: list[Execution], timed: list[str]) -> bool:
    """Runs the studies in turn; adds to `timed` what each took; True where Ctrl-C ended one."""
    for execution in executions:
        if not execution.open:
            continue
        expected, begin = execution.seconds, perf_counter()
        interrupted = execute(execution)
        took = perf_counter() - begin
        done = f"{execution.plan.study.name}: {duration(took)}"
        timed.append(f"{done}, interrupted" if interrupted else f"{done}; estimated before: {duration(expected)}")
        if interrupted:
            return True
    return False


def _written(page: Page, stem: Path) -> list[Path]:
    files = [stem.with_name(stem.name + ending) for ending in (".md", ".html")]
    for file, text in zip(files, (page.markdown(), page.html()), strict=True):
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise FileError(f"{file}: cannot be written: {error.strerror or error}") from None
    return files


def _print(page: Page) -> None:
    from assay.report import tables
    from assay.report.tables import clean

    screen = console()
    for text in [page.title, page.banner, *page.lead]:
        if text:
            screen.print(clean(text), markup=False)
    for table in page.all_tables():
        screen.print(tables.of_rows(table.title, table.head, table.rows))
        if table.note:
            screen.print(clean(table.note), markup=False)
