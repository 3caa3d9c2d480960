"""The curve that a program reports: one JSON object per line for each log point, and the checks on it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from assay.analysis.quantities import CLASSIFIED, QUANTITIES
from assay.engines.base import Evaluation
from assay.errors import ProgramError, unknown
from assay.training.history import Point
from assay.workers.external.process import LONGEST_LINE

_TOLERANCE = {"float64": 1e-6, "float32": 1e-3}
_FLIPPED = 1e-3  # fraction of the examples whose predicted class may change by rounding


class ReportedCurve:
    """The points that a program has reported so far, checked line by line."""

    def __init__(self, log_points: Sequence[int], required: Sequence[str], *, batch_loss: bool) -> None:
        """
        Args:
            log_points: The iterations of the points.
            required: The quantities that every point must have.
            batch_loss: Whether the training loss is that of the last batch, so that the point at iteration 0 has none.
        """
        self.log_points, self._required, self._batch_loss = log_points, required, batch_loss
        self.points: list[Point] = []

    @property
    def complete(self) -> bool:
        """Whether the curve has all log points."""
        return len(self.points) == len(self.log_points)

    @property
    def progress(self) -> str:
        """How many log points were reported, as the end of a sentence."""
        where = f", the last at iteration {self.points[-1].iteration:,}" if self.points else ""
        return f"{len(self.points)} of {len(self.log_points)} log points{where}"

    def read(self, line: bytes, *, seconds: float, examples: int) -> Point:
        """Reads the next line as a point. A quantity that is not finite is NaN.

        Args:
            line: The line.
            seconds: Wall time since the program was started.
            examples: The number of examples seen by then.

        Raises:
            ProgramError: The line is not a valid point; the message names the line.
        """
        where = f"line {len(self.points) + 1} of its output"
        if self.complete:
            raise ProgramError(
                f"{where}: got {_shown(line)}; expected nothing after the {len(self.log_points)} log points"
            )
        table = _table(line, where)
        expected = self.log_points[len(self.points)]
        if table.get("iteration") != expected or isinstance(table["iteration"], bool):
            raise ProgramError(f"{where}: iteration: got {table.get('iteration')!r}; expected {expected}")
        for key in table:
            if key not in ("iteration", "seconds", *CLASSIFIED):
                raise ProgramError(f"{where}: {unknown('key', key, ('iteration', 'seconds', *CLASSIFIED))}")
        values = {key: _number(table[key], f"{where}: {key}") for key in table if key in CLASSIFIED}
        for key in self._required:
            if key not in values and not (key == "train_loss" and self._batch_loss and expected == 0):
                raise ProgramError(f"{where}: {key} is missing")
        for key in (name for name in CLASSIFIED if QUANTITIES[name].is_fraction):
            if not math.isnan(values.get(key, math.nan)) and not 0 <= values[key] <= 1:
                raise ProgramError(f"{where}: {key}: got {values[key]:g}; expected a fraction from 0 to 1")
        point = Point(expected, examples, self._clock(table, where, seconds), **values)
        self.points.append(point)
        return point

    def _clock(self, table: dict[str, Any], where: str, wall: float) -> float:
        """The training seconds that a line reports, which never decrease and never exceed the wall time."""
        seconds = _number(table.get("seconds"), f"{where}: seconds")
        previous = (self.points[-1].seconds or 0.0) if self.points else 0.0
        if not previous <= seconds <= wall:
            raise ProgramError(
                f"{where}: seconds: got {seconds:g}; expected from {previous:g}, those of the previous line, "
                f"to {wall:.3f}, the wall time since the program was started"
            )
        return seconds


def _table(line: bytes, where: str) -> dict[str, Any]:
    if len(line) > LONGEST_LINE:
        raise ProgramError(f"{where}: longer than {LONGEST_LINE:,} bytes")
    try:
        table = json.loads(line)
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise ProgramError(f"{where}: got {_shown(line)}; expected a JSON object, and nothing else on standard output")
    return table


def _number(value: object, where: str) -> float:
    """Reads a number; null, NaN and Infinity, which a diverged training reports, become NaN."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProgramError(f"{where}: got {value!r}; expected a number")
    number = float(value) if abs(value) < 1e300 else math.inf
    return number if math.isfinite(number) else math.nan


def _shown(line: bytes) -> str:
    text = line.decode(errors="replace")
    return repr(text if len(text) <= 60 else text[:60] + "...")


def disagreement(reported: Point, measured: dict[str, Evaluation], examples: dict[str, int], precision: str) -> str:
    """How a reported point differs from Assay's own evaluation of the weights; empty if it agrees within tolerance.

    Args:
        reported: The point.
        measured: Assay's own evaluations of the splits "train", "validation" and "test".
        examples: The number of examples of each split.
        precision: The precision of the training, which sets the tolerance of the loss.

    Returns:
        The end of a sentence.
    """
    tolerance = _TOLERANCE[precision]
    for split, evaluation in measured.items():
        loss, accuracy = getattr(reported, f"{split}_loss"), getattr(reported, f"{split}_accuracy")
        own_loss, own_accuracy = float(evaluation.loss[0]), float(evaluation.accuracy[0])
        if loss is not None and not abs(loss - own_loss) <= tolerance * max(1.0, abs(own_loss)):
            return f"{split}_loss is reported as {loss:.9g}; these weights give {own_loss:.9g}"
        allowed = 1 / examples[split] + _FLIPPED
        if accuracy is not None and not abs(accuracy - own_accuracy) <= allowed:
            return f"{split}_accuracy is reported as {accuracy:.6g}; these weights give {own_accuracy:.6g}"
    return ""
