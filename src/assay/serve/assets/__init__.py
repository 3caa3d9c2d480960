"""The files that pages load from their own server: style, scripts, icons. Vega is the one that reports carry."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from assay.report import figures, html, sections

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="6" fill="{colour}"/>'
    '<path d="{path}" fill="none" stroke="#fff" stroke-width="4" stroke-linecap="round" stroke-linejoin="round"/></svg>'
)
_ICONS = {
    "icon.svg": ("#0072b2", "M6 24 L12 14 L18 18 L26 8"),
    "icon-running.svg": ("#b45309", "M6 24 L12 14 L18 18 L26 8"),
    "icon-over.svg": ("#047857", "M8 17 L14 23 L24 10"),
    "icon-failed.svg": ("#b91c1c", "M10 10 L22 22 M22 10 L10 22"),
}
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@cache
def content_of(name: str) -> bytes | None:
    """The content of an asset; None where there is none of the name."""
    if name in _ICONS:
        colour, path = _ICONS[name]
        return _ICON.format(colour=colour, path=path).encode()
    if name == "vega.js":
        return figures.drawing_bundle().encode()
    if name == "drawing.js":
        return f"{figures.DRAWING}\nexport {{ narrow, titled }};\n".encode()
    if name in ("style.css", "page.js"):
        own = (files("assay.serve.assets") / name).read_text(encoding="utf-8")
        return (html.STYLE + figures.STYLE + sections.STYLE + own if name == "style.css" else own).encode()
    return None


@cache
def _tag(name: str) -> str:
    return f'"{hashlib.blake2b(content_of(name) or b"", digest_size=16).hexdigest()}"'


def asset(request: Request) -> Response:
    """An asset, or the answer that the browser has it already."""
    name = request.path_params["name"]
    content = content_of(name)
    if content is None:
        return PlainTextResponse("no such file", status_code=404)
    headers = {"etag": _tag(name), "cache-control": "private, no-cache"}
    if request.headers.get("if-none-match") == _tag(name):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=_TYPES[name.rpartition(".")[2]], headers=headers)


def icon(request: Request) -> Response:
    """The icon that browsers ask for by themselves."""
    return Response(content_of("icon.svg") or b"", media_type=_TYPES["svg"])


__all__ = ["asset", "content_of", "icon"]
