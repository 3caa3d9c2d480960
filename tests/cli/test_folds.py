"""A study of two optimizers over folds from the command line: run, compare, report, plot, list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from assay.results.results import Results
from assay.store.store import Store

STUDY = """
name = "two"
engine = "numpy"
folds = 5
repeats = 10
[baseline]
data = { name = "iris" }
model = { hidden = [8] }
budget = { epochs = 20 }
[axes.optimizer]
adam = { optimizer = { name = "adam", learning_rate = 0.02 } }
descent = { optimizer = { name = "descent", learning_rate = 0.01 } }
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_STORE", str(tmp_path / "assay.db"))
    path = tmp_path / "two.toml"
    path.write_text(STUDY)
    return path


def test_a_study_of_two_optimizers_over_ten_folds(study: Path, invoke: Any) -> None:
    code, _, err = invoke("run", str(study), "--plan")
    assert code == 0
    assert "two: 20 trials (5 folds, twice); 0 stored" in err
    assert "the test set is fold 1 of 5 of all examples" in err
    assert "(9 similar notes on other trials)" in err
    code, _, err = invoke("run", str(study))
    assert code == 0, err

    frame: Any = Results(Store(str(study.parent / "assay.db")), "two").frame()
    values = {name: rows["accuracy"].to_numpy() for name, rows in frame.groupby("configuration")}
    d = values["adam"] - values["descent"]
    t = d.mean() / np.sqrt((1 / 10 + 30 / 120) * d.var(ddof=1))
    p = 2 * stats.t.sf(abs(t), 9)
    _, out, _ = invoke("compare", "two", "--json")
    (row,) = json.loads(out)["rows"]
    assert row["p_t"] == pytest.approx(p, rel=1e-6)
    assert row["p"] is None

    _, out, err = invoke("compare", "two")
    assert "over 10 folds (2 x 5)" in out
    assert "| more folds |" in invoke("compare", "two", "--markdown")[1]
    assert "more_seeds" in invoke("compare", "two", "--csv")[1]  # the name of a column stays
    assert "corrected resampled t test: they share training examples" in out
    assert "seed" not in out.replace("more\nseeds", "").split("verdicts:")[0]
    assert "on this split" not in err

    _, out, _ = invoke("report", "two")
    assert "10 folds" in out
    assert "seeds" not in out
    page = (study.parent / "two.html").read_text()
    assert "Over paired folds" in page
    assert invoke("plot", "two", "verdicts", "--out", "verdicts.svg")[0] == 0
    assert invoke("plot", "two", "pareto", "--out", "pareto.svg")[0] == 0
    _, out, _ = invoke("list")
    assert "two" in out

    _, _, err = invoke("run", str(study))
    assert "20 stored, 0 to train" in err


def test_the_options_of_a_run(study: Path, invoke: Any) -> None:
    seeds = study.read_text().replace("folds = 5\nrepeats = 10\n", "")
    study.write_text(seeds)
    assert "two: 2 trials;" in invoke("run", str(study), "--plan")[2]
    assert "two: 6 trials (3 folds);" in invoke("run", str(study), "--plan", "--folds", "3")[2]
    assert (
        "two: 12 trials (3 folds, twice);" in invoke("run", str(study), "--plan", "--folds", "3", "--repeats", "6")[2]
    )
    err = invoke("run", str(study), "--plan", "--split-seeds", "--repeats", "4")[2]
    assert "two: 8 trials (4 re-splits);" in err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--repeats", "7"], "repeats: got 7; expected a multiple of folds = 5, such as 5 or 10"),
        (["--folds", "1"], "folds: got 1; expected a number >= 2"),
        (
            ["--set", "data.fold=2", "--set", "data.folds=5"],
            "baseline.data.fold: is set, and folds of the study sets it",
        ),
        (["--folds", "151", "--repeats", "151"], "data.folds: got 151; expected at most 150"),
        (["--until-decided"], "folds gives every repeat another test set of the same examples"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(study: Path, invoke: Any, options: list[str], sentence: str) -> None:
    code, _, err = invoke("run", str(study), *options)
    assert code != 0
    assert sentence in " ".join(err.split())
    assert "Traceback" not in err
