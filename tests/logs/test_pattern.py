"""Lines of any format by the user's regular expressions, which are bounded in length and in time."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import pytest

from assay import logs
from assay.errors import AssayError
from assay.logs import Options
from assay.logs import pattern as patterns
from assay.training.history import History

LINES = "E01 L=0.5 A=91.2\nnothing\nE02 L=tensor(0.4, device='cuda:0') A=92.2\n"
PATTERN = r"E(?P<epoch>\d+) L=(?P<train_loss>\S+) A=(?P<test_accuracy>\S+)"


@pytest.fixture
def read(tmp_path: Path):
    def reader(content: str, *expressions: str, **options: object) -> History:
        (tmp_path / "run.log").write_text(content)
        return logs.read(tmp_path / "run.log", options=Options(patterns=expressions, **options))  # pyright: ignore

    return reader


def test_named_groups_give_the_quantities(read) -> None:
    history = read(LINES, PATTERN)
    assert [(p.iteration, p.train_loss, p.test_accuracy) for p in history.points] == [(1, 0.5, 0.912), (2, 0.4, 0.922)]
    assert history.source.format == "pattern"
    assert history.source.lines == {"lines": 3, "records": 2, "headings": 0, "malformed": 0, "ignored": 1}


def test_several_patterns_and_lines_without_a_step(read) -> None:
    text = "round one of E1: 12.5s\n  L 0.5\n  V 0.6 90%\nround one of E2: 12.5s\n  L 0.4\n  V 0.5 95%\n"
    history = read(
        text,
        r"E(?P<epoch>\d+): (?P<seconds>\S+)",
        r"L (?P<loss>\S+)",
        r"V (?P<val_loss>\S+) (?P<val_acc>\S+)",
        seconds="per-epoch",
    )
    assert [(p.train_loss, p.validation_accuracy, p.seconds) for p in history.points] == [
        (0.5, 0.9, 12.5),
        (0.4, 0.95, 25.0),
    ]
    assert "4 lines without a step: counted to the step before" in history.warnings


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (r"E(?P<epoch>\d+) L=(?P<trainloss>\S+)", "unknown group 'trainloss'; did you mean 'train_loss'"),
        (r"E(?P<epoch>\d+", "is not a regular expression: missing"),
        (r"E(\d+) L=(\S+)", "expected a named group for a step and one for a quantity"),
        (r"Z(?P<epoch>\d+) L=(?P<loss>\S+)", "no line matches --pattern; the first line is 'E01 L=0.5 A=91.2'"),
        ("x" * 3000, "has 3,000 characters; expected at most 2,000"),
        (r"E(?P<epoch>\d+) L=(?P<loss>[a-z])", "no line matches"),
    ],
)
def test_a_pattern_that_does_not_fit_is_a_sentence(expression: str, expected: str, read) -> None:
    with pytest.raises(AssayError, match=".*") as raised:
        read(LINES, expression)
    assert expected in str(raised.value)


def test_a_pattern_that_never_ends_is_ended(read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "SECONDS", 0.5)
    begin = perf_counter()
    with pytest.raises(AssayError, match=r"takes more than 0\.5 s to match; simplify it: a repetition within"):
        read("a" * 60 + "!\n", r"(?P<epoch>\d)?(?P<loss>(a+)+)$")
    assert perf_counter() - begin < 10


def test_a_line_that_is_too_long_is_ignored_and_counted(read) -> None:
    history = read(LINES + "E03 L=" + "1" * 6000 + "\n", PATTERN)
    assert history.final.iteration == 2
    assert "1 line of more than 5,000 characters: ignored" in history.warnings


def test_a_pattern_next_to_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text(LINES)
    with pytest.raises(AssayError, match="--as csv and --pattern: expected one of them"):
        logs.read(tmp_path / "run.log", "csv", Options(patterns=(PATTERN,)))
    with pytest.raises(AssayError, match="the format pattern needs a regular expression"):
        logs.read(tmp_path / "run.log", "pattern")
