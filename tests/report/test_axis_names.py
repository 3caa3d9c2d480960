"""An axis with the name of one of our columns changes no answer: its column is `axis.NAME`, and this is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assay.analysis.axis_columns import axis_column, axis_columns
from assay.errors import AssayError
from assay.report.text import frame_csv
from assay.results.results import Results
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study
from tests.store.makers import made_end

NAMES = [
    "configuration",
    "timing",
    "machine",
    "threads",
    "seed",
    "engine",
    "accuracy",
    "outcome",
    "trial",
    "ledger_train",
]


def made(path: Path, axis: str) -> Results:
    """A grid of an axis and another one, with results that depend on the order alone."""
    axes = {
        axis: {"x": {"optimizer": {"learning_rate": 0.1}}, "y": {"optimizer": {"learning_rate": 0.2}}},
        "size": {"key": "batches.size", "values": [16, 32]},
    }
    made = plan(
        Study.parse(
            {"name": "s", "engine": "numpy", "axes": axes, "repeats": 3, "baseline": {"budget": {"iterations": 5}}}
        )
    )
    store = Store(str(path))
    store.register(made)
    order = {key: number for number, key in enumerate(made.trials)}
    while claimed := store.leases.claim(made.jobs):
        lease, job = claimed
        for trial in job.trials:
            accuracy = 0.9 - 0.02 * (order[trial.key] // 3) + 0.001 * (order[trial.key] % 3)
            store.finish(lease, trial, made_end(trial, accuracy=accuracy))
        store.leases.release(lease)
    return Results(store, "s")


@pytest.fixture(scope="module")
def neutral(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return made(tmp_path_factory.mktemp("neutral") / "assay.db", "zzz")


@pytest.mark.parametrize("name", NAMES)
def test_no_answer_depends_on_the_name_of_an_axis(name: str, tmp_path: Path, neutral: Results) -> None:
    results = made(tmp_path / "assay.db", name)
    assert results.axes == [f"axis.{name}", "size"] and neutral.axes == ["zzz", "size"]
    frame, expected = results.frame(), neutral.frame()
    assert frame_csv(frame.rename(columns={f"axis.{name}": "zzz"})[expected.columns]) == frame_csv(expected)
    assert frame[f"axis.{name}"].tolist() == ["x"] * 6 + ["y"] * 6
    assert frame_csv(results.summary()) == frame_csv(neutral.summary()) and len(results.summary()) == 4
    assert results.answers() == neutral.answers()
    assert f"the axis {name} is the column axis.{name}" in results.renamed_axes and not neutral.renamed_axes


def test_every_column_of_a_study_without_axes_is_taken(neutral: Results) -> None:
    columns = [*neutral.frame(), *neutral.curves(), *neutral.best_points()]
    kept = axis_columns(column for column in columns if column not in ("zzz", "size"))
    assert not [name for name, column in kept.items() if name == column]
    assert axis_columns(["axis.timing", "timing", "rate"])["axis.timing"] == "axis.axis.timing"


def test_charts_take_an_axis_by_its_name_and_say_its_column(tmp_path: Path, invoke: Any) -> None:
    made(tmp_path / "assay.db", "optimizer")
    code, _, err = invoke("plot", "s", "curves", "--by", "optimizer", "--out", "c.json")
    assert code == 0 and "the axis optimizer is the column axis.optimizer" in err
    text = json.dumps(json.loads((tmp_path / "c.json").read_text()))
    assert '"x"' in text and '"y"' in text  # the values of the axis, not "adam"


def test_an_axis_is_known_by_the_last_part_of_its_name_and_else_only_axes_are_suggested(neutral: Results) -> None:
    columns = {"model.activation": "model.activation", "a.size": "a.size", "b.size": "b.size"}
    assert axis_column("activation", columns, ["trial"]) == "model.activation"
    assert axis_column("trial", columns, ["trial"]) == "trial"
    with pytest.raises(AssayError, match="unknown axis 'size'"):  # which of the two?
        axis_column("size", columns, ["trial"])
    with pytest.raises(AssayError) as caught:
        neutral.picture("curves", by="sizes")
    assert "did you mean 'size'? Known: zzz, size; also: configuration, trial" in str(caught.value)
    assert "recall:" not in str(caught.value)
