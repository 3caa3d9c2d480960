"""`assay show`: one stored trial, bench or imported curve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.files import check_file
from assay.cli.formats import TableFormat, print_tables, refuse_format
from assay.cli.options import Json, StoreUrl, home_expanded, typed_store
from assay.cli.printing import console, note, print_json
from assay.errors import AssayError
from assay.store.trial_command import repeat_command
from assay.system.files import write_atomically

if TYPE_CHECKING:
    from assay.store.store import Store


def show(
    trial: Annotated[
        str,
        typer.Argument(
            help="Key of a trial, bench or imported curve, or the beginning of the key.",
            show_default="the latest trial",
        ),
    ] = "",
    recipe: Annotated[bool, typer.Option("--recipe", help="Print only the recipe, as TOML.")] = False,
    store: StoreUrl = None,
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
    save_best: Annotated[
        Path | None,
        typer.Option(
            help="Save the weights of a trial's best validation point, which `save_best` kept, to this file.",
            callback=home_expanded,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="With --recipe: write it to this file.", callback=home_expanded),
    ] = None,
) -> None:
    """Show a stored trial, bench or imported curve.

    For a trial: its learning curve, time breakdown, machine, recipe, and the command that repeats it.
    """
    from assay.recipe.toml import toml_text
    from assay.store import benches, imported, queries
    from assay.store.store import Store

    if out is not None and not recipe:
        raise AssayError("--out: only with --recipe, which it writes to a file")
    if recipe or save_best is not None:
        refuse_format(table_format, f"{'--recipe' if recipe else '--save-best'} prints no table")
    opened = Store(store, read_only=True)
    database = opened.database
    if not trial:
        trial = queries.latest_trial(database)
        note(f"the latest trial, {trial[:8]}; `assay list --trials` lists them")
    if save_best is not None:
        check_file(save_best, "--save-best")
        _save_best(opened, queries.one_trial(database, trial)["key"], save_best)
    elif (bench := benches.find(database, trial)) is not None:
        _show_bench(bench, recipe=recipe, printed=(as_json, table_format), out=out)
    elif curve := imported.find(database, trial):
        _show_imported(curve, recipe=recipe, printed=(as_json, table_format))
    else:
        row = queries.one_trial(database, trial)
        if recipe:
            _print_or_write(toml_text(json.loads(row["recipe"])), out)
            return
        _show_trial(row, printed=(as_json, table_format), store=typed_store(store))


def _save_best(store: Store, key: str, path: Path) -> None:
    """Writes the weights of a trial's best validation point. Raises: AssayError, FileError."""
    from assay.training.checkpoints import save
    from assay.training.snapshots import at_best

    history = store.history(key)
    if history is None:
        raise AssayError(f"the weights of trial {key[:8]} were not kept; --again retrains it")
    best = at_best(history)
    note(f"{best.reason}: {save(best, path)}")


def _show_bench(bench: dict[str, Any], *, recipe: bool, printed: tuple[bool, TableFormat], out: Path | None) -> None:
    from assay.cli.bench import print_bench
    from assay.recipe.toml import toml_text

    if recipe:
        _print_or_write(toml_text(bench["recipe"]), out)
    elif printed[0]:
        print_json(bench)
    else:
        print_bench(bench, printed[1])


def _show_imported(row: dict[str, Any], *, recipe: bool, printed: tuple[bool, TableFormat]) -> None:
    from assay.cli import tables
    from assay.store.imported import history_of

    if recipe:
        raise AssayError(f"{row['key'][:8]} was imported from a log, which holds no recipe")
    history = history_of(row)
    as_json, table_format = printed
    if as_json:
        print_json({"trial": row["key"], "study": row["study_name"], **history.plain()})
        return
    place = tables.pairs([("imported", row["key"]), ("study", row["study_name"])])
    drawn = [tables.curve(history), tables.imported(history), place]
    print_tables(drawn, table_format=table_format, raw=history.frame())


def _show_trial(row: dict[str, Any], *, printed: tuple[bool, TableFormat], store: str | None) -> None:
    from assay.recipe.toml import toml_text
    from assay.store.records import history_of

    plain_recipe = json.loads(row["recipe"])
    history = history_of(row) if row["outcome"] else None
    as_json, table_format = printed
    if table_format:
        _print_tables(row, history, table_format)
        return
    if not as_json:
        _print_trial(row, history, toml_text(plain_recipe), store=store)
        return
    plain = history.plain() if history and history.points else {"recipe": plain_recipe}
    extra = {
        "trial": row["key"],
        "outcome": row["outcome"],
        "error": row["error"],
        "command": repeat_command(row, store),
    }
    print_json(plain | extra | {"studies": row["studies"], "timing": row["timing"]})


def _print_tables(row: dict[str, Any], history: Any, table_format: TableFormat) -> None:
    """Prints the tables of a trial in a format; CSV has its curve, all of its log points."""
    from assay.cli import tables

    if history is None or not history.points:
        raise AssayError(f"--{table_format}: trial {row['key'][:8]} has no log point, so there is no table to print")
    drawn = [tables.curve(history), tables.summary(history), tables.classes(history)]
    print_tables([table for table in drawn if table is not None], table_format=table_format, raw=history.frame())


def _print_trial(row: dict[str, Any], history: Any, recipe_text: str, *, store: str | None) -> None:
    from assay.cli import tables
    from assay.report.text import clean, clean_lines
    from assay.system.gpu import gpu_text
    from assay.system.machine import GPU

    screen = console()
    if history is not None and history.points:
        screen.print(tables.curve(history))
        screen.print(tables.summary(history))
        if (classes := tables.classes(history)) is not None:
            screen.print(classes)
    elif history is not None:
        screen.print(tables.pairs([("outcome", history.ending)]))
    else:
        screen.print("in training" if row["running"] else "planned; no result yet")
    if row["error"]:
        typer.echo(clean_lines(row["error"]))
    description = json.loads(row["description"] or "{}")
    machine = ", ".join(str(description[key]) for key in ("cpu", "cores", "system") if key in description)
    machine += f"; GPU {gpu_text(description[GPU])}" if GPU in description else ""
    lines = [("trial", row["key"]), ("timing", row["timing"]), ("machine", machine or "-")]
    lines += [("instruction level", row["level"])] if row["level"] else []
    lines += [("study", f"{name}: {label}") for name, label in row["studies"]]
    repeat = repeat_command(row, store)
    if row["timing"] != "isolated":
        lines.append(("note", f"it was timed {row['timing']}; `assay train` times isolated, which is another trial"))
    lines.append(("repeat with", "" if repeat else "-; the command line of its program is stored when it has run"))
    screen.print(tables.pairs(lines))
    if repeat is not None:
        typer.echo(clean(repeat))  # in one line, so that it can be copied from a narrow terminal
    typer.echo("\n" + clean_lines(recipe_text), nl=False)


def _print_or_write(text: str, out: Path | None) -> None:
    """Prints a recipe, or writes it to a file that --out names."""
    if out is None:
        typer.echo(text, nl=False)
        return
    check_file(out, "--out")
    write_atomically(out, text.encode())
    note(str(out))
