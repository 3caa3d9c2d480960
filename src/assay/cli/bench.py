"""`assay bench`: engines side by side on one recipe, with their numerical differences next to their times."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.exits import Exit
from assay.cli.files import prepare_folder
from assay.cli.formats import TableFormat, print_tables
from assay.cli.options import AllowCode, DataSet, Json, Out, Quick, Sets, StoreUrl, code_allowed
from assay.cli.printing import console, note, print_json, print_line
from assay.cli.progress import bars, lines, run_with_progress
from assay.cli.repeat import same_command
from assay.errors import AssayError
from assay.report.text import clean, duration
from assay.system.machine_lock import waiting_sentence

if TYPE_CHECKING:
    from assay.bench.spec import BenchSpec
    from assay.bench.timetable import BenchStatus
    from assay.store.store import Store


def bench(
    context: typer.Context,
    recipe: Annotated[
        str,
        typer.Argument(
            help="Recipe in TOML, or name of a model to train by Adam at 0.001 in batches of 600, or of 32 from fewer "
            "examples.",
            show_default="mlp",
        ),
    ] = "",
    sets: Sets = None,
    data: DataSet = None,
    engines: Annotated[str, typer.Option(help="Comma-separated engines. The baseline is always added.")] = (
        "numpy,native,jax,torch"
    ),
    devices: Annotated[str, typer.Option(help="Comma-separated devices: cpu, cuda, cuda:1 or mps.")] = "cpu",
    threads: Annotated[
        str | None, typer.Option(help="Comma-separated thread counts.", show_default="1, and 2 if available")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="Comma-separated: float32, float64, bfloat16.", show_default="set by the recipe"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs per training.", show_default="5; 3 with --quick")] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Trainings per row, each in a new process.", show_default="3; 1 with --quick")
    ] = None,
    baseline: Annotated[
        str, typer.Option(help="Engine to compare with; torch-eager is PyTorch as its users write it.")
    ] = "torch-eager",
    quick: Quick = False,
    stored: Annotated[
        bool, typer.Option("--stored", help="Report a stored bench by its key or name; without one, list them.")
    ] = False,
    allow_code: AllowCode = False,
    store: StoreUrl = None,
    out: Out = Path("assay-out"),
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
) -> None:
    """Benchmark engines on one recipe: check that they are numerically equivalent, then time them."""
    from assay.store.store import Store

    if stored:
        _report_stored(recipe, store, out, printed=(as_json, table_format))
        return
    with code_allowed(allow_code):
        spec = _spec(
            recipe,
            sets or [],
            data=data,
            grid=(engines, devices, threads, precision),
            counts=(epochs, repeats),
            baseline=baseline,
            quick=quick,
        )
    prepare_folder(out)
    plain, interrupted = _run(spec, opened := Store(store))
    _report(plain, out, printed=(as_json, table_format), store_name=opened.name)
    if interrupted:
        note(f"interrupted; rows measured so far are stored and shown; to measure all: {same_command(context)}")
        raise typer.Exit(Exit.INTERRUPTED)
    if not any(row["epochs"] for row in plain["rows"]):
        raise typer.Exit(Exit.NEGATIVE)


# --- what the options ask for ----------------------------------------------------------------------------------------


def _spec(
    recipe: str,
    sets: list[str],
    *,
    data: str | None,
    grid: tuple[str, str, str | None, str | None],
    counts: tuple[int | None, int | None],
    baseline: str,
    quick: bool,
) -> BenchSpec:
    """The bench that the options ask for.

    Raises:
        AssayError: An option has a wrong value.
    """
    from assay.bench.spec import BenchSpec, combinations, recipe_of
    from assay.recipe.patches import assignments
    from assay.system.machine import cores

    for option, count, least in (("epochs", counts[0], 2), ("repeats", counts[1], 1)):
        if count is not None and count < least:
            raise AssayError(f"--{option}: got {count}; expected a number >= {least}")
    epochs, repeats = counts[0] or (3 if quick else 5), counts[1] or (1 if quick else 3)
    engines, devices, threads, precisions = grid
    name, parsed = recipe_of(recipe, assignments(sets), data=data, quick=quick)
    contenders = combinations(
        _words(engines, "engines"),
        _words(devices, "devices"),
        sorted({1, min(2, cores())} if threads is None else set(_numbers(threads))),
        _words(precisions, "precision") if precisions is not None else [parsed.precision],
        baseline,
    )
    return BenchSpec(name, parsed, contenders, epochs, repeats, baseline, quick)


def _words(text: str, option: str) -> list[str]:
    words = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not words:
        raise AssayError(f"--{option}: got {text!r}; expected words separated by commas")
    return words


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in _words(text, "threads")]
    except ValueError:
        raise AssayError(f"--threads: got {text!r}; expected whole numbers separated by commas") from None


# --- running ---------------------------------------------------------------------------------------------------------


def _run(spec: BenchSpec, store: Store) -> tuple[dict[str, Any], bool]:
    """Runs a bench with a progress bar.

    Returns:
        The bench as plain data, and whether Ctrl-C interrupted it.

    Raises:
        AssayError: This machine can run none of the rows.
    """
    from assay.bench.runner import BenchRunner
    from assay.store import benches

    runner = BenchRunner(
        spec, save=lambda plain: benches.save(store.database, plain), on_wait=lambda: note(waiting_sentence())
    )
    note(_plan_sentence(spec))
    interrupted = run_with_progress(runner, runner.stop, _bench_bar(runner.bench.name))
    plain = runner.bench.plain()
    if not interrupted and all(row["state"] == "impossible" for row in plain["rows"]):
        reasons = "".join(f"\n  - {row['label']}: {row['reason']}" for row in plain["rows"])
        raise AssayError(f"this machine cannot run any of the rows:{reasons}")
    return plain, interrupted


def _plan_sentence(spec: BenchSpec) -> str:
    rows = len(spec.contenders)
    trainings = f"{spec.repeats} training{'s' * (spec.repeats > 1)} of {spec.epochs} epochs per row"
    return f"{spec.name}: {spec.recipe.label()}; {rows} rows, {trainings}, each in a new process"


@contextmanager
def _bench_bar(name: str) -> Generator[Callable[[BenchStatus], None]]:
    """A bar with the number of steps done and the ETA."""
    with bars() as progress:
        if progress is None:
            yield lines(lambda status: f"bench {name}: {_status_text(status)}")
            return
        task = progress.add_task(clean(f"bench {name}"), total=None, status="")
        yield lambda s: progress.update(task, total=s.steps, completed=s.done, status=clean(_status_text(s)))


def _status_text(status: BenchStatus) -> str:
    eta = "" if status.eta_seconds is None else f", ETA {duration(status.eta_seconds)}"
    return f"{status.done}/{status.steps}{eta}: {status.step}"


# --- reports ---------------------------------------------------------------------------------------------------------


def _report_stored(key_or_name: str, store: str | None, out: Path, *, printed: tuple[bool, TableFormat]) -> None:
    from assay.cli import tables
    from assay.store import benches
    from assay.store.store import Store

    opened = Store(store, read_only=True)
    if key_or_name:
        prepare_folder(out)
        _report(benches.one(opened.database, key_or_name), out, printed=printed, store_name=opened.name)
        return
    rows = benches.listed(opened.database)
    as_json, table_format = printed
    if as_json:
        print_json({"store": opened.name, "benches": rows})
    elif rows:
        print_tables([tables.benches(rows)], table_format=table_format, raw=rows)
    else:
        note(f"{opened.name}: no benches") if table_format else print_line(f"{opened.name}: no benches")


def _report(plain: dict[str, Any], out: Path, *, printed: tuple[bool, TableFormat], store_name: str) -> None:
    """Writes the charts and the page, and prints."""
    files = _write(plain, out) if any(row["epochs"] for row in plain["rows"]) else []
    as_json, table_format = printed
    if as_json:
        print_json(plain | {"store": store_name, "files": [str(file) for file in files]})
        return
    print_bench(plain, table_format)
    if files:
        note(f"bench {plain['bench'][:8]} in {store_name}; written: " + ", ".join(map(str, files)))


def print_bench(plain: dict[str, Any], table_format: TableFormat) -> None:
    """Prints a bench: tables on a terminal or in a format, elsewhere one line per row. CSV has one row for each row."""
    from assay.cli import tables
    from assay.report import benches

    screen = console()
    if screen.is_terminal or table_format:
        drawn = [
            tables.of_rows(title, header, rows, right=[False, *(True for _ in header[1:])])
            for title, header, rows in benches.tables(plain)
        ]
        print_tables(drawn, table_format=table_format, raw=benches.summary_frame(plain))
    else:
        for line in benches.lines(plain):
            typer.echo(clean(line))
    for sentence in benches.sentences(plain):
        if table_format:
            note(sentence)
        else:
            print_line(sentence) if not screen.is_terminal else screen.print(clean(sentence), markup=False)


def _write(plain: dict[str, Any], out: Path) -> list[Path]:
    from assay.report import benches, charts
    from assay.report.page import bench_page
    from assay.system.files import write_atomically

    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in plain["name"]).lstrip(".") or "bench"
    stem = os.fsdecode(stem.encode())  # UTF-8 on disk, whatever the locale's encoding
    epochs = benches.epochs_frame(plain)
    files = [
        charts.write(chart(epochs, title=f"{plain['name']}: {chart.title.lower()}"), out / f"{stem}-{name}.png")
        for name in ("bench", "bench-totals")
        for chart in [charts.CHARTS[name]]
    ]
    page = out / f"{stem}-bench.html"
    write_atomically(page, bench_page(plain).encode())
    return [*files, page]
