"""`assay show`: one stored trial, bench or imported curve."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from assay.cli.options import (
    Json,
    StoreUrl,
    console,
    print_json,
)
from assay.errors import AssayError


def show(
    trial: Annotated[str, typer.Argument(help="The key of a trial or a bench, or its first characters.")],
    recipe: Annotated[bool, typer.Option("--recipe", help="Print its recipe alone, as TOML.")] = False,
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Show one trial, its recipe, curve, ledger, machine and the command that repeats it; or a bench; or an import."""
    import json

    from assay.cli import tables
    from assay.cli.bench import print_bench
    from assay.recipe.toml import toml_text
    from assay.report.text import clean_lines
    from assay.store import benches, imported, queries
    from assay.store.records import history_of
    from assay.store.store import Store

    database = Store(store, read_only=True).database
    bench = benches.find(database, trial)
    if bench is not None:
        if recipe:
            typer.echo(toml_text(bench["recipe"]), nl=False)
        elif as_json:
            print_json(bench)
        else:
            print_bench(bench)
        return
    if curve := imported.find(database, trial):
        _show_imported(curve, recipe=recipe, as_json=as_json)
        return
    row = queries.one_trial(database, trial)
    text = toml_text(json.loads(row["recipe"]))
    if recipe:
        typer.echo(text, nl=False)
        return
    command = _repeating(row)
    history = history_of(row) if row["outcome"] else None
    if as_json:
        plain = history.plain() if history and history.points else {"recipe": json.loads(row["recipe"])}
        extra = {"trial": row["key"], "outcome": row["outcome"], "error": row["error"], "command": command}
        print_json(plain | extra | {"studies": row["studies"], "timing": row["timing"]})
        return
    screen = console()
    if history is not None and history.points:
        screen.print(tables.curve(history))
        screen.print(tables.summary(history))
    elif history is not None:
        screen.print(tables.pairs([("outcome", f"{history.outcome}: {history.reason}")]))
    else:
        screen.print("in training" if row["running"] else "planned; it has no result yet")
    if row["error"]:
        typer.echo(clean_lines(row["error"]))
    machine = json.loads(row["description"] or "{}")
    where = ", ".join(str(machine[key]) for key in ("cpu", "cores", "system") if key in machine)
    lines = [("trial", row["key"]), ("timing", row["timing"]), ("machine", where or "-")]
    lines += [("study", f"{name}: {label}") for name, label in row["studies"]]
    screen.print(tables.pairs([*lines, ("again", command)]))
    typer.echo("\n" + clean_lines(text), nl=False)


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


def _repeating(row: dict[str, Any]) -> str:
    """The command that trains a trial again."""
    key, threads = row["key"][:12], f" --threads {row['threads']}" if row["threads"] else ""
    device = "" if row["device"] == "cpu" else f" --device {row['device']}"
    engine = f"--engine {row['engine']}"
    if row["engine"].startswith("command:"):
        words = (row["engine_choice"] or "").partition("run as: ")[2] or "..."
        engine = f"--command {shlex.quote(words)}"
    own = " --allow-code" if ":" in row["optimizer"] + row["engine"] else ""
    train = f"assay train recipe.toml {engine}{device}{threads} --again{own}"
    return f"assay show {key} --recipe > recipe.toml && {train}"
