"""Charts into files: PNG, SVG, JSON, and HTML that needs no network."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from assay.errors import FileError, unknown
from assay.system.files import write_atomically

FORMATS = ("png", "svg", "html", "json")


def write(chart: alt.TopLevelMixin, path: Path) -> Path:
    """Writes a chart as PNG, SVG, HTML or JSON, by the ending of the path. Raises: FileError."""
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
    if ending == "png":
        picture = io.BytesIO()
        chart.save(picture, format="png", scale_factor=2)
        return picture.getvalue()
    text = io.StringIO()
    chart.save(text, format=ending)
    return text.getvalue().encode()


def svg(chart: alt.TopLevelMixin) -> str:
    """The chart as SVG."""
    return vl_convert.vegalite_to_svg(chart.to_dict())


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
