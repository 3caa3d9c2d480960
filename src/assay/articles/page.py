"""A page of a reproduction: sentences, tables and pictures, as Markdown, as one HTML file, and as plain data."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from assay.claims.judge import NOT_RUN
from assay.report import html
from assay.report.charts.writing import svg

_STYLE = """
main { max-width: 72rem; }
table { margin: 1rem 0; }
figure { margin: 1rem 0; }
figure img { background: #fff; max-width: 100%; }
.banner { border-left: 4px solid #b45309; padding: .5rem 1rem; background: #fef3c7; }
@media (prefers-color-scheme: dark) { .banner { background: #3b2f12; } }
"""


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; `note` says how they were measured."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    note: str = ""

    def plain(self) -> dict[str, Any]:
        """The table as plain data: one record per row."""
        records = [dict(zip(self.head, row, strict=True)) for row in self.rows]
        return {"title": self.title, "rows": records, "note": self.note}


@dataclass(frozen=True)
class Figure:
    """An Altair chart with a title; `name` ends its file name, `note` says how it was measured."""

    name: str
    chart: Any
    title: str
    note: str = ""

    def file(self, stem: str) -> str:
        """The name of its file, for a page whose file name begins with `stem`."""
        return f"{stem}-{self.name}.png"


@dataclass(frozen=True)
class Finding:
    """A finding of an article, checked by a rule on measurements; `holds` is None where they cannot tell.

    Attributes:
        sentence: What the article says.
        rule: The rule in words.
        holds: Whether it holds.
        evidence: What was measured.
        id: The name of the claim.
        is_not_run: Whether it needs an experiment that was not run.
    """

    sentence: str
    rule: str
    holds: bool | None
    evidence: str
    id: str = ""
    is_not_run: bool = False

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        return NOT_RUN if self.is_not_run else verdict(self.holds)

    def plain(self) -> dict[str, Any]:
        """The finding as plain data."""
        plain = {"finding": self.sentence, "rule": self.rule, "verdict": self.verdict, "evidence": self.evidence}
        return plain | ({"id": self.id} if self.id else {})


def verdict(holds: bool | None) -> str:
    """Whether something holds, in words.

    >>> verdict(True), verdict(False), verdict(None)
    ('holds', 'does not hold', 'cannot tell')
    """
    return "cannot tell" if holds is None else "holds" if holds else "does not hold"


@dataclass(frozen=True)
class Page:
    """The report of a reproduction; `banner` is a warning that nobody may overlook, such as that it was scaled down."""

    title: str
    lead: Sequence[str]
    parts: Sequence[Table | Figure]
    findings: Sequence[Finding]
    sources: Sequence[tuple[str, str]] = ()
    banner: str = ""

    @property
    def tables(self) -> list[Table]:
        """The tables, and the findings as the last one."""
        return [part for part in self.all_parts() if isinstance(part, Table)]

    @property
    def pictures(self) -> list[Figure]:
        """The pictures, in their order."""
        return [part for part in self.parts if isinstance(part, Figure)]

    def all_parts(self) -> list[Table | Figure]:
        """Tables and pictures, and the findings as the last table."""
        head = ("finding of the article", "verdict", "measured", "rule")
        rows = [(f.sentence, self._verdict(f), f.evidence, f.rule) for f in self.findings]
        return [*self.parts, *([Table(head, rows, "Findings")] if rows else [])]

    def _verdict(self, finding: Finding) -> str:
        return "not judged: scaled down" if self.banner else finding.verdict

    def plain(self) -> dict[str, Any]:
        """The page as plain data."""
        return {
            "title": self.title,
            "banner": self.banner,
            "lead": list(self.lead),
            "tables": [part.plain() for part in self.parts if isinstance(part, Table)],
            "pictures": [{"title": part.title, "note": part.note} for part in self.pictures],
            "findings": [finding.plain() | {"verdict": self._verdict(finding)} for finding in self.findings],
            "sources": [{"title": title, "url": url} for title, url in self.sources],
        }

    def markdown(self, stem: str) -> str:
        """The page as Markdown; the names of its picture files begin with `stem`."""
        return f"# {_marked(self.title)}\n\n{self.body(stem)}"

    def body(self, stem: str) -> str:
        """The page as Markdown without its title."""
        parts = [f"**{_marked(self.banner)}**"] if self.banner else []
        parts += [_marked(sentence) for sentence in self.lead]
        for part in self.all_parts():
            parts += [f"## {_marked(part.title)}"] if part.title and isinstance(part, Table) else []
            if isinstance(part, Figure):
                parts.append(f"![{_marked(part.title)}]({quote(part.file(stem))})")
            else:
                lines = [_row(part.head), _row(["---"] * len(part.head)), *map(_row, part.rows)]
                parts.append("\n".join(lines))
            parts += [_marked(part.note)] if part.note else []
        if self.sources:
            parts.append("Sources: " + "; ".join(_marked(f"{t}, {url}" if url else t) for t, url in self.sources) + ".")
        return "\n\n".join(parts) + "\n"

    def html(self) -> str:
        """The page as one HTML file that loads nothing."""
        return html.page(self.title, self.html_parts(), style=_STYLE)

    def html_parts(self) -> list[str]:
        """What is in the HTML page: its headings, sentences, tables and pictures, without a style."""
        body = [f"<h1>{html.text(self.title)}</h1>"]
        body += [f'<p class="banner">{html.text(self.banner)}</p>'] if self.banner else []
        body += [f"<p>{html.text(sentence)}</p>" for sentence in self.lead]
        for part in self.all_parts():
            body += [f"<h2>{html.text(part.title)}</h2>"] if part.title and isinstance(part, Table) else []
            body.append(_image(part) if isinstance(part, Figure) else html.rows_table(part.head, part.rows))
            body += [f'<p class="note">{html.text(part.note)}</p>'] if part.note else []
        if self.sources:
            body.append('<p class="note">Sources: ' + "; ".join(_source(*source) for source in self.sources) + ".</p>")
        return body


_MEASURED_IN = "Liberation Sans, Arial, Helvetica, sans-serif"
"""The fonts of the widths by which room was made for labels; others are wider, and would be cut."""


def _image(picture: Figure) -> str:
    """The chart as an image inside the page: what its labels say can neither run nor load anything."""
    drawn = svg(picture.chart).replace('font-family="sans-serif"', f'font-family="{_MEASURED_IN}"')
    content = b64encode(drawn.encode()).decode()
    return f'<figure><img alt="{html.text(picture.title)}" src="data:image/svg+xml;base64,{content}"></figure>'


def _marked(text: str) -> str:
    """A line of Markdown in which nothing is markup."""
    for sign in "\\`*_<[#":
        text = text.replace(sign, "\\" + sign)
    return " ".join(text.split())


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_marked(cell).replace("|", "\\|") for cell in cells) + " |"


def _source(title: str, url: str) -> str:
    return f'<a href="{html.text(url)}">{html.text(title)}</a>' if url.startswith("https://") else html.text(title)


__all__ = ["Figure", "Finding", "Page", "Table", "verdict"]
