"""Rows of the store as the frames of `Results`: one row per trial, or one row per point of a curve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.analysis.axis_columns import APART, PLACE, RECIPE
from assay.analysis.quantities import LOSS, MEASURES, TEST_SCORE, is_of_confusion, name_of
from assay.store.curves import POINT, Curves
from assay.store.records import PROCESSOR

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


Scores = Sequence[tuple[Sequence[str], Mapping[str, NDArray[np.float64]]]]
"""Trials, and their columns that come from confusion matrices."""


def trial_frame(
    rows: Sequence[Mapping[str, Any]], *, study: str, axes: Mapping[str, str], scores: Scores
) -> pandas.DataFrame:
    """One row per trial, as `Results.frame` describes them.

    Args:
        rows: The rows of the store.
        study: The name of the study.
        axes: The column of each axis.
        scores: The columns that come from the confusion matrices of the trials that have one.
    """
    import pandas

    if not rows:
        return pandas.DataFrame(dict.fromkeys((*_columns([], study, axes), "level", "busy")), index=[])
    of_confusion, columns = _scores(rows, scores), _columns(rows, study, axes)
    for name in COLUMNS:
        if is_of_confusion(name):
            columns[name] = of_confusion.get(name, np.full(len(rows), np.nan))
    _add_ledgers(columns, rows)
    columns |= {name: values for name, values in of_confusion.items() if name not in columns}
    frame = pandas.DataFrame(columns)
    for column in COLUMNS:
        frame[column] = pandas.to_numeric(frame[column])
    for name in ("level", "busy"):  # else pandas makes NaN of what is unknown
        frame[name] = pandas.Series([row[name] for row in rows], dtype=object)
    if any(row.get("origin") == "imported" for row in rows):  # else the missing seeds make floats of all
        for name in ("seed", "repeat", "threads"):
            frame[name] = pandas.Series([row[name] for row in rows], dtype=object)
    return frame


def _columns(rows: Sequence[Mapping[str, Any]], study: str, axes: Mapping[str, str]) -> dict[str, Any]:
    """The columns that every frame of trials has, in their order; those of confusion matrices are empty."""
    origins = [row.get("origin", "measured") for row in rows]
    columns: dict[str, Any] = {"trial": [row["trial"] for row in rows], "study": [study] * len(rows)}
    columns["configuration"] = [row["label"] for row in rows]
    values = [json.loads(row["axis_values"]) for row in rows]
    absent = ["baseline" if origin == "measured" else origin for origin in origins]
    for axis, column in axes.items():
        columns[column] = [of_row.get(axis, other) for of_row, other in zip(values, absent, strict=True)]
    del values
    for name in ("seed", "repeat"):
        columns[name] = [row[name] for row in rows]
    columns["outcome"] = [row["outcome"] or "planned" for row in rows]
    columns |= {name: None if is_of_confusion(name) else [row[name] for row in rows] for name in COLUMNS}
    columns["budget_seconds"] = [_budget_seconds(row) for row in rows]
    classes: dict[str, int] = {}
    for text in {row["classes"] for row in rows if row.get("classes")}:
        classes[text] = len(json.loads(text))
    columns["classes"] = [classes.get(row.get("classes") or "") for row in rows]
    columns |= {name: [row.get(name) for row in rows] for name in (*RECIPE, *PLACE)}
    programs = [(row["engine"] or "").startswith("command:") for row in rows]
    columns["clock"] = ["program" if is_program else "assay" for is_program in programs]
    columns["origin"] = origins
    columns["steps"] = [row.get("steps", "iterations") for row in rows]
    return columns


def _add_ledgers(columns: dict[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds to `columns` the entries of the ledgers, in the order in which they first appear."""
    added: dict[str, NDArray[np.float64]] = {}
    for number, row in enumerate(rows):
        ledger = json.loads(row["ledger"] or "{}")
        processor = ledger.pop(PROCESSOR, None) or {}
        for prefix, entries in (("ledger_", ledger), ("ledger_processor_", processor)):
            for entry, seconds in entries.items():
                name = prefix + entry
                if name not in added:
                    added[name] = np.full(len(rows), np.nan)
                added[name][number] = seconds
    columns |= added


def _scores(rows: Sequence[Mapping[str, Any]], scores: Scores) -> dict[str, NDArray[np.float64]]:
    """The columns of confusion matrices for these rows, NaN where a trial has none."""
    places: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        places.setdefault(row["trial"], []).append(number)
    made: dict[str, NDArray[np.float64]] = {}
    for trials, values in scores:
        at = [number for trial in trials for number in places.get(trial, ())]
        of = [number for number, trial in enumerate(trials) for _ in places.get(trial, ())]
        for name, column in values.items():
            if name not in made:
                made[name] = np.full(len(rows), np.nan)
            made[name][at] = column[of]
    return made


def _budget_seconds(row: Mapping[str, Any]) -> float | None:
    """The budget of a trial in seconds of training; None where it is in iterations, and for an imported curve."""
    if row.get("origin") == "imported" or row["budget"] is not None:
        return None
    return json.loads(row["recipe"])["budget"].get("seconds")


def own_copy(frame: pandas.DataFrame) -> pandas.DataFrame:
    """A copy that whoever gets it may change; pandas 3 copies a frame of millions of points only if they do."""
    import pandas

    return frame.copy(deep=int(pandas.__version__.partition(".")[0]) < 3)


def curve_frame(rows: Sequence[Mapping[str, Any]], curves: Curves) -> pandas.DataFrame:
    """One row per log point, as `Results.curves` describes them, from the rows of trials and their curves."""
    import pandas

    counts, points = curves.counts, int(curves.counts.sum())
    columns: dict[str, NDArray[Any]] = {"trial": np.repeat(np.array([row["trial"] for row in rows], object), counts)}
    for name in POINT:
        values = curves.columns.get(name, np.full(points, np.nan))
        gaps = curves.missing.get(name)
        columns[name] = values if gaps is None else np.where(gaps, np.nan, values)
    if len({row.get("steps", "iterations") for row in rows}) > 1:
        epochs = np.repeat(np.array([row.get("steps") == "epochs" for row in rows], np.bool_), counts)
        columns["iteration"] = np.where(epochs, np.nan, columns["iteration"])
    rates = [(row["flops"] or 0.0) / row["examples"] if row["examples"] else 0.0 for row in rows]
    for number, row in enumerate(rows):
        if row.get("origin") == "imported":  # what a log does not tell
            rates[number] = np.nan
    columns["flops"] = np.repeat(np.array(rates, np.float64), counts) * columns["examples"]
    return pandas.DataFrame(columns)
