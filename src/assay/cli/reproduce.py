"""`assay reproduce`: a published study run again, with the published figures next to the measured ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.exits import Exit
from assay.cli.files import prepare_folder
from assay.cli.formats import TableFormat, print_tables
from assay.cli.options import Json, Out, PlanOnly, Quick, StoreUrl, Yes, typed_store
from assay.cli.plans import confirm_if_large, print_plan
from assay.cli.printing import console, note, print_json
from assay.cli.progress import execute
from assay.errors import AssayError
from assay.report.text import clean, duration
from assay.system.command_line import command_line
from assay.system.energy import EnergyMeter
from assay.system.files import write_atomically

if TYPE_CHECKING:
    from assay.articles.page import Page
    from assay.execution.runner import Execution
    from assay.store.store import Store
    from assay.studies.plan import Plan

_FROM_STUDY = "set by each study"


def reproduce(
    name: Annotated[str, typer.Argument(help="What to reproduce; without a name, list what there is.")] = "",
    data: Annotated[
        str | None, typer.Option(help="Data set: a name or a folder.", show_default="mnist; digits with --quick")
    ] = None,
    quick: Quick = False,
    seeds: Annotated[
        int | None, typer.Option(help="Number of seeds per configuration.", show_default=_FROM_STUDY)
    ] = None,
    sample: Annotated[
        float | None,
        typer.Option(help="parameter-grid only: fraction of the trajectories to train.", show_default="all"),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="lenet5 only: number of epochs per training.", show_default=_FROM_STUDY)
    ] = None,
    plan_only: PlanOnly = False,
    stored: Annotated[bool, typer.Option("--stored", help="Report what is stored; train nothing.")] = False,
    yes: Yes = False,
    store: StoreUrl = None,
    out: Out = Path("assay-out"),
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
) -> None:
    """Reproduce a published study, and compare its figures and claims with what is measured here."""
    from assay.articles import REPRODUCTIONS, page_of, parse_spec, reproduction, results_of
    from assay.cli import tables
    from assay.store.store import Store

    if not name:
        rows = [[key, entry.about] for key, entry in REPRODUCTIONS.items()]
        if table_format:
            print_tables([tables.of_rows("", ["name", "about"], rows)], table_format=table_format)
            return
        for key, about in rows:
            console().print(f"{key:18} {about}", markup=False)
        return
    chosen = reproduction(name)
    for option, value, owner in (("sample", sample, "parameter-grid"), ("epochs", epochs, "lenet5")):
        if value is not None and name != owner:
            raise AssayError(f"--{option}: only for {owner}, not for {name}")
    spec = parse_spec(data=data, quick=quick, seeds=seeds, sample=sample, epochs=epochs)
    prepare_folder(out)
    opened = Store(store)
    plans = chosen.plans(spec)
    executions = _executions(plans, opened)
    if not stored:
        _announce(name, executions)
        if plan_only:
            return
        kept = sum(execution.weights_bytes for execution in executions)
        confirm_if_large(sum(execution.seconds for execution in executions), kept, yes=yes)
    times, interrupted = _execute(executions, train=not stored)
    if not interrupted and (more := chosen.then(spec, results_of(plans, opened))):
        more_times, interrupted = _execute_more(name, more, opened, train=not stored)
        plans, times = [*plans, *more], [*times, *more_times]
    page = page_of(chosen, spec, plans, opened)
    if times:
        page = replace(page, lead=[*page.lead, f"In this run: {'; '.join(times)}."])
    _report(name, page, out, f"{name}{'-quick' if quick else ''}", times, printed=(as_json, table_format))
    if interrupted:
        line = command_line(
            "assay reproduce",
            name,
            data=data,
            quick=quick,
            seeds=seeds,
            sample=sample,
            epochs=epochs,
            yes=yes,
            store=typed_store(store),
            out=out,
            json=as_json,
            **table_format.as_option,
        )
        note(f"interrupted; run the same command to resume: {line}")
        raise typer.Exit(Exit.INTERRUPTED)


# --- running ---------------------------------------------------------------------------------------------------------


def _executions(plans: list[Plan], store: Store) -> list[Execution]:
    from assay.execution.queue import pools
    from assay.execution.runner import Execution

    return [Execution(pool, store) for pool in pools(plans)]


def _announce(name: str, executions: list[Execution]) -> None:
    for execution in executions:
        print_plan(execution)
    note(f"{name}: about {duration(sum(execution.seconds for execution in executions))} in total")


def _execute(executions: list[Execution], *, train: bool) -> tuple[list[str], bool]:
    """Registers all studies, and runs them in turn if `train`.

    Returns:
        How long each study took, and whether Ctrl-C interrupted one.
    """
    for execution in executions:  # all, because the page also reads those that are not reached
        execution.register()
    times: list[str] = []
    for execution in executions if train else []:
        if not execution.open:
            continue
        estimate, begin = execution.seconds, perf_counter()
        with EnergyMeter() as meter:
            interrupted = execute(execution)
        took = f"{execution.name}: {duration(perf_counter() - begin)}{_energy(meter)}"
        if interrupted:
            return [*times, f"{took}, interrupted"], True
        times.append(f"{took}; estimated before: {duration(estimate)}")
    return times, False


def _energy(meter: EnergyMeter) -> str:
    """What the processor packages took, those of other programs included; empty where the machine does not tell."""
    return "" if meter.joules is None else f", {meter.joules / 3.6e6:.3g} kWh of the processor packages"


def _execute_more(name: str, plans: list[Plan], store: Store, *, train: bool) -> tuple[list[str], bool]:
    """The same for the studies that depend on the results of the first ones."""
    executions = _executions(plans, store)
    if train:
        _announce(name, executions)
    return _execute(executions, train=train)


# --- the page --------------------------------------------------------------------------------------------------------


def _report(
    name: str, page: Page, folder: Path, stem: str, times: list[str], *, printed: tuple[bool, TableFormat]
) -> None:
    """Writes the page and its pictures, and prints it."""
    files = _write(page, folder, stem)
    if printed[0]:
        print_json({"reproduction": name, "files": [str(file) for file in files], "time": times, **page.plain()})
    else:
        _print(page, printed[1])
    for line in times:
        note(line)
    note("written: " + ", ".join(map(str, files)))


def _write(page: Page, folder: Path, stem: str) -> list[Path]:
    from assay.report.charts.writing import write

    files = [folder / f"{stem}{suffix}" for suffix in (".md", ".html")]
    for file, text in zip(files, (page.markdown(stem), page.html()), strict=True):
        write_atomically(file, text.encode())
    return [*files, *(write(picture.chart, folder / picture.file(stem)) for picture in page.pictures)]


def _print(page: Page, table_format: TableFormat) -> None:
    from assay.cli import tables

    if table_format:
        drawn = [tables.of_rows(table.title, table.head, table.rows) for table in page.tables]
        print_tables(drawn, table_format=table_format)
        return
    screen = console()
    for text in [page.title, page.banner, *page.lead]:
        if text:
            screen.print(clean(text), markup=False)
    for table in page.tables:
        screen.print(tables.of_rows(table.title, table.head, table.rows))
        if table.note:
            screen.print(clean(table.note), markup=False)
