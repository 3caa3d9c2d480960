"""`assay publish`: a study as one file that anyone can verify."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.files import file_named
from assay.cli.options import Json, StoreUrl, home_expanded, list_studies, study_names
from assay.cli.printing import note, print_json, print_line
from assay.errors import AssayError, listed
from assay.report.text import readable

if TYPE_CHECKING:
    from assay.articles.bundling import Bundling
    from assay.store.store import Store


def publish(
    study: Annotated[
        str,
        typer.Argument(
            default_factory=str,
            metavar="STUDY|ARTICLE",
            help="Name of a stored study, or name or folder of an article; without one, list the studies.",
            callback=readable,
            show_default=False,
            autocompletion=study_names,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Output file.", show_default="STUDY.zip", callback=home_expanded)
    ] = None,
    claims: Annotated[
        Path | None, typer.Option(help="Claims in TOML, judged in the bundle.", callback=home_expanded)
    ] = None,
    author: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Author, such as 'Lovelace, Ada'. Repeatable.", show_default="left out"),
    ] = None,
    licence: Annotated[
        str, typer.Option(metavar="ID", help="Licence, an SPDX identifier such as CC-BY-4.0.", show_default="left out")
    ] = "",
    article: Annotated[
        bool, typer.Option("--article", help="Take the article of this name, where a study has it too.")
    ] = False,
    parquet: Annotated[bool, typer.Option("--parquet", help="Tables as Parquet, not CSV.")] = False,
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Publish a study or an article: report, data, claims and checksums in one file that `assay verify` verifies.

    No path of this machine is in it. Published again from the same results by the same packages, it has the same bytes.
    """
    from assay.claims.bundles.content import About
    from assay.claims.bundles.publishing import publish as publish_bundle
    from assay.claims.claim import parse_claims
    from assay.recipe.toml import read_toml
    from assay.store.store import Store

    opened = Store(store, read_only=True)
    if not study:
        list_studies(opened)
    about = About(study, authors=tuple(map(readable, author or [])), licence=licence, parquet=parquet)
    if (chosen := _article(study, opened, wanted=article)) is not None:
        if claims is not None:
            raise AssayError(f"--claims: article {chosen.title} has its own claims; leave it out")
        about = replace(about, title=chosen.title, kind="article")
        path = out or file_named(chosen.title, ".zip")
        done = publish_bundle(opened, about, chosen.studies, path, claims=chosen.claims, extra=chosen.files)
    else:
        table = read_toml(claims) if claims else None
        named = [name for claim in parse_claims(table, source=str(claims)) for name in claim.studies()] if table else []
        studies, path = list(dict.fromkeys([study, *named])), out or file_named(study, ".zip")
        done = publish_bundle(opened, about, studies, path, claims=table)
    if as_json:
        plain = {name: getattr(done, name) for name in ("sha256", "files", "trials", "notes")}
        print_json({"bundle": str(done.path), "bytes": done.path.stat().st_size, **plain})
    else:
        print_line(
            f"{done.path}: {done.trials:,} trials, {done.files:,} files, {done.path.stat().st_size / 2**20:.1f} MiB"
        )
        print_line(f"SHA-256 {done.sha256}")
    for sentence in done.notes:
        note(sentence)


def _article(word: str, store: Store, *, wanted: bool) -> Bundling | None:
    """What the article of a name or folder gives to the bundle; None for a study.

    A name that both have is the study's, unless the article is wanted. Raises: AssayError.
    """
    from assay.articles.bundling import bundling, is_article
    from assay.store.queries import studies

    stored = [str(row["name"]) for row in studies(store.database)]
    if not wanted and (word in stored or not is_article(word)):
        if word in stored and is_article(word):
            note(f"{word} is a study and an article: the study is published; --article publishes the article")
        return None
    chosen = bundling(word, stored)
    if chosen.missing:
        note(f"article {chosen.title}: not stored, and so not in the bundle: {listed(chosen.missing)}")
    note("left out: the page of the article, which `assay reproduce` makes, and what its experiments measure")
    return chosen
