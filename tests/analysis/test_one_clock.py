"""One median of the seconds of a configuration in every table and chart, also of cohorts next to trials alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.analysis.effort import comparable_costs, comparable_on_engines, comparable_within
from assay.analysis.frames import numbers, places
from assay.analysis.summaries import summarised
from assay.report.charts import CHARTS

TRIAL = st.tuples(
    st.sampled_from("abc"),
    st.sampled_from([1, 4]),  # the size of its cohort
    st.floats(0.01, 100.0),
    st.sampled_from(["completed", "completed", "diverged"]),
    st.booleans(),  # foreign load
    st.sampled_from(["native", "torch"]),
)


def frame_of(trials: list[tuple[Any, ...]]) -> pd.DataFrame:
    columns = ("configuration", "cohort", "seconds", "outcome", "busy", "engine")
    frame = pd.DataFrame(dict(zip(columns, map(list, zip(*trials, strict=True)), strict=True)))
    frame = frame.assign(study="s", timing="packed", machine="3f2a", threads=1, accuracy=0.9, classes=10)
    frame["configuration"] += frame["engine"].str[0]  # a configuration has one engine
    frame["repeat"] = frame.groupby("configuration").cumcount()
    return frame.assign(processor_seconds=frame["seconds"], effort=frame["seconds"] / 0.9)


@settings(max_examples=20, deadline=None)  # each draws a chart
@given(trials=st.lists(TRIAL, min_size=1, max_size=14))
def test_tables_and_charts_show_the_seconds_of_the_answers(trials: list[tuple[Any, ...]]) -> None:
    frame = frame_of(trials)
    table = summarised(frame).set_index("configuration")
    answered = summarised(comparable_on_engines(frame)[0]).set_index("configuration")
    for cost in ("seconds", "processor_seconds", "effort"):
        known = np.isfinite(answered[cost])
        np.testing.assert_array_equal(table[cost][known], answered[cost][known])
    rows = [row for part in CHARTS["pareto"](frame).to_dict()["datasets"].values() for row in part]
    optimal = [row for row in rows if row.get("status") == "optimal"]  # the means of which all trials finished
    assert optimal or "diverged" in set(frame["outcome"])
    assert all(row["x"] == table.loc[row["name"], "seconds"] for row in optimal)


@settings(max_examples=60, deadline=None)
@given(trials=st.lists(TRIAL, min_size=1, max_size=14))
def test_the_times_of_an_engine_compare_with_its_own_alone(trials: list[tuple[Any, ...]]) -> None:
    frame = frame_of(trials)
    fair, sentence = comparable_on_engines(frame)
    left_out = 0
    for _, at in places(frame, "engine"):
        of_engine, _ = comparable_costs(frame.iloc[at])
        left_out += int(np.isnan(numbers(of_engine, "seconds")).sum())
        pd.testing.assert_frame_equal(fair.iloc[at], of_engine)
    assert bool(sentence) == bool(left_out)


def test_a_configuration_alone_in_its_batches_keeps_its_own_seconds() -> None:
    frame = frame_of([("a", 4, 1.0, "completed", False, "native")] * 3 + [("b", 1, 9.0, "completed", False, "native")])
    assert summarised(frame)["seconds"].tolist() == [1.0, 9.0]
    mixed = pd.concat([frame, frame_of([("b", 4, 2.0, "completed", False, "native")])], ignore_index=True)
    assert comparable_within(mixed)["seconds"].isna().tolist() == [False, False, False, True, False]
    assert summarised(mixed)["seconds"].tolist() == [1.0, 2.0]
