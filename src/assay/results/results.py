"""The results of a study as tidy frames: one row per trial, or one row per point of a curve."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.analysis.quantities import LOSS, MEASURES, TEST_SCORE, name_of
from assay.errors import AssayError, unknown
from assay.results.inspection import first_layer, most_confused
from assay.store import imported
from assay.store.queries import machines_of, study_rows
from assay.store.records import POINT
from assay.store.store import Store
from assay.studies.study import LIST_AXIS
from assay.training.history import History, drawn_from

if TYPE_CHECKING:
    import altair
    import pandas

    from assay.analysis.verdicts import Verdict

COLUMNS = tuple(dict.fromkeys([TEST_SCORE.column, name_of("test", LOSS.name), *MEASURES, "peak_memory_bytes"]))
"""The numbers of a trial: every quantity that is measured, those on the test set first, and the memory."""


class Results:
    """The stored trials of a study, and the curves of other frameworks' logs that were imported into it.

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
        self._rows += imported.rows_of_study(store.database, study)

    @property
    def axes(self) -> list[str]:
        """The names of the study's axes; none for the design `list`, whose one axis is the configuration itself."""
        names = dict.fromkeys(axis for row in self._rows for axis in json.loads(row["axis_values"]))
        return [name for name in names if name != LIST_AXIS]

    def frame(self) -> pandas.DataFrame:
        """One row per trial of the study, finished or not, in the study's order.

        `configuration` is the label, the study's axes are columns, equal `repeat` means paired seeds; seconds are of
        training, accuracies fractions, by the `clock` of Assay or of the program that trained. What a trial did not
        measure is missing. `origin` is "measured" or "imported": imported curves come last, without a seed, and their
        seconds are those of their own clock and machine. `steps` is what their curves count.
        """
        import pandas

        axes = self.axes
        records: list[dict[str, Any]] = []
        for row in self._rows:
            values = json.loads(row["axis_values"])
            record: dict[str, Any] = {"trial": row["trial"], "study": self.name, "configuration": row["label"]}
            origin = row.get("origin", "measured")
            record |= {axis: values.get(axis, "baseline" if origin == "measured" else origin) for axis in axes}
            record |= {"seed": row["seed"], "repeat": row["repeat"], "outcome": row["outcome"] or "planned"}
            record |= {column: row[column] for column in COLUMNS}
            for name in ("model", "optimizer", "learning_rate", "data", "engine", "timing", "threads", "machine"):
                record.setdefault(name, row[name])
            record["clock"] = "program" if (row["engine"] or "").startswith("command:") else "assay"
            record |= {"origin": origin, "steps": row.get("steps", "iterations")}
            ledger = json.loads(row["ledger"] or "{}")
            record |= {f"ledger_{entry}": seconds for entry, seconds in ledger.items()}
            records.append(record)
        frame = pandas.DataFrame.from_records(records)
        for column in COLUMNS:
            frame[column] = pandas.to_numeric(frame[column]) if len(frame) else frame.get(column)
        if any(row.get("origin") == "imported" for row in self._rows):  # else the missing seeds make floats of all
            for name in ("seed", "repeat", "threads"):
                frame[name] = pandas.Series([row[name] for row in self._rows], dtype=object)
        return frame

    def curves(self) -> pandas.DataFrame:
        """One row per point of each trial's curve; `flops` in proportion to the examples seen.

        The iteration is missing where a log counts epochs alone, unless every curve of the study does.
        """
        import pandas

        mixed = len({row.get("steps", "iterations") for row in self._curve_rows}) > 1

        columns: dict[str, list[Any]] = {name: [] for name in ("trial", *POINT, "flops")}
        for row in self._curve_rows:  # one list a column: a frame a trial would take seconds for thousands
            curve: dict[str, list[Any]] = json.loads(row["curve"])
            count = len(curve.get("iteration", []))
            columns["trial"] += [row["trial"]] * count
            for name in POINT:
                missing = name == "iteration" and mixed and row.get("steps") == "epochs"
                columns[name] += [None] * count if missing else curve.get(name) or [None] * count
            if row.get("origin") == "imported":  # what a log does not tell
                columns["flops"] += [None] * count
                continue
            rate = (row["flops"] or 0.0) / row["examples"] if row["examples"] else 0.0
            columns["flops"] += [rate * seen for seen in curve.get("examples", [])]
        frame = pandas.DataFrame(columns)
        for name in (*POINT, "flops"):
            frame[name] = pandas.to_numeric(frame[name])
        return frame

    @cached_property
    def _curve_rows(self) -> list[dict[str, Any]]:
        return [row for row in self._rows if row["curve"]]

    def confusions(self) -> dict[str, list[list[int]]]:
        """How many test examples of each class (row) got each answer (column), by trial, where it was counted."""
        return {row["trial"]: json.loads(row["confusion"]) for row in self._rows if row["confusion"]}

    def summary(self) -> pandas.DataFrame:
        """One row per configuration: number of finished trials, mean accuracy and its spread, median effort."""
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
            origin=("origin", "first"),
        )
        return table.reset_index()

    # --- what it means ---

    def effort(self, *, cost: str = "seconds") -> pandas.DataFrame:
        """Configurations ranked by training seconds / accuracy, or by operations / accuracy (cost="flops").

        Seconds that do not compare are an error: take `comparable` of `assay.analysis.effort` first.
        """
        from assay.analysis.effort import effort

        return effort(self.frame(), cost=cost)

    def verdict(self, a: str, b: str, *, measure: str = "accuracy") -> Verdict:
        """What the paired seeds say about two configurations."""
        from assay.analysis.verdicts import between

        return between(self.frame(), a, b, measure=measure)

    def verdicts(self, *, measure: str = "accuracy", alpha: float = 0.05) -> pandas.DataFrame:
        """Every pair of configurations compared over their paired seeds, with Holm's correction."""
        from assay.analysis.verdicts import pairwise

        return pairwise(self.frame(), measure=measure, alpha=alpha)

    def targets(self, *, accuracy: float | None = None, by: str = "iteration") -> pandas.DataFrame:
        """Iterations, examples, seconds or flops to an accuracy, by configuration; misses are censored, not dropped."""
        from assay.analysis import targets

        trials = self.frame()
        accuracy = targets.default_target(trials) if accuracy is None else accuracy
        return targets.summary(targets.times_to(self.curves(), trials, accuracy=accuracy, by=by))

    def answers(self) -> list[str]:
        """What the study says, in sentences."""
        from assay.report.answers import answers

        return answers(self.frame(), self.curves())

    def picture(self, name: str, *, trial: str | None = None, **options: Any) -> altair.TopLevelMixin:
        """A chart of the study by its name in CHARTS; `trial`: by key, for charts of one, else the most accurate.

        Raises: AssayError for an unknown chart, or an option that it does not have.
        """
        from assay.report.charts import CHARTS

        if name not in CHARTS:
            raise AssayError(unknown("chart", name, CHARTS))
        chart = CHARTS[name]
        defaults = {"axes": lambda: self.axes or None, "split": self._split}
        options = {key: value() for key, value in defaults.items() if key in chart.option_names} | options
        chart.check(options)
        return chart(*self._drawn_from(chart.needs, trial), **options)

    def report(self, path: str | Path) -> Path:
        """Writes the study as one HTML page that needs no network."""
        from assay.report.page import write_page

        return write_page(self, Path(path))

    def environment(self) -> list[tuple[str, str]]:
        """What the trials were made with: machines, engines, versions."""
        entries: dict[str, list[str]] = {}
        for description in machines_of(self.store.database, [row["trial"] for row in self._rows]):
            versions = ", ".join(f"{name} {version}" for name, version in description.get("versions", {}).items())
            place = f"{description.get('cpu')}, {description.get('cores')} cores, {description.get('system')}"
            entries.setdefault("machine", []).append(place)
            entries.setdefault("versions", []).append(versions)
            entries.setdefault("Python", []).append(str(description.get("python")))
        for row in self._rows:
            if row.get("origin") == "imported":
                log = f"{row['label']}: {row['file']} ({row['format']}), sha256 {row['sha256'][:16]}, {row['timing']}"
                entries.setdefault("imported", []).append(log)
        for column in ("engine", "timing", "source_commit"):
            values = sorted({str(row[column]) for row in self._rows if row[column] is not None})
            entries[column.replace("_", " ")] = values
        return [(name, "; ".join(dict.fromkeys(values))) for name, values in entries.items() if values]

    def _drawn_from(self, needs: str, trial: str | None) -> tuple[Any, ...]:
        """What a chart is drawn from."""
        from assay.analysis import importance, sensitivity
        from assay.analysis.frames import own

        if needs == "epochs":
            raise AssayError("that chart is of a bench, not of a study; `assay bench` draws it")
        trials = self.frame()
        if needs == "trials and curves":
            return trials, self.curves()
        if needs not in ("trials", "verdicts"):
            trials, _ = own(trials)
        if needs == "effects":
            effects = sensitivity.effects(trials, self.axes, "baseline")
            return (effects.rename(columns={"difference": "effect"}),)
        if needs == "importance":
            return (importance.importance(trials, self.axes).rename(columns={"term": "axis"}),)
        simple: dict[str, Callable[[], tuple[Any, ...]]] = {
            "trials": lambda: (trials,),
            "own trials": lambda: (trials,),
            "verdicts": lambda: (self.verdicts(),),
            "nothing": lambda: (),
            "history": lambda: drawn_from(self._drawable(trial)),
            "confusion": lambda: self._confusion(trial),
            "weights": lambda: first_layer(self._history(trial)),
            "confused": lambda: most_confused(self._history(trial)),
        }
        return simple[needs]()

    def _split(self) -> str:
        """The set on which the curves are shown: test, or validation where nothing else was measured."""
        tested = any('"test_accuracy"' in row["curve"] for row in self._curve_rows)
        validated = any('"validation_accuracy"' in row["curve"] for row in self._curve_rows)
        return "validation" if validated and not tested else "test"

    def _drawable(self, trial: str | None) -> History:
        """The history of a trial, or of an imported curve where it is matching for or there is nothing else."""
        foreign = [row for row in self._rows if row.get("origin") == "imported"]
        matching = [row for row in foreign if trial is not None and row["trial"].startswith(trial)]
        if matching or (foreign and trial is None and len(foreign) == len(self._rows)):
            curve = imported.find(self.store.database, (matching or foreign)[0]["trial"])
            assert curve is not None
            return imported.history_of(curve)
        return self._history(trial)

    def _chosen(self, trial: str | None) -> dict[str, Any]:
        """The row of a trial by the beginning of its key, else of the most accurate one; imported curves are none."""
        finished = [row for row in self._rows if row["outcome"] and row.get("origin") != "imported"]
        if trial is not None:
            finished = [row for row in finished if row["trial"].startswith(trial)]
        if not finished:
            which = f" whose key begins with {trial!r}" if trial else ""
            raise AssayError(f"study {self.name!r} has no finished trial{which}")
        return max(finished, key=lambda row: row["accuracy"] if row["accuracy"] is not None else -1.0)

    def _history(self, trial: str | None) -> History:
        row = self._chosen(trial)
        history = self.store.history(row["trial"])
        if history is None:
            raise AssayError(f"the weights of trial {row['trial'][:8]} were not kept; --again retrains it")
        return history

    def _confusion(self, trial: str | None) -> tuple[Any, ...]:
        row = self._chosen(trial)
        if not row["confusion"]:
            raise AssayError(f"trial {row['trial'][:8]} has no confusion counts: it did not finish")
        return json.loads(row["confusion"]), json.loads(row["classes"])

    def _repr_html_(self) -> str:
        return self.summary().to_html(index=False)  # pyright: ignore[reportUnknownMemberType]
