"""The table of quantities: what is stored, drawn and judged reads it, so that a score is spelt out once."""

from __future__ import annotations

from dataclasses import fields

import pytest

from assay.analysis.quantities import (
    CLASSIFIED,
    MACRO_SCORES,
    MEASURED,
    MEASURES,
    METRICS,
    OF_REGRESSION,
    QUANTITIES,
    SCORES,
    SPLITS,
    TEST_SCORE,
    end_columns,
    name_of,
)
from assay.analysis.verdicts import best
from assay.logs.log import QUANTITIES as READ
from assay.report.charts.style import measure_of
from assay.results.frames import COLUMNS
from assay.store.schema import metadata
from assay.training.history import Point
from tests.analysis.frames import trials


def test_every_metric_is_measured_on_every_split() -> None:
    assert set(MEASURED) == {name_of(split, metric) for split in SPLITS for metric in METRICS}
    assert TEST_SCORE.name == "test_accuracy" and TEST_SCORE.column == "accuracy"
    assert (
        "train_accuracy",
        "train_r2",
        "validation_accuracy",
        "validation_r2",
        "accuracy",
        "r2",
        *MACRO_SCORES,
    ) == SCORES


def test_points_stored_rows_and_logs_hold_the_measured_quantities() -> None:
    assert tuple(field.name for field in fields(Point))[3:] == (*CLASSIFIED, *OF_REGRESSION)
    assert CLASSIFIED == READ and set(MEASURED) == {*CLASSIFIED, *OF_REGRESSION}
    columns = {QUANTITIES[name].column for name in MEASURED}
    assert columns <= set(metadata.tables["result"].columns.keys())
    assert {QUANTITIES[name].column for name in CLASSIFIED} <= set(metadata.tables["imported"].columns.keys())
    assert set(MEASURES) < set(COLUMNS)
    point = Point(1, 2, 3.0, train_loss=0.5, test_accuracy=0.9)
    assert end_columns(point) == dict.fromkeys(columns) | {"train_loss": 0.5, "accuracy": 0.9}
    assert end_columns(None) == {}


@pytest.mark.parametrize("column", MEASURES)
def test_every_quantity_has_a_label_and_a_direction_that_verdicts_follow(column: str) -> None:
    quantity = MEASURES[column]
    assert measure_of(column).title.startswith(quantity.label)
    frame = trials({"a": [0.1, 0.2], "b": [0.3, 0.4]})
    frame = frame.assign(**{column: [0.1, 0.2, 0.3, 0.4]})
    assert best(frame, measure=column).name == ("b" if quantity.higher_is_better else "a")
    assert ("selected on test" in best(frame, measure=column).sentence()) == (quantity.split == "test")
