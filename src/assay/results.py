"""What a study gave, as tidy frames: one row a trial, or one row a point of a curve."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from assay.errors import AssayError
from assay.store.queries import study_rows
from assay.store.records import POINT
from assay.store.store import Store
from assay.studies.study import LIST_AXIS

if TYPE_CHECKING:
    import pandas

COLUMNS = (
    "accuracy",
    "test_loss",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "seconds",
    "effort",
    "iterations",
    "examples",
    "flops",
    "parameters",
    "peak_memory_bytes",
)


class Results:
    """The stored trials of a study.

    >>> import assay, tempfile
    >>> example = tempfile.mkdtemp() + "/example.db"
    >>> study = {"axes": {"rate": {"key": "optimizer.learning_rate", "values": [0.001, 0.01]}}}
    >>> results = assay.run(study | {"baseline": {"budget": {"epochs": 1}}}, store=example)
    >>> sorted(results.frame()["rate"])
    [0.001, 0.01]
    """

    def __init__(self, store: Store, study: str) -> None:
        self.store, self.name = store, study
        self.about, self._rows = study_rows(store.database, study)

    @property
    def axes(self) -> list[str]:
        """The names of the study's axes; none for the design `list`, whose one axis is the configuration itself."""
        names = dict.fromkeys(axis for row in self._rows for axis in json.loads(row["axis_values"]))
        return [name for name in names if name != LIST_AXIS]

    def frame(self) -> pandas.DataFrame:
        """One row for each trial of the study, finished or not, in the study's order.

        `configuration` is the label, the study's axes are columns, equal `repeat` means paired seeds; seconds are of
        training, accuracies fractions. What a trial did not measure is missing.
        """
        import pandas

        axes = self.axes
        records: list[dict[str, Any]] = []
        for row in self._rows:
            values = json.loads(row["axis_values"])
            record: dict[str, Any] = {"trial": row["trial"], "study": self.name, "configuration": row["label"]}
            record |= {axis: values.get(axis, "baseline") for axis in axes}
            record |= {"seed": row["seed"], "repeat": row["repeat"], "outcome": row["outcome"] or "planned"}
            record |= {column: row[column] for column in COLUMNS}
            for name in ("model", "optimizer", "learning_rate", "data", "engine", "timing", "threads", "machine"):
                record.setdefault(name, row[name])
            ledger = json.loads(row["ledger"] or "{}")
            record |= {f"ledger_{entry}": seconds for entry, seconds in ledger.items()}
            records.append(record)
        frame = pandas.DataFrame.from_records(records)
        for column in COLUMNS:
            frame[column] = pandas.to_numeric(frame[column]) if len(frame) else frame.get(column)
        return frame

    def curves(self) -> pandas.DataFrame:
        """One row for each point of each trial's curve; `flops` in proportion to the examples seen."""
        import pandas

        columns: dict[str, list[Any]] = {name: [] for name in ("trial", *POINT, "flops")}
        for row in self._curve_rows:  # one list a column: a frame a trial would take seconds for thousands
            curve: dict[str, list[Any]] = json.loads(row["curve"])
            count = len(curve.get("iteration", []))
            columns["trial"] += [row["trial"]] * count
            for name in POINT:
                columns[name] += curve.get(name) or [None] * count
            rate = (row["flops"] or 0.0) / row["examples"] if row["examples"] else 0.0
            columns["flops"] += [rate * seen for seen in curve.get("examples", [])]
        frame = pandas.DataFrame(columns)
        for name in (*POINT, "flops"):
            frame[name] = pandas.to_numeric(frame[name])
        return frame

    @cached_property
    def _curve_rows(self) -> list[dict[str, Any]]:
        return [row for row in self._rows if row["curve"]]

    def summary(self) -> pandas.DataFrame:
        """One row for each configuration: number of finished trials, mean accuracy and its spread, median effort."""
        frame = self.frame()
        if frame.empty:
            raise AssayError(f"study {self.name!r} has no trials")
        frame["is_finished"], frame["is_diverged"] = frame["outcome"] != "planned", frame["outcome"] == "diverged"
        grouped = frame.groupby("configuration", sort=False)
        table = grouped.agg(
            trials=("trial", "size"),
            finished=("is_finished", "sum"),
            diverged=("is_diverged", "sum"),
            accuracy=("accuracy", "mean"),
            low=("accuracy", "min"),
            high=("accuracy", "max"),
            seconds=("seconds", "median"),
            effort=("effort", "median"),
            flops=("flops", "median"),
        )
        return table.reset_index()

    def _repr_html_(self) -> str:
        return self.summary().to_html(index=False)  # pyright: ignore[reportUnknownMemberType]
