"""Rows of the store as the frames of `Results`: one row per trial, or one row per point of a curve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.analysis.axis_columns import APART, PLACE, RECIPE
from assay.analysis.quantities import LOSS, MEASURES, TEST_SCORE, is_of_confusion, name_of
from assay.store.curves import POINT, Curves
from assay.store.records import PROCESSOR

if TYPE_CHECKING:
    import pandas
    from numpy.typing import NDArray

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


def trial_frame(
    rows: Sequence[dict[str, Any]],
    *,
    study: str,
    axes: Mapping[str, str],
    scores: Mapping[str, Mapping[str, float]],
) -> pandas.DataFrame:
    """One row per trial, as `Results.frame` describes them.

    Args:
        rows: The rows of the store.
        study: The name of the study.
        axes: The column of each axis.
        scores: The columns that come from the confusion matrix of each trial that has one.
    """
    import pandas

    records: list[dict[str, Any]] = []
    for row in rows:
        values = json.loads(row["axis_values"])
        record: dict[str, Any] = {"trial": row["trial"], "study": study, "configuration": row["label"]}
        origin = row.get("origin", "measured")
        absent = "baseline" if origin == "measured" else origin
        record |= {column: values.get(axis, absent) for axis, column in axes.items()}
        record |= {"seed": row["seed"], "repeat": row["repeat"], "outcome": row["outcome"] or "planned"}
        of_confusion = scores.get(row["trial"], {})
        record |= {c: of_confusion.get(c) if is_of_confusion(c) else row[c] for c in COLUMNS}
        record["budget_seconds"] = _budget_seconds(row)
        record["classes"] = len(json.loads(row["classes"])) if row.get("classes") else None
        for name in (*RECIPE, *PLACE):
            record[name] = row.get(name)
        record["clock"] = "program" if (row["engine"] or "").startswith("command:") else "assay"
        record |= {"origin": origin, "steps": row.get("steps", "iterations")}
        ledger = json.loads(row["ledger"] or "{}")
        processor = ledger.pop(PROCESSOR, None) or {}
        record |= {f"ledger_{entry}": seconds for entry, seconds in ledger.items()}
        record |= {f"ledger_processor_{entry}": seconds for entry, seconds in processor.items()}
        record |= {column: value for column, value in of_confusion.items() if column not in record}
        records.append(record)
    frame = pandas.DataFrame.from_records(records)
    for column in COLUMNS:
        frame[column] = pandas.to_numeric(frame[column]) if len(frame) else frame.get(column)
    for name in ("level", "busy"):  # else pandas makes NaN of what is unknown
        frame[name] = pandas.Series([row[name] for row in rows], dtype=object)
    if any(row.get("origin") == "imported" for row in rows):  # else the missing seeds make floats of all
        for name in ("seed", "repeat", "threads"):
            frame[name] = pandas.Series([row[name] for row in rows], dtype=object)
    return frame


def _budget_seconds(row: Mapping[str, Any]) -> float | None:
    """The budget of a trial in seconds of training; None where it is in iterations, and for an imported curve."""
    if row.get("origin") == "imported" or row["budget"] is not None:
        return None
    return json.loads(row["recipe"])["budget"].get("seconds")


def curve_frame(rows: Sequence[dict[str, Any]], curves: Curves) -> pandas.DataFrame:
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
