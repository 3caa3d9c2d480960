"""`assay show`: one stored trial, bench or imported curve."""

from __future__ import annotations

import json
import shlex
from typing import Annotated, Any

import typer

from assay.cli.options import Json, StoreUrl
from assay.cli.printing import console, print_json
from assay.errors import AssayError


def show(
    trial: Annotated[str, typer.Argument(help="Key of a trial, bench or imported curve, or the beginning of the key.")],
    recipe: Annotated[bool, typer.Option("--recipe", help="Print only the recipe, as TOML.")] = False,
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Show a stored trial, bench or imported curve.

    For a trial: its learning curve, time breakdown, machine, recipe, and the command that repeats it.
    """
    from assay.store import benches, imported, queries
    from assay.store.store import Store

    database = Store(store, read_only=True).database
    if (bench := benches.find(database, trial)) is not None:
        _show_bench(bench, recipe=recipe, as_json=as_json)
    elif curve := imported.find(database, trial):
        _show_imported(curve, recipe=recipe, as_json=as_json)
    else:
        _show_trial(queries.one_trial(database, trial), recipe=recipe, as_json=as_json)


def _show_bench(bench: dict[str, Any], *, recipe: bool, as_json: bool) -> None:
    from assay.cli.bench import print_bench
    from assay.recipe.toml import toml_text

    if recipe:
        typer.echo(toml_text(bench["recipe"]), nl=False)
    elif as_json:
        print_json(bench)
    else:
        print_bench(bench)


def _show_imported(row: dict[str, Any], *, recipe: bool, as_json: bool) -> None:
    from assay.cli import tables
    from assay.store.imported import history_of

    if recipe:
        raise AssayError(f"{row['key'][:8]} was imported from a log, which holds no recipe")
    history = history_of(row)
    if as_json:
        print_json({"trial": row["key"], "study": row["study_name"], **history.plain()})
        return
    console().print(tables.curve(history))
    console().print(tables.imported(history))
    console().print(tables.pairs([("imported", row["key"]), ("study", row["study_name"])]))


def _show_trial(row: dict[str, Any], *, recipe: bool, as_json: bool) -> None:
    from assay.recipe.toml import toml_text
    from assay.store.records import history_of

    plain_recipe = json.loads(row["recipe"])
    if recipe:
        typer.echo(toml_text(plain_recipe), nl=False)
        return
    history = history_of(row) if row["outcome"] else None
    if not as_json:
        _print_trial(row, history, toml_text(plain_recipe))
        return
    plain = history.plain() if history and history.points else {"recipe": plain_recipe}
    extra = {"trial": row["key"], "outcome": row["outcome"], "error": row["error"], "command": _repeat_command(row)}
    print_json(plain | extra | {"studies": row["studies"], "timing": row["timing"]})


def _print_trial(row: dict[str, Any], history: Any, recipe_text: str) -> None:
    from assay.cli import tables
    from assay.report.text import clean_lines

    screen = console()
    if history is not None and history.points:
        screen.print(tables.curve(history))
        screen.print(tables.summary(history))
    elif history is not None:
        screen.print(tables.pairs([("outcome", history.ending)]))
    else:
        screen.print("in training" if row["running"] else "planned; no result yet")
    if row["error"]:
        typer.echo(clean_lines(row["error"]))
    description = json.loads(row["description"] or "{}")
    machine = ", ".join(str(description[key]) for key in ("cpu", "cores", "system") if key in description)
    lines = [("trial", row["key"]), ("timing", row["timing"]), ("machine", machine or "-")]
    lines += [("instruction level", row["level"])] if row["level"] else []
    lines += [("study", f"{name}: {label}") for name, label in row["studies"]]
    screen.print(tables.pairs([*lines, ("repeat with", _repeat_command(row))]))
    typer.echo("\n" + clean_lines(recipe_text), nl=False)


def _repeat_command(row: dict[str, Any]) -> str:
    """The command that trains a trial again."""
    key, threads = row["key"][:12], f" --threads {row['threads']}" if row["threads"] else ""
    device = "" if row["device"] == "cpu" else f" --device {row['device']}"
    engine = f"--engine {row['engine']}"
    if row["engine"].startswith("command:"):
        words = (row["engine_choice"] or "").partition("run as: ")[2] or "..."
        engine = f"--command {shlex.quote(words)}"
    allow_code = " --allow-code" if ":" in row["optimizer"] + row["engine"] else ""
    train = f"assay train recipe.toml {engine}{device}{threads} --again{allow_code}"
    return f"assay show {key} --recipe > recipe.toml && {train}"
