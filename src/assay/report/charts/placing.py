"""Where the names of points stand so that none hides another one or a point: Vega-Lite does not place such labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

from assay.report.charts.style import Plane, Rows
from assay.report.thinning import evenly

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels
_LETTER, _LINE = 6.6, 14  # the pixels of a letter, and of a line of text


@dataclass(frozen=True)
class _Plot:
    """From the values of a plane to pixels and back; x is logarithmic."""

    plane: Plane

    def pixels(self, x: float, y: float) -> tuple[float, float]:
        low, high = map(log, self.plane.x.limits)
        bottom, top = self.plane.y.limits
        width, height = self.plane.size
        return (log(x) - low) / (high - low) * width, (top - y) / (top - bottom) * height

    def values(self, left: float, top: float) -> tuple[float, float]:
        low, high = map(log, self.plane.x.limits)
        bottom, upper = self.plane.y.limits
        width, height = self.plane.size
        return exp(low + left / width * (high - low)), upper - top / height * (upper - bottom)


def placed(points: Rows, named: Mapping[str, str], *, plane: Plane, most: int, around: Rows) -> Rows:
    """The names of at most `most` points with their places: left above a point of a front, where no point can be.

    Names stay clear of the points and of those `around`. One for which there is no room is left to its tooltip.
    """
    plot = _Plot(plane)
    places = [plot.pixels(point["x"], point["y"]) for point in points]
    obstacles = places + [plot.pixels(point["x"], point["y"]) for point in around]
    taken: list[Box] = [(left - 5, top - 5, left + 5, top + 5) for left, top in obstacles]
    rows: Rows = []
    for i in evenly(len(points), most):
        point, (left, _) = points[i], places[i]
        label = named[point["name"]]
        box = _free(places[i], _LETTER * len(label), taken, plane.size)
        if box is None:
            continue
        taken.append(box)
        side = "left" if box[0] < left else "right"
        x2, y2 = plot.values(box[2] if side == "left" else box[0], (box[1] + box[3]) / 2)
        row = {"name": point["name"], "label": label, "x": point["x"], "y": point["y"]}
        rows.append(row | {"x2": x2, "y2": y2, "side": side})
    return rows


def _free(point: tuple[float, float], wide: float, taken: Sequence[Box], size: tuple[int, int]) -> Box | None:
    """The nearest place for a name that is inside the plot and overlaps nothing."""
    for left, top in _candidates(*point, wide):
        box = (left, top, left + wide, top + _LINE)
        inside = left >= 2 and top >= 0 and box[2] <= size[0] and box[3] <= size[1]
        if inside and not any(_overlap(box, other) for other in taken):
            return box
    return None


def _candidates(x: float, y: float, wide: float) -> list[tuple[float, float]]:
    """The left upper corners to try for a label of a point, nearest first."""
    above = [(x - 10 - wide, y - 22 - 15 * i) for i in range(9)]
    return [*above[:3], (x + 10, y - 24), *above[3:], (x + 12, y + 8), (x + 12, y + 24), (x + 12, y + 40)]


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] + 4 and b[0] < a[2] + 4 and a[1] < b[3] and b[1] < a[3]


__all__ = ["placed"]
