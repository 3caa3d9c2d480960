"""`assay run`, `list`, `show` and `rm`: studies and the trials that are stored."""

from __future__ import annotations

import csv
import io
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.options import (
    AllowCode,
    CommandLine,
    Json,
    StoreUrl,
    code_allowed,
    command_of,
    console,
    note,
    print_json,
)
from assay.cli.progress import bars, lines, watched
from assay.cli.training import Sets
from assay.errors import AssayError
from assay.report.numbers import duration

if TYPE_CHECKING:
    from assay.execution.runner import Execution, Status
    from assay.store.store import Store
    from assay.studies.study import Study

_ASK_SECONDS = 3600.0
Csv = Annotated[bool, typer.Option("--csv", help="Print the table as comma-separated values.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def run(
    study: Annotated[str, typer.Argument(help="A study in TOML, or the name of a bundled one.")] = "quickstart",
    sets: Sets = None,
    data: Annotated[str | None, typer.Option(help="The data set in place of the study's: a name or a folder.")] = None,
    engine: Annotated[str | None, typer.Option(help="numpy, native, jax, torch, or auto.")] = None,
    command: CommandLine = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of each trial.")] = None,
    timing: Annotated[str | None, typer.Option(help="isolated: one trial at a time; packed: one a core.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Paired seeds of each configuration.")] = None,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Add seeds where a verdict is open, at most six times.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Train again what failed or was lost.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Train everything anew.")] = False,
    plan_only: Annotated[bool, typer.Option("--plan", help="Say what would be done, and stop.")] = False,
    allow_code: AllowCode = False,
    yes: Yes = False,
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Run a study: train what is not stored yet, store every trial, show what it gave. The same command goes on."""
    from assay.execution.runner import Execution
    from assay.recipe.patches import assignment, merged, with_data
    from assay.results.results import Results
    from assay.store.store import Store
    from assay.studies.plan import plan
    from assay.studies.study import Study

    asked = {"engine": engine, "device": device, "threads": threads, "timing": timing, "repeats": repeats}
    changes: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
    patches = [assignment(text) for text in sets or []]
    changes |= {"engine": command_of(command, engine).model_dump()} if command is not None else {}
    with code_allowed(allow_code):
        made = Study.load(study)
        patches += [with_data(merged(made.baseline, patches), data)] if data else []
        made = made.patched(changes | {"baseline": merged({}, patches)})
        if until_decided:
            if retry or again or plan_only:
                raise AssayError(
                    "--until-decided: goes with none of --retry, --again, --plan; its looks plan by themselves"
                )
            _until_decided(made, Store(store), yes=yes, as_json=as_json)
            return
        planned = plan(made)
    execution = Execution(planned, Store(store), retry=retry, again=again)
    note(plan_sentence(execution))
    if plan_only:
        if as_json:
            print_json(_plan_plain(execution))
        return
    ask_if_long(execution.seconds, yes=yes)
    interrupted = execute(execution)
    results = Results(execution.store, planned.study.name)
    if as_json:
        print_json(_plain(results, execution))
    else:
        _print_summary(results)
    if interrupted:
        left = sum(len(job.trials) for job in execution.open)
        note(f"interrupted; {left:,} trials are open, and the same command goes on with them")
        raise typer.Exit(130)


def _until_decided(made: Study, store: Store, *, yes: bool, as_json: bool) -> None:
    from assay.execution.sequential import until_decided
    from assay.results.results import Results

    def run(execution: Execution) -> bool:
        note(plan_sentence(execution))
        ask_if_long(execution.seconds, yes=yes)
        return execute(execution)

    decision = until_decided(made, store, run)
    if as_json:
        pairs = [{"a": a, "b": b, "verdict": said} for (a, b), said in decision.sentences.items()]
        rest = {key: value for key, value in vars(decision).items() if key not in ("sentences", "open")}
        print_json({"study": made.name, "verdicts": pairs, **rest, "open": len(decision.open)})
    else:
        _print_summary(Results(store, made.name))
        for sentence in decision.sentences.values():
            console().print(sentence, markup=False, soft_wrap=True)
        if decision.winner:
            console().print(decision.fresh_sentence(), markup=False, soft_wrap=True)
    if decision.interrupted:
        note("interrupted; the same command goes on")
        raise typer.Exit(130)


def plan_sentence(execution: Execution) -> str:
    """What a run will do: trials, what is stored, trajectories, time."""
    plain = _plan_plain(execution)
    separately = sum(trial.iterations for job in execution.open for trial in job.trials)
    said = f"{execution.name}: {plain['trials']:,} trials"
    if plain["folded"]:
        said += f" ({plain['folded']:,} more were equal to one of them)"
    for key, count in plain["dropped"].items():
        said += f"; {key} left out {count:,} times, where the component has no such key"
    said += f"; {plain['stored']:,} stored, {plain['to_train']:,} to train on {plain['trajectories']:,} trajectories"
    if plain["iterations"] < separately:
        said += f" ({plain['iterations']:,} iterations in place of {separately:,})"
    return said + f"; {execution.timing}, about {duration(plain['seconds'])}"


def _plan_plain(execution: Execution) -> dict[str, Any]:
    dropped: Counter[str] = Counter()
    for plan in execution.plans:
        dropped.update(plan.dropped)
    return {
        "study": execution.name,
        "trials": len(execution.trials),
        "folded": sum(plan.asked for plan in execution.plans) - len(execution.trials),
        "dropped": dict(dropped),
        "stored": execution.stored,
        "to_train": sum(len(job.trials) for job in execution.open),
        "trajectories": len(execution.open),
        "iterations": sum(job.iterations for job in execution.open),
        "seconds": execution.seconds,
    }


def ask_if_long(seconds: float, *, yes: bool) -> None:
    """Asks before what takes over an hour. Raises: AssayError where nobody can answer."""
    if seconds <= _ASK_SECONDS or yes:
        return
    if not sys.stdin.isatty():
        raise AssayError(f"this takes about {duration(seconds)}; give --yes to start it without being asked")
    if not typer.confirm(f"This takes about {duration(seconds)}. Start?", err=True):
        raise typer.Exit(1)


def execute(execution: Execution) -> bool:
    """Runs with a bar for the study and one for each trial in training; True where Ctrl-C ended it."""
    return watched(execution, execution.stop, _bars(execution.name))


@contextmanager
def _bars(name: str) -> Generator[Callable[[Status], None]]:
    from assay.report.tables import clean

    with bars() as progress:
        if progress is None:
            yield lines(lambda status: f"{name}: {_said(status)}")
            return
        whole = progress.add_task(clean(name), total=None, said="")
        tasks: dict[str, Any] = {}

        def show(status: Status) -> None:
            progress.update(whole, total=status.trials, completed=status.done, said=_said(status))
            running = {one.label: one for one in status.running}
            for label in [label for label in tasks if label not in running]:
                progress.remove_task(tasks.pop(label))
            for label, one in running.items():
                if label not in tasks:
                    tasks[label] = progress.add_task(f"  {clean(label)}", total=one.iterations, said="")
                accuracy = "" if one.accuracy is None else f", accuracy {one.accuracy:.2%}"
                said = f"{one.iteration:,}/{one.iterations:,}{accuracy}"
                said = "waits for another trial on this machine" if one.waiting else said
                progress.update(tasks[label], completed=one.iteration, said=said)

        yield show


def _said(status: Status) -> str:
    parts = [f"{status.done:,}/{status.trials:,}"]
    parts += [f"ETA {duration(status.eta_seconds)}"] if status.eta_seconds is not None else []
    parts += [f"{count:,} {outcome}" for outcome, count in status.outcomes.items() if outcome != "completed"]
    if status.running and all(one.waiting for one in status.running):
        parts.append("waiting for another trial on this machine")
    if status.elsewhere:
        parts.append(f"{status.elsewhere:,} in other processes")
    if status.best:
        parts.append(f"best {status.best[1]:.2%} ({status.best[0]})")
    return ", ".join(parts)


def _print_summary(results: Any) -> None:
    from assay.analysis.frames import own
    from assay.report import tables
    from assay.report.answers import own_clocks

    summary = results.summary()
    screen = console()
    screen.print(tables.study(summary.sort_values("accuracy", ascending=False), f"{results.name}: by accuracy"))
    if results.about.get("timing", "isolated") == "isolated":
        ranked, left_out = own(summary)
        screen.print(tables.study(ranked.sort_values("effort"), f"{results.name}: by effort"))
        if left_out:
            note(left_out)
    else:
        note("timing is packed: its seconds are of trials that ran side by side, so efforts are not ranked")
    for sentence in own_clocks(results.frame()):
        note(sentence)


def _plain(results: Any, execution: Execution) -> dict[str, Any]:
    import json

    summary = json.loads(results.summary().to_json(orient="records"))
    trials = json.loads(results.frame().to_json(orient="records"))
    return {"study": results.name, "store": execution.store.name, "configurations": summary, "trials": trials}


# --- what is stored --------------------------------------------------------------------------------------------------


def list_trials(
    filters: Annotated[list[str] | None, typer.Argument(help="COLUMN=VALUE, or != > < >= <=: optimizer=adam.")] = None,
    study: Annotated[str, typer.Option(help="Only trials of this study.")] = "",
    sort: Annotated[str, typer.Option(help="A column; with - in front from high to low.")] = "-finished",
    limit: Annotated[int, typer.Option(min=1, help="At most so many trials.")] = 30,
    trials: Annotated[bool, typer.Option("--trials", help="List trials even without a filter.")] = False,
    store: StoreUrl = None,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List the stored studies and benches, or the trials that pass the filters."""
    from assay.report import tables
    from assay.store import benches, queries
    from assay.store import imported as imports
    from assay.store.store import Store

    opened = Store(store, read_only=True)
    if not (filters or study or trials):
        rows, count = queries.studies(opened.database), 0
        if as_json:
            print_json({"store": opened.name, "studies": rows, "benches": benches.listed(opened.database)})
        elif as_csv:
            _print_csv(rows)
        else:
            console().print(tables.studies(rows) if rows else f"{opened.name}: no studies; --trials lists its trials")
            if measured := benches.listed(opened.database):
                console().print(tables.benches(measured))
        return
    rows, count = queries.trials(opened.database, filters or [], of_study=study, sort=sort, limit=limit)
    curves = imports.listed(opened.database, filters or [], of_study=study)
    if as_json:
        print_json({"store": opened.name, "count": count, "trials": rows, "imported": curves})
    elif as_csv:
        _print_csv([*(row | {"origin": "measured"} for row in rows), *curves])
    else:
        console().print(tables.trials([*rows, *curves]))
        said = f"{len(rows):,} of {count:,} trials" + ("; --limit shows more" if len(rows) < count else "")
        note(said + (f"; {len(curves):,} imported" if curves else ""))


def _print_csv(rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    typer.echo(text.getvalue(), nl=False)


def show(
    trial: Annotated[str, typer.Argument(help="The key of a trial or a bench, or its first characters.")],
    recipe: Annotated[bool, typer.Option("--recipe", help="Print its recipe alone, as TOML.")] = False,
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Show one trial, its recipe, curve, ledger, machine and the command that repeats it; or a bench; or an import."""
    import json

    from assay.cli.bench import print_bench
    from assay.recipe.toml import toml_text
    from assay.report import tables
    from assay.store import benches, queries
    from assay.store import imported as imports
    from assay.store.records import history_of
    from assay.store.store import Store

    database = Store(store, read_only=True).database
    bench = benches.found(database, trial)
    if bench is not None:
        if recipe:
            typer.echo(toml_text(bench["recipe"]), nl=False)
        elif as_json:
            print_json(bench)
        else:
            print_bench(bench)
        return
    if curve := imports.find(database, trial):
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
        typer.echo(tables.clean_lines(row["error"]))
    machine = json.loads(row["description"] or "{}")
    where = ", ".join(str(machine[key]) for key in ("cpu", "cores", "system") if key in machine)
    lines = [("trial", row["key"]), ("timing", row["timing"]), ("machine", where or "-")]
    lines += [("study", f"{name}: {label}") for name, label in row["studies"]]
    screen.print(tables.pairs([*lines, ("again", command)]))
    typer.echo("\n" + tables.clean_lines(text), nl=False)


def _show_imported(row: dict[str, Any], *, recipe: bool, as_json: bool) -> None:
    from assay.report import tables
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


def rm(
    names: Annotated[list[str], typer.Argument(help="Trials, benches, imported curves by key, or studies by name.")],
    yes: Yes = False,
    store: StoreUrl = None,
) -> None:
    """Remove trials, benches, imported curves, or studies with those of their trials that no other study has.

    Asks first.
    """
    from assay.store import benches, queries
    from assay.store import imported as imports
    from assay.store.store import Store

    opened = Store(store)
    studies = {row["name"] for row in queries.studies(opened.database)}
    doomed = [name for name in names if name in studies]
    keys, measured, curves = list[str](), list[str](), list[str]()
    for name in (name for name in names if name not in studies):
        if found := benches.found(opened.database, name):
            measured.append(found["bench"])
        elif curve := imports.find(opened.database, name):
            curves.append(curve["key"])
        else:
            keys.append(queries.one_trial(opened.database, name)["key"])
    named = [("study", doomed)]
    named += [(kind, [key[:8] for key in of]) for kind, of in (("trial", keys), ("bench", measured))]
    named.append(("imported curve", [key[:8] for key in curves]))
    what = ", ".join(f"{kind} {name}" for kind, those in named for name in those)
    if not yes:
        if not sys.stdin.isatty():
            raise AssayError(f"this removes {what}; give --yes to do so without being asked")
        if not typer.confirm(f"Remove {what}?", err=True):
            raise typer.Exit(1)
    for name in doomed:
        keys += opened.remove_study(name)
    gone = {
        "trials": opened.remove_trials(keys),
        "benches": benches.remove(opened.database, measured),
        "imported curves": imports.remove(opened.database, curves),
    }
    more = "".join(f", {count:,} {what}" for what, count in gone.items() if count and what != "trials")
    note(
        f"removed {len(doomed):,} studies and {gone['trials']:,} trials{more}; `assay store vacuum` frees their weights"
    )
