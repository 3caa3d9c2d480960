"""The sections of a page: their contents, and which of them a long page folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assay.report.html import text


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading.

    Attributes:
        name: Where the contents link to, in letters and dashes.
        heading: Its title.
        body: HTML.
        folded: Whether the page shows only its heading until it is opened.
    """

    name: str
    heading: str
    body: str
    folded: bool = False


def contents(sections: Sequence[Section]) -> str:
    """Links to the sections; "" for fewer than two."""
    if len(sections) < 2:
        return ""
    links = "".join(f'<li><a href="#section-{s.name}">{text(s.heading)}</a></li>' for s in sections)
    return f'<nav class="contents" aria-label="Contents"><ul>{links}</ul></nav>'


def drawn(sections: Sequence[Section]) -> list[str]:
    """The sections as HTML.

    Folded ones are open until the script has drawn the charts, which need the width of the page, and without scripts.
    """
    return [
        f'<details id="section-{s.name}" class="section"{" data-folded" if s.folded else ""} open>'
        f"<summary><h2>{text(s.heading)}</h2></summary>\n{s.body}</details>"
        for s in sections
    ]


STYLE = """
.contents ul { list-style: none; padding: 0; margin: 1rem 0; display: flex; flex-wrap: wrap; gap: 0.3rem 1.2rem; }
details.section > summary { cursor: pointer; list-style-position: outside; }
details.section > summary h2 { display: inline; }
details.section { margin: 1.4rem 0; scroll-margin-top: 4rem; }
details.section > summary { margin-bottom: 0.6rem; }
.wide.long { max-height: 34rem; overflow: auto; }
.wide.long thead th { position: sticky; top: 0; background: var(--paper); }
table.matrix td { text-align: center; padding: 0.1rem 0.25rem; }
table.matrix th { font-weight: 400; }
@media print { .contents { display: none; } .wide.long { max-height: none; } }
"""

SCRIPT = """
for (const section of document.querySelectorAll('details[data-folded]')) section.open = false;
function opened() {
  const section = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (section instanceof HTMLDetailsElement) { section.open = true; section.scrollIntoView(); }
}
addEventListener('hashchange', opened);
for (const link of document.querySelectorAll('.contents a')) link.addEventListener('click', () => setTimeout(opened));
addEventListener('beforeprint', () => document.querySelectorAll('details.section').forEach(s => { s.open = true; }));
opened();
"""

__all__ = ["SCRIPT", "STYLE", "Section", "contents", "drawn"]
