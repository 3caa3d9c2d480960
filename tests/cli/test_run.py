"""`assay run`, `list`, `show`, `rm` and `store`, as a user meets them."""

from __future__ import annotations

import json
import sqlite3
import tomllib
from pathlib import Path
from typing import Any

import pytest

from assay.execution.runner import Execution
from assay.recipe.model import Recipe
from assay.store.store import Store
from tests.store.makers import made_end, made_plan

STUDY = """
design = "grid"
repeats = 2
engine = "numpy"
[baseline]
data = "digits"
model.hidden = [4]
budget.epochs = 1
[axes.optimizer]
descent = { optimizer = "descent" }
"evil \\u001b[31m<script>alert(1)</script>" = { optimizer = "adam" }
"""


@pytest.fixture(autouse=True)
def _study(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(STUDY)


def stored(tmp_path: Path, trials: int = 3) -> list[str]:
    """A store with a study of finished trials, without training."""
    store, plan = Store(str(tmp_path / "assay.db")), made_plan(trials)
    store.register(plan)
    while claimed := store.leases.claim(plan.jobs):
        store.finish(claimed[0], claimed[1].trials[0], made_end(claimed[1].trials[0]))
        store.leases.release(claimed[0])
    store.close()
    return list(plan.trials)


def test_a_study_is_run_listed_shown_and_removed(invoke: Any, tmp_path: Path) -> None:
    code, out, err = invoke("run", "mine.toml")
    assert code == 0, err
    assert "mine: 4 trials; 0 stored, 4 to train on 4 trajectories; isolated, about" in err
    assert "mine: by accuracy" in out
    assert "mine: by effort" in out
    assert "\x1b[31m" not in out  # a name from a file does not steer the terminal
    code, out, err = invoke("run", "mine.toml", "--json")
    assert "4 stored, 0 to train" in err
    result = json.loads(out)
    assert [row["finished"] for row in result["configurations"]] == [2, 2]
    assert len(result["trials"]) == 4
    code, out, _ = invoke("list")
    assert "mine" in out
    code, out, err = invoke("list", "optimizer=adam", "--study", "mine")
    assert "2 of 2 trials" in err
    rows = json.loads(invoke("list", "--trials", "--json")[1])["trials"]
    assert len(rows) == 4
    assert invoke("list", "--trials", "--csv")[1].count("\n") == 5
    key = rows[0]["key"][:10]
    code, out, _ = invoke("show", key)
    for text in ("test accuracy", "seconds", "machine", "study", f"assay show {rows[0]['key'][:12]} --recipe"):
        assert text in " ".join(out.split())
    recipe = Recipe.parse(tomllib.loads(invoke("show", key, "--recipe")[1]))
    assert recipe.seed == rows[0]["seed"]
    assert json.loads(invoke("show", key, "--json")[1])["trial"] == rows[0]["key"]
    assert invoke("store", "check") == (0, "assay.db: sound\n", "")
    code, _, err = invoke("rm", "mine")
    assert (code, "give --yes" in err) == (2, True)
    assert "removed 1 study, 4 trials" in invoke("rm", "mine", "--yes")[2]
    assert "no studies" in invoke("list")[1]


@pytest.mark.parametrize("from_file", [True, False])
def test_a_study_that_is_removed_during_its_run_ends_with_what_to_type(
    from_file: bool, invoke: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert invoke("run", "mine.toml", "--yes")[0] == 0
    register = Execution.register

    def and_remove(execution: Execution) -> None:
        register(execution)
        execution.store.remove(studies=["mine"])

    monkeypatch.setattr(Execution, "register", and_remove)
    code, _, err = invoke("run", "mine.toml" if from_file else "mine", "--repeats", "3", "--yes")
    text = " ".join(err.split())
    assert code == 2
    assert "study 'mine' was removed from assay.db during its run, with 6 of its 6 trials" in text
    command = "to train again what is gone: assay run mine.toml --repeats 3 --yes"
    advice = command if from_file else "`assay run` needs the file of the study to train it again, because 'mine' was"
    assert advice in text


def test_what_is_being_trained_is_not_removed(invoke: Any, tmp_path: Path) -> None:
    store, plan = Store(str(tmp_path / "assay.db")), made_plan(2)
    store.register(plan)
    lease, job = store.leases.claim(plan.jobs) or pytest.fail("nothing to claim")
    for name in ("made", job.trials[0].key):
        code, _, err = invoke("rm", name, "--yes")
        assert (code, "is training trial" in err, "nothing was removed" in err) == (2, True, True)
    store.leases.release(lease)
    assert "removed 1 study, 2 trials" in invoke("rm", "made", "--yes")[2]


def test_an_import_says_which_study_got_another_name(invoke: Any, tmp_path: Path) -> None:
    stored(tmp_path, trials=2)
    assert invoke("store", "export", "out")[0] == 0
    (tmp_path / "assay.db").unlink()
    stored(tmp_path, trials=1)
    code, out, err = invoke("store", "import", "out", "--json")
    sentence = "study 'made' is stored with other trials: that of the export, with 2, was added as 'made@1': "
    assert (code, sentence in " ".join(err.split())) == (0, True)
    assert json.loads(out) == {"added": 1, "already_there": 1, "notes": [f"{sentence}assay report made@1"]}


def test_a_trained_recipe_is_stored_like_any_other_and_not_trained_twice(invoke: Any, tmp_path: Path) -> None:
    words = ["train", "--set", "model.hidden=[4]", "--set", "budget.epochs=1", "--engine", "numpy", "--json"]
    first = json.loads(invoke(*words)[1])
    _, out, err = invoke(*words)
    second = json.loads(out)
    assert (first["from_store"], second["from_store"]) == (False, True)
    assert "--again retrains it" in err
    assert second["curve"] == first["curve"]
    third = json.loads(invoke(*words, "--again")[1])
    assert third["from_store"] is False
    assert third["accuracy"] == first["accuracy"]
    longer = json.loads(invoke(*(w.replace("epochs=1", "epochs=3") for w in words))[1])
    whole = json.loads(invoke(*(w.replace("epochs=1", "epochs=3") for w in words), "--store", "other.db")[1])
    shared = {point["iteration"]: point["test_loss"] for point in longer["curve"]}
    for point in whole["curve"]:
        assert shared[point["iteration"]] == point["test_loss"]
    assert [p["seconds"] for p in longer["curve"][:5]] == [p["seconds"] for p in third["curve"][:5]]  # it went on


def test_the_plan_says_what_would_be_done(invoke: Any) -> None:
    code, out, _ = invoke("run", "mine.toml", "--plan", "--json", "--repeats", "3")
    plan = json.loads(out)
    assert (code, plan["trials"], plan["to_train"], plan["stored"]) == (0, 6, 6, 0)


def test_what_takes_hours_is_asked_for(invoke: Any) -> None:
    words = ["run", "mine.toml", "--set", "budget.epochs=100000000", "--set", "log='1000000 epochs'"]
    code, _, err = invoke(*words)
    assert code == 2
    assert "give --yes to start it without confirmation" in err


def test_a_plan_leaves_the_store_as_it_was(invoke: Any, tmp_path: Path) -> None:
    keys = stored(tmp_path)
    assert invoke("run", "mine.toml", "--plan", "--again")[0] == 0
    assert "mine" not in invoke("list")[1]
    assert len(json.loads(invoke("list", "--trials", "--json")[1])["trials"]) == len(keys)


def test_a_recipe_whose_trial_failed_is_trained_again(invoke: Any, tmp_path: Path) -> None:
    words = ["train", "--set", "model.hidden=[4]", "--set", "budget.epochs=1", "--engine", "numpy", "--json"]
    key = json.loads(invoke(*words)[1])["trial"]
    with sqlite3.connect(tmp_path / "assay.db") as connection:
        connection.execute("UPDATE result SET outcome = 'failed', curve = '{}', artifact = NULL")
    connection.close()
    again = json.loads(invoke(*words)[1])
    assert (again["trial"], again["from_store"], again["outcome"]) == (key, False, "completed")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "mine.toml", "--until-decided", "--plan"], "cannot be combined with"),
        (["run", "quikstart"], "did you mean 'quickstart'"),
        (["run", "nothing.toml"], "no such file"),
        (["run", "mine.toml", "--timing", "packd"], "did you mean 'packed'"),
        (["run", "mine.toml", "--set", "optimizer.rate=1"], "optimizer.rate"),
        (["run", "mine.toml", "--data", "/nowhere"], "unknown data set"),
        (["run", "mine.toml", "--store", "mysql://x/y"], "expected sqlite or postgresql"),
        (["list"], "no such store"),
        (["show", "abcd"], "no such store"),
        (["store", "check", "--store", "mine.toml"], "not a store of Assay"),
        (["store", "repair", "--store", "mine.toml"], "not a store of Assay"),
    ],
)
def test_an_error_is_a_sentence_and_exit_code_2(words: list[str], expected: str, invoke: Any) -> None:
    code, _, err = invoke(*words)
    assert code == 2
    assert expected in err
    assert "Traceback" not in err


def test_keys_and_filters_that_fit_nothing_are_sentences(invoke: Any, tmp_path: Path) -> None:
    stored(tmp_path)
    for words, expected in (
        (["show", "ffffffff"], "no trial has a key"),
        (["show", "zz"], "expected a key"),
        (["list", "acuracy>0.5"], "did you mean 'accuracy'"),
        (["list", "--study", "mad"], "did you mean 'made'"),
        (["list", "--sort", "acuracy", "--trials"], "did you mean 'accuracy'"),
        (["rm", "mad", "--yes"], "expected a key"),
    ):
        code, _, err = invoke(*words)
        assert (code, expected in err) == (2, True), err


def test_a_store_is_exported_imported_and_vacuumed(invoke: Any, tmp_path: Path) -> None:
    stored(tmp_path)
    assert "3 trials are in out" in invoke("store", "export", "out", "--study", "made")[1]
    assert "3 trials added" in invoke("store", "import", "out", "--store", "other.db")[1]
    assert json.loads(invoke("store", "vacuum", "--json")[1]) == {"artifacts": 0, "bytes": 0}
    assert "nothing to repair" in invoke("store", "repair")[2]


def test_a_damaged_store_is_reported_and_salvaged(invoke: Any, tmp_path: Path) -> None:
    stored(tmp_path, 30)
    path = tmp_path / "assay.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    path.write_bytes(path.read_bytes()[:-8192])
    code, _, err = invoke("list")
    assert (code, "damaged" in err, "assay store repair" in err) == (2, True, True)
    code, out, err = invoke("store", "repair")
    assert code == 0, err
    assert "assay.db.repaired" in out
    assert "mlp 128" in invoke("list", "--trials", "--store", "assay.db.repaired")[1]


def test_the_environment_names_the_store(invoke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(tmp_path)
    (tmp_path / "assay.db").rename(tmp_path / "elsewhere.db")
    monkeypatch.setenv("ASSAY_STORE", str(tmp_path / "elsewhere.db"))
    assert "made" in invoke("list")[1]


def test_reports_plots_comparisons_and_targets(invoke: Any, tmp_path: Path) -> None:
    stored(tmp_path)
    store, plan = Store(str(tmp_path / "assay.db")), two_configurations()
    store.register(plan)
    accuracy = 0.8
    while claimed := store.leases.claim(plan.jobs):
        accuracy += 0.013
        store.finish(claimed[0], claimed[1].trials[0], made_end(claimed[1].trials[0], accuracy=accuracy))
        store.leases.release(claimed[0])
    store.close()
    code, out, err = invoke("report", "two", "-o", "two.html")
    assert (code, "is best: accuracy" in out, "two.html" in err) == (0, True, True)
    for chart in ("curves", "effort", "pareto", "ledger"):
        assert invoke("plot", "two", chart, "-o", f"{chart}.svg")[0] == 0
        assert (tmp_path / f"{chart}.svg").stat().st_size > 3000
    words = ["--x", "seconds", "--by", "trial", "--from", "0", "--to", "1", "--smooth", "2", "--log", "x"]
    assert invoke("plot", "two", "curves", *words)[0] == 0
    assert (tmp_path / "two-curves.png").is_file()
    assert "first layer" in invoke("plot", "two", "list")[1]
    code, out, _ = invoke("compare", "two")
    assert (code, "0.1" in out, "0.2" in out) == (0, True, True)
    assert json.loads(invoke("compare", "two", "0.1", "0.2", "--json")[1])["rows"][0]["n"] == 3
    assert invoke("compare", "two", "--csv")[1].startswith("a,b,difference")
    assert invoke("compare", "two", "--markdown")[1].startswith("| a | b | difference")
    rows = json.loads(invoke("target", "two", "--accuracy", "0.5", "--json")[1])["rows"]
    assert [row["reached"] for row in rows] == [3, 3]
    assert "median" in invoke("target", "two", "--loss", "0.2", "--by", "examples")[1]
    assert [row["reached"] for row in json.loads(invoke("target", "two", "--accuracy", "1", "--json")[1])["rows"]] == [
        0,
        0,
    ]
    for words, expected in (
        (["report", "too"], "did you mean 'two'"),
        (["report", "two", "-o", "two.pdf"], "ends in .html"),
        (["plot", "two", "curvs"], "did you mean 'curves'"),
        (["plot", "two", "curves", "-o", "x.gif"], "picture format"),
        (["plot", "two", "curves", "--x", "hours"], "hours"),
        (["compare", "two", "0.3"], "unknown configuration '0.3'"),
        (["compare", "two", "--measure", "acuracy"], "did you mean 'accuracy'"),
        (["target", "two", "--by", "hours"], "hours"),
    ):
        code, _, err = invoke(*words)
        assert (code, expected in err) == (2, True), (words, err)


def two_configurations() -> Any:
    from assay.studies.plan import plan
    from assay.studies.study import Study

    rates = {"rate": {"key": "optimizer.learning_rate", "values": [0.1, 0.2]}}
    raw = {"name": "two", "engine": "numpy", "repeats": 3, "axes": rates, "baseline": {"budget": {"iterations": 10}}}
    return plan(Study.parse(raw))


def test_other_data_are_split_as_the_study_says(command: Any, tmp_path: Path) -> None:
    text = tmp_path / "split.toml"
    text.write_text(
        'name = "split"\n[baseline]\ndata = { name = "digits", train = 300, validation = 40 }\nmodel.hidden = [4]\n'
        'budget.epochs = 1\n[axes.rate]\nkey = "optimizer.learning_rate"\nvalues = [0.01]\n'
    )
    code, _, err = command("run", str(text), "--data", "digits-28", "--engine", "numpy", "--yes")
    assert code == 0, err
    stored = json.loads(command("list", "--trials", "--json")[1])["trials"][0]
    shown = json.loads(command("show", stored["key"], "--json")[1])
    assert shown["recipe"]["data"] == {"name": "digits-28", "train": 300, "validation": 40}
