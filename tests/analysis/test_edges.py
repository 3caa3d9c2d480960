"""Whatever the frames hold, each analysis gives a frame or a sentence, changes nothing, and never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.analysis.curves import settled
from assay.analysis.effort import comparable, effort
from assay.analysis.importance import importance
from assay.analysis.pareto import front
from assay.analysis.quantities import MEASURES
from assay.analysis.sensitivity import anova, effects, learning_rate_curve, main_effects
from assay.analysis.targets import default_target, summary, times_to
from assay.analysis.verdicts import best, pairwise
from assay.errors import AssayError
from tests.analysis.frames import curves, trials

Frame = pd.DataFrame

OF_TRIALS: dict[str, Callable[[Frame], Any]] = {
    "effort": effort,
    "effort by flops": lambda t: effort(t, cost="flops"),
    "comparable": comparable,
    "default_target": default_target,
    "front": front,
    "pairwise": pairwise,
    "pairwise by seconds": lambda t: pairwise(t, measure="seconds"),
    "pairwise by optimizer": lambda t: pairwise(t, by="optimizer"),
    "best": best,
    "effects": lambda t: effects(t, ["optimizer"], {"optimizer": "adam"}),
    "main_effects": lambda t: main_effects(t, ["optimizer", "configuration"]),
    "anova": lambda t: anova(t, ["optimizer", "configuration"]),
    "importance": lambda t: importance(t, ["optimizer", "configuration"], trees=2),
    "learning_rate_curve": learning_rate_curve,
}
OF_CURVES: dict[str, Callable[[Frame], Any]] = {
    "settled": settled,
}
FRAMES: dict[str, Frame] = {
    "nothing": pd.DataFrame(),
    "no rows": trials({"a": [0.5]}).iloc[:0],
    "no columns": pd.DataFrame(index=[0, 1]),
    "one trial": trials({"a": [0.5]}),
    "all diverged": trials({"a": [np.nan, 0.1], "b": [np.nan, 0.1]}, outcome="diverged"),
    "no accuracies": trials({"a": [np.nan, np.nan], "b": [np.nan]}),
    "one seed": trials({"a": [0.5], "b": [0.6]}),
    "ties": trials({"a": [0.5, 0.5], "b": [0.5, 0.5]}),
    "no spread": trials({"a": [0.5, 0.6], "b": [0.6, 0.7]}),
    "texts for numbers": trials({"a": [0.5, 0.6]}).assign(accuracy="high", seconds="long"),
    "absent": trials({"a": [0.5, 0.6]}).assign(accuracy=pd.NA, seconds=None, optimizer=None, learning_rate=pd.NA),
}

rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 3),
        st.sampled_from(["completed", "stopped", "diverged", "failed", "lost", "timed out", "out of memory"]),
        st.one_of(st.sampled_from([0.5, 0.9, np.nan, None, np.inf]), st.integers(0, 1000).map(lambda x: x / 1000)),
        st.sampled_from([0.0, 1.0, 2.5, np.nan]),
        st.sampled_from(["adam", "descent"]),
    ),
    max_size=14,
)


def give_a_result_or_a_sentence(analyse: Callable[[Frame], Any], frame: Frame) -> None:
    before = frame.copy(deep=True)
    try:
        analyse(frame)
    except AssayError as error:
        assert str(error)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("name", OF_TRIALS)
@pytest.mark.parametrize("case", FRAMES)
def test_odd_frames_of_trials(name: str, case: str) -> None:
    give_a_result_or_a_sentence(OF_TRIALS[name], FRAMES[case])


@settings(max_examples=25)
@given(rows)
def test_any_frame_of_trials(values: list[tuple[Any, ...]]) -> None:
    names = ["configuration", "repeat", "outcome", "accuracy", "seconds", "optimizer"]
    frame = pd.DataFrame(values, columns=names).assign(
        flops=1e9, threads=2, machine="3f2a", timing="isolated", learning_rate=0.1, trial=range(len(values))
    )
    for analyse in OF_TRIALS.values():
        give_a_result_or_a_sentence(analyse, frame)
    points = curves({str(i): [0.1, 0.5, 0.9] for i in range(0, len(values), 2)})
    give_a_result_or_a_sentence(lambda t: summary(times_to(points, t, by="seconds")), frame)


@settings(max_examples=25)
@given(st.lists(st.sampled_from([0.0, 0.5, 0.501, 0.9, np.nan, np.inf]), max_size=12))
def test_any_curve(values: list[float]) -> None:
    frame = curves({"a": values}).assign(train_loss=values[::-1]) if values else curves({"a": [0.0]}).iloc[:0]
    for analyse in OF_CURVES.values():
        give_a_result_or_a_sentence(analyse, frame)


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_is_compared(measure: str) -> None:
    frame = trials({"a": [0.1, 0.2, 0.3, 0.4], "b": [0.5, 0.7, 0.6, 0.8]})
    frame[measure] = frame["accuracy"] * 1e6
    finding = "a is worse than b by " if MEASURES[measure].higher_is_better else "a beats b by "
    assert pairwise(frame, measure=measure)["sentence"][0].startswith(finding)
    assert best(frame, measure=measure).name == ("b" if MEASURES[measure].higher_is_better else "a")
