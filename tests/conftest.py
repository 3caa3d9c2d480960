"""What every test has: its own turn on the machine, so that tests do not wait for one another."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_TURN", str(tmp_path / "turn.lock"))
