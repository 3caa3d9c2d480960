"""The lines that a program prints: one JSON object for each log point, and how far they can be believed."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from assay.analysis.quantities import MEASURED, QUANTITIES
from assay.engines.base import Evaluation
from assay.errors import ProgramError, unknown
from assay.training.history import Point
from assay.workers.external.process import LONGEST_LINE

_TOLERANCE = {"float64": 1e-6, "float32": 1e-3}
_FLIPPED = 1e-3  # share of the examples whose class rounding may turn


class ReportedCurve:
    """The points that a program has claimed so far, checked line by line."""

    def __init__(self, log_points: Sequence[int], needed: Sequence[str], *, batch_loss: bool) -> None:
        """`needed`: the quantities that every point has; `batch_loss`: the training loss is the last batch's, so the
        point before the first iteration has none."""
        self.log_points, self._needed, self._batch_loss = log_points, needed, batch_loss
        self.points: list[Point] = []

    @property
    def whole(self) -> bool:
        """Whether every log point is there."""
        return len(self.points) == len(self.log_points)

    @property
    def so_far(self) -> str:
        """How much of the curve is there, in words."""
        where = f", the last at iteration {self.points[-1].iteration:,}" if self.points else ""
        return f"{len(self.points)} of {len(self.log_points)} log points{where}"

    def read(self, line: bytes, *, seconds: float, examples: int) -> Point:
        """The point that the next line claims, `seconds` after the program was started and with so many examples seen;
        a quantity that is not finite is NaN. Raises: ProgramError, naming the line."""
        where = f"line {len(self.points) + 1} of its output"
        if self.whole:
            raise ProgramError(f"{where}: got {_shown(line)}; the curve has its {len(self.log_points)} log points")
        table = _table(line, where)
        expected = self.log_points[len(self.points)]
        if table.get("iteration") != expected or isinstance(table["iteration"], bool):
            raise ProgramError(f"{where}: iteration: got {table.get('iteration')!r}; expected {expected}")
        for key in table:
            if key not in ("iteration", "seconds", *MEASURED):
                raise ProgramError(f"{where}: {unknown('key', key, ('iteration', 'seconds', *MEASURED))}")
        values = {key: _number(table[key], f"{where}: {key}") for key in table if key in MEASURED}
        for key in self._needed:
            if key not in values and not (key == "train_loss" and self._batch_loss and expected == 0):
                raise ProgramError(f"{where}: {key} is missing")
        for key in (name for name in MEASURED if QUANTITIES[name].is_fraction):
            if not math.isnan(values.get(key, math.nan)) and not 0 <= values[key] <= 1:
                raise ProgramError(f"{where}: {key}: got {values[key]:g}; expected a share from 0 to 1")
        point = Point(expected, examples, self._clock(table, where, seconds), **values)
        self.points.append(point)
        return point

    def _clock(self, table: dict[str, Any], where: str, wall: float) -> float:
        """The seconds of training that a line claims: they never fall, and never run ahead of Assay's own clock."""
        claimed = _number(table.get("seconds"), f"{where}: seconds")
        before = (self.points[-1].seconds or 0.0) if self.points else 0.0
        if not before <= claimed <= wall:
            raise ProgramError(
                f"{where}: seconds: got {claimed:g}; expected from {before:g}, those of the line before, "
                f"to {wall:.3f}, what has passed since the program was started"
            )
        return claimed


def _table(line: bytes, where: str) -> dict[str, Any]:
    if len(line) > LONGEST_LINE:
        raise ProgramError(f"{where}: is longer than {LONGEST_LINE:,} bytes")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProgramError(f"{where}: got {_shown(line)}; expected a JSON object, and nothing else on standard output")
    return found


def _number(value: object, where: str) -> float:
    """A number; null, NaN and Infinity, which a diverged training gives, are NaN."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProgramError(f"{where}: got {value!r}; expected a number")
    number = float(value) if abs(value) < 1e300 else math.inf
    return number if math.isfinite(number) else math.nan


def _shown(line: bytes) -> str:
    text = line.decode(errors="replace")
    return repr(text if len(text) <= 60 else text[:60] + "...")


def disagreement(claimed: Point, found: dict[str, Evaluation], examples: dict[str, int], precision: str) -> str:
    """What a point claims that its weights do not give, in a sentence, or nothing; `found`: Assay's own evaluations of
    the splits "train", "validation" and "test"."""
    tolerance = _TOLERANCE[precision]
    for split, evaluation in found.items():
        loss, accuracy = getattr(claimed, f"{split}_loss"), getattr(claimed, f"{split}_accuracy")
        own_loss, own_accuracy = float(evaluation.loss[0]), float(evaluation.accuracy[0])
        if loss is not None and not abs(loss - own_loss) <= tolerance * max(1.0, abs(own_loss)):
            return f"{split}_loss is {loss:.9g} by its own account; these weights give {own_loss:.9g}"
        allowed = 1 / examples[split] + _FLIPPED
        if accuracy is not None and not abs(accuracy - own_accuracy) <= allowed:
            return f"{split}_accuracy is {accuracy:.6g} by its own account; these weights give {own_accuracy:.6g}"
    return ""
