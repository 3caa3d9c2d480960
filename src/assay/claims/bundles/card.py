"""The card of a bundle, `README.md`, and `CITATION.cff`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from assay.claims.bundles import layout
from assay.claims.bundles.content import About, Content
from assay.data.portable import MARKED
from assay.errors import AssayError
from assay.report.text import counted, markdown_text

_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


def check_about(authors: Sequence[str], licence: str) -> None:
    """Checks what goes into the citation. Raises: AssayError."""
    for author in authors:
        if not author.strip() or not author.isprintable():
            raise AssayError(f"--author: got {author!r}; expected a name such as 'Lovelace, Ada'")
    if licence and not _SPDX.fullmatch(licence):
        raise AssayError(f"--licence: got {licence!r}; expected an SPDX identifier such as CC-BY-4.0 or MIT")


def citation(about: About) -> str:
    """`CITATION.cff`; empty without an author, which the format asks for.

    >>> print(citation(About("rates", authors=("Lovelace, Ada",), licence="MIT")), end="")
    cff-version: 1.2.0
    message: If you use these results, please cite them.
    type: dataset
    title: "rates"
    authors:
      - family-names: "Lovelace"
        given-names: "Ada"
    license: MIT
    """
    if not about.authors:
        return ""
    lines = ["cff-version: 1.2.0", "message: If you use these results, please cite them.", "type: dataset"]
    lines += [f"title: {_quoted(about.title)}", "authors:"]
    for author in about.authors:
        family, comma, given = (part.strip() for part in author.partition(","))
        if comma and given:
            lines += [f"  - family-names: {_quoted(family)}", f"    given-names: {_quoted(given)}"]
        else:
            lines.append(f"  - name: {_quoted(author.strip())}")
    lines += [f"license: {about.licence}"] if about.licence else []
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unnamed(about: About) -> list[str]:
    """A sentence for each thing that the publisher did not give."""
    sentences: list[str] = []
    if not about.authors:
        sentences.append("No author was given (--author), so there is no CITATION.cff.")
    if not about.licence:
        sentences.append("No licence was given (--licence): ask the author before you use it for more than reading.")
    return sentences


def card(
    content: Content, results: Mapping[str, Any], environment: Mapping[str, Any], claims: Sequence[Mapping[str, Any]]
) -> str:
    """The card: what was asked, what came out, on what, and how to verify it."""
    about = content.about
    ended = sum(row["outcome"] is not None for row in content.trials)
    parts = [f"# {markdown_text(about.title)}", _line(f"A bundle of Assay: {_count(content, ended)}.")]
    for study in content.studies:
        question = str(study["definition"].get("about") or "a study without a question")
        entry = results[study["name"]]
        parts.append(f"## {markdown_text(study['name'])}\n\n{_line(question)}")
        parts.append("\n".join(f"- {markdown_text(answer)}" for answer in entry["answers"]))
    if claims:
        rows = [f"| {markdown_text(c['claim'])} | {c['verdict']} | {markdown_text(c['evidence'])} |" for c in claims]
        parts.append("\n".join(["## Claims", "", "| claim | verdict | evidence |", "|---|---|---|", *rows]))
    parts += [_made(environment), _use(content), _files(content)]
    names = "; ".join(about.authors)
    parts.append("\n".join(["## Author and licence", "", *_owner(about, names)]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _count(content: Content, ended: int) -> str:
    total = len(content.trials)
    sentence = f"{total:,} trials of {len(content.studies):,} {'study' if len(content.studies) == 1 else 'studies'}"
    if ended < total:
        sentence += f", {total - ended:,} of them without a result"
    return sentence + (f", and {len(content.imported):,} imported curves" if content.imported else "")


def _line(text: str) -> str:
    return markdown_text(" ".join(text.split()))


def _made(environment: Mapping[str, Any]) -> str:
    lines = ["## Where the trials ran", ""]
    for row in environment["machines"]:
        versions = ", ".join(f"{name} {v}" for name, v in row.get("versions", {}).items() if name != "assay")
        place = (
            f"{row.get('cpu')}, {counted(row.get('cores', 0), 'core')}, {row.get('system')}, Python {row.get('python')}"
        )
        lines.append(f"- {_line(place)}: {row['trials']:,} trials; {_line(versions)}")
    for row in environment["engines"]:
        level = f", {row['level']}" if row["level"] else ""
        threads = f", {row['threads']} threads" if row["threads"] else ""
        words = (
            f"engine {row['engine']} (numerics {row['numerics']}{level}) on {row['device']}, {row['timing']}{threads}"
        )
        lines.append(f"- {_line(words)}: {row['trials']:,} trials")
    for row in environment["data"]:
        hint = "; of a folder, give yours with `--data`" if MARKED.fullmatch(row["name"]) else ""
        lines.append(
            f"- data {_line(row['name'])}, SHA-256 {str(row['checksum'])[:16]}...: {row['trials']:,} trials{hint}"
        )
    return "\n".join(lines)


def _use(content: Content) -> str:
    return (
        "## Verify it\n\n"
        "    assay verify THIS.zip\n\n"
        "checks every checksum and row, makes the figures, claims and reports again from the data, and trains five\n"
        "trials again that your own seed draws. "
        f"`{layout.COMMANDS}` has the commands that run a study or a trial again."
    )


def _files(content: Content) -> str:
    ending = "parquet" if content.about.parquet else "csv"
    lines = [
        f"- `data/trials.{ending}`: one row per trial, with its recipe as JSON and its result",
        f"- `data/curves.{ending}`: one row per log point; `data/members.{ending}`: configurations and repeats",
        "- `data/studies.json`, `data/machines.json`: definitions of the studies, machines of the trials",
        "- `studies/`, `recipes/`: each study and each trial as a file that runs",
        f"- `{layout.RESULTS}`, `{layout.CLAIMS}`, `report/`: figures, verdicts and pages, all made from the data",
        f"- `{layout.MANIFEST}`: the SHA-256 of every file",
    ]
    return "\n".join(["## Files", "", *lines])


def _owner(about: About, names: str) -> list[str]:
    lines = [f"Author: {_line(names)}" if names else "", f"Licence: {about.licence}" if about.licence else ""]
    return [line for line in lines if line] + [_line(sentence) for sentence in unnamed(about)]
