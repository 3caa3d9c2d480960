"""The form above the curves of a study: what is selected, and what the curves show."""

from __future__ import annotations

from collections.abc import Iterable

from assay.analysis.quantities import METRICS, SCORE, SPLITS
from assay.report.charts.curves import CURVE_AXES
from assay.report.html import text
from assay.serve.filters import MOST_LETTERS
from assay.serve.views import MOST_SMOOTH, View

_SPLITS = {"": "as in the report", **SPLITS}
_LOGS = {"": "linear", "x": "log x", "y": "log y", "xy": "log x and y"}
_ROWS = {"configurations": "configurations", "trials": "trials"}


def controls(view: View) -> str:
    """The form; what it asks for is in the address, so that it works without a script too."""
    example = "optimizer=adam accuracy>0.97"
    fields = [
        f'<label class="wide-field">Select configurations <input type="search" name="q" value="{text(view.q)}" '
        f'placeholder="{text(example)}" maxlength="{MOST_LETTERS}" spellcheck="false" autocomplete="off" '
        'aria-describedby="query-help"></label>',
        select("Against", "x", CURVE_AXES.items(), view.x),
        select("Show", "y", _measures(view), view.y),
        select("On", "split", _SPLITS.items(), view.split),
        select("Axes", "log", _LOGS.items(), view.log),
        f'<label>Moving average <input type="number" name="smooth" value="{view.smooth}" min="1" max="{MOST_SMOOTH}">'
        "</label>",
        f'<label><input type="checkbox" name="seeds" value="1"{" checked" if view.seeds else ""}> Single seeds</label>',
        select("Table of", "rows", _ROWS.items(), view.rows),
    ]
    kept = f'<input type="hidden" name="sort" value="{text(view.sort)}">' if view.sort else ""
    hint = (
        f'<p class="note" id="query-help">Columns of the table and axes, with = != &gt; &lt; &gt;= &lt;=, such as '
        f"<code>{text(example)}</code>; words are of the name. A configuration is selected whole, with all of its "
        "seeds.</p>"
    )
    return (
        f'<form class="controls" id="controls" method="get" action="#curves">{"".join(fields)}{kept}'
        '<button>Show</button> <button type="button" data-copy-address>Copy the address of this view</button></form>'
        + hint
    )


def _measures(view: View) -> list[tuple[str, str]]:
    """What curves can show. The usual measure is the score of the study's task, so R2 is not offered a second time."""
    words = {SCORE.name: "accuracy (of a regression R2)"}
    return [(name, words.get(name, m.label or name)) for name, m in METRICS.items() if name != "r2" or view.y == "r2"]


def select(label: str, name: str, choices: Iterable[tuple[str, str]], chosen: str) -> str:
    """A field that offers values, each with its words, of which one is chosen."""
    options = "".join(
        f'<option value="{text(value)}"{" selected" if value == chosen else ""}>{text(words)}</option>'
        for value, words in choices
    )
    return f'<label>{label} <select name="{name}">{options}</select></label>'


__all__ = ["controls", "select"]
