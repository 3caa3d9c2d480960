"""`assay run`: a study, trained and stored."""

from __future__ import annotations

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
    Sets,
    StoreUrl,
    code_allowed,
    command_of,
    console,
    note,
    print_json,
)
from assay.cli.progress import bars, lines, watched
from assay.errors import AssayError
from assay.report.text import duration

if TYPE_CHECKING:
    from assay.execution.runner import Execution, StudyStatus
    from assay.store.store import Store
    from assay.studies.study import Study
from assay.cli.options import Yes

_ASK_SECONDS = 3600.0


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
def _bars(name: str) -> Generator[Callable[[StudyStatus], None]]:
    from assay.report.text import clean

    with bars() as progress:
        if progress is None:
            yield lines(lambda status: f"{name}: {_said(status)}")
            return
        whole = progress.add_task(clean(name), total=None, said="")
        tasks: dict[str, Any] = {}

        def show(status: StudyStatus) -> None:
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


def _said(status: StudyStatus) -> str:
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
    from assay.cli import tables
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
