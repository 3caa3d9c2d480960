"""Notes of recipes and results are in plans, tables, JSON and reports, in the first answer as in the stored one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.recipe.notes import all_notes, notes
from assay.report.notes import Note, line
from assay.results.results import Results
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study
from assay.training.checkpoints import from_bytes, to_bytes
from assay.training.history import History
from tests.store.makers import made_end

ODD = """
engine = "numpy"
repeats = 2
[baseline]
model.hidden = [4]
budget.epochs = 1
[axes.loss]
nll = { loss = "nll" }
twice = { loss = "logit_cross_entropy", model.output = "softmax" }
"""
TWICE = "loss 'logit_cross_entropy' is meant for output identity; this model's output is 'softmax': "


@pytest.fixture(autouse=True)
def _study(tmp_path: Path) -> None:
    (tmp_path / "odd.toml").write_text(ODD)


def test_a_note_of_a_recipe_is_in_the_plan_the_table_and_the_json_first_and_stored(invoke: Any) -> None:
    code, out, err = invoke("run", "odd.toml", "--plan", "--json")
    assert code == 0, err
    assert f"note: twice: {TWICE}" in err
    (note,) = json.loads(out)["notes"]
    assert note["configurations"] == ["twice"]
    assert note["sentence"].startswith(TWICE)
    for _ in range(2):  # trained, then stored
        code, out, err = invoke("run", "odd.toml", "--json")
        assert code == 0, err
        assert json.loads(out)["notes"] == [note]
    _, _, err = invoke("run", "odd.toml")
    assert err.count(f"note: twice: {TWICE}") == 2  # of the plan, and of the results


def test_compare_and_target_show_the_notes_on_what_they_compare(invoke: Any) -> None:
    assert invoke("run", "odd.toml")[0] == 0
    for command in (
        ("compare", "odd"),
        ("compare", "odd", "nll", "twice"),
        ("target", "odd"),
        ("compare", "odd", "--json"),
    ):
        code, out, err = invoke(*command)
        assert code == 0, err
        assert err.count(f"note: twice: {TWICE}") == 1 and TWICE not in out, command


def test_notes_on_recipes_come_before_those_on_results_so_that_a_short_list_has_them(
    invoke: Any, tmp_path: Path
) -> None:
    study = ODD.replace("repeats = 2", "repeats = 6").replace(
        'nll = { loss = "nll" }', 'nll = { optimizer = { name = "descent", learning_rate = 30.0 } }'
    )
    (tmp_path / "many.toml").write_text(study)
    code, out, err = invoke("run", "many.toml", "--json")
    assert code == 0, err
    notes = json.loads(out)["notes"]
    assert len(notes) > 1 and notes[0]["configurations"] == ["twice"] and notes[0]["sentence"].startswith(TWICE)


def test_train_says_the_same_when_it_trains_and_when_the_answer_is_stored(invoke: Any, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('loss = "logit_cross_entropy"\nmodel.output = "softmax"\nbudget.epochs = 1')
    answers = []
    for _ in range(2):
        code, out, err = invoke("train", "recipe.toml", "--engine", "numpy", "--json")
        assert code == 0, err
        answers.append(json.loads(out))
    assert [answer["from_store"] for answer in answers] == [False, True]
    assert answers[0]["warnings"] == answers[1]["warnings"]
    assert len(answers[0]["warnings"]) == 1
    assert answers[0]["warnings"][0].startswith(TWICE)
    _, out, _ = invoke("show", answers[0]["trial"], "--json")
    assert json.loads(out)["warnings"] == answers[0]["warnings"]
    _, out, _ = invoke("train", "recipe.toml", "--engine", "numpy")
    assert out.count("is meant for output identity") == 1


@pytest.mark.parametrize(("output", "loss"), [("sigmoid", "cross_entropy"), ("identity", "nll")])
def test_a_pairing_that_cannot_train_is_an_error_when_planning_with_what_to_type(
    invoke: Any, tmp_path: Path, output: str, loss: str
) -> None:
    (tmp_path / "recipe.toml").write_text(f'loss = "{loss}"\nmodel.output = "{output}"')
    code, _, err = invoke("train", "recipe.toml")
    assert code == 2
    assert f"this model's output is '{output}': " in err
    assert "; set model.output = " in err
    (tmp_path / "bad.toml").write_text(f'[axes.a]\nb = {{ loss = "{loss}", model.output = "{output}" }}\n')
    code, _, err = invoke("run", "bad.toml", "--plan")
    assert code == 2
    assert "; set model.output = " in err
    code, _, err = invoke("bench", "recipe.toml")
    assert code == 2
    assert "; set model.output = " in err


def test_the_natural_recipe_learns(invoke: Any) -> None:
    code, out, err = invoke("train", "--set", "loss=cross_entropy", "--set", "budget.epochs=3", "--json")
    assert code == 0, err
    answer = json.loads(out)
    assert answer["recipe"]["model"]["output"] == "softmax"
    assert answer["warnings"] == []
    assert answer["accuracy"] > 0.8


# --- stored ----------------------------------------------------------------------------------------------------------


def stored(
    tmp_path: Path, *, warnings: tuple[str, ...] = (), loss: str = "logit_cross_entropy", output: str = "softmax"
) -> Results:
    """A study of two configurations, one of them odd, with made-up results that have notes of their own."""
    patch = {"loss": loss, "model": {"output": output}}
    axes = {"loss": {"plain": {"seed": 1}, "odd": patch}}
    made = plan(
        Study.parse({"name": "made", "engine": "numpy", "baseline": {"budget": {"iterations": 9}}, "axes": axes})
    )
    store = Store(str(tmp_path / "notes.db"))
    store.register(made)
    while claimed := store.leases.claim(made.jobs):
        trial = claimed[1].trials[0]
        end = made_end(trial)
        assert end.history is not None
        store.finish(claimed[0], trial, replace(end, history=replace(end.history, warnings=warnings)))
        store.leases.release(claimed[0])
    return Results(store, "made")


def test_notes_of_results_are_stored_and_shown_with_those_of_recipes(tmp_path: Path) -> None:
    results = stored(tmp_path, warnings=("a note of the data",))
    by_sentence = {note.sentence: note.configurations for note in results.notes()}
    assert by_sentence["a note of the data"] == ("plain", "odd")
    (sentence,) = set(by_sentence) - {"a note of the data"}
    assert sentence.startswith(TWICE)
    assert by_sentence[sentence] == ("odd",)
    page = results.report(tmp_path / "made.html").read_text()
    assert "<h2>Notes</h2>" in page
    assert "all 2 configurations: a note of the data" in page
    assert f"odd: {TWICE.replace(chr(39), '&#x27;')}" in page
    for row in results.frame()["trial"]:
        history = results.store.result(row)
        assert history is not None
        assert history.plain()["warnings"][-1] == "a note of the data"


def test_stored_trials_of_a_pairing_that_cannot_train_stay_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before_they_were_refused:
        before_they_were_refused.setattr("assay.training.checks.refusals", lambda recipe: [])
        results = stored(tmp_path, loss="nll", output="sigmoid")
    (note,) = results.notes()
    assert note.configurations == ("odd",)
    assert "the loss falls if every output grows" in note.sentence
    assert note.sentence.split(";")[0] in results.report(tmp_path / "made.html").read_text().replace("&#x27;", "'")
    assert odd_recipe(results, "sigmoid").loss == "nll"


def test_a_note_that_an_older_version_stored_is_not_said_twice(tmp_path: Path) -> None:
    results = stored(tmp_path, warnings=(TWICE.removesuffix(": "),))
    assert [note.sentence for note in results.notes() if "odd" in note.configurations] == notes(odd_recipe(results))


def odd_recipe(results: Results, output: str = "softmax") -> Any:
    return next(
        history.recipe
        for key in results.frame()["trial"]
        if (history := results.store.result(key)) is not None and history.recipe.model.output == output
    )


def test_a_report_without_notes_has_no_section_for_them(tmp_path: Path) -> None:
    page = stored(tmp_path, loss="cross_entropy").report(tmp_path / "made.html").read_text()
    assert "<h2>Notes</h2>" not in page


def test_notes_travel_with_a_checkpoint(digits_history: History) -> None:
    plain = replace(digits_history, warnings=())
    assert from_bytes(to_bytes(plain), source="test").warnings == ()
    noted = replace(digits_history, warnings=("a note of the data",))
    again = from_bytes(to_bytes(noted), source="test")
    assert again.warnings == ("a note of the data",)
    assert again.notes == noted.notes
    np.testing.assert_array_equal(again.checkpoint.weights["0.bias"], noted.checkpoint.weights["0.bias"])


@pytest.fixture
def digits_history() -> History:
    import assay

    return assay.fit({"model": {"hidden": [3]}, "budget": {"iterations": 2}}, engine="numpy")


def test_a_line_names_few_configurations() -> None:
    labels = tuple("abcde")
    assert line(Note("odd", labels[:1]), configurations=1) == "odd"
    assert line(Note("odd", labels), configurations=5) == "all 5 configurations: odd"
    assert line(Note("odd", labels[:3]), configurations=5) == "a; b; c: odd"
    assert line(Note("odd", labels), configurations=9) == "a; b; c and 2 more: odd"


def test_each_note_is_said_once() -> None:
    from assay.recipe.model import Recipe

    recipe = Recipe.parse({"model": {"output": "softmax"}, "loss": "nll"})
    made = notes(recipe)
    assert all_notes(recipe, ["x", made[0], "x"]) == [*made, "x"]
