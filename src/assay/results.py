"""What a study gave, as tidy frames: one row a trial, or one row a point of a curve."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from assay.errors import AssayError
from assay.store.queries import study_rows
from assay.store.records import POINT
from assay.store.store import Store

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

    >>> import assay
    >>> study = {"axes": {"rate": {"key": "optimizer.learning_rate", "values": [0.001, 0.01]}}}
    >>> results = assay.run(study | {"baseline": {"budget": {"epochs": 1}}}, store="sqlite:////tmp/example.db")
    >>> sorted(results.frame()["rate"])
    [0.001, 0.01]
    """

    def __init__(self, store: Store, study: str) -> None:
        self.store, self.name = store, study
        self.about, self._rows = study_rows(store.database, study)

    @property
    def axes(self) -> list[str]:
        """The names of the study's axes."""
        return list(dict.fromkeys(axis for row in self._rows for axis in json.loads(row["axis_values"])))

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

        frames: list[pandas.DataFrame] = []
        for row in self._curve_rows:
            columns = json.loads(row["curve"])
            if not columns:
                continue
            frame = pandas.DataFrame({name: columns.get(name) for name in POINT if name in columns})
            share = frame["examples"] / row["examples"] if row["examples"] else 0.0
            frame["flops"] = share * (row["flops"] or 0.0)
            frame.insert(0, "trial", row["trial"])
            frames.append(frame)
        if not frames:
            return pandas.DataFrame(columns=["trial", *POINT, "flops"])
        return pandas.concat(frames, ignore_index=True).reindex(columns=["trial", *POINT, "flops"])

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
