"""`assay check`: claims about stored studies."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.exits import Exit
from assay.cli.formats import TableFormat, print_frame
from assay.cli.options import Json, StoreUrl, StudyName, home_expanded, list_studies
from assay.cli.printing import note, print_json

if TYPE_CHECKING:
    from assay.claims.judge import Judgement


def check(
    study: StudyName,
    claims: Annotated[
        Path | None,
        typer.Argument(help="File of claims; see docs/claims.md.", show_default="claims.toml", callback=home_expanded),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the verdicts as JUnit XML.", callback=home_expanded),
    ] = None,
    store: StoreUrl = None,
    as_json: Json = False,
    table_format: TableFormat = TableFormat.TEXT,
) -> None:
    """Check claims about stored studies: what you expect, with a rule for each.

    Nothing is trained. The exit code is 0 if all claims hold, 1 if one does not, and 3 if one cannot be told.
    """
    from assay.claims.stored import check as check_claims
    from assay.store.store import Store

    opened = Store(store, read_only=True)
    if not study:
        list_studies(opened)
    judgements = check_claims(study, opened, claims)
    if junit is not None:
        _write_junit(junit, study, judgements)
    counts = Counter(judgement.verdict for judgement in judgements)
    summary = f"{len(judgements)} claim{'' if len(judgements) == 1 else 's'}: "
    summary += ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    if as_json:
        verdicts = dict(counts)
        print_json({"study": study, "verdicts": verdicts, "claims": [judgement.plain() for judgement in judgements]})
    else:
        print_frame(_table(judgements, table_format), title=f"claims about {study}", table_format=table_format)
        note(summary)
    if any(judgement.holds is False for judgement in judgements):
        raise typer.Exit(Exit.NEGATIVE)
    if any(judgement.holds is None for judgement in judgements):
        raise typer.Exit(Exit.UNDECIDED)


def _table(judgements: list[Judgement], table_format: TableFormat) -> Any:
    """A line per claim; formats for files have the sentence and the rule too."""
    import pandas

    rows = [
        {"claim": one.claim.id, "verdict": one.verdict, "measured": "; ".join(filter(None, (one.evidence, one.reason)))}
        for one in judgements
    ]
    if table_format:
        rows = [row | {"sentence": one.claim.text, "rule": one.rule} for row, one in zip(rows, judgements, strict=True)]
    return pandas.DataFrame(rows)


def _write_junit(path: Path, study: str, judgements: list[Judgement]) -> None:
    from assay.claims.junit import junit
    from assay.system.files import write_atomically

    write_atomically(path, junit(study, judgements).encode())
    note(f"{path}: {len(judgements)} test case{'' if len(judgements) == 1 else 's'}")
