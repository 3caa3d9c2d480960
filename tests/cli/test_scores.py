"""Commands list, sort, filter and compare by the scores of the confusion matrix, and say where there is none."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score
from typer.testing import CliRunner

import assay
from assay.cli import app
from assay.errors import AssayError
from assay.results.results import Results
from assay.store.schema import result
from assay.store.store import Store

STUDY = {
    "name": "scores",
    "repeats": 2,
    "baseline": {"budget": {"iterations": 40}, "model": {"hidden": [8]}},
    "axes": {"rate": {"key": "optimizer.learning_rate", "values": [0.0001, 0.02]}},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("scores") / "s.db")
    assay.run(STUDY, store=path)
    return path


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.output


def copied(store: str, path: Path) -> Path:
    """A copy of a store that may still have a write-ahead log."""
    with contextlib.closing(sqlite3.connect(store)) as source, contextlib.closing(sqlite3.connect(path)) as target:
        source.backup(target)
    return path


def listed(store: str, *words: str) -> list[dict[str, object]]:
    return json.loads(run("list", "--trials", *words, "--json", "--store", store))["trials"]


def test_stored_scores_are_scikit_learns_of_the_predictions(store: str) -> None:
    results = Results(Store(store), "scores")
    data = assay.load_data("digits")
    for row in results.frame().to_dict("records"):
        history = Store(store).result(row["trial"])
        assert history is not None and history.scores is not None
        predicted = history.predict(data.x_test).astype(int)
        expected = {
            "balanced_accuracy": balanced_accuracy_score(data.y_test, predicted),
            "macro_f1": f1_score(data.y_test, predicted, average="macro", zero_division=0),
            "recall:8": recall_score(data.y_test, predicted, labels=[8], average="macro", zero_division=0),
        }
        assert {name: row[name] for name in expected} == pytest.approx(expected)
        assert history.plain()["macro_f1"] == pytest.approx(expected["macro_f1"])
        assert history.scores["per_class"][8]["recall"] == pytest.approx(expected["recall:8"])


def test_trials_are_sorted_and_filtered_by_them(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("macro_f1", "recall:8", "balanced_accuracy"):
        values = [row[name] for row in listed(store, "--sort", f"-{name}")]
        assert len(values) == 4 and values == sorted(values, reverse=True)
    values = [row["macro_f1"] for row in listed(store, "--sort", "macro_f1", "--limit", "3")]
    assert len(values) == 3 and values == sorted(values)
    kept = listed(store, "macro_f1>0.5", "optimizer=adam", "--sort", "seed")
    assert {row["learning_rate"] for row in kept} == {0.02} and [row["seed"] for row in kept] == [1, 2]
    assert len(listed(store, "macro_f1<=50 %")) == 2
    monkeypatch.setenv("COLUMNS", "160")
    assert "macro f1" in run("list", "--sort", "-macro_f1", "--trials", "--store", store)


def test_a_wrong_word_is_named(store: str) -> None:
    for words, said in (
        (["list", "--trials", "--sort", "macro_f2"], "macro_f1"),
        (["list", "macro_f1>much"], "macro_f1>much"),
        (["list", "macro_f1>5"], "fraction"),
        (["compare", "scores", "--measure", "recall:99"], "recall:9"),
    ):
        done = CliRunner().invoke(app, [*words, "--store", store])
        assert isinstance(done.exception, AssayError) and said in str(done.exception), done.output


def test_configurations_are_compared_and_drawn_by_them(store: str) -> None:
    assert "rate 0.0001 is worse than rate 0.02" in run("compare", "scores", "--measure", "macro_f1", "--store", store)
    results = Results(Store(store), "scores")
    assert results.verdict("rate 0.02", "rate 0.0001", measure="recall:1").n == 2
    assert results.picture("sensitivity", measure="balanced_accuracy") is not None
    table = results.verdicts(measure="balanced_accuracy")
    frame = results.frame().groupby("configuration")["balanced_accuracy"].mean()
    difference = table["difference"].abs().item()
    assert difference == pytest.approx(abs(frame["rate 0.02"] - frame["rate 0.0001"]))


def test_a_trial_without_a_matrix_is_named_and_comes_last(store: str, tmp_path: Path) -> None:
    path = copied(store, tmp_path / "copy.db")
    rows = listed(store, "--sort", "-macro_f1")
    best = str(rows[0]["key"])
    with Store(str(path)).database.write() as connection:
        connection.execute(sa.update(result).where(result.c.trial == best).values(confusion=None))
    after = listed(str(path), "--sort", "-macro_f1")
    assert after[-1]["key"] == best and after[-1]["macro_f1"] is None
    assert best not in [row["key"] for row in listed(str(path), "macro_f1>=0")]
    assert "1 of them have no macro_f1" in run("list", "--trials", "--sort", "-macro_f1", "--store", str(path))
    shown = " ".join(run("show", best, "--store", str(path)).split())
    assert "-: no confusion matrix is stored with this trial" in shown
    assert json.loads(run("show", best, "--json", "--store", str(path)))["macro_f1"] is None
    compared = " ".join(run("compare", "scores", "--measure", "macro_f1", "--store", str(path)).split())
    assert "without a number" in compared


def test_a_damaged_matrix_hides_no_other_trial(store: str, tmp_path: Path) -> None:
    path = copied(store, tmp_path / "copy.db")
    key = str(listed(store)[0]["key"])
    with Store(str(path)).database.write() as connection:
        connection.execute(sa.update(result).where(result.c.trial == key).values(confusion="[[1"))
    rows = listed(str(path), "--sort", "macro_f1")
    assert len(rows) == 4 and [row["key"] for row in rows if row["macro_f1"] is None] == [key]
    frame = Results(Store(str(path)), "scores").frame().set_index("trial")
    assert frame["macro_f1"].isna().tolist() == [trial == key for trial in frame.index]
