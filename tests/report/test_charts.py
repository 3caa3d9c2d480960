"""Every chart, with ordinary and with hostile frames: it is drawn, it holds the numbers, it says what it left out."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import pytest
import vl_convert

import assay
from assay.errors import AssayError, FileError
from assay.report import thinning
from assay.report.charts import CHARTS, style, write
from assay.report.charts.parallel import _upright
from assay.report.charts.writing import html
from tests.report.frames import (
    HTML,
    LONG,
    diverging,
    effects_frame,
    importance_frame,
    study,
    verdicts_frame,
)

OF_TRIALS = ("pareto", "effort", "grid", "parallel", "sensitivity", "ledger")


def drawn(chart) -> tuple[dict, str]:
    """The specification of a chart and its SVG."""
    spec = chart.to_dict()
    svg = vl_convert.vegalite_to_svg(spec)
    width, height = (float(re.search(rf'<svg[^>]* {side}="([\d.]+)"', svg)[1]) for side in ("width", "height"))
    assert 150 < width < 1200
    assert 50 < height < 1500
    assert "NaN" not in svg
    assert "Infinity" not in svg
    return spec, svg


def rows(spec: dict) -> list[dict]:
    return [row for values in spec["datasets"].values() for row in values]


def subtitle(spec: dict) -> str:
    said = spec["title"].get("subtitle", "")
    return said if isinstance(said, str) else " ".join(said)


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*(?<!/)>([^<]*)<", svg)


def drawing(name: str, trials: pd.DataFrame, curves: pd.DataFrame):
    """A chart of CHARTS that is made of a study."""
    chart = CHARTS[name]
    return chart(trials, curves) if name == "curves" else chart(trials)


@cache
def hostile() -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    ordinary = study()
    found = {
        "one trial": study(1, 1),
        "one point": study(6, 2, points=1),
        "some diverged": diverging(*ordinary, ["t0-0", "t3-0", "t3-1", "t3-2"]),
        "no trial": (ordinary[0].iloc[:0], ordinary[1].iloc[:0]),
        "all diverged": study(6, 2, outcome="diverged"),
    }
    for label, name in (("long names", LONG * 3), ("html", HTML), ("control characters", "a\x00\x1b[31m\n\t")):
        trials, curves = study(4, 2)
        trials["configuration"] = [f"{name}{c}" for c in trials["configuration"]]
        trials["optimizer"] = [f"{name}{i % 3}" for i in range(len(trials))]
        trials["study"] = name
        found[label] = trials, curves
    trials, curves = study(6, 2)
    trials["odd.name[0]: \"x'"] = [[1, 2], [1, 2], None, None, float("nan"), float("nan")] * 2
    trials["hidden"] = [(64,), (32, 32)] * 6
    trials.loc[3:5, ["accuracy", "seconds", "effort", "learning_rate"]] = np.nan
    trials.loc[6, "seconds"] = 0.0
    trials.loc[7, ["accuracy", "test_loss"]] = np.inf
    curves.loc[::3, ["test_accuracy", "seconds"]] = np.nan
    curves.loc[1::7, "test_accuracy"] = -np.inf
    found["odd values"] = trials, curves
    return found


@pytest.mark.parametrize("name", ["curves", *OF_TRIALS])
@pytest.mark.parametrize("kind", hostile())
def test_charts_of_studies_stand_hostile_frames(name: str, kind: str) -> None:
    trials, curves = hostile()[kind]
    try:
        chart = drawing(name, trials, curves)
    except AssayError as error:
        assert name == "grid" and "two axes are needed" in str(error)
        return
    spec, svg = drawn(chart)
    if kind in ("all diverged", "no trial") and name != "ledger":
        assert any(("12 diverged of 12 trials" if kind == "all diverged" else "no trials") in t for t in texts(svg))
    if kind == "some diverged":
        assert "4 diverged of 36 trials" in subtitle(spec)
    assert all(len(text) < 160 for text in texts(svg))
    if kind == "html":
        assert "<script>alert" not in svg
        assert "<script>alert" not in html(spec)
    for row in rows(spec):
        assert all(value == value for value in row.values())  # no NaN


def test_charts_of_other_frames_stand_hostile_values() -> None:
    frames = {
        "factors": effects_frame(),
        "verdicts": verdicts_frame(),
        "importance": importance_frame(),
    }
    for name, frame in frames.items():
        draw = CHARTS[name].draw
        spec, _ = drawn(draw(frame))
        assert rows(spec)
        drawn(draw(frame.iloc[:1]))
        _, svg = drawn(draw(frame.iloc[:0]))
        assert any("There is no" in text for text in texts(svg))
        odd = frame.astype(object)
        odd.iloc[0, 0] = HTML
        odd.iloc[1, 0] = LONG * 3
        odd.iloc[2, 0] = None
        for column in ("low", "high", "share"):
            if column in odd.columns:
                odd.loc[1, column] = np.nan
        spec, svg = drawn(draw(odd))
        assert "<script>" not in svg
        drawn(draw(pd.concat([odd] * 60, ignore_index=True)))
        with pytest.raises(AssayError, match="unknown column"):
            draw(frame.drop(columns=frame.columns[-1]))


def test_the_table_names_every_chart_with_a_line() -> None:
    assert {chart.name for chart in CHARTS.values()} == CHARTS.keys() and len(CHARTS) == 23
    assert len({chart.draw for chart in CHARTS.values()}) == len(CHARTS)
    assert all(chart.about and "\n" not in chart.about and chart.title for chart in CHARTS.values())
    for chart in CHARTS.values():
        assert "title" in chart.option_names or chart.name == "curve"
        with pytest.raises(AssayError, match="unknown option 'colour'"):
            chart(colour="red")


def test_learning_curves_hold_median_and_range() -> None:
    trials, curves = study(2, 3)
    spec, svg = drawn(CHARTS["curves"](trials, curves))
    name = trials.configuration.iloc[0]
    mine = curves[curves.trial.isin(trials.trial[trials.configuration == name])]
    at_end = mine[mine.iteration == 6000].test_accuracy
    last = [r for r in rows(spec) if r["name"] == name][-1]
    assert (last["y"], last["low"], last["high"]) == (at_end.median(), at_end.min(), at_end.max())
    assert (last["x"], last["n"]) == (6000, 3)
    assert name in texts(svg)
    assert subtitle(spec) == "median and range of 3 trials"


@pytest.mark.parametrize("x", ["iteration", "examples", "seconds", "flops"])
@pytest.mark.parametrize("measure", ["accuracy", "loss"])
def test_learning_curves_against_every_axis(x: str, measure: str) -> None:
    trials, curves = study(6, 2)
    for log in ("", "x", "y", "xy"):
        spec, svg = drawn(CHARTS["curves"](trials, curves, x=x, measure=measure, log=log, by="optimizer"))
        assert measure in str(texts(svg))
        assert all(r["x"] > 0 for r in rows(spec)) or "x" not in log


def test_learning_curves_zoom_smooth_and_facet() -> None:
    trials, curves = study(6, 2)
    spec, _ = drawn(CHARTS["curves"](trials, curves, start=1000, stop=2000))
    assert all(1000 <= r["x"] <= 2000 for r in rows(spec))
    spec, _ = drawn(CHARTS["curves"](trials, curves, by="trial", smooth=4))
    mine = curves[curves.trial == "t0-0"].test_accuracy
    assert [r for r in rows(spec) if r["name"] == "t0-0"][-1]["y"] == pytest.approx(mine.tail(4).mean())
    assert "moving average over 4 points" in subtitle(spec)
    spec, svg = drawn(CHARTS["curves"](trials, curves, by="optimizer", facet="learning_rate"))
    assert {r["panel"] for r in rows(spec)} == {"0.3", "0.1"}
    many = study(20, 1)
    spec, _ = drawn(CHARTS["curves"](*many, facet="configuration"))
    best = many[0].groupby("configuration").accuracy.mean().nlargest(12).index
    assert {r["panel"] for r in rows(spec)} == set(best) and subtitle(spec).startswith("the best 12 of 20")
    _, svg = drawn(CHARTS["curves"](trials, curves, start=10**9))
    assert "No point of test accuracy lies between start and stop." in texts(svg)


def test_a_single_point_has_its_own_tick() -> None:
    _, svg = drawn(CHARTS["curves"](*study(1, 1, points=1)))
    assert texts(svg)[:2] == ["0", "iterations"]


def test_trials_logged_at_different_steps_are_interpolated_within_their_ranges() -> None:
    trials = pd.DataFrame({"trial": ["a", "b"], "configuration": "c", "accuracy": [0.5, 0.6], "outcome": "completed"})
    curves = pd.DataFrame(
        {"trial": ["a", "a", "b", "b", "b"], "iteration": [0, 10, 0, 5, 20], "test_accuracy": [0, 1, 0, 0.25, 0.5]}
    )
    spec, _ = drawn(CHARTS["curves"](trials, curves))
    assert {(r["x"], r["low"], r["high"], r["n"]) for r in rows(spec)} == {
        (0, 0, 0, 2),
        (5, 0.25, 0.5, 2),
        (10, 0.25 + 0.25 / 3, 1, 2),
        (20, 0.5, 0.5, 1),
    }


def test_a_diverged_trial_is_marked_at_its_last_point_and_does_not_flatten_the_others() -> None:
    trials, curves = diverging(*study(6, 3), ["t0-0"])
    spec, svg = drawn(CHARTS["curves"](trials, curves, measure="loss"))
    (mark,) = [r for r in rows(spec) if r["kind"] == "cross"]
    assert mark["how"] == "diverged" and mark["x"] == curves[curves.iteration <= 2000].iteration.max()
    assert "×" in texts(svg)
    assert "1 diverged of 18 trials (× at the last point); the axis ends" in subtitle(spec) or "axis ends" in subtitle(
        spec
    )
    assert mark["y"] < 3


def test_a_median_is_dashed_where_seeds_have_ended_and_says_how_many_go_on() -> None:
    trials = pd.DataFrame({"trial": list("abc"), "configuration": "c", "accuracy": [0.2, 0.6, 0.9], "repeat": range(3)})
    trials["outcome"] = ["diverged", "completed", "completed"]
    steps = {"a": [0, 10], "b": [0, 10, 20, 30], "c": [0, 10, 20, 30]}
    points = [{"trial": t, "iteration": i, "test_accuracy": i / 100} for t, each in steps.items() for i in each]
    spec, svg = drawn(CHARTS["curves"](trials, pd.DataFrame(points)))
    kinds = {kind: [(r["x"], r["n"]) for r in rows(spec) if r["kind"] == kind] for kind in ("dots", "ended", "count")}
    assert kinds == {"dots": [(0, 3), (10, 3)], "ended": [(10, 3), (20, 2), (30, 2)], "count": [(30, 2)]}
    assert "n = 2 of 3" in texts(svg) and "dashed where seeds have ended" in subtitle(spec)
    finished = trials.iloc[1:].assign(outcome="completed")
    assert not [r for r in rows(drawn(CHARTS["curves"](finished, pd.DataFrame(points)))[0]) if r["kind"] == "ended"]


def test_configurations_that_share_a_trial_have_a_curve_each() -> None:
    trials = pd.DataFrame({"trial": ["t", "t"], "configuration": ["a", "b"], "accuracy": 0.5, "outcome": "completed"})
    points = pd.DataFrame({"trial": "t", "iteration": [0, 10], "test_accuracy": [0.1, 0.5]})
    spec, _ = drawn(CHARTS["curves"](trials, points))
    assert {(r["name"], r["x"], r["y"]) for r in rows(spec)} == {
        (n, x, y) for n in "ab" for x, y in ((0, 0.1), (10, 0.5))
    }


def test_more_than_twelve_series_keep_the_best_and_count_the_rest() -> None:
    trials, curves = study(40, 2)
    spec, _ = drawn(CHARTS["curves"](trials, curves))
    best = trials.groupby("configuration").accuracy.mean().nlargest(12).index
    assert {r["name"] for r in rows(spec) if r["kind"] != "rest"} == set(best)
    assert "the best 12 of 40 by final test accuracy, 28 others in grey" in subtitle(spec)
    assert spec["datasets"].keys().__len__() == 1


def test_the_product_of_seven_axes_is_drawn_by_every_chart() -> None:
    trials, curves = study(729, 1, points=8)
    for name in ("curves", "pareto", "effort", "parallel", "ledger"):
        spec, _ = drawn(drawing(name, trials, curves))
        assert len(rows(spec)) < 6000
        assert "729" in subtitle(spec)


def test_ten_thousand_series_do_not_blow_up() -> None:
    n = 10_000
    trials = pd.DataFrame({"trial": range(n), "configuration": [f"c{i}" for i in range(n)], "outcome": "completed"})
    trials["accuracy"] = np.linspace(0.1, 0.99, n)
    trials["seconds"] = np.linspace(1, 5, n)
    trials["rate"] = np.linspace(0.001, 1, n)
    curves = pd.DataFrame({"trial": np.repeat(np.arange(n), 3), "iteration": np.tile([0, 1, 2], n)})
    curves["test_accuracy"] = np.repeat(trials.accuracy.to_numpy(), 3)
    begin = perf_counter()
    for chart in (
        CHARTS["curves"](trials, curves),
        CHARTS["pareto"](trials),
        CHARTS["parallel"](trials),
    ):
        assert len(rows(chart.to_dict())) < 14_000
    assert perf_counter() - begin < 30
    spec = CHARTS["curves"](trials, curves).to_dict()
    assert "the best 12 of 10,000" in subtitle(spec)


def test_long_curves_are_thinned_without_losing_their_extremes() -> None:
    n = 50_000
    y = np.full(n, 0.5)
    y[12_345], y[33_333] = 0.99, 0.01
    trials = pd.DataFrame({"trial": ["a"], "configuration": ["c"], "accuracy": [0.5], "outcome": ["completed"]})
    curves = pd.DataFrame({"trial": "a", "iteration": np.arange(1, n + 1), "test_accuracy": y})
    for log in ("", "x"):
        spec, _ = drawn(CHARTS["curves"](trials, curves, log=log))
        kept = [r["y"] for r in rows(spec)]
        assert len(kept) <= 300 and {0.99, 0.01} <= set(kept)
        assert "50,000 points are thinned, their extremes kept" in subtitle(spec)


def test_thinning_keeps_ends_and_extremes_of_every_stretch() -> None:
    x = np.arange(1, 1001, dtype=float)
    y = np.sin(x)
    chosen = thinning.thinned(x, [y], most=52)
    assert len(chosen) <= 52 and {0, 999, int(y.argmax()), int(y.argmin())} <= set(chosen.tolist())
    assert thinning.thinned(x[:5], [y[:5]], most=5).tolist() == [0, 1, 2, 3, 4]
    assert len(thinning.thinned(np.zeros(100), [y[:100]], most=10)) <= 10


def test_the_front_is_what_no_other_beats() -> None:
    trials = pd.DataFrame(
        {
            "configuration": list("abcd"),
            "seconds": [1.0, 2, 3, 4],
            "accuracy": [0.5, 0.9, 0.8, 0.95],
            "outcome": "stopped",
        }
    )
    spec, svg = drawn(CHARTS["pareto"](trials))
    assert {r["name"] for r in rows(spec) if r.get("front")} == {"a", "b", "d"}
    assert {"a", "b", "d"} <= set(texts(svg)) and "c" not in texts(svg)


def test_effort_is_ranked_and_says_the_accuracy() -> None:
    trials, _ = diverging(*study(4, 3), ["t1-0"])
    spec, svg = drawn(CHARTS["effort"](trials))
    counted = trials.assign(
        effort=trials.effort.where(trials.outcome == "completed", np.inf)
    )  # worse than any finished
    efforts = counted.groupby("configuration").effort.median().sort_values()
    assert [(r["name"], r["x"]) for r in rows(spec)] == list(efforts.items())
    accuracy = trials[trials.configuration == efforts.index[0]].accuracy.mean()
    assert any(t.startswith(f"{100 * accuracy:.2f} %") for t in texts(svg))
    assert any("× 1 of 3" in t for t in texts(svg))
    drawn(CHARTS["effort"](trials, log=True))


def test_times_of_several_machines_are_not_compared_silently() -> None:
    trials, curves = study(3, 2)
    trials.loc[0, "machine"] = "another"
    trials.loc[1, "timing"] = "packed"
    for name in ("pareto", "effort", "ledger"):
        spec = drawing(name, trials, curves).to_dict()
        assert "times from 2 machines, 2 kinds of timing are not comparable" in subtitle(spec)
    assert "comparable" in subtitle(CHARTS["curves"](trials, curves, x="seconds").to_dict())


def test_times_of_cohorts_and_of_trials_alone_are_not_compared_silently() -> None:
    trials, curves = study(3, 2)
    trials["cohort"] = [2, 2, 1, 1, 1, 1]
    for name in ("pareto", "effort", "ledger"):
        assert "trials that share the seconds of a cohort and others are not comparable" in subtitle(
            drawing(name, trials, curves).to_dict()
        )
        alike = subtitle(drawing(name, trials.assign(cohort=2), curves).to_dict())
        assert "comparable" not in alike
    waiting = trials.assign(cohort=[2, 2, 2, 2, 2, None], timing=[*trials.timing[:5], None])
    assert "comparable" not in subtitle(drawing("pareto", waiting, curves).to_dict())


def test_the_grid_holds_the_means() -> None:
    trials, _ = diverging(*study(12, 2), ["t0-0", "t0-1"])
    spec, svg = drawn(CHARTS["grid"](trials, rows="optimizer", columns="learning_rate"))
    cell = next(r for r in rows(spec) if (r["row"], r["column"]) == ("descent", "0.1"))
    chosen = trials[(trials.optimizer == "descent") & (trials.learning_rate == 0.1)]
    assert cell["mean"] == pytest.approx(chosen.accuracy.mean())
    assert f"{100 * cell['mean']:.1f}" in texts(svg) and "×" in texts(svg)
    columns = [r["column"] for r in rows(spec)]
    assert list(dict.fromkeys(columns)) == ["0.01", "0.03", "0.1", "0.3"]
    drawn(CHARTS["grid"](trials, rows="optimizer", columns="configuration", measure="test_loss"))


def test_the_band_of_many_trials_at_a_value_is_of_the_middle_four_fifths() -> None:
    accuracies = [i / 100 for i in range(101)]  # from 0 to 1: the whole range would hide everything
    frame = pd.DataFrame({"learning_rate": [0.1] * 101, "optimizer": "adam", "accuracy": accuracies})
    frame = frame.assign(configuration=[f"c{i}" for i in range(101)], outcome="completed", trial=frame.index, seed=1)
    spec = CHARTS["sensitivity"](frame).to_dict()
    (row,) = [row for row in rows(spec) if row.get("kind") == "dots"]
    assert (row["low"], row["y"], row["high"], row["n"]) == (pytest.approx(0.1), 0.5, pytest.approx(0.9), 101)
    assert "median and the middle 80 % of the trials at each value" in subtitle(spec)
    spec = CHARTS["sensitivity"](frame.head(20)).to_dict()
    (row,) = [row for row in rows(spec) if row.get("kind") == "dots"]
    assert (row["low"], row["high"]) == (0.0, 0.19)
    assert "median and range of the trials at each value" in subtitle(spec)


def test_sensitivity_holds_medians_and_marks_lost_trials() -> None:
    trials, _ = diverging(*study(18, 3), ["t0-0", "t0-1", "t0-2"])
    spec, svg = drawn(CHARTS["sensitivity"](trials))
    adam = trials[(trials.optimizer == "adam") & (trials.learning_rate == 0.01)]
    (point,) = [r for r in rows(spec) if r["kind"] == "dots" and (r["name"], r["x"]) == ("adam", 0.01)]
    assert point["y"] == pytest.approx(adam.accuracy.median()) and point["n"] == 3
    (lost,) = [r for r in rows(spec) if r["kind"] == "cross"]
    assert (lost["name"], lost["x"], lost["n"]) == ("adam", 0.3, 3)
    assert {"adam", "descent", "momentum", "0.01"} <= set(texts(svg))


def test_lines_through_one_value_pass_it_in_the_order_of_their_scores_and_a_few_pass_close_to_it() -> None:
    for count, most in ((6, 0.02), (200, 0.16)):
        ranks = [(number + 0.5) / count for number in range(count)]
        upright = _upright("optimizer", ["adam", "descent"] * (count // 2), ["adam", "descent"], ranks=ranks)
        of_adam = upright.heights[::2]
        assert of_adam == sorted(of_adam)
        assert max(abs(height - 0.25) for height in of_adam) < most
    assert max(of_adam) - min(of_adam) > 0.25, "many lines are spread over more than half of what a value has"


def test_parallel_coordinates_place_every_value_on_its_axis() -> None:
    trials, _ = study(18, 2)
    spec, svg = drawn(CHARTS["parallel"](trials))
    assert {"optimizer", "learning_rate", "test accuracy", "adam", "0.003"} <= set(texts(svg))
    lines = [r for r in rows(spec) if "axis" in r]
    assert all(0 <= r["y"] <= 1 for r in lines) and len(lines) == 18 * 3


def test_the_ledger_adds_up() -> None:
    trials, _ = study(3, 2)
    spec, svg = drawn(CHARTS["ledger"](trials))
    name = trials.configuration.iloc[0]
    total = trials[trials.configuration == name].ledger_wall.mean()
    assert sum(r["seconds"] for r in rows(spec) if r.get("name") == name) == pytest.approx(total)
    assert f"{total:.3g} s" in texts(svg)
    assert {"data", "compile", "train", "evaluate", "checkpoint", "wait", "other"} <= set(texts(svg))
    drawn(CHARTS["ledger"](trials, fraction=True))


def test_effects_verdicts_and_importance_hold_their_numbers() -> None:
    spec, svg = drawn(CHARTS["factors"](effects_frame()))
    assert {r["x"] for r in rows(spec) if r.get("value") == "descent"} == {-2.1}
    assert {"optimizer", "descent", "difference in test accuracy [percentage points]"} <= set(texts(svg))
    spec, svg = drawn(CHARTS["verdicts"](verdicts_frame()))
    assert subtitle(spec) == "3 of 5 significant"
    assert "adam 0.001 − descent 0.2" in texts(svg)
    _, svg = drawn(CHARTS["importance"](importance_frame()))
    assert {"52.0 %", "0.4 %"} <= set(texts(svg))


@pytest.mark.parametrize(
    ("name", "frame", "value"), [("factors", effects_frame, "effect"), ("verdicts", verdicts_frame, "difference")]
)
def test_intervals_of_few_seeds_end_at_the_largest_possible_difference(name: str, frame, value: str) -> None:
    wide = frame()
    wide.loc[0, ["low", "high"]] = wide.loc[0, value] - 170.0, wide.loc[0, value] + 170.0
    spec, _ = drawn(CHARTS[name](wide))
    assert "1 interval cut at ±100, the largest possible difference" in subtitle(spec)
    ends = [row[end] for row in rows(spec) for end in ("low", "high") if end in row]
    assert (min(ends), max(ends)) == (-100.0, 100.0)


def test_confusion_tells_hits_from_errors() -> None:
    counts = np.array([[50, 3, 0], [1, 40, 0], [0, 0, 30]])
    spec, svg = drawn(CHARTS["confusion"](counts, ["a", HTML, LONG]))
    assert "120 of 124 correct (96.77 %)" in subtitle(spec) and "(3)" in subtitle(spec)
    assert {"50", "40", "30", "3", "1"} <= set(texts(svg))
    assert sum(r["hit"] for r in rows(spec)) == 3
    drawn(CHARTS["confusion"](np.diag(np.full(100, 9))))
    drawn(CHARTS["confusion"](np.eye(150)))
    drawn(CHARTS["confusion"]([[1]]))
    drawn(CHARTS["confusion"](np.zeros((3, 3))))
    for wrong in (np.zeros((2, 3)), np.zeros(4)):
        with pytest.raises(AssayError, match="shape"):
            CHARTS["confusion"](wrong)
    with pytest.raises(AssayError, match="2 names for 3 classes"):
        CHARTS["confusion"](counts, ["a", "b"])


def test_confused_images_and_weights_are_pictures() -> None:
    rng = np.random.default_rng(0)
    images = [rng.random((8, 8)), np.full((28, 28), np.nan), rng.integers(0, 255, (5, 4, 3)), np.zeros((3, 3, 1))]
    spec, svg = drawn(
        CHARTS["confused"](images, [1, 2, 3, HTML], [7, 8, 9, LONG], probabilities=[0.9, np.nan, None, 0.2])
    )
    assert svg.count("<image") == 4
    assert "1 → 7 (90 %)" in texts(svg)
    spec, svg = drawn(CHARTS["confused"]([images[0]] * 100, [1] * 100, [2] * 100))
    assert svg.count("<image") == 24 and "showing 24 of 100 errors" in subtitle(spec)
    drawn(CHARTS["confused"]([], [], []))
    spec, svg = drawn(CHARTS["weights"](rng.normal(size=(64, 100)), (8, 8)))
    assert svg.count("<image") == 64 and "showing the 64 of 100 units with the largest weights" in subtitle(spec)
    drawn(CHARTS["weights"](np.full((4, 2), np.nan), (2, 2)))
    drawn(CHARTS["weights"](rng.normal(size=(12, 1)), (2, 2, 3)))
    for call in (lambda: CHARTS["weights"](np.zeros((5, 2)), (2, 2)), lambda: CHARTS["confused"]([1], [1, 2], [1])):
        with pytest.raises(AssayError):
            call()


def test_activations_are_those_of_the_table() -> None:
    spec, _ = drawn(CHARTS["activations"]())
    found = {(r["name"], r["series"]): r["y"] for r in rows(spec) if r["x"] == 0}
    assert found["sigmoid", "function"] == 0.5 and found["sigmoid", "derivative"] == 0.25
    assert {name for name, _ in found} == set(assay.parts.activations.ACTIVATIONS)
    drawn(CHARTS["activations"](["relu"]))
    drawn(CHARTS["activations"]([]))
    with pytest.raises(AssayError, match="did you mean 'relu'"):
        CHARTS["activations"](["rellu"])


def test_one_training_with_points_that_are_no_numbers() -> None:
    recipe = {"model": {"hidden": [8]}, "optimizer": {"name": "descent", "learning_rate": 1e6}, "budget": {"epochs": 2}}
    for history in (assay.fit({"model": {"hidden": [8]}, "budget": {"epochs": 2}}), assay.fit(recipe)):
        for x in ("iteration", "examples", "seconds"):
            drawn(history.plot(x=x))
    with pytest.raises(AssayError, match="unknown axis 'second'; did you mean 'seconds'"):
        history.plot(x="second")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"x": "iterations"}, "unknown axis 'iterations'; did you mean 'iteration'?"),
        ({"measure": "acuracy"}, "unknown measure 'acuracy'; did you mean 'accuracy'?"),
        ({"split": "training"}, "unknown split 'training'; did you mean 'train'?"),
        ({"by": "optimiser"}, "trials: unknown column 'optimiser'; did you mean 'optimizer'?"),
        ({"facet": "nothing"}, "trials: unknown column 'nothing'"),
        ({"log": "z"}, "log: unknown choice 'z'"),
        ({"smooth": 0}, "smooth: got 0; expected a number of points >= 1"),
        ({"start": 5, "stop": 5}, "start: got 5; expected a value before stop, 5"),
    ],
)
def test_mistakes_are_told_in_a_sentence(words: dict, said: str) -> None:
    with pytest.raises(AssayError, match=re.escape(said)):
        CHARTS["curves"](*study(2, 1), **words)


@pytest.mark.parametrize("ending", ["png", "svg", "pdf", "html", "json"])
def test_write_by_the_ending(tmp_path: Path, ending: str) -> None:
    trials, curves = study(3, 2)
    trials["configuration"] = HTML + trials["configuration"]
    path = write(CHARTS["curves"](trials, curves), tmp_path / "new" / f"a.{ending}")
    begins = {"png": b"\x89PNG", "svg": b"<svg", "html": b"<!DOCTYPE html>", "json": b"{", "pdf": b"%PDF"}
    assert path.read_bytes().startswith(begins[ending])
    if ending in ("html", "svg"):
        assert "<script>alert" not in path.read_text()


def test_html_loads_nothing(tmp_path: Path) -> None:
    text = write(CHARTS["activations"](), tmp_path / "a.html").read_text()
    outside = re.sub(r"(<script[^>]*>).*?</script>", r"\1", text, flags=re.DOTALL)
    assert not re.findall(r"\s(?:src|href)\s*=", outside)
    assert not re.findall(r"@import|url\(\s*['\"]?http", text)
    assert text.count("const spec = ") == 1 and '"actions":{"editor":false}' in text
    assert text.rstrip().endswith("</html>")


def test_write_tells_unknown_formats_and_unwritable_paths(tmp_path: Path) -> None:
    chart = CHARTS["activations"](["relu"])
    with pytest.raises(FileError, match="unknown picture format 'pgn'; did you mean 'png'"):
        write(chart, tmp_path / "a.pgn")
    (tmp_path / "file").write_text("")
    for ending in ("png", "html"):
        with pytest.raises(FileError, match="cannot be written"):
            write(chart, tmp_path / "file" / f"a.{ending}")


def test_labels_are_short_and_different() -> None:
    names = [f"{LONG}{i}{LONG}" for i in range(5)] + ["short"]
    found = style.labels(names)
    assert len(set(found.values())) == 6 and found["short"] == "short"
    assert all(len(label) <= style.LABEL + 4 for label in found.values())


def test_what_the_front_draws_is_a_trade_off_beyond_noise() -> None:
    costs = {"cheap": [1.0, 1.1, 1.05], "tie": [2.0, 2.1, 2.05], "better": [3.0, 3.1, 3.05], "worse": [4.0, 4.1, 4.0]}
    gains = {"cheap": [0.9, 0.92, 0.88], "tie": [0.92, 0.89, 0.90], "better": [0.99, 0.995, 1.0], "worse": [0.5] * 3}
    trials = pd.DataFrame(
        {
            "configuration": name,
            "repeat": i,
            "seconds": costs[name][i],
            "accuracy": gains[name][i],
            "outcome": "stopped",
        }
        for name in costs
        for i in range(3)
    )
    spec, svg = drawn(CHARTS["pareto"](trials))
    of = {r["name"]: r for r in rows(spec) if "front" in r}
    assert {name for name, r in of.items() if r["front"]} == {"cheap", "tie", "better"} and of["tie"]["tie"] == "cheap"
    assert of["worse"]["status"] == "dominated by cheap" and of["cheap"]["status"] == "optimal"
    assert "1 of them tie with another within noise" in subtitle(spec)
    steps = [(r["x"], r["y"]) for r in rows(spec) if set(r) == {"x", "y"}]
    assert of["tie"]["x"] not in {x for x, _ in steps} and len(steps) == 4
    limits = [layer["encoding"]["y"]["scale"]["domain"] for layer in spec["layer"] if "scale" in layer["encoding"]["y"]]
    assert all(0 <= low < high <= 1 for low, high in limits)
    assert "worse" not in texts(svg) and "worse" in texts(drawn(CHARTS["pareto"](trials, names="all"))[1])
    with pytest.raises(AssayError, match="names: unknown choice 'al'; did you mean 'all'"):
        CHARTS["pareto"](trials, names="al")


def test_first_loads_and_waits_stand_apart_from_the_work() -> None:
    trials, _ = study(2, 3)
    trials["ledger_data"] = [0.1, 0.1, 2.1, 0.1, 0.1, 0.1]
    trials["ledger_wait"] = [0.0, 0.0, 0.0, 9.0, 0.0, 0.0]
    spec, svg = drawn(CHARTS["ledger"](trials))
    first, second = trials.configuration.unique()
    means = {(r["name"], r["use"]): r["seconds"] for r in rows(spec) if "use" in r}
    assert means[first, "data"] == pytest.approx(0.1) and means[first, "first load"] == pytest.approx(2 / 3)
    assert means[second, "wait"] == pytest.approx(3.0) and means[second, "first load"] == 0
    assert {"apart [s]", "first load", "wait"} <= set(texts(svg)) and "first load" in subtitle(spec)


def test_bands_of_several_configurations_are_marked_as_pooled() -> None:
    trials, curves = study(6, 2)
    assert "pooled over 2 configurations each" in subtitle(drawn(CHARTS["curves"](trials, curves, by="optimizer"))[0])
    assert "pooled" not in subtitle(drawn(CHARTS["curves"](trials, curves))[0])


def test_a_legend_of_trials_has_no_keys() -> None:
    trials, curves = study(2, 2)
    _, svg = drawn(CHARTS["curves"](trials, curves, by="trial"))
    assert f"{trials.configuration[0]}, seed 0" in texts(svg) and "t0-0" not in texts(svg)


def test_every_chart_takes_a_width_and_has_a_description() -> None:
    trials, curves = study(4, 2)
    spec, _ = drawn(CHARTS["curves"](trials, curves, width=300))
    assert spec["width"] == 240 and spec["description"].startswith("which-optimizer: test accuracy. 4 lines: ")
    with pytest.raises(AssayError, match="width: got 20; expected 200 to 4000 pixels"):
        CHARTS["effort"](trials, width=20)


def test_a_notebook_shows_charts_without_a_network() -> None:
    bundle = CHARTS["activations"](["relu"])._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<svg") and set(bundle) == {"image/svg+xml", "text/plain"}
