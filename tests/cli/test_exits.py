"""The exit codes: each that exists, by a command that ends with it, and the table in the documentation."""

from __future__ import annotations

import errno
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import assay.cli
from assay.cli.exits import Exit
from assay.store import queries
from assay.store.store import Store

DOCS = Path(__file__).parents[2] / "docs" / "studies.md"


def ended(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of a command."""
    monkeypatch.setattr(sys, "argv", ["assay", *words])
    with pytest.raises(SystemExit) as end:
        assay.cli.main()
    return int(end.value.code or 0)


def test_the_documentation_has_every_exit_code() -> None:
    codes = re.findall(r"^\| (\d+) \|", DOCS.read_text(encoding="utf-8").partition("## Exit codes")[2], re.MULTILINE)
    assert [int(code) for code in codes] == [int(code) for code in Exit]


def test_success_and_an_error_of_the_user(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(monkeypatch, "--version") == Exit.OK
    assert ended(monkeypatch, "run", "no-such-study") == Exit.USAGE
    assert "no-such-study" in capsys.readouterr().err


def test_a_run_without_one_result_ends_with_1_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    study = tmp_path / "slow.toml"
    study.write_text(
        'name = "slow"\ndesign = "one-at-a-time"\nrepeats = 2\nengine = "numpy"\ntime_limit = 0.001\n'
        "[baseline]\nbudget = { iterations = 1000000000 }\n"
    )
    store = f"--store={tmp_path / 'a.db'}"
    assert ended(monkeypatch, "run", str(study), "--yes", store) == Exit.NEGATIVE
    text = capsys.readouterr().err
    sentence = "2 of 2 trials were cut short: 2 timed out (timed out after 0.001 s; counted as they ended)"
    assert f"{sentence}; --retry repeats these" in text
    study.write_text(study.read_text().replace("time_limit = 0.001", "").replace("1000000000", "10"))
    assert ended(monkeypatch, "run", str(study), "--yes", store) == Exit.OK
    assert "cut short" not in capsys.readouterr().err


def test_repeats_that_time_out_leave_the_results_and_end_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    study = tmp_path / "kept.toml"
    text = 'name = "kept"\ndesign = "one-at-a-time"\nrepeats = 2\nengine = "numpy"\n[baseline]\nmodel.hidden = [4]\n'
    study.write_text(text + "budget = { iterations = 20 }\n")
    url = str(tmp_path / "a.db")
    assert ended(monkeypatch, "run", str(study), "--yes", "--store", url) == Exit.OK
    accuracies = [row["accuracy"] for row in queries.trials(Store(url).database, sort="key")[0]]
    capsys.readouterr()
    study.write_text("time_limit = 0.000001\n" + study.read_text())
    assert ended(monkeypatch, "run", str(study), "--again", "--yes", "--store", url) == Exit.NEGATIVE
    err = capsys.readouterr().err
    assert (
        "the repeats of 2 of 2 trials were cut short: 2 timed out (timed out after 1e-06 s); "
        "their earlier results stay, and --again repeats them" in " ".join(err.split())
    )
    rows = queries.trials(Store(url).database, sort="key")[0]
    assert [(row["outcome"], row["accuracy"]) for row in rows] == [("completed", value) for value in accuracies]
    assert ended(monkeypatch, "run", str(study), "--yes", "--store", url) == Exit.OK  # nothing is left to train
    assert "2 stored, 0 to train" in capsys.readouterr().err


def test_a_training_that_is_cut_short_when_repeated_leaves_the_earlier_result(invoke: Any, tmp_path: Path) -> None:
    words = ["train", "--set", "model.hidden=[4]", "--set", "budget.iterations=1000", "--engine", "numpy"]
    assert invoke(*words)[0] == Exit.OK
    code, out, err = invoke(*words, "--again", "--time-limit", "0.001")
    (row,) = queries.trials(Store(str(tmp_path / "assay.db")).database)[0]
    key = row["key"][:8]
    assert (code, out, row["outcome"]) == (Exit.NEGATIVE, "", "completed")
    ending = "the repeat was cut short: timed out (timed out after 0.001 s)"
    assert f"{ending}; the earlier result of trial {key} stays: assay show {key}" in " ".join(err.split())


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (
            ValueError("what nobody foresaw\nsecond line"),
            Exit.INTERNAL,
            "internal error: ValueError: what nobody foresaw",
        ),
        (MemoryError(), Exit.INTERNAL, "internal error: MemoryError; the details are in"),
        (KeyboardInterrupt(), Exit.INTERRUPTED, "interrupted"),
        (BrokenPipeError(), Exit.PIPE_CLOSED, ""),
        (OSError(errno.ENOSPC, "No space left on device"), Exit.USAGE, "no space left on the device"),
    ],
)
def test_an_unforeseen_error_is_one_sentence(
    error: BaseException,
    code: Exit,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("assay.cli.app", fail)
    monkeypatch.setattr("assay.cli._discard_output", lambda: None)
    assert ended(monkeypatch) == code
    text = capsys.readouterr().err
    assert sentence in text
    assert "Traceback" not in text
    if code is Exit.INTERNAL:
        named = re.search(r"details are in (\S+);", text)
        assert named
        details = Path(named[1])
        assert "Traceback" in details.read_text()
        details.unlink()
