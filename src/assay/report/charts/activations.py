"""The activation functions and their derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from assay.errors import AssayError, unknown
from assay.parts.activations import ACTIVATIONS
from assay.report.charts.chart import Chart
from assay.report.charts.forms import Series, lines
from assay.report.charts.style import BLUE, ORANGE, Plane, PlotAxis, Rows, dressed, message, short, strokes, tooltip

_KINDS = {"function": (BLUE, [1, 0]), "derivative": (ORANGE, [5, 3])}


def activations(names: Sequence[str] | None = None, *, title: str | None = None) -> Any:
    """Activation functions and their derivatives, from the table of the package. Raises: AssayError."""
    chosen = list(ACTIVATIONS) if names is None else list(dict.fromkeys(names))
    for name in chosen:
        if name not in ACTIVATIONS:
            raise AssayError(unknown("activation", name, ACTIVATIONS))
    heading = title if title is not None else "activation functions and their derivatives"
    rows = [row for name in chosen for row in _rows(name)]
    if not rows:
        return message("No activation function was named.", heading)
    colours, dashes = zip(*_KINDS.values(), strict=True)
    panels = lines(
        rows,
        plane=Plane(PlotAxis("z", [-4, 4], count=5), PlotAxis(None, [-1.2, 3], count=5), (205, 140)),
        series=Series(list(_KINDS), colours, dashes, strokes(None, orient="top")),
        tips=tooltip(name="function", series="curve", x=("z", ".2~f"), y=("value", ".4~f")),
        hover=False,
    )
    order = list(dict.fromkeys(row["panel"] for row in rows))
    facet = alt.Facet("panel:N", sort=order, title=None, header=alt.Header(labelLimit=230))
    return dressed(panels.facet(facet=facet, columns=3), heading)


def _rows(name: str) -> Rows:
    part = ACTIVATIONS[name]
    z = np.linspace(-4.0, 4.0, 161)
    a = np.asarray(part.forward(np, z), dtype=float)
    values = {"function": a, "derivative": np.asarray(part.derivative(np, z, a), dtype=float)}
    panel = f"{name}: {short(part.formula, 34)}"
    return [
        {"name": name, "panel": panel, "series": kind, "kind": "line", "x": x, "y": y}
        for kind in _KINDS
        for x, y in zip(z.tolist(), values[kind].tolist(), strict=True)
    ]


CHART = Chart(
    "activations",
    "nothing",
    activations,
    "Activation functions",
    "activation functions and their derivatives",
)

__all__ = ["CHART", "activations"]
