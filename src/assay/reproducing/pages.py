"""A page of a reproduction: sections of sentences and tables, as Markdown, as one HTML file, and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222;
  background: #fff; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 14px; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .6rem; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #888; }
.note { color: #555; font-size: 14px; }
.banner { border-left: 4px solid #b45309; padding: .5rem 1rem; background: #fef3c7; }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #181818; } th, td { border-color: #444; } .note { color: #aaa; }
  .banner { background: #3b2f12; }
}
"""


@dataclass(frozen=True)
class Table:
    """Rows of words under a head; `note` says how it was measured."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    note: str = ""

    def plain(self) -> dict[str, Any]:
        """The table as plain data: a record for each row."""
        records = [dict(zip(self.head, row, strict=True)) for row in self.rows]
        return {"title": self.title, "rows": records, "note": self.note}


@dataclass(frozen=True)
class Finding:
    """A finding of an article, checked by a rule on what was measured; `holds` is None where that cannot tell."""

    sentence: str
    rule: str
    holds: bool | None
    evidence: str

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        return verdict(self.holds)

    def plain(self) -> dict[str, Any]:
        """The finding as plain data."""
        return {"finding": self.sentence, "rule": self.rule, "verdict": self.verdict, "evidence": self.evidence}


def verdict(holds: bool | None) -> str:
    """Whether something holds, in words.

    >>> verdict(True), verdict(False), verdict(None)
    ('holds', 'does not hold', 'cannot tell')
    """
    return "cannot tell" if holds is None else "holds" if holds else "does not hold"


@dataclass(frozen=True)
class Page:
    """What a reproduction says: `banner` is what nobody may overlook, such as that it was scaled down."""

    title: str
    lead: Sequence[str]
    tables: Sequence[Table]
    findings: Sequence[Finding]
    sources: Sequence[tuple[str, str]] = ()
    banner: str = ""

    def all_tables(self) -> list[Table]:
        """The tables, and the findings as the last one."""
        head = ("finding of the article", "verdict", "measured", "rule")
        rows = [(f.sentence, self._verdict(f), f.evidence, f.rule) for f in self.findings]
        return [*self.tables, *([Table(head, rows, "Findings")] if rows else [])]

    def _verdict(self, finding: Finding) -> str:
        return "not judged: scaled down" if self.banner else finding.verdict

    def plain(self) -> dict[str, Any]:
        """The page as plain data."""
        return {
            "title": self.title,
            "banner": self.banner,
            "lead": list(self.lead),
            "tables": [table.plain() for table in self.tables],
            "findings": [finding.plain() | {"verdict": self._verdict(finding)} for finding in self.findings],
            "sources": [{"title": title, "url": url} for title, url in self.sources],
        }

    def markdown(self) -> str:
        """The page as Markdown."""
        parts = [f"# {_marked(self.title)}", *([f"**{_marked(self.banner)}**"] if self.banner else [])]
        parts += [_marked(sentence) for sentence in self.lead]
        for table in self.all_tables():
            parts += [f"## {_marked(table.title)}"] if table.title else []
            lines = [_row(table.head), _row(["---"] * len(table.head)), *map(_row, table.rows)]
            parts += ["\n".join(lines), *([_marked(table.note)] if table.note else [])]
        if self.sources:
            parts.append("Sources: " + "; ".join(_marked(f"{t}, {url}" if url else t) for t, url in self.sources) + ".")
        return "\n\n".join(parts) + "\n"

    def html(self) -> str:
        """The page as one HTML file that loads nothing."""
        body = [f"<h1>{escape(self.title)}</h1>"]
        body += [f'<p class="banner">{escape(self.banner)}</p>'] if self.banner else []
        body += [f"<p>{escape(sentence)}</p>" for sentence in self.lead]
        for table in self.all_tables():
            body += [f"<h2>{escape(table.title)}</h2>"] if table.title else []
            body.append("<table><thead>" + _cells(table.head, "th") + "</thead><tbody>")
            body += [_cells(row, "td") for row in table.rows]
            body.append("</tbody></table>")
            body += [f'<p class="note">{escape(table.note)}</p>'] if table.note else []
        if self.sources:
            body.append('<p class="note">Sources: ' + "; ".join(_source(*source) for source in self.sources) + ".</p>")
        head = f'<meta charset="utf-8"><title>{escape(self.title)}</title><style>{_STYLE}</style>'
        page = f'<html lang="en"><head>{head}</head><body>\n' + "\n".join(body)
        return "<!doctype html>\n" + page + "\n</body></html>\n"


def _marked(text: str) -> str:
    """A line of Markdown in which nothing is markup."""
    for sign in "\\`*_<[#":
        text = text.replace(sign, "\\" + sign)
    return " ".join(text.split())


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_marked(cell).replace("|", "\\|") for cell in cells) + " |"


def _cells(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _source(title: str, url: str) -> str:
    return f'<a href="{escape(url)}">{escape(title)}</a>' if url.startswith("https://") else escape(title)


__all__ = ["Finding", "Page", "Table", "verdict"]
