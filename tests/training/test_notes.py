"""Notes on results that are plainly not what was meant: each where it applies, none where it does not."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import assay
from assay.data.datasets import load
from assay.execution.runner import Execution
from assay.results.results import Results
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study
from assay.training.history import Point
from assay.training.notes import result_notes, schedule_notes
from assay.training.outcome import Outcome
from tests.training.test_loop import recipe

TINY: dict[str, Any] = {"model": {"hidden": [16]}, "budget": {"epochs": 2}}


def notes(**patch: Any) -> list[str]:
    """The notes without that on the test set as stopping set."""
    history = assay.fit(TINY | patch, engine="numpy")
    return [note for note in history.warnings if "stopping rule" not in note]


def test_a_sound_training_has_none() -> None:
    assert notes() == []
    for schedule in ({"name": "cosine", "horizon": "2 epochs"}, {"name": "step", "every": "1 epoch"}):
        assert notes(schedule=schedule) == []


def test_one_class_for_all() -> None:
    history = assay.fit(TINY | {"optimizer": {"name": "descent", "learning_rate": 20.0}}, engine="numpy")
    (one_class, dead) = history.warnings
    assert one_class.startswith("the network answers '")
    assert one_class.endswith("' for every one of the 360 test examples")
    assert dead == "16 of 16 hidden relu units are dead: 0 for each of 180 test examples"


def test_an_accuracy_not_above_the_most_frequent_class() -> None:
    """A network that has learned nothing answers several classes, less often right than always answering one."""
    digits = load("digits")
    counts = np.bincount(digits.y_test)
    nothing = {"budget": {"iterations": 1}, "optimizer": {"name": "descent", "learning_rate": 1e-9}, "seed": 2}
    history = assay.fit(TINY | nothing, engine="numpy")
    assert history.accuracy is not None
    assert history.accuracy < counts.max() / 360
    assert history.warnings == (
        f"the test accuracy, {100 * history.accuracy:.2f} %, is not above the {100 * counts.max() / 360:.2f} % that "
        f"always answering '{counts.argmax()}', the most frequent class of the test set, would give",
    )


def test_the_answers_are_compared_with_the_most_frequent_class_of_the_test_set() -> None:
    history, prepared = assay.fit(TINY, engine="numpy"), _Prepared(np.array([0, 1, 1, 1, 2, 2]))
    for accuracy, matrix, expected in (
        (0.51, None, []),
        (0.5, [[0, 1, 0], [0, 2, 1], [0, 1, 1]], ["the test accuracy, 50.00 %, is not above the 50.00 % that always"]),
        (0.5, [[0, 1, 0], [0, 3, 0], [0, 2, 0]], ["the network answers 'b' for every one of the 6 test examples"]),
        (1 / 6, [[1, 0, 0], [3, 0, 0], [2, 0, 0]], ["the network answers 'a' for every one of the 6 test examples"]),
    ):
        end = Point(90, 2880, 0.1, test_accuracy=accuracy, test_loss=1.0)
        made = replace(history, points=(end,), checkpoint=replace(history.checkpoint, weights={}))
        got = result_notes(made, cast(Any, prepared), partial(np.array, matrix))
        assert len(got) == len(expected)
        assert all(note.startswith(beginning) for note, beginning in zip(got, expected, strict=True))


class _Prepared:
    """The part of prepared data that the answers are compared with."""

    def __init__(self, y: Any) -> None:
        self.y_test, self.y_train, self.class_names, self.classes = y, np.zeros(1437), ("a", "b", "c"), 3


@pytest.mark.parametrize(
    ("schedule", "budget", "expected"),
    [
        (
            {"name": "cosine", "horizon": 100, "warm_up": 10},
            60,
            "schedule.horizon is never reached: it is 100 iterations after the warm-up of 10, but the budget is 60: "
            "the learning rate ends at 51.6 % of its value",
        ),
        ({"name": "linear", "horizon": 61}, 60, "schedule.horizon is never reached: it is 61 iterations, but the"),
        ({"name": "linear", "horizon": 60}, 60, ""),
        ({"name": "step", "every": 100}, 60, "schedule.every is never reached: it is 100 iterations, but the budget"),
        ({"name": "exponential", "every": 100}, 60, ""),
        (
            {"warm_up": 60},
            60,
            "schedule.warm_up takes 60 iterations, but the budget is 60: the learning rate ends at 1",
        ),
        ({"warm_up": 59}, 60, ""),
        (
            {"warm_up": 240},
            60,
            "schedule.warm_up takes 240 iterations, but the budget is 60: the learning rate ends at 2",
        ),
        (
            {"name": "cosine", "horizon": 20},
            60,
            "the learning rate is under 1e-6 of its start from iteration 21 on, for 66.67 % of the 60 iterations: "
            "check schedule.horizon",
        ),
        ({"name": "cosine", "horizon": 40}, 60, ""),  # a third of the iterations only
        ({"name": "cosine", "horizon": 20, "final": 0.01}, 60, ""),
        (
            {"name": "exponential", "every": 2},
            60,
            "the learning rate is under 1e-6 of its start from iteration 14 on, for 78.33 % of the 60 iterations: "
            "check schedule.every",
        ),
        (
            {"name": "step", "every": 2, "warm_up": 20},
            100,
            "the learning rate is under 1e-6 of its start from iteration 35 on, for 66.00 % of the 100 iterations",
        ),
    ],
)
def test_a_schedule_that_does_not_do_what_it_is_for(schedule: Any, budget: int, expected: str) -> None:
    made = recipe(schedule=schedule, budget={"iterations": budget})
    got = schedule_notes(made, 97, budget)
    assert len(got) == bool(expected)
    assert not expected or got[0].startswith(expected)
    factors = made.schedule.factors(1, budget)
    if "under 1e-6" in expected:
        assert (factors < 1e-6 * factors.max()).sum() > budget / 2
        first = int(got[0].partition("from iteration ")[2].partition(" ")[0])
        assert factors[first - 1] < 1e-6 <= factors[first - 2]


def test_dead_units_are_counted_where_there_are_relu_units() -> None:
    negative: dict[str, Any] = {"optimizer": {"name": "descent", "learning_rate": 20.0}, "budget": {"epochs": 2}}
    assert any("hidden relu units are dead" in note for note in notes(**negative))
    tanh = notes(**negative, model={"hidden": [16], "activation": "tanh"})
    assert not any("dead" in note for note in tanh)
    layers = [
        {"kind": "conv2d", "channels": 4, "kernel": 3, "activation": "relu"},
        {"kind": "max_pool", "size": 2},
        "flatten",
        {"kind": "dropout", "rate": 0.2},
        {"kind": "dense", "units": 10},
    ]
    wide = notes(**negative | {"budget": {"iterations": 20}}, model={"layers": layers}, batches={"size": 100})
    assert [note for note in wide if note.startswith("4 of 4 hidden relu units")] != []


def test_untrained_diverged_and_interrupted_trainings_have_none() -> None:
    assert notes(budget={"iterations": 0}) == []
    history = assay.fit(
        TINY
        | {
            "optimizer": {"name": "descent", "learning_rate": 1e30},
            "model": {"hidden": [4], "output": "identity"},
            "loss": "mse",
        },
        engine="numpy",
    )
    assert history.outcome is Outcome.DIVERGED
    assert [note for note in history.warnings if "loss" not in note] == []


def test_the_table_the_report_and_json_show_them_the_first_time_and_from_the_store(invoke: Any) -> None:
    words = ["train", "--engine", "numpy", "--set", "model.hidden=[16]", "--set", "budget.iterations=60"]
    words += ["--set", "optimizer=descent", "--set", "optimizer.learning_rate=20.0"]
    words += ["--set", 'schedule={name="cosine", horizon="9 epochs"}']
    answers = [json.loads(invoke(*words, "--json")[1]) for _ in range(2)]
    assert [answer["from_store"] for answer in answers] == [False, True]
    assert answers[0]["warnings"] == answers[1]["warnings"]
    assert [note.split()[0] for note in answers[0]["warnings"]] == ["schedule.horizon", "the", "15"]
    shown = json.loads(invoke("show", answers[0]["trial"], "--json")[1])
    assert shown["warnings"] == answers[0]["warnings"]
    table = " ".join(invoke(*words)[1].split())
    assert "note schedule.horizon is never reached: it is 405 iterations, but the budget is 60" in table


def test_a_study_lists_them_with_their_configurations(tmp_path: Path, invoke: Any) -> None:
    rates = {"key": "optimizer.learning_rate", "values": [0.1, 20.0]}
    raw = {"baseline": {**TINY, "optimizer": "descent"}, "axes": {"rate": rates}, "repeats": 2, "engine": "numpy"}
    store = Store(str(tmp_path / "s.db"))
    for _ in Execution(plan(Study.parse({**raw, "name": "rates"})), store):
        pass
    results = Results(store, "rates")
    listed = {note.sentence: note.configurations for note in results.notes()}
    assert listed["16 of 16 hidden relu units are dead: 0 for each of 180 test examples"] == ("rate 20.0",)
    assert not any("rate 0.1" in configurations for configurations in listed.values())
    page = results.report(tmp_path / "rates.html").read_text()
    assert "<h2>Notes</h2>" in page
    assert "20.0: 16 of 16 hidden relu units are dead" in page
    assert "best iteration" in page
