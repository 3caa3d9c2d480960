"""`assay slurm`: a study on the nodes of a Slurm cluster, as an array of ordinary runs on one store."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from assay.cli.options import DataSet, Sets, StoreUrl, home_expanded, typed_store
from assay.cli.printing import note, print_line
from assay.errors import AssayError
from assay.report.text import readable
from assay.system.command_line import Value, command_line

if TYPE_CHECKING:
    import sqlalchemy as sa

_GRACE_SECONDS = 90
"""How long before the end of its time Slurm tells a job, which then saves its checkpoints and gives its leases back."""
_LEAST_SECONDS = 60
"""A job that is interrupted earlier has trained next to nothing, and would be queued again for ever."""
_SHORTEST_SECONDS = 300
"""Slurm may interrupt a job up to a minute before it is asked to."""
_INTERRUPTED = 130


def slurm(
    study: Annotated[
        str,
        typer.Argument(help="Study in TOML, or name of a bundled or stored study, or of a model.", show_default=True),
    ] = "quickstart",
    nodes: Annotated[int, typer.Option(min=1, max=10_000, help="Number of jobs, each on a node.")] = 2,
    cpus: Annotated[int, typer.Option(min=1, help="Cores of each job.")] = 4,
    time: Annotated[
        str | None, typer.Option(metavar="TIME", help="Time limit of a job, such as 30 (minutes) or 04:00:00.")
    ] = None,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(metavar="OPTION", help="Further option of sbatch, such as --partition=short. Repeatable."),
    ] = None,
    sets: Sets = None,
    data: DataSet = None,
    timing: Annotated[str | None, typer.Option(help="isolated or packed.", show_default="set by the study")] = None,
    parts: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Without PostgreSQL: each job trains a part in a store of its own in this folder, and exports it.",
            callback=home_expanded,
        ),
    ] = None,
    submit: Annotated[bool, typer.Option("--submit", help="Submit the script instead of printing it.")] = False,
    store: StoreUrl = None,
) -> None:
    """Print a batch script of Slurm that runs a study on several nodes, or submit it.

    Each job is an ordinary `assay run` on the same PostgreSQL store, or with --parts on a store of its own.
    """
    from assay.execution.stored import load_study
    from assay.recipe.patches import assignments
    from assay.store.store import default_url
    from assay.store.urls import parsed

    if parts is not None and store is not None:
        raise AssayError("--parts: each job has a store of its own; leave --store out")
    url = store or default_url()
    if parts is None:
        _check_shared(parsed(url), url)
    changes = {} if timing is None else {"timing": timing}
    loaded = load_study(study, store=store, changes=changes, patches=assignments(sets or []), data=data)
    _check_time(time)
    if parts is not None and loaded.settings.search is not None:
        raise AssayError("--parts: a search decides each trial by the results of earlier ones; its jobs share a store")
    given: dict[str, Value] = {"set": sets or [], "data": data, "timing": timing, "yes": True}
    if parts is None:
        lines = Lines(command_line("assay run", study, **given, store=typed_store(url)))
    else:
        lines = part_lines(command_line("assay run", study, **given), parts, nodes)
    options = [*(f"--time={time}" for _ in range(time is not None)), *_checked(sbatch or [])]
    script = batch_script(_job_name(loaded.name), lines, nodes=nodes, cpus=cpus, options=options)
    if not submit:
        typer.echo(script, nl=False)
        return
    print_line(_submitted(script))
    if parts is None:
        note("`assay status --watch` with the same store shows what the jobs do")
    else:
        note(f'when all have ended: for part in {shlex.quote(str(parts))}/part-*/; do assay store import "$part"; done')


class Lines(NamedTuple):
    """The command line of a job, quoted for a shell, with what is to be done before and after it."""

    command: str
    before: str = ""
    after: str = ""


def part_lines(command: str, folder: Path, nodes: int) -> Lines:
    """The lines of a job that trains a part of a study in a store of its own, and exports what it has stored.

    The number of the job in its array is that of the part and of the store.
    """
    quoted = shlex.quote(str(folder.absolute()))
    place = f"{quoted}/part-${{SLURM_ARRAY_TASK_ID}}"
    run = f"assay run --part ${{SLURM_ARRAY_TASK_ID}}/{nodes} --store {place}.db{command.removeprefix('assay run')}"
    return Lines(run, f"mkdir -p {quoted}", f"assay store export {place} --artifacts --store {place}.db")


def batch_script(name: str, lines: Lines, *, nodes: int, cpus: int, options: list[str]) -> str:
    """A script for sbatch: an array of jobs that run a command and are requeued when their time ends before it.

    Args:
        name: Of the jobs and of their logs.
        lines: What each job runs.
        nodes: The number of jobs.
        cpus: The cores of each.
        options: Further options of sbatch.
    """
    own = [
        f"--job-name=assay-{name}",
        f"--array=1-{nodes}",
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={cpus}",
        f"--signal=INT@{_GRACE_SECONDS}",
        "--requeue",
        "--open-mode=append",
        f"--output=assay-{name}-%a.log",
    ]
    before = f"{lines.before}\n" if lines.before else ""
    after = f'if [ "$code" -le 1 ]; then\n  {lines.after} || code=$?\nfi\n' if lines.after else ""
    head = "\n".join(f"#SBATCH {option}" for option in [*own, *options])
    return f"""#!/bin/bash
{head}

# {_GRACE_SECONDS} s before its time ends, Slurm interrupts the run: it saves its checkpoints and gives its leases back.
# It ends with {_INTERRUPTED} then, and the job is queued again; a job that has ended otherwise, or at once, is not.
{before}srun --cpus-per-task={cpus} {lines.command}
code=$?
if [ "$code" -eq {_INTERRUPTED} ] && [ "$SECONDS" -ge {_LEAST_SECONDS} ]; then
  scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
{after}exit "$code"
"""


def _check_time(time: str | None) -> None:
    """Raises: AssayError for what is no time of Slurm, or too short to train anything."""
    if time is None:
        return
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d\d))?(?::(\d\d))?", time)
    if match is None:
        raise AssayError(f"--time: got {time!r}; expected minutes, HH:MM:SS or DAYS-HH:MM:SS, such as 04:00:00")
    days, *parts = (int(part) if part is not None else None for part in match.groups())
    given = [part for part in parts if part is not None]
    begins_with_hours = days is not None or len(given) == 3  # DAYS-HH, DAYS-HH:MM, HH:MM:SS; else MM, MM:SS
    units = (3600, 60, 1) if begins_with_hours else (60, 1)
    seconds = 86_400 * (days or 0) + sum(part * unit for part, unit in zip(given, units, strict=False))
    if seconds < _SHORTEST_SECONDS:
        raise AssayError(
            f"--time: got {time!r}, {seconds} s; expected at least {_SHORTEST_SECONDS // 60} minutes: a job is "
            f"interrupted {_GRACE_SECONDS} to {_GRACE_SECONDS + 60} s before its end"
        )


def _check_shared(address: sa.URL, url: str) -> None:
    """Raises: AssayError where the jobs could not share the store."""
    from assay.store.urls import without_password

    if address.get_backend_name() == "sqlite":
        raise AssayError(
            f"--store: {url} is a file, which one machine at a time may use; the jobs share a PostgreSQL store: "
            "--store postgresql+psycopg://user@host/name, or ASSAY_STORE"
        )
    if address.password is not None or without_password(url) != url:
        raise AssayError(
            f"--store: {without_password(url)} has a password, which would be in the script and in Slurm's records; "
            "write it to ~/.pgpass (host:port:database:user:password, mode 0600) and leave it out of the URL"
        )


def _checked(options: list[str]) -> list[str]:
    """Options of sbatch, one line each. Raises: AssayError."""
    for option in options:
        if not option.startswith("-") or not option.isprintable():
            raise AssayError(f"--sbatch: got {option!r}; expected an option of sbatch, such as --sbatch=--mem=8G")
    return options


def _job_name(study: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", study)[:60]


def _submitted(script: str) -> str:
    """Submits a script; returns what sbatch says. Raises: AssayError."""
    if shutil.which("sbatch") is None:
        raise AssayError(
            "--submit: sbatch is not on the path; run this on a login node, or print the script without it"
        )
    done = subprocess.run(["sbatch"], input=script, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssayError(f"sbatch: {readable(done.stderr.strip()) or f'ended with {done.returncode}'}")
    return done.stdout.strip()
