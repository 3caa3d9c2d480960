"""What every test may have: its own turn on the machine, and commands run in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from assay import cli

# The suite draws the same examples each time, so that it passes or fails for a reason within the change;
# `--hypothesis-profile=random` draws new ones. Examples take as long as the machine is busy: no deadline.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None)
settings.load_profile("repeatable")

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _own_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that tests do not wait for one another."""
    monkeypatch.setenv("ASSAY_TURN", str(tmp_path / "turn.lock"))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process; returns exit code, standard output and standard error."""

    def run(*words: str) -> tuple[int, str, str]:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["assay", *words])
            code: Any = 0
            try:
                cli.main()
            except SystemExit as stop:
                code = stop.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def invoke(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """`command` in a folder of its own, without data sets or a store from elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_DATA", str(tmp_path / "no-data"))
    monkeypatch.delenv("ASSAY_STORE", raising=False)
    return command
