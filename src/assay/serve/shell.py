"""What every page of the server has: its shell, places that are filled later, tables and messages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from urllib.parse import quote

from assay.report.html import text
from assay.report.text import duration

_SHELL = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" id="icon" href="/assets/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/assets/style.css">
<script src="/assets/page.js" type="module"></script>
</head>
<body data-revision="{revision}" data-title="{title}">
<a class="skip" href="#main">Skip to the content</a>
<header class="top"><nav aria-label="Pages"><a href="/">Assay</a>{crumbs}</nav>
<p class="note" id="live" role="status" aria-live="polite">{live}</p></header>
<main id="main" tabindex="-1">
{body}
</main>
</body>
</html>
"""
_NO_SCRIPT = (
    '<noscript><p class="alert">This page needs JavaScript to draw charts and to follow the store.</p></noscript>'
)


def shell(title: str, body: Sequence[str], *, revision: str = "", crumbs: Sequence[tuple[str, str]] = ()) -> str:
    """A page of the parts, which are HTML.

    Args:
        title: Of the browser's tab.
        body: The parts.
        revision: Of the store when the page was made.
        crumbs: The pages above this one and itself: names with addresses.
    """
    path = "".join(
        f' <span aria-hidden="true">/</span> <a href="{text(href)}">{text(name)}</a>'
        if href
        else f' <span aria-hidden="true">/</span> <span aria-current="page">{text(name)}</span>'
        for name, href in crumbs
    )
    parts = "\n".join([_NO_SCRIPT, *body])
    return _SHELL.format(title=text(title), body=parts, revision=text(revision), crumbs=path, live="")


def place(address: str, content: str = "", *, name: str, kind: str = "") -> str:
    """A part of a page that the script fills from an address and fills again when the store changes.

    `content`: what it shows until then; `kind`: a class, which reserves its room.
    """
    shown = content or '<p class="loading" role="status">Reading the store …</p>'
    filled = " data-filled" if content else ""
    return f'<div id="part-{name}" class="part {kind}" data-part="{text(address)}"{filled}>{shown}</div>'


def figure(address: str, label: str, *, name: str, keeps_colours: bool = False) -> str:
    """The place of a chart, drawn when it comes into view from the specification at an address that ends in .json."""
    kind = ' class="keeps-colours"' if keeps_colours else ""
    buttons = "".join(
        f'<button type="button" data-save="{form}">{form.upper()}<span class="unseen"> of {text(label)}</span></button>'
        for form in ("svg", "png")
    )
    csv = address.replace(".json", ".csv", 1)
    return (
        f'<figure id="chart-{name}"{kind} data-spec="{text(address)}" data-name="{name}" tabindex="0" role="img" '
        f'aria-label="{text(label)}"><div class="chart"><p class="loading" role="status">Drawing …</p></div></figure>'
        f'<p class="save">Save as {buttons} <a download href="{text(csv)}">CSV<span class="unseen"> of '
        f"{text(label)}</span></a></p>"
    )


def alert(sentence: str) -> str:
    """A message about something that is wrong; what the user typed is in it as text."""
    lines = "<br>".join(text(line) for line in sentence.splitlines())
    return f'<p class="alert" role="alert">{lines}</p>'


def note(sentence: str) -> str:
    """A sentence in small letters."""
    return f'<p class="note">{text(sentence)}</p>'


def address(*parts: str) -> str:
    """The path of a page: each part is a name, which may hold anything.

    >>> address("study", "a/b?c")
    '/study/a%2Fb%3Fc'
    """
    return "/" + "/".join(quote(part, safe="") for part in parts)


def link(href: str, label: object) -> str:
    """A link to an address of this server."""
    return f'<a href="{text(href)}">{text(label)}</a>'


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str, numbers: Sequence[int] = ()) -> str:
    """A table of cells that are HTML; `numbers`: the columns that are aligned on the right."""
    right = set(numbers)
    names = "".join(
        f'<th scope="col"{" class=number" if i in right else ""}>{name}</th>' for i, name in enumerate(header)
    )
    body = "\n".join(
        "<tr>"
        + "".join(f"<td{' class=number' if i in right else ''}>{cell}</td>" for i, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return scrolling_table(names, body, caption=caption)


def scrolling_table(header: str, body: str, *, caption: str) -> str:
    """A table of header cells and of rows, as HTML, that scrolls to the side where it is wide."""
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{text(caption)}"><table><caption class="unseen">'
        f"{text(caption)}</caption><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def ago(seconds: float) -> str:
    """How long ago a moment was, in seconds since 1970."""
    past = time.time() - seconds
    return "now" if past < 1 else f"{duration(past)} ago"


__all__ = ["address", "ago", "alert", "figure", "link", "note", "place", "scrolling_table", "shell", "table"]
