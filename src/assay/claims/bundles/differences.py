"""What one seed differs between engines and instruction levels: a measured table, and what a trial is held against.

`python -m benchmarks.engine_differences` measures it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from assay.parts.models import Model, Sequential
from assay.parts.stack import Conv2dPart
from assay.report.text import short_percent
from assay.training.history import Point

LEVEL, ENGINE = "level", "engine"
DENSE, CONVOLUTIONAL = "dense", "convolutional"


@dataclass(frozen=True)
class MeasuredPairs:
    """The largest differences between pairs of trainings that differ in the engine or in its level.

    Attributes:
        kind: "level" where the level alone differs, else "engine".
        iterations: Up to which they were compared.
        n: The number of pairs.
        same_bits: How many of the pairs have the same bits.
        accuracy: The largest difference of the test accuracy, a fraction.
        accuracy_median: The median of the largest one of each pair.
        loss: The largest difference of the test loss, relative to the larger one, or to 0.01 where both are smaller.
        layers: "dense", or "convolutional" where the networks have convolutions.
    """

    kind: str
    iterations: int
    n: int
    same_bits: int
    accuracy: float
    accuracy_median: float
    loss: float
    layers: str = DENSE


def layers_of(model: Model) -> str:
    """Which rows a model is held against: "convolutional" if it has convolutions, else "dense"."""
    is_convolutional = isinstance(model, Sequential) and any(isinstance(part, Conv2dPart) for part in model.layers)
    return CONVOLUTIONAL if is_convolutional else DENSE


@cache
def table() -> dict[str, Any]:
    """The measured table with the machine and the engines."""
    text = (resources.files("assay.claims.bundles") / "differences.json").read_text()
    plain: dict[str, Any] = json.loads(text)
    return plain


@cache
def measured() -> tuple[MeasuredPairs, ...]:
    """The rows of the table."""
    return tuple(MeasuredPairs(**row) for row in table()["rows"])


def allowed(kind: str, iterations: int, layers: str = DENSE) -> MeasuredPairs | None:
    """What a training of so many iterations may differ; None where so many were not measured.

    The largest difference of all shorter trainings counts too: more iterations do not bring two trainings together.
    Convolutions that trained for longer than was measured with such layers are held against the dense rows as well.
    """
    rows = [row for row in measured() if row.kind == kind]
    own = [row for row in rows if row.layers == layers]
    longer = [row for row in own if row.iterations >= iterations]
    if not longer and layers == CONVOLUTIONAL:
        own, longer = rows, [row for row in rows if row.iterations >= iterations]
    if not longer:
        return None
    row = min(longer, key=lambda one: one.iterations)
    shorter = [other for other in own if other.iterations <= row.iterations]
    most = max(other.accuracy for other in shorter), max(other.loss for other in shorter)
    return MeasuredPairs(kind, row.iterations, row.n, row.same_bits, most[0], row.accuracy_median, most[1], row.layers)


@dataclass(frozen=True)
class Difference:
    """How the curve of a repeated training differs from the published one.

    Attributes:
        same_bits: Whether both have the same log points, all equal to the last bit but for their seconds.
        points: The number of points that both have.
        accuracy: The largest difference of the test accuracy, a fraction; infinite for curves of other log points.
        loss: The largest relative difference of the test loss.
        where: The first quantity and iteration that differ; empty where none does.
        same_points: Whether both have the same log points before the earlier end.
    """

    same_bits: bool
    points: int
    accuracy: float
    loss: float
    where: str = ""
    same_points: bool = True

    def plain(self) -> dict[str, float | None]:
        """The numbers as plain data; None for a difference without bound."""
        gaps = {"accuracy": self.accuracy, "loss": self.loss}
        return {"points": self.points} | {name: gap if math.isfinite(gap) else None for name, gap in gaps.items()}


_COMPARED = (
    "examples",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
)
_LEAST_LOSS = 0.01


def difference(published: Sequence[Point], repeated: Sequence[Point]) -> Difference:
    """Compares two curves point by point.

    Curves of other log points or ends differ without bound. Up to the earlier end, one recipe has the same log points
    on every engine.
    """
    other = {point.iteration: point for point in repeated}
    pairs = [(point, other[point.iteration]) for point in published if point.iteration in other]
    ends = [curve[-1].iteration for curve in (published, repeated) if curve]
    other_points = [n for n in {point.iteration for point in published} ^ set(other) if n < min(ends) or len(ends) < 2]
    first = ""
    accuracy = loss = 0.0
    for one, two in pairs:
        for name in _COMPARED:
            a, b = getattr(one, name), getattr(two, name)
            if not _equal(a, b) and not first:
                first = f"{name} at iteration {one.iteration:,}: {a}, here {b}"
        accuracy = max(accuracy, _gap(one.test_accuracy, two.test_accuracy))
        loss = max(loss, _relative(one.test_loss, two.test_loss))
    if other_points:
        first, accuracy = _one_sided(min(other_points), here=min(other_points) in other), float("inf")
    elif ends[1:] and ends[0] != ends[1]:
        first, accuracy = first or f"it ends at iteration {ends[0]:,}, here at {ends[1]:,}", float("inf")
    return Difference(not first and bool(pairs), len(pairs), accuracy, loss, first, not other_points)


def _one_sided(iteration: int, *, here: bool) -> str:
    return f"a log point at iteration {iteration:,} {'is here only' if here else 'is not here'}"


def _equal(a: float | None, b: float | None) -> bool:
    return a == b or (a is not None and b is not None and a != a and b != b)


def _gap(a: float | None, b: float | None) -> float:
    if a is None or b is None:
        return 0.0 if a is b else float("inf")
    return 0.0 if _equal(a, b) else abs(a - b)


def _relative(a: float | None, b: float | None) -> float:
    if a is None or b is None:
        return 0.0 if a is b else float("inf")
    gap = _gap(a, b)
    return gap / max(abs(a), abs(b), _LEAST_LOSS) if gap else 0.0


def markdown() -> str:
    """The table as Markdown, as the documentation shows it."""
    header = ["layers", "differs", "iterations", "pairs", "same bits", "accuracy, largest [points]", "median [points]"]
    lines = [f"| {' | '.join([*header, 'test loss, largest'])} |", "|---|---|---:|---:|---:|---:|---:|---:|"]
    for row in measured():
        lines.append(
            f"| {row.layers} | {row.kind} | {row.iterations:,} | {row.n} | {row.same_bits} | "
            f"{100 * row.accuracy:.2f} | {100 * row.accuracy_median:.2f} | {short_percent(row.loss)} |"
        )
    return "\n".join(lines) + "\n"
