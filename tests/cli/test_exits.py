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
