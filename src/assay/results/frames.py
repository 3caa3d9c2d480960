"""Rows of the store as the frames of `Results`: one row per trial, or one row per point of a curve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.analysis.axis_columns import APART, PLACE, RECIPE
from assay.analysis.quantities import (
    LOSS,
    MEASURES,
    OF_REGRESSION,
    QUANTITIES,
    REGRESSION,
    TEST_SCORE,
    is_of_confusion,
    name_of,
    score_of,
)
from assay.results.draws import drawn_columns
from assay.store.curves import POINT, Curves
from assay.store.records import PROCESSOR
from assay.store.rows import recipe_of
from assay.store.study_rows import StudyRows

if TYPE_CHECKING:
    import pandas

COLUMNS = tuple(
    dict.fromkeys(
        [
            TEST_SCORE.column,
            name_of("test", LOSS.name),
            *MEASURES,
            *APART,
        ]
    )
)
"""The numbers of a trial: every quantity that is measured, those on the test set first, and the memory."""


MEASURES_OF = {name: QUANTITIES[name].column for name in OF_REGRESSION}
"""The scores that a regression alone has, with their columns in a frame of trials."""

Scores = Sequence[tuple[Sequence[str], Mapping[str, NDArray[np.float64]]]]
"""Trials, and their columns that come from confusion matrices."""


def trial_frame(rows: StudyRows, *, study: str, axes: Mapping[str, str], scores: Scores) -> pandas.DataFrame:
    """One row per trial, as `Results.frame` describes them.

    Args:
        rows: The rows of the store.
        study: The name of the study.
        axes: The column of each axis.
        scores: The columns that come from the confusion matrices of the trials that have one.
    """
    import pandas

    columns = _columns(rows, study, axes)
    if not rows:
        return pandas.DataFrame(dict.fromkeys((*columns, "level", "busy")), index=[])
    of_confusion = _scores(rows, scores)
    for name in COLUMNS:
        if is_of_confusion(name):
            columns[name] = of_confusion.pop(name, np.full(len(rows), np.nan))
    for name, cells in drawn_columns(rows).items():
        columns[name] = cells
    _add_ledgers(columns, rows)
    _leave_other_task(columns)
    while of_confusion:  # of a hundred thousand trials there is room for one copy
        name = next(iter(of_confusion))
        values = of_confusion.pop(name)
        if name not in columns:
            columns[name] = values
    for name in [name for name in COLUMNS if name in columns]:
        columns[name] = pandas.to_numeric(columns[name])
    unchanged = ["level", "busy"]  # else pandas makes NaN of what is unknown
    if rows.others:  # else the missing seeds make floats of all
        unchanged += ["seed", "repeat", "threads"]
    for name in unchanged:
        columns[name] = pandas.Series(rows.cells(name), dtype=object)

    from assay.analysis.seeds import with_floors  # which imports pandas

    frame = pandas.DataFrame(columns, copy=False)
    r2 = score_of(REGRESSION).column
    return with_floors(frame, [r2, score_of(REGRESSION, "validation").column]) if r2 in columns else frame


def _leave_other_task(columns: dict[str, Any]) -> None:
    """Removes from `columns` the scores that no trial of the task has: those of regressions, or else of classes."""
    of_regression = [MEASURES_OF[name] for name in OF_REGRESSION]
    if any(columns[name].notna().any() for name in of_regression):
        left = [name for name in COLUMNS if is_of_confusion(name) or name.endswith("accuracy")]
        left = [name for name in [*left, "effort", "classes"] if name == "classes" or not columns[name].notna().any()]
    else:
        left = of_regression
    for name in left:
        del columns[name]


def outline_frame(rows: StudyRows, *, study: str, axes: Mapping[str, str]) -> pandas.DataFrame:
    """The columns of `trial_frame` that come from neither time breakdowns nor confusion matrices."""
    import pandas

    columns = _columns(rows, study, axes)
    for name in COLUMNS:
        if is_of_confusion(name):
            del columns[name]
        else:
            columns[name] = pandas.to_numeric(columns[name])
    for name in OF_REGRESSION:
        columns.pop(MEASURES_OF[name])
    unchanged = ["level", "busy", *(["seed", "repeat", "threads"] if rows.others else [])]
    for name in unchanged:
        columns[name] = pandas.Series(rows.cells(name), dtype=object)
    return pandas.DataFrame(columns, copy=False)


def _columns(rows: StudyRows, study: str, axes: Mapping[str, str]) -> _Columns:
    """The columns that every frame of trials has, in their order; those of confusion matrices are empty."""
    columns = _Columns()
    origins = [*["measured"] * rows.own, *(row["origin"] for row in rows.others)]
    columns["trial"] = rows.cells("trial")
    columns["study"] = [study] * len(rows)
    columns["configuration"] = rows.cells("label")
    texts = rows.cells("axis_values")
    values = {text: json.loads(text) for text in dict.fromkeys(texts)}
    absent = ["baseline" if origin == "measured" else origin for origin in origins]
    for axis, column in axes.items():
        columns[column] = [values[text].get(axis, other) for text, other in zip(texts, absent, strict=True)]
    for name in ("seed", "repeat"):
        columns[name] = rows.cells(name)
    columns["outcome"] = [outcome or "planned" for outcome in rows.cells("outcome")]
    for name in COLUMNS:
        columns[name] = [None] * len(rows) if is_of_confusion(name) else rows.cells(name)
    columns["budget_seconds"] = _budget_seconds(rows)
    classes: dict[str, int] = {}
    for text in {text for text in rows.cells("classes") if text}:
        classes[text] = len(json.loads(text))
    columns["classes"] = [classes.get(text or "") for text in rows.cells("classes")]
    for name in (*RECIPE, *PLACE):
        columns[name] = rows.cells(name)
    programs = [(engine or "").startswith("command:") for engine in rows.cells("engine")]
    columns["clock"] = ["program" if is_program else "assay" for is_program in programs]
    columns["origin"] = origins
    columns["steps"] = [*["iterations"] * rows.own, *(row.get("steps", "iterations") for row in rows.others)]
    return columns


class _Columns(dict[str, Any]):
    """Columns by name, each made a series when it is set: of a hundred thousand rows one list at a time is enough."""

    def __setitem__(self, name: str, values: Any) -> None:
        import pandas

        super().__setitem__(name, pandas.Series(values))


def _add_ledgers(columns: dict[str, Any], rows: StudyRows) -> None:
    """Adds to `columns` the entries of the ledgers, in the order in which they first appear."""
    added: dict[str, NDArray[np.float64]] = {}
    for number, text in enumerate(rows.cells("ledger")):
        ledger = json.loads(text or "{}")
        processor = ledger.pop(PROCESSOR, None) or {}
        for prefix, entries in (("ledger_", ledger), ("ledger_processor_", processor)):
            for entry, seconds in entries.items():
                name = prefix + entry
                if name not in added:
                    added[name] = np.full(len(rows), np.nan)
                added[name][number] = seconds
    for name, values in added.items():
        columns[name] = values


def _scores(rows: StudyRows, scores: Scores) -> dict[str, NDArray[np.float64]]:
    """The columns of confusion matrices for these rows, NaN where a trial has none."""
    places: dict[str, list[int]] = {}
    for number, trial in enumerate(rows.cells("trial")):
        places.setdefault(trial, []).append(number)
    made: dict[str, NDArray[np.float64]] = {}
    for trials, values in scores:
        at = [number for trial in trials for number in places.get(trial, ())]
        of = [number for number, trial in enumerate(trials) for _ in places.get(trial, ())]
        for name, column in values.items():
            if name not in made:
                made[name] = np.full(len(rows), np.nan)
            made[name][at] = column[of]
    return made


def _budget_seconds(rows: StudyRows) -> list[float | None]:
    """The budget of each trial in seconds of training; None where it is in iterations, and for an imported curve."""
    budgets = rows.cells("budget")[: rows.own]
    seconds: list[float | None] = [
        None if budget is not None else recipe_of(rows[number])["budget"].get("seconds")
        for number, budget in enumerate(budgets)
    ]
    return [*seconds, *[None] * len(rows.others)]


def budget_frame(rows: Sequence[Mapping[str, Any]]) -> pandas.DataFrame:
    """One row per trial, as `Results.budgets` describes them; an imported curve has no budget."""
    import pandas

    measured = {row["trial"]: row for row in rows if row.get("origin") != "imported"}.values()
    columns: dict[str, list[Any]] = {"trial": [row["trial"] for row in measured]}
    columns["budget"] = [row["budget"] for row in measured]
    columns["epochs"] = [recipe_of(row)["budget"].get("epochs") for row in measured]
    columns["finished"] = [row["finished"] for row in measured]
    frame = pandas.DataFrame(columns)
    return frame.assign(**{name: pandas.to_numeric(frame[name]) for name in ("budget", "epochs", "finished")})


def own_copy(frame: pandas.DataFrame) -> pandas.DataFrame:
    """A copy that whoever gets it may change; pandas 3 copies a frame of millions of points only if they do."""
    import pandas

    return frame.copy(deep=int(pandas.__version__.partition(".")[0]) < 3)


def curve_frame(rows: Sequence[Mapping[str, Any]], curves: Curves) -> pandas.DataFrame:
    """One row per log point, as `Results.curves` describes them, from the rows of trials and their curves."""
    import pandas

    counts, points = curves.counts, int(curves.counts.sum())
    keys = np.array([row["trial"] for row in rows], object)
    trials = pandas.Series(np.repeat(keys, counts), dtype=object)  # a text of its own for each point is 64 bytes
    columns: dict[str, Any] = {"trial": trials}
    has_r2 = any(name in curves.columns for name in OF_REGRESSION)
    for name in POINT:
        if name in OF_REGRESSION and not has_r2:
            continue
        values = curves.columns[name] if name in curves.columns else np.full(points, np.nan)
        gaps = curves.missing.get(name)
        columns[name] = values if gaps is None else np.where(gaps, np.nan, values)
    if len({row.get("steps", "iterations") for row in rows}) > 1:
        epochs = np.repeat(np.array([row.get("steps") == "epochs" for row in rows], np.bool_), counts)
        columns["iteration"] = np.where(epochs, np.nan, columns["iteration"])
    rates = [(row["flops"] or 0.0) / row["examples"] if row["examples"] else 0.0 for row in rows]
    for number, row in enumerate(rows):
        unknown = row["flops"] is None and row["examples"]  # those of a user's module
        if unknown or row.get("origin") == "imported":  # what a log does not tell
            rates[number] = np.nan
    columns["flops"] = np.repeat(np.array(rates, np.float64), counts) * columns["examples"]
    return pandas.DataFrame(columns, copy=False)  # of millions of points there is room for one copy
