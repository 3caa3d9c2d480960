"""A regression that diverged without a score never counts as better than a finished one of its study."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.analysis.families import SeedValues
from assay.analysis.seeds import counted, with_floors
from assay.analysis.summaries import summarised


def trials(finished: list[float], *, configuration: str = "a", diverged: int = 1) -> pd.DataFrame:
    n = len(finished) + diverged
    names = [configuration] * len(finished) + ["diverged"] * diverged
    seeds = [*range(len(finished)), *range(diverged)]
    outcomes = ["completed"] * len(finished) + ["diverged"] * diverged
    own = pd.DataFrame({"trial": [str(i) for i in range(n)], "configuration": names, "repeat": seeds})
    return own.assign(outcome=outcomes, r2=[*finished, *[np.nan] * diverged], seconds=1.0, busy="")


@given(st.lists(st.floats(-1e9, 1.0), min_size=1, max_size=9))
def test_it_counts_as_the_lower_of_0_and_the_worst_finished_trial(finished: list[float]) -> None:
    values = counted(trials(finished), "r2")
    assert values[-1] == min(0.0, *finished)
    assert (values[-1] <= values[:-1]).all()


def test_a_part_of_a_study_counts_it_as_the_whole_study_does() -> None:
    whole = with_floors(pd.concat([trials([-5.0, -4.0]), trials([0.5, 0.6], configuration="b", diverged=0)]), ["r2"])
    part = whole[whole["configuration"].isin(["b", "diverged"])]
    assert counted(part, "r2").tolist() == [-5.0, 0.5, 0.6]


def test_it_has_the_lowest_mean_in_tables_and_in_paired_values() -> None:
    frame = with_floors(trials([-0.5, -1.0], diverged=2), ["r2"])
    means = summarised(frame).set_index("configuration")["r2"]
    assert means["diverged"] == -1.0 < means["a"]
    table = SeedValues.of(frame, "r2")
    assert table.values.tolist() == [[-0.5, -1.0], [-1.0, -1.0]]


def test_a_last_score_is_taken_as_it_is() -> None:
    frame = trials([-0.5, 0.2]).assign(r2=[-0.5, 0.2, 0.1])
    assert counted(frame, "r2").tolist() == [-0.5, 0.2, 0.1]
    assert "floor_r2" not in with_floors(frame, ["r2"]).columns


def test_the_floor_of_a_study_without_a_finished_trial_is_0() -> None:
    assert counted(trials([], diverged=2), "r2").tolist() == pytest.approx([0.0, 0.0])
