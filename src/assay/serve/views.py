"""The state of a view of a study, which is its address: what is selected, how it is sorted, what curves show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import urlencode

from assay.analysis.quantities import METRICS, SPLITS
from assay.errors import AssayError, unknown
from assay.report.charts.curves import CURVE_AXES

ROWS = ("configurations", "trials")
_LOGS = ("", "x", "y", "xy")
MOST_SMOOTH = 1000  # points of a moving average
_OF_CURVES = {"y": "measure"} | {name: name for name in ("x", "split", "log", "smooth", "start", "stop")}
"""The options of the chart of the curves, by the fields of a view."""


@dataclass(frozen=True)
class View:
    """What a page of a study shows. What is not given has its default, and is not in the address.

    Attributes:
        q: The query that selects configurations; "" selects all.
        rows: Whether the table has configurations or trials.
        sort: The column that the table is sorted by, with - in front for descending order; "" for the study's own.
        page: Of the table, from 1.
        x: What curves are drawn against.
        y: What they show, "accuracy" or "loss".
        split: On which part of the data; "" for the one that the report shows.
        log: The logarithmic axes: "", "x", "y" or "xy".
        smooth: The points of a moving average; 1 is none.
        seeds: 1: a line for each trial instead of a band over the seeds of a configuration.
        start: Where curves begin on x.
        stop: Where they end.
    """

    q: str = ""
    rows: str = "configurations"
    sort: str = ""
    page: int = 1
    x: str = "iteration"
    y: str = "accuracy"
    split: str = ""
    log: str = ""
    smooth: int = 1
    seeds: int = 0
    start: float | None = None
    stop: float | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> View:
        """The view of a query string. Raises: AssayError, which names the wrong value."""
        made: dict[str, Any] = {}
        for field in fields(cls):
            text = query.get(field.name, "").strip()
            if text:
                made[field.name] = _value(field.name, text, type(field.default))
        view = cls(**made)
        choices = (("rows", ROWS), ("x", CURVE_AXES), ("y", METRICS), ("split", ("", *SPLITS)), ("log", _LOGS))
        for name, known in choices:
            if getattr(view, name) not in known:
                raise AssayError(unknown(name, getattr(view, name), [word for word in known if word]))
        if view.page < 1:
            raise AssayError(f"page: got {view.page}; expected 1 or more")
        if not 1 <= view.smooth <= MOST_SMOOTH:
            raise AssayError(f"smooth: got {view.smooth}; expected 1 to {MOST_SMOOTH:,} points")
        if view.start is not None and view.stop is not None and view.start >= view.stop:
            raise AssayError(f"start: got {view.start:g}; expected a value before stop, {view.stop:g}")
        return view

    def query(self, **changes: Any) -> str:
        """The query string of this view with some changes: "" for the defaults, else with a question mark."""
        changed = replace(self, **changes)
        pairs = [(f.name, getattr(changed, f.name)) for f in fields(changed) if getattr(changed, f.name) != f.default]
        return f"?{urlencode([(name, _text(value)) for name, value in pairs])}" if pairs else ""

    @property
    def curves(self) -> dict[str, Any]:
        """The options of the chart of the curves that differ from those of the report."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        options = {option: given[name] for name, option in _OF_CURVES.items() if name in given}
        return options | ({"by": "trial"} if self.seeds else {})


def _value(name: str, text: str, kind: type) -> Any:
    if kind is str:
        return text
    try:
        value = int(text) if kind is int else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or abs(value) > 1e15:
        raise AssayError(f"{name}: got {text!r}; expected a {'whole ' if kind is int else ''}number")
    return value


def _text(value: Any) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


__all__ = ["MOST_SMOOTH", "ROWS", "View"]
