"""The space of a search: which axes a point has, random points, all points of a finite space, and neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from assay.errors import unknown
from assay.rng import Stream, stream
from assay.studies.designs import Configuration
from assay.studies.space import Axis, Value

LISTED = 20_000
"""A space with more points than this is not enumerated."""
_LOCAL_POINTS = 4_000  # near a point of a larger space, among which a free neighbour is searched
_RADII = (0.01, 0.05, 0.2, 1.0)  # fractions of an axis


def levels(axis: Axis) -> list[Value] | None:
    """The values of an axis, each once, in order; None for a continuous range.

    >>> levels(Axis("units", {}, key="model.hidden", low=8, high=32, whole=True, step=8))
    [8, 16, 24, 32]
    """
    if not axis.is_range:
        return list(axis.patches)
    if axis.whole:
        return list(range(int(axis.low), int(axis.high) + 1, int(axis.step) or 1))
    if axis.step:
        return [_on_step(axis, k) for k in range(_steps(axis) + 1)]
    return None


def count_of(axis: Axis) -> float:
    """The number of values of an axis; infinite for a continuous range."""
    if not axis.is_range:
        return len(axis.patches)
    if axis.whole:
        return (int(axis.high) - int(axis.low)) // (int(axis.step) or 1) + 1
    return _steps(axis) + 1 if axis.step else math.inf


def _steps(axis: Axis) -> int:
    return round((axis.high - axis.low) / axis.step)


def _on_step(axis: Axis, k: int) -> float:
    return float(f"{min(axis.low + k * axis.step, axis.high):.12g}")


def at_fraction(axis: Axis, u: float) -> Value:
    """The value at the fraction u in [0, 1) of an axis, on its scale; every value of a list or a step has equal weight.

    >>> at_fraction(Axis("rate", {}, key="optimizer.learning_rate", low=1e-4, high=1.0, scale="log"), 0.5)
    0.01
    """
    if not axis.is_range:
        return list(axis.patches)[int(u * len(axis.patches))]
    if axis.whole and axis.scale == "log":
        low, high = math.log(axis.low - 0.5), math.log(axis.high + 0.5)
        return max(int(axis.low), min(round(math.exp(low + u * (high - low))), int(axis.high)))
    if axis.whole:
        return int(axis.low) + int(u * count_of(axis)) * (int(axis.step) or 1)
    if axis.step:
        return _on_step(axis, int(u * (_steps(axis) + 1)))
    if axis.scale == "log":
        low, high = math.log(axis.low), math.log(axis.high)
        return rounded(axis, math.exp(low + u * (high - low)))
    return rounded(axis, axis.low + u * (axis.high - axis.low))


def rounded(axis: Axis, value: float) -> Value:
    """A value of a range as it is stored and trained: a whole number, on the step, or with six significant digits.

    A range that is narrow for its size has as many digits as divide it into 100,000 parts.
    """
    if axis.whole:
        step = int(axis.step) or 1
        number = int(axis.low) + round((value - axis.low) / step) * step
        return max(int(axis.low), min(number, int(axis.high)))
    if axis.step:
        return _on_step(axis, max(0, min(round((value - axis.low) / axis.step), _steps(axis))))
    wide = 1.0 if axis.scale == "log" else max(abs(axis.low), abs(axis.high)) / (axis.high - axis.low)
    digits = min(17, 6 + max(0, math.floor(math.log10(wide))))
    return min(max(float(f"{value:.{digits}g}"), float(axis.low)), float(axis.high))


def fraction_of(axis: Axis, value: Value) -> float:
    """Where a value of a range is on its scale: 0 at its low end, 1 at its high end."""
    number, low, high = float(value), float(axis.low), float(axis.high)
    if axis.scale == "log":
        number, low, high = math.log(number), math.log(low), math.log(high)
    return (number - low) / (high - low)


@dataclass(frozen=True)
class SearchSpace:
    """The axes of a search. A point has a value of each axis whose condition it meets.

    >>> rate = Axis("rate", {}, key="optimizer.learning_rate", low=0.1, high=0.2)
    >>> SearchSpace((rate,)).draw(1, "example")
    {'rate': 0.132247}
    """

    axes: tuple[Axis, ...]
    by_name: Mapping[str, Axis] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {axis.name: axis for axis in self.axes})

    @cached_property
    def order(self) -> tuple[Axis, ...]:
        """The axes with those that a condition names before those that have the condition. They have no cycle."""
        ordered: dict[str, Axis] = {}

        def add(axis: Axis) -> None:
            for name in axis.when:
                add(self.by_name[name])
            ordered.setdefault(axis.name, axis)

        for axis in self.axes:
            add(axis)
        return tuple(ordered.values())

    @property
    def is_conditional(self) -> bool:
        """Whether some points lack an axis."""
        return any(axis.when for axis in self.axes)

    def point(self, value_of: Callable[[Axis], Value]) -> Configuration:
        """The point with these values, which are asked for in an order that conditions allow."""
        values: dict[str, Value] = {}
        for axis in self.order:
            if self._is_active(axis, values):
                values[axis.name] = value_of(axis)
        return {axis.name: values[axis.name] for axis in self.axes if axis.name in values}

    def _is_active(self, axis: Axis, values: Mapping[str, Value]) -> bool:
        return all(
            name in values and any(_same(values[name], wanted) for wanted in wanted_values)
            for name, wanted_values in axis.when.items()
        )

    def draw(self, seed: int, purpose: str, index: int = 0) -> Configuration:
        """A random point: uniform on the scale of each axis, a function of (seed, purpose, index, axis) alone."""
        return self.point(lambda axis: at_fraction(axis, _uniform(stream(seed, f"{purpose}/{axis.name}", index))))

    # --- finite spaces ---

    @cached_property
    def listed(self) -> tuple[Configuration, ...] | None:
        """Every point in order, the last axis varies fastest; None for a continuous or a larger space."""
        if any(count_of(axis) > LISTED for axis in self.axes):
            return None
        points = tuple(islice(self._points({}, 0), LISTED + 1))
        return points if len(points) <= LISTED else None

    def _points(self, values: dict[str, Value], at: int) -> Iterator[Configuration]:
        if at == len(self.order):
            yield {axis.name: values[axis.name] for axis in self.axes if axis.name in values}
            return
        axis = self.order[at]
        if not self._is_active(axis, values):
            yield from self._points(values, at + 1)
            return
        for value in levels(axis) or ():
            yield from self._points({**values, axis.name: value}, at + 1)

    # --- neighbours ---

    def neighbours(self, near: Configuration, *, seed: int, index: int) -> Iterator[Configuration]:
        """Points by their distance from a point: all of a finite space, else local and random ones of this seed.

        The distance sums, over the axes, the difference of the fractions of a range, or 1 for another value of a list
        and for an axis that one of the points lacks.
        """
        if self.listed is not None:
            points, coordinates = self.listed, self._coordinates
        else:
            points = tuple(self._local(near, seed, index))
            coordinates = np.array([self._coordinate(point) for point in points])
        distances = self._distances(coordinates, np.array(self._coordinate(near)))
        for number in np.argsort(distances, kind="stable"):
            yield points[number]

    def _local(self, near: Configuration, seed: int, index: int) -> Iterator[Configuration]:
        draws = stream(seed, "search/neighbour", index).uniform(_LOCAL_POINTS * 2 * len(self.axes))
        rows = draws.reshape(_LOCAL_POINTS, len(self.axes), 2)
        place = {axis.name: number for number, axis in enumerate(self.axes)}
        for number, row in enumerate(rows):
            radius = _RADII[number % len(_RADII)]

            def moved(axis: Axis, row: NDArray[np.float64] = row, radius: float = radius) -> Value:
                first, second = (float(u) for u in row[place[axis.name]])
                if axis.name not in near or (not axis.is_range and first < radius):
                    return at_fraction(axis, second)
                if not axis.is_range:
                    return near[axis.name]
                u = fraction_of(axis, near[axis.name]) + radius * (2 * first - 1)
                return at_fraction(axis, min(max(u, 0.0), 1 - 2**-53))

            yield self.point(moved)

    @cached_property
    def _coordinates(self) -> NDArray[np.float64]:
        return np.array([self._coordinate(point) for point in self.listed or ()])

    def _coordinate(self, point: Configuration) -> list[float]:
        """Fractions of ranges and numbers of values; NaN for an axis that the point lacks."""
        return [
            math.nan
            if axis.name not in point
            else fraction_of(axis, point[axis.name])
            if axis.is_range
            else float(place_of(axis, point[axis.name]))
            for axis in self.axes
        ]

    def _distances(self, points: NDArray[np.float64], near: NDArray[np.float64]) -> NDArray[np.float64]:
        ranges = np.array([axis.is_range for axis in self.axes])
        missing = np.isnan(points) | np.isnan(near)
        apart = np.where(ranges, np.abs(points - near), (points != near).astype(np.float64))
        return np.where(missing, (np.isnan(points) != np.isnan(near)).astype(np.float64), apart).sum(axis=1)


def place_of(axis: Axis, value: Value) -> int:
    """The number of a value in the list of an axis. Raises: KeyError where it is not in it."""
    for number, known in enumerate(axis.patches):
        if _same(known, value):
            return number
    raise KeyError(value)


def _same(a: Value, b: Value) -> bool:
    """Whether two values are equal; 1 and true are not."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def key_of(values: Configuration) -> tuple[tuple[str, str], ...]:
    """What identifies a point: 1, 1.0 and true are different values."""
    return tuple((name, repr(value)) for name, value in values.items())


def _uniform(source: Stream) -> float:
    return float(source.uniform(1)[0])


def condition_problems(axes: Sequence[Axis]) -> list[str]:
    """The errors of conditions: unknown axes and values, ranges as conditions, and circles."""
    by_name = {axis.name: axis for axis in axes}
    problems: list[str] = []
    for axis in axes:
        for name, wanted in axis.when.items():
            problems += _condition_problems(axis.name, name, wanted, by_name)
    if not problems:
        problems += [f"axes.{name}.when: depends on itself, over other axes" for name in _circular(by_name)]
    return problems


def _condition_problems(owner: str, name: str, wanted: Sequence[Value], by_name: Mapping[str, Axis]) -> Iterator[str]:
    where = f"axes.{owner}.when"
    others = [other for other in by_name if other != owner]
    if name not in by_name or name == owner:
        yield f"{where}: {unknown('axis', name, others)}" if others else f"{where}: there is no other axis"
        return
    other = by_name[name]
    if other.is_range:
        yield f"{where}: axis {name!r} is a range; expected an axis with values or patches"
        return
    for value in wanted:
        if not any(_same(known, value) for known in other.patches):
            yield f"{where}: {unknown(f'value of axis {name}', value, map(str, other.patches))}"


def _circular(by_name: Mapping[str, Axis]) -> list[str]:
    def reaches(name: str, start: str, seen: set[str]) -> bool:
        for other in by_name[name].when:
            if other == start:
                return True
            if other not in seen and reaches(other, start, seen | {other}):
                return True
        return False

    return [name for name in by_name if reaches(name, name, {name})]


def exclude_each_other(a: Axis, b: Axis) -> bool:
    """Whether no point has both axes: their conditions want different values of one axis."""
    return any(
        name in b.when and not any(_same(x, y) for x in wanted for y in b.when[name]) for name, wanted in a.when.items()
    )
