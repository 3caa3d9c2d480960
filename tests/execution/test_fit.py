"""From Python: fit, going on, Ctrl-C, frames and plots."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest

import assay
from assay.engines import installed
from assay.errors import AssayError, EngineError


def test_fit_takes_plain_data_and_gives_a_history() -> None:
    history = assay.fit({"budget": {"epochs": 2}, "model": {"hidden": [16]}})
    frame = history.frame()
    assert list(frame.columns[:3]) == ["iteration", "examples", "seconds"]
    assert frame.test_accuracy.iloc[-1] == history.accuracy
    assert history.engine == ("native" if installed("native") else "numpy")
    assert history.engine_choice.startswith("auto: of native, numpy, jax, torch, the first")
    assert "<td>test accuracy</td>" in history._repr_html_()
    assert history.effort == pytest.approx(history.final.seconds / history.accuracy)
    chart = history.plot().to_dict()
    assert chart["title"]["text"].startswith("mlp 16, adam 0.001")


def test_a_thousand_and_a_thousand_more_are_two_thousand() -> None:
    """The article's finding on the same parameters trained on, bit for bit."""
    recipe = {"model": "3LS", "optimizer": {"name": "descent", "learning_rate": 0.2}, "batches": "window"}
    half = assay.fit(recipe | {"budget": {"iterations": 1000}})
    both = assay.fit(half.recipe.with_budget(iterations=2000), start=half)
    whole = assay.fit(recipe | {"budget": {"iterations": 2000}})
    for name, weights in whole.checkpoint.weights.items():
        np.testing.assert_array_equal(weights, both.checkpoint.weights[name])


def test_own_arrays() -> None:
    x = np.eye(4).repeat(5, axis=0)
    y = np.arange(4).repeat(5)
    data = assay.from_arrays(x, y, x, y)
    history = assay.fit({"budget": {"epochs": 200}, "batches": {"size": 5}}, data=data)
    assert history.accuracy == 1.0
    assert history.recipe.data.name == "arrays"


def test_ctrl_c_gives_back_what_was_done() -> None:
    before = signal.getsignal(signal.SIGINT)
    threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(assay.Interrupted) as caught:
        assay.fit({"budget": {"iterations": 10**8}, "log": 10**7})
    history = caught.value.history
    assert history.outcome is assay.Outcome.INTERRUPTED
    assert history.iterations > 0
    longer = assay.fit(history.recipe.with_budget(iterations=history.iterations + 10), start=history)
    assert longer.iterations == history.iterations + 10
    assert signal.getsignal(signal.SIGINT) is before


def test_engines_that_cannot_say_who_can() -> None:
    with pytest.raises(EngineError, match="use engine 'torch'"):
        assay.fit({"precision": "bfloat16"}, engine="numpy")
    with pytest.raises(EngineError, match="did you mean 'numpy'"):
        assay.fit({}, engine="nunpy")
    with pytest.raises(EngineError, match="unknown device"):
        assay.fit({}, device="tpuu")
    with pytest.raises(EngineError, match="'cuda'"):
        assay.fit({}, engine="numpy", device="cuda")
    with pytest.raises(AssayError, match="threads: got 0"):
        assay.fit({}, threads=0)


def test_an_engine_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"engine 'jax' needs jax: pip install '\.\[jax\]' in Assay's checkout"):
        assay.fit({}, engine="jax")
    assert assay.fit({"budget": {"iterations": 1}}).engine == "numpy"
    with pytest.raises(EngineError, match="no engine on device 'cpu' can train this recipe"):
        assay.fit({"precision": "bfloat16"})


def test_the_face_is_short_and_true() -> None:
    assert len(assay.__all__) <= 17  # with the version
    assert all(getattr(assay, name) is not None for name in assay.__all__)
    with pytest.raises(AttributeError):
        _ = assay.nothing  # pyright: ignore


def test_arrays_are_data_with_a_test_set_or_without_one() -> None:
    x, y = np.eye(4).repeat(5, axis=0), np.arange(4).repeat(5)
    recipe = {"budget": "3 epochs", "batches": {"size": 4}}
    history = assay.fit(recipe, data=(x, y, x, y))
    same = assay.fit(recipe, data=assay.from_arrays(x, y, x, y))
    assert history.final.test_loss == same.final.test_loss
    drawn = assay.fit(recipe, data=(x, y))
    assert drawn.confusion is not None
    assert drawn.confusion.sum(axis=1).tolist() == [1, 1, 1, 1]
    assert any(note.startswith("no test set was given: 4 of 20 examples") for note in drawn.warnings)
    for wrong in ((x,), (x, y, x), x, (x, y[:3]), (x, y[:, None])):
        with pytest.raises(AssayError, match="data: "):
            assay.fit(recipe, data=wrong)


def test_on_point_sees_every_point_and_may_stop() -> None:
    seen: list[assay.training.history.Point] = []
    recipe = {"budget": "5 epochs", "log": "1 epoch"}
    history = assay.fit(recipe, on_point=seen.append)
    assert tuple(seen) == history.points
    assert history.outcome is assay.Outcome.COMPLETED
    stopped = assay.fit(recipe, on_point=lambda point: np.bool_(point.iteration >= 90))
    assert stopped.ending == "stopped: on_point returned True at iteration 90"
    assert stopped.points[-1].test_loss == history.points[2].test_loss
    assert stopped.confusion is not None
    whole = assay.fit(recipe, start=stopped)
    for name, weights in history.checkpoint.weights.items():
        np.testing.assert_array_equal(whole.checkpoint.weights[name], weights)
    last = assay.fit(recipe, on_point=lambda point: point.iteration == 225)
    assert last.outcome is assay.Outcome.COMPLETED


def test_a_model_and_an_optimizer_are_given_by_name_or_table() -> None:
    short = assay.fit({"budget": "1 iteration"}, model={"hidden": [8]}, optimizer={"name": "sgd", "lr": 0.5})
    assert short.recipe == assay.Recipe.parse(
        {"budget": "1 iteration", "model": {"hidden": [8]}, "optimizer": {"name": "descent", "learning_rate": 0.5}}
    )
    layers = ["flatten", {"kind": "dense", "units": 4, "activation": "relu"}]
    assert assay.fit({"budget": "1 iteration"}, model=layers).parameters == 64 * 4 + 4 + 4 * 10 + 10
    with pytest.raises(
        AssayError, match="2 errors(.|\n)*model.width: is missing(.|\n)*the function returned a NoneType"
    ):
        assay.fit(model=lambda width: None, optimizer=lambda parameters: None)
