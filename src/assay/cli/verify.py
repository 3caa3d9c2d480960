"""`assay verify`: a bundle, checked and partly trained again."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.exits import Exit
from assay.cli.formats import TableFormat, print_tables
from assay.cli.options import AllowCode, Json, code_allowed, home_expanded
from assay.cli.printing import console, note, print_json, print_line
from assay.cli.progress import steps
from assay.errors import AssayError
from assay.report.text import clean

if TYPE_CHECKING:
    from rich.table import Table

    from assay.claims.bundles.verifying import Verification


def verify(
    bundle: Annotated[Path, typer.Argument(help="Bundle that `assay publish` wrote.", callback=home_expanded)],
    sample: Annotated[int, typer.Option(help="Number of trials to train again.")] = 5,
    every: Annotated[bool, typer.Option("--all", help="Train all trials again.")] = False,
    seed: Annotated[
        int | None, typer.Option(help="Seed that draws the trials.", show_default="a new one, printed")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="FOLDER", help="Folder of a data set that has no name everywhere. Repeatable."),
    ] = None,
    allow_code: AllowCode = False,
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
) -> None:
    """Verify a bundle: checksums, rows, figures and claims, and some trials trained again.

    The exit code is 1 if something is wrong, and 3 if something could not be compared here.
    """
    from assay.claims.bundles.verifying import verify as verify_bundle

    if sample < 0:
        raise AssayError(f"--sample: got {sample}; expected a number >= 0")
    number = secrets.randbelow(2**31) if seed is None else seed
    with code_allowed(allow_code), steps("verify") as show:
        made = verify_bundle(
            bundle,
            sample=None if every else sample,
            seed=number,
            data=data or [],
            allow_code=allow_code,
            show=show,
        )
    code = Exit.NEGATIVE if made.findings else Exit.UNDECIDED if made.open else Exit.OK
    if as_json:
        print_json({"bundle": str(bundle), "verified": code == Exit.OK, **made.plain()})
    elif table_format:
        print_tables([_findings(made), _trials(made)], table_format=table_format)
        note(_conclusion(made))
    else:
        _print(made)
    if code:
        raise typer.Exit(code)


def _print(made: Verification) -> None:
    screen = console()
    print_line(f"{clean(made.title) or 'bundle'}: SHA-256 {made.sha256}")
    for sentence in made.checked:
        print_line(f"compared: {sentence}")
    if made.repeated:
        screen.print(_trials(made))
    for claim in made.claims:
        print_line(f"claim {clean(claim['id'])}: {claim['verdict']}: {clean(claim['claim'])}")
    for sentence in filter(None, [_chances(made), made.times]):
        print_line(f"{sentence}.")
    print_line("What cannot be seen this way:")
    for sentence in made.unseen:
        print_line(f"- {clean(sentence)}")
    for finding in made.findings:
        print_line(f"{finding.kind}: {clean(finding.sentence)}")
    print_line(_conclusion(made))


def _chances(made: Verification) -> str:
    if not made.trials:
        return ""
    drawn = f"{made.compared:,} of {made.trials:,} trials were trained again and compared (seed {made.seed})"
    parts = [f"{100 * chance:.3g} % for {k}" for k, chance in made.chances().items()]
    return f"{drawn}; the chance that they have none of k tampered trials: {', '.join(parts)}"


def _conclusion(made: Verification) -> str:
    if made.findings:
        count = len(made.findings)
        return f"not verified: {count:,} {'thing is' if count == 1 else 'things are'} wrong"
    if made.open:
        return f"nothing is wrong, but not compared: {clean('; '.join(made.open))}"
    return "verified: nothing is wrong"


def _findings(made: Verification) -> Table:
    from assay.cli import tables

    rows = [[finding.kind, clean(finding.sentence)] for finding in made.findings]
    return tables.of_rows("findings", ["kind", "finding"], rows)


def _trials(made: Verification) -> Table:
    from assay.cli import tables

    rows = [
        [
            one.trial[:8],
            clean(one.place),
            clean(one.engine) or "-",
            str(one.answer),
            "-" if one.ratio is None else f"{one.ratio:.2f}",
            clean(one.sentence),
        ]
        for one in made.repeated
    ]
    return tables.of_rows(
        "trials trained again", ["trial", "configuration", "engine", "answer", "time", "compared"], rows
    )
