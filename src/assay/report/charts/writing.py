"""Charts into files: PNG, SVG, PDF, JSON, and HTML that needs no network."""

from __future__ import annotations

import io
import json
import re
from functools import cache
from html import escape, unescape
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from assay.errors import FileError, unknown
from assay.report.charts.style import LABEL
from assay.system.files import write_atomically

FORMATS = ("png", "svg", "pdf", "html", "json")


def write(chart: alt.TopLevelMixin, path: Path) -> Path:
    """Writes a chart as PNG, SVG, PDF, HTML or JSON, by the ending of the path. Raises: FileError."""
    ending = path.suffix.lstrip(".").lower()
    if ending not in FORMATS:
        raise FileError(f"{path}: " + unknown("picture format", ending, FORMATS))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from None
    write_atomically(path, _content(chart, ending))
    return path


def _content(chart: alt.TopLevelMixin, ending: str) -> bytes:
    if ending == "html":
        return html(chart.to_dict()).encode()
    if ending == "svg":
        return svg(chart).encode()
    if ending in ("png", "pdf"):
        picture = io.BytesIO()
        chart.save(picture, format="png" if ending == "png" else "pdf", scale_factor=2 if ending == "png" else 1)
        return picture.getvalue()
    text = io.StringIO()
    chart.save(text, format="json")
    return text.getvalue().encode()


def svg(chart: alt.TopLevelMixin) -> str:
    """The chart as SVG; a label that is cut has its whole name as a title, which is shown on hover."""
    spec = chart.to_dict()
    return with_titles(vl_convert.vegalite_to_svg(spec), whole_names(spec))


def whole_names(spec: Any) -> dict[str, str]:
    """The labels of a chart that are cut or shortened, with the whole names that its rows have."""
    names: dict[str, str] = {}
    for row in rows_of(spec):
        for label, name in (("label", "name"), ("series", "name"), ("x", "column"), ("y", "row"), ("text", "whole")):
            shown, whole = row.get(label), row.get(name)
            if isinstance(shown, str) and isinstance(whole, str):
                is_shortened = label in ("label", "series") and len(whole) > LABEL and shown != whole
                if "…" in shown or is_shortened:
                    names[shown] = whole
    return names


def rows_of(spec: Any) -> list[dict[str, Any]]:
    """The rows of data of a specification, also of its parts."""
    if isinstance(spec, dict):
        own = [row for row in spec.get("values") or [] if isinstance(row, dict)] if "values" in spec else []
        sets = [row for value in spec.get("datasets", {}).values() for row in value]
        nested = [row for key, value in spec.items() if key not in ("values", "datasets") for row in rows_of(value)]
        return [*own, *sets, *nested]
    return [row for item in spec for row in rows_of(item)] if isinstance(spec, list) else []


_TEXT = re.compile(r"(<text[^>]*>)([^<]+)(</text>)")


def with_titles(picture: str, names: dict[str, str]) -> str:
    """An SVG whose texts have the whole names as titles, where they are cut.

    >>> with_titles("<text>a lo…</text>", {"a lo…": "a long name"})
    '<text>a lo…<title>a long name</title></text>'
    """

    def titled(match: re.Match[str]) -> str:
        name = names.get(unescape(match[2]))
        return match[0] if name is None else f"{match[1]}{match[2]}<title>{escape(name)}</title>{match[3]}"

    return _TEXT.sub(titled, picture)


def shown_offline(chart: Any) -> Any:
    """The chart, which a notebook shows as SVG: Altair's own way loads its programs from another site."""

    def bundle(**_: Any) -> dict[str, str]:
        return {"image/svg+xml": svg(chart), "text/plain": f"<chart: {chart.to_dict().get('description', '')}>"}

    object.__setattr__(chart, "_repr_mimebundle_", bundle)  # of this object alone: Altair's renderer stays as it is
    return chart


def html(spec: dict[str, Any]) -> str:
    """A page that holds the chart and all that draws it, and loads nothing."""
    before, after = _shell()
    return before + embedded(spec) + after


def embedded(value: Any) -> str:
    """The value as JSON that may stand inside a script of an HTML page: no name in it can end the script."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _shell() -> tuple[str, str]:
    """The page before and after its chart; made with an empty chart, as vl-convert writes names into it unescaped."""
    empty: dict[str, Any] = {"$schema": alt.SCHEMA_URL, "data": {"values": []}, "mark": "point"}
    page: str = vl_convert.vegalite_to_html(empty, bundle=True)
    opening, options = "const spec = ", 'const opts = {"renderer":"svg"'
    start = page.rindex(opening) + len(opening)
    end = page.index(";\n", start)
    after = page[end:].replace(options, options + ',"actions":{"editor":false}', 1)  # the editor is another site
    return page[:start], after
