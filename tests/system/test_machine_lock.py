"""Taking turns on a machine: isolated ones alone, packed ones together, and whoever waits is told."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from assay.errors import FileError
from assay.system.machine_lock import machine_lock


def test_packed_turns_overlap_and_isolated_ones_wait() -> None:
    told, tries = threading.Event(), iter(range(200))
    with (
        machine_lock("packed"),
        machine_lock("packed"),
        machine_lock("isolated", cancelled=lambda: next(tries, None) is None, on_wait=told.set),
    ):
        assert told.is_set()  # it gave up after some four seconds


def test_a_turn_needs_no_right_to_write_and_follows_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / "theirs.lock"
    theirs.touch(mode=0o444)
    monkeypatch.setenv("ASSAY_TURN", str(theirs))
    flags: list[int] = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, flag, *rest: flags.append(flag) or real(path, flag, *rest))
    with machine_lock("isolated"):
        assert not flags[0] & os.O_CREAT  # of another user's file in a shared folder the system refuses that
    monkeypatch.undo()
    (tmp_path / "link.lock").symlink_to(theirs)
    monkeypatch.setenv("ASSAY_TURN", str(tmp_path / "link.lock"))
    with pytest.raises(FileError, match="the machine's lock cannot be opened"), machine_lock("isolated"):
        pass
