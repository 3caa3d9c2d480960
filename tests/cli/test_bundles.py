"""`assay publish` and `assay verify` on the command line: what they print, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assay.claims.bundles import derived
from tests.claims.bundles.tampering import cells, tampered

STUDY = """
about = "Which rate?"
engine = "numpy"
threads = 1
timing = "packed"
[baseline]
budget = 3
model.hidden = [4]
[axes]
optimizer.learning_rate = [0.1, 0.2]
"""
CLAIMS = """
[[claims]]
id = "learns"
text = "The rate 0.1 ends above 99 %"
rule = "threshold"
side = { configuration = "learning_rate 0.1" }
at_least = "99 %"
"""


@pytest.fixture
def published(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A study that was trained and published, without its page, which takes seconds to draw."""
    monkeypatch.setattr(derived, "_reports", lambda content, studies: {})
    Path("small.toml").write_text(STUDY)
    Path("claims.toml").write_text(CLAIMS)
    assert invoke("run", "small.toml", "--yes", "-q")[0] == 0
    code, out, err = invoke("publish", "small", "--claims", "claims.toml", "--licence", "MIT")
    assert code == 0, err
    assert out.startswith("small.zip: 2 trials, ")
    assert "No author was given (--author), so there is no CITATION.cff." in err
    return invoke


def test_a_bundle_is_verified_where_its_store_is_not(published: Any) -> None:
    Path("assay.db").unlink()
    code, out, err = published("verify", "small.zip", "--seed", "3", "--all")
    assert code == 0, out + err
    assert "claim learns: does not hold: The rate 0.1 ends above 99 %" in out
    assert "2 of 2 trials were trained again and compared (seed 3)" in out
    assert "none of k tampered trials: 0 % for 1, 0 % for 2." in out
    assert "What cannot be seen this way:" in out
    assert out.splitlines()[-1] == "verified: nothing is wrong"
    code, out, _ = published("verify", "small.zip", "--seed", "3", "--sample", "1", "--json")
    plain = json.loads(out)
    assert (code, plain["verified"], plain["findings"]) == (0, True, [])
    assert plain["chance_of_missing"] == {"1": 0.5, "2": 0.0}
    assert [trial["answer"] for trial in plain["trials"]] == ["same bits"]
    assert not Path("assay.db").exists()


def test_what_is_wrong_is_printed_and_the_exit_code_is_1(published: Any) -> None:
    tampered(Path("small.zip"), Path("t.zip"), cells("trials", 0, accuracy="0.99"))
    code, out, _ = published("verify", "t.zip")
    assert code == 1
    assert "row: trials, row 1: trial " in out.replace("\n", " ")
    assert out.splitlines()[-1] == "not verified: 1 thing is wrong"
    code, out, _ = published("verify", "t.zip", "--csv")
    assert (code, out.splitlines()[0]) == (1, "table,kind,finding,trial,configuration,engine,answer,time,compared")


def test_a_trial_whose_data_are_not_here_cannot_be_compared(published: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.claims.bundles.data_sets import DataSets

    monkeypatch.setattr(DataSets, "find", lambda sets, name, checksum: None)
    code, out, _ = published("verify", "small.zip", "--sample", "1")
    assert code == 3
    assert out.splitlines()[-1] == (
        "nothing is wrong, but not compared: lengths in epochs in the plan of study small: data set 'digits' is not "
        "here; give its folder with --data; 1 of the 1 trials that were drawn"
    )


MISTAKES = (
    ("verify none.zip", "none.zip: cannot be read: No such file"),
    ("verify small.toml", "small.toml: not a zip file; expected a bundle that `assay publish` wrote"),
    ("verify small.zip --sample -1", "--sample: got -1; expected a number >= 0"),
    ("publish smal", "unknown study 'smal'; did you mean 'small'?"),
    ("publish small -o x.tar", "x.tar: a bundle is a zip file; expected a name that ends in .zip"),
    ("publish small -o no/x.zip", "no/x.zip: its folder does not exist"),
    ("publish small --licence all,mine", "--licence: got 'all,mine'; expected an SPDX identifier"),
    ("publish small --author=", "--author: got ''; expected a name"),
)


def test_mistakes_are_sentences(published: Any) -> None:
    for command, sentence in MISTAKES:
        code, _, err = published(*command.split())
        assert code == 2, command
        assert sentence in " ".join(err.split()), command


def test_a_question_that_names_a_folder_of_this_machine_is_not_published(invoke: Any) -> None:
    here = str(Path.cwd())
    Path("small.toml").write_text(STUDY.replace("Which rate?", f"Which rate for {here}/x?"))
    assert invoke("run", "small.toml", "--yes", "-q")[0] == 0
    code, _, err = invoke("publish", "small")
    assert code == 2
    assert f"names {here}, a folder of this machine" in err.replace("\n", "")
    assert not Path("small.zip").exists()
