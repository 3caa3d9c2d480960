"""`assay bench`: engines side by side on one recipe, with parity shown beside the times."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.options import AllowCode, Json, Sets, StoreUrl, code_allowed, console, note, prepare_folder, print_json
from assay.cli.progress import WAITS, bars, lines, watched
from assay.errors import AssayError
from assay.report.text import duration

if TYPE_CHECKING:
    from assay.bench.schedule import BenchStatus
    from assay.bench.spec import BenchSpec


def bench(
    recipe: Annotated[
        str, typer.Argument(help="A recipe in TOML, or a model by name: Adam at 0.001, batches of 600.")
    ] = "",
    sets: Sets = None,
    data: Annotated[str | None, typer.Option(help="The data set in place of the recipe's: a name or a folder.")] = None,
    engines: Annotated[str, typer.Option(help="Engines with commas; torch-eager is always added, see --baseline.")] = (
        "numpy,native,jax,torch"
    ),
    devices: Annotated[str, typer.Option(help="Devices with commas: cpu, cuda, cuda:1, mps.")] = "cpu",
    threads: Annotated[str | None, typer.Option(help="Threads with commas; none: 1, and 2 where there are.")] = None,
    precision: Annotated[str | None, typer.Option(help="float32,float64,bfloat16; none: the recipe's.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of a training; none: 5, with --quick 3.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Trainings, each a new process; none: 3, with --quick 1.")] = None,
    baseline: Annotated[
        str, typer.Option(help="What rows are compared with: torch as its users write it, or an engine.")
    ] = "torch-eager",
    quick: Annotated[bool, typer.Option("--quick", help="Scaled down, on the embedded digits without --data.")] = False,
    stored: Annotated[
        bool, typer.Option("--stored", help="Report a stored bench by its key or name, none: list them.")
    ] = False,
    allow_code: AllowCode = False,
    store: StoreUrl = None,
    out: Annotated[Path, typer.Option(help="The folder for charts and the page.")] = Path("assay-out"),
    as_json: Json = False,
) -> None:
    """Put engines side by side on one recipe: first that they compute the same, then how long they take."""
    from assay.bench.runner import Benching
    from assay.store import benches
    from assay.store.store import Store

    if stored:
        _report_stored(recipe, store, out, as_json=as_json)
        return
    asked = _asked(
        recipe,
        sets or [],
        data=data,
        grid=(engines, devices, threads, precision),
        times=(epochs, repeats),
        baseline=baseline,
        quick=quick,
        allow_code=allow_code,
    )
    prepare_folder(out)
    opened = Store(store)
    benching = Benching(asked, save=lambda plain: benches.save(opened.database, plain), on_wait=lambda: note(WAITS))
    note(_plan(asked))
    interrupted = watched(benching, benching.stop, _bar(benching.bench.name))
    plain = benching.bench.plain()
    if not interrupted and all(row["state"] == "impossible" for row in plain["rows"]):
        reasons = "".join(f"\n  - {row['label']}: {row['reason']}" for row in plain["rows"])
        raise AssayError(f"no combination can run:{reasons}")
    _report(plain, out, as_json=as_json, in_store=opened.name)
    if interrupted:
        note("interrupted; what was measured is kept and shown, the rest was not")
        raise typer.Exit(130)
    if not any(row["epochs"] for row in plain["rows"]):
        raise typer.Exit(1)


def _asked(
    recipe: str,
    sets: list[str],
    *,
    data: str | None,
    grid: tuple[str, str, str | None, str | None],
    times: tuple[int | None, int | None],
    baseline: str,
    quick: bool,
    allow_code: bool,
) -> BenchSpec:
    """What the words of the command ask for. Raises: AssayError."""
    from assay.bench.spec import BenchSpec, combinations, recipe_of
    from assay.recipe.patches import assignment
    from assay.system.machine import cores

    epochs, repeats = times[0] or (3 if quick else 5), times[1] or (1 if quick else 3)
    for name, count, least in (("epochs", times[0], 2), ("repeats", times[1], 1)):
        if count is not None and count < least:
            raise AssayError(f"--{name}: got {count}; expected a number >= {least}")
    engines, devices, threads, precisions = grid
    with code_allowed(allow_code):
        name, checked = recipe_of(recipe, [assignment(text) for text in sets], data=data, quick=quick)
    counts = sorted({1, min(2, cores())} if threads is None else set(_numbers(threads)))
    found = combinations(
        _words(engines, "engines"),
        _words(devices, "devices"),
        counts,
        _words(precisions, "precision") if precisions is not None else [checked.precision],
        baseline,
    )
    return BenchSpec(name, checked, found, epochs, repeats, baseline, quick)


def _words(text: str, option: str) -> list[str]:
    found = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not found:
        raise AssayError(f"--{option}: got {text!r}; expected words with commas between them")
    return found


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in _words(text, "threads")]
    except ValueError:
        raise AssayError(f"--threads: got {text!r}; expected whole numbers with commas between them") from None


def _plan(asked: BenchSpec) -> str:
    rows = len(asked.contenders)
    return (
        f"{asked.name}: {asked.recipe.label()}; {rows} rows, {asked.epochs} epochs, {asked.repeats} "
        f"time{'s' * (asked.repeats > 1)} from a new process"
    )


@contextmanager
def _bar(name: str) -> Generator[Callable[[BenchStatus], None]]:
    """A bar with what is done and the time left."""
    from assay.report.text import clean

    with bars() as progress:
        if progress is None:
            yield lines(lambda status: f"bench {name}: {_said(status)}")
            return
        task = progress.add_task(clean(f"bench {name}"), total=None, said="")
        yield lambda s: progress.update(task, total=s.steps, completed=s.done, said=clean(_said(s)))


def _said(status: BenchStatus) -> str:
    left = "" if status.eta_seconds is None else f", ETA {duration(status.eta_seconds)}"
    return f"{status.done}/{status.steps}{left}: {status.doing}"


# --- reports ---------------------------------------------------------------------------------------------------------


def _report_stored(word: str, store: str | None, out: Path, *, as_json: bool) -> None:
    from assay.cli import tables
    from assay.store import benches
    from assay.store.store import Store

    opened = Store(store, read_only=True)
    if word:
        prepare_folder(out)
        _report(benches.one(opened.database, word), out, as_json=as_json, in_store=opened.name)
        return
    rows = benches.listed(opened.database)
    if as_json:
        print_json({"store": opened.name, "benches": rows})
    else:
        console().print(tables.benches(rows) if rows else f"{opened.name}: no benches", markup=False)


def _report(plain: dict[str, Any], out: Path, *, as_json: bool, in_store: str) -> None:
    """Writes the charts and the page, and prints."""
    files = _written(plain, out) if any(row["epochs"] for row in plain["rows"]) else []
    if as_json:
        print_json(plain | {"store": in_store, "files": [str(file) for file in files]})
        return
    print_bench(plain)
    if files:
        note(f"bench {plain['bench'][:8]} in {in_store}; written: " + ", ".join(map(str, files)))


def print_bench(plain: dict[str, Any]) -> None:
    """Prints a bench: tables on a terminal, elsewhere a line for each row."""
    from assay.cli import tables
    from assay.report import benches
    from assay.report.text import clean

    screen = console()
    if screen.is_terminal:
        for title, header, rows in benches.tables(plain):
            screen.print(tables.of_rows(title, header, rows, right=[False, *(True for _ in header[1:])]))
    else:
        for line in benches.lines(plain):
            typer.echo(clean(line))
    for line in benches.sentences(plain):
        screen.print(clean(line), markup=False, soft_wrap=not screen.is_terminal)


def _written(plain: dict[str, Any], out: Path) -> list[Path]:
    from assay.report import benches, charts
    from assay.report.page import bench_page
    from assay.system.files import write_atomically

    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in plain["name"]).lstrip(".") or "bench"
    epochs = benches.epochs_frame(plain)
    files = [
        charts.write(charts.CHARTS[name].draw(epochs), out / f"{stem}-{name}.png") for name in ("bench", "bench-totals")
    ]
    page = out / f"{stem}-bench.html"
    write_atomically(page, bench_page(plain).encode())
    return [*files, page]
