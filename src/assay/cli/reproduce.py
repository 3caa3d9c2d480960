"""`assay reproduce`: a published study run again, with the published figures next to the measured ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.exits import Exit
from assay.cli.files import prepare_folder
from assay.cli.formats import TableFormat, print_tables
from assay.cli.options import (
    AllowCode,
    Json,
    On,
    Out,
    PlanOnly,
    Quick,
    Site,
    StoreUrl,
    Yes,
    code_allowed,
    executor_of,
)
from assay.cli.plans import confirm_if_large, print_plan
from assay.cli.printing import console, note, print_json
from assay.cli.progress import execute
from assay.cli.repeat import same_command
from assay.report.text import clean, duration
from assay.system.energy import EnergyMeter
from assay.system.files import write_atomically

if TYPE_CHECKING:
    from assay.articles import Article, ReproductionSpec
    from assay.articles.page import Page
    from assay.execution.runner import Execution
    from assay.studies.plan import Plan

_FROM_STUDY = "set by each study"
_SHOWN = 0.05  # seconds; fewer would read "0 s"
_DECLARED = ", where the article declares this option."


def reproduce(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="Bundled article, or folder with an article.toml; without it, list what there is.")
    ] = "",
    data: Annotated[
        str | None,
        typer.Option(help="Data set: a name or a folder.", show_default="the article's; digits with --quick"),
    ] = None,
    quick: Quick = False,
    seeds: Annotated[
        int | None, typer.Option(help="Number of seeds per configuration.", show_default=_FROM_STUDY)
    ] = None,
    sample: Annotated[
        float | None,
        typer.Option(help=f"Fraction of the trajectories to train{_DECLARED}", show_default="all"),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help=f"Number of epochs per training{_DECLARED}", show_default=_FROM_STUDY)
    ] = None,
    plan_only: PlanOnly = False,
    stored: Annotated[bool, typer.Option("--stored", help="Report what is stored; train nothing.")] = False,
    yes: Yes = False,
    store: StoreUrl = None,
    out: Out = Path("assay-out"),
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
    only: Annotated[
        str, typer.Option(metavar="CLAIM", help="Run the studies of this claim only, and judge it alone.")
    ] = "",
    allow_code: AllowCode = False,
    on: On = "local",
) -> None:
    """Reproduce a published study, and compare its figures and claims with what is measured here."""
    from assay.articles import find_article, narrowed, spec_of
    from assay.store.store import Store

    if not name:
        _list(table_format)
        return
    with code_allowed(allow_code):
        article = find_article(name)
        spec = spec_of(article, data=data, quick=quick, seeds=seeds, sample=sample, epochs=epochs)
        article = narrowed(article, only) if only else article
        prepare_folder(out)
        action = _STORED if stored else _PLAN if plan_only else _TRAIN
        site = Site(Store(store), executor_of(context, "local" if stored else on))
        made = _page(article, spec, site, action=action, yes=yes, allow_code=allow_code)
    if made is None:
        return
    page, times, interrupted = made
    _report(article.name, page, out, article.name + ("-quick" if quick else ""), times, printed=(as_json, table_format))
    if interrupted:
        note(f"interrupted; run the same command to resume: {same_command(context)}")
        raise typer.Exit(Exit.INTERRUPTED)


_STORED, _PLAN, _TRAIN = "stored", "plan", "train"


def _page(
    article: Article, spec: ReproductionSpec, site: Site, *, action: str, yes: bool, allow_code: bool
) -> tuple[Page, list[str], bool] | None:
    """The page, how long each study took, and whether Ctrl-C interrupted one; None where only the plan is asked for."""
    from assay.articles import context_of, page_of, plans_after, plans_of, results_of
    from assay.articles.claimed import check_claims

    plans, train, store = plans_of(article, spec), action != _STORED, site.store
    executions = _executions(list(plans.values()), site)
    if train:
        _announce(article.name, executions)
    if action == _PLAN:
        return None
    if train:
        kept = sum(execution.weights_bytes for execution in executions)
        confirm_if_large(sum(execution.seconds for execution in executions), kept, yes=yes)
    for execution in executions:  # all, because the page also reads those that are not reached
        execution.register()
    check_claims(article.claims, context_of(article, spec, plans, store))
    times, interrupted = _execute(executions, train=train)
    if not interrupted and (more := plans_after(article, spec, results_of(plans, store))):
        more_times, interrupted = _execute_more(article.name, list(more.values()), site, train=train)
        plans, times = {**plans, **more}, [*times, *more_times]
    page = page_of(article, context_of(article, spec, plans, store, allow_code=allow_code))
    if times:
        page = replace(page, lead=[*page.lead, f"In this run: {'; '.join(times)}."])
    return page, times, interrupted


def _list(table_format: TableFormat) -> None:
    """Prints the bundled articles."""
    from assay.articles import article_names, find_article
    from assay.cli import tables

    rows = [[name, find_article(name).file.about] for name in article_names()]
    if table_format:
        print_tables([tables.of_rows("", ["name", "about"], rows)], table_format=table_format)
        return
    for name, about in rows:
        console().print(f"{name:18} {about}", markup=False)


# --- running ---------------------------------------------------------------------------------------------------------


def _executions(plans: list[Plan], site: Site) -> list[Execution]:
    from assay.execution.queue import pools
    from assay.execution.runner import Execution

    return [Execution(pool, site.store, executor=site.executor) for pool in pools(plans)]


def _announce(name: str, executions: list[Execution]) -> None:
    for execution in executions:
        print_plan(execution)
    note(f"{name}: about {duration(sum(execution.seconds for execution in executions))} in total")


def _execute(executions: list[Execution], *, train: bool) -> tuple[list[str], bool]:
    """Runs the registered studies in turn if `train`.

    Returns:
        How long each study took, and whether Ctrl-C interrupted one.
    """
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
        seconds = duration(estimate) if estimate >= _SHOWN else f"under {duration(2 * _SHOWN)}"
        times.append(f"{took}; estimated before, without starting the workers: {seconds}")
    return times, False


def _energy(meter: EnergyMeter) -> str:
    """What the processor packages took, those of other programs included; empty where the machine does not tell."""
    return "" if meter.joules is None else f", {meter.joules / 3.6e6:.3g} kWh of the processor packages"


def _execute_more(name: str, plans: list[Plan], site: Site, *, train: bool) -> tuple[list[str], bool]:
    """The same for the studies that depend on the results of the first ones."""
    executions = _executions(plans, site)
    if train:
        _announce(name, executions)
    for execution in executions:
        execution.register()
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

    plain = json.dumps(page.plain(), indent=1, ensure_ascii=False) + "\n"
    texts = {".md": page.markdown(stem), ".html": page.html(), ".json": plain}
    files = [folder / f"{stem}{suffix}" for suffix in texts]
    for file, text in zip(files, texts.values(), strict=True):
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
