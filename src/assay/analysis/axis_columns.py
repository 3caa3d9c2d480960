"""The column of each axis of a study: its name, or `axis.NAME` where a frame has a column of that name already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from assay.analysis.best import COLUMNS as BEST
from assay.analysis.quantities import MEASURES, QUANTITIES
from assay.errors import AssayError, unknown

PREFIX = "axis."
_LEDGER = "ledger_"
RECIPE = ("model", "optimizer", "learning_rate", "data", "engine")
"""The columns of what was trained. They vary with an axis, so that a chart may draw them as one."""
PLACE = ("timing", "threads", "machine", "level", "busy", "cohort", "device")
"""The columns of where and how it was timed."""
DRAWS = ("draw_split", "draw_folds", "draw_fold", "draw_overlap")
"""The columns with the draw of each trial; missing where no trial of the study has one."""
APART = ("peak_memory_bytes", "foreign_seconds", "preparation_seconds")
"""Numbers of a trial that are no measures to rank by."""
_TRIAL = (
    "trial",
    "study",
    "configuration",
    "seed",
    "repeat",
    "outcome",
    "classes",
    "majority",
    "clock",
    "origin",
    "steps",
    "budget_seconds",
    *DRAWS,
)
NO_AXES = frozenset((*_TRIAL, "iteration", *PLACE, *APART, *MEASURES, *QUANTITIES, *BEST))
"""The columns of the frames of a study that no chart draws as an axis."""


def is_no_axis(column: str) -> bool:
    """Whether a column of a study's frame is never drawn as an axis, such as a score of one class."""
    return column in NO_AXES or column in MEASURES


def axis_columns(axes: Iterable[str]) -> dict[str, str]:
    """The column of each axis.

    >>> axis_columns(["rate", "timing"])
    {'rate': 'rate', 'timing': 'axis.timing'}
    """
    return {axis: PREFIX + axis if _is_taken(axis) else axis for axis in axes}


def axis_column(name: str, axes: Mapping[str, str], columns: Iterable[str]) -> str:
    """The column that a user means: of an axis, by its name or the last part of it, or another of the `columns`.

    >>> axis_column("activation", {"model.activation": "model.activation"}, ["trial"])
    'model.activation'

    Raises: AssayError.
    """
    if name in axes:
        return axes[name]
    if name in columns:
        return name
    ends = [column for axis, column in axes.items() if axis.rpartition(".")[2] == name]
    if len(ends) == 1:
        return ends[0]
    others = ("configuration", "trial", "seed", *RECIPE, *PLACE)
    raise AssayError(f"{unknown('axis', name, axes)}; also: {', '.join(others)}")


def axis_of(column: str) -> str:
    """The name of the axis with that column, as a chart writes it; also of a term of several axes.

    >>> axis_of("axis.timing"), axis_of("axis.timing x rate")
    ('timing', 'timing x rate')
    """
    return " x ".join(name.removeprefix(PREFIX) for name in column.split(" x "))


def renamed_sentence(columns: dict[str, str]) -> str:
    """The sentence on axes that have another column than their name; empty if none has.

    >>> renamed_sentence({"rate": "rate", "timing": "axis.timing"})
    "the axis timing is the column axis.timing, because 'timing' is a column of every study"
    """
    renamed = [axis for axis, column in columns.items() if axis != column]
    if not renamed:
        return ""
    if len(renamed) == 1:
        (axis,) = renamed
        return f"the axis {axis} is the column {columns[axis]}, because {axis!r} is a column of every study"
    names = ", ".join(columns[axis] for axis in renamed)
    return f"the axes {', '.join(renamed)} are the columns {names}, because every study has columns of their names"


def _is_taken(axis: str) -> bool:
    return is_no_axis(axis) or axis in RECIPE or axis.startswith((PREFIX, _LEDGER))


__all__ = [
    "APART",
    "DRAWS",
    "NO_AXES",
    "PLACE",
    "PREFIX",
    "RECIPE",
    "axis_columns",
    "axis_of",
    "is_no_axis",
    "renamed_sentence",
]
